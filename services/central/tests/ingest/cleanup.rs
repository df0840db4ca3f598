//! The clean-up, compared with what the catalog and the decisions call for.

use crate::documents::Documents;
use crate::expiry::{SIZE, flags, rules};
use crate::fixture::{Fixture, placed};
use catalog::approval::{Approval, Cause, Record};
use catalog::document::PublicationState;
use catalog::header::RevisionHeader;
use catalog::item::{ItemKey, approval_keys};
use catalog::{RevisionId, UpdateId};
use central::cleanup::{Cleaner, Report, Task};
use central::decisions::ItemChange;
use daemon::Ambient;
use jiff::{SignedDuration, Timestamp};
use settings::Settings;
use settings::document::Cleanup;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use testkit::StillClock;
use upstream::load;

const DAYS: u16 = 30;
const DEPLOYED_DAYS: u16 = 90;

fn settings() -> Settings {
    Settings {
        cleanup: Cleanup {
            decline_expired: true,
            decline_superseded: true,
            remove_unused_revisions: true,
            days: DAYS,
            undeployed_days: DEPLOYED_DAYS,
            unneeded_content: true,
            content_days: 7,
            history_days: 365,
        },
        ..rules(3, 1)
    }
}

pub fn cleaner(site: &Fixture) -> Cleaner {
    Cleaner::new(
        site.decisions.clone(),
        Arc::clone(&site.upstream),
        site.journal.clone(),
    )
}

/// A site whose catalog has been revised again and again, and nothing of it cleaned up.
async fn grown() -> (Fixture, Arc<StillClock>) {
    let catalog = load::generated(SIZE);
    let documents = Documents::of(&catalog).await;
    let newest = documents.0.values().map(|d| d.created).max().unwrap();
    let start = newest + SignedDuration::from_hours(24);
    let clock = Arc::new(StillClock::at(start));
    let ambient = Ambient::seeded(Arc::clone(&clock) as _, 1);
    let site = placed(catalog, settings(), ambient).await;
    site.complete(false).await;
    for _ in 0..3 {
        clock.advance(SignedDuration::from_hours(2));
        site.source
            .catalog
            .publish_changes(20.0, site.ambient.now());
        site.complete(false).await;
    }
    (site, clock)
}

async fn headers(site: &Fixture) -> BTreeMap<RevisionId, RevisionHeader> {
    let held = site.held().await.into_values();
    held.map(|row| (row.id, RevisionHeader::from_bytes(&row.header).unwrap()))
        .collect()
}

async fn records(site: &Fixture) -> BTreeMap<UpdateId, Record> {
    let mut read = site.store.read().await.unwrap();
    let rows = read
        .applied_records(approval_keys(), None, 100_000)
        .await
        .unwrap();
    let record = |row: store::records::RecordRow| match row.key {
        ItemKey::Approval(id) => (id, Record::from_bytes(&row.record).unwrap()),
        ItemKey::Revision(_) | ItemKey::Expiry(_) | ItemKey::Settings => panic!("{}", row.key),
    };
    rows.into_iter().map(record).collect()
}

/// What the clean-up is to do once everything has been there for long enough.
struct Expected {
    expired: BTreeSet<UpdateId>,
    superseded: BTreeSet<UpdateId>,
    removed: BTreeSet<RevisionId>,
}

async fn expected(site: &Fixture) -> Expected {
    let headers = headers(site).await;
    let records = records(site).await;
    let flags = flags(site).await;
    let newest: BTreeMap<UpdateId, RevisionId> =
        headers.keys().map(|id| (id.update_id, *id)).collect();
    let is_newest = |id: &RevisionId| newest[&id.update_id] == *id;
    let approval = |id: &UpdateId| records.get(id).map(|record| record.approval);
    let is_deployed = |id: &UpdateId| approval(id).is_some_and(Approval::is_deployed);
    let (mut expired, mut superseded) = (BTreeSet::new(), BTreeSet::new());
    let updates: BTreeMap<UpdateId, &RevisionHeader> = headers
        .iter()
        .filter(|(id, header)| is_newest(id) && !header.is_configuration())
        .map(|(id, header)| (id.update_id, header))
        .collect();
    let is_expired = |id: &UpdateId| {
        updates[id].publication_state == PublicationState::Expired || flags.contains_key(id)
    };
    for (id, header) in &updates {
        if !header.explicitly_deployable || is_deployed(id) {
            continue;
        }
        // All that supersedes it, by looking at everything again and again.
        let mut above = BTreeSet::from([*id]);
        loop {
            let more: Vec<UpdateId> = updates
                .iter()
                .filter(|(newer, header)| {
                    !above.contains(*newer) && header.superseded.iter().any(|id| above.contains(id))
                })
                .map(|(newer, _)| *newer)
                .collect();
            if more.is_empty() {
                break;
            }
            above.extend(more);
        }
        above.remove(id);
        if is_expired(id) {
            expired.insert(*id);
        } else if above.iter().any(|newer| {
            matches!(approval(newer), Some(Approval::Install { .. })) && !is_expired(newer)
        }) {
            superseded.insert(*id);
        }
    }
    // Kept is what is newest or approved, and what that bundles.
    let mut kept: BTreeSet<RevisionId> = BTreeSet::new();
    let mut open: Vec<RevisionId> = headers
        .keys()
        .filter(|id| {
            let record = records.get(&id.update_id);
            is_newest(id)
                || record.is_some_and(|r| r.approval.is_approved() && r.revision == id.revision)
        })
        .copied()
        .collect();
    while let Some(id) = open.pop() {
        if kept.insert(id) {
            let members = headers[&id].bundled.iter();
            open.extend(members.filter(|id| headers.contains_key(*id)));
        }
    }
    let removed = headers
        .keys()
        .filter(|id| !kept.contains(id))
        .copied()
        .collect();
    Expected {
        expired,
        superseded,
        removed,
    }
}

/// Approves some updates: those that supersede others, and one in a revision that is not its newest.
async fn approve(site: &Fixture) -> RevisionId {
    let headers = headers(site).await;
    let flags = flags(site).await;
    let newest: BTreeMap<UpdateId, RevisionId> =
        headers.keys().map(|id| (id.update_id, *id)).collect();
    let approve = |id: RevisionId, approval| ItemChange::Put {
        key: ItemKey::Approval(id.update_id),
        content: Record {
            approval,
            revision: id.revision,
            cause: Cause::Person("anna".into()),
            changed_at: site.ambient.now(),
            accepted_licence: None,
        }
        .to_bytes(),
    };
    let install = Approval::Install { deadline: None };
    let mut changes: Vec<ItemChange> = headers
        .iter()
        .filter(|(id, header)| newest[&id.update_id] == **id && !header.superseded.is_empty())
        .map(|(id, _)| approve(*id, install))
        .step_by(3)
        .collect();
    // One that is flagged, so that it is not declined; another one, which is, was approved for detection.
    let mut flagged = flags
        .keys()
        .filter(|id| headers[&newest[*id]].explicitly_deployable);
    changes.push(approve(newest[flagged.next().unwrap()], install));
    changes.push(approve(
        newest[flagged.next().unwrap()],
        Approval::Detection,
    ));
    let old = headers
        .iter()
        .find(|(id, header)| {
            newest[&id.update_id] != **id
                && !header.is_configuration()
                && header.explicitly_deployable
        })
        .map(|(id, _)| *id)
        .expect("something was revised");
    changes.push(approve(old, install));
    site.decisions.commit(changes).await.unwrap();
    old
}

fn done(report: &Report) -> [usize; 3] {
    [
        Task::DeclineExpired,
        Task::DeclineSuperseded,
        Task::RemoveUnusedRevisions,
    ]
    .map(|task| usize::try_from(report.done(task)).unwrap())
}

/// What became of the catalog is what was expected.
async fn check(site: &Fixture, expected: &Expected, before: &BTreeSet<RevisionId>, now: Timestamp) {
    let declined: BTreeSet<UpdateId> = records(site)
        .await
        .into_iter()
        .filter(|(_, record)| record.approval == Approval::Declined)
        .map(|(id, record)| {
            assert_eq!(record.cause, Cause::Cleanup);
            assert_eq!(record.changed_at, now);
            id
        })
        .collect();
    let wanted: BTreeSet<UpdateId> = expected
        .expired
        .union(&expected.superseded)
        .copied()
        .collect();
    assert_eq!(declined, wanted);
    let held: BTreeSet<RevisionId> = site.held().await.into_keys().collect();
    let wanted: BTreeSet<RevisionId> = before.difference(&expected.removed).copied().collect();
    assert_eq!(held, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clean_up_does_exactly_what_is_due_and_once() {
    let (site, clock) = grown().await;
    let cleaner = cleaner(&site);
    let old = approve(&site).await;
    let before: BTreeSet<RevisionId> = site.held().await.into_keys().collect();

    // Nothing is old enough yet.
    let positions = site.store.positions();
    let early = cleaner.clean("anna", false).await;
    assert_eq!(done(&early), [0; 3], "{early:?}");
    assert_eq!(site.store.positions(), positions);

    clock.advance(SignedDuration::from_hours(24 * i64::from(DAYS) + 1));
    let expected = expected(&site).await;
    let counts = [
        expected.expired.len(),
        expected.superseded.len(),
        expected.removed.len(),
    ];
    assert!(counts.iter().all(|count| *count > 3), "{counts:?}");
    assert!(
        !expected.removed.contains(&old),
        "an approved revision stays"
    );

    let dry = cleaner.clean("anna", true).await;
    assert!(dry.dry_run && dry.failure.is_empty());
    assert_eq!(done(&dry), counts);
    assert_eq!(
        site.store.positions(),
        positions,
        "a dry run changes nothing"
    );
    assert_eq!(cleaner.last().await.unwrap().unwrap(), early);

    let report = cleaner.clean("anna", false).await;
    assert_eq!(done(&report), counts, "{report:?}");
    assert_eq!((report.all_left(), report.failure.as_str()), (0, ""));
    check(&site, &expected, &before, site.ambient.now()).await;
    assert_eq!(cleaner.last().await.unwrap().unwrap(), report);
    let after = site.store.positions();
    assert_eq!(after.head, after.verified, "all of it is signed");

    let again = cleaner.clean("anna", false).await;
    assert_eq!(done(&again), [0; 3], "{again:?}");
    assert_eq!(site.store.positions(), after);

    // What was removed is not fetched again, though the source lists it.
    site.moods().served.clear();
    site.moods().appear = expected.removed.iter().copied().collect();
    site.complete(true).await;
    let served: BTreeSet<RevisionId> = site.moods().served.iter().copied().collect();
    assert!(served.is_disjoint(&expected.removed));
    check(&site, &expected, &before, report.finished).await;
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_that_is_broken_off_goes_on_where_it_was() {
    let (site, clock) = grown().await;
    let cleaner = cleaner(&site);
    approve(&site).await;
    let before: BTreeSet<RevisionId> = site.held().await.into_keys().collect();
    clock.advance(SignedDuration::from_hours(24 * i64::from(DAYS) + 1));
    let expected = expected(&site).await;
    for milliseconds in (0..60).step_by(4) {
        let some = Duration::from_millis(milliseconds);
        drop(tokio::time::timeout(some, cleaner.clean("anna", false)).await);
    }
    let report = cleaner.clean("anna", false).await;
    assert_eq!((report.all_left(), report.failure.as_str()), (0, ""));
    check(&site, &expected, &before, site.ambient.now()).await;
    let root = site.store.recompute_root().await.unwrap();
    let signed = site
        .store
        .read()
        .await
        .unwrap()
        .signed_statement()
        .await
        .unwrap();
    assert_eq!(signed.unwrap().claimed().root, root);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_update_waits_after_its_deployment_and_a_mandatory_one_stays() {
    let catalog = load::generated(SIZE);
    let documents = Documents::of(&catalog).await;
    let superseded: BTreeSet<UpdateId> = documents
        .0
        .values()
        .flat_map(|document| document.supersedes.iter().copied())
        .collect();
    let (mut approved, mut old) = (Vec::new(), Vec::new());
    for document in documents.0.values().filter(|d| d.is_deployable) {
        match superseded.contains(&document.id.update_id) {
            _ if document.is_expired => {}
            true if document.supersedes.is_empty() => old.push(document.id),
            false if !document.supersedes.is_empty() => approved.push(document.id),
            true | false => {}
        }
    }
    let newest = documents.0.values().map(|d| d.created).max().unwrap();
    let clock = Arc::new(StillClock::at(newest));
    let ambient = Ambient::seeded(Arc::clone(&clock) as _, 1);
    let settings = Settings {
        supersedence: rules(99, 99).supersedence,
        ..settings()
    };
    let site = placed(catalog, settings, ambient).await;
    let [plain, by_rule, deployed, mandatory] = old[..4] else {
        panic!("{old:?}")
    };
    site.moods().mandatory.insert(mandatory.update_id);
    site.complete(false).await;
    let decided = |id: RevisionId, approval, cause| ItemChange::Put {
        key: ItemKey::Approval(id.update_id),
        content: Record {
            approval,
            revision: id.revision,
            cause,
            changed_at: newest,
            accepted_licence: None,
        }
        .to_bytes(),
    };
    let person = || Cause::Person("anna".into());
    let install = Approval::Install { deadline: None };
    let mut changes: Vec<ItemChange> = approved
        .iter()
        .map(|id| decided(*id, install, person()))
        .collect();
    // It was approved for install until then.
    changes.push(decided(deployed, Approval::NotApproved, person()));
    let rule = Cause::Rule("detection".into());
    changes.push(decided(by_rule, Approval::Detection, rule));
    site.decisions.commit(changes).await.unwrap();

    let declined = async |days: u16, less: SignedDuration| {
        let due = newest + SignedDuration::from_hours(24 * i64::from(days)) - less;
        clock.advance(due.duration_since(site.ambient.now()));
        let report = cleaner(&site).clean("anna", false).await;
        assert_eq!(report.failure, "");
        let records = records(&site).await;
        [plain, by_rule, deployed, mandatory].map(|id| {
            let record = records.get(&id.update_id);
            record.is_some_and(|record| record.approval == Approval::Declined)
        })
    };
    let (short, none) = (SignedDuration::from_millis(1), SignedDuration::ZERO);
    assert_eq!(declined(DAYS, short).await, [false; 4]);
    assert_eq!(declined(DAYS, none).await, [true, true, false, false]);
    let last = DEPLOYED_DAYS;
    assert_eq!(declined(last, short).await, [true, true, false, false]);
    assert_eq!(declined(last, none).await, [true, true, true, false]);
    assert_eq!(declined(400, none).await, [true, true, true, false]);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_left_alone() {
    let (site, clock) = grown().await;
    clock.advance(SignedDuration::from_hours(24 * 400));
    let mut off = settings();
    off.cleanup = Cleanup {
        decline_expired: false,
        decline_superseded: false,
        remove_unused_revisions: false,
        ..off.cleanup
    };
    site.set(off);
    let before = site.store.positions();
    let runs = site
        .store
        .read()
        .await
        .unwrap()
        .runs(100)
        .await
        .unwrap()
        .len();
    let report = cleaner(&site).clean("anna", false).await;
    assert_eq!(done(&report), [0; 3]);
    assert_eq!(site.store.positions(), before);
    // History goes in any case; the last run that completed stays.
    assert!(report.done(Task::History) >= runs as u64 - 1, "{report:?}");
    let left = site.store.read().await.unwrap().runs(100).await.unwrap();
    assert_eq!(left.len(), 1);
    site.end().await;
}
