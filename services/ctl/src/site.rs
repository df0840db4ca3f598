//! `site`: join tokens, the list of sites, removal.

mod verify;

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::follow;
use crate::hierarchy::time;
use crate::render::{View, json, table, text};
use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use wire::v1::{CreateJoinTokenRequest, RemoveSiteRequest};

/// The sites of the hierarchy.
#[derive(Debug, clap::Args)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a one-time token with which a new site may join
    #[command(after_help = "\
The token alone is printed on standard output. It is a secret: hand it over in a file or in the
variable HEADWATER_JOIN_TOKEN, not as an argument, which anyone on the machine can read.

Examples:
  headwater site token PR1 --kind primary > pr1.token
  headwater site token SE1 --kind secondary --parent PR1 --expires 2h > se1.token")]
    Token(Token),
    /// List every site with its version, link and content
    List,
    /// Read every row of a site's catalog, compare it with its parent's, and repair what differs
    ///
    /// Waits for the end and prints what the site said; exits with 1 when it could not do it. Ctrl-C
    /// ends the waiting, not the comparison.
    Verify {
        /// Code of the site
        #[arg(value_name = "CODE")]
        code: String,
        /// Give up waiting after this time, for example 90s, 30m or 2h
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = crate::sync::length_of_time)]
        timeout: Duration,
    },
    /// Remove a site and the sites below it: their certificates and join tokens are refused from now on
    ///
    /// A site that has not joined yet can be removed too: that revokes its join tokens.
    Remove {
        /// Code of the site
        #[arg(value_name = "CODE")]
        code: String,
        /// Do not ask back
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Token {
    /// Code of the new site: three characters, A-Z and 0-9
    #[arg(value_name = "CODE")]
    code: String,
    /// What the new site will be
    #[arg(long, value_enum)]
    kind: Kind,
    /// Code of the site above it; the top-level site without this
    #[arg(long, value_name = "CODE")]
    parent: Option<String>,
    /// How long the token can be used, for example 30m, 24h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = crate::sync::length_of_time)]
    expires: Duration,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Child of the central site
    Primary,
    /// Child of a primary site
    Secondary,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

#[derive(Serialize)]
struct TokenLine<'a> {
    site_code: &'a str,
    site_kind: &'a str,
    token: &'a str,
    expires: Option<Timestamp>,
}

#[derive(Serialize)]
struct Sites<'a> {
    sites: Vec<json::Site<'a>>,
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a [String],
    join_tokens: u64,
}

/// Does what was asked.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    match command.action {
        Action::Token(token) => {
            if matches!(token.kind, Kind::Secondary) && token.parent.is_none() {
                bail!(
                    "a secondary site needs a primary site above it: name that with --parent, for example --parent PR1"
                );
            }
            let client = command.connection.connect().await?;
            make_token(&console, &client, &token).await?;
        }
        Action::List => {
            let client = command.connection.connect().await?;
            let hierarchy = follow::sites(&client).await?;
            if console.json {
                let sites = json::sites(&hierarchy);
                console.json_line(&Sites { sites })?;
            } else {
                console.line(table::sites(&hierarchy, &View::of_process(&console)))?;
            }
        }
        Action::Verify { code, timeout } => {
            let client = command.connection.connect().await?;
            let code = code.to_ascii_uppercase();
            return verify::execute(&console, &client, &code, timeout).await;
        }
        Action::Remove { code, yes } => {
            let code = code.to_ascii_uppercase();
            let client = command.connection.connect().await?;
            if !yes && !confirmed(&code)? {
                bail!("nothing was removed");
            }
            let site_code = code.clone();
            let request = question(RemoveSiteRequest { site_code });
            let answer = client.hierarchy().remove_site(request).await;
            let answer = answer
                .map_err(|status| explain(status, &client.server, &format!("removing {code}")))?
                .into_inner();
            if console.json {
                console.json_line(&Removed {
                    removed: &answer.site_codes,
                    join_tokens: answer.join_tokens,
                })?;
            } else if answer.site_codes.is_empty() {
                console.line(format!(
                    "{code} had not joined. Its join tokens can no longer be used."
                ))?;
            } else {
                console.line(format!("Removed: {}.", answer.site_codes.join(", ")))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a join token.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub(crate) async fn join_token(
    client: &Client,
    request: CreateJoinTokenRequest,
) -> anyhow::Result<(String, Option<Timestamp>)> {
    let doing = format!("making a join token for {}", request.site_code);
    let answer = client
        .hierarchy()
        .create_join_token(question(request))
        .await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, &doing))?
        .into_inner();
    Ok((answer.token, time(answer.expires.as_ref())))
}

async fn make_token(console: &Console, client: &Client, token: &Token) -> anyhow::Result<()> {
    let site_code = token.code.to_ascii_uppercase();
    let parent = token
        .parent
        .as_deref()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let request = CreateJoinTokenRequest {
        site_code: site_code.clone(),
        site_kind: token.kind.name().into(),
        parent: parent.clone(),
        valid_seconds: token.expires.as_secs().max(1),
    };
    let (word, expires) = join_token(client, request).await?;
    if console.json {
        return console.json_line(&TokenLine {
            site_code: &site_code,
            site_kind: token.kind.name(),
            token: &word,
            expires,
        });
    }
    console.line(&word)?;
    let view = View::of_process(console);
    let until = expires.map_or_else(String::new, |time| {
        let clock = text::date_and_time(time, &view);
        format!(" until {clock} ({})", text::ahead(time, &view))
    });
    let below = match parent.as_str() {
        "" => "the top-level site",
        code => code,
    };
    console.remark(format!(
        "The token lets {site_code} join below {below} once{until}. On the new machine:"
    ));
    console.remark(format!(
        "  HEADWATER_JOIN_TOKEN=… headwater agent --site-code {site_code} --data-dir DIR --parent URL-OF-{}",
        if parent.is_empty() { "THE-TOP-LEVEL-SITE" } else { &parent }
    ));
    Ok(())
}

/// Asks a person at a terminal; a script has said what it wants by calling us.
fn confirmed(code: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    let mut err = io::stderr().lock();
    let question = format!(
        "{code} will not be able to synchronize any more, nor will the sites below it.\nType its code to remove it: "
    );
    err.write_all(question.as_bytes())
        .and_then(|()| err.flush())
        .context("the terminal cannot be written")?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .context("the terminal cannot be read")?;
    Ok(answer.trim().eq_ignore_ascii_case(code))
}
