//! The settings of the hierarchy as forms. What would happen is shown before anything is saved.

use crate::Dashboard;
use crate::api::question;
use crate::page::{Frame, Problem, Shown, back, query, render};
use crate::session::Person;
use askama::Template;
use axum::extract::{Form, Query, State};
use serde::Deserialize;
use settings::Settings;
use settings::change::plain;
use settings::reference::{Kind, entries};
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Code, Status};
use trust::Role;
use wire::v1::change_settings_request::To;
use wire::v1::{
    Assignments, CategoryEntry, ChangeSettingsRequest, ChangeSettingsResponse, Choice,
    GetSettingsRequest, GetSettingsResponse, ListCategoriesRequest, ListSettingsVersionsRequest,
};

/// The tabs: section of the document, its name as people know it, and what it is about.
const TABS: &[(&str, &str, &str)] = &[
    (
        "source",
        "Synchronization source",
        "Where the top-level site synchronizes from. Every other site synchronizes from its parent.",
    ),
    (
        "proxy",
        "Proxy and account",
        "The proxy in front of the synchronization source. Its password is set with headwater settings secret.",
    ),
    (
        "products",
        "Products",
        "Products whose updates are synchronized. Choosing a company or a family includes everything below it, and whatever appears there later.",
    ),
    (
        "classifications",
        "Classifications",
        "Classifications of updates that are synchronized.",
    ),
    (
        "schedule",
        "Sync schedule",
        "When the top-level site synchronizes by itself.",
    ),
    (
        "supersedence",
        "Supersedence rules",
        "When superseded updates expire.",
    ),
    (
        "cleanup",
        "WSUS maintenance",
        "What is cleaned up after each synchronization.",
    ),
    (
        "approvals",
        "Automatic approvals",
        "What is approved and declined by itself. Rules are made with headwater settings set.",
    ),
    (
        "content",
        "Update files",
        "Which update files are downloaded, when and how fast.",
    ),
    (
        "languages",
        "Languages",
        "Languages of titles and descriptions, and of update files.",
    ),
    (
        "failures",
        "Failures",
        "What happens when a synchronization fails.",
    ),
    ("alerts", "Alerts", "What raises an alert, and who is told."),
    (
        "notifications",
        "Notifications",
        "Who is told of alerts, by webhook and by mail. Passwords are set with headwater settings password; headwater alert test tries every receiver.",
    ),
    ("history", "History", "Who changed what."),
];
/// Versions that the history shows.
const VERSIONS: u32 = 50;

/// Which tab is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    tab: String,
}

/// A field of a form.
struct Field {
    name: String,
    label: String,
    meaning: String,
    limits: String,
    default: String,
    answers_to: &'static str,
    kind: Kind,
    value: String,
    /// The command line or the settings file of the process decides it.
    fixed: bool,
}

impl Field {
    fn is_switch(&self) -> bool {
        self.kind == Kind::Switch
    }

    fn choices(&self) -> &[String] {
        match &self.kind {
            Kind::Choice(words) => words,
            Kind::Switch | Kind::Number { .. } | Kind::Text => &[],
        }
    }

    fn bounds(&self) -> Option<(u64, u64)> {
        match self.kind {
            Kind::Number { least, most } => Some((least, most)),
            Kind::Switch | Kind::Choice(_) | Kind::Text => None,
        }
    }

    /// The identifier of the element.
    fn id(&self) -> String {
        self.name.replace('.', "-")
    }
}

/// A category as a row of the tree.
struct CategoryRow {
    id: String,
    title: String,
    kind: &'static str,
    depth: String,
    chosen: bool,
    included: bool,
}

/// What a change would do.
struct Preview {
    changes: Vec<(String, String, String)>,
    consequences: Vec<String>,
    adds: Option<(u64, u64)>,
    unknown: Vec<String>,
    version: u64,
    assignments: Vec<String>,
}

/// A version of the settings.
struct VersionRow {
    number: u64,
    at: Option<crate::words::Moment>,
    who: String,
    changes: Vec<(String, String, String)>,
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
    fields: Vec<Field>,
    categories: Vec<CategoryRow>,
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
            let value = shown(&entry.name, value);
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
        let tabs = TABS.iter().filter(|(section, ..)| {
            let of_the_top = [
                "source",
                "proxy",
                "notifications",
                "classifications",
                "history",
            ];
            self.top || !of_the_top.contains(section)
        });
        tabs.map(|(section, name, _)| (*section, *name)).collect()
    }

    fn fields(&self, tab: &str) -> Vec<Field> {
        let entries = entries().into_iter();
        let entries = entries.filter(|entry| {
            let lists = ["products.products", "products.classifications"];
            entry.name.split('.').next() == Some(tab) && !lists.contains(&entry.name.as_str())
        });
        let fields = entries.filter_map(|entry| {
            let value = self.named.get(&entry.name)?.clone();
            let parts = entry.name.split('.').skip(1);
            let parts: Vec<String> = parts.map(|part| part.replace('-', " ")).collect();
            Some(Field {
                label: hierarchy::words::capitalized(&parts.join(": ")),
                fixed: self.answer.fixed.contains(&entry.name),
                value,
                name: entry.name,
                meaning: entry.meaning,
                limits: entry.limits,
                default: entry.default,
                answers_to: entry.answers_to,
                kind: entry.kind,
            })
        });
        fields.collect()
    }
}

/// The value of a setting as a form shows it: so that a change takes it back.
fn shown(name: &str, value: &serde_json::Value) -> String {
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

/// `GET /settings`
///
/// # Errors
/// When the person may not see them.
pub async fn show(
    State(dashboard): State<Dashboard>,
    person: Person,
    Query(wanted): Query<Wanted>,
) -> Shown {
    page(&dashboard, &person, &wanted.tab, None).await
}

async fn page(
    dashboard: &Dashboard,
    person: &Person,
    tab: &str,
    preview: Option<Preview>,
) -> Shown {
    let held = Held::read(person).await?;
    let tabs = held.tabs();
    let wanted = tabs.iter().find(|(section, _)| *section == tab);
    let tab = wanted.or(tabs.first()).map_or("", |(section, _)| *section);
    let (_, heading, about) = TABS
        .iter()
        .find(|(section, ..)| *section == tab)
        .copied()
        .unwrap_or_default();
    let categories = match tab {
        "products" | "classifications" if held.top => categories(person, tab).await?,
        _ => Vec::new(),
    };
    let versions = match tab {
        "history" => versions(dashboard, person).await?,
        _ => Vec::new(),
    };
    let title = format!("Settings: {heading}");
    render(&Page {
        frame: Frame::new(dashboard, person, title, "/settings", ""),
        tab: tab.to_owned(),
        heading,
        about,
        tabs,
        version: held.answer.version,
        role: held.answer.role.clone(),
        writable: held.top && person.may(Role::Administrator),
        fields: held.fields(tab),
        categories,
        preview,
        versions,
    })
}

async fn categories(person: &Person, tab: &str) -> Result<Vec<CategoryRow>, Status> {
    let request = question(ListCategoriesRequest {});
    let answer = person.api.settings().list_categories(request).await?;
    let categories = answer.into_inner().categories.into_iter();
    let categories = categories.filter(|category| is_of(category, tab));
    let rows = categories.map(|category| CategoryRow {
        chosen: category.choice() == Choice::Chosen,
        included: category.choice() == Choice::Included,
        depth: format!("d{}", category.depth.min(4)),
        kind: match category.kind.as_str() {
            "Company" => "company",
            "ProductFamily" => "product family",
            "Product" => "product",
            _ => "classification",
        },
        id: category.id,
        title: category.title,
    });
    Ok(rows.collect())
}

fn is_of(category: &CategoryEntry, tab: &str) -> bool {
    (category.kind == "UpdateClassification") == (tab == "classifications")
}

async fn versions(dashboard: &Dashboard, person: &Person) -> Result<Vec<VersionRow>, Status> {
    let request = question(ListSettingsVersionsRequest { limit: VERSIONS });
    let answer = person
        .api
        .settings()
        .list_settings_versions(request)
        .await?;
    let now = dashboard.ambient.now();
    let versions = answer.into_inner().versions.into_iter();
    let rows = versions.map(|version| VersionRow {
        number: version.version,
        at: crate::words::Moment::of(version.time.as_ref(), now),
        who: version.who,
        changes: changes(&version.changes),
    });
    Ok(rows.collect())
}

fn changes(changes: &[wire::v1::SettingChange]) -> Vec<(String, String, String)> {
    let value = |text: &str| {
        let value = serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
        let text = plain(&value);
        if value.is_null() {
            "none".to_owned()
        } else {
            text
        }
    };
    let changes = changes.iter();
    changes
        .map(|change| (change.name.clone(), value(&change.old), value(&change.new)))
        .collect()
}

/// The choice that a form makes: what was marked, and what was chosen and could not be unmarked, because something
/// above it is chosen, or everything, or because the catalog does not have it.
fn chosen(
    before: &BTreeSet<String>,
    shown: &[CategoryRow],
    marked: &BTreeSet<String>,
) -> BTreeSet<String> {
    let open = shown.iter().filter(|row| !row.included);
    let open: BTreeSet<&str> = open.map(|row| row.id.as_str()).collect();
    let kept = before.iter().filter(|id| !open.contains(id.as_str()));
    let marked = marked.iter().filter(|id| open.contains(id.as_str()));
    kept.chain(marked).cloned().collect()
}

/// What a form would change: an assignment for each field that is not as it was.
async fn assignments(
    person: &Person,
    held: &Held,
    tab: &str,
    pairs: &[(String, String)],
) -> Result<Vec<String>, Status> {
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
    let mut assignments: Vec<String> = fields.collect();
    let has_tree = pairs.iter().any(|(name, _)| name == "tree");
    if has_tree && (tab == "products" || tab == "classifications") {
        let marked = pairs.iter().filter(|(name, _)| name == "category");
        let marked = marked.map(|(_, id)| id.clone()).collect();
        let before = match tab {
            "products" => &held.settings.products.products,
            _ => &held.settings.products.classifications,
        };
        let before: BTreeSet<String> = before.iter().map(ToString::to_string).collect();
        let after = chosen(&before, &categories(person, tab).await?, &marked);
        if after != before {
            let after = serde_json::Value::from_iter(after);
            assignments.push(format!("products.{tab}={after}"));
        }
    }
    Ok(assignments)
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
    let value = |name: &str| {
        let pair = pairs.iter().find(|(held, _)| held == name);
        pair.map_or("", |(_, value)| value.as_str())
    };
    let tab = value("tab").to_owned();
    let to = format!("/settings{}", query(&[("tab", &tab)]));
    let confirmed = value("confirmed") == "yes";
    let held = Held::read(&person).await?;
    let set: Vec<String> = if confirmed {
        let set = pairs.iter().filter(|(name, _)| name == "set");
        set.map(|(_, text)| text.replace("\r\n", "\n")).collect()
    } else {
        assignments(&person, &held, &tab, &pairs).await?
    };
    if set.is_empty() {
        return back(&dashboard, &person, &to, Ok("Nothing was changed.".into()));
    }
    let request = question(ChangeSettingsRequest {
        to: Some(To::Assignments(Assignments {
            set: set.clone(),
            reset: Vec::new(),
        })),
        expected_version: value("version").parse().unwrap_or_default(),
        dry_run: !confirmed,
    });
    let answer = match person.api.settings().change_settings(request).await {
        Ok(answer) => answer.into_inner(),
        Err(refusal) if refusal.code() == Code::Unauthenticated => {
            return Err(Problem::Refused(refusal));
        }
        Err(refusal) => return back(&dashboard, &person, &to, Err(refusal)),
    };
    if answer.changes.is_empty() {
        return back(&dashboard, &person, &to, Ok("Nothing was changed.".into()));
    }
    if confirmed {
        let said = format!("Version {} of the settings is in force.", answer.version);
        return back(&dashboard, &person, &to, Ok(said));
    }
    let preview = preview(answer, set);
    page(&dashboard, &person, &tab, Some(preview)).await
}

fn preview(answer: ChangeSettingsResponse, assignments: Vec<String>) -> Preview {
    let counted = answer.preview.as_ref();
    Preview {
        changes: changes(&answer.changes),
        consequences: answer.consequences.clone(),
        adds: counted.map(|preview| (preview.adds, preview.no_longer_kept_up)),
        unknown: counted
            .map(|preview| preview.unknown.clone())
            .unwrap_or_default(),
        version: answer.version,
        assignments,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_shows_is_taken_back() {
        let document = serde_json::json!({
            "schedule": { "when": { "daily": { "first": "04:00", "times": 2 } }, "blackout": [] },
            "languages": { "update-files": { "chosen": ["de"] } },
        });
        let schedule = &document["schedule"];
        let form = shown("schedule.when", &schedule["when"]);
        let back: serde_json::Value = serde_json::from_str(&form).unwrap();
        assert_eq!(back, schedule["when"]);
        assert_eq!(shown("schedule.blackout", &schedule["blackout"]), "[]");
        assert_eq!(shown("schedule.when", &"off".into()), "off");
        assert_eq!(shown("source.url", &serde_json::Value::Null), "");
    }

    #[test]
    fn what_a_form_cannot_unmark_stays_chosen() {
        let row = |id: &str, included| CategoryRow {
            id: id.to_owned(),
            title: String::new(),
            kind: "product",
            depth: String::new(),
            chosen: false,
            included,
        };
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let shown = [
            row("family", false),
            row("below", true),
            row("other", false),
        ];
        let before = set(&["family", "below", "gone"]);
        // A browser does not send what is marked and cannot be changed.
        let after = chosen(&before, &shown, &set(&["other"]));
        assert_eq!(after, set(&["below", "gone", "other"]));
        assert_eq!(chosen(&before, &shown, &set(&["family"])), before);
        // What is not offered is not taken.
        assert_eq!(
            chosen(&before, &shown, &set(&["family", "made up"])),
            before
        );
    }
}
