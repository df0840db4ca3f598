//! Patterns of titles: `*` stands for any text.

/// Longest pattern, in bytes. Titles are not longer either ([`crate::header`]).
pub const MAX_PATTERN_BYTES: usize = 500;

/// What a title must be like, as a whole. `*` stands for any text, also for none; case does not matter. Every
/// other character stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TitlePattern {
    /// What stands between the stars, folded: one piece where there is no star.
    pieces: Vec<String>,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing would match it.
    #[error("the pattern of a title is empty: leave it out, or write * for any title")]
    Empty,
    /// More than [`MAX_PATTERN_BYTES`].
    #[error("the pattern of a title is longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong,
}

impl TitlePattern {
    /// The pattern that is written so. Spaces around it do not count, as titles have none.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong);
        }
        Ok(Self {
            pieces: fold(text).split('*').map(str::to_owned).collect(),
        })
    }

    /// Whether a title is like it. The effort grows with the lengths of the two added up.
    pub fn matches(&self, title: &str) -> bool {
        let title = fold(title.trim());
        let (first, middle, last) = match &self.pieces[..] {
            [] => return false,
            [whole] => return title == *whole,
            [first, middle @ .., last] => (first, middle, last),
        };
        let Some(mut rest) = title
            .strip_prefix(first.as_str())
            .and_then(|rest| rest.strip_suffix(last.as_str()))
        else {
            return false;
        };
        // Taking each piece where it is met first leaves most room for those behind it.
        for piece in middle {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

/// The text without the difference of case.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, title: &str) -> bool {
        TitlePattern::new(pattern).unwrap().matches(title)
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let title = "2024-05 Cumulative Update for Windows 11 (KB5037771)";
        for pattern in ["*", "**", "2024-05*", "*kb5037771)", "*UPDATE*windows 11*"] {
            assert!(matches(pattern, title), "{pattern}");
        }
        for pattern in [
            "cumulative",
            "*windows 11",
            "*windows*update*",
            "2024-?5*",
            "(*",
        ] {
            assert!(!matches(pattern, title), "{pattern}");
        }
        assert!(matches("Ärger *", "äRGER mit ÜBERLÄNGE"));
    }

    #[test]
    fn the_ends_of_a_pattern_do_not_overlap() {
        assert!(!matches("aba*aba", "ababa"));
        assert!(matches("aba*aba", "abaaba"));
        assert!(!matches("a*a", "a"));
    }

    #[test]
    fn an_empty_or_endless_pattern_is_refused() {
        assert_eq!(TitlePattern::new("  "), Err(PatternError::Empty));
        let longest = "x".repeat(MAX_PATTERN_BYTES);
        assert!(TitlePattern::new(&longest).is_ok());
        let longer = longest + "*";
        assert_eq!(TitlePattern::new(&longer), Err(PatternError::TooLong));
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = "*a".repeat(MAX_PATTERN_BYTES / 2) + "b";
        let pattern = TitlePattern::new(&pattern[1..]).unwrap();
        let title = "a".repeat(1 << 20);
        assert!(!pattern.matches(&title));
    }

    /// The definition, taken literally.
    fn by_definition(pattern: &[char], title: &[char]) -> bool {
        match pattern.split_first() {
            None => title.is_empty(),
            Some(('*', rest)) => (0..=title.len()).any(|skip| by_definition(rest, &title[skip..])),
            Some((char, rest)) => title.first() == Some(char) && by_definition(rest, &title[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_the_definition_says(pattern in "[ab*]{1,8}", title in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                matches(&pattern.to_uppercase(), &title),
                by_definition(&chars(&pattern), &chars(&title))
            );
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error(pattern in ".{0,40}", title in ".{0,40}") {
            if let Ok(pattern) = TitlePattern::new(&pattern) {
                pattern.matches(&title);
            }
        }
    }
}
