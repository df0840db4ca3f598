//! Beginning a history: a log with nothing in it, or one that goes on where another ended.

use crate::backend::int;
use crate::error::{Error, corrupt};
use crate::{NewItem, Positions, Tx, site_state};
use catalog::item::ItemKey;
use jiff::Timestamp;
use uuid::Uuid;

impl Tx<'_> {
    /// Begins a log in an epoch, with nothing in it and nothing verified.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start_epoch(&mut self, epoch: Uuid) -> Result<(), Error> {
        for sql in ["delete from item", "delete from merkle_node"] {
            self.connection().execute(sql, vec![]).await?;
        }
        for name in [
            site_state::STATEMENT,
            site_state::ITEMS,
            site_state::VERIFIED,
            site_state::FLOOR,
        ] {
            self.remove_state(name).await?;
        }
        self.put_state(site_state::EPOCH, *epoch.as_bytes()).await?;
        self.move_head(0).await?;
        self.count_generation().await?;
        self.positions = Positions {
            epoch,
            head: 0,
            verified: 0,
            generation: self.positions.generation,
        };
        self.tree = Some(std::sync::Arc::default());
        Ok(())
    }

    /// Begins a new epoch at a top-level site that keeps its catalog: what was shown and signed since
    /// it was copied away belongs to the one before. Sites of that one compare; none continues it. Revisions
    /// that were applied and not verified are thrown away, and wanted again; what was decided here
    /// meanwhile nobody else has, and it goes over into the new epoch.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn continue_in_epoch(&mut self, epoch: Uuid, now: Timestamp) -> Result<(), Error> {
        let verified = self.positions.verified;
        let rows = self
            .connection()
            .fetch(
                "select key, digest, header, document from item \
                 where position > $1 and superseded_by is null order by position",
                vec![int(verified)],
            )
            .await?;
        let mut lost = Vec::new();
        let mut decided = Vec::new();
        let mut taken_back = Vec::new();
        for row in rows {
            let key = ItemKey::from_bytes(&row.blob(0)?).map_err(corrupt)?;
            match (key.revision(), row.optional_blob(1)?) {
                (Some(id), Some(_)) => lost.push(id),
                (Some(_), None) => {}
                (None, Some(_)) => decided.push(NewItem {
                    key,
                    header: row.optional_blob(2)?.unwrap_or_default(),
                    document: row.optional_blob(3)?.unwrap_or_default(),
                }),
                (None, None) => taken_back.push(key),
            }
        }
        self.want(&lost).await?;
        self.roll_back_unverified().await?;
        self.put_state(site_state::EPOCH, *epoch.as_bytes()).await?;
        self.positions.epoch = epoch;
        let head = self.positions.head;
        self.raise_floor(head).await?;
        self.append(decided, now).await?;
        self.remove(&taken_back, now).await?;
        Ok(())
    }
}
