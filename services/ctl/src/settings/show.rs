//! How settings and their history look.

use super::titles::Titles;
use crate::console::Console;
use crate::render::{View, text};
use anyhow::Context as _;
use hierarchy::time;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};
use settings::Settings;
use settings::change::plain;
use settings::reference::SECRETS;
use std::collections::BTreeMap;
use wire::text::harmless;
use wire::v1::{CategoryEntry, Choice, GetSettingsResponse, SettingsVersion};

/// A value longer than this is cut in the list; `--json` has all of it.
const MOST_VALUE: usize = 100;

/// Prints a version: every setting with its value, those that were changed marked.
pub(super) fn show(
    console: &Console,
    answer: &GetSettingsResponse,
    name: Option<&str>,
    changed: bool,
) -> anyhow::Result<()> {
    let document: Value = serde_json::from_str(&answer.document).context("the site's settings")?;
    if console.json {
        let part = name.and_then(|name| name.split('.').try_fold(&document, |v, part| v.get(part)));
        if let (Some(name), None) = (name, part) {
            anyhow::bail!("there is no setting {}", harmless(name));
        }
        let settings = part.unwrap_or(&document);
        return console.json_line(&json!({
            "version": answer.version, "settings": settings, "secrets": answer.secrets,
            "fixed": answer.fixed, "role": answer.role,
        }));
    }
    let settings = super::document(answer)?;
    let defaults = Settings::default().by_name();
    let begins = |held: &str| {
        name.is_none_or(|name| {
            held.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let listed: BTreeMap<String, Value> = settings
        .by_name()
        .into_iter()
        // A replica tells nothing of what is the top-level site's alone.
        .filter(|(held, _)| {
            document
                .get(held.split('.').next().unwrap_or_default())
                .is_some()
        })
        .filter(|(held, value)| begins(held) && (!changed || defaults.get(held) != Some(value)))
        .collect();
    let secrets = SECRETS.iter().filter(|secret| {
        begins(secret.name) && !changed && document.get(secret.section()).is_some()
    });
    let secrets: Vec<_> = secrets.collect();
    if listed.is_empty() && secrets.is_empty() {
        if let Some(name) = name.filter(|_| !changed) {
            anyhow::bail!("there is no setting {}", harmless(name));
        }
        return console.line("All settings are the defaults.");
    }
    let names = listed.keys().map(String::as_str);
    let names = names.chain(secrets.iter().map(|secret| secret.name));
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    for (held, value) in &listed {
        let by_process = answer.fixed.contains(held);
        let is_default = defaults.get(held) == Some(value);
        let mark = match (by_process, is_default) {
            (true, _) | (false, true) => "",
            (false, false) => "  *",
        };
        let value = match by_process {
            true => "decided by the process: see upstream in its settings".to_owned(),
            false => cut(&plain(value)),
        };
        let line = format!("{held:width$}  {}{mark}", harmless(&value));
        if console.colour && mark == "  *" {
            console.line(line.bold())?;
        } else {
            console.line(line)?;
        }
    }
    for secret in secrets {
        let set = answer.secrets.iter().any(|held| held == secret.name);
        let set = if set { "set (sealed)" } else { "not set" };
        console.line(format!("{:width$}  {set}", secret.name))?;
    }
    let stands = match answer.version {
        0 => "These are the defaults; nobody changed anything yet.".to_owned(),
        version => format!(
            "Version {version}, made by {}. * is not the default.",
            harmless(&answer.who)
        ),
    };
    if name.is_none() {
        console.line(format!("\n{}.", harmless(&answer.role)))?;
    }
    console.remark(stands);
    Ok(())
}

/// Whether the site that answered is below the top-level site.
pub(super) fn is_replica(answer: &GetSettingsResponse) -> bool {
    let document = serde_json::from_str::<Value>(&answer.document);
    document.is_ok_and(|document| document.get("source").is_none())
}

/// Prints what is in effect at a site; `reported` is the version that it says it has.
pub(super) fn effective(
    console: &Console,
    answer: &GetSettingsResponse,
    (site, reported): (&str, Option<u64>),
    name: Option<&str>,
    changed: bool,
) -> anyhow::Result<()> {
    let begins = |held: &str| {
        name.is_none_or(|name| {
            held.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let listed: Vec<_> = answer
        .effective
        .iter()
        .filter(|setting| begins(&setting.name) && (!changed || setting.origin != "default"))
        .map(|setting| {
            (
                setting,
                serde_json::from_str(&setting.value).unwrap_or_default(),
            )
        })
        .collect();
    if console.json {
        let settings: Vec<Value> = listed
            .iter()
            .map(|(setting, value)| {
                json!({
                    "name": setting.name, "value": value, "origin": setting.origin,
                    "because": setting.because,
                })
            })
            .collect();
        return console.json_line(&json!({
            "site": site, "version": answer.version, "version_there": reported,
            "settings": settings,
        }));
    }
    let width = listed
        .iter()
        .map(|(setting, _)| setting.name.chars().count());
    let width = width.max().unwrap_or(0);
    for (setting, value) in &listed {
        let value = cut(&plain(value));
        let line = format!(
            "{:width$}  {}  ({})",
            harmless(&setting.name),
            harmless(&value),
            harmless(&setting.because)
        );
        console.line(line)?;
    }
    if let Some(there) = reported.filter(|there| *there != answer.version) {
        console.line(format!(
            "\n{} has version {there} yet: version {} comes with its next synchronization.",
            harmless(site),
            answer.version
        ))?;
    }
    Ok(())
}

fn cut(value: &str) -> String {
    let mut shown: String = value.chars().take(MOST_VALUE).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    shown
}

/// Prints versions, newest first.
pub(super) fn history(
    console: &Console,
    versions: &[SettingsVersion],
    titles: &Titles,
    view: &View,
) -> anyhow::Result<()> {
    if console.json {
        let versions: Vec<Value> = versions
            .iter()
            .map(|version| {
                json!({
                    "version": version.version,
                    "time": time(version.time.as_ref()),
                    "who": version.who,
                    "changes": super::decoded(version.changes.clone()),
                })
            })
            .collect();
        return console.json_line(&json!({ "versions": versions }));
    }
    if versions.is_empty() {
        return console.line("All settings are the defaults; nobody changed anything yet.");
    }
    for version in versions {
        let made = time(version.time.as_ref());
        let made = made.map_or_else(|| "-".to_owned(), |time| text::date_and_time(time, view));
        let (number, who) = (version.version, harmless(&version.who));
        console.line(format!("{number:>5}  {made}  {who}"))?;
        for change in super::decoded(version.changes.clone()) {
            console.line(format!("       {}", harmless(&cut(&titles.told(&change)))))?;
        }
    }
    Ok(())
}

/// Prints the tree of products, and the classifications: `[x]` is chosen, `[+]` is included by what stands
/// above it.
pub(super) fn products(
    console: &Console,
    entries: &[CategoryEntry],
    text: Option<&str>,
    chosen: bool,
) -> anyhow::Result<()> {
    let text = text.map(str::to_lowercase);
    let wanted = |entry: &CategoryEntry| {
        let named = |text: &String| entry.title.to_lowercase().contains(text.as_str());
        text.as_ref().is_none_or(named)
            && (!chosen || matches!(entry.choice(), Choice::Chosen | Choice::Included))
    };
    // From the end: what stands above something that is shown is shown too.
    let mut shown = vec![false; entries.len()];
    let mut above = None;
    for (place, entry) in entries.iter().enumerate().rev() {
        let holds = above.is_some_and(|depth| entry.depth < depth);
        if wanted(entry) || holds {
            shown[place] = true;
            above = Some(entry.depth);
        }
    }
    let listed: Vec<&CategoryEntry> = entries
        .iter()
        .zip(shown)
        .filter_map(|(entry, shown)| shown.then_some(entry))
        .collect();
    if console.json {
        let listed: Vec<Value> = listed.iter().map(|entry| category(entry)).collect();
        return console.json_line(&json!({ "categories": listed }));
    }
    let has_products = entries
        .iter()
        .any(|entry| entry.kind != "UpdateClassification");
    if !has_products {
        console.remark("The catalog has no products yet: synchronize once to bring the list.");
    }
    if listed.is_empty() {
        return console.line("There is no such product or classification.");
    }
    let width = |entry: &CategoryEntry| entry.depth as usize * 2 + entry.title.chars().count();
    let widest = listed.iter().map(|entry| width(entry)).max().unwrap_or(0);
    let mut heading = "";
    for entry in listed {
        let part = match entry.kind.as_str() {
            "UpdateClassification" => "Classifications",
            _ => "Products",
        };
        if part != heading {
            heading = part;
            console.line(part)?;
        }
        let mark = match entry.choice() {
            Choice::Chosen => "[x]",
            Choice::Included => "[+]",
            Choice::NotChosen | Choice::Unspecified => "[ ]",
        };
        let indent = "  ".repeat(entry.depth as usize);
        let filler = " ".repeat(widest - width(entry));
        let (title, id) = (harmless(&entry.title), harmless(&entry.id));
        let line = format!("  {mark} {indent}{title}{filler}  {id}");
        if console.colour && entry.choice() == Choice::Chosen {
            console.line(line.bold())?;
        } else {
            console.line(line)?;
        }
    }
    Ok(())
}

fn category(entry: &CategoryEntry) -> Value {
    let choice = match entry.choice() {
        Choice::Chosen => "chosen",
        Choice::Included => "included",
        Choice::NotChosen | Choice::Unspecified => "not-chosen",
    };
    json!({
        "id": entry.id, "title": entry.title, "kind": entry.kind, "depth": entry.depth,
        "choice": choice,
    })
}
