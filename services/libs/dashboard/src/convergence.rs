//! How many sites hold what the top-level site holds: now, and over time.

use crate::words::Look;
use daemon::Ambient;
use hierarchy::{Behind, Hierarchy};
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::v1::SiteReport;

/// Samples that are kept: a day at one a minute.
const MAX_SAMPLES: usize = 1440;
/// Least time between two looks.
const GATHER: Duration = Duration::from_secs(5);
/// Least time between two samples of the same numbers.
const EVERY: SignedDuration = SignedDuration::from_secs(60);

/// How far the hierarchy has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Position of the top-level site.
    pub position: u64,
    /// All software update points.
    pub sites: usize,
    /// Those that hold it.
    pub current: usize,
    /// Code of the one that is behind the furthest, and how far.
    pub slowest: Option<(String, String)>,
    /// How many look how, the worst first; none of those that there are none of.
    pub looks: Vec<(Look, usize)>,
}

impl Standing {
    /// How far a hierarchy has come.
    pub fn of(hierarchy: &Hierarchy) -> Self {
        let sites = hierarchy.in_tree_order();
        let mut current = 0;
        let mut slowest: Option<((SignedDuration, u64), String, String)> = None;
        let mut looks = [0; Look::ALL.len()];
        for (_, site) in &sites {
            let behind = hierarchy.behind(site);
            let look = Look::of(hierarchy, site);
            if let Some(at) = Look::ALL.iter().position(|held| *held == look) {
                looks[at] += 1;
            }
            let weight = match behind {
                Behind::Current => {
                    current += 1;
                    continue;
                }
                Behind::By { positions, age } => (age.unwrap_or(SignedDuration::ZERO), positions),
                Behind::Differs => (SignedDuration::MAX, u64::MAX),
            };
            let words = match behind {
                Behind::By { age: Some(age), .. } => {
                    format!("{} behind", hierarchy::words::duration(age))
                }
                Behind::By { positions: 1, .. } => "1 position behind".to_owned(),
                Behind::By { positions, .. } => {
                    format!("{} positions behind", hierarchy::words::count(positions))
                }
                Behind::Differs | Behind::Current => "other content".to_owned(),
            };
            if slowest.as_ref().is_none_or(|(held, ..)| *held < weight) {
                slowest = Some((weight, site.site_code.clone(), words));
            }
        }
        let looks = Look::ALL.into_iter().zip(looks);
        Self {
            position: hierarchy.top().map_or(0, |top| top.verified_position),
            sites: sites.len(),
            current,
            slowest: slowest.map(|(_, code, words)| (code, words)),
            looks: looks.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// The same in a sentence.
    pub fn sentence(&self) -> String {
        let count = |number: usize| hierarchy::words::count(number as u64);
        if self.sites == 0 {
            return "No site has reported yet".to_owned();
        }
        let at = hierarchy::words::count(self.position);
        let mut text = format!(
            "{} of {} {} at position {at}",
            count(self.current),
            count(self.sites),
            if self.sites == 1 { "site" } else { "sites" }
        );
        if let Some((code, words)) = &self.slowest {
            text.push_str(&format!("; slowest {code}, {words}"));
        }
        text
    }
}

/// How many sites there were at a time, and how many of them were current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub at: Timestamp,
    pub sites: usize,
    pub current: usize,
}

/// The samples since the site was started, the oldest first.
#[derive(Default)]
pub struct Convergence(Mutex<VecDeque<Sample>>);

impl Convergence {
    /// Takes a sample, if the numbers changed or the last one is old.
    pub fn note(&self, standing: &Standing, now: Timestamp) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = Sample {
            at: now,
            sites: standing.sites,
            current: standing.current,
        };
        let is_news = samples.back().is_none_or(|last| {
            (last.sites, last.current) != (sample.sites, sample.current)
                || now.duration_since(last.at) >= EVERY
        });
        if is_news {
            samples.push_back(sample);
        }
        while samples.len() > MAX_SAMPLES {
            samples.pop_front();
        }
    }

    /// All samples, the oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().copied().collect()
    }
}

/// Looks at the sites whenever something changed, and each minute, until it is told to stop.
pub async fn sample(
    convergence: Arc<Convergence>,
    mut changed: watch::Receiver<u64>,
    reports: Box<dyn Fn() -> Vec<SiteReport> + Send>,
    ambient: Ambient,
    stop: CancellationToken,
) {
    loop {
        let standing = Standing::of(&Hierarchy::new(reports()));
        convergence.note(&standing, ambient.now());
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY.unsigned_abs()) => {}
            changed = changed.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{at, report, three_tiers};

    #[test]
    fn the_slowest_site_is_named() {
        let mut hierarchy = three_tiers();
        assert_eq!(
            Standing::of(&hierarchy).sentence(),
            "5 of 5 sites at position 10"
        );
        let mut late = report("SE1", "secondary", "PR1");
        (late.verified_position, late.last_success) = (4, Some(at(40)));
        let mut later = report("SE2", "secondary", "PR2");
        (later.verified_position, later.last_success) = (9, Some(at(20)));
        hierarchy.absorb(vec![late, later]);
        let standing = Standing::of(&hierarchy);
        assert_eq!(
            standing.sentence(),
            "3 of 5 sites at position 10; slowest SE2, 1 min behind"
        );
        assert_eq!(standing.looks, [(Look::Late, 2), (Look::Good, 3)]);
    }

    #[test]
    fn samples_are_bounded_and_repeat_each_minute() {
        let (convergence, standing) = (Convergence::default(), Standing::of(&three_tiers()));
        for second in 0..120 {
            let now = Timestamp::from_second(second).unwrap();
            convergence.note(&standing, now);
        }
        assert_eq!(convergence.samples().len(), 2);
        for minute in 0..3_000 {
            let now = Timestamp::from_second(1_000 + 60 * minute).unwrap();
            convergence.note(&standing, now);
        }
        assert_eq!(convergence.samples().len(), MAX_SAMPLES);
    }
}
