//! `demo`: a whole hierarchy of real processes on this machine, to try everything on.
//!
//! The processes are this very program, started as anybody would start it: they listen on free ports
//! that they name themselves, join with real tokens, and synchronize over real connections.

mod children;
mod plan;

use crate::connection::{Chosen, Client, Target};
use crate::console::Console;
use crate::follow::{self, Started, Verdict, Watch};
use crate::progress::{Display, summary, verdict_text};
use crate::render::{View, table, text};
use crate::sync::exit_code;
use anyhow::{Context, bail};
use children::Children;
use hierarchy::Hierarchy;
use plan::{Plan, Site};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use wire::v1::{CreateJoinTokenRequest, SiteReport};

/// How long a process may take until it listens. Generating a large catalog takes the upstream a while.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the sites may take to join and connect.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the synchronization may take.
const SYNC_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How long a join token of the demo can be used, in seconds.
const TOKEN_SECONDS: u64 = 600;

/// Starting a hierarchy to try things on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everything lies in one temporary directory, which is removed at the end; --keep leaves it there.

Examples:
  headwater demo
  headwater demo --updates 50000 --primaries 3 --secondaries 6
  headwater demo --once --json    # for a script: exit code 0 when all sites hold the same catalog")]
pub struct Command {
    /// End after the first synchronization: exit with 0 when all sites hold the same catalog, else with 1
    #[arg(long)]
    once: bool,
    /// Updates in the generated catalog
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    updates: u32,
    /// Primary sites below the central site
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=plan::MOST_SITES))]
    primaries: u8,
    /// Secondary sites, spread over the primary sites
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=plan::MOST_SITES))]
    secondaries: u8,
    /// Seed of the generated catalog: the same seed gives the same updates
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    /// Leave the directory with all data and logs there
    #[arg(long)]
    keep: bool,
    /// Print JSON lines for scripts instead of text for people
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
///
/// # Errors
/// When a process does not start or ends early, with the end of what it said.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.json);
    let mut interruption = Interruption::install()?;
    let dir = tempfile::Builder::new()
        .prefix("headwater-demo-")
        .tempdir()
        .context("no temporary directory can be made")?;
    let program = std::env::current_exe().context("the path of this program is not known")?;
    let mut children = Children::new(program, dir.path());
    let outcome = tokio::select! {
        outcome = Box::pin(run(&console, &command, &mut children)) => outcome.map(Some),
        () = interruption.wait() => Ok(None),
    };
    if !console.json {
        console.remark("Stopping all sites ...");
    }
    children.stop().await;
    if command.keep || outcome.is_err() {
        let path = dir.keep();
        console.remark(format!("Data and logs are kept in {}", path.display()));
    }
    match outcome? {
        Some(code) => Ok(code),
        // Leaving a demo that went well is no failure; leaving one that was to converge is.
        None if command.once => Ok(ExitCode::FAILURE),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Starts everything, synchronizes, and stays until a process ends or, with `--once`, until it is done.
async fn run(
    console: &Console,
    command: &Command,
    children: &mut Children,
) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(command.primaries, command.secondaries);
    let client = start_all(console, command, &plan, children).await?;
    let started = tokio::select! {
        started = connected_and_started(console, &client, &plan) => started?,
        error = children.first_end() => return Err(error),
    };
    let (hierarchy, verdict) = tokio::select! {
        followed = synchronize(console, &client, &started) => followed?,
        error = children.first_end() => return Err(error),
    };
    let converged = matches!(verdict, Verdict::Converged { .. }) && same_catalog(&hierarchy, &plan);
    if console.json {
        console.json_line(&summary(&started.run, &verdict))?;
    } else {
        console.line("")?;
        console.line(table::status(&hierarchy, &View::of_process(console)))?;
        console.line("")?;
        for line in verdict_text(&verdict, hierarchy.len()) {
            console.line(line)?;
        }
        if let (true, Some(top)) = (converged, hierarchy.top()) {
            console.line(format!("Root digest {}", text::hex(&top.root)))?;
        }
    }
    if command.once {
        if !converged && !console.json {
            console.remark(children.log_tails());
        }
        return Ok(if converged {
            exit_code(&verdict)
        } else {
            ExitCode::FAILURE
        });
    }
    if !console.json {
        for line in where_to_look(&plan, children) {
            console.line(line)?;
        }
    }
    Err(children.first_end().await)
}

/// Starts upstream, central site and agents, each when what it needs is there.
async fn start_all(
    console: &Console,
    command: &Command,
    plan: &Plan,
    children: &mut Children,
) -> anyhow::Result<Client> {
    let say = |line: String| {
        if !console.json {
            console.remark(line);
        }
    };
    let (updates, seed) = (command.updates.to_string(), command.seed.to_string());
    say(format!(
        "Generating {} updates ...",
        text::count(command.updates.into())
    ));
    let arguments = [
        "upstream",
        "--listen",
        "127.0.0.1:0",
        "--generate",
        &updates,
        "--seed",
        &seed,
    ];
    children.start("upstream", &arguments, &[])?;
    let upstream = children.address("upstream", START_TIMEOUT).await?;

    say(format!("Starting {} sites ...", plan.sites.len() + 1));
    let data_dir = children.data_dir(plan::TOP);
    let settings = data_dir.with_extension("toml");
    std::fs::write(&settings, ::settings::document::EVERYTHING)
        .context("the settings of the hierarchy")?;
    let arguments = [
        "central",
        "--first-settings",
        utf8(&settings)?,
        "--site-code",
        plan::TOP,
        "--data-dir",
        utf8(&data_dir)?,
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &upstream,
    ];
    children.start(plan::TOP, &arguments, &[])?;
    children.address(plan::TOP, START_TIMEOUT).await?;
    let target = Target::load(Chosen::default(), &data_dir)
        .context("the central site wrote no admin credential")?;
    let client = Client::connect(&target).await?;

    // Parents listen before their children dial; sites of one tier start side by side.
    for tier in plan.tiers() {
        for site in &tier {
            start_agent(&client, site, children).await?;
        }
        for site in &tier {
            children.address(&site.code, START_TIMEOUT).await?;
        }
    }
    Ok(client)
}

async fn start_agent(client: &Client, site: &Site, children: &mut Children) -> anyhow::Result<()> {
    let request = CreateJoinTokenRequest {
        site_code: site.code.clone(),
        site_kind: site.kind.to_owned(),
        parent: site.parent.clone(),
        valid_seconds: TOKEN_SECONDS,
    };
    let (token, _) = crate::site::join_token(client, request).await?;
    let parent = children.address(&site.parent, START_TIMEOUT).await?;
    let data_dir = children.data_dir(&site.code);
    let arguments = [
        "agent",
        "--site-code",
        &site.code,
        "--data-dir",
        utf8(&data_dir)?,
        "--parent",
        &parent,
        "--listen",
        "127.0.0.1:0",
    ];
    // A token is a secret, and arguments can be read by everybody on the machine.
    children.start(&site.code, &arguments, &[("HEADWATER_JOIN_TOKEN", &token)])
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .context("the temporary directory has a name that is not text; set TMPDIR to another")
}

/// Waits until every site is connected, then requests a synchronization.
async fn connected_and_started(
    console: &Console,
    client: &Client,
    plan: &Plan,
) -> anyhow::Result<Started> {
    let mut watch = Watch::open(client).await?;
    let mut hierarchy = Hierarchy::default();
    let all = async {
        while !plan.missing(&hierarchy).is_empty() {
            hierarchy = watch.next().await?;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(JOIN_TIMEOUT, all).await {
        Ok(connected) => connected?,
        Err(_) => bail!(
            "{} did not connect within {} s; the files named *.err in the demo's directory say more",
            plan.missing(&hierarchy).join(", "),
            JOIN_TIMEOUT.as_secs()
        ),
    }
    if !console.json {
        console.remark(format!(
            "All {} sites are connected. Synchronizing ...",
            hierarchy.len()
        ));
    }
    follow::start(client, false).await
}

async fn synchronize(
    console: &Console,
    client: &Client,
    started: &Started,
) -> anyhow::Result<(Hierarchy, Verdict)> {
    let mut display = Display::new(console);
    let followed = follow::follow(
        client,
        started,
        Some(SYNC_TIMEOUT),
        |hierarchy, progress| {
            display.show(console, hierarchy, progress, &View::of_process(console))
        },
    )
    .await;
    display.finish();
    followed
}

/// Whether every site of the plan is there and holds the same catalog, and that is not an empty one.
fn same_catalog(hierarchy: &Hierarchy, plan: &Plan) -> bool {
    let Some(top) = hierarchy.top() else {
        return false;
    };
    let holds = |site: &SiteReport| {
        site.epoch == top.epoch
            && site.verified_position == top.verified_position
            && site.root == top.root
    };
    let codes = plan.sites.iter().map(|site| site.code.as_str());
    // A catalog that holds settings alone was never synchronized.
    top.last_success.is_some()
        && !top.root.is_empty()
        && codes
            .into_iter()
            .all(|code| hierarchy.site(code).is_some_and(holds))
}

fn where_to_look(plan: &Plan, children: &Children) -> Vec<String> {
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "headwater".into());
    let central = children.data_dir(plan::TOP);
    let some_site = plan.sites.last().map_or(plan::TOP, |site| &site.code);
    let mut lines = vec![String::new(), "Where to look".to_owned()];
    let top = std::iter::once(plan::TOP);
    for code in top.chain(plan.sites.iter().map(|site| site.code.as_str())) {
        let place = children.data_dir(code);
        let log = find_log(&place).unwrap_or(place);
        let address = children.known_address(code).unwrap_or("-");
        lines.push(format!("  {code}  {address:26}  {}", log.display()));
    }
    if let Some(address) = children.known_address(plan::TOP) {
        lines.extend([
            String::new(),
            format!("Dashboard  {address}"),
            "  This hierarchy has its own authority, which your browser does not know: go on where it warns.".to_owned(),
            format!(
                "  Sign in with the token that this prints: {program} access create me --role administrator --data-dir {}",
                central.display()
            ),
        ]);
    }
    lines.extend([
        String::new(),
        "Try in another terminal".to_owned(),
        format!("  export HEADWATER_DATA_DIR={}", central.display()),
        format!("  {program} status --watch"),
        format!("  {program} log --site {some_site} --last 20"),
        format!("  {program} update list cumulative"),
        format!("  {program} sync start --full --wait"),
        String::new(),
        "Ctrl-C ends the demo and removes its directory (--keep leaves it).".to_owned(),
    ]);
    lines
}

/// The site's wsyncmgr.log, in its data directory or a folder of that.
fn find_log(data_dir: &Path) -> Option<PathBuf> {
    const NAME: &str = "wsyncmgr.log";
    let below = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
    let folders = below.map(|entry| entry.path()).filter(|path| path.is_dir());
    std::iter::once(data_dir.to_owned())
        .chain(folders)
        .map(|folder| folder.join(NAME))
        .find(|path| path.is_file())
}

/// Ctrl-C, or the wish of the system that we end.
struct Interruption {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
}

impl Interruption {
    fn install() -> anyhow::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            const WHAT: &str = "signals cannot be taken over";
            Ok(Self {
                terminate: signal(SignalKind::terminate()).context(WHAT)?,
                hang_up: signal(SignalKind::hangup()).context(WHAT)?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        // Without a handler for Ctrl-C the system ends us, and `kill_on_drop` our children.
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{report, three_tiers};

    #[test]
    fn a_demo_converged_when_all_its_sites_hold_one_catalog() {
        let plan = Plan::new(2, 2);
        let mut hierarchy = three_tiers();
        assert!(same_catalog(&hierarchy, &plan));
        assert!(
            !same_catalog(&hierarchy, &Plan::new(2, 3)),
            "SE3 is not there"
        );
        let mut other = report("SE2", "secondary", "PR2");
        other.root = vec![9; 32];
        hierarchy.absorb(vec![other]);
        assert!(!same_catalog(&hierarchy, &plan));
    }

    #[test]
    fn an_empty_catalog_is_no_success() {
        let empty = ["CAS", "PR1"].map(|code| {
            let mut site = report(
                code,
                if code == "CAS" { "central" } else { "primary" },
                "CAS",
            );
            site.verified_position = 0;
            site.root = Vec::new();
            site
        });
        assert!(!same_catalog(
            &Hierarchy::new(empty.into()),
            &Plan::new(1, 0)
        ));
    }
}
