//! The settings of the hierarchy as forms. What would happen is shown before anything is saved.

mod asked;
mod categories;
mod fields;
mod history;
mod rules;
mod schedule;
pub mod secrets;
mod sites;
mod tabs;

use self::asked::{Asked, Pairs, Wrong, value};
use self::categories::CategoryRow;
use self::fields::Field;
use self::history::{VersionRow, changes};
use crate::Dashboard;
use crate::api::question;
use crate::page::{Frame, Problem, Shown, back, query, render};
use crate::session::Person;
use askama::Template;
use axum::extract::{Form, Query, State};
use axum::response::IntoResponse as _;
use http::StatusCode;
use serde::Deserialize;
use settings::Settings;
use settings::change::Assignment;
use settings::reference::entries;
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Code, Status};
use trust::Role;
use uuid::Uuid;
use wire::v1::change_settings_request::To;
use wire::v1::{
    Assignments, ChangeSettingsRequest, ChangeSettingsResponse, GetCallerRequest,
    GetSettingsRequest, GetSettingsResponse,
};

/// What is said where nothing is asked for.
const NOTHING: &str = "Nothing was changed.";
/// Pairs of a form that say how it is handled, and not what was typed.
const HANDLING: [&str; 6] = ["tab", "version", "confirmed", "set", "reset", "typed"];

/// Which tab is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    tab: String,
    /// The rule that is to be edited; empty: a new one.
    rule: Option<String>,
}

/// What a change would do.
struct Preview {
    changes: Vec<(String, String, String)>,
    consequences: Vec<String>,
    unknown: Vec<String>,
    version: u64,
    set: Vec<String>,
    reset: Vec<String>,
    /// What was typed, to be shown again where saving is refused.
    typed: String,
    /// When a changed schedule would synchronize.
    times: Option<Vec<schedule::Time>>,
}

/// A form that is shown again as it was typed, with why it is refused.
struct Refused {
    typed: Vec<(String, String)>,
    wrong: Vec<Wrong>,
    why: String,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    frame: Frame,
    tab: String,
    heading: &'static str,
    about: &'static str,
    tabs: Vec<(&'static str, &'static str)>,
    version: u64,
    /// What the site that answers is, in a sentence.
    role: String,
    /// Whether this person may change something here.
    writable: bool,
    /// Why what was typed is refused.
    refused: Option<String>,
    fields: Vec<Field>,
    categories: Vec<CategoryRow>,
    schedule: Option<schedule::Form>,
    /// The next times of the schedule that is in force.
    times: Vec<schedule::Time>,
    zone: String,
    rules: Vec<rules::RuleRow>,
    rule: Option<rules::Form>,
    sites: Option<sites::Form>,
    secrets: Vec<secrets::Secret>,
    preview: Option<Preview>,
    versions: Vec<VersionRow>,
}

/// The settings as the site tells them.
struct Held {
    answer: GetSettingsResponse,
    settings: Settings,
    named: BTreeMap<String, String>,
    top: bool,
}

impl Held {
    async fn read(person: &Person) -> Result<Self, Status> {
        let request = question(GetSettingsRequest::default());
        let answer = person
            .api
            .settings()
            .get_settings(request)
            .await?
            .into_inner();
        let document = &answer.document;
        let settings: Settings = serde_json::from_str(document).map_err(|error| {
            tracing::error!(%error, "the settings cannot be shown");
            Status::internal("the settings of this site cannot be read; its journal says more")
        })?;
        let whole = serde_json::to_value(&settings).unwrap_or_default();
        let named = entries().into_iter().filter_map(|entry| {
            let mut parts = entry.name.split('.');
            let value = parts.try_fold(&whole, |place, part| place.get(part))?;
            let value = fields::shown(&entry.name, value);
            Some((entry.name, value))
        });
        // A replica is not told where the top-level site synchronizes from.
        let top = answer.role.contains("is the top-level site");
        Ok(Self {
            named: named.collect(),
            top,
            answer,
            settings,
        })
    }

    fn tabs(&self) -> Vec<(&'static str, &'static str)> {
        let tabs = tabs::TABS.iter();
        let tabs = tabs.filter(|(section, ..)| self.top || !tabs::OF_THE_TOP.contains(section));
        tabs.map(|(section, name, _)| (*section, *name)).collect()
    }

    /// The settings with changes made, as far as they can be made without the catalog.
    fn with(&self, set: &[String], reset: &[String]) -> Option<Settings> {
        let set: Result<Vec<Assignment>, _> = set.iter().map(|text| text.parse()).collect();
        let mut all = set.ok()?;
        all.extend(reset.iter().map(|name| Assignment::reset(name)));
        self.settings.with(&all).ok()
    }
}

/// `GET /settings`
///
/// # Errors
/// When the person may not see them.
pub async fn show(
    State(dashboard): State<Dashboard>,
    person: Person,
    Query(wanted): Query<Wanted>,
) -> Shown {
    let held = Held::read(&person).await?;
    page(&dashboard, &person, held, wanted, None, None).await
}

/// What decides the random offsets of the schedule.
async fn seed(person: &Person) -> Result<u64, Status> {
    let request = question(GetCallerRequest {});
    let caller = person.api.access().get_caller(request).await?.into_inner();
    let hierarchy = Uuid::from_slice(&caller.hierarchy).unwrap_or_default();
    Ok(settings::schedule::seed_of(hierarchy))
}

async fn page(
    dashboard: &Dashboard,
    person: &Person,
    held: Held,
    wanted: Wanted,
    preview: Option<Preview>,
    refused: Option<Refused>,
) -> Shown {
    let tabs = held.tabs();
    let found = tabs.iter().find(|(section, _)| *section == wanted.tab);
    let tab = found.or(tabs.first()).map_or("", |(section, _)| *section);
    let (_, heading, about) = tabs::TABS
        .iter()
        .find(|(section, ..)| *section == tab)
        .copied()
        .unwrap_or_default();
    let categories = match tab {
        "products" | "classifications" if held.top => categories::rows(person, tab).await?,
        _ => Vec::new(),
    };
    let versions = match tab {
        "history" => history::versions(dashboard, person).await?,
        _ => Vec::new(),
    };
    let title = format!("Settings: {heading}");
    let typed = refused.as_ref().map(|refused| refused.typed.as_slice());
    let wrong = refused.as_ref().map_or(&[][..], |refused| &refused.wrong);
    let mut fields = fields::of(&held, tab);
    for field in &mut fields {
        field.problem = Wrong::of(wrong, &field.name);
        if let Some(pairs) = typed
            && pairs.iter().any(|(name, _)| *name == field.name)
        {
            value(pairs, &field.name).clone_into(&mut field.value);
        }
    }
    let settings = &held.settings;
    let is_schedule = tab == "schedule";
    let times = match is_schedule {
        true => schedule::times(
            &settings.schedule,
            seed(person).await?,
            dashboard.ambient.now(),
        ),
        false => Vec::new(),
    };
    let rules = &settings.approvals.rules;
    let rule = match wanted.rule {
        Some(name) if tab == "approvals" && held.top => {
            let categories = categories::all(person).await?;
            Some(rules::Form::new(rules, &name, typed, wrong, &categories))
        }
        Some(_) | None => None,
    };
    let writable = held.top && person.may(Role::Administrator);
    let page = Page {
        frame: Frame::new(dashboard, person, title, "/settings", ""),
        tab: tab.to_owned(),
        heading,
        about,
        tabs,
        version: held.answer.version,
        role: held.answer.role.clone(),
        writable,
        fields,
        categories,
        schedule: is_schedule.then(|| schedule::Form::new(&settings.schedule, typed, wrong)),
        times,
        zone: settings.schedule.time_zone.clone(),
        rules: match tab {
            "approvals" => rules::rows(rules),
            _ => Vec::new(),
        },
        rule,
        sites: (tab == "site").then(|| sites::Form::new(settings, typed, wrong)),
        secrets: match writable {
            true => secrets::of(tab, &held.answer.secrets),
            false => Vec::new(),
        },
        preview,
        versions,
        refused: refused.map(|refused| refused.why),
    };
    let status = match page.refused {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    Ok((status, render(&page)?).into_response())
}

/// What the form of a tab asks for.
async fn asked_by(person: &Person, held: &Held, tab: &str, pairs: &Pairs) -> Result<Asked, Status> {
    let settings = &held.settings;
    if tab == "approvals" && pairs.iter().any(|(name, _)| name == "rule") {
        return Ok(rules::asked(&settings.approvals.rules, pairs));
    }
    let mut asked = match tab {
        "schedule" => schedule::asked(&settings.schedule, pairs),
        "site" => sites::asked(settings, pairs),
        _ => Asked::default(),
    };
    // When it begins has a form of its own.
    let plain = pairs
        .iter()
        .filter(|(name, _)| !schedule::is_of_form(name))
        .cloned();
    asked
        .set
        .extend(fields::assignments(held, &plain.collect::<Vec<_>>()));
    let has_tree = pairs.iter().any(|(name, _)| name == "tree");
    if has_tree && (tab == "products" || tab == "classifications") {
        let marked = pairs.iter().filter(|(name, _)| name == "category");
        let marked = marked.map(|(_, id)| id.clone()).collect();
        let before = match tab {
            "products" => &settings.products.products,
            _ => &settings.products.classifications,
        };
        let before: BTreeSet<String> = before.iter().map(ToString::to_string).collect();
        let rows = categories::rows(person, tab).await?;
        let after = categories::chosen(&before, &rows, &marked);
        if after != before {
            let after = serde_json::Value::from_iter(after);
            asked.set.push(format!("products.{tab}={after}"));
        }
    }
    Ok(asked)
}

/// `POST /settings`: shows what would change, and makes the change when it is confirmed.
///
/// # Errors
/// When the person is not known any more, or may not see settings.
pub async fn change(
    State(dashboard): State<Dashboard>,
    person: Person,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Shown {
    let confirmed = value(&pairs, "confirmed") == "yes";
    let held = Held::read(&person).await?;
    let typed: Vec<(String, String)> = match confirmed {
        true => {
            let typed = form_urlencoded::parse(value(&pairs, "typed").as_bytes());
            typed.into_owned().collect()
        }
        false => {
            let typed = pairs
                .iter()
                .filter(|(name, _)| !HANDLING.contains(&name.as_str()));
            typed.cloned().collect()
        }
    };
    let wanted = Wanted {
        tab: value(&pairs, "tab").to_owned(),
        rule: typed
            .iter()
            .find(|(name, _)| name == "rule")
            .map(|(_, rule)| rule.clone()),
    };
    let to = format!("/settings{}", query(&[("tab", &wanted.tab)]));
    let asked = match confirmed {
        true => {
            let lines = |name: &str| -> Vec<String> {
                let texts = asked::values(&pairs, name).into_iter();
                texts.map(|text| text.replace("\r\n", "\n")).collect()
            };
            Asked {
                set: lines("set"),
                reset: lines("reset"),
                wrong: Vec::new(),
            }
        }
        false => asked_by(&person, &held, &wanted.tab, &typed).await?,
    };
    if !asked.wrong.is_empty() {
        let refused = Refused {
            typed,
            wrong: asked.wrong,
            why: "This cannot be meant: what is wrong stands beside its field.".to_owned(),
        };
        return page(&dashboard, &person, held, wanted, None, Some(refused)).await;
    }
    if asked.is_empty() {
        return back(&dashboard, &person, &to, Ok(NOTHING.into()));
    }
    let request = question(ChangeSettingsRequest {
        to: Some(To::Assignments(Assignments {
            set: asked.set.clone(),
            reset: asked.reset.clone(),
        })),
        expected_version: value(&pairs, "version").parse().unwrap_or_default(),
        expects_version: true,
        dry_run: !confirmed,
    });
    let answer = match person.api.settings().change_settings(request).await {
        Ok(answer) => answer.into_inner(),
        Err(refusal) if refusal.code() == Code::Unauthenticated => {
            return Err(Problem::Refused(refusal));
        }
        // What cannot be meant can be typed otherwise. Where somebody else was faster, what is in force now is shown,
        // and not what was typed about something else.
        Err(refusal) if refusal.code() == Code::InvalidArgument => {
            let refused = Refused {
                typed,
                wrong: Wrong::told(refusal.message()),
                why: refusal.message().to_owned(),
            };
            return page(&dashboard, &person, held, wanted, None, Some(refused)).await;
        }
        Err(refusal) => return back(&dashboard, &person, &to, Err(refusal)),
    };
    if answer.changes.is_empty() {
        return back(&dashboard, &person, &to, Ok(NOTHING.into()));
    }
    if confirmed {
        let said = format!("Version {} of the settings is in force.", answer.version);
        return back(&dashboard, &person, &to, Ok(said));
    }
    let scheduled = answer
        .changes
        .iter()
        .any(|change| change.name.starts_with("schedule."));
    let times = match held.with(&asked.set, &asked.reset) {
        Some(after) if scheduled => {
            let seed = seed(&person).await?;
            Some(schedule::times(
                &after.schedule,
                seed,
                dashboard.ambient.now(),
            ))
        }
        Some(_) | None => None,
    };
    let preview = preview(answer, asked, &typed, times);
    page(&dashboard, &person, held, wanted, Some(preview), None).await
}

fn preview(
    answer: ChangeSettingsResponse,
    asked: Asked,
    typed: &Pairs,
    times: Option<Vec<schedule::Time>>,
) -> Preview {
    let mut again = form_urlencoded::Serializer::new(String::new());
    again.extend_pairs(typed);
    Preview {
        changes: changes(&answer.changes),
        consequences: answer.consequences,
        unknown: answer
            .preview
            .map(|preview| preview.unknown)
            .unwrap_or_default(),
        version: answer.version,
        set: asked.set,
        reset: asked.reset,
        typed: again.finish(),
        times,
    }
}
