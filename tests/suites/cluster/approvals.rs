//! Decisions about updates, made at the top and in force at every site.

use crate::documents::generate;
use catalog::UpdateId;
use catalog::approval::{Approval, Cause, Record};
use catalog::item::ItemKey;
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::patience::LONG;
use testkit::{Database, Hierarchy, until};

const UPDATES: u32 = 300;
const SITES: [&str; 3] = [CENTRAL, "PR1", "SE1"];
const DEADLINE: &str = "2030-01-01T18:00:00Z";

async fn three_tiers() -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.synchronize().await;
    hierarchy
}

/// GUIDs of the updates in a list, those that the publisher withdrew left out.
fn listed(hierarchy: &Hierarchy, arguments: &[&str]) -> Vec<String> {
    let arguments: Vec<&str> = [
        "update",
        "list",
        "--state",
        "published",
        "-n",
        "1000",
        "--json",
    ]
    .iter()
    .chain(arguments)
    .copied()
    .collect();
    let list = hierarchy.run(&arguments).json();
    let updates = list["updates"].as_array().unwrap().iter();
    updates
        .filter(|update| update["publication_state"] == "Published")
        .map(|update| update["update_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until every site shows what the central site shows, from a position on.
async fn everywhere(hierarchy: &Hierarchy, position: u64) {
    until("every site has the decision", LONG, || async {
        let sites = hierarchy.sites().await?;
        let central = &sites[CENTRAL];
        let there = |site: &&str| {
            sites
                .get(*site)
                .is_some_and(|site| site.verified_position >= position && site.root == central.root)
        };
        match SITES.iter().all(there) {
            true => Ok(()),
            false => Err(format!("{:?}", sites.keys())),
        }
    })
    .await;
}

/// What a site's database says was decided about an update, in force.
async fn record(hierarchy: &Hierarchy, site: &str, update: &str) -> Option<Record> {
    let update: UpdateId = update.parse().unwrap();
    let database = Database::open(&hierarchy.data_dir(site)).await;
    let log = database.log().await;
    let key = ItemKey::Approval(update).to_bytes();
    let row = log.into_values().find(|row| row.key == key && !row.removed);
    database.close().await;
    row.map(|row| Record::from_bytes(&row.header).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_at_the_top_is_in_force_at_every_site() {
    let mut hierarchy = three_tiers().await;
    let updates = listed(&hierarchy, &[]);
    let (approved, declined, late) = (&updates[0], &updates[1], &updates[2]);

    // What is tried changes nothing.
    let tried = hierarchy.run(&[
        "update",
        "approve",
        approved,
        "--accept-licence",
        "--dry-run",
    ]);
    assert_eq!(
        tried.good().trim(),
        "1 update would be approved for install."
    );
    let made = hierarchy
        .run(&[
            "update",
            "approve",
            approved,
            "--accept-licence",
            "--deadline",
            DEADLINE,
            "--json",
        ])
        .json();
    assert_eq!(made["updates"][0]["outcome"], "changed");
    assert_eq!(made["updates"][0]["old"], "not-approved");
    assert_eq!(made["in_force"], true);
    everywhere(&hierarchy, made["position"].as_u64().unwrap()).await;
    let shown = hierarchy
        .run(&["update", "show", approved, "--json"])
        .json();
    assert_eq!(shown["decision"]["approval"], "install");
    assert_eq!(shown["decision"]["deadline"], DEADLINE);
    let again = hierarchy.run(&["update", "approve", approved, "--deadline", DEADLINE]);
    assert!(
        again
            .good()
            .contains("0 updates were approved for install, 1 already so")
    );
    hierarchy
        .message(
            CENTRAL,
            9040,
            &[approved, "not approved before, install by 2030"],
        )
        .await;

    // What may not be says why.
    let nothing = "00000000-0000-4000-8000-00000000dead";
    let refused = hierarchy.run(&["update", "approve", nothing]);
    let why = format!("there is no update {nothing} in the catalog");
    assert!(!refused.status.success() && refused.output.contains(&why));
    hierarchy
        .run(&[
            "update",
            "approve",
            approved,
            "--for",
            "detection",
            "--deadline",
            DEADLINE,
        ])
        .refused("detection has no deadline");
    hierarchy
        .run(&["update", "decline", "KB1"])
        .refused("no update with the number KB1");
    hierarchy
        .run(&["update", "approve", "office"])
        .refused("an update is named by its GUID");

    // What is declined leaves the lists, unless they are asked for it.
    hierarchy.run(&["update", "decline", declined]).good();
    assert!(!listed(&hierarchy, &[]).contains(declined));
    assert_eq!(
        listed(&hierarchy, &["--approval", "declined"]),
        std::slice::from_ref(declined)
    );
    assert_eq!(
        listed(&hierarchy, &["--approval", "any"]).len(),
        updates.len()
    );

    // A run hangs at its source, and is broken off. The decision waits for neither.
    hierarchy.proxy(UPSTREAM).stall();
    hierarchy.run(&["sync", "start"]).good();
    until("the run is under way", LONG, || async {
        let site = hierarchy.site(CENTRAL).await?;
        let run = site.run.ok_or("no run")?;
        match run.finished {
            None => Ok(()),
            Some(_) => Err(run.state),
        }
    })
    .await;
    let waits = hierarchy.run(&["update", "decline", late]);
    assert!(waits.status.success(), "{waits:?}");
    assert!(
        waits.errors.contains("with the end of the synchronization"),
        "{waits:?}"
    );
    let waits = hierarchy.run(&["update", "decline", late, "--json"]).json();
    assert_eq!(waits["updates"][0]["outcome"], "unchanged");
    assert_eq!(listed(&hierarchy, &["--approval", "declined"]).len(), 1);
    hierarchy.kill(UPSTREAM);
    hierarchy.run(&["sync", "cancel"]).good();
    until("the decision is in force", LONG, || async {
        match listed(&hierarchy, &["--approval", "declined"]).contains(late) {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    })
    .await;
    let central = hierarchy.site(CENTRAL).await.unwrap();
    everywhere(&hierarchy, central.verified_position).await;

    hierarchy.stop_all().await;
    let deadline = Some(DEADLINE.parse().unwrap());
    for site in SITES {
        let install = record(&hierarchy, site, approved).await.unwrap();
        assert_eq!(install.approval, Approval::Install { deadline }, "{site}");
        assert!(matches!(install.cause, Cause::Person(_)), "{site}");
        let late = record(&hierarchy, site, late).await.unwrap();
        assert_eq!(late.approval, Approval::Declined, "{site}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_set_and_decide_about_what_arrives() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    hierarchy.central().await;
    hierarchy
        .run(&["settings", "set", "approvals.rules.all.deadline-days=900"])
        .refused("the setting approvals.rules.all.deadline-days: 900 days: use 0 to 365");
    let set = hierarchy
        .run(&["settings", "set", "approvals.rules.all.approval=detection"])
        .good();
    assert!(set.contains("updates that arrive from now on"), "{set}");
    let shown = hierarchy
        .run(&["settings", "show", "approvals.rules.all"])
        .good();
    assert!(shown.contains("approvals.rules.all.approval"), "{shown}");
    hierarchy.synchronize().await;
    let detected = listed(&hierarchy, &["--approval", "detection"]).len();
    assert!(detected > 50, "{detected}");
    let list = hierarchy.run(&["update", "list", "--approval", "detection", "-n", "1"]);
    assert!(list.good().contains("detection"));
    let told = hierarchy.message(CENTRAL, 9041, &["rule all"]).await;
    assert!(told.contains(&format!("{detected} detection")), "{told}");

    // A person goes before the rule, and takes all of it back at once.
    let taken = hierarchy.run(&["update", "unapprove", "--approval", "detection", "--json"]);
    assert_eq!(taken.json()["updates"].as_array().unwrap().len(), detected);
    assert_eq!(listed(&hierarchy, &["--approval", "approved"]).len(), 0);
    hierarchy
        .run(&["settings", "set", "approvals.rules.all="])
        .good();
    hierarchy
        .run(&["settings", "show", "approvals.rules.all"])
        .refused("there is no setting approvals.rules.all");
}
