//! Settings travel the hierarchy; every site below the top-level one is a replica, and says where to change them.

use crate::documents::generate;
use serde_json::Value;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};

const UPDATES: u32 = 60;

/// Central site, a primary and a secondary one, all of which listen. The servers speak German, French and
/// a language that WSUS does not have.
async fn three_tiers() -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    hierarchy
        .central_with(|launch| {
            launch
                .with("--locale")
                .with("de-DE")
                .with("--names")
                .with("cas.example.org")
        })
        .await;
    hierarchy
        .join_with("PR1", "primary", CENTRAL, |launch| {
            launch.variable("HEADWATER_LOCALE", "fr_FR.UTF-8")
        })
        .await;
    hierarchy
        .join_with("SE1", "secondary", "PR1", |launch| {
            let launch = launch.with("--listen").with("127.0.0.1:0");
            launch.variable("LC_ALL", "ca_ES.UTF-8")
        })
        .await;
    hierarchy
}

fn shown(hierarchy: &Hierarchy, site: &str) -> Value {
    hierarchy
        .run_at(site, &["settings", "show", "--json"])
        .json()
}

/// Waits until a site has a version of the settings, as the site itself says.
async fn reaches(hierarchy: &Hierarchy, site: &str, version: u64) -> Value {
    until(
        &format!("version {version} of the settings is at {site}"),
        LONG,
        || async {
            let shown = shown(hierarchy, site);
            match shown["version"].as_u64() {
                Some(held) if held == version => Ok(shown),
                held => Err(format!("{held:?}")),
            }
        },
    )
    .await
}

/// The languages of update files in effect at a site, as a site says, and where they come from.
fn languages(hierarchy: &Hierarchy, asked: &str, site: &str) -> String {
    let arguments = [
        "settings",
        "show",
        "languages.update-files",
        "--site",
        site,
        "--json",
    ];
    let shown = hierarchy.run_at(asked, &arguments).json();
    let setting = &shown["settings"][0];
    format!(
        "{} ({})",
        setting["value"],
        setting["origin"].as_str().unwrap()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_reach_every_site_and_are_changed_at_the_top_alone() {
    let hierarchy = three_tiers().await;
    hierarchy.synchronize().await;
    let set = |assignments: &[&str]| {
        let arguments = [&["settings", "set"][..], assignments].concat();
        hierarchy.run(&arguments)
    };
    set(&[
        "schedule.time-zone=Europe/Berlin",
        "proxy.host=proxy.example",
        "languages.summary-details=server-locale",
    ])
    .good();
    for site in ["PR1", "SE1"] {
        let shown = reaches(&hierarchy, site, 2).await;
        assert_eq!(
            shown["settings"]["schedule"]["time-zone"], "Europe/Berlin",
            "{site}"
        );
        // What is the top-level site's alone stays there.
        for section in ["source", "proxy"] {
            assert_eq!(shown["settings"].get(section), None, "{site}");
        }
        let text = hierarchy.run_at(site, &["settings", "show"]).good();
        let role = format!(
            "{site} is a replica: settings, approvals and synchronization are decided at the top-level site \
             CAS (https://cas.example.org:"
        );
        assert!(text.contains(&role) && !text.contains("proxy"), "{text}");
    }
    let text = hierarchy.run(&["settings", "show"]).good();
    assert!(text.contains("CAS is the top-level site"), "{text}");
    // No synchronization was needed for it, and none of the catalog was fetched again.
    assert!(hierarchy.log(CENTRAL).matches("Starting Sync").count() == 1);
    until("SE1 has what the central site has", LONG, || async {
        let held = async |site: &str| {
            let site = hierarchy.site(site).await?;
            Ok::<_, String>((site.verified_position, site.root, site.settings_version))
        };
        let (here, there) = (held("SE1").await?, held(CENTRAL).await?);
        (here == there && here.2 == 2)
            .then_some(())
            .ok_or(format!("{here:?}, {there:?}"))
    })
    .await;

    // Every change is refused at a replica, with the place at which to make it.
    for site in ["PR1", "SE1"] {
        for arguments in [
            &["settings", "set", "schedule.time-zone=UTC"][..],
            &["settings", "set", "languages.update-files=de", "--dry-run"],
            &["settings", "rollback", "1"],
            &["settings", "history"],
            &["settings", "products"],
            &["update", "approve", "0fa1201d-4330-4fa8-8ae9-b877473b6441"],
            &[
                "update",
                "decline",
                "0fa1201d-4330-4fa8-8ae9-b877473b6441",
                "--yes",
            ],
            &["sync", "start"],
            &["sync", "start", "--full"],
            &["sync", "cancel"],
            &[
                "site",
                "token",
                "SE2",
                "--kind",
                "secondary",
                "--parent",
                "PR1",
            ],
            &["site", "remove", "SE1", "--yes"],
            &["site", "verify", "SE1"],
        ] {
            let refused = hierarchy.run_at(site, arguments).refused("is a replica");
            let sentence = format!(
                "{site} is a replica: settings, approvals and synchronization are decided at the top-level \
                 site CAS (https://cas.example.org:"
            );
            assert!(refused.contains(&sentence), "{arguments:?}: {refused}");
            assert!(
                refused.contains("; run this there"),
                "{arguments:?}: {refused}"
            );
        }
    }
    assert_eq!(shown(&hierarchy, CENTRAL)["version"], 2);

    // Everything that only reads is answered, for the site and what is below it.
    let sites = hierarchy.run_at("PR1", &["status", "--json"]).json();
    let codes: Vec<_> = sites["sites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["site_code"])
        .collect();
    assert_eq!(codes, ["PR1", "SE1"]);
    assert_eq!(sites["sites"][0]["locale"], "fr");
    let list = ["update", "list", "--limit", "1000", "--json"];
    let listed = hierarchy.run_at("SE1", &list).json();
    let count = listed["updates"].as_array().unwrap().len();
    assert!(count > 0, "{listed}");
    assert_eq!(hierarchy.run(&list).json(), listed);
    // Titles are in German, where there are any, because the top-level site's server is.
    let updates = listed["updates"].as_array().unwrap();
    let german = updates.iter().find_map(|update| {
        let id = update["update_id"].as_str().unwrap();
        let details = hierarchy
            .run_at("SE1", &["update", "show", id, "--json"])
            .json();
        let texts = details["texts"].as_array().unwrap().clone();
        assert!(
            texts
                .iter()
                .all(|text| text["language"] == "de" || text["language"] == "en")
        );
        let german = texts.into_iter().find(|text| text["language"] == "de")?;
        assert_eq!(details["title"], german["title"]);
        assert_eq!(update["title"], german["title"]);
        Some(german["title"].clone())
    });
    assert!(german.is_some(), "{listed}");
    hierarchy
        .run_at("PR1", &["log", "--site", "SE1", "--last", "5"])
        .good();
    hierarchy.run_at("SE1", &["message", "list"]).good();
    hierarchy.run_at("PR1", &["status", "--check"]).good();
    hierarchy
        .run_at("SE1", &["log", "--site", "PR1"])
        .refused("PR1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_has_a_part_of_its_parents_languages_and_says_where_they_come_from() {
    let mut hierarchy = three_tiers().await;
    let set = |hierarchy: &Hierarchy, assignments: &[&str]| {
        let arguments = [&["settings", "set"][..], assignments].concat();
        hierarchy.run(&arguments)
    };
    // Locales come with the reports of the sites.
    until("the sites told their locales", LONG, || async {
        let sites = hierarchy.run(&["status", "--json"]).json();
        let sites = sites["sites"].as_array().unwrap().clone();
        let locales: Vec<_> = sites.iter().map(|site| site["locale"].clone()).collect();
        (locales == ["de", "fr", ""])
            .then_some(())
            .ok_or(format!("{locales:?}"))
    })
    .await;
    let refused = |assignments: &[&str], part: &str| {
        let said = set(&hierarchy, assignments).refused("changing the settings failed");
        // Lines are folded at a terminal only.
        assert!(said.contains(part), "{said}");
    };
    refused(
        &[
            "languages.update-files=de,fr",
            "site.PR1.update-files=fr,it",
        ],
        "the setting site.PR1.update-files: it is not among the languages of its parent CAS (de, en, fr): \
         choose a part of those, or give CAS more first",
    );
    refused(
        &["site.PR7.update-files=fr"],
        "the setting site.PR7.update-files: there is no site PR7 in the hierarchy",
    );
    refused(
        &["site.CAS.update-files=fr"],
        "CAS is the top-level site, and what holds there is languages.update-files: set that",
    );
    refused(
        &["languages.update-files=dutch"],
        "\"dutch\" is not a language of WSUS: use ar, bg",
    );
    let made = set(
        &hierarchy,
        &[
            "languages.update-files=de,fr,it",
            "site.PR1.update-files=server-locale",
        ],
    );
    let made = made.good();
    assert!(
        made.contains("languages that its parent does not have"),
        "{made}"
    );
    refused(&["site.SE1.update-files=de"], "its parent PR1 (en, fr)");
    reaches(&hierarchy, "SE1", 2).await;
    for asked in [CENTRAL, "PR1", "SE1"] {
        assert_eq!(
            languages(&hierarchy, asked, "SE1"),
            r#"["en","fr"] (parent)"#,
            "{asked}"
        );
    }
    assert_eq!(languages(&hierarchy, "PR1", "PR1"), r#"["en","fr"] (site)"#);
    let everywhere = r#"["de","fr","it"] (hierarchy)"#;
    assert_eq!(languages(&hierarchy, CENTRAL, CENTRAL), everywhere);
    hierarchy
        .run_at("SE1", &["settings", "show", "--site", "PR1"])
        .refused("there is no site PR1 at or below SE1");
    let because = hierarchy
        .run_at("SE1", &["settings", "show", "--site", "SE1"])
        .good();
    assert!(because.contains("(what its parent PR1 has)"), "{because}");
    let summary = because
        .lines()
        .find(|line| line.starts_with("languages.summary-details"));
    assert!(
        summary.is_some_and(|line| line.ends_with("all  (the default)")),
        "{because}"
    );

    // A server that speaks another language now needs other files, as soon as it says so.
    hierarchy.stop("PR1").await;
    hierarchy
        .relaunch("PR1", |launch| launch.variable("HEADWATER_LOCALE", "it-IT"))
        .await;
    until("Italian is in effect below PR1", LONG, || async {
        let held = languages(&hierarchy, "SE1", "SE1");
        (held == r#"["en","it"] (parent)"#)
            .then_some(())
            .ok_or(held)
    })
    .await;
    // And after a restart a site goes on with what it had.
    hierarchy.stop("SE1").await;
    hierarchy.start("SE1").await;
    assert_eq!(shown(&hierarchy, "SE1")["version"], 2);
    assert_eq!(
        languages(&hierarchy, "SE1", "SE1"),
        r#"["en","it"] (parent)"#
    );
}
