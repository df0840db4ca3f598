//! The least value among everything that supersedes an update, for all updates of a catalog at once.

use super::Supersedence;
use crate::UpdateId;
use std::collections::BTreeMap;

impl Supersedence {
    /// For each update the least `value` among those that supersede it, directly or through others.
    ///
    /// What supersedes an update that supersedes it in turn (a cycle) replaces nothing, so such updates do
    /// not count for each other; what supersedes the whole cycle from outside counts for each of it. An
    /// update without a value is passed through. The effort grows with the number of relations and not with
    /// the length of chains.
    pub fn least_superseding<T: Ord + Copy>(
        &self,
        value: impl Fn(UpdateId) -> Option<T>,
    ) -> BTreeMap<UpdateId, T> {
        let mut updates: Vec<UpdateId> = self
            .successors
            .keys()
            .chain(self.predecessors.keys())
            .copied()
            .collect();
        updates.sort_unstable();
        updates.dedup();
        let place = |update: UpdateId| updates.binary_search(&update).ok();
        let newer: Vec<Vec<usize>> = updates
            .iter()
            .map(|&update| self.superseded_by(update).filter_map(place).collect())
            .collect();

        // Of each update that was met: the least value of it, its cycle and everything above them.
        let mut from_here_up: Vec<Option<T>> = vec![None; updates.len()];
        let mut found = BTreeMap::new();
        for cycle in cycles(&newer) {
            // What is above the cycle was met before; what is in it has no value yet.
            let above = cycle
                .iter()
                .flat_map(|&member| &newer[member])
                .filter_map(|&next| from_here_up[next])
                .min();
            let own = cycle.iter().filter_map(|&member| value(updates[member]));
            let least = own.chain(above).min();
            for member in cycle {
                from_here_up[member] = least;
                if let Some(above) = above {
                    found.insert(updates[member], above);
                }
            }
        }
        found
    }
}

/// The groups of places that lead to each other, most of them of one place, each group after all those
/// that its members lead to. (Tarjan's algorithm, with a stack of our own, because chains come from
/// outside and may be long.)
fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNMET: usize = usize::MAX;
    let mut found = Vec::new();
    let mut number = vec![UNMET; edges.len()];
    let mut lowest = vec![UNMET; edges.len()];
    let mut is_open = vec![false; edges.len()];
    let mut open = Vec::new();
    let mut met = 0;
    // What is being visited, outermost first, each with how many of its edges were followed.
    let mut visits: Vec<(usize, usize)> = Vec::new();
    for start in 0..edges.len() {
        if number[start] != UNMET {
            continue;
        }
        visits.push((start, 0));
        while let Some((place, followed)) = visits.last_mut() {
            let place = *place;
            if number[place] == UNMET {
                number[place] = met;
                lowest[place] = met;
                met += 1;
                open.push(place);
                is_open[place] = true;
            }
            if let Some(&next) = edges[place].get(*followed) {
                *followed += 1;
                if number[next] == UNMET {
                    visits.push((next, 0));
                } else if is_open[next] {
                    lowest[place] = lowest[place].min(number[next]);
                }
                continue;
            }
            visits.pop();
            if let Some(&(from, _)) = visits.last() {
                lowest[from] = lowest[from].min(lowest[place]);
            }
            if lowest[place] == number[place] {
                let mut group = Vec::new();
                while let Some(member) = open.pop() {
                    is_open[member] = false;
                    group.push(member);
                    if member == place {
                        break;
                    }
                }
                found.push(group);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u128) -> UpdateId {
        UpdateId::from_u128(number)
    }

    fn number(id: UpdateId) -> u128 {
        id.0.as_u128()
    }

    #[test]
    fn a_chain_of_any_length_costs_no_stack() {
        const LENGTH: u128 = 100_000;
        let chain = Supersedence::new((1..LENGTH).map(|new| (id(new), [id(new - 1)])));
        let least = chain.least_superseding(|update| Some(LENGTH - number(update)));
        assert_eq!(least.len(), LENGTH as usize - 1);
        assert!(least.values().all(|value| *value == 1));
    }

    proptest! {
        #[test]
        fn it_is_the_least_of_the_closure_without_the_cycle(
            pairs in proptest::collection::vec((0u128..12, 0u128..12), 0..40),
            valued in any::<u16>(),
        ) {
            let relations = Supersedence::new(pairs.iter().map(|&(new, old)| (id(new), [id(old)])));
            let value = |update: UpdateId| {
                let number = number(update);
                (valued >> number & 1 == 1).then_some((number * 7 % 12, update))
            };
            let least = relations.least_superseding(value);
            for update in (0..12).map(id) {
                let below = relations.all_superseded(update);
                let expected = relations
                    .all_superseding(update)
                    .into_iter()
                    .filter(|newer| !below.contains(newer))
                    .filter_map(value)
                    .min();
                prop_assert_eq!(least.get(&update).copied(), expected, "{}", update);
            }
        }
    }
}
