//! The child's end of the link: dials the parent, keeps the conversation, and dials again when it ends.
//! Reports and status messages go up; sync requests, cancels and log requests come down. A site that is told that it
//! belongs below another parent dials that, and takes it for its parent when it is welcome there.

mod elsewhere;
mod greeting;
mod incoming;
mod log_lines;
mod requests;

use self::greeting::Greeted;
use self::incoming::Said;
use self::log_lines::forward_log;
use crate::address::Address;
use crate::children::{Children, STATUS_BYTES_PER_BATCH, STATUS_PER_BATCH};
use crate::dial::{Connector, explain_status};
use crate::log_route::LogRouter;
use crate::moved::{self, Moved};
use crate::pull::ParentUpstream;
use crate::site::{BoxFuture, Site};
use crate::ways::Ways;
use catalog::PointId;
use journal::StatusId;
use prost::Message as _;
use rustls::ClientConfig;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use sync::{Request, Trigger};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Status, Streaming};
use wire::convert;
use wire::v1::attach_request::Message as ToParent;
use wire::v1::{
    AttachRequest, AttachResponse, LogLines, LogRequest, SiteReport, StatusBatch, StatusMessage,
};

/// Wait after the first dial that did not succeed; doubles with each further one.
const REDIAL_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between dials.
const REDIAL_MOST: Duration = Duration::from_secs(30);
/// A link that was up for so long is dialled again at once when it goes down.
const STEADY: Duration = Duration::from_secs(30);
/// Reasons that are told while the link is down, each once.
const MAX_TOLD: usize = 16;
/// Reports are gathered this long, so that a fast run does not flood the link.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of a status message besides its inserts, at most.
const MESSAGE_OVERHEAD: usize = 128;
/// Logs that the parent may read at a time.
const MAX_LOGS: usize = 64;

/// What a site does when its parent says that the hierarchy changed.
pub trait RegisterSink: Send + Sync + 'static {
    /// Notes that a site was removed from the hierarchy.
    fn removed(&self, site: PointId) -> BoxFuture<'_, ()>;

    /// Notes where another software update point belongs.
    fn moved<'a>(&'a self, moved: &'a Moved) -> BoxFuture<'a, ()>;

    /// Keeps, so that a restart finds it, who the parent is, and whom to ask when that does not answer.
    ///
    /// The error is a sentence.
    fn keep_parent<'a>(
        &'a self,
        parent: &'a Address,
        others: &'a [Address],
    ) -> BoxFuture<'a, Result<(), String>>;
}

/// TLS towards a software update point, which has to show its certificate.
pub type TlsTowards = Arc<dyn Fn(PointId) -> Result<ClientConfig, trust::Error> + Send + Sync>;

/// The attachment of a site to its parent.
pub struct Attachment {
    /// The site.
    pub site: Site,
    /// Who is dialled.
    pub ways: Ways,
    /// TLS towards whom is dialled: our certificate, and whom we accept.
    pub tls: TlsTowards,
    /// How streams to the parent are opened.
    pub connector: Arc<dyn Connector>,
    /// The upstream, which borrows the connection.
    pub upstream: Arc<ParentUpstream>,
    /// The site's own children.
    pub children: Arc<Children>,
    /// Finds logs.
    pub logs: LogRouter,
    /// Who is told of removed sites, and of those that moved.
    pub register: Arc<dyn RegisterSink>,
    /// Owner of the tasks beside the conversation.
    pub tasks: TaskTracker,
}

/// A conversation's own state.
struct Conversation<'a> {
    attachment: &'a Attachment,
    sender: mpsc::Sender<AttachRequest>,
    reported: BTreeMap<PointId, SiteReport>,
    /// End of the batch of status messages that waits for its acknowledgement.
    unacknowledged: Option<u64>,
    /// Whether the parent is attached to its own, as it says.
    uplink: watch::Sender<bool>,
    logs: HashMap<u64, CancellationToken>,
}

/// How a dial, or the conversation that came of it, ended.
struct Ended {
    /// Whether the conversation came about.
    was_up: bool,
    why: String,
    /// Where this site belongs, if it was told.
    redirect: Option<Address>,
}

/// Why a conversation ended.
struct Left {
    why: String,
    redirect: Option<Address>,
}

impl From<String> for Left {
    fn from(why: String) -> Self {
        let redirect = None;
        Self { why, redirect }
    }
}

impl From<&str> for Left {
    fn from(why: &str) -> Self {
        Self::from(why.to_owned())
    }
}

impl From<Left> for Ended {
    fn from(Left { why, redirect }: Left) -> Self {
        Self {
            was_up: false,
            why,
            redirect,
        }
    }
}

impl Attachment {
    /// Keeps the site attached until `stop` is told.
    pub async fn keep(mut self, stop: CancellationToken) {
        let mut failures: u32 = 0;
        let mut told = BTreeSet::new();
        let mut redirect: Option<Address> = None;
        loop {
            let began = Instant::now();
            let redirected = redirect.is_some();
            let address = redirect
                .take()
                .unwrap_or_else(|| self.ways.after(failures).clone());
            let ended = tokio::select! {
                ended = self.converse(&address) => ended,
                () = stop.cancelled() => return,
            };
            self.upstream.set_channel(None);
            self.site.set_attached(false);
            failures = if began.elapsed() >= STEADY {
                0
            } else {
                failures.saturating_add(1)
            };
            redirect = ended.redirect.filter(|redirect| *redirect != address);
            if ended.was_up {
                told.clear();
            }
            let parent = self.site.parent.borrow().clone();
            let concerns = redirected || parent.is_none_or(|parent| parent.point == address.point);
            let why = ended.why;
            tracing::info!(parent = %address.point, url = address.url, why, "the link is down");
            // That others have no news is none. The same reason again and again is told once.
            if concerns && told.len() < MAX_TOLD && told.insert((address.point, why.clone())) {
                let inserts = vec![address.point.to_string(), why];
                self.site
                    .journal
                    .record(StatusId::LinkDown, None, inserts)
                    .await;
            }
            if redirect.is_some() && !redirected {
                // Who sends us on from there again waits its turn: two that send us to each other are dialled
                // no more often than one that does not answer.
                continue;
            }
            let doubled =
                REDIAL_FIRST.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(1));
            let delay = self.site.ambient.jitter(doubled.min(REDIAL_MOST));
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Dials and talks until the conversation ends.
    async fn converse(&mut self, address: &Address) -> Ended {
        match self.greet(address).await {
            Ok((conversation, mut inbound)) => {
                let attachment = conversation.attachment;
                let uplink = conversation.uplink.subscribe();
                let Left { why, redirect } = tokio::select! {
                    left = conversation.talk(&mut inbound) => left,
                    left = attachment.look_elsewhere(uplink) => left,
                };
                Ended {
                    was_up: true,
                    why,
                    redirect,
                }
            }
            Err(left) => left.into(),
        }
    }

    /// Dials, and takes who says welcome for the parent.
    async fn greet(
        &mut self,
        address: &Address,
    ) -> Result<(Conversation<'_>, Streaming<AttachResponse>), Left> {
        let Greeted {
            channel,
            sender,
            inbound,
            welcome,
        } = self.dial(address).await?;
        let positions = self.site.store.positions();
        self.take_parent(address, &welcome.others).await;
        self.upstream.set_channel(Some(channel));
        self.site.set_attached(true);
        self.site
            .journal
            .record(StatusId::LinkUp, None, vec![address.point.to_string()])
            .await;
        let place = welcome.place;
        let behind = place.position > 0
            && (place.epoch != Some(positions.epoch) || place.position != positions.verified);
        let state = self.site.engine.state();
        let unfinished = state.last_failure.is_some() || positions.head != positions.verified;
        if (behind || unfinished) && !state.running() {
            self.site.engine.request(Request {
                run: welcome.run.filter(|_| behind),
                parent_span: welcome.span.filter(|_| behind),
                target: behind.then_some(place.position),
                ..Request::new(Trigger::Poll)
            });
        }
        let conversation = Conversation {
            attachment: self,
            sender,
            reported: BTreeMap::new(),
            unacknowledged: None,
            uplink: watch::Sender::new(true),
            logs: HashMap::new(),
        };
        Ok((conversation, inbound))
    }

    /// Who refused us may have said where we belong.
    async fn refused(&self, status: &Status) -> Left {
        let code = self.site.code;
        let mut moved = moved::of_refusal(status);
        // Only a parent puts sites below this one.
        moved.retain(|moved| moved.parent != code || moved.site.is_beside(code));
        let redirect = self.learn(&moved).await;
        let why = explain_status(status);
        Left { why, redirect }
    }

    /// Takes in where points belong; the parent of this one, if it is another than the one it has, or is elsewhere.
    async fn learn(&self, moved: &[Moved]) -> Option<Address> {
        let site = &self.site;
        let mut redirect = None;
        for moved in moved {
            if moved.site == site.code {
                redirect = moved.address();
                continue;
            }
            self.register.moved(moved).await;
            if moved.parent != site.code {
                self.forget_report(moved.site).await;
            }
        }
        self.children.tell_moved(site.code, moved);
        let parent = site.parent.borrow().clone();
        redirect.filter(|redirect| Some(redirect) != parent.as_ref())
    }

    /// Forgets what a site reported that is no longer below this one.
    async fn forget_report(&self, code: PointId) {
        self.site.reports.remove(code);
        let forgotten = async {
            let mut tx = self.site.store.begin().await?;
            tx.remove_site_report(code).await?;
            tx.commit().await
        };
        let forgotten: Result<(), store::Error> = forgotten.await;
        if let Err(error) = forgotten {
            tracing::error!(%error, site = %code, "a report could not be forgotten");
        }
    }

    /// Has a new parent told what only the one before may know, which may be gone.
    async fn address_outbox(&self, parent: PointId) -> Result<(), store::Error> {
        let mut tx = self.site.store.begin().await?;
        tx.address_outbox(self.site.code, parent).await?;
        tx.commit().await
    }

    /// Takes the one who said welcome for the parent, now and after a restart.
    async fn take_parent(&mut self, address: &Address, others: &[Address]) {
        self.ways.lead_to(address.clone());
        let others = others.iter().filter(|other| other.point != self.site.code);
        self.ways.may_ask(others.cloned().collect());
        let others = self.ways.others();
        if let Err(why) = self.register.keep_parent(address, others).await {
            tracing::error!(parent = %address.point, why, "the parent could not be kept: after a restart this site asks for it again");
        }
        if let Err(error) = self.address_outbox(address.point).await {
            tracing::error!(parent = %address.point, %error, "status messages that the parent before acknowledged are not sent again before a restart");
        }
        let before = self.site.parent.send_replace(Some(address.clone()));
        if let Some(before) = before.filter(|before| before.point != address.point) {
            let inserts = vec![before.point.to_string(), address.point.to_string()];
            self.site
                .journal
                .record(StatusId::ParentChanged, None, inserts)
                .await;
        }
    }
}

impl Drop for Conversation<'_> {
    fn drop(&mut self) {
        for log in self.logs.values() {
            log.cancel();
        }
    }
}

impl Conversation<'_> {
    /// Talks until one side leaves; why it ended.
    async fn talk(mut self, inbound: &mut Streaming<AttachResponse>) -> Left {
        let site = &self.attachment.site;
        let mut reports = site.reports.watch();
        reports.mark_changed();
        let mut outbox = site.journal.watch_outbox();
        outbox.mark_changed();
        loop {
            tokio::select! {
                message = inbound.message() => match message {
                    Ok(Some(message)) => {
                        let taken = match incoming::said(message) {
                            Ok(said) => self.take(said).await,
                            Err(why) => Err(why.into()),
                        };
                        if let Err(left) = taken {
                            return left;
                        }
                    }
                    Ok(None) => return "the parent hung up".into(),
                    Err(status) => return explain_status(&status).into(),
                },
                changed = reports.changed() => {
                    if changed.is_err() {
                        return "the site is stopping".into();
                    }
                    tokio::time::sleep(REPORT_INTERVAL).await;
                    reports.mark_unchanged();
                    if self.send_reports().await.is_err() {
                        return "the parent hung up".into();
                    }
                }
                changed = outbox.changed(), if self.unacknowledged.is_none() => {
                    if changed.is_err() {
                        return "the site is stopping".into();
                    }
                    if let Err(why) = self.send_status().await {
                        return why.into();
                    }
                }
            }
        }
    }

    async fn send(&self, message: ToParent) -> Result<(), String> {
        let message = AttachRequest {
            message: Some(message),
        };
        self.sender
            .send(message)
            .await
            .map_err(|_| "the parent hung up".to_owned())
    }

    async fn send_reports(&mut self) -> Result<(), String> {
        for report in self.attachment.site.reports.all() {
            let Ok(code) = report.site_code.parse() else {
                continue;
            };
            if self.reported.get(&code) != Some(&report) {
                self.reported.insert(code, report.clone());
                self.send(ToParent::Report(report)).await?;
            }
        }
        Ok(())
    }

    /// Sends the oldest messages of the outbox. The next follow when these are acknowledged.
    async fn send_status(&mut self) -> Result<(), String> {
        let most = u32::try_from(STATUS_PER_BATCH).unwrap_or(u32::MAX);
        let waiting = async {
            let mut read = self.attachment.site.store.read().await?;
            read.outbox(most).await
        };
        let waiting = waiting
            .await
            .map_err(|error| format!("the outbox cannot be read: {error}"))?;
        let mut bytes = 0;
        let waiting: Vec<_> = waiting
            .into_iter()
            .enumerate()
            .take_while(|(index, (_, row))| {
                bytes += MESSAGE_OVERHEAD + row.inserts.iter().map(String::len).sum::<usize>();
                *index == 0 || bytes <= STATUS_BYTES_PER_BATCH
            })
            .map(|(_, message)| message)
            .collect();
        let Some((through, _)) = waiting.last() else {
            return Ok(());
        };
        let through = *through;
        let messages = waiting
            .into_iter()
            .map(|(_, row)| StatusMessage {
                site_code: row.site.to_string(),
                number: row.number,
                time: Some(convert::from_timestamp(row.time)),
                status_id: row.status_id,
                run: row
                    .run
                    .map(|run| run.as_bytes().to_vec())
                    .unwrap_or_default(),
                inserts: row.inserts,
            })
            .collect();
        self.unacknowledged = Some(through);
        let batch = StatusBatch { messages, through };
        self.send(ToParent::Status(batch.encode_to_vec())).await
    }

    async fn take(&mut self, said: Said) -> Result<(), Left> {
        let site = &self.attachment.site;
        match said {
            Said::Nothing => {}
            Said::Sync(order) => self.take_sync(order),
            Said::Cancel(run) => {
                site.engine.cancel();
                self.attachment.children.cancel(run);
            }
            Said::Acknowledged(through) => {
                if self.unacknowledged == Some(through) {
                    let acknowledged = async {
                        let mut tx = site.store.begin().await?;
                        tx.acknowledge_status(through).await?;
                        tx.commit().await
                    };
                    acknowledged
                        .await
                        .map_err(|error| format!("the outbox cannot be written: {error}"))?;
                    self.unacknowledged = None;
                    self.send_status().await?;
                }
            }
            Said::Log(request) => self.take_log_request(&request).await?,
            Said::Verify { site: code, run } => {
                if let Err(status) = site.verify(&self.attachment.children, code, run) {
                    tracing::warn!(site = %code, why = status.message(), "nothing was verified");
                }
            }
            Said::SyncSite(order) => {
                if let Err(status) = site.sync_site(&self.attachment.children, order) {
                    tracing::warn!(site = %order.site, why = status.message(), "it was not asked to synchronize");
                }
            }
            Said::CancelSite {
                site: code,
                subtree,
            } => {
                if let Err(status) = site.cancel_site(&self.attachment.children, code, subtree) {
                    tracing::warn!(site = %code, why = status.message(), "nothing was cancelled");
                }
            }
            Said::Removed(code) => {
                self.attachment.register.removed(code).await;
                self.attachment.children.tell_removed(code);
                self.attachment.forget_report(code).await;
                if code == site.code {
                    return Err("this site was removed from the hierarchy".into());
                }
            }
            Said::Uplink(attached) => {
                self.uplink.send_replace(attached);
            }
            Said::Moved(moved) => {
                let redirect = self.attachment.learn(&moved).await;
                let parent = site.parent.borrow().as_ref().map(|parent| parent.point);
                if let Some(redirect) = redirect.filter(|redirect| Some(redirect.point) != parent) {
                    return Err(Left {
                        why: format!("this site belongs below {} now", redirect.point),
                        redirect: Some(redirect),
                    });
                }
            }
        }
        Ok(())
    }

    async fn take_log_request(&mut self, request: &LogRequest) -> Result<(), String> {
        if let Some(log) = self.logs.remove(&request.request) {
            log.cancel();
        }
        if request.stop {
            return Ok(());
        }
        self.logs.retain(|_, log| !log.is_cancelled());
        let number = request.request;
        let refused = |error: String| LogLines {
            request: number,
            lines: vec![],
            end: true,
            error,
        };
        let site = match convert::site_code("site_code", &request.site_code) {
            Ok(site) if self.logs.len() < MAX_LOGS => site,
            Ok(_) => {
                let busy = refused("too many logs are being read at once".to_owned());
                return self.send(ToParent::LogLines(busy)).await;
            }
            Err(error) => {
                let refused = refused(error.to_string());
                return self.send(ToParent::LogLines(refused)).await;
            }
        };
        let done = CancellationToken::new();
        self.logs.insert(number, done.clone());
        let (logs, sender) = (self.attachment.logs.clone(), self.sender.clone());
        let (last, follow) = (request.last, request.follow);
        self.attachment.tasks.spawn(async move {
            let forward = forward_log(logs, sender, number, site, last, follow);
            tokio::select! {
                () = forward => {}
                () = done.cancelled() => {}
            }
            done.cancel();
        });
        Ok(())
    }
}
