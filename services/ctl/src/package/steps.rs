//! How far a package is: a bar on a terminal, nothing elsewhere, and every step in the log file.

use super::log_file::LogFile;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

/// Redraws of a turning mark.
const TURN: Duration = Duration::from_millis(120);

/// Shows the steps of one import or export.
pub(super) struct Steps {
    bar: ProgressBar,
    step: String,
    log: Option<LogFile>,
}

impl Steps {
    /// Shows nothing yet; to standard error, if a person looks.
    pub(super) fn new(json: bool, log: Option<LogFile>) -> Self {
        let target = match stderr().is_terminal() && !json {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.enable_steady_tick(TURN);
        Self {
            bar,
            step: String::new(),
            log,
        }
    }

    /// So much of a step is done. `total` is 0 where nobody knows it.
    pub(super) fn at(&mut self, step: &str, done: u64, total: u64) {
        if self.step != step {
            step.clone_into(&mut self.step);
            self.note(step);
            let form = match total {
                0 => "{spinner} {msg}",
                _ => "{spinner} {msg} {wide_bar} {percent}%",
            };
            if let Ok(style) = ProgressStyle::with_template(form) {
                self.bar.set_style(style);
            }
            self.bar.set_message(step.to_owned());
        }
        if total > 0 {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }

    /// Writes a line into the log file, if there is one.
    pub(super) fn note(&mut self, line: &str) {
        if let Some(log) = &mut self.log {
            log.line(line);
        }
    }

    /// It is over: the bar goes.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
