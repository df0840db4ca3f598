//! The verbs people type: they ask a site over its admin API and show the answer, as a table
//! for people or as JSON for scripts. `demo` starts a whole hierarchy of real processes to try them on.
//!
//! Owns: which site a verb asks and with which credential, and how answers look. Must not: know a
//! database, decide anything that a site decides, or read anything of a site but its admin credential.

pub mod access;
pub mod alert;
pub mod cleanup;
pub mod connection;
pub mod console;
pub mod content;
pub mod demo;
pub mod doctor;
pub mod downstream;
pub mod follow;
pub mod log;
pub mod message;
mod moment;
pub mod package;
pub mod progress;
pub mod render;
pub mod screen;
pub mod settings;
pub mod site;
pub mod status;
pub mod sync;
pub mod update;

use daemon::{Clock, SystemClock};
use std::process::ExitCode;

/// What a person asks of a hierarchy.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Synchronize the whole hierarchy or one site, and look at what synchronizations did
    Sync(sync::Command),
    /// Show every site: state, position, how far behind, last success, last error
    Status(status::Command),
    /// Show what is wrong at the sites, note that you know of it, and try notifications
    Alert(alert::Command),
    /// Show lines of a site's wsyncmgr.log
    Log(log::Command),
    /// Show what sites reported, with what to do about it
    Message(message::Command),
    /// Make join tokens, list and remove sites
    Site(site::Command),
    /// Show and change what synchronizes, when and how; its history and its meaning
    Settings(settings::Command),
    /// Decline what is expired or superseded, remove what nothing uses, forget old history
    Cleanup(cleanup::Command),
    /// Look at the updates of the catalog, approve and decline them
    Update(update::Command),
    /// Show the update files of a site, verify them, take in copied ones
    Content(content::Command),
    /// Take a package in: of wsusutil export (.cab), or of headwater export (.hwpkg)
    Import(package::import::Command),
    /// Write the catalog as a package, for a disconnected site or a WSUS server
    Export(package::export::Command),
    /// Make, list and revoke access tokens and client certificates of people and scripts
    Access(access::Command),
    /// List the WSUS servers that synchronize from a site
    Downstream(downstream::Command),
    /// Check what has to be right outside of Headwater: the policies of clients
    Doctor(doctor::Command),
    /// Start a whole hierarchy on this machine, synchronize it and watch
    Demo(demo::Command),
}

/// Does what was asked. The exit code is 0 when it was done and 1 when the answer is "no": a site
/// that failed, a run that was cancelled, a check that found something.
///
/// # Errors
/// When it could not be done; the chain of causes says what failed and what to do. A reader of our
/// output that went away is an error too, which [`is_closed_output`] recognises.
pub async fn execute(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Sync(command) => sync::execute(command).await,
        Verb::Status(command) => status::execute(command).await,
        Verb::Alert(command) => alert::execute(command).await,
        Verb::Log(command) => log::execute(command).await,
        Verb::Message(command) => message::execute(command).await,
        Verb::Site(command) => site::execute(command).await,
        Verb::Settings(command) => settings::execute(command).await,
        Verb::Cleanup(command) => cleanup::execute(command).await,
        Verb::Update(command) => update::execute(command).await,
        Verb::Content(command) => content::execute(command).await,
        Verb::Import(command) => package::import::execute(command).await,
        Verb::Export(command) => package::export::execute(command).await,
        Verb::Access(command) => access::execute(command).await,
        Verb::Downstream(command) => downstream::execute(command).await,
        Verb::Doctor(command) => doctor::execute(command),
        Verb::Demo(command) => demo::execute(command).await,
    }
}

/// Whether an error only says that nobody reads our output any more, as in `headwater log | head`.
pub fn is_closed_output(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The time of this machine, for "2 min ago" and for checking certificates.
pub(crate) fn now() -> jiff::Timestamp {
    SystemClock.now()
}
