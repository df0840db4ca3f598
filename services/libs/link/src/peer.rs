//! Who is at the other end of a connection.

use catalog::SiteCode;
use tonic::{Request, Status};
use trust::SiteIdentity;

/// The other end of a connection, as its certificate says; put beside every request by the listener.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address, for people.
    pub address: String,
    /// The site, when it showed a certificate of this hierarchy.
    pub site: Option<SiteIdentity>,
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

    /// The site at the other end.
    ///
    /// # Errors
    /// When it showed no certificate.
    pub fn site_code(&self) -> Result<SiteCode, Status> {
        self.site.as_ref().map(|site| site.site).ok_or_else(|| {
            Status::unauthenticated(
                "this call needs the certificate of a site of this hierarchy: join first",
            )
        })
    }
}
