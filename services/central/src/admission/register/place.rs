//! Where a software update point has its place in the hierarchy: below which point, as what. Pure.

use super::source::{self, Rows, points};
use catalog::{PointId, SiteKind, may_be_below};
use store::authority::SiteRow;
use tonic::Status;

/// The point below which `site` is when it is to be below the site of `parent`, and its kind: that site's source,
/// and for the source itself the parent that it has.
pub fn above(
    rows: &Rows,
    (top, top_kind): (PointId, SiteKind),
    site: PointId,
    parent: PointId,
) -> Option<(PointId, SiteKind)> {
    if parent == top {
        return Some((top, top_kind));
    }
    let source = source::source(rows, parent.site())?;
    if source.code != site {
        return Some((source.code, source.kind));
    }
    if source.parent == top {
        return Some((top, top_kind));
    }
    let above = rows.get(&source.parent)?;
    above.removed.is_none().then_some((above.code, above.kind))
}

/// Whether a site is what a token is for, below the same site: which point of it that is may change.
pub fn is_as_invited(held: &SiteRow, kind: SiteKind, parent: PointId) -> bool {
    held.kind == kind && (held.parent.is_beside(parent) || held.code.is_beside(parent))
}

/// What is known of a site, for someone who wants to put another in its place.
pub fn taken(held: &SiteRow) -> String {
    let (code, kind, parent) = (held.code, held.kind, held.parent);
    format!("site {code} is a {kind} site below {parent}: remove it before it joins elsewhere")
}

/// Kind and parent of a point that is to join. A further point of a site has the site's kind, and is below its
/// source.
///
/// # Errors
/// When there is no such place.
pub fn place(
    rows: &Rows,
    (top, top_kind): (PointId, SiteKind),
    site: PointId,
    kind: Option<SiteKind>,
    parent: Option<PointId>,
) -> Result<(SiteKind, PointId), Status> {
    let code = site.site();
    if site == top {
        return Err(Status::already_exists(format!(
            "{site} is the code of this site"
        )));
    }
    if site.is_beside(top) {
        return Err(Status::failed_precondition(format!(
            "the top-level site {top} has one software update point, which alone writes the catalog: further \
             ones belong to a primary site below it"
        )));
    }
    let held = rows.get(&site).filter(|row| row.removed.is_none());
    if points(rows, code).any(|row| row.code != site) {
        return further(rows, site, kind, parent);
    }
    if site.number() > 1 && held.is_none() {
        return Err(Status::failed_precondition(format!(
            "site {code} has no software update point yet: the first one is {code} itself, made with \
             \"headwater site token {code} --kind primary\""
        )));
    }
    let Some(kind) = kind.or(held.map(|held| held.kind)) else {
        return Err(Status::invalid_argument(format!(
            "what will site {site} be? name its kind: primary or secondary"
        )));
    };
    let parent = parent.unwrap_or(top);
    let Some((above, above_kind)) = above(rows, (top, top_kind), site, parent) else {
        return Err(Status::not_found(format!(
            "there is no site {parent} in this hierarchy that could be the parent"
        )));
    };
    if !may_be_below(site, kind, above, above_kind) {
        return Err(Status::invalid_argument(format!(
            "a {kind} site cannot be below {above}, which is a {above_kind} site: {}",
            match above_kind {
                SiteKind::Central => "below a central site there are primary sites",
                SiteKind::Primary => "below a primary site there are secondary sites",
                SiteKind::Secondary => "a secondary site has no sites below it",
            }
        )));
    }
    if let Some(held) = held.filter(|held| !is_as_invited(held, kind, above)) {
        return Err(Status::already_exists(taken(held)));
    }
    Ok((kind, above))
}

/// The place of a point whose site has others.
fn further(
    rows: &Rows,
    site: PointId,
    kind: Option<SiteKind>,
    parent: Option<PointId>,
) -> Result<(SiteKind, PointId), Status> {
    let code = site.site();
    let Some(source) = source::source(rows, code) else {
        return Err(Status::failed_precondition(format!(
            "site {code} has no synchronization source now"
        )));
    };
    let own = source.kind;
    if own != SiteKind::Primary {
        return Err(Status::failed_precondition(format!(
            "site {code} is a {own} site, which has one software update point"
        )));
    }
    let other_kind = kind.is_some_and(|kind| kind != own);
    let fits = |parent: PointId| parent.is_beside(site) || parent.is_beside(source.parent);
    if other_kind || parent.is_some_and(|parent| !fits(parent)) {
        return Err(Status::invalid_argument(format!(
            "{site} is a software update point of the {own} site {code}, below the site's synchronization \
             source: leave kind and parent out"
        )));
    }
    let parent = if source.code == site {
        source.parent
    } else {
        source.code
    };
    Ok((own, parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn code(text: &str) -> PointId {
        text.parse().unwrap()
    }

    /// CAS over PR1 and its replica PR1-2, with SE1 below; and PR2, which was removed.
    fn rows() -> Rows {
        let row = |site: &str, kind, parent: &str, removed| SiteRow {
            code: code(site),
            kind,
            parent: code(parent),
            former_parents: Vec::new(),
            joined: Timestamp::UNIX_EPOCH,
            removed,
            key_hash: vec![1; 32],
        };
        let gone = Some(Timestamp::UNIX_EPOCH);
        [
            row("PR1", SiteKind::Primary, "CAS", None),
            row("PR1-2", SiteKind::Primary, "PR1", None),
            row("SE1", SiteKind::Secondary, "PR1", None),
            row("PR2", SiteKind::Primary, "CAS", gone),
        ]
        .map(|row| (row.code, row))
        .into()
    }

    fn placed(
        site: &str,
        kind: Option<SiteKind>,
        parent: Option<&str>,
    ) -> Result<(SiteKind, PointId), String> {
        let placed = place(
            &rows(),
            (code("CAS"), SiteKind::Central),
            code(site),
            kind,
            parent.map(code),
        );
        placed.map_err(|status| status.message().to_owned())
    }

    #[test]
    fn a_further_point_is_what_its_site_is_below_the_source() {
        let replica = Ok((SiteKind::Primary, code("PR1")));
        assert_eq!(placed("PR1-3", None, None), replica);
        assert_eq!(
            placed("PR1-3", Some(SiteKind::Primary), Some("PR1")),
            replica
        );
        // One that is there joins again where it is.
        assert_eq!(placed("PR1-2", None, None), replica);
        assert_eq!(
            placed("PR1", None, None),
            Ok((SiteKind::Primary, code("CAS")))
        );
        // A site below is below the source, whichever point is named.
        let below = placed("SE2", Some(SiteKind::Secondary), Some("PR1-2"));
        assert_eq!(below, Ok((SiteKind::Secondary, code("PR1"))));
    }

    #[test]
    fn what_has_no_place_is_told_why() {
        let primary = Some(SiteKind::Primary);
        for (site, kind, parent, why) in [
            ("CAS", primary, None, "is the code of this site"),
            ("CAS-2", None, None, "alone writes the catalog"),
            (
                "SE1-2",
                None,
                None,
                "SE1 is a secondary site, which has one software update point",
            ),
            (
                "PR2-2",
                None,
                None,
                "headwater site token PR2 --kind primary",
            ),
            ("PR3", None, None, "name its kind"),
            ("PR3", primary, Some("PR2"), "there is no site PR2"),
            (
                "PR3",
                primary,
                Some("PR1"),
                "a primary site cannot be below PR1",
            ),
            (
                "PR1-3",
                Some(SiteKind::Secondary),
                None,
                "leave kind and parent out",
            ),
            ("PR1-3", None, Some("PR9"), "leave kind and parent out"),
            ("SE1", primary, None, "remove it before it joins elsewhere"),
        ] {
            let refused = placed(site, kind, parent).unwrap_err();
            assert!(refused.contains(why), "{site}: {refused}");
        }
    }
}
