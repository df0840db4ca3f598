//! What is refused at the door, told to the journal within bounds: neither a port scan, nor somebody who
//! tries join tokens, nor a removed site that dials again and again may fill it.

use crate::moved;
use catalog::PointId;
use journal::{Journal, StatusId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};

/// Refusals that are journaled in a minute; the rest are only logged.
const JOURNALED_PER_MINUTE: u32 = 10;
/// The same refusal of the same site is journaled this often.
const REPEATED_AFTER: Duration = Duration::from_secs(60 * 60);
/// Sites whose last refusal is remembered.
const MAX_REMEMBERED: usize = 1024;

/// Journals what a site refuses. One for the whole site; cheap to clone.
#[derive(Clone)]
pub struct Refusals {
    inner: Arc<Inner>,
}

struct Inner {
    journal: Journal,
    budget: Budget,
    repeats: Repeats,
}

impl Refusals {
    /// The refusals of a site that has this journal.
    pub fn new(journal: Journal) -> Self {
        Self {
            inner: Arc::new(Inner {
                journal,
                budget: Budget::default(),
                repeats: Repeats::default(),
            }),
        }
    }

    /// Journals a refusal, unless there were too many in this minute.
    pub async fn record(&self, id: StatusId, inserts: Vec<String>) {
        if self.inner.budget.take() {
            self.inner.journal.record(id, None, inserts).await;
        }
    }

    /// Journals that a site which showed a certificate of this hierarchy may not come in. That its
    /// admission could not be decided is no refusal, and neither is that a site is sent to where it belongs.
    pub async fn site_refused(&self, site: PointId, address: &str, refused: &Status) {
        let why = refused.message();
        let mut sent_on = moved::of_refusal(refused).into_iter();
        if sent_on.any(|moved| moved.site == site && moved.address().is_some()) {
            tracing::info!(%site, address, reason = why, "a site was sent to its parent");
            return;
        }
        tracing::warn!(%site, address, reason = why, "a site was refused");
        if refused.code() == Code::PermissionDenied && self.inner.repeats.is_news(site, why) {
            let inserts = vec![address.to_owned(), why.to_owned()];
            self.record(StatusId::CertificateRefused, inserts).await;
        }
    }
}

/// Bounds how many refusals are journaled in a minute.
#[derive(Debug, Default)]
struct Budget(Mutex<Option<(Instant, u32)>>);

impl Budget {
    fn take(&self) -> bool {
        let now = Instant::now();
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, used) = match *window {
            Some((began, used)) if now - began < Duration::from_secs(60) => (began, used),
            _ => (now, 0),
        };
        *window = Some((began, used.saturating_add(1)));
        used < JOURNALED_PER_MINUTE
    }
}

/// What each site was told last, and when.
#[derive(Debug, Default)]
struct Repeats(Mutex<BTreeMap<PointId, (Instant, String)>>);

impl Repeats {
    fn is_news(&self, site: PointId, why: &str) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, last)) = told.get(&site)
            && last == why
            && now - *at < REPEATED_AFTER
        {
            return false;
        }
        if told.len() >= MAX_REMEMBERED {
            told.clear();
        }
        told.insert(site, (now, why.to_owned()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_are_journaled_up_to_a_bound() {
        let budget = Budget::default();
        let journaled = (0..100).filter(|_| budget.take()).count();
        assert_eq!(journaled, 10);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(budget.take());
    }

    #[tokio::test(start_paused = true)]
    async fn a_site_that_dials_again_and_again_is_told_once_an_hour() {
        let (repeats, site) = (Repeats::default(), "PR1".parse().unwrap());
        assert!(repeats.is_news(site, "removed"));
        assert!(!repeats.is_news(site, "removed"));
        assert!(repeats.is_news(site, "another key"));
        assert!(repeats.is_news("PR2".parse().unwrap(), "another key"));
        tokio::time::advance(REPEATED_AFTER).await;
        assert!(repeats.is_news(site, "another key"));
    }
}
