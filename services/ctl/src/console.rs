//! Where output goes, and whether a person or a program reads it.

use anyhow::Context;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// The standard output of a verb.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// JSON was asked for.
    pub json: bool,
    /// A person looks at the output, so that redrawing and asking back make sense.
    pub terminal: bool,
    /// Colours are welcome (a terminal, and `NO_COLOR` is not set).
    pub colour: bool,
}

impl Console {
    /// The console of this process.
    pub fn of_process(json: bool) -> Self {
        let stdout = io::stdout();
        Self {
            json,
            terminal: stdout.is_terminal(),
            colour: anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
        }
    }

    /// Writes a text and a line break.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn line(&self, text: impl std::fmt::Display) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").context("standard output cannot be written")
    }

    /// Writes a value as one line of JSON.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn json_line(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(value).context("the answer cannot be shown as JSON")?;
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")
            .and_then(|()| out.flush())
            .context("standard output cannot be written")
    }

    /// Writes a text as it is, without a line break of ours.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn verbatim(&self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .context("standard output cannot be written")
    }

    /// Writes a remark for the person, beside the answer. Nobody may be there to read it.
    pub fn remark(&self, text: impl std::fmt::Display) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Empties the screen for the next picture of `--watch`; on a file, an empty line parts the pictures.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn next_picture(&self, first: bool) -> anyhow::Result<()> {
        let parting = match (self.terminal, first) {
            (true, _) => "\x1b[2J\x1b[H",
            (false, true) => "",
            (false, false) => "\n",
        };
        let mut out = io::stdout().lock();
        out.write_all(parting.as_bytes())
            .context("standard output cannot be written")
    }
}
