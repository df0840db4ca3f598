//! The kinds of alerts, and the status messages that tell of them.

use journal::StatusId;
use std::str::FromStr;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The last run of a site failed.
    SyncFailed,
    /// A site is not connected.
    SiteSilent,
    /// A site is connected, and has an older catalog than the top-level site.
    SiteBehind,
    /// A certificate is about to end.
    CertificateExpires,
    /// No new catalog statement reaches a site.
    StatementStale,
    /// A disk fills up.
    DiskLow,
    /// A chosen product or classification is not offered.
    CategoryVanished,
}

/// A text that names no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such kind of alert")]
pub struct NoSuchKind;

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SyncFailed,
        Self::SiteSilent,
        Self::SiteBehind,
        Self::CertificateExpires,
        Self::StatementStale,
        Self::DiskLow,
        Self::CategoryVanished,
    ];

    /// Its name, as it is stored, shown, and, but for the first, called in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SyncFailed => "sync-failed",
            Self::SiteSilent => "site-silent",
            Self::SiteBehind => "site-behind",
            Self::CertificateExpires => "certificate-expires",
            Self::StatementStale => "statement-stale",
            Self::DiskLow => "disk-low",
            Self::CategoryVanished => "category-vanished",
        }
    }

    /// The message that it begins with.
    pub const fn raised(self) -> StatusId {
        match self {
            Self::SyncFailed => StatusId::SyncFailureAlert,
            Self::SiteSilent => StatusId::SiteSilentAlert,
            Self::SiteBehind => StatusId::SiteBehindAlert,
            Self::CertificateExpires => StatusId::CertificateAlert,
            Self::StatementStale => StatusId::StatementAlert,
            Self::DiskLow => StatusId::DiskAlert,
            Self::CategoryVanished => StatusId::CategoryAlert,
        }
    }

    /// The message that it ends with; it takes the first insert of the other.
    pub const fn ended(self) -> StatusId {
        match self {
            Self::SyncFailed => StatusId::SyncFailureAlertCanceled,
            Self::SiteSilent => StatusId::SiteSilentAlertCanceled,
            Self::SiteBehind => StatusId::SiteBehindAlertCanceled,
            Self::CertificateExpires => StatusId::CertificateAlertCanceled,
            Self::StatementStale => StatusId::StatementAlertCanceled,
            Self::DiskLow => StatusId::DiskAlertCanceled,
            Self::CategoryVanished => StatusId::CategoryAlertCanceled,
        }
    }

    /// Whether the text changes while it lasts. Where it holds a measured value, it stays as it was at first.
    pub const fn follows_its_text(self) -> bool {
        match self {
            Self::SyncFailed | Self::SiteSilent => true,
            Self::SiteBehind
            | Self::CertificateExpires
            | Self::StatementStale
            | Self::DiskLow
            | Self::CategoryVanished => false,
        }
    }
}

impl FromStr for Kind {
    type Err = NoSuchKind;

    fn from_str(text: &str) -> Result<Self, NoSuchKind> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.name() == text).ok_or(NoSuchKind)
    }
}
