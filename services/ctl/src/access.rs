//! `access`: making, listing and revoking access tokens.

mod certificate;

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::render::{View, table, text};
use hierarchy::time;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use wire::text::harmless;
use wire::v1::{
    AccessTokenEntry, CreateAccessTokenRequest, GetCallerRequest, ListAccessTokensRequest,
    RevokeAccessTokenRequest,
};

/// Access tokens.
#[derive(Debug, clap::Args)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make an access token for a person or a script
    #[command(after_help = "\
The token alone is printed on standard output. It is a secret: whoever has it may do what its role
says at this site. The dashboard asks for it to sign in; scripts hand it over in HEADWATER_TOKEN.

Examples:
  headwater access create \"wall screen\" > wall.token
  headwater access create ann --role operator --expires 90d")]
    Create(Create),
    /// Issue a client certificate for a person, with which the dashboard and the RPCs know them
    #[command(after_help = "\
The certificate says who it is; the role stands at the top-level site, and access revoke ends it at
once. With --out the key is made here and never leaves this machine; with --csr only the certificate
is printed. A browser takes key and certificate as one file:
  openssl pkcs12 -export -inkey ann.key.pem -in ann.cert.pem -out ann.p12

Examples:
  headwater access certificate ann --role operator --out .
  headwater access certificate ann --role viewer --valid 90d --csr ann.csr.pem > ann.cert.pem")]
    Certificate(certificate::Issue),
    /// List the access tokens and client certificates of the site, without their secrets
    List,
    /// Refuse an access token or a client certificate from now on
    Revoke {
        /// Name of the token or certificate
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Show whose token is used, and what it may do
    Whoami,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Whose it is: the journal names it where something was done with it
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may do
    #[arg(long, value_enum, default_value = "viewer")]
    role: Role,
    /// How long it can be used, for example 8h or 90d; until it is revoked without this
    #[arg(long, value_name = "TIME", value_parser = crate::sync::length_of_time)]
    expires: Option<Duration>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Role {
    /// Looks at everything, changes nothing
    Viewer,
    /// Also synchronizes, approves and declines
    Operator,
    /// Also changes settings, sites and access tokens
    Administrator,
}

impl From<Role> for trust::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Administrator => Self::Administrator,
        }
    }
}

/// Does what was asked.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let client = command.connection.connect().await?;
    match command.action {
        Action::Create(create) => make(&console, &client, create).await?,
        Action::Certificate(issue) => certificate::issue(&console, &client, issue).await?,
        Action::List => list(&console, &client).await?,
        Action::Revoke { name } => return revoke(&console, &client, name).await,
        Action::Whoami => whoami(&console, &client).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn make(console: &Console, client: &Client, create: Create) -> anyhow::Result<()> {
    let role = trust::Role::from(create.role).name();
    let request = CreateAccessTokenRequest {
        name: create.name.clone(),
        role: role.to_owned(),
        valid_seconds: create.expires.map_or(0, |valid| valid.as_secs().max(1)),
    };
    let answer = client.access().create_access_token(question(request)).await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, "making an access token"))?
        .into_inner();
    let expires = time(answer.expires.as_ref());
    if console.json {
        return console.json_line(&json!({
            "name": create.name, "role": role, "token": answer.token, "expires": expires,
        }));
    }
    console.line(&answer.token)?;
    let view = View::of_process(console);
    let until = expires.map_or_else(
        || "until it is revoked (headwater access revoke)".to_owned(),
        |end| format!("until {}", text::date_and_time(end, &view)),
    );
    console.remark(format!(
        "{} is {role} at {} {until}.",
        create.name, client.server
    ));
    Ok(())
}

async fn list(console: &Console, client: &Client) -> anyhow::Result<()> {
    let answer = client
        .access()
        .list_access_tokens(question(ListAccessTokensRequest {}))
        .await;
    let tokens = answer
        .map_err(|status| explain(status, &client.server, "listing the access tokens"))?
        .into_inner()
        .tokens;
    if console.json {
        let line = |token: &AccessTokenEntry| {
            json!({
                "name": token.name, "role": token.role, "created": time(token.created.as_ref()),
                "expires": time(token.expires.as_ref()), "created_by": token.created_by,
                "certificate": token.certificate,
            })
        };
        let tokens: Vec<_> = tokens.iter().map(line).collect();
        return console.json_line(&json!({ "tokens": tokens }));
    }
    console.line(table::access_tokens(&tokens, &View::of_process(console)))
}

async fn revoke(console: &Console, client: &Client, name: String) -> anyhow::Result<ExitCode> {
    let request = RevokeAccessTokenRequest { name: name.clone() };
    let answer = client.access().revoke_access_token(question(request)).await;
    let revoked = answer
        .map_err(|status| {
            explain(
                status,
                &client.server,
                "revoking an access token or client certificate",
            )
        })?
        .into_inner()
        .revoked;
    if console.json {
        console.json_line(&json!({ "name": name, "revoked": revoked }))?;
    } else if revoked {
        console.line(format!("{name} is refused from now on."))?;
    } else {
        console.line(format!(
            "There is no access token or client certificate {name} (headwater access list shows those that there are)."
        ))?;
    }
    Ok(if revoked {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn whoami(console: &Console, client: &Client) -> anyhow::Result<()> {
    let answer = client
        .access()
        .get_caller(question(GetCallerRequest {}))
        .await;
    let caller = answer
        .map_err(|status| explain(status, &client.server, "asking who calls"))?
        .into_inner();
    if console.json {
        return console.json_line(&json!({
            "name": caller.name, "role": caller.role, "server": client.server,
            "site_code": caller.site_code, "site_kind": caller.site_kind, "top_level": caller.top_level,
        }));
    }
    console.line(format!(
        "{} is {} at {}. {}.",
        harmless(&caller.name),
        harmless(&caller.role),
        client.server,
        harmless(&caller.site_role)
    ))
}
