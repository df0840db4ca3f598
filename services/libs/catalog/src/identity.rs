//! Who an update is: its GUID, and the revision of it that was published.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The GUID of an update, category or detectoid (`UpdateID`). Compared as 128 bits, so the case in
/// which a document writes it does not matter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpdateId(pub Uuid);

impl UpdateId {
    /// An identifier from its number, for the constants of well-known categories.
    pub const fn from_u128(value: u128) -> Self {
        Self(Uuid::from_u128(value))
    }
}

impl fmt::Display for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseIdentityError {
    text: String,
    expected: &'static str,
}

impl ParseIdentityError {
    /// Longest part of a rejected text that an error repeats, in characters.
    const SHOWN: usize = 64;

    fn new(text: &str, expected: &'static str) -> Self {
        Self {
            text: text.chars().take(Self::SHOWN).collect(),
            expected,
        }
    }
}

impl FromStr for UpdateId {
    type Err = ParseIdentityError;

    /// Reads a GUID in any case, without braces, with hyphens.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseIdentityError::new(text, "an update GUID");
        if text.len() != 36 {
            return Err(refuse());
        }
        Uuid::try_parse(text).map(Self).map_err(|_| refuse())
    }
}

impl Serialize for UpdateId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UpdateId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One published form of an update: its GUID and its revision number. A revision never changes.
///
/// Revision numbers are those of the publisher: they only grow, and jump by hundreds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionId {
    /// The update.
    pub update_id: UpdateId,
    /// The publisher's revision number (`RevisionNumber`), not negative.
    pub revision: u32,
}

impl RevisionId {
    /// The revision `revision` of `update_id`.
    pub const fn new(update_id: UpdateId, revision: u32) -> Self {
        Self {
            update_id,
            revision,
        }
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.update_id, self.revision)
    }
}

impl fmt::Debug for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RevisionId {
    type Err = ParseIdentityError;

    /// Reads `GUID.REVISION`, the form in which [`RevisionId`] is shown.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseIdentityError::new(text, "an update GUID with a revision number");
        let (guid, revision) = text.split_once('.').ok_or_else(refuse)?;
        Ok(Self {
            update_id: guid.parse().map_err(|_| refuse())?,
            revision: revision.parse().map_err(|_| refuse())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_the_same_in_any_case() {
        let lower: UpdateId = "e6cf1350-c01b-414d-a61f-263d14d133b4".parse().unwrap();
        let upper: UpdateId = "E6CF1350-C01B-414D-A61F-263D14D133B4".parse().unwrap();
        assert_eq!(lower, upper);
        assert_eq!(upper.to_string(), "e6cf1350-c01b-414d-a61f-263d14d133b4");
    }

    #[test]
    fn braces_and_bare_hex_are_refused() {
        for text in [
            "{e6cf1350-c01b-414d-a61f-263d14d133b4}",
            "e6cf1350c01b414da61f263d14d133b4",
            "",
        ] {
            assert!(text.parse::<UpdateId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_revision_reads_what_it_shows() {
        let id = RevisionId::new(UpdateId::from_u128(7), 200);
        assert_eq!(id.to_string().parse::<RevisionId>().unwrap(), id);
        assert!("7.200".parse::<RevisionId>().is_err());
    }
}
