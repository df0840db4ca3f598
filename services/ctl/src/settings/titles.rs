//! Titles of products and classifications in place of their identifiers, where people read changes.

use crate::connection::{Client, question};
use serde_json::Value;
use settings::change::Change;
use std::collections::BTreeMap;
use wire::v1::ListCategoriesRequest;

/// Endings of the names of settings that hold categories.
const LISTS: [&str; 2] = [".products", ".classifications"];

/// Titles by identifier.
#[derive(Default)]
pub(super) struct Titles(BTreeMap<String, String>);

impl Titles {
    /// The titles that a site has, where some of these changes need them; none where it does not answer.
    pub(super) async fn of(client: &Client, changes: &[Change]) -> Self {
        let holds = |change: &Change| LISTS.iter().any(|list| change.name.ends_with(list));
        if !changes.iter().any(holds) {
            return Self::default();
        }
        let mut settings = client.settings();
        let answer = settings.list_categories(question(ListCategoriesRequest {}));
        let entries = answer.await.map(|answer| answer.into_inner().categories);
        let entries = entries.unwrap_or_default();
        Self::unique(entries.into_iter().map(|entry| (entry.id, entry.title)))
    }

    /// Some products share a title: they go by their identifiers.
    fn unique(entries: impl Iterator<Item = (String, String)>) -> Self {
        let all: BTreeMap<String, String> = entries.collect();
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        for title in all.values() {
            *named.entry(title).or_default() += 1;
        }
        let is_unique = |title: &String| named.get(title.as_str()) == Some(&1);
        let titles = all.iter().filter(|(_, title)| is_unique(title));
        Self(
            titles
                .map(|(id, title)| (id.clone(), title.clone()))
                .collect(),
        )
    }

    /// A change as people read it.
    pub(super) fn told(&self, change: &Change) -> String {
        let titled = |value: &Option<Value>| value.clone().map(|value| self.titled(value));
        let shown = Change {
            name: change.name.clone(),
            old: titled(&change.old),
            new: titled(&change.new),
        };
        shown.to_string()
    }

    fn titled(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.0.get(&text).cloned().unwrap_or(text)),
            Value::Array(values) => {
                let values = values.into_iter().map(|value| self.titled(value));
                Value::Array(values.collect())
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_a_title_is_told_by_it() {
        let entries = [("id-1", "Windows 11"), ("id-3", "Tools"), ("id-4", "Tools")];
        let entries = entries.map(|(id, title)| (id.to_owned(), title.to_owned()));
        let titles = Titles::unique(entries.into_iter());
        let change = Change {
            name: "products.products".to_owned(),
            old: Some(json!(["id-2"])),
            new: Some(json!(["id-1", "id-4"])),
        };
        assert_eq!(
            titles.told(&change),
            "products.products: -id-2 +Windows 11 +id-4"
        );
    }
}
