//! Update files in packages: a hierarchy that no network connects to anything has them, and so have its sites.

use crate::air_gap::export;
use crate::content::{BUNDLE, holds, publish, settled};
use crate::content_crashes;
use testkit::Hierarchy;
use testkit::hierarchy::CENTRAL;

const TERMS: [&str; 3] = ["terms-en.txt", "terms-de.txt", "terms-fr.txt"];
const SETTINGS: [&str; 5] = [
    "settings",
    "set",
    "content.licence-terms=true",
    "content.download=deferred",
    "languages.update-files=de,fr",
];

#[tokio::test(flavor = "multi_thread")]
async fn files_cross_the_air_gap_and_go_down_to_the_sites() {
    let (mut a, mut b) = (Hierarchy::new(), Hierarchy::new());
    let source = a.folder().join("source");
    std::fs::create_dir_all(&source).unwrap();
    publish(&source);
    a.upstream(["--dir".to_owned(), source.display().to_string()])
        .await;
    a.central().await;
    a.run(&SETTINGS).good();
    a.synchronize().await;
    holds(&a, CENTRAL, &TERMS).await;
    settled(&a, CENTRAL, 3).await;
    let folder = a.folder().to_owned();
    let path = |name: &str| folder.join(name);
    let text = |name: &str| path(name).display().to_string();

    let terms = export(&a, &path("terms.hwpkg"), &["--licence-terms"]);
    assert_eq!(terms["files"], 3, "{terms}");
    // A look at what would be in one is no package, and none begins after it.
    let look = export(&a, &path("look.hwpkg"), &["--content", "--dry-run"]);
    assert_eq!(
        (&look["files"], &look["file_bytes"], &look["revisions"]),
        (&terms["files"], &terms["file_bytes"], &terms["revisions"]),
        "{look}"
    );
    assert!(!path("look.hwpkg").exists());
    // Whoever has the texts has no other file yet: the package after it begins with all.
    let one = export(&a, &path("one.hwpkg"), &["--since", "last", "--content"]);
    assert_eq!(
        (&one["files"], &one["files_absent"]),
        (&3.into(), &0.into()),
        "{one}"
    );
    let none = export(&a, &path("none.hwpkg"), &["--since", "last", "--content"]);
    assert_eq!(none["files"], 0, "{none}");
    a.run(&["update", "approve", BUNDLE, "--accept-licence"])
        .good();
    let more = ["neutral.cab", "german.cab", "french.cab"];
    let all = [&TERMS[..], &more].concat();
    holds(&a, CENTRAL, &all).await;
    settled(&a, CENTRAL, 6).await;
    let since = ["--since", "last", "--approvals", "--content"];
    let two = export(&a, &path("two.hwpkg"), &since);
    // Those of an update that was approved since, whatever of it was there before.
    assert_eq!(two["files"], 6, "{two}");
    a.run(&["export", &text("a.cab"), "--content"])
        .refused("update files needs a .hwpkg");
    a.stop_all().await;

    b.central().await;
    b.join("PR1", "primary", CENTRAL).await;
    b.run(&SETTINGS).good();
    let key = terms["key"].as_str().unwrap();
    let first = text("terms.hwpkg");
    let dry = b
        .run(&["import", &first, "--key", key, "--dry-run", "--json"])
        .json();
    assert_eq!(
        (&dry["files"], &dry["files_taken"]),
        (&3.into(), &0.into()),
        "{dry}"
    );
    holds(&b, CENTRAL, &[]).await;
    // Texts that it brings and that are left are missing; this ends as 6708 and is no failure.
    let without = [
        "import",
        &first,
        "--key",
        key,
        "--without-content",
        "--json",
    ];
    let left = b.run(&without).json();
    assert!(
        left["remarks"].to_string().contains("of 1 updates"),
        "{left}"
    );
    b.message(CENTRAL, 6708, &["1 updates"]).await;
    let report = b.run(&["import", &first, "--key", key, "--json"]).json();
    assert_eq!(report["files_taken"], 3, "{report}");
    assert!(
        !report["remarks"].to_string().contains("license"),
        "{report}"
    );
    holds(&b, CENTRAL, &TERMS).await;
    holds(&b, "PR1", &TERMS).await;
    for name in ["one.hwpkg", "none.hwpkg"] {
        b.run(&["import", &text(name)]).good();
    }
    let second = text("two.hwpkg");
    let left = b.run(&[
        "import",
        &second,
        "--approvals",
        "--without-content",
        "--json",
    ]);
    let left = left.json();
    assert_eq!(left["files_taken"], 0, "{left}");
    holds(&b, CENTRAL, &TERMS).await;
    // What was left is taken in when the same package is imported again.
    let report = b.run(&["import", &second, "--approvals", "--json"]).json();
    assert_eq!(
        (&report["files_taken"], &report["files_held"]),
        (&3.into(), &3.into()),
        "{report}"
    );
    for site in [CENTRAL, "PR1"] {
        holds(&b, site, &all).await;
        settled(&b, site, 6).await;
    }
    b.message(CENTRAL, 9093, &["two.hwpkg", "3 update files"])
        .await;
    b.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_with_an_altered_file_is_refused_by_name() {
    let (mut a, mut b) = (Hierarchy::new(), Hierarchy::new());
    let source = a.folder().join("source");
    std::fs::create_dir_all(&source).unwrap();
    let files = content_crashes::publish(&source, 3, 2_500_000);
    a.upstream(["--dir".to_owned(), source.display().to_string()])
        .await;
    a.central().await;
    a.run(&["settings", "set", "content.download=immediate"])
        .good();
    a.synchronize().await;
    settled(&a, CENTRAL, 3).await;
    let path = a.folder().join("a.hwpkg");
    let report = export(&a, &path, &["--content", "--settings"]);
    assert_eq!(report["file_bytes"], 7_500_000, "{report}");
    a.stop_all().await;

    b.central().await;
    let before = b.site(CENTRAL).await.unwrap();
    let good = std::fs::read(&path).unwrap();
    let altered = path.with_file_name("altered.hwpkg");
    let mut bytes = good.clone();
    bytes[good.len() / 4] ^= 1;
    std::fs::write(&altered, &bytes).unwrap();
    let name = altered.display().to_string();
    let refused = b.run(&["import", &name, "--trust"]);
    refused.refused("which begins with bytes of the file");
    let after = b.site(CENTRAL).await.unwrap();
    assert_eq!(
        (before.verified_position, before.root),
        (after.verified_position, after.root)
    );
    let name = path.display().to_string();
    b.run(&["import", &name, "--trust", "--settings"]).good();
    content_crashes::complete(&b, CENTRAL, &files, testkit::patience::LONG).await;
    // Nothing that is here is lost to a package that is refused.
    let name = altered.display().to_string();
    b.run(&["import", &name]).refused("altered");
    content_crashes::complete(&b, CENTRAL, &files, testkit::patience::LONG).await;
    b.stop_all().await;
}
