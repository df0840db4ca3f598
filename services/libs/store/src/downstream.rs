//! What a site keeps for the servers that synchronize from it: when it went over to which verified position,
//! and who those servers are.
//!
//! Nothing about these servers is proven: their number is bounded, and the least recently seen make room.

use crate::backend::{Row, Value, int};
use crate::error::{Error, corrupt};
use crate::query::RevisionRow;
use crate::{Positions, Read, Tx};
use catalog::RevisionId;
use catalog::item::ItemKey;
use jiff::Timestamp;
use std::collections::HashMap;
use uuid::Uuid;

/// Notes of positions that are kept; the oldest go first. Who has an older anchor gets everything.
pub const POSITIONS_KEPT: u64 = 10_000;
/// Servers that are kept.
pub const MAX_DOWNSTREAM_SERVERS: u64 = 2_000;
/// Servers that make room at once, where there are too many.
const LEAST_PRUNED: u64 = 100;
/// Revisions that one statement asks for.
const AT_ONCE: usize = 200;

/// When this site went over to a verified position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionNote {
    /// When, to the millisecond; later than every note before it.
    pub time: Timestamp,
    /// The history that the position belongs to.
    pub epoch: Uuid,
    /// The verified position.
    pub position: u64,
    /// The position below which the log did not say then when something changed.
    pub floor: u64,
}

impl PositionNote {
    /// Whether the log of a catalog tells all that changed since this note.
    pub fn is_continued_by(&self, epoch: Uuid, floor: u64) -> bool {
        // What a comparison took over lies anywhere up to the floor, which rose with it.
        self.epoch == epoch && (self.position > floor || self.floor >= floor)
    }
}

/// A server that synchronizes from this site, or from one that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownstreamServerRow {
    /// Its identifier, as it says.
    pub id: Uuid,
    /// Its name, as it says.
    pub name: String,
    /// The server that it synchronizes from; nil for this site.
    pub parent: Uuid,
    /// Where it called from last; empty where it never did.
    pub address: String,
    /// Its version, as it says.
    pub version: String,
    /// Whether it is a replica.
    pub replica: bool,
    /// When it was heard of first.
    pub first_seen: Timestamp,
    /// When it was heard of last.
    pub last_seen: Timestamp,
    /// When it last synchronized, as it reported.
    pub last_sync: Option<Timestamp>,
    /// When it last reported, by this site's clock.
    pub last_rollup: Option<Timestamp>,
    /// The summary that it reported, in the order of the protocol; empty where it reported none.
    pub counts: Vec<i32>,
}

/// What a change of the log left in the verified catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownChange {
    /// Its place in the log.
    pub position: u64,
    /// What it is about.
    pub key: ItemKey,
    /// The item's header or record; none where the item was removed.
    pub header: Option<Vec<u8>>,
    /// Its document in the stored form; empty where it has none.
    pub document: Vec<u8>,
}

const NOTE: &str = "select time, epoch, position, floor from downstream_position";
const COLUMNS: &str = "id, name, parent, address, version, replica, first_seen, last_seen, last_sync, \
                       last_rollup, counts";

fn guid(row: &Row, index: usize) -> Result<Uuid, Error> {
    Uuid::from_slice(&row.blob(index)?).map_err(|_| corrupt("downstream: no UUID"))
}

fn time(milliseconds: i64) -> Result<Timestamp, Error> {
    Timestamp::from_millisecond(milliseconds).map_err(corrupt)
}

fn note_of(row: &Row) -> Result<PositionNote, Error> {
    Ok(PositionNote {
        time: time(row.int(0)?)?,
        epoch: guid(row, 1)?,
        position: row.count(2)?,
        floor: row.count(3)?,
    })
}

fn server_of(row: &Row) -> Result<DownstreamServerRow, Error> {
    let optional = |index| row.optional_int(index)?.map(time).transpose();
    Ok(DownstreamServerRow {
        id: guid(row, 0)?,
        name: row.text(1)?,
        parent: guid(row, 2)?,
        address: row.text(3)?,
        version: row.text(4)?,
        replica: row.int(5)? != 0,
        first_seen: time(row.int(6)?)?,
        last_seen: time(row.int(7)?)?,
        last_sync: optional(8)?,
        last_rollup: optional(9)?,
        counts: serde_json::from_str(&row.text(10)?).map_err(corrupt)?,
    })
}

fn values(row: &DownstreamServerRow) -> Result<[Value; 11], Error> {
    let milliseconds = |time: Option<Timestamp>| time.map(Timestamp::as_millisecond);
    Ok([
        row.id.as_bytes().to_vec().into(),
        row.name.as_str().into(),
        row.parent.as_bytes().to_vec().into(),
        row.address.as_str().into(),
        row.version.as_str().into(),
        i64::from(row.replica).into(),
        row.first_seen.as_millisecond().into(),
        row.last_seen.as_millisecond().into(),
        milliseconds(row.last_sync).into(),
        milliseconds(row.last_rollup).into(),
        serde_json::to_string(&row.counts).map_err(corrupt)?.into(),
    ])
}

impl Tx<'_> {
    /// Notes that `position` is what downstream servers get from `now` on. Noting the same again changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_downstream_position(
        &mut self,
        (epoch, position): (Uuid, u64),
        floor: u64,
        now: Timestamp,
    ) -> Result<PositionNote, Error> {
        let newest = self
            .connection()
            .fetch_optional(format!("{NOTE} order by time desc limit 1"), vec![])
            .await?;
        let newest = newest.as_ref().map(note_of).transpose()?;
        let mut milliseconds = now.as_millisecond();
        if let Some(newest) = newest {
            if (newest.epoch, newest.position, newest.floor) == (epoch, position, floor) {
                return Ok(newest);
            }
            milliseconds = milliseconds.max(newest.time.as_millisecond() + 1);
        }
        let values = [
            milliseconds.into(),
            epoch.as_bytes().to_vec().into(),
            int(position),
            int(floor),
        ];
        self.connection()
            .insert(
                "insert into downstream_position (time, epoch, position, floor)",
                vec![values],
                "",
            )
            .await?;
        self.connection()
            .execute(
                "delete from downstream_position where time <= (select time from downstream_position \
                 order by time desc limit 1 offset $1)",
                vec![int(POSITIONS_KEPT)],
            )
            .await?;
        Ok(PositionNote {
            time: time(milliseconds)?,
            epoch,
            position,
            floor,
        })
    }

    /// A server; none where none of this identifier is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn downstream_server(
        &mut self,
        id: Uuid,
    ) -> Result<Option<DownstreamServerRow>, Error> {
        let row = self
            .connection()
            .fetch_optional(
                format!("select {COLUMNS} from downstream_server where id = $1"),
                vec![id.as_bytes().to_vec().into()],
            )
            .await?;
        row.as_ref().map(server_of).transpose()
    }

    /// Writes a server as it is now. Beyond [`MAX_DOWNSTREAM_SERVERS`] those make room that were not heard of
    /// for longest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_downstream_server(&mut self, row: &DownstreamServerRow) -> Result<(), Error> {
        self.put_downstream_servers([row]).await
    }

    /// Writes servers, each named once, as they are now; then as many make room as are too many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_downstream_servers(
        &mut self,
        rows: impl IntoIterator<Item = &DownstreamServerRow>,
    ) -> Result<(), Error> {
        let rows = rows.into_iter().map(values);
        let rows = rows.collect::<Result<Vec<_>, Error>>()?;
        let most_new = u64::try_from(rows.len()).map_err(corrupt)?;
        self.connection()
            .insert(
                &format!("insert into downstream_server ({COLUMNS})"),
                rows,
                " on conflict (id) do update set name = excluded.name, parent = excluded.parent, \
                 address = excluded.address, version = excluded.version, replica = excluded.replica, \
                 last_seen = excluded.last_seen, last_sync = excluded.last_sync, \
                 last_rollup = excluded.last_rollup, counts = excluded.counts",
            )
            .await?;
        self.connection()
            .execute(
                "delete from downstream_server where id in (select id from downstream_server \
                 order by last_seen desc, id limit $2 offset $1)",
                vec![int(MAX_DOWNSTREAM_SERVERS), int(most_new.max(LEAST_PRUNED))],
            )
            .await?;
        Ok(())
    }

    /// Forgets a server until it is heard of again. Whether it was known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_downstream_server(&mut self, id: Uuid) -> Result<bool, Error> {
        let removed = self
            .connection()
            .execute(
                "delete from downstream_server where id = $1",
                vec![id.as_bytes().to_vec().into()],
            )
            .await?;
        Ok(removed > 0)
    }
}

impl Read<'_> {
    /// The note of exactly this time, to the millisecond. What stands for a position is handed out with the time of
    /// its note: any other time is somebody else's, or was forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn downstream_position(
        &mut self,
        at: Timestamp,
    ) -> Result<Option<PositionNote>, Error> {
        let row = self
            .connection()
            .fetch_optional(
                format!("{NOTE} where time = $1"),
                vec![at.as_millisecond().into()],
            )
            .await?;
        row.as_ref().map(note_of).transpose()
    }

    /// The servers, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn downstream_servers(
        &mut self,
        most: u32,
    ) -> Result<Vec<DownstreamServerRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                format!("select {COLUMNS} from downstream_server order by name, id limit $1"),
                vec![i64::from(most).into()],
            )
            .await?;
        rows.iter().map(server_of).collect()
    }

    /// What of the verified catalog changed after a position, in the order of the log, removals among it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shown_changes_after(
        &mut self,
        after: u64,
        most: u32,
    ) -> Result<Vec<ShownChange>, Error> {
        let Positions { verified, .. } = self.positions;
        let rows = self
            .connection()
            .fetch(
                "select position, key, header, document, \
                 cast(case when digest is null then 1 else 0 end as bigint) from item \
                 where position > $2 and position <= $1 \
                 and (superseded_by is null or superseded_by > $1) order by position limit $3",
                vec![int(verified), int(after), i64::from(most).into()],
            )
            .await?;
        let change = |row: &Row| {
            let removed = row.int(4)? != 0;
            let header = row.optional_blob(2)?.unwrap_or_default();
            Ok(ShownChange {
                position: row.count(0)?,
                key: ItemKey::from_bytes(&row.blob(1)?).map_err(corrupt)?,
                header: (!removed).then_some(header),
                document: row.optional_blob(3)?.unwrap_or_default(),
            })
        };
        rows.iter().map(change).collect()
    }

    /// These revisions of the verified catalog with their documents; those that there are not are not among it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shown_documents(
        &mut self,
        ids: &[RevisionId],
    ) -> Result<HashMap<RevisionId, RevisionRow>, Error> {
        let verified = self.positions.verified;
        let mut found = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(AT_ONCE) {
            let sql = format!(
                "with wanted (bucket, key) as (values {}) \
                 select item.position, item.key, item.header, item.document, item.superseded_by \
                 from wanted cross join item where item.bucket = wanted.bucket \
                 and item.key = wanted.key and item.digest is not null",
                self.connection().placeholders(chunk.len(), 2)
            );
            let mut values = Vec::with_capacity(chunk.len() * 2);
            for id in chunk {
                let key = ItemKey::Revision(*id);
                values.push(i64::from(key.bucket()).into());
                values.push(key.to_bytes().into());
            }
            for row in self.connection().fetch(sql, values).await? {
                let replaced = row.optional_int(4)?.map(u64::try_from).transpose();
                let replaced = replaced.map_err(|_| corrupt("item: superseded by no position"))?;
                let revision = RevisionRow::of(&row)?;
                if revision.position <= verified && replaced.is_none_or(|by| by > verified) {
                    found.insert(revision.id, revision);
                }
            }
        }
        Ok(found)
    }
}
