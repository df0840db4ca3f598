//! Whether and how a site serves WSUS servers: flags, and the table `[wsus]` of the settings file.

use anyhow::{Context as _, bail};
use daemon::config::ConfigPath;
use ipnet::IpNet;
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use uuid::Uuid;

/// Requests of one client in a second, unless told otherwise.
pub const REQUESTS_PER_SECOND: u32 = 200;
/// Requests at the same time, unless told otherwise.
pub const REQUESTS_AT_ONCE: u32 = 64;
/// Bytes that are sent to one client in a second, unless told otherwise: what a line of one gigabit carries.
pub const BYTES_PER_SECOND: u64 = 125_000_000;
/// Fewest and most bytes in a second: one piece of an answer, and more than any line carries.
const BYTES_IN_A_SECOND: std::ops::RangeInclusive<u64> = 65_536..=100_000_000_000;
/// Most entries of the list of servers.
const MAX_ALLOWED: usize = 10_000;
/// Longest name in it, in bytes.
const MAX_NAME: usize = 255;

/// The flags of a site that serves WSUS servers.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WsusFlags {
    /// Address to serve WSUS servers on over HTTP; WSUS's own port is 8530. Off unless given
    #[arg(
        long,
        env = "HEADWATER_WSUS_LISTEN",
        value_name = "ADDRESS:PORT",
        help_heading = "WSUS servers"
    )]
    pub wsus_listen: Option<SocketAddr>,
    /// Address to serve WSUS servers on over HTTPS; WSUS's own port is 8531
    #[arg(
        long,
        env = "HEADWATER_WSUS_LISTEN_TLS",
        value_name = "ADDRESS:PORT",
        help_heading = "WSUS servers"
    )]
    pub wsus_listen_tls: Option<SocketAddr>,
    /// PEM file with the certificate that WSUS servers are shown, and its chain
    #[arg(
        long,
        env = "HEADWATER_WSUS_CERTIFICATE_FILE",
        value_name = "FILE",
        help_heading = "WSUS servers"
    )]
    pub wsus_certificate_file: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(
        long,
        env = "HEADWATER_WSUS_KEY_FILE",
        value_name = "FILE",
        help_heading = "WSUS servers"
    )]
    pub wsus_key_file: Option<PathBuf>,
    /// WSUS servers that may synchronize: names, *.domains, GUIDs, networks [default: all]
    #[arg(
        long,
        env = "HEADWATER_WSUS_ALLOW",
        value_name = "SERVER",
        value_delimiter = ',',
        help_heading = "WSUS servers"
    )]
    pub wsus_allow: Option<Vec<Allowed>>,
    /// Requests of one WSUS server in a second, 1 to 100000 [default: 200]
    #[arg(
        long,
        env = "HEADWATER_WSUS_REQUESTS_PER_SECOND",
        value_name = "N",
        help_heading = "WSUS servers"
    )]
    pub wsus_requests_per_second: Option<u32>,
    /// Requests of WSUS servers at the same time, 1 to 1024 [default: 64]
    #[arg(
        long,
        env = "HEADWATER_WSUS_REQUESTS_AT_ONCE",
        value_name = "N",
        help_heading = "WSUS servers"
    )]
    pub wsus_requests_at_once: Option<u32>,
    /// Bytes sent to one WSUS server in a second, 65536 or more [default: 125000000]
    #[arg(
        long,
        env = "HEADWATER_WSUS_BYTES_PER_SECOND",
        value_name = "BYTES",
        help_heading = "WSUS servers"
    )]
    pub wsus_bytes_per_second: Option<u64>,
    /// Whether answers are packed where a WSUS server takes them so [default: true]
    #[arg(
        long,
        env = "HEADWATER_WSUS_COMPRESS",
        value_name = "BOOL",
        help_heading = "WSUS servers"
    )]
    pub wsus_compress: Option<bool>,
}

/// The table `[wsus]` of a settings file. Keys have the names of the flags without `wsus-`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct WsusFile {
    listen: Option<SocketAddr>,
    listen_tls: Option<SocketAddr>,
    certificate_file: Option<ConfigPath>,
    key_file: Option<ConfigPath>,
    allow: Option<Vec<String>>,
    requests_per_second: Option<u32>,
    requests_at_once: Option<u32>,
    bytes_per_second: Option<u64>,
    compress: Option<bool>,
}

/// How a site serves WSUS servers. At least one address is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsusSettings {
    /// Address for HTTP.
    pub listen: Option<SocketAddr>,
    /// Address for HTTPS, and what proves who listens there.
    pub tls: Option<WsusTls>,
    /// Who may synchronize; everybody where it is empty.
    pub allow: Vec<Allowed>,
    /// Requests of one client in a second.
    pub requests_per_second: u32,
    /// Requests at the same time.
    pub requests_at_once: u32,
    /// Bytes that are sent to one client in a second, files among them.
    pub bytes_per_second: u64,
    /// Whether answers are packed (gzip, xpress) for those who take them so.
    pub compress: bool,
}

/// How a site serves WSUS servers over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsusTls {
    /// The address.
    pub listen: SocketAddr,
    /// PEM file of the certificate and its chain.
    pub certificate_file: PathBuf,
    /// PEM file of its key.
    pub key_file: PathBuf,
}

/// An entry of the list of servers that may synchronize.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// The server that calls itself by this GUID.
    Id(Uuid),
    /// The server that calls itself so, in lower case.
    Name(String),
    /// Servers whose names end so, in lower case; begins with a point.
    Domain(String),
    /// Whoever calls from here.
    Network(IpNet),
}

/// The port on which servers that synchronize over HTTPS fetch files, over HTTP (MS-WSUSSS, WSUS-PROTOCOL 1.2).
pub const fn content_port(https: u16) -> u16 {
    const USUAL_HTTPS: u16 = 443;
    const USUAL_HTTP: u16 = 80;
    match https {
        USUAL_HTTPS => USUAL_HTTP,
        other => other.saturating_sub(1),
    }
}

impl Allowed {
    /// Whether it lets in who calls from `address` and says that it is `name` and `id`.
    pub fn admits(&self, id: Uuid, name: &str, address: Option<IpAddr>) -> bool {
        match self {
            Self::Id(allowed) => *allowed == id,
            Self::Name(allowed) => *allowed == name.to_lowercase(),
            Self::Domain(allowed) => name.to_lowercase().ends_with(allowed),
            Self::Network(allowed) => {
                address.is_some_and(|address| allowed.contains(&address.to_canonical()))
            }
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
            Self::Domain(domain) => write!(f, "*{domain}"),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

/// A text that is no entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no server: use a name (wsus.example.org), a domain (*.example.org), a GUID, an address \
     or a network (10.1.0.0/16)"
)]
pub struct AllowedError(String);

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let text = text.trim();
        if let Ok(id) = Uuid::try_parse(text) {
            return Ok(Self::Id(id));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(IpNet::from(address)));
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        let (name, domain) = match text.strip_prefix('*') {
            Some(domain) if domain.starts_with('.') => (domain.trim_start_matches('.'), true),
            Some(_) => ("", true),
            None => (text, false),
        };
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || text.len() > MAX_NAME || !name.chars().all(fits) {
            return Err(AllowedError(text.chars().take(64).collect()));
        }
        Ok(match domain {
            true => Self::Domain(format!(".{}", name.to_lowercase())),
            false => Self::Name(name.to_lowercase()),
        })
    }
}

/// What flags and file add up to; none where no address is given.
///
/// # Errors
/// When one of them is not usable; the error names it.
pub fn load(
    flags: &WsusFlags,
    file: &WsusFile,
    config: Option<&Path>,
) -> anyhow::Result<Option<WsusSettings>> {
    let path = |flag: &Option<PathBuf>, file: &Option<ConfigPath>| {
        let in_file = || {
            let path = file.as_ref()?;
            Some(path.resolve(config.unwrap_or(Path::new(""))))
        };
        flag.clone().or_else(in_file)
    };
    let certificate_file = path(&flags.wsus_certificate_file, &file.certificate_file);
    let key_file = path(&flags.wsus_key_file, &file.key_file);
    let tls = match flags.wsus_listen_tls.or(file.listen_tls) {
        Some(listen) => Some(WsusTls {
            listen,
            certificate_file: certificate_file
                .context("the setting wsus.listen-tls needs wsus.certificate-file")?,
            key_file: key_file.context("the setting wsus.listen-tls needs wsus.key-file")?,
        }),
        None if certificate_file.is_some() || key_file.is_some() => bail!(
            "the settings wsus.certificate-file and wsus.key-file belong to wsus.listen-tls, which is not set"
        ),
        None => None,
    };
    let allow = match (&flags.wsus_allow, &file.allow) {
        (Some(allow), _) => allow.clone(),
        (None, Some(texts)) => {
            let allow = texts.iter().map(|text| text.parse());
            let allow: Result<_, AllowedError> = allow.collect();
            allow.context("the setting wsus.allow")?
        }
        (None, None) => Vec::new(),
    };
    if allow.len() > MAX_ALLOWED {
        bail!(
            "the setting wsus.allow has more than {MAX_ALLOWED} entries: use networks or domains"
        );
    }
    let number = |name, flag: Option<u32>, file: Option<u32>, default, most| {
        let number = flag.or(file).unwrap_or(default);
        if !(1..=most).contains(&number) {
            bail!("the setting wsus.{name} is {number}: use 1 to {most}");
        }
        Ok(number)
    };
    let bytes = flags.wsus_bytes_per_second.or(file.bytes_per_second);
    let bytes_per_second = bytes.unwrap_or(BYTES_PER_SECOND);
    if !BYTES_IN_A_SECOND.contains(&bytes_per_second) {
        bail!(
            "the setting wsus.bytes-per-second is {bytes_per_second}: use {} to {}",
            BYTES_IN_A_SECOND.start(),
            BYTES_IN_A_SECOND.end()
        );
    }
    let settings = WsusSettings {
        listen: flags.wsus_listen.or(file.listen),
        tls,
        allow,
        requests_per_second: number(
            "requests-per-second",
            flags.wsus_requests_per_second,
            file.requests_per_second,
            REQUESTS_PER_SECOND,
            100_000,
        )?,
        requests_at_once: number(
            "requests-at-once",
            flags.wsus_requests_at_once,
            file.requests_at_once,
            REQUESTS_AT_ONCE,
            1024,
        )?,
        bytes_per_second,
        compress: flags.wsus_compress.or(file.compress).unwrap_or(true),
    };
    let serves = settings.listen.is_some() || settings.tls.is_some();
    if !serves && !settings.allow.is_empty() {
        bail!(
            "the setting wsus.allow belongs to wsus.listen or wsus.listen-tls, and neither is set"
        );
    }
    Ok(serves.then_some(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    #[track_caller]
    fn check(entry: &str, name: &str, address: &str, admitted: bool) {
        let allowed: Allowed = entry.parse().unwrap();
        let address = address.parse().unwrap();
        assert_eq!(allowed.admits(ID, name, Some(address)), admitted, "{entry}");
        assert_eq!(allowed.to_string().parse::<Allowed>().unwrap(), allowed);
    }

    #[test]
    fn a_server_is_let_in_by_what_it_says_or_where_it_calls_from() {
        check("Wsus.Example.org", "WSUS.example.ORG", "192.0.2.1", true);
        check("wsus.example.org", "wsus2.example.org", "192.0.2.1", false);
        check("*.example.org", "a.b.example.org", "192.0.2.1", true);
        check("*.example.org", "example.org", "192.0.2.1", false);
        check("*.example.org", "aexample.org", "192.0.2.1", false);
        check("192.0.2.0/24", "x", "192.0.2.200", true);
        check("192.0.2.9/24", "x", "::ffff:192.0.2.200", true);
        check("192.0.2.1", "x", "192.0.2.2", false);
        check("2001:db8::/32", "x", "2001:db8::1", true);
        check(&ID.to_string(), "x", "192.0.2.2", true);
        check(&Uuid::from_u128(8).to_string(), "x", "192.0.2.2", false);
    }

    #[test]
    fn beside_https_files_come_over_http_on_the_port_before() {
        assert_eq!([443, 8531, 1].map(content_port), [80, 8530, 0]);
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a b",
            "10.0.0.0/40",
            "http://x",
            "*example.org",
        ] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
    }

    fn of(text: &str) -> anyhow::Result<Option<WsusSettings>> {
        let file: WsusFile = daemon::config::parse(text, Path::new("site.toml"))?;
        load(
            &WsusFlags::default(),
            &file,
            Some(Path::new("/etc/h/site.toml")),
        )
    }

    #[test]
    fn nothing_is_served_unless_an_address_is_given() {
        assert_eq!(of("").unwrap(), None);
        let settings = of("listen = '0.0.0.0:8530'\nallow = ['10.0.0.0/8']").unwrap();
        let settings = settings.unwrap();
        assert_eq!(settings.requests_per_second, REQUESTS_PER_SECOND);
        assert_eq!(settings.bytes_per_second, BYTES_PER_SECOND);
        assert!(settings.compress);
        let plain = of("listen = '0.0.0.0:1'\ncompress = false").unwrap();
        assert!(!plain.unwrap().compress);
        let slow = of("listen = '0.0.0.0:1'\nbytes-per-second = 2_000_000").unwrap();
        assert_eq!(slow.unwrap().bytes_per_second, 2_000_000);
        assert_eq!(settings.allow.len(), 1);
        let tls = of("listen-tls = '0.0.0.0:8531'\ncertificate-file = 'w.pem'\nkey-file = 'k.pem'");
        let tls = tls.unwrap().unwrap().tls.unwrap();
        assert_eq!(tls.certificate_file, Path::new("/etc/h/w.pem"));
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_name() {
        for (text, named) in [
            ("listen-tls = '0.0.0.0:8531'", "certificate-file"),
            ("key-file = 'k.pem'", "listen-tls"),
            ("allow = ['a']", "wsus.allow"),
            ("listen = '0.0.0.0:1'\nallow = ['a b']", "names no server"),
            (
                "listen = '0.0.0.0:1'\nrequests-at-once = 0",
                "requests-at-once",
            ),
            (
                "listen = '0.0.0.0:1'\nbytes-per-second = 1000",
                "bytes-per-second is 1000: use 65536 to",
            ),
            ("lisen = '0.0.0.0:1'", "lisen"),
        ] {
            let error = format!("{:#}", of(text).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
