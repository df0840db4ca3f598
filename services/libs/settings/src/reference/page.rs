//! `docs/settings.md`.

use super::forms::fields;
use super::secrets::SECRETS;
use super::texts::{ABSENT, CLEANUP, FORMS, HEAD, LANGUAGES, RULES, SECRETS_END, SECRETS_HEAD};
use super::{Entry, entries};
use crate::roll_out::TOP_LEVEL_ONLY;
use catalog::UpdateId;
use catalog::well_known::{CLASSIFICATIONS, FAMILIES};
use std::fmt::Write as _;

impl Entry {
    /// Where it may be set, and for which sites it acts, if not for the top-level site alone.
    pub(super) fn set_at(&self) -> &'static str {
        const TOP: &str = "the top-level site";
        const FOR_ALL: &str = "the top-level site, for every site";
        match self.name.split('.').next().unwrap_or_default() {
            "site" => "the top-level site, for the site CODE",
            section if TOP_LEVEL_ONLY.contains(&section) => TOP,
            // These say what the top-level site does, and every site shows them.
            "products" | "schedule" | "supersedence" | "approvals" => TOP,
            "failures" => match self.name.starts_with("failures.retry-") {
                true => FOR_ALL,
                false => TOP,
            },
            // A site looks at its own disk, too.
            "alerts" => match self.name.starts_with("alerts.disk-low.") {
                true => FOR_ALL,
                false => TOP,
            },
            // A site has a history and files of its own; of the catalog nothing is cleaned up at one site alone.
            "cleanup" => match self.name.as_str() {
                "cleanup.history-days" | "cleanup.unneeded-content" | "cleanup.content-days" => {
                    FOR_ALL
                }
                _ => TOP,
            },
            _ => FOR_ALL,
        }
    }
}

/// A default as it is read: where it names well-known categories, with their titles.
fn readable(default: &str) -> String {
    let titled = |part: &str| {
        let id = part.parse::<UpdateId>().ok()?;
        let mut known = CLASSIFICATIONS.iter().chain(&FAMILIES);
        let known = known.find(|known| known.id == id)?;
        Some(format!("{part} ({})", known.title))
    };
    let parts = default.split(", ");
    let parts = parts.map(|part| titled(part).unwrap_or_else(|| part.to_owned()));
    parts.collect::<Vec<_>>().join(",<br>")
}

fn row<const CELLS: usize>(text: &mut String, cells: [&str; CELLS]) {
    for cell in cells {
        write!(text, "| {} ", cell.replace('|', "\\|")).expect("a text takes everything");
    }
    text.push_str("|\n");
}

/// `docs/settings.md`.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for entry in entries() {
        let name = format!("`{}`", entry.name);
        let default = readable(&entry.default);
        row(
            &mut text,
            [
                &name,
                &entry.meaning,
                &default,
                &entry.limits,
                entry.set_at(),
                entry.answers_to,
            ],
        );
    }
    text.push_str(SECRETS_HEAD);
    for secret in SECRETS {
        let name = format!("`{}`", secret.name);
        let set_with = format!("`headwater settings password {}`", secret.word);
        row(
            &mut text,
            [&name, secret.meaning, &set_with, secret.answers_to],
        );
    }
    text.push_str(SECRETS_END);
    text.push_str(LANGUAGES);
    text.push_str(FORMS);
    for field in fields() {
        let name = format!("`{}`", field.name);
        let default = readable(&field.default);
        row(&mut text, [&name, &field.meaning, &default, &field.limits]);
    }
    text.push_str(CLEANUP);
    text.push_str(RULES);
    text.push_str(ABSENT);
    text
}
