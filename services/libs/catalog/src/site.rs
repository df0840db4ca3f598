//! Site codes, site kinds and software update points: the names of the places and processes of a hierarchy.

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

/// Software update points of a site at most.
pub const MAX_POINTS: u8 = 8;

/// One software update point: one running process of a site. A site's first one has the site's code as its
/// text, `PR1`; the others have their number behind it, `PR1-2`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointId([u8; 5]);

impl PointId {
    /// The point of a site with a number from 1 to [`MAX_POINTS`]; none with any other number.
    pub fn new(site: SiteCode, number: u8) -> Option<Self> {
        let SiteCode([a, b, c]) = site;
        (1..=MAX_POINTS)
            .contains(&number)
            .then_some(Self([a, b, c, b'-', b'0' + number]))
    }

    /// The first software update point of a site.
    pub fn first(site: SiteCode) -> Self {
        let SiteCode([a, b, c]) = site;
        Self([a, b, c, b'-', b'1'])
    }

    /// The site that it belongs to.
    pub fn site(self) -> SiteCode {
        let Self([a, b, c, ..]) = self;
        SiteCode([a, b, c])
    }

    /// Its number within the site, from 1.
    pub fn number(self) -> u8 {
        self.0[4] - b'0'
    }

    /// Whether both belong to one site.
    pub fn is_beside(self, other: Self) -> bool {
        self.site() == other.site()
    }

    /// The point as text.
    pub fn as_str(&self) -> &str {
        let shown = if self.number() == 1 {
            &self.0[..3]
        } else {
            &self.0[..]
        };
        std::str::from_utf8(shown).expect("a point holds ASCII letters, digits and a hyphen only")
    }
}

impl From<SiteCode> for PointId {
    fn from(site: SiteCode) -> Self {
        Self::first(site)
    }
}

/// A text that names no software update point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointIdError {
    /// What stands for the site is no site code.
    #[error(transparent)]
    Site(#[from] SiteCodeError),
    /// The number is not one of a further point.
    #[error(
        "{0:?} names no software update point: the first is called like its site, the others PR1-2 to \
         PR1-{MAX_POINTS}"
    )]
    Number(String),
}

impl FromStr for PointId {
    type Err = PointIdError;

    /// Reads the form in which it is shown, and no other.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((site, number)) = text.split_once('-') else {
            return Ok(Self::first(text.parse()?));
        };
        let wrong = || PointIdError::Number(text.chars().take(16).collect());
        let site: SiteCode = site.parse()?;
        let number = match number.as_bytes() {
            [digit] if digit.is_ascii_digit() && *digit > b'1' => digit - b'0',
            _ => return Err(wrong()),
        };
        Self::new(site, number).ok_or_else(wrong)
    }
}

impl Serialize for PointId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PointId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for PointId {
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

/// Whether a point of this kind may be below another: that of a site below that of its parent site, or a further
/// software update point of a site below the site's synchronization source.
pub fn may_be_below(
    point: PointId,
    kind: SiteKind,
    parent: PointId,
    parent_kind: SiteKind,
) -> bool {
    if point.is_beside(parent) {
        point != parent && kind == parent_kind && kind == SiteKind::Primary
    } else {
        kind.may_join_under(parent_kind)
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

    #[test]
    fn a_further_point_of_a_primary_site_is_below_its_source() {
        let point = |text: &str| text.parse::<PointId>().unwrap();
        let (pr1, pr1_2, primary) = (point("PR1"), point("PR1-2"), SiteKind::Primary);
        assert!(may_be_below(pr1_2, primary, pr1, primary));
        assert!(may_be_below(pr1, primary, pr1_2, primary));
        assert!(may_be_below(
            pr1_2,
            primary,
            point("CAS"),
            SiteKind::Central
        ));
        assert!(may_be_below(
            point("SE1"),
            SiteKind::Secondary,
            pr1_2,
            primary
        ));
        assert!(!may_be_below(pr1, primary, pr1, primary));
        assert!(!may_be_below(point("PR2"), primary, pr1, primary));
        assert!(!may_be_below(
            point("SE1-2"),
            SiteKind::Secondary,
            point("SE1"),
            SiteKind::Secondary
        ));
    }

    #[test]
    fn the_first_point_of_a_site_is_called_like_the_site() {
        let point = |text: &str| text.parse::<PointId>().unwrap();
        assert_eq!(
            (point("PR1").number(), point("PR1").to_string()),
            (1, "PR1".into())
        );
        assert_eq!(
            (point("PR1-2").number(), point("PR1-2").to_string()),
            (2, "PR1-2".into())
        );
        assert!(point("PR1").is_beside(point("PR1-8")) && !point("PR1").is_beside(point("PR2")));
        assert!(point("PR1") < point("PR1-2") && point("PR1-2") < point("PR2"));
        for text in [
            "PR1-", "PR1-0", "PR1-1", "PR1-9", "PR1-10", "PR1-x", "pr1-2", "PR1-2-3", "-2",
        ] {
            assert!(text.parse::<PointId>().is_err(), "{text}");
        }
        let error = "PR1-1".parse::<PointId>().unwrap_err().to_string();
        assert!(error.contains("called like its site"), "{error}");
    }

    #[test]
    fn every_point_reads_what_it_shows() {
        let site: SiteCode = "PR1".parse().unwrap();
        for number in 1..=MAX_POINTS {
            let point = PointId::new(site, number).unwrap();
            assert_eq!(point.as_str().parse(), Ok(point));
            assert_eq!((point.site(), point.number()), (site, number));
        }
        assert_eq!(
            (PointId::new(site, 0), PointId::new(site, MAX_POINTS + 1)),
            (None, None)
        );
    }
}
