//! What is approved and declined by itself when updates arrive.

use crate::check::{CheckError, Findings, MOST_CHOSEN};
use catalog::UpdateId;
use catalog::approval::{self, AutomaticRules, TitlePattern};
use catalog::well_known::{CRITICAL_UPDATES, SECURITY_UPDATES};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Rules at most.
const MOST_RULES: usize = 100;
/// Longest name of a rule, in characters.
const MOST_NAME: usize = 50;
/// Longest time until a deadline, in days.
const MOST_DAYS: u16 = 365;

/// What is approved and declined by itself when updates arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Approvals {
    /// Whether a new revision of an approved update is approved too, with the same deadline.
    pub approve_new_revisions: bool,
    /// Whether an approved update is declined when a revision of it says that its publisher withdrew it.
    pub decline_expired: bool,
    /// Rules for new updates, by name.
    pub rules: BTreeMap<String, ApprovalRule>,
}

impl Default for Approvals {
    /// As in WSUS: Critical and Security Updates are approved for detection.
    fn default() -> Self {
        let detection = ApprovalRule {
            approval: RuleApproval::Detection,
            classifications: BTreeSet::from([CRITICAL_UPDATES.id, SECURITY_UPDATES.id]),
            ..ApprovalRule::default()
        };
        Self {
            approve_new_revisions: true,
            decline_expired: true,
            rules: BTreeMap::from([("default-detection".to_owned(), detection)]),
        }
    }
}

/// What a rule does with the updates that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleApproval {
    /// They are approved for detection.
    Detection,
    /// They are approved for installation.
    #[default]
    Install,
}

/// A rule for new updates. It matches those that match everything it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ApprovalRule {
    /// Whether it is applied.
    pub enabled: bool,
    /// What it approves new updates for. Where several rules match, install goes before detection, and the
    /// earlier deadline before the later.
    pub approval: RuleApproval,
    /// Classifications of the updates; none: all.
    #[schemars(with = "BTreeSet<String>")]
    pub classifications: BTreeSet<UpdateId>,
    /// Companies, product families and products of the updates; none: all.
    #[schemars(with = "BTreeSet<String>")]
    pub products: BTreeSet<UpdateId>,
    /// What the whole title must be like; `*` stands for any text, and case does not matter. None: anything.
    pub title: Option<String>,
    /// Days from the approval until the deadline of an installation; none: no deadline.
    #[schemars(range(max = 365))]
    pub deadline_days: Option<u16>,
}

impl Default for ApprovalRule {
    fn default() -> Self {
        Self {
            enabled: true,
            approval: RuleApproval::Install,
            classifications: BTreeSet::new(),
            products: BTreeSet::new(),
            title: None,
            deadline_days: None,
        }
    }
}

impl Approvals {
    /// The rules that are switched on, as `catalog` applies them. A rule whose pattern is none, which
    /// [`crate::Settings::check`] refuses, is left out: it must not match more than was meant.
    pub fn automatic(&self) -> AutomaticRules {
        let enabled = self.rules.iter().filter(|(_, rule)| rule.enabled);
        let rules = enabled.filter_map(|(name, rule)| {
            let title = rule.title.as_deref().map(TitlePattern::new);
            Some(approval::Rule {
                name: name.clone(),
                approval: match rule.approval {
                    RuleApproval::Detection => approval::RuleApproval::Detection,
                    RuleApproval::Install => approval::RuleApproval::Install {
                        deadline_days: rule.deadline_days,
                    },
                },
                classifications: rule.classifications.clone(),
                products: rule.products.clone(),
                title: title.transpose().ok()?,
            })
        });
        AutomaticRules {
            approve_new_revisions: self.approve_new_revisions,
            decline_expired: self.decline_expired,
            rules: rules.collect(),
        }
    }
}

pub(crate) fn check(found: &mut Findings, approvals: &Approvals) {
    let rules = &approvals.rules;
    let why = format!("{} rules: keep {MOST_RULES} at most", rules.len());
    found.unless(rules.len() <= MOST_RULES, "approvals.rules", why);
    for (name, rule) in rules.iter().take(MOST_RULES) {
        let is_name = !name.is_empty()
            && name.len() <= MOST_NAME
            && name
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        if !is_name {
            let why = format!(
                "{} is no name of a rule: use 1 to {MOST_NAME} lower-case letters, digits and hyphens",
                catalog::Problem::new(format_args!("{name:?}"))
            );
            found.unless(false, "approvals.rules", why);
            continue;
        }
        let of = |field: &str| format!("approvals.rules.{name}.{field}");
        if let Some(Err(error)) = rule.title.as_deref().map(TitlePattern::new) {
            found.unless(false, of("title"), error.to_string());
        }
        for (field, chosen) in [
            ("classifications", &rule.classifications),
            ("products", &rule.products),
        ] {
            let why =
                format!("a rule names {MOST_CHOSEN} at most: name families, or nothing for all");
            found.unless(chosen.len() <= MOST_CHOSEN, of(field), why);
        }
        if let Some(days) = rule.deadline_days {
            let why = format!("{days} days: use 0 to {MOST_DAYS}");
            found.unless(days <= MOST_DAYS, of("deadline-days"), why);
            found.unless(
                rule.approval == RuleApproval::Install,
                of("deadline-days"),
                "detection has no deadline: set approval to install, or take the deadline out",
            );
        }
    }
}

impl crate::Settings {
    /// Checks that no rule that the settings `before` do not have would approve every new update for install, because
    /// nobody gave it a condition.
    ///
    /// # Errors
    /// The rules that would.
    pub fn check_new_rules(&self, before: &Self) -> Result<(), CheckError> {
        let mut found = Findings::default();
        for (name, rule) in &self.approvals.rules {
            let is_new = before.approvals.rules.get(name) != Some(rule);
            let has_condition = rule.title.is_some()
                || !rule.classifications.is_empty()
                || !rule.products.is_empty();
            found.unless(
                !is_new || has_condition || rule.approval != RuleApproval::Install,
                format!("approvals.rules.{name}"),
                "it has no condition, and would approve every new update for install: name classifications, \
                 products or a title; the title * means all of them",
            );
        }
        found.result()
    }
}

#[cfg(test)]
mod tests {
    use crate::Settings;
    use crate::change::Assignment;

    fn with(changes: &[&str]) -> Settings {
        let changes: Vec<Assignment> = changes.iter().map(|text| text.parse().unwrap()).collect();
        Settings::default().with(&changes).unwrap()
    }

    #[track_caller]
    fn refused(changes: &[&str], said: &str) {
        let error = with(changes).check().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn critical_and_security_updates_are_approved_for_detection_by_default() {
        let rules = Settings::default().approvals.automatic();
        assert!(rules.approve_new_revisions && rules.decline_expired);
        let [rule] = &rules.rules[..] else {
            panic!("{rules:?}")
        };
        assert_eq!(rule.name, "default-detection");
        assert_eq!(rule.approval, catalog::approval::RuleApproval::Detection);
        assert_eq!(rule.classifications.len(), 2);
        assert!(rule.products.is_empty() && rule.title.is_none());
    }

    #[test]
    fn a_rule_without_a_condition_is_refused() {
        let before = Settings::default();
        let all = with(&["approvals.rules.all.title="]);
        let why = all.check_new_rules(&before).unwrap_err().to_string();
        assert!(
            why.contains("approvals.rules.all: it has no condition"),
            "{why}"
        );
        // One that is there already stands in nobody's way.
        assert_eq!(all.check_new_rules(&all), Ok(()));
        let told = with(&["approvals.rules.all.title=*"]);
        assert_eq!(told.check_new_rules(&before), Ok(()));
        let detection = with(&["approvals.rules.all.approval=detection"]);
        assert_eq!(detection.check_new_rules(&before), Ok(()));
    }

    #[test]
    fn a_rule_comes_and_goes_by_its_name() {
        let settings = with(&[
            "approvals.rules.office.title=*office*",
            "approvals.rules.office.deadline-days=7",
            "approvals.rules.default-detection.enabled=false",
        ]);
        assert_eq!(settings.check(), Ok(()));
        let rules = settings.approvals.automatic().rules;
        assert_eq!(rules.len(), 1, "one is switched off");
        assert!(rules[0].title.as_ref().unwrap().matches("An Office Update"));
        let names = settings.by_name();
        assert_eq!(names["approvals.rules.office.approval"], "install");
        for gone in [
            "approvals.rules.office=",
            "approvals.rules.default-detection=",
        ] {
            let settings = settings.with(&[gone.parse().unwrap()]).unwrap();
            assert_eq!(settings.approvals.rules.len(), 1, "{gone}");
        }
        let reset = settings.with(&[Assignment::reset("approvals")]).unwrap();
        assert_eq!(reset, Settings::default());
        let reset = Assignment::reset("approvals.rules.office");
        let reset = settings.with(&[reset]).unwrap();
        assert_eq!(reset.approvals.rules.len(), 1);
        let unknown = settings.with(&["approvals.rules.none=".parse().unwrap()]);
        assert!(unknown.unwrap_err().to_string().contains("no such setting"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_do() {
        refused(&["approvals.rules.A b.enabled=true"], "lower-case letters");
        refused(
            &[
                "approvals.rules.x.approval=detection",
                "approvals.rules.x.deadline-days=3",
            ],
            "the setting approvals.rules.x.deadline-days: detection has no deadline",
        );
        refused(&["approvals.rules.x.deadline-days=366"], "use 0 to 365");
        refused(&["approvals.rules.x.title=\"  \""], "leave it out");
        let many: Vec<String> = (0..100)
            .map(|number| format!("approvals.rules.r{number}.enabled=true"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        refused(&many, "101 rules: keep 100 at most");
    }

    #[test]
    fn a_rule_whose_pattern_is_none_matches_nothing() {
        let settings = with(&["approvals.rules.x.title=\" \""]);
        assert_eq!(settings.approvals.automatic().rules.len(), 1);
    }
}
