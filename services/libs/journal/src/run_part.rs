//! A site's part in a run, put together from its status messages: when it was asked, began, went through which
//! phase, and how it ended.
//!
//! Each message adds what it says and takes nothing away that a newer one said, so that they may come in any order,
//! more than once, or not at all. Which is newer tells the number that the site gave it.

use crate::status_id::StatusId;
use catalog::PointId;
use jiff::Timestamp;
use std::collections::BTreeMap;
use store::site_runs::{End, SiteRunRow};
use store::status::StatusRow;
use store::{Error, Tx};
use uuid::Uuid;

/// State of a part that was asked for and has not begun.
pub const REQUESTED: &str = "Requested";
/// State of a part that has begun, where it is not known in which phase it is.
pub const RUNNING: &str = "Running";
/// State of a part that completed.
pub const COMPLETED: &str = "Completed";
/// State of a part that failed.
pub const FAILED: &str = "Failed";
/// State of a part that was cancelled.
pub const CANCELLED: &str = "Cancelled";
/// State of a part that never began, because another run of the site did what it was to do.
pub const JOINED: &str = "Joined";

/// Phases that are taken from a message, at most, and bytes of the name of one.
const MOST_PHASES: usize = 16;
const MOST_NAME: usize = 32;

/// What a site tells of its part in a run when that ends: the inserts of [`StatusId::RunPart`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// When it was asked.
    pub requested: Option<Timestamp>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// The phases that it entered, and when.
    pub phases: Vec<(String, Timestamp)>,
    /// Items that came.
    pub items: u64,
    /// Bytes that came.
    pub bytes: u64,
}

/// A time as it is stored.
fn cut(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(cut)
}

impl Told {
    /// As a message says it.
    pub fn to_inserts(&self) -> Vec<String> {
        let time =
            |time: Option<Timestamp>| time.map_or_else(String::new, |time| cut(time).to_string());
        let phases = self.phases.iter();
        let phases: Vec<String> = phases
            .map(|(name, began)| format!("{name} {}", cut(*began)))
            .collect();
        vec![
            time(self.requested),
            time(self.started),
            phases.join(", "),
            self.items.to_string(),
            self.bytes.to_string(),
        ]
    }

    /// What a message says; what is not understood of it is left out.
    pub fn from_inserts(inserts: &[String]) -> Self {
        let insert = |at: usize| inserts.get(at).map_or("", String::as_str);
        let phase = |text: &str| {
            let (name, began) = text.split_once(' ')?;
            let named = name.len() <= MOST_NAME && name.bytes().all(|b| b.is_ascii_alphabetic());
            let began = time(began)?;
            (named && !name.is_empty()).then(|| (name.to_owned(), began))
        };
        Self {
            requested: time(insert(0)),
            started: time(insert(1)),
            phases: insert(2)
                .split(", ")
                .filter_map(phase)
                .take(MOST_PHASES)
                .collect(),
            items: insert(3).parse().unwrap_or(0),
            bytes: insert(4).parse().unwrap_or(0),
        }
    }
}

fn earlier(held: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    held.into_iter().chain(other).min()
}

/// What a message says of a site's part in its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Begun,
    Told,
    Ended(&'static str),
}

impl Says {
    /// None where it says nothing of it.
    fn of(message: &StatusRow) -> Option<Self> {
        const SAYINGS: [(StatusId, Says); 6] = [
            (StatusId::SyncStarted, Says::Begun),
            (StatusId::RunPart, Says::Told),
            (StatusId::SyncDone, Says::Ended(COMPLETED)),
            (StatusId::SyncFailed, Says::Ended(FAILED)),
            (StatusId::RunCancelled, Says::Ended(CANCELLED)),
            (StatusId::RunJoined, Says::Ended(JOINED)),
        ];
        let mut sayings = SAYINGS.into_iter();
        let saying = sayings.find(|(id, _)| id.number() == message.status_id);
        saying.map(|(_, says)| says)
    }
}

/// Adds what a message says to what is known of the part.
fn add(part: &mut SiteRunRow, message: &StatusRow, says: Says) {
    let at = cut(message.time);
    let state = match says {
        Says::Begun => {
            part.first_begun = earlier(part.first_begun, Some(at));
            part.begun = part.begun.max(Some((message.number, at)));
            return;
        }
        Says::Told => {
            let told = Told::from_inserts(&message.inserts);
            part.requested = earlier(part.requested, told.requested);
            part.first_begun = earlier(part.first_begun, told.started);
            if part
                .told
                .as_ref()
                .is_none_or(|held| held.0 < message.number)
            {
                part.told = Some((message.number, message.inserts.clone()));
            }
            return;
        }
        Says::Ended(state) => state,
    };
    let newest = part
        .ended
        .as_ref()
        .is_none_or(|held| held.number < message.number);
    if newest {
        let error = match state == FAILED {
            true => message.inserts.get(1).cloned().unwrap_or_default(),
            false => String::new(),
        };
        part.ended = Some(End {
            number: message.number,
            at,
            state: state.to_owned(),
            error,
        });
    }
}

/// Adds what new messages say to the parts of their sites in the runs that are held here.
///
/// # Errors
/// When the database fails.
pub(crate) async fn gather<'m>(
    tx: &mut Tx<'_>,
    messages: impl Iterator<Item = &'m StatusRow>,
) -> Result<(), Error> {
    let mut parts: BTreeMap<(Uuid, PointId), Vec<(Says, &StatusRow)>> = BTreeMap::new();
    for message in messages {
        if let (Some(run), Some(says)) = (message.run, Says::of(message)) {
            let part = parts.entry((run, message.site)).or_default();
            part.push((says, message));
        }
    }
    for ((run, site), messages) in parts {
        tx.add_to_site_run(run, site, |part| {
            for (says, message) in messages {
                add(part, message, says);
            }
        })
        .await?;
    }
    Ok(())
}

/// What a site does in a run now, as it reported last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Name of its state.
    pub state: String,
    /// What it did so far.
    pub told: Told,
    /// When it ended, if it has.
    pub finished: Option<Timestamp>,
    /// Why it failed, if it did.
    pub error: String,
}

/// A phase, from when to when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its name.
    pub phase: String,
    /// When it began.
    pub started: Timestamp,
    /// When the next one began, or the part ended; none while it lasts.
    pub finished: Option<Timestamp>,
}

/// A site's part in a run, as it is shown. All times are those of the site's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The site.
    pub site: PointId,
    /// When it was asked first.
    pub requested: Option<Timestamp>,
    /// When it began first; a part that failed may be begun again.
    pub started: Option<Timestamp>,
    /// When it ended; none while it is under way.
    pub finished: Option<Timestamp>,
    /// Name of its state.
    pub state: String,
    /// Phases of the newest attempt.
    pub phases: Vec<Span>,
    /// Items that came in the newest attempt.
    pub items: u64,
    /// Bytes that came in the newest attempt.
    pub bytes: u64,
    /// Why it failed, where it did.
    pub error: String,
}

impl Part {
    /// The part as its messages tell it, and, where its newest attempt is not told of yet, the newest report of the
    /// site.
    pub fn new(row: &SiteRunRow, live: Option<&Live>) -> Self {
        let ended = row.ended.as_ref();
        let news = live.filter(|live| match (ended, live.told.started) {
            (Some(ended), Some(started)) => ended.at < cut(started),
            (Some(_), None) => false,
            (None, _) => true,
        });
        if let Some(live) = news {
            let told = &live.told;
            let finished = live.finished.map(cut);
            return Self {
                site: row.site,
                requested: earlier(row.requested, told.requested.map(cut)),
                started: earlier(row.first_begun, told.started.map(cut)),
                finished,
                state: live.state.clone(),
                phases: spans(&told.phases, finished),
                items: told.items,
                bytes: told.bytes,
                error: live.error.clone(),
            };
        }
        let begun = row.begun.map(|(number, _)| number);
        let ended = ended.filter(|ended| begun.is_none_or(|begun| begun < ended.number));
        // What was told of an earlier attempt says nothing of this one.
        let told = row.told.as_ref();
        let told = told.filter(|(number, _)| begun.is_none_or(|begun| begun < *number));
        let told = told.map(|(_, inserts)| Told::from_inserts(inserts));
        let told = told.unwrap_or_default();
        let finished = ended.map(|ended| ended.at);
        let state = match ended {
            Some(ended) => ended.state.as_str(),
            None if row.first_begun.is_some() => RUNNING,
            None => REQUESTED,
        };
        Self {
            site: row.site,
            requested: row.requested,
            started: row.first_begun,
            finished,
            state: state.to_owned(),
            phases: spans(&told.phases, finished),
            items: told.items,
            bytes: told.bytes,
            error: ended.map_or_else(String::new, |ended| ended.error.clone()),
        }
    }

    /// Whether nothing more is expected of it.
    pub fn has_ended(&self) -> bool {
        self.finished.is_some()
    }
}

/// Each phase ends where the next one begins.
fn spans(phases: &[(String, Timestamp)], finished: Option<Timestamp>) -> Vec<Span> {
    let ends = phases.iter().skip(1).map(|(_, began)| Some(cut(*began)));
    let ends = ends.chain(std::iter::once(finished));
    let spans = phases.iter().zip(ends);
    spans
        .map(|((phase, started), finished)| Span {
            phase: phase.clone(),
            started: cut(*started),
            finished,
        })
        .collect()
}

#[cfg(test)]
mod tests;
