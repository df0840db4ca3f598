//! Which site a certificate speaks for: `spiffe://<hierarchy>/site/<code>/<software update point>`.

use crate::{Error, HierarchyId};
use catalog::{PointId, SiteCode};
use std::fmt;
use std::str::FromStr;
use x509_parser::extensions::GeneralName;

/// A site as its certificate names it. The site's kind is not part of it: that is known to the
/// top-level site's database, where it can be looked up and where the site can be removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SiteIdentity {
    /// The hierarchy.
    pub hierarchy: HierarchyId,
    /// The software update point: its site, and in the last part of the name, `sup1` to `sup8`, its number.
    pub site: PointId,
}

impl SiteIdentity {
    /// The identity of a software update point.
    pub fn new(hierarchy: HierarchyId, site: PointId) -> Self {
        Self { hierarchy, site }
    }

    /// The identity in the certificate `der`: it must hold exactly one URI among its alternative
    /// names, and that must be the name of a site. Says nothing about who issued the certificate.
    pub fn from_certificate_der(der: &[u8]) -> Result<Self, Error> {
        single_uri(der)?.parse()
    }
}

/// The one URI alternative name of the certificate `der`.
pub(crate) fn single_uri(der: &[u8]) -> Result<String, Error> {
    let certificate = crate::certificate::parse(der)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| Error::malformed("the certificate", error))?
        .map(|extension| &extension.value.general_names);
    let mut uris = names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::DNSName(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    });
    let not_a_site = |reason: &str| Error::NotASite {
        reason: reason.to_owned(),
    };
    let uri = uris.next().ok_or_else(|| not_a_site("it holds no URI"))?;
    if uris.next().is_some() {
        return Err(not_a_site("it holds more than one URI"));
    }
    Ok(uri.to_owned())
}

impl fmt::Display for SiteIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hierarchy, site } = self;
        let (code, number) = (site.site(), site.number());
        write!(f, "spiffe://{hierarchy}/site/{code}/sup{number}")
    }
}

impl FromStr for SiteIdentity {
    type Err = Error;

    /// Reads the form in which it is shown, and no other: no escapes, no query, no other case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::NotASite {
            reason: format!(
                "{:?} is not spiffe://<hierarchy>/site/<code>/<software update point>",
                text.chars().take(120).collect::<String>()
            ),
        };
        let path = text.strip_prefix("spiffe://").ok_or_else(refuse)?;
        let mut parts = path.split('/');
        let (Some(hierarchy), Some("site"), Some(site), Some(point), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(refuse());
        };
        let site: SiteCode = site.parse().map_err(|_| refuse())?;
        let number = match point.strip_prefix("sup").map(str::as_bytes) {
            Some([digit]) if digit.is_ascii_digit() => digit - b'0',
            Some(_) | None => return Err(refuse()),
        };
        Ok(Self {
            hierarchy: hierarchy.parse().map_err(|_| refuse())?,
            site: PointId::new(site, number).ok_or_else(refuse)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    #[test]
    fn an_identity_has_one_spelling() {
        let good = "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/sup1";
        assert_eq!(good.parse::<SiteIdentity>().unwrap().to_string(), good);
        for bad in [
            "",
            "spiffe://",
            "http://00000000-0000-0000-0000-000000000007/site/PR1/sup1",
            "SPIFFE://00000000-0000-0000-0000-000000000007/site/PR1/sup1",
            "spiffe://00000000000000000000000000000007/site/PR1/sup1",
            "spiffe://00000000-0000-0000-0000-000000000007/site/pr1/sup1",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/sup1/",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/sup1?x",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/SUP1",
            "spiffe://00000000-0000-0000-0000-000000000007/site//PR1/sup1",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1-2/sup1",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/sup0",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/sup9",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/sup01",
            "spiffe://00000000-0000-0000-0000-000000000007/user/PR1/sup1",
            "spiffe://00000000-0000-0000-0000-000000000007/site/PR1/sup%31",
            " spiffe://00000000-0000-0000-0000-000000000007/site/PR1/sup1",
        ] {
            assert!(bad.parse::<SiteIdentity>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_identity_reads_what_it_shows(id: u128, site in "[B-Z][0-9][A-Z0-9]", number in 1..=8_u8) {
            let identity = SiteIdentity {
                hierarchy: HierarchyId(Uuid::from_u128(id)),
                site: PointId::new(site.parse().unwrap(), number).unwrap(),
            };
            prop_assert_eq!(identity.to_string().parse::<SiteIdentity>().unwrap(), identity);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", der in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = text.parse::<SiteIdentity>();
            prop_assert!(SiteIdentity::from_certificate_der(&der).is_err());
        }
    }
}
