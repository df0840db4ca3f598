//! Fetching what is wanted: looks at the table, does what is missing, and may be stopped at any point.

mod flight;
mod telling;

use crate::limits::Pace;
use crate::plane::Content;
use catalog::content::{ContentId, MAX_FILE_BYTES};
use flight::{Flight, Outcome};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use store::content::ContentRow;
use telling::Telling;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the table is looked at without a nudge.
const POLL: Duration = Duration::from_secs(60);
/// How often the state is told while files come.
const TELL: Duration = Duration::from_secs(2);
/// The state is told no more often than this while files come: it is counted anew each time.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// Files that are read from the table at once.
const QUEUE: u32 = 64;
/// Longest pause, where the source cannot be asked at all or gives nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// How often it is looked whether the disk has room again.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(15);
/// Files of which it is counted how often the source had them not yet.
const MOST_COUNTED: usize = 10_000;
/// Files in a row that bring nothing, for each that is fetched at the same time, before there is a pause.
const IN_VAIN: usize = 3;

/// The reconciler.
struct Engine {
    content: Content,
    pace: Arc<Pace>,
    flights: JoinSet<(ContentId, Outcome)>,
    /// Each with its length, and how much of it the table said was there when it was begun.
    under_way: HashMap<ContentId, (u64, u64)>,
    queue: VecDeque<ContentRow>,
    telling: Telling,
    /// Files in a row that brought nothing.
    in_vain: usize,
    /// Pauses in a row.
    pauses: u32,
    /// Until when nothing new is begun, and why.
    paused: Option<(Instant, String)>,
    /// How often in a row the source had a file not yet.
    not_yet: HashMap<ContentId, u32>,
    /// Why there is no room for a file that has its turn.
    no_room: Option<String>,
}

impl Content {
    /// Fetches what is wanted, until `stop` is told.
    pub async fn work(self, stop: CancellationToken) {
        let limits = self.inner.limits.subscribe();
        let engine = Engine {
            pace: Arc::new(Pace::new(limits)),
            telling: Telling::new(self.clone()),
            content: self,
            flights: JoinSet::new(),
            under_way: HashMap::new(),
            queue: VecDeque::new(),
            in_vain: 0,
            pauses: 0,
            paused: None,
            not_yet: HashMap::new(),
            no_room: None,
        };
        engine.work(stop).await;
    }
}

impl Engine {
    async fn work(mut self, stop: CancellationToken) {
        let mut nudged = self.content.inner.nudged.subscribe();
        let mut limits = self.content.inner.limits.subscribe();
        let mut impatient = self.content.inner.impatient.subscribe();
        let mut holds = self.content.inner.holds.subscribe();
        let mut told = None;
        if let Err(error) = self.content.sweep().await {
            tracing::warn!(%error, "what is left of files that nobody wants cannot be removed");
        }
        loop {
            nudged.borrow_and_update();
            limits.borrow_and_update();
            let is_held_up = *holds.borrow_and_update() > 0;
            if is_held_up && !self.under_way.is_empty() {
                // What came of them stays; they go on from there.
                self.flights.shutdown().await;
                self.under_way.clear();
                self.queue.clear();
            }
            let next = match self.begin_some(&stop).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "what content is wanted cannot be read");
                    POLL
                }
            };
            let is_due = told.is_none_or(|told: Instant| told.elapsed() >= TELL_AGAIN);
            // While files come another way each of them wakes this.
            let is_idle = self.under_way.is_empty() && !is_held_up;
            if is_due || is_idle {
                let waits = self.waits();
                if let Err(error) = self.telling.tell(waits).await {
                    tracing::error!(%error, "how much content is there cannot be read");
                }
                told = Some(Instant::now());
            }
            let tell = match is_idle {
                true => POLL,
                false => TELL,
            };
            tokio::select! {
                () = stop.cancelled() => break,
                changed = nudged.changed() => {
                    if changed.is_err() { break }
                    self.queue.clear();
                }
                changed = limits.changed() => if changed.is_err() { break },
                changed = impatient.changed() => {
                    if changed.is_err() { break }
                    self.queue.clear();
                    self.paused = None;
                    self.pauses = 0;
                    self.not_yet.clear();
                }
                changed = holds.changed() => if changed.is_err() { break },
                Some(ended) = self.flights.join_next(), if !self.flights.is_empty() => {
                    match ended {
                        Ok((id, outcome)) => self.ended(id, outcome).await,
                        Err(error) => {
                            tracing::error!(%error, "fetching a content file ended in a panic");
                            self.flights.shutdown().await;
                            self.under_way.clear();
                        }
                    }
                }
                () = tokio::time::sleep(next.min(tell)) => {}
            }
        }
        self.flights.shutdown().await;
    }

    /// Why nothing is fetched, where that is so.
    fn waits(&self) -> String {
        let now = self.content.inner.parts.ambient.now();
        if *self.content.inner.holds.borrow() > 0 {
            return "files of a package are being taken in".to_owned();
        }
        let limits = self.content.inner.limits.borrow();
        if let Some(window) = limits.window.as_ref().filter(|window| !window.is_open(now)) {
            return format!(
                "outside the time for it; the next begins at {}",
                window.opens(now)
            );
        }
        let why = self.paused.as_ref().map(|(_, why)| why);
        let why = why
            .or(self.no_room.as_ref())
            .filter(|_| self.under_way.is_empty());
        why.cloned().unwrap_or_default()
    }

    /// Begins to fetch what has its turn, as much as may be at the same time. How long to wait for more.
    async fn begin_some(&mut self, stop: &CancellationToken) -> Result<Duration, store::Error> {
        let parts = &self.content.inner.parts;
        let now = parts.ambient.now();
        let (open, parallel) = {
            let limits = self.content.inner.limits.borrow();
            (limits.open(now), limits.parallel.max(1))
        };
        if let Some((until, _)) = self.paused {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(left);
            }
            self.paused = None;
        }
        if !open || *self.content.inner.holds.borrow() > 0 {
            return Ok(POLL);
        }
        let mut looked = false;
        let had_no_room = self.no_room.take().is_some();
        while self.under_way.len() < parallel {
            let Some(row) = self.queue.pop_front() else {
                if looked {
                    break;
                }
                looked = true;
                let most = QUEUE + u32::try_from(self.under_way.len()).unwrap_or(QUEUE);
                let mut read = parts.store.read().await?;
                self.queue = read.content_to_fetch(most, now).await?.into();
                let held = &self.under_way;
                self.queue.retain(|row| !held.contains_key(&row.file.id()));
                if self.queue.is_empty() && self.no_room.is_none() {
                    let next = read.next_content_attempt().await?;
                    let left = next.map(|next| now.duration_until(next).unsigned_abs());
                    // Those that are under way have their turn, too.
                    let idle = self.under_way.is_empty();
                    return Ok(left.filter(|_| idle).map_or(POLL, |left| left.min(POLL)));
                }
                continue;
            };
            let id = row.file.id();
            if self.under_way.contains_key(&id) {
                continue;
            }
            if let Some(why) = self.no_room_for(&row).await {
                // A smaller one may have room.
                self.no_room.get_or_insert(why);
                continue;
            }
            self.under_way.insert(id, (row.file.size, row.had));
            let flight = Flight {
                content: self.content.clone(),
                pace: Arc::clone(&self.pace),
                stop: stop.clone(),
                patience: *self.content.inner.patience.borrow(),
                not_yet: self.not_yet.get(&id).copied().unwrap_or(0),
            };
            self.telling.began().await;
            self.flights
                .spawn(async move { (id, flight.fetch(row).await) });
        }
        Ok(match &self.no_room {
            Some(why) => {
                if !had_no_room {
                    tracing::warn!(%why, "content waits");
                }
                LOOK_FOR_ROOM
            }
            None => POLL,
        })
    }

    /// Why there is no room for a file beside what is under way; none where there is, or it needs none.
    async fn no_room_for(&self, row: &ContentRow) -> Option<String> {
        let transfers = &self.content.inner.transfers;
        let to_come = self.under_way.iter().map(|(id, (size, counted))| {
            let had = transfers.watch(*id).map_or(0, |had| *had.borrow());
            size.saturating_sub(had.max(*counted))
        });
        let file = &row.file;
        let needed = to_come.fold(file.size.saturating_sub(row.had), u64::saturating_add);
        let why = self.content.no_room_for(needed)?;
        let is_refused = file.size > MAX_FILE_BYTES;
        let lies_there = async || {
            let length = self.content.files().length(file).await;
            length.is_ok_and(|length| length == Some(file.size))
        };
        (!is_refused && !lies_there().await).then_some(why)
    }

    async fn ended(&mut self, id: ContentId, outcome: Outcome) {
        self.under_way.remove(&id);
        let parallel = self.content.inner.limits.borrow().parallel.max(1);
        self.count_not_yet(id, &outcome);
        match &outcome {
            Outcome::Stored { .. } | Outcome::Held => {
                self.in_vain = 0;
                self.pauses = 0;
            }
            Outcome::Away(why) => self.pause(why.clone()),
            Outcome::Failed { why, .. } | Outcome::NotYet(why) => {
                self.in_vain += 1;
                if self.in_vain >= IN_VAIN * parallel {
                    self.pause(why.clone());
                }
            }
            // Each of these cost one question, and others may be there.
            Outcome::Ordered(_)
            | Outcome::Quarantined { .. }
            | Outcome::NoRoom(_)
            | Outcome::Later
            | Outcome::Stopped => {}
        }
        self.telling.ended(id, &outcome).await;
    }

    /// Counts how often in a row a source had a file not yet.
    fn count_not_yet(&mut self, id: ContentId, outcome: &Outcome) {
        match outcome {
            Outcome::NotYet(_) | Outcome::Ordered(_) => {
                if self.not_yet.len() >= MOST_COUNTED {
                    self.not_yet.clear();
                }
                *self.not_yet.entry(id).or_default() += 1;
            }
            Outcome::Stored { .. }
            | Outcome::Held
            | Outcome::Failed { .. }
            | Outcome::Quarantined { .. } => {
                self.not_yet.remove(&id);
            }
            Outcome::Away(_) | Outcome::NoRoom(_) | Outcome::Later | Outcome::Stopped => {}
        }
    }

    fn pause(&mut self, why: String) {
        if self.paused.is_some() {
            return;
        }
        let first = self.content.inner.patience.borrow().first_pause;
        let doubled = first.saturating_mul(1_u32.checked_shl(self.pauses).unwrap_or(u32::MAX));
        let pause = self
            .content
            .inner
            .parts
            .ambient
            .jitter(doubled.min(LONGEST_PAUSE));
        self.pauses += 1;
        self.in_vain = 0;
        self.queue.clear();
        self.paused = Some((Instant::now() + pause, why));
    }
}
