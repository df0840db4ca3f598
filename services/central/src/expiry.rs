//! The supersedence rules at work: flagging what they expire, and taking flags back.
//!
//! Flags are records of the log, so every site shows them. They are planned of the whole catalog: at the end
//! of each synchronization, when the rules change, and when the time of the next one has come. What was
//! planned for is remembered, so that nothing is planned where nothing can have changed.

use crate::decisions::{Decisions, ItemChange, put};
use crate::facts::Facts;
use crate::ingest::WsusUpstream;
use catalog::expiry::{self, Rules};
use catalog::item::ItemKey;
use jiff::Timestamp;
use journal::{Journal, StatusId};
use std::sync::Arc;
use std::time::Duration;
use store::{Error, Positions};
use sync::EngineHandle;
use tokio_util::sync::CancellationToken;

/// Flags that are changed in one unit of work.
const FLAGS_PER_COMMIT: usize = match cfg!(feature = "simulation") {
    true => 20,
    false => 2000,
};
/// How often it is looked whether the time of a flag has come, and whether the log went on meanwhile.
const LOOK: Duration = match cfg!(feature = "simulation") {
    true => Duration::from_secs(7),
    false => Duration::from_secs(60 * 60),
};
/// Wait after the database failed.
const RETRY: Duration = Duration::from_secs(15);
/// Name under which is kept what was planned for.
const PLANNED: &str = "expiry-planned";

/// What came of applying the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flagged {
    /// Updates that are flagged now, or for another reason.
    pub expired: u64,
    /// Updates whose flag went.
    pub restored: u64,
}

impl Flagged {
    /// Counts changes of flags.
    fn count(&mut self, changes: &[ItemChange]) {
        for change in changes {
            match change {
                ItemChange::Put { .. } => self.expired += 1,
                ItemChange::Remove(_) => self.restored += 1,
            }
        }
    }

    /// Whether nothing changed.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Changes of flags that wait to be made.
pub(crate) struct Pending {
    changes: Vec<ItemChange>,
    planned: Planned,
}

/// The way in which flags are planned: what another one made is planned anew.
const WAY: u8 = 2;

/// What the flags were planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Planned {
    positions: Positions,
    rules: Rules,
    /// When the next flag is due.
    next: Option<Timestamp>,
}

impl Planned {
    /// What identifies it: everything but the time.
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![WAY];
        bytes.extend(self.positions.epoch.as_bytes());
        bytes.extend(self.positions.generation.to_be_bytes());
        bytes.extend(self.positions.head.to_be_bytes());
        bytes.push(self.rules.feature_update_months);
        bytes.push(self.rules.other_update_months);
        let next = self.next.map_or(i64::MAX, Timestamp::as_millisecond);
        bytes.extend(next.to_be_bytes());
        bytes
    }

    /// Whether `held`, which was planned before, serves for this at `now`: of the same log by the same rules,
    /// and no flag came due since.
    fn is_served_by(self, held: &[u8], now: Timestamp) -> bool {
        const TIME: usize = 8;
        let own = self.to_bytes();
        let Some((same, next)) = held.split_last_chunk::<TIME>() else {
            return false;
        };
        same == &own[..own.len() - TIME] && i64::from_be_bytes(*next) > now.as_millisecond()
    }
}

impl WsusUpstream {
    /// The rules in force.
    fn expiry_rules(&self) -> Rules {
        self.settings.borrow().supersedence.rules()
    }

    /// What is to be done to the flags; `None` where that was looked at, and nothing can have changed.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn plan_expiry(&self) -> Result<Option<Pending>, Error> {
        let now = self.ambient.now();
        let rules = self.expiry_rules();
        let (positions, held) = {
            let mut read = self.store.read().await?;
            (read.positions(), read.state(PLANNED).await?)
        };
        let wanted = Planned {
            positions,
            rules,
            next: None,
        };
        if positions.head == 0 || held.is_some_and(|held| wanted.is_served_by(&held, now)) {
            return Ok(None);
        }
        let facts = Facts::read(&self.store).await?;
        let plan = expiry::plan(&facts.for_expiry(), &facts.flags(), rules, now);
        let put = plan.expire.into_iter().map(|(id, expiry)| ItemChange::Put {
            key: ItemKey::Expiry(id),
            content: expiry.to_bytes(),
        });
        let remove = plan.restore.into_iter();
        let remove = remove.map(|id| ItemChange::Remove(ItemKey::Expiry(id)));
        Ok(Some(Pending {
            changes: put.chain(remove).collect(),
            planned: Planned {
                positions: facts.positions,
                rules,
                next: plan.next,
            },
        }))
    }

    /// Applies the rules within a run, whose end signs what comes of it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn expire_superseded(&self) -> Result<Flagged, Error> {
        let Some(pending) = self.plan_expiry().await? else {
            return Ok(Flagged::default());
        };
        let mut flagged = Flagged::default();
        let mut steps = pending.steps();
        while let Some((changes, is_last)) = steps.next() {
            let mut tx = self.store.begin().await?;
            let before = tx.positions();
            flagged.count(&changes);
            put(&mut tx, changes, self.ambient.now()).await?;
            steps.remember(&mut tx, before, is_last).await?;
            tx.commit().await?;
        }
        Ok(flagged)
    }
}

/// The changes of flags in parts.
struct Steps {
    parts: std::vec::IntoIter<Vec<ItemChange>>,
    /// The log as it was when that was planned, and as it is with what was done since.
    expected: Positions,
    planned: Planned,
}

impl Pending {
    fn steps(self) -> Steps {
        let mut parts: Vec<Vec<ItemChange>> = self
            .changes
            .chunks(FLAGS_PER_COMMIT)
            .map(<[ItemChange]>::to_vec)
            .collect();
        if parts.is_empty() {
            // What was planned for is remembered all the same.
            parts.push(Vec::new());
        }
        Steps {
            parts: parts.into_iter(),
            expected: self.planned.positions,
            planned: self.planned,
        }
    }
}

impl Steps {
    /// The next changes, and whether they are the last.
    fn next(&mut self) -> Option<(Vec<ItemChange>, bool)> {
        let part = self.parts.next()?;
        Some((part, self.parts.len() == 0))
    }

    /// Whether the log is still what the rest was planned for.
    fn fits(&self, positions: Positions) -> bool {
        let place = |positions: Positions| (positions.epoch, positions.generation, positions.head);
        place(positions) == place(self.expected)
    }

    /// Remembers, with the last part, what was planned for, unless something else came into the log.
    async fn remember(
        &mut self,
        tx: &mut store::Tx<'_>,
        before: Positions,
        is_last: bool,
    ) -> Result<(), Error> {
        let undisturbed = self.fits(before);
        if undisturbed {
            self.expected = tx.positions();
        }
        if is_last && undisturbed {
            let planned = Planned {
                positions: tx.positions(),
                ..self.planned
            };
            tx.put_state(PLANNED, planned.to_bytes()).await?;
        }
        Ok(())
    }
}

/// Applies the rules when no synchronization does: they changed, or time passed.
pub struct Expirer {
    /// What changes the log.
    pub decisions: Decisions,
    /// What plans: it knows the rules in force.
    pub upstream: Arc<WsusUpstream>,
    /// What synchronizes.
    pub engine: EngineHandle,
    /// Where it is told.
    pub journal: Journal,
}

impl Expirer {
    /// Applies the rules now and whenever there is a reason, until `stop` is told.
    pub async fn keep(self, stop: CancellationToken) {
        let mut settings = self.upstream.settings.clone();
        let mut engine = self.engine.watch();
        loop {
            settings.mark_unchanged();
            let running = engine.borrow_and_update().running();
            let wait = match self.apply().await {
                Ok(flagged) => {
                    self.tell(flagged).await;
                    LOOK
                }
                Err(error) => {
                    tracing::error!(%error, "the supersedence rules could not be applied; it is tried again");
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = settings.changed() => if changed.is_err() { return },
                turned = engine.wait_for(|state| state.running() != running) => {
                    if turned.is_err() { return }
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// Applies the rules.
    ///
    /// # Errors
    /// When the database fails. What was done until then stays, and doing it again does the rest.
    pub async fn apply(&self) -> Result<Flagged, Error> {
        let mut flagged = Flagged::default();
        'planned: loop {
            if self.decisions.is_halfway() {
                // The end of the run applies them.
                return Ok(flagged);
            }
            let Some(pending) = self.upstream.plan_expiry().await? else {
                return Ok(flagged);
            };
            let mut steps = pending.steps();
            while let Some((changes, is_last)) = steps.next() {
                let mut tx = self.decisions.begin().await?;
                let before = tx.positions();
                if !steps.fits(before) || self.decisions.is_waiting() {
                    // Something came into the log meanwhile, or a run began.
                    continue 'planned;
                }
                flagged.count(&changes);
                put(&mut tx, changes, self.upstream.ambient.now()).await?;
                steps.remember(&mut tx, before, is_last).await?;
                self.decisions.finish(tx).await?;
            }
            return Ok(flagged);
        }
    }

    async fn tell(&self, flagged: Flagged) {
        if flagged.is_nothing() {
            return;
        }
        let inserts = vec![flagged.expired.to_string(), flagged.restored.to_string()];
        self.journal
            .record(StatusId::UpdatesExpired, None, inserts)
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn planned(head: u64, months: u8, next: Option<&str>) -> Planned {
        Planned {
            positions: Positions {
                epoch: Uuid::from_u128(1),
                head,
                verified: 3,
                generation: 0,
            },
            rules: Rules {
                feature_update_months: 3,
                other_update_months: months,
            },
            next: next.map(|time| time.parse().unwrap()),
        }
    }

    #[test]
    fn a_plan_serves_until_the_log_the_rules_or_the_time_went_on() {
        let held = planned(10, 3, Some("2026-02-01T00:00:00Z"));
        let serves = |wanted: Planned, now: &str| {
            wanted.is_served_by(&held.to_bytes(), now.parse().unwrap())
        };
        let same = planned(10, 3, None);
        assert!(serves(same, "2026-01-31T23:59:59Z"));
        assert!(!serves(same, "2026-02-01T00:00:00Z"));
        assert!(!serves(planned(11, 3, None), "2026-01-01T00:00:00Z"));
        assert!(!serves(planned(10, 4, None), "2026-01-01T00:00:00Z"));
        let mut elsewhere = same;
        elsewhere.positions.generation = 1;
        assert!(!serves(elsewhere, "2026-01-01T00:00:00Z"));
        assert!(!same.is_served_by(b"short", Timestamp::UNIX_EPOCH));
    }
}
