//! The document: every setting with its default.
//!
//! Names are the same in TOML, in JSON, on the command line (with dots: `proxy.host`) and
//! in `docs/settings.md`.

pub use crate::alerts::{
    Alerts, CategoryVanished, CertificateExpires, DiskLow, SiteBehind, SiteSilent, StatementStale,
};
pub use crate::approvals::{ApprovalRule, Approvals, RuleApproval};
pub use crate::content::{Content, ContentDownload, SiteContent};
use crate::languages::{Languages, SiteSettings};
pub use crate::notifications::{Mail, MailEncryption, Notifications};
use crate::schedule::Schedule;
use catalog::well_known::{CRITICAL_UPDATES, FAMILY_WINDOWS, SECURITY_UPDATES};
use catalog::{SiteCode, UpdateId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A settings file for hierarchies that are about something else than what is synchronized: demos, tests and
/// measurements.
pub const EVERYTHING: &str = "[products]\neverything = true\n[approvals]\nrules = {}\n\
                              [content]\ndownload = \"never\"\nlicence-terms = false\n";

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
    /// When the top-level site synchronizes by itself.
    pub schedule: Schedule,
    /// What happens when a synchronization fails.
    pub failures: Failures,
    /// What an administrator is alerted of.
    pub alerts: Alerts,
    /// Who is told of alerts.
    pub notifications: Notifications,
    /// When superseded updates expire.
    pub supersedence: Supersedence,
    /// What is cleaned up after each synchronization.
    pub cleanup: Cleanup,
    /// What is approved and declined by itself.
    pub approvals: Approvals,
    /// Which update files are downloaded, and how fast.
    pub content: Content,
    /// Languages of texts and of update files.
    pub languages: Languages,
    /// What is set for single sites, by their codes.
    #[schemars(with = "BTreeMap<String, SiteSettings>")]
    pub site: BTreeMap<SiteCode, SiteSettings>,
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
    /// Connection account at the upstream server, which then has to be an https one; none: anonymous. Its
    /// password is kept apart, sealed.
    pub user: Option<String>,
    /// Domain of the connection account.
    pub domain: Option<String>,
    /// WSUS reporting events; kept for scripts that set it: Headwater tells what happens in status messages
    /// and creates no such events, whatever is chosen here.
    pub reporting_events: ReportingEvents,
    /// Requests to the source at the same time.
    #[schemars(range(min = 1, max = 16))]
    pub parallel_requests: u8,
}

impl Default for Source {
    /// Disconnected.
    fn default() -> Self {
        Self {
            action: SynchronizeAction::DoNotSynchronize,
            url: None,
            ca_pem: None,
            user: None,
            domain: None,
            reporting_events: ReportingEvents::None,
            parallel_requests: 4,
        }
    }
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
    /// Whether it is used for synchronization only, or for downloading update files, too.
    pub use_for: ProxyUse,
}

/// What the proxy is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyUse {
    /// For synchronization only.
    Synchronization,
    /// For synchronization and for update files.
    #[default]
    SynchronizationAndContent,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            host: None,
            port: 80,
            user: None,
            domain: None,
            allow_basic_authentication: false,
            use_for: ProxyUse::SynchronizationAndContent,
        }
    }
}

/// What happens when a synchronization fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Failures {
    /// Whether an alert is raised when a synchronization fails at any site of the hierarchy.
    pub alert: bool,
    /// After how many failed runs in a row, or looks ten seconds apart at which it was not connected, the
    /// synchronization source of a site with several software update points is switched to another of them; 0:
    /// never.
    #[schemars(range(max = 100))]
    pub switch_source_after: u8,
    /// Seconds until a site tries a synchronization again that failed; twice as many after each further failure.
    /// Half of them up to all of them are waited, so that sites do not come back together. A site that is started
    /// with `retry-first` has that instead.
    #[schemars(range(min = 1, max = 3600))]
    pub retry_first_seconds: u16,
    /// Minutes that a site waits at most until it tries again, however often it failed. A site that is started
    /// with `retry-most` has that instead.
    #[schemars(range(min = 1, max = 1440))]
    pub retry_most_minutes: u16,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            alert: true,
            switch_source_after: 0,
            retry_first_seconds: 15,
            retry_most_minutes: 60,
        }
    }
}

impl Failures {
    /// Wait after the first failure.
    pub fn retry_first(&self) -> Duration {
        Duration::from_secs(u64::from(self.retry_first_seconds))
    }

    /// Longest wait between failures.
    pub fn retry_most(&self) -> Duration {
        Duration::from_secs(u64::from(self.retry_most_minutes) * 60)
    }
}

/// Which WSUS reporting events are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReportingEvents {
    /// None.
    #[default]
    None,
    /// Those about status.
    Status,
    /// All.
    All,
}

impl Products {
    /// Whether any update can be chosen: both lists say something, or everything is.
    pub fn asks_for_updates(&self) -> bool {
        self.everything || !(self.products.is_empty() || self.classifications.is_empty())
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

/// When superseded updates expire. Definition updates never do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Supersedence {
    /// Months until a superseded feature update (classification Upgrades) expires, counted from the
    /// creation of the update that supersedes it; 0 is at once.
    #[schemars(range(max = 99))]
    pub feature_updates: u8,
    /// The same for all other updates.
    #[schemars(range(max = 99))]
    pub other_updates: u8,
}

impl Default for Supersedence {
    fn default() -> Self {
        Self {
            feature_updates: 3,
            other_updates: 3,
        }
    }
}

impl Supersedence {
    /// The rules as the catalog applies them.
    pub fn rules(&self) -> catalog::expiry::Rules {
        catalog::expiry::Rules {
            feature_update_months: self.feature_updates,
            other_update_months: self.other_updates,
        }
    }
}

/// What is cleaned up after each synchronization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Cleanup {
    /// Whether updates are declined that are expired, by their publisher or by the supersedence rules, and
    /// not approved for install or removal.
    pub decline_expired: bool,
    /// Whether superseded updates are declined that are not approved for install or removal, where an update
    /// that supersedes them is approved for install. Updates of the update agent itself never are.
    pub decline_superseded: bool,
    /// Whether revisions are removed that a newer one replaced, that nothing bundles, and in which no update
    /// is approved. The newest revision of an update always stays.
    pub remove_unused_revisions: bool,
    /// Days after which what is expired, superseded or replaced is cleaned up; 0 is at once.
    #[schemars(range(max = 365))]
    pub days: u16,
    /// Days that a superseded update is not declined after it may last have been approved for install or removal;
    /// 0 is at once.
    #[schemars(range(max = 365))]
    pub undeployed_days: u16,
    /// Whether update files are removed that no update at the site needs any more. Each site removes its own.
    pub unneeded_content: bool,
    /// Days that an update file stays after nothing needs it any more; 0 is at once.
    #[schemars(range(max = 365))]
    pub content_days: u16,
    /// Days that the history of synchronizations, status messages and updates set aside are kept.
    #[schemars(range(min = 1, max = 3650))]
    pub history_days: u16,
}

impl Default for Cleanup {
    /// Expired updates are declined after the 30 days of the WSUS cleanup wizard, which lets 90 pass after a
    /// superseded update was deployed; of the catalog nothing is removed. Files that nothing needs go after a week.
    fn default() -> Self {
        Self {
            decline_expired: true,
            decline_superseded: false,
            remove_unused_revisions: false,
            days: 30,
            undeployed_days: 90,
            unneeded_content: true,
            content_days: 7,
            history_days: 365,
        }
    }
}
