//! The phrases of `wsyncmgr.log`, in the order in which a run says them.
//!
//! A run at a top-level site: [`started`], [`software_update_points`], 6701, 6704, [`upstream_started`],
//! [`synchronizing`] and [`progress`] for categories and updates, [`upstream_done`],
//! [`content_version`], 6705, [`database_started`], the same for [`Work::SiteCategories`] and
//! [`Work::SiteUpdates`], [`database_done`], [`content_version`], 6702, [`succeeded`],
//! [`updated`], [`sync_time`], replicas with 6706, [`children_notified`], clean-up.
//! A child has no 6705 and no site database phase, and says [`synced_with_parent`].
//! A run that does not succeed: [`failed`], 6703, [`will_retry`].
//!
//! Viewers colour a line by its words ([`is_coloured`]). So an informational phrase takes no text that
//! comes from a catalog: updates are named by GUID and KB number, never by their title.

use catalog::{PointId, UpdateId};
use std::fmt::Display;
use std::time::Duration;
use uuid::Uuid;

/// What makes a viewer show a line as an error or a warning, in lower case.
const COLOURED: [&str; 5] = ["error", "exception", "critical", "fatal", "warn"];

/// Whether viewers show a line with this text as an error or a warning.
pub fn is_coloured(text: &str) -> bool {
    let text = text.to_lowercase();
    let fails = text.contains("fail") && !text.contains("failover");
    fails || COLOURED.iter().any(|word| text.contains(word))
}

/// Why a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The schedule of the top-level site.
    Schedule,
    /// Someone at this site asked.
    LocalRequest,
    /// The parent has news.
    ParentRequest {
        /// The parent.
        parent: PointId,
    },
    /// The last run did not succeed.
    Retry,
    /// The slow poll, which needs neither.
    Poll,
}

/// The first lines of a run.
pub fn started(trigger: Trigger) -> Vec<String> {
    let (wakeup, request, performing) = match trigger {
        Trigger::Schedule => (
            "Wakeup for scheduled regular sync",
            None,
            "regular schedule",
        ),
        Trigger::LocalRequest => (
            "Wakeup by inbox drop",
            Some("Found local sync request file".to_owned()),
            "local request",
        ),
        Trigger::ParentRequest { parent } => (
            "Wakeup by inbox drop",
            Some(format!("Found parent sync notification file {parent}.SYN.")),
            "parent request",
        ),
        Trigger::Retry => ("Wakeup for scheduled retry sync", None, "retry schedule"),
        Trigger::Poll => ("Wakeup for a polling cycle", None, "polling schedule"),
    };
    let mut lines = vec![wakeup.to_owned()];
    lines.extend(request);
    lines.push("Starting Sync".to_owned());
    lines.push(format!("Performing sync on {performing}"));
    lines
}

/// Which software update points the site has.
pub fn software_update_points(server: &str, active: &[&str]) -> Vec<String> {
    let mut lines = vec![
        format!("Read SUPs from SCF for {server}"),
        format!("Found {} SUPs", active.len()),
    ];
    lines.extend(
        active
            .iter()
            .map(|point| format!("Found active SUP {point} from SCF File.")),
    );
    lines
}

/// The first phase begins, after 6704.
pub fn upstream_started(server: &str) -> [String; 2] {
    [
        format!("Synchronizing WSUS server {server} ..."),
        "sync: Starting WSUS synchronization".to_owned(),
    ]
}

/// Everything is compared.
pub fn full_run() -> String {
    "Syncing all updates".to_owned()
}

/// Only what is newer than `anchor` is asked for.
pub fn delta_run(anchor: impl Display) -> String {
    format!("Syncing updates arrived after {anchor}")
}

/// What a phase works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Categories, from the upstream.
    Categories,
    /// Updates, from the upstream.
    Updates,
    /// Content files, from the upstream.
    Content,
    /// Categories, into the site database (top-level site).
    SiteCategories,
    /// Updates, into the site database (top-level site).
    SiteUpdates,
    /// A replica of the same site.
    Replica,
}

impl Work {
    const fn words(self) -> &'static str {
        match self {
            Self::Categories => "WSUS synchronizing categories",
            Self::Updates => "WSUS synchronizing updates",
            Self::Content => "WSUS synchronizing content",
            Self::SiteCategories => "SMS synchronizing categories",
            Self::SiteUpdates => "SMS synchronizing updates",
            Self::Replica => "Replica WSUS synchronizing other items",
        }
    }
}

/// A phase begins.
pub fn synchronizing(work: Work) -> String {
    format!("sync: {}", work.words())
}

/// How far a phase is: the percentage is rounded down, and at 100 % no time remains to be told.
pub fn progress(work: Work, done: u64, total: u64, remaining: Option<Duration>) -> String {
    let done = done.min(total);
    let percent = match total {
        0 => 100,
        total => u128::from(done) * 100 / u128::from(total),
    };
    let eta = match remaining {
        Some(remaining) if percent < 100 => {
            let (hours, minutes, seconds) = clock(remaining);
            format!(", ETA in {hours:02}:{minutes:02}:{seconds:02}")
        }
        Some(_) | None => String::new(),
    };
    let words = work.words();
    format!("sync: {words}, processed {done} out of {total} items ({percent}%){eta}")
}

/// The first phase is over.
pub fn upstream_done(server: &str) -> String {
    format!("Done synchronizing WSUS Server {server}")
}

/// The catalog of `site` is now at `version`; `update_source` is the hierarchy.
pub fn content_version(update_source: Uuid, site: PointId, version: u64) -> String {
    let source = update_source.to_string().to_uppercase();
    format!("Set content version of update source {{{source}}} for site {site} to {version}")
}

/// The site database phase begins, after 6705.
pub fn database_started(server: &str) -> String {
    format!("Synchronizing SMS database with WSUS server {server} ...")
}

/// One update. `kb` is shown if it is a number, so that no words of a catalog get into the log.
pub fn synchronizing_update(update: UpdateId, kb: Option<&str>) -> String {
    const LONGEST_KB: usize = 10;
    let number =
        |kb: &&str| (1..=LONGEST_KB).contains(&kb.len()) && kb.bytes().all(|c| c.is_ascii_digit());
    match kb.filter(number) {
        Some(kb) => format!("Synchronizing update {update} - KB{kb}"),
        None => format!("Synchronizing update {update}"),
    }
}

/// The site database phase is over.
pub fn database_done(server: &str) -> String {
    format!("Done synchronizing SMS with WSUS Server {server}")
}

/// The run succeeded, after 6702.
pub fn succeeded(site: PointId) -> String {
    format!("Sync succeeded. Setting sync alert to canceled state on site {site}")
}

/// How much a run at the top-level site changed.
pub fn updated(items: u64, version: u64) -> String {
    format!("Updated {items} items in SMS database, new update source content version is {version}")
}

/// The last line of a child's good run.
pub fn synced_with_parent(parent: PointId, version: u64) -> String {
    format!("Successfully synced site with parent {parent}, version {version}")
}

/// What the run verified at its end: the statement that covers the catalog.
pub fn verified(position: u64, root: &[u8; 32]) -> String {
    let [a, b, c, d, ..] = root;
    format!("Verified catalog statement for position {position}, root {a:02x}{b:02x}{c:02x}{d:02x}")
}

/// The catalog is read as a whole.
pub fn reading_every_row() -> String {
    "Reading every row of the catalog".to_owned()
}

/// This site's catalog is compared with its parent's.
pub fn comparing(parent: PointId) -> String {
    format!("Comparing the catalog with that of site {parent}")
}

/// What the comparison of two trees came to.
pub fn compared(items: u64, nodes: usize, buckets: usize) -> String {
    format!("Compared {items} items: {nodes} of 256 parts differ, in {buckets} places")
}

/// An item that is not as the parent has it, and how it differs.
pub fn repairing(item: impl Display, difference: &str) -> String {
    format!("Taking over {item}: here it was {difference}")
}

/// How often the parent was asked for all of that.
pub fn taken_over(items: u64, calls: u32) -> String {
    format!("Took over {items} items in {calls} calls")
}

/// Items that are taken over and not named.
pub fn repairing_more(items: u64) -> String {
    format!("Taking over {items} more items")
}

/// How long the run took.
pub fn sync_time(took: Duration) -> String {
    const HOURS_OF_DAY: u64 = 24;
    let (hours, minutes, seconds) = clock(took);
    let (days, hours) = (hours / HOURS_OF_DAY, hours % HOURS_OF_DAY);
    format!("Sync time: {days}d{hours:02}h{minutes:02}m{seconds:02}s")
}

/// A duration in the form of the log.
pub fn duration(took: Duration) -> String {
    sync_time(took).replace("Sync time: ", "")
}

/// How far the synchronization of content is.
pub fn content_progress(files: u64, bytes: u64, rate: u64, left: Option<Duration>) -> String {
    let left = left.map_or_else(String::new, |left| format!(", about {}", duration(left)));
    format!(
        "sync: SMS synchronizing content, {files} files with {bytes} bytes to go, {rate} bytes/s{left}"
    )
}

/// Replicas follow, one at a time.
pub fn replicas_started() -> String {
    "Synchronizing replica WSUS servers".to_owned()
}

/// One replica begins, after 6706.
pub fn replica_started(server: &str) -> [String; 2] {
    [
        format!("Synchronizing WSUS server {server} ..."),
        "sync: Starting Replica WSUS synchronization".to_owned(),
    ]
}

/// The children are told; nothing is said where there are none.
pub fn children_notified(children: &[PointId]) -> Option<String> {
    let codes: Vec<&str> = children.iter().map(PointId::as_str).collect();
    let codes = codes.join(", ");
    (!codes.is_empty()).then(|| format!("Sending sync notification to child site(s): {codes}"))
}

/// The supersedence rules were applied.
pub fn expired_by_supersedence(expired: u64, restored: u64) -> String {
    format!("Flagged {expired} superseded updates as expired, took the flag from {restored}")
}

/// The clean-up of the catalog is over.
pub fn cleanup_processed(updates: u64, declined: u64, removed: u64) -> String {
    format!(
        "Cleanup processed {updates} total updates and declined {declined}; removed {removed} unused revisions"
    )
}

/// Old history was forgotten.
pub fn history_forgotten(messages: u64, runs: u64) -> String {
    format!("Deleted {messages} old status messages and {runs} old runs of the history")
}

/// The clean-up of expired updates begins.
pub fn cleanup_started() -> String {
    "Deleting old expired updates...".to_owned()
}

/// One batch of the clean-up.
pub fn cleaned_up(batch: u64) -> String {
    format!("Deleted {batch} expired updates")
}

/// The clean-up is over.
pub fn cleanup_done(total: u64) -> String {
    format!("Deleted {total} expired updates total")
}

/// The run was stopped by a person.
pub fn cancelled(site: PointId) -> String {
    format!("Sync canceled on request on site {site}")
}

/// The head line of a run that did not succeed; coloured by intent. 6703 follows.
pub fn failed(message: &str, source: &str) -> String {
    format!("Sync failed: {message}. Source: {source}")
}

/// When it is tried again; coloured by intent.
pub fn will_retry(after: Duration) -> String {
    const MINUTE: u64 = 60;
    let minutes = after.as_secs().div_ceil(MINUTE);
    format!("Sync failed. Will retry in {minutes} minutes")
}

/// One update that could not be taken while the run goes on; coloured by intent.
pub fn update_failed(update: UpdateId, message: &str, source: &str) -> String {
    format!("Failed to sync update {update}. Error: {message}. Source: {source}")
}

/// Hours, minutes and seconds.
fn clock(time: Duration) -> (u64, u64, u64) {
    let seconds = time.as_secs();
    (seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests;
