//! The schedule as a form: its kind with the values that belong to it, windows, and the times that come of it.

use super::asked::{Asked, Pairs, Wrong, value, values};
use crate::words::Moment;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use settings::schedule::{Blackout, Schedule, When};

/// Times that a preview shows.
const TIMES: usize = 12;
/// Windows that a form may have.
const MOST_WINDOWS: usize = 50;
/// The setting of the kind and its values.
const WHEN: &str = "schedule.when";
/// Names under which something is said of the chosen kind that is about none of its fields alone.
const WHOLE: [&str; 3] = [WHEN, "schedule.when.cron", "schedule"];
/// The setting of the windows.
const BLACKOUT: &str = "schedule.blackout";

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// What is typed into a field.
#[derive(Debug, Clone, Copy)]
enum Takes {
    Number(i64, i64),
    Time,
    Date,
    DateTime,
    Word(&'static [&'static str]),
    Weekdays,
    Text,
}

/// A field of a kind: its name, its label, and what it takes.
type KindField = (&'static str, &'static str, Takes);

/// The kinds of a schedule: word, name, and fields.
const KINDS: [(&str, &str, &[KindField]); 7] = [
    ("off", "Never: synchronizations are started by hand", &[]),
    (
        "simple",
        "Simple: every so many hours, days or weeks",
        &[
            ("every", "Every", Takes::Number(1, 31)),
            ("unit", "Unit", Takes::Word(&["hours", "days", "weeks"])),
            ("start", "First time", Takes::DateTime),
        ],
    ),
    (
        "daily",
        "Daily: some times a day, evenly spread, as in WSUS",
        &[
            ("first", "First synchronization at", Takes::Time),
            ("times", "Synchronizations a day", Takes::Number(1, 24)),
            (
                "random-offset-minutes",
                "At most so many minutes later",
                Takes::Number(0, 30),
            ),
        ],
    ),
    (
        "weekly",
        "Weekly: on chosen weekdays",
        &[
            ("weekdays", "Weekdays", Takes::Weekdays),
            ("at", "At", Takes::Time),
            ("every-weeks", "Every so many weeks", Takes::Number(1, 4)),
            ("start", "From", Takes::Date),
        ],
    ),
    (
        "monthly-by-date",
        "Monthly, on a day of the month",
        &[
            ("day", "Day; 0 is the last", Takes::Number(0, 31)),
            ("at", "At", Takes::Time),
            ("every-months", "Every so many months", Takes::Number(1, 12)),
            ("start", "From", Takes::Date),
        ],
    ),
    (
        "monthly-by-weekday",
        "Monthly, on a weekday, as with the second Tuesday",
        &[
            (
                "week",
                "Which",
                Takes::Word(&["first", "second", "third", "fourth", "last"]),
            ),
            ("weekday", "Weekday", Takes::Word(&WEEKDAYS)),
            (
                "offset-days",
                "Days after it; less than 0: before it",
                Takes::Number(-30, 30),
            ),
            ("at", "At", Takes::Time),
            ("every-months", "Every so many months", Takes::Number(1, 12)),
            ("start", "From", Takes::Date),
        ],
    ),
    (
        "cron",
        "Cron expression",
        &[(
            "expression",
            "Minute, hour, day of month, month, weekday by name",
            Takes::Text,
        )],
    ),
];

/// A field of a kind.
pub struct Input {
    pub name: String,
    pub label: &'static str,
    takes: Takes,
    pub value: String,
    /// The weekdays that are marked.
    marked: Vec<String>,
    pub problem: Option<String>,
}

impl Input {
    /// The identifier of the element.
    pub fn id(&self) -> String {
        self.name.replace('.', "-")
    }

    /// What the element is: the type of an input.
    pub fn html_type(&self) -> &'static str {
        match self.takes {
            Takes::Number(..) => "number",
            Takes::Time => "time",
            Takes::Date => "date",
            Takes::DateTime => "datetime-local",
            Takes::Text | Takes::Word(_) | Takes::Weekdays => "text",
        }
    }

    pub fn bounds(&self) -> Option<(i64, i64)> {
        match self.takes {
            Takes::Number(least, most) => Some((least, most)),
            Takes::Time
            | Takes::Date
            | Takes::DateTime
            | Takes::Word(_)
            | Takes::Weekdays
            | Takes::Text => None,
        }
    }

    pub fn words(&self) -> &'static [&'static str] {
        match self.takes {
            Takes::Word(words) => words,
            Takes::Number(..)
            | Takes::Time
            | Takes::Date
            | Takes::DateTime
            | Takes::Weekdays
            | Takes::Text => &[],
        }
    }

    /// The weekdays with whether they are marked, where it is about weekdays.
    pub fn weekdays(&self) -> Vec<(&'static str, bool)> {
        match self.takes {
            Takes::Weekdays => marks(&self.marked),
            Takes::Number(..)
            | Takes::Time
            | Takes::Date
            | Takes::DateTime
            | Takes::Word(_)
            | Takes::Text => Vec::new(),
        }
    }
}

fn marks(marked: &[String]) -> Vec<(&'static str, bool)> {
    let marks = WEEKDAYS.iter();
    marks
        .map(|day| (*day, marked.iter().any(|held| held == day)))
        .collect()
}

/// A kind of schedule.
pub struct KindForm {
    pub word: &'static str,
    pub title: &'static str,
    pub chosen: bool,
    pub inputs: Vec<Input>,
}

/// A window in which nothing runs.
pub struct Window {
    pub number: usize,
    pub weekdays: Vec<(&'static str, bool)>,
    pub from: String,
    pub to: String,
    pub is_new: bool,
}

/// The form.
pub struct Form {
    pub kinds: Vec<KindForm>,
    pub windows: Vec<Window>,
    pub problem: Option<String>,
    pub windows_problem: Option<String>,
}

/// The fields of a kind with their values where nobody chose any.
fn defaults(word: &str) -> Value {
    let when = match word {
        "simple" => When::Simple(Default::default()),
        "daily" => When::Daily(Default::default()),
        "weekly" => When::Weekly(Default::default()),
        "monthly-by-date" => When::MonthlyByDate(Default::default()),
        "monthly-by-weekday" => When::MonthlyByWeekday(Default::default()),
        _ => When::Off,
    };
    let when = serde_json::to_value(when).unwrap_or_default();
    when.get(word).cloned().unwrap_or_default()
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {
            String::new()
        }
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.map(|value| text(Some(value))).collect()
}

/// The kind that is held: its word, and its fields.
fn held(schedule: &Schedule) -> (String, Value) {
    match serde_json::to_value(&schedule.when).unwrap_or_default() {
        Value::Object(fields) => match fields.into_iter().next() {
            Some((word, Value::String(text))) => (word, json!({ "expression": text })),
            Some((word, fields)) => (word, fields),
            None => Default::default(),
        },
        Value::String(word) => (word, Value::Null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Default::default(),
    }
}

impl Form {
    /// The form of a schedule; of what was typed where there is something.
    pub fn new(schedule: &Schedule, typed: Option<&Pairs>, wrong: &[Wrong]) -> Self {
        let (word, fields) = held(schedule);
        let kind = typed.map(|pairs| value(pairs, WHEN).to_owned());
        let kind = kind.filter(|kind| !kind.is_empty());
        let kind = kind.unwrap_or_else(|| word.clone());
        let kinds = KINDS.iter().map(|(kind_word, title, inputs)| {
            let own = match *kind_word == word {
                true => fields.clone(),
                false => defaults(kind_word),
            };
            let inputs = inputs.iter().map(|(field, label, takes)| {
                let name = format!("{WHEN}.{kind_word}.{field}");
                let (shown, marked) = match typed {
                    Some(pairs) => {
                        let marked = values(pairs, &name).into_iter().map(str::to_owned);
                        (value(pairs, &name).to_owned(), marked.collect())
                    }
                    None => (text(own.get(field)), texts(own.get(field))),
                };
                Input {
                    problem: Wrong::of(wrong, &name),
                    name,
                    label,
                    takes: *takes,
                    value: shown,
                    marked,
                }
            });
            KindForm {
                word: kind_word,
                title,
                chosen: *kind_word == kind,
                inputs: inputs.collect(),
            }
        });
        let windows = match typed {
            Some(pairs) => typed_windows(pairs),
            None => schedule.blackout.iter().map(window_of).collect(),
        };
        let shown = windows.iter().enumerate().map(|(number, window)| Window {
            number,
            weekdays: marks(&texts(window.get("weekdays"))),
            from: text(window.get("from")),
            to: text(window.get("to")),
            is_new: false,
        });
        let mut shown: Vec<Window> = shown.collect();
        if shown.len() < MOST_WINDOWS {
            shown.push(Window {
                number: shown.len(),
                weekdays: marks(&[]),
                from: String::new(),
                to: String::new(),
                is_new: true,
            });
        }
        let of_whole = wrong
            .iter()
            .filter(|wrong| WHOLE.contains(&wrong.name.as_str()));
        let of_whole: Vec<&str> = of_whole.map(|wrong| wrong.why.as_str()).collect();
        Self {
            kinds: kinds.collect(),
            windows: shown,
            problem: (!of_whole.is_empty()).then(|| of_whole.join("; ")),
            windows_problem: Wrong::of(wrong, BLACKOUT),
        }
    }
}

fn window_of(window: &Blackout) -> Value {
    serde_json::to_value(window).unwrap_or_default()
}

/// The windows that were typed, without those that are to go and the empty row.
fn typed_windows(pairs: &Pairs) -> Vec<Value> {
    let windows = (0..MOST_WINDOWS).filter_map(|number| {
        let field = |field: &str| format!("window.{number}.{field}");
        let weekdays = values(pairs, &field("weekdays"));
        let (from, to) = (value(pairs, &field("from")), value(pairs, &field("to")));
        let is_empty = weekdays.is_empty() && from.is_empty() && to.is_empty();
        if is_empty || value(pairs, &field("remove")) == "yes" {
            return None;
        }
        Some(json!({ "weekdays": weekdays, "from": from, "to": to }))
    });
    windows.collect()
}

/// The values of the chosen kind as the setting takes them.
fn typed_when(pairs: &Pairs, asked: &mut Asked) -> Option<Value> {
    let word = value(pairs, WHEN);
    let (word, _, inputs) = KINDS.iter().find(|(held, ..)| *held == word)?;
    match *word {
        "off" => return Some("off".into()),
        "cron" => return Some(json!({ "cron": value(pairs, &format!("{WHEN}.cron.expression")) })),
        _ => {}
    }
    let mut fields = Map::new();
    for (field, _, takes) in *inputs {
        let name = format!("{WHEN}.{word}.{field}");
        let typed = value(pairs, &name);
        let read: Value = match takes {
            Takes::Number(least, most) => match typed.parse::<i64>() {
                Ok(number) if (*least..=*most).contains(&number) => number.into(),
                Ok(_) | Err(_) => {
                    let why = format!("write a whole number from {least} to {most}");
                    asked.wrong.push(Wrong::new(name, why));
                    continue;
                }
            },
            Takes::Weekdays => {
                let marked = values(pairs, &name);
                if marked.is_empty() {
                    asked
                        .wrong
                        .push(Wrong::new(name, "mark one weekday at least"));
                }
                marked.into()
            }
            Takes::Time | Takes::Date | Takes::DateTime if typed.is_empty() => {
                asked.wrong.push(Wrong::new(name, "it must not be empty"));
                continue;
            }
            Takes::Time | Takes::Date | Takes::DateTime | Takes::Word(_) | Takes::Text => {
                typed.into()
            }
        };
        fields.insert((*field).to_owned(), read);
    }
    Some(json!({ *word: fields }))
}

/// Whether a field stands in this form, and means nothing by itself.
pub fn is_of_form(name: &str) -> bool {
    let below = name.strip_prefix(WHEN);
    below.is_some_and(|below| below.is_empty() || below.starts_with('.'))
}

/// What the form asks for.
pub fn asked(schedule: &Schedule, pairs: &Pairs) -> Asked {
    let mut asked = Asked::default();
    if let Some(when) = typed_when(pairs, &mut asked)
        && asked.wrong.is_empty()
    {
        match serde_json::from_value::<When>(when.clone()) {
            Ok(when) if when == schedule.when => {}
            Ok(_) => asked.set.push(format!("{WHEN}={when}")),
            Err(error) => asked.wrong.push(Wrong::new(WHEN, error.to_string())),
        }
    }
    let windows = Value::from(typed_windows(pairs));
    match serde_json::from_value::<Vec<Blackout>>(windows.clone()) {
        Ok(windows) if windows == schedule.blackout => {}
        Ok(_) => asked.set.push(format!("{BLACKOUT}={windows}")),
        Err(_) => {
            let why = "a window needs a time from which and a time until which nothing runs";
            asked.wrong.push(Wrong::new(BLACKOUT, why));
        }
    }
    asked
}

/// A time at which a synchronization begins by itself.
pub struct Time {
    /// On the clock of the schedule's zone.
    pub local: String,
    pub at: Moment,
}

/// The next times of a schedule.
pub fn times(schedule: &Schedule, seed: u64, now: Timestamp) -> Vec<Time> {
    let zone = TimeZone::get(&schedule.time_zone).unwrap_or(TimeZone::UTC);
    let times = schedule.preview(now, seed).take(TIMES);
    let times = times.map(|at| Time {
        local: at
            .to_zoned(zone.clone())
            .strftime("%A, %Y-%m-%d %H:%M")
            .to_string(),
        at: Moment::new(at, now),
    });
    times.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::schedule::{Daily, Weekday, Weekly};

    /// What a browser sends of a form.
    fn sent(form: &Form) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for kind in &form.kinds {
            if kind.chosen {
                pairs.push((WHEN.to_owned(), kind.word.to_owned()));
            }
            for input in &kind.inputs {
                let marked = input.weekdays().into_iter().filter(|(_, marked)| *marked);
                pairs.extend(marked.map(|(day, _)| (input.name.clone(), day.to_owned())));
                if input.weekdays().is_empty() {
                    pairs.push((input.name.clone(), input.value.clone()));
                }
            }
        }
        for window in &form.windows {
            let name = |field: &str| format!("window.{}.{field}", window.number);
            let marked = window.weekdays.iter().filter(|(_, marked)| *marked);
            pairs.extend(marked.map(|(day, _)| (name("weekdays"), (*day).to_owned())));
            pairs.push((name("from"), window.from.clone()));
            pairs.push((name("to"), window.to.clone()));
        }
        pairs
    }

    fn put(pairs: &mut [(String, String)], name: &str, value: &str) {
        let pair = pairs.iter_mut().find(|(held, _)| held == name).unwrap();
        pair.1 = value.to_owned();
    }

    fn schedules() -> Vec<Schedule> {
        let weekly = Weekly {
            weekdays: [Weekday::Monday, Weekday::Friday].into(),
            ..Weekly::default()
        };
        let whens = [
            When::Off,
            When::Simple(Default::default()),
            When::Daily(Daily::default()),
            When::Weekly(weekly),
            When::MonthlyByDate(Default::default()),
            When::MonthlyByWeekday(Default::default()),
            When::Cron("0 3 8-14 * TUE".into()),
        ];
        let night = Blackout {
            weekdays: [Weekday::Saturday].into(),
            from: "22:00".parse().unwrap(),
            to: "04:00".parse().unwrap(),
        };
        let schedules = whens.into_iter().map(|when| Schedule {
            when,
            blackout: vec![night.clone()],
            ..Schedule::default()
        });
        schedules.collect()
    }

    #[test]
    fn a_form_that_nobody_touched_asks_for_nothing() {
        for schedule in schedules() {
            let pairs = sent(&Form::new(&schedule, None, &[]));
            assert!(asked(&schedule, &pairs).is_empty(), "{schedule:?}");
            // Nor does one that was shown as it was typed.
            let again = sent(&Form::new(&schedule, Some(&pairs), &[]));
            assert_eq!(again, pairs);
        }
    }

    #[test]
    fn every_kind_can_be_chosen_from_every_other() {
        for before in schedules() {
            for after in schedules() {
                let pairs = sent(&Form::new(&after, None, &[]));
                let asked = asked(&before, &pairs);
                assert_eq!(asked.wrong, []);
                let set: Vec<settings::change::Assignment> =
                    asked.set.iter().map(|text| text.parse().unwrap()).collect();
                let held = settings::Settings {
                    schedule: before.clone(),
                    ..settings::Settings::default()
                };
                assert_eq!(held.with(&set).unwrap().schedule, after);
            }
        }
    }

    #[test]
    fn the_kind_and_its_values_are_of_the_form_and_nothing_else_is() {
        for (name, is) in [
            ("schedule.when", true),
            ("schedule.when.daily.times", true),
            ("schedule.whenever", false),
            ("schedule.time-zone", false),
        ] {
            assert_eq!(is_of_form(name), is, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_meant_stands_beside_its_field_and_stays_typed() {
        let schedule = &schedules()[2];
        let mut pairs = sent(&Form::new(schedule, None, &[]));
        put(&mut pairs, "schedule.when.daily.times", "many");
        let refused = asked(schedule, &pairs);
        let expected = Wrong::new(
            "schedule.when.daily.times",
            "write a whole number from 1 to 24",
        );
        assert_eq!(refused.wrong, [expected]);
        let form = Form::new(schedule, Some(&pairs), &refused.wrong);
        let input = form.kinds[2]
            .inputs
            .iter()
            .find(|input| input.name.ends_with("times"));
        let input = input.unwrap();
        assert_eq!(input.value, "many");
        assert!(input.problem.is_some());
        // A window with half of its times is none.
        put(&mut pairs, "schedule.when.daily.times", "2");
        put(&mut pairs, "window.1.from", "10:00");
        let half = asked(schedule, &pairs);
        assert_eq!(half.wrong[0].name, BLACKOUT);
        // Marked to go, it goes.
        put(&mut pairs, "window.1.from", "");
        pairs.push(("window.0.remove".into(), "yes".into()));
        let gone = asked(schedule, &pairs);
        assert!(
            gone.set.contains(&"schedule.blackout=[]".to_owned()),
            "{gone:?}"
        );
    }

    #[test]
    fn the_next_times_are_those_of_the_zone() {
        let schedule = Schedule {
            when: When::Cron("0 3 * * TUE".into()),
            time_zone: "Europe/Berlin".into(),
            ..Schedule::default()
        };
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let times = times(&schedule, 1, now);
        assert_eq!(times.len(), TIMES);
        assert_eq!(times[0].local, "Tuesday, 2026-11-24 03:00");
        assert_eq!(times[0].at.text, "2026-11-24 02:00:00 UTC");
        assert!(super::times(&Schedule::default(), 1, now).is_empty());
    }
}
