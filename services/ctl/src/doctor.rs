//! `doctor`: what has to be right outside of Headwater, so that it can be looked at.

pub mod policy;
pub mod registry;

use crate::console::Console;
use crate::render::{View, table};
use anyhow::{Context as _, bail};
use policy::{InstalledBy, Policy, Verdict};
use serde::Serialize;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wire::text::harmless;

/// Largest exported registry file, in bytes.
const MOST_FILE: u64 = 4 << 20;

/// Checks of what Headwater cannot see by itself.
#[derive(Debug, clap::Args)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the policies that the clients of a site have to have, or check those of one client
    #[command(after_help = "\
Examples:
  headwater doctor clients https://wsus.pr1.example:8531
  headwater doctor clients https://wsus.pr1.example:8531 --reg > clients.reg
  reg export HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\WindowsUpdate client.reg     on a client, then:
  headwater doctor clients https://wsus.pr1.example:8531 --check client.reg

The clients of a site are Windows computers: they ask the update server of their site (a WSUS server or
a software update point of Configuration Manager), which synchronizes from Headwater.")]
    Clients(Clients),
}

#[derive(Debug, clap::Args)]
struct Clients {
    /// Update server of the site: http:// or https://, host, and port
    #[arg(value_name = "URL", value_parser = policy::update_server)]
    update_server: String,
    /// Who installs updates on the clients
    #[arg(long, value_enum, default_value_t)]
    installed_by: InstalledBy,
    /// Check this file, made on a client with "reg export"; exit code 1 where something differs
    #[arg(long, value_name = "FILE", conflicts_with = "reg")]
    check: Option<PathBuf>,
    /// Print a registry file that sets the values, for clients without group policy
    #[arg(long, conflicts_with = "json")]
    reg: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A policy, as JSON shows it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    policy: &'a Policy,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a Verdict>,
}

/// Does what was asked.
///
/// # Errors
/// When the exported file cannot be read, or output cannot be written.
pub fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command.action {
        Action::Clients(clients) => show_clients(&clients),
    }
}

fn show_clients(clients: &Clients) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(clients.json);
    let policies = policy::of_clients(&clients.update_server, clients.installed_by);
    if clients.reg {
        console.verbatim(&registry::file(&policies))?;
        return Ok(ExitCode::SUCCESS);
    }
    let verdicts = match &clients.check {
        Some(path) => {
            let values = registry::read(&text_of(path)?);
            if values.is_empty() {
                bail!(
                    "{} holds no registry values: make it on a client with reg export {}",
                    path.display(),
                    policy::KEY
                );
            }
            let judged = policies.iter().map(|policy| policy.judge(&values));
            Some(judged.collect::<Vec<_>>())
        }
        None => None,
    };
    let wrong = verdicts.iter().flatten().filter(|v| !v.is_good()).count();
    if console.json {
        let shown: Vec<Shown<'_>> = policies
            .iter()
            .enumerate()
            .map(|(index, policy)| Shown {
                policy,
                verdict: verdicts.as_ref().and_then(|verdicts| verdicts.get(index)),
            })
            .collect();
        console.json_line(&shown)?;
    } else {
        let view = View::of_process(&console);
        console.line(format!("Below {}:\n", policy::KEY))?;
        console.line(table::policies(&policies, verdicts.as_deref(), &view))?;
        if let Some(path) = &clients.check {
            let client = harmless(&path.display().to_string()).into_owned();
            console.remark(match wrong {
                0 => format!("Every policy in {client} is as it has to be."),
                1 => format!("One policy in {client} is not as it has to be."),
                wrong => format!("{wrong} policies in {client} are not as they have to be."),
            });
        }
        if clients.update_server.starts_with("http://") {
            console.remark(
                "The clients ask over plain HTTP: whoever sits between can see what they ask, and they \
                 do not use a proxy of the signed-in user for it. Use https:// if you can.",
            );
        }
    }
    Ok(ExitCode::from(u8::from(wrong > 0)))
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_FILE + 1).read_to_end(&mut bytes))
        .with_context(cannot)?;
    if bytes.len() as u64 > MOST_FILE {
        bail!(
            "{} is larger than 4 MiB: export {} alone",
            path.display(),
            policy::KEY
        );
    }
    registry::decode(&bytes).with_context(cannot)
}
