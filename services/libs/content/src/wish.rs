//! What downstream servers wish for.

use crate::Content;
use catalog::content::ContentId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Is told the SHA-1 of the files that downstream servers wish to have. Whether it takes them: not where too many
/// wait to be noted.
pub type Wishes = Arc<dyn Fn(&[[u8; 20]]) -> bool + Send + Sync>;

/// Wishes that wait to be noted at most.
pub const MAX_WAITING: usize = 10_000;
/// Wishes that are noted in one unit of work.
const AT_ONCE: usize = 500;
/// A wish that was noted is not noted again for so long: by so much the time of the last wish is too early.
const NOTED_FOR: Duration = Duration::from_secs(60 * 60);
/// Wishes of which it is remembered that they were noted.
const MAX_NOTED: usize = 20_000;

impl Content {
    /// Has files fetched that a downstream server asks for (`DownloadFiles` of MS-WSUSSS), after those of approved
    /// updates, and keeps them for 30 days after it asked last, whatever else needs them. Those that the verified
    /// catalog does not name, which are not fetched. May be repeated.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wish(&self, ids: &[ContentId]) -> Result<Vec<ContentId>, store::Error> {
        let wishes: Vec<[u8; 20]> = ids.iter().map(|id| id.0).collect();
        let now = self.inner.parts.ambient.now();
        let mut tx = self.store().begin().await?;
        let unknown = tx.ask_for_content(&wishes, now).await?;
        tx.commit().await?;
        self.nudge();
        let unknown: HashSet<[u8; 20]> = unknown.into_iter().collect();
        let told = ids.iter().copied();
        Ok(told.filter(|id| unknown.contains(&id.0)).collect())
    }

    /// The same as a call that returns at once. However many come, one task at a time in `tasks` notes them, many in
    /// one unit of work: what fails is told in the log, and who wished asks again.
    pub fn wishes(&self, tasks: &TaskTracker) -> Wishes {
        let (content, tasks) = (self.clone(), tasks.clone());
        let notes = Notes::default();
        Arc::new(move |files| match notes.lock().put(files, Instant::now()) {
            Put::Refused => false,
            Put::Taken => true,
            Put::TakenByNobody => {
                tasks.spawn(notes.clone().write(content.clone()));
                true
            }
        })
    }
}

/// Wishes on their way to the database. Cheap to clone.
#[derive(Clone, Default)]
struct Notes {
    inner: Arc<Mutex<Noted>>,
}

#[derive(Default)]
struct Noted {
    /// Not noted yet.
    waiting: HashSet<[u8; 20]>,
    /// When each was noted last.
    noted: HashMap<[u8; 20], Instant>,
    /// Whether there is a task that notes them.
    writing: bool,
}

/// What became of wishes.
#[derive(Debug, PartialEq, Eq)]
enum Put {
    /// There are too many.
    Refused,
    /// They are noted, or will be.
    Taken,
    /// The same, and somebody has to begin with it.
    TakenByNobody,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what waits until nothing does.
    async fn write(self, content: Content) {
        loop {
            let files = self.lock().next();
            if files.is_empty() {
                return;
            }
            let ids: Vec<ContentId> = files.iter().copied().map(ContentId).collect();
            let unknown = match content.wish(&ids).await {
                Ok(unknown) => unknown,
                Err(error) => {
                    tracing::error!(%error, "files that a downstream server asked for cannot be noted");
                    ids
                }
            };
            let unknown: HashSet<[u8; 20]> = unknown.into_iter().map(|id| id.0).collect();
            self.lock().done(&files, &unknown, Instant::now());
        }
    }
}

impl Noted {
    fn put(&mut self, files: &[[u8; 20]], now: Instant) -> Put {
        let is_noted = |file: &[u8; 20]| {
            let at = self.noted.get(file);
            at.is_some_and(|at| now.duration_since(*at) < NOTED_FOR)
        };
        let is_new = |file: &&[u8; 20]| !self.waiting.contains(*file) && !is_noted(file);
        let new: HashSet<[u8; 20]> = files.iter().filter(is_new).copied().collect();
        if self.waiting.len() + new.len() > MAX_WAITING {
            return Put::Refused;
        }
        self.waiting.extend(new);
        if self.waiting.is_empty() || self.writing {
            return Put::Taken;
        }
        self.writing = true;
        Put::TakenByNobody
    }

    /// Some that wait; where none does, whoever asks is done.
    fn next(&mut self) -> Vec<[u8; 20]> {
        self.writing = !self.waiting.is_empty();
        self.waiting.iter().copied().take(AT_ONCE).collect()
    }

    /// These do not wait any more, and were noted but for some.
    fn done(&mut self, files: &[[u8; 20]], but: &HashSet<[u8; 20]>, now: Instant) {
        if self.noted.len() + files.len() > MAX_NOTED {
            self.noted
                .retain(|_, at| now.duration_since(*at) < NOTED_FOR);
        }
        if self.noted.len() + files.len() > MAX_NOTED {
            self.noted.clear();
        }
        for file in files {
            self.waiting.remove(file);
            if !but.contains(file) {
                self.noted.insert(*file, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: usize) -> [u8; 20] {
        let mut file = [0; 20];
        file[..8].copy_from_slice(&number.to_be_bytes());
        file
    }

    fn files(numbers: std::ops::Range<usize>) -> Vec<[u8; 20]> {
        numbers.map(file).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_that_was_noted_is_not_noted_again_for_an_hour() {
        let mut noted = Noted::default();
        let begin = Instant::now();
        assert_eq!(noted.put(&files(0..3), begin), Put::TakenByNobody);
        assert_eq!(noted.put(&files(2..5), begin), Put::Taken, "somebody does");
        let mut next = noted.next();
        next.sort_unstable();
        assert_eq!(next, files(0..5), "each once");
        // One of them is none of the catalog yet.
        noted.done(&next, &[file(4)].into(), begin);
        assert_eq!(noted.next(), files(0..0));
        assert_eq!(noted.put(&files(0..4), begin), Put::Taken, "all are noted");
        assert_eq!(noted.put(&files(4..5), begin), Put::TakenByNobody);
        let next = noted.next();
        noted.done(&next, &HashSet::new(), begin);
        assert_eq!(noted.next(), files(0..0));
        let later = begin + NOTED_FOR;
        assert_eq!(noted.put(&files(0..1), later), Put::TakenByNobody);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_wishes_come_few_wait_and_few_are_remembered() {
        let mut noted = Noted::default();
        let now = Instant::now();
        assert_eq!(noted.put(&files(0..MAX_WAITING), now), Put::TakenByNobody);
        let more = MAX_WAITING..MAX_WAITING + 1;
        assert_eq!(noted.put(&files(more.clone()), now), Put::Refused);
        assert_eq!(
            noted.put(&files(0..9), now),
            Put::Taken,
            "they wait already"
        );
        let next = noted.next();
        assert_eq!(next.len(), AT_ONCE);
        noted.done(&next, &HashSet::new(), now);
        assert_eq!(noted.put(&files(more), now), Put::Taken);
        for begin in (0..100_000).step_by(AT_ONCE) {
            noted.done(&files(begin..begin + AT_ONCE), &HashSet::new(), now);
        }
        assert!(noted.noted.len() <= MAX_NOTED);
    }
}
