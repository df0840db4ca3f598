//! What the filter of `GetRevisionIdList` means (WSUS-PROTOCOL 3.3), as pure rules over memberships that
//! a [`crate::server::Source`] supplies.
//!
//! | Filter | Result |
//! |---|---|
//! | `GetConfig` true | categories, classifications and detectoids changed since the anchor; lists ignored |
//! | neither list | every update changed since the anchor |
//! | only one of the lists, or an empty one | nothing |
//! | both lists | updates in at least one listed category and of at least one listed classification |
//! | anchor, all ids with delta | of those, only what changed after the anchor's time |
//! | anchor, an id without delta | of those, everything of that id, whatever the anchor |
//! | anchor in the future | nothing changed after it, so nothing |
//!
//! The counter of an anchor is ignored here: its time decides. A source may know more: the crate `downstream` notes the
//! anchors that it hands out, and answers one of another server or of another history from the beginning
//! (`since` in its `source.rs`). Languages do not select: which revisions a language asks for is not specified, and
//! leaving one out that a server needs breaks its import.

use crate::anchor::{Anchor, ParseAnchorError};
use crate::message::{IdAndDelta, RevisionFilter};
use catalog::UpdateId;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// What a revision is, as far as a filter asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// True for categories, classifications and detectoids.
    pub is_config: bool,
    /// When the revision, or what is served of it, last changed in this catalog.
    pub changed: Timestamp,
    /// Its categories: the products, families and companies it belongs to, ancestors included where
    /// selecting an ancestor shall select it.
    pub categories: &'a [UpdateId],
    /// Its classifications.
    pub classifications: &'a [UpdateId],
}

/// A filter made ready for many candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    after: Option<Timestamp>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Config,
    AllUpdates,
    Nothing,
    Updates {
        categories: HashMap<UpdateId, bool>,
        classifications: HashMap<UpdateId, bool>,
    },
}

/// How a candidate is matched by one of the two lists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    No,
    OnlyChanges,
    Everything,
}

impl Selection {
    /// Reads a filter.
    ///
    /// # Errors
    /// An anchor that is not of the form of [`Anchor`]: the answer is `InvalidParameters`, `filter`.
    pub fn new(filter: &RevisionFilter) -> Result<Self, ParseAnchorError> {
        let after = match filter.anchor.as_deref() {
            None => None,
            Some(text) => Some(text.parse::<Anchor>()?.time),
        };
        let kind = if filter.get_config {
            Kind::Config
        } else {
            match (&filter.categories, &filter.classifications) {
                (None, None) => Kind::AllUpdates,
                (Some(categories), Some(classifications))
                    if !categories.is_empty() && !classifications.is_empty() =>
                {
                    Kind::Updates {
                        categories: index(categories),
                        classifications: index(classifications),
                    }
                }
                (Some(_), Some(_) | None) | (None, Some(_)) => Kind::Nothing,
            }
        };
        Ok(Self { after, kind })
    }

    /// Whether no revision at all can be selected.
    pub fn is_nothing(&self) -> bool {
        self.kind == Kind::Nothing
    }

    /// Whether categories, classifications and detectoids are asked for, and not updates.
    pub fn is_config(&self) -> bool {
        self.kind == Kind::Config
    }

    /// The time of the anchor, where there is one.
    pub fn after(&self) -> Option<Timestamp> {
        self.after
    }

    /// The categories asked for, where the lists select.
    pub fn categories(&self) -> impl Iterator<Item = UpdateId> + '_ {
        let categories = match &self.kind {
            Kind::Updates { categories, .. } => Some(categories.keys().copied()),
            Kind::Config | Kind::AllUpdates | Kind::Nothing => None,
        };
        categories.into_iter().flatten()
    }

    /// Whether the filter selects `candidate`. What selected updates bundle comes on top of this:
    /// [`with_bundled`].
    pub fn applies(&self, candidate: &Candidate<'_>) -> bool {
        let changed = self.after.is_none_or(|after| candidate.changed > after);
        match &self.kind {
            Kind::Config => candidate.is_config && changed,
            Kind::Nothing => false,
            Kind::AllUpdates => !candidate.is_config && changed,
            Kind::Updates {
                categories,
                classifications,
            } => {
                let category = matched(categories, candidate.categories);
                let classification = matched(classifications, candidate.classifications);
                match (category, classification) {
                    _ if candidate.is_config => false,
                    (Match::No, _) | (_, Match::No) => false,
                    (Match::Everything, _) | (_, Match::Everything) => true,
                    (Match::OnlyChanges, Match::OnlyChanges) => changed,
                }
            }
        }
    }
}

/// Whether `filter` selects `candidate`: [`Selection`] for a single one.
///
/// # Errors
/// An anchor that is not of the form of [`Anchor`].
pub fn filter_applies(
    filter: &RevisionFilter,
    candidate: &Candidate<'_>,
) -> Result<bool, ParseAnchorError> {
    Ok(Selection::new(filter)?.applies(candidate))
}

/// By id; an id listed twice is taken without delta where either entry is.
fn index(ids: &[IdAndDelta]) -> HashMap<UpdateId, bool> {
    let mut index = HashMap::with_capacity(ids.len());
    for entry in ids {
        let delta = index.entry(entry.id).or_insert(true);
        *delta = *delta && entry.delta;
    }
    index
}

fn matched(listed: &HashMap<UpdateId, bool>, memberships: &[UpdateId]) -> Match {
    let mut result = Match::No;
    for id in memberships {
        match listed.get(id) {
            Some(false) => return Match::Everything,
            Some(true) => result = Match::OnlyChanges,
            None => {}
        }
    }
    result
}

/// `selected`, and everything that it needs, transitively, each once and after what it needs itself.
///
/// `needs` gives the revisions that one revision bundles (and, where a source wants to serve them along,
/// others that it requires). Bundled revisions carry no classification, so no filter ever selects them,
/// and a WSUS server that does not get them fails to import their parents.
pub fn with_bundled<I, N>(
    selected: impl IntoIterator<Item = I>,
    mut needs: impl FnMut(&I) -> N,
) -> Vec<I>
where
    I: Copy + Eq + Hash,
    N: IntoIterator<Item = I>,
{
    let mut seen: HashSet<I> = HashSet::new();
    let mut ordered = Vec::new();
    // A stack in place of recursion: how deep bundles nest is up to whoever wrote them. An item is put
    // out when it is met the second time, after what it needs.
    let mut stack: Vec<(I, bool)> = Vec::new();
    for item in selected {
        stack.push((item, false));
        while let Some((item, complete)) = stack.pop() {
            if complete {
                ordered.push(item);
                continue;
            }
            if !seen.insert(item) {
                continue;
            }
            stack.push((item, true));
            let before = stack.len();
            stack.extend(needs(&item).into_iter().map(|needed| (needed, false)));
            stack[before..].reverse();
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANCHOR: &str = "1,2026-01-02 00:00:00.000";
    const OLD: &str = "2026-01-01T00:00:00Z";
    const NEW: &str = "2026-01-03T00:00:00Z";
    const PRODUCT: UpdateId = UpdateId::from_u128(1);
    const OTHER_PRODUCT: UpdateId = UpdateId::from_u128(2);
    const SECURITY: UpdateId = UpdateId::from_u128(11);
    const DRIVERS: UpdateId = UpdateId::from_u128(12);

    fn ids(entries: &[(UpdateId, bool)]) -> Vec<IdAndDelta> {
        let entry = |&(id, delta): &(UpdateId, bool)| IdAndDelta { id, delta };
        entries.iter().map(entry).collect()
    }

    fn update(changed: &str) -> Candidate<'static> {
        Candidate {
            is_config: false,
            changed: changed.parse().unwrap(),
            categories: &[PRODUCT],
            classifications: &[SECURITY],
        }
    }

    fn config(changed: &str) -> Candidate<'static> {
        Candidate {
            is_config: true,
            categories: &[],
            classifications: &[],
            ..update(changed)
        }
    }

    /// A list of a filter: ids, and whether only changes of them are asked for.
    type Listed<'a> = Option<&'a [(UpdateId, bool)]>;

    #[track_caller]
    fn check(
        anchor: Option<&str>,
        get_config: bool,
        categories: Listed<'_>,
        classifications: Listed<'_>,
        [old_update, new_update, old_config, new_config]: [bool; 4],
    ) {
        let filter = RevisionFilter {
            anchor: anchor.map(Into::into),
            get_config,
            categories: categories.map(ids),
            classifications: classifications.map(ids),
            languages: vec![],
        };
        let applies = |candidate| filter_applies(&filter, &candidate).unwrap();
        assert_eq!(applies(update(OLD)), old_update, "old update");
        assert_eq!(applies(update(NEW)), new_update, "new update");
        assert_eq!(applies(config(OLD)), old_config, "old category");
        assert_eq!(applies(config(NEW)), new_config, "new category");
    }

    const NOTHING: [bool; 4] = [false; 4];

    #[test]
    fn get_config_ignores_the_lists() {
        let lists: [(UpdateId, bool); 1] = [(OTHER_PRODUCT, true)];
        check(None, true, None, None, [false, false, true, true]);
        check(
            None,
            true,
            Some(&lists),
            Some(&lists),
            [false, false, true, true],
        );
        check(
            Some(ANCHOR),
            true,
            Some(&lists),
            None,
            [false, false, false, true],
        );
    }

    #[test]
    fn neither_list_selects_every_update() {
        check(None, false, None, None, [true, true, false, false]);
        check(Some(ANCHOR), false, None, None, [false, true, false, false]);
    }

    #[test]
    fn one_list_alone_or_an_empty_one_selects_nothing() {
        for delta in [false, true] {
            let (product, security) = ([(PRODUCT, delta)], [(SECURITY, delta)]);
            let (absent, empty): (Listed<'_>, Listed<'_>) = (None, Some(&[]));
            let (product, security): (Listed<'_>, Listed<'_>) = (Some(&product), Some(&security));
            for (categories, classifications) in [
                (product, absent),
                (absent, security),
                (product, empty),
                (empty, security),
                (empty, absent),
                (absent, empty),
                (empty, empty),
            ] {
                for anchor in [None, Some(ANCHOR)] {
                    check(anchor, false, categories, classifications, NOTHING);
                }
            }
        }
    }

    #[test]
    fn both_lists_have_to_match() {
        let both = [true, true, false, false];
        for delta in [false, true] {
            let (product, security) = ([(PRODUCT, delta)], [(SECURITY, delta)]);
            check(None, false, Some(&product), Some(&security), both);
            check(
                None,
                false,
                Some(&[(OTHER_PRODUCT, delta)]),
                Some(&security),
                NOTHING,
            );
            check(
                None,
                false,
                Some(&product),
                Some(&[(DRIVERS, delta)]),
                NOTHING,
            );
            let more = [(OTHER_PRODUCT, delta), (PRODUCT, delta)];
            check(None, false, Some(&more), Some(&security), both);
        }
    }

    #[test]
    fn with_an_anchor_only_changes_of_delta_ids_are_selected() {
        let changes = [false, true, false, false];
        check(
            Some(ANCHOR),
            false,
            Some(&[(PRODUCT, true)]),
            Some(&[(SECURITY, true)]),
            changes,
        );
    }

    #[test]
    fn an_id_without_delta_is_selected_whatever_the_anchor() {
        let all = [true, true, false, false];
        check(
            Some(ANCHOR),
            false,
            Some(&[(PRODUCT, false)]),
            Some(&[(SECURITY, true)]),
            all,
        );
        check(
            Some(ANCHOR),
            false,
            Some(&[(PRODUCT, true)]),
            Some(&[(SECURITY, false)]),
            all,
        );
        let mixed = [(PRODUCT, true), (OTHER_PRODUCT, false)];
        let changes = [false, true, false, false];
        check(
            Some(ANCHOR),
            false,
            Some(&mixed),
            Some(&[(SECURITY, true)]),
            changes,
        );
    }

    #[test]
    fn an_anchor_in_the_future_selects_nothing() {
        let future = Some("1,2030-01-01 00:00:00.000");
        check(future, false, None, None, NOTHING);
        check(future, true, None, None, NOTHING);
        check(
            future,
            false,
            Some(&[(PRODUCT, true)]),
            Some(&[(SECURITY, true)]),
            NOTHING,
        );
    }

    #[test]
    fn only_the_time_of_an_anchor_decides() {
        let far = Some("999999,2026-01-02 00:00:00.000");
        check(far, false, None, None, [false, true, false, false]);
    }

    #[test]
    fn a_malformed_anchor_is_refused() {
        let filter = RevisionFilter {
            anchor: Some("garbage".into()),
            ..RevisionFilter::default()
        };
        assert!(Selection::new(&filter).is_err());
    }

    #[test]
    fn an_id_listed_twice_is_taken_without_delta() {
        let twice = [(PRODUCT, false), (PRODUCT, true)];
        let all = [true, true, false, false];
        check(
            Some(ANCHOR),
            false,
            Some(&twice),
            Some(&[(SECURITY, true)]),
            all,
        );
    }

    #[test]
    fn bundled_revisions_come_before_their_parents_and_once() {
        let needs = |id: &u32| match id {
            1 => vec![2, 3],
            2 => vec![4],
            3 => vec![4, 1],
            _ => vec![],
        };
        assert_eq!(with_bundled([1, 4, 5], needs), [4, 2, 3, 1, 5]);
    }

    proptest! {
        #[test]
        fn the_closure_holds_every_item_once_and_children_first(edges in prop::collection::vec((0u32..30, 0u32..30), 0..80)) {
            // Edges that lead to smaller numbers only, so that there is an order.
            let needs = |id: &u32| edges.iter().filter(|e| e.0.max(e.1) == *id && e.0 != e.1).map(|e| e.0.min(e.1)).collect::<Vec<_>>();
            let ordered = with_bundled(0..30, needs);
            prop_assert_eq!(ordered.len(), 30);
            for (at, id) in ordered.iter().enumerate() {
                for needed in needs(id) {
                    prop_assert!(ordered[..at].contains(&needed));
                }
            }
        }
    }
}
