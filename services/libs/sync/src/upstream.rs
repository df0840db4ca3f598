//! What a site synchronizes from, as the engine sees it.

use crate::engine::Shared;
use crate::progress::{LOG_INTERVAL, remaining};
use crate::run::{Counts, Phase, Source, Trigger};
use catalog::PointId;
use journal::phrases::{self, Work};
use journal::{Journal, StatusId};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Where a site's catalog comes from.
pub trait Upstream: Send + Sync + 'static {
    /// What people call it: a server's name, or the code of the parent.
    fn name(&self) -> String;

    /// The parent's code, where the upstream is one. A site without a parent is a top-level site.
    fn parent(&self) -> Option<PointId>;

    /// Catches up with the upstream and goes over to the verified result; the position reached. May
    /// be dropped at any point: what was committed stays and is not fetched again.
    fn sync(&self, run: &RunHandle) -> impl Future<Output = Result<u64, Failure>> + Send;
}

/// Why a run did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What happened, where and why, for people.
    pub message: String,
    /// The part that says so, as in `Source:` of the log.
    pub origin: &'static str,
    /// A status message of its own, besides the one that the run failed.
    pub status: Option<(StatusId, Vec<String>)>,
    /// Whether trying again by itself does harm, or cannot help before a person did something.
    pub until_asked: bool,
}

impl Failure {
    /// A failure without a status message of its own.
    pub fn new(origin: &'static str, error: &dyn std::error::Error) -> Self {
        Self {
            message: with_causes(error),
            origin,
            status: None,
            until_asked: false,
        }
    }

    /// A failure that only has a sentence.
    pub fn message(origin: &'static str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            origin,
            status: None,
            until_asked: false,
        }
    }

    /// The failure, not tried again before somebody asks, or the schedule does.
    pub fn until_asked(mut self) -> Self {
        self.until_asked = true;
        self
    }

    /// The failure with a status message of its own.
    pub fn with_status(mut self, id: StatusId, inserts: Vec<String>) -> Self {
        self.status = Some((id, inserts));
        self
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::new("Store", &error)
    }
}

/// An error and what caused it, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// The run that is under way, as its upstream sees it. Cheap to clone.
#[derive(Clone)]
pub struct RunHandle {
    pub(crate) id: Uuid,
    pub(crate) trigger: Trigger,
    pub(crate) full: bool,
    pub(crate) verify: bool,
    pub(crate) alone: bool,
    pub(crate) source: Source,
    pub(crate) target: Option<u64>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) cancel: CancellationToken,
    pub(crate) pace: Arc<Mutex<Pace>>,
}

/// When the phase began and when its progress was last told.
#[derive(Debug)]
pub(crate) struct Pace {
    phase: Option<Phase>,
    began: Instant,
    told: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            phase: None,
            began: now,
            told: now,
        }
    }
}

const fn work_of(phase: Phase) -> Option<Work> {
    match phase {
        Phase::SyncingCategories => Some(Work::Categories),
        Phase::SyncingUpdates => Some(Work::Updates),
        Phase::SyncingContent => Some(Work::Content),
        Phase::Connecting | Phase::Verifying => None,
    }
}

impl RunHandle {
    /// The run's identifier.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Why it began.
    pub fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// Whether everything is to be compared.
    pub fn full(&self) -> bool {
        self.full
    }

    /// Whether every row of the catalog is read, and compared with its digest too.
    pub fn verify(&self) -> bool {
        self.verify
    }

    /// Whether it is for this site alone: sites below it are not asked to follow.
    pub fn alone(&self) -> bool {
        self.alone
    }

    /// What it is to take in.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The position that the parent asked for, if it did.
    pub fn target(&self) -> Option<u64> {
        self.target
    }

    /// The journal of the site.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Told when the run is to end early. The engine drops the upstream's future by itself; this is
    /// for tasks beside it.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Writes a line of this run to the log.
    pub fn line(&self, text: impl AsRef<str>) {
        self.shared.journal.line(Some(self.id), text);
    }

    /// Goes over to a phase. A phase that has passed is not entered again.
    pub fn enter(&self, phase: Phase) {
        let now = self.shared.now();
        let entered = self.shared.change_run(|run| run.enter(phase, now));
        if !entered {
            return;
        }
        let mut pace = self.pace();
        if pace.phase == Some(phase) {
            return;
        }
        *pace = Pace::new();
        pace.phase = Some(phase);
        drop(pace);
        if let Some(work) = work_of(phase) {
            self.line(phrases::synchronizing(work));
        }
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        // Holds three times, none of which can be left half written.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the phase is. Told in the log every few seconds, and when it is done.
    pub fn progress(&self, processed: u64, total: u64) {
        let done_before = self.shared.progress(processed, total);
        let mut pace = self.pace();
        let Some(work) = pace.phase.and_then(work_of) else {
            return;
        };
        let done = processed >= total && total > 0;
        let due = pace.told.elapsed() >= LOG_INTERVAL;
        if done_before || !(done || due) {
            return;
        }
        pace.told = Instant::now();
        let rest = remaining(processed, total, pace.began.elapsed());
        drop(pace);
        self.line(phrases::progress(work, processed, total, rest));
    }

    /// Adds to what the run did.
    pub fn count(&self, add: impl FnOnce(&mut Counts)) {
        self.shared.count(add);
    }
}
