//! The reference names everything, once, and the page is not stale.

use super::forms::fields;
use super::texts::{FORMS, RULES};
use super::*;
use crate::schedule::When;
use std::collections::BTreeSet;

/// The names of all settings that the types tell of.
fn names() -> Vec<String> {
    let schema = schema();
    let mut found = Vec::new();
    walk(&schema, &schema, "", &mut found);
    found.into_iter().map(|(name, ..)| name).collect()
}

#[test]
fn the_table_names_every_setting_once() {
    let told: Vec<&str> = NAMES.iter().map(|(name, _, _)| *name).collect();
    let unique: BTreeSet<&str> = told.iter().copied().collect();
    assert_eq!(told.len(), unique.len());
    let held = names();
    let held: BTreeSet<&str> = held.iter().map(String::as_str).collect();
    assert_eq!(unique, held);
}

#[test]
fn every_setting_says_what_it_means_and_what_it_takes() {
    for entry in entries() {
        assert!(!entry.meaning.is_empty(), "{}", entry.name);
        assert!(!entry.limits.is_empty(), "{}", entry.name);
    }
}

#[test]
fn the_rule_on_the_page_is_the_default() {
    let (_, rule) = RULES.split_once("```toml").unwrap();
    let rule = rule.split("```").next().unwrap();
    let settings: Settings = toml::from_str(rule).unwrap();
    assert_eq!(settings, Settings::default());
}

/// The example on the page, whole: each form in its turn, between what stands before and behind them.
#[test]
fn every_example_of_a_schedule_is_one_that_is_taken() {
    let (_, example) = FORMS.split_once("```toml").unwrap();
    let example = example.split("```").next().unwrap();
    let is_form = |line: &&str| line.starts_with("when = ");
    let mut seen = BTreeSet::new();
    for form in example.lines().filter(is_form) {
        let others = |line: &&str| !is_form(line) || *line == form;
        let document: Vec<&str> = example.lines().filter(others).collect();
        let settings: Settings = toml::from_str(&document.join("\n")).unwrap();
        assert_eq!(settings.check(), Ok(()), "{form}");
        assert_eq!(settings.schedule.blackout.len(), 1);
        let times = settings.schedule.preview(jiff::Timestamp::UNIX_EPOCH, 0);
        let is_off = settings.schedule.when == When::Off;
        assert_eq!(times.take(1).count() == 0, is_off, "{form}");
        seen.insert(match settings.schedule.when {
            When::Off => "off",
            When::Simple(_) => "simple",
            When::Daily(_) => "daily",
            When::Weekly(_) => "weekly",
            When::MonthlyByDate(_) => "monthly-by-date",
            When::MonthlyByWeekday(_) => "monthly-by-weekday",
            When::Cron(_) => "cron",
        });
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
}

#[test]
fn every_field_of_a_schedule_has_a_row() {
    let rows: Vec<(String, String)> = fields()
        .into_iter()
        .map(|field| {
            assert!(
                !field.meaning.is_empty() && !field.limits.is_empty(),
                "{field:?}"
            );
            (field.name, field.default)
        })
        .collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(n, d)| (n.as_str(), d.as_str())).collect();
    let expected = [
        ("schedule.when.simple.every", "7"),
        ("schedule.when.simple.start", "2000-01-01T03:00:00"),
        ("schedule.when.simple.unit", "days"),
        ("schedule.when.daily.first", "03:00:00"),
        ("schedule.when.daily.random-offset-minutes", "30"),
        ("schedule.when.daily.times", "1"),
        ("schedule.when.weekly.at", "03:00:00"),
        ("schedule.when.weekly.every-weeks", "1"),
        ("schedule.when.weekly.start", "2000-01-01"),
        ("schedule.when.weekly.weekdays", "none"),
        ("schedule.when.monthly-by-date.at", "03:00:00"),
        ("schedule.when.monthly-by-date.day", "1"),
        ("schedule.when.monthly-by-date.every-months", "1"),
        ("schedule.when.monthly-by-date.start", "2000-01-01"),
        ("schedule.when.monthly-by-weekday.at", "03:00:00"),
        ("schedule.when.monthly-by-weekday.every-months", "1"),
        ("schedule.when.monthly-by-weekday.offset-days", "0"),
        ("schedule.when.monthly-by-weekday.start", "2000-01-01"),
        ("schedule.when.monthly-by-weekday.week", "second"),
        ("schedule.when.monthly-by-weekday.weekday", "tuesday"),
        ("schedule.when.cron", "-"),
        ("schedule.blackout[].from", "00:00:00"),
        ("schedule.blackout[].to", "00:00:00"),
        ("schedule.blackout[].weekdays", "none"),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_setting_says_for_which_sites_it_acts() {
    let entries = entries();
    let set_at = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        entry.set_at()
    };
    for name in [
        "source.url",
        "schedule.when",
        "supersedence.other-updates",
        "cleanup.decline-expired",
        "cleanup.days",
        "failures.alert",
        "failures.switch-source-after",
        "alerts.site-silent.enabled",
    ] {
        assert_eq!(set_at(name), "the top-level site", "{name}");
    }
    for name in [
        "cleanup.history-days",
        "cleanup.unneeded-content",
        "cleanup.content-days",
        "failures.retry-most-minutes",
        "alerts.disk-low.enabled",
        "languages.summary-details",
        "content.download",
    ] {
        assert_eq!(set_at(name), "the top-level site, for every site", "{name}");
    }
    let own = "the top-level site, for the site CODE";
    assert_eq!(set_at("site.<CODE>.update-files"), own);
}

#[test]
fn a_default_that_names_categories_says_their_titles() {
    let page = markdown();
    for title in [
        "6964aab4-c5b5-43bd-a17d-ffb4346a8e1d (Windows)",
        "0fa1201d-4330-4fa8-8ae9-b877473b6441 (Security Updates)",
        "e6cf1350-c01b-414d-a61f-263d14d133b4 (Critical Updates)",
    ] {
        assert!(page.contains(title), "{title}");
    }
}

#[test]
fn the_page_in_the_documentation_is_this_one() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/settings.md");
    let held = std::fs::read_to_string(page).unwrap();
    assert_eq!(
        held,
        markdown(),
        "write it anew: headwater settings reference > docs/settings.md"
    );
}
