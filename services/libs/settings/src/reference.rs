//! The reference of all settings: what `docs/settings.md` and `headwater settings schema` show. Meanings and
//! limits come from the document's own types; a table here adds the names that WSUS and Configuration Manager
//! have for them.

mod kind;
mod texts;

pub use kind::Kind;

use self::texts::{CLEANUP, FORMS, LANGUAGES, RULES};
use crate::change::plain;
use crate::document::{ApprovalRule, Settings};
use crate::roll_out::TOP_LEVEL_ONLY;
use serde_json::Value;
use std::fmt::Write as _;

/// A setting as the reference shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it means.
    pub meaning: String,
    /// What it is unless it was set.
    pub default: String,
    /// Which values it takes.
    pub limits: String,
    /// What WSUS or Configuration Manager calls it.
    pub answers_to: &'static str,
    /// What kind of value it has.
    pub kind: Kind,
}

impl Entry {
    /// Where it acts: what is the top-level site's alone does not travel.
    fn acts_at(&self) -> &'static str {
        let section = self.name.split('.').next().unwrap_or_default();
        match section {
            "site" => "the site CODE",
            // These say what the top-level site does, and every site shows them.
            "products" | "schedule" | "approvals" => "the top-level site",
            // A site looks at its own disk, too.
            "alerts" if !self.name.starts_with("alerts.disk-low.") => "the top-level site",
            section if TOP_LEVEL_ONLY.contains(&section) => "the top-level site",
            _ => "every site",
        }
    }
}

/// Setting, limits that its type does not tell (empty: those of the type), and its name elsewhere.
const NAMES: &[(&str, &str, &str)] = &[
    ("source.action", "", "Sync Settings; `SynchronizeAction`"),
    (
        "source.url",
        "http or https, host, port",
        "Sync Settings; `UpstreamSourceLocation`",
    ),
    (
        "source.ca-pem",
        "PEM, 64 KiB at most",
        "trusted root certificates of the server",
    ),
    (
        "source.user",
        "1 to 255 characters; https only",
        "WSUS server connection account",
    ),
    (
        "source.domain",
        "1 to 255 characters",
        "WSUS server connection account: domain",
    ),
    (
        "source.reporting-events",
        "",
        "WSUS reporting events; `ReportingEvent`",
    ),
    ("source.parallel-requests", "", "-"),
    (
        "proxy.host",
        "a name or an address",
        "Proxy and account settings; WSUS: Proxy Server",
    ),
    ("proxy.port", "1 to 65535", "proxy port number"),
    (
        "proxy.user",
        "1 to 255 characters",
        "proxy credentials: user name",
    ),
    (
        "proxy.domain",
        "1 to 255 characters",
        "proxy credentials: domain",
    ),
    (
        "proxy.allow-basic-authentication",
        "",
        "Allow basic authentication (password is sent in cleartext)",
    ),
    (
        "proxy.use-for",
        "",
        "use a proxy server when synchronizing; when downloading content with automatic deployment rules",
    ),
    ("products.everything", "", "-"),
    (
        "products.products",
        "GUIDs of categories, 5,000 at most",
        "Products",
    ),
    (
        "products.classifications",
        "GUIDs of categories, 5,000 at most",
        "Classifications",
    ),
    (
        "schedule.when",
        "off, or one of the forms below",
        "Sync Schedule; WSUS: Synchronization Schedule",
    ),
    (
        "schedule.time-zone",
        "IANA names, such as Europe/Berlin",
        "the console's local time, or UTC",
    ),
    (
        "schedule.blackout",
        "windows, 50 at most",
        "- (service windows)",
    ),
    (
        "failures.alert",
        "",
        "alert when synchronization fails on any site; `EnableSyncFailureAlert`",
    ),
    ("failures.switch-source-after", "", "-"),
    (
        "failures.retry-first-seconds",
        "1 to 3600 seconds; not more than retry-most-minutes",
        "- (Configuration Manager: every 60 minutes)",
    ),
    (
        "failures.retry-most-minutes",
        "1 to 1440 minutes",
        "- (Configuration Manager: every 60 minutes)",
    ),
    ("alerts.site-silent.enabled", "", "-"),
    ("alerts.site-silent.after-minutes", "0 to 1440 minutes", "-"),
    (
        "alerts.site-behind.enabled",
        "",
        "- (`SMS_SUPSyncStatus`: the content versions have to be compared)",
    ),
    (
        "alerts.site-behind.after-minutes",
        "1 to 10080 minutes",
        "-",
    ),
    ("alerts.certificate-expires.enabled", "", "-"),
    ("alerts.certificate-expires.days", "1 to 365 days", "-"),
    ("alerts.statement-stale.enabled", "", "-"),
    (
        "alerts.disk-low.enabled",
        "",
        "alert for low free disk space at sites",
    ),
    (
        "alerts.disk-low.free-mebibytes",
        "16 to 1048576 MiB",
        "the same: threshold",
    ),
    ("alerts.category-vanished.enabled", "", "-"),
    (
        "notifications.webhooks",
        "URLs, https but for this machine, 10 at most",
        "- (alert subscriptions are mail only)",
    ),
    (
        "notifications.mail.host",
        "a name or an address",
        "E-mail Notifications: outgoing e-mail server; alert subscriptions",
    ),
    (
        "notifications.mail.port",
        "1 to 65535",
        "E-mail Notifications: port number",
    ),
    ("notifications.mail.encryption", "", "-"),
    (
        "notifications.mail.ca-pem",
        "PEM, 64 KiB at most",
        "trusted root certificates of the server",
    ),
    (
        "notifications.mail.user",
        "1 to 255 characters",
        "E-mail Notifications: logon to the server: user name",
    ),
    (
        "notifications.mail.from",
        "a mail address",
        "E-mail Notifications: sender e-mail address",
    ),
    (
        "notifications.mail.to",
        "mail addresses, 50 at most",
        "E-mail Notifications: recipients",
    ),
    (
        "supersedence.feature-updates",
        "0 to 99 months",
        "Supersedence Rules: Supersedence behavior for feature updates",
    ),
    (
        "supersedence.other-updates",
        "0 to 99 months",
        "Supersedence Rules: Supersedence behavior for non-feature updates",
    ),
    (
        "cleanup.decline-expired",
        "",
        "WSUS Maintenance: Decline expired updates; WSUS: Expired updates",
    ),
    (
        "cleanup.decline-superseded",
        "",
        "Server Cleanup Wizard: Superseded updates",
    ),
    (
        "cleanup.remove-unused-revisions",
        "",
        "WSUS Maintenance: Remove obsolete updates; WSUS: Unused updates and update revisions",
    ),
    (
        "cleanup.days",
        "0 to 365 days",
        "the 30 days of the Server Cleanup Wizard",
    ),
    (
        "cleanup.undeployed-days",
        "0 to 365 days",
        "the 90 days of the Server Cleanup Wizard: Superseded updates",
    ),
    (
        "cleanup.history-days",
        "1 to 3650 days",
        "Delete Aged Status Messages; WSUS: -",
    ),
    (
        "cleanup.unneeded-content",
        "",
        "Server Cleanup Wizard: Unneeded update files",
    ),
    ("cleanup.content-days", "0 to 365 days", "-"),
    (
        "approvals.approve-new-revisions",
        "",
        "Automatic Approvals, Advanced: Automatically approve new revisions of updates that are already approved",
    ),
    (
        "approvals.decline-expired",
        "",
        "Automatic Approvals, Advanced: Automatically decline updates when a new revision causes them to expire",
    ),
    (
        "approvals.rules.<name>.enabled",
        "",
        "Automatic Approvals: Update Rules; Automatic Deployment Rules",
    ),
    (
        "approvals.rules.<name>.approval",
        "",
        "WSUS 3: Automatically approve updates for detection, for installation",
    ),
    (
        "approvals.rules.<name>.classifications",
        "GUIDs of categories, 5,000 at most",
        "When an update is in a specific classification",
    ),
    (
        "approvals.rules.<name>.products",
        "GUIDs of categories, 5,000 at most",
        "When an update is in a specific product",
    ),
    (
        "approvals.rules.<name>.title",
        "1 to 500 bytes",
        "Automatic Deployment Rules: Title",
    ),
    (
        "approvals.rules.<name>.deadline-days",
        "none, or 0 to 365",
        "Set a deadline for the approval",
    ),
    (
        "content.download",
        "",
        "WSUS: Update Files: Download update files to this server only when updates are approved; Do not store update files locally",
    ),
    (
        "content.licence-terms",
        "",
        "- (WSUS: licence terms are downloaded with the synchronization)",
    ),
    (
        "content.express",
        "",
        "Update Files: Download both full files for all approved updates and express installation files; `ContentFileOption`",
    ),
    ("content.parallel-downloads", "1 to 32", "-"),
    (
        "content.maximum-transfer-rate",
        "0 to 100000000 kilobits a second",
        "BITS: Limit the maximum network bandwidth, Maximum transfer rate",
    ),
    (
        "content.window-from",
        "a time of day, such as 22:00",
        "BITS: work schedule, from",
    ),
    (
        "content.window-to",
        "a time of day, such as 05:30",
        "BITS: work schedule, to",
    ),
    (
        "languages.summary-details",
        "all, server-locale, or tags such as de,pt-br",
        "Languages: Summary Details",
    ),
    (
        "languages.update-files",
        "all, server-locale, or tags such as de,pt-br",
        "Languages: Software Update File; WSUS: Update Languages",
    ),
    (
        "site.<CODE>.update-files",
        "all, server-locale, or tags; a part of what the parent has",
        "Languages: Software Update File, at each site",
    ),
    (
        "site.<CODE>.content.download",
        "never, deferred, immediate; what the parent has, or less",
        "WSUS: Update Files, at each server",
    ),
    (
        "site.<CODE>.content.express",
        "true where the parent's is, false",
        "WSUS: Update Files, at each server",
    ),
    ("site.<CODE>.content.parallel-downloads", "1 to 32", "-"),
    (
        "site.<CODE>.content.maximum-transfer-rate",
        "0 to 100000000 kilobits a second",
        "Rate limits of a site's distribution points",
    ),
    (
        "site.<CODE>.content.window-from",
        "a time of day, such as 22:00",
        "Schedule of a site's distribution points",
    ),
    (
        "site.<CODE>.content.window-to",
        "a time of day, such as 05:30",
        "Schedule of a site's distribution points",
    ),
];

/// Stands for the name of an entry.
const ENTRY: &str = "<name>";

/// Parts of the document that the reference shows as one setting.
const WHOLE: &[&str] = &["schedule.when", "schedule.blackout"];

/// The JSON schema of the document.
pub fn schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

/// Every setting, in the order of the table.
///
/// # Panics
/// When the table above and the document do not name the same settings. A test sees to it.
pub fn entries() -> Vec<Entry> {
    let schema = schema();
    let mut found = Vec::new();
    walk(&schema, &schema, "", &mut found);
    let mut defaults = Settings::default();
    let rule = ApprovalRule::default();
    defaults.approvals.rules.insert(ENTRY.to_owned(), rule);
    let defaults = defaults.by_name();
    let mut entries: Vec<Entry> = Vec::new();
    for (name, limits, answers_to) in NAMES {
        let (_, meaning, by_type, kind) = found
            .iter()
            .find(|(held, ..)| held == name)
            .expect("the table names settings of the document");
        let default = defaults.get(*name).map_or_else(|| "-".to_owned(), plain);
        entries.push(Entry {
            name: (*name).to_owned(),
            meaning: meaning.clone(),
            default,
            limits: if limits.is_empty() {
                by_type.clone()
            } else {
                (*limits).to_owned()
            },
            answers_to,
            kind: kind.clone(),
        });
    }
    entries
}

/// Name, meaning, limits and kind of a setting, as its type has them.
type Found = (String, String, String, Kind);

/// Collects name, meaning, limits and kind of everything below a part of the schema.
fn walk(root: &Value, part: &Value, name: &str, found: &mut Vec<Found>) {
    let object = resolved(root, part);
    let properties = object.get("properties").and_then(Value::as_object);
    let whole = WHOLE.contains(&name);
    if let Some(properties) = properties.filter(|_| !whole) {
        for (field, part) in properties {
            let name = match name {
                "" => field.clone(),
                _ => format!("{name}.{field}"),
            };
            walk(root, part, &name, found);
        }
        return;
    }
    if let Some(entry) = object
        .get("additionalProperties")
        .filter(|entry| entry.is_object() && !whole)
    {
        let entries = if name == "site" { "<CODE>" } else { ENTRY };
        walk(root, entry, &format!("{name}.{entries}"), found);
        return;
    }
    let meaning = part
        .get("description")
        .or_else(|| object.get("description"));
    let meaning = meaning.and_then(Value::as_str).unwrap_or_default();
    let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
    found.push((name.to_owned(), meaning, limits(object), Kind::of(object)));
}

fn resolved<'s>(root: &'s Value, part: &'s Value) -> &'s Value {
    part.get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| root.pointer(path.trim_start_matches('#')))
        .unwrap_or(part)
}

/// What values a type takes.
fn limits(object: &Value) -> String {
    let number = |name| object.get(name).and_then(Value::as_u64);
    if let (Some(least), Some(most)) = (number("minimum").or(Some(0)), number("maximum")) {
        return format!("{least} to {most}");
    }
    let choices: Vec<String> = object
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .flat_map(|choice| {
            let word = choice
                .get("const")
                .and_then(Value::as_str)
                .map(str::to_owned);
            let list = choice.get("properties").and_then(Value::as_object);
            let list = list
                .and_then(|fields| fields.keys().next())
                .map(|key| format!("{key}: a list"));
            word.or(list)
        })
        .collect();
    if !choices.is_empty() {
        return choices.join(", ");
    }
    match object.get("type").and_then(Value::as_str) {
        Some("boolean") => "true, false".to_owned(),
        Some(_) | None => String::new(),
    }
}

/// `docs/settings.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Settings of a hierarchy\n\n\
         All are made at the top-level site, with `headwater settings set NAME=VALUE` or `headwater settings import \
         FILE`, and travel to every site with the catalog, signed like it, except for what is the top-level site's alone. \
         Every site below it is a replica: `headwater settings show` answers there too, and a change is refused with the \
         site at which to make it. The same names serve TOML, JSON, the command line and the RPC. This page is \
         printed by `headwater settings reference`.\n\n\
         | setting | meaning | default | values | acts at | WSUS or Configuration Manager |\n\
         |---|---|---|---|---|---|\n",
    );
    for entry in entries() {
        let cell = |text: &str| text.replace('|', "\\|");
        let default = entry.default.replace(", ", ",<br>");
        writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            entry.name,
            cell(&entry.meaning),
            cell(&default),
            cell(&entry.limits),
            entry.acts_at(),
            cell(entry.answers_to),
        )
        .expect("a text takes everything");
    }
    text.push_str(LANGUAGES);
    text.push_str(FORMS);
    text.push_str(CLEANUP);
    text.push_str(RULES);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
