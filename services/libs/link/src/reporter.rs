//! The report that a site makes of itself, whenever something about it changes.

use crate::VERSION;
use crate::condition::Condition;
use crate::content::ContentState;
use crate::site::Site;
use catalog::PointId;
use catalog::language::Language;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use sync::{EngineState, State};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trust::statement::SignedStatement;
use wire::convert::from_timestamp;
use wire::v1::{PhaseStart, RunReport, SiteReport};

/// Reports are made no more often than this.
const INTERVAL: Duration = Duration::from_millis(100);
/// Reports are kept in the database no more often than this, so that a restart shows the last known state.
const KEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Where the site stands, as a report says it.
#[derive(Clone)]
pub struct Place {
    /// Where the site is reached; empty where it takes no children in.
    pub address: String,
    /// Where the catalog comes from, for people. Settings may change it.
    pub upstream: Arc<dyn Fn() -> String + Send + Sync>,
    /// Language of the server's locale, where WSUS has one for it.
    pub locale: Option<Language>,
    /// Version of the settings that is in force.
    pub settings_version: watch::Receiver<u64>,
    /// Certificate and disk.
    pub condition: watch::Receiver<Condition>,
    /// Content files.
    pub content: watch::Receiver<ContentState>,
}

/// Makes the site's report whenever its engine or its catalog moved, until `stop` is told.
pub async fn report(site: Site, mut place: Place, stop: CancellationToken) {
    let mut engine = site.engine.watch();
    let mut positions = site.store.watch_positions();
    let mut parent = site.parent.subscribe();
    let mut statement = None;
    let mut sequence = site
        .reports
        .get(site.code)
        .map_or(0, |report| report.sequence);
    loop {
        // The engine first: what a run that completed has verified is in the positions by then.
        let state = engine.borrow_and_update().clone();
        let verified = positions.borrow_and_update().verified;
        let epoch = positions.borrow().epoch;
        let of = |held: &SignedStatement| (held.claimed().epoch, held.claimed().position);
        if statement.as_ref().map(of) != Some((epoch, verified)) {
            statement = read_statement(&site)
                .await
                .filter(|held| of(held) == (epoch, verified));
        }
        let (root, items) = statement.as_ref().map_or((Vec::new(), 0), |held| {
            (held.claimed().root.to_vec(), held.claimed().items)
        });
        let now = site.ambient.now();
        sequence = (sequence + 1).max(u64::try_from(now.as_millisecond()).unwrap_or(0));
        let positions_now = site.store.positions();
        let condition = *place.condition.borrow_and_update();
        let (valid_from, expires) = condition.certificate.unzip();
        let content = place.content.borrow_and_update().clone();
        let report = SiteReport {
            site_code: site.code.to_string(),
            site_kind: site.kind.name().to_owned(),
            parent: parent
                .borrow_and_update()
                .as_ref()
                .map_or_else(String::new, |parent| parent.point.to_string()),
            sequence,
            version: VERSION.to_owned(),
            epoch: positions_now.epoch.as_bytes().to_vec(),
            position: positions_now.head,
            verified_position: verified,
            root,
            items,
            run: run_report(&state),
            last_success: state.last_success.map(from_timestamp),
            last_failure: state
                .last_failure
                .as_ref()
                .map(|(at, _)| from_timestamp(*at)),
            last_error: state
                .last_failure
                .map(|(_, error)| error)
                .unwrap_or_default(),
            next_attempt: state.next_attempt.map(from_timestamp),
            reported: Some(from_timestamp(now)),
            upstream: (place.upstream)(),
            connected: true,
            address: place.address.clone(),
            failed_in_a_row: state.failed_in_a_row,
            received_changes: site.received.changes.load(Ordering::Relaxed),
            received_bytes: site.received.bytes.load(Ordering::Relaxed),
            target_position: state.target,
            statement: statement
                .as_ref()
                .map(|held| held.to_bytes().to_vec())
                .unwrap_or_default(),
            locale: place.locale.map_or("", Language::tag).to_owned(),
            settings_version: *place.settings_version.borrow_and_update(),
            certificate_valid_from: valid_from.map(from_timestamp),
            certificate_expires: expires.map(from_timestamp),
            disk_free: condition.disk.map_or(0, |room| room.free),
            disk_total: condition.disk.map_or(0, |room| room.total),
            content_files: content.files,
            content_bytes: content.bytes,
            content_files_to_go: content.files_to_go,
            content_bytes_to_go: content.bytes_to_go,
            content_bytes_per_second: content.bytes_per_second,
            content_done_at: content.done_at.map(from_timestamp),
            content_failing: content.failing,
            content_quarantined: content.quarantined,
            content_waits: content.waits,
            content_received_bytes: content.received,
            outbox: condition.outbox,
        };
        site.reports.put(site.code, report);
        tokio::select! {
            changed = engine.changed() => if changed.is_err() { return },
            changed = positions.changed() => if changed.is_err() { return },
            changed = place.settings_version.changed() => if changed.is_err() { return },
            changed = place.condition.changed() => if changed.is_err() { return },
            changed = place.content.changed() => if changed.is_err() { return },
            changed = parent.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn read_statement(site: &Site) -> Option<SignedStatement> {
    let read = async { site.store.read().await?.signed_statement().await };
    read.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the statement cannot be read");
        None
    })
}

fn run_report(state: &EngineState) -> Option<RunReport> {
    let run = state.run.as_ref()?;
    let error = match &run.state {
        State::Failed { error, .. } => error.clone(),
        State::Requested
        | State::Running { .. }
        | State::Completed { .. }
        | State::Cancelled { .. } => String::new(),
    };
    Some(RunReport {
        id: run.id.as_bytes().to_vec(),
        state: run.state.name().to_owned(),
        started: Some(from_timestamp(run.started)),
        finished: run.state.finished().map(from_timestamp),
        processed: run.processed,
        total: run.total,
        full: run.full,
        error,
        requested: Some(from_timestamp(run.requested)),
        phases: run
            .phases
            .iter()
            .map(|(phase, began)| PhaseStart {
                phase: phase.name().to_owned(),
                started: Some(from_timestamp(*began)),
            })
            .collect(),
        items: run.counts.received,
        bytes: run.counts.bytes,
    })
}

/// Loads the reports that were kept, all of them as not connected: who is will say so. A report that
/// came in while its site was being removed is left out; a site that joined and has none is there all the
/// same.
///
/// # Errors
/// When the database fails.
pub async fn load(site: &Site) -> Result<(), store::Error> {
    use prost::Message as _;
    let (kept, sites) = {
        let mut read = site.store.read().await?;
        (read.site_reports().await?, read.sites().await?)
    };
    let mut members: BTreeSet<PointId> = BTreeSet::from([site.code]);
    for row in sites.into_iter().filter(|row| row.removed.is_none()) {
        members.insert(row.code);
        // A site also knows of some that asked it and belong elsewhere.
        if site.journal.has_parent() && row.parent != site.code {
            continue;
        }
        let report = SiteReport {
            site_code: row.code.to_string(),
            site_kind: row.kind.name().to_owned(),
            parent: row.parent.to_string(),
            ..SiteReport::default()
        };
        site.reports.put(row.code, report);
    }
    for (code, _, bytes) in kept {
        if let (true, Ok(mut report)) = (
            members.contains(&code),
            SiteReport::decode(bytes.as_slice()),
        ) {
            report.connected = false;
            site.reports.put(code, report);
        }
    }
    Ok(())
}

/// Keeps the reports in the database, until `stop` is told.
pub async fn keep(site: Site, stop: CancellationToken) {
    use prost::Message as _;
    let mut changes = site.reports.watch();
    let mut kept = std::collections::BTreeMap::new();
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
        let written = async {
            let mut tx = site.store.begin().await?;
            for report in site.reports.all() {
                let Ok(code) = report.site_code.parse() else {
                    continue;
                };
                if kept.insert(code, report.sequence) != Some(report.sequence) {
                    tx.put_site_report(code, report.sequence, report.encode_to_vec())
                        .await?;
                }
            }
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, "the reports of sites could not be kept");
        }
        tokio::select! {
            () = tokio::time::sleep(KEEP_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}
