//! What the link needs to know of the site that it belongs to.

use crate::address::Address;
use crate::children::Children;
use crate::moved::Moved;
use crate::peer::KeyHash;
use crate::refusals::Refusals;
use crate::reports::Reports;
use catalog::{PointId, SiteKind};
use daemon::Ambient;
use journal::{Journal, phrases};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{Positions, Store};
use sync::{EngineHandle, Request, SpanId, Trigger};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use trust::statement::{SignedStatement, Statement, StatementError};
use trust::{HierarchyId, StatementPublicKey};
use uuid::Uuid;
use wire::v1::attach_response::Message;
use wire::v1::{CancelSiteRequest, SyncSiteRequest, VerifyRequest};

/// A future of a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A site, as its link sees it. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// Its code.
    pub code: PointId,
    /// Its kind.
    pub kind: SiteKind,
    /// The hierarchy that it belongs to.
    pub hierarchy: HierarchyId,
    /// The key that statements are signed with.
    pub statement_key: StatementPublicKey,
    /// Its database.
    pub store: Store,
    /// Its journal.
    pub journal: Journal,
    /// Where it says whom it refused.
    pub refusals: Refusals,
    /// Its engine.
    pub engine: EngineHandle,
    /// Time, identifiers, randomness.
    pub ambient: Ambient,
    /// What it knows of itself and of the sites below it.
    pub reports: Reports,
    /// What its children are told to reach.
    pub announcements: watch::Sender<Announcement>,
    /// Its parent, and where that was reached last; none at a top-level site.
    pub parent: watch::Sender<Option<Address>>,
    /// Whether it is attached to its parent; always so at a top-level site.
    pub attached: watch::Sender<bool>,
    /// What came from parents.
    pub received: Arc<Received>,
}

/// What came from parents since the process started, in pulls and comparisons, and how often one was reached.
#[derive(Debug, Default)]
pub struct Received {
    /// How often the link to a parent came up.
    pub links: AtomicU64,
    /// Changes and items.
    pub changes: AtomicU64,
    /// Bytes of the batches that they came in.
    pub bytes: AtomicU64,
}

impl Received {
    pub(crate) fn count(&self, changes: usize, bytes: usize) {
        self.changes.fetch_add(changes as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// What children are told to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Announcement {
    /// Grows with every announcement; 0 means that there was none.
    pub sequence: u64,
    /// The run of the top-level site that it comes from.
    pub run: Uuid,
    /// The log that the position counts in.
    pub epoch: Uuid,
    /// Position to reach.
    pub target: u64,
    /// Whether children shall compare everything.
    pub full: bool,
    /// The span of this site's part in the run; none where it has none.
    pub span: Option<SpanId>,
}

/// That a site is to catch up with its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteOrder {
    /// The site.
    pub site: PointId,
    /// The run that it shall become.
    pub run: Uuid,
    /// Whether the sites below it are to follow, whether or not anything is new.
    pub subtree: bool,
    /// Whether everything is to be compared.
    pub full: bool,
}

impl Site {
    /// Notes whether this site is attached to its parent.
    pub(crate) fn set_attached(&self, attached: bool) {
        let changed = self
            .attached
            .send_if_modified(|held| std::mem::replace(held, attached) != attached);
        if changed && attached {
            self.received.links.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells the children of this site what to reach. A parent that is itself still pulling announces
    /// too: its children then follow it batch by batch.
    pub fn announce(&self, run: Uuid, target: u64, full: bool) {
        let epoch = self.store.positions().epoch;
        let span = self.span_of(run);
        self.announcements.send_modify(|announcement| {
            *announcement = Announcement {
                sequence: announcement.sequence + 1,
                run,
                epoch,
                target,
                full,
                span,
            };
        });
    }

    /// The span of the run under way here, or of the last one, if it is that run.
    fn span_of(&self, run: Uuid) -> Option<SpanId> {
        let held = self.engine.state().run.filter(|held| held.id == run)?;
        Some(SpanId::of(run, self.code, held.started))
    }

    /// The statement, if the hierarchy's authority signed it and it may follow the one that is held.
    ///
    /// # Errors
    /// Why it is not to be believed.
    pub(crate) fn believe<'s>(
        &self,
        signed: &'s SignedStatement,
        held: Option<&SignedStatement>,
    ) -> Result<&'s Statement, StatementError> {
        let statement = signed.verify(&self.statement_key, self.hierarchy)?;
        if let Some(held) = held {
            statement.may_follow(held.claimed())?;
        }
        Ok(statement)
    }

    /// The child through which a site of the subtree is reached.
    ///
    /// # Errors
    /// When the site is not below this one.
    pub fn child_towards(&self, site: PointId) -> Result<PointId, Status> {
        self.reports.child_towards(self.code, site).ok_or_else(|| {
            Status::not_found(format!("site {site} is not below site {}", self.code))
        })
    }

    /// Has a site of the subtree, or this one, compare every row of its catalog and repair what differs.
    /// That is the run `run` there.
    ///
    /// # Errors
    /// When the site is not known, or the way to it is interrupted.
    pub fn verify(&self, children: &Children, site: PointId, run: Uuid) -> Result<(), Status> {
        if site == self.code {
            self.engine.request(Request {
                run: Some(run),
                verify: true,
                ..Request::new(Trigger::Manual)
            });
            return Ok(());
        }
        let child = self.child_towards(site)?;
        let request = VerifyRequest {
            run: run.as_bytes().to_vec(),
            site_code: site.to_string(),
        };
        if children.send(child, Message::Verify(request)) {
            return Ok(());
        }
        Err(Status::unavailable(format!(
            "site {child} is not connected; its catalog can be verified when it is back"
        )))
    }

    /// Has a site of the subtree, or this one, catch up with its parent as `run`, and with `subtree` the sites below
    /// it after it.
    ///
    /// # Errors
    /// When the site is not known, or the way to it is interrupted.
    pub fn sync_site(&self, children: &Children, order: SiteOrder) -> Result<(), Status> {
        let SiteOrder {
            site,
            run,
            subtree,
            full,
        } = order;
        if site == self.code {
            self.engine.request(Request {
                run: Some(run),
                full,
                alone: !subtree,
                ..Request::new(Trigger::Manual)
            });
            return Ok(());
        }
        let child = self.child_towards(site)?;
        let request = SyncSiteRequest {
            run: run.as_bytes().to_vec(),
            site_code: site.to_string(),
            subtree,
            full,
        };
        if children.send(child, Message::SyncSite(request)) {
            return Ok(());
        }
        Err(Status::unavailable(format!(
            "site {child} is not connected; what is behind it catches up by itself when it is back"
        )))
    }

    /// Ends the run that is under way at a site of the subtree, or at this one, and with `subtree` at the sites
    /// below it too.
    ///
    /// # Errors
    /// When the site is not known, or the way to it is interrupted.
    pub fn cancel_site(
        &self,
        children: &Children,
        site: PointId,
        subtree: bool,
    ) -> Result<(), Status> {
        if site == self.code {
            let run = self.engine.cancel();
            if subtree {
                children.cancel(run.unwrap_or_default());
            }
            return Ok(());
        }
        let child = self.child_towards(site)?;
        let request = CancelSiteRequest {
            site_code: site.to_string(),
            subtree,
        };
        if children.send(child, Message::CancelSite(request)) {
            return Ok(());
        }
        Err(Status::unavailable(format!(
            "site {child} is not connected: nothing can be cancelled there before it is back"
        )))
    }

    /// The run that a child which stands at a position is to catch up with: the newest that completed here, where
    /// that went further.
    ///
    /// With it comes the span of that run here; after a restart by what history keeps, the beginning of the first
    /// attempt.
    pub(crate) async fn run_behind(&self, epoch: &[u8], position: u64) -> Option<(Uuid, SpanId)> {
        let newest = async { self.store.read().await?.last_success().await };
        let newest = newest.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the newest run cannot be read");
            None
        })?;
        let here = self.store.positions();
        let behind = epoch != here.epoch.as_bytes() || position < newest.position;
        behind.then(|| {
            let span = self.span_of(newest.id);
            let kept = || SpanId::of(newest.id, self.code, newest.started);
            (newest.id, span.unwrap_or_else(kept))
        })
    }

    /// Announces to the children whatever this site verifies, and every run that completed, until
    /// `stop` is told. What is verified beside a run becomes a run of its own at the children, and so does what a
    /// run brought that was for this site alone; where that brought nothing, they are not asked.
    pub async fn announce_runs(self, children: Arc<Children>, stop: CancellationToken) {
        let mut engine = self.engine.watch();
        let mut positions = self.store.watch_positions();
        let mut completed = engine.borrow_and_update().completed;
        let place = |positions: &Positions| (positions.epoch, positions.verified);
        let mut announced = place(&positions.borrow_and_update());
        loop {
            tokio::select! {
                changed = engine.changed() => if changed.is_err() { return },
                changed = positions.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            let state = engine.borrow_and_update().clone();
            let verified = place(&positions.borrow_and_update());
            let alone = state.run.as_ref().is_some_and(|run| run.alone);
            let ended = state.completed > completed && !alone;
            // A log that only begins says nothing yet: its run has announced how far it will go.
            if !ended && (verified == announced || verified.1 == 0) {
                completed = state.completed;
                continue;
            }
            let beside_runs = alone || (!ended && !state.running());
            let (run, full) = match state.run {
                Some(run) if !beside_runs => (run.id, run.full),
                Some(_) | None => (self.ambient.new_id(), false),
            };
            if ended && let Some(line) = phrases::children_notified(&children.attached()) {
                self.journal.line(Some(run), line);
            }
            completed = state.completed;
            announced = verified;
            self.announce(run, verified.1, full);
        }
    }
}

/// Who may attach to a site, speak for whom, and become part of the hierarchy. The top-level site
/// decides by its database, a primary site by what the top-level site told it.
pub trait Admission: Send + Sync + 'static {
    /// Whether the site may attach here and pull from here, with a certificate for the key of this
    /// digest.
    ///
    /// The error says why not.
    fn admit(&self, child: PointId, key_hash: KeyHash) -> BoxFuture<'_, Result<(), Status>>;

    /// Whether a child may report for a site: itself or one below it.
    fn may_speak_for(&self, child: PointId, site: PointId) -> BoxFuture<'_, bool>;

    /// Whether a child may hand on status messages of a site: of itself, or of one that is or was below
    /// it. What it took in before that site moved or was removed, it still holds.
    fn may_relay_for(&self, child: PointId, site: PointId) -> BoxFuture<'_, bool>;

    /// The sites below a child that were removed, or the child itself.
    fn removed_below(&self, child: PointId) -> BoxFuture<'_, Vec<PointId>>;

    /// What a child has to know of software update points that moved: those that belong below it now, and those
    /// that did before.
    fn moved_around(&self, child: PointId) -> BoxFuture<'_, Vec<Moved>>;

    /// Whether a child that may not report for a site could do so before: what it says is old, and no trespass.
    fn spoke_for(&self, child: PointId, site: PointId) -> BoxFuture<'_, bool>;

    /// A certificate for a site that presents a join token. `via` is the site that it dialled.
    fn join<'a>(
        &'a self,
        request: wire::v1::JoinRequest,
        via: PointId,
        address: &'a str,
    ) -> BoxFuture<'a, Result<wire::v1::JoinResponse, Status>>;

    /// What is known of a site, for the child that it belongs below.
    fn describe(
        &self,
        child: PointId,
        site: PointId,
    ) -> BoxFuture<'_, Result<wire::v1::DescribeSiteResponse, Status>>;

    /// A new certificate for a site whose old one is valid, for the same key.
    fn renew<'a>(
        &'a self,
        site: PointId,
        certificate_request: &'a str,
    ) -> BoxFuture<'a, Result<String, Status>>;
}

/// An [`Admission`] that the services of a site share.
pub type SharedAdmission = Arc<dyn Admission>;
