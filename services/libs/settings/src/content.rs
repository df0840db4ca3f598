//! Content: which update files a site downloads, and how fast. A site below another downloads what its parent
//! has or less, never more: the parent is where its files come from.

use crate::check::Findings;
use crate::document::Settings;
use crate::languages::Sites;
use crate::roll_out::{Effective, Origin, RollOut};
use catalog::SiteCode;
use catalog::needed::{Download, Policy};
use jiff::civil::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Files that a site downloads at the same time, at most.
const MOST_PARALLEL: u8 = 32;
/// Highest transfer rate that can be set, in kilobits a second: 100 gigabits.
const MOST_RATE: u32 = 100_000_000;
/// Bytes a second of a kilobit a second.
const BYTES_OF_KILOBIT: u64 = 1_000 / 8;
/// Tiers that are looked through upwards; a hierarchy has three.
const MOST_TIERS: usize = 8;

/// When the files of updates are downloaded.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ContentDownload {
    /// Never: updates only.
    Never,
    /// When an update is approved for installation, or a downstream server asks.
    #[default]
    Deferred,
    /// At once, for every update that is neither declined nor expired.
    Immediate,
}

impl ContentDownload {
    /// How it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Deferred => "deferred",
            Self::Immediate => "immediate",
        }
    }
}

/// Which update files a site downloads, and how fast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Content {
    /// When the files of an update are downloaded: deferred until it is approved for installation, immediate,
    /// or never.
    pub download: ContentDownload,
    /// Whether the texts of licence terms are downloaded when an update comes that has some, also where its other
    /// files are not (yet).
    pub licence_terms: bool,
    /// Whether express installation files are downloaded besides the full files.
    pub express: bool,
    /// Files that each site downloads at the same time.
    #[schemars(range(min = 1, max = 32))]
    pub parallel_downloads: u8,
    /// Kilobits a second that each site downloads at most; 0: no limit.
    #[schemars(range(max = 100_000_000))]
    pub maximum_transfer_rate: u32,
    /// Time of day from which files are downloaded, in the time zone of the schedule. The same time as
    /// `content.window-to`: around the clock.
    #[schemars(with = "String")]
    pub window_from: Time,
    /// Time of day until which files are downloaded: on the next day where that is before `content.window-from`.
    #[schemars(with = "String")]
    pub window_to: Time,
}

impl Default for Content {
    /// Deferred, full files only, around the clock.
    fn default() -> Self {
        Self {
            download: ContentDownload::Deferred,
            licence_terms: true,
            express: false,
            parallel_downloads: 4,
            maximum_transfer_rate: 0,
            window_from: Time::midnight(),
            window_to: Time::midnight(),
        }
    }
}

/// What is set for the files of one site; what is not is as for the hierarchy, or as at its parent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SiteContent {
    /// When this site downloads the files of an update: as early as its parent, or later, or never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<ContentDownload>,
    /// Whether this site downloads express installation files, where its parent does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub express: Option<bool>,
    /// Files that this site downloads at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_downloads: Option<u8>,
    /// Kilobits a second that this site downloads at most; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_transfer_rate: Option<u32>,
    /// Time of day from which this site downloads files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub window_from: Option<Time>,
    /// Time of day until which this site downloads files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub window_to: Option<Time>,
}

impl SiteContent {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is in effect where this is set over something.
    fn over(&self, below: &Content) -> Content {
        Content {
            download: self.download.unwrap_or(below.download),
            licence_terms: below.licence_terms,
            express: self.express.unwrap_or(below.express),
            parallel_downloads: self.parallel_downloads.unwrap_or(below.parallel_downloads),
            maximum_transfer_rate: self
                .maximum_transfer_rate
                .unwrap_or(below.maximum_transfer_rate),
            window_from: self.window_from.unwrap_or(below.window_from),
            window_to: self.window_to.unwrap_or(below.window_to),
        }
    }
}

/// Which files are downloaded, without how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContentChoice {
    /// When.
    pub download: ContentDownload,
    /// Whether express installation files are among them.
    pub express: bool,
}

impl ContentChoice {
    /// What a site downloads that chose this, below one that downloads `other`.
    fn within(self, other: Self) -> Self {
        Self {
            download: self.download.min(other.download),
            express: self.express && other.express,
        }
    }
}

impl Content {
    /// What it says about which files.
    pub fn choice(&self) -> ContentChoice {
        ContentChoice {
            download: self.download,
            express: self.express,
        }
    }

    /// The same, as the catalog's rule takes it.
    pub fn policy(&self) -> Policy {
        Policy {
            download: match self.download {
                ContentDownload::Never => Download::Never,
                ContentDownload::Deferred => Download::Deferred,
                ContentDownload::Immediate => Download::Immediate,
            },
            terms: self.licence_terms,
            express: self.express,
        }
    }

    /// Bytes a second that are downloaded at most; none: no limit.
    pub fn bytes_per_second(&self) -> Option<u64> {
        let rate = u64::from(self.maximum_transfer_rate) * BYTES_OF_KILOBIT;
        (rate > 0).then_some(rate)
    }

    /// Whether files are downloaded at a time of day.
    pub fn is_open(&self, at: Time) -> bool {
        let (from, to) = (self.window_from, self.window_to);
        match from.cmp(&to) {
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Less => (from..to).contains(&at),
            std::cmp::Ordering::Greater => at >= from || at < to,
        }
    }

    /// The window as begin and end; none: around the clock.
    pub fn window(&self) -> Option<(Time, Time)> {
        (self.window_from != self.window_to).then_some((self.window_from, self.window_to))
    }
}

impl Settings {
    /// Which files are downloaded at a site.
    pub fn content_choice(&self, site: SiteCode, sites: &Sites) -> ContentChoice {
        // From the site upwards; what is in effect is the least of all on the way.
        let mut effective = self.content.choice();
        let mut at = Some(site);
        for _ in 0..MOST_TIERS {
            let Some(place) = at.and_then(|code| sites.get(&code).map(|place| (code, place)))
            else {
                break;
            };
            if place.1.parent.is_some() {
                effective = self.own_choice(place.0).within(effective);
            }
            at = place.1.parent;
        }
        effective
    }

    /// What is chosen for a site below another, whatever its parent has.
    fn own_choice(&self, site: SiteCode) -> ContentChoice {
        self.site.get(&site).map_or_else(
            || self.content.choice(),
            |section| section.content.over(&self.content).choice(),
        )
    }

    /// What is wrong with the content of a site's section, as the sites of the hierarchy are: the setting, and
    /// why.
    pub(crate) fn wrong_with_content(
        &self,
        site: SiteCode,
        sites: &Sites,
    ) -> Option<(&'static str, String)> {
        let Some(place) = sites.get(&site) else {
            let why = format!(
                "there is no site {site} in the hierarchy (headwater site list): take it out with headwater \
                 settings reset site.{site}"
            );
            return Some(("", why));
        };
        let Some(parent) = place.parent else {
            let why = format!(
                "{site} is the top-level site, and what holds there is the section content: set that"
            );
            return Some(("", why));
        };
        let (own, above) = (self.own_choice(site), self.content_choice(parent, sites));
        let section = self.site.get(&site).map(|section| &section.content)?;
        if section.download.is_some() && own.download > above.download {
            let why = format!(
                "its parent {parent} has the files later or not at all ({}): choose that or less, or give {parent} \
                 more first",
                above.download.word()
            );
            return Some((".download", why));
        }
        if section.express.is_some() && own.express && !above.express {
            let why = format!(
                "its parent {parent} does not have them, and files come from the parent: give {parent} them first"
            );
            return Some((".express", why));
        }
        None
    }
}

impl RollOut {
    /// What is in effect for the files of a site below this parent. A site that joined after this was made has
    /// what its parent has.
    pub fn content(&self, site: SiteCode, parent: Option<SiteCode>) -> Content {
        let hierarchy = &self.settings.content;
        let Some(parent) = parent else {
            return hierarchy.clone();
        };
        let section = self.settings.site.get(&site);
        let own = section.map(|section| section.content.over(hierarchy));
        let own = own.unwrap_or_else(|| hierarchy.clone());
        let held = |site| self.content.get(&site).copied();
        let choice = held(site).or_else(|| held(parent));
        let choice = choice.unwrap_or_else(|| hierarchy.choice());
        Content {
            download: choice.download,
            express: choice.express,
            ..own
        }
    }

    /// Puts what is in effect for the files of a site below the top-level site into a list of settings.
    pub(crate) fn narrow_content(
        &self,
        effective: &mut [Effective],
        site: SiteCode,
        parent: Option<SiteCode>,
    ) {
        let Some(parent) = parent else { return };
        let content = self.content(site, Some(parent));
        let values = serde_json::to_value(content).unwrap_or_default();
        let section = self.settings.site.get(&site);
        let own = section.map(|section| serde_json::to_value(&section.content).unwrap_or_default());
        for shown in effective {
            let Some(name) = shown.name.strip_prefix("content.") else {
                continue;
            };
            let Some(value) = values.get(name) else {
                continue;
            };
            let set = own.as_ref().and_then(|own| own.get(name));
            (shown.origin, shown.because) = match set {
                Some(set) if set == value => (Origin::Site, format!("site.{site}.content.{name}")),
                _ if *value != shown.value => {
                    (Origin::Parent, format!("what its parent {parent} has"))
                }
                Some(_) | None => continue,
            };
            shown.value = value.clone();
        }
    }
}

pub(crate) fn check(found: &mut Findings, settings: &Settings) {
    let content = &settings.content;
    check_limits(
        found,
        "content",
        Some(content.parallel_downloads),
        Some(content.maximum_transfer_rate),
    );
    for (site, section) in &settings.site {
        let name = format!("site.{site}.content");
        let own = &section.content;
        check_limits(
            found,
            &name,
            own.parallel_downloads,
            own.maximum_transfer_rate,
        );
    }
}

fn check_limits(found: &mut Findings, section: &str, parallel: Option<u8>, rate: Option<u32>) {
    if let Some(parallel) = parallel {
        let fine = (1..=MOST_PARALLEL).contains(&parallel);
        let why = format!("{parallel} downloads: use 1 to {MOST_PARALLEL}");
        found.unless(fine, format!("{section}.parallel-downloads"), why);
    }
    if let Some(rate) = rate {
        let why = format!("{rate} kilobits a second: use 1 to {MOST_RATE}, or 0 for no limit");
        let name = format!("{section}.maximum-transfer-rate");
        found.unless(rate <= MOST_RATE, name, why);
    }
}

#[cfg(test)]
mod tests;
