//! The one program people install: every part of a hierarchy, and the verbs that people type.

mod cli;

use anyhow::Context;
use clap::FromArgMatches;
use cli::{Cli, Verb};
use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let verb = match Cli::from_arg_matches(&matches) {
        Ok(Cli { verb }) => verb,
        Err(error) => error.exit(),
    };
    match run(verb) {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(error) if ctl::is_closed_output(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    // The only other answer is that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Verb::Completions { shell } = verb {
        return cli::completions(shell);
    }
    let runtime = runtime(verb.is_service()).context("the program's threads cannot be started")?;
    runtime.block_on(Box::pin(async {
        match verb {
            Verb::Central(command) => central::execute(command).await,
            Verb::Agent(command) => agent::execute(command).await,
            Verb::Upstream(command) => upstream::execute(command).await,
            Verb::Person(verb) => ctl::execute(verb).await,
            Verb::Completions { .. } => Ok(ExitCode::SUCCESS),
        }
    }))
}

/// Services use all processors; a verb needs one thread.
fn runtime(service: bool) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = if service {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(processors.max(2));
        builder
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.enable_all().build()
}
