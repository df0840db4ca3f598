//! What a run says in the journal, in the order of `wsyncmgr.log`.

use super::{Engine, Request};
use crate::run::Trigger;
use crate::upstream::{Failure, Upstream};
use jiff::Timestamp;
use journal::StatusId;
use journal::phrases;
use std::time::Duration;
use uuid::Uuid;

impl<U: Upstream> Engine<U> {
    /// Tells that a run is tried again after this time.
    pub(super) async fn tell_retry(&self, delay: Duration, failures: u32) {
        self.shared.journal.line(None, phrases::will_retry(delay));
        let minutes = delay.as_secs().div_ceil(60).to_string();
        let inserts = vec![minutes, failures.to_string()];
        self.shared
            .journal
            .record(StatusId::RetryScheduled, None, inserts)
            .await;
    }

    pub(super) async fn tell_start(&self, id: Uuid, request: Request) {
        let journal = &self.shared.journal;
        let trigger = match (request.trigger, self.upstream.parent()) {
            (Trigger::Parent, Some(parent)) => phrases::Trigger::ParentRequest { parent },
            (Trigger::Parent | Trigger::Manual, _) => phrases::Trigger::LocalRequest,
            (Trigger::Schedule, _) => phrases::Trigger::Schedule,
            (Trigger::Retry, _) => phrases::Trigger::Retry,
            (Trigger::Poll, _) => phrases::Trigger::Poll,
        };
        for line in phrases::started(trigger) {
            journal.line(Some(id), line);
        }
        for line in phrases::software_update_points(journal.server(), &[journal.server()]) {
            journal.line(Some(id), line);
        }
        let begun = [StatusId::SyncStarted, StatusId::SyncingUpstream];
        let begun = begun.map(|status| (status, vec![]));
        journal.record_all(Some(id), begun.to_vec()).await;
        for line in phrases::upstream_started(journal.server()) {
            journal.line(Some(id), line);
        }
    }

    /// Tells that a run completed; when it did.
    pub(super) async fn tell_success(&self, id: Uuid, position: u64) -> Timestamp {
        let journal = &self.shared.journal;
        let run = self.shared.state.borrow().run.clone();
        let counts = run.as_ref().map(|run| run.counts).unwrap_or_default();
        let epoch = self.store.positions().epoch;
        journal.line(Some(id), phrases::upstream_done(journal.server()));
        journal.line(
            Some(id),
            phrases::content_version(epoch, journal.site(), position),
        );
        if self.upstream.parent().is_none() {
            // The site database of a top-level site: here it is the same database, verified and signed.
            journal
                .record(StatusId::SyncingDatabase, Some(id), vec![])
                .await;
            journal.line(Some(id), phrases::database_started(journal.server()));
            journal.line(Some(id), phrases::database_done(journal.server()));
        }
        let at = self.tell_end(id, vec![(StatusId::SyncDone, vec![])]).await;
        journal.line(Some(id), phrases::succeeded(journal.site()));
        match self.upstream.parent() {
            Some(parent) => journal.line(Some(id), phrases::synced_with_parent(parent, position)),
            None => journal.line(Some(id), phrases::updated(counts.items(), position)),
        }
        let took = run.map(|run| at.duration_since(run.started));
        let took = took.and_then(|took| Duration::try_from(took).ok());
        journal.line(Some(id), phrases::sync_time(took.unwrap_or_default()));
        at
    }

    /// Tells that a run failed; when it did.
    pub(super) async fn tell_failure(&self, id: Uuid, failure: &Failure) -> Timestamp {
        let journal = &self.shared.journal;
        journal.line(Some(id), phrases::failed(&failure.message, failure.origin));
        if let Some((status, inserts)) = &failure.status {
            journal.record(*status, Some(id), inserts.clone()).await;
        }
        let inserts = vec![failure.origin.to_owned(), failure.message.clone()];
        self.tell_end(id, vec![(StatusId::SyncFailed, inserts)])
            .await
    }

    /// Records how a run ended, and with it, in the same unit of work, what it did when: one message however long
    /// it took and whatever came. When that was: the moment of its messages is that of its history.
    pub(super) async fn tell_end(&self, id: Uuid, end: Vec<(StatusId, Vec<String>)>) -> Timestamp {
        let at = self.shared.now();
        let run = self.shared.state.borrow().run.clone();
        let part = run.filter(|run| run.id == id).map(|run| {
            let told = run.told();
            (StatusId::RunPart, told.to_inserts())
        });
        let messages = part.into_iter().chain(end).collect();
        let journal = &self.shared.journal;
        journal.record_all_at(at, Some(id), messages).await;
        at
    }

    /// Records that runs that were asked for are done by another one.
    pub(super) async fn tell_joined(&self, joined: Vec<Uuid>, run: Uuid) {
        for id in joined {
            let inserts = vec![run.to_string()];
            self.shared
                .journal
                .record(StatusId::RunJoined, Some(id), inserts)
                .await;
        }
    }

    /// Records that runs were cancelled before they began.
    pub(super) async fn tell_given_up(&self, given_up: Vec<Uuid>) {
        for id in given_up {
            let by = vec!["request".to_owned()];
            self.shared
                .journal
                .record(StatusId::RunCancelled, Some(id), by)
                .await;
        }
    }
}
