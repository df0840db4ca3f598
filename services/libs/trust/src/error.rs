//! What can be wrong with keys, certificates and requests for them.

use catalog::{PointId, Problem};
use rustls::pki_types::pem;
use std::fmt::Display;

/// A key, certificate or certificate request that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Text or bytes that are not what they should be.
    #[error("{what} cannot be read: {reason}")]
    Malformed {
        /// What was read, such as "the authority's certificate".
        what: &'static str,
        /// What was wrong with it.
        reason: String,
    },
    /// More bytes than any genuine one has.
    #[error("{what} is larger than {limit} bytes and was not read")]
    TooLarge {
        /// What was refused.
        what: &'static str,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A certificate request that its key did not sign.
    #[error("the certificate request is not signed by the key that it names")]
    RequestSignature,
    /// A key of a kind that is not accepted.
    #[error("{what} is not an ECDSA key on P-256 or P-384: create a new key")]
    WeakKey {
        /// Whose key.
        what: &'static str,
    },
    /// A certificate and a private key that do not belong together.
    #[error("{what} does not belong to the private key: restore both from the same backup")]
    KeyMismatch {
        /// What does not match.
        what: &'static str,
    },
    /// A validity outside the accepted range.
    #[error(
        "a certificate validity of {asked_seconds} s is not between {min_seconds} s and {max_seconds} s"
    )]
    Validity {
        /// What was asked for.
        asked_seconds: u64,
        /// The shortest that is issued.
        min_seconds: u64,
        /// The longest that is issued.
        max_seconds: u64,
    },
    /// The authority's own certificate has no time left to issue from.
    #[error("the authority's certificate ended at {not_after}: renew the authority")]
    AuthorityExpired {
        /// When it ended.
        not_after: jiff::Timestamp,
    },
    /// A time that a certificate cannot express.
    #[error("{time} cannot be written into a certificate")]
    Time {
        /// The time.
        time: jiff::Timestamp,
    },
    /// A certificate that names no site, or more than one.
    #[error("the certificate names no site of a hierarchy: {reason}")]
    NotASite {
        /// What it holds instead.
        reason: String,
    },
    /// A site identity that belongs to another hierarchy than the authority.
    #[error("site {site} belongs to hierarchy {asked}, this is the authority of {own}")]
    OtherHierarchy {
        /// The site that was to be certified.
        site: PointId,
        /// The hierarchy in its identity.
        asked: crate::HierarchyId,
        /// The authority's hierarchy.
        own: crate::HierarchyId,
    },
    /// The cryptographic library refused to work.
    #[error("{what} failed: {reason}")]
    Crypto {
        /// The operation.
        what: &'static str,
        /// What the library said.
        reason: String,
    },
}

impl Error {
    pub(crate) fn malformed(what: &'static str, reason: impl Display) -> Self {
        Self::Malformed {
            what,
            reason: Problem::new(reason).to_string(),
        }
    }

    /// What is wrong with a PEM text. The reader of PEM would quote the line, and the line may be a
    /// private key that lost its line breaks.
    pub(crate) fn pem(what: &'static str, error: &pem::Error) -> Self {
        let reason = match error {
            pem::Error::MissingSectionEnd { .. } => "a PEM section has no end: it was cut off",
            pem::Error::IllegalSectionStart { .. } => {
                "the line that begins a PEM section is not whole"
            }
            pem::Error::Base64Decode(_) => "a PEM section is not in Base64",
            pem::Error::SectionTooLarge => "a PEM section is too long",
            pem::Error::NoItemsFound => "it holds no PEM section of the right kind",
            pem::Error::Io(_) | _ => "it is not in PEM",
        };
        Self::malformed(what, reason)
    }

    pub(crate) fn crypto(what: &'static str, reason: impl Display) -> Self {
        Self::Crypto {
            what,
            reason: Problem::new(reason).to_string(),
        }
    }
}
