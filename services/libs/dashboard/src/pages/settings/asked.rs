//! What a form asks for, and what is wrong with it.

/// What was typed into a form: names and values in the order of the page.
pub type Pairs = [(String, String)];

/// The first value of a name; empty where there is none.
pub fn value<'p>(pairs: &'p Pairs, name: &str) -> &'p str {
    let pair = pairs.iter().find(|(held, _)| held == name);
    pair.map_or("", |(_, value)| value.trim())
}

/// All values of a name.
pub fn values<'p>(pairs: &'p Pairs, name: &str) -> Vec<&'p str> {
    let pairs = pairs.iter().filter(|(held, _)| held == name);
    pairs.map(|(_, value)| value.as_str()).collect()
}

/// What is wrong with one setting, or one field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Its name.
    pub name: String,
    /// Why, and what to do.
    pub why: String,
}

impl Wrong {
    /// What is wrong with a field.
    pub fn new(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            why: why.into(),
        }
    }

    /// What a refusal says of single settings: "the setting NAME: why; the setting NAME: why".
    pub fn told(refusal: &str) -> Vec<Self> {
        const BEGINNING: &str = "the setting ";
        let Some(text) = refusal.strip_prefix(BEGINNING) else {
            return Vec::new();
        };
        let parts = text.split("; the setting ");
        let wrong = parts.filter_map(|part| {
            let (name, why) = part.split_once(": ")?;
            // What is said of a schedule names the field within.
            let mut words = why.split_whitespace();
            let within = words.find(|word| {
                word.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('.'))
            });
            Some(Self::new(within.unwrap_or(name), why))
        });
        wrong.collect()
    }

    /// What is said of a field or of something in it.
    pub fn of(all: &[Self], name: &str) -> Option<String> {
        let wrong = all.iter().filter(|wrong| {
            let rest = wrong.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let reasons: Vec<&str> = wrong.map(|wrong| wrong.why.as_str()).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// The changes that a form asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Each NAME=VALUE.
    pub set: Vec<String>,
    /// Names that get their default back.
    pub reset: Vec<String>,
    /// What cannot be meant.
    pub wrong: Vec<Wrong>,
}

impl Asked {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.reset.is_empty() && self.wrong.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_beside_what_it_is_about() {
        let told = Wrong::told(
            "the setting source.url: it is no URL: use https://; the setting proxy.host: it is empty",
        );
        let expected = [
            Wrong::new("source.url", "it is no URL: use https://"),
            Wrong::new("proxy.host", "it is empty"),
        ];
        assert_eq!(told, expected);
        assert_eq!(
            Wrong::of(&told, "proxy.host").as_deref(),
            Some("it is empty")
        );
        assert_eq!(Wrong::of(&told, "proxy"), Some("it is empty".into()));
        assert_eq!(Wrong::of(&told, "proxy.hos"), None);
        assert!(Wrong::told("version 3 is in force").is_empty());
        let zone =
            "the setting schedule: schedule.time-zone is \"Mars\", which is not known; use UTC";
        assert_eq!(Wrong::told(zone)[0].name, "schedule.time-zone");
    }
}
