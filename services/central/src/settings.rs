//! The settings of a central site: flags, environment variables and a TOML file, in this order of
//! precedence, into final types before anything starts.

use anyhow::{Context as _, bail};
use catalog::SiteCode;
use daemon::config::{self, ByteSize, ConfigPath, Period, Secret};
use daemon::telemetry;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Location, PostgresUrl};
use sync::EngineSettings;

/// Port on which a site listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8540";

/// Run the central site: the top of a hierarchy.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Command {
    /// Settings file (TOML)
    #[arg(long, env = "HEADWATER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Code of this site: three characters, A-Z and 0-9
    #[arg(long, env = "HEADWATER_SITE_CODE", value_name = "CODE")]
    pub site_code: Option<SiteCode>,
    /// Directory for the database, keys and logs
    #[arg(long, env = "HEADWATER_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address to listen on, for child sites and administrators
    #[arg(long, env = "HEADWATER_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Synchronization source: URL of Microsoft Update or a WSUS server; without it the site is disconnected
    #[arg(long, env = "HEADWATER_UPSTREAM", value_name = "URL")]
    pub upstream: Option<String>,
    /// PEM file with the certificate authority of the synchronization source; Microsoft Update needs
    /// "Microsoft Root Certificate Authority 2011"
    #[arg(long, env = "HEADWATER_UPSTREAM_CA_FILE", value_name = "FILE")]
    pub upstream_ca_file: Option<PathBuf>,
    /// Requests to the synchronization source at the same time, 1 to 16 [default: 4]
    #[arg(long, env = "HEADWATER_UPSTREAM_PARALLEL", value_name = "N")]
    pub upstream_parallel: Option<usize>,
    /// What to log: a level, or levels by part, such as info,sync=debug [default: info]
    #[arg(long, env = "HEADWATER_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    site_code: Option<String>,
    data_dir: Option<ConfigPath>,
    listen: Option<SocketAddr>,
    upstream: Option<String>,
    upstream_ca_file: Option<ConfigPath>,
    upstream_parallel: Option<usize>,
    /// A `postgres://` URL in place of the SQLite database in the data directory.
    database: Option<Secret>,
    /// Names and addresses under which people reach the site, for its certificate.
    names: Vec<String>,
    retry_first: Option<Period>,
    retry_most: Option<Period>,
    statement_validity: Option<Period>,
    certificate_validity: Option<Period>,
    tombstones_kept: Option<Period>,
    max_log_size: Option<ByteSize>,
    telemetry: telemetry::Settings,
}

/// The settings of a central site.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Code of the site.
    pub site_code: SiteCode,
    /// Directory for the database, keys and logs.
    pub data_dir: PathBuf,
    /// Where the database is.
    pub database: Location,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The synchronization source; none for a disconnected site.
    pub upstream: Option<Upstream>,
    /// Names and addresses under which people reach the site.
    pub names: Vec<String>,
    /// How runs are paced.
    pub engine: EngineSettings,
    /// How long a statement is good before a child warns that it may be cut off.
    pub statement_validity: Duration,
    /// How long the certificates of sites are valid.
    pub certificate_validity: Duration,
    /// How long removals stay in the log.
    pub tombstones_kept: Duration,
    /// Size at which `wsyncmgr.log` is turned over, in bytes.
    pub max_log_bytes: u64,
    /// What is logged, and where traces go.
    pub telemetry: telemetry::Settings,
}

/// The synchronization source of a top-level site.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Scheme, host and port.
    pub url: String,
    /// Certificates, in PEM, to trust besides those of the system.
    pub ca_file_pem: Option<Vec<u8>>,
    /// Requests at the same time.
    pub parallel: usize,
}

const PARALLEL: std::ops::RangeInclusive<usize> = 1..=16;
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
            (Some(code), _) => code,
            (None, Some(text)) => text.parse().context("the setting site-code")?,
            (None, None) => bail!("name the site with --site-code, for instance --site-code CAS"),
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
        let listen = match command.listen.or(file.listen) {
            Some(listen) => listen,
            None => DEFAULT_LISTEN.parse().context("the default address")?,
        };
        let ca_file = command
            .upstream_ca_file
            .or_else(|| file.upstream_ca_file.map(|path| path.resolve(base)));
        let ca_file_pem = ca_file
            .map(|path| {
                std::fs::read(&path)
                    .with_context(|| format!("the setting upstream-ca-file, {}", path.display()))
            })
            .transpose()?;
        let parallel = command
            .upstream_parallel
            .or(file.upstream_parallel)
            .unwrap_or(4);
        if !PARALLEL.contains(&parallel) {
            bail!("the setting upstream-parallel is {parallel}: use 1 to 16");
        }
        let upstream = command.upstream.or(file.upstream).map(|url| Upstream {
            url,
            ca_file_pem,
            parallel,
        });
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
            listen,
            upstream,
            names: file.names,
            engine: EngineSettings {
                retry_first: period(file.retry_first, defaults.retry_first),
                retry_most: period(file.retry_most, defaults.retry_most),
                poll: None,
            },
            statement_validity: period(file.statement_validity, 7 * DAY),
            certificate_validity: period(file.certificate_validity, 30 * DAY),
            tombstones_kept: period(file.tombstones_kept, 90 * DAY),
            max_log_bytes: file
                .max_log_size
                .map_or(journal::log_file::DEFAULT_MAX_BYTES, |size| size.0),
            telemetry,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("central.toml");
        std::fs::write(&path, text).unwrap();
        (directory, path)
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let (_directory, path) =
            write("site-code = 'CAS'\nlisten = '127.0.0.1:1'\ndata-dir = 'data'\n");
        let command = Command {
            config: Some(path.clone()),
            listen: Some("127.0.0.1:2".parse().unwrap()),
            ..Command::default()
        };
        let settings = Settings::load(command).unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.site_code.to_string(), "CAS");
        assert_eq!(settings.data_dir, path.parent().unwrap().join("data"));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_and_line() {
        let (_directory, path) = write("site-code = 'CAS'\nupstraem = 'http://x'\n");
        let command = Command {
            config: Some(path),
            ..Command::default()
        };
        let error = format!("{:#}", Settings::load(command).unwrap_err());
        assert!(
            error.contains(":2:") && error.contains("upstraem"),
            "{error}"
        );
    }

    #[test]
    fn a_database_password_is_shown_nowhere() {
        let (_directory, path) =
            write("site-code = 'CAS'\ndatabase = 'postgres://u:hunter2@h/d'\n");
        let command = Command {
            config: Some(path),
            ..Command::default()
        };
        let settings = Settings::load(command).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
