//! Packages between two sites, and single updates by their identifiers.

use crate::fixture::{Fixture, choosing, everything, fixture};
use catalog::RevisionId;
use catalog::approval::{Approval, Cause, Record};
use catalog::header::RevisionHeader;
use catalog::item::{ItemKey, item_digest};
use central::decisions::ItemChange;
use central::in_force::{Fixed, InForce};
use central::ingest::UpdateWanted;
use central::package::origin::Allowed;
use central::package::{
    Error, ExportWanted, Exported, Order, Packages, Parts, Piece, Report, Since,
};
use central::roll_out::Register;
use link::reports::Reports;
use settings::document::Products;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use upstream::generator::GeneratorSettings;
use upstream::load;

/// What a site has to do with packages, in a folder of its own.
pub struct Desk {
    packages: Packages,
    folder: tempfile::TempDir,
}

pub const EVERYTHING: ExportWanted = ExportWanted {
    wsusutil: false,
    since: Since::Beginning,
    approvals: false,
    settings: false,
    files: None,
    dry_run: false,
};
pub const CAB: ExportWanted = ExportWanted {
    wsusutil: true,
    ..EVERYTHING
};
const LAST: ExportWanted = ExportWanted {
    since: Since::Last,
    ..EVERYTHING
};

pub async fn desk(site: &Fixture) -> Desk {
    let register = Register {
        store: site.store.clone(),
        reports: Reports::default(),
        top: "CAS".parse().unwrap(),
        address: None,
        locale: None,
    };
    let (store, journal) = (site.store.clone(), site.journal.clone());
    let (ambient, fixed) = (site.ambient.clone(), Fixed::default());
    let settings = InForce::load(store, journal, ambient, None, fixed, register);
    let settings = Box::pin(settings).await;
    let parts = Parts {
        upstream: Arc::clone(&site.upstream),
        engine: site.engine.clone(),
        journal: site.journal.clone(),
        settings: settings.unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    Desk {
        packages: Packages::new(parts, folder.path()),
        folder,
    }
}

impl Desk {
    pub async fn export(&self, wanted: ExportWanted) -> Result<(Vec<u8>, Exported), Error> {
        let (pieces, mut receiver) = tokio::sync::mpsc::channel::<Result<Piece, Error>>(4);
        let collect = async {
            let (mut bytes, mut report) = (Vec::new(), Exported::default());
            while let Some(piece) = receiver.recv().await {
                match piece.unwrap() {
                    Piece::Data(data) => bytes.extend(data),
                    Piece::Done(exported) => report = exported,
                    Piece::Progress(..) => {}
                }
            }
            (bytes, report)
        };
        let export = async {
            let pieces = pieces;
            self.packages.export("anna", wanted, &pieces).await
        };
        let (exported, collected) = tokio::join!(export, collect);
        exported.map(|()| collected)
    }

    async fn upload(&self, bytes: &[u8]) -> [u8; 32] {
        let digest = *blake3::hash(bytes).as_bytes();
        let size = bytes.len() as u64;
        let held = self.packages.offer(digest, size).await.unwrap();
        let rest = bytes[usize::try_from(held).unwrap()..].to_vec();
        self.packages.append(digest, held, rest).await.unwrap();
        digest
    }

    async fn import_with(&self, bytes: &[u8], order: Order) -> Result<Report, Error> {
        let order = Order {
            digest: self.upload(bytes).await,
            name: "a.package".to_owned(),
            ..order
        };
        self.packages
            .import("anna", order, Arc::new(|_, _, _| {}))
            .await
    }

    pub async fn import(&self, bytes: &[u8]) -> Result<Report, Error> {
        let allowed = Allowed {
            trust: true,
            ..Allowed::default()
        };
        let order = Order {
            allowed,
            ..Order::default()
        };
        self.import_with(bytes, order).await
    }

    /// What lies in the spool.
    fn spooled(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("packages"))
            .unwrap()
            .count()
    }
}

/// The revisions that a site shows, with the digests of all that is held of them.
pub async fn digests(site: &Fixture) -> BTreeMap<RevisionId, [u8; 32]> {
    let mut digests = BTreeMap::new();
    let mut read = site.store.read().await.unwrap();
    for id in site.held().await.into_keys() {
        let row = read.revision(id).await.unwrap().unwrap();
        let key = ItemKey::Revision(id).to_bytes();
        digests.insert(id, item_digest(&key, &row.header, &row.document));
    }
    digests
}

/// That somebody declined an update.
fn declined(id: RevisionId, site: &Fixture) -> Record {
    Record {
        approval: Approval::Declined,
        revision: id.revision,
        cause: Cause::Person("anna".to_owned()),
        changed_at: site.ambient.now(),
        accepted_licence: None,
    }
}

/// A site that synchronizes nothing.
pub async fn empty() -> Fixture {
    let none = load::generated(GeneratorSettings {
        seed: 9,
        updates: 0,
    });
    choosing(none, Products::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_carries_the_catalog_and_the_next_one_what_changed() {
    let (a, b) = (fixture(120).await, empty().await);
    let (from, to) = (desk(&a).await, desk(&b).await);
    assert!(matches!(from.export(EVERYTHING).await, Err(Error::Nothing)));
    a.complete(true).await;
    assert!(matches!(from.export(LAST).await, Err(Error::NoLast)));
    // Of a package that nobody takes nothing is remembered: its end is waited for.
    let (pieces, receiver) = tokio::sync::mpsc::channel(1000);
    let export = from.packages.export("anna", EVERYTHING, &pieces);
    let waits = tokio::time::timeout(Duration::from_secs(1), export).await;
    assert!(waits.is_err() && !receiver.is_empty(), "{waits:?}");
    drop(receiver);
    assert!(matches!(from.export(LAST).await, Err(Error::NoLast)));
    let (full, exported) = from.export(EVERYTHING).await.unwrap();
    assert_eq!(exported.bytes, full.len() as u64);
    let before = b.store.positions();
    let strict = to.import_with(&full, Order::default()).await.unwrap_err();
    assert!(matches!(strict, Error::UnknownKey { .. }), "{strict}");
    assert_eq!(b.store.positions(), before);
    // What only has to be allowed need not be uploaded again.
    assert_eq!(to.spooled(), 1);
    let key = Some(exported.key.parse().unwrap());
    let named = Order {
        allowed: Allowed {
            key,
            ..Allowed::default()
        },
        ..Order::default()
    };
    let dry = Order {
        dry_run: true,
        ..named.clone()
    };
    let planned = to.import_with(&full, dry).await.unwrap();
    assert_eq!((planned.run, b.store.positions()), (None, before));
    let report = to.import_with(&full, named).await.unwrap();
    assert_eq!(report.revisions, exported.revisions);
    assert!(report.run.is_some() && report.full);
    assert_eq!(to.spooled(), 0);
    assert_eq!(digests(&b).await, digests(&a).await);
    assert_eq!(b.store.positions().head, b.store.positions().verified);

    // Changes, and removals among them.
    a.source
        .catalog
        .publish_changes(5.0, a.ambient.now())
        .unwrap();
    a.complete(true).await;
    let withdrawn = a.all_ids().await.pop_last().unwrap();
    a.moods().unlisted.insert(withdrawn.update_id);
    a.complete(true).await;
    let (delta, changes) = from.export(LAST).await.unwrap();
    assert_eq!(changes.base, exported.position);
    assert!(
        delta.len() < full.len() / 2,
        "{} of {}",
        delta.len(),
        full.len()
    );
    let report = to.import_with(&delta, Order::default()).await.unwrap();
    assert!(!report.full);
    assert_eq!(digests(&b).await, digests(&a).await);

    // Once more changes nothing; what is older or of the wrong order is refused.
    let held = b.store.positions();
    to.import_with(&delta, Order::default()).await.unwrap();
    assert_eq!(b.store.positions().head, held.head);
    let older = to.import(&full).await.unwrap_err();
    assert!(matches!(older, Error::Older { .. }), "{older}");
    a.source
        .catalog
        .publish_changes(5.0, a.ambient.now())
        .unwrap();
    a.complete(true).await;
    from.export(LAST).await.unwrap();
    a.source
        .catalog
        .publish_changes(5.0, a.ambient.now())
        .unwrap();
    a.complete(true).await;
    let (late, _) = from.export(LAST).await.unwrap();
    let order = to.import(&late).await.unwrap_err();
    assert!(matches!(order, Error::WrongOrder { .. }), "{order}");
    assert_eq!(b.store.positions().head, held.head);
    // What is missing in between is in one with everything.
    let (full, _) = from.export(EVERYTHING).await.unwrap();
    to.import_with(&full, Order::default()).await.unwrap();
    assert_eq!(digests(&b).await, digests(&a).await);
    for site in [a, b] {
        site.end().await;
    }
}

/// Has the source of a site no longer list the last of these updates; which it was.
async fn withdraw(site: &Fixture, which: impl Fn(&RevisionId) -> bool) -> RevisionId {
    let held = site.held().await;
    let mut updates = held.values().filter(|row| {
        let header = RevisionHeader::from_bytes(&row.header).unwrap();
        !header.is_configuration() && which(&row.id)
    });
    let withdrawn = updates.next_back().unwrap().id;
    site.moods().unlisted.insert(withdrawn.update_id);
    withdrawn
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_package_takes_away_what_packages_brought_and_nothing_else() {
    let (a, b) = (fixture(90).await, empty().await);
    let (from, to) = (desk(&a).await, desk(&b).await);
    a.complete(true).await;
    let (full, _) = from.export(EVERYTHING).await.unwrap();
    // What the site has from elsewhere: a part of what A has.
    let c = fixture(60).await;
    c.complete(true).await;
    let (cab, _) = desk(&c).await.export(CAB).await.unwrap();
    let unsigned = to.import_with(&cab, Order::default()).await.unwrap_err();
    assert!(matches!(unsigned, Error::Unsigned), "{unsigned}");
    to.import(&cab).await.unwrap();
    let elsewhere = digests(&c).await;
    assert_eq!(digests(&b).await, elsewhere);
    to.import(&full).await.unwrap();
    let both = digests(&b).await;
    // A withdraws an update that B has from A alone, and one that B had before.
    let is_elsewhere = |id: &RevisionId| elsewhere.keys().any(|of| of.update_id == id.update_id);
    let of_both = withdraw(&a, is_elsewhere).await;
    let of_a = withdraw(&a, |id| !is_elsewhere(id)).await;
    a.complete(true).await;
    let left = digests(&a).await;
    assert!(!left.contains_key(&of_both) && !left.contains_key(&of_a));
    let (full, _) = from.export(EVERYTHING).await.unwrap();
    let report = to.import_with(&full, Order::default()).await.unwrap();
    let after = digests(&b).await;
    assert!(after.contains_key(&of_both), "{report:?}");
    assert!(!after.contains_key(&of_a), "{report:?}");
    let expected: BTreeMap<_, _> = both
        .into_iter()
        .filter(|(id, _)| left.contains_key(id) || is_elsewhere(id))
        .collect();
    assert_eq!(after, expected, "{report:?}");
    // Another hierarchy takes its place only on purpose.
    let (other, _) = desk(&c).await.export(EVERYTHING).await.unwrap();
    let refused = to.import(&other).await.unwrap_err();
    assert!(matches!(refused, Error::OtherHierarchy { .. }), "{refused}");
    let rehome = Order {
        allowed: Allowed {
            trust: true,
            rehome: true,
            key: None,
        },
        ..Order::default()
    };
    to.import_with(&other, rehome).await.unwrap();
    let own = from.import(&full).await.unwrap_err();
    assert!(matches!(own, Error::Own), "{own}");
    for site in [a, b, c] {
        site.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn approvals_travel_only_where_both_sides_ask_for_them() {
    let (a, b) = (fixture(60).await, empty().await);
    let (from, to) = (desk(&a).await, desk(&b).await);
    a.complete(true).await;
    let id = *a.held().await.keys().next().unwrap();
    let record = declined(id, &a);
    let change = ItemChange::Put {
        key: ItemKey::Approval(id.update_id),
        content: record.to_bytes(),
    };
    a.decisions.commit(vec![change]).await.unwrap();
    let (with, exported) = from
        .export(ExportWanted {
            approvals: true,
            settings: true,
            ..EVERYTHING
        })
        .await
        .unwrap();
    assert_eq!(exported.approvals, 1);
    let report = to.import(&with).await.unwrap();
    assert_eq!(report_approvals(&b, id).await, None, "{report:?}");
    let order = Order {
        approvals: true,
        ..Order::default()
    };
    to.import_with(&with, order.clone()).await.unwrap();
    assert_eq!(report_approvals(&b, id).await, Some(record.to_bytes()));
    // Asked for and not there: that is told.
    let (without, _) = from.export(EVERYTHING).await.unwrap();
    let report = to.import_with(&without, order).await.unwrap();
    assert!(
        report.remarks[0].contains("no approvals in it"),
        "{report:?}"
    );
    for site in [a, b] {
        site.end().await;
    }
}

async fn report_approvals(site: &Fixture, id: RevisionId) -> Option<Vec<u8>> {
    let key = ItemKey::Approval(id.update_id);
    let mut tx = site.store.begin().await.unwrap();
    tx.contents(&[key]).await.unwrap().remove(&key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cab_carries_the_whole_catalog_byte_for_byte() {
    let (a, b) = (fixture(120).await, empty().await);
    let (from, to) = (desk(&a).await, desk(&b).await);
    a.complete(true).await;
    let (cab, exported) = from.export(CAB).await.unwrap();
    assert_eq!(exported.revisions, a.held().await.len() as u64);
    let part = ExportWanted {
        since: Since::Position(3),
        ..CAB
    };
    assert!(matches!(
        from.export(part).await,
        Err(Error::OnlyOwnFormat(_))
    ));
    let report = to.import(&cab).await.unwrap();
    assert_eq!(report.revisions, exported.revisions);
    assert_eq!(digests(&b).await, digests(&a).await);
    // What stands before what it needs could not be imported by others.
    let path = to.folder.path().join("a.cab");
    std::fs::write(&path, &cab).unwrap();
    let package = wsus::package::Package::open(&path).unwrap();
    let mut met = std::collections::HashSet::new();
    package
        .read(|update, text| {
            let document = catalog::document::parse(&text).unwrap();
            let bundled: Vec<RevisionId> = document.bundled_revisions().collect();
            assert!(
                bundled.iter().all(|member| met.contains(member)),
                "{}",
                update.id
            );
            met.insert(update.id);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    // A cut or damaged one changes nothing.
    let held = b.store.positions();
    for bad in [&cab[..cab.len() / 2], &cab[..100]] {
        to.import(bad).await.unwrap_err();
        assert_eq!((b.store.positions(), to.spooled()), (held, 0));
    }
    for site in [a, b] {
        site.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_updates_come_with_what_they_need_and_stay() {
    // Nothing is chosen: categories come, and no update.
    let catalog = load::generated(GeneratorSettings {
        seed: 3,
        updates: 200,
    });
    let nothing = Products {
        everything: false,
        products: [].into(),
        classifications: [].into(),
    };
    let site = choosing(catalog, nothing).await;
    let desk = desk(&site).await;
    site.complete(true).await;
    let before = site.held().await;
    let all = fixture(200).await;
    all.complete(true).await;
    let (bundle, member) = all.bundle().await;
    assert!(!before.contains_key(&bundle));
    let named = UpdateWanted {
        id: bundle.update_id,
        revision: None,
    };
    let nowhere = UpdateWanted {
        id: catalog::UpdateId::from_u128(1),
        revision: None,
    };
    // Many that are nowhere are many refusals, and no reason to give up the one that is there.
    let others = (2..20).map(|number| UpdateWanted {
        id: catalog::UpdateId::from_u128(number),
        revision: None,
    });
    let wanted = [named, nowhere].into_iter().chain(others).collect();
    let (_, imported) = desk.packages.import_updates(wanted).await.unwrap();
    assert_eq!(
        imported.updates[0].found,
        Some((bundle, false)),
        "{imported:?}"
    );
    assert!(
        imported.updates[1]
            .why
            .contains("name one, as GUID.REVISION"),
        "{imported:?}"
    );
    let held = site.held().await;
    assert!(held.contains_key(&bundle) && held.contains_key(&member));
    let (_, again) = desk.packages.import_updates(vec![named]).await.unwrap();
    assert_eq!(again.updates[0].found, Some((bundle, true)));
    let error = desk
        .packages
        .import_updates(vec![nowhere])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("gives out none"), "{error}");

    // A full run that lists everything but these leaves them here.
    site.choose(everything());
    for id in [bundle, member] {
        site.moods().unlisted.insert(id.update_id);
    }
    site.complete(true).await;
    site.complete(true).await;
    let held = site.held().await;
    assert!(held.contains_key(&bundle) && held.contains_key(&member));
    // Once declined, they go as everything else does.
    let record = declined(bundle, &site);
    let change = ItemChange::Put {
        key: ItemKey::Approval(bundle.update_id),
        content: record.to_bytes(),
    };
    site.decisions.commit(vec![change]).await.unwrap();
    site.complete(true).await;
    assert!(!site.held().await.contains_key(&bundle));
    for site in [site, all] {
        site.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_another_one_requires_comes_with_it_whatever_is_chosen() {
    // The first requires the second, that the third, and the third one that the source does not have.
    let ids = [1, 2, 3, 4].map(catalog::UpdateId::from_u128);
    let folder = tempfile::tempdir().unwrap();
    for pair in ids.windows(2) {
        let (id, requires) = (pair[0], pair[1]);
        let text = format!(
            r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update"><UpdateIdentity UpdateID="{id}" RevisionNumber="203"/><Properties UpdateType="Software" CreationDate="2026-01-01T00:00:00Z" DefaultPropertiesLanguage="en" ExplicitlyDeployable="true"></Properties><LocalizedPropertiesCollection><LocalizedProperties><Language>en</Language><Title>Update</Title></LocalizedProperties></LocalizedPropertiesCollection><Relationships><Prerequisites><UpdateIdentity UpdateID="{requires}"/></Prerequisites></Relationships></Update>"#
        );
        std::fs::write(folder.path().join(format!("{id}.xml")), text).unwrap();
    }
    let nothing = Products {
        everything: false,
        products: [].into(),
        classifications: [].into(),
    };
    let site = choosing(load::directory(folder.path()).unwrap(), nothing).await;
    let desk = desk(&site).await;
    let wanted = vec![UpdateWanted {
        id: ids[0],
        revision: None,
    }];
    let (_, imported) = desk.packages.import_updates(wanted).await.unwrap();
    let found = RevisionId::new(ids[0], 203);
    assert_eq!(imported.updates[0].found, Some((found, false)));
    assert_eq!(imported.received, 3, "{imported:?}");
    let held: Vec<RevisionId> = site.held().await.into_keys().collect();
    let expected = ids[..3].iter().map(|id| RevisionId::new(*id, 203));
    assert_eq!(held, expected.collect::<Vec<_>>());
    let log = site.journal.tail(100).unwrap().join("\n");
    let told = format!("{}, which is required, could not be had", ids[3]);
    assert!(log.contains(&told), "{log}");
    // What came with it stays with it.
    site.complete(true).await;
    assert_eq!(site.held().await.len(), 3);
    site.end().await;
}
