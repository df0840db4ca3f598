//! What a clean-up did, or would do: the last one is kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A part of the clean-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Expired updates are declined.
    DeclineExpired,
    /// Superseded updates are declined.
    DeclineSuperseded,
    /// Revisions that nothing uses are removed.
    RemoveUnusedRevisions,
    /// Old history of this site is forgotten.
    History,
    /// Update files of this site that nothing needs are removed.
    UnneededContent,
}

impl Task {
    /// All of them, in the order in which they are done.
    pub const ALL: [Self; 5] = [
        Self::DeclineExpired,
        Self::DeclineSuperseded,
        Self::RemoveUnusedRevisions,
        Self::History,
        Self::UnneededContent,
    ];

    /// Its name; that of the setting that switches it on, where there is one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeclineExpired => "decline-expired",
            Self::DeclineSuperseded => "decline-superseded",
            Self::RemoveUnusedRevisions => "remove-unused-revisions",
            Self::History => "history",
            Self::UnneededContent => "unneeded-content",
        }
    }
}

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub task: Task,
    /// Whether the settings want it done.
    pub enabled: bool,
    /// Updates, revisions or entries that were looked at.
    pub looked_at: u64,
    /// Those for which it was done, or would be.
    pub done: u64,
    /// Those that are left for the next clean-up.
    pub left: u64,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

/// What a clean-up did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who started it.
    pub who: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// Whether it only counted.
    pub dry_run: bool,
    /// The tasks that it came to.
    pub entries: Vec<Entry>,
    /// Why it was broken off; empty where it was not.
    pub failure: String,
}

impl Report {
    /// What was done in a task.
    pub fn done(&self, task: Task) -> u64 {
        let entries = self.entries.iter();
        entries
            .filter(|entry| entry.task == task)
            .map(|entry| entry.done)
            .sum()
    }

    /// What was done in all.
    pub fn all_done(&self) -> u64 {
        self.entries.iter().map(|entry| entry.done).sum()
    }

    /// Whether it came to its end, and left nothing.
    pub fn is_complete(&self) -> bool {
        self.failure.is_empty() && self.all_left() == 0
    }

    /// What is left in all.
    pub fn all_left(&self) -> u64 {
        self.entries.iter().map(|entry| entry.left).sum()
    }
}
