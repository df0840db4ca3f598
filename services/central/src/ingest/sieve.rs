//! What of the revisions that a source lists is kept.
//!
//! A source that follows the filter lists selected updates and what they bundle, members before bundles as
//! a rule. Members belong to no classification, so by themselves they say nothing: they are carried along
//! until what bundles them comes, and dropped where nothing does. A source may also list more than was
//! asked for.

use super::prepared::Prepared;
use catalog::selection::Selection;
use catalog::{RevisionId, UpdateId};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// Most that is carried along: revisions, and bytes of their stored documents.
const CARRIED: usize = if cfg!(feature = "simulation") {
    20
} else {
    1000
};
const CARRIED_BYTES: usize = 16 << 20;

/// What is kept by itself.
#[derive(Debug)]
enum Rule {
    Everything,
    /// Categories and detectoids.
    Configuration,
    /// Those, and selected updates.
    Selected(Selection),
}

/// Keeps what is selected, and what that bundles.
#[derive(Debug)]
pub(super) struct Sieve {
    rule: Rule,
    /// Whether what belongs to no category is kept, as members are.
    keeps_members: bool,
    /// Kept when they come, whatever they say.
    wanted: HashSet<RevisionId>,
    /// What kept updates name as prerequisites.
    needed: HashSet<UpdateId>,
    carried: BTreeMap<RevisionId, Prepared>,
    /// The order in which they came.
    order: VecDeque<RevisionId>,
    carried_bytes: usize,
    dropped: Vec<RevisionId>,
}

impl Sieve {
    fn new(rule: Rule) -> Self {
        Self {
            rule,
            keeps_members: false,
            wanted: HashSet::new(),
            needed: HashSet::new(),
            carried: BTreeMap::new(),
            order: VecDeque::new(),
            carried_bytes: 0,
            dropped: Vec::new(),
        }
    }

    /// Keeps all.
    pub(super) fn everything() -> Self {
        Self::new(Rule::Everything)
    }

    /// Keeps categories and detectoids.
    pub(super) fn configuration() -> Self {
        Self::new(Rule::Configuration)
    }

    /// Keeps those, selected updates, and what they bundle.
    pub(super) fn selected(selection: Selection) -> Self {
        Self::new(Rule::Selected(selection))
    }

    /// Keeps what belongs to no category too: what is asked for by name, and was wanted once.
    pub(super) fn and_members(mut self) -> Self {
        self.keeps_members = true;
        self
    }

    /// Keeps these too when they come, whatever they say.
    pub(super) fn want(&mut self, ids: impl IntoIterator<Item = RevisionId>) {
        self.wanted.extend(ids);
    }

    /// What is kept now that `item` has come, members before what bundles them.
    pub(super) fn sift(&mut self, item: Prepared) -> Vec<Prepared> {
        if matches!(self.rule, Rule::Everything) {
            return vec![item];
        }
        if !self.keeps(&item) {
            self.carry(item);
            return Vec::new();
        }
        let mut kept = Vec::new();
        let mut open = vec![item];
        while let Some(item) = open.pop() {
            self.needed.extend(&item.prerequisites);
            for member in &item.header.bundled {
                match self.carried.remove(member) {
                    Some(member) => {
                        self.carried_bytes -= member.stored.len();
                        open.push(member);
                    }
                    None => {
                        self.wanted.insert(*member);
                    }
                }
            }
            kept.push(item);
        }
        kept.reverse();
        kept
    }

    fn keeps(&mut self, item: &Prepared) -> bool {
        let header = &item.header;
        self.wanted.remove(&item.id)
            || header.is_configuration()
            || (self.keeps_members && header.categories.is_empty())
            || match &self.rule {
                Rule::Everything => true,
                Rule::Configuration => false,
                Rule::Selected(selection) => selection.matches(&header.categories),
            }
    }

    fn carry(&mut self, item: Prepared) {
        self.carried_bytes += item.stored.len();
        self.order.push_back(item.id);
        self.carried.insert(item.id, item);
        if self.order.len() > 2 * CARRIED {
            self.order.retain(|id| self.carried.contains_key(id));
        }
        while self.carried.len() > CARRIED || self.carried_bytes > CARRIED_BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.drop_carried(oldest);
        }
    }

    fn drop_carried(&mut self, id: RevisionId) {
        // What was kept after all is no longer among them.
        if let Some(item) = self.carried.remove(&id) {
            self.carried_bytes -= item.stored.len();
            self.dropped.push(id);
        }
    }

    /// Everything has come: what was dropped though something kept needs it, and is wanted from now on.
    pub(super) fn needed_after_all(&mut self) -> Vec<RevisionId> {
        while let Some(id) = self.order.pop_front() {
            self.drop_carried(id);
        }
        let (needed, dropped): (Vec<_>, Vec<_>) = std::mem::take(&mut self.dropped)
            .into_iter()
            .partition(|id| self.needed.contains(&id.update_id) || self.wanted.contains(id));
        self.dropped = dropped;
        self.wanted.extend(&needed);
        needed
    }

    /// What came and is not kept.
    pub(super) fn dropped(&self) -> &[RevisionId] {
        &self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::document::{PublicationState, UpdateType};
    use catalog::header::RevisionHeader;
    use jiff::Timestamp;

    const PRODUCT: u128 = 1;
    const SECURITY: u128 = 2;
    const OTHER: u128 = 3;

    fn id(number: u128) -> UpdateId {
        UpdateId::from_u128(number)
    }

    fn revision(number: u128) -> RevisionId {
        RevisionId::new(id(number), 200)
    }

    fn item(number: u128, categories: &[u128], bundled: &[u128], needs: &[u128]) -> Prepared {
        Prepared {
            id: revision(number),
            header: RevisionHeader {
                document_digest: [0; 32],
                document_bytes: 0,
                update_type: UpdateType::Software,
                publication_state: PublicationState::Published,
                creation_date: Timestamp::UNIX_EPOCH,
                title: number.to_string(),
                kb_article_ids: vec![],
                msrc_severity: None,
                explicitly_deployable: true,
                is_mandatory: false,
                categories: categories.iter().copied().map(id).collect(),
                superseded: vec![],
                bundled: bundled.iter().copied().map(revision).collect(),
                file_locations: vec![],
            },
            stored: vec![0; 10],
            bytes: 10,
            prerequisites: needs.iter().copied().map(id).collect(),
        }
    }

    fn sieve() -> Sieve {
        Sieve::selected(Selection {
            categories: [id(PRODUCT)].into(),
            classifications: [id(SECURITY)].into(),
        })
    }

    fn sift(sieve: &mut Sieve, item: Prepared) -> Vec<u128> {
        let kept = sieve.sift(item).into_iter();
        kept.map(|item| item.id.update_id.0.as_u128()).collect()
    }

    const CHOSEN: [u128; 2] = [PRODUCT, SECURITY];

    #[test]
    fn members_are_kept_whether_they_come_before_or_after_what_bundles_them() {
        let mut sieve = sieve();
        assert!(sift(&mut sieve, item(12, &[], &[], &[])).is_empty());
        assert!(sift(&mut sieve, item(11, &[], &[12], &[])).is_empty());
        let bundle = item(10, &CHOSEN, &[11, 13], &[]);
        assert_eq!(sift(&mut sieve, bundle), [12, 11, 10]);
        assert_eq!(sift(&mut sieve, item(13, &[OTHER], &[], &[])), [13]);
        assert!(sieve.needed_after_all().is_empty());
        assert!(sieve.dropped().is_empty());
    }

    #[test]
    fn what_is_not_selected_is_dropped_with_its_members() {
        let mut sieve = sieve();
        assert!(sift(&mut sieve, item(11, &[], &[], &[])).is_empty());
        let other = item(10, &[OTHER, SECURITY], &[11], &[]);
        assert!(sift(&mut sieve, other).is_empty());
        assert!(sift(&mut sieve, item(20, &[PRODUCT], &[], &[])).is_empty());
        assert!(sieve.needed_after_all().is_empty());
        assert_eq!(sieve.dropped(), [11, 10, 20].map(revision));
    }

    #[test]
    fn a_prerequisite_that_was_dropped_is_asked_for_again_and_kept() {
        let mut sieve = sieve();
        assert!(sift(&mut sieve, item(30, &[OTHER], &[], &[31])).is_empty());
        assert_eq!(sift(&mut sieve, item(10, &CHOSEN, &[], &[30])), [10]);
        assert_eq!(sieve.needed_after_all(), [revision(30)]);
        assert_eq!(sift(&mut sieve, item(30, &[OTHER], &[], &[31])), [30]);
        assert!(sieve.needed_after_all().is_empty());
    }

    #[test]
    fn a_member_that_was_carried_too_long_is_asked_for_again() {
        let mut sieve = sieve();
        let first = 1000;
        let many = CARRIED as u128 + 5;
        for number in first..first + many {
            assert!(sift(&mut sieve, item(number, &[], &[], &[])).is_empty());
        }
        assert_eq!(sieve.carried.len(), CARRIED);
        assert_eq!(sift(&mut sieve, item(10, &CHOSEN, &[first], &[])), [10]);
        assert_eq!(sieve.needed_after_all(), [revision(first)]);
        assert_eq!(sieve.carried_bytes, 0);
        assert_eq!(sift(&mut sieve, item(first, &[], &[], &[])), [first]);
    }

    #[test]
    fn the_configuration_alone_passes_where_no_update_is_asked_for() {
        let mut sieve = Sieve::configuration();
        let mut detectoid = item(1, &[], &[], &[]);
        detectoid.header.update_type = UpdateType::Detectoid;
        assert_eq!(sift(&mut sieve, detectoid), [1]);
        assert!(sift(&mut sieve, item(10, &CHOSEN, &[], &[])).is_empty());
    }
}
