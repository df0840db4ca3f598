//! The document: every setting with its default.
//!
//! Names are the same in TOML, in JSON, on the command line (with dots: `supersedence.feature-updates`) and
//! in `docs/settings.md`.

use crate::schedule::Schedule;
use catalog::well_known::{CRITICAL_UPDATES, FAMILY_WINDOWS, SECURITY_UPDATES};
use catalog::{SiteCode, UpdateId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The settings of a hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Where the top-level site synchronizes from.
    pub source: Source,
    /// The proxy in front of the synchronization source.
    pub proxy: Proxy,
    /// Products and classifications that are synchronized.
    pub products: Products,
    /// Languages of summary details and of update files.
    pub languages: Languages,
    /// When the top-level site synchronizes by itself.
    pub schedule: Schedule,
    /// When superseded updates expire.
    pub supersedence: SupersedenceRules,
    /// Approvals that are made by themselves.
    pub approvals: AutomaticApprovals,
    /// What is cleaned up by itself.
    pub cleanup: Cleanup,
    /// What happens when a synchronization fails.
    pub failures: Failures,
    /// Settings of single sites; a site that is not named has the defaults.
    #[schemars(with = "BTreeMap<String, SiteSettings>")]
    pub sites: BTreeMap<SiteCode, SiteSettings>,
}

/// Where a top-level site synchronizes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SynchronizeAction {
    /// From Microsoft Update.
    MicrosoftUpdate,
    /// From the WSUS server or Headwater site of `source.url`.
    UpstreamServer,
    /// Not at all: packages are imported.
    #[default]
    DoNotSynchronize,
}

/// The synchronization source of a top-level site. A child's is always its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Source {
    /// Microsoft Update, an upstream server, or none.
    pub action: SynchronizeAction,
    /// URL of the upstream server: http or https, host, and port where it is not 80 or 443.
    pub url: Option<String>,
    /// Certificate authority of the upstream server, in PEM, besides those of the system.
    pub ca_pem: Option<String>,
    /// Requests to the source at the same time.
    #[schemars(range(min = 1, max = 16))]
    pub parallel_requests: u8,
    /// Which reporting events are taken from downstream servers that send them.
    pub reporting_events: ReportingEvents,
}

impl Default for Source {
    /// Disconnected.
    fn default() -> Self {
        Self {
            action: SynchronizeAction::DoNotSynchronize,
            url: None,
            ca_pem: None,
            parallel_requests: 4,
            reporting_events: ReportingEvents::None,
        }
    }
}

/// Which reporting events are accepted from downstream servers and clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReportingEvents {
    /// None.
    #[default]
    None,
    /// Those about status only.
    StatusOnly,
    /// All.
    All,
}

/// The proxy in front of the synchronization source. Its password is kept apart, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Proxy {
    /// Name or address of the proxy; none: no proxy is used.
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
    /// User that signs in to it; none: nobody signs in.
    pub user: Option<String>,
    /// Domain of the user.
    pub domain: Option<String>,
    /// Whether the password may be sent in the clear (basic authentication).
    pub allow_basic_authentication: bool,
    /// Whether content is downloaded through it too.
    pub use_for_content: bool,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            host: None,
            port: 80,
            user: None,
            domain: None,
            allow_basic_authentication: false,
            use_for_content: true,
        }
    }
}

/// Products and classifications that are synchronized. A choice stays open to what appears later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Products {
    /// Whether everything is synchronized that the source has, whatever is chosen below.
    pub everything: bool,
    /// Companies, product families and products. A company or family stands for everything below it.
    #[schemars(with = "BTreeSet<String>")]
    pub products: BTreeSet<UpdateId>,
    /// Classifications.
    #[schemars(with = "BTreeSet<String>")]
    pub classifications: BTreeSet<UpdateId>,
}

impl Default for Products {
    /// All Windows products; Critical and Security Updates, as in WSUS.
    fn default() -> Self {
        Self {
            everything: false,
            products: BTreeSet::from([FAMILY_WINDOWS.id]),
            classifications: BTreeSet::from([CRITICAL_UPDATES.id, SECURITY_UPDATES.id]),
        }
    }
}

/// Which languages there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LanguageChoice {
    /// All, including new ones.
    #[default]
    All,
    /// The one of the server alone.
    ServerLocale,
    /// These, by their tags (`de`, `pt-br`).
    Chosen(BTreeSet<String>),
}

/// Languages of the hierarchy. English is always among them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Languages {
    /// Languages in which titles and descriptions are shown.
    pub summary_details: LanguageChoice,
    /// Languages of update files that the hierarchy may have.
    pub update_files: LanguageChoice,
}

/// When superseded updates expire. Definition updates never do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SupersedenceRules {
    /// Months until a superseded feature update expires, counted from the creation of the update that
    /// supersedes it; 0 is at once.
    #[schemars(range(max = 99))]
    pub feature_updates: u8,
    /// The same for all other updates.
    #[schemars(range(max = 99))]
    pub other_updates: u8,
}

impl Default for SupersedenceRules {
    fn default() -> Self {
        Self {
            feature_updates: 3,
            other_updates: 3,
        }
    }
}

/// Approvals that are made by themselves when updates arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AutomaticApprovals {
    /// Whether a new revision of an approved update is approved too.
    pub approve_new_revisions: bool,
    /// Whether an update is declined when a revision of it expires it.
    pub decline_expired: bool,
    /// Rules for new updates, by name.
    pub rules: BTreeMap<String, ApprovalRule>,
}

impl Default for AutomaticApprovals {
    /// As in WSUS: Critical and Security Updates are approved for detection.
    fn default() -> Self {
        let detection = ApprovalRule {
            enabled: true,
            approval: RuleApproval::Detection,
            classifications: BTreeSet::from([CRITICAL_UPDATES.id, SECURITY_UPDATES.id]),
            products: BTreeSet::new(),
            title: None,
            deadline_days: None,
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

/// A rule about new updates. It matches those that match everything it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ApprovalRule {
    /// Whether it is applied.
    pub enabled: bool,
    /// What it does.
    pub approval: RuleApproval,
    /// Classifications; none: all.
    #[schemars(with = "BTreeSet<String>")]
    pub classifications: BTreeSet<UpdateId>,
    /// Companies, product families and products; none: all.
    #[schemars(with = "BTreeSet<String>")]
    pub products: BTreeSet<UpdateId>,
    /// What the title must be like; `*` stands for any text. Case does not matter.
    pub title: Option<String>,
    /// Days from the approval until the deadline; none: no deadline.
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

/// What is cleaned up by itself after a synchronization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Cleanup {
    /// Whether expired updates that are not approved are declined.
    pub decline_expired: bool,
    /// Whether superseded updates are declined when the rules say so.
    pub decline_superseded: bool,
    /// Whether revisions that nothing uses are removed.
    pub remove_unused_revisions: bool,
    /// Days after which what is expired, superseded or unused counts.
    #[schemars(range(min = 1, max = 365))]
    pub days: u16,
    /// Days that status messages and the history of runs are kept.
    #[schemars(range(min = 1, max = 3650))]
    pub history_days: u16,
}

impl Default for Cleanup {
    fn default() -> Self {
        Self {
            decline_expired: true,
            decline_superseded: false,
            remove_unused_revisions: false,
            days: 30,
            history_days: 365,
        }
    }
}

/// What happens when a synchronization fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Failures {
    /// Whether an alert is raised when a synchronization fails at any site of the hierarchy.
    pub alert: bool,
    /// Failures in a row after which a site with several software update points switches to another
    /// source by itself; 0: never.
    #[schemars(range(max = 100))]
    pub switch_source_after: u8,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            alert: true,
            switch_source_after: 0,
        }
    }
}

/// Settings of one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SiteSettings {
    /// Whether settings, approvals and declines come from above.
    pub replica: bool,
    /// Languages of update files at this site: a part of its parent's.
    pub update_files: LanguageChoice,
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            replica: true,
            update_files: LanguageChoice::All,
        }
    }
}
