//! What an administrator is alerted of, and when something is bad enough.

use crate::check::Findings;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Bytes of a mebibyte.
const MEBIBYTE: u64 = 1 << 20;

/// What the top-level site raises alerts of. That a synchronization failed is switched by `failures.alert`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Alerts {
    /// A site is not connected.
    pub site_silent: SiteSilent,
    /// A site is connected, and has an older catalog than the top-level site.
    pub site_behind: SiteBehind,
    /// A certificate is about to end.
    pub certificate_expires: CertificateExpires,
    /// No new catalog statement reaches a site.
    pub statement_stale: StatementStale,
    /// A disk fills up.
    pub disk_low: DiskLow,
    /// A chosen product or classification is no longer offered.
    pub category_vanished: CategoryVanished,
}

/// A site is not connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SiteSilent {
    /// Whether an alert is raised when a site is not connected. Sites behind it are told of with it.
    pub enabled: bool,
    /// Minutes that it has to last; 0 is at once.
    #[schemars(range(max = 1440))]
    pub after_minutes: u16,
}

impl Default for SiteSilent {
    fn default() -> Self {
        Self {
            enabled: true,
            after_minutes: 5,
        }
    }
}

/// A site has an older catalog than the top-level site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SiteBehind {
    /// Whether an alert is raised when a site is connected and does not come to the catalog of the top-level
    /// site. A first synchronization that goes forward is none.
    pub enabled: bool,
    /// Minutes that it has to last.
    #[schemars(range(min = 1, max = 10080))]
    pub after_minutes: u16,
}

impl Default for SiteBehind {
    fn default() -> Self {
        Self {
            enabled: true,
            after_minutes: 60,
        }
    }
}

/// A certificate is about to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CertificateExpires {
    /// Whether an alert is raised when the certificate of a site is about to end and was not renewed.
    pub enabled: bool,
    /// Days before its end; where a quarter of its whole time is less, that counts. A site asks for a new
    /// one when a third of the time is left.
    #[schemars(range(min = 1, max = 365))]
    pub days: u16,
}

impl Default for CertificateExpires {
    fn default() -> Self {
        Self {
            enabled: true,
            days: 7,
        }
    }
}

/// No new catalog statement reaches a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StatementStale {
    /// Whether an alert is raised when the newest statement that a connected site has is no longer good.
    pub enabled: bool,
}

impl Default for StatementStale {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// A disk fills up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DiskLow {
    /// Whether an alert is raised, and message 9024 recorded at the site, when the file system of a data
    /// directory has little room left.
    pub enabled: bool,
    /// Free mebibytes below which it is little.
    #[schemars(range(min = 16, max = 1_048_576))]
    pub free_mebibytes: u32,
}

impl Default for DiskLow {
    fn default() -> Self {
        Self {
            enabled: true,
            free_mebibytes: 2048,
        }
    }
}

impl DiskLow {
    /// Free bytes below which it is little; none where nobody is to be told.
    pub fn floor(&self) -> Option<u64> {
        self.enabled
            .then(|| u64::from(self.free_mebibytes) * MEBIBYTE)
    }
}

/// A chosen product or classification is no longer offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CategoryVanished {
    /// Whether an alert is raised when the synchronization source does not list a chosen product or
    /// classification (any more): nothing new comes in its name.
    pub enabled: bool,
}

impl Default for CategoryVanished {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl SiteSilent {
    /// How long it has to last.
    pub fn after(&self) -> SignedDuration {
        SignedDuration::from_mins(self.after_minutes.into())
    }
}

impl SiteBehind {
    /// How long it has to last.
    pub fn after(&self) -> SignedDuration {
        SignedDuration::from_mins(self.after_minutes.into())
    }
}

impl CertificateExpires {
    /// How long before the end.
    pub fn before(&self) -> SignedDuration {
        SignedDuration::from_hours(24 * i64::from(self.days))
    }
}

pub(crate) fn check(found: &mut Findings, alerts: &Alerts) {
    let mut within = |name: &str, value: u32, limits: RangeInclusive<u32>| {
        let (least, most) = (limits.start(), limits.end());
        let or_zero = if *least == 0 { ", 0 for at once" } else { "" };
        let why = format!("{value}: use {least} to {most}{or_zero}");
        found.unless(limits.contains(&value), format!("alerts.{name}"), why);
    };
    let silent = alerts.site_silent.after_minutes.into();
    within("site-silent.after-minutes", silent, 0..=1_440);
    let behind = alerts.site_behind.after_minutes.into();
    within("site-behind.after-minutes", behind, 1..=10_080);
    let days = alerts.certificate_expires.days.into();
    within("certificate-expires.days", days, 1..=365);
    let free = alerts.disk_low.free_mebibytes;
    within("disk-low.free-mebibytes", free, 16..=1_048_576);
}

#[cfg(test)]
mod tests {
    use crate::Settings;

    fn with(change: &str) -> Settings {
        let change = [change.parse().unwrap()];
        Settings::default().with(&change).unwrap()
    }

    #[test]
    fn thresholds_have_limits() {
        for (name, bad, good) in [
            (
                "site-silent.after-minutes",
                ["1441", "65535"],
                ["0", "1440"],
            ),
            ("site-behind.after-minutes", ["0", "10081"], ["1", "10080"]),
            ("certificate-expires.days", ["0", "366"], ["1", "365"]),
            (
                "disk-low.free-mebibytes",
                ["15", "1048577"],
                ["16", "1048576"],
            ),
        ] {
            for value in good {
                assert_eq!(with(&format!("alerts.{name}={value}")).check(), Ok(()));
            }
            for value in bad {
                let error = with(&format!("alerts.{name}={value}")).check().unwrap_err();
                let told = error.to_string();
                assert!(
                    told.starts_with(&format!("the setting alerts.{name}: {value}: use ")),
                    "{told}"
                );
            }
        }
    }

    #[test]
    fn a_disk_that_nobody_looks_at_has_no_floor() {
        assert_eq!(Settings::default().alerts.disk_low.floor(), Some(2 << 30));
        assert_eq!(
            with("alerts.disk-low.enabled=false")
                .alerts
                .disk_low
                .floor(),
            None
        );
    }
}
