//! The configuration file: TOML into a struct of final types, before anything starts.
//!
//! Give the struct `#[serde(deny_unknown_fields)]`, so that a mistyped key is refused by name. Errors
//! say where (file, line, column, key) and what is allowed; they never repeat the line itself, which
//! may hold a password.

mod values;

pub use values::{ByteSize, ConfigPath, Period, Secret, ValueError};

use serde::de::DeserializeOwned;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest configuration file that is read, in bytes.
pub const MAX_FILE: u64 = 1024 * 1024;

/// Longest message and longest key that an error shows, in characters. The longest message lists the names
/// of all settings.
const MAX_MESSAGE: usize = 600;
const MAX_KEY: usize = 100;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no configuration.
    #[error("configuration file {} is larger than {MAX_FILE} bytes", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// Something in the file is wrong.
    #[error("{}{place}: {message}", file.display())]
    Wrong {
        /// The file.
        file: PathBuf,
        /// Where in the file.
        place: Place,
        /// What is wrong, and what is allowed.
        message: String,
    },
}

/// Where in a file, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
    /// The key with the names of its tables, such as `listen.address`.
    pub key: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        match &self.key {
            Some(key) => write!(f, ": key {key}"),
            None => Ok(()),
        }
    }
}

/// Reads the configuration file `file`.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLarge {
            file: file.to_owned(),
        });
    }
    parse(&text, file)
}

/// Reads a configuration from `text`; `file` is only named in errors.
pub fn parse<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Wrong {
        file: file.to_owned(),
        place: place(text, error.span().map(|span| span.start)),
        message: one_line(error.message(), MAX_MESSAGE),
    })
}

fn place(text: &str, offset: Option<usize>) -> Place {
    // An error without a span concerns the file as a whole, such as a missing key at the top.
    let Some(before) = offset.and_then(|offset| text.get(..offset)) else {
        return Place::default();
    };
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = 1 + before.matches('\n').count();
    let column = 1 + before[start..].chars().count();
    Place {
        position: Some((line, column)),
        key: key_of(text[start..].lines().next().unwrap_or(""), &text[..start])
            .map(|key| one_line(&key, MAX_KEY)),
    }
}

/// The beginning of `text` in one line: a file may hold anything, and errors quote it.
fn one_line(text: &str, most: usize) -> String {
    let turns = |c: char| matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let clean = |c: char| if c.is_control() || turns(c) { ' ' } else { c };
    let mut line: String = text.chars().take(most).map(clean).collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

/// The key that `line` sets, with the table that the lines `above` it opened.
fn key_of(line: &str, above: &str) -> Option<String> {
    let table = |line: &str| {
        let line = line.trim();
        let inner = line.strip_prefix('[')?.split(']').next()?;
        Some(inner.trim_start_matches('[').trim().to_owned())
    };
    if let Some(table) = table(line) {
        return Some(table);
    }
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let plain = |c: char| c.is_alphanumeric() || "-_.\" ".contains(c);
    if key.is_empty() || !key.chars().all(plain) {
        return None;
    }
    Some(match above.lines().rev().find_map(table) {
        Some(table) => format!("{table}.{key}"),
        None => key.to_owned(),
    })
}

#[cfg(test)]
mod tests;
