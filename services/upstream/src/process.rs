//! The stand-in as a process of its own.

use crate::command::Command;
use daemon::telemetry::Settings;
use daemon::{Shutdown, Signals, Telemetry};
use std::process::ExitCode;
use std::time::Duration;

/// How long open answers may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until the process is told to stop.
///
/// # Errors
/// The address cannot be bound, the catalog cannot be read, or serving fails.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let telemetry = Telemetry::start(&Settings::default(), "headwater-upstream")?;
    let signals = Signals::install()?;
    let shutdown = Shutdown::new();
    let stop = shutdown.token().clone();
    let serving = tokio::select! {
        served = command.execute(stop.clone()) => served.map(|()| None),
        exit = shutdown.wait(signals, DRAIN) => Ok(Some(exit)),
    };
    telemetry.shutdown(DRAIN).await;
    let exit = serving?;
    Ok(exit.map_or(ExitCode::SUCCESS, Into::into))
}
