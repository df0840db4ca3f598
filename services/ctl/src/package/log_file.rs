//! The log file that `wsusutil` takes as its second argument: ours is lines of text, each with its time.

use anyhow::Context as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// A log file of one import or export.
pub(super) struct LogFile(File);

impl LogFile {
    /// A new file.
    ///
    /// # Errors
    /// When there is one already, or it cannot be made.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create_new(path).with_context(|| {
            format!(
                "the log file {} cannot be made: name one that does not exist yet",
                path.display()
            )
        })?;
        Ok(Self(file))
    }

    /// Writes a line. That it cannot be written ends nothing.
    pub(super) fn line(&mut self, text: &str) {
        let _ = writeln!(
            self.0,
            "{} {text}",
            crate::now().strftime("%Y-%m-%dT%H:%M:%SZ")
        );
    }
}
