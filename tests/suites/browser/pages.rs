//! What people do with the dashboard.

use crate::browser::{Browser, PATIENCE};
use serde_json::json;
use testkit::hierarchy::CENTRAL;
use testkit::{Hierarchy, until};

const WIDTH: u32 = 1400;
const HEIGHT: u32 = 900;

/// A central site, two primary and three secondary sites: six real processes.
pub async fn three_tiers(updates: u32) -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    let count = updates.to_string();
    hierarchy
        .upstream(["--generate", &count, "--seed", "7"])
        .await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("PR2", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.join("SE2", "secondary", "PR1").await;
    hierarchy.join("SE3", "secondary", "PR2").await;
    hierarchy
}

/// An access token of the central site.
pub fn token(hierarchy: &Hierarchy, name: &str, role: &str) -> String {
    let made = hierarchy.run(&["access", "create", name, "--role", role]);
    made.good().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_follows_and_steers_the_hierarchy_without_reloading_a_page() {
    let mut hierarchy = three_tiers(300).await;
    let token = token(&hierarchy, "ann", "administrator");
    let Some(browser) = Browser::start(&hierarchy.url(CENTRAL), WIDTH, HEIGHT, false).await else {
        return;
    };

    // Nobody sees anything without signing in, and a wrong token is told so.
    browser.open("/updates").await;
    browser.shows("h1", "Headwater").await;
    browser.fill("#token", "hwa1.nonsense").await;
    browser.press("#sign-in").await;
    browser.shows("[role=alert]", "access token").await;
    // The answer 401 to a wrong token is an error of the console by itself.
    browser.script("console.clear()").await;
    browser.forget().await;
    browser.sign_in(&token).await;

    // Six sites appear, and converge on the page that is open.
    browser.open("/").await;
    browser.shows("#standing", "of 6 sites").await;
    browser.look("the hierarchy before").await;
    browser.press("#sync-now").await;
    browser
        .shows(".note", "A synchronization was started")
        .await;
    browser.script("window.notReloaded = true").await;
    browser.shows("#standing", "6 of 6 sites at position").await;
    until("every site is current", PATIENCE, || async {
        let text = browser.text("#rows").await;
        let current = text.matches("✓ Completed").count();
        if current == 6 { Ok(()) } else { Err(text) }
    })
    .await;
    let kept = browser.script("return window.notReloaded === true").await;
    assert_eq!(kept, json!(true), "the page was loaded anew");
    browser.look("the hierarchy").await;

    // The run is in the history, with its part at every site.
    browser.open("/runs").await;
    browser.shows("#rows", "6 of 6").await;
    browser.look("the synchronizations").await;
    browser.press("tbody tr:first-child th a").await;
    browser.shows("#parts", "SE3").await;
    let bars = browser
        .script("return document.querySelectorAll('#parts tbody tr').length")
        .await;
    assert_eq!(bars, json!(6));
    browser.look("a synchronization").await;

    // The picture can be searched and zoomed.
    browser.open("/").await;
    browser.fill("#find", "se").await;
    let found = browser
        .script("return document.querySelectorAll('#tree .found').length")
        .await;
    assert_eq!(found, json!(3));
    let view = "return document.getElementById('tree').getAttribute('viewBox')";
    let before = browser.script(view).await;
    browser.press("#zoom-in").await;
    assert_ne!(browser.script(view).await, before);
    browser.press("#zoom-fit").await;
    assert_eq!(browser.script(view).await, before);

    // The status has the columns that people know, and sorts and filters.
    browser.open("/status?sort=-site&q=se").await;
    browser.shows("thead", "Synchronization source").await;
    browser.shows("#rows", "3 of 6 sites").await;
    browser.shows("tbody tr:first-child th", "SE3").await;
    browser.look("the synchronization status").await;

    // A line that a site writes comes to the page.
    browser.open("/log?site=PR1").await;
    browser.shows("#pulse", "live").await;
    browser.look("the log of a site").await;
    let lines = "return document.querySelectorAll('#log .line').length";
    let before = browser.script(lines).await.as_u64().unwrap();
    hierarchy.evolve().await;
    hierarchy.synchronize().await;
    until("lines of the run are followed", PATIENCE, || async {
        let now = browser.script(lines).await.as_u64().unwrap();
        if now > before + 5 {
            Ok(())
        } else {
            Err(format!("{now} of {before}"))
        }
    })
    .await;
    browser.open("/log").await;
    browser
        .shows("#messages", "synchronization succeeded")
        .await;
    browser.look("the messages of all sites").await;

    // An update is found, and approved.
    browser.open("/updates").await;
    browser.look("the updates").await;
    browser.fill("input[name=q]", "cumulative").await;
    browser.choose("select[name=state]", "published").await;
    browser.press(".filter button").await;
    browser.shows("tbody", "Cumulative").await;
    browser.press("tbody tr:first-child th a").await;
    browser.shows("h1", "Cumulative").await;
    browser.choose("#approval", "install").await;
    browser.press("#decide").await;
    browser.shows(".note", "One decision was made").await;
    browser.look("an update").await;
    let title = browser.text("h1").await;
    let shown = hierarchy
        .run(&["update", "list", "--approval", "install"])
        .good();
    let beginning = title.get(..20).unwrap_or(&title);
    assert!(
        shown.contains(beginning),
        "{title} is not approved in:\n{shown}"
    );

    // A setting is changed after what it would do was shown; a wrong one is refused with the reason.
    browser.open("/settings?tab=supersedence").await;
    browser.fill("#supersedence-other-updates", "7").await;
    browser.look("the settings").await;
    browser.press("#preview").await;
    browser
        .shows(".preview", "supersedence.other-updates")
        .await;
    browser.look("the preview of a change").await;
    browser.press("#save").await;
    browser.shows(".note", "is in force").await;
    let set = hierarchy.run(&["settings", "show", "--json"]).json();
    assert_eq!(
        set["settings"]["supersedence"]["other-updates"], 7,
        "{set:#}"
    );
    browser.open("/settings?tab=history").await;
    browser.shows("main", "by ann").await;
    browser.look("the history of the settings").await;
    browser.open("/settings?tab=products").await;
    browser.look("the products").await;
    // A site that is killed turns offline on the page that is open.
    browser.open("/sites/SE3").await;
    browser.shows("h1", "Completed").await;
    browser.look("a site").await;
    browser.script("window.notReloaded = true").await;
    hierarchy.kill("SE3");
    browser.shows("h1", "Offline").await;
    let kept = browser.script("return window.notReloaded === true").await;
    assert_eq!(kept, json!(true), "the page was loaded anew");
    browser.open("/").await;
    browser.shows("#standing", "offline").await;
    browser
        .look("the hierarchy with a site that is offline")
        .await;

    // An alert is raised on the page that is open, and acknowledged.
    browser.open("/alerts").await;
    browser.shows("#alerts", "Nothing is wrong").await;
    hierarchy
        .run(&["settings", "set", "alerts.site-silent.after-minutes=0"])
        .good();
    browser.shows("#alerts", "SE3").await;
    browser.look("the alerts").await;
    browser.press("#alerts .alert button").await;
    browser.shows("#alerts", "known to ann").await;
    browser.open("/").await;
    browser.shows("#wrong", "SE3").await;
    browser.look("the hierarchy with an alert").await;
    browser.open("/settings?tab=alerts").await;
    browser.look("the settings of alerts").await;
    browser.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_everything_and_changes_nothing() {
    let mut hierarchy = Hierarchy::new();
    hierarchy
        .upstream(["--generate", "40", "--seed", "7"])
        .await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.synchronize().await;
    let viewer = token(&hierarchy, "wall", "viewer");
    let Some(browser) = Browser::start(&hierarchy.url(CENTRAL), WIDTH, HEIGHT, true).await else {
        return;
    };
    browser.sign_in(&viewer).await;
    for page in [
        "/",
        "/status",
        "/updates",
        "/log",
        "/settings",
        "/sites/PR1",
    ] {
        browser.open(page).await;
        browser.look(page).await;
        let buttons = browser
            .script("return [...document.querySelectorAll('main form[method=post] button')].map(b => b.textContent)")
            .await;
        assert_eq!(buttons, json!([]), "{page}");
    }
    // Who sends the form all the same is refused, with the reason.
    browser
        .script(
            "const form = document.createElement('form'); form.method = 'post'; form.action = '/sync'; \
             document.body.append(form); form.submit();",
        )
        .await;
    browser
        .shows("[role=alert]", "needs the role operator")
        .await;
    // A token that is taken back opens nothing any more.
    hierarchy.run(&["access", "revoke", "wall"]).good();
    browser.open("/").await;
    browser.shows("[role=status]", "no longer good").await;
    browser.stop().await;

    // The site below shows what it has, and refuses changes with where to make them.
    let operator = hierarchy.run_at("PR1", &["access", "create", "bob", "--role", "operator"]);
    let operator = operator.good().trim().to_owned();
    let Some(browser) = Browser::start(&hierarchy.url("PR1"), WIDTH, HEIGHT, false).await else {
        return;
    };
    browser.sign_in(&operator).await;
    browser.open("/").await;
    browser.shows("#standing", "1 of 1 site").await;
    browser.look("the hierarchy at a primary site").await;
    browser.press("#sync-now").await;
    browser
        .shows("[role=alert]", "the top-level site CAS")
        .await;
    browser.open("/settings").await;
    browser.shows("main", "PR1 is a replica").await;
    browser.look("the settings at a primary site").await;
    browser.stop().await;
}
