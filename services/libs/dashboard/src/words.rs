//! How a state looks: a class for its colour, and a sign, so that nobody depends on the colour.

use hierarchy::{Behind, Hierarchy, State, present_error, time};
use jiff::Timestamp;
use wire::v1::SiteReport;

/// How something looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// It failed.
    Bad,
    /// It does not answer.
    Away,
    /// It is behind, or needs a look.
    Late,
    /// It works.
    Busy,
    /// Nothing happened yet.
    New,
    /// All is well.
    Good,
}

impl Look {
    /// All, the worst first.
    pub const ALL: [Self; 6] = [
        Self::Bad,
        Self::Away,
        Self::Late,
        Self::Busy,
        Self::New,
        Self::Good,
    ];

    /// Its class in the style.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Away => "away",
            Self::Late => "late",
            Self::Busy => "busy",
            Self::New => "new",
            Self::Good => "good",
        }
    }

    /// Its sign.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Bad => "✕",
            Self::Away => "⌁",
            Self::Late => "▲",
            Self::Busy => "↻",
            Self::New => "○",
            Self::Good => "✓",
        }
    }

    /// Its name in a legend.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bad => "failed",
            Self::Away => "offline",
            Self::Late => "behind",
            Self::Busy => "synchronizing",
            Self::New => "never synchronized",
            Self::Good => "current",
        }
    }

    /// How a site looks.
    pub fn of(hierarchy: &Hierarchy, site: &SiteReport) -> Self {
        match hierarchy.state(site) {
            State::Offline { .. } => Self::Away,
            State::Failed { .. } => Self::Bad,
            State::Running { .. } => Self::Busy,
            State::Never => Self::New,
            State::Cancelled | State::Other(_) => Self::Late,
            State::Completed if present_error(site).is_some() => Self::Bad,
            State::Completed if hierarchy.behind(site) != Behind::Current => Self::Late,
            State::Completed => Self::Good,
        }
    }
}

/// A point in time for a page: what machines read, and what is shown where no script makes it local.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// As RFC 3339 has it.
    pub machine: String,
    /// Date and time in UTC.
    pub text: String,
    /// The date alone.
    pub date: String,
    /// As seen from now.
    pub ago: String,
}

impl Moment {
    /// A point in time as seen from now.
    pub fn new(then: Timestamp, now: Timestamp) -> Self {
        let ago = if then > now {
            hierarchy::words::ahead(then, now)
        } else {
            hierarchy::words::ago(then, now)
        };
        let second = then.round(jiff::Unit::Second).unwrap_or(then);
        Self {
            machine: second.to_string(),
            date: then.strftime("%Y-%m-%d").to_string(),
            text: then.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            ago,
        }
    }

    /// A time of a message, if it is one.
    pub fn of(then: Option<&prost_types::Timestamp>, now: Timestamp) -> Option<Self> {
        time(then).map(|then| Self::new(then, now))
    }
}
