//! The settings of a child site: those of every site, and its own.

use anyhow::{Context as _, bail};
use daemon::config::Period;
use link::settings::{self, SiteFlags, SiteSettings};
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Run a child site: a primary site below the central site, or a secondary site below a primary.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Command {
    /// What every site has.
    #[command(flatten)]
    pub site: SiteFlags,
    /// Address of the parent site
    #[arg(long, env = "HEADWATER_PARENT", value_name = "URL")]
    pub parent: Option<String>,
    /// One-time token from "headwater site token", for the first start; shows in process lists, so
    /// prefer the variable or --join-token-file
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
    /// How long the site waits for a request before it looks at its parent by itself [default: 15m]
    #[arg(
        long,
        env = "HEADWATER_POLL",
        value_name = "TIME",
        help_heading = "Pace"
    )]
    pub poll: Option<Period>,
}

/// The settings of a child site.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What every site has. Without an address to listen on, no children can attach.
    pub site: SiteSettings,
    /// Address of the parent.
    pub parent: String,
    /// The join token, for the first start.
    pub join_token: Option<SecretString>,
}

/// How long a site waits for a request before it looks at its parent by itself.
const POLL: Duration = Duration::from_secs(15 * 60);

impl Settings {
    /// The settings that the command line, the environment and the file add up to.
    ///
    /// # Errors
    /// When one of them is not usable; the error names it.
    pub fn load(command: Command) -> anyhow::Result<Self> {
        let (mut site, file) = settings::load(&command.site)?;
        file.refuse_central_keys()?;
        let Some(parent) = command.parent.or(file.parent) else {
            bail!("name the parent with --parent, for instance --parent https://cas.example:8540");
        };
        link::dial::host_and_port(&parent).context("the setting parent")?;
        let token_file = command
            .join_token_file
            .or_else(|| settings::resolve(file.join_token_file.as_ref(), &command.site));
        let join_token = match (command.join_token, token_file) {
            (Some(token), _) => Some(SecretString::from(token)),
            (None, Some(path)) => read_token(&path)?,
            (None, None) => None,
        };
        site.engine.poll = Some(command.poll.or(file.poll).map_or(POLL, |poll| poll.0));
        Ok(Self {
            site,
            parent,
            join_token,
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
