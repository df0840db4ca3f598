//! A door that bad input knocks at: what comes from outside is taken, or refused with a sentence; it never
//! makes the process panic.

use crate::mutate::{Mutant, shown};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Longest sentence with which an input may be refused, in characters.
pub const LONGEST_SENTENCE: usize = 1_000;

/// Counts what knocked at one door.
pub struct Door {
    name: &'static str,
    refused: usize,
    taken: usize,
}

impl Door {
    /// A door at which nothing knocked yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            refused: 0,
            taken: 0,
        }
    }

    /// Knocks with one input. The error of `open` is the sentence with which it was refused; see
    /// [`sentence`].
    ///
    /// # Panics
    /// With the input, where `open` panics or the sentence is none.
    #[track_caller]
    pub fn knock(&mut self, mutant: &Mutant, open: impl FnOnce(&[u8]) -> Result<(), String>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| open(&mutant.bytes)));
        let problem = match outcome {
            Ok(Ok(())) => {
                self.taken += 1;
                return;
            }
            Ok(Err(sentence)) => {
                self.refused += 1;
                unfit(&sentence)
            }
            Err(panic) => Some(format!("panicked: {}", message(&*panic))),
        };
        if let Some(problem) = problem {
            const SHOWN: usize = 600;
            let start = &mutant.bytes[..mutant.bytes.len().min(SHOWN)];
            panic!(
                "{}: {problem}\ninput of {} bytes ({}):\n{}",
                self.name,
                mutant.bytes.len(),
                mutant.what,
                shown(start)
            );
        }
    }

    /// Knocks with many inputs.
    #[track_caller]
    pub fn knock_all(
        &mut self,
        mutants: impl IntoIterator<Item = Mutant>,
        open: impl Fn(&[u8]) -> Result<(), String>,
    ) {
        for mutant in mutants {
            self.knock(&mutant, &open);
        }
    }

    /// Says how many inputs there were.
    ///
    /// # Panics
    /// When they were fewer than `least`, or none was refused.
    #[track_caller]
    pub fn close(self, least: usize) {
        let Self {
            name,
            refused,
            taken,
        } = self;
        println!(
            "{name}: {} bad inputs, {refused} refused, {taken} taken",
            refused + taken
        );
        assert!(
            refused + taken >= least,
            "{name}: fewer than {least} inputs"
        );
        assert!(refused > 0, "{name}: nothing was refused");
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}

/// An error with its causes, as people are shown it.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Why a text cannot be shown to somebody as the reason of a refusal; none where it can.
pub fn unfit(sentence: &str) -> Option<String> {
    let head: String = sentence.chars().take(300).collect();
    if sentence.trim().is_empty() {
        return Some("refused without a reason".to_owned());
    }
    if let Some(c) = sentence.chars().find(|c| c.is_control()) {
        return Some(format!(
            "the reason holds the control character {c:?}: {head:?}"
        ));
    }
    let length = sentence.chars().count();
    (length > LONGEST_SENTENCE).then(|| format!("the reason has {length} characters: {head:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        assert_eq!(unfit("the file is cut off"), None);
        assert!(unfit(" ").is_some());
        assert!(unfit("two\nlines").is_some());
        assert!(unfit(&"x".repeat(LONGEST_SENTENCE + 1)).is_some());
    }

    #[test]
    #[should_panic(expected = "a door: panicked: oh")]
    fn a_panic_behind_the_door_names_the_input() {
        Door::new("a door").knock(&Mutant::new("as it is", "x"), |_| panic!("oh"));
    }
}
