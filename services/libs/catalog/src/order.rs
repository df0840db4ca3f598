//! The order in which revisions can be imported: what an update needs comes before it.

use crate::relations::{Relations, RelationsIndex};
use std::collections::HashSet;

/// Puts revisions in topological order: prerequisites and bundle members before what needs them
/// (WSUS-PROTOCOL section 3.4). Returns the places of `entries` in that order.
///
/// Where nothing forces an order, that of `entries` is kept, so the same entries always give the same
/// order. Relations to revisions that are not among the entries are passed over. In a cycle, the relation
/// that leads back to the entry that was met first is passed over; every relation outside of cycles
/// is honoured. A revision that is listed twice is returned once, at its first place.
pub fn topological(entries: &[Relations]) -> Vec<usize> {
    let index = RelationsIndex::new(entries);
    let mut order = Vec::with_capacity(entries.len());
    let mut met: HashSet<usize> = HashSet::with_capacity(entries.len());
    // What is being visited, outermost first, each with what it needs and how much of that was visited.
    // A stack of our own, because chains of prerequisites come from outside and may be long.
    let mut open: Vec<(usize, Vec<usize>, usize)> = Vec::new();
    for (start, entry) in entries.iter().enumerate() {
        if index.revision(entry.id) != Some(start) || !met.insert(start) {
            continue;
        }
        open.push((start, needs(&index, start), 0));
        while let Some((place, needed, visited)) = open.last_mut() {
            match needed.get(*visited) {
                Some(&next) => {
                    *visited += 1;
                    if met.insert(next) {
                        let needed = needs(&index, next);
                        open.push((next, needed, 0));
                    }
                }
                None => {
                    order.push(*place);
                    open.pop();
                }
            }
        }
    }
    order
}

/// The places of everything that the entry at `place` needs, each in the order in which it is named.
/// A prerequisite names an update, and any revision of it will do: the one that is listed first is meant.
fn needs(index: &RelationsIndex<'_>, place: usize) -> Vec<usize> {
    let entry = &index.entries()[place];
    let prerequisites = entry
        .prerequisites
        .iter()
        .filter_map(|&id| index.revisions_of(id).iter().copied().min());
    let bundled = entry.bundled.iter().filter_map(|&id| index.revision(id));
    prerequisites.chain(bundled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RevisionId, UpdateId};
    use proptest::prelude::*;

    fn entry(id: u128, prerequisites: &[u128], bundled: &[u128]) -> Relations {
        Relations {
            id: revision(id),
            categories: Vec::new(),
            prerequisites: prerequisites
                .iter()
                .map(|&id| UpdateId::from_u128(id))
                .collect(),
            bundled: bundled.iter().map(|&id| revision(id)).collect(),
        }
    }

    fn revision(id: u128) -> RevisionId {
        RevisionId::new(UpdateId::from_u128(id), 200)
    }

    #[test]
    fn what_an_update_needs_comes_first() {
        let entries = [
            entry(1, &[3], &[2]),
            entry(2, &[3], &[]),
            entry(3, &[], &[]),
        ];
        assert_eq!(topological(&entries), [2, 1, 0]);
    }

    #[test]
    fn the_given_order_is_kept_where_nothing_forces_another() {
        let entries = [entry(9, &[], &[]), entry(4, &[], &[]), entry(7, &[], &[])];
        assert_eq!(topological(&entries), [0, 1, 2]);
    }

    #[test]
    fn a_cycle_is_broken_and_everything_is_returned() {
        let entries = [
            entry(1, &[2], &[]),
            entry(2, &[1], &[]),
            entry(3, &[1, 3], &[]),
        ];
        assert_eq!(topological(&entries), [1, 0, 2]);
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let entries: Vec<Relations> = (0..100_000).map(|id| entry(id, &[id + 1], &[])).collect();
        let order = topological(&entries);
        assert!(order.iter().copied().eq((0..100_000).rev()));
    }

    #[test]
    fn a_repeated_revision_is_returned_once() {
        let entries = [entry(1, &[], &[]), entry(1, &[], &[])];
        assert_eq!(topological(&entries), [0]);
    }

    proptest! {
        /// Edges that lead from a higher to a lower number have no cycle, so all must be honoured,
        /// whatever the order of the entries.
        #[test]
        fn every_relation_is_honoured_where_there_is_no_cycle(
            edges in proptest::collection::vec((0u128..40, 0u128..40, any::<bool>()), 0..120),
            order in Just((0u128..40).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let below = |id: u128, bundles: bool| -> Vec<u128> {
                edges
                    .iter()
                    .filter(|(a, b, bundle)| a.max(b) == &id && a != b && *bundle == bundles)
                    .map(|(a, b, _)| *a.min(b))
                    .collect()
            };
            let entries: Vec<Relations> = order
                .iter()
                .map(|&id| entry(id, &below(id, false), &below(id, true)))
                .collect();
            let sorted = topological(&entries);
            let mut seen = HashSet::new();
            for place in sorted {
                let entry = &entries[place];
                prop_assert!(entry.prerequisites.iter().all(|id| seen.contains(id)));
                prop_assert!(entry.bundled.iter().all(|id| seen.contains(&id.update_id)));
                prop_assert!(seen.insert(entry.id.update_id));
            }
            prop_assert_eq!(seen.len(), entries.len());
        }

        #[test]
        fn any_graph_is_put_in_an_order_that_holds_each_entry_once(
            edges in proptest::collection::vec((0u128..20, 0u128..25, any::<bool>()), 0..80),
        ) {
            let of = |id: u128, bundles: bool| -> Vec<u128> {
                edges
                    .iter()
                    .filter(|(a, _, bundle)| *a == id && *bundle == bundles)
                    .map(|(_, b, _)| *b)
                    .collect()
            };
            let entries: Vec<Relations> = (0..20).map(|id| entry(id, &of(id, false), &of(id, true))).collect();
            let mut order = topological(&entries);
            prop_assert_eq!(&order, &topological(&entries));
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..20));
        }
    }
}
