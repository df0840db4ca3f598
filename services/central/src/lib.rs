//! The top-level site: synchronizes from Microsoft Update or a WSUS server, gives every change its
//! position, signs what it has, is the hierarchy's certificate authority, and serves its children and
//! its administrators.

pub mod admin;
pub mod admission;
pub mod alerts;
pub mod approvals;
pub mod cleanup;
pub mod decisions;
pub mod expiry;
mod facts;
mod handed;
pub mod identity;
pub mod in_force;
pub mod ingest;
mod pacing;
pub mod package;
pub mod publish;
mod removal;
pub mod restore;
pub mod roll_out;
pub mod run;
pub mod schedule;
mod seal;
pub mod secrets;
pub mod settings;
pub mod source_point;
mod update_files;
mod verify;

pub use run::{Central, execute, run};
pub use settings::{Command, Settings};
