//! Becoming part of a hierarchy: the service that hands a certificate out for a join token, and the
//! call of a site that joins.

use crate::VERSION;
use crate::dial::{self, Connector};
use crate::peer::Peer;
use crate::site::{SharedAdmission, Site};
use journal::StatusId;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use trust::tls::ServerTrust;
use trust::token::JoinToken;
use trust::{HierarchyId, SiteCertificate, SiteKey, StatementPublicKey};
use wire::convert;
use wire::v1::enrollment_service_client::EnrollmentServiceClient;
use wire::v1::enrollment_service_server::EnrollmentService;
use wire::v1::{JoinRequest, JoinResponse};

/// How long joining or renewing a certificate may take, the way up to the authority included.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a site that hands such a request on waits for its own parent: less than the one who asked,
/// so that the reason still arrives there.
pub const HAND_ON_TIMEOUT: Duration = Duration::from_secs(20);

/// The service that sites join by.
#[derive(Clone)]
pub struct Enrollment {
    site: Site,
    admission: SharedAdmission,
}

impl Enrollment {
    /// The service of a site.
    pub fn new(site: Site, admission: SharedAdmission) -> Self {
        Self { site, admission }
    }
}

#[tonic::async_trait]
impl EnrollmentService for Enrollment {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let peer = Peer::of(&request)?;
        // A site that hands the request of a new child on shows its own certificate.
        let via = match &peer.site {
            Some(certified) => {
                let site = certified.identity.site;
                if let Err(refused) = self.admission.admit(site, certified.key_hash).await {
                    let refusals = &self.site.refusals;
                    refusals.site_refused(site, &peer.address, &refused).await;
                    return Err(refused);
                }
                site
            }
            None => self.site.code,
        };
        let joined = self
            .admission
            .join(request.into_inner(), via, &peer.address)
            .await;
        match joined {
            Ok(response) => Ok(Response::new(response)),
            Err(status) => {
                let (address, why) = (peer.address, status.message().to_owned());
                tracing::warn!(address, why, "a join was refused");
                self.site
                    .refusals
                    .record(StatusId::JoinRefused, vec![address, why])
                    .await;
                Err(status)
            }
        }
    }
}

/// What a site has when it joined.
pub struct Membership {
    /// Its certificate, as PEM with the authority's.
    pub certificate_chain: String,
    /// The hierarchy.
    pub hierarchy: HierarchyId,
    /// The key that statements are signed with.
    pub statement_key: StatementPublicKey,
}

/// Why joining did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The parent was not reached, or is not the one that the token names.
    #[error(transparent)]
    Dial(#[from] dial::Error),
    /// Keys or certificates.
    #[error("joining the hierarchy failed: {0}")]
    Trust(#[from] trust::Error),
    /// The hierarchy said no.
    #[error("the hierarchy refused the join: {0}")]
    Refused(String),
    /// Nobody who could decide was reached: the parent's own link is down, or a database is away.
    #[error("the hierarchy cannot take the site in yet: {0}")]
    NotYet(String),
    /// The answer is not what the token promises.
    #[error("the answer to the join is not usable: {0}")]
    Answer(String),
}

/// Joins a hierarchy with a token, at the parent's address.
///
/// # Errors
/// When the parent is not the one that the token names, or the hierarchy refuses.
pub async fn join(
    url: &str,
    token: &JoinToken,
    word: &str,
    key: &SiteKey,
    time: Arc<dyn rustls::time_provider::TimeProvider>,
    connector: Arc<dyn Connector>,
) -> Result<Membership, Error> {
    let trust = ServerTrust::Pin {
        pin: token.authority_pin,
        expected: Some(token.parent),
    };
    let tls = trust::tls::client_config(None, trust, time)?;
    let channel: Channel = dial::channel(url, Arc::new(tls), connector).await?;
    let mut request = Request::new(JoinRequest {
        token: word.to_owned(),
        certificate_request: key.csr_pem()?,
        version: VERSION.to_owned(),
    });
    request.set_timeout(TIMEOUT);
    let response = EnrollmentServiceClient::new(channel)
        .join(request)
        .await
        .map_err(|status| not_joined(&status))?
        .into_inner();
    let answer = |error: convert::Error| Error::Answer(error.to_string());
    let hierarchy = HierarchyId(convert::uuid("hierarchy", &response.hierarchy).map_err(answer)?);
    let certificate = SiteCertificate::from_pem(&response.certificate_chain)?;
    if hierarchy != token.hierarchy
        || certificate.identity().hierarchy != hierarchy
        || certificate.identity().site != token.site
    {
        return Err(Error::Answer(
            "the certificate is for another site than the token".to_owned(),
        ));
    }
    let authority = certificate.chain().last();
    if authority.is_none_or(|der| trust::AuthorityPin::of(der) != token.authority_pin) {
        return Err(Error::Answer(
            "the certificate comes from another authority than the token".to_owned(),
        ));
    }
    Ok(Membership {
        certificate_chain: response.certificate_chain,
        hierarchy,
        statement_key: StatementPublicKey(
            convert::array("statement_key", &response.statement_key).map_err(answer)?,
        ),
    })
}

/// Why a call to join did not succeed: somebody said no, or nobody could say anything.
fn not_joined(status: &Status) -> Error {
    let why = dial::explain_status(status);
    let later = [Code::Unavailable, Code::DeadlineExceeded, Code::Internal];
    match later.contains(&status.code()) {
        true => Error::NotYet(why),
        false => Error::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_that_nobody_could_decide_is_not_refused() {
        let away = Status::unavailable("the link to parent CAS is down");
        assert!(matches!(not_joined(&away), Error::NotYet(_)));
        let no = Status::permission_denied("the join token was used already");
        assert!(matches!(not_joined(&no), Error::Refused(_)));
    }
}
