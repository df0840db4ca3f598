//! The WSUS servers that synchronize from this site. Each site has its own.

use crate::reading::{Reading, internal};
use journal::StatusId;
use std::sync::Arc;
use store::downstream::{DownstreamServerRow, MAX_DOWNSTREAM_SERVERS};
use tonic::{Request, Response, Status};
use trust::Role;
use uuid::Uuid;
use wire::convert;
use wire::v1::downstream_service_server::DownstreamService;
use wire::v1::{
    DownstreamServer, DownstreamSummary, ListDownstreamServersRequest,
    ListDownstreamServersResponse, RemoveDownstreamServerRequest, RemoveDownstreamServerResponse,
};

/// Longest identifier that is looked at, in bytes.
const MAX_ID: usize = 64;

/// The servers that synchronize from a site.
#[derive(Clone)]
pub struct Downstream {
    /// The reading part of the admin API.
    pub reading: Reading,
    /// Where the site serves them, as URLs; empty where it does not.
    pub addresses: Arc<[String]>,
}

#[tonic::async_trait]
impl DownstreamService for Downstream {
    async fn list_downstream_servers(
        &self,
        request: Request<ListDownstreamServersRequest>,
    ) -> Result<Response<ListDownstreamServersResponse>, Status> {
        self.reading.authorize(&request, Role::Viewer).await?;
        let most = u32::try_from(MAX_DOWNSTREAM_SERVERS).unwrap_or(u32::MAX);
        let store = &self.reading.site.store;
        let found = async { store.read().await?.downstream_servers(most).await };
        let servers = found.await.map_err(internal)?;
        Ok(Response::new(ListDownstreamServersResponse {
            servers: servers.into_iter().map(server).collect(),
            addresses: self.addresses.to_vec(),
        }))
    }

    async fn remove_downstream_server(
        &self,
        request: Request<RemoveDownstreamServerRequest>,
    ) -> Result<Response<RemoveDownstreamServerResponse>, Status> {
        let caller = self.reading.authorize(&request, Role::Operator).await?;
        let id = convert::text("id", request.into_inner().id, MAX_ID)?;
        let id = Uuid::try_parse(&id).map_err(|_| {
            Status::invalid_argument(
                "the id is no GUID: headwater downstream list shows those there are",
            )
        })?;
        let site = &self.reading.site;
        // One unit of work: nothing goes of which the journal says nothing.
        let removed = async {
            let mut tx = site.store.begin().await?;
            let Some(known) = tx.downstream_server(id).await? else {
                return Ok(false);
            };
            tx.remove_downstream_server(id).await?;
            let inserts = vec![known.name, id.to_string(), caller.name];
            let message = vec![(StatusId::DownstreamServerRemoved, inserts)];
            let recorded = site.journal.record_within(&mut tx, message).await?;
            tx.commit().await?;
            site.journal.tell(recorded);
            Ok(true)
        };
        let removed = removed.await.map_err(internal)?;
        Ok(Response::new(RemoveDownstreamServerResponse { removed }))
    }
}

fn server(row: DownstreamServerRow) -> DownstreamServer {
    DownstreamServer {
        id: row.id.to_string(),
        name: row.name,
        parent_id: match row.parent.is_nil() {
            true => String::new(),
            false => row.parent.to_string(),
        },
        address: row.address,
        version: row.version,
        replica: row.replica,
        first_seen: Some(convert::from_timestamp(row.first_seen)),
        last_seen: Some(convert::from_timestamp(row.last_seen)),
        last_sync: row.last_sync.map(convert::from_timestamp),
        last_report: row.last_rollup.map(convert::from_timestamp),
        summary: summary(&row.counts),
    }
}

/// The counts by their names.
fn summary(counts: &[i32]) -> Option<DownstreamSummary> {
    let [
        updates,
        declined_updates,
        approved_updates,
        not_approved_updates,
        updates_with_stale_approvals,
        expired_updates,
        critical_or_security_updates_not_approved,
        infrastructure_updates_not_approved,
        updates_with_client_errors,
        updates_with_server_errors,
        updates_needing_files,
        updates_needed_by_computers,
        updates_up_to_date,
        custom_computer_groups,
        computers,
        computers_needing_updates,
        computers_with_update_errors,
        computers_up_to_date,
    ] = *counts
    else {
        return None;
    };
    Some(DownstreamSummary {
        updates,
        declined_updates,
        approved_updates,
        not_approved_updates,
        updates_with_stale_approvals,
        expired_updates,
        critical_or_security_updates_not_approved,
        infrastructure_updates_not_approved,
        updates_with_client_errors,
        updates_with_server_errors,
        updates_needing_files,
        updates_needed_by_computers,
        updates_up_to_date,
        custom_computer_groups,
        computers,
        computers_needing_updates,
        computers_with_update_errors,
        computers_up_to_date,
    })
}
