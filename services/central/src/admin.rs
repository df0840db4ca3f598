//! What people and scripts ask of the site: decoded, authorized, handed to the part that decides, and
//! encoded again.

mod approval_service;
mod catalog_service;
mod cleanup_service;
mod decisions_shown;
mod hierarchy_service;
mod journal_service;
mod settings_service;
mod sync_service;

pub use catalog_service::Catalog;

use crate::admission::CentralAdmission;
use crate::cleanup::Cleaner;
use crate::decisions::Decisions;
use crate::in_force::InForce;
use crate::ingest::WsusUpstream;
use link::Site;
use link::children::Children;
use link::log_route::LogRouter;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::{Request, Status};
use trust::seal::Sealer;
use trust::{AccessToken, AuthorityPin, Role};
use wire::v1::approval_service_server::ApprovalServiceServer;
use wire::v1::catalog_service_server::CatalogServiceServer;
use wire::v1::cleanup_service_server::CleanupServiceServer;
use wire::v1::hierarchy_service_server::HierarchyServiceServer;
use wire::v1::journal_service_server::JournalServiceServer;
use wire::v1::settings_service_server::SettingsServiceServer;
use wire::v1::sync_service_server::SyncServiceServer;

/// The admin API of a central site.
#[derive(Clone)]
pub struct Admin {
    pub(crate) site: Site,
    pub(crate) children: Arc<Children>,
    pub(crate) admission: Arc<CentralAdmission>,
    pub(crate) logs: LogRouter,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) settings: InForce,
    pub(crate) upstream: Arc<WsusUpstream>,
    pub(crate) decisions: Decisions,
    pub(crate) cleaner: Cleaner,
    pub(crate) sealer: Arc<Sealer>,
    /// Fingerprint of the authority, which access tokens name.
    pub(crate) pin: AuthorityPin,
    /// Ends the streams that would go on for ever.
    pub(crate) stop: CancellationToken,
}

/// Who calls.
pub(crate) struct Caller {
    /// Name of the access token.
    pub name: String,
}

impl Admin {
    /// Adds the services to a router.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes
            .add_service(SyncServiceServer::new(self.clone()))
            .add_service(HierarchyServiceServer::new(self.clone()))
            .add_service(ApprovalServiceServer::new(self.clone()))
            .add_service(CatalogServiceServer::new(self.clone()))
            .add_service(CleanupServiceServer::new(self.clone()))
            .add_service(SettingsServiceServer::new(self.clone()))
            .add_service(JournalServiceServer::new(self));
    }

    /// Who calls, if the access token allows what is asked.
    pub(crate) async fn authorize<T>(
        &self,
        request: &Request<T>,
        needed: Role,
    ) -> Result<Caller, Status> {
        let unknown =
            || Status::unauthenticated("this call needs an access token of this hierarchy");
        let word = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(unknown)?;
        let token = AccessToken::decode(word)
            .map_err(|error| Status::unauthenticated(error.to_string()))?;
        if token.authority_pin != self.pin {
            return Err(Status::unauthenticated(
                "the access token is of another hierarchy",
            ));
        }
        let found = async {
            let mut read = self.site.store.read().await?;
            read.access_token(token.hash().as_bytes()).await
        };
        let (name, role) = found.await.map_err(internal)?.ok_or_else(unknown)?;
        let role: Role = role
            .parse()
            .map_err(|_| Status::internal("the role of the access token is not known"))?;
        if !role.may(needed) {
            return Err(Status::permission_denied(format!(
                "this needs the role {}, and the access token {name:?} has the role {}",
                needed.name(),
                role.name()
            )));
        }
        Ok(Caller { name })
    }
}

/// A failure of the database, told to the journal and not to the caller.
pub(crate) fn internal(error: store::Error) -> Status {
    tracing::error!(%error, "a call could not be served");
    Status::internal("the site's database failed; its journal says more")
}
