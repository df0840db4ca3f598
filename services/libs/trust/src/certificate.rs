//! Reading certificates: the chain that a site holds, who it is, and until when.

use crate::authority::CLOCK_TOLERANCE;
use crate::{Error, SiteIdentity};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Largest PEM text that is read, in bytes. A chain of ours is about 2 KiB.
pub const MAX_PEM: usize = 64 * 1024;
/// Largest single certificate that is read, in bytes.
pub const MAX_DER: usize = 16 * 1024;
/// Most certificates in one PEM text.
const MAX_CHAIN: usize = 8;

/// A site's certificate with the chain up to the authority, as it was issued.
///
/// Invariant: the chain is not empty and its first certificate names a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteCertificate {
    chain: Vec<CertificateDer<'static>>,
    identity: SiteIdentity,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl SiteCertificate {
    /// Reads a chain: the site's certificate first, then its issuers. Checks no signature and no
    /// time; that is what the other side of a connection does.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let chain = chain_from_pem(pem)?;
        let leaf = chain
            .first()
            .ok_or_else(|| Error::malformed("the site's certificate", "the file is empty"))?;
        let (not_before, not_after) = validity(leaf)?;
        Ok(Self {
            identity: SiteIdentity::from_certificate_der(leaf)?,
            not_before,
            not_after,
            chain,
        })
    }

    /// The certificates, the site's own first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Which site this is.
    pub fn identity(&self) -> &SiteIdentity {
        &self.identity
    }

    /// The time after which nobody accepts it.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// When to ask for the next one: after two thirds of its time, so that a site may be cut off for
    /// the last third and still come back. Its time begins when it was issued, which is later than the
    /// time from which it is accepted.
    pub fn renew_at(&self) -> Timestamp {
        renew_at(self.not_before, self.not_after)
    }
}

/// When a site asks for the next certificate, where the one that it has is accepted from `not_before` until
/// `not_after`.
pub fn renew_at(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let accepted = not_after.duration_since(not_before);
    let tolerance = SignedDuration::try_from(CLOCK_TOLERANCE).unwrap_or_default();
    let lifetime = (accepted - tolerance).max(SignedDuration::ZERO);
    not_after.checked_sub(lifetime / 3).unwrap_or(not_after)
}

/// A fingerprint of the public key that the certificate `der` was made for: BLAKE3 of the key. Equal to
/// [`crate::authority::request_key_hash`] of every certificate request for the same key.
///
/// # Errors
/// When the bytes are no certificate.
pub fn key_hash(der: &[u8]) -> Result<[u8; 32], Error> {
    let certificate = parse(der)?;
    let key = &certificate.public_key().subject_public_key;
    Ok(*blake3::hash(key.data.as_ref()).as_bytes())
}

/// The time after which the certificate `der` is not accepted.
pub fn not_after(der: &[u8]) -> Result<Timestamp, Error> {
    validity(der).map(|(_, not_after)| not_after)
}

/// The certificates in `pem`, in order. Other sections are skipped.
pub fn chain_from_pem(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    const WHAT: &str = "the certificate chain";
    if pem.len() > MAX_PEM {
        return Err(Error::TooLarge {
            what: WHAT,
            limit: MAX_PEM,
        });
    }
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .take(MAX_CHAIN + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::pem(WHAT, &error))?;
    if chain.len() > MAX_CHAIN {
        return Err(Error::malformed(WHAT, "it holds too many certificates"));
    }
    Ok(chain)
}

/// The first and last time at which the certificate `der` is valid.
pub(crate) fn validity(der: &[u8]) -> Result<(Timestamp, Timestamp), Error> {
    let certificate = parse(der)?;
    let read = |seconds: i64| {
        Timestamp::from_second(seconds).map_err(|error| Error::malformed("the certificate", error))
    };
    let validity = certificate.validity();
    Ok((
        read(validity.not_before.timestamp())?,
        read(validity.not_after.timestamp())?,
    ))
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    const WHAT: &str = "the certificate";
    if der.len() > MAX_DER {
        return Err(Error::TooLarge {
            what: WHAT,
            limit: MAX_DER,
        });
    }
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| Error::malformed(WHAT, error))?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        Err(Error::malformed(WHAT, "bytes follow its end"))
    }
}

/// Whether the key that the certificate names made its signature: then nobody altered it since.
pub(crate) fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    let key = certificate.public_key().subject_public_key.data.as_ref();
    let signed = certificate.tbs_certificate.as_ref();
    let signature = certificate.signature_value.data.as_ref();
    rustls::crypto::aws_lc_rs::default_provider()
        .signature_verification_algorithms
        .all
        .iter()
        .any(|algorithm| algorithm.verify_signature(key, signed, signature).is_ok())
}
