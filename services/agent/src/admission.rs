//! Who may attach below a primary site: the sites that joined through it. Certificates come from the
//! top; requests for them are handed on.

use catalog::SiteCode;
use catalog::SiteKind;
use daemon::Ambient;
use link::Admission;
use link::attachment::RemovalSink;
use link::dial::explain_status;
use link::pull::ParentUpstream;
use link::site::BoxFuture;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::Store;
use store::authority::SiteRow;
use tonic::{Code, Status};
use wire::convert;
use wire::v1::enrollment_service_client::EnrollmentServiceClient;
use wire::v1::{JoinRequest, JoinResponse, RenewCertificateRequest};

/// The admission of a child site.
pub struct AgentAdmission {
    site: SiteCode,
    kind: SiteKind,
    store: Store,
    ambient: Ambient,
    parent: Arc<ParentUpstream>,
    children: Mutex<HashMap<SiteCode, SiteRow>>,
}

fn internal(error: store::Error) -> Status {
    tracing::error!(%error, "the admission of a site failed");
    Status::internal("the site's database failed; its journal says more")
}

/// What the parent said, for the one who asked here.
fn passed_on(status: Status) -> Status {
    match status.code() {
        Code::PermissionDenied
        | Code::InvalidArgument
        | Code::ResourceExhausted
        | Code::NotFound
        | Code::AlreadyExists => Status::new(status.code(), status.message()),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => Status::unavailable(format!(
            "the request could not be handed on to the central site: {}",
            explain_status(&status)
        )),
    }
}

impl AgentAdmission {
    /// The admission of a site, with the children that its database knows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        site: SiteCode,
        kind: SiteKind,
        store: Store,
        ambient: Ambient,
        parent: Arc<ParentUpstream>,
    ) -> Result<Self, store::Error> {
        let rows = store.read().await?.sites().await?;
        Ok(Self {
            site,
            kind,
            store,
            ambient,
            parent,
            children: Mutex::new(rows.into_iter().map(|row| (row.code, row)).collect()),
        })
    }

    fn children(&self) -> std::sync::MutexGuard<'_, HashMap<SiteCode, SiteRow>> {
        // Each change is one insertion.
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep(&self, row: SiteRow) -> Result<(), Status> {
        let stored = async {
            let mut tx = self.store.begin().await?;
            tx.put_site(&row).await?;
            tx.commit().await
        };
        stored.await.map_err(internal)?;
        self.children().insert(row.code, row);
        Ok(())
    }

    async fn hand_on(&self, request: JoinRequest, via: SiteCode) -> Result<JoinResponse, Status> {
        if via != self.site || self.kind != SiteKind::Primary {
            return Err(Status::permission_denied(
                "a secondary site has no sites below it",
            ));
        }
        let channel = self
            .parent
            .channel()
            .map_err(|failure| Status::unavailable(failure.message))?;
        let response = EnrollmentServiceClient::new(channel)
            .join(request)
            .await
            .map_err(passed_on)?
            .into_inner();
        let code = convert::site_code("site_code", &response.site_code)?;
        let kind = convert::site_kind("site_kind", &response.site_kind)?;
        self.keep(SiteRow {
            code,
            kind,
            parent: self.site,
            joined: self.ambient.now(),
            removed: None,
            key_hash: Vec::new(),
        })
        .await?;
        Ok(response)
    }
}

impl Admission for AgentAdmission {
    fn admit(&self, child: SiteCode) -> BoxFuture<'_, Result<(), Status>> {
        let admitted = match self.children().get(&child) {
            None => Err(Status::permission_denied(format!(
                "site {child} did not join below site {}",
                self.site
            ))),
            Some(row) if row.removed.is_some() => Err(Status::permission_denied(format!(
                "site {child} was removed from the hierarchy: it can join again with a new token"
            ))),
            Some(_) => Ok(()),
        };
        Box::pin(std::future::ready(admitted))
    }

    fn may_speak_for(&self, child: SiteCode, site: SiteCode) -> BoxFuture<'_, bool> {
        // Below a primary site there are secondary sites, and below those there is nothing.
        Box::pin(std::future::ready(child == site))
    }

    fn removed_below(&self, child: SiteCode) -> BoxFuture<'_, Vec<SiteCode>> {
        let removed = self
            .children()
            .get(&child)
            .filter(|row| row.removed.is_some())
            .map(|row| row.code);
        Box::pin(std::future::ready(removed.into_iter().collect()))
    }

    fn join<'a>(
        &'a self,
        request: JoinRequest,
        via: SiteCode,
        _address: &'a str,
    ) -> BoxFuture<'a, Result<JoinResponse, Status>> {
        Box::pin(self.hand_on(request, via))
    }

    fn renew<'a>(
        &'a self,
        site: SiteCode,
        certificate_request: &'a str,
    ) -> BoxFuture<'a, Result<String, Status>> {
        Box::pin(async move {
            let mut client = self
                .parent
                .client()
                .map_err(|failure| Status::unavailable(failure.message))?;
            let renewed = client
                .renew_certificate(RenewCertificateRequest {
                    certificate_request: certificate_request.to_owned(),
                    site_code: site.to_string(),
                })
                .await
                .map_err(passed_on)?;
            Ok(renewed.into_inner().certificate_chain)
        })
    }
}

impl RemovalSink for AgentAdmission {
    fn removed(&self, site: SiteCode) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let row = self.children().get(&site).cloned();
            let Some(mut row) = row.filter(|row| row.removed.is_none()) else {
                return;
            };
            row.removed = Some(self.ambient.now());
            if let Err(status) = self.keep(row).await {
                tracing::error!(%site, %status, "a removal could not be kept");
            }
        })
    }
}
