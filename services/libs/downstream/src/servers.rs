//! The servers that synchronize from this site: who they say they are, and what they report.

use crate::allow::shown;
use crate::source::{Source, failed};
use jiff::Timestamp;
use journal::StatusId;
use std::collections::HashSet;
use std::net::IpAddr;
use store::downstream::DownstreamServerRow;
use uuid::Uuid;
use wsus::server::{DownstreamServer, ServerReport, Source as _, SourceError};

/// Longest name that is kept, in characters.
const MAX_NAME: usize = 255;

fn nameless(id: Uuid, now: Timestamp) -> DownstreamServerRow {
    DownstreamServerRow {
        id,
        name: String::new(),
        parent: Uuid::nil(),
        address: String::new(),
        version: String::new(),
        replica: false,
        first_seen: now,
        last_seen: now,
        last_sync: None,
        last_rollup: None,
        counts: Vec::new(),
    }
}

impl Source {
    /// Lets a server in that may, and notes that it was here.
    pub(crate) async fn admit_server(
        &self,
        server: &DownstreamServer,
        now: Timestamp,
    ) -> Result<(), SourceError> {
        let DownstreamServer {
            account_name,
            account_guid: id,
            address,
        } = server;
        let name: String = account_name.chars().take(MAX_NAME).collect();
        if !self.admission.admits(*id, &name, *address).await {
            return Err(SourceError::NotAdmitted);
        }
        let from = shown(*address);
        let noted = async {
            let mut tx = self.site.store.begin().await?;
            let known = tx.downstream_server(*id).await?;
            let is_new = known.is_none();
            let row = DownstreamServerRow {
                name: name.clone(),
                parent: Uuid::nil(),
                address: from.clone(),
                last_seen: now,
                ..known.unwrap_or_else(|| nameless(*id, now))
            };
            tx.put_downstream_server(&row).await?;
            tx.commit().await?;
            Ok::<_, store::Error>(is_new)
        };
        if noted.await.map_err(failed)? {
            let inserts = vec![name, id.to_string(), from];
            let told = StatusId::DownstreamServerSeen;
            self.site.journal.record(told, None, inserts).await;
        }
        Ok(())
    }

    /// Keeps what servers report of themselves and those below them.
    pub(crate) async fn keep_reports(
        &self,
        reporter: Option<IpAddr>,
        servers: &[ServerReport],
        now: Timestamp,
    ) -> Result<(), SourceError> {
        let here = self.identity().server_id;
        let is_ours = |parent: Option<Uuid>| parent.is_none_or(|parent| parent == here);
        for server in servers.iter().filter(|server| is_ours(server.parent)) {
            let (id, name) = (server.id, &server.name);
            if !self.admission.admits(id, name, reporter).await {
                return Err(SourceError::NotAdmitted);
            }
        }
        let mut told: HashSet<Uuid> = HashSet::new();
        let mut tx = self.site.store.begin().await.map_err(failed)?;
        for server in servers {
            if let Some(parent) = server.parent.filter(|parent| !is_ours(Some(*parent)))
                && !told.contains(&parent)
                && tx
                    .downstream_server(parent)
                    .await
                    .map_err(failed)?
                    .is_none()
            {
                return Err(SourceError::UnknownParent);
            }
            told.insert(server.id);
            let known = tx.downstream_server(server.id).await.map_err(failed)?;
            let known = known.unwrap_or_else(|| nameless(server.id, now));
            let counts = server.summary.map(|counts| counts.to_vec());
            let row = DownstreamServerRow {
                name: match server.name.is_empty() {
                    true => known.name,
                    false => server.name.clone(),
                },
                parent: server
                    .parent
                    .filter(|parent| *parent != here)
                    .unwrap_or_default(),
                version: server.version.clone(),
                replica: server.replica,
                last_seen: now,
                last_sync: server.last_sync,
                last_rollup: Some(now),
                counts: counts.unwrap_or(known.counts),
                ..known
            };
            tx.put_downstream_server(&row).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }
}
