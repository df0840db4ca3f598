//! SOAP envelopes, and the operations of the services.

use super::DecodeError;
use crate::fault::Fault;
use crate::xml::{XmlReader, XmlWriter};

/// A version of SOAP. A server answers in the version asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SoapVersion {
    /// SOAP 1.1: `text/xml` and a `SOAPAction` header. What Windows speaks.
    #[default]
    V11,
    /// SOAP 1.2: `application/soap+xml` with the action as its parameter.
    V12,
}

impl SoapVersion {
    /// Namespace of the envelope.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::V11 => "http://schemas.xmlsoap.org/soap/envelope/",
            Self::V12 => "http://www.w3.org/2003/05/soap-envelope",
        }
    }

    /// Media type of a message without an action.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::V11 => "text/xml; charset=utf-8",
            Self::V12 => "application/soap+xml; charset=utf-8",
        }
    }
}

/// Namespace of the server synchronization service.
const SERVER_SYNC: &str = "http://www.microsoft.com/SoftwareDistribution";
/// Namespace of the authorization service.
const DSS_AUTH: &str = "http://www.microsoft.com/SoftwareDistribution/Server/DssAuthWebService";
/// Namespace of `Ping`.
const MONITORABLE: &str = "http://www.microsoft.com/SoftwareDistribution/Server/IMonitorable";

/// An operation of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Where the authorization service is.
    GetAuthConfig,
    /// Asks for authorization (service DssAuth).
    GetAuthorizationCookie,
    /// Opens or renews a session.
    GetCookie,
    /// Limits and languages.
    GetConfigData,
    /// Which revisions there are.
    GetRevisionIdList,
    /// Update documents.
    GetUpdateData,
    /// Keys of encrypted files.
    GetUpdateDecryptionData,
    /// Approvals, for replicas.
    GetDeployments,
    /// Asks the server to fetch content files.
    DownloadFiles,
    /// Not used by anybody.
    GetRelatedRevisionsForUpdates,
    /// Which drivers there are.
    GetDriverIdList,
    /// Driver sets.
    GetDriverSetData,
    /// Whether the service works.
    Ping,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 13] = [
        Self::GetAuthConfig,
        Self::GetAuthorizationCookie,
        Self::GetCookie,
        Self::GetConfigData,
        Self::GetRevisionIdList,
        Self::GetUpdateData,
        Self::GetUpdateDecryptionData,
        Self::GetDeployments,
        Self::DownloadFiles,
        Self::GetRelatedRevisionsForUpdates,
        Self::GetDriverIdList,
        Self::GetDriverSetData,
        Self::Ping,
    ];

    /// Name of the operation and of its request element.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetAuthConfig => "GetAuthConfig",
            Self::GetAuthorizationCookie => "GetAuthorizationCookie",
            Self::GetCookie => "GetCookie",
            Self::GetConfigData => "GetConfigData",
            Self::GetRevisionIdList => "GetRevisionIdList",
            Self::GetUpdateData => "GetUpdateData",
            Self::GetUpdateDecryptionData => "GetUpdateDecryptionData",
            Self::GetDeployments => "GetDeployments",
            Self::DownloadFiles => "DownloadFiles",
            Self::GetRelatedRevisionsForUpdates => "GetRelatedRevisionsForUpdates",
            Self::GetDriverIdList => "GetDriverIdList",
            Self::GetDriverSetData => "GetDriverSetData",
            Self::Ping => "Ping",
        }
    }

    /// The operation with this name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name().as_bytes() == name)
    }

    /// Namespace of its elements.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::GetAuthorizationCookie => DSS_AUTH,
            Self::Ping => MONITORABLE,
            Self::GetAuthConfig
            | Self::GetCookie
            | Self::GetConfigData
            | Self::GetRevisionIdList
            | Self::GetUpdateData
            | Self::GetUpdateDecryptionData
            | Self::GetDeployments
            | Self::DownloadFiles
            | Self::GetRelatedRevisionsForUpdates
            | Self::GetDriverIdList
            | Self::GetDriverSetData => SERVER_SYNC,
        }
    }

    /// Its `SOAPAction`, with the quotes that belong to it.
    pub fn soap_action(self) -> String {
        format!("\"{}/{}\"", self.namespace(), self.name())
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>";

/// A writer that stands inside the body of a request.
pub(super) fn begin_request(version: SoapVersion, capacity: usize) -> XmlWriter {
    begin(version, "", capacity)
}

/// A writer that stands inside the body of an answer.
pub(crate) fn begin_response(version: SoapVersion, capacity: usize) -> XmlWriter {
    let namespaces = " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                      xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"";
    begin(version, namespaces, capacity)
}

fn begin(version: SoapVersion, namespaces: &str, capacity: usize) -> XmlWriter {
    let mut writer = XmlWriter::with_capacity(capacity);
    writer.raw(DECLARATION);
    writer.raw("<soap:Envelope xmlns:soap=\"");
    writer.raw(version.namespace());
    writer.raw("\"");
    writer.raw(namespaces);
    writer.raw("><soap:Body>");
    writer
}

/// Closes body and envelope.
pub(crate) fn finish(mut writer: XmlWriter) -> String {
    writer.raw("</soap:Body></soap:Envelope>");
    writer.finish()
}

/// Opens the element of an operation (`suffix` empty) or of its answer (`Response`), writes its content,
/// and closes it.
pub(super) fn operation_element(
    writer: &mut XmlWriter,
    operation: Operation,
    suffix: &str,
    content: impl FnOnce(&mut XmlWriter),
) {
    begin_operation(writer, operation, suffix);
    let start = writer.len();
    content(writer);
    if writer.len() == start {
        writer.buffer().truncate(start - 1);
        writer.raw("/>");
    } else {
        end_operation(writer, operation, suffix);
    }
}

pub(super) fn begin_operation(writer: &mut XmlWriter, operation: Operation, suffix: &str) {
    writer.raw("<");
    writer.raw(operation.name());
    writer.raw(suffix);
    writer.raw(" xmlns=\"");
    writer.raw(operation.namespace());
    writer.raw("\">");
}

pub(super) fn end_operation(writer: &mut XmlWriter, operation: Operation, suffix: &str) {
    writer.raw("</");
    writer.raw(operation.name());
    writer.raw(suffix);
    writer.raw(">");
}

/// What the body of an envelope begins with.
pub(crate) enum Body {
    /// A fault, read.
    Fault(Fault),
    /// The element of this name; the reader stands inside it.
    Element(Vec<u8>),
}

/// A decoded envelope.
pub(crate) struct Envelope<'a> {
    pub version: SoapVersion,
    pub body: Body,
    pub reader: XmlReader<'a>,
}

impl<'a> Envelope<'a> {
    /// Opens an envelope up to the element in its body.
    pub fn open(input: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = XmlReader::new(input);
        let Some(root) = reader.child()? else {
            return Err(DecodeError::NotSoap {
                root: String::new(),
            });
        };
        if root.name() != b"Envelope" {
            return Err(DecodeError::NotSoap {
                root: String::from_utf8_lossy(root.name()).into_owned(),
            });
        }
        let version = version_of(input);
        while let Some(part) = reader.child()? {
            if part.name() != b"Body" {
                reader.skip()?;
                continue;
            }
            let Some(element) = reader.child()? else {
                return Err(DecodeError::NotSoap {
                    root: "an empty body".into(),
                });
            };
            let body = if element.name() == b"Fault" {
                Body::Fault(Fault::read(&mut reader)?)
            } else {
                Body::Element(element.name().to_vec())
            };
            return Ok(Self {
                version,
                body,
                reader,
            });
        }
        Err(reader.missing("Body"))
    }
}

/// The version is the namespace of the envelope. Elements are matched by local name alone, so it is
/// enough to see which of the two namespaces the start of the document names.
fn version_of(input: &[u8]) -> SoapVersion {
    const LOOK_AT: usize = 2048;
    let start = &input[..input.len().min(LOOK_AT)];
    let needle = SoapVersion::V12.namespace().as_bytes();
    let end_of_tag = start
        .windows(8)
        .position(|window| window == b"Envelope")
        .and_then(|at| start[at..].iter().position(|&b| b == b'>').map(|n| at + n))
        .unwrap_or(start.len());
    if start[..end_of_tag]
        .windows(needle.len())
        .any(|window| window == needle)
    {
        SoapVersion::V12
    } else {
        SoapVersion::V11
    }
}
