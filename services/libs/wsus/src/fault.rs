//! SOAP faults of MS-WSUSSS (WSUS-PROTOCOL 4): the error code, in SOAP 1.1 and 1.2.

use crate::message::{DecodeError, SoapVersion};
use crate::xml::{XmlReader, XmlWriter};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalog::Problem;
use std::fmt;
use uuid::Uuid;

/// What a fault means to the caller (`ErrorCode`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorCode {
    /// A parameter is wrong; the fault's message is its name. Asking again the same is useless.
    InvalidParameters,
    /// The session is not valid (any more): authenticate again.
    InvalidCookie,
    /// The authorization cookie is not valid (any more): authenticate again.
    InvalidAuthorizationCookie,
    /// The server failed; an unknown revision in `GetUpdateData` gives this too.
    InternalServerError,
    /// The server does not speak the protocol version of the client.
    IncompatibleProtocolVersion,
    /// Files asked for are not known; the fault's message lists their digests.
    FileDigestsMissing,
    /// The server is another one than before: all anchors are void.
    ServerChanged,
    /// Ask again later.
    ServerBusy,
    /// Too many ids in one request.
    TooManyIds,
    /// A code that the specification does not know; empty where the fault has none.
    Other(String),
}

impl ErrorCode {
    /// The code as it is written in a fault.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InvalidParameters => "InvalidParameters",
            Self::InvalidCookie => "InvalidCookie",
            Self::InvalidAuthorizationCookie => "InvalidAuthorizationCookie",
            Self::InternalServerError => "InternalServerError",
            Self::IncompatibleProtocolVersion => "IncompatibleProtocolVersion",
            Self::FileDigestsMissing => "FileDigestsMissing",
            Self::ServerChanged => "ServerChanged",
            Self::ServerBusy => "ServerBusy",
            Self::TooManyIds => "TooManyIds",
            Self::Other(code) => code,
        }
    }

    fn from_text(text: &str) -> Self {
        match text.trim() {
            "InvalidParameters" => Self::InvalidParameters,
            "InvalidCookie" => Self::InvalidCookie,
            "InvalidAuthorizationCookie" => Self::InvalidAuthorizationCookie,
            "InternalServerError" => Self::InternalServerError,
            "IncompatibleProtocolVersion" => Self::IncompatibleProtocolVersion,
            "FileDigestsMissing" => Self::FileDigestsMissing,
            "ServerChanged" => Self::ServerChanged,
            "ServerBusy" => Self::ServerBusy,
            "TooManyIds" => Self::TooManyIds,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether the fault blames the server (`soap:Server`) or the client.
    pub fn is_server_side(&self) -> bool {
        match self {
            Self::InternalServerError | Self::ServerBusy | Self::ServerChanged => true,
            Self::InvalidParameters
            | Self::InvalidCookie
            | Self::InvalidAuthorizationCookie
            | Self::IncompatibleProtocolVersion
            | Self::FileDigestsMissing
            | Self::TooManyIds
            | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            "" => f.write_str("a fault without code"),
            code => Problem::new(code).fmt(f),
        }
    }
}

/// A fault that a server answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The error code.
    pub code: ErrorCode,
    /// Its message: the name of a parameter, digests, often nothing.
    pub message: String,
    /// `faultstring` or `Reason`: a short text, sometimes a stack trace.
    pub reason: String,
    /// `faultactor` or `Node`: address of the service.
    pub actor: String,
    /// GUID of this fault, for the server's log.
    pub id: Option<Uuid>,
    /// The quoted `SOAPAction` of the call.
    pub method: String,
}

impl fmt::Display for Fault {
    /// The code and what explains it, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        let explanation = match (self.message.trim(), self.reason.trim()) {
            ("", "" | "Fault occurred") => return Ok(()),
            ("", reason) => reason,
            (message, _) => message,
        };
        let line = explanation.lines().next().unwrap_or("");
        write!(f, " ({})", Problem::new(line))
    }
}

impl Fault {
    /// A fault with a code and a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            reason: "Fault occurred".into(),
            actor: String::new(),
            id: None,
            method: String::new(),
        }
    }

    /// The SHA-1 of the files that the server does not know, where it says that it does not know some.
    pub fn missing_files(&self) -> Option<Vec<[u8; 20]>> {
        (self.code == ErrorCode::FileDigestsMissing).then(|| {
            let digests = self.message.split('|').map(str::trim);
            let digests = digests.filter_map(|digest| STANDARD.decode(digest).ok());
            digests
                .filter_map(|digest| digest.try_into().ok())
                .collect()
        })
    }

    /// The fault as a whole envelope.
    pub fn encode(&self, version: SoapVersion) -> String {
        const CAPACITY: usize = 1024;
        let mut writer = crate::message::begin_response(version, CAPACITY);
        let side = match (version, self.code.is_server_side()) {
            (SoapVersion::V11, true) => "soap:Server",
            (SoapVersion::V11, false) => "soap:Client",
            (SoapVersion::V12, true) => "soap:Receiver",
            (SoapVersion::V12, false) => "soap:Sender",
        };
        writer.open("soap:Fault");
        match version {
            SoapVersion::V11 => {
                writer.text("faultcode", side);
                writer.text("faultstring", &self.reason);
                writer.text("faultactor", &self.actor);
                writer.element("detail", |w| self.write_detail(w));
            }
            SoapVersion::V12 => {
                writer.element("soap:Code", |w| w.text("soap:Value", side));
                writer.open("soap:Reason");
                writer.raw("<soap:Text xml:lang=\"en\">");
                crate::xml::push_escaped(writer.buffer(), &self.reason);
                writer.raw("</soap:Text>");
                writer.close("soap:Reason");
                writer.text("soap:Node", &self.actor);
                writer.element("soap:Detail", |w| self.write_detail(w));
            }
        }
        writer.close("soap:Fault");
        crate::message::finish(writer)
    }

    /// The children of the detail have no namespace: no default namespace is declared around them.
    fn write_detail(&self, writer: &mut XmlWriter) {
        writer.text("ErrorCode", self.code.as_str());
        writer.raw("<Message>");
        crate::xml::push_escaped(writer.buffer(), &self.message);
        writer.raw("</Message>");
        writer.guid("ID", self.id.unwrap_or_default());
        writer.text("Method", &self.method);
    }

    /// Reads the content of a `Fault` element of either version.
    pub(crate) fn read(reader: &mut XmlReader<'_>) -> Result<Self, DecodeError> {
        let mut fault = Self {
            reason: String::new(),
            ..Self::new(ErrorCode::Other(String::new()), "")
        };
        while let Some(element) = reader.child()? {
            match element.name() {
                b"faultstring" => fault.reason = reader.text()?,
                b"faultactor" | b"Node" => fault.actor = reader.text()?,
                b"Reason" => {
                    while let Some(text) = reader.child()? {
                        match text.name() {
                            b"Text" => fault.reason = reader.text()?,
                            _ => reader.skip()?,
                        }
                    }
                }
                b"detail" | b"Detail" => fault.read_detail(reader)?,
                _ => reader.skip()?,
            }
        }
        Ok(fault)
    }

    fn read_detail(&mut self, reader: &mut XmlReader<'_>) -> Result<(), DecodeError> {
        while let Some(element) = reader.child()? {
            match element.name() {
                b"ErrorCode" => self.code = ErrorCode::from_text(&reader.text()?),
                b"Message" => self.message = reader.text()?,
                b"ID" => self.id = reader.text()?.trim().parse().ok(),
                b"Method" => self.method = reader.text()?,
                _ => reader.skip()?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Operation, Response};

    fn decode(text: &str) -> Fault {
        Response::decode(text.as_bytes(), Operation::Ping)
            .unwrap()
            .unwrap_err()
    }

    #[test]
    fn a_fault_is_read_as_it_was_written_in_both_versions() {
        for version in [SoapVersion::V11, SoapVersion::V12] {
            let fault = Fault {
                actor: "http://uss.example:8530/<x>".into(),
                id: Some(Uuid::from_u128(7)),
                method: "\"http://example/GetCookie\"".into(),
                ..Fault::new(ErrorCode::InvalidParameters, "filter & more")
            };
            assert_eq!(decode(&fault.encode(version)), fault);
        }
    }

    #[test]
    fn files_that_are_not_known_are_read_and_nonsense_among_them_is_let_go_by() {
        let one = STANDARD.encode([1; 20]);
        let text = format!("{one}| AQ== |rubbish|");
        let fault = Fault::new(ErrorCode::FileDigestsMissing, text.clone());
        let fault = decode(&fault.encode(SoapVersion::V11));
        assert_eq!(fault.missing_files(), Some(vec![[1; 20]]));
        let fault = Fault::new(ErrorCode::InvalidParameters, text);
        assert_eq!(fault.missing_files(), None);
    }

    #[test]
    fn detail_children_are_in_no_namespace() {
        let text = Fault::new(ErrorCode::InvalidCookie, "").encode(SoapVersion::V11);
        assert!(
            text.contains("<detail><ErrorCode>InvalidCookie</ErrorCode><Message></Message><ID>")
        );
        assert!(!text.contains("xmlns=\""));
    }

    #[test]
    fn a_fault_without_detail_has_no_code() {
        let text = "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><e:Fault>\
            <faultcode>e:Server</faultcode><faultstring>Server was unable to process request.\n   at X</faultstring>\
            </e:Fault></e:Body></e:Envelope>";
        let fault = decode(text);
        assert_eq!(fault.code, ErrorCode::Other(String::new()));
        assert_eq!(
            fault.to_string(),
            "a fault without code (Server was unable to process request.)"
        );
    }
}
