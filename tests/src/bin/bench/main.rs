//! The benchmark: a real hierarchy of real processes on this machine, measured from outside, with the
//! baselines beside it on the same data in the same run.
//!
//! One JSON object a line goes to standard output, the last of them the summary; what people want to
//! know meanwhile goes to standard error. `scripts/bench` builds what is measured and starts this.

#![expect(
    clippy::cast_precision_loss,
    reason = "figures need no more than 52 bits"
)]

mod baseline;
mod catalog_files;
mod dashboard;
mod figures;
mod hierarchy;
mod process;
mod repair;
mod served;
mod wire_pull;

use anyhow::Context as _;
use clap::Parser as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Longest time that all of it may take.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Measure a hierarchy of real processes on this machine.
#[derive(Debug, clap::Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Updates in the generated catalog.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    updates: u32,

    /// Seed of the generated catalog.
    #[arg(long, default_value_t = 7)]
    seed: u64,

    /// Updates in the catalog of which rows are damaged and repaired.
    #[arg(long, default_value_t = 180_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    repair_updates: u32,

    /// How often what varies is measured; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,

    /// The program that is measured.
    #[arg(long, default_value = "target/release/headwater")]
    program: PathBuf,

    /// A package of "wsusutil export" to ingest as well; passed over where it is not there.
    #[arg(long, default_value = "../shared/data/wsusutil/export-2024-06-19.cab")]
    package: PathBuf,

    /// Folder below which everything is written; it is left as it was.
    #[arg(long)]
    dir: Option<PathBuf>,

    /// Measure the dashboard and nothing else.
    #[arg(long)]
    dashboard: bool,

    /// Measure what serving WSUS servers costs and nothing else.
    #[arg(long)]
    served: bool,

    /// Longest time that all of it may take, in seconds.
    #[arg(long, default_value_t = DEADLINE.as_secs())]
    deadline: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // The only other answer is that one is installed already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let place = match &arguments.dir {
        Some(dir) => tempfile::Builder::new()
            .prefix("headwater-bench-")
            .tempdir_in(dir),
        None => tempfile::Builder::new()
            .prefix("headwater-bench-")
            .tempdir(),
    };
    let place = place.context("no temporary directory can be made")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // Whichever way this ends, the processes end with the future that holds them.
    let measured = tokio::select! {
        measured = Box::pin(measure(&arguments, place.path())) => measured,
        () = tokio::time::sleep(Duration::from_secs(arguments.deadline)) => {
            Err(anyhow::anyhow!("the benchmark took longer than {} s", arguments.deadline))
        }
        _ = tokio::signal::ctrl_c() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
        _ = hang_up.recv() => return Ok(ExitCode::from(129)),
    };
    measured.map(|()| ExitCode::SUCCESS)
}

async fn measure(arguments: &Arguments, place: &Path) -> anyhow::Result<()> {
    let program = arguments.program.canonicalize().with_context(|| {
        format!(
            "{} is not there: build it with cargo build --release -p headwater",
            arguments.program.display()
        )
    })?;
    let mut bench = figures::Bench::new(arguments.updates, arguments.rounds);
    let setting = hierarchy::Setting {
        program,
        seed: arguments.seed,
    };
    let (updates, rounds) = (arguments.updates, arguments.rounds);
    if arguments.served {
        return served::measure(&setting, &place.join("served"), updates, rounds).await;
    }
    dashboard::measure(&setting, &place.join("dashboard")).await?;
    if arguments.dashboard {
        return Ok(());
    }
    bench.small_catalog(&setting, &place.join("small")).await?;
    bench.chains(&setting, place).await?;
    bench.one_tier(&setting, place).await?;
    bench
        .export(&setting, &arguments.package, &place.join("export"))
        .await?;
    repair::measure(&setting, &place.join("repair"), arguments.repair_updates).await?;
    served::measure(&setting, &place.join("served"), updates, rounds).await?;
    bench.summary()
}
