//! Pulling: the parent as an upstream. Each batch and the position it reaches are one unit of work;
//! nothing is shown before the statement that covers it was verified.

use crate::address::Address;
use crate::compare::{Comparison, Stopped};
use crate::dial::explain_status;
use crate::serve_pull::CHANGES_PER_BATCH;
use crate::site::{Received, Site};
use bytes::Bytes;
use catalog::PointId;
use journal::StatusId;
use journal::phrases;
use prost::Message as _;
use std::sync::Arc;
use std::time::Duration;
use store::log::{Applied, ChangeRow, CheckedSlice, LogSlice};
use sync::{Failure, Phase, RunHandle, Upstream};
use tokio::sync::{OnceCell, mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use trust::statement::{SignedStatement, Statement};
use uuid::Uuid;
use wire::v1::pull_response::Message;
use wire::v1::site_link_service_client::SiteLinkServiceClient;
use wire::v1::{ChangeBatch, PullPlan, PullRequest, PullResponse};

/// Largest message of a pull: a batch with one very large document.
pub const MAX_MESSAGE_BYTES: usize = 192 << 20;
/// How long a parent may say nothing in the middle of a pull.
const SILENCE: Duration = Duration::from_secs(120);
/// How a change begins within an encoded batch: field 1, with a length.
const CHANGE_TAG: u8 = 0x0a;
/// Batches that wait, checked, for the database to be done with the one before.
const BATCHES_AHEAD: usize = 1;
/// How long a cancel may take to arrive after the parent said that its own run was cancelled.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a run waits for the link to come up.
const LINK_PATIENCE: Duration = Duration::from_secs(20);
/// Times that a pull begins anew in one run because the parent's log changed under it.
const ATTEMPTS: u32 = 3;

const ORIGIN: &str = "SiteLink.Pull";

/// The parent of a site, as its upstream.
pub struct ParentUpstream {
    parent: watch::Receiver<Option<Address>>,
    /// The parent that is meant where none is known.
    first: PointId,
    /// The site itself; set once, because its engine is made from this upstream.
    site: OnceCell<Site>,
    channel: watch::Sender<Option<Channel>>,
}

impl ParentUpstream {
    /// The upstream of a site, with the parent that it joined below and the one that it has now.
    pub fn new(first: PointId, parent: watch::Receiver<Option<Address>>) -> Arc<Self> {
        Arc::new(Self {
            parent,
            first,
            site: OnceCell::new(),
            channel: watch::Sender::new(None),
        })
    }

    /// Names the site whose upstream this is.
    pub fn belongs_to(&self, site: Site) {
        // Told once, where the site is put together.
        drop(self.site.set(site));
    }

    /// The parent that the site has now.
    fn parent_now(&self) -> PointId {
        let parent = self.parent.borrow();
        parent.as_ref().map_or(self.first, |parent| parent.point)
    }

    /// The connection to the parent, or none while it is down.
    pub fn set_channel(&self, channel: Option<Channel>) {
        self.channel.send_replace(channel);
    }

    /// The connection to the parent.
    ///
    /// # Errors
    /// When the link is down.
    pub fn channel(&self) -> Result<Channel, Failure> {
        let channel = self.channel.borrow().clone();
        channel.ok_or_else(|| {
            Failure::message(
                ORIGIN,
                format!(
                    "the link to parent {} is down; the run goes on when it is up",
                    self.parent_now()
                ),
            )
        })
    }

    /// A client of the parent's link. Waits a while for a link that is down: a site that was just started has
    /// a reason to run before it is up.
    async fn client_when_up(&self) -> Result<SiteLinkServiceClient<Channel>, Failure> {
        let mut channel = self.channel.subscribe();
        let up = channel.wait_for(Option::is_some);
        drop(tokio::time::timeout(LINK_PATIENCE, up).await);
        self.client()
    }

    /// A client of the parent's link.
    ///
    /// # Errors
    /// When the link is down.
    pub fn client(&self) -> Result<SiteLinkServiceClient<Channel>, Failure> {
        let channel = self.channel()?;
        Ok(SiteLinkServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES))
    }
}

/// How one pull ended.
enum Ended {
    At(u64),
    /// What was applied but not verified was thrown away; pull again.
    Again,
    /// The log cannot be continued, or does not come to what was signed and was refused for that: the
    /// catalogs are to be compared.
    Differs(Option<Failure>),
}

impl Upstream for ParentUpstream {
    fn name(&self) -> String {
        self.parent_now().to_string()
    }

    fn parent(&self) -> Option<PointId> {
        Some(self.parent_now())
    }

    async fn sync(&self, run: &RunHandle) -> Result<u64, Failure> {
        run.enter(Phase::Connecting);
        let site = self
            .site
            .get()
            .ok_or_else(|| Failure::message(ORIGIN, "the site is not ready yet"))?;
        for _ in 0..ATTEMPTS {
            let client = self.client_when_up().await?;
            // It may be another one than before: the site may be given another parent in the middle of a run.
            let pull = PullRun {
                parent: self.parent_now(),
                site,
                run,
            };
            let refused = match pull.once(client).await? {
                Ended::At(position) if !run.full() && !run.verify() => return Ok(position),
                Ended::At(0) => return Ok(0),
                Ended::At(_) => None,
                Ended::Differs(refused) => refused,
                Ended::Again => continue,
            };
            let client = self.client_when_up().await?;
            let parent = self.parent_now();
            return PullRun { parent, ..pull }.compare(client, refused).await;
        }
        Err(Failure::message(
            ORIGIN,
            format!(
                "the log of parent {} changed again and again",
                self.parent_now()
            ),
        ))
    }
}

/// What comes from the parent after its plan.
enum Arrival {
    Batch(CheckedSlice),
    Statement(Bytes),
    /// The stream ended.
    Nothing,
    /// Something that is not to be used, and why.
    Unusable(String),
    BrokenOff(Status),
}

/// Reads a pull to its end, or until nobody wants more.
async fn read(
    mut stream: Streaming<PullResponse>,
    sender: mpsc::Sender<Arrival>,
    received: Arc<Received>,
    run: RunHandle,
) {
    loop {
        let arrival = match next(&mut stream).await {
            Ok(Some(Message::Batch(batch))) => {
                checked(batch, &received, &run).map_or_else(Arrival::Unusable, Arrival::Batch)
            }
            Ok(Some(Message::Statement(statement))) => Arrival::Statement(statement),
            Ok(Some(Message::Plan(_))) => Arrival::Unusable("it sent two plans".to_owned()),
            Ok(None) => Arrival::Nothing,
            Err(status) => Arrival::BrokenOff(status),
        };
        let more = matches!(arrival, Arrival::Batch(_));
        if sender.send(arrival).await.is_err() || !more {
            return;
        }
    }
}

async fn next(stream: &mut Streaming<PullResponse>) -> Result<Option<Message>, Status> {
    let next = tokio::time::timeout(SILENCE, stream.message())
        .await
        .map_err(|_| Status::deadline_exceeded("it fell silent in the middle of a pull"))??;
    match next {
        None => Ok(None),
        Some(PullResponse { message: None }) => {
            Err(Status::invalid_argument("it sent an empty message"))
        }
        Some(PullResponse { message }) => Ok(message),
    }
}

/// The changes of a batch; the error says why it is not to be used.
fn checked(batch: Bytes, received: &Received, run: &RunHandle) -> Result<CheckedSlice, String> {
    let bytes = batch.len();
    let changes = decoded(batch)?;
    received.count(changes.len(), bytes);
    run.count(|counts| {
        counts.received += changes.len() as u64;
        counts.bytes += bytes as u64;
    });
    let through = changes.last().map_or(0, |change| change.position);
    let slice = LogSlice { changes, through };
    slice.check().map_err(|error| error.to_string())
}

/// What is in a batch, as it came; the error says why it cannot be read.
pub(crate) fn decoded(batch: Bytes) -> Result<Vec<ChangeRow>, String> {
    bounded(&batch)?;
    let batch =
        ChangeBatch::decode(batch).map_err(|error| format!("a batch cannot be read: {error}"))?;
    let changes = batch
        .changes
        .into_iter()
        .map(|change| ChangeRow {
            position: change.position,
            key: change.key.into(),
            header: change.header.into(),
            document: change.document.into(),
            removed: change.removed,
        })
        .collect();
    Ok(changes)
}

/// Checks that a batch holds no more changes than anybody sends, before any of them takes up room.
fn bounded(mut batch: &[u8]) -> Result<(), String> {
    let broken = || "a batch cannot be read: it is cut off".to_owned();
    for _ in 0..=CHANGES_PER_BATCH {
        let Some((tag, mut rest)) = batch.split_first() else {
            return Ok(());
        };
        if *tag != CHANGE_TAG {
            return Err("a batch cannot be read: it holds something else than changes".to_owned());
        }
        let length = prost::decode_length_delimiter(&mut rest).map_err(|_| broken())?;
        batch = rest.get(length..).ok_or_else(broken)?;
    }
    Err(format!(
        "a batch holds more than {CHANGES_PER_BATCH} changes"
    ))
}

struct PullRun<'a> {
    parent: PointId,
    site: &'a Site,
    run: &'a RunHandle,
}

impl PullRun<'_> {
    fn failed(&self, status: &Status) -> Failure {
        Failure::message(
            ORIGIN,
            format!(
                "parent {} did not answer the pull: {}",
                self.parent,
                explain_status(status)
            ),
        )
    }

    /// What the parent sent is not what the hierarchy's authority signed.
    fn refused(&self, reason: impl std::fmt::Display) -> Failure {
        let reason = reason.to_string();
        Failure::message(
            ORIGIN,
            format!(
                "the catalog that parent {} sent was refused: {reason}",
                self.parent
            ),
        )
        .with_status(
            StatusId::StatementRefused,
            vec![self.parent.to_string(), reason],
        )
    }

    async fn once(&self, mut client: SiteLinkServiceClient<Channel>) -> Result<Ended, Failure> {
        let positions = self.site.store.positions();
        let request = PullRequest {
            epoch: if positions.epoch.is_nil() {
                Vec::new()
            } else {
                positions.epoch.as_bytes().to_vec()
            },
            after_position: positions.head,
            verified_position: positions.verified,
        };
        let called = tokio::time::timeout(SILENCE, client.pull(request)).await;
        let mut stream = match called {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return self.broken_off(&status).await,
            Err(_) => {
                let status = Status::deadline_exceeded("it does not answer");
                return self.broken_off(&status).await;
            }
        };
        let plan = match next(&mut stream).await {
            Ok(Some(Message::Plan(plan))) => plan,
            Ok(_) => return Err(self.refused("it does not begin with a plan")),
            Err(status) => return self.broken_off(&status).await,
        };
        let Some(epoch) = wire::convert::optional_uuid("epoch", &plan.epoch)
            .map_err(|error| self.refused(error))?
        else {
            if positions.head > 0 || self.run.target().is_some_and(|target| target > 0) {
                return Err(Failure::message(
                    ORIGIN,
                    format!("parent {} has no verified catalog yet", self.parent),
                ));
            }
            // The parent has nothing yet, and so have we.
            return Ok(Ended::At(0));
        };
        if plan.target_position > i64::MAX as u64 {
            return Err(self.refused("its plan goes to a position that there is not"));
        }
        if plan.compare || epoch != positions.epoch {
            // What is verified gives way to nothing but what is verified.
            if positions.verified > 0 {
                return Ok(Ended::Differs(None));
            }
            self.start_over(epoch, &plan).await?;
            if plan.compare {
                return Ok(Ended::Again);
            }
        }
        self.run.enter(Phase::SyncingCategories);
        self.run.enter(Phase::SyncingUpdates);
        self.run.line(phrases::delta_run(format_args!(
            "position {}",
            positions.head
        )));
        if !self.run.alone() {
            self.site
                .announce(self.run.id(), plan.target_position, self.run.full());
        }
        let mut total = plan.changes;
        let mut done = Applied::default();
        // Beside the database's work the next batch comes in and is checked.
        let (sender, mut arrivals) = mpsc::channel(BATCHES_AHEAD);
        let mut reader = JoinSet::new();
        let received = Arc::clone(&self.site.received);
        reader.spawn(read(stream, sender, received, self.run.clone()));
        loop {
            match arrivals.recv().await.unwrap_or(Arrival::Nothing) {
                Arrival::Batch(batch) => {
                    done += self.apply(batch).await?;
                    total = total.max(done.changes);
                    self.run.progress(done.changes, total);
                }
                Arrival::Statement(statement) => {
                    self.run.progress(done.changes, done.changes);
                    return self.verify(&statement, done).await;
                }
                Arrival::Unusable(reason) => return Err(self.refused(reason)),
                Arrival::Nothing => return Err(self.refused("it ended before its statement")),
                Arrival::BrokenOff(status) => return self.broken_off(&status).await,
            }
        }
    }

    /// The parent ended the pull. Where its log no longer holds what we applied but did not verify,
    /// that is thrown away.
    async fn broken_off(&self, status: &Status) -> Result<Ended, Failure> {
        if status.code() == Code::Cancelled {
            // The parent was told first. Who is told too ends as cancelled, and not as failed: the
            // engine drops this.
            let told = self.run.cancelled().cancelled();
            if tokio::time::timeout(CANCEL_PATIENCE, told).await.is_ok() {
                std::future::pending::<()>().await;
            }
        }
        let positions = self.site.store.positions();
        let lost = matches!(status.code(), Code::Aborted | Code::FailedPrecondition);
        if lost && positions.head > positions.verified {
            let mut tx = self.site.store.begin().await?;
            tx.roll_back_unverified().await?;
            tx.commit().await?;
            return Ok(Ended::Again);
        }
        Err(self.failed(status))
    }

    /// The parent's log is another than the one that was begun here, of which nothing was verified yet.
    async fn start_over(&self, epoch: Uuid, plan: &PullPlan) -> Result<(), Failure> {
        let mut tx = self.site.store.begin().await?;
        tx.start_epoch(epoch).await?;
        // What the parent forgot this site cannot tell its own children either.
        tx.raise_floor(plan.floor).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Compares the catalogs and takes over what differs. `pulled` is why a pull was refused before.
    async fn compare(
        &self,
        client: SiteLinkServiceClient<Channel>,
        pulled: Option<Failure>,
    ) -> Result<u64, Failure> {
        let comparison = Comparison::new(self.parent, self.site, self.run, pulled.is_some());
        let stopped = match comparison.run(&client).await {
            Ok(position) => return Ok(position),
            Err(stopped) => stopped,
        };
        let failure = match stopped {
            Stopped::WentOn => self.failed(&Status::aborted("its catalog went on")),
            Stopped::Refused(reason) => self.refused(reason),
            Stopped::Failure(failure) => failure,
        };
        Err(match pulled {
            None => failure,
            Some(pulled) => Failure {
                message: format!("{}; and {}", pulled.message, failure.message),
                ..pulled
            },
        })
    }

    async fn apply(&self, batch: CheckedSlice) -> Result<Applied, Failure> {
        // What a loss of power undoes is pulled again: it is not verified before the statement.
        let mut tx = self.site.store.begin_repeatable().await?;
        let applied = match tx.apply_checked(batch, self.site.ambient.now()).await {
            Ok(applied) => applied,
            Err(error @ store::Error::OutOfOrder { .. }) => return Err(self.refused(error)),
            Err(error) => return Err(error.into()),
        };
        tx.commit().await?;
        Ok(applied)
    }

    /// Goes over to what was pulled, if the statement covers it; else throws it away.
    async fn verify(&self, encoded: &[u8], done: Applied) -> Result<Ended, Failure> {
        self.run.enter(Phase::Verifying);
        let refused = match self.try_verify(encoded).await? {
            Verdict::Verified(statement) => {
                self.run.count(|counts| {
                    counts.added += done.revisions;
                    counts.removed += done.removed;
                });
                self.run
                    .line(phrases::verified(statement.position, &statement.root));
                return Ok(Ended::At(statement.position));
            }
            Verdict::Differs(refused) => Ok(Ended::Differs(Some(refused))),
            Verdict::Refused(refused) => Err(refused),
        };
        let mut tx = self.site.store.begin().await?;
        tx.roll_back_unverified().await?;
        tx.commit().await?;
        refused
    }

    async fn try_verify(&self, encoded: &[u8]) -> Result<Verdict, Failure> {
        let signed = match SignedStatement::from_bytes(encoded) {
            Ok(signed) => signed,
            Err(error) => return Ok(Verdict::Refused(self.refused(error))),
        };
        let held = self.site.store.read().await?.signed_statement().await?;
        let statement = match self.site.believe(&signed, held.as_ref()) {
            Ok(statement) => statement,
            Err(error) => return Ok(Verdict::Refused(self.refused(error))),
        };
        let mut tx = self.site.store.begin().await?;
        match tx.accept(statement, encoded).await {
            Ok(()) => {}
            Err(error @ store::Error::Mismatch(_)) => {
                return Ok(Verdict::Differs(self.refused(error)));
            }
            Err(error @ store::Error::Older { .. }) => {
                return Ok(Verdict::Refused(self.refused(error)));
            }
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        Ok(Verdict::Verified(statement.clone()))
    }
}

/// What was pulled, beside its statement.
enum Verdict {
    Verified(Statement),
    /// The statement is good, and what was pulled is not what it covers.
    Differs(Failure),
    /// The statement itself is not to be believed.
    Refused(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_too_many_changes_is_refused_before_it_is_decoded() {
        let batch = |changes: usize| Bytes::from([CHANGE_TAG, 0].repeat(changes));
        assert!(bounded(&batch(CHANGES_PER_BATCH)).is_ok());
        let refused = decoded(batch(CHANGES_PER_BATCH + 1)).unwrap_err();
        assert_eq!(refused, "a batch holds more than 1000 changes");
        for bad in [&[0x12_u8, 0][..], &[0x0a, 5, 1], &[0x0a], &[0x0a, 0xff]] {
            assert!(decoded(Bytes::from(bad.to_vec())).is_err(), "{bad:?}");
        }
    }
}
