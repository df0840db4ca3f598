//! Whether what was sampled is flat or grows.
//!
//! The first half of a run is left out: caches fill, and the hierarchy grows together. In the second half a
//! straight line is laid through each series, and how much it rises over that half is compared with a bound.
//! What came into being after the first quarter is not judged: it is still warming up.

use crate::churn::Role;
use crate::sample::{Sample, SiteSample, by_site};
use serde_json::{Value, json};

/// Fewer samples than these say nothing.
const FEWEST: usize = 8;
/// Bytes of a database that one status message takes, with its place in the index.
pub const MESSAGE_BYTES: u64 = 250;

/// How much a quantity may rise within the second half: a share of its mean, or so much at least.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Share of the mean.
    pub share: f64,
    /// In the unit of the quantity.
    pub least: f64,
}

impl Bound {
    fn of(self, mean: f64) -> f64 {
        (self.share * mean).max(self.least)
    }
}

const MIB: f64 = 1024.0 * 1024.0;
const MEMORY: Bound = Bound {
    share: 0.10,
    least: 4.0 * MIB,
};
const HANDLES: Bound = Bound {
    share: 0.10,
    least: 6.0,
};
/// Of bytes for each item that the database holds.
const DATABASE: Bound = Bound {
    share: 0.10,
    least: 50.0,
};
/// A log fills to 8 MiB before it is written back, and keeps that size: a step, which a line through it
/// exaggerates.
const WAL: Bound = Bound {
    share: 0.10,
    least: 16.0 * MIB,
};
/// Of seconds: as many as a site that was cut off needs to dial again.
const LAG: Bound = Bound {
    share: 0.50,
    least: 30.0,
};

/// A straight line through points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Mean of the values.
    pub mean: f64,
    /// By how much the line rises from the first point to the last.
    pub rise: f64,
}

/// The line with the least squares; none through fewer than two moments.
pub fn line(points: &[(f64, f64)]) -> Option<Line> {
    let (first, last) = (points.first()?.0, points.last()?.0);
    let count = points.len() as f64;
    let mean_at = points.iter().map(|(at, _)| at).sum::<f64>() / count;
    let mean = points.iter().map(|(_, value)| value).sum::<f64>() / count;
    let square: f64 = points.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
    if square <= 0.0 {
        return None;
    }
    let product: f64 = points
        .iter()
        .map(|(at, value)| (at - mean_at) * (value - mean))
        .sum();
    let rise = product / square * (last - first);
    Some(Line { mean, rise })
}

/// What is said of one quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    name: String,
    unit: &'static str,
    /// The site that is the worst, where the quantity is of sites.
    site: Option<String>,
    line: Line,
    bound: f64,
}

impl Judgement {
    /// Whether it rises by more than its bound.
    pub fn grows(&self) -> bool {
        self.line.rise > self.bound
    }

    fn json(&self) -> Value {
        let short = |figure: f64| (figure * 10.0).round() / 10.0;
        json!({
            "unit": self.unit,
            "site": self.site,
            "mean": short(self.line.mean),
            "rise": short(self.line.rise),
            "bound": short(self.bound),
            "verdict": if self.grows() { "grows" } else { "flat" },
        })
    }
}

/// Share of a run after which what is judged has to be there.
pub const WARM: f64 = 0.25;

/// The samples since a share of the run.
fn since(samples: &[Sample], share: f64) -> &[Sample] {
    let from = samples.last().map_or(0.0, |last| last.at * share);
    let from = samples.partition_point(|sample| sample.at < from);
    &samples[from..]
}

/// The worst site of a role: of those that are in every sample since they had to be, with one process where
/// `lives`.
fn worst(
    all: &[Sample],
    role: Role,
    lives: bool,
    bound: Bound,
    figure: impl Fn(&SiteSample) -> Option<f64>,
) -> Option<(String, Line)> {
    let samples = since(all, WARM);
    let half = all.last().map_or(0.0, |last| last.at / 2.0);
    let sites = by_site(samples).into_iter();
    let lines = sites.filter_map(|(code, points)| {
        let (_, first) = points.first()?;
        let process = first.process;
        let same = |site: &SiteSample| site.process.is_some() && site.process == process;
        let whole =
            points.len() == samples.len() && (!lives || points.iter().all(|(_, site)| same(site)));
        if first.role != role || !whole {
            return None;
        }
        let points: Vec<(f64, f64)> = points
            .into_iter()
            .filter(|(at, _)| *at >= half)
            .filter_map(|(at, site)| Some((at, figure(site)?)))
            .collect();
        (points.len() >= FEWEST).then_some(())?;
        Some((code.to_owned(), line(&points)?))
    });
    let excess = |line: &Line| line.rise - bound.of(line.mean);
    lines.max_by(|(_, one), (_, other)| excess(one).total_cmp(&excess(other)))
}

/// Judges everything. A quantity of which there are too few samples is left out.
pub fn judge(samples: &[Sample]) -> Vec<Judgement> {
    let mut judgements = Vec::new();
    let mut say = |name: String, unit, bound: Bound, found: Option<(String, Line)>| {
        if let Some((site, line)) = found {
            judgements.push(Judgement {
                name,
                unit,
                site: Some(site),
                line,
                bound: bound.of(line.mean),
            });
        }
    };
    for role in Role::ALL {
        let name = |what: &str| format!("{what}_{}", role.name());
        let memory = worst(samples, role, true, MEMORY, |site| Some(site.memory as f64));
        say(name("memory"), "bytes", MEMORY, memory);
        let handles = worst(samples, role, true, HANDLES, |site| {
            Some(site.handles as f64)
        });
        say(name("handles"), "handles", HANDLES, handles);
        let database = worst(samples, role, false, DATABASE, |site| {
            let messages = site.held.messages * MESSAGE_BYTES;
            let catalog = site.held.used.saturating_sub(messages) as f64;
            (site.held.items > 0).then(|| catalog / site.held.items as f64)
        });
        say(
            name("database"),
            "bytes an item, without status messages",
            DATABASE,
            database,
        );
        let wal = worst(samples, role, false, WAL, |site| Some(site.wal as f64));
        say(name("wal"), "bytes", WAL, wal);
    }
    let lag: Vec<(f64, f64)> = since(samples, 0.5)
        .iter()
        .filter_map(|sample| {
            let late: Vec<f64> = sample.sites.iter().filter_map(|site| site.late).collect();
            (!late.is_empty()).then(|| (sample.at, late.iter().sum::<f64>() / late.len() as f64))
        })
        .collect();
    if let (Some(line), true) = (line(&lag), lag.len() >= FEWEST) {
        judgements.push(Judgement {
            name: "lag".to_owned(),
            unit: "seconds, the mean of all sites",
            site: None,
            line,
            bound: LAG.of(line.mean),
        });
    }
    judgements
}

/// The judgements as one object, by their names.
pub fn told(judgements: &[Judgement]) -> Value {
    let judgements = judgements.iter();
    judgements
        .map(|judgement| (judgement.name.clone(), judgement.json()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Held;

    fn samples(memory: impl Fn(u64) -> u64, process: impl Fn(u64) -> u32) -> Vec<Sample> {
        let site = |at: u64| SiteSample {
            code: "P00".to_owned(),
            role: Role::Primary,
            process: Some(process(at)),
            memory: memory(at) << 20,
            handles: 40,
            database: 1_000_000,
            wal: 8 << 20,
            held: Held {
                items: 1000,
                messages: at,
                failed: 0,
                used: 1_000_000 + at * MESSAGE_BYTES,
            },
            behind: Some(0),
            late: Some(0.0),
            connected: true,
        };
        (0..100)
            .map(|at| Sample {
                at: at as f64,
                sites: vec![site(at)],
            })
            .collect()
    }

    fn growing(samples: &[Sample]) -> Vec<String> {
        let grows = judge(samples).into_iter().filter(Judgement::grows);
        grows.map(|judgement| judgement.name).collect()
    }

    #[test]
    fn a_line_rises_from_its_first_point_to_its_last() {
        let points: Vec<(f64, f64)> = (0..=10)
            .map(f64::from)
            .map(|x| (x, 3.0 * x + 1.0))
            .collect();
        let Line { mean, rise } = line(&points).unwrap();
        assert!((mean - 16.0).abs() < 1e-9 && (rise - 30.0).abs() < 1e-9);
        assert_eq!(line(&[(1.0, 2.0)]), None);
        assert_eq!(line(&[]), None);
    }

    #[test]
    fn what_grows_in_the_first_half_alone_is_flat() {
        let warm = samples(|at| at.min(45) * 4, |_| 1);
        assert_eq!(growing(&warm), [""; 0]);
        assert_eq!(judge(&warm).len(), 5);
        let leaks = samples(|at| 100 + at, |_| 1);
        assert_eq!(growing(&leaks), ["memory_primary"]);
    }

    #[test]
    fn the_memory_of_a_process_that_was_started_again_says_nothing() {
        let leaks = |at| 100 + at;
        let judged = judge(&samples(leaks, |at| u32::from(at > 75)));
        assert!(judged.iter().all(|judged| judged.name != "memory_primary"));
        assert!(judged.iter().any(|judged| judged.name == "wal_primary"));
    }

    #[test]
    fn few_samples_say_nothing() {
        let few = samples(|at| at, |_| 1);
        assert_eq!(judge(&few[..10]), []);
        assert_eq!(judge(&[]), []);
    }
}
