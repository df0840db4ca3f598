//! Who may attach below a primary site: the sites that joined through it, and those that the parent
//! knows to belong here. Certificates come from the top; requests for them are handed on.

use crate::membership::KeptParent;
use catalog::{PointId, SiteKind, may_be_below};
use daemon::Ambient;
use link::Admission;
use link::address::{Address, usable};
use link::attachment::RegisterSink;
use link::dial::explain_status;
use link::enrollment::HAND_ON_TIMEOUT;
use link::moved::{self, Moved};
use link::peer::KeyHash;
use link::pull::ParentUpstream;
use link::reports::Reports;
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
/// Addresses that are remembered at a time.
const MAX_HEARD: usize = 64;
/// Strangers that are remembered at a time.
const MAX_STRANGERS: usize = 1024;

/// The admission of a child site.
pub struct AgentAdmission {
    site: PointId,
    kind: SiteKind,
    store: Store,
    ambient: Ambient,
    parent: Arc<ParentUpstream>,
    reports: Reports,
    /// Where the parent is kept.
    kept: KeptParent,
    children: Mutex<BTreeMap<PointId, SiteRow>>,
    /// Where points are reached that this site heard of.
    heard: Mutex<BTreeMap<PointId, String>>,
    /// Who was refused because the parent said so, and when.
    strangers: Mutex<BTreeMap<(PointId, KeyHash), Instant>>,
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
        site: PointId,
        kind: SiteKind,
        store: Store,
        ambient: Ambient,
        parent: Arc<ParentUpstream>,
        reports: Reports,
        kept: KeptParent,
    ) -> Result<Self, store::Error> {
        let rows = store.read().await?.sites().await?;
        Ok(Self {
            site,
            kind,
            store,
            ambient,
            parent,
            reports,
            kept,
            children: Mutex::new(rows.into_iter().map(|row| (row.code, row)).collect()),
            heard: Mutex::default(),
            strangers: Mutex::default(),
        })
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<PointId, SiteRow>> {
        // Each change is one insertion.
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, site: PointId) -> Option<SiteRow> {
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

    async fn hand_on(&self, request: JoinRequest, via: PointId) -> Result<JoinResponse, Status> {
        // Another point of this site hands on what came to it.
        if !via.is_beside(self.site) || self.kind != SiteKind::Primary {
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
        let parent = convert::site_code("parent", &response.parent)?;
        self.keep(SiteRow {
            code,
            kind,
            parent,
            former_parents: Vec::new(),
            joined: self.ambient.now(),
            removed: None,
            key_hash: key_hash.to_vec(),
        })
        .await?;
        Ok(response)
    }

    fn judge(&self, child: PointId, key_hash: &KeyHash) -> Result<(), Refused> {
        judge(self.known(child).as_ref(), child, self.site, key_hash)
    }

    async fn try_admit(&self, child: PointId, key_hash: KeyHash) -> Result<(), Status> {
        match self.judge(child, &key_hash) {
            Ok(()) => Ok(()),
            Err(refused @ Refused::Removed { .. }) => Err(refused.into()),
            // Our database may be newer than the child's join or move, or may not have heard of its last one.
            Err(
                refused @ (Refused::Unknown { .. }
                | Refused::OtherKey { .. }
                | Refused::Elsewhere { .. }),
            ) => {
                if self.kind != SiteKind::Primary || self.is_stranger(child, &key_hash) {
                    return Err(self.refusal(child, refused));
                }
                if let Err(unanswered) = self.ask(child).await {
                    // Where it belongs was known before; that may be old, and is better than nothing.
                    return Err(match refused {
                        Refused::Elsewhere { .. } => self.refusal(child, refused),
                        Refused::Unknown { .. }
                        | Refused::OtherKey { .. }
                        | Refused::Removed { .. } => unanswered,
                    });
                }
                self.judge(child, &key_hash).map_err(|refused| {
                    self.note_stranger(child, key_hash);
                    self.refusal(child, refused)
                })
            }
        }
    }

    /// A refusal, which tells a site that belongs elsewhere where that is.
    fn refusal(&self, child: PointId, refused: Refused) -> Status {
        let elsewhere = matches!(refused, Refused::Elsewhere { .. });
        let row = self.known(child).filter(|_| elsewhere);
        let moved = row.and_then(|row| Moved::of(&row, &self.reports));
        let moved = moved.map(|moved| self.with_address(moved));
        moved::refusal(refused.into(), moved.as_slice())
    }

    /// The same, with the address that this site itself knows of the parent.
    fn with_address(&self, mut moved: Moved) -> Moved {
        if moved.parent_url.is_none() {
            let address = self.kept.address_of(moved.parent);
            moved.parent_url = address.or_else(|| self.heard().get(&moved.parent).cloned());
        }
        moved
    }

    /// Asks the parent about a site, and keeps what it says.
    async fn ask(&self, child: PointId) -> Result<(), Status> {
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
        if parent == self.site && !may_be_below(child, kind, self.site, self.kind) {
            return Ok(());
        }
        self.hear(parent, &described.parent_url);
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

    fn heard(&self) -> MutexGuard<'_, BTreeMap<PointId, String>> {
        // Each change is one insertion, or an empty map.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers where a point is reached.
    fn hear(&self, point: PointId, url: &str) {
        let mut heard = self.heard();
        if heard.len() >= MAX_HEARD {
            heard.clear();
        }
        if usable(url) {
            heard.insert(point, url.to_owned());
        }
    }

    fn strangers(&self) -> MutexGuard<'_, BTreeMap<(PointId, KeyHash), Instant>> {
        // Each change is one insertion, or an empty map.
        self.strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stranger(&self, child: PointId, key_hash: &KeyHash) -> bool {
        self.strangers()
            .get(&(child, *key_hash))
            .is_some_and(|asked| asked.elapsed() < ASKED_AGAIN_AFTER)
    }

    fn note_stranger(&self, child: PointId, key_hash: KeyHash) {
        let mut strangers = self.strangers();
        if strangers.len() >= MAX_STRANGERS {
            strangers.clear();
        }
        strangers.insert((child, key_hash), Instant::now());
    }
}

impl Admission for AgentAdmission {
    fn admit(&self, child: PointId, key_hash: KeyHash) -> BoxFuture<'_, Result<(), Status>> {
        Box::pin(self.try_admit(child, key_hash))
    }

    fn may_speak_for(&self, child: PointId, site: PointId) -> BoxFuture<'_, bool> {
        // Below a primary site there are its other points and secondary sites, and below those there is nothing.
        let row = self.known(site).filter(|row| row.removed.is_none());
        let may = child == site && row.is_some_and(|row| row.parent == self.site);
        Box::pin(std::future::ready(may))
    }

    fn may_relay_for(&self, child: PointId, site: PointId) -> BoxFuture<'_, bool> {
        // Another point of this site may have been its source, and still hold what sites below told it. Whether
        // they were below this site at all is known further up, where it is asked again.
        let known = self.known(site).is_some();
        let may = (child == site && known) || child.is_beside(self.site);
        Box::pin(std::future::ready(may))
    }

    fn moved_around(&self, child: PointId) -> BoxFuture<'_, Vec<Moved>> {
        // A child of another site has nothing below it.
        let mut rows: Vec<SiteRow> = Vec::new();
        if child.is_beside(self.site) {
            rows.extend(self.children().values().cloned());
        }
        rows.retain(|row| row.removed.is_none() && row.code != child && row.parent == self.site);
        let moved = rows.iter().filter_map(|row| Moved::of(row, &self.reports));
        Box::pin(std::future::ready(moved.collect()))
    }

    fn spoke_for(&self, child: PointId, site: PointId) -> BoxFuture<'_, bool> {
        let known = self.known(site).is_some_and(|row| row.removed.is_none());
        let spoke = child.is_beside(self.site) || (child == site && known);
        Box::pin(std::future::ready(spoke))
    }

    fn removed_below(&self, child: PointId) -> BoxFuture<'_, Vec<PointId>> {
        let removed = self.known(child).filter(|row| row.removed.is_some());
        let removed = removed.into_iter().map(|row| row.code).collect();
        Box::pin(std::future::ready(removed))
    }

    fn join<'a>(
        &'a self,
        request: JoinRequest,
        via: PointId,
        _address: &'a str,
    ) -> BoxFuture<'a, Result<JoinResponse, Status>> {
        Box::pin(self.hand_on(request, via))
    }

    fn renew<'a>(
        &'a self,
        site: PointId,
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
        child: PointId,
        site: PointId,
    ) -> BoxFuture<'_, Result<DescribeSiteResponse, Status>> {
        Box::pin(async move {
            // Only another point of this site has any below it, or had.
            if !child.is_beside(self.site) {
                return Err(Status::not_found(format!(
                    "site {site} did not join below site {child}"
                )));
            }
            let own = self.known(site).filter(|row| row.parent == self.site);
            if own.is_none() {
                self.ask(site).await?;
            }
            let row = self.known(site).ok_or_else(|| {
                Status::not_found(format!("site {site} did not join below site {child}"))
            })?;
            let moved = Moved::of(&row, &self.reports).map(|moved| self.with_address(moved));
            Ok(DescribeSiteResponse {
                site_kind: row.kind.name().to_owned(),
                parent: row.parent.to_string(),
                removed: row.removed.is_some(),
                key_hash: row.key_hash,
                parent_url: moved.and_then(|moved| moved.parent_url).unwrap_or_default(),
            })
        })
    }
}

impl RegisterSink for AgentAdmission {
    fn removed(&self, site: PointId) -> BoxFuture<'_, ()> {
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

    fn moved<'a>(&'a self, moved: &'a Moved) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(address) = moved.address() {
                self.hear(address.point, &address.url);
            }
            let held = self.known(moved.site);
            let here = moved.parent == self.site;
            let mine = here || held.as_ref().is_some_and(|held| held.parent == self.site);
            let sound = may_be_below(moved.site, moved.kind, self.site, self.kind);
            if moved.site == self.site || !mine || (here && !sound) {
                return;
            }
            self.strangers().retain(|(site, _), _| *site != moved.site);
            let same = held.as_ref().is_some_and(|held| {
                held.parent == moved.parent
                    && held.removed.is_none()
                    && held.key_hash == moved.key_hash
            });
            if same {
                return;
            }
            let row = SiteRow {
                code: moved.site,
                kind: moved.kind,
                parent: moved.parent,
                former_parents: Vec::new(),
                joined: self.ambient.now(),
                removed: None,
                key_hash: moved.key_hash.to_vec(),
            };
            if let Err(status) = self.keep(row).await {
                tracing::error!(site = %moved.site, %status, "a move could not be kept");
            }
        })
    }

    fn keep_parent<'a>(
        &'a self,
        parent: &'a Address,
        others: &'a [Address],
    ) -> BoxFuture<'a, Result<(), String>> {
        let kept = self.kept.keep(parent, others);
        Box::pin(std::future::ready(
            kept.map_err(|error| format!("{error:#}")),
        ))
    }
}

#[cfg(test)]
mod tests;
