//! Storage that fails: a disk that is full, a disk that takes nothing more, a database server that stops.
//! The site goes on answering, says what is wrong, and goes on by itself afterwards.

use crate::away::numbers;
use crate::documents::generate;
use crate::refusals::anonymous_channel;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use store::DATABASE_FILE;
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::patience::LONG;
use testkit::process::Launch;
use testkit::{Database, Hierarchy, Postgres, until};
use tonic::transport::Channel;
use wire::v1::SiteReport;

const UPDATES: u32 = 400;
/// Room on the small disk: enough for the catalog and the write-ahead log.
const ROOM: &str = "size=32m,mode=700";
/// A file that takes all the room.
const FILLER: &str = "filler";
/// How long a verb may take to say that the database is away.
const SOON: Duration = Duration::from_secs(15);

/// A central site, a primary site that is launched in its own way, and a secondary site below that. All
/// hold the same.
async fn hierarchy(adapt: impl FnOnce(&Path, Launch) -> Launch) -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    hierarchy.central().await;
    let data_dir = hierarchy.data_dir("PR1");
    std::fs::create_dir(&data_dir).unwrap();
    let adapt = |launch| adapt(&data_dir, launch);
    hierarchy.join_with("PR1", "primary", CENTRAL, adapt).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.synchronize().await;
    hierarchy
}

/// Waits until a site, still attached, says why its last run failed.
async fn says(hierarchy: &Hierarchy, code: &str, sentence: &str) -> SiteReport {
    until(&format!("{code} says {sentence:?}"), LONG, || async {
        let site = hierarchy.site(code).await?;
        let said = site.last_error.contains(sentence) && site.connected;
        said.then_some(site.clone())
            .ok_or_else(|| format!("{}: {}", site.connected, site.last_error))
    })
    .await
}

/// A site still says that it is there.
async fn check_health(channel: Channel) {
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = tonic_health::pb::HealthCheckRequest {
        service: "headwater.v1.SiteLinkService".to_owned(),
    };
    health.check(request).await.unwrap();
}

/// A site answers although it cannot write: its health, its log, and the sites below it.
async fn check_answers(hierarchy: &Hierarchy, code: &str, below: &str) {
    let channel = anonymous_channel(hierarchy, code).await.unwrap();
    check_health(channel).await;
    let log = hierarchy.run(&["log", "--site", code, "--last", "20"]);
    assert!(log.good().contains("Sync"));
    let log = hierarchy.run(&["log", "--site", below, "--last", "20"]);
    assert!(log.good().contains("Sync succeeded"));
    let status = hierarchy.run(&["status", "--check", "--json"]);
    assert_eq!(status.status.code(), Some(1), "{status:?}");
}

/// Waits until the central site has been told the story of every site, without a gap.
async fn check_stories(hierarchy: &Hierarchy) {
    until("every site's messages are complete", LONG, || async {
        let numbers = numbers(hierarchy).await?;
        let dense = |numbers: &Vec<u64>| numbers.is_sorted_by(|one, next| *next == one + 1);
        let complete = numbers.values().all(dense);
        complete.then_some(()).ok_or_else(|| format!("{numbers:?}"))
    })
    .await;
}

/// The command within which a program sees an empty disk of [`ROOM`] at a folder, and nobody else does.
/// None where this is not permitted, as root or in a namespace of the user's own.
fn small_disk(folder: &Path) -> Option<Vec<String>> {
    let script = format!("mount -t tmpfs -o {ROOM} tmpfs \"$0\" && exec \"$@\"");
    for unshare in ["--mount", "-Urm"] {
        let mut within = ["unshare", unshare, "sh", "-c", &script]
            .map(str::to_owned)
            .to_vec();
        within.push(folder.display().to_string());
        let mut command = Command::new("unshare");
        command.args(&within[1..]).arg("true").stderr(Stdio::null());
        if command.status().is_ok_and(|status| status.success()) {
            return Some(within);
        }
    }
    None
}

/// Writes until there is no room.
fn fill(disk: &Path) {
    let mut file = File::create(disk.join(FILLER)).unwrap();
    for piece in [64 * 1024, 1] {
        while file.write_all(&vec![7; piece]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_disk_is_full_says_so_and_goes_on_when_there_is_room_again() {
    let try_it = tempfile::tempdir().unwrap();
    if small_disk(try_it.path()).is_none() {
        // The next test makes writing fail without privileges, in CI too.
        testkit::skip::left_out(
            "no small file system can be mounted here, not even for one process",
        );
        return;
    }
    let mut hierarchy = hierarchy(|data_dir, launch| Launch {
        within: small_disk(data_dir).unwrap(),
        ..launch
    })
    .await;
    let process = hierarchy.process("PR1").id();
    let disk = hierarchy
        .data_dir("PR1")
        .strip_prefix("/")
        .unwrap()
        .to_owned();
    let disk = PathBuf::from(format!("/proc/{process}/root")).join(disk);

    fill(&disk);
    hierarchy.evolve().await;
    let run = hierarchy.request_sync().await;
    hierarchy.converged_without(&run, &["PR1", "SE1"]).await;
    let held = says(&hierarchy, "PR1", "disk is full").await;
    check_answers(&hierarchy, "PR1", "SE1").await;
    // What it showed before is still there, for its children too.
    let below = hierarchy.site("SE1").await.unwrap();
    assert_eq!(
        (&held.root, held.verified_position),
        (&below.root, below.verified_position)
    );

    std::fs::remove_file(disk.join(FILLER)).unwrap();
    let hierarchy_root = hierarchy.converged(&run).await.root;
    hierarchy.message("PR1", 6703, &["disk is full"]).await;
    check_stories(&hierarchy).await;
    assert_eq!(hierarchy.process("PR1").id(), process);

    // The disk goes with the last that holds it; SQLite follows no path through /proc.
    let holds = File::open(&disk).unwrap();
    hierarchy.stop_all().await;
    let disk = PathBuf::from(format!("/proc/self/fd/{}", holds.as_raw_fd()));
    let copy = hierarchy.folder().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for end in ["", "-wal"] {
        let file = format!("{DATABASE_FILE}{end}");
        if disk.join(&file).exists() {
            std::fs::copy(disk.join(&file), copy.join(&file)).unwrap();
        }
    }
    let database = Database::open(&copy).await;
    assert_eq!(database.root().await, hierarchy_root[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_disk_takes_nothing_more_says_so_and_goes_on_when_it_does_again() {
    // Any process may be forbidden to write to files: EFBIG in the place of ENOSPC.
    let ignores = ["env", "--ignore-signal=XFSZ"].map(str::to_owned).to_vec();
    let mut hierarchy = hierarchy(|_, launch| Launch {
        within: ignores,
        ..launch
    })
    .await;
    let process = hierarchy.process("PR1").id();
    let pid = Pid::from_raw(i32::try_from(process).unwrap());
    let limit = |current| {
        let limits = Rlimit {
            current,
            maximum: None,
        };
        prlimit(pid, Resource::Fsize, limits).unwrap();
    };

    limit(Some(0));
    hierarchy.evolve().await;
    let run = hierarchy.request_sync().await;
    hierarchy.converged_without(&run, &["PR1", "SE1"]).await;
    says(&hierarchy, "PR1", "disk I/O error").await;
    check_answers(&hierarchy, "PR1", "SE1").await;

    limit(None);
    hierarchy.converged(&run).await;
    hierarchy.message("PR1", 6703, &["disk I/O error"]).await;
    check_stories(&hierarchy).await;
    assert_eq!(hierarchy.process("PR1").id(), process);
    hierarchy.stop_all().await;
    Database::check(&hierarchy.data_dir("PR1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_central_site_outlives_its_database_server_and_goes_on_when_that_is_back() {
    let Some(server) = Postgres::start_new() else {
        return;
    };
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    let url = server.url();
    hierarchy
        .central_with(|launch| launch.variable("HEADWATER_DATABASE", url))
        .await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    let before = hierarchy.synchronize().await;
    let process = hierarchy.process(CENTRAL).id();

    // A run is under way, and waits for the upstream.
    hierarchy.evolve().await;
    hierarchy.proxy(UPSTREAM).stall();
    hierarchy.request_sync().await;
    let channel = anonymous_channel(&hierarchy, CENTRAL).await.unwrap();
    server.stop();
    let began = tokio::time::Instant::now();
    let refused = hierarchy.run(&["update", "list"]).refused("database");
    let took = began.elapsed();
    assert!(took < SOON, "after {took:?}: {refused}");
    check_health(channel).await;
    hierarchy.proxy(UPSTREAM).free();
    until("the run fails, and the log says why", LONG, || async {
        let log = hierarchy.log(CENTRAL);
        let failed = log.contains("Sync failed: the database failed");
        failed.then_some(()).ok_or(log)
    })
    .await;

    server.start();
    // Nobody asks for anything.
    let after = until("the central site succeeds", LONG, || async {
        let site = hierarchy.site(CENTRAL).await?;
        let newer = site.verified_position > before.verified_position;
        let run = site.run.filter(|run| newer && run.state == "Completed");
        run.ok_or(site.last_error)
    })
    .await;
    hierarchy.converged(&after.id).await;
    let failed = ["the database failed"];
    hierarchy.message(CENTRAL, 6703, &failed).await;
    check_stories(&hierarchy).await;
    assert_eq!(hierarchy.process(CENTRAL).id(), process);
    hierarchy.stop_all().await;
}
