//! The settings of a hierarchy, as an administrator meets them: changed, refused, looked up, gone back to.

use testkit::Hierarchy;
use testkit::hierarchy::CENTRAL;

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
    assert_eq!(before["version"], 0);

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
        made.contains("Version 1 of the settings is in force"),
        "{made}"
    );
    settings(&["set", "source.parallel-requests=2", "--expect", "7"])
        .refused("version 1 is in force, and not version 7");
    settings(&["set", "source.parallel-requests=2"]).good();
    let shown = settings(&["show", "source.parallel-requests", "--json"]).json();
    assert_eq!(shown["settings"], 2);

    // A document that was taken out can be put in again, and an earlier version comes back.
    let document = settings(&["show", "--version", "1", "--toml"]).good();
    let file = hierarchy.folder().join("settings.toml");
    std::fs::write(&file, document).unwrap();
    settings(&["import", file.to_str().unwrap()]).good();
    let nothing = settings(&["rollback", "1"]).good();
    assert!(nothing.contains("Nothing changes"), "{nothing}");
    settings(&["rollback", "2"]).good();
    settings(&["rollback", "9"]).refused("there is no version 9");
    let versions = settings(&["history", "--json"]).json();
    let numbers: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["version"].as_u64())
        .collect();
    assert_eq!(numbers, [Some(4), Some(3), Some(2), Some(1)]);
    assert_eq!(versions["versions"][0]["changes"][0]["new"], 2);
    let told = hierarchy.message(CENTRAL, 9023, &["version 4"]).await;
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
    hierarchy.upstream(crate::documents::generate(10)).await;
    hierarchy.central().await;
    hierarchy
        .run(&["settings", "set", "source.action=microsoft-update"])
        .refused("decided by upstream on its command line");
    let shown = hierarchy.run(&["settings", "show", "source"]).good();
    assert!(shown.contains("decided by the process"), "{shown}");
}
