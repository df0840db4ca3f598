//! The settings that every site has: flags, environment variables and a TOML file, in this order of
//! precedence, into final types before anything starts.
//!
//! One file format serves all kinds of sites; a key that means nothing for the kind is refused.

mod content;

pub use content::{Bucket, ContentFlags, ContentStore};
pub mod wsus;

use anyhow::{Context as _, bail};
use catalog::PointId;
use catalog::language::Language;
use daemon::config::{self, ByteSize, ConfigPath, Period, Secret};
use daemon::telemetry::{self, Format};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Location, PostgresUrl};
use sync::EngineSettings;
use wsus::{WsusFile, WsusFlags, WsusSettings};

/// How long removals stay in the log unless told otherwise: 90 days.
const TOMBSTONES_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The flags that every site has.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SiteFlags {
    /// Settings file (TOML)
    #[arg(long, env = "HEADWATER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Code of this site: three characters, A-Z and 0-9
    #[arg(long, env = "HEADWATER_SITE_CODE", value_name = "CODE")]
    pub site_code: Option<PointId>,
    /// Directory for the database, keys and logs
    #[arg(long, env = "HEADWATER_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address to listen on, for child sites and administrators
    #[arg(long, env = "HEADWATER_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Locale of this server, such as de-DE: what the language setting "server-locale" means here
    /// [default: the system's]
    #[arg(long, env = "HEADWATER_LOCALE", value_name = "LOCALE")]
    pub locale: Option<String>,
    /// Address under which other sites reach this one, where that is not the one it listens on or the machine's
    /// name
    #[arg(long, env = "HEADWATER_ADVERTISE", value_name = "URL")]
    pub advertise: Option<String>,
    /// PostgreSQL database in place of SQLite in the data directory. A password in it shows in process
    /// lists: prefer the variable or --database-file
    #[arg(
        long,
        env = "HEADWATER_DATABASE",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Database"
    )]
    pub database: Option<String>,
    /// File that holds the URL of the PostgreSQL database
    #[arg(
        long,
        env = "HEADWATER_DATABASE_FILE",
        value_name = "FILE",
        help_heading = "Database"
    )]
    pub database_file: Option<PathBuf>,
    /// How long removed updates stay known to sites that were away [default: 90d]
    #[arg(
        long,
        env = "HEADWATER_TOMBSTONES_KEPT",
        value_name = "TIME",
        help_heading = "Database"
    )]
    pub tombstones_kept: Option<Period>,
    /// Wait after a first failed run; doubles with each further one [default: as the settings of the hierarchy
    /// say, failures.retry-first-seconds]
    #[arg(
        long,
        env = "HEADWATER_RETRY_FIRST",
        value_name = "TIME",
        help_heading = "Pace"
    )]
    pub retry_first: Option<Period>,
    /// Longest wait between failed runs [default: as the settings of the hierarchy say,
    /// failures.retry-most-minutes]
    #[arg(
        long,
        env = "HEADWATER_RETRY_MOST",
        value_name = "TIME",
        help_heading = "Pace"
    )]
    pub retry_most: Option<Period>,
    /// Size at which wsyncmgr.log is turned over [default: 2560KiB]
    #[arg(
        long,
        env = "HEADWATER_MAX_LOG_SIZE",
        value_name = "SIZE",
        help_heading = "Log"
    )]
    pub max_log_size: Option<ByteSize>,
    /// Write wsyncmgr.jsonl beside wsyncmgr.log: one JSON object a line
    #[arg(long, env = "HEADWATER_JSON_LOG", help_heading = "Log")]
    pub json_log: bool,
    /// What the process tells on stderr: a level, or levels by part, such as info,link=debug [default: info]
    #[arg(
        long,
        env = "HEADWATER_LOG",
        value_name = "FILTER",
        help_heading = "Log"
    )]
    pub log: Option<String>,
    /// How it tells it: human or json [default: human]
    #[arg(long, env = "HEADWATER_LOG_FORMAT", value_name = "FORMAT", value_parser = format, help_heading = "Log")]
    pub log_format: Option<Format>,
    /// Serving WSUS servers.
    #[command(flatten)]
    pub wsus: WsusFlags,
    /// OTLP collector (gRPC) for traces, such as http://127.0.0.1:4317; off unless given
    #[arg(
        long,
        env = "HEADWATER_OTLP_ENDPOINT",
        value_name = "URL",
        help_heading = "Log"
    )]
    pub otlp_endpoint: Option<String>,
    /// Where content files are kept.
    #[command(flatten)]
    pub content: ContentFlags,
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "human" => Ok(Format::Human),
        "json" => Ok(Format::Json),
        _ => Err("use human or json".to_owned()),
    }
}

/// The settings file of a site. Keys have the names of the flags.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SiteFile {
    site_code: Option<String>,
    data_dir: Option<ConfigPath>,
    listen: Option<SocketAddr>,
    locale: Option<String>,
    advertise: Option<String>,
    database: Option<Secret>,
    database_file: Option<ConfigPath>,
    tombstones_kept: Option<Period>,
    retry_first: Option<Period>,
    retry_most: Option<Period>,
    max_log_size: Option<ByteSize>,
    json_log: bool,
    content_store: Option<String>,
    content_store_endpoint: Option<String>,
    content_store_region: Option<String>,
    content_store_key_file: Option<ConfigPath>,
    telemetry: telemetry::Settings,
    wsus: WsusFile,
    /// Top-level site: its kind.
    pub site_kind: Option<String>,
    /// Central site: the synchronization source.
    pub upstream: Option<String>,
    /// Central site: its certificate authority.
    pub upstream_ca_file: Option<ConfigPath>,
    /// Central site: settings of the hierarchy when it is new.
    pub first_settings: Option<ConfigPath>,
    /// Central site: requests to it at the same time.
    pub upstream_parallel: Option<usize>,
    /// Central site: names and addresses under which people reach it.
    pub names: Option<Vec<String>>,
    /// Central site: how long a statement is good.
    pub statement_validity: Option<Period>,
    /// Central site: how long certificates of sites are valid.
    pub certificate_validity: Option<Period>,
    /// Child site: the parent's address.
    pub parent: Option<String>,
    /// Child site: the file that holds the join token.
    pub join_token_file: Option<ConfigPath>,
    /// Child site: the slow poll.
    pub poll: Option<Period>,
}

impl SiteFile {
    /// Refuses keys that mean nothing for a central site.
    ///
    /// # Errors
    /// Names the key.
    pub fn refuse_child_keys(&self) -> anyhow::Result<()> {
        refuse(
            &[
                ("parent", self.parent.is_some()),
                ("join-token-file", self.join_token_file.is_some()),
                ("poll", self.poll.is_some()),
            ],
            "a central site has no parent",
        )
    }

    /// Refuses keys that mean nothing for a child site.
    ///
    /// # Errors
    /// Names the key.
    pub fn refuse_central_keys(&self) -> anyhow::Result<()> {
        refuse(
            &[
                ("site-kind", self.site_kind.is_some()),
                ("upstream", self.upstream.is_some()),
                ("upstream-ca-file", self.upstream_ca_file.is_some()),
                ("upstream-parallel", self.upstream_parallel.is_some()),
                ("first-settings", self.first_settings.is_some()),
                ("names", self.names.is_some()),
                ("statement-validity", self.statement_validity.is_some()),
                ("certificate-validity", self.certificate_validity.is_some()),
            ],
            "that is for the central site to decide",
        )
    }
}

fn refuse(keys: &[(&str, bool)], why: &str) -> anyhow::Result<()> {
    match keys.iter().find(|(_, given)| *given) {
        Some((key, _)) => bail!("the key {key} of the settings file is not for this site: {why}"),
        None => Ok(()),
    }
}

/// The settings that every site has, in their final types.
#[derive(Debug, Clone)]
pub struct SiteSettings {
    /// Code of the site, where it was given.
    pub site_code: Option<PointId>,
    /// Directory for the database, keys and logs.
    pub data_dir: PathBuf,
    /// Where the database is.
    pub database: Location,
    /// Address to listen on, where one was given.
    pub listen: Option<SocketAddr>,
    /// Language of this server's locale; none where WSUS has none for it.
    pub locale: Option<Language>,
    /// Address under which other sites reach this one, where it was given.
    pub advertise: Option<String>,
    /// How runs are paced.
    pub engine: EngineSettings,
    /// How long removals stay in the log.
    pub tombstones_kept: Duration,
    /// Size at which `wsyncmgr.log` is turned over, in bytes.
    pub max_log_bytes: u64,
    /// Whether logs are written as JSON lines, too.
    pub json_log: bool,
    /// Where content files are kept.
    pub content: ContentStore,
    /// What is told on stderr, and where traces go.
    pub telemetry: telemetry::Settings,
    /// How WSUS servers are served; none where they are not.
    pub wsus: Option<WsusSettings>,
}

/// A setting of a file, relative to the file's folder.
pub fn resolve(file: Option<&ConfigPath>, flags: &SiteFlags) -> Option<PathBuf> {
    file.map(|path| path.resolve(flags.config.as_deref().unwrap_or(Path::new(""))))
}

/// The settings that flags, environment and file add up to, and the file for what only some sites have.
///
/// # Errors
/// When one of them is not usable; the error names it.
pub fn load(flags: &SiteFlags) -> anyhow::Result<(SiteSettings, SiteFile)> {
    let file: SiteFile = match &flags.config {
        Some(path) => config::read(path)?,
        None => SiteFile::default(),
    };
    let site_code = match (flags.site_code, &file.site_code) {
        (Some(code), _) => Some(code),
        (None, Some(text)) => Some(text.parse().context("the setting site-code")?),
        (None, None) => None,
    };
    let data_dir = flags
        .data_dir
        .clone()
        .or_else(|| resolve(file.data_dir.as_ref(), flags))
        .unwrap_or_else(daemon::paths::default_data_dir);
    let database = match database(flags, &file)? {
        Some(url) => Location::Postgres(PostgresUrl::new(url.expose_secret().trim())?),
        None => Location::Directory(data_dir.clone()),
    };
    let given = |flag: Option<Period>, file: Option<Period>| flag.or(file).map(|period| period.0);
    let mut telemetry = file.telemetry.clone();
    if let Some(filter) = &flags.log {
        telemetry.filter.clone_from(filter);
    }
    if let Some(format) = flags.log_format {
        telemetry.format = format;
    }
    if flags.otlp_endpoint.is_some() {
        telemetry.otlp_endpoint.clone_from(&flags.otlp_endpoint);
    }
    let max_log_bytes = flags
        .max_log_size
        .or(file.max_log_size)
        .map_or(journal::log_file::DEFAULT_MAX_BYTES, |size| size.0);
    let advertise = flags.advertise.clone().or_else(|| file.advertise.clone());
    if let Some(url) = &advertise {
        crate::dial::host_and_port(url).context("the setting advertise")?;
        if !crate::address::usable(url) {
            bail!(
                "the setting advertise is longer than {} bytes",
                crate::address::MAX_URL
            );
        }
    }
    let settings = SiteSettings {
        content: ContentStore::load(flags, &file, &data_dir)?,
        site_code,
        data_dir,
        database,
        listen: flags.listen.or(file.listen),
        locale: match flags.locale.as_ref().or(file.locale.as_ref()) {
            Some(locale) => Some(language_of(locale)?),
            None => Language::of_locale(&daemon::locale::of_process()),
        },
        advertise,
        engine: EngineSettings {
            retry_first: given(flags.retry_first, file.retry_first),
            retry_most: given(flags.retry_most, file.retry_most),
            poll: None,
        },
        tombstones_kept: given(flags.tombstones_kept, file.tombstones_kept)
            .unwrap_or(TOMBSTONES_KEPT),
        max_log_bytes,
        json_log: flags.json_log || file.json_log,
        telemetry,
        wsus: wsus::load(&flags.wsus, &file.wsus, flags.config.as_deref())?,
    };
    Ok((settings, file))
}

/// The language of a locale that somebody named.
fn language_of(locale: &str) -> anyhow::Result<Language> {
    Language::of_locale(locale).with_context(|| {
        let shown: String = locale.chars().take(32).collect();
        format!("the setting locale: WSUS has no language for {shown:?}; write it like de-DE")
    })
}

/// The URL of the database, where it is not SQLite in the data directory.
fn database(flags: &SiteFlags, file: &SiteFile) -> anyhow::Result<Option<SecretString>> {
    let from_file = |path: PathBuf| {
        Secret::File(ConfigPath::new(path))
            .load(Path::new(""))
            .map(Some)
            .context("the setting database-file")
    };
    if let Some(url) = &flags.database {
        return Ok(Some(SecretString::from(url.clone())));
    }
    if let Some(path) = &flags.database_file {
        return from_file(path.clone());
    }
    if let Some(secret) = &file.database {
        let base = flags.config.as_deref().unwrap_or(Path::new(""));
        return secret.load(base).map(Some).context("the setting database");
    }
    match resolve(file.database_file.as_ref(), flags) {
        Some(path) => from_file(path),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> (tempfile::TempDir, SiteFlags) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.toml");
        std::fs::write(&path, text).unwrap();
        let flags = SiteFlags {
            config: Some(path),
            ..SiteFlags::default()
        };
        (directory, flags)
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let (directory, mut flags) = flags(
            "site-code = 'CAS'\nlisten = '127.0.0.1:1'\ndata-dir = 'data'\nretry-first = '1m'\n",
        );
        flags.listen = Some("127.0.0.1:2".parse().unwrap());
        flags.retry_first = Some("2m".parse().unwrap());
        let (settings, _) = load(&flags).unwrap();
        assert_eq!(settings.listen.unwrap().port(), 2);
        assert_eq!(settings.engine.retry_first, Some(Duration::from_secs(120)));
        // What is not given is for the settings of the hierarchy to say.
        assert_eq!(settings.engine.retry_most, None);
        assert_eq!(settings.site_code.unwrap().to_string(), "CAS");
        assert_eq!(settings.data_dir, directory.path().join("data"));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_and_line() {
        let (_directory, flags) = flags("site-code = 'CAS'\nupstraem = 'http://x'\n");
        let error = format!("{:#}", load(&flags).unwrap_err());
        assert!(
            error.contains(":2:") && error.contains("upstraem"),
            "{error}"
        );
    }

    #[test]
    fn a_key_of_another_kind_of_site_is_refused_by_name() {
        let (_directory, flags) = flags("parent = 'https://cas:8540'\n");
        let (_, file) = load(&flags).unwrap();
        let error = file.refuse_child_keys().unwrap_err().to_string();
        assert!(error.contains("parent"), "{error}");
        assert!(file.refuse_central_keys().is_ok());
    }

    #[test]
    fn a_database_password_is_shown_nowhere() {
        let (_directory, flags) = flags("database = 'postgres://u:hunter2@h/d'\n");
        let (settings, file) = load(&flags).unwrap();
        assert!(matches!(settings.database, Location::Postgres(_)));
        assert!(!format!("{settings:?} {file:?}").contains("hunter2"));
    }
}
