//! Which software update point is the source of its site, and what changes with another one. Pure: values in,
//! rows to write out.

use catalog::{PointId, SiteCode};
use jiff::Timestamp;
use journal::StatusId;
use std::collections::{BTreeMap, BTreeSet};
use store::authority::SiteRow;

/// The sites of a hierarchy, removed ones too.
pub type Rows = BTreeMap<PointId, SiteRow>;

/// So many parents that a site had are remembered.
pub(super) const FORMER_PARENTS: usize = 16;

/// The parents that a site had before it is below `parent`, the latest last.
pub fn former_parents(held: Option<&SiteRow>, parent: PointId) -> Vec<PointId> {
    let Some(held) = held else {
        return Vec::new();
    };
    let mut former = held.former_parents.clone();
    former.retain(|code| *code != held.parent);
    former.push(held.parent);
    former.retain(|code| *code != parent);
    let forgotten = former.len().saturating_sub(FORMER_PARENTS);
    former.split_off(forgotten)
}

/// The software update points of a site that are in the hierarchy.
pub fn points(rows: &Rows, site: SiteCode) -> impl Iterator<Item = &SiteRow> {
    let beside = rows.range(PointId::first(site)..).map(|(_, row)| row);
    let beside = beside.take_while(move |row| row.code.site() == site);
    beside.filter(|row| row.removed.is_none())
}

/// The point that a site synchronizes by: the one whose parent is another site.
pub fn source(rows: &Rows, site: SiteCode) -> Option<&SiteRow> {
    points(rows, site).find(|row| row.parent.site() != site)
}

/// The points with the one that they are below, at and below `at`.
fn below(rows: &Rows, at: PointId) -> BTreeSet<PointId> {
    let mut found = BTreeSet::from([at]);
    let mut left = vec![at];
    while let Some(parent) = left.pop() {
        let children = rows
            .values()
            .filter(|row| row.parent == parent && row.removed.is_none());
        left.extend(
            children
                .map(|row| row.code)
                .filter(|code| found.insert(*code)),
        );
    }
    found
}

/// A change of a site's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The source before.
    pub from: PointId,
    /// The source from now on.
    pub to: PointId,
    /// The rows that change: those that were below the old source first, then the new source, and the old one
    /// last. Told in this order, each is still reached.
    pub rows: Vec<SiteRow>,
}

impl Switch {
    /// The status message of it, whoever asked for it.
    pub(super) fn message(&self, by: &str) -> (StatusId, Vec<String>) {
        let Self { from, to, rows: _ } = self;
        let inserts = [to.site().to_string(), to.to_string(), from.to_string()];
        let mut inserts = inserts.to_vec();
        inserts.push(by.to_owned());
        (StatusId::SourceSwitched, inserts)
    }
}

/// What changes when `to` becomes the source of its site; nothing if it is.
///
/// # Errors
/// A sentence, when it cannot become that.
pub fn switch(rows: &Rows, to: PointId) -> Result<Option<Switch>, String> {
    let site = to.site();
    let Some(next) = rows.get(&to).filter(|row| row.removed.is_none()) else {
        return Err(format!(
            "there is no software update point {to} in this hierarchy: make a token with \
             \"headwater site token {to}\" and let it join first"
        ));
    };
    let from = source(rows, site)
        .ok_or_else(|| format!("site {site} has no synchronization source: let {to} join again"))?;
    if from.code == to {
        return Ok(None);
    }
    let moved = |row: &SiteRow, parent| SiteRow {
        parent,
        former_parents: former_parents(Some(row), parent),
        ..row.clone()
    };
    let children = rows
        .values()
        .filter(|row| row.parent == from.code && row.code != to && row.removed.is_none());
    let mut changed: Vec<SiteRow> = children.map(|row| moved(row, to)).collect();
    changed.push(moved(next, from.parent));
    changed.push(moved(from, to));
    Ok(Some(Switch {
        from: from.code,
        to,
        rows: changed,
    }))
}

/// What goes with a point that is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// The source is switched first.
    pub switch: Option<Switch>,
    /// The rows of what is removed, as they are then.
    pub removed: Vec<SiteRow>,
}

/// What goes with the point `code`: alone, if its site has others, and with everything below it if it is the last
/// one. The source of a site needs another one in its place. Nothing is removed if it is not in the hierarchy.
///
/// # Errors
/// A sentence, when it may not be removed so.
pub fn removal(
    rows: &Rows,
    code: PointId,
    new_source: Option<PointId>,
    now: Timestamp,
) -> Result<Removal, String> {
    let site = code.site();
    let others: Vec<PointId> = points(rows, site)
        .map(|row| row.code)
        .filter(|other| *other != code)
        .collect();
    let is_source = source(rows, site).is_some_and(|source| source.code == code);
    if let Some(new_source) = new_source {
        if !is_source {
            return Err(format!(
                "{code} is not the synchronization source of site {site}: leave --new-source out"
            ));
        }
        if !others.contains(&new_source) {
            return Err(format!(
                "{new_source} is not another software update point of site {site}: name one of those that \
                 \"headwater site list\" shows"
            ));
        }
    }
    let switch = match (is_source, others.first(), new_source) {
        (true, Some(other), None) => {
            return Err(format!(
                "{code} is the synchronization source of site {site}, which has others: name the one that \
                 takes its place: headwater site remove {code} --new-source {other}"
            ));
        }
        (_, _, Some(new_source)) => switch(rows, new_source)?,
        (_, _, None) => None,
    };
    let mut rows = rows.clone();
    for row in switch.iter().flat_map(|switch| &switch.rows) {
        rows.insert(row.code, row.clone());
    }
    let gone = below(&rows, code);
    let mut gone: Vec<PointId> = gone.into_iter().filter(|gone| *gone != code).collect();
    gone.insert(0, code);
    let removed = gone.iter().filter_map(|code| rows.get(code));
    let removed = removed
        .filter(|row| row.removed.is_none())
        .map(|row| SiteRow {
            removed: Some(now),
            ..row.clone()
        });
    Ok(Removal {
        removed: removed.collect(),
        switch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::SiteKind;
    use proptest::prelude::*;

    fn code(text: &str) -> PointId {
        text.parse().unwrap()
    }

    fn row(site: &str, kind: SiteKind, parent: &str) -> (PointId, SiteRow) {
        let row = SiteRow {
            code: code(site),
            kind,
            parent: code(parent),
            former_parents: Vec::new(),
            joined: Timestamp::UNIX_EPOCH,
            removed: None,
            key_hash: vec![1; 32],
        };
        (row.code, row)
    }

    /// CAS over PR1 with its replicas PR1-2 and PR1-3 and the sites SE1 and SE2, and over PR2 with SE3.
    fn hierarchy() -> Rows {
        use SiteKind::{Primary, Secondary};
        [
            row("PR1", Primary, "CAS"),
            row("PR1-2", Primary, "PR1"),
            row("PR1-3", Primary, "PR1"),
            row("SE1", Secondary, "PR1"),
            row("SE2", Secondary, "PR1"),
            row("PR2", Primary, "CAS"),
            row("SE3", Secondary, "PR2"),
        ]
        .into()
    }

    fn with(rows: &Rows, changed: Vec<SiteRow>) -> Rows {
        let mut rows = rows.clone();
        rows.extend(changed.into_iter().map(|row| (row.code, row)));
        rows
    }

    fn tree(rows: &Rows) -> String {
        let live = rows.values().filter(|row| row.removed.is_none());
        let lines = live.map(|row| format!("{}<{}", row.code, row.parent));
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn another_source_takes_everything_over() {
        let rows = hierarchy();
        let switched = switch(&rows, code("PR1-2")).unwrap().unwrap();
        let told: Vec<&str> = switched.rows.iter().map(|row| row.code.as_str()).collect();
        assert_eq!(told, ["PR1-3", "SE1", "SE2", "PR1-2", "PR1"]);
        let after = with(&rows, switched.rows);
        assert_eq!(
            tree(&after),
            "PR1<PR1-2 PR1-2<CAS PR1-3<PR1-2 PR2<CAS SE1<PR1-2 SE2<PR1-2 SE3<PR2"
        );
        assert_eq!(after[&code("SE1")].former_parents, [code("PR1")]);
        assert_eq!(
            switch(&after, code("PR1-2")),
            Ok(None),
            "it is that already"
        );
        let back = switch(&after, code("PR1")).unwrap().unwrap();
        assert_eq!(tree(&with(&after, back.rows)), tree(&rows));
    }

    #[test]
    fn a_source_has_to_be_a_point_of_the_hierarchy() {
        let error = switch(&hierarchy(), code("PR1-4")).unwrap_err();
        assert!(error.contains("headwater site token PR1-4"), "{error}");
    }

    #[test]
    fn a_replica_is_removed_alone() {
        let rows = hierarchy();
        let removal = removal(&rows, code("PR1-2"), None, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(removal.switch, None);
        let after = with(&rows, removal.removed);
        assert_eq!(
            tree(&after),
            "PR1<CAS PR1-3<PR1 PR2<CAS SE1<PR1 SE2<PR1 SE3<PR2"
        );
    }

    #[test]
    fn a_source_with_replicas_needs_another_in_its_place() {
        let rows = hierarchy();
        let error = removal(&rows, code("PR1"), None, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(
            error.contains("headwater site remove PR1 --new-source PR1-2"),
            "{error}"
        );
        for (point, new_source, part) in [
            ("PR1", "PR2", "not another software update point"),
            ("PR1", "PR1", "not another software update point"),
            ("PR1-2", "PR1-3", "leave --new-source out"),
        ] {
            let new_source = Some(code(new_source));
            let error = removal(&rows, code(point), new_source, Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let new_source = Some(code("PR1-3"));
        let removal = removal(&rows, code("PR1"), new_source, Timestamp::UNIX_EPOCH).unwrap();
        let after = with(&with(&rows, removal.switch.unwrap().rows), removal.removed);
        assert_eq!(
            tree(&after),
            "PR1-2<PR1-3 PR1-3<CAS PR2<CAS SE1<PR1-3 SE2<PR1-3 SE3<PR2"
        );
    }

    #[test]
    fn the_last_point_takes_what_is_below_with_it() {
        let rows = hierarchy();
        let removal = removal(&rows, code("PR2"), None, Timestamp::UNIX_EPOCH).unwrap();
        let gone: Vec<&str> = removal
            .removed
            .iter()
            .map(|row| row.code.as_str())
            .collect();
        assert_eq!(gone, ["PR2", "SE3"]);
        let nothing = super::removal(&rows, code("XX1"), None, Timestamp::UNIX_EPOCH);
        assert_eq!(nothing, Ok(Removal::default()));
    }

    proptest! {
        #[test]
        fn whatever_is_switched_and_removed_every_site_has_one_source_and_one_way_up(
            steps in proptest::collection::vec((0..7_usize, any::<bool>(), 0..7_usize), 0..30)
        ) {
            let mut rows = hierarchy();
            let codes: Vec<PointId> = rows.keys().copied().collect();
            for (which, switches, other) in steps {
                let changed = if switches {
                    switch(&rows, codes[which]).ok().flatten().map(|switch| switch.rows)
                } else {
                    let new_source = (other % 2 == 0).then(|| codes[other]);
                    removal(&rows, codes[which], new_source, Timestamp::UNIX_EPOCH).ok().map(|removal| {
                        let mut changed = removal.switch.map_or_else(Vec::new, |switch| switch.rows);
                        changed.extend(removal.removed);
                        changed
                    })
                };
                rows = with(&rows, changed.unwrap_or_default());
                for row in rows.values().filter(|row| row.removed.is_none()) {
                    let sources = points(&rows, row.code.site()).filter(|row| !row.code.is_beside(row.parent));
                    prop_assert_eq!(sources.count(), 1);
                    let mut at = row.parent;
                    for _ in 0..4 {
                        match rows.get(&at) {
                            Some(above) => {
                                prop_assert!(above.removed.is_none(), "{}", tree(&rows));
                                at = above.parent;
                            }
                            None => break,
                        }
                    }
                    prop_assert_eq!(at, code("CAS"));
                }
            }
        }
    }
}
