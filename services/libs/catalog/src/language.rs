//! The languages of WSUS, and which texts and files of an update a site wants by them. Documents are
//! never altered: a choice of languages says what is shown of them, and which files are needed.

use crate::document::{LocalizedProperties, Update};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The tags of the languages that WSUS knows, without `all`, by name.
pub const TAGS: [&str; 38] = [
    "ar", "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "he", "hi", "hr", "hu", "it",
    "ja", "ja-nec", "ko", "lt", "lv", "nl", "no", "pl", "pt", "pt-br", "ro", "ru", "sk", "sl",
    "sr", "sv", "th", "tr", "uk", "zh-cn", "zh-hk", "zh-tw",
];

/// What a document says of an update that is for every language.
const NEUTRAL: &str = "all";

/// Locales whose language has another tag here: beginning of the locale, and the tag. The first that fits.
const LOCALES: [(&str, &str); 10] = [
    ("zh-tw", "zh-tw"),
    ("zh-hant-hk", "zh-hk"),
    ("zh-hant", "zh-tw"),
    ("zh-hk", "zh-hk"),
    ("zh-mo", "zh-hk"),
    ("zh", "zh-cn"),
    ("pt-br", "pt-br"),
    ("nb", "no"),
    ("nn", "no"),
    ("iw", "he"),
];

/// One of the languages of WSUS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(&'static str);

/// A text that names no language of WSUS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a language of WSUS: use {tags}", tags = TAGS.join(", "))]
pub struct LanguageError(String);

impl Language {
    /// English, which is always among what is wanted.
    pub const ENGLISH: Self = Self("en");

    /// Its tag, in lower case.
    pub const fn tag(self) -> &'static str {
        self.0
    }

    /// The language of a locale such as `de_AT.UTF-8`, `pt-BR` or `C`; none where WSUS has none for it.
    pub fn of_locale(locale: &str) -> Option<Self> {
        let name = locale.split(['.', '@']).next().unwrap_or_default();
        let name = name.replace('_', "-").to_ascii_lowercase();
        if matches!(name.as_str(), "" | "c" | "posix") {
            return Some(Self::ENGLISH);
        }
        let begins = |part: &str| {
            let rest = name.strip_prefix(part);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let other = LOCALES.iter().find(|(part, _)| begins(part));
        let tag = other.map(|(_, tag)| *tag);
        let primary = name.split('-').next().unwrap_or_default();
        tag.unwrap_or(primary).parse().ok()
    }

    /// The language that a document means by a tag: the tag itself, else its primary language (`en-gb`).
    fn of_document(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or(tag);
        tag.parse().or_else(|_| primary.parse()).ok()
    }
}

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(text: &str) -> Result<Self, LanguageError> {
        let tag = TAGS
            .iter()
            .find(|tag| tag.eq_ignore_ascii_case(text.trim()));
        tag.map(|tag| Self(tag))
            .ok_or_else(|| LanguageError(text.chars().take(32).collect()))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The languages that are in effect at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// All, also those that WSUS does not know yet.
    All,
    /// These. English is always among them ([`Wanted::only`]).
    Only(BTreeSet<Language>),
}

impl Wanted {
    /// These languages and English.
    pub fn only(languages: impl IntoIterator<Item = Language>) -> Self {
        let english = std::iter::once(Language::ENGLISH);
        Self::Only(languages.into_iter().chain(english).collect())
    }

    /// What is wanted here and there: what is in effect at a site below one that has `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, wanted) | (wanted, Self::All) => wanted.clone(),
            (Self::Only(these), Self::Only(those)) => Self::only(these & those),
        }
    }

    /// What is wanted here and not there, where both are told one by one; everything that is wanted here is
    /// wanted where everything is.
    pub fn beyond(&self, other: &Self) -> Vec<Language> {
        match (self, other) {
            (_, Self::All) | (Self::All, _) => Vec::new(),
            (Self::Only(these), Self::Only(those)) => these.difference(those).copied().collect(),
        }
    }

    /// Whether the language of a document's tag is wanted. A tag that WSUS does not know is wanted only where
    /// everything is.
    pub fn takes(&self, tag: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(wanted) => {
                tag.eq_ignore_ascii_case(NEUTRAL)
                    || Language::of_document(tag).is_some_and(|language| wanted.contains(&language))
            }
        }
    }

    /// Whether a site with these languages needs the files of an update that says it is for `languages`
    /// (`Properties/Language`; none: for every language). All files of a document share them: what is for
    /// one language is a member of its own in a bundle.
    pub fn need(&self, languages: &[String]) -> Need {
        let neutral = |tag: &String| tag.eq_ignore_ascii_case(NEUTRAL);
        if languages.is_empty() || languages.iter().any(neutral) {
            return Need::Neutral;
        }
        match languages.iter().find(|tag| self.takes(tag)) {
            Some(tag) => Need::Wanted(tag.clone()),
            None => Need::NotWanted(languages.join(", ")),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(wanted) => {
                let tags: Vec<&str> = wanted.iter().map(|language| language.tag()).collect();
                f.write_str(&tags.join(", "))
            }
        }
    }
}

/// Whether a site needs a file, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// It is for every language.
    Neutral,
    /// It is for this language, which is wanted.
    Wanted(String),
    /// It is for these languages, and none of them is wanted.
    NotWanted(String),
}

impl Need {
    /// Whether the file is needed.
    pub const fn is_needed(&self) -> bool {
        match self {
            Self::Neutral | Self::Wanted(_) => true,
            Self::NotWanted(_) => false,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Neutral => f.write_str("for every language"),
            Self::Wanted(tag) => write!(f, "for {tag}"),
            Self::NotWanted(tags) => write!(f, "for {tags}, which is not among the languages here"),
        }
    }
}

/// The texts of an update to show where these languages are preferred, the most preferred first: the first
/// of them that the document has, else English, else the document's default language, else what there is.
pub fn texts<'u>(update: &'u Update, preferred: &[Language]) -> Option<&'u LocalizedProperties> {
    let find = |tag: &str| {
        let mut texts = update.titles.iter();
        texts.find(|texts| texts.language.eq_ignore_ascii_case(tag))
    };
    let preferred = preferred.iter().find_map(|language| find(language.tag()));
    preferred
        .or_else(|| find(Language::ENGLISH.tag()))
        .or_else(|| update.localized(&update.default_language))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    fn language(tag: &str) -> Language {
        tag.parse().unwrap()
    }

    fn only(tags: &[&str]) -> Wanted {
        Wanted::only(tags.iter().map(|tag| language(tag)))
    }

    fn tags(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|tag| (*tag).to_owned()).collect()
    }

    #[test]
    fn a_locale_has_the_language_that_wsus_has_for_it() {
        for (locale, tag) in [
            ("de_AT.UTF-8", "de"),
            ("pt_BR", "pt-br"),
            ("pt-PT", "pt"),
            ("zh_SG.UTF-8", "zh-cn"),
            ("zh_TW", "zh-tw"),
            ("zh-Hant-HK", "zh-hk"),
            ("nb_NO.utf8", "no"),
            ("C.UTF-8", "en"),
            ("", "en"),
            ("sr_RS@latin", "sr"),
        ] {
            assert_eq!(Language::of_locale(locale), Some(language(tag)), "{locale}");
        }
        assert_eq!(Language::of_locale("ca_ES.UTF-8"), None);
    }

    #[test]
    fn a_tag_is_read_in_any_case_and_refused_with_those_that_there_are() {
        assert_eq!(language("pt-BR").tag(), "pt-br");
        let error = "klingon".parse::<Language>().unwrap_err().to_string();
        assert!(error.contains("\"klingon\" is not a language of WSUS: use ar, bg,"));
    }

    #[test]
    fn files_are_needed_by_the_languages_of_their_document() {
        let german = only(&["de"]);
        assert_eq!(german.need(&[]), Need::Neutral);
        assert_eq!(german.need(&tags(&["all"])), Need::Neutral);
        assert!(german.need(&tags(&["fr", "DE"])).is_needed());
        assert!(german.need(&tags(&["de-at"])).is_needed());
        assert!(german.need(&tags(&["en"])).is_needed());
        let french = german.need(&tags(&["fr"]));
        assert_eq!(
            french.to_string(),
            "for fr, which is not among the languages here"
        );
        assert!(!french.is_needed());
        assert!(Wanted::All.need(&tags(&["klingon"])).is_needed());
        assert!(!german.need(&tags(&["klingon"])).is_needed());
    }

    fn any_wanted() -> impl Strategy<Value = Wanted> {
        let some = prop::collection::vec(select(&TAGS[..]), 0..6);
        (any::<Index>(), some).prop_map(|(choice, some)| match choice.index(4) {
            0 => Wanted::All,
            _ => only(&some),
        })
    }

    proptest! {
        #[test]
        fn a_child_never_has_more_than_its_parent(parent in any_wanted(), child in any_wanted()) {
            let effective = child.within(&parent);
            prop_assert!(effective.beyond(&parent).is_empty());
            prop_assert!(effective.takes("en"));
            for tag in TAGS {
                prop_assert_eq!(effective.takes(tag), child.takes(tag) && parent.takes(tag));
            }
            // What is not beyond the parent's is had whole.
            if child.beyond(&parent).is_empty() && child != Wanted::All {
                prop_assert_eq!(effective, child);
            }
        }
    }
}
