//! Reads the values of attributes, and says where a wrong one stands.

use super::parse::{Kind, MAX_TEXT_BYTES};
use super::{
    CategoryType, DetectoidType, Error, Handler, Impact, MsrcSeverity, PatchingType,
    ProtocolVersion, PublicationState, RebootBehavior,
};
use crate::{Problem, UpdateId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;
use std::borrow::Cow;
use uuid::Uuid;

/// Longest part of a wrong value that an error repeats, in characters.
const SHOWN: usize = 64;

/// Cuts a text from outside for an error.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// An attribute: its name as written, and its value with references resolved.
pub(super) type NameAndValue<'e> = (&'e [u8], Cow<'e, str>);

/// The attributes of one element, read in turn. A repeated attribute is an error, as in XML.
pub(super) struct Attributes<'e> {
    inner: quick_xml::events::attributes::Attributes<'e>,
    element: &'static str,
    offset: u64,
}

impl<'e> Attributes<'e> {
    pub(super) fn new(start: &'e BytesStart<'_>, element: &'static str, offset: u64) -> Self {
        Self {
            inner: start.attributes(),
            element,
            offset,
        }
    }

    /// The place of the attribute `attribute` of this element, for errors.
    pub(super) fn at(&self, attribute: &'static str) -> Place {
        Place::new(self.element, attribute)
    }

    /// The next attribute: its name as written, and its value with references resolved.
    pub(super) fn next(&mut self) -> Result<Option<NameAndValue<'e>>, Error> {
        let Some(attribute) = self.inner.next() else {
            return Ok(None);
        };
        let malformed = |source: quick_xml::Error| Error::Malformed {
            offset: self.offset,
            source: Problem::new(source),
        };
        let attribute = attribute.map_err(|error| malformed(error.into()))?;
        if attribute.value.len() > MAX_TEXT_BYTES {
            return Err(Error::TooLong {
                element: self.element,
                limit: MAX_TEXT_BYTES,
            });
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(malformed)?;
        Ok(Some((attribute.key.into_inner(), value)))
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    element: &'static str,
    attribute: &'static str,
}

impl Place {
    pub(super) fn new(element: &'static str, attribute: &'static str) -> Self {
        Self { element, attribute }
    }

    fn refuse(self, value: &str, expected: &'static str) -> Error {
        Error::Value {
            element: self.element,
            attribute: self.attribute,
            value: cut(value),
            expected,
        }
    }

    pub(super) fn required<T>(self, value: Option<T>) -> Result<T, Error> {
        value.ok_or(Error::MissingAttribute {
            element: self.element,
            attribute: self.attribute,
        })
    }

    pub(super) fn update_id(self, value: &str) -> Result<UpdateId, Error> {
        self.guid(value).map(UpdateId)
    }

    /// A GUID in any case, with hyphens and without braces.
    pub(super) fn guid(self, value: &str) -> Result<Uuid, Error> {
        let value = value.trim_ascii();
        if value.len() != 36 {
            return Err(self.refuse(value, "a GUID"));
        }
        Uuid::try_parse(value).map_err(|_| self.refuse(value, "a GUID"))
    }

    /// A revision number: a 32-bit integer that is not negative.
    pub(super) fn revision(self, value: &str) -> Result<u32, Error> {
        match value.trim_ascii().parse::<i32>() {
            Ok(number) if number >= 0 => Ok(number.unsigned_abs()),
            _ => Err(self.refuse(value, "a revision number from 0 to 2147483647")),
        }
    }

    pub(super) fn integer(self, value: &str) -> Result<i32, Error> {
        let refuse = |_| self.refuse(value, "a 32-bit integer");
        value.trim_ascii().parse().map_err(refuse)
    }

    pub(super) fn bytes(self, value: &str) -> Result<u64, Error> {
        let refuse = |_| self.refuse(value, "a number of bytes");
        value.trim_ascii().parse().map_err(refuse)
    }

    pub(super) fn boolean(self, value: &str) -> Result<bool, Error> {
        match value.trim_ascii() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ if value.eq_ignore_ascii_case("true") => Ok(true),
            _ if value.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.refuse(value, "true or false")),
        }
    }

    /// A time with `Z` or an offset; one without either is UTC, as deployments have it.
    pub(super) fn time(self, value: &str) -> Result<Timestamp, Error> {
        let value = value.trim_ascii();
        if let Ok(time) = value.parse::<Timestamp>() {
            return Ok(time);
        }
        value
            .parse::<DateTime>()
            .and_then(|local| Offset::UTC.to_timestamp(local))
            .map_err(|_| self.refuse(value, "a date and time"))
    }

    /// A digest of exactly `N` bytes in Base64.
    pub(super) fn digest<const N: usize>(self, value: &str) -> Result<[u8; N], Error> {
        const { assert!(N <= 32, "the buffer below holds the largest digest") }
        let expected = if N == 20 {
            "a SHA-1 in Base64"
        } else {
            "a SHA-256 in Base64"
        };
        let mut buffer = [0; 48];
        let length = STANDARD
            .decode_slice(value.trim_ascii(), &mut buffer)
            .map_err(|_| self.refuse(value, expected))?;
        buffer[..length]
            .try_into()
            .map_err(|_| self.refuse(value, expected))
    }

    pub(super) fn kind(self, value: &str) -> Result<Kind, Error> {
        match value {
            "Software" => Ok(Kind::Software),
            "Driver" => Ok(Kind::Driver),
            "Category" => Ok(Kind::Category),
            "Detectoid" => Ok(Kind::Detectoid),
            _ => Err(self.refuse(value, "Software, Driver, Category or Detectoid")),
        }
    }

    pub(super) fn category_type(self, value: &str) -> Result<CategoryType, Error> {
        match value {
            "Company" => Ok(CategoryType::Company),
            "ProductFamily" => Ok(CategoryType::ProductFamily),
            "Product" => Ok(CategoryType::Product),
            "UpdateClassification" => Ok(CategoryType::UpdateClassification),
            _ => Err(self.refuse(
                value,
                "Company, ProductFamily, Product or UpdateClassification",
            )),
        }
    }

    pub(super) fn publication_state(self, value: &str) -> Result<PublicationState, Error> {
        match value {
            "Published" => Ok(PublicationState::Published),
            "Expired" => Ok(PublicationState::Expired),
            _ => Err(self.refuse(value, "Published or Expired")),
        }
    }

    /// A protocol version `major.minor`.
    pub(super) fn protocol_version(self, value: &str) -> Result<ProtocolVersion, Error> {
        let refuse = || self.refuse(value, "a protocol version such as 1.20");
        let (major, minor) = value.trim_ascii().split_once('.').ok_or_else(refuse)?;
        Ok(ProtocolVersion {
            major: major.parse().map_err(|_| refuse())?,
            minor: minor.parse().map_err(|_| refuse())?,
        })
    }

    // The values below only describe, so one that is not known here is kept or passed over, and never a
    // reason to refuse an update.

    pub(super) fn severity(self, value: &str) -> Option<MsrcSeverity> {
        match value {
            "Critical" => Some(MsrcSeverity::Critical),
            "Important" => Some(MsrcSeverity::Important),
            "Moderate" => Some(MsrcSeverity::Moderate),
            "Low" => Some(MsrcSeverity::Low),
            _ => None,
        }
    }

    pub(super) fn detectoid(self, value: &str) -> DetectoidType {
        match value {
            "Application Locale" => DetectoidType::ApplicationLocale,
            "SKU or Feature" => DetectoidType::SkuOrFeature,
            "Architecture" => DetectoidType::Architecture,
            "Service Pack" => DetectoidType::ServicePack,
            "Windows Locale" => DetectoidType::WindowsLocale,
            "WMI Detection" => DetectoidType::WmiDetection,
            other => DetectoidType::Other(other.to_owned()),
        }
    }

    pub(super) fn impact(self, value: &str) -> Impact {
        match value {
            "Normal" => Impact::Normal,
            "Minor" => Impact::Minor,
            "RequiresExclusiveHandling" => Impact::RequiresExclusiveHandling,
            other => Impact::Other(other.to_owned()),
        }
    }

    pub(super) fn reboot(self, value: &str) -> RebootBehavior {
        match value {
            "NeverReboots" => RebootBehavior::NeverReboots,
            "AlwaysRequiresReboot" => RebootBehavior::AlwaysRequiresReboot,
            "CanRequestReboot" => RebootBehavior::CanRequestReboot,
            other => RebootBehavior::Other(other.to_owned()),
        }
    }

    pub(super) fn patching_type(self, value: &str) -> PatchingType {
        match value {
            "None" | "" => PatchingType::Unstated,
            "SelfContained" => PatchingType::SelfContained,
            "Express" => PatchingType::Express,
            other => PatchingType::Other(other.to_owned()),
        }
    }

    /// The handler of a namespace; the operating system installer has one of its own making.
    pub(super) fn handler(self, value: &str) -> Handler {
        match value.rsplit_once("UpdateHandlers/").map(|(_, name)| name) {
            Some("Category") => Handler::Category,
            Some("CommandLineInstallation") => Handler::CommandLine,
            Some("Cbs") => Handler::Cbs,
            Some("WindowsInstaller") => Handler::WindowsInstaller,
            Some("WindowsPatch") => Handler::WindowsPatch,
            Some("WindowsSetup") => Handler::WindowsSetup,
            Some("WindowsDriver") => Handler::WindowsDriver,
            Some("OSInstaller") => Handler::OsInstaller,
            _ => Handler::Other(value.to_owned()),
        }
    }
}
