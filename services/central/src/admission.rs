//! Who belongs to the hierarchy, as the link asks it.

mod register;

use catalog::{SiteCode, SiteKind};
use daemon::Ambient;
use journal::Journal;
use link::Admission;
use link::peer::KeyHash;
use link::site::BoxFuture;
use register::Register;
pub use register::{MAX_SITES, MAX_TOKEN_VALIDITY, Removed};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
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
        site: (SiteCode, SiteKind),
        authority: Arc<Authority>,
        store: Store,
        journal: Journal,
        ambient: Ambient,
        certificate_validity: Duration,
        tasks: TaskTracker,
    ) -> anyhow::Result<Self> {
        let register = Register::load(
            site,
            authority,
            store,
            journal,
            ambient,
            certificate_validity,
        );
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

    /// Makes a one-time token for a site, and journals who asked for it.
    ///
    /// # Errors
    /// When the hierarchy has no place for such a site.
    pub async fn invite(
        &self,
        site: SiteCode,
        kind: SiteKind,
        parent: Option<SiteCode>,
        validity: Duration,
        by: &str,
    ) -> Result<JoinToken, Status> {
        self.register.invite(site, kind, parent, validity, by).await
    }

    /// Removes a site and all sites below it, and journals who asked for it: from now on their
    /// certificates, their join tokens and what others report of them are refused.
    ///
    /// # Errors
    /// When there is no such site, and no join token for it.
    pub async fn remove(&self, site: SiteCode, by: &str) -> Result<Removed, Status> {
        self.register.remove(site, by).await
    }
}

impl Admission for CentralAdmission {
    fn admit(&self, child: SiteCode, key_hash: KeyHash) -> BoxFuture<'_, Result<(), Status>> {
        let admitted = self.register.admit(child, &key_hash);
        Box::pin(std::future::ready(admitted))
    }

    fn may_speak_for(&self, child: SiteCode, site: SiteCode) -> BoxFuture<'_, bool> {
        let may = self.register.may_speak_for(child, site);
        Box::pin(std::future::ready(may))
    }

    fn may_relay_for(&self, child: SiteCode, site: SiteCode) -> BoxFuture<'_, bool> {
        let may = self.register.may_relay_for(child, site);
        Box::pin(std::future::ready(may))
    }

    fn removed_below(&self, child: SiteCode) -> BoxFuture<'_, Vec<SiteCode>> {
        let removed = self.register.removed_below(child);
        Box::pin(std::future::ready(removed))
    }

    fn join<'a>(
        &'a self,
        request: JoinRequest,
        via: SiteCode,
        _address: &'a str,
    ) -> BoxFuture<'a, Result<JoinResponse, Status>> {
        let register = Arc::clone(&self.register);
        let join = async move { register.join(&request, via).await };
        Box::pin(self.to_the_end(join))
    }

    fn renew<'a>(
        &'a self,
        site: SiteCode,
        certificate_request: &'a str,
    ) -> BoxFuture<'a, Result<String, Status>> {
        let renewed = self.register.renew(site, certificate_request);
        Box::pin(std::future::ready(renewed))
    }

    fn describe(
        &self,
        child: SiteCode,
        site: SiteCode,
    ) -> BoxFuture<'_, Result<DescribeSiteResponse, Status>> {
        let described = self.register.describe(child, site);
        Box::pin(std::future::ready(described))
    }
}
