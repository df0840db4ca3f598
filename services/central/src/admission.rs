//! Who belongs to the hierarchy, as the link asks it.

mod register;

use catalog::{PointId, SiteKind};
use link::moved::Moved;
use link::peer::KeyHash;
use link::site::BoxFuture;
use link::{Admission, Site};
use register::Register;
pub(crate) use register::source;
use register::source::Rows;
pub use register::source::Switch;
pub use register::{MAX_SITES, MAX_TOKEN_VALIDITY, Removed};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use store::authority::SiteRow;
use tokio_util::task::TaskTracker;
use tonic::Status;
use trust::Authority;
use trust::token::JoinToken;
use wire::v1::{DescribeSiteResponse, JoinRequest, JoinResponse};

/// The admission of a top-level site.
pub struct CentralAdmission {
    register: Arc<Register>,
    tasks: TaskTracker,
}

impl CentralAdmission {
    /// The admission of a site, with the sites that its database knows. What it does to the end runs as
    /// one of `tasks`.
    ///
    /// # Errors
    /// When the database fails, or there are sites in it that cannot be below a site of this kind.
    pub async fn load(
        site: &Site,
        authority: Arc<Authority>,
        certificate_validity: Duration,
        tasks: TaskTracker,
    ) -> anyhow::Result<Self> {
        let register = Register::load(site, authority, certificate_validity);
        Ok(Self {
            register: Arc::new(register.await?),
            tasks,
        })
    }

    /// Does something to its end, also when the one who asked for it hangs up meanwhile.
    ///
    /// # Errors
    /// What the work says.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        self.tasks.spawn(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a change of the hierarchy broke");
            Err(Status::internal("what was asked for could not be finished"))
        })
    }

    /// Does something beside whoever asked for it, to its end.
    pub fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Makes a one-time token for a site, and journals who asked for it.
    ///
    /// # Errors
    /// When the hierarchy has no place for such a site.
    pub async fn invite(
        &self,
        site: PointId,
        kind: Option<SiteKind>,
        parent: Option<PointId>,
        validity: Duration,
        by: &str,
    ) -> Result<JoinToken, Status> {
        self.register.invite(site, kind, parent, validity, by).await
    }

    /// Removes a software update point, and journals who asked for it: from now on its certificate, its join
    /// tokens and what others report of it are refused. With the last point of a site go all sites below it; the
    /// source of a site that has others needs `new_source` in its place.
    ///
    /// # Errors
    /// When there is no such site, and no join token for it; when it is a source and none is named for it.
    pub async fn remove(
        &self,
        site: PointId,
        new_source: Option<PointId>,
        by: &str,
    ) -> Result<Removed, Status> {
        self.register.remove(site, new_source, by).await
    }

    /// Makes a software update point the synchronization source of its site, and journals who asked for it.
    /// None when it is that already.
    ///
    /// # Errors
    /// When there is no such point.
    pub async fn switch(&self, to: PointId, by: &str) -> Result<Option<Switch>, Status> {
        self.register.switch(to, by).await
    }

    /// The sites of the hierarchy by code, removed ones too.
    pub(crate) fn rows(&self) -> Rows {
        self.register.rows()
    }

    /// Where sites belong, as it is told to them.
    pub fn moved(&self, rows: &[SiteRow]) -> Vec<Moved> {
        self.register.moved(rows)
    }

    /// Whether a point was let in since the process started.
    pub fn was_admitted(&self, point: PointId) -> bool {
        self.register.was_admitted(point)
    }

    /// Whether a point that belongs elsewhere dialled this site within such a time.
    pub fn was_heard(&self, point: PointId, within: Duration) -> bool {
        self.register.was_heard(point, within)
    }
}

impl Admission for CentralAdmission {
    fn admit(&self, child: PointId, key_hash: KeyHash) -> BoxFuture<'_, Result<(), Status>> {
        let admitted = self.register.admit(child, &key_hash);
        Box::pin(std::future::ready(admitted))
    }

    fn may_speak_for(&self, child: PointId, site: PointId) -> BoxFuture<'_, bool> {
        let may = self.register.may_speak_for(child, site);
        Box::pin(std::future::ready(may))
    }

    fn may_relay_for(&self, child: PointId, site: PointId) -> BoxFuture<'_, bool> {
        let may = self.register.may_relay_for(child, site);
        Box::pin(std::future::ready(may))
    }

    fn removed_below(&self, child: PointId) -> BoxFuture<'_, Vec<PointId>> {
        let removed = self.register.removed_below(child);
        Box::pin(std::future::ready(removed))
    }

    fn moved_around(&self, child: PointId) -> BoxFuture<'_, Vec<Moved>> {
        let moved = self.register.moved_around(child);
        Box::pin(std::future::ready(moved))
    }

    fn spoke_for(&self, child: PointId, site: PointId) -> BoxFuture<'_, bool> {
        let spoke = self.register.spoke_for(child, site);
        Box::pin(std::future::ready(spoke))
    }

    fn join<'a>(
        &'a self,
        request: JoinRequest,
        via: PointId,
        _address: &'a str,
    ) -> BoxFuture<'a, Result<JoinResponse, Status>> {
        let register = Arc::clone(&self.register);
        let join = async move { register.join(&request, via).await };
        Box::pin(self.to_the_end(join))
    }

    fn renew<'a>(
        &'a self,
        site: PointId,
        certificate_request: &'a str,
    ) -> BoxFuture<'a, Result<String, Status>> {
        let renewed = self.register.renew(site, certificate_request);
        Box::pin(std::future::ready(renewed))
    }

    fn describe(
        &self,
        child: PointId,
        site: PointId,
    ) -> BoxFuture<'_, Result<DescribeSiteResponse, Status>> {
        let described = self.register.describe(child, site);
        Box::pin(std::future::ready(described))
    }
}
