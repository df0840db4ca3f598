//! The settings of a hierarchy, as an administrator meets them: changed, refused, looked up, gone back to.

use crate::documents::generate;
use ctl::connection::question;
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::patience::LONG;
use testkit::tinyproxy::{Rules, Tinyproxy};
use testkit::{Hierarchy, until};
use wire::v1::SetSecretRequest;

/// Changes settings of a hierarchy.
struct Settings<'a>(&'a Hierarchy);

impl Settings<'_> {
    fn set(&self, assignments: &[&str]) {
        let arguments = ["settings", "set"].iter().chain(assignments);
        let arguments: Vec<&str> = arguments.copied().collect();
        self.0.run(&arguments).good();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_changed_whole_and_every_version_is_kept() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.central().await;
    let settings = |arguments: &[&str]| {
        let arguments: Vec<&str> = ["settings"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        hierarchy.run(&arguments)
    };
    let before = settings(&["show", "--json"]).json();
    // The first one came with the hierarchy.
    assert_eq!(before["version"], 1);

    // All of a change happens, or nothing of it.
    settings(&["set", "source.parallel-requests=1", "proxy.port=0"]).refused("use 1 to 65535");
    let tried = settings(&["set", "source.parallel-requests=1", "--dry-run"]).good();
    assert!(
        tried.contains("4 → 1") && tried.contains("Nothing was changed"),
        "{tried}"
    );
    assert_eq!(settings(&["show", "--json"]).json(), before);

    let made = settings(&[
        "set",
        "source.parallel-requests=1",
        "proxy.host=proxy.example",
    ])
    .good();
    assert!(
        made.contains("Version 2 of the settings is in force"),
        "{made}"
    );
    settings(&["set", "source.parallel-requests=2", "--expect", "7"])
        .refused("version 2 is in force, and not version 7");
    settings(&["set", "source.parallel-requests=2"]).good();
    let shown = settings(&["show", "source.parallel-requests", "--json"]).json();
    assert_eq!(shown["settings"], 2);

    // A document that was taken out can be put in again, and an earlier version comes back.
    let document = settings(&["show", "--version", "2", "--toml"]).good();
    let file = hierarchy.folder().join("settings.toml");
    std::fs::write(&file, document).unwrap();
    settings(&["import", file.to_str().unwrap()]).good();
    let nothing = settings(&["rollback", "2"]).good();
    assert!(nothing.contains("Nothing changes"), "{nothing}");
    settings(&["rollback", "3"]).good();
    settings(&["rollback", "9"]).refused("there is no version 9");
    let versions = settings(&["history", "--json"]).json();
    let numbers: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["version"].as_u64())
        .collect();
    assert_eq!(numbers, [Some(5), Some(4), Some(3), Some(2), Some(1)]);
    assert_eq!(versions["versions"][0]["changes"][0]["new"], 2);
    let told = hierarchy.message(CENTRAL, 9023, &["version 5"]).await;
    assert!(told.contains("source.parallel-requests: 1 → 2"), "{told}");

    // It is all there after a restart.
    let held = settings(&["show", "--json"]).json();
    hierarchy.stop(CENTRAL).await;
    hierarchy.start(CENTRAL).await;
    assert_eq!(hierarchy.run(&["settings", "show", "--json"]).json(), held);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_process_decides_is_not_changed_over_its_head() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(10)).await;
    hierarchy.central().await;
    hierarchy
        .run(&["settings", "set", "source.action=microsoft-update"])
        .refused("decided by upstream on its command line");
    let shown = hierarchy.run(&["settings", "show", "source"]).good();
    assert!(shown.contains("decided by the process"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_behind_a_proxy_is_set_while_the_site_runs() {
    let Some(proxy) = Tinyproxy::start(&Rules::user("anna", "hunter2")).await else {
        return;
    };
    let mut hierarchy = Hierarchy::new();
    hierarchy.central().await;
    hierarchy.upstream(generate(50)).await;
    let fails = |why: &str| {
        let run = hierarchy.run(&["sync", "start", "--wait"]);
        assert!(!run.status.success());
        assert!(run.output.contains(why), "{}", run.output);
    };
    fails("no synchronization source: set source.action");

    let url = format!("source.url={}", hierarchy.url(UPSTREAM));
    let address = proxy.address();
    let (host, port) = (
        format!("proxy.host={}", address.ip()),
        format!("proxy.port={}", address.port()),
    );
    Settings(&hierarchy).set(&["source.action=upstream-server", &url, &host, &port]);
    fails("asks for a user; set proxy.user and the password");
    Settings(&hierarchy).set(&["proxy.user=anna", "proxy.allow-basic-authentication=true"]);
    fails("headwater settings password");
    for (secret, refused) in [("hunter3", true), ("hunter2", false)] {
        let secret = SetSecretRequest {
            name: "proxy.password".to_owned(),
            secret: secret.to_owned(),
        };
        let client = hierarchy.client().await.unwrap();
        client
            .settings()
            .set_secret(question(secret))
            .await
            .unwrap();
        if refused {
            fails("refuses the user anna");
        } else {
            hierarchy.run(&["sync", "start", "--wait"]).good();
        }
    }
    // A password is for one proxy and one user.
    Settings(&hierarchy).set(&["proxy.domain=corp"]);
    fails("set for another proxy or user");
    Settings(&hierarchy).set(&["proxy.domain="]);
    hierarchy.run(&["sync", "start", "--wait"]).good();
    assert!(!proxy.requests().is_empty());
    assert!(hierarchy.site(CENTRAL).await.unwrap().verified_position > 50);
    // The alert was raised, not with each failure, and went when the site synchronized.
    until("the alert to be canceled", LONG, || async {
        let list = ["message", "list", "--limit", "1000", "--json"];
        let messages = hierarchy.run(&list).good();
        let told = |id: &str| messages.matches(&format!("\"status_id\":{id}")).count();
        let (raised, canceled) = (told("9055"), told("9056"));
        let done = raised > 0 && raised == canceled && told("6703") > raised;
        done.then_some(())
            .ok_or_else(|| format!("{raised} raised, {canceled} canceled"))
    })
    .await;
    // Nobody can read it, and nobody wrote it down.
    let shown = hierarchy.run(&["settings", "show", "proxy"]).good();
    assert!(shown.contains("set (sealed)"), "{shown}");
    // Another source takes nothing away in its first run, however little it has.
    let held = hierarchy.site(CENTRAL).await.unwrap().verified_position;
    let mut other = Hierarchy::new();
    other.upstream(generate(5)).await;
    let url = format!("source.url={}", other.url(UPSTREAM));
    Settings(&hierarchy).set(&[&url, "proxy.host=", "proxy.user="]);
    hierarchy.run(&["sync", "start", "--wait"]).good();
    let log = hierarchy.log(CENTRAL);
    assert!(log.contains("nothing is removed in this run"), "{log}");
    assert!(hierarchy.site(CENTRAL).await.unwrap().verified_position >= held);
    hierarchy.stop_all().await;
    let folder = hierarchy.data_dir(CENTRAL);
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            let told = bytes.windows(7).any(|part| part == b"hunter2");
            assert!(!told, "{}", entry.path().display());
        }
    }
    assert!(!hierarchy.log(CENTRAL).contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_synchronizes_before_and_after_a_restart() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(10)).await;
    hierarchy.central().await;
    let scheduled = |hierarchy: &Hierarchy| {
        let log = hierarchy.log(CENTRAL);
        log.matches("Wakeup for scheduled regular sync").count()
    };
    // Every second.
    Settings(&hierarchy).set(&[r#"schedule.when={"cron":"* * * * * *"}"#]);
    let next = hierarchy
        .run(&["settings", "schedule", "preview", "-n", "2"])
        .good();
    assert_eq!(next.lines().count(), 3, "{next}");
    until("two runs by the schedule", LONG, || async {
        let runs = scheduled(&hierarchy);
        (runs >= 2)
            .then_some(())
            .ok_or_else(|| format!("{runs} runs"))
    })
    .await;
    assert!(hierarchy.site(CENTRAL).await.unwrap().verified_position > 0);

    hierarchy.stop(CENTRAL).await;
    let before = scheduled(&hierarchy);
    hierarchy.start(CENTRAL).await;
    until("a run after the start", LONG, || async {
        let runs = scheduled(&hierarchy);
        (runs > before)
            .then_some(())
            .ok_or_else(|| format!("{runs} runs"))
    })
    .await;
    Settings(&hierarchy).set(&["schedule.when=off"]);
    let off = hierarchy.run(&["settings", "schedule", "preview"]).good();
    assert_eq!(off.lines().count(), 1, "{off}");
    // What is not saved yet can be looked at, and stays unsaved.
    let hourly = "schedule.when.cron=30 * * * *";
    let hourly = hierarchy
        .run(&["settings", "schedule", "preview", hourly])
        .good();
    assert_eq!(hourly.matches(":30:00").count(), 24, "{hourly}");
    let wrong = hierarchy.run(&[
        "settings",
        "schedule",
        "preview",
        "schedule.time-zone=Mars/Olympus",
    ]);
    wrong.refused("Mars/Olympus");
    // The process gave the source; a site below cannot tell that.
    let told = hierarchy.run(&["settings", "schedule", "preview", "--json"]);
    assert_eq!(told.json()["source"], "given");
    assert_eq!(
        hierarchy.run(&["settings", "schedule", "preview"]).good(),
        off
    );
}
