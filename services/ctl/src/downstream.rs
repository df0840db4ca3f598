//! `downstream`: the WSUS servers that synchronize from a site.

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::render::{View, table};
use hierarchy::time;
use serde_json::json;
use std::process::ExitCode;
use wire::v1::{DownstreamServer, ListDownstreamServersRequest, RemoveDownstreamServerRequest};

/// WSUS servers that synchronize from a site.
#[derive(Debug, clap::Args)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the servers that synchronized from the site, or reported to it
    #[command(after_help = "\
A site serves WSUS servers where its settings say so (wsus.listen). What a server says of itself is shown
as it says it: nobody proves it.

Examples:
  headwater downstream list
  headwater downstream list --json --server https://pr1.example.org:8540")]
    List,
    /// Take a server off the list, until it is heard of again
    Remove {
        /// Identifier of the server, as the list shows it
        #[arg(value_name = "GUID")]
        id: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let client = command.connection.connect().await?;
    match command.action {
        Action::List => list(&console, &client).await?,
        Action::Remove { id } => return remove(&console, &client, id).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(console: &Console, client: &Client) -> anyhow::Result<()> {
    let request = question(ListDownstreamServersRequest {});
    let answer = client.downstream().list_downstream_servers(request).await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, "listing the downstream servers"))?
        .into_inner();
    if console.json {
        let servers: Vec<_> = answer.servers.iter().map(as_json).collect();
        return console.json_line(&json!({ "servers": servers, "addresses": answer.addresses }));
    }
    if answer.addresses.is_empty() {
        console.remark(format!(
            "{} serves no WSUS servers: set wsus.listen in its settings file (see docs/downstream.md).",
            client.server
        ));
    }
    console.line(table::downstream_servers(
        &answer.servers,
        &View::of_process(console),
    ))
}

fn as_json(server: &DownstreamServer) -> serde_json::Value {
    let summary = server.summary.as_ref().map(|summary| {
        json!({
            "updates": summary.updates,
            "declined_updates": summary.declined_updates,
            "approved_updates": summary.approved_updates,
            "not_approved_updates": summary.not_approved_updates,
            "updates_with_stale_approvals": summary.updates_with_stale_approvals,
            "expired_updates": summary.expired_updates,
            "critical_or_security_updates_not_approved":
                summary.critical_or_security_updates_not_approved,
            "infrastructure_updates_not_approved": summary.infrastructure_updates_not_approved,
            "updates_with_client_errors": summary.updates_with_client_errors,
            "updates_with_server_errors": summary.updates_with_server_errors,
            "updates_needing_files": summary.updates_needing_files,
            "updates_needed_by_computers": summary.updates_needed_by_computers,
            "updates_up_to_date": summary.updates_up_to_date,
            "custom_computer_groups": summary.custom_computer_groups,
            "computers": summary.computers,
            "computers_needing_updates": summary.computers_needing_updates,
            "computers_with_update_errors": summary.computers_with_update_errors,
            "computers_up_to_date": summary.computers_up_to_date,
        })
    });
    json!({
        "id": server.id, "name": server.name, "parent_id": server.parent_id,
        "address": server.address, "version": server.version, "replica": server.replica,
        "first_seen": time(server.first_seen.as_ref()), "last_seen": time(server.last_seen.as_ref()),
        "last_sync": time(server.last_sync.as_ref()), "last_report": time(server.last_report.as_ref()),
        "summary": summary,
    })
}

async fn remove(console: &Console, client: &Client, id: String) -> anyhow::Result<ExitCode> {
    let request = question(RemoveDownstreamServerRequest { id: id.clone() });
    let answer = client.downstream().remove_downstream_server(request).await;
    let removed = answer
        .map_err(|status| explain(status, &client.server, "removing a downstream server"))?
        .into_inner()
        .removed;
    if console.json {
        console.json_line(&json!({ "id": id, "removed": removed }))?;
    } else if removed {
        console.line(format!(
            "The server {id} is off the list until it is heard of again."
        ))?;
    } else {
        console.line(format!(
            "There is no server {id} on the list (headwater downstream list shows those that there are)."
        ))?;
    }
    Ok(if removed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
