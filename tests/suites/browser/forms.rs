//! Looking closely: one site, one update, and every form of the settings.

use crate::browser::Browser;
use crate::pages::token;
use serde_json::{Value, json};
use testkit::Hierarchy;
use testkit::hierarchy::CENTRAL;

const WIDTH: u32 = 1400;
const HEIGHT: u32 = 1000;

/// A central site and a primary one, with a catalog.
async fn two_sites() -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    hierarchy
        .upstream(["--generate", "300", "--seed", "7"])
        .await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.synchronize().await;
    hierarchy
}

/// The settings as the verbs tell them.
fn settings(hierarchy: &Hierarchy) -> Value {
    hierarchy.run(&["settings", "show", "--json"]).json()["settings"].clone()
}

/// Shows what would change, and saves it.
async fn save(browser: &Browser, change: &str) {
    browser.press("#preview").await;
    browser.shows(".preview", change).await;
    browser.press("#save").await;
    browser.shows(".note", "is in force").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_looks_closely_at_a_site_and_at_an_update() {
    let hierarchy = two_sites().await;
    let token = token(&hierarchy, "ann", "viewer");
    let Some(browser) = Browser::start(&hierarchy.url(CENTRAL), WIDTH, HEIGHT, false).await else {
        return;
    };
    browser.sign_in(&token).await;

    browser.open("/sites/PR1").await;
    for fact in [
        "Valid until",
        "Renewal",
        "Free",
        "Messages that wait",
        "Settings version",
    ] {
        browser.shows("#facts", fact).await;
    }
    browser.shows("#facts", "items").await;
    browser.shows("#parts", "Completed").await;
    browser.look("a site with its facts").await;
    browser.press("#parts tbody th a").await;
    browser.shows("h1", "Synchronization").await;

    // What the verbs find by a CVE, the page finds too.
    let list = |more: &[&str]| -> Vec<Value> {
        let all = [&["update", "list", "--json", "--limit", "300"], more].concat();
        let listed = hierarchy.run(&all).json();
        listed["updates"].as_array().unwrap().clone()
    };
    let shown = |update: &Value| {
        let id = update["update_id"].as_str().unwrap();
        hierarchy.run(&["update", "show", id, "--json"]).json()
    };
    let all = list(&[]);
    let named = list(&["--cve", "CVE-"]);
    let named = shown(
        named
            .first()
            .expect("one of the updates closes a vulnerability"),
    );
    let cve = named["cve_ids"][0].as_str().unwrap();
    let found = list(&["--cve", cve]);
    let mut ids = found.iter().map(|update| &update["update_id"]);
    assert!(ids.any(|id| *id == named["update_id"]), "{found:#?}");
    assert!(found.len() < all.len());
    browser.open("/updates").await;
    browser.fill("input[name=cve]", cve).await;
    browser.press(".filter button").await;
    browser
        .shows("tbody", named["title"].as_str().unwrap())
        .await;
    let rows = "return document.querySelectorAll('main tbody tr').length";
    assert_eq!(browser.script(rows).await, json!(found.len()));
    browser.look("the updates of a CVE").await;

    // The day on which it was created finds it, and the day after does not.
    let created: jiff::Timestamp = named["creation_date"].as_str().unwrap().parse().unwrap();
    let day = created.to_zoned(jiff::tz::TimeZone::UTC).date();
    let next = day.tomorrow().unwrap();
    browser
        .open(&format!("/updates?cve={cve}&from={day}&to={day}"))
        .await;
    browser
        .shows("tbody", named["title"].as_str().unwrap())
        .await;
    browser
        .open(&format!("/updates?cve={cve}&from={next}"))
        .await;
    let titles = browser.text("tbody").await;
    assert!(
        !titles.contains(named["title"].as_str().unwrap()),
        "{titles}"
    );

    // An update that is superseded says by what, whether or not the rules expired it; the picture leads there.
    let kind = |update: &Value, kind: &str| -> Option<Value> {
        let relations = update["relations"].as_array()?.iter();
        relations
            .clone()
            .find(|relation| relation["kind"] == kind)
            .cloned()
    };
    let mut details = all.iter().map(shown);
    let superseded = details.find(|update| kind(update, "superseded-by").is_some());
    let superseded = superseded.expect("one of the updates is superseded");
    let by = kind(&superseded, "superseded-by").unwrap()["updates"][0].clone();
    let title = by["title"].as_str().unwrap();
    browser
        .open(&format!(
            "/updates/{}",
            superseded["update_id"].as_str().unwrap()
        ))
        .await;
    browser.shows("#relations", "Superseded by").await;
    browser.shows("#relations .relations", title).await;
    browser.look("an update with its relations").await;
    browser.press("#relations svg a.superseding").await;
    browser.shows("h1", title).await;
    browser.shows("#relations", "Supersedes").await;
    browser.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_uses_every_form_of_the_settings() {
    let hierarchy = two_sites().await;
    let token = token(&hierarchy, "ann", "administrator");
    let Some(browser) = Browser::start(&hierarchy.url(CENTRAL), WIDTH, HEIGHT, true).await else {
        return;
    };
    browser.sign_in(&token).await;

    // A schedule is put together, and its times are seen before it is saved.
    browser.open("/settings?tab=schedule").await;
    browser.look("the schedule").await;
    browser.press("#when-monthly-by-weekday").await;
    let offset = "#schedule-when-monthly-by-weekday-offset-days";
    browser.fill(offset, "1").await;
    browser.fill("#schedule-time-zone", "Europe/Berlin").await;
    browser.press("#preview").await;
    browser.shows(".preview .times", "Wednesday").await;
    let times = "return document.querySelectorAll('.preview .times li').length";
    assert_eq!(browser.script(times).await, json!(12));
    browser.look("the preview of a schedule").await;
    browser.press("#save").await;
    browser.shows(".note", "is in force").await;
    let held = settings(&hierarchy);
    let when = &held["schedule"]["when"]["monthly-by-weekday"];
    assert_eq!(
        (&when["week"], &when["offset-days"]),
        (&json!("second"), &json!(1))
    );

    // What is refused stays typed, with the reason beside its field.
    browser.open("/settings?tab=schedule").await;
    browser.fill("#schedule-time-zone", "Mars/Olympus").await;
    browser.press("#when-daily").await;
    browser.press("#preview").await;
    browser.shows("[role=alert]", "Mars/Olympus").await;
    browser
        .shows("#schedule-time-zone-problem", "Mars/Olympus")
        .await;
    let typed = "return [document.getElementById('schedule-time-zone').value, document.getElementById('when-daily').checked]";
    assert_eq!(browser.script(typed).await, json!(["Mars/Olympus", true]));
    // The answer 422 is an error of the console by itself.
    browser.script("console.clear()").await;
    browser.forget().await;
    browser.look("a form that was refused").await;

    // A rule is made, and removed.
    browser.open("/settings?tab=approvals").await;
    browser.shows("h3", "Rules").await;
    browser.look("the rules").await;
    browser.press("#new-rule").await;
    browser.fill("#rule-name", "office").await;
    browser.fill("#rule-title", "*Office*").await;
    browser.fill("#rule-deadline-days", "7").await;
    browser.look("a new rule").await;
    save(&browser, "approvals.rules.office").await;
    let held = settings(&hierarchy);
    assert_eq!(
        held["approvals"]["rules"]["office"]["deadline-days"], 7,
        "{held:#}"
    );
    browser.open("/settings?tab=approvals&rule=office").await;
    browser.press("button[name='rule.remove']").await;
    browser.shows(".preview", "approvals.rules.office").await;
    browser.press("#save").await;
    browser.shows(".note", "is in force").await;
    assert_eq!(
        settings(&hierarchy)["approvals"]["rules"]["office"],
        Value::Null
    );

    // A site gets languages of its own, and one that there is not is refused beside what was typed.
    browser.open("/settings?tab=site").await;
    browser.fill("#new-site-code", "PR1").await;
    browser.fill("#new-site-languages", "de, fr").await;
    save(&browser, "site.PR1.update-files").await;
    assert_eq!(
        settings(&hierarchy)["site"]["PR1"]["update-files"],
        json!(["de", "fr"])
    );
    browser.look("the settings of sites").await;
    browser.fill("#new-site-code", "ZZ9").await;
    browser.fill("#new-site-languages", "de").await;
    browser.press("#preview").await;
    browser.shows(".problem", "no site ZZ9").await;
    browser.script("console.clear()").await;
    browser.forget().await;

    // A secret is set and never shown.
    browser.open("/settings?tab=notifications").await;
    browser.shows("main", "It is not set.").await;
    browser.look("the secrets").await;
    browser
        .fill(
            "#notifications-secret",
            "long enough to sign with, and secret",
        )
        .await;
    browser.press("#notifications-secret-set").await;
    browser.shows(".note", "Nobody can read it again").await;
    browser.shows("main", "It is set.").await;
    let source = browser
        .script("return document.documentElement.outerHTML")
        .await;
    assert!(!source.as_str().unwrap().contains("long enough to sign"));

    // Where somebody else was faster, nothing is saved.
    browser.open("/settings?tab=supersedence").await;
    browser.fill("#supersedence-other-updates", "9").await;
    browser.press("#preview").await;
    browser
        .shows(".preview", "supersedence.other-updates")
        .await;
    hierarchy
        .run(&["settings", "set", "cleanup.days=31"])
        .good();
    browser.press("#save").await;
    browser.shows("[role=alert]", "look at what changed").await;
    assert_eq!(settings(&hierarchy)["supersedence"]["other-updates"], 3);
    browser.stop().await;
}
