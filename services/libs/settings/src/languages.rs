//! Languages: of summary details at the top-level site, and of update files at each site. A site below
//! another may have a part of what that one has, never more.

use crate::content::SiteContent;
use crate::document::Settings;
use catalog::SiteCode;
use catalog::language::{Language, Wanted};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Tiers that are looked through upwards; a hierarchy has three.
const MOST_TIERS: usize = 8;

/// Which languages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum LanguageChoice {
    /// All of them, also those that appear later.
    #[default]
    All,
    /// That of the server's locale.
    ServerLocale,
    /// These, the preferred first. English besides, always.
    Chosen(Vec<Language>),
}

/// A choice as it is written: `all`, `server-locale`, or tags as a list or with commas between.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Written {
    /// `all`, `server-locale`, or tags with commas between.
    Word(String),
    /// Tags.
    Tags(Vec<String>),
}

impl TryFrom<Written> for LanguageChoice {
    type Error = catalog::language::LanguageError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let tags: Vec<String> = match written {
            Written::Word(word) if word == "all" => return Ok(Self::All),
            Written::Word(word) if word == "server-locale" => return Ok(Self::ServerLocale),
            Written::Word(word) => word.split(',').map(str::to_owned).collect(),
            Written::Tags(tags) => tags,
        };
        let mut chosen = Vec::new();
        for tag in tags {
            let language = tag.parse()?;
            if !chosen.contains(&language) {
                chosen.push(language);
            }
        }
        Ok(Self::Chosen(chosen))
    }
}

impl From<LanguageChoice> for Written {
    fn from(choice: LanguageChoice) -> Self {
        match choice {
            LanguageChoice::All => Self::Word("all".to_owned()),
            LanguageChoice::ServerLocale => Self::Word("server-locale".to_owned()),
            LanguageChoice::Chosen(chosen) => {
                Self::Tags(chosen.iter().map(|l| l.tag().to_owned()).collect())
            }
        }
    }
}

impl LanguageChoice {
    /// What is chosen, at a server with this locale; one whose language WSUS does not have, or that nobody
    /// knows yet, stands for English.
    pub fn wanted(&self, locale: Option<Language>) -> Wanted {
        match self {
            Self::All => Wanted::All,
            Self::ServerLocale => Wanted::only(locale),
            Self::Chosen(chosen) => Wanted::only(chosen.iter().copied()),
        }
    }

    /// The languages to show texts in at a server with this locale, the preferred first.
    pub fn preferred(&self, locale: Option<Language>) -> Vec<Language> {
        match self {
            Self::All | Self::ServerLocale => locale.into_iter().collect(),
            Self::Chosen(chosen) => chosen.clone(),
        }
    }
}

/// Languages of texts and of files. English is always among them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Languages {
    /// Languages in which titles and descriptions are shown at every site; the first of a list that an
    /// update has, else English. Documents are kept whole.
    #[schemars(with = "Written")]
    pub summary_details: LanguageChoice,
    /// Languages of the files that the top-level site needs: the most that any site may have.
    #[schemars(with = "Written")]
    pub update_files: LanguageChoice,
}

/// What is set for one site below the top-level site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SiteSettings {
    /// Languages of the files that this site needs: a part of what its parent has, or all of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Written>")]
    pub update_files: Option<LanguageChoice>,
    /// Files of updates: how this site downloads them, where that is not as at its parent.
    #[serde(skip_serializing_if = "SiteContent::is_empty")]
    pub content: SiteContent,
}

/// Where a site stands, and the language of its server's locale, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its parent; none: it is the top-level site.
    pub parent: Option<SiteCode>,
    /// The language of its locale.
    pub locale: Option<Language>,
}

/// The sites of the hierarchy.
pub type Sites = BTreeMap<SiteCode, Place>;

impl Settings {
    /// The languages of update files that are in effect at a site.
    pub fn update_files(&self, site: SiteCode, sites: &Sites) -> Wanted {
        // From the site upwards, and from the top down to it again.
        let mut path = Vec::new();
        let mut at = Some(site);
        while let Some(code) = at.filter(|_| path.len() < MOST_TIERS) {
            path.push(code);
            at = sites.get(&code).and_then(|place| place.parent);
        }
        let mut effective = Wanted::All;
        for code in path.into_iter().rev() {
            effective = self.own(code, sites).within(&effective);
        }
        effective
    }

    /// What is chosen for a site, whatever its parent has.
    fn own(&self, site: SiteCode, sites: &Sites) -> Wanted {
        let place = sites.get(&site);
        let locale = place.and_then(|place| place.locale);
        if place.is_some_and(|place| place.parent.is_none()) {
            return self.languages.update_files.wanted(locale);
        }
        let chosen = self.site.get(&site);
        let chosen = chosen.and_then(|section| section.update_files.as_ref());
        chosen.map_or(Wanted::All, |chosen| chosen.wanted(locale))
    }

    /// What is wrong with the section of a site, as the sites of the hierarchy are.
    pub(crate) fn wrong_with_site(&self, site: SiteCode, sites: &Sites) -> Option<String> {
        let Some(place) = sites.get(&site) else {
            return Some(format!(
                "there is no site {site} in the hierarchy (headwater site list): take it out with headwater \
                 settings reset site.{site}"
            ));
        };
        let Some(parent) = place.parent else {
            return Some(format!(
                "{site} is the top-level site, and what holds there is languages.update-files: set that"
            ));
        };
        let above = self.update_files(parent, sites);
        let beyond = self.own(site, sites).beyond(&above);
        if beyond.is_empty() {
            return None;
        }
        let beyond: Vec<&str> = beyond.iter().map(|language| language.tag()).collect();
        let (beyond, are) = (
            beyond.join(", "),
            if beyond.len() == 1 { "is" } else { "are" },
        );
        Some(format!(
            "{beyond} {are} not among the languages of its parent {parent} ({above}): choose a part of those, \
             or give {parent} more first"
        ))
    }
}

#[cfg(test)]
mod tests;
