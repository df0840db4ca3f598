//! The settings of a central site: those of every site, and its own.

use anyhow::{Context as _, bail};
use catalog::{PointId, SiteKind};
use daemon::config::Period;
use link::settings::{self, SiteFlags, SiteSettings};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wsus::client::Exchange;

/// Address to listen on unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8540";

/// Run the central site, or a stand-alone primary site: the top of a hierarchy.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Command {
    /// What every site has.
    #[command(flatten)]
    pub site: SiteFlags,
    /// Kind of the site: central, or primary for a stand-alone primary site, which has secondary sites only
    /// [default: central]
    #[arg(long, env = "HEADWATER_SITE_KIND", value_name = "KIND")]
    pub site_kind: Option<SiteKind>,
    /// Synchronization source: URL of Microsoft Update or a WSUS server; without it the settings decide
    #[arg(long, env = "HEADWATER_UPSTREAM", value_name = "URL")]
    pub upstream: Option<String>,
    /// PEM file with the certificate authority of the synchronization source; Microsoft Update needs
    /// "Microsoft Root Certificate Authority 2011"
    #[arg(long, env = "HEADWATER_UPSTREAM_CA_FILE", value_name = "FILE")]
    pub upstream_ca_file: Option<PathBuf>,
    /// Settings of the hierarchy when it is new (TOML); later they are made with headwater settings
    #[arg(long, env = "HEADWATER_FIRST_SETTINGS", value_name = "FILE")]
    pub first_settings: Option<PathBuf>,
    /// Requests to the synchronization source at the same time, 1 to 16 [default: 4]
    #[arg(long, env = "HEADWATER_UPSTREAM_PARALLEL", value_name = "N")]
    pub upstream_parallel: Option<usize>,
    /// Names and addresses under which people reach this site, for its certificate
    #[arg(
        long,
        env = "HEADWATER_NAMES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub names: Option<Vec<String>>,
    /// How long a signed catalog is good before a child warns that it may be cut off [default: 7d]
    #[arg(
        long,
        env = "HEADWATER_STATEMENT_VALIDITY",
        value_name = "TIME",
        help_heading = "Trust"
    )]
    pub statement_validity: Option<Period>,
    /// How long the certificates of sites are valid; they renew themselves [default: 30d]
    #[arg(
        long,
        env = "HEADWATER_CERTIFICATE_VALIDITY",
        value_name = "TIME",
        help_heading = "Trust"
    )]
    pub certificate_validity: Option<Period>,
}

/// The settings of a central site.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What every site has.
    pub site: SiteSettings,
    /// Code of the site.
    pub site_code: PointId,
    /// Its kind: central, or primary for a stand-alone primary site.
    pub site_kind: SiteKind,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The synchronization source, where the process decides it and not the settings of the hierarchy.
    pub upstream: Option<Upstream>,
    /// How update files are fetched, where that is not over the machine's network.
    pub files: Option<Arc<dyn content::source::Source>>,
    /// Settings of the hierarchy when it is new.
    pub first: Option<FirstSettings>,
    /// Names and addresses under which people reach the site.
    pub names: Vec<String>,
    /// How long a statement is good before a child warns that it may be cut off.
    pub statement_validity: Duration,
    /// How long the certificates of sites are valid.
    pub certificate_validity: Duration,
}

/// Settings of a hierarchy that is new.
#[derive(Debug, Clone)]
pub enum FirstSettings {
    /// These.
    Document(Box<::settings::Settings>),
    /// Those of a TOML file. It is read when they are needed, and may be gone later.
    File(PathBuf),
}

impl FirstSettings {
    /// The document.
    ///
    /// # Errors
    /// When the file cannot be read, or what it says makes no sense.
    pub fn read(self) -> anyhow::Result<::settings::Settings> {
        let settings = match self {
            Self::Document(settings) => *settings,
            Self::File(path) => daemon::config::read::<::settings::Settings>(&path)?,
        };
        settings.check()?;
        Ok(settings)
    }
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
    /// How it is reached, where that is not over the machine's network.
    pub exchange: Option<Arc<dyn Exchange>>,
}

const PARALLEL: std::ops::RangeInclusive<usize> = 1..=16;
const DEFAULT_PARALLEL: usize = 4;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest time that statements and certificates may be good for.
const SHORTEST: Duration = Duration::from_secs(60);

impl Settings {
    /// The settings that the command line, the environment and the file add up to.
    ///
    /// # Errors
    /// When one of them is not usable; the error names it.
    pub fn load(command: Command) -> anyhow::Result<Self> {
        let (site, file) = settings::load(&command.site)?;
        file.refuse_child_keys()?;
        let Some(site_code) = site.site_code else {
            bail!("name the site with --site-code, for instance --site-code CAS");
        };
        if site_code.number() != 1 {
            bail!(
                "the setting site-code is {site_code}: a top-level site has one software update point, {}",
                site_code.site()
            );
        }
        let in_file = file.site_kind.as_deref().map(str::parse).transpose();
        let site_kind = command
            .site_kind
            .or(in_file.context("the setting site-kind")?)
            .unwrap_or(SiteKind::Central);
        if site_kind == SiteKind::Secondary {
            bail!(
                "the setting site-kind is secondary: a secondary site has a parent, start it with headwater \
                 agent"
            );
        }
        let listen = match site.listen {
            Some(listen) => listen,
            None => DEFAULT_LISTEN.parse().context("the default address")?,
        };
        let ca_file = command
            .upstream_ca_file
            .or_else(|| settings::resolve(file.upstream_ca_file.as_ref(), &command.site));
        let ca_file_pem = ca_file
            .map(|path| {
                std::fs::read(&path)
                    .with_context(|| format!("the setting upstream-ca-file, {}", path.display()))
            })
            .transpose()?;
        let parallel = command.upstream_parallel.or(file.upstream_parallel);
        let given_parallel = parallel.is_some();
        let parallel = parallel.unwrap_or(DEFAULT_PARALLEL);
        if !PARALLEL.contains(&parallel) {
            bail!("the setting upstream-parallel is {parallel}: use 1 to 16");
        }
        let upstream = command.upstream.or(file.upstream);
        if upstream.is_none() && (ca_file_pem.is_some() || given_parallel) {
            bail!(
                "the settings upstream-ca-file and upstream-parallel belong to upstream, which is not set: \
                 use source.ca-pem and source.parallel-requests (headwater settings set)"
            );
        }
        let upstream = upstream.map(|url| Upstream {
            url,
            ca_file_pem,
            parallel,
            exchange: None,
        });
        let first = command
            .first_settings
            .or_else(|| settings::resolve(file.first_settings.as_ref(), &command.site))
            .map(FirstSettings::File);
        let validity = |name, flag: Option<Period>, file: Option<Period>, default| {
            let validity = flag.or(file).map_or(default, |period| period.0);
            if validity < SHORTEST {
                bail!("the setting {name} is too short: use a minute or more");
            }
            Ok(validity)
        };
        Ok(Self {
            statement_validity: validity(
                "statement-validity",
                command.statement_validity,
                file.statement_validity,
                7 * DAY,
            )?,
            certificate_validity: validity(
                "certificate-validity",
                command.certificate_validity,
                file.certificate_validity,
                30 * DAY,
            )?,
            site,
            site_code,
            site_kind,
            listen,
            upstream,
            files: None,
            first,
            names: command.names.or(file.names).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_central_site_needs_a_code_and_nothing_else() {
        let error = Settings::load(Command::default()).unwrap_err();
        assert!(error.to_string().contains("--site-code"), "{error}");
        let command = Command {
            site: SiteFlags {
                site_code: Some("CAS".parse().unwrap()),
                ..SiteFlags::default()
            },
            ..Command::default()
        };
        let settings = Settings::load(command).unwrap();
        assert!(settings.upstream.is_none());
        assert_eq!(settings.listen.to_string(), DEFAULT_LISTEN);
    }

    #[test]
    fn a_top_level_site_is_central_or_primary() {
        let of_kind = |site_kind| {
            Settings::load(Command {
                site: SiteFlags {
                    site_code: Some("PR1".parse().unwrap()),
                    ..SiteFlags::default()
                },
                site_kind,
                ..Command::default()
            })
        };
        assert_eq!(of_kind(None).unwrap().site_kind, SiteKind::Central);
        let primary = of_kind(Some(SiteKind::Primary)).unwrap();
        assert_eq!(primary.site_kind, SiteKind::Primary);
        let error = of_kind(Some(SiteKind::Secondary)).unwrap_err().to_string();
        assert!(error.contains("headwater agent"), "{error}");
    }

    #[test]
    fn limits_are_named_with_the_setting() {
        let command = Command {
            site: SiteFlags {
                site_code: Some("CAS".parse().unwrap()),
                ..SiteFlags::default()
            },
            upstream_parallel: Some(99),
            ..Command::default()
        };
        let error = Settings::load(command).unwrap_err().to_string();
        assert!(error.contains("upstream-parallel"), "{error}");
    }
}
