//! Settings on their way through the hierarchy: what every site has to know of them, as one item of the
//! replicated log. What is the top-level site's alone (its source, its proxy, whom it notifies) is never in it.

use crate::content::ContentChoice;
use crate::document::Settings;
use crate::languages::{LanguageChoice, Sites};
use catalog::codec;
use catalog::language::{Language, Wanted};
use catalog::{Problem, SiteCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Sections of the document that concern the top-level site alone.
pub const TOP_LEVEL_ONLY: [&str; 3] = ["source", "proxy", "notifications"];

/// The first byte of the item's content: the form of what follows. A later form has another.
const FORM: u8 = 1;
/// Largest content, in bytes: what is larger is refused by every site, so it must not enter the log.
const MOST_CONTENT: usize = 1 << 20;

/// What a site knows of the settings of its hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RollOut {
    /// Number of the version.
    pub version: u64,
    /// When it was made.
    pub time: Timestamp,
    /// Who made it.
    pub who: String,
    /// The top-level site, where settings are made.
    pub top: SiteCode,
    /// Its address, where it has a name to be reached under.
    pub address: Option<String>,
    /// The language of its locale.
    pub locale: Option<Language>,
    /// The document, without what is the top-level site's alone.
    #[serde(with = "travelling")]
    pub settings: Settings,
    /// Languages of update files in effect at the top-level site.
    pub update_files: Wanted,
    /// The same of the sites where other ones are in effect.
    pub sites: BTreeMap<SiteCode, Wanted>,
    /// Which update files the sites download that download others than the top-level site.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub content: BTreeMap<SiteCode, ContentChoice>,
}

/// Why the settings of a catalog cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollOutError {
    /// A form that this version does not know.
    #[error("they have form {0}, which this version does not know: update Headwater")]
    UnknownForm(u8),
    /// The stored bytes.
    #[error(transparent)]
    Stored(#[from] codec::Error),
    /// More than an item of the log holds.
    #[error(
        "they are larger than the {MOST_CONTENT} bytes that travel: choose families instead of products"
    )]
    TooLarge,
    /// What they say.
    #[error("they say what this version does not know (update Headwater): {0}")]
    Malformed(Problem),
}

impl RollOut {
    /// The settings of a version, for the sites that there are.
    pub fn new(
        (version, time, who): (u64, Timestamp, &str),
        settings: &Settings,
        (top, address): (SiteCode, Option<String>),
        sites: &Sites,
    ) -> Self {
        let update_files = settings.update_files(top, sites);
        let choices = sites
            .keys()
            .map(|site| (*site, settings.content_choice(*site, sites)))
            .filter(|(_, choice)| *choice != settings.content.choice());
        let others = sites
            .keys()
            .map(|site| (*site, settings.update_files(*site, sites)));
        Self {
            version,
            time,
            who: who.to_owned(),
            top,
            address,
            locale: sites.get(&top).and_then(|place| place.locale),
            settings: Settings {
                source: crate::document::Source::default(),
                proxy: crate::document::Proxy::default(),
                notifications: crate::document::Notifications::default(),
                ..settings.clone()
            },
            sites: others
                .filter(|(_, wanted)| *wanted != update_files)
                .collect(),
            update_files,
            content: choices.collect(),
        }
    }

    /// Languages of update files in effect at a site below this parent. A site that joined after this was
    /// made has what its parent has.
    pub fn update_files(&self, site: SiteCode, parent: Option<SiteCode>) -> &Wanted {
        let own = self.sites.get(&site);
        let own = own.or_else(|| parent.and_then(|parent| self.sites.get(&parent)));
        own.unwrap_or(&self.update_files)
    }

    /// The item's content, as it is stored and travels. The same settings always have the same content.
    ///
    /// # Errors
    /// When it is larger than an item may be.
    pub fn to_content(&self) -> Result<Vec<u8>, RollOutError> {
        let text = serde_json::to_string(self)
            .map_err(|error| RollOutError::Malformed(Problem::new(error)))?;
        let mut content = vec![FORM];
        content.extend(codec::compress(&text)?);
        if content.len() > MOST_CONTENT {
            return Err(RollOutError::TooLarge);
        }
        Ok(content)
    }

    /// The settings of an item.
    ///
    /// # Errors
    /// When they are of a later version, or damaged.
    pub fn from_content(content: &[u8]) -> Result<Self, RollOutError> {
        let stored = match content.split_first() {
            Some((&FORM, stored)) => stored,
            Some((&form, _)) => return Err(RollOutError::UnknownForm(form)),
            None => return Err(RollOutError::Malformed(Problem::new("there are no bytes"))),
        };
        let text = codec::decompress(stored)?;
        serde_json::from_str(&text).map_err(|error| RollOutError::Malformed(Problem::new(error)))
    }
}

/// Where the value of an effective setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody chose it.
    Default,
    /// It holds for the whole hierarchy.
    Hierarchy,
    /// It is set for the site.
    Site,
    /// The site's parent has no more, or the site chose nothing.
    Parent,
}

impl Origin {
    /// The origin in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Hierarchy => "hierarchy",
            Self::Site => "site",
            Self::Parent => "parent",
        }
    }
}

/// A setting as it is in effect at a site.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Where that comes from.
    pub origin: Origin,
    /// The same in words.
    pub because: String,
}

impl RollOut {
    /// The settings in effect at a site with this parent, by name. What is the top-level site's alone is not
    /// among them.
    pub fn effective(&self, site: SiteCode, parent: Option<SiteCode>) -> Vec<Effective> {
        let defaults = Settings::default().by_name();
        let of_all = self.settings.by_name().into_iter().filter(|(name, _)| {
            let section = name.split('.').next().unwrap_or_default();
            section != "site" && !TOP_LEVEL_ONLY.contains(&section)
        });
        let mut effective: Vec<Effective> = of_all
            .map(|(name, value)| {
                let origin = match defaults.get(&name) == Some(&value) {
                    true => Origin::Default,
                    false => Origin::Hierarchy,
                };
                let because = match origin {
                    Origin::Hierarchy => format!("set for the hierarchy at {}", self.top),
                    Origin::Default | Origin::Site | Origin::Parent => "the default".to_owned(),
                };
                Effective {
                    name,
                    value,
                    origin,
                    because,
                }
            })
            .collect();
        if let Some(files) = effective.iter_mut().find(|e| e.name == UPDATE_FILES) {
            self.narrow(files, site, parent);
        }
        self.narrow_content(&mut effective, site, parent);
        effective
    }

    /// What a site below the top-level site has of the languages of update files.
    fn narrow(&self, files: &mut Effective, site: SiteCode, parent: Option<SiteCode>) {
        let Some(parent) = parent else { return };
        let wanted = self.update_files(site, Some(parent));
        files.value = match wanted {
            Wanted::All => Value::from("all"),
            Wanted::Only(languages) => languages.iter().map(|language| language.tag()).collect(),
        };
        let section = self.settings.site.get(&site);
        let own = section.and_then(|section| section.update_files.as_ref());
        let above = self.update_files(parent, None);
        (files.origin, files.because) = match own {
            Some(LanguageChoice::All) => (
                Origin::Parent,
                format!("site.{site}.update-files: all that its parent {parent} has"),
            ),
            Some(LanguageChoice::ServerLocale | LanguageChoice::Chosen(_)) => (
                Origin::Site,
                format!("site.{site}.update-files, within what its parent {parent} has"),
            ),
            None if wanted == above && *above != self.update_files => {
                (Origin::Parent, format!("what its parent {parent} has"))
            }
            None => return,
        };
    }
}

/// The setting that a site below the top-level site may narrow.
const UPDATE_FILES: &str = "languages.update-files";

impl Settings {
    /// The JSON form without what is the top-level site's alone.
    pub fn to_travelling_json(&self) -> Value {
        let mut document = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(sections) = &mut document {
            for section in TOP_LEVEL_ONLY {
                sections.remove(section);
            }
        }
        document
    }
}

/// A document without what is the top-level site's alone, on the way there and back.
mod travelling {
    use crate::document::Settings;
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(settings: &Settings, s: S) -> Result<S::Ok, S::Error> {
        settings.to_travelling_json().serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Settings, D::Error> {
        Settings::deserialize(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages::Place;

    fn code(text: &str) -> SiteCode {
        text.parse().unwrap()
    }

    fn rolled_out(changes: &[&str]) -> RollOut {
        let changes: Vec<_> = changes.iter().map(|text| text.parse().unwrap()).collect();
        let settings = Settings::default().with(&changes).unwrap();
        let place = |parent: Option<&str>| Place {
            parent: parent.map(code),
            locale: None,
        };
        let sites = BTreeMap::from([
            (code("CAS"), place(None)),
            (code("PR1"), place(Some("CAS"))),
            (code("PR2"), place(Some("CAS"))),
            (code("SE1"), place(Some("PR1"))),
        ]);
        RollOut::new(
            (7, Timestamp::UNIX_EPOCH, "anna"),
            &settings,
            (code("CAS"), None),
            &sites,
        )
    }

    #[test]
    fn what_is_the_top_level_sites_alone_does_not_travel() {
        let made = rolled_out(&[
            "source.action=upstream-server",
            "source.url=http://wsus.secret:8530",
            "notifications.webhooks+=https://hooks.secret/x",
            "proxy.host=proxy.secret",
            "proxy.user=agent-smith",
            "schedule.time-zone=Europe/Berlin",
        ]);
        let content = made.to_content().unwrap();
        let text = codec::decompress(&content[1..]).unwrap();
        for part in [
            "secret",
            "agent-smith",
            "\"proxy\"",
            "\"source\"",
            "\"notifications\"",
        ] {
            assert!(!text.contains(part), "{text}");
        }
        let read = RollOut::from_content(&content).unwrap();
        assert_eq!(read, made);
        assert_eq!(read.settings.schedule.time_zone, "Europe/Berlin");
        assert_eq!(read.settings.proxy.host, None);
    }

    #[test]
    fn only_sites_that_differ_are_named_and_a_new_one_has_what_its_parent_has() {
        let made = rolled_out(&["languages.update-files=de,fr", "site.PR1.update-files=fr"]);
        let named: Vec<_> = made.sites.keys().copied().collect();
        assert_eq!(named, [code("PR1"), code("SE1")]);
        let of = |site: &str, parent: &str| {
            made.update_files(code(site), Some(code(parent)))
                .to_string()
        };
        assert_eq!(of("SE1", "PR1"), "en, fr");
        assert_eq!(of("SE9", "PR1"), "en, fr");
        assert_eq!(of("PR2", "CAS"), "de, en, fr");
    }

    #[test]
    fn effective_settings_say_where_they_come_from() {
        let made = rolled_out(&[
            "languages.update-files=de,fr",
            "site.PR1.update-files=fr",
            "schedule.time-zone=Europe/Berlin",
        ]);
        let told = |site: &str, parent: Option<&str>, name: &str| {
            let effective = made.effective(code(site), parent.map(code));
            let setting = effective.into_iter().find(|setting| setting.name == name);
            let setting = setting.unwrap();
            let (origin, because) = (setting.origin.name(), setting.because);
            format!(
                "{} ({origin}: {because})",
                crate::change::plain(&setting.value)
            )
        };
        let files = UPDATE_FILES;
        assert_eq!(
            told("CAS", None, files),
            "de, fr (hierarchy: set for the hierarchy at CAS)"
        );
        assert_eq!(
            told("PR1", Some("CAS"), files),
            "en, fr (site: site.PR1.update-files, within what its parent CAS has)"
        );
        assert_eq!(
            told("SE1", Some("PR1"), files),
            "en, fr (parent: what its parent PR1 has)"
        );
        assert_eq!(
            told("PR2", Some("CAS"), files),
            "de, en, fr (hierarchy: set for the hierarchy at CAS)"
        );
        assert_eq!(
            told("SE1", Some("PR1"), "schedule.time-zone"),
            "Europe/Berlin (hierarchy: set for the hierarchy at CAS)"
        );
        assert_eq!(
            told("SE1", Some("PR1"), "languages.summary-details"),
            "all (default: the default)"
        );
        let names = made.effective(code("SE1"), None);
        assert!(
            names
                .iter()
                .all(|s| !s.name.starts_with("proxy") && !s.name.starts_with("site"))
        );
    }

    #[test]
    fn a_later_form_asks_for_a_newer_headwater() {
        let error = RollOut::from_content(&[9]).unwrap_err().to_string();
        assert!(error.contains("update Headwater"), "{error}");
        let mut newer = vec![FORM];
        newer.extend(codec::compress(r#"{"settings": {"moon": true}}"#).unwrap());
        let error = RollOut::from_content(&newer).unwrap_err().to_string();
        assert!(error.contains("unknown field `moon`"), "{error}");
        assert!(error.contains("update Headwater"), "{error}");
        assert!(RollOut::from_content(&[FORM]).is_err());
        assert!(RollOut::from_content(&[]).is_err());
    }
}
