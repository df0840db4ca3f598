//! Access tokens: who calls, and for administrators making, listing and revoking them. Each site has its own. Client
//! certificates stand among them, under their names.

use crate::credential::LOCAL_ADMINISTRATOR;
use crate::reading::{Reading, internal};
use jiff::SignedDuration;
use journal::StatusId;
use secrecy::ExposeSecret as _;
use store::access::AccessTokenRow;
use tonic::{Request, Response, Status};
use trust::{AccessToken, Role};
use wire::convert;
use wire::v1::access_service_server::AccessService;
use wire::v1::{
    AccessTokenEntry, CreateAccessTokenRequest, CreateAccessTokenResponse, GetCallerRequest,
    GetCallerResponse, ListAccessTokensRequest, ListAccessTokensResponse, RevokeAccessTokenRequest,
    RevokeAccessTokenResponse,
};

/// Longest name of an access token, in bytes.
const MAX_NAME: usize = 64;
/// Longest time for which an access token may be made: ten years.
const MAX_VALID_SECONDS: u64 = 10 * 366 * 24 * 60 * 60;

/// The access tokens of a site.
#[derive(Clone)]
pub struct Access(pub Reading);

#[tonic::async_trait]
impl AccessService for Access {
    async fn get_caller(
        &self,
        request: Request<GetCallerRequest>,
    ) -> Result<Response<GetCallerResponse>, Status> {
        let caller = self.0.authorize(&request, Role::Viewer).await?;
        let site = &self.0.site;
        Ok(Response::new(GetCallerResponse {
            name: caller.name,
            role: caller.role.name().to_owned(),
            site_code: site.code.to_string(),
            site_kind: site.kind.name().to_owned(),
            site_role: self.0.role(),
            top_level: self.0.parent().is_none(),
            hierarchy: site.hierarchy.0.as_bytes().to_vec(),
        }))
    }

    async fn create_access_token(
        &self,
        request: Request<CreateAccessTokenRequest>,
    ) -> Result<Response<CreateAccessTokenResponse>, Status> {
        let caller = self.0.authorize(&request, Role::Administrator).await?;
        let request = request.into_inner();
        let name = convert::text("name", request.name, MAX_NAME)?;
        let name = name.trim().to_owned();
        if name.is_empty() {
            return Err(Status::invalid_argument(
                "the access token needs a name: whose it is, as the journal will say who did what",
            ));
        }
        let role: Role =
            request
                .role
                .parse()
                .map_err(|error: <Role as std::str::FromStr>::Err| {
                    Status::invalid_argument(error.to_string())
                })?;
        if request.valid_seconds > MAX_VALID_SECONDS {
            return Err(Status::invalid_argument(
                "an access token is good for ten years at most; without an end it is good until it is revoked",
            ));
        }
        let site = &self.0.site;
        let now = site.ambient.now();
        let expires = match i64::try_from(request.valid_seconds) {
            Ok(1..) => {
                let valid = SignedDuration::from_secs(request.valid_seconds.cast_signed());
                Some(now.checked_add(valid).map_err(|_| {
                    Status::invalid_argument("the access token would be good for too long")
                })?)
            }
            Ok(_) | Err(_) => None,
        };
        let token = AccessToken::new(site.code, self.0.pin, &mut site.ambient.new_rng());
        let row = AccessTokenRow {
            expires,
            created_by: caller.name.clone(),
            ..AccessTokenRow::new(&name, role.name(), now)
        };
        let until = expires.map_or_else(|| "it is revoked".to_owned(), |end| end.to_string());
        let inserts = vec![name.clone(), role.name().to_owned(), until, caller.name];
        let message = (StatusId::AccessTokenCreated, inserts);
        self.0
            .keep_access(token.hash().as_bytes(), &row, message)
            .await?;
        Ok(Response::new(CreateAccessTokenResponse {
            token: token.encode().expose_secret().to_owned(),
            expires: expires.map(convert::from_timestamp),
        }))
    }

    async fn list_access_tokens(
        &self,
        request: Request<ListAccessTokensRequest>,
    ) -> Result<Response<ListAccessTokensResponse>, Status> {
        self.0.authorize(&request, Role::Administrator).await?;
        let found = async { self.0.site.store.read().await?.access_tokens().await };
        let tokens = found.await.map_err(internal)?;
        let tokens = tokens.into_iter().map(|token| AccessTokenEntry {
            name: token.name,
            role: token.role,
            created: Some(convert::from_timestamp(token.created)),
            expires: token.expires.map(convert::from_timestamp),
            created_by: token.created_by,
            certificate: token.certificate,
        });
        Ok(Response::new(ListAccessTokensResponse {
            tokens: tokens.collect(),
        }))
    }

    async fn revoke_access_token(
        &self,
        request: Request<RevokeAccessTokenRequest>,
    ) -> Result<Response<RevokeAccessTokenResponse>, Status> {
        let caller = self.0.authorize(&request, Role::Administrator).await?;
        let name = convert::text("name", request.into_inner().name, MAX_NAME)?;
        if name == LOCAL_ADMINISTRATOR {
            return Err(Status::failed_precondition(
                "the local administrator's access token is that of the file admin-credential.json in the site's \
                 data directory: take the file away and start the site again, and it makes another",
            ));
        }
        let site = &self.0.site;
        let inserts = vec![name.clone(), caller.name];
        let removed = async {
            let held = site.store.read().await?.access_tokens().await?;
            let certified = held
                .iter()
                .any(|held| held.name == name && held.certificate);
            let id = match certified {
                true => StatusId::CertificateRevoked,
                false => StatusId::AccessTokenRevoked,
            };
            let message = vec![(id, inserts)];
            let mut tx = site.store.begin().await?;
            let revoked = tx.remove_access_token(&name).await? > 0;
            if revoked {
                let recorded = site.journal.record_within(&mut tx, message).await?;
                tx.commit().await?;
                site.journal.tell(recorded);
            }
            Ok(revoked)
        };
        let revoked = removed.await.map_err(internal)?;
        if revoked {
            self.0.listeners.look_again();
        }
        Ok(Response::new(RevokeAccessTokenResponse { revoked }))
    }
}
