//! Which server and which token: flags, then environment variables, then the settings file, then the
//! admin credential of the site on this machine.

use super::ConnectionArgs;
use daemon::config::ConfigError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use trust::{AccessToken, TokenError};

/// Name of the file in a site's data directory by which its owner uses the admin API.
pub const CREDENTIAL_FILE: &str = "admin-credential.json";
/// Largest credential, token or settings file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Why there is nobody to ask.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No credential where one was looked for.
    #[error(
        "there is no admin credential in {data_dir}: on the machine of a site that listens name its data directory with --data-dir; from another machine name the site with --server and put an access token into HEADWATER_TOKEN"
    )]
    NoCredential {
        /// Where it was looked for.
        data_dir: PathBuf,
    },
    /// The credential belongs to another user.
    #[error(
        "the admin credential {path} may be read by its owner only: run this command as the user that runs the site, or give --server and a token"
    )]
    CredentialForbidden {
        /// The file.
        path: PathBuf,
    },
    /// The settings file cannot be used.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// A file that was named cannot be read.
    #[error("the {what} {path} cannot be read")]
    Unreadable {
        /// What kind of file it is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that was named is not what it should be.
    #[error("the {what} {path} is not usable: {why}")]
    Malformed {
        /// What kind of file it is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The address is not one.
    #[error("{server:?} is not the address of a site: write it like https://cas.example.org:8540")]
    Address {
        /// What was given.
        server: String,
    },
    /// Plain text.
    #[error(
        "{server} is not encrypted: sites answer over TLS only, write https:// instead of http://"
    )]
    PlainText {
        /// What was given.
        server: String,
    },
    /// The token is not one.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Where an access token is.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// Given as it is.
    Word(SecretString),
    /// In a file.
    File(PathBuf),
}

/// What one source of settings says about the site to ask.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// Address of the site.
    pub server: Option<String>,
    /// The token.
    pub token: Option<TokenSource>,
    /// Data directory that holds an admin credential.
    pub data_dir: Option<PathBuf>,
}

/// The environment variables that the verbs look at.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `HEADWATER_SERVER`
    pub server: Option<String>,
    /// `HEADWATER_TOKEN`
    pub token: Option<SecretString>,
    /// `HEADWATER_TOKEN_FILE`
    pub token_file: Option<PathBuf>,
    /// `HEADWATER_DATA_DIR`
    pub data_dir: Option<PathBuf>,
    /// `HEADWATER_CONFIG`
    pub config: Option<PathBuf>,
}

impl Environment {
    /// The variables of this process. One that is set to nothing counts as not set.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the verbs read the environment; they get it as a value"
    )]
    pub fn of_process() -> Self {
        let text = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let path = |name| {
            std::env::var_os(name)
                .filter(|text| !text.is_empty())
                .map(PathBuf::from)
        };
        Self {
            server: text("HEADWATER_SERVER"),
            token: text("HEADWATER_TOKEN").map(SecretString::from),
            token_file: path("HEADWATER_TOKEN_FILE"),
            data_dir: path("HEADWATER_DATA_DIR"),
            config: path("HEADWATER_CONFIG"),
        }
    }
}

/// The keys of a settings file that the verbs look at. Others are let be: a site's own file
/// has many more, and it checks them.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SettingsFile {
    server: Option<String>,
    token: Option<SecretText>,
    token_file: Option<PathBuf>,
    data_dir: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct SecretText(String);

impl Layer {
    /// What the flags say.
    pub fn of_flags(flags: &ConnectionArgs) -> Self {
        let word = flags.token.clone().map(SecretString::from);
        Self {
            server: flags.server.clone(),
            token: token_source(word, flags.token_file.clone()),
            data_dir: flags.data_dir.clone(),
        }
    }

    /// What the environment says.
    pub fn of_environment(environment: &Environment) -> Self {
        Self {
            server: environment.server.clone(),
            token: token_source(environment.token.clone(), environment.token_file.clone()),
            data_dir: environment.data_dir.clone(),
        }
    }

    /// What a settings file says. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// When it cannot be read or is not TOML.
    pub fn of_file(path: &Path) -> Result<Self, Error> {
        let file: SettingsFile = daemon::config::read(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let word = file.token.map(|text| SecretString::from(text.0));
        Ok(Self {
            server: file.server,
            token: token_source(word, file.token_file.map(|path| folder.join(path))),
            data_dir: file.data_dir.map(|path| folder.join(path)),
        })
    }
}

fn token_source(word: Option<SecretString>, file: Option<PathBuf>) -> Option<TokenSource> {
    word.map(TokenSource::Word).or(file.map(TokenSource::File))
}

/// What the layers together say.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// Address, where one was named.
    pub server: Option<String>,
    /// Token, where one was named.
    pub token: Option<TokenSource>,
    /// Data directory, where one was named.
    pub data_dir: Option<PathBuf>,
}

/// Puts layers together, the most important one first. Within a layer, server and token come before
/// the data directory; a data directory stands before server and token of every later layer, because
/// it names both.
pub fn choose(layers: impl IntoIterator<Item = Layer>) -> Chosen {
    let mut chosen = Chosen::default();
    for layer in layers {
        chosen.server = chosen.server.or(layer.server);
        chosen.token = chosen.token.or(layer.token);
        if layer.data_dir.is_some() {
            chosen.data_dir = layer.data_dir;
            break;
        }
    }
    chosen
}

/// The site to ask and the token that it knows.
#[derive(Debug, Clone)]
pub struct Target {
    /// Address, with its scheme.
    pub server: String,
    /// The token: it names the site that made it and the authority by which that is recognised.
    pub token: AccessToken,
}

#[derive(Deserialize)]
struct Credential {
    server: String,
    token: String,
}

impl Target {
    /// Reads what was chosen; what is missing comes from the admin credential of the data directory.
    ///
    /// # Errors
    /// When a file is missing or unusable, or address or token are none.
    pub fn load(chosen: Chosen, default_data_dir: &Path) -> Result<Self, Error> {
        let word = chosen.token.map(TokenSource::read).transpose()?;
        let (server, word) = match (chosen.server, word) {
            (Some(server), Some(word)) => (server, word),
            (server, word) => {
                let data_dir = chosen.data_dir.as_deref().unwrap_or(default_data_dir);
                let credential = Credential::read(data_dir)?;
                (
                    server.unwrap_or(credential.server),
                    word.unwrap_or_else(|| SecretString::from(credential.token)),
                )
            }
        };
        Ok(Self {
            server: address(&server)?,
            token: AccessToken::decode(word.expose_secret())?,
        })
    }

    /// The token as a word.
    pub(super) fn word(&self) -> String {
        self.token.encode().expose_secret().to_owned()
    }
}

impl TokenSource {
    fn read(self) -> Result<SecretString, Error> {
        match self {
            Self::Word(word) => Ok(word),
            Self::File(path) => Ok(read("token file", &path)?.into()),
        }
    }
}

impl Credential {
    fn read(data_dir: &Path) -> Result<Self, Error> {
        const WHAT: &str = "admin credential";
        let path = data_dir.join(CREDENTIAL_FILE);
        let text = read_text(&path).map_err(|source| {
            let is = |kind| source.kind() == kind;
            if is(io::ErrorKind::NotFound) {
                let data_dir = data_dir.to_owned();
                Error::NoCredential { data_dir }
            } else if is(io::ErrorKind::PermissionDenied) {
                Error::CredentialForbidden { path: path.clone() }
            } else {
                unreadable(WHAT, &path, source)
            }
        })?;
        // The parser's message could repeat the token.
        serde_json::from_str(&text).map_err(|error| Error::Malformed {
            what: WHAT,
            why: format!(
                "line {} is not as the site writes it; start that site again, it writes a new one",
                error.line()
            ),
            path,
        })
    }
}

fn read(what: &'static str, path: &Path) -> Result<String, Error> {
    read_text(path).map_err(|source| unreadable(what, path, source))
}

fn unreadable(what: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Unreadable {
        what,
        path: path.to_owned(),
        source,
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// An address with its scheme.
fn address(server: &str) -> Result<String, Error> {
    let refuse = || Error::Address {
        server: server.chars().take(200).collect(),
    };
    let server = server.trim();
    if server.starts_with("http://") {
        return Err(Error::PlainText {
            server: server.to_owned(),
        });
    }
    let host = server.strip_prefix("https://").unwrap_or(server);
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.is_empty() || host.contains(['/', ' ', '@', '?', '#']) {
        return Err(refuse());
    }
    Ok(format!("https://{host}"))
}

#[cfg(test)]
mod tests;
