//! The fields of a schedule's forms and windows, which the table of settings shows as one setting each.

use super::{Found, walk};
use crate::change::plain;
use crate::schedule::{
    Blackout, Daily, MonthlyByDate, MonthlyByWeekday, Schedule, Simple, Weekly, When,
};
use serde_json::Value;

/// A field as the reference shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Its name: `schedule.when.daily.times`.
    pub name: String,
    pub meaning: String,
    pub default: String,
    pub limits: String,
}

/// What fields take whose type says only that it is a text or a list, by the end of their names.
const LIMITS: &[(&str, &str)] = &[
    ("simple.start", "date and time, such as 2026-01-01T02:00:00"),
    (".start", "a date, such as 2026-01-01"),
    (".at", "a time of day, such as 03:00"),
    (".first", "a time of day, such as 03:00"),
    (".from", "a time of day, such as 22:00"),
    (".to", "a time of day, such as 04:00"),
    (".weekdays", "a list of monday to sunday"),
    (
        ".cron",
        "minute, hour, day of month, month, weekday; 256 characters at most",
    ),
];

/// The forms with what their fields are unless they are set.
fn forms() -> [(&'static str, Value); 5] {
    let of = |when: &When| {
        let json = serde_json::to_value(when).unwrap_or_default();
        let form = json.as_object().and_then(|form| form.values().next());
        form.cloned().unwrap_or_default()
    };
    [
        ("simple", of(&When::Simple(Simple::default()))),
        ("daily", of(&When::Daily(Daily::default()))),
        ("weekly", of(&When::Weekly(Weekly::default()))),
        (
            "monthly-by-date",
            of(&When::MonthlyByDate(MonthlyByDate::default())),
        ),
        (
            "monthly-by-weekday",
            of(&When::MonthlyByWeekday(MonthlyByWeekday::default())),
        ),
    ]
}

/// Every field of every form, and those of a window, as their types have them.
pub(super) fn fields() -> Vec<Field> {
    let schema = schemars::schema_for!(Schedule).to_value();
    let forms = forms();
    let mut fields = Vec::new();
    let when = schema
        .pointer("/$defs/When/oneOf")
        .and_then(Value::as_array);
    for form in when.into_iter().flatten() {
        let Some((name, part)) = form
            .get("properties")
            .and_then(Value::as_object)
            .and_then(|properties| properties.iter().next())
        else {
            continue;
        };
        let mut found = Vec::new();
        walk(&schema, part, &format!("schedule.when.{name}"), &mut found);
        let defaults = forms.iter().find(|(held, _)| held == name);
        for mut found in found {
            if found.1.is_empty() {
                // The form is its only field.
                found.1 = described(form);
            }
            fields.push(field(found, defaults.map(|(_, defaults)| defaults)));
        }
    }
    if let Some(window) = schema.pointer("/$defs/Blackout") {
        let mut found = Vec::new();
        walk(&schema, window, "schedule.blackout[]", &mut found);
        let defaults = serde_json::to_value(Blackout::default()).unwrap_or_default();
        fields.extend(found.into_iter().map(|found| field(found, Some(&defaults))));
    }
    fields
}

fn described(part: &Value) -> String {
    let text = part.get("description").and_then(Value::as_str);
    let words = text.unwrap_or_default().split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

fn field((name, meaning, by_type, _): Found, defaults: Option<&Value>) -> Field {
    let own = name.rsplit('.').next().unwrap_or_default();
    let default = defaults.and_then(|defaults| defaults.get(own));
    let limits = LIMITS.iter().find(|(end, _)| name.ends_with(end));
    Field {
        default: default.map_or_else(|| "-".to_owned(), plain),
        limits: match limits {
            Some((_, limits)) if by_type.is_empty() => (*limits).to_owned(),
            Some(_) | None => by_type,
        },
        name,
        meaning,
    }
}
