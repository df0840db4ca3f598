//! Serving pulls: everything after a position, in order, then the statement that covers it.
//!
//! A site whose own run is under way hands changes on as they are applied, before they are verified:
//! a chain of sites fills like a pipe. Its children verify for themselves. All children ask for the
//! same positions, so encoded batches are shared between them.

use crate::site::Site;
use bytes::Bytes;
use futures::Stream;
use prost::Message as _;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::Positions;
use store::log::LogSlice;
use sync::EngineState;
use tokio::sync::{Mutex, watch};
use tonic::Status;
use trust::statement::SignedStatement;
use uuid::Uuid;
use wire::v1::pull_response::Message;
use wire::v1::{Change, ChangeBatch, PullPlan, PullRequest, PullResponse};

/// Changes in a batch. A batch is a unit of work at the child: the most that a break costs.
pub const CHANGES_PER_BATCH: usize = match cfg!(feature = "simulation") {
    true => 25,
    false => 1000,
};
/// Bytes in a batch, unless a single change is larger.
pub const BYTES_PER_BATCH: u64 = 1 << 20;
/// Bytes of encoded batches that are kept for other children.
const CACHE_BYTES: usize = 8 << 20;
const CACHE_BATCHES: usize = 64;
/// How long a child waits on us while our own run brings nothing.
const STALL: Duration = Duration::from_secs(60);

/// Serves the pulls of all children of a site.
pub struct PullServer {
    site: Site,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    batches: VecDeque<(Key, Batch)>,
    bytes: usize,
}

/// What a batch is found by: the log, and where the batch begins in it.
type Key = (Log, u64);

/// A log as a pull sees it. A generation ends when a site throws changes away or takes a catalog over; the
/// floor rises when it forgets removals, and batches from before may hold what was removed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Log {
    epoch: Uuid,
    generation: u64,
    floor: u64,
}

#[derive(Clone)]
struct Batch {
    through: u64,
    encoded: Bytes,
}

impl Cache {
    fn get(&self, key: &Key) -> Option<Batch> {
        self.batches
            .iter()
            .find(|(held, _)| held == key)
            .map(|(_, batch)| batch.clone())
    }

    fn put(&mut self, key: Key, batch: Batch) {
        if batch.through == key.1 {
            // Nothing was there: that may change.
            return;
        }
        self.bytes += batch.encoded.len();
        self.batches.push_back((key, batch));
        while self.bytes > CACHE_BYTES || self.batches.len() > CACHE_BATCHES {
            match self.batches.pop_front() {
                Some((_, oldest)) => self.bytes -= oldest.encoded.len(),
                None => break,
            }
        }
    }
}

/// A pull that is being served.
struct Pull {
    server: Arc<PullServer>,
    positions: watch::Receiver<Positions>,
    engine: watch::Receiver<EngineState>,
    /// The log that this pull is of.
    log: Log,
    sent: u64,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Plan { compare: bool },
    Changes,
    Done,
}

impl PullServer {
    /// A server for the children of a site.
    pub fn new(site: Site) -> Arc<Self> {
        Arc::new(Self {
            site,
            cache: Mutex::default(),
        })
    }

    /// Whether our own run is under way and will bring more than is verified.
    fn expects_more(&self, positions: &Positions) -> bool {
        let announced = *self.site.announcements.borrow();
        self.site.journal.has_parent()
            && self.site.engine.state().running()
            && announced.epoch == positions.epoch
            && announced.target > positions.verified
    }

    /// How far a pull may go now: to the end of what is applied while our own run is under way, else
    /// to what is verified. The top-level site shows nothing before it is signed.
    fn limit(&self, positions: &Positions) -> u64 {
        if self.expects_more(positions) {
            positions.head
        } else {
            positions.verified
        }
    }

    /// The answer to a pull.
    ///
    /// # Errors
    /// When the request is malformed, or asks for more than there is.
    pub async fn pull(
        self: Arc<Self>,
        request: &PullRequest,
    ) -> Result<impl Stream<Item = Result<PullResponse, Status>> + Send + use<>, Status> {
        let asked = wire::convert::optional_uuid("epoch", &request.epoch)?.unwrap_or_default();
        let mut watched = self.site.store.watch_positions();
        let positions = *watched.borrow_and_update();
        let floor = {
            let mut read = self.site.store.read().await.map_err(internal)?;
            read.floor().await.map_err(internal)?
        };
        let after = request.after_position;
        // Who has nothing yet begins at the beginning of whatever there is.
        let other = !asked.is_nil() && asked != positions.epoch;
        let untold = request.verified_position > 0 && after < floor;
        let compare = !positions.epoch.is_nil() && (other || untold);
        let sent = if asked.is_nil() { 0 } else { after };
        if sent > positions.head && !compare && self.site.engine.state().target >= sent {
            // It changed over to us in the middle of a pull, and we come to where it is: it is not to throw away
            // what it has.
            return Err(Status::unavailable(format!(
                "site {} is only at position {} and goes on; you are at {sent}",
                self.site.code, positions.head
            )));
        }
        if sent > positions.head && !compare {
            return Err(Status::failed_precondition(format!(
                "site {} is only at position {}, you are at {sent}",
                self.site.code, positions.head
            )));
        }
        let pull = Pull {
            engine: self.site.engine.watch(),
            server: self,
            positions: watched,
            log: Log {
                epoch: positions.epoch,
                generation: positions.generation,
                floor,
            },
            sent,
            step: Step::Plan { compare },
        };
        Ok(futures::stream::unfold(pull, |mut pull| async move {
            let next = pull.next().await?;
            if next.is_err() {
                pull.step = Step::Done;
            }
            Some((next, pull))
        }))
    }

    fn threw_away(&self) -> Status {
        Status::aborted(format!(
            "the log of site {} is another by now; ask again",
            self.site.code
        ))
    }

    async fn batch(&self, key: Key, limit: u64) -> Result<Batch, Status> {
        // Held while the database is read, so that children who ask at once share one read.
        let mut cache = self.cache.lock().await;
        if let Some(batch) = cache.get(&key) {
            return Ok(batch);
        }
        let slice = {
            let mut read = self.site.store.read().await.map_err(internal)?;
            let log = key.0;
            let held = read.positions();
            if (held.epoch, held.generation) != (log.epoch, log.generation) {
                return Err(self.threw_away());
            }
            read.changes_after(key.1, limit, CHANGES_PER_BATCH, BYTES_PER_BATCH)
                .await
                .map_err(internal)?
        };
        let batch = Batch {
            through: slice.through,
            encoded: encode(slice),
        };
        cache.put(key, batch.clone());
        Ok(batch)
    }
}

pub(crate) fn encode(slice: LogSlice) -> Bytes {
    let changes = slice
        .changes
        .into_iter()
        .map(|change| Change {
            position: change.position,
            key: change.key.into(),
            header: change.header.into(),
            document: change.document.into(),
            removed: change.removed,
        })
        .collect();
    ChangeBatch { changes }.encode_to_vec().into()
}

fn internal(error: store::Error) -> Status {
    tracing::error!(%error, "a pull could not be served");
    Status::internal("the site's database failed; its journal says more")
}

fn response(message: Message) -> PullResponse {
    PullResponse {
        message: Some(message),
    }
}

impl Pull {
    async fn next(&mut self) -> Option<Result<PullResponse, Status>> {
        match self.step {
            Step::Done => None,
            Step::Plan { compare } => Some(self.plan(compare).await),
            Step::Changes => Some(self.changes().await),
        }
    }

    async fn plan(&mut self, compare: bool) -> Result<PullResponse, Status> {
        let site = &self.server.site;
        let positions = *self.positions.borrow();
        let limit = self.server.limit(&positions);
        let expects_more = self.server.expects_more(&positions);
        let target = if expects_more {
            site.announcements.borrow().target
        } else {
            limit
        };
        let changes = {
            let mut read = site.store.read().await.map_err(internal)?;
            read.count_after(self.sent, limit).await.map_err(internal)?
        };
        let epoch = self.log.epoch;
        let empty = epoch.is_nil() || (limit == 0 && !expects_more);
        self.step = if empty || compare {
            Step::Done
        } else {
            Step::Changes
        };
        Ok(response(Message::Plan(PullPlan {
            epoch: if empty {
                Vec::new()
            } else {
                epoch.as_bytes().to_vec()
            },
            target_position: target,
            // What our own parent still has to send is counted by positions.
            changes: changes + target.saturating_sub(limit),
            compare: compare && !empty,
            floor: self.log.floor,
        })))
    }

    async fn changes(&mut self) -> Result<PullResponse, Status> {
        loop {
            let positions = *self.positions.borrow_and_update();
            if (positions.epoch, positions.generation) != (self.log.epoch, self.log.generation) {
                return Err(self.server.threw_away());
            }
            let limit = self.server.limit(&positions);
            if self.sent < limit {
                let batch = self.server.batch((self.log, self.sent), limit).await?;
                if batch.through > self.sent {
                    self.sent = batch.through;
                    return Ok(response(Message::Batch(batch.encoded)));
                }
                // The last positions were compacted away; nothing is left to send up to the limit.
                self.sent = limit;
                continue;
            }
            let expects_more = self.server.expects_more(&positions);
            let complete = self.sent == positions.verified && !expects_more;
            if complete && let Some(statement) = self.statement().await? {
                self.step = Step::Done;
                return Ok(response(Message::Statement(statement)));
            }
            if !expects_more && !complete {
                return Err(self.nothing_more());
            }
            // Our own run is under way: more comes, or the statement, or its end.
            let news = async {
                tokio::select! {
                    changed = self.positions.changed() => changed,
                    ended = self.engine.wait_for(|state| !state.running()) => ended.map(|_| ()),
                }
            };
            match tokio::time::timeout(STALL, news).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Status::unavailable("the site is stopping")),
                Err(_) => return Err(self.nothing_more()),
            }
        }
    }

    /// Why nothing more comes for now.
    fn nothing_more(&self) -> Status {
        let site = &self.server.site;
        let run = site.engine.state().run;
        if run.is_some_and(|run| matches!(run.state, sync::State::Cancelled { .. })) {
            return Status::cancelled(format!("the run was cancelled at site {}", site.code));
        }
        Status::unavailable(format!(
            "site {} has not verified position {} yet; it waits for its own parent",
            site.code, self.sent
        ))
    }

    /// The statement for what was sent; none while the site is going over to a newer one.
    async fn statement(&self) -> Result<Option<Bytes>, Status> {
        let held = {
            let mut read = self.server.site.store.read().await.map_err(internal)?;
            read.statement().await.map_err(internal)?
        };
        let broken = || Status::internal("the site has no statement for what it verified");
        let bytes = held.ok_or_else(broken)?;
        let signed = SignedStatement::from_bytes(&bytes).map_err(|_| broken())?;
        let claimed = signed.claimed();
        let covers = (claimed.epoch, claimed.position) == (self.log.epoch, self.sent);
        Ok(covers.then(|| bytes.into()))
    }
}
