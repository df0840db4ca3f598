//! The reference of all settings: what `docs/settings.md` and `headwater settings schema` show. Meanings and
//! limits come from the document's own types; a table here adds the names that WSUS and Configuration Manager
//! have for them.

mod forms;
mod kind;
mod names;
mod page;
mod secrets;
mod texts;

pub use kind::Kind;
pub use page::markdown;
pub use secrets::{SECRETS, Secret};

use self::names::NAMES;
use crate::change::plain;
use crate::document::{ApprovalRule, Settings};
use serde_json::Value;

/// A setting as the reference shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it means.
    pub meaning: String,
    /// What it is unless it was set.
    pub default: String,
    /// Which values it takes.
    pub limits: String,
    /// What WSUS or Configuration Manager calls it.
    pub answers_to: &'static str,
    /// What kind of value it has.
    pub kind: Kind,
}

/// Stands for the name of an entry.
const ENTRY: &str = "<name>";

/// Parts of the document that the reference shows as one setting.
const WHOLE: &[&str] = &["schedule.when", "schedule.blackout"];

/// The JSON schema of the document.
pub fn schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

/// Every setting, in the order of the table.
///
/// # Panics
/// When the table above and the document do not name the same settings. A test sees to it.
pub fn entries() -> Vec<Entry> {
    let schema = schema();
    let mut found = Vec::new();
    walk(&schema, &schema, "", &mut found);
    let mut defaults = Settings::default();
    let rule = ApprovalRule::default();
    defaults.approvals.rules.insert(ENTRY.to_owned(), rule);
    let defaults = defaults.by_name();
    let mut entries: Vec<Entry> = Vec::new();
    for (name, limits, answers_to) in NAMES {
        let (_, meaning, by_type, kind) = found
            .iter()
            .find(|(held, ..)| held == name)
            .expect("the table names settings of the document");
        let default = defaults.get(*name).map_or_else(|| "-".to_owned(), plain);
        entries.push(Entry {
            name: (*name).to_owned(),
            meaning: meaning.clone(),
            default,
            limits: if limits.is_empty() {
                by_type.clone()
            } else {
                (*limits).to_owned()
            },
            answers_to,
            kind: kind.clone(),
        });
    }
    entries
}

/// Name, meaning, limits and kind of a setting, as its type has them.
type Found = (String, String, String, Kind);

/// Collects name, meaning, limits and kind of everything below a part of the schema.
fn walk(root: &Value, part: &Value, name: &str, found: &mut Vec<Found>) {
    let object = resolved(root, part);
    let properties = object.get("properties").and_then(Value::as_object);
    let whole = WHOLE.contains(&name);
    if let Some(properties) = properties.filter(|_| !whole) {
        for (field, part) in properties {
            let name = match name {
                "" => field.clone(),
                _ => format!("{name}.{field}"),
            };
            walk(root, part, &name, found);
        }
        return;
    }
    if let Some(entry) = object
        .get("additionalProperties")
        .filter(|entry| entry.is_object() && !whole)
    {
        let entries = if name == "site" { "<CODE>" } else { ENTRY };
        walk(root, entry, &format!("{name}.{entries}"), found);
        return;
    }
    let meaning = part
        .get("description")
        .or_else(|| object.get("description"));
    let meaning = meaning.and_then(Value::as_str).unwrap_or_default();
    let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
    found.push((name.to_owned(), meaning, limits(object), Kind::of(object)));
}

fn resolved<'s>(root: &'s Value, part: &'s Value) -> &'s Value {
    part.get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| root.pointer(path.trim_start_matches('#')))
        .unwrap_or(part)
}

/// What values a type takes.
fn limits(object: &Value) -> String {
    let number = |name| object.get(name).and_then(Value::as_i64);
    if let (Some(least), Some(most)) = (number("minimum").or(Some(0)), number("maximum")) {
        return format!("{least} to {most}");
    }
    let choices: Vec<String> = object
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .flat_map(|choice| {
            let word = choice
                .get("const")
                .and_then(Value::as_str)
                .map(str::to_owned);
            let list = choice.get("properties").and_then(Value::as_object);
            let list = list
                .and_then(|fields| fields.keys().next())
                .map(|key| format!("{key}: a list"));
            word.or(list)
        })
        .collect();
    if !choices.is_empty() {
        return choices.join(", ");
    }
    if let Some(words) = object.get("enum").and_then(Value::as_array) {
        return words.iter().map(plain).collect::<Vec<_>>().join(", ");
    }
    match object.get("type").and_then(Value::as_str) {
        Some("boolean") => "true, false".to_owned(),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests;
