//! Client certificates for people.

use super::Admin;
use jiff::Timestamp;
use journal::StatusId;
use std::time::Duration;
use store::access::AccessTokenRow;
use tonic::{Request, Response, Status};
use trust::person::{MAX_NAME, lookup};
use trust::{PersonIdentity, Role};
use wire::convert;
use wire::v1::person_service_server::PersonService;
use wire::v1::{IssueCertificateRequest, IssueCertificateResponse};

/// How long a certificate is good unless told otherwise.
const VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn invalid<E: ToString>(error: E) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl PersonService for Admin {
    async fn issue_certificate(
        &self,
        request: Request<IssueCertificateRequest>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        let caller = self.authorize(&request, Role::Administrator).await?;
        let request = request.into_inner();
        let name = convert::text("name", request.name, MAX_NAME)?;
        let identity = PersonIdentity::new(self.site.hierarchy, &name).map_err(invalid)?;
        let role: Role = request.role.parse().map_err(invalid)?;
        let validity = match request.valid_seconds {
            0 => VALIDITY,
            seconds => Duration::from_secs(seconds),
        };
        let now = self.site.ambient.now();
        let issued = self
            .authority
            .issue_to_person(
                &request.certificate_request,
                &identity,
                validity,
                now,
                &mut self.site.ambient.new_rng(),
            )
            .map_err(invalid)?;
        let key_hash = trust::authority::request_key_hash(&request.certificate_request);
        let lookup = lookup(&key_hash.map_err(invalid)?);
        let row = AccessTokenRow {
            expires: Some(issued.not_after),
            created_by: caller.name.clone(),
            certificate: true,
            ..AccessTokenRow::new(&name, role.name(), now)
        };
        self.refuse_known_key(&lookup).await?;
        let end: Timestamp = issued.not_after;
        let inserts = vec![
            name,
            role.name().to_owned(),
            end.to_string(),
            caller.name,
            issued.serial.clone(),
        ];
        let message = (StatusId::CertificateIssued, inserts);
        self.reading.keep_access(&lookup, &row, message).await?;
        Ok(Response::new(IssueCertificateResponse {
            certificate_chain: issued.pem_chain,
            expires: Some(convert::from_timestamp(end)),
            serial: issued.serial,
        }))
    }
}

impl Admin {
    /// One key is one person with one role: where it has a certificate already, that one is revoked first.
    async fn refuse_known_key(&self, lookup: &[u8]) -> Result<(), Status> {
        let found = async { self.site.store.read().await?.access_token(lookup).await };
        match found.await.map_err(super::internal)? {
            None => Ok(()),
            Some(held) => Err(Status::already_exists(format!(
                "the key of this certificate request has a certificate already, that of {}: make a new key, or revoke \
                 that one first",
                held.name
            ))),
        }
    }
}
