//! The tree of sites as a picture: each site stands above what is below it, in rows that keep the whole about as wide as
//! a screen, whether there are five sites or a thousand.

use crate::words::Look;
use hierarchy::{Hierarchy, Role};
use std::collections::BTreeMap;
use wire::v1::SiteReport;

/// From so many sites on, they are drawn small.
const MANY: usize = 80;
/// What is shown of the plane at least, so that few sites are not drawn huge.
const LEAST_WIDTH: f64 = 900.0;
const LEAST_HEIGHT: f64 = 230.0;
/// Room around the picture.
const MARGIN: f64 = 4.0;
/// How much wider than high the picture should be.
const ASPECT: f64 = 2.2;

/// Sizes of what is drawn.
#[derive(Debug, Clone, Copy)]
struct Scale {
    width: f64,
    height: f64,
    gap: f64,
}

const LARGE: Scale = Scale {
    width: 76.0,
    height: 34.0,
    gap: 16.0,
};
const SMALL: Scale = Scale {
    width: 38.0,
    height: 18.0,
    gap: 8.0,
};

/// A site in the picture.
#[derive(Debug, Clone)]
pub struct Node {
    pub code: String,
    pub x: f64,
    pub y: f64,
    pub look: &'static str,
    pub sign: &'static str,
    /// All that there is to say, for who points at it or listens.
    pub title: String,
    pub replica: bool,
}

/// A line from a site to one below it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its path in SVG.
    pub path: String,
    /// Whether the link is up.
    pub up: bool,
}

/// The picture.
#[derive(Debug, Clone)]
pub struct Picture {
    pub width: f64,
    pub height: f64,
    pub node_width: f64,
    pub node_height: f64,
    pub nodes: Vec<Node>,
    pub lines: Vec<Line>,
}

/// A site with what is below it, placed relative to its own corner.
struct Block<'h> {
    site: &'h SiteReport,
    /// Distance of the site itself from the left of the block.
    own: f64,
    width: f64,
    height: f64,
    rows: Vec<Row<'h>>,
}

struct Row<'h> {
    /// Distance from the top of the block.
    top: f64,
    /// What stands in it, each with its distance from the left of the block.
    blocks: Vec<(f64, Block<'h>)>,
}

impl Picture {
    /// Draws a hierarchy. `title` says of a site what there is to say.
    pub fn of(hierarchy: &Hierarchy, title: impl Fn(&SiteReport) -> String) -> Self {
        let scale = if hierarchy.len() > MANY { SMALL } else { LARGE };
        let order = hierarchy.in_tree_order();
        let mut picture = Self {
            width: 0.0,
            height: 0.0,
            node_width: scale.width,
            node_height: scale.height,
            nodes: Vec::with_capacity(order.len()),
            lines: Vec::with_capacity(order.len()),
        };
        // Parents come before what is below them: the list is one tree after the other, each depth first.
        let mut rest = order.as_slice();
        let mut trees = Vec::new();
        while let Some(&(depth, _)) = rest.first() {
            trees.push(block(&mut rest, depth, scale));
        }
        for tree in trees {
            let (width, height) = (tree.width, tree.height);
            picture.place(hierarchy, &tree, (0.0, picture.height), scale, &title);
            picture.width = picture.width.max(width);
            picture.height += height + 2.0 * scale.gap;
        }
        picture.height = (picture.height - 2.0 * scale.gap).max(0.0);
        picture
    }

    /// What is shown of the plane: left, top, width and height.
    pub fn view(&self) -> String {
        let width = (self.width + 2.0 * MARGIN).max(LEAST_WIDTH);
        let height = (self.height + 2.0 * MARGIN).max(LEAST_HEIGHT);
        let (left, top) = ((self.width - width) / 2.0, (self.height - height) / 2.0);
        format!("{left:.0} {top:.0} {width:.0} {height:.0}")
    }

    fn place(
        &mut self,
        hierarchy: &Hierarchy,
        block: &Block<'_>,
        (left, top): (f64, f64),
        scale: Scale,
        title: &impl Fn(&SiteReport) -> String,
    ) {
        let look = Look::of(hierarchy, block.site);
        self.nodes.push(Node {
            code: block.site.site_code.clone(),
            x: left + block.own,
            y: top,
            look: look.class(),
            sign: look.sign(),
            title: title(block.site),
            replica: hierarchy.role(block.site) == Role::Replica,
        });
        // Down, along above the row, and down to each. Where there are several rows the line goes down at the left
        // of them: no line crosses a site.
        let trunk = match block.rows.as_slice() {
            [_] => left + block.own + scale.width / 2.0,
            _ => left + scale.gap / 2.0,
        };
        let from = top + scale.height;
        for row in &block.rows {
            let rail = top + row.top - scale.gap / 2.0;
            for (distance, below) in &row.blocks {
                let to = left + distance + below.own + scale.width / 2.0;
                let end = top + row.top;
                self.lines.push(Line {
                    path: format!("M{trunk:.0} {from:.0}V{rail:.0}H{to:.0}V{end:.0}"),
                    up: below.site.connected,
                });
                let corner = (left + distance, top + row.top);
                self.place(hierarchy, below, corner, scale, title);
            }
        }
    }
}

/// Takes a site and all below it from the front of a list in tree order.
fn block<'h>(rest: &mut &[(usize, &'h SiteReport)], depth: usize, scale: Scale) -> Block<'h> {
    let site = rest[0].1;
    *rest = &rest[1..];
    let mut below = Vec::new();
    while rest.first().is_some_and(|(next, _)| *next > depth) {
        below.push(block(rest, depth + 1, scale));
    }
    // Rows as wide as makes the whole the shape of a screen.
    let area: f64 = below
        .iter()
        .map(|block| (block.width + scale.gap) * (block.height + scale.gap))
        .sum();
    let widest = below.iter().map(|block| block.width).fold(0.0, f64::max);
    let most = (area * ASPECT)
        .sqrt()
        .max(widest)
        .max(3.0 * (scale.width + scale.gap));
    let mut rows: Vec<Row<'h>> = Vec::new();
    let (mut width, mut height) = (scale.width, scale.height);
    let (mut right, mut row_height) = (f64::INFINITY, 0.0_f64);
    for child in below {
        if right + child.width > most + scale.gap {
            height += if rows.is_empty() { 0.0 } else { row_height };
            row_height = 0.0;
            rows.push(Row {
                top: height + scale.gap,
                blocks: Vec::new(),
            });
            height += scale.gap;
            right = scale.gap;
        }
        row_height = row_height.max(child.height);
        width = width.max(right + child.width);
        let at = right;
        right += child.width + scale.gap;
        if let Some(row) = rows.last_mut() {
            row.blocks.push((at, child));
        }
    }
    let mut own = 0.0;
    if let [row] = rows.as_mut_slice() {
        // One row: nothing goes down at its left, and the site stands above its middle.
        for (at, _) in &mut row.blocks {
            *at -= scale.gap;
        }
        width = (width - scale.gap).max(scale.width);
        own = (width - scale.width) / 2.0;
        if row.blocks.len() == 1 {
            for (at, child) in &mut row.blocks {
                *at = (width - child.width) / 2.0;
            }
        }
    }
    Block {
        site,
        own,
        width,
        height: height + row_height,
        rows,
    }
}

/// How many sites there are of each kind, in words: "1 central, 3 primary and 12 secondary sites".
pub fn census(hierarchy: &Hierarchy) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, site) in hierarchy.in_tree_order() {
        *kinds.entry(site.site_kind.as_str()).or_default() += 1;
    }
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    kinds.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{report, three_tiers};

    fn drawn(hierarchy: &Hierarchy) -> Picture {
        Picture::of(hierarchy, |site| site.site_code.clone())
    }

    fn overlaps(picture: &Picture) -> Option<(&str, &str)> {
        let nodes = &picture.nodes;
        nodes.iter().enumerate().find_map(|(index, one)| {
            let other = nodes[index + 1..].iter().find(|other| {
                (one.x - other.x).abs() < picture.node_width
                    && (one.y - other.y).abs() < picture.node_height
            })?;
            Some((one.code.as_str(), other.code.as_str()))
        })
    }

    #[test]
    fn every_site_stands_below_its_parent_and_on_nobody() {
        let hierarchy = three_tiers();
        let picture = drawn(&hierarchy);
        assert_eq!(picture.nodes.len(), 5);
        assert_eq!(picture.lines.len(), 4);
        assert_eq!(overlaps(&picture), None);
        let y = |code: &str| {
            let node = picture.nodes.iter().find(|node| node.code == code);
            node.unwrap().y
        };
        assert!(y("CAS") < y("PR1") && y("PR1") < y("SE1"));
    }

    #[test]
    fn a_thousand_sites_fit_a_screen() {
        let mut reports = vec![report("CAS", "central", "")];
        let code = |number: usize| {
            let digit = |d: usize| char::from_digit(u32::try_from(d % 36).unwrap(), 36).unwrap();
            let text: String = [number / 1296, number / 36, number]
                .map(digit)
                .iter()
                .collect();
            text.to_uppercase()
        };
        for primary in 0..30 {
            let parent = code(primary + 20_000);
            reports.push(report(&parent, "primary", "CAS"));
            for secondary in 0..33 {
                let below = code(30_000 + 33 * primary + secondary);
                reports.push(report(&below, "secondary", &parent));
            }
        }
        let hierarchy = Hierarchy::new(reports);
        let picture = drawn(&hierarchy);
        assert_eq!(picture.nodes.len(), 1021);
        assert_eq!(overlaps(&picture), None);
        let aspect = picture.width / picture.height;
        assert!(
            (1.0..4.0).contains(&aspect),
            "{} x {}",
            picture.width,
            picture.height
        );
        for node in &picture.nodes {
            assert!(node.x >= 0.0 && node.x + picture.node_width <= picture.width + 0.1);
            assert!(node.y >= 0.0 && node.y + picture.node_height <= picture.height + 0.1);
        }
    }

    #[test]
    fn sites_whose_parent_is_not_known_are_drawn() {
        let hierarchy = Hierarchy::new(vec![
            report("CAS", "central", ""),
            report("SE9", "secondary", "PR9"),
        ]);
        let picture = drawn(&hierarchy);
        assert_eq!((picture.nodes.len(), picture.lines.len()), (2, 0));
        assert_eq!(overlaps(&picture), None);
    }
}
