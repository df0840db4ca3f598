//! Reading the log of any site: here, or by way of the child that the site is reached through.

use crate::children::Children;
use crate::site::Site;
use catalog::{PointId, Problem};
use futures::{Stream, StreamExt as _};
use journal::log_file::{LogFileError, MAX_LINE};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tonic::Status;
use wire::v1::attach_response::Message;
use wire::v1::{LogLines, LogRequest};

/// Lines that may be asked for at once.
pub const MAX_LINES: u32 = 10_000;
/// Lines in one message.
const LINES_PER_MESSAGE: usize = 100;
/// Requests to children that may be open at a time.
const MAX_OPEN: usize = 64;
/// Messages that wait for a slow reader.
const BUFFER: usize = 64;
/// How long a site may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Lines of a log as they come.
pub type Lines = Pin<Box<dyn Stream<Item = Result<Vec<String>, Status>> + Send>>;

/// Finds the log of any site of the subtree. Cheap to clone.
#[derive(Clone)]
pub struct LogRouter {
    site: Site,
    children: Arc<Children>,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    last: u64,
    requests: HashMap<u64, (PointId, mpsc::Sender<LogLines>)>,
}

/// A request to a child; dropping it tells the child to stop.
struct Request {
    number: u64,
    child: PointId,
    site: PointId,
    router: LogRouter,
}

/// What a child answers to a request, as it comes.
struct Answers {
    request: Request,
    receiver: mpsc::Receiver<LogLines>,
    /// The first answer, which was waited for.
    first: Option<LogLines>,
}

impl Answers {
    /// The next lines, and whether more may come; none when there are no more.
    async fn next(&mut self) -> Option<(Result<Vec<String>, Status>, bool)> {
        let site = self.request.site;
        let lines = match self.first.take() {
            Some(first) => first,
            None => self.receiver.recv().await.unwrap_or_else(|| LogLines {
                error: format!("the log of {site} stopped: the link went down, or nobody read it"),
                ..LogLines::default()
            }),
        };
        if !lines.error.is_empty() {
            return Some((Err(Status::unavailable(lines.error)), false));
        }
        if lines.end && lines.lines.is_empty() {
            return None;
        }
        Some((Ok(lines.lines), !lines.end))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.router.open().requests.remove(&self.number);
        let stop = LogRequest {
            request: self.number,
            site_code: self.site.to_string(),
            last: 0,
            follow: false,
            stop: true,
        };
        self.router
            .children
            .send(self.child, Message::LogRequest(stop));
    }
}

impl LogRouter {
    /// A router for a site and its children.
    pub fn new(site: Site, children: Arc<Children>) -> Self {
        Self {
            site,
            children,
            open: Arc::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Each change is one insertion or removal.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last lines of a site's log, and with `follow` those that are written from now on.
    ///
    /// # Errors
    /// When the site is unknown, or cannot be reached.
    pub async fn read(&self, site: PointId, last: u32, follow: bool) -> Result<Lines, Status> {
        let last = last.min(MAX_LINES);
        if site == self.site.code {
            return self.own(last, follow);
        }
        let child = self.site.child_towards(site)?;
        let (sender, mut receiver) = mpsc::channel(BUFFER);
        let number = {
            let mut open = self.open();
            if open.requests.len() >= MAX_OPEN {
                return Err(Status::resource_exhausted(
                    "too many logs are being read at once; close some",
                ));
            }
            open.last += 1;
            let number = open.last;
            open.requests.insert(number, (child, sender));
            number
        };
        let request = Request {
            number,
            child,
            site,
            router: self.clone(),
        };
        let message = LogRequest {
            request: number,
            site_code: site.to_string(),
            last,
            follow,
            stop: false,
        };
        if !self.children.send(child, Message::LogRequest(message)) {
            return Err(Status::unavailable(format!(
                "site {child} is not connected; its log can be read when it is back"
            )));
        }
        let first = tokio::time::timeout(ANSWER, receiver.recv())
            .await
            .map_err(|_| Status::deadline_exceeded(format!("site {site} did not answer in time")))?
            .ok_or_else(|| Status::unavailable(format!("the link to site {child} went down")))?;
        let answers = Answers {
            request,
            receiver,
            first: Some(first),
        };
        let lines = futures::stream::unfold(Some(answers), |answers| async move {
            let mut answers = answers?;
            let (lines, more) = answers.next().await?;
            Some((lines, more.then_some(answers)))
        })
        .boxed();
        Ok(lines)
    }

    fn own(&self, last: u32, follow: bool) -> Result<Lines, Status> {
        let journal = &self.site.journal;
        let live = journal.follow();
        read_here(live, |lines| journal.tail(lines), last, follow)
    }

    /// The last lines of this site's merged log, and with `follow` those that are written from now on.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn merged(&self, last: u32, follow: bool) -> Result<Lines, Status> {
        let journal = &self.site.journal;
        let live = journal.follow_merged();
        read_here(
            live,
            |lines| journal.tail_merged(lines),
            last.min(MAX_LINES),
            follow,
        )
    }

    /// Takes lines that a child sent in. A reader that does not keep up loses the log: the link to the
    /// child has other things to carry.
    pub(crate) fn answered(&self, child: PointId, mut lines: LogLines) {
        bound(&mut lines);
        let mut open = self.open();
        let request = lines.request;
        let lost = open
            .requests
            .get(&request)
            .filter(|(asked, _)| *asked == child)
            .is_some_and(|(_, sender)| sender.try_send(lines).is_err());
        if lost {
            open.requests.remove(&request);
        }
    }

    /// Ends the requests to a child whose link went down.
    pub(crate) fn child_left(&self, child: PointId) {
        self.open().requests.retain(|_, (asked, _)| *asked != child);
    }
}

/// The end of a log of this site, and then what is written to it.
fn read_here(
    mut live: broadcast::Receiver<Arc<str>>,
    tail: impl FnOnce(usize) -> Result<Vec<String>, LogFileError>,
    last: u32,
    follow: bool,
) -> Result<Lines, Status> {
    let lines = tail(usize::try_from(last).unwrap_or(usize::MAX))
        .map_err(|error| Status::internal(error.to_string()))?;
    let chunks: Vec<_> = lines
        .chunks(LINES_PER_MESSAGE)
        .map(|chunk| Ok(chunk.to_vec()))
        .collect();
    let past = futures::stream::iter(chunks);
    if !follow {
        return Ok(past.boxed());
    }
    let live = async_lines(move || {
        let next = live.try_recv();
        match next {
            Ok(line) => Some(Ok(line.to_string())),
            Err(broadcast::error::TryRecvError::Lagged(lost)) => {
                Some(Ok(format!("({lost} lines were left out)")))
            }
            Err(broadcast::error::TryRecvError::Empty) => None,
            Err(broadcast::error::TryRecvError::Closed) => Some(Err(())),
        }
    });
    Ok(past.chain(live).boxed())
}

/// Cuts what a child says of a log to what a site sends of its own. The error travels in the head of an
/// answer, where little fits.
fn bound(answer: &mut LogLines) {
    answer.lines.truncate(LINES_PER_MESSAGE);
    for line in &mut answer.lines {
        line.truncate(line.floor_char_boundary(MAX_LINE));
    }
    answer.error = Problem::new(&answer.error).to_string();
}

/// How often a log that is followed is looked at for new lines.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// Lines as `next` gives them, gathered a few times a second. `Some(Err(()))` ends the stream.
fn async_lines(
    next: impl FnMut() -> Option<Result<String, ()>> + Send + 'static,
) -> impl Stream<Item = Result<Vec<String>, Status>> + Send {
    futures::stream::unfold(Some(next), |state| async move {
        let mut next = state?;
        loop {
            let mut lines = Vec::new();
            let mut ended = false;
            while lines.len() < LINES_PER_MESSAGE {
                match next() {
                    Some(Ok(line)) => lines.push(line),
                    Some(Err(())) => {
                        ended = true;
                        break;
                    }
                    None => break,
                }
            }
            if ended {
                return (!lines.is_empty()).then_some((Ok(lines), None));
            }
            if !lines.is_empty() {
                return Some((Ok(lines), Some(next)));
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_of_a_log_is_bounded() {
        let mut answer = LogLines {
            request: 1,
            lines: vec!["ä".repeat(MAX_LINE); 1_000],
            end: true,
            error: "no\r\n\u{1b}[2J".repeat(100_000),
        };
        bound(&mut answer);
        assert_eq!(answer.lines.len(), LINES_PER_MESSAGE);
        assert!(answer.lines.iter().all(|line| line.len() <= MAX_LINE));
        assert!(answer.error.len() < 1_000 && !answer.error.contains(char::is_control));
        let mut silent = LogLines::default();
        bound(&mut silent);
        assert_eq!(silent, LogLines::default());
    }
}
