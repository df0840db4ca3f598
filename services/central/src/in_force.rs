//! The settings in force: the newest version of the document, what the process itself decides laid over it.

use crate::decisions::{self, Decisions, ItemChange};
use crate::ingest::proxy_of;
use crate::roll_out::Register;
use crate::settings::FirstSettings;
use catalog::item::ItemKey;
use daemon::Ambient;
use jiff::Timestamp;
use journal::status_message::MAX_INSERT;
use journal::{Journal, StatusId};
use secrecy::SecretString;
use settings::Settings;
use settings::change::{Change, difference};
use settings::document::SynchronizeAction;
use settings::languages::Sites;
use settings::roll_out::RollOut;
use std::sync::{Arc, OnceLock};
use store::Store;
use store::settings::SettingsRow;
use tokio::sync::{Mutex, watch};

/// Who made the first version, where a file was given for it.
const FIRST: &str = "the first start";

/// Why settings cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else was faster.
    #[error(
        "version {held} is in force, and not version {expected}: look at what changed, then try again"
    )]
    Conflict {
        /// The version in force.
        held: u64,
        /// The version that was expected.
        expected: u64,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Refused(String),
    /// There is no such version, or not any more.
    #[error("there is no version {0} of the settings")]
    NoVersion(u64),
    /// A version that this program cannot read.
    #[error(
        "version {version} of the settings cannot be read, perhaps a newer Headwater made it: {why}"
    )]
    Unreadable {
        /// The version.
        version: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A version of the settings.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its number; 0 for the defaults, before anybody changed anything.
    pub number: u64,
    /// When it was made.
    pub time: Option<Timestamp>,
    /// Who made it.
    pub who: String,
    /// The document.
    pub settings: Settings,
}

impl Version {
    fn defaults() -> Self {
        Self {
            number: 0,
            time: None,
            who: String::new(),
            settings: Settings::default(),
        }
    }

    fn of(row: SettingsRow) -> Result<Self, Error> {
        let settings = Settings::from_json(&row.document).map_err(|error| Error::Unreadable {
            version: row.version,
            why: error.to_string(),
        })?;
        Ok(Self {
            number: row.version,
            // As the database keeps it.
            time: Timestamp::from_millisecond(row.time.as_millisecond()).ok(),
            who: row.who,
            settings,
        })
    }
}

/// What came, or would come, of a change.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The version in force.
    pub version: u64,
    /// What it changed.
    pub changes: Vec<Change>,
    /// What will happen because of it, a sentence each.
    pub consequences: Vec<String>,
    /// The settings as they are, or would be.
    pub settings: Settings,
}

/// What the command line or the settings file of the process decides, whatever the document says.
#[derive(Debug, Clone, Default)]
pub struct Fixed {
    /// URL of the synchronization source.
    pub upstream: Option<String>,
}

impl Fixed {
    /// Names of the settings that it decides.
    pub fn names(&self) -> &'static [&'static str] {
        match self.upstream {
            Some(_) => &[
                "source.action",
                "source.url",
                "source.ca-pem",
                "source.user",
                "source.domain",
                "source.parallel-requests",
            ],
            None => &[],
        }
    }

    fn over(&self, mut settings: Settings) -> Settings {
        if let Some(url) = &self.upstream {
            settings.source.action = SynchronizeAction::UpstreamServer;
            settings.source.url = Some(url.clone());
        }
        settings
    }
}

/// The settings in force.
#[derive(Clone)]
pub struct InForce {
    store: Store,
    journal: Journal,
    ambient: Ambient,
    fixed: Fixed,
    sites: Register,
    /// One change at a time.
    changing: Arc<Mutex<()>>,
    settings: watch::Sender<Arc<Settings>>,
    /// What every site has to know of them.
    rolled_out: watch::Sender<Option<Arc<RollOut>>>,
    /// Its version.
    number: watch::Sender<u64>,
    /// By what they come into the log, as soon as there is a log.
    decisions: Arc<OnceLock<Decisions>>,
}

impl InForce {
    /// The settings that the database holds. Where it holds none, `first` becomes the first version.
    ///
    /// # Errors
    /// When they cannot be read, or `first` makes no sense.
    pub async fn load(
        store: Store,
        journal: Journal,
        ambient: Ambient,
        first: Option<FirstSettings>,
        fixed: Fixed,
        sites: Register,
    ) -> Result<Self, Error> {
        let this = Self {
            store,
            journal,
            ambient,
            fixed,
            sites,
            changing: Arc::default(),
            settings: watch::Sender::new(Arc::default()),
            rolled_out: watch::Sender::default(),
            number: watch::Sender::default(),
            decisions: Arc::default(),
        };
        let held = this.version(None).await?;
        match first {
            Some(first) if held.number == 0 => {
                let first = first.read().map_err(|error| {
                    Error::Refused(format!("the setting first-settings: {error:#}"))
                })?;
                this.tell(first.clone());
                Box::pin(this.change(FIRST, None, false, |_, _| Ok(first))).await?;
            }
            Some(_) | None => this.tell(held.settings),
        }
        let version = this.version(None).await?;
        this.make_roll_out(&version).await?;
        Ok(this)
    }

    /// Settings come into the log by `decisions` from now on.
    pub fn decide_by(&self, decisions: Decisions) {
        self.decisions.get_or_init(|| decisions);
    }

    /// Tells what every site has to know of the settings in force.
    pub fn watch_roll_out(&self) -> watch::Receiver<Option<Arc<RollOut>>> {
        self.rolled_out.subscribe()
    }

    /// Tells the number of the version in force.
    pub fn watch_version(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    async fn make_roll_out(&self, version: &Version) -> Result<RollOut, Error> {
        let sites = self.sites.read().await?;
        let roll_out = self.sites.roll_out(version, &sites);
        self.tell_roll_out(roll_out.clone());
        Ok(roll_out)
    }

    fn tell_roll_out(&self, roll_out: RollOut) {
        let version = roll_out.version;
        self.rolled_out.send_if_modified(|held| {
            let news = held.as_deref() != Some(&roll_out);
            if news {
                *held = Some(Arc::new(roll_out));
            }
            news
        });
        self.number.send_if_modified(|held| {
            let news = *held != version;
            *held = version;
            news
        });
    }

    /// Puts into the log what every site has to know of the settings in force, unless it is there: after a
    /// start, when a site came or went or tells another locale, when the log lost it. Doing it again changes
    /// nothing. Before anybody changed anything every site has the defaults, and nothing is put there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn roll_out(&self) -> Result<(), Error> {
        let _turn = self.changing.lock().await;
        let version = self.version(None).await?;
        let roll_out = self.make_roll_out(&version).await?;
        let Some(decisions) = self.decisions.get().filter(|_| version.number > 0) else {
            return Ok(());
        };
        let content = content_of(&roll_out)?;
        let applied = self.store.read().await?.applied_settings().await?;
        if applied.as_ref() == Some(&content) {
            return Ok(());
        }
        if applied.is_some() && decisions.is_halfway() {
            // The positions tell when that is over.
            return Ok(());
        }
        let mut tx = decisions.begin().await?;
        // Another process may have made a version meanwhile; it puts that into the log itself.
        let newest = tx.settings().await?.map_or(0, |row| row.version);
        if newest == version.number {
            decisions::put(&mut tx, vec![item(content)], self.ambient.now()).await?;
            decisions.finish(tx).await?;
        }
        Ok(())
    }

    /// Tells the settings in force, now and whenever they change.
    pub fn watch(&self) -> watch::Receiver<Arc<Settings>> {
        self.settings.subscribe()
    }

    /// What the process decides itself.
    pub fn fixed(&self) -> &Fixed {
        &self.fixed
    }

    fn tell(&self, settings: Settings) {
        let settings = self.fixed.over(settings);
        self.settings.send_if_modified(|held| {
            let news = **held != settings;
            if news {
                *held = Arc::new(settings);
            }
            news
        });
    }

    /// Looks whether the database holds other settings than are told here, as after a commit whose answer
    /// was lost, or when another process changed them. When the version in force was made.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn refresh(&self) -> Result<Option<Timestamp>, Error> {
        let _turn = self.changing.lock().await;
        let held = self.version(None).await?;
        self.tell(held.settings);
        Ok(held.time)
    }

    /// A version, or the one in force.
    ///
    /// # Errors
    /// When there is no such version, or it cannot be read.
    pub async fn version(&self, number: Option<u64>) -> Result<Version, Error> {
        let row = self.store.read().await?.settings(number).await?;
        match (row, number) {
            (Some(row), _) => Version::of(row),
            (None, None | Some(0)) => Ok(Version::defaults()),
            (None, Some(number)) => Err(Error::NoVersion(number)),
        }
    }

    /// The newest versions, newest first.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub async fn versions(&self, limit: u32) -> Result<Vec<Version>, Error> {
        let rows = self.store.read().await?.settings_versions(limit).await?;
        rows.into_iter().map(Version::of).collect()
    }

    /// Makes a new version out of the one in force; `expected` is its number, or 0 for whichever it is. A
    /// dry run only says what would change. Where nothing changes, there is no new version.
    ///
    /// # Errors
    /// When another version is in force, or the new one makes no sense; then nothing changed.
    pub async fn change(
        &self,
        who: &str,
        expected: Option<u64>,
        dry_run: bool,
        new: impl FnOnce(&Settings, &Sites) -> Result<Settings, Error>,
    ) -> Result<Outcome, Error> {
        let _turn = self.changing.lock().await;
        let held = self.version(None).await?;
        if let Some(expected) = expected
            && expected != held.number
        {
            return Err(Error::Conflict {
                held: held.number,
                expected,
            });
        }
        let sites = self.sites.read().await?;
        let settings = new(&held.settings, &sites)?;
        settings
            .check()
            .map_err(|error| Error::Refused(error.to_string()))?;
        if let Some(proxy) = proxy_of(&settings.proxy, SecretString::default()) {
            proxy
                .check()
                .map_err(|error| Error::Refused(error.to_string()))?;
        }
        settings
            .check_new_rules(&held.settings)
            .map_err(|error| Error::Refused(error.to_string()))?;
        let changes = difference(&held.settings, &settings);
        let concerns_sites = |change: &Change| {
            let sections = ["languages.", "content.", "site."];
            sections
                .iter()
                .any(|section| change.name.starts_with(section))
        };
        if changes.iter().any(concerns_sites) {
            // The first settings name sites that are invited later.
            let is_first = who == FIRST && held.number == 0;
            let before = if is_first { &settings } else { &held.settings };
            settings
                .check_sites(before, &sites)
                .map_err(|error| Error::Refused(error.to_string()))?;
        }
        let fixed = |change: &&Change| self.fixed.names().contains(&change.name.as_str());
        if let Some(change) = changes.iter().find(fixed) {
            return Err(Error::Refused(format!(
                "the setting {}: the synchronization source of this site is decided by upstream on its \
                 command line, in its environment or in its settings file; take that out first",
                change.name
            )));
        }
        let mut outcome = Outcome {
            version: held.number,
            consequences: settings::consequence::of(&changes, &settings),
            changes,
            settings: settings.clone(),
        };
        if outcome.changes.is_empty() || dry_run {
            return Ok(outcome);
        }
        outcome.version += 1;
        let row = SettingsRow {
            version: outcome.version,
            time: self.ambient.now(),
            who: who.to_owned(),
            document: settings.to_json(),
        };
        let version = Version::of(row.clone())?;
        let roll_out = self.sites.roll_out(&version, &sites);
        let content = content_of(&roll_out)?;
        let decisions = self.decisions.get();
        let mut tx = match decisions {
            Some(decisions) => {
                decisions.settle().await?;
                decisions.begin().await?
            }
            None => self.store.begin().await?,
        };
        let newest = tx.settings().await?.map_or(0, |row| row.version);
        if newest != held.number {
            return Err(Error::Conflict {
                held: newest,
                expected: held.number,
            });
        }
        tx.add_settings(&row).await?;
        let inserts = vec![
            outcome.version.to_string(),
            who.to_owned(),
            in_words(&outcome.changes, outcome.version),
        ];
        let message = vec![(StatusId::SettingsChanged, inserts)];
        let recorded = self.journal.record_within(&mut tx, message).await?;
        match decisions {
            Some(decisions) => {
                decisions::put(&mut tx, vec![item(content)], self.ambient.now()).await?;
                decisions.finish(tx).await?;
            }
            None => tx.commit().await?,
        }
        self.tell(settings);
        self.tell_roll_out(roll_out);
        self.journal.tell(recorded);
        Ok(outcome)
    }
}

fn content_of(roll_out: &RollOut) -> Result<Vec<u8>, Error> {
    let content = roll_out.to_content();
    content.map_err(|error| Error::Refused(format!("the settings cannot travel: {error}")))
}

fn item(content: Vec<u8>) -> ItemChange {
    ItemChange::Put {
        key: ItemKey::Settings,
        content,
    }
}

/// Longest form of one change in a status message, in characters: a list or a certificate may be long.
const MOST_CHANGE: usize = 200;

/// The changes of a version in one text that fits into a status message. Where it is cut it says what shows all.
fn in_words(changes: &[Change], version: u64) -> String {
    let shows_all = format!(
        "; headwater settings diff {} {version} shows all",
        version.saturating_sub(1)
    );
    let mut text = String::new();
    let mut is_cut = false;
    for (number, change) in changes.iter().enumerate() {
        let whole = change.to_string();
        let mut change: String = whole.chars().take(MOST_CHANGE).collect();
        if change.len() < whole.len() {
            change.push('…');
            is_cut = true;
        }
        if text.len() + change.len() + 40 + shows_all.len() > MAX_INSERT {
            text.push_str(&format!(" and {} more", changes.len() - number));
            is_cut = true;
            break;
        }
        if number > 0 {
            text.push_str("; ");
        }
        text.push_str(&change);
    }
    if is_cut {
        text.push_str(&shows_all);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, new: &str) -> Change {
        Change {
            name: name.to_owned(),
            old: None,
            new: Some(new.into()),
        }
    }

    #[test]
    fn a_message_that_does_not_tell_all_of_a_change_says_what_does() {
        let short = [change("proxy.host", "a"), change("proxy.user", "b")];
        assert_eq!(in_words(&short, 7), "proxy.host: - → a; proxy.user: - → b");

        let long = [
            change("source.ca-pem", &"x".repeat(900)),
            change("proxy.user", "b"),
        ];
        let cut = format!("source.ca-pem: - → {}…", "x".repeat(181));
        assert_eq!(
            in_words(&long, 7),
            format!("{cut}; proxy.user: - → b; headwater settings diff 6 7 shows all")
        );

        // Letters of several bytes, as many changes as there can be.
        let many = vec![change("site.SE1.update-files", &"ä".repeat(300)); 500];
        let told = in_words(&many, u64::MAX);
        assert!(told.len() <= MAX_INSERT, "{}", told.len());
        let end = format!(
            " more; headwater settings diff {} {} shows all",
            u64::MAX - 1,
            u64::MAX
        );
        assert!(told.ends_with(&end), "{told}");
    }
}
