//! What is measured, in which order, and how it is told: one JSON object a figure, then the summary.

use crate::baseline::{self, Git, Outcome, Rsync};
use crate::hierarchy::{Hierarchy, Run, Setting, Source, TOP, seconds_between};
use crate::{catalog_files, wire_pull};
use anyhow::Context as _;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Updates of the small catalog that doing nothing is measured at besides.
const SMALL: u32 = 2_000;
/// Runs with nothing to do that the median is taken of.
const IDLE_RUNS: usize = 5;

/// Targets, as the specification of this benchmark has them.
mod target {
    pub const INGEST_PER_SECOND: f64 = 3_000.0;
    pub const EXPORT_SECONDS: f64 = 1.0;
    pub const PULL_PER_SECOND: f64 = 30_000.0;
    pub const TIMES_BACKUP: f64 = 5.0;
    pub const ROUND_TRIPS: f64 = 1.0;
    /// The time of a tenfold catalog's nothing, against the small one's: more is no noise.
    pub const IDLE_GROWTH: f64 = 1.5;
    pub const CHANGE_SHARE: f64 = 0.03;
    pub const CHANGE_CONSTANT: f64 = 0.020;
    pub const TIMES_ONE_TIER: f64 = 1.3;
    pub const RESIDENT_BYTES: f64 = 100e6;
    pub const DATABASE_SHARE: f64 = 0.2;
}

/// The middle one of some figures; of none, not a number.
pub fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

/// Three places of a figure: what lies behind them is noise.
pub fn short(figure: f64) -> Value {
    if figure.abs() >= 1000.0 {
        json!(figure.round())
    } else {
        json!((figure * 1000.0).round() / 1000.0)
    }
}

fn all(figures: &[f64]) -> Value {
    figures.iter().copied().map(short).collect()
}

pub fn tell(line: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("standard output")
}

/// Our time beside those of the baselines, each with how often it fits into ours.
fn beside(ours: f64, baselines: &[(&str, &Outcome)]) -> Value {
    let beside = baselines.iter().map(|(name, outcome)| {
        let value = match outcome {
            Ok(seconds) => json!({"seconds": short(*seconds), "ratio": short(ours / seconds)}),
            Err(why) => json!({"skipped": why}),
        };
        ((*name).to_owned(), value)
    });
    Value::Object(beside.collect())
}

/// The measurements so far.
pub struct Bench {
    updates: u32,
    rounds: u8,
    ingest: Vec<f64>,
    one_tier: Vec<f64>,
    chain: Vec<f64>,
    /// How much later than its parent the last site of a chain was there.
    behind: Vec<f64>,
    idle_small: f64,
    peaks: BTreeMap<&'static str, u64>,
    summary: Map<String, Value>,
}

impl Bench {
    /// Nothing measured yet.
    pub fn new(updates: u32, rounds: u8) -> Self {
        Self {
            updates,
            rounds,
            ingest: Vec::new(),
            one_tier: Vec::new(),
            chain: Vec::new(),
            behind: Vec::new(),
            idle_small: f64::NAN,
            peaks: BTreeMap::new(),
            summary: Map::new(),
        }
    }

    /// Keeps a figure beside its target for the summary.
    fn judge(&mut self, name: &str, figure: f64, target: f64, met: bool) {
        let verdict = json!({"figure": short(figure), "target": short(target), "met": met});
        self.summary.insert(name.to_owned(), verdict);
    }

    fn weigh(&mut self, hierarchy: &Hierarchy) -> anyhow::Result<()> {
        for (code, bytes) in hierarchy.peak_memory()? {
            let role = match code.as_str() {
                TOP => "central",
                code if code.starts_with("PR") => "primary",
                _ => "secondary",
            };
            let peak = self.peaks.entry(role).or_default();
            *peak = bytes.max(*peak);
        }
        Ok(())
    }

    /// Doing nothing with a small catalog.
    pub async fn small_catalog(&mut self, setting: &Setting, dir: &Path) -> anyhow::Result<()> {
        eprintln!("a small catalog of {SMALL} updates ...");
        let mut hierarchy = Hierarchy::start(setting, dir, Source::Generated(SMALL)).await?;
        hierarchy.join("PR1", "primary", TOP).await?;
        let (_, id) = hierarchy.sync().await?;
        hierarchy.run_of("PR1", &id).await?;
        self.idle_small = self.idle(&mut hierarchy, SMALL).await?;
        self.weigh(&hierarchy)?;
        hierarchy.stop().await
    }

    /// Pulls with nothing to do: on the wire, and as whole runs of the site.
    async fn idle(&mut self, hierarchy: &mut Hierarchy, updates: u32) -> anyhow::Result<f64> {
        let mut runs = Vec::with_capacity(IDLE_RUNS);
        let mut position = 0;
        for _ in 0..IDLE_RUNS {
            let (top, id) = hierarchy.sync().await?;
            position = top.position;
            runs.push(hierarchy.run_of("PR1", &id).await?.seconds() * 1000.0);
        }
        let parent = hierarchy.address(TOP)?.to_owned();
        let pull = wire_pull::nothing_to_do(&parent, &hierarchy.data_dir("PR1"), position).await?;
        tell(&json!({
            "benchmark": "nothing_to_do", "updates": updates, "revisions": position,
            "pull_milliseconds": short(pull.milliseconds), "round_trips": pull.round_trips,
            "run_milliseconds": short(median(&runs)), "runs": all(&runs),
        }))?;
        let round_trips = f64::from(pull.round_trips);
        let one = pull.round_trips == 1;
        self.judge(
            "nothing_to_do_round_trips",
            round_trips,
            target::ROUND_TRIPS,
            one,
        );
        Ok(pull.milliseconds)
    }

    /// A chain of three tiers, from nothing: how long after the central site the last site is there.
    pub async fn chains(&mut self, setting: &Setting, place: &Path) -> anyhow::Result<()> {
        for round in 1..=self.rounds {
            eprintln!("three tiers, round {round} ...");
            let dir = place.join(format!("chain{round}"));
            let source = Source::Generated(self.updates);
            let mut hierarchy = Hierarchy::start(setting, &dir, source).await?;
            hierarchy.join("PR1", "primary", TOP).await?;
            hierarchy.join("SE1", "secondary", "PR1").await?;
            let (top, _) = hierarchy.sync().await?;
            self.ingest.push(top.seconds());
            let last = hierarchy.caught_up("SE1").await?;
            let parent = hierarchy.caught_up("PR1").await?;
            self.chain
                .push(seconds_between(top.finished, last.finished));
            self.behind
                .push(seconds_between(parent.finished, last.finished));
            self.weigh(&hierarchy)?;
            hierarchy.stop().await?;
            std::fs::remove_dir_all(dir)?;
        }
        Ok(())
    }

    /// One tier, from nothing, and in the last round everything that needs no more than that.
    pub async fn one_tier(&mut self, setting: &Setting, place: &Path) -> anyhow::Result<()> {
        for round in 1..=self.rounds {
            eprintln!("one tier, round {round} ...");
            let dir = place.join(format!("tier{round}"));
            let source = Source::Generated(self.updates);
            let mut hierarchy = Hierarchy::start(setting, &dir, source).await?;
            hierarchy.join("PR1", "primary", TOP).await?;
            let (top, _) = hierarchy.sync().await?;
            self.ingest.push(top.seconds());
            let last = hierarchy.caught_up("PR1").await?;
            self.one_tier
                .push(seconds_between(top.finished, last.finished));
            if round == self.rounds {
                self.pulls(&mut hierarchy, &dir, top).await?;
            }
            self.weigh(&hierarchy)?;
            let data_dirs = [TOP, "PR1"].map(|code| hierarchy.data_dir(code));
            hierarchy.stop().await?;
            if round == self.rounds {
                self.sizes("generated", &data_dirs).await?;
            }
            std::fs::remove_dir_all(dir)?;
        }
        self.convergence()
    }

    fn convergence(&mut self) -> anyhow::Result<()> {
        let (one, chain) = (median(&self.one_tier), median(&self.chain));
        tell(&json!({
            "benchmark": "convergence", "updates": self.updates,
            "one_tier_seconds": short(one), "three_tiers_seconds": short(chain),
            "ratio": short(chain / one),
            "last_behind_its_parent_seconds": short(median(&self.behind)),
            "one_tier": all(&self.one_tier), "three_tiers": all(&self.chain),
        }))?;
        let met = chain / one <= target::TIMES_ONE_TIER;
        self.judge(
            "three_tiers_to_one_tier",
            chain / one,
            target::TIMES_ONE_TIER,
            met,
        );
        Ok(())
    }

    /// Ingest, first pulls, nothing to do and a change, with the baselines on the same data.
    async fn pulls(
        &mut self,
        hierarchy: &mut Hierarchy,
        dir: &Path,
        top: Run,
    ) -> anyhow::Result<()> {
        let central = hierarchy.data_dir(TOP);
        let mut first = Vec::new();
        for number in 0..self.rounds {
            eprintln!("first pull of a site, round {} ...", number + 1);
            let code = format!("PX{}", char::from(b'A' + number));
            hierarchy.join(&code, "primary", TOP).await?;
            first.push(hierarchy.caught_up(&code).await?.seconds());
        }
        let first_pull = median(&first);

        eprintln!("baselines ...");
        let rows = catalog_files::changes(&central, 0).await?;
        let documents = dir.join("documents");
        catalog_files::write_documents(&rows, &documents)?;
        let rsync = Rsync::start(&documents, &dir.join("rsync")).await;
        let git = Git::start(&documents, &dir.join("git")).await?;
        git.commit().await?;
        let database = central.join(store::DATABASE_FILE);
        let (mut backups, mut inserts, mut copies, mut fetches) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            backups.push(baseline::backup(&database, &dir.join("backup.db")).await);
            inserts.push(baseline::bulk_insert(&rows, &dir.join("plain.db")).await);
            copies.push(rsync.fetch(&format!("copy{round}")).await);
            fetches.push(git.fetch(&format!("copy{round}.git")).await);
        }
        let (backup, insert) = (middle(backups), middle(inserts));
        let (copy, fetch) = (middle(copies), middle(fetches));
        drop(rows);

        self.tell_ingest(top, &insert)?;
        self.tell_first_pull(top, &first, [&backup, &insert, &copy, &fetch])?;

        eprintln!("nothing to do ...");
        flush(dir).await?;
        let idle = self.idle(hierarchy, self.updates).await?;
        let growth = idle / self.idle_small;
        self.judge(
            "nothing_to_do_growth_of_time",
            growth,
            target::IDLE_GROWTH,
            growth <= target::IDLE_GROWTH || idle - self.idle_small < 0.5,
        );
        let (idle_copy, idle_fetch) = (rsync.fetch("copy0").await, git.fetch("copy0.git").await);
        tell(&json!({
            "benchmark": "nothing_to_do_baselines", "updates": self.updates,
            "baselines": beside(idle / 1000.0, &[("rsync", &idle_copy), ("git", &idle_fetch)]),
        }))?;

        eprintln!("a change of 1 % ...");
        let mut changes = Vec::new();
        let mut changed = 0;
        let mut before = top.position;
        for _ in 0..self.rounds {
            flush(dir).await?;
            let (after, seconds) = self.change(hierarchy, before).await?;
            changed = after - before;
            changes.push(seconds);
            let news = catalog_files::changes(&central, before).await?;
            catalog_files::write_documents(&news, &documents)?;
            before = after;
        }
        git.commit().await?;
        let (new_copy, new_fetch) = (rsync.fetch("copy0").await, git.fetch("copy0.git").await);
        let change = median(&changes);
        let most = first_pull * target::CHANGE_SHARE + target::CHANGE_CONSTANT;
        let factor = f64::from(self.rounds);
        let (new_copy, new_fetch) = (new_copy.map(|s| s / factor), new_fetch.map(|s| s / factor));
        tell(&json!({
            "benchmark": "pull_of_a_change", "updates": self.updates, "changes": changed,
            "milliseconds": short(change * 1000.0), "runs": all(&changes),
            "ratio_to_first_pull": short(change / first_pull),
            "baselines": beside(change, &[("rsync", &new_copy), ("git", &new_fetch)]),
        }))?;
        self.judge(
            "change_milliseconds",
            change * 1000.0,
            most * 1000.0,
            change <= most,
        );
        Ok(())
    }

    /// Has the upstream publish a change, and follows it to the site below; the position it reaches
    /// and how long that site took.
    async fn change(
        &mut self,
        hierarchy: &mut Hierarchy,
        before: u64,
    ) -> anyhow::Result<(u64, f64)> {
        let (top, id) = hierarchy.change(before).await?;
        let run = hierarchy.run_of("PR1", &id).await?;
        Ok((top.position, run.seconds()))
    }

    fn tell_ingest(&mut self, top: Run, insert: &Outcome) -> anyhow::Result<()> {
        let seconds = median(&self.ingest);
        let per_second = top.items as f64 / seconds;
        tell(&json!({
            "benchmark": "ingest", "updates": self.updates, "revisions": top.items,
            "seconds": short(seconds), "revisions_per_second": short(per_second),
            "runs": all(&self.ingest),
            "baselines": beside(seconds, &[("sqlite_bulk_insert", insert)]),
        }))?;
        let met = per_second >= target::INGEST_PER_SECOND;
        self.judge(
            "ingest_per_second",
            per_second,
            target::INGEST_PER_SECOND,
            met,
        );
        Ok(())
    }

    fn tell_first_pull(
        &mut self,
        top: Run,
        first: &[f64],
        [backup, insert, copy, fetch]: [&Outcome; 4],
    ) -> anyhow::Result<()> {
        let seconds = median(first);
        let per_second = top.items as f64 / seconds;
        let baselines = [
            ("sqlite_backup", backup),
            ("sqlite_bulk_insert", insert),
            ("rsync", copy),
            ("git", fetch),
        ];
        tell(&json!({
            "benchmark": "first_pull", "updates": self.updates, "revisions": top.items,
            "seconds": short(seconds), "revisions_per_second": short(per_second),
            "runs": all(first), "baselines": beside(seconds, &baselines),
        }))?;
        let met = per_second >= target::PULL_PER_SECOND;
        self.judge(
            "first_pull_per_second",
            per_second,
            target::PULL_PER_SECOND,
            met,
        );
        if let Ok(backup) = backup {
            let times = seconds / backup;
            let met = times <= target::TIMES_BACKUP;
            self.judge("first_pull_to_backup", times, target::TIMES_BACKUP, met);
        }
        if let Ok(fetch) = fetch {
            let times = seconds / fetch;
            self.judge("first_pull_to_git", times, 1.0, times < 1.0);
        }
        Ok(())
    }

    /// Databases at rest beside the documents that they hold.
    async fn sizes(&mut self, catalog: &str, data_dirs: &[PathBuf]) -> anyhow::Result<()> {
        let changes = catalog_files::changes(&data_dirs[0], 0).await?;
        let documents = catalog_files::document_bytes(&changes)?;
        let stored: usize = changes
            .iter()
            .map(|change| change.document.len() + change.header.len())
            .sum();
        let sizes: Vec<u64> = data_dirs
            .iter()
            .map(|dir| catalog_files::database_bytes(dir))
            .collect();
        let largest = sizes.iter().copied().max().unwrap_or_default();
        let share = largest as f64 / documents as f64;
        tell(&json!({
            "benchmark": "database_size", "catalog": catalog, "documents": changes.len(),
            "documents_bytes": documents, "stored_documents_and_headers_bytes": stored,
            "database_bytes": sizes, "ratio": short(share),
        }))?;
        let met = share <= target::DATABASE_SHARE;
        let name = format!("database_to_documents_{catalog}");
        self.judge(&name, share, target::DATABASE_SHARE, met);
        Ok(())
    }

    /// Ingest of a genuine package, where it is there.
    pub async fn export(
        &mut self,
        setting: &Setting,
        package: &Path,
        dir: &Path,
    ) -> anyhow::Result<()> {
        let Ok(package) = package.canonicalize() else {
            let why = format!("{} is not there", package.display());
            return tell(&json!({"benchmark": "ingest_export", "skipped": why}));
        };
        eprintln!("a genuine export ...");
        let mut runs = Vec::new();
        let mut documents = 0;
        for round in 0..self.rounds {
            let dir = dir.join(round.to_string());
            let mut hierarchy = Hierarchy::start(setting, &dir, Source::Package(&package)).await?;
            let (top, _) = hierarchy.sync().await?;
            runs.push(top.seconds());
            documents = top.items;
            self.weigh(&hierarchy)?;
            let central = hierarchy.data_dir(TOP);
            hierarchy.stop().await?;
            if round + 1 == self.rounds {
                self.sizes("export", &[central]).await?;
            }
        }
        let seconds = median(&runs);
        tell(&json!({
            "benchmark": "ingest_export", "documents": documents, "seconds": short(seconds),
            "documents_per_second": short(documents as f64 / seconds), "runs": all(&runs),
        }))?;
        let met = seconds <= target::EXPORT_SECONDS;
        self.judge(
            "ingest_export_seconds",
            seconds,
            target::EXPORT_SECONDS,
            met,
        );
        Ok(())
    }

    /// The peaks of memory over all of it, and every target with its figure.
    pub fn summary(mut self) -> anyhow::Result<()> {
        let most = self.peaks.values().copied().max().unwrap_or_default() as f64;
        tell(&json!({"benchmark": "peak_memory", "resident_bytes": self.peaks}))?;
        let met = most < target::RESIDENT_BYTES;
        self.judge("peak_resident_bytes", most, target::RESIDENT_BYTES, met);
        tell(&json!({"summary": self.summary}))
    }
}

/// Waits until the disk has what baselines left in memory: who syncs next would wait for it.
async fn flush(dir: &Path) -> anyhow::Result<()> {
    crate::process::run::<&str>(dir, "sync", &[])
        .await
        .map(drop)
}

/// The middle one of some outcomes, or why there is none.
fn middle(outcomes: Vec<Outcome>) -> Outcome {
    let figures: Vec<f64> = outcomes.into_iter().collect::<Result<_, _>>()?;
    Ok(median(&figures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }
}
