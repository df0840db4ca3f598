//! The pictures of `docs/screenshots`, made by `scripts/screenshots`.

use crate::browser::{Browser, PATIENCE, screenshots};
use crate::pages::{three_tiers, token};
use testkit::Hierarchy;
use testkit::hierarchy::CENTRAL;
use testkit::until;

/// How high a picture is at most: longer pages go on as they begin.
const MOST_HEIGHT: u64 = 2400;

/// Pages, by the names of their pictures.
const PAGES: [(&str, &str); 15] = [
    ("hierarchy", "/"),
    ("status", "/status"),
    ("site", "/sites/PR1"),
    ("alerts", "/alerts"),
    ("synchronizations", "/runs"),
    ("updates", "/updates?q=cumulative"),
    ("log", "/log"),
    ("wsyncmgr-log", "/log?site=PR1"),
    ("settings", "/settings?tab=products"),
    ("schedule", "/settings?tab=schedule"),
    ("rules", "/settings?tab=approvals"),
    ("rule", "/settings?tab=approvals&rule=default-detection"),
    ("notifications", "/settings?tab=notifications"),
    ("synchronization", "the newest run"),
    ("update", "an update that others supersede"),
];

/// The update with the most kinds of relations.
fn most_related(hierarchy: &Hierarchy) -> String {
    let all = hierarchy
        .run(&["update", "list", "--json", "--limit", "60"])
        .json();
    let updates = all["updates"].as_array().unwrap().iter();
    let counted = updates.map(|update| {
        let id = update["update_id"].as_str().unwrap();
        let shown = hierarchy.run(&["update", "show", id, "--json"]).json();
        let relations = shown["relations"].as_array().unwrap();
        let superseded = relations.iter().any(|kind| kind["kind"] == "superseded-by");
        (relations.len(), superseded, id.to_owned())
    });
    counted.max().unwrap().2
}

/// So that there are approvals to show, and update files.
fn approve_some(hierarchy: &Hierarchy) {
    let list = ["update", "list", "--json", "--limit", "20"];
    let list = hierarchy.run(&list).json();
    let updates = list["updates"].as_array().unwrap();
    let published = updates.iter().filter(|update| {
        update["publication_state"] == "Published" && update["expired_since"].is_null()
    });
    let ids = published.map(|update| update["update_id"].as_str().unwrap());
    let mut words = vec!["update", "approve", "--accept-licence"];
    words.extend(ids.take(8));
    hierarchy.run(&words).good();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the pictures of docs/screenshots; scripts/screenshots runs it"]
async fn screenshots_of_every_page() {
    let Some(folder) = screenshots() else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let mut hierarchy = three_tiers(400).await;
    hierarchy.synchronize().await;
    // Something has to be wrong somewhere.
    hierarchy
        .run(&["settings", "set", "alerts.site-silent.after-minutes=0"])
        .good();
    hierarchy.kill("SE3");
    hierarchy
        .run(&[
            "settings",
            "set",
            r#"schedule.when={"monthly-by-weekday":{"week":"second","weekday":"tuesday","offset-days":1,"at":"03:00"}}"#,
            r#"schedule.blackout=[{"weekdays":["saturday","sunday"],"from":"22:00","to":"04:00"}]"#,
            r#"approvals.rules.default-detection={"approval":"detection","classifications":["e6cf1350-c01b-414d-a61f-263d14d133b4","0fa1201d-4330-4fa8-8ae9-b877473b6441"]}"#,
            r#"approvals.rules.urgent={"title":"*Security*","deadline-days":7}"#,
        ])
        .good();
    let run = hierarchy.run(&["sync", "history", "--json"]).json();
    let run = format!("/runs/{}", run["runs"][0]["id"].as_str().unwrap());
    approve_some(&hierarchy);
    let update = format!("/updates/{}", most_related(&hierarchy));
    let token = token(&hierarchy, "ann", "administrator");
    let looks = [
        ("light", 1400, 900, false),
        ("dark", 1400, 900, true),
        ("phone", 390, 844, false),
    ];
    for (look, width, height, dark) in looks {
        let base = hierarchy.url(CENTRAL);
        let browser = Browser::start(&base, width, height, dark).await.unwrap();
        browser.sign_in(&token).await;
        for (name, path) in PAGES {
            let path = match name {
                "synchronization" => &run,
                "update" => &update,
                _ => path,
            };
            browser.open(path).await;
            if name == "hierarchy" {
                browser.shows("#wrong", "SE3").await;
            }
            until("the page is drawn", PATIENCE, || async {
                let ready = browser.script("return document.readyState").await;
                if ready == "complete" {
                    Ok(())
                } else {
                    Err(ready.to_string())
                }
            })
            .await;
            let picture = browser.picture(MOST_HEIGHT).await;
            std::fs::write(folder.join(format!("{name}-{look}.png")), picture).unwrap();
        }
        browser.stop().await;
    }
}
