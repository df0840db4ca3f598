//! An update between what it is related to, as a picture: what supersedes and bundles it before it, what it supersedes,
//! bundles and requires behind it. Whoever does not see it has the same as a list.

use super::relations::Related;

/// Updates of a group that are drawn; it is said how many more there are.
const DRAWN: usize = 6;
/// Characters of a title that are drawn.
const LETTERS: usize = 37;
/// The same of the update itself, whose title is bold.
const OWN_LETTERS: usize = 27;
/// Sizes of what is drawn.
const NODE: (f64, f64) = (280.0, 26.0);
const OWN_WIDTH: f64 = 240.0;
const OWN_HEIGHT: f64 = 46.0;
const GAP: f64 = 6.0;
const HEADING: f64 = 22.0;
const BETWEEN_GROUPS: f64 = 12.0;
const BETWEEN_COLUMNS: f64 = 84.0;
/// Room around the picture.
const MARGIN: f64 = 3.0;

/// On which side of the update a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those of which the update is told.
    Before,
    /// Those of which it tells.
    After,
}

/// Updates of one relation.
pub struct Group<'a> {
    pub heading: &'static str,
    pub side: Side,
    pub class: &'static str,
    pub updates: &'a [Related],
    /// How many there are beside those.
    pub more: usize,
}

/// An update in the picture, or how many more there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub x: f64,
    pub y: f64,
    pub class: &'static str,
    /// Its page; none where there is none.
    pub id: Option<String>,
    pub text: String,
    /// The whole title.
    pub title: String,
}

/// A line from the update to one that it is related to, or the other way round.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub path: String,
    pub class: &'static str,
}

/// The name of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Heading {
    pub x: f64,
    pub y: f64,
    pub text: &'static str,
}

/// The picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    pub width: f64,
    pub height: f64,
    /// Where the update itself is, how large, and what stands in it.
    pub own: (f64, f64),
    pub title: String,
    pub nodes: Vec<Node>,
    pub lines: Vec<Line>,
    pub headings: Vec<Heading>,
}

/// The beginning of a title.
fn short(title: &str, letters: usize) -> String {
    if title.chars().count() <= letters {
        return title.to_owned();
    }
    let beginning: String = title.chars().take(letters.saturating_sub(1)).collect();
    format!("{}…", beginning.trim_end())
}

/// How many lines of a group are drawn: updates, and how many more there are.
fn rows(group: &Group<'_>) -> (usize, usize) {
    let drawn = group.updates.len().min(DRAWN);
    (drawn, group.updates.len() - drawn + group.more)
}

fn as_float(count: usize) -> f64 {
    // A few rows.
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

fn height_of(groups: &[&Group<'_>]) -> f64 {
    let heights = groups.iter().map(|group| {
        let (drawn, more) = rows(group);
        let lines = as_float(drawn + usize::from(more > 0));
        HEADING + lines * (NODE.1 + GAP) - GAP
    });
    heights.sum::<f64>() + as_float(groups.len().saturating_sub(1)) * BETWEEN_GROUPS
}

impl Graph {
    /// Draws an update with what it is related to.
    pub fn of(title: &str, groups: &[Group<'_>]) -> Self {
        let of_side = |side| -> Vec<&Group<'_>> {
            let groups = groups.iter();
            groups.filter(|group| group.side == side).collect()
        };
        let (before, after) = (of_side(Side::Before), of_side(Side::After));
        let height = height_of(&before).max(height_of(&after)).max(OWN_HEIGHT);
        let column = |groups: &[&Group<'_>]| match groups.is_empty() {
            true => 0.0,
            false => NODE.0 + BETWEEN_COLUMNS,
        };
        let own = (column(&before), (height - OWN_HEIGHT) / 2.0);
        let mut graph = Self {
            width: own.0 + OWN_WIDTH + column(&after),
            height,
            own,
            title: short(title, OWN_LETTERS),
            nodes: Vec::new(),
            lines: Vec::new(),
            headings: Vec::new(),
        };
        graph.place(&before, 0.0, Side::Before);
        graph.place(&after, own.0 + OWN_WIDTH + BETWEEN_COLUMNS, Side::After);
        graph
    }

    /// What is shown of the plane: left, top, width and height.
    pub fn view(&self) -> String {
        let (width, height) = (self.width + 2.0 * MARGIN, self.height + 2.0 * MARGIN);
        format!("{:.0} {:.0} {width:.0} {height:.0}", -MARGIN, -MARGIN)
    }

    /// Width and height of a node, and of the update itself.
    pub fn sizes() -> ((f64, f64), (f64, f64)) {
        (NODE, (OWN_WIDTH, OWN_HEIGHT))
    }

    fn place(&mut self, groups: &[&Group<'_>], x: f64, side: Side) {
        let mut y = (self.height - height_of(groups)) / 2.0;
        for group in groups {
            let (drawn, more) = rows(group);
            self.headings.push(Heading {
                x,
                y: y + HEADING - 8.0,
                text: group.heading,
            });
            y += HEADING;
            for update in &group.updates[..drawn] {
                self.join((x, y), side, group.class);
                self.nodes.push(Node {
                    x,
                    y,
                    class: group.class,
                    id: update.held.then(|| update.id.clone()),
                    text: short(&update.title, LETTERS),
                    title: update.title.clone(),
                });
                y += NODE.1 + GAP;
            }
            if more > 0 {
                self.nodes.push(Node {
                    x,
                    y,
                    class: "more",
                    id: None,
                    text: format!("and {more} more"),
                    title: String::new(),
                });
                y += NODE.1 + GAP;
            }
            y += BETWEEN_GROUPS - GAP;
        }
    }

    /// The line between the update and a node.
    fn join(&mut self, (x, y): (f64, f64), side: Side, class: &'static str) {
        let middle = self.own.1 + OWN_HEIGHT / 2.0;
        let node = y + NODE.1 / 2.0;
        // The arrow is not covered by what it points at.
        let ((from_x, from_y), (to_x, to_y)) = match side {
            Side::Before => ((x + NODE.0, node), (self.own.0 - 2.0, middle)),
            Side::After => ((self.own.0 + OWN_WIDTH, middle), (x - 2.0, node)),
        };
        let half = f64::midpoint(from_x, to_x);
        self.lines.push(Line {
            path: format!(
                "M{from_x:.0} {from_y:.0}C{half:.0} {from_y:.0} {half:.0} {to_y:.0} {to_x:.0} {to_y:.0}"
            ),
            class,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updates(count: usize) -> Vec<Related> {
        let updates = (0..count).map(|number| Related {
            before: String::new(),
            id: format!("id{number}"),
            title: format!("update {number}"),
            held: true,
        });
        updates.collect()
    }

    fn group(updates: &[Related], side: Side, more: usize) -> Group<'_> {
        Group {
            heading: "Group",
            side,
            class: "superseding",
            updates,
            more,
        }
    }

    #[test]
    fn few_are_drawn_and_the_others_counted() {
        let many = updates(10);
        let graph = Graph::of("it", &[group(&many, Side::After, 8)]);
        assert_eq!((graph.nodes.len(), graph.lines.len()), (DRAWN + 1, DRAWN));
        assert_eq!(graph.nodes[DRAWN].text, "and 12 more");
        assert_eq!(graph.nodes[DRAWN].id, None);
        let few = updates(DRAWN);
        let graph = Graph::of("it", &[group(&few, Side::After, 0)]);
        assert_eq!(graph.nodes.len(), DRAWN);
    }

    #[test]
    fn everything_is_within_the_picture_and_nothing_on_anything_else() {
        let (few, many) = (updates(1), updates(9));
        let groups = [
            group(&few, Side::Before, 0),
            group(&many, Side::After, 1),
            group(&few, Side::After, 0),
        ];
        let graph = Graph::of("it", &groups);
        for (index, node) in graph.nodes.iter().enumerate() {
            assert!(node.x >= 0.0 && node.x + NODE.0 <= graph.width, "{node:?}");
            assert!(node.y >= 0.0 && node.y + NODE.1 <= graph.height, "{node:?}");
            for other in &graph.nodes[..index] {
                let apart =
                    (node.x - other.x).abs() >= NODE.0 || (node.y - other.y).abs() >= NODE.1;
                assert!(apart, "{node:?} {other:?}");
            }
        }
        let left = Graph::of("it", &[group(&few, Side::Before, 0)]);
        assert!(left.width < graph.width, "an empty side takes no room");
    }

    #[test]
    fn a_long_title_is_cut_between_letters() {
        assert_eq!(short("kurz", 10), "kurz");
        assert_eq!(short("äöüäöüäöüäöü", 5), "äöüä…");
        assert_eq!(short("ends in space", 6), "ends…");
    }
}
