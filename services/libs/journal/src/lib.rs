//! What happened at a site: numbered status messages, and `wsyncmgr.log` as administrators know it.
//!
//! Everything that a person can meet has a status message with a stable number; the log line, the
//! message in the console and the one that travels up are made from the same values.

pub mod hierarchy_log;
pub mod journal;
pub mod log_file;
pub mod log_line;
pub mod merged;
pub mod phrases;
pub mod reference;
pub mod run_part;
pub mod status_id;
pub mod status_message;

pub use journal::{Journal, JournalSettings, Recorded, message_of};
pub use log_file::LogFile;
pub use log_line::{LogLine, SYNC_MANAGER};
pub use status_id::{Severity, StatusId};
pub use status_message::StatusMessage;
