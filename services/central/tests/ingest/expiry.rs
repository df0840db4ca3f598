//! The supersedence rules at work, compared with what the documents say.

use crate::cleanup::cleaner;
use crate::documents::{Document, Documents};
use crate::fixture::{Fixture, everything, placed};
use catalog::UpdateId;
use catalog::expiry::Expiry;
use catalog::item::{ItemKey, expiry_keys};
use catalog::well_known::{DEFINITION_UPDATES, SERVICE_PACKS, UPGRADES};
use central::cleanup::Task;
use central::expiry::{Expirer, Flagged};
use daemon::Ambient;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use settings::Settings;
use settings::document::{Approvals, Cleanup, Supersedence};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use testkit::StillClock;
use upstream::generator::GeneratorSettings;
use upstream::load;

pub const SIZE: GeneratorSettings = GeneratorSettings {
    seed: 5,
    updates: 300,
};
/// Enough for chains of supersedence.
const CHAINS: GeneratorSettings = GeneratorSettings {
    seed: 5,
    updates: 1500,
};

/// Settings that choose everything, with rules of so many months.
pub fn rules(feature_updates: u8, other_updates: u8) -> Settings {
    Settings {
        products: everything(),
        supersedence: Supersedence {
            feature_updates,
            other_updates,
        },
        // Nothing is decided by itself but by what is tested here.
        approvals: Approvals {
            approve_new_revisions: false,
            decline_expired: false,
            rules: BTreeMap::new(),
        },
        ..Settings::default()
    }
}

/// The flags that the verified catalog shows.
pub async fn flags(site: &Fixture) -> BTreeMap<UpdateId, Expiry> {
    let mut read = site.store.read().await.unwrap();
    let positions = read.positions();
    let rows = read
        .applied_records(expiry_keys(), None, 100_000)
        .await
        .unwrap();
    let mut flags = BTreeMap::new();
    for row in rows {
        assert!(row.position <= positions.verified, "all is signed");
        let ItemKey::Expiry(id) = row.key else {
            panic!("{}", row.key)
        };
        let shown = read.contents(&[row.key]).await.unwrap();
        assert_eq!(shown.get(&row.key), Some(&row.record));
        flags.insert(id, Expiry::from_bytes(&row.record).unwrap());
    }
    flags
}

/// Everything that supersedes an update, directly or through others. What a service pack supersedes does not
/// count.
fn superseding(documents: &[&Document], id: UpdateId) -> BTreeSet<UpdateId> {
    let mut found = BTreeSet::new();
    let mut open = vec![id];
    while let Some(older) = open.pop() {
        for newer in documents {
            let counts = !newer.belongs_to.contains(&SERVICE_PACKS.id);
            if counts && newer.supersedes.contains(&older) && newer.id.update_id != id {
                let newer = newer.id.update_id;
                if found.insert(newer) {
                    open.push(newer);
                }
            }
        }
    }
    found
}

/// The flags that the documents call for, and those that come later.
pub fn expected(
    documents: &Documents,
    declined: &BTreeSet<UpdateId>,
    supersedence: &Supersedence,
    now: Timestamp,
) -> (BTreeMap<UpdateId, Expiry>, Vec<Timestamp>) {
    let updates: Vec<&Document> = documents
        .0
        .values()
        .filter(|d| !d.is_configuration())
        .collect();
    let by_id: BTreeMap<UpdateId, &Document> = updates
        .iter()
        .map(|update| (update.id.update_id, *update))
        .collect();
    let (mut flags, mut later) = (BTreeMap::new(), Vec::new());
    for update in &updates {
        let id = update.id.update_id;
        if update.is_expired || update.belongs_to.contains(&DEFINITION_UPDATES.id) {
            continue;
        }
        let months = match update.belongs_to.contains(&UPGRADES.id) {
            true => supersedence.feature_updates,
            false => supersedence.other_updates,
        };
        let first = superseding(&updates, id)
            .into_iter()
            .filter(|newer| !superseding(&updates, *newer).contains(&id))
            .filter_map(|newer| {
                let newer = by_id[&newer];
                let id = newer.id.update_id;
                if newer.is_expired || declined.contains(&id) {
                    return None;
                }
                let created = newer.created.to_zoned(TimeZone::UTC);
                let since = created.checked_add(i64::from(months).months()).unwrap();
                Some((since.timestamp(), id))
            })
            .min();
        match first {
            Some((since, by)) if since <= now => {
                flags.insert(id, Expiry { since, by });
            }
            Some((since, _)) => later.push(since),
            None => {}
        }
    }
    later.sort();
    (flags, later)
}

pub fn expirer(site: &Fixture) -> Expirer {
    Expirer {
        decisions: site.decisions.clone(),
        upstream: Arc::clone(&site.upstream),
        engine: site.engine.clone(),
        journal: site.journal.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn superseded_updates_expire_as_their_documents_say() {
    let catalog = load::generated(CHAINS);
    let documents = Documents::of(&catalog).await;
    let none = BTreeSet::new();
    // In the middle of the history of the catalog, so that some are old enough and some are not.
    let newest = documents.0.values().map(|d| d.created).max().unwrap();
    let now = newest - SignedDuration::from_hours(24 * 20);
    let ambient = Ambient::seeded(Arc::new(StillClock::at(now)), 1);
    let at_once = rules(0, 0);
    let site = placed(catalog, at_once.clone(), ambient).await;
    site.complete(false).await;
    let (all, _) = expected(&documents, &none, &at_once.supersedence, now);
    assert!(all.len() > 50, "{}", all.len());
    assert_eq!(flags(&site).await, all);
    let definitions = documents.0.values();
    let definitions = definitions.filter(|d| d.belongs_to.contains(&DEFINITION_UPDATES.id));
    let superseded: BTreeSet<UpdateId> = documents
        .0
        .values()
        .flat_map(|d| &d.supersedes)
        .copied()
        .collect();
    let of_those = definitions.filter(|d| superseded.contains(&d.id.update_id));
    assert!(
        of_those.count() > 5,
        "there are definition updates to leave alone"
    );

    // Nothing happened since: nothing is done.
    let before = site.store.positions();
    site.complete(false).await;
    assert_eq!(expirer(&site).apply().await.unwrap(), Flagged::default());
    assert_eq!(site.store.positions(), before);

    // Longer rules take flags back, shorter ones set them again, without a synchronization.
    let mut held = all.len();
    for settings in [rules(3, 3), rules(0, 99), rules(12, 1)] {
        let (wanted, _) = expected(&documents, &none, &settings.supersedence, now);
        assert_ne!(wanted.len(), held, "the rules make a difference");
        held = wanted.len();
        site.set(settings);
        assert!(!expirer(&site).apply().await.unwrap().is_nothing());
        assert_eq!(flags(&site).await, wanted);
        assert!(expirer(&site).apply().await.unwrap().is_nothing());
    }
    site.end().await;
}

/// Where each flag stands in the log.
async fn places(site: &Fixture) -> BTreeMap<ItemKey, u64> {
    let mut read = site.store.read().await.unwrap();
    let rows = read.applied_records(expiry_keys(), None, 100_000).await;
    let rows = rows.unwrap().into_iter();
    rows.map(|row| (row.key, row.position)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_revision_of_what_supersedes_moves_no_flag() {
    for months in [0, 1] {
        let catalog = load::generated(CHAINS);
        let mut documents = Documents::of(&catalog).await;
        let none = BTreeSet::new();
        let newest = documents.0.values().map(|d| d.created).max().unwrap();
        let clock = Arc::new(StillClock::at(newest));
        let mut settings = rules(months, months);
        settings.cleanup = Cleanup {
            decline_expired: false,
            remove_unused_revisions: true,
            days: 0,
            ..settings.cleanup
        };
        let ambient = Ambient::seeded(Arc::clone(&clock) as _, 1);
        let site = placed(catalog, settings.clone(), ambient).await;
        site.complete(false).await;
        let mut revised = 0;
        for _ in 0..3 {
            let (before, stood) = (flags(&site).await, places(&site).await);
            clock.advance(SignedDuration::from_hours(2));
            let now = site.ambient.now();
            site.source.catalog.publish_changes(30.0, now);
            site.complete(false).await;
            let after = Documents::of(&site.source.catalog).await;
            revised += before
                .values()
                .filter(|expiry| {
                    let of_it = |d: &&Document| d.id.update_id == expiry.by && !d.is_expired;
                    let newest = |all: &Documents| {
                        let held = all.0.values().filter(of_it);
                        held.map(|d| d.id.revision).max()
                    };
                    newest(&after) > newest(&documents)
                })
                .count();
            documents = after.created_as_before(&documents);
            let (wanted, _) = expected(&documents, &none, &settings.supersedence, now);
            let mut held = flags(&site).await;
            // The flag of what its publisher withdrew is left as it is.
            for document in documents.0.values().filter(|d| d.is_expired) {
                held.remove(&document.id.update_id);
            }
            assert_eq!(held, wanted);
            let now_stand = places(&site).await;
            for (id, expiry) in before {
                let key = ItemKey::Expiry(id);
                if held.get(&id) == Some(&expiry) {
                    assert_eq!(now_stand[&key], stood[&key], "{key} was written again");
                }
            }
            // Nor does it when the old revision goes that says when the update was created.
            let report = cleaner(&site).clean("anna", false).await;
            assert!(report.done(Task::RemoveUnusedRevisions) > 0, "{report:?}");
            let applied = expirer(&site).apply().await.unwrap();
            assert_eq!(applied, Flagged::default());
            assert_eq!(places(&site).await, now_stand);
        }
        assert!(revised > 3, "{revised} flags are of revised updates");
        site.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_comes_with_its_time_though_nothing_is_synchronized() {
    let catalog = load::generated(SIZE);
    let documents = Documents::of(&catalog).await;
    let none = BTreeSet::new();
    let newest = documents.0.values().map(|d| d.created).max().unwrap();
    let settings = rules(3, 3);
    let now = newest - SignedDuration::from_hours(24 * 20);
    let clock = Arc::new(StillClock::at(now));
    let site = placed(
        catalog,
        settings.clone(),
        Ambient::seeded(Arc::clone(&clock) as _, 1),
    )
    .await;
    site.complete(false).await;
    let (_, later) = expected(&documents, &none, &settings.supersedence, now);
    let due = later[0];
    clock.advance(due.duration_since(now) - SignedDuration::from_millis(1));
    assert!(expirer(&site).apply().await.unwrap().is_nothing());
    clock.advance(SignedDuration::from_millis(1));
    let came = expirer(&site).apply().await.unwrap();
    let due_then = later.iter().filter(|time| **time == due).count() as u64;
    assert_eq!((came.expired, came.restored), (due_then, 0));
    let (wanted, _) = expected(&documents, &none, &settings.supersedence, due);
    assert_eq!(flags(&site).await, wanted);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_declined_update_supersedes_is_no_longer_expired_by_it() {
    use catalog::approval::{Approval, Cause, Record};
    let catalog = load::generated(SIZE);
    let documents = Documents::of(&catalog).await;
    let newest = documents.0.values().map(|d| d.created).max().unwrap();
    let ambient = Ambient::seeded(Arc::new(StillClock::at(newest)), 1);
    let settings = rules(0, 0);
    let site = placed(catalog, settings.clone(), ambient).await;
    site.complete(false).await;
    let by = flags(&site).await.values().next().unwrap().by;
    let record = Record {
        approval: Approval::Declined,
        revision: 1,
        cause: Cause::Person("anna".into()),
        changed_at: newest,
        accepted_licence: None,
    };
    let change = central::decisions::ItemChange::Put {
        key: ItemKey::Approval(by),
        content: record.to_bytes(),
    };
    site.decisions.commit(vec![change]).await.unwrap();
    assert!(!expirer(&site).apply().await.unwrap().is_nothing());
    let (wanted, _) = expected(&documents, &[by].into(), &settings.supersedence, newest);
    let held = flags(&site).await;
    assert_eq!(held, wanted);
    assert!(held.values().all(|expiry| expiry.by != by));
    site.end().await;
}
