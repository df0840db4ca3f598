//! Rules of automatic approvals: a list, and a form for one of them.

use super::asked::{Asked, Pairs, Wrong, value, values};
use super::categories::is_of;
use serde_json::{Value, json};
use settings::document::{ApprovalRule, RuleApproval};
use std::collections::{BTreeMap, BTreeSet};
use wire::v1::CategoryEntry;

/// The setting that holds them.
const RULES: &str = "approvals.rules";

/// A rule as a row of the list.
pub struct RuleRow {
    pub name: String,
    pub enabled: bool,
    pub approval: &'static str,
    /// What it matches, in words.
    pub matches: String,
    pub deadline: String,
}

fn word(approval: RuleApproval) -> &'static str {
    match approval {
        RuleApproval::Detection => "detection",
        RuleApproval::Install => "install",
    }
}

/// The rules by name.
pub fn rows(rules: &BTreeMap<String, ApprovalRule>) -> Vec<RuleRow> {
    let rows = rules.iter().map(|(name, rule)| {
        let mut matches = Vec::new();
        for (count, one, several) in [
            (
                rule.classifications.len(),
                "classification",
                "classifications",
            ),
            (rule.products.len(), "product", "products"),
        ] {
            match count {
                0 => {}
                1 => matches.push(format!("one {one}")),
                count => matches.push(format!("any of {count} {several}")),
            }
        }
        matches.extend(
            rule.title
                .as_ref()
                .map(|title| format!("titles like {title}")),
        );
        if matches.is_empty() {
            matches.push("every update".to_owned());
        }
        RuleRow {
            name: name.clone(),
            enabled: rule.enabled,
            approval: word(rule.approval),
            matches: matches.join(", and "),
            deadline: match rule.deadline_days {
                None => "none".to_owned(),
                Some(1) => "1 day later".to_owned(),
                Some(days) => format!("{days} days later"),
            },
        }
    });
    rows.collect()
}

/// A category that a rule may name.
pub struct Named {
    pub id: String,
    pub title: String,
    pub chosen: bool,
}

/// The form of a rule.
pub struct Form {
    /// Its name as it is held; empty: it is new.
    pub held: String,
    pub name: String,
    pub enabled: bool,
    pub approval: String,
    pub title: String,
    pub deadline: String,
    pub classifications: Vec<Named>,
    pub products: Vec<Named>,
    wrong: Vec<Wrong>,
}

impl Form {
    /// The form of a rule, or of a new one; of what was typed where there is something.
    pub fn new(
        rules: &BTreeMap<String, ApprovalRule>,
        name: &str,
        typed: Option<&Pairs>,
        wrong: &[Wrong],
        categories: &[CategoryEntry],
    ) -> Self {
        let rule = rules.get(name).cloned().unwrap_or_default();
        let held = match rules.contains_key(name) {
            true => name,
            false => "",
        };
        let classifications = ids(typed, "rule.classifications", &rule.classifications);
        let products = ids(typed, "rule.products", &rule.products);
        let text = |field: &str, held: String| match typed {
            Some(pairs) => value(pairs, &format!("rule.{field}")).to_owned(),
            None => held,
        };
        let deadline = rule.deadline_days.map(|days| days.to_string());
        Self {
            held: held.to_owned(),
            name: text("name", held.to_owned()),
            enabled: text("enabled", rule.enabled.to_string()) == "true",
            approval: text("approval", word(rule.approval).to_owned()),
            title: text("title", rule.title.clone().unwrap_or_default()),
            deadline: text("deadline-days", deadline.unwrap_or_default()),
            classifications: options(categories, "classifications", &classifications),
            products: options(categories, "products", &products),
            wrong: wrong.to_vec(),
        }
    }

    /// Why a field is refused.
    pub fn problem(&self, field: &str) -> Option<String> {
        let typed = Wrong::of(&self.wrong, &format!("rule.{field}"));
        typed.or_else(|| Wrong::of(&self.wrong, &format!("{RULES}.{}.{field}", self.name)))
    }
}

/// The categories that are marked, or held where nothing was typed.
fn ids(typed: Option<&Pairs>, name: &str, held: &BTreeSet<impl ToString>) -> BTreeSet<String> {
    match typed {
        Some(pairs) => values(pairs, name).into_iter().map(str::to_owned).collect(),
        None => held.iter().map(ToString::to_string).collect(),
    }
}

/// What a rule may name, what it names first of which the catalog knows nothing.
fn options(categories: &[CategoryEntry], tab: &str, chosen: &BTreeSet<String>) -> Vec<Named> {
    let of_tab = categories.iter().filter(|category| is_of(category, tab));
    let known: BTreeSet<&str> = categories
        .iter()
        .map(|category| category.id.as_str())
        .collect();
    let unknown = chosen.iter().filter(|id| !known.contains(id.as_str()));
    let unknown = unknown.map(|id| Named {
        id: id.clone(),
        title: format!("{id} (not in the catalog)"),
        chosen: true,
    });
    let of_tab = of_tab.map(|category| {
        let depth = usize::try_from(category.depth.min(4)).unwrap_or(0);
        Named {
            id: category.id.clone(),
            title: format!("{}{}", "\u{2003}".repeat(depth), category.title),
            chosen: chosen.contains(&category.id),
        }
    });
    unknown.chain(of_tab).collect()
}

/// What the form asks for.
pub fn asked(rules: &BTreeMap<String, ApprovalRule>, pairs: &Pairs) -> Asked {
    let mut asked = Asked::default();
    let held = value(pairs, "rule");
    let before = rules.get(held);
    let gone = format!("{RULES}.{held}=");
    if value(pairs, "rule.remove") == "yes" {
        asked.set.extend(before.map(|_| gone));
        return asked;
    }
    let name = value(pairs, "rule.name");
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_name {
        let why = "a name is made of a to z, 0 to 9 and hyphens";
        asked.wrong.push(Wrong::new("rule.name", why));
    } else if name != held && rules.contains_key(name) {
        let why = "there is a rule of this name already";
        asked.wrong.push(Wrong::new("rule.name", why));
    }
    let title = Some(value(pairs, "rule.title")).filter(|title| !title.is_empty());
    let deadline = match value(pairs, "rule.deadline-days") {
        "" => Value::Null,
        days => match days.parse::<u16>() {
            Ok(days) => days.into(),
            Err(_) => {
                let why = "write a whole number of days, or nothing";
                asked.wrong.push(Wrong::new("rule.deadline-days", why));
                Value::Null
            }
        },
    };
    let rule = json!({
        "enabled": value(pairs, "rule.enabled") == "true",
        "approval": value(pairs, "rule.approval"),
        "classifications": values(pairs, "rule.classifications"),
        "products": values(pairs, "rule.products"),
        "title": title,
        "deadline-days": deadline,
    });
    if !asked.wrong.is_empty() {
        return asked;
    }
    match serde_json::from_value::<ApprovalRule>(rule.clone()) {
        Ok(read) if name == held && before == Some(&read) => {}
        Ok(_) => {
            if before.is_some() && name != held {
                asked.set.push(gone);
            }
            asked.set.push(format!("{RULES}.{name}={rule}"));
        }
        Err(error) => asked.wrong.push(Wrong::new("rule.name", error.to_string())),
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Settings;
    use settings::change::Assignment;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// What a browser sends of a form.
    fn sent(form: &Form) -> Vec<(String, String)> {
        let enabled = form.enabled.to_string();
        let mut sent = pairs(&[
            ("rule", &form.held),
            ("rule.name", &form.name),
            ("rule.enabled", &enabled),
            ("rule.approval", &form.approval),
            ("rule.title", &form.title),
            ("rule.deadline-days", &form.deadline),
        ]);
        for (name, list) in [
            ("classifications", &form.classifications),
            ("products", &form.products),
        ] {
            let chosen = list.iter().filter(|category| category.chosen);
            sent.extend(chosen.map(|category| (format!("rule.{name}"), category.id.clone())));
        }
        sent
    }

    fn put(pairs: &mut [(String, String)], name: &str, value: &str) {
        let pair = pairs.iter_mut().find(|(held, _)| held == name).unwrap();
        pair.1 = value.to_owned();
    }

    fn changed(asked: &Asked) -> Settings {
        assert_eq!(asked.wrong, []);
        let set: Vec<Assignment> = asked.set.iter().map(|text| text.parse().unwrap()).collect();
        Settings::default().with(&set).unwrap()
    }

    #[test]
    fn a_rule_is_made_changed_renamed_and_removed() {
        let settings = Settings::default();
        let rules = &settings.approvals.rules;
        let before = "default-detection";
        let form = Form::new(rules, before, None, &[], &[]);
        let mut typed = sent(&form);
        assert!(asked(rules, &typed).is_empty(), "nobody touched it");
        put(&mut typed, "rule.approval", "install");
        put(&mut typed, "rule.deadline-days", "7");
        let after = changed(&asked(rules, &typed));
        let rule = &after.approvals.rules[before];
        assert_eq!(
            (rule.approval, rule.deadline_days),
            (RuleApproval::Install, Some(7))
        );
        assert_eq!(rule.classifications, rules[before].classifications);

        put(&mut typed, "rule.name", "urgent");
        let after = changed(&asked(rules, &typed)).approvals.rules;
        assert_eq!(after.keys().collect::<Vec<_>>(), ["urgent"]);

        typed.push(("rule.remove".into(), "yes".into()));
        assert!(changed(&asked(rules, &typed)).approvals.rules.is_empty());

        let mut new = sent(&Form::new(rules, "", None, &[], &[]));
        put(&mut new, "rule.name", "office");
        put(&mut new, "rule.title", "*Office = 2019*");
        let after = changed(&asked(rules, &new)).approvals.rules;
        assert_eq!(after.len(), 2);
        assert_eq!(after["office"].title.as_deref(), Some("*Office = 2019*"));
    }

    #[test]
    fn what_cannot_be_meant_stands_beside_its_field_and_stays_typed() {
        let settings = Settings::default();
        let rules = &settings.approvals.rules;
        let mut typed = sent(&Form::new(rules, "", None, &[], &[]));
        put(&mut typed, "rule.name", "default-detection");
        put(&mut typed, "rule.deadline-days", "soon");
        let refused = asked(rules, &typed);
        let names: Vec<&str> = refused
            .wrong
            .iter()
            .map(|wrong| wrong.name.as_str())
            .collect();
        assert_eq!(names, ["rule.name", "rule.deadline-days"]);
        assert_eq!(refused.set, Vec::<String>::new());
        let form = Form::new(rules, "", Some(&typed), &refused.wrong, &[]);
        assert_eq!(form.deadline, "soon");
        assert!(form.problem("deadline-days").is_some() && form.problem("title").is_none());
        for bad in ["", "Office", "a.b", "a=b"] {
            put(&mut typed, "rule.name", bad);
            assert_eq!(asked(rules, &typed).wrong[0].name, "rule.name", "{bad}");
        }
    }

    #[test]
    fn a_rule_is_told_in_words() {
        let mut rules = Settings::default().approvals.rules;
        rules.insert("all".into(), ApprovalRule::default());
        let rows = rows(&rules);
        assert_eq!(rows[0].matches, "every update");
        assert_eq!(rows[1].matches, "any of 2 classifications");
    }
}
