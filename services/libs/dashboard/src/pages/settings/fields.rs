//! The fields of a tab: one a setting, of the kind that its type says.

use super::Held;
use settings::change::plain;
use settings::reference::{Kind, entries};

/// Settings that have forms of their own.
const ELSEWHERE: [&str; 4] = [
    "products.products",
    "products.classifications",
    "schedule.when",
    "schedule.blackout",
];

/// A field of a form.
pub struct Field {
    pub name: String,
    pub label: String,
    pub meaning: String,
    pub limits: String,
    pub default: String,
    pub answers_to: &'static str,
    kind: Kind,
    pub value: String,
    /// The command line or the settings file of the process decides it.
    pub fixed: bool,
    /// Why what was typed is refused.
    pub problem: Option<String>,
}

impl Field {
    pub fn is_switch(&self) -> bool {
        self.kind == Kind::Switch
    }

    pub fn choices(&self) -> &[String] {
        match &self.kind {
            Kind::Choice(words) => words,
            Kind::Switch | Kind::Number { .. } | Kind::Text => &[],
        }
    }

    pub fn bounds(&self) -> Option<(u64, u64)> {
        match self.kind {
            Kind::Number { least, most } => Some((least, most)),
            Kind::Switch | Kind::Choice(_) | Kind::Text => None,
        }
    }

    /// The identifier of the element.
    pub fn id(&self) -> String {
        self.name.replace('.', "-")
    }
}

/// The fields of a tab.
pub fn of(held: &Held, tab: &str) -> Vec<Field> {
    let entries = entries().into_iter();
    let entries = entries.filter(|entry| {
        entry.name.split('.').next() == Some(tab) && !ELSEWHERE.contains(&entry.name.as_str())
    });
    let fields = entries.filter_map(|entry| {
        let value = held.named.get(&entry.name)?.clone();
        let parts = entry.name.split('.').skip(1);
        let parts: Vec<String> = parts.map(|part| part.replace('-', " ")).collect();
        Some(Field {
            label: hierarchy::words::capitalized(&parts.join(": ")),
            fixed: held.answer.fixed.contains(&entry.name),
            value,
            name: entry.name,
            meaning: entry.meaning,
            limits: entry.limits,
            default: entry.default,
            answers_to: entry.answers_to,
            kind: entry.kind,
            problem: None,
        })
    });
    fields.collect()
}

/// The value of a setting as a form shows it: so that a change takes it back.
pub fn shown(name: &str, value: &serde_json::Value) -> String {
    // Languages are written as a list of tags.
    let is_tags = name.starts_with("languages.");
    if value.is_null() {
        String::new()
    } else if value.is_object() || (value.is_array() && !is_tags) {
        value.to_string()
    } else {
        plain(value)
    }
}

/// An assignment for each field that is not as it was.
pub fn assignments(held: &Held, pairs: &[(String, String)]) -> Vec<String> {
    let fields = pairs.iter().filter_map(|(name, value)| {
        let before = held.named.get(name)?;
        let value = value.replace("\r\n", "\n");
        let before = before.replace("\r\n", "\n");
        let is_list = before.starts_with('[');
        let value = match value.trim() {
            "" if is_list => "[]",
            value => value,
        };
        (value != before.trim()).then(|| format!("{name}={value}"))
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_a_form_shows_is_taken_back() {
        let webhooks = serde_json::json!(["https://a/", "https://b/"]);
        let form = shown("notifications.webhooks", &webhooks);
        let back: serde_json::Value = serde_json::from_str(&form).unwrap();
        assert_eq!(back, webhooks);
        let tags = serde_json::json!(["de", "fr"]);
        assert_eq!(shown("languages.update-files", &tags), "de, fr");
        assert_eq!(shown("source.url", &serde_json::Value::Null), "");
    }
}
