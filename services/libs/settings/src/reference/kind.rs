//! What kind of value a setting has, as its type says.

use serde_json::Value;

/// What kind of value a setting has, for forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Switch,
    /// One of some words.
    Choice(Vec<String>),
    /// A whole number within limits.
    Number {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// Anything else, as `headwater settings set` takes it.
    Text,
}

impl Kind {
    /// The kind that a part of the schema describes.
    pub(super) fn of(object: &Value) -> Self {
        let number = |name| object.get(name).and_then(Value::as_u64);
        if let (Some(least), Some(most)) = (number("minimum").or(Some(0)), number("maximum")) {
            return Self::Number { least, most };
        }
        if object.get("type").and_then(Value::as_str) == Some("boolean") {
            return Self::Switch;
        }
        let choices = object.get("oneOf").and_then(Value::as_array);
        let words: Option<Vec<String>> = choices.and_then(|choices| {
            let word = |choice: &Value| Some(choice.get("const")?.as_str()?.to_owned());
            choices.iter().map(word).collect()
        });
        words.map_or(Self::Text, Self::Choice)
    }
}
