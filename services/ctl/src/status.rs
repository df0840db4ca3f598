//! `status`: every site of the hierarchy in one view.

use crate::connection::ConnectionArgs;
use crate::console::Console;
use crate::follow::{self, Watch};
use crate::render::{View, json, table, text};
use crate::screen;
use hierarchy::{Behind, Hierarchy, State, present_error};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often "2 min ago" is brought up to date while nothing changes.
const REDRAW: Duration = Duration::from_secs(10);

/// Showing every site.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0, or with --check 1 when a site is offline, failed, behind or was never synchronized.")]
pub struct Command {
    /// Keep showing, at every change: full-screen with keys on a terminal (? explains them), else as plain text
    #[arg(long, short)]
    watch: bool,
    /// Plain text also on a terminal, with --watch
    #[arg(long, requires = "watch")]
    plain: bool,
    /// Exit with 1 when a site is not up to date, for monitoring
    #[arg(long, conflicts_with = "watch")]
    check: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct Sites<'a> {
    sites: Vec<json::Site<'a>>,
}

/// Shows the table.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let client = command.connection.connect().await?;
    if command.watch && !command.plain && screen::fits(&console) {
        Box::pin(screen::show(&client, &console)).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if command.watch {
        watch(&console, Watch::open(&client).await?).await?;
    }
    let hierarchy = follow::sites(&client).await?;
    show(&console, &hierarchy)?;
    let good = !command.check || is_up_to_date(&hierarchy);
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show(console: &Console, hierarchy: &Hierarchy) -> anyhow::Result<()> {
    if console.json {
        let sites = json::sites(hierarchy);
        console.json_line(&Sites { sites })
    } else {
        console.line(table::status(hierarchy, &View::of_process(console)))
    }
}

/// Whether every site holds what the top-level site holds and nothing stands in the way of the next run.
pub fn is_up_to_date(hierarchy: &Hierarchy) -> bool {
    let sites = hierarchy.in_tree_order();
    !sites.is_empty()
        && sites.into_iter().all(|(_, site)| {
            let works = match hierarchy.state(site) {
                State::Completed | State::Running { .. } => true,
                State::Offline { .. }
                | State::Never
                | State::Failed { .. }
                | State::Cancelled
                | State::Other(_) => false,
            };
            // A failed run that is tried again just now has not succeeded yet.
            works && present_error(site).is_none() && hierarchy.behind(site) == Behind::Current
        })
}

/// Redraws until the person leaves.
async fn watch(console: &Console, mut watch: Watch) -> anyhow::Result<()> {
    let mut hierarchy = Hierarchy::default();
    let mut redraw = tokio::time::interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        tokio::select! {
            next = watch.next() => hierarchy = next?,
            // A file or a script wants changes only.
            _ = redraw.tick(), if console.terminal && !console.json && !first => {}
        }
        if !console.json {
            console.next_picture(first)?;
            if console.terminal {
                let now = text::clock(crate::now(), &View::of_process(console));
                console.line(format!("headwater status at {now}, Ctrl-C ends it\n"))?;
            }
        }
        show(console, &hierarchy)?;
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{report, run, three_tiers};
    use wire::v1::SiteReport;

    #[test]
    fn a_check_finds_whatever_keeps_a_site_from_being_up_to_date() {
        assert!(is_up_to_date(&three_tiers()));
        assert!(!is_up_to_date(&Hierarchy::default()));
        let changes: [fn(&mut SiteReport); 4] = [
            |site| site.connected = false,
            |site| site.run = Some(run(2, "Failed")),
            |site| site.verified_position = 3,
            |site| site.root = vec![9; 32],
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut hierarchy = three_tiers();
            let mut site = report("SE1", "secondary", "PR1");
            change(&mut site);
            hierarchy.absorb(vec![site]);
            assert!(!is_up_to_date(&hierarchy), "change {index}");
        }
    }
}
