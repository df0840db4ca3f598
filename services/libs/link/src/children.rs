//! The parent's end of the link: a conversation with each child that is attached.

mod attached;
mod incoming;

pub use attached::Children;

use self::incoming::{bound_report, status_batch, status_row};
use crate::VERSION;
use crate::address::{self, Address};
use crate::cut_off::cut_off;
use crate::log_route::LogRouter;
use crate::moved::{self};
use crate::peer::{KeyHash, Peer};
use crate::serve_compare::CompareServer;
use crate::serve_pull::PullServer;
use crate::site::{Announcement, SharedAdmission, Site};
use catalog::PointId;
use futures::{Stream, StreamExt as _};
use journal::StatusId;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::status::StatusRow;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use wire::convert;
use wire::v1::attach_request::Message as FromChild;
use wire::v1::attach_response::Message as ToChild;
use wire::v1::site_link_service_server::SiteLinkService;
use wire::v1::{
    AttachRequest, AttachResponse, DescribeSiteRequest, DescribeSiteResponse, FetchItemsRequest,
    FetchItemsResponse, Hello, ListBucketsRequest, ListBucketsResponse, ListItemsRequest,
    ListItemsResponse, ListNodesRequest, ListNodesResponse, PullRequest, PullResponse, Removed,
    RenewCertificateRequest, RenewCertificateResponse, SiteReport, StatusAcknowledgement,
    StatusBatch, SyncRequest, Uplink, Welcome,
};

/// Messages that wait for a slow child. One that lets more pile up is cut off and comes back.
const BUFFER: usize = 256;
/// How long a child may take to say who it is.
const HELLO: Duration = Duration::from_secs(15);
/// Status messages in one batch.
pub const STATUS_PER_BATCH: usize = 500;
/// Bytes of status messages in one batch, unless a single one is larger.
pub const STATUS_BYTES_PER_BATCH: usize = 1 << 20;
/// After how long status messages are tried again that could not be stored, as when the disk was full;
/// doubles with each further time.
const STORE_AGAIN_FIRST: Duration = Duration::from_secs(2);
/// Longest wait before they are tried again.
const STORE_AGAIN_MOST: Duration = Duration::from_secs(60);
/// How far the sequence of a report may be ahead of our clock: a day, in milliseconds. A site whose
/// clock ran far ahead must not be deaf for as long when it is set right.
const SEQUENCE_AHEAD: u64 = 24 * 60 * 60 * 1000;

/// The service that children call.
#[derive(Clone)]
pub struct LinkService {
    site: Site,
    children: Arc<Children>,
    admission: SharedAdmission,
    pulls: Arc<PullServer>,
    comparisons: CompareServer,
    logs: LogRouter,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl LinkService {
    /// The service of a site.
    pub fn new(
        site: Site,
        children: Arc<Children>,
        admission: SharedAdmission,
        logs: LogRouter,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            pulls: PullServer::new(site.clone()),
            comparisons: CompareServer::new(site.store.clone()),
            site,
            children,
            admission,
            logs,
            tasks,
            stop,
        }
    }

    /// The child that calls, if it may, and what is told when it is removed or the site stops: for services beside
    /// this one that children call ([`cut_off`]).
    ///
    /// # Errors
    /// When it may not.
    pub async fn admitted<T>(
        &self,
        request: &Request<T>,
    ) -> Result<(PointId, CancellationToken, CancellationToken), Status> {
        let removed = self.removal(request)?;
        let child = self.child(request).await?;
        Ok((child, self.stop.clone(), removed))
    }

    /// Told when the child that calls is removed from now on.
    fn removal<T>(&self, request: &Request<T>) -> Result<CancellationToken, Status> {
        let child = Peer::of(request)?.certified()?.identity.site;
        Ok(self.children.removal_of(child))
    }

    /// The same answers; their bytes are counted as they go.
    fn counted<T: prost::Message, S: Stream<Item = Result<T, Status>>>(
        &self,
        answers: S,
    ) -> impl Stream<Item = Result<T, Status>> + use<T, S> {
        let children = Arc::clone(&self.children);
        answers.inspect(move |answer| {
            if let Ok(answer) = answer {
                children.count_sent(answer.encoded_len());
            }
        })
    }

    /// The child that calls, if it may.
    async fn child<T>(&self, request: &Request<T>) -> Result<PointId, Status> {
        let peer = Peer::of(request)?;
        let certified = peer.certified()?;
        let child = certified.identity.site;
        if let Err(refused) = self.admission.admit(child, certified.key_hash).await {
            let refusals = &self.site.refusals;
            refusals.site_refused(child, &peer.address, &refused).await;
            return Err(refused);
        }
        Ok(child)
    }
}

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SiteLinkService for LinkService {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;
    type PullStream = Answers<PullResponse>;
    type FetchItemsStream = Answers<FetchItemsResponse>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let child = self.child(&request).await?;
        let key_hash = Peer::of(&request)?.certified()?.key_hash;
        let inbound = request.into_inner();
        let (sender, receiver) = mpsc::channel(BUFFER);
        let conversation = Conversation {
            child,
            key_hash,
            service: self.clone(),
        };
        self.tasks
            .spawn(async move { Box::pin(conversation.hold(inbound, sender)).await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn pull(
        &self,
        request: Request<PullRequest>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let removed = self.removal(&request)?;
        self.child(&request).await?;
        let stream = Arc::clone(&self.pulls).pull(request.get_ref()).await?;
        let stream = self.counted(stream);
        let stream = cut_off(stream, self.stop.clone(), removed);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        self.child(&request).await?;
        Ok(Response::new(self.comparisons.nodes().await?))
    }

    async fn list_buckets(
        &self,
        request: Request<ListBucketsRequest>,
    ) -> Result<Response<ListBucketsResponse>, Status> {
        self.child(&request).await?;
        let answer = self.comparisons.buckets(request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn list_items(
        &self,
        request: Request<ListItemsRequest>,
    ) -> Result<Response<ListItemsResponse>, Status> {
        self.child(&request).await?;
        let answer = self.comparisons.items(request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn fetch_items(
        &self,
        request: Request<FetchItemsRequest>,
    ) -> Result<Response<Self::FetchItemsStream>, Status> {
        let removed = self.removal(&request)?;
        self.child(&request).await?;
        let stream = self.comparisons.clone().fetch(request.get_ref())?;
        let stream = self.counted(stream);
        let stream = cut_off(stream, self.stop.clone(), removed);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn describe_site(
        &self,
        request: Request<DescribeSiteRequest>,
    ) -> Result<Response<DescribeSiteResponse>, Status> {
        let child = self.child(&request).await?;
        let site = convert::site_code("site_code", &request.get_ref().site_code)?;
        Ok(Response::new(self.admission.describe(child, site).await?))
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let child = self.child(&request).await?;
        let request = request.into_inner();
        // A parent asks for its child too, under the child's name.
        let site = match convert::optional_site_code("site_code", &request.site_code)? {
            Some(site) if site != child => {
                if !self.admission.may_speak_for(child, site).await {
                    return Err(Status::permission_denied("that site is not below you"));
                }
                site
            }
            Some(_) | None => child,
        };
        let certificate_chain = self
            .admission
            .renew(site, &request.certificate_request)
            .await?;
        Ok(Response::new(RenewCertificateResponse {
            certificate_chain,
        }))
    }
}

/// Status messages of a child that could not be stored yet. The child sends the next ones when these are
/// acknowledged, so there is one such batch at most.
struct Unstored {
    rows: Vec<StatusRow>,
    through: u64,
    /// How often that was tried.
    tries: u32,
    again: Instant,
}

/// How long to wait before what could not be stored is tried again: longer with each try, and about so
/// long, so that not all children's come at once when there is room again.
fn store_again(tries: u32, ambient: &daemon::Ambient) -> Duration {
    let doubled = 1_u32
        .checked_shl(tries.saturating_sub(1))
        .unwrap_or(u32::MAX);
    ambient.jitter(
        STORE_AGAIN_FIRST
            .saturating_mul(doubled)
            .min(STORE_AGAIN_MOST),
    )
}

/// The conversation with one child, from its hello to its end.
struct Conversation {
    child: PointId,
    /// Of the key that its certificate is for.
    key_hash: KeyHash,
    service: LinkService,
}

impl Conversation {
    fn site(&self) -> &Site {
        &self.service.site
    }

    async fn hold(
        self,
        mut inbound: Streaming<AttachRequest>,
        sender: mpsc::Sender<Result<AttachResponse, Status>>,
    ) {
        let hello = tokio::time::timeout(HELLO, inbound.message()).await;
        let Ok(Ok(Some(AttachRequest {
            message: Some(FromChild::Hello(hello)),
        }))) = hello
        else {
            let status = Status::invalid_argument("a conversation begins with a hello");
            sender.send(Err(status)).await.ok();
            return;
        };
        let mut announcements = self.site().announcements.subscribe();
        announcements.mark_unchanged();
        let mut attached = self.site().attached.subscribe();
        if !*attached.borrow_and_update() {
            attached.mark_changed();
        }
        if sender.send(Ok(self.welcome(&hello).await)).await.is_err() {
            return;
        }
        let (number, cut) = self.service.children.attach(self.child, sender.clone());
        // It may have been moved or removed while it said hello, when nobody could tell it.
        if let Err(refused) = self
            .service
            .admission
            .admit(self.child, self.key_hash)
            .await
        {
            self.service.children.detach(self.child, number);
            sender.send(Err(refused)).await.ok();
            return;
        }
        for site in self.service.admission.removed_below(self.child).await {
            let site_code = site.to_string();
            self.service
                .children
                .send(self.child, ToChild::Removed(Removed { site_code }));
        }
        let moved = self.service.admission.moved_around(self.child).await;
        for message in moved::messages(&moved) {
            let message = AttachResponse {
                message: Some(ToChild::Moved(message)),
            };
            // A long list waits for the child.
            if sender.send(Ok(message)).await.is_err() {
                break;
            }
        }
        self.tell(StatusId::LinkUp, vec![self.child.to_string()])
            .await;
        let why = tokio::select! {
            why = self.listen(&mut inbound, announcements, attached, &sender) => why,
            () = cut.cancelled() => "it was cut off".to_owned(),
        };
        self.service.logs.child_left(self.child);
        if self.service.children.detach(self.child, number) {
            let here = self.site().code;
            self.site().reports.disconnected(here, self.child);
            if !self.service.stop.is_cancelled() {
                self.tell(StatusId::LinkDown, vec![self.child.to_string(), why])
                    .await;
            }
        }
    }

    async fn tell(&self, id: StatusId, inserts: Vec<String>) {
        self.site().journal.record(id, None, inserts).await;
    }

    async fn welcome(&self, hello: &Hello) -> AttachResponse {
        let behind = self.site().run_behind(&hello.epoch, hello.position).await;
        let (run, span) = behind.map_or_else(Default::default, |(run, span)| {
            (run.as_bytes().to_vec(), span.to_bytes().to_vec())
        });
        let positions = self.site().store.positions();
        let parent = self.site().parent.borrow().clone();
        let (here, reports) = (self.site().code, &self.site().reports);
        let others = address::others(here, self.child, parent, reports);
        AttachResponse {
            message: Some(ToChild::Welcome(Welcome {
                version: VERSION.to_owned(),
                site_code: self.site().code.to_string(),
                epoch: positions.epoch.as_bytes().to_vec(),
                position: positions.verified,
                others: others.iter().map(Address::to_wire).collect(),
                run,
                span,
            })),
        }
    }

    /// Talks until one side leaves; why it ended.
    async fn listen(
        &self,
        inbound: &mut Streaming<AttachRequest>,
        mut announcements: watch::Receiver<Announcement>,
        mut attached: watch::Receiver<bool>,
        sender: &mpsc::Sender<Result<AttachResponse, Status>>,
    ) -> String {
        let mut unstored: Option<Unstored> = None;
        loop {
            let again = unstored.as_ref().map(|unstored| unstored.again);
            tokio::select! {
                () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)),
                    if again.is_some() =>
                {
                    if let Some(Unstored { rows, through, tries, .. }) = unstored.take() {
                        unstored = self.store_status(rows, through, tries).await;
                    }
                }
                message = inbound.message() => match message {
                    Ok(Some(AttachRequest { message: Some(message) })) => {
                        if let Err(status) = self.take(message, &mut unstored).await {
                            let why = status.message().to_owned();
                            sender.send(Err(status)).await.ok();
                            return why;
                        }
                    }
                    Ok(Some(AttachRequest { message: None })) => {}
                    Ok(None) => return "the site hung up".to_owned(),
                    Err(status) => return crate::dial::explain_status(&status),
                },
                changed = announcements.changed() => {
                    if changed.is_err() {
                        return "the site is stopping".to_owned();
                    }
                    let announcement = *announcements.borrow_and_update();
                    self.service.children.send(self.child, ToChild::Sync(SyncRequest {
                        run: announcement.run.as_bytes().to_vec(),
                        epoch: announcement.epoch.as_bytes().to_vec(),
                        target_position: announcement.target,
                        full: announcement.full,
                        span: announcement.span.map_or_else(Vec::new, |span| span.to_bytes().to_vec()),
                    }));
                }
                changed = attached.changed() => {
                    if changed.is_err() {
                        return "the site is stopping".to_owned();
                    }
                    let attached = *attached.borrow_and_update();
                    self.service.children.send(self.child, ToChild::Uplink(Uplink { attached }));
                }
                () = sender.closed() => return "the site hung up".to_owned(),
                () = self.service.stop.cancelled() => return "this site is stopping".to_owned(),
            }
        }
    }

    async fn take(&self, message: FromChild, held: &mut Option<Unstored>) -> Result<(), Status> {
        match message {
            FromChild::Hello(_) => Ok(()),
            FromChild::Report(report) => self.take_report(report).await,
            FromChild::Status(_) if held.is_some() => Err(Status::failed_precondition(
                "the status messages before these were not acknowledged yet",
            )),
            FromChild::Status(batch) => {
                *held = self.take_status(status_batch(&batch)?).await?;
                Ok(())
            }
            FromChild::LogLines(lines) => {
                self.service.logs.answered(self.child, lines);
                Ok(())
            }
        }
    }

    async fn take_report(&self, mut report: SiteReport) -> Result<(), Status> {
        let site = convert::site_code("site_code", &report.site_code)?;
        convert::site_kind("site_kind", &report.site_kind)?;
        let admission = &self.service.admission;
        if !admission.may_speak_for(self.child, site).await {
            if admission.spoke_for(self.child, site).await {
                return Ok(());
            }
            self.refuse(format!("a report for site {site}")).await;
            return Ok(());
        }
        bound_report(&mut report);
        let latest = self.site().ambient.now().as_millisecond();
        let latest = u64::try_from(latest)
            .unwrap_or(0)
            .saturating_add(SEQUENCE_AHEAD);
        report.sequence = report.sequence.min(latest);
        if site == self.child {
            report.connected = true;
            report.parent = self.site().code.to_string();
        } else {
            report.parent = self.child.to_string();
        }
        self.site().reports.put(site, report);
        Ok(())
    }

    async fn take_status(&self, batch: StatusBatch) -> Result<Option<Unstored>, Status> {
        let mut rows = Vec::with_capacity(batch.messages.len());
        let (mut refused, mut why) = (0_u32, String::new());
        for message in batch.messages {
            // What cannot be taken is acknowledged all the same: it would come again for ever.
            let row = match status_row(message) {
                Ok(row) => row,
                Err(status) => {
                    refused += 1;
                    status.message().clone_into(&mut why);
                    continue;
                }
            };
            let admission = &self.service.admission;
            if admission.may_relay_for(self.child, row.site).await {
                rows.push(row);
            } else {
                refused += 1;
                why = format!("they are about site {}", row.site);
            }
        }
        if refused > 0 {
            self.refuse(format!("{refused} status messages: {why}"))
                .await;
        }
        Ok(self.store_status(rows, batch.through, 0).await)
    }

    /// Stores status messages and acknowledges them. Where that does not succeed, the link stays up: what
    /// the child asks for may not need what failed here.
    async fn store_status(
        &self,
        rows: Vec<StatusRow>,
        through: u64,
        tries: u32,
    ) -> Option<Unstored> {
        if let Err(error) = self.site().journal.relay(&rows).await {
            tracing::error!(%error, child = %self.child, "status messages could not be stored");
            let tries = tries.saturating_add(1);
            let again = Instant::now() + store_again(tries, &self.site().ambient);
            return Some(Unstored {
                rows,
                through,
                tries,
                again,
            });
        }
        self.service.children.send(
            self.child,
            ToChild::Acknowledgement(StatusAcknowledgement { through }),
        );
        None
    }

    async fn refuse(&self, what: String) {
        self.tell(StatusId::StatusRefused, vec![self.child.to_string(), what])
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_stored_is_tried_again_after_longer_and_longer_waits() {
        let ambient = daemon::Ambient::system();
        let mut before = Duration::ZERO;
        for tries in 1..=40 {
            let wait = store_again(tries, &ambient);
            let doubled = STORE_AGAIN_FIRST.saturating_mul(1 << (tries - 1).min(16));
            let usual = doubled.min(STORE_AGAIN_MOST);
            assert!(wait <= usual + usual / 2, "{tries}: {wait:?}");
            assert!(wait >= usual / 2, "{tries}: {wait:?}");
            before = before.max(wait);
        }
        assert!(before > STORE_AGAIN_MOST / 2);
        let waits: std::collections::BTreeSet<_> =
            (0..9).map(|_| store_again(9, &ambient)).collect();
        assert!(waits.len() > 1, "every child waits equally long");
    }
}
