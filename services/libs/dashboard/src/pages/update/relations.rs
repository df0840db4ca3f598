//! What an update is related to, under the names that people know.

use super::graph::{Graph, Group, Side};
use wire::v1::{GetUpdateResponse, RelatedUpdate};

/// Kinds of relations, their names, on which side of the update they stand in the picture, and their classes.
const KINDS: [(&str, &str, Side, &str); 5] = [
    (
        "superseded-by",
        "Superseded by",
        Side::Before,
        "superseding",
    ),
    ("bundled-by", "Bundled by", Side::Before, "bundling"),
    ("supersedes", "Supersedes", Side::After, "superseding"),
    ("bundles", "Bundles", Side::After, "bundling"),
    ("requires", "Requires", Side::After, "requiring"),
];

/// The updates to which an update stands in one relation.
pub struct Relation {
    pub name: &'static str,
    pub updates: Vec<Related>,
    pub more: usize,
}

/// One of them.
pub struct Related {
    /// Said before the title, as in "one of 3:".
    pub before: String,
    pub id: String,
    /// Its title, or its identifier where that is all that is known.
    pub title: String,
    /// Whether the catalog has it.
    pub held: bool,
}

impl From<RelatedUpdate> for Related {
    fn from(update: RelatedUpdate) -> Self {
        let before = match update.alternatives {
            0 | 1 => String::new(),
            several => format!("one of {several}:"),
        };
        let held = update.revision > 0;
        let title = match (held, update.publication_state.as_str()) {
            (false, _) => format!("{} (not in the catalog)", update.update_id),
            (true, "Expired") => format!("{} (expired)", update.title),
            (true, _) => update.title,
        };
        Self {
            before,
            title,
            id: update.update_id,
            held,
        }
    }
}

/// The relations of an update under their names, and the picture of them.
pub fn of(update: &mut GetUpdateResponse, title: &str) -> (Vec<Relation>, Option<Graph>) {
    let mut told = std::mem::take(&mut update.relations);
    let mut relations = Vec::new();
    let mut places = Vec::new();
    for (kind, name, side, class) in KINDS {
        if let Some(at) = told.iter().position(|relation| relation.kind == kind) {
            let relation = told.swap_remove(at);
            relations.push(Relation {
                name,
                updates: relation.updates.into_iter().map(Related::from).collect(),
                more: usize::try_from(relation.more).unwrap_or(usize::MAX),
            });
            places.push((side, class));
        }
    }
    let groups = relations.iter().zip(places);
    let groups: Vec<Group<'_>> = groups
        .map(|(relation, (side, class))| Group {
            heading: relation.name,
            side,
            class,
            updates: &relation.updates,
            more: relation.more,
        })
        .collect();
    let graph = (!groups.is_empty()).then(|| Graph::of(title, &groups));
    (relations, graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(kind: &str, updates: Vec<RelatedUpdate>) -> wire::v1::Relation {
        wire::v1::Relation {
            kind: kind.into(),
            updates,
            more: 2,
        }
    }

    #[test]
    fn relations_are_told_in_the_words_that_people_know() {
        let related = |id: &str, revision| RelatedUpdate {
            update_id: id.into(),
            revision,
            title: format!("title of {id}"),
            publication_state: "Published".into(),
            alternatives: 1,
        };
        let withdrawn = RelatedUpdate {
            publication_state: "Expired".into(),
            alternatives: 3,
            ..related("c", 5)
        };
        let mut update = GetUpdateResponse {
            relations: vec![
                relation("requires", vec![related("b", 0), withdrawn]),
                relation("superseded-by", vec![related("a", 1)]),
                relation("something newer", vec![related("x", 1)]),
            ],
            ..GetUpdateResponse::default()
        };
        let (relations, graph) = of(&mut update, "the update");
        let told: Vec<_> = relations
            .iter()
            .flat_map(|relation| {
                relation
                    .updates
                    .iter()
                    .map(|update| (relation.name, update))
            })
            .map(|(name, update)| format!("{name} {} {}", update.before, update.title))
            .collect();
        assert_eq!(
            told,
            [
                "Superseded by  title of a",
                "Requires  b (not in the catalog)",
                "Requires one of 3: title of c (expired)",
            ]
        );
        assert!(graph.is_some());
        assert!(of(&mut GetUpdateResponse::default(), "alone").1.is_none());
    }
}
