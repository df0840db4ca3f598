//! Why a handshake ended, in words that say what to do.

use super::PeerRefusal;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use std::io;

/// Why two sides did not come together. `Display` is the sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeProblem {
    /// No TLS at all.
    #[error(
        "the other side speaks plain text, not TLS: check the port and that nothing in between takes TLS away"
    )]
    PlainText,
    /// TLS, but too old or with nothing in common.
    #[error(
        "the other side does not speak TLS 1.3 with a common algorithm: update it, or the proxy in between"
    )]
    Incompatible,
    /// The other side's certificate is over.
    #[error("the certificate of the other side expired{}: let it join again, or set the clock right", at(.0))]
    Expired(Option<Timestamp>),
    /// The other side's certificate has not begun.
    #[error("the certificate of the other side is not valid yet{}: one of the two clocks is wrong", at(.0))]
    NotValidYet(Option<Timestamp>),
    /// The other side's certificate comes from another authority.
    #[error("the certificate of the other side belongs to another hierarchy")]
    OtherHierarchy,
    /// The chain is right, the site is not.
    #[error("{0}")]
    Refused(PeerRefusal),
    /// A certificate that is unusable in another way.
    #[error("the certificate of the other side is not accepted: {0}")]
    BadCertificate(String),
    /// The other side refuses our certificate as expired.
    #[error("the other side says that our certificate expired: renew it, or set the clock right")]
    OurCertificateExpired,
    /// The other side refuses our certificate as foreign.
    #[error(
        "the other side does not know the authority of our certificate: it belongs to another hierarchy"
    )]
    OurCertificateForeign,
    /// The other side refuses our certificate, or wants one.
    #[error("the other side does not accept our certificate ({0})")]
    OurCertificateRefused(String),
    /// The connection ended in the middle.
    #[error(
        "the other side closed the connection during the handshake: it may have refused our certificate, its journal says why"
    )]
    Closed,
    /// This machine has no time.
    #[error("this machine does not know what time it is")]
    NoTime,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

fn at(time: &Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| format!(" ({time})"))
}

impl HandshakeProblem {
    /// Reads the error of a TLS stream: the handshake error inside it, or that it just ended.
    pub fn from_io(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(tls) => Self::from_tls(tls),
            None if is_closed(error.kind()) => Self::Closed,
            None => Self::Other(error.to_string()),
        }
    }

    /// Reads an error of rustls.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls adds errors in minor versions"
    )]
    pub fn from_tls(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge,
            ) => Self::PlainText,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::InvalidCertificate(error) => Self::from_certificate(error),
            Error::NoCertificatesPresented => Self::BadCertificate("it shows none".to_owned()),
            Error::AlertReceived(alert) => Self::from_alert(*alert),
            Error::FailedToGetCurrentTime => Self::NoTime,
            other => Self::Other(other.to_string()),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls adds errors in minor versions"
    )]
    fn from_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(time(*not_after)),
            CertificateError::NotValidYet => Self::NotValidYet(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotValidYet(time(*not_before))
            }
            // A forged certificate with our authority's name fails by its signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::OtherHierarchy
            }
            CertificateError::Other(other) => match other.0.downcast_ref::<PeerRefusal>() {
                Some(refusal) => Self::Refused(refusal.clone()),
                None => Self::BadCertificate(other.to_string()),
            },
            other => Self::BadCertificate(other.to_string()),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls adds alerts in minor versions"
    )]
    fn from_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateExpired => Self::OurCertificateExpired,
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                Self::OurCertificateForeign
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied => Self::OurCertificateRefused(format!("{alert:?}")),
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity
            | AlertDescription::NoApplicationProtocol => Self::Incompatible,
            AlertDescription::CloseNotify => Self::Closed,
            other => Self::Other(format!("the other side ended the handshake: {other:?}")),
        }
    }
}

fn is_closed(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

fn time(time: UnixTime) -> Option<Timestamp> {
    Timestamp::UNIX_EPOCH
        .checked_add(SignedDuration::from_secs(
            i64::try_from(time.as_secs()).ok()?,
        ))
        .ok()
}
