//! The name of a hierarchy, and the fingerprint by which its authority is recognised.

use crate::Error;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The identity of a hierarchy: made once, when its authority is created, and part of every
/// certificate, token and statement. Shown as a hyphenated UUID in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HierarchyId(pub Uuid);

impl fmt::Display for HierarchyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for HierarchyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for HierarchyId {
    type Err = Error;

    /// Reads the form in which it is shown, and no other.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::malformed("the hierarchy identifier", "it is not a UUID");
        let id = Uuid::try_parse(text).map(Self).map_err(|_| refuse())?;
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(refuse())
        }
    }
}

/// The SHA-256 of an authority's certificate (DER). Whoever holds it recognises the hierarchy's
/// authority without having met it before.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthorityPin(pub [u8; 32]);

impl AuthorityPin {
    /// The pin of the certificate `der`.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for AuthorityPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuthorityPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hierarchy_reads_only_the_form_it_shows() {
        let id = HierarchyId(Uuid::from_u128(0xABCD));
        assert_eq!(id.to_string().parse::<HierarchyId>().unwrap(), id);
        let upper = id.to_string().to_uppercase();
        assert!(upper.parse::<HierarchyId>().is_err());
        assert!(format!("{{{id}}}").parse::<HierarchyId>().is_err());
    }
}
