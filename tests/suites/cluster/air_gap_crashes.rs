//! A top-level site that is killed while it imports: its catalog is as before or as after, and the same import goes on.

use crate::air_gap::{export, revisions};
use crate::content_crashes::{complete, publish, stored};
use crate::documents::generate;
use catalog::item::ItemKey;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::DATABASE_FILE;
use testkit::hierarchy::CENTRAL;
use testkit::process::Launch;
use testkit::{Database, Hierarchy, Process, until};

const MOST: Duration = Duration::from_secs(120);
/// Between two looks: an import is over soon.
const LOOK: Duration = Duration::from_millis(1);

/// Where the process is killed.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// So many hundredths of the package are uploaded.
    Uploaded(u64),
    /// The catalog in it is being taken in.
    TakingIn,
    /// So many bytes of that were added to the journal of the database.
    Written(u64),
    /// So many bytes of files are on the disk.
    Files(u64),
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Imports that began to be taken in, as the log has them.
fn begun(hierarchy: &Hierarchy) -> usize {
    let log = hierarchy.log(CENTRAL);
    log.matches("Taking in the package").count()
}

/// Bytes of packages in the spool.
fn spooled(hierarchy: &Hierarchy) -> u64 {
    let spool = hierarchy.data_dir(CENTRAL).join("packages");
    let files = std::fs::read_dir(spool).into_iter().flatten().flatten();
    files.map(|file| length(&file.path())).sum()
}

fn journal(hierarchy: &Hierarchy) -> PathBuf {
    let name = format!("{DATABASE_FILE}-wal");
    hierarchy.data_dir(CENTRAL).join(name)
}

/// Begins an import, and kills the site at a point of it, or when the import ended before; whether it was in time.
async fn kill_at(b: &mut Hierarchy, package: &Path, point: Point) -> bool {
    let (size, runs) = (length(package), begun(b));
    let data_dir = b.data_dir(CENTRAL).display().to_string();
    let name = package.display().to_string();
    let import = Launch::of(["import", &name, "--trust", "--settings"])
        .variable("HEADWATER_DATA_DIR", data_dir);
    let mut import = Process::start("import", b.folder(), &import);
    let (mut before, mut ended) = (None, false);
    let reached = async {
        loop {
            let there = match point {
                Point::Uploaded(part) => spooled(b) * 100 >= size * part,
                Point::TakingIn => begun(b) > runs,
                Point::Written(bytes) => {
                    let written = length(&journal(b));
                    if before.is_none() && begun(b) > runs {
                        before = Some(written);
                    }
                    before.is_some_and(|before| written >= before + bytes)
                }
                Point::Files(bytes) => stored(b, CENTRAL) >= bytes,
            };
            ended = import.has_ended().is_some();
            if there || ended {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(MOST, reached).await.unwrap();
    b.kill(CENTRAL);
    let late = if ended { ", too late" } else { "" };
    eprintln!("killed at {point:?}{late}");
    import.ends(MOST).await;
    !ended
}

/// How many revisions stand in the log of a site that does not run, verified or not.
async fn logged(b: &Hierarchy) -> usize {
    let database = Database::open(&b.data_dir(CENTRAL)).await;
    let log = database.log().await;
    let revisions = log.values().filter(|change| {
        let key = ItemKey::from_bytes(&change.key).unwrap();
        !change.removed && key.revision().is_some()
    });
    let count = revisions.count();
    database.close().await;
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_is_as_before_or_as_after_wherever_its_import_is_killed() {
    let (mut a, mut b) = (Hierarchy::new(), Hierarchy::new());
    a.upstream(generate(700)).await;
    a.central().await;
    // What is generated names texts that nobody has.
    a.run(&["settings", "set", "content.licence-terms=false"])
        .good();
    a.synchronize().await;
    let package = a.folder().join("a.hwpkg");
    export(&a, &package, &[]);
    a.stop_all().await;
    let expected = revisions(&a, CENTRAL).await;
    b.central().await;
    let mut within_its_work = 0;
    for point in [
        Point::Uploaded(30),
        Point::Uploaded(100),
        Point::TakingIn,
        Point::Written(1),
        Point::Written(1 << 20),
        Point::Written(2 << 20),
        Point::Written(4 << 20),
    ] {
        let in_time = kill_at(&mut b, &package, point).await;
        within_its_work += u32::from(in_time && matches!(point, Point::Written(_)));
        let there = logged(&b).await;
        assert!(
            there == 0 || there == expected.len(),
            "{point:?}: {there} of {}",
            expected.len()
        );
        let shown = revisions(&b, CENTRAL).await;
        assert!(shown.is_empty() || shown == expected, "{point:?}");
        b.start(CENTRAL).await;
    }
    assert!(
        within_its_work > 0,
        "every import ended before it was killed"
    );
    let name = package.display().to_string();
    b.run(&["import", &name, "--trust"]).good();
    b.stop_all().await;
    assert!(revisions(&b, CENTRAL).await == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_package_go_on_where_the_import_was_killed() {
    const FILES: u64 = 24;
    const SIZE: usize = 1_500_000;
    let (mut a, mut b) = (Hierarchy::new(), Hierarchy::new());
    let source = a.folder().join("source");
    std::fs::create_dir_all(&source).unwrap();
    let files = publish(&source, FILES, SIZE);
    a.upstream(["--dir".to_owned(), source.display().to_string()])
        .await;
    a.central().await;
    a.run(&["settings", "set", "content.download=immediate"])
        .good();
    a.synchronize().await;
    complete(&a, CENTRAL, &files, MOST).await;
    let package = a.folder().join("a.hwpkg");
    let report = until("all files are noted", MOST, || async {
        let usage = a.run(&["content", "usage", "--json"]).json();
        let all = usage["present"]["files"] == FILES;
        all.then_some(()).ok_or_else(|| usage.to_string())
    });
    report.await;
    let report = export(&a, &package, &["--content", "--settings"]);
    assert_eq!(report["files"], FILES, "{report}");
    a.stop_all().await;
    let expected = revisions(&a, CENTRAL).await;

    b.central().await;
    let all = FILES * SIZE as u64;
    let mut amid_files = 0;
    for point in [
        Point::Uploaded(50),
        Point::Files(all / 4),
        Point::Files(all / 2),
        Point::Files(all / 4 * 3),
    ] {
        let in_time = kill_at(&mut b, &package, point).await;
        amid_files += u32::from(in_time && matches!(point, Point::Files(_)));
        let shown = revisions(&b, CENTRAL).await;
        assert!(shown.is_empty() || shown == expected, "{point:?}");
        b.start(CENTRAL).await;
    }
    assert!(amid_files > 0, "every import ended before it was killed");
    let name = package.display().to_string();
    let report = b
        .run(&["import", &name, "--trust", "--settings", "--json"])
        .json();
    let (taken, held) = (&report["files_taken"], &report["files_held"]);
    assert_eq!(
        taken.as_u64().unwrap() + held.as_u64().unwrap(),
        FILES,
        "{report}"
    );
    assert_eq!(report["files_refused"], 0, "{report}");
    complete(&b, CENTRAL, &files, MOST).await;
    b.stop_all().await;
}
