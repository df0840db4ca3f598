//! What a parser says about input from outside, fit to be shown: one line of bounded length. Parsers like
//! to quote what they read, and what they read may be a megabyte of control characters.

use std::fmt::{self, Display, Write};

/// Longest problem, in characters.
const LONGEST: usize = 200;

/// What is wrong with input from outside, in the words of the parser that met it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(String);

impl Problem {
    /// The problem that `said` tells of. What breaks a line or hides in one becomes a blank, and what is
    /// too long is cut.
    pub fn new(said: impl Display) -> Self {
        let mut line = Line::default();
        // An error only says that the line is full.
        if write!(line, "{said}").is_err() {
            line.text.push('…');
        }
        Self(line.text)
    }
}

/// Takes characters until there are enough.
#[derive(Default)]
struct Line {
    text: String,
    characters: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for c in part.chars() {
            if self.characters == LONGEST {
                return Err(fmt::Error);
            }
            self.characters += 1;
            self.text.push(if is_unfit(c) { ' ' } else { c });
        }
        Ok(())
    }
}

/// Control characters, line separators, and what turns the direction of reading.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}')
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_short_line() {
        let said = "expected </a\n\u{1b}[31m\u{202e}>";
        assert_eq!(Problem::new(said).to_string(), "expected </a  [31m >");
        let long = Problem::new("ä".repeat(1_000_000)).to_string();
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with("ä…"));
        assert_eq!(Problem::new("x".repeat(LONGEST)).to_string().len(), LONGEST);
    }
}
