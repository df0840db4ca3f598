//! Texts that another process sent, made fit to be shown.

use std::borrow::Cow;

/// The text without the control characters that could steer a terminal, or turn what stands around it.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_steering) {
        Cow::Owned(text.replace(is_steering, " "))
    } else {
        Cow::Borrowed(text)
    }
}

fn is_steering(c: char) -> bool {
    let turns_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\t') || turns_direction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\u{202e}c"), "a [2Jb c");
        assert!(matches!(harmless("tab\there"), Cow::Borrowed(_)));
    }
}
