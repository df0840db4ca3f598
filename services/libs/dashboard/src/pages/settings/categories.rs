//! Products and classifications: as a tree with marks, and as choices of a rule.

use crate::api::question;
use crate::session::Person;
use std::collections::BTreeSet;
use tonic::Status;
use wire::v1::{CategoryEntry, Choice, ListCategoriesRequest};

/// A category as a row of the tree.
pub struct CategoryRow {
    pub id: String,
    pub title: String,
    pub kind: &'static str,
    pub depth: String,
    pub chosen: bool,
    pub included: bool,
}

/// Every category that the catalog has.
///
/// # Errors
/// When the site does not say.
pub async fn all(person: &Person) -> Result<Vec<CategoryEntry>, Status> {
    let request = question(ListCategoriesRequest {});
    let answer = person.api.settings().list_categories(request).await?;
    Ok(answer.into_inner().categories)
}

/// The categories of a tab as rows of the tree.
///
/// # Errors
/// When the site does not say.
pub async fn rows(person: &Person, tab: &str) -> Result<Vec<CategoryRow>, Status> {
    let categories = all(person).await?.into_iter();
    let categories = categories.filter(|category| is_of(category, tab));
    let rows = categories.map(|category| CategoryRow {
        chosen: category.choice() == Choice::Chosen,
        included: category.choice() == Choice::Included,
        depth: format!("d{}", category.depth.min(4)),
        kind: match category.kind.as_str() {
            "Company" => "company",
            "ProductFamily" => "product family",
            "Product" => "product",
            _ => "classification",
        },
        id: category.id,
        title: category.title,
    });
    Ok(rows.collect())
}

/// Whether a category belongs to a tab: products, or classifications.
pub fn is_of(category: &CategoryEntry, tab: &str) -> bool {
    (category.kind == "UpdateClassification") == (tab == "classifications")
}

/// The choice that a form makes: what was marked, and what was chosen and could not be unmarked, because something
/// above it is chosen, or everything, or because the catalog does not have it.
pub fn chosen(
    before: &BTreeSet<String>,
    shown: &[CategoryRow],
    marked: &BTreeSet<String>,
) -> BTreeSet<String> {
    let open = shown.iter().filter(|row| !row.included);
    let open: BTreeSet<&str> = open.map(|row| row.id.as_str()).collect();
    let kept = before.iter().filter(|id| !open.contains(id.as_str()));
    let marked = marked.iter().filter(|id| open.contains(id.as_str()));
    kept.chain(marked).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_cannot_unmark_stays_chosen() {
        let row = |id: &str, included| CategoryRow {
            id: id.to_owned(),
            title: String::new(),
            kind: "product",
            depth: String::new(),
            chosen: false,
            included,
        };
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let shown = [
            row("family", false),
            row("below", true),
            row("other", false),
        ];
        let before = set(&["family", "below", "gone"]);
        // A browser does not send what is marked and cannot be changed.
        let after = chosen(&before, &shown, &set(&["other"]));
        assert_eq!(after, set(&["below", "gone", "other"]));
        assert_eq!(chosen(&before, &shown, &set(&["family"])), before);
        // What is not offered is not taken.
        assert_eq!(
            chosen(&before, &shown, &set(&["family", "made up"])),
            before
        );
    }
}
