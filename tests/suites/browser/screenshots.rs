//! The pictures of `docs/screenshots`, made by `scripts/screenshots`.

use crate::browser::{Browser, PATIENCE, screenshots};
use crate::pages::{three_tiers, token};
use testkit::hierarchy::CENTRAL;
use testkit::until;

/// Pages, by the names of their pictures.
const PAGES: [(&str, &str); 10] = [
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
];

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
            let picture = browser.page.screenshot().await.unwrap();
            std::fs::write(folder.join(format!("{name}-{look}.png")), picture).unwrap();
        }
        browser.stop().await;
    }
}
