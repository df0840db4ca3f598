//! What a top-level site remembers of what it took in beside its synchronization source: which updates, and
//! how far it has the packages of another hierarchy.

use crate::backend::{Value, int};
use crate::error::{Error, corrupt};
use crate::query::VISIBLE;
use crate::records::{KeysOfKind, RecordRow, is_record, record_of};
use crate::{Read, Tx};
use catalog::UpdateId;
use catalog::item::ItemKey;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Updates that one statement asks for.
const AT_ONCE: usize = 200;

/// What tells a package of a hierarchy from others that were made in the same history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PackageMark {
    /// How far it goes.
    pub position: u64,
    /// When that was signed.
    pub issued: Timestamp,
    /// The beginning of the root of the catalog there, in hexadecimal: what is at a position may be signed anew after
    /// another thing was.
    pub root: String,
}

/// The hierarchy whose packages a top-level site takes, and how far it has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSource {
    /// The hierarchy.
    pub hierarchy: Uuid,
    /// The public half of the key that signs its packages.
    pub key: [u8; 32],
    /// The history that `position` belongs to.
    pub epoch: Uuid,
    /// Position there that is held here.
    pub position: u64,
    /// When that was signed there.
    pub issued: Timestamp,
    /// When it was imported here.
    pub imported: Timestamp,
    /// The packages of the same history up to the one that was taken in last, which is the last of them.
    pub history: Vec<PackageMark>,
}

fn id_of(update: UpdateId) -> Value {
    update.0.as_bytes().to_vec().into()
}

impl Tx<'_> {
    /// Notes that updates were taken in, and how. What was noted before is replaced.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_imported(
        &mut self,
        updates: &HashSet<UpdateId>,
        origin: &str,
    ) -> Result<(), Error> {
        let replaced = " on conflict (update_id) do update set origin = excluded.origin";
        self.note(updates, origin, replaced).await
    }

    /// Notes that updates were taken in, and how, unless something was noted of them before: that stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_also_imported(
        &mut self,
        updates: &HashSet<UpdateId>,
        origin: &str,
    ) -> Result<(), Error> {
        let kept = " on conflict (update_id) do nothing";
        self.note(updates, origin, kept).await
    }

    async fn note(
        &mut self,
        updates: &HashSet<UpdateId>,
        origin: &str,
        on_conflict: &str,
    ) -> Result<(), Error> {
        let mut updates: Vec<UpdateId> = updates.iter().copied().collect();
        updates.sort_unstable();
        let rows = updates
            .into_iter()
            .map(|update| [id_of(update), origin.into()])
            .collect();
        self.connection()
            .insert(
                "insert into imported (update_id, origin)",
                rows,
                on_conflict,
            )
            .await?;
        Ok(())
    }

    /// Forgets that an update was taken in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_imported(&mut self, updates: &HashSet<UpdateId>) -> Result<(), Error> {
        for update in updates {
            self.connection()
                .execute(
                    "delete from imported where update_id = $1",
                    vec![id_of(*update)],
                )
                .await?;
        }
        Ok(())
    }

    /// The hierarchy whose packages are taken; none before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn package_source(&mut self) -> Result<Option<PackageSource>, Error> {
        package_source(&mut self.connection()).await
    }

    /// Takes packages of this hierarchy from now on, and notes how far they are held.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_package_source(&mut self, source: &PackageSource) -> Result<(), Error> {
        self.connection()
            .execute("delete from package_source", vec![])
            .await?;
        let history = serde_json::to_string(&source.history).map_err(corrupt)?;
        let values = [
            source.hierarchy.as_bytes().to_vec().into(),
            source.key.to_vec().into(),
            source.epoch.as_bytes().to_vec().into(),
            int(source.position),
            source.issued.as_microsecond().into(),
            source.imported.as_millisecond().into(),
            history.into(),
        ];
        self.connection()
            .insert(
                "insert into package_source \
                 (hierarchy, signing_key, epoch, position, issued, imported, history)",
                vec![values],
                "",
            )
            .await?;
        Ok(())
    }
}

async fn package_source(
    connection: &mut crate::backend::Connection<'_>,
) -> Result<Option<PackageSource>, Error> {
    let row = connection
        .fetch_optional(
            "select hierarchy, signing_key, epoch, position, issued, imported, history from package_source",
            vec![],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(PackageSource {
        hierarchy: Uuid::from_slice(&row.blob(0)?).map_err(corrupt)?,
        key: row
            .blob(1)?
            .try_into()
            .map_err(|_| corrupt("package_source: the length of the key"))?,
        epoch: Uuid::from_slice(&row.blob(2)?).map_err(corrupt)?,
        position: row.count(3)?,
        issued: Timestamp::from_microsecond(row.int(4)?).map_err(corrupt)?,
        imported: Timestamp::from_millisecond(row.int(5)?).map_err(corrupt)?,
        history: serde_json::from_str(&row.text(6)?).map_err(corrupt)?,
    }))
}

impl Read<'_> {
    /// The hierarchy whose packages are taken; none before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn package_source(&mut self) -> Result<Option<PackageSource>, Error> {
        package_source(&mut self.connection()).await
    }

    /// Which of these updates were taken in beside the synchronization source, and how.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn imported(
        &mut self,
        updates: &[UpdateId],
    ) -> Result<HashMap<UpdateId, String>, Error> {
        let mut found = HashMap::new();
        for chunk in updates.chunks(AT_ONCE) {
            let places = self.connection().placeholders(1, chunk.len());
            let values = chunk.iter().copied().map(id_of).collect();
            let sql = format!("select update_id, origin from imported where update_id in {places}");
            for row in self.connection().fetch(sql, values).await? {
                let id = Uuid::from_slice(&row.blob(0)?).map_err(corrupt)?;
                found.insert(UpdateId(id), row.text(1)?);
            }
        }
        Ok(found)
    }

    /// Records of a kind in the verified catalog, by key, behind `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn verified_records(
        &mut self,
        (first, end): KeysOfKind,
        after: Option<ItemKey>,
        most: u32,
    ) -> Result<Vec<RecordRow>, Error> {
        let is_record = is_record(&self.connection());
        let shown = self.positions().verified;
        let after = after.map_or_else(|| first.to_vec(), ItemKey::to_bytes);
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select position, key, header from item where {VISIBLE} and {is_record} \
                     and key > $2 and key < $3 order by key limit $4"
                ),
                vec![
                    int(shown),
                    after.into(),
                    end.to_vec().into(),
                    i64::from(most).into(),
                ],
            )
            .await?;
        rows.iter().map(record_of).collect()
    }
}
