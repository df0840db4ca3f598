//! Site codes and site kinds, the names of the places in a hierarchy.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Names that may not be used as a site code: they are reserved by Windows or by Configuration Manager.
pub const RESERVED_SITE_CODES: [&str; 6] = ["AUX", "CON", "NUL", "PRN", "SMS", "ENV"];

/// The code of a site: exactly three characters A-Z and 0-9, unique in its hierarchy, never changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteCode([u8; 3]);

impl SiteCode {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a site code holds ASCII letters and digits only")
    }
}

/// A text that is not a site code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteCodeError {
    /// Not three characters of A-Z and 0-9.
    #[error("{0:?} is not a site code: use exactly three characters, A-Z and 0-9")]
    Malformed(String),
    /// One of [`RESERVED_SITE_CODES`].
    #[error("{0} is a reserved name and cannot be a site code")]
    Reserved(String),
}

impl FromStr for SiteCode {
    type Err = SiteCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || SiteCodeError::Malformed(text.chars().take(16).collect());
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| malformed())?;
        if !code
            .iter()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        {
            return Err(malformed());
        }
        if RESERVED_SITE_CODES.contains(&text) {
            return Err(SiteCodeError::Reserved(text.to_owned()));
        }
        Ok(Self(code))
    }
}

impl Serialize for SiteCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SiteCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for SiteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SiteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a site is in its hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SiteKind {
    /// The central administration site: the top of a hierarchy.
    Central,
    /// A primary site: child of the central site.
    Primary,
    /// A secondary site: child of a primary site, without children of its own.
    Secondary,
}

impl SiteKind {
    /// The kind in lower case, as it is written in settings, tokens and certificates.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }

    /// Whether a site of this kind may be the child of a `parent`.
    pub const fn may_join_under(self, parent: SiteKind) -> bool {
        matches!(
            (parent, self),
            (Self::Central, Self::Primary) | (Self::Primary, Self::Secondary)
        )
    }
}

impl fmt::Display for SiteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no site kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a site kind: use central, primary or secondary")]
pub struct SiteKindError(String);

impl FromStr for SiteKind {
    type Err = SiteKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "central" => Ok(Self::Central),
            "primary" => Ok(Self::Primary),
            "secondary" => Ok(Self::Secondary),
            other => Err(SiteKindError(other.chars().take(16).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_code_is_three_capitals_or_digits() {
        assert_eq!("PR1".parse::<SiteCode>().unwrap().to_string(), "PR1");
        for text in ["pr1", "PR", "PR12", "P-1", "ÄB", ""] {
            assert!(text.parse::<SiteCode>().is_err(), "{text}");
        }
    }

    #[test]
    fn reserved_names_are_refused_by_name() {
        let error = "CON".parse::<SiteCode>().unwrap_err();
        assert_eq!(error, SiteCodeError::Reserved("CON".into()));
    }

    #[test]
    fn a_hierarchy_is_central_primary_secondary() {
        assert!(SiteKind::Primary.may_join_under(SiteKind::Central));
        assert!(SiteKind::Secondary.may_join_under(SiteKind::Primary));
        assert!(!SiteKind::Secondary.may_join_under(SiteKind::Central));
        assert!(!SiteKind::Central.may_join_under(SiteKind::Central));
        assert!(!SiteKind::Primary.may_join_under(SiteKind::Primary));
    }
}
