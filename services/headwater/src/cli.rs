//! What can be typed, and the help that explains it.

use clap::builder::StyledStr;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::io::Write;
use std::process::ExitCode;

const EXAMPLES: &str = "  headwater demo                                  see a whole hierarchy at work on this machine
  headwater upstream --generate 20000             a source to try things on
  headwater central --site-code CAS --upstream http://127.0.0.1:8530
  headwater site token PR1 --kind primary         then, on the new machine:
  HEADWATER_JOIN_TOKEN=… headwater agent --site-code PR1 --parent https://cas:8540
  headwater sync start --wait                     synchronize everything and watch
  headwater log --site PR1 --follow";

const VARIABLES: &str = "  HEADWATER_SERVER        address of the site that the verbs ask
  HEADWATER_TOKEN         access token for it (HEADWATER_TOKEN_FILE: a file that holds it)
  HEADWATER_JOIN_TOKEN    one-time token with which a new site joins
  HEADWATER_DATA_DIR      data directory of the site on this machine
  HEADWATER_CONFIG        settings file
  NO_COLOR                no colours
Every setting is taken from the flag, else the variable, else the settings file (--config), else a
default. On the machine of a site that listens the verbs need none of this: they use the admin
credential in its data directory, which its owner alone may read.";

/// The groups of the help, in the order in which a person needs them. Every verb is in one of them.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Try it", &["demo"]),
    ("Run a site", &["central", "agent", "site", "upstream"]),
    (
        "Synchronize and look",
        &[
            "sync",
            "status",
            "alert",
            "settings",
            "log",
            "message",
            "update",
            "content",
            "cleanup",
            "import",
            "export",
            "access",
            "downstream",
        ],
    ),
    ("Look around it", &["doctor"]),
    ("Set up your shell", &["completions", "help"]),
];

/// Keeps software-update catalogs in step across a hierarchy of sites.
#[derive(Debug, Parser)]
#[command(
    name = "headwater",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The parts that run, and the verbs that people type.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the top-level site, which synchronizes from Microsoft Update or a WSUS server
    Central(central::Command),
    /// Run a primary or secondary site below a parent
    Agent(agent::Command),
    /// Run a stand-in for Microsoft Update, to try things on
    Upstream(upstream::Command),
    #[command(flatten)]
    Person(ctl::Verb),
    /// Print the script that completes this program's commands in your shell
    #[command(after_help = "\
Examples:
  headwater completions bash > ~/.local/share/bash-completion/completions/headwater
  headwater completions zsh > ~/.zfunc/_headwater
  headwater completions fish > ~/.config/fish/completions/headwater.fish
  headwater completions powershell >> $PROFILE")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Verb {
    /// Whether this runs until it is told to end.
    pub fn is_service(&self) -> bool {
        match self {
            Self::Central(_) | Self::Agent(_) | Self::Upstream(_) => true,
            Self::Person(_) | Self::Completions { .. } => false,
        }
    }
}

/// The command line with its grouped help.
pub fn command() -> clap::Command {
    let command = Cli::command();
    let help = help(&command);
    command.help_template(help)
}

fn help(command: &clap::Command) -> StyledStr {
    let styles = command.get_styles();
    let (header, literal) = (*styles.get_header(), *styles.get_literal());
    let heading = |title: &str| format!("{header}{title}:{header:#}\n");
    let mut text = "{about}\n\n{usage-heading} {usage}\n\n".to_owned();
    for (title, verbs) in GROUPS {
        text.push_str(&heading(title));
        for name in verbs {
            let verb = command.find_subcommand(name);
            let about = verb.and_then(clap::Command::get_about);
            let about = about.map_or_else(
                || "Print this help, or that of a command".to_owned(),
                ToString::to_string,
            );
            // Only the first sentence: the help of the verb has the rest.
            let about = about
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end_matches('.');
            text.push_str(&format!("  {literal}{name:<13}{literal:#}{about}\n"));
        }
        text.push('\n');
    }
    text.push_str(&format!("{}{{options}}\n\n", heading("Options")));
    text.push_str(&format!("{}{EXAMPLES}\n\n", heading("Examples")));
    text.push_str(&format!("{}{VARIABLES}\n", heading("Environment")));
    text.into()
}

/// Writes the completion script.
///
/// # Errors
/// When standard output cannot be written.
pub fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "headwater", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_stands_in_the_help_exactly_once() {
        let mut grouped: Vec<_> = GROUPS
            .iter()
            .flat_map(|(_, verbs)| *verbs)
            .copied()
            .collect();
        grouped.retain(|name| *name != "help");
        grouped.sort_unstable();
        let command = Cli::command();
        let mut verbs: Vec<_> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        verbs.sort_unstable();
        assert_eq!(grouped, verbs);
    }

    #[test]
    fn the_help_names_examples_and_variables() {
        let help = command().render_help().to_string();
        for part in [
            "Try it:",
            "headwater demo",
            "HEADWATER_SERVER",
            "--version",
            "Usage: headwater",
        ] {
            assert!(help.contains(part), "{help}");
        }
        let longest = help.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{help}");
    }

    #[test]
    fn what_the_documentation_types_is_understood() {
        for line in [
            "upstream --listen 127.0.0.1:8530 --generate 20000 --seed 7",
            "central --site-code CAS --data-dir D1 --listen 127.0.0.1:8540 --upstream http://127.0.0.1:8530",
            "site token PR1 --kind primary --parent CAS --expires 24h",
            "site list --json",
            "site remove PR1 --yes",
            "site remove PR1 --new-source PR1-2 --yes",
            "site token PR1-2",
            "site source PR1",
            "site source PR1 PR1-2 --json",
            "site source PR1 PR1-2 --force",
            "settings schedule preview -n 24 schedule.time-zone=UTC",
            "agent --site-code PR1 --data-dir D2 --parent https://127.0.0.1:8540 --listen 127.0.0.1:8550 --join-token T",
            "sync start --full --wait --timeout 10m --json",
            "sync cancel --server https://cas:8540 --token-file t",
            "sync start --site PR1 --subtree --wait",
            "sync cancel --site PR1-2",
            "sync history --last 5 --json",
            "sync show",
            "sync show 3f2a91c0 --json",
            "status --watch --data-dir D1",
            "status --watch --plain",
            "status --check --config central.toml",
            "log --site SE1 --last 10 --follow",
            "log --all --site SE1 --severity warning --since 24h --text certificate --follow --json",
            "message list --site SE1 --json",
            "settings show languages --site SE1 --json",
            "update list cumulative --classification x --product y --type software --limit 7",
            "update list --state expired-by-supersedence --json",
            "cleanup --dry-run --json",
            "alert list --ended --limit 20 --json",
            "alert acknowledge 1f0c2a9b",
            "alert test",
            "cleanup report",
            "content usage --json",
            "content list --state wanted --failing --limit 5 --json",
            "content verify",
            "content import /mnt/disk --dry-run",
            "content retry",
            "content clean --dry-run",
            "update list --approval declined",
            "update approve KB5031455 --for removal --deadline 2026-12-01T18:00 --accept-licence --json",
            "update approve --classification x --product y --text z --approval detection --dry-run --yes",
            "update decline e6cf1350-c01b-414d-a61f-263d14d133b4",
            "update unapprove 5031455",
            "update accept-licence KB5031455",
            "update import e6cf1350-c01b-414d-a61f-263d14d133b4.200 4ae6e311-1e5e-4bc2-a8a4-44e8d0f56cf5 --json",
            "import export.cab import.log --trust --dry-run --json",
            "import a.hwpkg --key 5f --approvals --settings --rehome",
            "export export.cab export.log",
            "export a.hwpkg --since last --approvals --settings --json",
            "export a.hwpkg --since 4711",
            "update show e6cf1350-c01b-414d-a61f-263d14d133b4.200 --document",
            "doctor clients https://wsus:8531 --installed-by windows --check client.reg --json",
            "completions bash",
            "demo --once --updates 100 --primaries 1 --secondaries 0 --keep --json",
        ] {
            let words = std::iter::once("headwater").chain(line.split_whitespace());
            let parsed = command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    /// Source and documentation files below a folder.
    fn texts(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                texts(&path, found);
            } else if matches!(ending, Some("rs" | "md" | "proto" | "toml")) {
                found.push(path);
            }
        }
    }

    #[test]
    fn verbs_that_texts_name_are_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = vec![root.join("README.md")];
        for folder in ["docs", "services", "proto", "deploy"] {
            texts(&root.join(folder), &mut files);
        }
        let program = command();
        let mut named = 0;
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for words in text.split("headwater ").skip(1) {
                let mut words = words.split_whitespace();
                let verb = words.next().and_then(|word| program.find_subcommand(word));
                let Some(verb) = verb.filter(|verb| verb.has_subcommands()) else {
                    continue;
                };
                let ends = |c: char| !c.is_ascii_lowercase() && c != '-';
                let next = words.next().unwrap_or_default();
                let next = next.split(ends).next().unwrap_or_default();
                // What hashes are made with is no verb.
                let is_verb = !next.is_empty() && !next.starts_with('-') && next != "token";
                if is_verb || verb.get_name() == "site" {
                    let known = next.is_empty() || verb.find_subcommand(next).is_some();
                    let name = verb.get_name();
                    assert!(known, "{}: headwater {name} {next}", file.display());
                    named += 1;
                }
            }
        }
        assert!(named > 100, "{named}");
    }

    #[test]
    fn mistakes_are_refused_with_exit_code_2() {
        for line in [
            "",
            "sync start --timeout 10m",
            "log --severity error",
            "sync start --subtree",
            "sync cancel --subtree",
            "sync show 3f2a91c0 40404040",
            "status --check --watch",
            "demo --primaries 0",
            "demo --secondaries 35",
            "sync cancel --token t --token-file f",
            "update approve",
            "update decline KB1 --product x",
            "update approve KB1 --for detecting",
            "completions tcsh",
            "import",
            "export catalog.zip",
            "export a.hwpkg --since yesterday",
            "update import",
        ] {
            let words = std::iter::once("headwater").chain(line.split_whitespace());
            let error = command().try_get_matches_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn completions_exist_for_every_shell() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "headwater", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(
                script.contains("completions") && script.contains("secondaries"),
                "{shell}"
            );
        }
    }
}
