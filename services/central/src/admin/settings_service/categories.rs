//! Products and classifications for people: by title, as a tree, and what a changed choice would do.

use super::Admin;
use catalog::UpdateId;
use catalog::category::{Category, CategoryTree};
use catalog::document::CategoryType;
use catalog::well_known::CLASSIFICATIONS;
use settings::Settings;
use settings::change::Change;
use std::collections::BTreeSet;
use std::time::Duration;
use sync::Failure;
use tonic::Status;
use wire::v1::{Assignments, CategoryEntry, Choice, ListCategoriesResponse, ProductsPreview};

/// Endings of the names of settings that hold categories.
const LISTS: [&str; 2] = [".products", ".classifications"];
/// A rule stands here by the name that somebody gave it, which can be that of a list.
const RULES: &str = "approvals.rules.";
/// Categories stand no deeper: there are companies, families and products.
const DEEPEST: u32 = 16;
/// How long the source is waited for before a change is shown without what it would add.
const PREVIEW_PATIENCE: Duration = Duration::from_secs(20);
/// Titles that an ambiguous one is told with.
const MOST_SHOWN: usize = 5;

/// Whether an assignment is one of a setting that holds categories.
fn is_list(assignment: &str) -> bool {
    let name = assignment.split('=').next().unwrap_or_default();
    let name = name.trim_end_matches(['+', '-', ' ']);
    let is_rule = name
        .strip_prefix(RULES)
        .is_some_and(|rest| !rest.contains('.'));
    !is_rule && LISTS.iter().any(|list| name.ends_with(list))
}

fn unreadable(failure: Failure) -> Status {
    tracing::error!(error = %failure.message, "the categories cannot be read");
    Status::internal("the site's database failed; its journal says more")
}

impl Admin {
    async fn category_tree(&self) -> Result<CategoryTree, Status> {
        self.upstream.categories().await.map_err(unreadable)
    }

    /// Every category in the order of the tree, with what is chosen of it.
    pub(super) async fn categories(&self) -> Result<ListCategoriesResponse, Status> {
        let tree = self.category_tree().await?;
        let settings = self.settings.watch().borrow().clone();
        let mut listing = Listing {
            tree: &tree,
            settings: &settings,
            entries: Vec::new(),
            shown: BTreeSet::new(),
        };
        let mut top: Vec<&Category> = tree
            .top()
            .filter(|category| category.kind != CategoryType::UpdateClassification)
            .collect();
        top.sort_by_key(|category| category.title.to_lowercase());
        for category in top {
            listing.add(category, 0, settings.products.everything);
        }
        let mut classifications = tree.classifications();
        classifications.sort_by_key(|category| category.title.to_lowercase());
        for category in &classifications {
            listing.add(category, 0, settings.products.everything);
        }
        if classifications.is_empty() {
            // They are the same twelve everywhere, so they can be chosen before the first synchronization.
            listing.add_well_known();
        }
        Ok(ListCategoriesResponse {
            categories: listing.entries,
        })
    }

    /// The changes with identifiers in place of the titles of products and classifications.
    pub(super) async fn by_identifier(
        &self,
        assignments: Assignments,
    ) -> Result<Assignments, Status> {
        if !assignments.set.iter().any(|text| is_list(text)) {
            return Ok(assignments);
        }
        let tree = self.category_tree().await?;
        let set: Result<Vec<String>, Status> = assignments
            .set
            .into_iter()
            .map(|text| {
                if is_list(&text) {
                    identified(&text, &tree)
                } else {
                    Ok(text)
                }
            })
            .collect();
        Ok(Assignments {
            set: set?,
            reset: assignments.reset,
        })
    }

    /// What a changed choice would do, asked of the source; where it cannot be asked, that is one of the
    /// consequences.
    pub(super) async fn preview(
        &self,
        changes: &[Change],
        settings: &Settings,
        consequences: &mut Vec<String>,
    ) -> Option<ProductsPreview> {
        if !changes
            .iter()
            .any(|change| change.name.starts_with("products."))
        {
            return None;
        }
        let elsewhere = |change: &Change| {
            change.name.starts_with("source.") || change.name.starts_with("proxy.")
        };
        if changes.iter().any(elsewhere) {
            consequences.push(
                "How many updates that adds is not known: the source changes too, and only the one in force \
                 can be asked."
                    .to_owned(),
            );
            return None;
        }
        let asked = self.upstream.preview(&settings.products);
        let Ok(answer) = tokio::time::timeout(PREVIEW_PATIENCE, asked).await else {
            let seconds = PREVIEW_PATIENCE.as_secs();
            consequences.push(format!(
                "How many updates that adds is not known: the synchronization source did not answer within \
                 {seconds} seconds."
            ));
            return None;
        };
        match answer {
            Ok(preview) => {
                consequences.push(format!(
                    "The source has {} updates for the new choice that are not here, parts of bundles counted; {} \
                     that are here are no longer kept up to date, bundles counted as one.",
                    preview.adds, preview.no_longer_kept_up
                ));
                if !preview.categories_unknown.is_empty() {
                    consequences.push(format!(
                        "{} of the chosen categories are not in the catalog, or in the wrong list; nothing is \
                         asked for in their name until they are.",
                        preview.categories_unknown.len()
                    ));
                }
                let unknown = preview.categories_unknown.iter();
                Some(ProductsPreview {
                    adds: preview.adds,
                    no_longer_kept_up: preview.no_longer_kept_up,
                    unknown: unknown.map(UpdateId::to_string).collect(),
                })
            }
            Err(failure) => {
                consequences.push(format!(
                    "How many updates that adds is not known: {}.",
                    failure.message
                ));
                None
            }
        }
    }
}

/// A change with identifiers in place of titles.
fn identified(text: &str, tree: &CategoryTree) -> Result<String, Status> {
    let Some((name, value)) = text.split_once('=') else {
        return Ok(text.to_owned());
    };
    let value = value.trim();
    let classifications = name.contains(LISTS[1]);
    let titles: Vec<String> = match serde_json::from_str::<Vec<String>>(value) {
        Ok(titles) => titles,
        Err(_) if value.is_empty() => return Ok(text.to_owned()),
        Err(_) => vec![value.trim_matches('"').to_owned()],
    };
    let ids: Result<Vec<String>, Status> = titles
        .iter()
        .map(|title| identifier(title, classifications, tree))
        .collect();
    let ids = serde_json::Value::from(ids?);
    Ok(format!("{name}={ids}"))
}

/// The identifier of a category that is named by it, or by its title.
fn identifier(named: &str, classifications: bool, tree: &CategoryTree) -> Result<String, Status> {
    if named.parse::<UpdateId>().is_ok() {
        return Ok(named.to_owned());
    }
    let named_so: Vec<&Category> = tree
        .iter()
        .filter(|category| {
            let is_classification = category.kind == CategoryType::UpdateClassification;
            is_classification == classifications
                && category.title.eq_ignore_ascii_case(named.trim())
        })
        .collect();
    let well_known = || {
        let mut all = CLASSIFICATIONS.iter().filter(|_| classifications);
        all.find(|known| known.title.eq_ignore_ascii_case(named.trim()))
    };
    match named_so[..] {
        [] if let Some(known) = well_known() => Ok(known.id.to_string()),
        [one] => Ok(one.id.update_id.to_string()),
        [] => Err(Status::invalid_argument(format!(
            "the catalog has no {} {}: see headwater settings products",
            if classifications {
                "classification"
            } else {
                "product"
            },
            catalog::Problem::new(format_args!("{named:?}"))
        ))),
        ref several => {
            let told: Vec<String> = several
                .iter()
                .take(MOST_SHOWN)
                .map(|category| {
                    let path = tree.path(category.id.update_id);
                    let path: Vec<&str> = path.iter().map(|c| c.title.as_str()).collect();
                    format!("{} ({})", category.id.update_id, path.join(" / "))
                })
                .collect();
            Err(Status::invalid_argument(format!(
                "several categories have the title {named}: name one by its GUID: {}",
                told.join(", ")
            )))
        }
    }
}

fn choice(chosen: bool, included: bool) -> Choice {
    match (chosen, included) {
        (true, _) => Choice::Chosen,
        (false, true) => Choice::Included,
        (false, false) => Choice::NotChosen,
    }
}

struct Listing<'a> {
    tree: &'a CategoryTree,
    settings: &'a Settings,
    entries: Vec<CategoryEntry>,
    /// Categories may stand below themselves.
    shown: BTreeSet<UpdateId>,
}

impl Listing<'_> {
    /// The classifications that every catalog has.
    fn add_well_known(&mut self) {
        let products = &self.settings.products;
        let entries = CLASSIFICATIONS.iter().map(|named| CategoryEntry {
            id: named.id.to_string(),
            title: named.title.to_owned(),
            kind: format!("{:?}", CategoryType::UpdateClassification),
            depth: 0,
            choice: choice(
                products.classifications.contains(&named.id),
                products.everything,
            )
            .into(),
        });
        self.entries.extend(entries);
    }

    fn add(&mut self, category: &Category, depth: u32, included: bool) {
        let id = category.id.update_id;
        if depth > DEEPEST || !self.shown.insert(id) {
            return;
        }
        let products = &self.settings.products;
        let chosen = match category.kind {
            CategoryType::UpdateClassification => products.classifications.contains(&id),
            CategoryType::Company | CategoryType::ProductFamily | CategoryType::Product => {
                products.products.contains(&id)
            }
        };
        self.entries.push(CategoryEntry {
            id: id.to_string(),
            title: category.title.clone(),
            kind: format!("{:?}", category.kind),
            depth,
            choice: choice(chosen, included).into(),
        });
        let tree = self.tree;
        let mut below: Vec<&Category> = tree.children(id).collect();
        below.sort_by_key(|category| category.title.to_lowercase());
        for category in below {
            self.add(category, depth + 1, included || chosen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_list;

    #[test]
    fn a_rule_may_have_the_name_of_a_list() {
        for list in [
            "products.products=x",
            "products.classifications += x",
            "approvals.rules.urgent.products=x",
        ] {
            assert!(is_list(list), "{list}");
        }
        for other in [
            "approvals.rules.products={}",
            "approvals.rules.classifications={}",
            "schedule.when=x",
        ] {
            assert!(!is_list(other), "{other}");
        }
        assert!(is_list("approvals.rules.products.products=x"));
    }
}
