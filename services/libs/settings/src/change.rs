//! Changes to the document: by name as people type them, and the difference between two versions.

use crate::document::Settings;
use crate::reference::{Kind, entries};
use catalog::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// Assignments in one change at most.
pub const MOST_ASSIGNMENTS: usize = 1_000;
/// The setting of which only one part can be there.
const FORM: &[&str] = &["schedule", "when"];
/// The setting whose parts are entries with names of their own: `NAME=` takes one out.
const ENTRIES: &[&str] = &["approvals", "rules"];
/// Parts of a name at most: `schedule.when.monthly-by-weekday.at` has four.
const MOST_PARTS: usize = 8;

/// A change of one setting, as people type it: `NAME=VALUE`, and for lists `NAME+=VALUE` and
/// `NAME-=VALUE`. `NAME=` gives an optional setting up. A value is JSON where it can be read so, else text.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    name: String,
    operation: Operation,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Set,
    Add,
    Remove,
    Reset,
}

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// A text that is no assignment.
    #[error("{0} is not a change of a setting: write NAME=VALUE, NAME+=VALUE or NAME-=VALUE")]
    Malformed(Problem),
    /// The document does not take the value, or has no such setting.
    #[error("the setting {name}: {why}")]
    Refused {
        /// The setting.
        name: String,
        /// Why not.
        why: Problem,
    },
    /// More than anybody types.
    #[error("more than {MOST_ASSIGNMENTS} changes at once: make them in parts")]
    TooMany,
    /// The document cannot be read.
    #[error("the settings cannot be read: {0}")]
    Unreadable(Problem),
}

impl FromStr for Assignment {
    type Err = ChangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || ChangeError::Malformed(Problem::new(format_args!("{text:?}")));
        let (name, value) = text.split_once('=').ok_or_else(malformed)?;
        let (name, operation) = match (name.strip_suffix('+'), name.strip_suffix('-')) {
            (Some(name), _) => (name, Operation::Add),
            (_, Some(name)) => (name, Operation::Remove),
            (None, None) => (name, Operation::Set),
        };
        if name.is_empty() {
            return Err(malformed());
        }
        Ok(Self {
            name: name.trim().to_owned(),
            operation,
            value: value.trim().to_owned(),
        })
    }
}

impl Assignment {
    /// Gives a setting, or all below a name, its default back.
    pub fn reset(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            operation: Operation::Reset,
            value: String::new(),
        }
    }

    fn refused(&self, why: impl std::fmt::Display) -> ChangeError {
        ChangeError::Refused {
            name: Problem::new(&self.name).to_string(),
            why: Problem::new(why),
        }
    }

    /// What the value may mean, the likelier first.
    fn readings(&self, settings: &Settings) -> Result<Vec<Value>, ChangeError> {
        let text = Value::String(self.value.clone());
        if self.value.is_empty() {
            let document = to_value(settings)?;
            let is_list = at(&document, &self.name).is_some_and(Value::is_array);
            let nothing = match is_list {
                true => Value::Array(Vec::new()),
                false => Value::Null,
            };
            return Ok(vec![nothing, text]);
        }
        let json = serde_json::from_str(&self.value).ok();
        Ok(json.into_iter().chain([text]).collect())
    }

    /// The settings with this change made.
    fn apply(&self, settings: &Settings) -> Result<Settings, ChangeError> {
        if self.operation == Operation::Reset {
            return self.put(settings, None);
        }
        let mut first = None;
        for reading in self.readings(settings)? {
            let value = self.combined(settings, reading)?;
            match self.put(settings, Some(value)) {
                Ok(changed) => return Ok(changed),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| self.refused("it has no value")))
    }

    /// The value that the setting is to have.
    fn combined(&self, settings: &Settings, value: Value) -> Result<Value, ChangeError> {
        if matches!(self.operation, Operation::Set | Operation::Reset) {
            return Ok(value);
        }
        let document = to_value(settings)?;
        let mut list = match at(&document, &self.name) {
            Some(Value::Array(list)) => list.clone(),
            Some(_) | None => return Err(self.refused("it is not a list: use NAME=VALUE")),
        };
        let values = if let Value::Array(values) = value {
            values
        } else {
            vec![value]
        };
        match self.operation {
            Operation::Add => list.extend(values),
            Operation::Remove => {
                for value in values {
                    let before = list.len();
                    list.retain(|held| !same(held, &value));
                    if list.len() == before {
                        return Err(self.refused(format_args!("{value} is not in the list")));
                    }
                }
            }
            Operation::Set | Operation::Reset => {}
        }
        Ok(Value::Array(list))
    }

    /// The settings with a value put in its place; without one the default.
    fn put(&self, settings: &Settings, value: Option<Value>) -> Result<Settings, ChangeError> {
        let value = match value {
            Some(value) => Some(value),
            None => at(&to_value(&Settings::default())?, &self.name).cloned(),
        };
        let mut document = to_value(settings)?;
        let parts: Vec<&str> = self.name.split('.').collect();
        let Some((last, path)) = parts.split_last() else {
            return Err(self.refused("it has no name"));
        };
        if parts.len() > MOST_PARTS {
            return Err(self.refused("there is no such setting"));
        }
        let mut place = &mut document;
        for (depth, part) in path.iter().chain([last]).enumerate() {
            // A form of the schedule takes the place of another.
            if path.get(..depth) == Some(FORM) && place.get(*part).is_none() {
                *place = Value::Object(Map::new());
            }
            if depth == path.len() {
                break;
            }
            let Value::Object(fields) = place else {
                return Err(self.refused("there is no such setting"));
            };
            let field = fields.entry((*part).to_owned()).or_insert(Value::Null);
            if field.is_null() {
                *field = Value::Object(Map::new());
            }
            place = field;
        }
        let Value::Object(fields) = place else {
            return Err(self.refused("there is no such setting"));
        };
        let value = value.filter(|value| path != ENTRIES || !value.is_null());
        match &value {
            Some(value) => {
                fields.insert((*last).to_owned(), value.clone());
            }
            None if fields.remove(*last).is_none() => {
                return Err(self.refused("there is no such setting"));
            }
            None => {}
        }
        let is_plain = value.is_some_and(|value| !value.is_array() && !value.is_object());
        serde_json::from_value(document).map_err(|error| {
            match takes(&self.name).filter(|_| is_plain) {
                Some(takes) if self.value.is_empty() => self.refused(format_args!(
                    "it takes {takes}, and cannot be nothing: headwater settings reset {} gives its default back",
                    self.name
                )),
                Some(takes) => self.refused(format_args!("it takes {takes}, not {}", self.value)),
                None => self.refused(in_words(&error.to_string())),
            }
        })
    }
}

/// What a setting takes, where that is a number, a switch or one of some words.
fn takes(name: &str) -> Option<String> {
    let entry = entries()
        .into_iter()
        .find(|entry| is_named(&entry.name, name))?;
    match entry.kind {
        Kind::Number { .. } | Kind::Choice(_) => Some(entry.limits),
        Kind::Switch => Some("true or false".to_owned()),
        Kind::Text => None,
    }
}

/// Whether a setting has a name of the reference, in which `<…>` stands for a name that somebody gave.
fn is_named(known: &str, name: &str) -> bool {
    let (known, name): (Vec<&str>, Vec<&str>) =
        (known.split('.').collect(), name.split('.').collect());
    let fits = |(known, part): (&&str, &&str)| known == part || known.starts_with('<');
    known.len() == name.len() && known.iter().zip(&name).all(fits)
}

/// What a reader of JSON says, without the names that a program has for numbers.
fn in_words(error: &str) -> String {
    let types = [
        "expected u8",
        "expected u16",
        "expected u32",
        "expected u64",
    ];
    match types.iter().find(|said| error.contains(*said)) {
        Some(said) => error.replace(
            said,
            "expected a whole number within its limits, which headwater settings reference tells",
        ),
        None => error.to_owned(),
    }
}

/// GUIDs are the same in any case.
fn same(held: &Value, value: &Value) -> bool {
    match (held.as_str(), value.as_str()) {
        (Some(held), Some(value)) => held.eq_ignore_ascii_case(value),
        _ => held == value,
    }
}

fn at<'v>(document: &'v Value, name: &str) -> Option<&'v Value> {
    name.split('.')
        .try_fold(document, |place, part| place.get(part))
}

fn to_value(settings: &Settings) -> Result<Value, ChangeError> {
    serde_json::to_value(settings).map_err(|error| ChangeError::Unreadable(Problem::new(error)))
}

impl Settings {
    /// The document of its JSON form. What is not named has its default.
    ///
    /// # Errors
    /// When it is not the JSON of a document of this version.
    pub fn from_json(json: &str) -> Result<Self, ChangeError> {
        serde_json::from_str(json)
            .map_err(|error| ChangeError::Unreadable(Problem::new(in_words(&error.to_string()))))
    }

    /// The JSON form, every setting in it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("keys are texts and values have a JSON form")
    }

    /// The settings with all of these changes made, one after the other.
    ///
    /// # Errors
    /// When one of them cannot be made. Whether the whole makes sense is for [`Settings::check`].
    pub fn with(&self, assignments: &[Assignment]) -> Result<Self, ChangeError> {
        if assignments.len() > MOST_ASSIGNMENTS {
            return Err(ChangeError::TooMany);
        }
        let mut settings = self.clone();
        for assignment in assignments {
            settings = assignment.apply(&settings)?;
        }
        Ok(settings)
    }

    /// Every setting by its name.
    pub fn by_name(&self) -> BTreeMap<String, Value> {
        let mut named = BTreeMap::new();
        if let Ok(document) = to_value(self) {
            flatten("", document, &mut named);
        }
        named
    }
}

/// A setting that is not the same in two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The setting.
    pub name: String,
    /// What it was; none where it was not there.
    pub old: Option<Value>,
    /// What it is; none where it is no longer there.
    pub new: Option<Value>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let (Some(Value::Array(old)), Some(Value::Array(new))) = (&self.old, &self.new) {
            write!(f, "{}:", self.name)?;
            for gone in old.iter().filter(|value| !new.contains(value)) {
                write!(f, " -{}", plain(gone))?;
            }
            for come in new.iter().filter(|value| !old.contains(value)) {
                write!(f, " +{}", plain(come))?;
            }
            return Ok(());
        }
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), plain);
        write!(
            f,
            "{}: {} → {}",
            self.name,
            shown(&self.old),
            shown(&self.new)
        )
    }
}

/// A value as people read it: text without quotes, nothing as a dash.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// What is not the same in two versions, by name.
pub fn difference(old: &Settings, new: &Settings) -> Vec<Change> {
    let (old, new) = (old.by_name(), new.by_name());
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| Change {
            name: name.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
        })
        .collect()
}

fn flatten(name: &str, value: Value, named: &mut BTreeMap<String, Value>) {
    let Value::Object(fields) = value else {
        named.insert(name.to_owned(), value);
        return;
    };
    for (part, value) in fields {
        let name = match name {
            "" => part,
            _ => format!("{name}.{part}"),
        };
        flatten(&name, value, named);
    }
}

#[cfg(test)]
mod tests;
