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

    /// Replaces whom this site may ask.
    pub fn may_ask(&mut self, others: Vec<Address>) {
        self.others = others;
        self.others.truncate(MAX_OTHERS);
        self.others.retain(|other| *other != self.named);
        self.others.push(self.named.clone());
        self.others.retain(|other| !self.own.contains(other));
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

    /// Makes another the parent.
    pub fn lead_to(&mut self, parent: Address) {
        self.own
            .retain(|own| own.point == parent.point && *own != parent);
        self.own.insert(0, parent);
        let others = std::mem::take(&mut self.others);
        self.may_ask(others);
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
    fn a_new_parent_takes_the_place_of_the_old_one() {
        let others = vec![address("PR1-2", "new"), address("CAS", "cas")];
        let mut ways = Ways::new(vec![], address("PR1", "old"), others);
        ways.lead_to(address("PR1-2", "new"));
        assert_eq!(
            dialled(&ways, 6),
            ["new", "new", "cas", "new", "old", "new"]
        );
        ways.may_ask(vec![address("PR1", "old"), address("PR1-2", "new")]);
        assert_eq!(dialled(&ways, 4), ["new", "new", "old", "new"]);
    }
}
