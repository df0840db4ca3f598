//! What a parent may serve instead of the truth.

use crate::parent::{Lie, Offer, Parent};
use bytes::Bytes;
use std::sync::Arc;
use uuid::Uuid;
use wire::v1::Change;

pub struct Case {
    pub name: &'static str,
    /// What the message says about it.
    pub says: &'static str,
    pub lie: Lie,
}

fn case(
    name: &'static str,
    says: &'static str,
    lie: impl Fn(&mut Offer) + Send + Sync + 'static,
) -> Case {
    Case {
        name,
        says,
        lie: Arc::new(lie),
    }
}

/// The first change that brings something.
fn first(offer: &mut Offer) -> &mut Change {
    let mut changes = offer.batches.iter_mut().flatten();
    changes.find(|change| !change.removed).unwrap()
}

fn flip(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes.into()
}

const NOT_SIGNED: &str = "its items are not the ones that were signed";
const NUMBER: &str = "it holds ";
const FORGED: &str = "the statement was altered, or is not signed by this hierarchy's authority";

/// Lies about what the catalog holds.
pub fn lies_in_changes() -> Vec<Case> {
    vec![
        case("a byte of a header", NOT_SIGNED, |offer| {
            let change = first(offer);
            change.header = flip(&change.header);
        }),
        case("a byte of a document", NOT_SIGNED, |offer| {
            let change = first(offer);
            change.document = flip(&change.document);
        }),
        case("two items that changed their keys", NOT_SIGNED, |offer| {
            let mut changes = offer.batches.iter_mut().flatten();
            let mut changes = changes.by_ref().filter(|change| !change.removed);
            let (one, other) = (changes.next().unwrap(), changes.next().unwrap());
            std::mem::swap(&mut one.key, &mut other.key);
        }),
        case("an item that is left out", NUMBER, |offer| {
            let batch = offer.batches.last_mut().unwrap();
            let place = batch.iter().position(|change| !change.removed).unwrap();
            batch.remove(place);
        }),
        case("a removal that is left out", NUMBER, |offer| {
            for batch in &mut offer.batches {
                batch.retain(|change| !change.removed);
            }
        }),
        case("a removal that never was", NUMBER, |offer| {
            let change = first(offer);
            (change.header, change.document) = (Bytes::new(), Bytes::new());
            change.removed = true;
        }),
        case("an item that never was", "it ends at position ", |offer| {
            let mut change = first(offer).clone();
            let batch = offer.batches.last_mut().unwrap();
            change.position = batch.last().unwrap().position + 1;
            change.key = flip(&change.key);
            batch.push(change);
        }),
        case("an item in place of a removal", NUMBER, |offer| {
            let mut made_up = first(offer).clone();
            let mut changes = offer.batches.iter_mut().flatten();
            let removal = changes.find(|change| change.removed).unwrap();
            made_up.position = removal.position;
            made_up.key = flip(&made_up.key);
            *removal = made_up;
        }),
        case("an answer without its last changes", NUMBER, |offer| {
            offer.batches.last_mut().unwrap().truncate(3);
        }),
        case("an answer without any change", NUMBER, |offer| {
            offer.batches.clear()
        }),
        case(
            "positions in another order",
            "cannot follow position",
            |offer| {
                let batch = offer.batches.last_mut().unwrap();
                let last = batch.len() - 1;
                batch.swap(last, last - 1);
            },
        ),
        case("a position twice", "cannot follow position", |offer| {
            let batch = offer.batches.last_mut().unwrap();
            batch[2].position = batch[1].position;
        }),
        case("a key that is none", "is malformed", |offer| {
            first(offer).key = Bytes::from_static(b"\x01nonsense");
        }),
        case("a key of an unknown kind", "is malformed", |offer| {
            first(offer).key = Bytes::from_static(b"\xff");
        }),
        case("a removal with content", "a removal has content", |offer| {
            first(offer).removed = true;
        }),
        case("a header that is too large", "it is too large", |offer| {
            first(offer).header = vec![0; (1 << 20) + 1].into();
        }),
        case(
            "bytes that are no batch",
            "a batch cannot be read",
            |offer| {
                offer.garbage.push(Bytes::from_static(&[0xff; 64]));
            },
        ),
        case(
            "an answer that is cut off",
            "it ended before its statement",
            |offer| {
                offer.statement = None;
            },
        ),
        case(
            "an answer that is cut off at once",
            "it ended before its statement",
            |offer| {
                offer.batches.clear();
                offer.statement = None;
            },
        ),
        case(
            "an answer without a plan",
            "it does not begin with a plan",
            |offer| {
                offer.plan = None;
            },
        ),
        case(
            "a plan of nonsense",
            "the field epoch is not usable",
            |offer| {
                offer.plan.as_mut().unwrap().epoch = b"epoch".to_vec();
            },
        ),
    ]
}

/// Lies about what was signed. The parent has what it lies with from the hierarchy's own past, or makes
/// it up.
pub fn lies_in_statements(parent: &Parent) -> Vec<Case> {
    let statement = |name, says, statement: Vec<u8>| {
        case(name, says, move |offer| {
            offer.statement = Some(statement.clone())
        })
    };
    let altered = |place: usize| {
        let mut statement = parent.statement(0);
        let place = statement.len() - 1 - place;
        statement[place] ^= 1;
        statement
    };
    let elsewhere = Uuid::from_u128(7);
    vec![
        statement(
            "the statement from before",
            "it ends at position ",
            parent.statement(1),
        ),
        statement(
            "an older statement",
            "was already verified here",
            parent.statement(2),
        ),
        case("an older catalog", "was already verified here", {
            let older = parent.statement(2);
            move |offer| {
                offer.batches.clear();
                offer.statement = Some(older.clone());
            }
        }),
        case(
            "another catalog at the same place",
            "names another catalog",
            {
                let fork = parent.signed(|statement| {
                    let held = trust::SignedStatement::from_bytes(&parent.statement(1)).unwrap();
                    statement.clone_from(held.claimed());
                    statement.root[0] ^= 1;
                });
                move |offer| {
                    offer.batches.clear();
                    offer.statement = Some(fork.clone());
                }
            },
        ),
        statement("a signature with a wrong bit", FORGED, altered(0)),
        statement("a root with a wrong bit", FORGED, altered(100)),
        statement(
            "the right root, signed by another key",
            FORGED,
            parent.forged(|_| {}),
        ),
        statement(
            "a statement of another hierarchy",
            "the statement belongs to hierarchy",
            parent.signed(|statement| statement.hierarchy = trust::HierarchyId(elsewhere)),
        ),
        statement(
            "a statement of another epoch",
            "it is of another epoch",
            parent.signed(|statement| statement.epoch = elsewhere),
        ),
        statement(
            "another number of items",
            NUMBER,
            parent.signed(|statement| statement.items += 1),
        ),
        statement(
            "bytes that are no statement",
            "damaged or of an unknown version",
            vec![1; 20],
        ),
    ]
}
