//! Update files: which of them arrive at which site, and what becomes of them.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};

/// The bundle that is approved, an update that nobody approves, and the members of the bundle.
pub const BUNDLE: &str = "b0000000-0000-4000-8000-000000000001";
const OTHER: &str = "b0000000-0000-4000-8000-000000000002";
const NEUTRAL: &str = "b0000000-0000-4000-8000-000000000003";
const GERMAN: &str = "b0000000-0000-4000-8000-000000000004";
const FRENCH: &str = "b0000000-0000-4000-8000-000000000005";

/// Bytes of a content file that say which it is.
fn bytes_of(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(200_000 + name.len()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02X}").unwrap();
        text
    })
}

/// Where a file lies in a content store.
fn path_of(name: &str) -> PathBuf {
    let sha1 = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &bytes_of(name)).as_ref());
    let extension = name.rsplit('.').next().unwrap();
    Path::new(&sha1[38..]).join(format!("{sha1}.{extension}"))
}

/// What a document says of a file.
fn attributes(name: &str) -> String {
    let bytes = bytes_of(name);
    let sha1 = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &bytes));
    let size = bytes.len();
    format!(
        r#"Digest="{sha1}" DigestAlgorithm="SHA1" FileName="{name}" Size="{size}" Modified="2026-01-01T00:00:00Z""#
    )
}

fn sha256(name: &str) -> String {
    let sha256 = STANDARD.encode(digest(&SHA256, &bytes_of(name)));
    format!(r#"<AdditionalDigest Algorithm="SHA256">{sha256}</AdditionalDigest>"#)
}

/// What an update is made of.
#[derive(Default)]
struct Document {
    explicitly_deployable: bool,
    language: &'static str,
    /// Names, and whether they are express files.
    files: Vec<(&'static str, bool)>,
    /// Names and languages.
    terms: Vec<(&'static str, &'static str)>,
    bundled: Vec<&'static str>,
}

impl Document {
    fn text(&self, id: &str) -> String {
        let language = match self.language {
            "" => String::new(),
            tag => format!("<Language>{tag}</Language>"),
        };
        let terms = self.terms.iter().map(|(name, tag)| {
            format!(
                r#"<EulaFile {} Language="{tag}">{}</EulaFile>"#,
                attributes(name),
                sha256(name)
            )
        });
        let terms: String = terms.collect();
        let files = self.files.iter().map(|(name, express)| {
            let kind = if *express { "Express" } else { "SelfContained" };
            format!(
                r#"<File {} PatchingType="{kind}">{}</File>"#,
                attributes(name),
                sha256(name)
            )
        });
        let files: String = files.collect();
        let bundled = self.bundled.iter();
        let bundled =
            bundled.map(|id| format!(r#"<UpdateIdentity UpdateID="{id}" RevisionNumber="1"/>"#));
        let bundled: String = bundled.collect();
        let bundled = match bundled.is_empty() {
            true => bundled,
            false => {
                format!("<Relationships><BundledUpdates>{bundled}</BundledUpdates></Relationships>")
            }
        };
        let files = match files.is_empty() {
            true => files,
            false => format!("<Files>{files}</Files>"),
        };
        format!(
            r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update"><UpdateIdentity UpdateID="{id}" RevisionNumber="1"/><Properties UpdateType="Software" CreationDate="2026-01-01T00:00:00Z" DefaultPropertiesLanguage="en" ExplicitlyDeployable="{}">{language}</Properties><LocalizedPropertiesCollection><LocalizedProperties><Language>en</Language><Title>Update {id}</Title></LocalizedProperties>{terms}</LocalizedPropertiesCollection>{bundled}{files}</Update>"#,
            self.explicitly_deployable
        )
    }
}

/// Puts documents into a folder for the stand-in, and their files. Where those lie.
pub fn publish(folder: &Path) -> PathBuf {
    let documents = [
        (
            BUNDLE,
            Document {
                explicitly_deployable: true,
                terms: vec![
                    ("terms-en.txt", "en"),
                    ("terms-de.txt", "de"),
                    ("terms-fr.txt", "fr"),
                ],
                bundled: vec![NEUTRAL, GERMAN, FRENCH],
                ..Document::default()
            },
        ),
        (
            OTHER,
            Document {
                explicitly_deployable: true,
                files: vec![("other.cab", false)],
                ..Document::default()
            },
        ),
        (
            NEUTRAL,
            Document {
                files: vec![("neutral.cab", false), ("neutral.psf", true)],
                ..Document::default()
            },
        ),
        (
            GERMAN,
            Document {
                language: "de",
                files: vec![("german.cab", false)],
                ..Document::default()
            },
        ),
        (
            FRENCH,
            Document {
                language: "fr",
                files: vec![("french.cab", false)],
                ..Document::default()
            },
        ),
    ];
    let content = folder.join("Content");
    for (id, document) in documents {
        std::fs::write(folder.join(format!("{id}.xml")), document.text(id)).unwrap();
        let terms = document.terms.iter().map(|(name, _)| *name);
        let files = document.files.iter().map(|(name, _)| *name).chain(terms);
        for name in files {
            let path = content.join(path_of(name));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes_of(name)).unwrap();
        }
    }
    content
}

/// The files that lie in the content store of a site and are what they should be, by name.
fn held(hierarchy: &Hierarchy, site: &str) -> BTreeSet<&'static str> {
    const ALL: [&str; 8] = [
        "terms-en.txt",
        "terms-de.txt",
        "terms-fr.txt",
        "other.cab",
        "neutral.cab",
        "neutral.psf",
        "german.cab",
        "french.cab",
    ];
    let store = hierarchy.data_dir(site).join("WsusContent");
    let is_held = |name: &&str| {
        std::fs::read(store.join(path_of(name))).is_ok_and(|found| found == bytes_of(name))
    };
    ALL.into_iter().filter(|name| is_held(name)).collect()
}

pub async fn holds(hierarchy: &Hierarchy, site: &str, expected: &[&str]) {
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    until(&format!("{site} holds {expected:?}"), LONG, || {
        let held = held(hierarchy, site);
        let there = held == expected;
        std::future::ready(there.then_some(()).ok_or(format!("{held:?}")))
    })
    .await;
}

/// Waits until a site says that nothing is to come.
pub async fn settled(hierarchy: &Hierarchy, site: &str, files: u64) {
    until(&format!("{site} has its {files} files"), LONG, || async {
        let usage = hierarchy
            .run_at(site, &["content", "usage", "--json"])
            .json();
        let (present, wanted) = (&usage["present"]["files"], &usage["wanted"]["files"]);
        match *present == files && *wanted == 0 {
            true => Ok(()),
            false => Err(usage.to_string()),
        }
    })
    .await;
}

/// A stand-in with content files, and three tiers below it, each with a port. Where the stand-in's files lie.
async fn three_tiers(settings: &[&str]) -> (Hierarchy, PathBuf) {
    let mut hierarchy = Hierarchy::new();
    let source = hierarchy.folder().join("source");
    std::fs::create_dir_all(&source).unwrap();
    let content = publish(&source);
    hierarchy
        .upstream(["--dir".to_owned(), source.display().to_string()])
        .await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy
        .join_with("SE1", "secondary", "PR1", |launch| {
            launch.with("--listen").with("127.0.0.1:0")
        })
        .await;
    let mut set = vec!["settings", "set", "content.licence-terms=true"];
    set.extend(settings);
    hierarchy.run(&set).good();
    (hierarchy, content)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_an_approved_update_arrive_in_the_languages_of_each_site() {
    let (hierarchy, _) = three_tiers(&[
        "content.download=deferred",
        "cleanup.content-days=0",
        "languages.update-files=de,fr",
        "site.PR1.update-files=de",
    ])
    .await;
    hierarchy.synchronize().await;
    // Licence terms come with the updates, and nothing else does.
    holds(
        &hierarchy,
        CENTRAL,
        &["terms-en.txt", "terms-de.txt", "terms-fr.txt"],
    )
    .await;
    for site in ["PR1", "SE1"] {
        holds(&hierarchy, site, &["terms-en.txt", "terms-de.txt"]).await;
    }
    let pending = hierarchy.messages(CENTRAL).await.unwrap();
    let is_pending = |entry: &wire::v1::StatusEntry| {
        entry
            .message
            .as_ref()
            .is_some_and(|message| message.status_id == 6708)
    };
    assert!(!pending.iter().any(is_pending), "all licence terms came");

    hierarchy
        .run(&["update", "approve", BUNDLE, "--accept-licence"])
        .good();
    let german = ["terms-en.txt", "terms-de.txt", "neutral.cab", "german.cab"];
    let all = [&german[..], &["terms-fr.txt", "french.cab"]].concat();
    holds(&hierarchy, CENTRAL, &all).await;
    holds(&hierarchy, "PR1", &german).await;
    holds(&hierarchy, "SE1", &german).await;
    for (site, files) in [(CENTRAL, 6), ("PR1", 4), ("SE1", 4)] {
        settled(&hierarchy, site, files).await;
    }
    // Each says why.
    let listed = hierarchy.run_at("SE1", &["content", "list", "--json"]);
    let listed: Vec<serde_json::Value> = listed
        .good()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let because = |name: &str| {
        let found = listed.iter().find(|file| file["name"] == name).unwrap();
        found["because"].as_str().unwrap().to_owned()
    };
    assert_eq!(because("german.cab"), "approved for install");
    assert_eq!(because("terms-de.txt"), "licence terms");
    assert_eq!(listed.len(), 4);

    // What is damaged is found, put aside and fetched again.
    let damaged = hierarchy
        .data_dir("PR1")
        .join("WsusContent")
        .join(path_of("german.cab"));
    std::fs::write(&damaged, "not this").unwrap();
    let verified = hierarchy.run_at("PR1", &["content", "verify"]);
    assert!(!verified.status.success(), "{verified:?}");
    assert!(
        verified.output.contains("1 damaged, 0 missing"),
        "{verified:?}"
    );
    holds(&hierarchy, "PR1", &german).await;

    // Nobody needs them any more: they go, at each site by itself, and the others stay.
    hierarchy.run(&["update", "decline", BUNDLE]).good();
    for (site, number) in [(CENTRAL, 6), ("PR1", 4), ("SE1", 4)] {
        until(&format!("{site} needs nothing"), LONG, || async {
            let tried = hierarchy
                .run_at(site, &["content", "clean", "--dry-run", "--json"])
                .json();
            match tried["removed"]["files"] == number {
                true => Ok(()),
                false => Err(tried.to_string()),
            }
        })
        .await;
    }
    let report = hierarchy.run(&["cleanup", "--json"]).json();
    let tasks = report["tasks"].as_array().unwrap();
    let task = tasks
        .iter()
        .find(|task| task["name"] == "unneeded-content")
        .unwrap();
    assert_eq!(
        (&task["enabled"], &task["done"]),
        (&true.into(), &6.into()),
        "{report}"
    );
    for site in ["PR1", "SE1"] {
        hierarchy.run_at(site, &["content", "clean"]).good();
    }
    for site in [CENTRAL, "PR1", "SE1"] {
        holds(&hierarchy, site, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_at_once_or_never_where_that_is_chosen() {
    let (hierarchy, _) = three_tiers(&[
        "content.download=immediate",
        "content.express=true",
        "content.licence-terms=false",
        "languages.update-files=de",
        "site.SE1.content.download=never",
        "site.PR1.content.express=false",
    ])
    .await;
    hierarchy.synchronize().await;
    let full = ["other.cab", "neutral.cab", "german.cab"];
    let express = [&full[..], &["neutral.psf"]].concat();
    holds(&hierarchy, CENTRAL, &express).await;
    holds(&hierarchy, "PR1", &full).await;
    settled(&hierarchy, "SE1", 0).await;
    let usage = hierarchy.run_at("SE1", &["content", "usage"]);
    let usage = usage.good();
    assert!(usage.contains("never, full files only"), "{usage}");
    // A new choice is looked at by itself.
    hierarchy
        .run(&["settings", "set", "site.SE1.content.download=immediate"])
        .good();
    holds(&hierarchy, "SE1", &full).await;
}

/// Waits until a site's report is as it should be.
async fn reports(
    hierarchy: &Hierarchy,
    site: &str,
    what: &str,
    is: impl Fn(&wire::v1::SiteReport) -> bool,
) {
    until(what, LONG, || async {
        let report = hierarchy.site(site).await?;
        is(&report)
            .then_some(())
            .ok_or_else(|| format!("{report:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_site_follows_a_window_and_a_rate_as_they_are_set() {
    // 50,000 bytes a second.
    const RATE: &str = "site.PR1.content.maximum-transfer-rate=400";
    let (hierarchy, _) = three_tiers(&[
        "content.download=never",
        "content.licence-terms=false",
        "languages.update-files=de",
        "schedule.time-zone=UTC",
    ])
    .await;
    hierarchy.synchronize().await;
    // It opens in more than an hour.
    let now = daemon::Clock::now(&daemon::SystemClock).to_zoned(jiff::tz::TimeZone::UTC);
    let from = format!(
        "site.PR1.content.window-from={:02}:00",
        (now.hour() + 2) % 24
    );
    let closed = format!("site.PR1.content.window-to={:02}:00", (now.hour() + 3) % 24);
    hierarchy
        .run(&["settings", "set", &from, &closed, RATE])
        .good();
    hierarchy
        .run(&["settings", "set", "content.download=immediate"])
        .good();
    let full = ["other.cab", "neutral.cab", "german.cab"];
    holds(&hierarchy, CENTRAL, &full).await;
    reports(&hierarchy, "PR1", "PR1 waits for its window", |report| {
        let waits = "outside the time for it; the next begins at ";
        report.content_files_to_go == 3 && report.content_waits.starts_with(waits)
    })
    .await;
    assert_eq!(held(&hierarchy, "PR1"), BTreeSet::new());
    // Open around the clock, its files come no faster than they may.
    let open = from.replace("window-from", "window-to");
    hierarchy.run(&["settings", "set", &open]).good();
    reports(&hierarchy, "PR1", "PR1 is on its way, slowly", |report| {
        let slowly = (1..=100_000).contains(&report.content_bytes_per_second);
        slowly && report.content_done_at.is_some() && report.content_waits.is_empty()
    })
    .await;
    let unbounded = RATE.replace("=400", "=0");
    hierarchy.run(&["settings", "set", &unbounded]).good();
    for site in ["PR1", "SE1"] {
        holds(&hierarchy, site, &full).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn licence_terms_that_do_not_come_end_a_run_with_a_warning() {
    let (hierarchy, content) = three_tiers(&["languages.update-files=de"]).await;
    let missing = content.join(path_of("terms-de.txt"));
    std::fs::remove_file(&missing).unwrap();
    hierarchy.synchronize().await;
    let told = hierarchy.message(CENTRAL, 6708, &["1 updates"]).await;
    assert!(told.contains("could not be fetched yet"), "{told}");
    holds(&hierarchy, CENTRAL, &["terms-en.txt"]).await;
    // The next run brings them.
    std::fs::write(&missing, bytes_of("terms-de.txt")).unwrap();
    hierarchy.synchronize().await;
    for site in [CENTRAL, "PR1", "SE1"] {
        holds(&hierarchy, site, &["terms-en.txt", "terms-de.txt"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_copied_to_a_site_are_taken_in() {
    let (hierarchy, content) =
        three_tiers(&["content.download=never", "content.licence-terms=false"]).await;
    hierarchy.synchronize().await;
    let seeds = hierarchy.folder().join("seeds");
    std::fs::create_dir_all(seeds.join("below")).unwrap();
    std::fs::write(seeds.join("a name of its own"), bytes_of("other.cab")).unwrap();
    std::fs::write(seeds.join("below/x.bin"), bytes_of("neutral.cab")).unwrap();
    std::fs::write(seeds.join("holiday.jpg"), "a picture").unwrap();
    let directory = seeds.display().to_string();
    until("the catalog of PR1 names them", LONG, || async {
        let tried = hierarchy
            .run_at(
                "PR1",
                &["content", "import", &directory, "--dry-run", "--json"],
            )
            .json();
        match tried["taken"]["files"] == 2 {
            true => Ok(()),
            false => Err(tried.to_string()),
        }
    })
    .await;
    assert_eq!(held(&hierarchy, "PR1"), BTreeSet::new());
    let taken = hierarchy
        .run_at("PR1", &["content", "import", &directory, "--json"])
        .json();
    assert_eq!(taken["taken"]["files"], 2, "{taken}");
    assert_eq!(taken["unknown"], 1, "{taken}");
    holds(&hierarchy, "PR1", &["other.cab", "neutral.cab"]).await;
    let again = hierarchy
        .run_at("PR1", &["content", "import", &directory, "--json"])
        .json();
    assert_eq!(again["held"], 2, "{again}");
    // A whole content store of WSUS is such a directory.
    let store = content.display().to_string();
    let taken = hierarchy
        .run(&["content", "import", &store, "--json"])
        .json();
    assert_eq!(taken["taken"]["files"], 8, "{taken}");
    hierarchy
        .run(&["content", "import", "/nowhere/at/all"])
        .refused("is not a directory");
}
