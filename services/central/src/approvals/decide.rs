//! What a person decides about updates.

use super::{Records, to_put};
use crate::decisions::{Committed, Decisions, put};
use crate::ingest::WsusUpstream;
use catalog::UpdateId;
use catalog::approval::{Approval, Cause, Licence, Refusal, accept_licence, decide};
use jiff::Timestamp;
use journal::StatusId;
use std::collections::{BTreeMap, HashSet};
use store::{Error, Tx};

/// Updates that one status message names.
const NAMED_AT_ONCE: usize = 20;

/// What somebody wants of updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What is to happen with them; none where only their licence terms are accepted.
    pub approval: Option<Approval>,
    /// Whether their licence terms are accepted.
    pub accept_licence: bool,
}

/// What became of it for one update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is so now.
    Changed {
        /// What was to happen with it before.
        old: Approval,
        /// What is to happen with it now.
        new: Approval,
        /// Whether its licence terms were accepted with that.
        licence_accepted: bool,
    },
    /// It was so already.
    Unchanged(Approval),
    /// It may not be; why, and what to do.
    Refused(String),
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// For each update, in the order in which they were named.
    pub verdicts: Vec<(UpdateId, Verdict)>,
    /// When it is in force; none where nothing changed, or nothing was to.
    pub committed: Option<Committed>,
}

impl Decisions {
    /// Decides about updates as `who`, each by itself: what is refused for one holds nothing up for the others.
    /// The decision is about the newest revision that is shown. A dry run only says what would change.
    ///
    /// # Errors
    /// When the database fails. Whether anything was decided is then not known; it may be repeated.
    pub async fn decide(
        &self,
        who: &str,
        updates: &[UpdateId],
        wanted: Wanted,
        dry_run: bool,
    ) -> Result<Decided, Error> {
        let upstream = self.upstream();
        let now = upstream.ambient.now();
        // What changes nothing has nothing else decided or signed either.
        let mut look = upstream.store.begin().await?;
        let (verdicts, changes) = upstream.judge(&mut look, who, updates, wanted, now).await?;
        drop(look);
        if dry_run || changes.is_empty() {
            return Ok(Decided {
                verdicts,
                committed: None,
            });
        }
        self.settle().await?;
        let mut tx = self.begin().await?;
        let (verdicts, changes) = upstream.judge(&mut tx, who, updates, wanted, now).await?;
        if changes.is_empty() {
            // Somebody else decided the same meanwhile.
            return Ok(Decided {
                verdicts,
                committed: None,
            });
        }
        put(&mut tx, changes, now).await?;
        let messages = messages(who, &verdicts);
        let recorded = self.journal().record_within(&mut tx, messages).await?;
        // A newer revision of one of them may wait in the log.
        upstream.look_again_at_arrivals();
        let committed = self.finish(tx).await?;
        self.journal().tell(recorded);
        Ok(Decided {
            verdicts,
            committed: Some(committed),
        })
    }
}

impl WsusUpstream {
    async fn judge(
        &self,
        tx: &mut Tx<'_>,
        who: &str,
        updates: &[UpdateId],
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<(Vec<(UpdateId, Verdict)>, Vec<crate::decisions::ItemChange>), Error> {
        let held = tx.held_updates(updates).await?;
        let records = Records::of(tx, updates).await?;
        let mut verdicts = Vec::with_capacity(updates.len());
        let mut changes = Vec::new();
        let mut seen = HashSet::new();
        for id in updates.iter().filter(|id| seen.insert(**id)) {
            let shown = held.get(id).and_then(|update| update.shown.as_ref());
            let Some(row) = shown else {
                let why = format!("there is no update {id} in the catalog");
                verdicts.push((*id, Verdict::Refused(why)));
                continue;
            };
            if let Some(error) = records.unreadable.get(id) {
                let why = format!(
                    "what was decided about {id} before cannot be read: {error}; use the version of Headwater that \
                     wrote it, or have the catalog verified (headwater site verify {}), then decide again",
                    self.site
                );
                verdicts.push((*id, Verdict::Refused(why)));
                continue;
            }
            let before = records.read.get(id).cloned();
            let old = before.as_ref().map(|record| record.approval);
            let old = old.unwrap_or_default();
            let mut subject = match self.subject(tx, row, before).await {
                Ok(subject) => subject,
                Err(Error::Corrupt { what }) => {
                    let why = format!(
                        "{id} cannot be read: {what}; have the catalog verified (headwater site verify {})",
                        self.site
                    );
                    verdicts.push((*id, Verdict::Refused(why)));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut licence_accepted = false;
            let mut accepted = Ok(());
            if wanted.accept_licence {
                match accept_licence(&subject, who, now) {
                    Ok(None) => {}
                    Ok(Some(record)) => {
                        if let Licence::NotAccepted(terms) = subject.licence {
                            subject.licence = Licence::Accepted(terms);
                        }
                        subject.record = Some(record);
                        licence_accepted = true;
                    }
                    // Whoever approves in bulk accepts the terms of those that have some.
                    Err(Refusal::NoLicence(_)) if wanted.approval.is_some() => {}
                    Err(refusal) => accepted = Err(refusal),
                }
            }
            let cause = Cause::Person(who.to_owned());
            let decided = accepted.and_then(|()| match wanted.approval {
                Some(approval) => decide(&subject, approval, cause, now),
                None => Ok(None),
            });
            let verdict = match decided {
                Err(refusal) => Verdict::Refused(refusal.to_string()),
                Ok(decided) => {
                    let is_decided = decided.is_some();
                    let record = decided.or_else(|| subject.record.filter(|_| licence_accepted));
                    match record {
                        None => Verdict::Unchanged(old),
                        Some(record) => {
                            changes.push(to_put(*id, &record));
                            let new = if is_decided { record.approval } else { old };
                            Verdict::Changed {
                                old,
                                new,
                                licence_accepted,
                            }
                        }
                    }
                }
            };
            verdicts.push((*id, verdict));
        }
        Ok((verdicts, changes))
    }
}

/// What the journal says of what changed: who, which updates, old and new.
fn messages(who: &str, verdicts: &[(UpdateId, Verdict)]) -> Vec<(StatusId, Vec<String>)> {
    let mut changed: BTreeMap<(String, String), Vec<UpdateId>> = BTreeMap::new();
    let mut accepted = Vec::new();
    for (id, verdict) in verdicts {
        let Verdict::Changed {
            old,
            new,
            licence_accepted,
        } = verdict
        else {
            continue;
        };
        if *licence_accepted {
            accepted.push(*id);
        }
        if !licence_accepted || old != new {
            let what = (old.to_string(), new.to_string());
            changed.entry(what).or_default().push(*id);
        }
    }
    let named = |ids: &[UpdateId]| {
        let ids: Vec<String> = ids.iter().map(UpdateId::to_string).collect();
        ids.join(", ")
    };
    let mut messages = Vec::new();
    for chunk in accepted.chunks(NAMED_AT_ONCE) {
        let inserts = vec![who.to_owned(), named(chunk)];
        messages.push((StatusId::LicenceAccepted, inserts));
    }
    for ((old, new), ids) in &changed {
        for chunk in ids.chunks(NAMED_AT_ONCE) {
            let inserts = vec![who.to_owned(), named(chunk), old.clone(), new.clone()];
            messages.push((StatusId::ApprovalChanged, inserts));
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_names_who_what_old_and_new() {
        let id = UpdateId::from_u128;
        let changed = |licence_accepted, new| Verdict::Changed {
            old: Approval::Detection,
            new,
            licence_accepted,
        };
        let install = Approval::Install { deadline: None };
        let verdicts = [
            (id(1), changed(true, install)),
            (id(2), changed(false, install)),
            (id(3), changed(true, Approval::Detection)),
            (id(4), Verdict::Unchanged(install)),
            (id(5), Verdict::Refused("no".to_owned())),
        ];
        let told = messages("anna", &verdicts);
        let ids = |ids: &[u128]| {
            let ids: Vec<String> = ids.iter().map(|n| id(*n).to_string()).collect();
            ids.join(", ")
        };
        let text = str::to_owned;
        let expected = [
            (StatusId::LicenceAccepted, vec![text("anna"), ids(&[1, 3])]),
            (
                StatusId::ApprovalChanged,
                vec![
                    text("anna"),
                    ids(&[1, 2]),
                    text("detection"),
                    text("install"),
                ],
            ),
        ];
        assert_eq!(told, expected);
    }
}
