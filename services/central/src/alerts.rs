//! Alerts: what is wrong at the sites of the hierarchy, since when, and who knows of it. What counts as wrong
//! is decided by [`plan`]; here it is looked at again and again, written down, and told.
//!
//! Invariant: an alert, its status message and what receivers have to be told of it are one unit of work, so
//! that each is told of once, whatever is interrupted.

pub mod event;
pub mod kind;
mod mail;
pub mod notify;
pub mod plan;
mod webhook;

use crate::ingest::VANISHED;
use catalog::{PointId, UpdateId};
use daemon::Ambient;
use event::{Event, What};
use hierarchy::Hierarchy;
use jiff::Timestamp;
use journal::{Journal, Recorded, SYNC_MANAGER, Severity, StatusId, StatusMessage};
use kind::Kind;
use link::reports::Reports;
use plan::{Facts, Plan, Told};
use settings::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::alerts::AlertRow;
use store::deliveries::DeliveryRow;
use store::{Store, Tx};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trust::HierarchyId;
use uuid::Uuid;

/// Where a version before this one kept the sites with a failure alert.
const FORMER: &str = "sync-failure-alerts";
/// Reports are gathered this long.
const GATHER: Duration = Duration::from_secs(1);
/// The sites are looked at this often, however little happens: somebody may set the clock, and a machine may
/// sleep.
const LOOK: Duration = Duration::from_secs(60);
/// A look that found a failing database is repeated after this time.
const AGAIN: Duration = Duration::from_secs(30);

/// The alerts of a hierarchy. Cheap to clone.
#[derive(Clone)]
pub struct Alerts {
    store: Store,
    journal: Journal,
    ambient: Ambient,
    reports: Reports,
    settings: watch::Receiver<Arc<Settings>>,
    hierarchy: HierarchyId,
    changes: watch::Sender<u64>,
}

/// An alert as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The alert.
    pub row: AlertRow,
    /// How bad it is.
    pub severity: Severity,
    /// The sentence.
    pub text: String,
    /// What leads to it.
    pub cause: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}

impl From<AlertRow> for Alert {
    fn from(row: AlertRow) -> Self {
        let known = StatusId::from_number(row.status_id);
        let message = StatusMessage {
            site: row.site,
            number: 0,
            time: row.since,
            id: row.status_id,
            severity: known.map_or(Severity::Warning, StatusId::severity),
            run: None,
            component: SYNC_MANAGER.to_owned(),
            inserts: row.inserts.clone(),
        };
        let entry = known.map(StatusId::entry);
        Self {
            severity: message.severity,
            text: message.bounded().text(),
            cause: entry.map_or("", |entry| entry.cause),
            cure: entry.map_or("", |entry| entry.cure),
            row,
        }
    }
}

/// What a unit of work did, for after its commit.
struct Done {
    recorded: Recorded,
    /// What was dropped because too much waits.
    dropped: Vec<DeliveryRow>,
}

impl Alerts {
    /// The alerts of a hierarchy, whose sites report to `reports`.
    pub fn new(
        (store, journal, ambient): (Store, Journal, Ambient),
        reports: Reports,
        settings: watch::Receiver<Arc<Settings>>,
        hierarchy: HierarchyId,
    ) -> Self {
        Self {
            store,
            journal,
            ambient,
            reports,
            settings,
            hierarchy,
            changes: watch::Sender::new(0),
        }
    }

    /// Changes whenever an alert does: one is raised, ends, is acknowledged, or says something else.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The alerts, newest first: those that have not ended, and where they are asked for, those that have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, ended: bool, most: u32) -> Result<Vec<Alert>, store::Error> {
        let rows = self.store.read().await?.alerts(ended, most).await?;
        Ok(rows.into_iter().map(Alert::from).collect())
    }

    /// Notes that a person knows of an alert; the first who did stays. None where there is no such alert.
    ///
    /// # Errors
    /// When the database fails. It may be repeated.
    pub async fn acknowledge(&self, id: Uuid, who: &str) -> Result<Option<Alert>, store::Error> {
        let now = self.ambient.now();
        let mut tx = self.store.begin().await?;
        let Some(mut row) = tx.alert(id).await? else {
            return Ok(None);
        };
        if row.acknowledged.is_some() {
            return Ok(Some(row.into()));
        }
        row.acknowledged = Some((who.to_owned(), now));
        tx.put_alert(&row).await?;
        let alert = Alert::from(row);
        let message = (
            StatusId::AlertAcknowledged,
            vec![who.to_owned(), alert.text.clone()],
        );
        let told = vec![(alert.clone(), What::Acknowledged)];
        let done = self.within(&mut tx, vec![message], told, now).await?;
        tx.commit().await?;
        self.after(done).await;
        Ok(Some(alert))
    }

    /// Looks at the sites until `stop` is told.
    pub async fn keep(self, stop: CancellationToken) {
        let mut reports = self.reports.watch();
        let mut settings = self.settings.clone();
        let watching_since = self.ambient.now();
        let mut is_taken_over = false;
        loop {
            if !is_taken_over {
                let taken_over = self.take_over().await;
                is_taken_over = taken_over.is_ok();
                if let Err(error) = taken_over {
                    tracing::error!(%error, "the alerts of an earlier version cannot be taken over");
                }
            }
            settings.mark_unchanged();
            // A run of this site that ended is a new report, too.
            reports.mark_unchanged();
            // What was told of already is not told of again.
            let looked = match is_taken_over {
                true => self.look(watching_since).await.map(Some),
                false => Ok(None),
            };
            let wait = match looked {
                Ok(None) => AGAIN,
                Ok(Some(next)) => {
                    let left = next.map(|next| next.duration_since(self.ambient.now()));
                    let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
                    left.map_or(LOOK, |left| left.clamp(GATHER, LOOK))
                }
                Err(error) => {
                    tracing::error!(%error, "the alerts of the sites cannot be looked at");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => continue,
                changed = reports.changed() => if changed.is_err() { return },
                changed = settings.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes over the alerts that a version before this one raised and told of.
    async fn take_over(&self) -> Result<(), store::Error> {
        let former = self.store.read().await?.state(FORMER).await?;
        let Some(former) = former else {
            return Ok(());
        };
        let now = self.ambient.now();
        let mut tx = self.store.begin().await?;
        tx.remove_state(FORMER).await?;
        let codes = String::from_utf8_lossy(&former).into_owned();
        for site in codes
            .split(' ')
            .filter_map(|code| code.parse::<PointId>().ok())
        {
            let row = AlertRow {
                id: self.ambient.new_id(),
                kind: Kind::SyncFailed.name().to_owned(),
                site,
                subject: String::new(),
                since: now,
                raised: Some(now),
                ended: None,
                status_id: Kind::SyncFailed.raised().number(),
                inserts: vec![site.to_string()],
                mark: String::new(),
                acknowledged: None,
            };
            tx.put_alert(&row).await?;
        }
        tx.commit().await
    }

    /// Compares what is noted with what the sites report, and writes down what changed. When to look again at
    /// the latest.
    async fn look(&self, watching_since: Timestamp) -> Result<Option<Timestamp>, store::Error> {
        let (open, vanished) = {
            let mut read = self.store.read().await?;
            (read.open_alerts().await?, read.state(VANISHED).await?)
        };
        let settings = Arc::clone(&self.settings.borrow());
        let vanished = still_chosen(vanished.as_deref(), &settings);
        let hierarchy = Hierarchy::new(self.reports.all());
        let now = self.ambient.now();
        let facts = Facts {
            hierarchy: &hierarchy,
            settings: &settings,
            vanished: &vanished,
            top: self.journal.site(),
            watching_since,
            // As the database keeps it.
            now: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
        };
        let planned = plan::plan(facts, &open, || self.ambient.new_id());
        if planned.is_nothing() {
            return Ok(planned.next);
        }
        let mut tx = self.store.begin().await?;
        // Somebody may have acknowledged one meanwhile.
        let open = tx.open_alerts().await?;
        let planned = plan::plan(facts, &open, || self.ambient.new_id());
        let next = planned.next;
        let done = self.write(&mut tx, planned, now).await?;
        tx.commit().await?;
        self.after(done).await;
        Ok(next)
    }

    async fn write(
        &self,
        tx: &mut Tx<'_>,
        planned: Plan,
        now: Timestamp,
    ) -> Result<Done, store::Error> {
        for id in planned.forget {
            tx.remove_alert(id).await?;
        }
        let (mut messages, mut told) = (Vec::new(), Vec::new());
        for (row, what) in planned.write {
            tx.put_alert(&row).await?;
            let kind = row.kind.parse::<Kind>();
            let inserts = row.inserts.clone();
            match (what, kind) {
                (Told::Raised, Ok(kind)) => {
                    messages.push((kind.raised(), inserts));
                    told.push((row.into(), What::Raised));
                }
                (Told::Ended, Ok(kind)) => {
                    let named = inserts.into_iter().take(1).collect();
                    messages.push((kind.ended(), named));
                    told.push((row.into(), What::Ended));
                }
                (Told::Nothing, _) | (_, Err(_)) => {}
            }
        }
        self.within(tx, messages, told, now).await
    }

    /// Records messages and puts notifications into the queue, in the unit of work of what they are about.
    async fn within(
        &self,
        tx: &mut Tx<'_>,
        messages: Vec<(StatusId, Vec<String>)>,
        told: Vec<(Alert, What)>,
        now: Timestamp,
    ) -> Result<Done, store::Error> {
        let recorded = self.journal.record_within(tx, messages).await?;
        let receivers = notify::receivers(&self.settings.borrow());
        if receivers.is_empty() {
            return Ok(Done {
                recorded,
                dropped: Vec::new(),
            });
        }
        for (alert, what) in told {
            let event = Event {
                id: self.ambient.new_id(),
                what,
                time: now,
                hierarchy: self.hierarchy,
                top: self.journal.site(),
                alert: Some(&alert),
            };
            tx.queue_delivery(&receivers, &alert.row, &event.to_json(), now)
                .await?;
        }
        let dropped = tx.bound_deliveries().await?;
        Ok(Done { recorded, dropped })
    }

    /// Tells what a unit of work did, after its commit.
    async fn after(&self, done: Done) {
        self.journal.tell(done.recorded);
        let mut dropped: BTreeMap<String, u64> = BTreeMap::new();
        for row in &done.dropped {
            *dropped.entry(notify::shown(&row.receiver)).or_default() += 1;
        }
        for (receiver, count) in dropped {
            let why = format!("more than {} wait", store::deliveries::MOST_WAITING);
            let inserts = vec![receiver, count.to_string(), why];
            self.journal
                .record(StatusId::NotificationGivenUp, None, inserts)
                .await;
        }
        self.changes.send_modify(|version| *version += 1);
    }
}

/// The categories that the last run did not find, as far as they are chosen still.
fn still_chosen(vanished: Option<&[u8]>, settings: &Settings) -> BTreeMap<UpdateId, String> {
    let mut vanished: BTreeMap<UpdateId, String> = vanished
        .and_then(|json| serde_json::from_slice(json).ok())
        .unwrap_or_default();
    let products = &settings.products;
    vanished.retain(|id, _| {
        let chosen = products.products.contains(id) || products.classifications.contains(id);
        chosen && !products.everything
    });
    vanished
}
