//! `site`: join tokens, the list of sites, removal.

mod source;
mod verify;

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::follow;
use crate::render::{View, json, table, text};
use anyhow::{Context, bail};
use hierarchy::time;
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
  headwater site token SE1 --kind secondary --parent PR1 --expires 2h > se1.token
  headwater site token PR1-2 > pr1-2.token       a second software update point for PR1")]
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
    /// Show by which of its software update points a site synchronizes, or switch to another one
    ///
    /// The other points and the sites below follow at once. Nothing is synchronized again.
    #[command(after_help = "\
Examples:
  headwater site source PR1              shows the source, then its replicas
  headwater site source PR1 PR1-2        makes PR1-2 the source, PR1 its replica")]
    Source {
        /// Code of the site
        #[arg(value_name = "CODE")]
        code: String,
        /// The software update point that becomes the source
        #[arg(value_name = "POINT")]
        point: Option<String>,
        /// Also where that point is not there at the moment
        #[arg(long, requires = "point")]
        force: bool,
    },
    /// Remove a site and the sites below it: their certificates and join tokens are refused from now on
    ///
    /// A site that has not joined yet can be removed too: that revokes its join tokens. Of a site with several
    /// software update points, only the one that is named is removed.
    Remove {
        /// Code of the site, or of one of its software update points
        #[arg(value_name = "CODE")]
        code: String,
        /// The software update point that takes the place of the site's synchronization source
        #[arg(long, value_name = "POINT")]
        new_source: Option<String>,
        /// Also where that point is not there at the moment
        #[arg(long, requires = "new_source")]
        force: bool,
        /// Do not ask back
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Token {
    /// Code of the new site: three characters, A-Z and 0-9; PR1-2 for a second software update point of PR1
    #[arg(value_name = "CODE")]
    code: String,
    /// What the new site will be; a further software update point is what its site is
    #[arg(long, value_enum)]
    kind: Option<Kind>,
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
    disabled: bool,
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
            if matches!(token.kind, Some(Kind::Secondary)) && token.parent.is_none() {
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
        Action::Source { code, point, force } => {
            let client = command.connection.connect().await?;
            let point = point.map(|point| point.to_ascii_uppercase());
            return source::execute(&console, &client, &code.to_ascii_uppercase(), point, force)
                .await;
        }
        Action::Remove {
            code,
            new_source,
            force,
            yes,
        } => {
            let code = code.to_ascii_uppercase();
            let client = command.connection.connect().await?;
            if !yes && !confirmed(&code)? {
                bail!("nothing was removed");
            }
            let request = question(RemoveSiteRequest {
                site_code: code.clone(),
                new_source: new_source.unwrap_or_default().to_ascii_uppercase(),
                force,
            });
            let answer = client.hierarchy().remove_site(request).await;
            let answer = answer
                .map_err(|status| explain(status, &client.server, &format!("removing {code}")))?
                .into_inner();
            if console.json {
                console.json_line(&Removed {
                    removed: &answer.site_codes,
                    disabled: answer.disabled,
                    join_tokens: answer.join_tokens,
                })?;
            } else if answer.site_codes.is_empty() {
                console.line(format!(
                    "{code} had not joined. Its join tokens can no longer be used."
                ))?;
            } else {
                console.line(format!("Removed: {}.", answer.site_codes.join(", ")))?;
                if answer.disabled {
                    let site = code.split('-').next().unwrap_or_default();
                    console.remark(format!(
                        "Site {site} has no software update point left: it is disabled, and synchronizes no more \
                         until one joins again."
                    ));
                }
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
    let kind = token.kind.map_or("", Kind::name);
    let request = CreateJoinTokenRequest {
        site_code: site_code.clone(),
        site_kind: kind.into(),
        parent: parent.clone(),
        valid_seconds: token.expires.as_secs().max(1),
    };
    let (word, expires) = join_token(client, request).await?;
    if console.json {
        return console.json_line(&TokenLine {
            site_code: &site_code,
            site_kind: kind,
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
    let beside = site_code.split_once('-').map(|(site, _)| site);
    let below = match (beside, parent.as_str()) {
        (Some(site), _) => site,
        (None, "") => "the top-level site",
        (None, code) => code,
    };
    console.remark(format!(
        "The token lets {site_code} join below {below} once{until}. On the new machine:"
    ));
    console.remark(format!(
        "  HEADWATER_JOIN_TOKEN=… headwater agent --site-code {site_code} --data-dir DIR --parent URL-OF-{}",
        match (beside, parent.as_str()) {
            (Some(site), _) => format!("THE-SOURCE-OF-{site} --listen ADDRESS:PORT"),
            (None, "") => "THE-TOP-LEVEL-SITE".to_owned(),
            (None, code) => code.to_owned(),
        }
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
