//! Whom a site dials next: its parent, and while that does not answer, others that may know where it belongs.

use crate::address::{Address, MAX_OTHERS};

/// Dials of the parent that do not succeed before others are asked, too.
const FAILURES_BEFORE_OTHERS: u32 = 2;

/// The addresses that a site knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// The parent, the surest address first. Never empty.
    own: Vec<Address>,
    /// Others that may know where this site belongs.
    others: Vec<Address>,
    /// What an administrator named, asked after all others.
    named: Address,
}

impl Ways {
    /// The ways of a site to its parent at one of the addresses `own`, at `named` where there is none, and to
    /// others.
    pub fn new(own: Vec<Address>, named: Address, others: Vec<Address>) -> Self {
        let mut ways = Self {
            own,
            others: Vec::new(),
            named: named.clone(),
        };
        if ways.own.is_empty() {
            ways.own.push(named);
        }
        ways.own.dedup();
        ways.may_ask(others);
        ways
    }

    /// Adds others whom this site may ask. Those that were known come after them, and the oldest of them go:
    /// a parent that has just started knows nobody yet, and what it says must not cut this site off from who
    /// does.
    pub fn may_ask(&mut self, others: Vec<Address>) {
        for known in others.into_iter().chain(std::mem::take(&mut self.others)) {
            let is_held = [&self.own, &self.others]
                .iter()
                .any(|held| held.contains(&known));
            if !is_held && known != self.named {
                self.others.push(known);
            }
        }
        self.others.truncate(MAX_OTHERS);
        if !self.own.contains(&self.named) {
            self.others.push(self.named.clone());
        }
    }

    /// Others whom this site may ask.
    pub fn others(&self) -> &[Address] {
        &self.others
    }

    /// Whom to ask, at turn after turn, where this site belongs: never the parent, whom a second conversation
    /// would cost the first.
    pub fn other(&self, turn: usize) -> Option<&Address> {
        let parent = self.own.first().map(|own| own.point);
        let others = |other: &&Address| Some(other.point) != parent;
        let count = self.others.iter().filter(others).count();
        let turn = turn.checked_rem(count)?;
        self.others.iter().filter(others).nth(turn)
    }

    /// Makes another the parent. The one before is among the others from then on.
    pub fn lead_to(&mut self, parent: Address) {
        let known = std::mem::replace(&mut self.own, vec![parent]);
        let (own, former): (Vec<_>, Vec<_>) = known
            .into_iter()
            .filter(|known| *known != self.own[0])
            .partition(|known| known.point == self.own[0].point);
        self.own.extend(own);
        self.may_ask(former);
    }

    /// Whom to dial after so many dials in a row that did not succeed: the parent, and after
    /// some failures in turn with it the others, one after the other.
    pub fn after(&self, failures: u32) -> &Address {
        let own = |turn: usize| &self.own[turn % self.own.len()];
        let Some(turn) = failures.checked_sub(FAILURES_BEFORE_OTHERS) else {
            return own(failures as usize);
        };
        let turn = turn as usize;
        let round = turn / 2;
        match (turn % 2, self.others.len()) {
            (_, 0) => own(turn),
            (0, others) => &self.others[round % others],
            (_, _) => own(round),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(point: &str, url: &str) -> Address {
        Address {
            point: point.parse().unwrap(),
            url: url.to_owned(),
        }
    }

    fn dialled(ways: &Ways, most: u32) -> Vec<&str> {
        let dialled = (0..most).map(|failures| ways.after(failures).url.as_str());
        dialled.collect()
    }

    #[test]
    fn others_are_asked_in_turn_with_the_parent() {
        let others = vec![address("CAS", "cas"), address("PR1-2", "pr1-2")];
        let named = address("PR1", "pr1");
        let ways = Ways::new(vec![named.clone()], named, others);
        assert_eq!(
            dialled(&ways, 8),
            ["pr1", "pr1", "cas", "pr1", "pr1-2", "pr1", "cas", "pr1"]
        );
    }

    #[test]
    fn who_knows_only_the_parent_has_nobody_to_ask() {
        let parent = address("PR1", "a");
        let mut ways = Ways::new(vec![parent.clone()], parent, vec![]);
        assert_eq!(ways.other(0), None);
        ways.may_ask(vec![address("CAS", "cas"), address("PR1-2", "pr1-2")]);
        let asked = [0, 1, 2].map(|turn| ways.other(turn).unwrap().url.as_str());
        assert_eq!(asked, ["cas", "pr1-2", "cas"]);
        // Away and back, to another address than the one that was named.
        ways.lead_to(address("PR1-2", "pr1-2"));
        ways.lead_to(address("PR1", "b"));
        let asked = [0, 1, 2].map(|turn| ways.other(turn).unwrap().url.as_str());
        assert!(!asked.contains(&"a") && !asked.contains(&"b"), "{asked:?}");
    }

    #[test]
    fn without_others_every_address_of_the_parent_is_dialled() {
        let own = vec![address("PR1", "a"), address("PR1", "b")];
        let ways = Ways::new(own, address("PR1", "a"), vec![]);
        assert_eq!(dialled(&ways, 4), ["a", "b", "a", "b"]);
    }

    #[test]
    fn who_was_known_is_asked_when_a_new_parent_knows_nobody() {
        let named = address("CAS", "cas");
        let mut ways = Ways::new(vec![address("PR1", "pr1")], named, vec![]);
        ways.may_ask(vec![address("PR1-2", "pr1-2")]);
        ways.lead_to(address("PR1-2", "pr1-2"));
        ways.may_ask(vec![]);
        let others: Vec<&str> = ways
            .others()
            .iter()
            .map(|known| known.url.as_str())
            .collect();
        assert_eq!(others, ["pr1", "cas"]);
    }

    #[test]
    fn the_others_are_bounded_and_the_oldest_go() {
        let named = address("PR1", "named");
        let mut ways = Ways::new(vec![address("PR1", "own")], named.clone(), vec![]);
        for number in 0..3 * MAX_OTHERS {
            ways.may_ask(vec![address("CAS", &format!("at {number}"))]);
        }
        assert_eq!(ways.others().len(), MAX_OTHERS + 1);
        assert_eq!(
            ways.others()[0],
            address("CAS", &format!("at {}", 3 * MAX_OTHERS - 1))
        );
        assert_eq!(ways.others().last(), Some(&named));
    }

    #[test]
    fn a_new_parent_takes_the_place_of_the_old_one() {
        let others = vec![address("PR1-2", "new"), address("CAS", "cas")];
        let mut ways = Ways::new(vec![], address("PR1", "old"), others);
        ways.lead_to(address("PR1-2", "new"));
        assert_eq!(
            dialled(&ways, 6),
            ["new", "new", "cas", "new", "old", "new"]
        );
        // Whom the new parent does not name is still known.
        ways.may_ask(vec![address("PR1", "older"), address("PR1-2", "new")]);
        assert_eq!(
            dialled(&ways, 8),
            ["new", "new", "older", "new", "cas", "new", "old", "new"]
        );
    }
}
