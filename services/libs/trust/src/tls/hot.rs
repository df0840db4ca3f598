//! A certificate that can be replaced while connections go on.

use crate::authority::CLOCK_TOLERANCE;
use crate::{Error, SiteCertificate, SiteKey};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The certificate and key that a site shows, as server and as client. New handshakes use the newest;
/// connections that are open live on.
#[derive(Debug)]
pub struct HotCertificate(ArcSwap<CertifiedKey>);

impl HotCertificate {
    /// Starts with `certificate`. Refused when `key` is not the key of the certificate.
    pub fn new(certificate: &SiteCertificate, key: &SiteKey) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self(ArcSwap::from(certified(certificate, key)?))))
    }

    /// When the certificate that is shown now was issued, and until when it is valid. It is accepted from
    /// somewhat earlier on, for clocks that are behind.
    pub fn validity(&self) -> Result<(Timestamp, Timestamp), Error> {
        let shown = self.0.load();
        let leaf = shown.cert.first();
        let leaf = leaf.ok_or_else(|| Error::malformed("the site's certificate", "it is empty"))?;
        let (accepted, not_after) = crate::certificate::validity(leaf)?;
        let issued = accepted.checked_add(CLOCK_TOLERANCE).unwrap_or(accepted);
        Ok((issued.min(not_after), not_after))
    }

    /// Goes over to `certificate`. On an error the old one stays.
    pub fn replace(&self, certificate: &SiteCertificate, key: &SiteKey) -> Result<(), Error> {
        self.0.store(certified(certificate, key)?);
        Ok(())
    }
}

fn certified(certificate: &SiteCertificate, key: &SiteKey) -> Result<Arc<CertifiedKey>, Error> {
    let chain = certificate.chain().to_vec();
    CertifiedKey::from_der(chain, key.private_key_der(), &super::provider())
        .map(Arc::new)
        .map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                Error::KeyMismatch {
                    what: "the site's certificate",
                }
            } else {
                Error::crypto("loading the site's certificate", error)
            }
        })
}

impl ResolvesServerCert for HotCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for HotCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
