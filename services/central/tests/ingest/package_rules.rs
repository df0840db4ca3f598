//! Packages that nobody exports in a test: one that changed while it was written, and one that comes to a site
//! whose rows were lost.

use crate::fixture::fixture;
use crate::packages::{CAB, Desk, EVERYTHING, desk, digests, empty};
use catalog::RevisionId;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use central::package::format::Change;
use central::package::{Error, Writer};
use jiff::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::collections::HashSet;
use trust::{Authority, HierarchyId, Statement};
use uuid::Uuid;

/// Changes of another hierarchy, signed by it.
fn signed(changes: &[Change]) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(1);
    let hierarchy = HierarchyId(Uuid::from_u128(0xA));
    let authority = Authority::create(hierarchy, Timestamp::UNIX_EPOCH, &mut random).unwrap();
    let statement = authority.sign(Statement {
        hierarchy,
        epoch: Uuid::from_u128(7),
        position: 9,
        items: 1,
        root: [1; 32],
        issued: Timestamp::UNIX_EPOCH,
        stale_after: Timestamp::UNIX_EPOCH,
    });
    let (mut writer, mut bytes) = Writer::begin();
    for change in changes {
        bytes.extend(writer.push(change).unwrap().unwrap_or_default());
    }
    let end = writer.finish(&authority, "CAS", 0, &statement, Timestamp::UNIX_EPOCH);
    bytes.extend(end.unwrap());
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_while_a_package_was_written_does_not_come() {
    let (a, b) = (fixture(60).await, empty().await);
    a.complete(true).await;
    let mut changes = Vec::new();
    let mut members = HashSet::new();
    let mut read = a.store.read().await.unwrap();
    for id in a.held().await.into_keys() {
        let row = read.revision(id).await.unwrap().unwrap();
        members.extend(RevisionHeader::from_bytes(&row.header).unwrap().bundled);
        changes.push(Change {
            key: ItemKey::Revision(id),
            header: row.header,
            document: row.document,
            removed: false,
        });
    }
    drop(read);
    let alone = |change: &&Change| {
        let header = RevisionHeader::from_bytes(&change.header).unwrap();
        !header.is_configuration() && !members.contains(&change.key.revision().unwrap())
    };
    let gone = |key: ItemKey| Change {
        key,
        header: Vec::new(),
        document: Vec::new(),
        removed: true,
    };
    let first = changes.iter().find(alone).unwrap().clone();
    let last = changes.iter().rfind(alone).unwrap().clone();
    assert_ne!(first, last);
    // More than are taken in together, so that it is removed after it came. One is removed at the end, one comes
    // again.
    let mut changes = [changes.clone(), changes.clone(), changes].concat();
    assert!(changes.len() > 500);
    changes.extend([gone(first.key), gone(last.key), last.clone()]);
    let report = desk(&b).await.import(&signed(&changes)).await.unwrap();
    let mut expected = digests(&a).await;
    let removed: RevisionId = first.key.revision().unwrap();
    expected.remove(&removed).unwrap();
    assert_eq!(digests(&b).await, expected, "{report:?}");
    for site in [a, b] {
        site.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_rows_are_made_up_for_by_a_package_of_a_hierarchy_alone() {
    let (a, b) = (fixture(60).await, empty().await);
    let (from, to): (Desk, Desk) = (desk(&a).await, desk(&b).await);
    a.complete(true).await;
    let (cab, _) = from.export(CAB).await.unwrap();
    let (full, _) = from.export(EVERYTHING).await.unwrap();
    let mut tx = b.store.begin().await.unwrap();
    tx.put_state("rows-lost", *b"1").await.unwrap();
    tx.commit().await.unwrap();
    let error = to.import(&cab).await.unwrap_err();
    assert!(matches!(error, Error::RowsLost), "{error}");
    assert_eq!(b.store.positions().head, 0);
    to.import(&full).await.unwrap();
    assert_eq!(digests(&b).await, digests(&a).await);
    let mut tx = b.store.begin().await.unwrap();
    assert_eq!(tx.state("rows-lost").await.unwrap(), None);
    drop(tx);
    for site in [a, b] {
        site.end().await;
    }
}
