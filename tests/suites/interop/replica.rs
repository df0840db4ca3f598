//! Replicas: downstream servers that take over the decisions of the hierarchy, over the wire, at the top-level site and
//! at one below it; and beside them an autonomous one, which gets updates and nothing else.

mod server;

use crate::downstream::{SERVES, generate};
use catalog::document::{self, PublicationState, Update, UpdateType};
use catalog::{RevisionId, UpdateId};
use serde_json::Value;
use server::{DETECT, INSTALL, REMOVE, Replica, decided, told_of, valid};
use std::collections::{BTreeMap, BTreeSet};
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::patience::LONG;
use testkit::{Hierarchy, until};
use uuid::Uuid;
use wsus::message::{ALL_COMPUTERS, Deployments};

const CHILD: &str = "PR1";
const DEADLINE: &str = "2031-02-03T04:05:06Z";
/// How "no deadline" is written.
const NEVER: &str = "<Deadline>9999-12-31T23:59:59.9999999</Deadline>";
/// The licence terms that one update has.
const TERMS: &str = "5d3b3a51-6a2c-4c1d-9d5d-000000000001";

/// Replicas of both sites, and what the hierarchy is asked to decide.
struct Everybody {
    hierarchy: Hierarchy,
    replicas: [Replica; 2],
    /// The number of the next server that comes fresh.
    next: u128,
}

impl Everybody {
    async fn new(mut hierarchy: Hierarchy) -> Self {
        let serves = |launch: testkit::process::Launch| launch.with(SERVES[0]).with(SERVES[1]);
        hierarchy.central_with(serves).await;
        hierarchy.join_with(CHILD, "primary", CENTRAL, serves).await;
        let position = hierarchy.synchronize().await.verified_position;
        serve(&mut hierarchy, position).await;
        let replicas = [
            Replica::of(&mut hierarchy, CENTRAL, 1).await,
            Replica::of(&mut hierarchy, CHILD, 2).await,
        ];
        Self {
            hierarchy,
            replicas,
            next: 100,
        }
    }

    /// Runs a verb that decides, and waits until both sites serve the decision; the outcome for the update.
    async fn decide(&mut self, verb: &[&str], update: UpdateId) -> String {
        let id = update.to_string();
        let arguments = ["update", verb[0], &id, "--json"].into_iter();
        let arguments: Vec<&str> = arguments.chain(verb[1..].iter().copied()).collect();
        let spoken = self.hierarchy.run(&arguments);
        let made: Value = serde_json::from_str(&spoken.output).unwrap();
        let outcome = made["updates"][0]["outcome"].as_str().unwrap().to_owned();
        if outcome == "changed" {
            assert_eq!(made["in_force"], true, "{made}");
            serve(&mut self.hierarchy, made["position"].as_u64().unwrap()).await;
        }
        outcome
    }

    /// Both replicas synchronize: they are told the same, and have what somebody has who comes fresh, which is what
    /// the hierarchy decided.
    async fn synchronize(&mut self) -> Deployments {
        let mut told = Vec::new();
        for replica in &mut self.replicas {
            told.push(replica.synchronize().await);
        }
        let [at_central, at_child] = &self.replicas;
        assert_eq!(at_central.has, at_child.has, "the same at every site");
        for site in [CENTRAL, CHILD] {
            self.next += 1;
            let mut fresh = Replica::of(&mut self.hierarchy, site, self.next).await;
            fresh.synchronize().await;
            assert_eq!(fresh.has, at_central.has, "{site}");
        }
        assert_eq!(decided(&self.hierarchy), told_of(&at_central.has));
        let forget_anchor = |told: &Deployments| Deployments {
            anchor: String::new(),
            ..told.clone()
        };
        assert_eq!(forget_anchor(&told[0]), forget_anchor(&told[1]));
        told.swap_remove(1)
    }
}

/// Waits until both sites serve at least this position.
async fn serve(hierarchy: &mut Hierarchy, position: u64) {
    for site in [CENTRAL, CHILD] {
        let process = hierarchy.process(site);
        until("the decision is served", LONG, || {
            let errors = process.errors();
            let lines = errors.lines();
            let lines = lines.filter(|line| line.contains("downstream servers get the catalog"));
            let words = lines.flat_map(str::split_whitespace);
            let positions = words.filter_map(|word| word.strip_prefix("position="));
            let served = positions.filter_map(|text| text.parse::<u64>().ok()).max();
            let reached = served.is_some_and(|served| served >= position);
            std::future::ready(reached.then_some(()).ok_or_else(|| format!("{served:?}")))
        })
        .await;
    }
}

/// What is to be decided about, chosen from the documents.
struct Subjects {
    plain: Vec<UpdateId>,
    removable: Option<UpdateId>,
    licensed: Option<UpdateId>,
}

impl Subjects {
    fn of(documents: &BTreeMap<RevisionId, String>) -> Self {
        let parsed = documents
            .values()
            .map(|text| document::parse(text).unwrap());
        let mut newest: BTreeMap<UpdateId, Update> = BTreeMap::new();
        for update in parsed {
            newest.insert(update.id.update_id, update);
        }
        let superseded: BTreeSet<UpdateId> = newest
            .values()
            .flat_map(|update| update.superseded.iter().copied())
            .collect();
        let candidates: Vec<&Update> = newest
            .values()
            .filter(|update| update.update_type == UpdateType::Software)
            .filter(|update| update.explicitly_deployable)
            .filter(|update| update.publication_state == PublicationState::Published)
            .filter(|update| !superseded.contains(&update.id.update_id))
            .collect();
        let id = |update: &Update| update.id.update_id;
        let removable = candidates
            .iter()
            .find(|update| update.is_uninstallable() && update.eula_id.is_none());
        let licensed = candidates.iter().find(|update| update.eula_id.is_some());
        let plain = candidates
            .iter()
            .filter(|update| update.eula_id.is_none() && !update.is_uninstallable());
        Self {
            plain: plain.map(|update| id(update)).collect(),
            removable: removable.map(|update| id(update)),
            licensed: licensed.map(|update| id(update)),
        }
    }
}

/// A hierarchy whose source has generated documents, of which one says that it can be removed, and one that it has
/// licence terms: of the generated ones only parts of others are the first, and few the second.
async fn with_all_kinds() -> Hierarchy {
    const BEGIN: &str = "<upd:Properties";
    const END: &str = "</upd:Properties>";
    const BEHAVIOUR: &str = "<upd:UninstallationBehavior Impact=\"Normal\" />";
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(120)).await;
    let mut all = Replica::at(hierarchy.url(UPSTREAM), 7);
    let mut ids = all.configuration().await;
    ids.extend(all.list().await);
    let mut documents = all.documents(ids).await;
    drop(hierarchy);
    let subjects = Subjects::of(&documents);
    let [removable, licensed, ..] = subjects.plain[..] else {
        panic!("too few updates")
    };
    for (id, text) in &mut documents {
        let (old, new) = match id.update_id {
            id if id == removable => (END, format!("{BEHAVIOUR}{END}")),
            id if id == licensed => (BEGIN, format!("{BEGIN} EulaID=\"{TERMS}\"")),
            _ => continue,
        };
        assert_eq!(text.matches(old).count(), 1);
        *text = text.replace(old, &new);
    }
    let mut hierarchy = Hierarchy::new();
    let folder = hierarchy.folder().join("documents");
    std::fs::create_dir(&folder).unwrap();
    for (id, text) in &documents {
        let name = format!("{}-{}.xml", id.update_id, id.revision);
        std::fs::write(folder.join(name), text).unwrap();
    }
    hierarchy
        .upstream(["--dir".to_owned(), folder.display().to_string()])
        .await;
    hierarchy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_follows_every_decision_and_an_autonomous_server_gets_updates_only() {
    let mut all = Everybody::new(with_all_kinds().await).await;
    // The autonomous one asks for what there is, and never for decisions.
    let mut autonomous = Replica::of(&mut all.hierarchy, CHILD, 3).await;
    let listed = autonomous.list().await;
    let documents = autonomous.documents(listed.clone()).await;
    let subjects = Subjects::of(&documents);
    let [installed, detected, declined, with_deadline] = subjects.plain[..4] else {
        panic!("too few updates")
    };
    let removable = subjects.removable.unwrap();

    let nothing = all.synchronize().await;
    assert_eq!(
        (nothing.deployments, nothing.dead_deployments),
        (vec![], vec![])
    );

    for (verb, update) in [
        (&["approve"][..], installed),
        (&["approve", "--for", "detection"], detected),
        (&["approve", "--deadline", DEADLINE], with_deadline),
        (
            &["approve", "--for", "removal", "--deadline", DEADLINE],
            removable,
        ),
        (&["decline"], declined),
    ] {
        assert_eq!(all.decide(verb, update).await, "changed", "{verb:?}");
    }
    let told = all.synchronize().await;
    assert_eq!(told.deployments.len(), 4);
    assert_eq!(told.hidden_updates, [declined]);
    let has = all.replicas[1].has.clone();
    let what = |update| {
        let held = has.of(update).unwrap();
        let deadline = held.deadline.map(|deadline| deadline.to_string());
        (held.action, deadline)
    };
    let deadline = Some(DEADLINE.to_owned());
    assert_eq!(what(installed), (INSTALL, None));
    assert_eq!(what(detected), (DETECT, None));
    assert_eq!(what(with_deadline), (INSTALL, deadline.clone()));
    assert_eq!(what(removable), (REMOVE, deadline));
    for deployment in has.deployments.values() {
        assert_eq!(deployment.target_group_id, ALL_COMPUTERS);
        assert!(!deployment.admin_name.is_empty());
        assert!(deployment.go_live_time.is_some());
    }
    // A deadline, and none, as they are written.
    let heard = all.replicas[1].heard();
    let written = format!("<Deadline>{}", DEADLINE.trim_end_matches('Z'));
    assert_eq!(heard.matches(NEVER).count(), 2, "{heard}");
    assert_eq!(heard.matches(&written).count(), 2, "{heard}");

    // Nothing new is nothing but what is always told.
    let nothing = all.synchronize().await;
    assert_eq!(
        (nothing.deployments, nothing.dead_deployments),
        (vec![], vec![])
    );
    assert_eq!(nothing.hidden_updates, [declined]);

    licences(&mut all, subjects.licensed.unwrap()).await;
    changes(&mut all, [installed, detected, declined]).await;

    // Whatever was decided: for the autonomous server nothing changed.
    assert_eq!(autonomous.list().await, []);
    autonomous.list_anchor = None;
    assert_eq!(autonomous.list().await, listed, "what is declined, too");
    assert_eq!(autonomous.documents(listed).await, documents);
    // All those words are nowhere in what it got.
    let said = autonomous.said.lock().unwrap().clone();
    for word in ["Deployment", "Deadline", "HiddenUpdates", "AcceptedEulas"] {
        assert!(
            !said
                .iter()
                .any(|said| said.answer.contains(&format!("<{word}")))
        );
    }

    valid(all.replicas.iter().chain([&autonomous]));
}

/// Terms have to be accepted before an approval; then the replica is told that they were.
async fn licences(all: &mut Everybody, update: UpdateId) {
    let terms: Uuid = TERMS.parse().unwrap();
    let refused = all.decide(&["approve"], update).await;
    assert_eq!(refused, "refused");
    assert_eq!(all.decide(&["accept-licence"], update).await, "changed");
    let told = all.synchronize().await;
    assert_eq!(told.accepted_eulas, [terms]);
    assert!(told.deployments.is_empty(), "accepted, and not approved");
    assert_eq!(all.decide(&["approve"], update).await, "changed");
    let told = all.synchronize().await;
    let deployed: Vec<UpdateId> = told
        .deployments
        .iter()
        .map(|held| held.revision.update_id)
        .collect();
    assert_eq!(deployed, [update]);
    assert_eq!(told.accepted_eulas, [terms]);
    // Taking the approval back does not take back that the terms were accepted.
    assert_eq!(all.decide(&["unapprove"], update).await, "changed");
    let told = all.synchronize().await;
    assert_eq!(told.dead_deployments.len(), 1);
    assert_eq!(told.accepted_eulas, [terms]);
}

/// Decisions that change, are taken back, and made again.
async fn changes(all: &mut Everybody, [installed, detected, declined]: [UpdateId; 3]) {
    let before = all.replicas[0].has.clone();
    let guid = |update| before.of(update).unwrap().deployment_guid;
    // Another decision is the same deployment with other content.
    assert_eq!(all.decide(&["approve"], detected).await, "changed");
    let told = all.synchronize().await;
    let [changed] = told.deployments.as_slice() else {
        panic!("{:?}", told.deployments)
    };
    assert_eq!(changed.deployment_guid, guid(detected));
    assert_eq!((changed.action, told.dead_deployments), (INSTALL, vec![]));
    // One that is taken back is dead.
    assert_eq!(all.decide(&["unapprove"], detected).await, "changed");
    let told = all.synchronize().await;
    assert_eq!(told.dead_deployments, [guid(detected)]);
    assert_eq!(told.deployments, []);
    // What was deployed and is declined is dead, and hidden.
    assert_eq!(all.decide(&["decline"], installed).await, "changed");
    let told = all.synchronize().await;
    assert_eq!(told.dead_deployments, [guid(installed)]);
    let hidden: BTreeSet<UpdateId> = told.hidden_updates.iter().copied().collect();
    assert_eq!(hidden, [installed, declined].into());
    // What is no longer declined is no longer on the list of what is hidden.
    assert_eq!(all.decide(&["unapprove"], declined).await, "changed");
    let told = all.synchronize().await;
    assert_eq!(told.hidden_updates, [installed]);
    // What was dead lives again, under the same GUID.
    assert_eq!(all.decide(&["approve"], installed).await, "changed");
    let told = all.synchronize().await;
    assert_eq!(told.hidden_updates, []);
    let [again] = told.deployments.as_slice() else {
        panic!("{:?}", told.deployments)
    };
    assert_eq!(again.deployment_guid, guid(installed));
}

/// New revisions and withdrawals change what was decided.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_told_of_a_new_revision_when_it_knows_that_and_not_before() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(120)).await;
    let mut all = Everybody::new(hierarchy).await;
    all.synchronize().await;
    let all_of_them = ["update", "approve", "--text", "Update", "--yes", "--json"];
    let approved = all.hierarchy.run(&all_of_them);
    let made: Value = serde_json::from_str(&approved.output).unwrap();
    serve(&mut all.hierarchy, made["position"].as_u64().unwrap()).await;
    let many = all.synchronize().await;
    assert!(many.deployments.len() > 10, "{}", many.deployments.len());

    all.hierarchy.evolve().await;
    let position = all.hierarchy.synchronize().await.verified_position;
    serve(&mut all.hierarchy, position).await;
    let behind = &mut all.replicas[0];
    let before = behind.has.clone();
    let told = behind.decisions().await;
    assert_eq!((told.deployments, told.dead_deployments), (vec![], vec![]));
    assert_eq!(behind.has.deployments, before.deployments);
    // `told` of both replicas is the same all the same: nothing was lost by asking early.
    let told = all.synchronize().await;
    assert!(!told.deployments.is_empty(), "new revisions are approved");
    assert!(!told.dead_deployments.is_empty(), "some were withdrawn");
    valid(&all.replicas);
}

/// An approval stays with the revision that it is about, unless new ones are approved too.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_fresh_knows_every_revision_that_is_approved() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(120)).await;
    let mut all = Everybody::new(hierarchy).await;
    let set = ["settings", "set", "approvals.approve-new-revisions=false"];
    all.hierarchy.run(&set);
    let all_of_them = ["update", "approve", "--text", "Update", "--yes", "--json"];
    let approved = all.hierarchy.run(&all_of_them);
    let made: Value = serde_json::from_str(&approved.output).unwrap();
    serve(&mut all.hierarchy, made["position"].as_u64().unwrap()).await;
    all.synchronize().await;
    assert_eq!(all.replicas[0].outdated(), 0);

    all.hierarchy.evolve().await;
    let position = all.hierarchy.synchronize().await.verified_position;
    serve(&mut all.hierarchy, position).await;
    // Those who come fresh know what they are told, as everybody does.
    all.synchronize().await;
    assert!(
        all.replicas[0].outdated() > 0,
        "new revisions are not approved"
    );
    valid(&all.replicas);
}
