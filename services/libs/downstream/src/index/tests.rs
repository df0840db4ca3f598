use super::*;
use catalog::approval::{AcceptedLicence, Approval, Cause, Record};
use catalog::document::CategoryType;
use jiff::Timestamp;
use proptest::prelude::*;
use wsus::message::{IdAndDelta, RevisionFilter};
use wsus::selection::Selection;

const FAMILY: u128 = 1;
const PRODUCT: u128 = 2;
const OTHER: u128 = 3;
const SECURITY: u128 = 4;
const DETECTOID: u128 = 5;
const NEW: ProtocolVersion = ProtocolVersion {
    major: 1,
    minor: 20,
};
const OLD: ProtocolVersion = ProtocolVersion { major: 1, minor: 8 };

fn id(number: u128) -> UpdateId {
    UpdateId::from_u128(number)
}

/// A position for an update: its number.
fn place(number: u128) -> u64 {
    u64::try_from(number).unwrap()
}

fn revision(number: u128, revision: u32) -> RevisionId {
    RevisionId::new(id(number), revision)
}

fn entry(number: u128, position: u64) -> Entry {
    Entry {
        id: revision(number, 100),
        position,
        is_config: false,
        category: None,
        categories: Box::new([]),
        prerequisites: Box::new([]),
        bundled: Box::new([]),
        files: Box::new([]),
        licences: Box::new([]),
        document_bytes: 0,
        protocol: None,
    }
}

fn category(number: u128, position: u64, kind: CategoryType, parents: &[u128]) -> Entry {
    let parents: Box<[UpdateId]> = parents.iter().copied().map(id).collect();
    Entry {
        is_config: true,
        category: Some(kind),
        categories: parents.clone(),
        prerequisites: parents,
        ..entry(number, position)
    }
}

fn update(number: u128, position: u64, product: u128, more: &[u128]) -> Entry {
    let categories = [id(product), id(SECURITY)];
    let more = more.iter().copied().map(id);
    Entry {
        categories: categories.into(),
        prerequisites: categories.into_iter().chain(more).collect(),
        ..entry(number, position)
    }
}

/// Two products of a family, a classification and a detectoid, at the positions 1 to 5.
fn configuration() -> Draft {
    let mut draft = Draft::default();
    for entry in [
        category(FAMILY, 1, CategoryType::ProductFamily, &[]),
        category(PRODUCT, 2, CategoryType::Product, &[FAMILY]),
        category(OTHER, 3, CategoryType::Product, &[FAMILY]),
        category(SECURITY, 4, CategoryType::UpdateClassification, &[]),
        Entry {
            is_config: true,
            ..entry(DETECTOID, 5)
        },
    ] {
        put(&mut draft, entry);
    }
    draft
}

fn put(draft: &mut Draft, entry: Entry) {
    draft.put(Change::Held(Arc::new(entry)));
}

fn index(draft: &Draft) -> Index {
    let note = PositionNote {
        time: Timestamp::UNIX_EPOCH,
        epoch: uuid::Uuid::from_u128(9),
        position: 100,
        floor: 0,
    };
    Index::new(draft, note)
}

fn filter(products: &[(u128, bool)], anchor: bool) -> RevisionFilter {
    let ids = |ids: &[(u128, bool)]| {
        ids.iter()
            .map(|&(number, delta)| IdAndDelta {
                id: id(number),
                delta,
            })
            .collect()
    };
    RevisionFilter {
        anchor: anchor.then(|| "1,2026-01-01 00:00:00.000".to_owned()),
        get_config: false,
        categories: (!products.is_empty()).then(|| ids(products)),
        classifications: (!products.is_empty()).then(|| ids(&[(SECURITY, anchor)])),
        languages: vec![],
    }
}

/// The numbers of the updates that are listed, in their order.
#[track_caller]
fn check(index: &Index, filter: &RevisionFilter, since: Since, expected: &[u128]) {
    let selection = Selection::new(filter).unwrap();
    let listed = index.list(&selection, since, NEW);
    let listed: Vec<u128> = listed.iter().map(|id| id.update_id.0.as_u128()).collect();
    assert_eq!(listed, expected);
}

#[test]
fn a_list_holds_what_the_filter_selects() {
    let mut draft = configuration();
    put(&mut draft, update(10, 10, PRODUCT, &[]));
    put(&mut draft, update(11, 11, OTHER, &[]));
    let index = index(&draft);
    let config = RevisionFilter {
        get_config: true,
        ..RevisionFilter::default()
    };
    let everything = [FAMILY, PRODUCT, OTHER, SECURITY, DETECTOID];
    check(&index, &config, Since::Beginning, &everything);
    check(&index, &filter(&[], false), Since::Beginning, &[10, 11]);
    let one = filter(&[(PRODUCT, false)], false);
    check(&index, &one, Since::Beginning, &[10]);
    // A family stands for its products.
    let family = filter(&[(FAMILY, false)], false);
    check(&index, &family, Since::Beginning, &[10, 11]);
    for none in [None, Some(vec![])] {
        let no_classification = RevisionFilter {
            classifications: none,
            ..one.clone()
        };
        check(&index, &no_classification, Since::Beginning, &[]);
    }
}

#[test]
fn a_delta_holds_what_changed_and_all_of_what_was_chosen_since() {
    let mut draft = configuration();
    put(&mut draft, update(10, 10, PRODUCT, &[]));
    put(&mut draft, update(11, 20, PRODUCT, &[]));
    put(&mut draft, update(12, 11, OTHER, &[]));
    let index = index(&draft);
    let delta = filter(&[(PRODUCT, true)], true);
    check(&index, &delta, Since::Position(10), &[11]);
    check(&index, &delta, Since::Position(20), &[]);
    check(&index, &delta, Since::Everything, &[]);
    check(&index, &delta, Since::Beginning, &[10, 11]);
    let chosen_since = filter(&[(PRODUCT, true), (OTHER, false)], true);
    check(&index, &chosen_since, Since::Position(10), &[12, 11]);
}

#[test]
fn what_an_update_needs_comes_with_it_and_before_it() {
    let mut draft = configuration();
    // A bundle of a member without a category, and an update that requires one of another product.
    let bundle = Entry {
        bundled: [revision(31, 100)].into(),
        ..update(30, 10, PRODUCT, &[DETECTOID])
    };
    put(&mut draft, bundle);
    put(&mut draft, entry(31, 40));
    put(&mut draft, update(20, 11, PRODUCT, &[21]));
    put(&mut draft, update(21, 41, OTHER, &[]));
    let one = filter(&[(PRODUCT, false)], false);
    check(&index(&draft), &one, Since::Beginning, &[31, 30, 21, 20]);
}

#[test]
fn what_cannot_be_delivered_is_not_listed_until_it_can() {
    let mut draft = configuration();
    put(&mut draft, update(20, 11, PRODUCT, &[DETECTOID, 21]));
    let bundle = Entry {
        bundled: [revision(20, 100)].into(),
        ..update(30, 12, PRODUCT, &[])
    };
    put(&mut draft, bundle);
    put(&mut draft, update(40, 13, PRODUCT, &[]));
    let one = filter(&[(PRODUCT, true)], true);
    let before = index(&draft);
    assert_eq!(before.withheld(), 2);
    check(&before, &one, Since::Beginning, &[40]);
    // What it lacked comes: both are new to who synchronized meanwhile.
    put(&mut draft, update(21, 50, OTHER, &[]));
    let after = index(&draft);
    assert_eq!(after.withheld(), 0);
    check(&after, &one, Since::Position(13), &[21, 20, 30]);
    // A further revision of what is needed makes nothing new of what needs it.
    let revised = Entry {
        id: revision(21, 200),
        ..update(21, 60, OTHER, &[])
    };
    put(&mut draft, revised);
    check(&index(&draft), &one, Since::Position(50), &[]);
    draft.put(Change::Gone(revision(21, 100)));
    draft.tidy();
    check(&index(&draft), &one, Since::Position(50), &[]);
}

#[test]
fn of_an_update_the_newest_revision_is_listed_and_of_a_bundle_the_members_it_names() {
    let mut draft = configuration();
    put(&mut draft, update(10, 10, PRODUCT, &[]));
    let newer = Entry {
        id: revision(10, 300),
        ..update(10, 20, PRODUCT, &[])
    };
    put(&mut draft, newer);
    let bundle = Entry {
        bundled: [revision(10, 100)].into(),
        ..update(30, 30, OTHER, &[])
    };
    put(&mut draft, bundle);
    let index = index(&draft);
    let list = |products: &[(u128, bool)]| {
        let selection = Selection::new(&filter(products, false)).unwrap();
        index.list(&selection, Since::Beginning, NEW)
    };
    assert_eq!(list(&[(PRODUCT, false)]), [revision(10, 300)]);
    assert_eq!(
        list(&[(OTHER, false)]),
        [revision(10, 100), revision(30, 100)]
    );
}

#[test]
fn a_server_of_an_older_protocol_gets_nothing_that_holds_what_it_cannot_have() {
    let mut draft = configuration();
    let member = Entry {
        protocol: Some(NEW),
        ..entry(31, 9)
    };
    put(&mut draft, member);
    let bundle = Entry {
        bundled: [revision(31, 100)].into(),
        protocol: Some(OLD),
        ..update(30, 10, PRODUCT, &[])
    };
    put(&mut draft, bundle);
    put(&mut draft, update(40, 11, PRODUCT, &[]));
    let index = index(&draft);
    let selection = Selection::new(&filter(&[(PRODUCT, false)], false)).unwrap();
    let list = |protocol| index.list(&selection, Since::Beginning, protocol).len();
    assert_eq!((list(OLD), list(NEW)), (1, 3));
}

#[test]
fn files_are_known_that_a_revision_has() {
    let file = |number, bytes| NamedFile {
        sha1: [number; 20],
        bytes,
    };
    let mut draft = Draft::default();
    let with_files = Entry {
        files: [file(1, 10)].into(),
        licences: [file(2, 20)].into(),
        ..entry(10, 1)
    };
    put(&mut draft, with_files);
    let index = index(&draft);
    let known = [1, 3, 2].map(|number| index.file(&[number; 20]));
    assert_eq!(known, [Some(file(1, 10)), None, Some(file(2, 20))]);
}

fn decided(draft: &mut Draft, number: u128, position: u64, approval: Option<Approval>) {
    let record = approval.map(|approval| {
        Arc::new(Record {
            approval,
            revision: 100,
            cause: Cause::Person("anna".into()),
            changed_at: Timestamp::UNIX_EPOCH,
            accepted_licence: Some(AcceptedLicence {
                terms: uuid::Uuid::from_u128(77),
                person: "anna".into(),
                at: Timestamp::UNIX_EPOCH,
            }),
        })
    });
    let decision = Decision { position, record };
    draft.put(Change::Decided(id(number), decision));
}

#[test]
fn decisions_are_told_once_and_what_is_declined_always() {
    let mut draft = configuration();
    for number in 10..15 {
        put(&mut draft, update(number, place(number), PRODUCT, &[]));
    }
    decided(
        &mut draft,
        10,
        20,
        Some(Approval::Install { deadline: None }),
    );
    decided(&mut draft, 11, 30, Some(Approval::Declined));
    decided(&mut draft, 12, 40, Some(Approval::NotApproved));
    decided(&mut draft, 13, 50, None);
    // Of what is not here nobody is told.
    decided(
        &mut draft,
        99,
        60,
        Some(Approval::Install { deadline: None }),
    );
    let index = index(&draft);
    let told = |since, knows| index.deployments(Delta { since, knows }, NEW);
    let all = told(Since::Beginning, Since::Beginning);
    assert_eq!(all.groups.len(), 2);
    let [install] = all.deployments.as_slice() else {
        panic!("{:?}", all.deployments)
    };
    assert_eq!((install.revision, install.action), (revision(10, 100), 0));
    assert_eq!(all.hidden_updates, [id(11)]);
    assert_eq!(all.accepted_eulas, [uuid::Uuid::from_u128(77)]);
    assert_eq!(all.dead_deployments.len(), 4);
    let later = told(Since::Position(30), Since::Position(100));
    assert!(later.deployments.is_empty());
    assert_eq!(later.dead_deployments.len(), 3);
    assert_eq!(later.hidden_updates, [id(11)], "told always");
    // Who does not know the catalog of a decision is not told of it yet.
    let behind = told(Since::Position(10), Since::Position(25));
    assert_eq!(behind.deployments, all.deployments);
    assert!(behind.dead_deployments.is_empty());
    // The same update has the same deployment, whatever is decided.
    decided(&mut draft, 10, 70, Some(Approval::NotApproved));
    let delta = Delta {
        since: Since::Position(60),
        knows: Since::Position(100),
    };
    let dead = super::tests::index(&draft).deployments(delta, NEW);
    assert_eq!(dead.dead_deployments, [install.deployment_guid]);
}

#[test]
fn an_approval_is_told_when_what_was_approved_can_be_had() {
    let mut draft = configuration();
    let bundle = Entry {
        bundled: [revision(31, 100)].into(),
        ..update(30, 10, PRODUCT, &[])
    };
    put(&mut draft, bundle);
    let install = Some(Approval::Install { deadline: None });
    decided(&mut draft, 30, 20, install);
    let told = |draft: &Draft, since, knows, protocol| {
        let (since, knows) = (Since::Position(since), Since::Position(knows));
        let answer = index(draft).deployments(Delta { since, knows }, protocol);
        answer.deployments.len()
    };
    assert_eq!(told(&draft, 15, 25, NEW), 0, "a part is not here");
    // The part comes, and with it the bundle, to who knows of it; the decision is older than the anchor.
    let member = Entry {
        protocol: Some(NEW),
        ..entry(31, 50)
    };
    put(&mut draft, member);
    assert_eq!(told(&draft, 25, 40, NEW), 0, "the part is not known yet");
    assert_eq!(told(&draft, 25, 50, NEW), 1);
    assert_eq!(told(&draft, 50, 60, NEW), 0, "once");
    assert_eq!(told(&draft, 25, 50, OLD), 0, "it cannot have the part");
}

#[test]
fn what_is_approved_is_listed_too_where_there_is_a_newer_revision() {
    let revised = |number, revised, position, bundled: &[RevisionId]| Entry {
        id: revision(number, revised),
        bundled: bundled.into(),
        ..update(number, position, PRODUCT, &[])
    };
    let mut draft = configuration();
    put(&mut draft, entry(31, 9));
    put(&mut draft, revised(10, 100, 10, &[revision(31, 100)]));
    let install = Some(Approval::Install { deadline: None });
    decided(&mut draft, 10, 20, install);
    let list = |draft: &Draft, since| {
        let selection = Selection::new(&filter(&[(PRODUCT, true)], true)).unwrap();
        index(draft).list(&selection, since, NEW)
    };
    let told = |draft: &Draft, since| {
        let delta = Delta {
            since,
            knows: Since::Position(100),
        };
        let told = index(draft).deployments(delta, NEW).deployments;
        told.iter().map(|held| held.revision).collect::<Vec<_>>()
    };
    let (member, approved, newest) = (revision(31, 100), revision(10, 100), revision(10, 200));
    assert_eq!(list(&draft, Since::Beginning), [member, approved]);
    // A newer one, about which nobody decided.
    put(&mut draft, revised(10, 200, 30, &[]));
    let all = [member, approved, newest];
    assert_eq!(list(&draft, Since::Beginning), all, "to who comes fresh");
    assert_eq!(told(&draft, Since::Beginning), [approved]);
    // Who has the approved one gets the newer one, and no more.
    assert_eq!(list(&draft, Since::Position(25)), [newest]);
    assert_eq!(list(&draft, Since::Position(30)), []);
    assert_eq!(told(&draft, Since::Position(25)), []);
    // An approval of the older one comes after who synchronized got the newer one alone.
    decided(&mut draft, 10, 40, None);
    assert_eq!(list(&draft, Since::Beginning), [newest]);
    decided(&mut draft, 10, 50, install);
    assert_eq!(list(&draft, Since::Position(45)), [member, approved]);
    assert_eq!(told(&draft, Since::Position(45)), [approved]);
    assert_eq!(list(&draft, Since::Position(50)), []);
    // What is declined is no more than the newest.
    decided(&mut draft, 10, 60, Some(Approval::Declined));
    assert_eq!(list(&draft, Since::Beginning), [newest]);
}

proptest! {
    /// Whatever needs what: nothing is listed without what it needs, and what is needed comes first unless in a
    /// cycle.
    #[test]
    fn whatever_needs_what_a_list_is_complete(
        edges in proptest::collection::vec((10u128..30, 10u128..32, any::<bool>()), 0..40),
    ) {
        let mut draft = configuration();
        for number in 10..30 {
            let of = |bundles| edges.iter().filter(move |edge| edge.0 == number && edge.2 == bundles);
            let bundled = of(true).map(|edge| revision(edge.1, 100)).collect();
            let more: Vec<u128> = of(false).map(|edge| edge.1).collect();
            let product = if number % 2 == 0 { PRODUCT } else { OTHER };
            let update = update(number, place(number), product, &more);
            put(&mut draft, Entry { bundled, ..update });
        }
        let index = index(&draft);
        let selection = Selection::new(&filter(&[(PRODUCT, false)], false)).unwrap();
        let listed = index.list(&selection, Since::Beginning, NEW);
        let held: std::collections::HashSet<u128> =
            listed.iter().map(|id| id.update_id.0.as_u128()).collect();
        prop_assert_eq!(held.len(), listed.len());
        for edge in edges.iter().filter(|edge| held.contains(&edge.0)) {
            prop_assert!(held.contains(&edge.1), "{} needs {}", edge.0, edge.1);
        }
    }
}
