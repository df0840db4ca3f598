//! A parent that lies to a child which compares its catalog. Whatever it says, the child goes on showing
//! what it showed, until it is told what was signed.

use crate::child::{Child, shown};
use crate::parent::{Answer, LieAboutDigests, Parent};
use prost::Message as _;
use std::sync::Arc;
use testkit::patience::LONG;
use testkit::until;
use wire::v1::{ChangeBatch, FetchItemsResponse, MerkleNode};

/// Number of the message that says what was refused, and of the one that says why a run failed.
const STATEMENT_REFUSED: u32 = 9005;
const SYNC_FAILED: u32 = 6703;
const CATALOG_REPAIRED: u32 = 9015;
const EPOCH_CHANGED: u32 = 9013;

struct Case {
    name: &'static str,
    says: &'static str,
    /// Whether it can only be a lie, and not damage.
    refused: bool,
    lie: LieAboutDigests,
}

const TREE: &str = "its tree is not the one that was signed";
const FORGED: &str = "the statement was altered, or is not signed by this hierarchy's authority";
const DAMAGED: &str = "does not hold what its own statement says";
const BEHIND: &str = "parent CAS is behind this site";
const NOT_LISTED: &str = "it is not what was listed before";

fn case(
    name: &'static str,
    says: &'static str,
    lie: impl Fn(Answer<'_>) + Send + Sync + 'static,
) -> Case {
    Case {
        name,
        says,
        refused: ![DAMAGED, BEHIND].contains(&says),
        lie: Arc::new(lie),
    }
}

/// Lies about statements and nodes.
fn lies_at_the_top(parent: &Parent) -> Vec<Case> {
    let statement = |name, says, statement: Vec<u8>| {
        case(name, says, move |answer| {
            if let Answer::Nodes(nodes) = answer {
                nodes.statement.clone_from(&statement);
            }
        })
    };
    let nodes = |name, change: fn(&mut Vec<u8>)| {
        case(name, TREE, move |answer| {
            if let Answer::Nodes(nodes) = answer {
                change(&mut nodes.nodes);
            }
        })
    };
    vec![
        statement("a forged statement", FORGED, parent.forged(|_| {})),
        statement(
            "no statement but bytes",
            "damaged or of an unknown version",
            vec![3; 9],
        ),
        statement("an older statement", BEHIND, parent.statement(2)),
        nodes("another node", |nodes| nodes[40] ^= 1),
        nodes("a node too few", |nodes| nodes.truncate(255 * 32)),
        nodes("a node too many", |nodes| nodes.extend([0; 32])),
        nodes("no nodes", Vec::clear),
    ]
}

fn lies_in_buckets() -> Vec<Case> {
    let buckets = |name, says, change: fn(&mut Vec<MerkleNode>)| {
        case(name, says, move |answer| {
            if let Answer::Buckets(buckets) = answer {
                change(&mut buckets.nodes);
            }
        })
    };
    vec![
        buckets("another bucket", TREE, |nodes| nodes[0].buckets[9] ^= 1),
        buckets("a bucket too few", TREE, |nodes| {
            nodes[0].buckets.drain(..33);
        }),
        buckets(
            "a node left out",
            "other nodes than were asked for",
            |nodes| {
                nodes.pop();
            },
        ),
        buckets("another node", TREE, |nodes| nodes[0].node ^= 1),
        buckets(
            "half a bucket",
            "a part of its tree cannot be read",
            |nodes| {
                nodes[0].buckets.pop();
            },
        ),
        buckets("a node that is none", "it named no node", |nodes| {
            nodes[0].node = 256
        }),
    ]
}

fn lies_in_items() -> Vec<Case> {
    /// The length of a key, the key, and a digest.
    const ITEM: usize = 1 + 21 + 32;
    let list = |name, says, change: fn(&mut Vec<u8>)| {
        case(name, says, move |answer| {
            if let Answer::Items(items) = answer {
                let mut lists = items.buckets.iter_mut();
                let list = lists.find(|list| !list.items.is_empty()).unwrap();
                change(&mut list.items);
            }
        })
    };
    vec![
        list("another digest", DAMAGED, |items| items[ITEM - 1] ^= 1),
        list("an item left out", DAMAGED, |items| {
            items.drain(..ITEM);
        }),
        list("an item twice", DAMAGED, |items| {
            items.extend_from_within(..ITEM);
        }),
        list("a key that is none", "of kind 9", |items| items[1] = 9),
        list("half a digest", "is cut off", |items| {
            items.pop();
        }),
        case(
            "a list too few",
            "other places than were asked for",
            |answer| {
                if let Answer::Items(items) = answer {
                    items.buckets.pop();
                }
            },
        ),
        case(
            "lists in another order",
            "other places than were asked for",
            |answer| {
                if let Answer::Items(items) = answer {
                    items.buckets.reverse();
                }
            },
        ),
    ]
}

fn lies_in_contents() -> Vec<Case> {
    let batches = |name, says, change: fn(&mut ChangeBatch)| {
        case(name, says, move |answer| {
            if let Answer::Fetched(batches) = answer {
                let mut batch = ChangeBatch::decode(batches[0].batch.clone()).unwrap();
                change(&mut batch);
                batches[0].batch = batch.encode_to_vec().into();
            }
        })
    };
    vec![
        batches("another document", NOT_LISTED, |batch| {
            batch.changes[0].document = b"x".to_vec().into();
        }),
        batches("another key", NOT_LISTED, |batch| {
            let mut key = batch.changes[0].key.to_vec();
            key[5] ^= 1;
            batch.changes[0].key = key.into();
        }),
        batches("a removal", "a removal has content", |batch| {
            batch.changes[0].removed = true;
        }),
        batches("no place", "it is no item", |batch| {
            batch.changes[0].position = 0
        }),
        batches(
            "nothing in a batch",
            "something else than was asked for",
            |batch| {
                batch.changes.clear();
            },
        ),
        case(
            "more than was asked for",
            "something else than was asked for",
            |answer| {
                if let Answer::Fetched(batches) = answer {
                    let more: Vec<FetchItemsResponse> =
                        batches.iter().cloned().cycle().take(99).collect();
                    batches.extend(more);
                }
            },
        ),
        case(
            "bytes that are no batch",
            "a batch cannot be read",
            |answer| {
                if let Answer::Fetched(batches) = answer {
                    batches[0].batch = vec![0xff; 40].into();
                }
            },
        ),
    ]
}

async fn check(parent: &Parent, child: &Child, case: &Case) {
    let before = (shown(&child.site.store).await, child.site.store.positions());
    let id = match case.refused {
        true => STATEMENT_REFUSED,
        false => SYNC_FAILED,
    };
    let told = child.messages(id).await.len();
    parent.compare(Some(Arc::clone(&case.lie)));
    parent.request_sync();
    until(&format!("{}: it is refused", case.name), LONG, || async {
        match &child.messages(id).await[told..] {
            [] => Err(format!("nothing was said: {:?}", child.site.engine.state())),
            [message, ..] => {
                assert!(message.contains(case.says), "{}: {message}", case.name);
                assert!(message.contains("CAS"), "{}: {message}", case.name);
                Ok(())
            }
        }
    })
    .await;
    let after = (shown(&child.site.store).await, child.site.store.positions());
    assert_eq!(after.1.verified, before.1.verified, "{}", case.name);
    assert_eq!(after.1.epoch, before.1.epoch, "{}", case.name);
    assert!(after.0 == before.0, "{}", case.name);

    parent.compare(None);
    follows(parent, child, case.name).await;
}

/// Waits until the child has what the parent has.
async fn follows(parent: &Parent, child: &Child, name: &str) {
    until(&format!("{name}: the truth is taken"), LONG, || async {
        let (mine, theirs) = (child.site.store.positions(), parent.positions());
        let there = (mine.epoch, mine.verified) == (theirs.epoch, theirs.verified);
        there.then_some(()).ok_or_else(|| format!("{mine:?}"))
    })
    .await;
    let root = child.site.store.recompute_root().await.unwrap();
    assert_eq!(
        root,
        parent.store().recompute_root().await.unwrap(),
        "{name}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_not_signed_is_taken_over_and_the_truth_is_taken_afterwards() {
    let parent = Parent::start().await;
    let settings = |folder: &std::path::Path| parent.child_settings("PR1", folder);
    let child = Child::start(settings, None).await;
    parent.compare(None);
    child.reaches(parent.positions().verified).await;
    for _ in 0..2 {
        parent.publish().await;
        parent.request_sync();
        child.reaches(parent.positions().verified).await;
    }
    for number in 0..lies_at_the_top(&parent).len() {
        parent.begin_anew().await;
        check(&parent, &child, &lies_at_the_top(&parent)[number]).await;
    }
    let cases = [lies_in_buckets(), lies_in_items(), lies_in_contents()];
    for case in cases.iter().flatten() {
        parent.begin_anew().await;
        check(&parent, &child, case).await;
    }
    assert!(!child.messages(EPOCH_CHANGED).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_spoilt_on_its_way_is_repaired_in_the_same_run() {
    let parent = Parent::start().await;
    let settings = |folder: &std::path::Path| parent.child_settings("PR1", folder);
    let child = Child::start(settings, None).await;
    parent.compare(None);
    child.reaches(parent.positions().verified).await;
    parent.publish().await;
    parent.tell(Some(Arc::new(|offer| {
        if let Some(change) = offer.batches.iter_mut().flatten().find(|c| !c.removed) {
            change.document = b"x".to_vec().into();
        }
    })));
    parent.request_sync();
    follows(&parent, &child, "a spoilt batch").await;
    assert_eq!(
        child.messages(STATEMENT_REFUSED).await,
        Vec::<String>::new()
    );
    assert_eq!(child.messages(CATALOG_REPAIRED).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_another_epoch_takes_nothing_away() {
    let parent = Parent::start().await;
    let settings = |folder: &std::path::Path| parent.child_settings("PR1", folder);
    let child = Child::start(settings, None).await;
    child.reaches(parent.positions().verified).await;
    let before = shown(&child.site.store).await;
    parent.publish().await;
    parent.tell(Some(Arc::new(|offer| {
        offer.plan.as_mut().unwrap().epoch = uuid::Uuid::from_u128(7).as_bytes().to_vec();
    })));
    let failed = child.messages(SYNC_FAILED).await.len();
    parent.request_sync();
    until("the run fails", LONG, || async {
        let failures = child.messages(SYNC_FAILED).await.len();
        (failures > failed)
            .then_some(())
            .ok_or_else(|| format!("{failures}"))
    })
    .await;
    assert!(shown(&child.site.store).await == before);
    parent.tell(None);
    parent.compare(None);
    follows(&parent, &child, "a plan of another epoch").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_without_a_tree_is_asked_again_until_it_has_one() {
    let parent = Parent::start().await;
    let settings = |folder: &std::path::Path| parent.child_settings("PR1", folder);
    let child = Child::start(settings, None).await;
    child.reaches(parent.positions().verified).await;
    let before = shown(&child.site.store).await;
    parent.begin_anew().await;
    parent.request_sync();
    until("it says why it cannot go on", LONG, || async {
        let failed = child.messages(SYNC_FAILED).await;
        let told = |why: &String| why.contains("did not answer the comparison");
        let told = failed.iter().any(told);
        told.then_some(()).ok_or_else(|| format!("{failed:?}"))
    })
    .await;
    assert!(shown(&child.site.store).await == before);
    parent.compare(None);
    follows(&parent, &child, "a parent without a tree").await;
}
