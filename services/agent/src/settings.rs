//! The settings of a child site: flags, environment variables and a TOML file, in this order of
//! precedence, into final types before anything starts.

use anyhow::{Context as _, bail};
use catalog::SiteCode;
use daemon::config::{self, ByteSize, ConfigPath, Period, Secret};
use daemon::telemetry;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Location, PostgresUrl};
use sync::EngineSettings;

/// Run a child site: a primary site below the central site, or a secondary site below a primary.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Command {
    /// Settings file (TOML)
    #[arg(long, env = "HEADWATER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Code of this site; the join token names it too, and they have to agree
    #[arg(long, env = "HEADWATER_SITE_CODE", value_name = "CODE")]
    pub site_code: Option<SiteCode>,
    /// Directory for the database, keys and logs
    #[arg(long, env = "HEADWATER_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the parent site
    #[arg(long, env = "HEADWATER_PARENT", value_name = "URL")]
    pub parent: Option<String>,
    /// Address to listen on, for child sites; a site without children needs none
    #[arg(long, env = "HEADWATER_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// One-time token from "headwater site token", for the first start; shows in process lists, so
    /// prefer the environment variable or --join-token-file
    #[arg(
        long,
        env = "HEADWATER_JOIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub join_token: Option<String>,
    /// File that holds the join token
    #[arg(long, env = "HEADWATER_JOIN_TOKEN_FILE", value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,
    /// What to log: a level, or levels by part, such as info,link=debug [default: info]
    #[arg(long, env = "HEADWATER_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    site_code: Option<String>,
    data_dir: Option<ConfigPath>,
    parent: Option<String>,
    listen: Option<SocketAddr>,
    join_token_file: Option<ConfigPath>,
    /// A `postgres://` URL in place of the SQLite database in the data directory.
    database: Option<Secret>,
    retry_first: Option<Period>,
    retry_most: Option<Period>,
    poll: Option<Period>,
    tombstones_kept: Option<Period>,
    max_log_size: Option<ByteSize>,
    telemetry: telemetry::Settings,
}

/// The settings of a child site.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Code of the site, where it was given.
    pub site_code: Option<SiteCode>,
    /// Directory for the database, keys and logs.
    pub data_dir: PathBuf,
    /// Where the database is.
    pub database: Location,
    /// Address of the parent.
    pub parent: String,
    /// Address to listen on, if children shall attach.
    pub listen: Option<SocketAddr>,
    /// The join token, for the first start.
    pub join_token: Option<SecretString>,
    /// How runs are paced.
    pub engine: EngineSettings,
    /// How long removals stay in the log.
    pub tombstones_kept: Duration,
    /// Size at which `wsyncmgr.log` is turned over, in bytes.
    pub max_log_bytes: u64,
    /// What is logged, and where traces go.
    pub telemetry: telemetry::Settings,
}

/// How long a site waits for a reason to look at its parent before it looks by itself.
const POLL: Duration = Duration::from_secs(15 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Settings {
    /// The settings that the command line, the environment and the file add up to.
    ///
    /// # Errors
    /// When one of them is not usable; the error names it.
    pub fn load(command: Command) -> anyhow::Result<Self> {
        let path = command.config.clone();
        let file: File = match &path {
            Some(path) => config::read(path)?,
            None => File::default(),
        };
        let base = path.as_deref().unwrap_or(Path::new(""));
        let site_code = match (command.site_code, &file.site_code) {
            (Some(code), _) => Some(code),
            (None, Some(text)) => Some(text.parse().context("the setting site-code")?),
            (None, None) => None,
        };
        let data_dir = command
            .data_dir
            .or_else(|| file.data_dir.map(|path| path.resolve(base)))
            .unwrap_or_else(daemon::paths::default_data_dir);
        let database = match &file.database {
            Some(secret) => {
                let url = secret.load(base).context("the setting database")?;
                Location::Postgres(PostgresUrl::new(url.expose_secret().trim())?)
            }
            None => Location::Directory(data_dir.clone()),
        };
        let Some(parent) = command.parent.or(file.parent) else {
            bail!("name the parent with --parent, for instance --parent https://cas.example:8540");
        };
        link::dial::host_and_port(&parent).context("the setting parent")?;
        let token_file = command
            .join_token_file
            .or_else(|| file.join_token_file.map(|path| path.resolve(base)));
        let join_token = match (command.join_token, token_file) {
            (Some(token), _) => Some(SecretString::from(token)),
            (None, Some(path)) => read_token(&path)?,
            (None, None) => None,
        };
        let defaults = EngineSettings::default();
        let period = |setting: Option<Period>, default| setting.map_or(default, |period| period.0);
        let mut telemetry = file.telemetry;
        if let Some(filter) = command.log {
            telemetry.filter = filter;
        }
        Ok(Self {
            site_code,
            data_dir,
            database,
            parent,
            listen: command.listen.or(file.listen),
            join_token,
            engine: EngineSettings {
                retry_first: period(file.retry_first, defaults.retry_first),
                retry_most: period(file.retry_most, defaults.retry_most),
                poll: Some(period(file.poll, POLL)),
            },
            tombstones_kept: period(file.tombstones_kept, 90 * DAY),
            max_log_bytes: file
                .max_log_size
                .map_or(journal::log_file::DEFAULT_MAX_BYTES, |size| size.0),
            telemetry,
        })
    }
}

/// The token of a file. A file that is gone is no failure: a site that joined needs it no more.
fn read_token(path: &Path) -> anyhow::Result<Option<SecretString>> {
    let text = daemon::secret_file::read(path).context("the setting join-token-file")?;
    Ok(text.map(|text| SecretString::from(text.trim().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_parent_is_refused() {
        let command = Command {
            parent: Some("http://cas:8540".into()),
            ..Command::default()
        };
        let error = format!("{:#}", Settings::load(command).unwrap_err());
        assert!(error.contains("TLS only"), "{error}");
    }

    #[test]
    fn a_join_token_is_shown_nowhere() {
        let command = Command {
            parent: Some("https://cas:8540".into()),
            join_token: Some("hwj1.hunter2".into()),
            ..Command::default()
        };
        let settings = Settings::load(command).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn the_parent_has_to_be_named() {
        let error = Settings::load(Command::default()).unwrap_err();
        assert!(error.to_string().contains("--parent"), "{error}");
    }
}
