//! A site that is killed is told of, as long as it is away.

use serde_json::Value;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};

/// The alerts of a kind, from what a verb prints.
fn alerts(hierarchy: &Hierarchy, arguments: &[&str], kind: &str) -> Vec<Value> {
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    let answer = hierarchy.run(&arguments).json();
    let all = answer["alerts"].as_array().unwrap();
    let of_kind = all.iter().filter(|alert| alert["kind"] == kind);
    of_kind.cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_killed_is_told_of_until_it_is_back() {
    let mut hierarchy = Hierarchy::new();
    hierarchy
        .upstream(["--generate", "60", "--seed", "7"])
        .await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.synchronize().await;
    assert!(alerts(&hierarchy, &["alert", "list"], "site-silent").is_empty());

    let set = ["settings", "set", "alerts.site-silent.after-minutes=0"];
    assert!(hierarchy.run(&set).status.success());
    hierarchy.kill("PR1");
    let raised = until("the alert is there", LONG, || async {
        let raised = alerts(&hierarchy, &["alert", "list"], "site-silent");
        raised.first().cloned().ok_or_else(|| "no alert".to_owned())
    })
    .await;
    assert_eq!(raised["site"], "PR1");
    assert_eq!(
        (&raised["severity"], &raised["status_id"]),
        (&"error".into(), &9060.into())
    );
    let text = raised["text"].as_str().unwrap();
    assert!(
        text.starts_with("site PR1 has not been connected since "),
        "{text}"
    );
    assert!(text.ends_with("cannot be seen either: 1 (SE1)"), "{text}");
    let told = alerts(&hierarchy, &["alert", "list"], "site-silent");
    assert_eq!(
        told.len(),
        1,
        "the site behind it has none of its own: {told:?}"
    );

    let id = raised["id"].as_str().unwrap();
    let known = hierarchy.run(&["alert", "acknowledge", &id[id.len() - 8..]]);
    assert!(
        known.output.contains("acknowledged by local administrator"),
        "{}{}",
        known.output,
        known.errors
    );
    let printed = hierarchy.run(&["alert", "list"]).output;
    assert!(
        printed.contains("Acknowledged by local administrator"),
        "{printed}"
    );
    assert!(printed.contains("Look at that machine"), "{printed}");
    // A child does not know of the others.
    hierarchy.start("PR1").await;
    let refused = hierarchy.run_at("PR1", &["alert", "list"]);
    assert!(!refused.status.success());
    assert!(
        refused.errors.contains("is a replica"),
        "{}",
        refused.errors
    );

    // The site behind it takes a moment longer to come back, and may have had an alert of its own for it.
    until("the alert ended", LONG, || async {
        let now = alerts(&hierarchy, &["alert", "list"], "site-silent");
        let all = alerts(&hierarchy, &["alert", "list", "--ended"], "site-silent");
        let mut of_it = all.iter().filter(|alert| alert["id"] == raised["id"]);
        let is_over = of_it.next().is_some_and(|alert| !alert["ended"].is_null());
        (now.is_empty() && is_over)
            .then_some(())
            .ok_or_else(|| format!("{now:?} {all:?}"))
    })
    .await;
    // What the journal says is the same.
    let list = [
        "message", "list", "--site", CENTRAL, "--limit", "200", "--json",
    ];
    let messages = hierarchy.run(&list).json();
    let messages = messages["messages"].as_array().unwrap();
    let of = |id: u32| -> Vec<&Value> {
        let of_it = |message: &&Value| {
            message["status_id"] == id && message["text"].as_str().unwrap().contains("site PR1 ")
        };
        messages.iter().filter(of_it).collect()
    };
    let counts = (of(9060).len(), of(9061).len(), of(9072).len());
    assert_eq!(counts, (1, 1, 1), "{messages:?}");
    assert_eq!(of(9060)[0]["text"], raised["text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_product_that_the_source_does_not_have_is_told_of_after_a_run() {
    let mut hierarchy = Hierarchy::new();
    hierarchy
        .upstream(["--generate", "60", "--seed", "7"])
        .await;
    hierarchy.central().await;
    hierarchy.synchronize().await;
    let list = |hierarchy: &Hierarchy| alerts(hierarchy, &["alert", "list"], "category-vanished");
    assert!(list(&hierarchy).is_empty());
    let nowhere = "0bad0bad-0bad-0bad-0bad-0bad0bad0bad";
    let chosen = format!("products.products=[\"{nowhere}\"]");
    let set = [
        "settings",
        "set",
        "products.everything=false",
        "products.classifications=[]",
        &chosen,
    ];
    assert!(hierarchy.run(&set).status.success());
    assert!(hierarchy.run(&["sync", "start", "--wait"]).status.success());
    let alert = until("the alert is there", LONG, || async {
        let raised = list(&hierarchy);
        raised.first().cloned().ok_or_else(|| "no alert".to_owned())
    })
    .await;
    assert_eq!(
        (&alert["site"], &alert["status_id"]),
        (&CENTRAL.into(), &9070.into())
    );
    let text = alert["text"].as_str().unwrap();
    assert!(
        text.starts_with(&format!("a category ({nowhere}) is chosen")),
        "{text}"
    );
    // Who does not want it any more does not wait for a run.
    let set = ["settings", "set", "products.everything=true"];
    assert!(hierarchy.run(&set).status.success());
    until("the alert ended", LONG, || async {
        let now = list(&hierarchy);
        now.is_empty()
            .then_some(())
            .ok_or_else(|| format!("{now:?}"))
    })
    .await;
}
