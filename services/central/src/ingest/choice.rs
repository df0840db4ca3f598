//! What is synchronized: the products and classifications that are chosen, against the categories that
//! are held, and the filter that asks the source for it.
//!
//! An anchor covers a choice. What has been chosen since, or appeared below a chosen family since, is not
//! covered, and the protocol lets the filter say so one by one (`Delta`, WSUS-PROTOCOL 3.2): the source
//! then lists all that belongs to it, and of the rest what changed.

use catalog::UpdateId;
use catalog::category::CategoryTree;
use catalog::header::RevisionHeader;
use catalog::selection::Selection;
use settings::document::Products;
use std::collections::BTreeSet;
use uuid::Uuid;
use wsus::message::{IdAndDelta, RevisionFilter};

/// What a run synchronizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// All that the source has.
    Everything,
    /// What is selected. Everything below the categories is written out.
    Selected(Selection),
}

/// What an anchor for updates stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Covered {
    /// The anchor.
    pub(crate) anchor: String,
    /// What was chosen when it was handed out.
    pub(crate) choice: Choice,
}

/// First byte of a stored choice.
const EVERYTHING: u8 = 0;
const SELECTED: u8 = 1;

impl Choice {
    /// What `products` choose of the categories of `tree`, and which of them are not known.
    pub(crate) fn new(products: &Products, tree: &CategoryTree) -> (Self, BTreeSet<UpdateId>) {
        if products.everything {
            return (Self::Everything, BTreeSet::new());
        }
        let chosen = Selection {
            categories: products.products.clone(),
            classifications: products.classifications.clone(),
        };
        let resolved = chosen.resolve(tree);
        (Self::Selected(resolved.selection), resolved.unknown)
    }

    /// Whether no update can be selected.
    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::Selected(selection) => selection.is_nothing(),
        }
    }

    /// Whether an update is selected by what it says itself. Members of bundles are not: they come and
    /// go with what bundles them.
    pub(crate) fn selects(&self, header: &RevisionHeader) -> bool {
        match self {
            Self::Everything => true,
            Self::Selected(selection) => selection.matches(&header.categories),
        }
    }

    /// The filter for the updates of this choice: all of them, or where an anchor covers some of it, what
    /// changed of that and all of the rest. `None` where nothing is chosen, and so nothing to be asked.
    pub(crate) fn filter(&self, covered: Option<&Covered>) -> Option<RevisionFilter> {
        let selection = match self {
            Self::Everything => {
                let covered = covered.filter(|covered| covered.choice == Self::Everything);
                return Some(RevisionFilter {
                    anchor: covered.map(|covered| covered.anchor.clone()),
                    ..RevisionFilter::default()
                });
            }
            Self::Selected(selection) if selection.is_nothing() => return None,
            Self::Selected(selection) => selection,
        };
        let listed = |ids: &BTreeSet<UpdateId>, list: fn(&Selection) -> &BTreeSet<UpdateId>| {
            let is_covered = |id: &UpdateId| match covered.map(|covered| &covered.choice) {
                None => false,
                Some(Self::Everything) => true,
                Some(Self::Selected(before)) => list(before).contains(id),
            };
            let entry = |&id| IdAndDelta {
                id,
                delta: is_covered(&id),
            };
            ids.iter().map(entry).collect::<Vec<_>>()
        };
        let mut categories = listed(&selection.categories, |selection| &selection.categories);
        let mut classifications = listed(&selection.classifications, |selection| {
            &selection.classifications
        });
        // Where one list is new as a whole, all is listed anew: no anchor says that best.
        let is_new = |list: &[IdAndDelta]| list.iter().all(|entry| !entry.delta);
        let anew = is_new(&categories) || is_new(&classifications);
        if anew {
            for entry in categories.iter_mut().chain(&mut classifications) {
                entry.delta = false;
            }
        }
        Some(RevisionFilter {
            anchor: covered
                .filter(|_| !anew)
                .map(|covered| covered.anchor.clone()),
            categories: Some(categories),
            classifications: Some(classifications),
            ..RevisionFilter::default()
        })
    }

    /// The choice in the form in which it is kept beside its anchor.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let selection = match self {
            Self::Everything => return vec![EVERYTHING],
            Self::Selected(selection) => selection,
        };
        let categories = u32::try_from(selection.categories.len()).unwrap_or(u32::MAX);
        let mut bytes = vec![SELECTED];
        bytes.extend(categories.to_be_bytes());
        for id in selection
            .categories
            .iter()
            .chain(&selection.classifications)
        {
            bytes.extend(id.0.as_bytes());
        }
        bytes
    }

    /// The choice of its bytes; `None` where they are none, and so nothing is known of what is covered.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        const GUID: usize = 16;
        let (&kind, rest) = bytes.split_first()?;
        match kind {
            EVERYTHING => rest.is_empty().then_some(Self::Everything),
            SELECTED => {
                let (count, ids) = rest.split_first_chunk::<4>()?;
                let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
                let (categories, classifications) =
                    ids.split_at_checked(count.checked_mul(GUID)?)?;
                let read = |ids: &[u8]| -> Option<BTreeSet<UpdateId>> {
                    let ids = ids.chunks(GUID);
                    ids.map(|id| Uuid::from_slice(id).ok().map(UpdateId))
                        .collect()
                };
                Some(Self::Selected(Selection {
                    categories: read(categories)?,
                    classifications: read(classifications)?,
                }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u128]) -> BTreeSet<UpdateId> {
        numbers.iter().copied().map(UpdateId::from_u128).collect()
    }

    fn choice(categories: &[u128], classifications: &[u128]) -> Choice {
        Choice::Selected(Selection {
            categories: ids(categories),
            classifications: ids(classifications),
        })
    }

    /// The filter's anchor, and both lists with whether only changes are asked for.
    type Asked = (bool, Listed, Listed);
    type Listed = Option<Vec<(u128, bool)>>;

    #[track_caller]
    fn check(now: &Choice, before: Option<Choice>, expected: Option<Asked>) {
        let covered = before.map(|choice| Covered {
            anchor: "1,2026-01-02 00:00:00.000".into(),
            choice,
        });
        let list = |list: Option<Vec<IdAndDelta>>| -> Option<Vec<(u128, bool)>> {
            let pair = |entry: IdAndDelta| (entry.id.0.as_u128(), entry.delta);
            Some(list?.into_iter().map(pair).collect())
        };
        let asked = now.filter(covered.as_ref()).map(|filter| {
            assert!(!filter.get_config && filter.languages.is_empty());
            let anchored = filter.anchor.is_some();
            (
                anchored,
                list(filter.categories),
                list(filter.classifications),
            )
        });
        assert_eq!(asked, expected);
    }

    #[test]
    fn both_lists_are_sent_or_neither_or_nothing_is_asked() {
        check(&Choice::Everything, None, Some((false, None, None)));
        let both = Some((
            false,
            Some(vec![(1, false), (2, false)]),
            Some(vec![(9, false)]),
        ));
        check(&choice(&[1, 2], &[9]), None, both);
        check(&choice(&[1], &[]), None, None);
        check(&choice(&[], &[9]), Some(Choice::Everything), None);
    }

    #[test]
    fn an_anchor_is_used_for_what_it_covers() {
        let everything = Some(Choice::Everything);
        check(
            &Choice::Everything,
            everything.clone(),
            Some((true, None, None)),
        );
        let changes = Some((true, Some(vec![(1, true)]), Some(vec![(9, true)])));
        check(&choice(&[1], &[9]), everything, changes.clone());
        check(&choice(&[1], &[9]), Some(choice(&[1, 2], &[8, 9])), changes);
    }

    #[test]
    fn what_an_anchor_does_not_cover_is_asked_for_whole() {
        let some = Some(choice(&[1], &[9]));
        check(&Choice::Everything, some.clone(), Some((false, None, None)));
        let added = Some((
            true,
            Some(vec![(1, true), (2, false)]),
            Some(vec![(9, true)]),
        ));
        check(&choice(&[1, 2], &[9]), some.clone(), added);
        let other = Some((false, Some(vec![(2, false)]), Some(vec![(9, false)])));
        check(&choice(&[2], &[9]), some, other);
    }

    #[test]
    fn a_choice_reads_its_own_bytes_and_no_others() {
        for choice in [
            Choice::Everything,
            choice(&[], &[]),
            choice(&[1, 2, 3], &[9]),
        ] {
            let bytes = choice.to_bytes();
            assert_eq!(Choice::from_bytes(&bytes), Some(choice));
            for cut in 1..bytes.len() % 16 {
                assert_eq!(Choice::from_bytes(&bytes[..bytes.len() - cut]), None);
            }
        }
        assert_eq!(Choice::from_bytes(&[]), None);
        assert_eq!(Choice::from_bytes(&[2]), None);
        assert_eq!(Choice::from_bytes(&[SELECTED, 255, 255, 255, 255]), None);
    }
}
