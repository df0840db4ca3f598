//! Who may attach below a primary site: the sites that joined through it, and those that the parent
//! knows to belong here. Certificates come from the top; requests for them are handed on.

use catalog::{SiteCode, SiteKind};
use daemon::Ambient;
use link::Admission;
use link::attachment::RemovalSink;
use link::dial::explain_status;
use link::enrollment::HAND_ON_TIMEOUT;
use link::peer::KeyHash;
use link::pull::ParentUpstream;
use link::site::BoxFuture;
use link::verdict::{Refused, judge};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Store;
use store::authority::SiteRow;
use tokio::time::Instant;
use tonic::{Code, Response, Status};
use trust::authority::request_key_hash;
use wire::convert;
use wire::v1::enrollment_service_client::EnrollmentServiceClient;
use wire::v1::{
    DescribeSiteRequest, DescribeSiteResponse, JoinRequest, JoinResponse, RenewCertificateRequest,
};

/// How long the parent may take to say who a site is.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// The parent is asked about the same stranger no more often than this.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Strangers that are remembered at a time.
const MAX_STRANGERS: usize = 1024;

/// The admission of a child site.
pub struct AgentAdmission {
    site: SiteCode,
    kind: SiteKind,
    store: Store,
    ambient: Ambient,
    parent: Arc<ParentUpstream>,
    children: Mutex<BTreeMap<SiteCode, SiteRow>>,
    /// Who was refused because the parent said so, and when.
    strangers: Mutex<BTreeMap<(SiteCode, KeyHash), Instant>>,
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

/// The parent's answer, if it comes in time.
async fn answer<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(answered) => answered.map(Response::into_inner).map_err(passed_on),
        Err(_) => Err(Status::unavailable(
            "the request was handed on to the central site, and no answer came in time",
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
            strangers: Mutex::default(),
        })
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<SiteCode, SiteRow>> {
        // Each change is one insertion.
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, site: SiteCode) -> Option<SiteRow> {
        self.children().get(&site).cloned()
    }

    async fn keep(&self, row: SiteRow) -> Result<(), Status> {
        let stored = async {
            let mut tx = self.store.begin().await?;
            tx.put_site(&row).await?;
            if row.removed.is_some() {
                tx.remove_site_report(row.code).await?;
            }
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
        let key_hash = request_key_hash(&request.certificate_request)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let channel = self
            .parent
            .channel()
            .map_err(|failure| Status::unavailable(failure.message))?;
        let mut client = EnrollmentServiceClient::new(channel);
        let response = answer(HAND_ON_TIMEOUT, client.join(request)).await?;
        let code = convert::site_code("site_code", &response.site_code)?;
        let kind = convert::site_kind("site_kind", &response.site_kind)?;
        self.keep(SiteRow {
            code,
            kind,
            parent: self.site,
            former_parents: Vec::new(),
            joined: self.ambient.now(),
            removed: None,
            key_hash: key_hash.to_vec(),
        })
        .await?;
        Ok(response)
    }

    fn judge(&self, child: SiteCode, key_hash: &KeyHash) -> Result<(), Refused> {
        judge(self.known(child).as_ref(), child, self.site, key_hash)
    }

    async fn try_admit(&self, child: SiteCode, key_hash: KeyHash) -> Result<(), Status> {
        match self.judge(child, &key_hash) {
            Ok(()) => Ok(()),
            Err(refused @ (Refused::Removed { .. } | Refused::Elsewhere { .. })) => {
                Err(refused.into())
            }
            // Our database may be newer than the child's join, or may not have heard of its last one.
            Err(refused @ (Refused::Unknown { .. } | Refused::OtherKey { .. })) => {
                if self.kind != SiteKind::Primary || self.is_stranger(child, &key_hash) {
                    return Err(refused.into());
                }
                self.ask(child).await?;
                let judged = self.judge(child, &key_hash);
                if judged.is_err() {
                    self.note_stranger(child, key_hash);
                }
                Ok(judged?)
            }
        }
    }

    /// Asks the parent about a site, and keeps what it says.
    async fn ask(&self, child: SiteCode) -> Result<(), Status> {
        let cannot = |why: String| {
            Status::unavailable(format!(
                "site {} cannot ask now whether site {child} belongs below it: {why}",
                self.site
            ))
        };
        let mut client = self
            .parent
            .client()
            .map_err(|failure| cannot(failure.message))?;
        let request = DescribeSiteRequest {
            site_code: child.to_string(),
        };
        let described = match answer(DESCRIBE_TIMEOUT, client.describe_site(request)).await {
            Ok(described) => described,
            Err(status) if status.code() == Code::NotFound => return Ok(()),
            Err(status) => return Err(cannot(status.message().to_owned())),
        };
        let parent = convert::site_code("parent", &described.parent)?;
        let kind = convert::site_kind("site_kind", &described.site_kind)?;
        if parent != self.site || !kind.may_join_under(self.kind) {
            return Ok(());
        }
        let now = self.ambient.now();
        self.keep(SiteRow {
            code: child,
            kind,
            parent,
            former_parents: Vec::new(),
            joined: now,
            removed: described.removed.then_some(now),
            key_hash: convert::array::<32>("key_hash", &described.key_hash)?.to_vec(),
        })
        .await
    }

    fn strangers(&self) -> MutexGuard<'_, BTreeMap<(SiteCode, KeyHash), Instant>> {
        // Each change is one insertion, or an empty map.
        self.strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stranger(&self, child: SiteCode, key_hash: &KeyHash) -> bool {
        self.strangers()
            .get(&(child, *key_hash))
            .is_some_and(|asked| asked.elapsed() < ASKED_AGAIN_AFTER)
    }

    fn note_stranger(&self, child: SiteCode, key_hash: KeyHash) {
        let mut strangers = self.strangers();
        if strangers.len() >= MAX_STRANGERS {
            strangers.clear();
        }
        strangers.insert((child, key_hash), Instant::now());
    }
}

impl Admission for AgentAdmission {
    fn admit(&self, child: SiteCode, key_hash: KeyHash) -> BoxFuture<'_, Result<(), Status>> {
        Box::pin(self.try_admit(child, key_hash))
    }

    fn may_speak_for(&self, child: SiteCode, site: SiteCode) -> BoxFuture<'_, bool> {
        // Below a primary site there are secondary sites, and below those there is nothing.
        let may = child == site && self.known(site).is_some_and(|row| row.removed.is_none());
        Box::pin(std::future::ready(may))
    }

    fn may_relay_for(&self, child: SiteCode, site: SiteCode) -> BoxFuture<'_, bool> {
        self.may_speak_for(child, site)
    }

    fn removed_below(&self, child: SiteCode) -> BoxFuture<'_, Vec<SiteCode>> {
        let removed = self.known(child).filter(|row| row.removed.is_some());
        let removed = removed.into_iter().map(|row| row.code).collect();
        Box::pin(std::future::ready(removed))
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
            let request = RenewCertificateRequest {
                certificate_request: certificate_request.to_owned(),
                site_code: site.to_string(),
            };
            let renewed = answer(HAND_ON_TIMEOUT, client.renew_certificate(request)).await?;
            Ok(renewed.certificate_chain)
        })
    }

    fn describe(
        &self,
        child: SiteCode,
        site: SiteCode,
    ) -> BoxFuture<'_, Result<DescribeSiteResponse, Status>> {
        let nothing = Status::not_found(format!("site {site} did not join below site {child}"));
        Box::pin(std::future::ready(Err(nothing)))
    }
}

impl RemovalSink for AgentAdmission {
    fn removed(&self, site: SiteCode) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let row = self.known(site).filter(|row| row.removed.is_none());
            let Some(mut row) = row else {
                return;
            };
            row.removed = Some(self.ambient.now());
            if let Err(status) = self.keep(row).await {
                tracing::error!(%site, %status, "a removal could not be kept");
            }
        })
    }
}

#[cfg(test)]
mod tests;
