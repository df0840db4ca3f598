//! The child's end of the link: dials the parent, keeps the conversation, and dials again when it ends.
//! Reports and status messages go up; sync requests, cancels and log requests come down.

mod incoming;

use self::incoming::{Order, Said};
use crate::VERSION;
use crate::children::{Children, STATUS_BYTES_PER_BATCH, STATUS_PER_BATCH};
use crate::dial::{self, Connector, explain_status};
use crate::log_route::LogRouter;
use crate::pull::ParentUpstream;
use crate::site::{BoxFuture, Site};
use catalog::SiteCode;
use futures::StreamExt as _;
use journal::StatusId;
use prost::Message as _;
use rustls::ClientConfig;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use sync::{Request, Trigger};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Streaming;
use wire::convert;
use wire::v1::attach_request::Message as ToParent;
use wire::v1::{
    AttachRequest, AttachResponse, Hello, LogLines, LogRequest, SiteReport, StatusBatch,
    StatusMessage,
};

/// Wait after the first dial that did not succeed; doubles with each further one.
const REDIAL_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between dials.
const REDIAL_MOST: Duration = Duration::from_secs(30);
/// A link that was up for so long is dialled again at once when it goes down.
const STEADY: Duration = Duration::from_secs(30);
/// How long a parent may take to say welcome.
const WELCOME: Duration = Duration::from_secs(15);
/// Messages that wait for a slow parent.
const BUFFER: usize = 256;
/// Reports are gathered this long, so that a fast run does not flood the link.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of a status message besides its inserts, at most.
const MESSAGE_OVERHEAD: usize = 128;
/// Logs that the parent may read at a time.
const MAX_LOGS: usize = 64;

/// What a primary site does when its parent says that a site was removed.
pub trait RemovalSink: Send + Sync + 'static {
    /// Notes that a site was removed from the hierarchy.
    fn removed(&self, site: SiteCode) -> BoxFuture<'_, ()>;
}

/// The attachment of a site to its parent.
pub struct Attachment {
    /// The site.
    pub site: Site,
    /// The parent's code.
    pub parent: SiteCode,
    /// The parent's address.
    pub url: String,
    /// TLS towards the parent: our certificate, and whom we accept.
    pub tls: Arc<ClientConfig>,
    /// How streams to the parent are opened.
    pub connector: Arc<dyn Connector>,
    /// The upstream, which borrows the connection.
    pub upstream: Arc<ParentUpstream>,
    /// The site's own children.
    pub children: Arc<Children>,
    /// Finds logs.
    pub logs: LogRouter,
    /// Who is told of removed sites.
    pub removals: Arc<dyn RemovalSink>,
    /// Owner of the tasks beside the conversation.
    pub tasks: TaskTracker,
}

/// A conversation's own state.
struct Conversation<'a> {
    attachment: &'a Attachment,
    sender: mpsc::Sender<AttachRequest>,
    reported: BTreeMap<SiteCode, SiteReport>,
    /// End of the batch of status messages that waits for its acknowledgement.
    unacknowledged: Option<u64>,
    logs: HashMap<u64, CancellationToken>,
}

impl Attachment {
    /// Keeps the site attached until `stop` is told.
    pub async fn keep(self, stop: CancellationToken) {
        let mut failures: u32 = 0;
        let mut told = None;
        loop {
            let began = Instant::now();
            let (was_up, why) = tokio::select! {
                ended = self.converse() => ended,
                () = stop.cancelled() => return,
            };
            self.upstream.set_channel(None);
            failures = if began.elapsed() >= STEADY {
                0
            } else {
                failures.saturating_add(1)
            };
            // The same reason again and again is told once.
            if was_up || told.as_ref() != Some(&why) {
                self.site
                    .journal
                    .record(
                        StatusId::LinkDown,
                        None,
                        vec![self.parent.to_string(), why.clone()],
                    )
                    .await;
                told = Some(why);
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

    /// Dials and talks until the conversation ends: whether it came about, and why it ended.
    async fn converse(&self) -> (bool, String) {
        let dialled = dial::channel(
            &self.url,
            Arc::clone(&self.tls),
            Arc::clone(&self.connector),
        )
        .await;
        let channel = match dialled {
            Ok(channel) => channel,
            Err(error) => return (false, error.to_string()),
        };
        self.upstream.set_channel(Some(channel));
        let (sender, receiver) = mpsc::channel(BUFFER);
        let positions = self.site.store.positions();
        let hello = AttachRequest {
            message: Some(ToParent::Hello(Hello {
                version: VERSION.to_owned(),
                epoch: positions.epoch.as_bytes().to_vec(),
                position: positions.verified,
            })),
        };
        // The channel is empty and open: the first message always fits.
        sender.try_send(hello).ok();
        let mut client = match self.upstream.client() {
            Ok(client) => client.max_decoding_message_size(incoming::MOST_BYTES),
            Err(failure) => return (false, failure.message),
        };
        let attach = client.attach(ReceiverStream::new(receiver));
        let mut inbound = match tokio::time::timeout(WELCOME, attach).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return (false, explain_status(&status)),
            Err(_) => return (false, "the parent did not answer in time".to_owned()),
        };
        let welcome = match tokio::time::timeout(WELCOME, inbound.message()).await {
            Ok(Ok(first)) => match incoming::welcome(first) {
                Ok(place) => place,
                Err(why) => return (false, why),
            },
            Ok(Err(status)) => return (false, explain_status(&status)),
            Err(_) => return (false, "the parent did not answer in time".to_owned()),
        };
        self.site
            .journal
            .record(StatusId::LinkUp, None, vec![self.parent.to_string()])
            .await;
        let behind = welcome.position > 0
            && (welcome.epoch != Some(positions.epoch) || welcome.position != positions.verified);
        let state = self.site.engine.state();
        let unfinished = state.last_failure.is_some() || positions.head != positions.verified;
        if (behind || unfinished) && !state.running() {
            self.site.engine.request(Request {
                target: behind.then_some(welcome.position),
                ..Request::new(Trigger::Poll)
            });
        }
        let conversation = Conversation {
            attachment: self,
            sender,
            reported: BTreeMap::new(),
            unacknowledged: None,
            logs: HashMap::new(),
        };
        (true, conversation.talk(&mut inbound).await)
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
    async fn talk(mut self, inbound: &mut Streaming<AttachResponse>) -> String {
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
                            Err(why) => Err(why),
                        };
                        if let Err(why) = taken {
                            return why;
                        }
                    }
                    Ok(None) => return "the parent hung up".to_owned(),
                    Err(status) => return explain_status(&status),
                },
                changed = reports.changed() => {
                    if changed.is_err() {
                        return "the site is stopping".to_owned();
                    }
                    tokio::time::sleep(REPORT_INTERVAL).await;
                    reports.mark_unchanged();
                    if self.send_reports().await.is_err() {
                        return "the parent hung up".to_owned();
                    }
                }
                changed = outbox.changed(), if self.unacknowledged.is_none() => {
                    if changed.is_err() {
                        return "the site is stopping".to_owned();
                    }
                    if let Err(why) = self.send_status().await {
                        return why;
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

    async fn take(&mut self, said: Said) -> Result<(), String> {
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
            Said::Removed(code) => {
                self.attachment.removals.removed(code).await;
                self.attachment.children.tell_removed(code);
                site.reports.remove(code);
                let forgotten = async {
                    let mut tx = site.store.begin().await?;
                    tx.remove_site_report(code).await?;
                    tx.commit().await
                };
                if let Err(error) = forgotten.await {
                    tracing::error!(%error, site = %code, "a report could not be forgotten");
                }
                if code == site.code {
                    return Err("this site was removed from the hierarchy".to_owned());
                }
            }
        }
        Ok(())
    }

    fn take_sync(&self, order: Order) {
        let Order { run, target, full } = order;
        let site = &self.attachment.site;
        let state = site.engine.state();
        let positions = site.store.positions();
        // A parent that is still pulling announces a run, and once more when it is done. A run that
        // follows the parent's to its end serves both.
        let same = state
            .run
            .as_ref()
            .filter(|held| Some(held.id) == run)
            .is_some_and(|held| match held.state {
                sync::State::Requested | sync::State::Running { .. } => true,
                sync::State::Completed { .. } => {
                    target.epoch == Some(positions.epoch) && positions.verified >= target.position
                }
                sync::State::Failed { .. } | sync::State::Cancelled { .. } => false,
            });
        if same {
            site.engine.raise_target(target.position);
            return;
        }
        site.engine.request(Request {
            run,
            full,
            target: Some(target.position),
            ..Request::new(Trigger::Parent)
        });
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

async fn forward_log(
    logs: LogRouter,
    sender: mpsc::Sender<AttachRequest>,
    request: u64,
    site: SiteCode,
    last: u32,
    follow: bool,
) {
    let answer = |lines, end, error| AttachRequest {
        message: Some(ToParent::LogLines(LogLines {
            request,
            lines,
            end,
            error,
        })),
    };
    let mut error = String::new();
    match logs.read(site, last, follow).await {
        Ok(mut lines) => {
            while let Some(next) = lines.next().await {
                match next {
                    Ok(lines) => {
                        if sender
                            .send(answer(lines, false, String::new()))
                            .await
                            .is_err()
                        {
                            return;
                        }
                    }
                    Err(status) => status.message().clone_into(&mut error),
                }
            }
        }
        Err(status) => status.message().clone_into(&mut error),
    }
    sender.send(answer(vec![], true, error)).await.ok();
}
