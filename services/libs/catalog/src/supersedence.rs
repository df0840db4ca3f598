//! Which update replaces which, directly and through others.

mod least;

use crate::UpdateId;
use std::collections::{BTreeMap, BTreeSet};

/// Who supersedes whom in a catalog.
///
/// Documents name the direct predecessors that the publisher chose, by GUID, and may name updates that the
/// catalog does not hold. Cycles do occur and mean nothing: an update never counts as its own
/// predecessor or successor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supersedence {
    predecessors: BTreeMap<UpdateId, BTreeSet<UpdateId>>,
    successors: BTreeMap<UpdateId, BTreeSet<UpdateId>>,
}

impl Supersedence {
    /// Collects the direct relations: each update with what it supersedes
    /// ([`crate::document::Update::superseded`]). Give the newest revision of each update only, because
    /// only that one's list holds.
    pub fn new<L>(updates: impl IntoIterator<Item = (UpdateId, L)>) -> Self
    where
        L: IntoIterator<Item = UpdateId>,
    {
        let mut this = Self::default();
        for (update, superseded) in updates {
            for predecessor in superseded {
                if predecessor == update {
                    continue;
                }
                this.predecessors
                    .entry(update)
                    .or_default()
                    .insert(predecessor);
                this.successors
                    .entry(predecessor)
                    .or_default()
                    .insert(update);
            }
        }
        this
    }

    /// Whether any update supersedes this one.
    pub fn is_superseded(&self, update: UpdateId) -> bool {
        self.successors.contains_key(&update)
    }

    /// The updates that supersede this one directly, by identifier.
    pub fn superseded_by(&self, update: UpdateId) -> impl Iterator<Item = UpdateId> {
        self.successors.get(&update).into_iter().flatten().copied()
    }

    /// The updates that this one supersedes directly, by identifier.
    pub fn supersedes(&self, update: UpdateId) -> impl Iterator<Item = UpdateId> {
        self.predecessors
            .get(&update)
            .into_iter()
            .flatten()
            .copied()
    }

    /// Every update that supersedes this one, directly or through others, without itself.
    pub fn all_superseding(&self, update: UpdateId) -> BTreeSet<UpdateId> {
        closure(&self.successors, update)
    }

    /// Every update that this one supersedes, directly or through others, without itself.
    pub fn all_superseded(&self, update: UpdateId) -> BTreeSet<UpdateId> {
        closure(&self.predecessors, update)
    }

    /// What to install in place of this update: those that supersede it, directly or through others, and
    /// are not superseded themselves. Empty where it is not superseded, or only by a cycle.
    pub fn replacements(&self, update: UpdateId) -> BTreeSet<UpdateId> {
        let mut newest = self.all_superseding(update);
        newest.retain(|&id| !self.is_superseded(id));
        newest
    }
}

/// Everything that can be reached from `start`, without `start`.
fn closure(edges: &BTreeMap<UpdateId, BTreeSet<UpdateId>>, start: UpdateId) -> BTreeSet<UpdateId> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(update) = open.pop() {
        for &next in edges.get(&update).into_iter().flatten() {
            if next != start && reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u128) -> UpdateId {
        UpdateId::from_u128(number)
    }

    fn supersedence(pairs: &[(u128, u128)]) -> Supersedence {
        Supersedence::new(pairs.iter().map(|&(new, old)| (id(new), [id(old)])))
    }

    #[test]
    fn a_chain_is_superseded_through_to_its_newest_member() {
        let chain = supersedence(&[(3, 2), (2, 1)]);
        assert!(chain.superseded_by(id(1)).eq([id(2)]));
        assert_eq!(chain.all_superseding(id(1)), [id(2), id(3)].into());
        assert_eq!(chain.all_superseded(id(3)), [id(1), id(2)].into());
        assert_eq!(chain.replacements(id(1)), [id(3)].into());
        assert!(!chain.is_superseded(id(3)));
        assert!(chain.supersedes(id(3)).eq([id(2)]));
    }

    #[test]
    fn a_cycle_never_makes_an_update_its_own_successor() {
        let cycle = supersedence(&[(1, 2), (2, 3), (3, 1), (1, 1)]);
        assert_eq!(cycle.all_superseding(id(1)), [id(2), id(3)].into());
        assert!(cycle.replacements(id(1)).is_empty());
    }

    #[test]
    fn an_update_that_nobody_knows_is_not_superseded() {
        let chain = supersedence(&[(2, 1)]);
        assert!(!chain.is_superseded(id(9)));
        assert!(chain.all_superseding(id(9)).is_empty());
    }

    proptest! {
        #[test]
        fn the_two_directions_agree(
            pairs in proptest::collection::vec((0u128..15, 0u128..15), 0..60),
        ) {
            let relations = supersedence(&pairs);
            for a in (0..15).map(id) {
                for b in relations.all_superseding(a) {
                    prop_assert!(relations.all_superseded(b).contains(&a));
                    prop_assert_ne!(a, b);
                    // What supersedes b supersedes a as well, unless it is a itself.
                    for c in relations.all_superseding(b) {
                        prop_assert!(c == a || relations.all_superseding(a).contains(&c));
                    }
                }
            }
        }
    }
}
