//! What a server was asked to fetch: each file once, many at a time, and not again before long.

use crate::source::SourceError;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Files that are asked for with one call: more are refused.
pub(super) const MOST_AT_ONCE: usize = 100;
/// From one such call to the next, unless as many wait as go into one.
const BETWEEN: Duration = Duration::from_secs(2);
/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// After how long a server is asked again for the same file.
const AGAIN: Duration = Duration::from_secs(30 * 60);
/// After how long for one that it did not know.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(10 * 60);
/// After how long it is asked for anything again when it could not be.
const BUSY: Duration = Duration::from_secs(60);
/// After how long when it does not let itself be asked.
const REFUSING: Duration = Duration::from_secs(30 * 60);
/// Files that are remembered.
const MOST_KNOWN: usize = 50_000;

/// Why a server was not asked to fetch files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderError {
    /// It does not know these, and fetches none of those that it was asked for.
    Unknown(Vec<[u8; 20]>),
    /// It could not be asked now.
    Later(String),
    /// It does not let itself be asked.
    Refused(String),
}

/// What was asked for.
#[derive(Default)]
pub(super) struct Orders {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// What became of files that were asked for, and until when that counts.
    known: HashMap<[u8; 20], (Instant, Known)>,
    /// What is to be asked for next.
    waiting: HashSet<[u8; 20]>,
    /// When it was asked last.
    asked: Option<Instant>,
    /// Until when it is not asked for anything, and why.
    quiet: Option<(Instant, OrderError)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Ordered,
    Unknown,
}

impl Known {
    fn told(self) -> SourceError {
        match self {
            Self::Ordered => SourceError::Ordered(
                "it does not have it yet, and was asked to fetch it (DownloadFiles)".to_owned(),
            ),
            Self::Unknown => {
                SourceError::Refused("it does not have it, and does not know it".to_owned())
            }
        }
    }
}

impl Orders {
    /// Has the server fetch a file that it does not have, by `order`, unless it was asked to; what to say of it until
    /// then.
    pub async fn missing<F>(
        &self,
        sha1: [u8; 20],
        order: impl Fn(Vec<[u8; 20]>) -> F,
    ) -> SourceError
    where
        F: Future<Output = Result<(), OrderError>>,
    {
        let mut held = self.held.lock().await;
        let now = Instant::now();
        if let Some(known) = held.about(&sha1, now) {
            return known.told();
        }
        if let Some((_, why)) = held.quiet.as_ref().filter(|(until, _)| *until > now) {
            return why.told();
        }
        held.waiting.insert(sha1);
        let is_soon = held
            .asked
            .is_some_and(|asked| now.duration_since(asked) < BETWEEN);
        if is_soon && held.waiting.len() < MOST_AT_ONCE {
            return SourceError::Ordered(
                "it does not have it yet, and is asked to fetch it (DownloadFiles) next".to_owned(),
            );
        }
        held.asked = Some(now);
        let files: Vec<[u8; 20]> = held.waiting.drain().take(MOST_AT_ONCE).collect();
        held.order(files, order).await;
        match (held.about(&sha1, now), &held.quiet) {
            (Some(known), _) => known.told(),
            (None, Some((_, why))) => why.told(),
            (None, None) => SourceError::Ordered("it does not have it yet".to_owned()),
        }
    }
}

impl OrderError {
    fn told(&self) -> SourceError {
        let begins = "it does not have it";
        match self {
            Self::Later(why) => SourceError::Ordered(format!(
                "{begins} yet, and cannot be asked now to fetch it: {why}"
            )),
            Self::Refused(why) => SourceError::Refused(format!(
                "{begins}, and does not let itself be asked to fetch it: {why}"
            )),
            Self::Unknown(_) => SourceError::Refused(format!(
                "{begins}, and says that it does not know files that nobody asked it for"
            )),
        }
    }
}

impl Held {
    fn about(&self, sha1: &[u8; 20], now: Instant) -> Option<Known> {
        let (_, known) = self.known.get(sha1).filter(|(until, _)| *until > now)?;
        Some(*known)
    }

    fn note(&mut self, files: &[[u8; 20]], known: Known) {
        let now = Instant::now();
        if self.known.len() + files.len() > MOST_KNOWN {
            self.known.retain(|_, (until, _)| *until > now);
            if self.known.len() + files.len() > MOST_KNOWN {
                self.known.clear();
            }
        }
        let until = now
            + match known {
                Known::Ordered => AGAIN,
                Known::Unknown => UNKNOWN_AGAIN,
            };
        let noted = files.iter().map(|sha1| (*sha1, (until, known)));
        self.known.extend(noted);
    }

    /// Asks for files; where the server does not know some of them, for the others once more.
    async fn order<F>(&mut self, mut files: Vec<[u8; 20]>, order: impl Fn(Vec<[u8; 20]>) -> F)
    where
        F: Future<Output = Result<(), OrderError>>,
    {
        self.quiet = None;
        let mut is_again = false;
        while !files.is_empty() {
            let silent = || OrderError::Later("it did not answer in time".to_owned());
            let asked = tokio::time::timeout(PATIENCE, order(files.clone())).await;
            let error = match asked.unwrap_or_else(|_| Err(silent())) {
                Ok(()) => return self.note(&files, Known::Ordered),
                Err(error) => error,
            };
            let wait = match &error {
                OrderError::Unknown(unknown) => {
                    let (unknown, rest): (Vec<_>, Vec<_>) =
                        files.iter().partition(|file| unknown.contains(*file));
                    if !unknown.is_empty() {
                        self.note(&unknown, Known::Unknown);
                        if is_again {
                            // It knew these a moment ago: they are asked for when they have their turn.
                            return;
                        }
                        is_again = true;
                        files = rest;
                        continue;
                    }
                    REFUSING
                }
                OrderError::Refused(_) => REFUSING,
                OrderError::Later(_) => BUSY,
            };
            tracing::warn!(
                ?error,
                files = files.len(),
                "the upstream server was not asked to fetch files"
            );
            self.quiet = Some((Instant::now() + wait, error));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    type Called = RefCell<Vec<Vec<[u8; 20]>>>;

    fn file(number: u8) -> [u8; 20] {
        [number; 20]
    }

    /// Says that files are missing, and what was asked for by that; `answer` is the server's.
    async fn missing(
        orders: &Orders,
        files: impl IntoIterator<Item = u8>,
        answer: impl Fn(&[[u8; 20]]) -> Result<(), OrderError>,
    ) -> (Vec<Vec<[u8; 20]>>, SourceError) {
        let called = Called::default();
        let mut last = SourceError::Away(String::new());
        for number in files {
            let order = |mut asked: Vec<[u8; 20]>| {
                asked.sort_unstable();
                let answered = answer(&asked);
                called.borrow_mut().push(asked);
                async { answered }
            };
            last = orders.missing(file(number), order).await;
        }
        (called.into_inner(), last)
    }

    #[tokio::test(start_paused = true)]
    async fn each_file_is_asked_for_once_and_many_at_a_time() {
        let orders = Orders::default();
        let fine = |_: &[[u8; 20]]| Ok(());
        let (called, told) = missing(&orders, 0..101, fine).await;
        assert_eq!(called.len(), 2, "the first, and then a hundred at once");
        assert_eq!((called[0].len(), called[1].len()), (1, MOST_AT_ONCE));
        assert!(matches!(told, SourceError::Ordered(_)), "{told:?}");
        // Those that come a moment later wait for others.
        let (called, told) = missing(&orders, [7, 150, 151], fine).await;
        assert_eq!(called, Vec::<Vec<[u8; 20]>>::new());
        assert!(told.to_string().contains("next"), "{told}");
        tokio::time::advance(BETWEEN).await;
        let (called, _) = missing(&orders, [7, 150], fine).await;
        assert_eq!(called, [vec![file(150), file(151)]]);
        // Not before long.
        tokio::time::advance(AGAIN / 2).await;
        assert_eq!(missing(&orders, [7], fine).await.0.len(), 0);
        tokio::time::advance(AGAIN).await;
        assert_eq!(missing(&orders, [7], fine).await.0.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_does_not_know_keeps_nothing_else_back() {
        let orders = Orders::default();
        missing(&orders, [0], |_| Ok(())).await;
        missing(&orders, [1, 2], |_| Ok(())).await;
        tokio::time::advance(BETWEEN).await;
        let answer = |asked: &[[u8; 20]]| match asked.contains(&file(1)) {
            true => Err(OrderError::Unknown(vec![file(1)])),
            false => Ok(()),
        };
        let (called, told) = missing(&orders, [3], answer).await;
        let all = vec![file(1), file(2), file(3)];
        assert_eq!(called, [all, vec![file(2), file(3)]]);
        assert!(matches!(told, SourceError::Ordered(_)), "{told:?}");
        let (called, told) = missing(&orders, [1], answer).await;
        assert_eq!(called.len(), 0);
        assert!(matches!(told, SourceError::Refused(_)), "{told:?}");
        // One that names what nobody asked for is not believed, and not asked again at once.
        let orders = Orders::default();
        let nonsense = |_: &[[u8; 20]]| Err(OrderError::Unknown(vec![file(9)]));
        let (called, told) = missing(&orders, [1, 2], nonsense).await;
        assert_eq!(called.len(), 1);
        assert!(matches!(told, SourceError::Refused(_)), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_asked_is_left_alone_for_a_while() {
        let orders = Orders::default();
        let busy = |_: &[[u8; 20]]| Err(OrderError::Later("it is busy".to_owned()));
        let (called, told) = missing(&orders, [1, 2, 3], busy).await;
        assert_eq!(called.len(), 1);
        assert!(matches!(told, SourceError::Ordered(_)), "{told:?}");
        assert!(told.to_string().contains("it is busy"), "{told}");
        tokio::time::advance(BUSY).await;
        let refused = |_: &[[u8; 20]]| Err(OrderError::Refused("who are you".to_owned()));
        let (called, told) = missing(&orders, [1, 2], refused).await;
        assert_eq!(called.len(), 1);
        assert!(matches!(told, SourceError::Refused(_)), "{told:?}");
        tokio::time::advance(BUSY).await;
        let (called, _) = missing(&orders, [1], |_| Ok(())).await;
        assert_eq!(called.len(), 0);
    }
}
