//! A person with a client certificate: `spiffe://<hierarchy>/person/<name>`.
//!
//! The certificate says who it is, and nothing of what that person may do: the role stands in the database of the site,
//! under the key of the certificate, and can be taken away there.

use crate::identity::single_uri;
use crate::{Error, HierarchyId};
use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes.
pub const MAX_NAME: usize = 64;
/// What keys are derived for, under which the database knows certificates: no access token has such a one.
const PURPOSE: &str = "headwater 2026-11-22 client certificate of a person";
const WHAT: &str = "the name of a person";

/// A person as a client certificate names them.
///
/// Invariant: the name is made of ASCII letters, digits, dots, hyphens and underscores, and is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PersonIdentity {
    hierarchy: HierarchyId,
    name: String,
}

impl PersonIdentity {
    /// The identity of a person.
    ///
    /// # Errors
    /// When the name cannot stand in a certificate.
    pub fn new(hierarchy: HierarchyId, name: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
            let reason = format!(
                "use letters without accents, digits, dots, hyphens and underscores, {MAX_NAME} at most"
            );
            return Err(Error::malformed(WHAT, reason));
        }
        Ok(Self {
            hierarchy,
            name: name.to_owned(),
        })
    }

    /// The hierarchy.
    pub fn hierarchy(&self) -> HierarchyId {
        self.hierarchy
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PersonIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/person/{}", self.hierarchy, self.name)
    }
}

impl FromStr for PersonIdentity {
    type Err = Error;

    /// Reads the form in which it is shown, and no other.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            let shown: String = text.chars().take(120).collect();
            let reason = format!("{shown:?} is not spiffe://<hierarchy>/person/<name>");
            Error::malformed(WHAT, reason)
        };
        let path = text.strip_prefix("spiffe://").ok_or_else(refuse)?;
        let mut parts = path.split('/');
        let (Some(hierarchy), Some("person"), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        Self::new(hierarchy.parse().map_err(|_| refuse())?, name).map_err(|_| refuse())
    }
}

/// A client certificate that a connection showed: the authority of the hierarchy issued it, and it was valid when the
/// connection began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonCertificate {
    identity: PersonIdentity,
    key_hash: [u8; 32],
}

impl PersonCertificate {
    /// What a certificate says. Says nothing about who issued it.
    ///
    /// # Errors
    /// When it cannot be read, or names no person: that of a site never does.
    pub fn of(der: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            identity: single_uri(der)?.parse()?,
            key_hash: crate::certificate::key_hash(der)?,
        })
    }

    /// Whose it is.
    pub fn identity(&self) -> &PersonIdentity {
        &self.identity
    }

    /// Under what the database of a site knows it.
    pub fn lookup(&self) -> [u8; 32] {
        lookup(&self.key_hash)
    }
}

/// Under what the database of a site knows certificates for a key ([`crate::certificate::key_hash`]).
pub fn lookup(key_hash: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(PURPOSE, key_hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SiteIdentity;
    use uuid::Uuid;

    const HIERARCHY: HierarchyId = HierarchyId(Uuid::from_u128(7));

    #[test]
    fn an_identity_reads_what_it_shows() {
        let identity = PersonIdentity::new(HIERARCHY, "ann.b-c_9").unwrap();
        let text = identity.to_string();
        assert_eq!(text.parse::<PersonIdentity>().unwrap(), identity);
        for bad in [
            "",
            "spiffe://00000000-0000-0000-0000-000000000007/person/",
            "spiffe://00000000-0000-0000-0000-000000000007/person/ann/sup1",
            "spiffe://00000000-0000-0000-0000-000000000007/person/a%20b",
            "spiffe://00000000-0000-0000-0000-000000000007/Person/ann",
            "spiffe://00000000-0000-0000-0000-000000000007/person/ann?x",
            "spiffe://person/ann",
        ] {
            assert!(bad.parse::<PersonIdentity>().is_err(), "{bad}");
        }
        for bad in ["", "ann b", "ann/b", "änn", &"a".repeat(65)] {
            assert!(PersonIdentity::new(HIERARCHY, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_name_is_that_of_a_person_and_of_a_site() {
        let site = "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/sup1";
        assert!(site.parse::<SiteIdentity>().is_ok() && site.parse::<PersonIdentity>().is_err());
        let person = PersonIdentity::new(HIERARCHY, "PR1").unwrap().to_string();
        assert!(person.parse::<SiteIdentity>().is_err());
    }

    #[test]
    fn the_database_does_not_know_a_key_by_its_plain_hash() {
        assert_ne!(lookup(&[1; 32]), [1; 32]);
        assert_ne!(lookup(&[1; 32]), lookup(&[2; 32]));
    }
}
