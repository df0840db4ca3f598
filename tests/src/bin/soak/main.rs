//! The endurance test: a real hierarchy of real processes that is disturbed without end, watched from
//! outside, and judged: whether anything grows, whether all sites agree when it is left in peace, whether
//! the databases are sound and no status message was lost or doubled.
//!
//! The summary, one JSON object, goes to standard output; tables and a picture to files; what people want
//! to know meanwhile to standard error. `scripts/soak` builds what is needed and starts this.

#![expect(
    clippy::cast_precision_loss,
    reason = "figures need no more than 52 bits"
)]

mod act;
mod audit;
mod churn;
mod plot;
mod sample;
mod verdict;

use act::{Field, Plan};
use anyhow::Context as _;
use audit::Audit;
use clap::Parser as _;
use futures::FutureExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sample::{Sample, Sampler};
use serde_json::json;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use testkit::hierarchy::CENTRAL;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// Samples of a run, about.
const SAMPLES: u32 = 600;
/// Between two samples at least.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(2);
/// Between two lines that tell how it goes.
const TELL: Duration = Duration::from_secs(20);
/// How long what was said last may be on its way when everything is at rest.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the sites may take to agree, and each of them besides.
const CONVERGENCE: Duration = Duration::from_secs(120);
const CONVERGENCE_OF_A_SITE: Duration = Duration::from_secs(2);

/// Disturb a hierarchy of real processes on this machine for hours, and look whether anything grows.
#[derive(Debug, clap::Parser)]
#[command(name = "soak")]
struct Arguments {
    /// How long it is disturbed, in hours.
    #[arg(long, default_value_t = 1.0, conflicts_with = "minutes")]
    hours: f64,

    /// The same, in minutes.
    #[arg(long)]
    minutes: Option<f64>,

    /// Sites, with the central site: one in ten is a primary site. Each takes 15 to 50 MB of memory.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(3..=1000))]
    sites: u16,

    /// Updates in the generated catalog.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    updates: u32,

    /// Share of the updates that one change concerns, in percent.
    #[arg(long, default_value_t = 1.0)]
    evolve_percent: f64,

    /// Seed of what happens and of the generated catalog.
    #[arg(long, default_value_t = 7)]
    seed: u64,

    /// Seconds between two things that happen.
    #[arg(long, default_value_t = 2.0)]
    pace: f64,

    /// Seconds between two samples; follows from the length of the run unless given.
    #[arg(long)]
    interval: Option<f64>,

    /// Folder below which the sites' data is written. It is removed when all is well, and stays otherwise.
    #[arg(long)]
    dir: Option<PathBuf>,

    /// Folder for soak.csv, soak-processes.csv, soak.svg and soak.json.
    #[arg(long, default_value = ".")]
    out: PathBuf,

    /// The program that is tried.
    #[arg(long, default_value = "target/release/headwater")]
    program: PathBuf,
}

/// What a run gathers.
struct Run {
    field: Field,
    sampler: Sampler,
    samples: Vec<Sample>,
    actions: BTreeMap<&'static str, u64>,
    audit: Audit,
    rng: StdRng,
    began: Instant,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // The only other answer is that one is installed already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // Whichever way this ends, the processes end with the future that holds them.
    tokio::select! {
        judged = Box::pin(soak(&arguments)) => judged,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
        _ = hang_up.recv() => Ok(ExitCode::from(129)),
    }
}

fn seconds(figure: f64, what: &str) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(figure).with_context(|| format!("--{what}"))
}

async fn soak(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let length = match arguments.minutes {
        Some(minutes) => seconds(minutes * 60.0, "minutes")?,
        None => seconds(arguments.hours * 3600.0, "hours")?,
    };
    let pace = seconds(arguments.pace, "pace")?;
    let interval = match arguments.interval {
        Some(interval) => seconds(interval, "interval")?,
        None => (length / SAMPLES).max(SHORTEST_INTERVAL),
    };
    let program = arguments.program.canonicalize().with_context(|| {
        format!(
            "{} is not there: build it with cargo build --release -p headwater",
            arguments.program.display()
        )
    })?;
    std::fs::create_dir_all(&arguments.out)?;
    let mut place = tempfile::Builder::new();
    place.prefix("headwater-soak-");
    let place = match &arguments.dir {
        Some(dir) => place.tempdir_in(dir),
        None => place.tempdir(),
    };
    let place = place.context("no temporary directory can be made")?;
    let plan = Plan {
        program,
        folder: place.path().to_owned(),
        sites: usize::from(arguments.sites),
        updates: arguments.updates,
        evolve_percent: arguments.evolve_percent,
        seed: arguments.seed,
    };
    let mut run = Run {
        field: Field::new(&plan),
        sampler: Sampler::default(),
        samples: Vec::new(),
        actions: BTreeMap::new(),
        audit: Audit::default(),
        rng: StdRng::seed_from_u64(arguments.seed),
        began: Instant::now(),
    };

    eprintln!("{} sites are started ...", plan.sites);
    let lived = run.live(&plan, length, pace, interval);
    let broke = match AssertUnwindSafe(Box::pin(lived)).catch_unwind().await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(panic) => Some(said(&*panic)),
    };
    let calmed = AssertUnwindSafe(Box::pin(run.rest())).catch_unwind().await;
    let (missing, quiet) = match calmed {
        Ok(Ok((missing, quiet))) => (missing, quiet),
        Ok(Err(error)) => (vec![format!("{error:#}")], i64::MIN),
        Err(panic) => (vec![said(&*panic)], i64::MIN),
    };
    eprintln!("the databases are looked at ...");
    run.audit(quiet).await?;
    let audit = &run.audit;
    let judgements = verdict::judge(&run.samples);
    let grows = judgements.iter().any(verdict::Judgement::grows);
    let good = broke.is_none() && missing.is_empty() && audit.good() && !grows;
    let summary = json!({
        "verdict": if good { "good" } else { "bad" },
        "sites": plan.sites,
        "seed": plan.seed,
        "seconds": run.samples.last().map(|sample| sample.at.round()),
        "samples": run.samples.len(),
        "happened": run.actions,
        "broke": broke,
        "not_converged": missing,
        "quantities": verdict::told(&judgements),
        "failed_runs": run.samples.last().map(|sample| sample.figures()[sample::COLUMNS.len() - 1]),
        "end": audit.told(),
    });
    let title = format!(
        "Headwater: {} sites, {} minutes, seed {}",
        plan.sites,
        plot::label(length.as_secs_f64() / 60.0),
        plan.seed
    );
    write(&arguments.out, &run.samples, &title, &summary)?;
    println!("{summary:#}");
    if !good {
        eprintln!("everything is still in {}", place.keep().display());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn write(
    out: &Path,
    samples: &[Sample],
    title: &str,
    summary: &serde_json::Value,
) -> anyhow::Result<()> {
    for (name, text) in [
        ("soak.csv", sample::table(samples)),
        ("soak-processes.csv", sample::processes(samples)),
        ("soak.svg", plot::svg(samples, title)),
        ("soak.json", format!("{summary:#}\n")),
    ] {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// What a part of the test kit said when it gave up.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it broke without a word".to_owned())
}

impl Run {
    /// Builds the hierarchy and disturbs it until the time is up.
    async fn live(
        &mut self,
        plan: &Plan,
        length: Duration,
        pace: Duration,
        interval: Duration,
    ) -> anyhow::Result<()> {
        self.field.build(plan).await?;
        self.began = Instant::now();
        let (mut next_step, mut next_sample, mut next_line) = (self.began, self.began, self.began);
        while self.began.elapsed() < length {
            let now = Instant::now();
            if now >= next_sample {
                self.sample().await;
                next_sample = now + interval;
            }
            if now >= next_line {
                self.tell();
                next_line = now + TELL;
            }
            if now >= next_step {
                // Then its process lives as long as is judged.
                self.field.facts.central_stays =
                    self.began.elapsed() >= length.mul_f64(0.9 * verdict::WARM);
                let action = self.field.facts.plan(&mut self.rng);
                *self.actions.entry(action.name()).or_default() += 1;
                let acted = self.field.act(&action).await;
                acted.with_context(|| format!("{action:?}"))?;
                self.clear_away().await?;
                next_step = now + pace;
            }
            tokio::time::sleep_until(next_step.min(next_sample)).await;
        }
        Ok(())
    }

    async fn sample(&mut self) {
        let at = self.began.elapsed().as_secs_f64();
        let sample = self.sampler.sample(&mut self.field, at).await;
        self.samples.push(sample);
    }

    fn tell(&self) {
        let Some(sample) = self.samples.last() else {
            return;
        };
        let figures = sample.figures();
        let column = |name: &str| {
            let at = sample::COLUMNS.iter().position(|column| *column == name);
            at.map_or(f64::NAN, |at| figures[at])
        };
        eprintln!(
            "{:>6.0} s: {} of {} sites run, {} connected, {} current; lag {:.0} s; central {:.0} MiB",
            sample.at,
            column("running"),
            column("sites"),
            column("connected"),
            column("current"),
            column("lag_seconds_max"),
            column("central_memory") / 1024.0 / 1024.0,
        );
    }

    /// Leaves the hierarchy in peace until all sites agree, and ends it: what did not agree, and since when
    /// nothing was to be told any more.
    async fn rest(&mut self) -> anyhow::Result<(Vec<String>, i64)> {
        eprintln!("everything is healed ...");
        self.field.calm().await;
        let sites = u32::try_from(self.field.facts.sites.len()).unwrap_or(u32::MAX);
        let most = CONVERGENCE + CONVERGENCE_OF_A_SITE * sites;
        let missing = self.field.converge(most).await?;
        let quiet = daemon::Ambient::system().now().as_millisecond();
        tokio::time::sleep(SETTLE).await;
        self.tell();
        self.field.hierarchy.stop_all().await;
        Ok((missing, quiet))
    }

    /// Looks at the databases of sites that were removed, and then takes the room that they need.
    async fn clear_away(&mut self) -> anyhow::Result<()> {
        for code in std::mem::take(&mut self.field.removed) {
            let data_dir = self.field.hierarchy.data_dir(&code);
            self.audit.check(&data_dir).await;
            if self.audit.good() {
                tokio::fs::remove_dir_all(data_dir).await?;
            }
        }
        Ok(())
    }

    async fn audit(&mut self, quiet: i64) -> anyhow::Result<()> {
        let field = &mut self.field;
        let members: Vec<String> = field.facts.sites.keys().cloned().collect();
        for code in &members {
            // What could not be ended in order is ended now.
            if field.hierarchy.runs(code) {
                field.hierarchy.kill(code);
            }
            self.audit.check(&field.hierarchy.data_dir(code)).await;
        }
        let place = |code: &String| (code.clone(), field.hierarchy.data_dir(code));
        let sites: Vec<_> = members.iter().map(place).collect();
        let central = field.hierarchy.data_dir(CENTRAL);
        self.audit.stories(&central, &sites, quiet).await
    }
}
