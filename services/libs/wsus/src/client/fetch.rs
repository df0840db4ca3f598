//! Any number of update documents, in parallel batches.

use super::exchange::with_causes;
use super::{Client, Error};
use crate::fault::Fault;
use crate::message::UpdateData;
use catalog::RevisionId;
use futures::Stream;
use futures::stream;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use tokio::task::JoinSet;

/// So many updates refused one after the other end the run: then it is the server that fails, not an
/// update.
pub const MAX_REFUSED_IN_A_ROW: usize = 1_000;

/// What [`Client::fetch`] brings.
#[derive(Debug)]
pub enum Fetched {
    /// Documents, with the addresses of their files. Every one of them was asked for and comes once.
    Batch(UpdateData),
    /// The server does not give out this revision, or not in a form that can be read.
    Refused {
        /// The revision.
        id: RevisionId,
        /// Why.
        reason: Refusal,
    },
    /// The server answers without this revision, however often it is asked.
    Missing(RevisionId),
    /// The server answered with a revision that was not asked for. Its document is thrown away.
    Unasked(RevisionId),
}

/// Why a revision was not to be had.
#[derive(Debug)]
pub enum Refusal {
    /// Asking for it alone gives this fault.
    Fault(Box<Fault>),
    /// Its document cannot be read.
    Unreadable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "the upstream server refuses it with {fault}"),
            Self::Unreadable(reason) => f.write_str(reason),
        }
    }
}

impl Client {
    /// Gets the documents of `ids`, in no particular order.
    ///
    /// Requests run in parallel and go on while the caller works on what it has; no more answers are held
    /// than requests are allowed at the same time. Short answers are asked for the rest. A batch that
    /// the server fails on is halved until the revision at fault stands alone. Dropping the stream cancels.
    ///
    /// # Errors
    /// The stream ends with the first error that concerns the server and not a revision.
    pub fn fetch(
        &self,
        ids: Vec<RevisionId>,
    ) -> impl Stream<Item = Result<Fetched, Error>> + Send + use<> {
        self.fetch_until(ids, MAX_REFUSED_IN_A_ROW)
    }

    /// Gets the documents of those of `ids` that there are: the same, for revisions of which most are none, so that
    /// many refusals say nothing about the server.
    ///
    /// # Errors
    /// The stream ends with the first error that concerns the server and not a revision.
    pub fn probe(
        &self,
        ids: Vec<RevisionId>,
    ) -> impl Stream<Item = Result<Fetched, Error>> + Send + use<> {
        self.fetch_until(ids, usize::MAX)
    }

    fn fetch_until(
        &self,
        ids: Vec<RevisionId>,
        most_refused: usize,
    ) -> impl Stream<Item = Result<Fetched, Error>> + Send + use<> {
        let mut seen = HashSet::with_capacity(ids.len());
        let ids: Vec<RevisionId> = ids.into_iter().filter(|id| seen.insert(*id)).collect();
        let fetch = Fetch {
            client: self.clone(),
            unbatched: Some(ids),
            queue: VecDeque::new(),
            running: JoinSet::new(),
            ready: VecDeque::new(),
            refused_in_a_row: 0,
            most_refused,
        };
        stream::unfold(Some(fetch), |fetch| async move {
            let mut fetch = fetch?;
            match fetch.next().await {
                Ok(Some(item)) => Some((Ok(item), Some(fetch))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

type Answer = (Vec<RevisionId>, Result<UpdateData, Error>);

struct Fetch {
    client: Client,
    /// What has not been cut into batches yet, because their size has to be asked for first.
    unbatched: Option<Vec<RevisionId>>,
    queue: VecDeque<Vec<RevisionId>>,
    running: JoinSet<Answer>,
    ready: VecDeque<Fetched>,
    refused_in_a_row: usize,
    /// How many of them end it.
    most_refused: usize,
}

impl Fetch {
    async fn next(&mut self) -> Result<Option<Fetched>, Error> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if let Some(ids) = self.unbatched.take_if(|ids| !ids.is_empty()) {
                let size = self.client.batch_size().await?;
                self.queue.extend(ids.chunks(size).map(<[_]>::to_vec));
            }
            while self.running.len() < self.client.inner.parallel_requests {
                let Some(ids) = self.queue.pop_front() else {
                    break;
                };
                let client = self.client.clone();
                self.running.spawn(async move {
                    let answer = client.update_data(&ids).await;
                    (ids, answer)
                });
            }
            match self.running.join_next().await {
                None => return Ok(None),
                Some(Ok((ids, answer))) => self.absorb(ids, answer)?,
                Some(Err(_)) => {
                    return Err(Error::Interrupted {
                        url: self.client.inner.transport.root().to_owned(),
                    });
                }
            }
        }
    }

    fn absorb(
        &mut self,
        ids: Vec<RevisionId>,
        answer: Result<UpdateData, Error>,
    ) -> Result<(), Error> {
        let error = match answer {
            Ok(data) => {
                self.take(&ids, data);
                return Ok(());
            }
            Err(error) => error,
        };
        if !error.concerns_an_update() {
            return Err(error);
        }
        if let [id] = ids[..] {
            return self.refuse(id, error);
        }
        let (first, second) = ids.split_at(ids.len() / 2);
        tracing::debug!(batch = ids.len(), %error, "the batch failed and is halved");
        self.queue.push_front(second.to_vec());
        self.queue.push_front(first.to_vec());
        Ok(())
    }

    fn refuse(&mut self, id: RevisionId, error: Error) -> Result<(), Error> {
        self.refused_in_a_row += 1;
        if self.refused_in_a_row >= self.most_refused {
            return Err(Error::OnlyRefusals {
                url: self.client.inner.transport.root().to_owned(),
                count: self.refused_in_a_row,
                last: error.to_string(),
            });
        }
        let reason = if let Error::Fault { fault, .. } = error {
            Refusal::Fault(fault)
        } else if let Error::Decode { source, .. } = error {
            Refusal::Unreadable(with_causes(&*source))
        } else {
            Refusal::Unreadable(with_causes(&error))
        };
        self.ready.push_back(Fetched::Refused { id, reason });
        Ok(())
    }

    /// Sorts an answer: what was asked for, what was not, what is still to come.
    fn take(&mut self, ids: &[RevisionId], mut data: UpdateData) {
        let asked: HashSet<RevisionId> = ids.iter().copied().collect();
        let mut open = asked.clone();
        let ready = &mut self.ready;
        data.updates.retain(|update| {
            if !asked.contains(&update.id) {
                ready.push_back(Fetched::Unasked(update.id));
            }
            open.remove(&update.id)
        });
        for unreadable in std::mem::take(&mut data.unreadable) {
            let id = unreadable.id;
            if open.remove(&id) {
                let reason = Refusal::Unreadable(unreadable.reason);
                ready.push_back(Fetched::Refused { id, reason });
            } else if !asked.contains(&id) {
                ready.push_back(Fetched::Unasked(id));
            }
        }
        if !data.updates.is_empty() {
            self.refused_in_a_row = 0;
            ready.push_back(Fetched::Batch(data));
        }
        let rest: Vec<RevisionId> = ids.iter().copied().filter(|id| open.contains(id)).collect();
        if rest.len() == ids.len() {
            ready.extend(rest.into_iter().map(Fetched::Missing));
        } else if !rest.is_empty() {
            self.queue.push_front(rest);
        }
    }
}
