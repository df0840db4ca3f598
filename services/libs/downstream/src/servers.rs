//! The servers that synchronize from this site: who they say they are, and what they report.

use crate::allow::shown;
use crate::source::{Source, failed};
use jiff::Timestamp;
use journal::StatusId;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use store::Tx;
use store::downstream::DownstreamServerRow;
use uuid::Uuid;
use wsus::server::{DownstreamServer, ServerReport, Source as _, SourceError};

/// Longest name that is kept, in characters.
const MAX_NAME: usize = 255;
/// Most servers one below the other. They say themselves below whom they are, and so may go round in a circle.
const MAX_DEPTH: usize = 16;

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
            // Whoever comes under ever other GUIDs shall not fill the journal.
            self.site.refusals.record(told, inserts).await;
        }
        Ok(())
    }

    /// Keeps what servers report of themselves and those below them, where those may synchronize from here that
    /// they are below of.
    pub(crate) async fn keep_reports(
        &self,
        address: Option<IpAddr>,
        servers: &[ServerReport],
        now: Timestamp,
    ) -> Result<(), SourceError> {
        for (id, name) in self.reporters(servers).await? {
            if !self.admission.admits(id, &name, address).await {
                return Err(SourceError::NotAdmitted);
            }
        }
        let mut rows: BTreeMap<Uuid, DownstreamServerRow> = BTreeMap::new();
        let mut tx = self.site.store.begin().await.map_err(failed)?;
        for server in servers {
            let known = match rows.remove(&server.id) {
                Some(row) => Some(row),
                None => tx.downstream_server(server.id).await.map_err(failed)?,
            };
            let known = known.unwrap_or_else(|| nameless(server.id, now));
            let counts = server.summary.map(|counts| counts.to_vec());
            let row = DownstreamServerRow {
                name: match server.name.is_empty() {
                    true => known.name,
                    false => server.name.clone(),
                },
                parent: self.parent_of(server).unwrap_or_default(),
                version: server.version.clone(),
                replica: server.replica,
                last_seen: now,
                last_sync: server.last_sync,
                last_rollup: Some(now),
                counts: counts.unwrap_or(known.counts),
                ..known
            };
            rows.insert(server.id, row);
        }
        let written = tx.put_downstream_servers(rows.values()).await;
        written.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }

    /// The server that a reported one synchronizes from; none where that is this site.
    fn parent_of(&self, server: &ServerReport) -> Option<Uuid> {
        let here = self.identity().server_id;
        server.parent.filter(|parent| *parent != here)
    }

    /// The servers right below this site that a report is of, or above those that it is of, with their names.
    async fn reporters(
        &self,
        servers: &[ServerReport],
    ) -> Result<BTreeMap<Uuid, String>, SourceError> {
        let mut reporters: BTreeMap<Uuid, String> = BTreeMap::new();
        let mut told: HashSet<Uuid> = HashSet::new();
        let mut tx = self.site.store.begin().await.map_err(failed)?;
        for server in servers {
            match self.parent_of(server) {
                None => {
                    reporters.insert(server.id, server.name.clone());
                }
                Some(parent) if told.contains(&parent) => {}
                Some(parent) => {
                    let above = topmost(&mut tx, parent).await.map_err(failed)?;
                    let above = above.ok_or(SourceError::UnknownParent)?;
                    reporters.entry(above.id).or_insert(above.name);
                    told.insert(parent);
                }
            }
            told.insert(server.id);
        }
        Ok(reporters)
    }
}

/// The server right below this site that another is below of, or that it is; none where one of them is not known.
async fn topmost(
    tx: &mut Tx<'_>,
    mut id: Uuid,
) -> Result<Option<DownstreamServerRow>, store::Error> {
    for _ in 0..MAX_DEPTH {
        match tx.downstream_server(id).await? {
            Some(row) if !row.parent.is_nil() => id = row.parent,
            found => return Ok(found),
        }
    }
    Ok(None)
}
