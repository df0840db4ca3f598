//! Who is at the other end of a connection.

use catalog::PointId;
use tonic::{Request, Status};
use trust::SiteIdentity;

/// Digest of the public key that a certificate is for ([`trust::certificate::key_hash`]).
pub type KeyHash = [u8; 32];

/// The other end of a connection, as its certificate says; put beside every request by the listener.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address, for people.
    pub address: String,
    /// The site, when it showed a certificate of this hierarchy.
    pub site: Option<CertifiedSite>,
}

/// A site that showed its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedSite {
    /// Which site.
    pub identity: SiteIdentity,
    /// Which key: a code may have been given to another machine since.
    pub key_hash: KeyHash,
}

impl CertifiedSite {
    /// What a certificate says. Says nothing about who issued it.
    ///
    /// # Errors
    /// When it cannot be read, or names no site.
    pub fn of(certificate_der: &[u8]) -> Result<Self, trust::Error> {
        Ok(Self {
            identity: SiteIdentity::from_certificate_der(certificate_der)?,
            key_hash: trust::certificate::key_hash(certificate_der)?,
        })
    }
}

impl Peer {
    /// The peer of a request.
    ///
    /// # Errors
    /// When the request did not come through a listener of this crate.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Status::internal("the connection has no peer"))
    }

    /// The site at the other end, and its key.
    ///
    /// # Errors
    /// When it showed no certificate.
    pub fn certified(&self) -> Result<&CertifiedSite, Status> {
        self.site.as_ref().ok_or_else(|| {
            Status::unauthenticated(
                "this call needs the certificate of a site of this hierarchy: join first",
            )
        })
    }

    /// The code of the site at the other end.
    ///
    /// # Errors
    /// When it showed no certificate.
    pub fn site_code(&self) -> Result<PointId, Status> {
        self.certified().map(|site| site.identity.site)
    }
}
