//! Which files this site needs: a reconciler that keeps the table of content files in line with the verified
//! catalog, the approvals in it, and what the settings choose for the site.
//!
//! It follows the log: what changed after the position that was planned last is looked at, and nothing else. Where
//! the choice of languages or files changed, or the log does not tell what changed, it goes through all of the log
//! once. A mark in the database says how far it came; a batch and its mark are one unit of work, so that a kill
//! costs one batch.

mod update;

use catalog::approval::Record;
use catalog::content::ContentFile;
use catalog::document;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::needed::{Download, Wants};
use catalog::{RevisionId, UpdateId, codec};
use daemon::Ambient;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::needs::ContentPlan;
use store::{ChangeRow, Error, Positions, Read, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Name under which the mark is kept.
const MARK: &str = "content-planned";
/// Version of the rules in this program: where they change, everything is looked at anew.
const RULES: u32 = 1;
/// Changes of the log that are looked at in one unit of work.
const CHANGES_AT_ONCE: usize = match cfg!(feature = "simulation") {
    true => 20,
    false => 200,
};
/// Bytes of them at most.
const BYTES_AT_ONCE: u64 = 4 << 20;
/// Updates that are looked at in one unit of work when those are sought that went.
const UPDATES_AT_ONCE: u32 = 200;
/// Wait after the database failed.
const RETRY: Duration = Duration::from_secs(15);
/// A look is taken this often though nothing was told: what a site may have depends on who its parent is, too.
const LOOK: Duration = Duration::from_secs(60);

/// What a site wants now; none while it does not know.
pub type WantsNow = Arc<dyn Fn() -> Option<Wants> + Send + Sync>;

/// How far the plan is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Version of the rules.
    rules: u32,
    /// The history that the position counts in.
    epoch: Uuid,
    /// Position up to which the log was looked at.
    through: u64,
    /// Where the log began to tell everything when this was begun.
    floor: u64,
    /// What was wanted.
    wants: String,
    /// While all of it is gone through: updates that are still to be looked at are behind this one.
    gone: Option<Gone>,
}

/// The search for updates that are no longer in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Gone {
    /// Not begun.
    NotYet,
    /// Those behind this one are left.
    Behind(Uuid),
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Everything is as the catalog and the settings want it, or nothing is known of them yet.
    Done,
    /// There may be more to look at.
    More,
}

/// Keeps the table of content files in line with the catalog. Cheap to clone.
#[derive(Clone)]
pub struct Planner {
    store: Store,
    ambient: Ambient,
    wants: WantsNow,
    planned: watch::Sender<u64>,
}

/// What was found out in a batch.
#[derive(Default)]
struct Batch {
    updates: BTreeSet<UpdateId>,
    arrived: Vec<RevisionId>,
    named: Vec<ContentFile>,
    plans: Vec<ContentPlan>,
}

/// A choice in words, which change where it does.
fn in_words(wants: &Wants) -> String {
    let download = match wants.policy.download {
        Download::Never => "never",
        Download::Deferred => "deferred",
        Download::Immediate => "immediate",
    };
    let express = if wants.policy.express {
        "express"
    } else {
        "full"
    };
    let terms = if wants.policy.terms {
        "terms"
    } else {
        "no-terms"
    };
    format!("{download} {terms} {express} {}", wants.languages)
}

impl Mark {
    fn begin(positions: Positions, floor: u64, wants: String) -> Self {
        Self {
            rules: RULES,
            epoch: positions.epoch,
            through: 0,
            floor,
            wants,
            gone: Some(Gone::NotYet),
        }
    }

    /// Whether the log tells everything that changed since.
    fn counts(&self, positions: Positions, floor: u64, wants: &str) -> bool {
        self.rules == RULES
            && self.epoch == positions.epoch
            && self.through <= positions.verified
            && floor <= self.through.max(self.floor)
            && self.wants == wants
    }
}

impl Planner {
    /// The plan of a site.
    pub fn new(store: Store, ambient: Ambient, wants: WantsNow) -> Self {
        Self {
            store,
            ambient,
            wants,
            planned: watch::Sender::default(),
        }
    }

    /// What the site wants now.
    pub fn wants(&self) -> Option<Wants> {
        (self.wants)()
    }

    /// Tells when the table may have changed: for who fetches.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.planned.subscribe()
    }

    /// Looks at what changed, all of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(&self) -> Result<(), Error> {
        while self.step().await? == Step::More {}
        Ok(())
    }

    /// Looks at one batch of what changed. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step(&self) -> Result<Step, Error> {
        let Some(wants) = (self.wants)() else {
            return Ok(Step::Done);
        };
        let words = in_words(&wants);
        let mut read = self.store.read().await?;
        let positions = read.positions();
        let held = read.state(MARK).await?;
        let floor = read.floor().await?;
        let mark: Option<Mark> = held
            .as_deref()
            .and_then(|held| serde_json::from_slice(held).ok());
        let mark = mark.filter(|mark| mark.counts(positions, floor, &words));
        let mark = mark.unwrap_or_else(|| Mark::begin(positions, floor, words));
        let (batch, mark) = if mark.through < positions.verified {
            let slice = read
                .changes_after(
                    mark.through,
                    positions.verified,
                    CHANGES_AT_ONCE,
                    BYTES_AT_ONCE,
                )
                .await?;
            let through = match slice.changes.is_empty() {
                true => positions.verified,
                false => slice.through,
            };
            let batch = changed(&mut read, slice.changes).await?;
            (batch, Mark { through, ..mark })
        } else if let Some(gone) = mark.gone {
            let after = match gone {
                Gone::NotYet => None,
                Gone::Behind(update) => Some(UpdateId(update)),
            };
            let updates = read.updates_with_content(after, UPDATES_AT_ONCE).await?;
            let gone = updates.last().map(|last| Gone::Behind(last.0));
            let updates = updates.into_iter().collect();
            let batch = Batch {
                updates,
                ..Batch::default()
            };
            (batch, Mark { gone, ..mark })
        } else {
            return Ok(Step::Done);
        };
        let batch = planned(&mut read, batch, &wants).await?;
        drop(read);
        self.commit(batch, held, &mark).await?;
        Ok(Step::More)
    }

    /// Takes a batch over, with the mark, unless another process was faster.
    async fn commit(
        &self,
        batch: Batch,
        expected: Option<Vec<u8>>,
        mark: &Mark,
    ) -> Result<(), Error> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_repeatable().await?;
        if tx.state(MARK).await? != expected || tx.positions().epoch != mark.epoch {
            return Ok(());
        }
        tx.name_content(&batch.named).await?;
        let let_go = tx.plan_content(&batch.plans, now).await?;
        tx.put_state(MARK, serde_json::to_vec(mark).unwrap_or_default())
            .await?;
        tx.commit().await?;
        let news = let_go > 0 || batch.plans.iter().any(|plan| !plan.files.is_empty());
        self.planned.send_if_modified(|planned| {
            *planned += u64::from(news);
            news
        });
        Ok(())
    }

    /// Keeps the table in line until `stop` is told. `settings` tells when what is wanted may be something else.
    pub async fn keep<S: Send + Sync>(
        self,
        mut settings: watch::Receiver<S>,
        stop: CancellationToken,
    ) {
        let mut positions = self.store.watch_positions();
        loop {
            positions.mark_unchanged();
            settings.mark_unchanged();
            let settled = tokio::select! {
                settled = self.settle() => settled,
                () = stop.cancelled() => return,
            };
            let wait = match settled {
                Ok(()) => LOOK,
                Err(error) => {
                    tracing::error!(%error, "which files are needed could not be found out; it is tried again");
                    RETRY
                }
            };
            tokio::select! {
                changed = positions.changed() => if changed.is_err() { return },
                changed = settings.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// The updates that changes are about, and the files that they name.
async fn changed(read: &mut Read<'_>, changes: Vec<ChangeRow>) -> Result<Batch, Error> {
    let mut batch = Batch::default();
    for change in changes {
        match ItemKey::from_bytes(&change.key) {
            Ok(ItemKey::Revision(id)) => {
                if !change.removed && !arrived(&mut batch, id, &change) {
                    continue;
                }
                batch.updates.insert(id.update_id);
            }
            Ok(ItemKey::Approval(update) | ItemKey::Expiry(update)) => {
                batch.updates.insert(update);
            }
            // Settings are told apart; what a later version has needs no file.
            Ok(ItemKey::Settings) | Err(_) => {}
        }
    }
    let waiting = read.updates_awaiting(&batch.arrived).await?;
    batch.updates.extend(waiting);
    Ok(batch)
}

/// Notes the files of a revision; whether it can have any.
fn arrived(batch: &mut Batch, id: RevisionId, change: &ChangeRow) -> bool {
    let header = match RevisionHeader::from_bytes(&change.header) {
        Ok(header) if header.is_configuration() => return false,
        Ok(header) => header,
        Err(error) => {
            tracing::warn!(revision = %id, %error, "its files are not known");
            return true;
        }
    };
    batch.arrived.push(id);
    let text = codec::decompress(&change.document).map_err(|error| error.to_string());
    match text.and_then(|text| document::parse(&text).map_err(|error| error.to_string())) {
        Ok(update) => {
            let locations = &header.file_locations;
            batch
                .named
                .extend(ContentFile::of_update(&update, locations));
            batch
                .named
                .extend(ContentFile::of_licence(&update, locations));
        }
        Err(error) => tracing::warn!(revision = %id, error, "its files are not known"),
    }
    true
}

/// Finds out which files the updates of a batch need.
async fn planned(read: &mut Read<'_>, mut batch: Batch, wants: &Wants) -> Result<Batch, Error> {
    let updates: Vec<UpdateId> = std::mem::take(&mut batch.updates).into_iter().collect();
    let keys = |key: fn(UpdateId) -> ItemKey| updates.iter().copied().map(key).collect::<Vec<_>>();
    let approvals = read.contents(&keys(ItemKey::Approval)).await?;
    let expiries = read.contents(&keys(ItemKey::Expiry)).await?;
    for id in updates {
        let record = approvals.get(&ItemKey::Approval(id));
        let record = record.and_then(|bytes| Record::from_bytes(bytes).ok());
        let expired = expiries.contains_key(&ItemKey::Expiry(id));
        let plan = update::plan(read, id, record.as_ref(), expired, wants).await?;
        batch.plans.push(plan);
    }
    Ok(batch)
}
