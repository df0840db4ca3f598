//! Comparing the verified catalog with the parent's by the Merkle tree, and taking over what differs:
//! where history cannot be continued, where this site was away for too long, and where its rows are
//! not what was signed.
//!
//! What the parent holds in the buckets that differ is gathered aside (`compared_bucket`,
//! `compared_item`). Invariant: nothing of it is shown before all of it is there; going over to it is
//! one unit of work, and only to exactly what the statement covers.

mod adopt;

use crate::backend::{Connection, Row, Value, int};
use crate::error::{Error, corrupt};
use crate::log::ChangeRow;
use crate::query::VISIBLE;
use crate::verify::{BUCKETS_PER_RANGE, BUCKETS_PER_STATEMENT, bucket_of, hash_buckets};
use crate::{Read, Tx, site_state};
use catalog::item::{Digest, ItemKey, item_digest};
use catalog::merkle::{EMPTY, Tree};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Buckets that one query reads with the documents in them.
const BUCKETS_WITH_CONTENTS: u32 = 16;

/// What a site's own rows come to, from the rows alone and from nothing that was remembered.
pub struct Survey {
    /// The Merkle tree over them.
    pub tree: Tree,
    /// How many rows there are.
    pub rows: u64,
    /// Places of rows that cannot be right by themselves: at no place of the log, or, where the contents
    /// were read, with others than their digest says.
    pub damaged: HashSet<i64>,
}

/// What the parent holds in a bucket: keys and digests, in the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketList {
    /// The bucket.
    pub bucket: u16,
    /// Its items.
    pub items: Vec<(ItemKey, Digest)>,
}

/// How an item of this site differs from the parent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The parent holds it, and this site does not.
    Missing,
    /// Both hold it, and not the same.
    Altered,
    /// This site holds it more than once.
    Doubled,
    /// This site holds it, and the parent does not.
    Surplus,
}

impl Difference {
    /// The word for it in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Doubled => "doubled",
            Self::Surplus => "surplus",
        }
    }
}

impl Read<'_> {
    /// The Merkle tree of the verified catalog, as it is remembered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tree(&mut self) -> Result<Arc<Tree>, Error> {
        let (store, positions) = (self.store, self.positions);
        store.load_tree(&mut self.connection(), positions).await
    }

    /// Reads every row of the verified catalog; with `contents` also the documents, and compares each
    /// with its digest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn survey(&mut self, contents: bool) -> Result<Survey, Error> {
        let verified = self.positions.verified;
        survey(&mut self.connection(), verified, contents).await
    }

    /// Items that are still to be fetched from the parent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unfetched(&mut self, most: u32) -> Result<Vec<ItemKey>, Error> {
        let rows = self
            .connection()
            .fetch(
                "select key from compared_item where listed = 1 and held = 0 \
                 and position is null order by bucket, key limit $1",
                vec![i64::from(most).into()],
            )
            .await?;
        rows.iter()
            .map(|row| ItemKey::from_bytes(&row.blob(0)?).map_err(corrupt))
            .collect()
    }

    /// How many items are still to be fetched from the parent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_unfetched(&mut self) -> Result<u64, Error> {
        self.connection()
            .fetch_one(
                "select count(*) from compared_item where listed = 1 and held = 0 \
                 and position is null",
                vec![],
            )
            .await?
            .count(0)
    }

    /// Keys and digests of the items in some buckets of the verified catalog. A bucket without items is
    /// listed without any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_buckets(&mut self, buckets: &[u16]) -> Result<Vec<BucketList>, Error> {
        let verified = self.positions.verified;
        let rows = held_rows(&mut self.connection(), verified, buckets).await?;
        let mut lists: BTreeMap<u16, Vec<(ItemKey, Digest)>> =
            buckets.iter().map(|bucket| (*bucket, Vec::new())).collect();
        for row in rows {
            let key = ItemKey::from_bytes(&row.key).map_err(corrupt)?;
            let digest = row.digest.ok_or_else(|| corrupt("item: no digest"))?;
            if let Some(items) = lists.get_mut(&row.bucket) {
                items.push((key, digest));
            }
        }
        let lists = lists.into_iter();
        Ok(lists
            .map(|(bucket, items)| BucketList { bucket, items })
            .collect())
    }

    /// Items of the verified catalog by their keys, in the same order: no more bytes than `most_bytes`,
    /// unless a single item is larger; fewer than asked for where that is reached.
    ///
    /// # Errors
    /// When the database fails, or an item's contents are not what its digest says.
    pub async fn items_of(
        &mut self,
        keys: &[ItemKey],
        most_bytes: u64,
    ) -> Result<Vec<ChangeRow>, Error> {
        let verified = self.positions.verified;
        let sql = format!(
            "select position, header, document, digest from item where {VISIBLE} \
             and bucket = $2 and key = $3 order by position limit 1"
        );
        let mut items = Vec::new();
        let mut bytes = 0;
        for key in keys {
            let values = vec![
                int(verified),
                i64::from(key.bucket()).into(),
                key.to_bytes().into(),
            ];
            let row = self
                .connection()
                .fetch_optional(sql.clone(), values)
                .await?;
            let Some(row) = row else { continue };
            let item = ChangeRow {
                position: row.count(0)?,
                key: key.to_bytes(),
                header: row.optional_blob(1)?.unwrap_or_default(),
                document: row.optional_blob(2)?.unwrap_or_default(),
                removed: false,
            };
            let digest = item_digest(&item.key, &item.header, &item.document);
            if digest != row.digest(3)? {
                return Err(corrupt(format_args!("{key} is not what its digest says")));
            }
            bytes += (item.header.len() + item.document.len()) as u64;
            items.push(item);
            if bytes >= most_bytes {
                break;
            }
        }
        Ok(items)
    }
}

/// What the rows come to that are live at a position.
pub(crate) async fn survey(
    connection: &mut Connection<'_>,
    verified: u64,
    contents: bool,
) -> Result<Survey, Error> {
    let mut survey = Survey {
        tree: Tree::new(),
        rows: 0,
        damaged: HashSet::new(),
    };
    let (columns, step) = if contents {
        (
            "bucket, key, digest, position, header, document",
            BUCKETS_WITH_CONTENTS,
        )
    } else {
        ("bucket, key, digest, position", BUCKETS_PER_RANGE)
    };
    let sql = format!(
        "select {columns} from item where bucket >= $2 and bucket < $3 and {VISIBLE} \
         order by bucket, key, position"
    );
    let mut first: u32 = 0;
    while first <= u32::from(u16::MAX) {
        let next = first + step;
        let values = vec![
            int(verified),
            i64::from(first).into(),
            i64::from(next).into(),
        ];
        let rows = connection.fetch(sql.clone(), values).await?;
        survey.rows += rows.len() as u64;
        hash_buckets(&rows, &mut survey.tree, |row| {
            let position = row.int(3)?;
            // What cannot be read is as bad as what is wrong.
            let key = row.blob(1).unwrap_or_default();
            let bucket = ItemKey::from_bytes(&key).map(ItemKey::bucket);
            let in_place =
                position >= 1 && bucket.is_ok_and(|own| bucket_of(row).ok() == Some(own));
            let digest = row.digest(2).ok().filter(|digest| {
                in_place && (!contents || contents_digest(row, &key) == Some(*digest))
            });
            if digest.is_none() {
                survey.damaged.insert(position);
            }
            Ok((key, digest.unwrap_or(EMPTY)))
        })?;
        first = next;
    }
    Ok(survey)
}

/// The digest that the contents of a row have, if they can be read.
fn contents_digest(row: &Row, key: &[u8]) -> Option<Digest> {
    let header = row.optional_blob(4).ok()?.unwrap_or_default();
    let document = row.optional_blob(5).ok()?.unwrap_or_default();
    Some(item_digest(key, &header, &document))
}

/// A row as a comparison sees it.
struct Held {
    bucket: u16,
    key: Vec<u8>,
    /// None where it cannot be read.
    digest: Option<Digest>,
    position: i64,
}

async fn held_rows(
    connection: &mut Connection<'_>,
    verified: u64,
    buckets: &[u16],
) -> Result<Vec<Held>, Error> {
    let mut held = Vec::new();
    for chunk in buckets.chunks(BUCKETS_PER_STATEMENT) {
        let places = connection.places_after(1, chunk.len());
        let sql = format!(
            "select bucket, key, digest, position from item where {VISIBLE} and bucket in {places} \
             order by bucket, key, position"
        );
        let mut values = vec![int(verified)];
        values.extend(chunk.iter().map(|bucket| Value::from(i64::from(*bucket))));
        for row in connection.fetch(sql, values).await? {
            held.push(Held {
                bucket: bucket_of(&row)?,
                key: row.blob(1).unwrap_or_default(),
                digest: row.digest(2).ok(),
                position: row.int(3)?,
            });
        }
    }
    Ok(held)
}

impl Tx<'_> {
    /// Begins to gather what the parent holds at the catalog with this root, or goes on with it. What an
    /// earlier comparison fetched is used again where it is still wanted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_comparison(&mut self, root: &Digest) -> Result<(), Error> {
        let same = self.state(site_state::COMPARED_ROOT).await?;
        if same.as_deref() == Some(root) {
            return Ok(());
        }
        for sql in [
            "delete from compared_bucket",
            "delete from compared_item where position is null",
            "update compared_item set listed = 0",
        ] {
            self.connection().execute(sql, vec![]).await?;
        }
        self.put_state(site_state::COMPARED_ROOT, *root).await
    }

    /// Notes what the parent holds in buckets that differ. What this site holds as it should is not
    /// wanted; the rows at the places `damaged` count as not held. How this site's items differ.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_listed(
        &mut self,
        lists: &[BucketList],
        damaged: &HashSet<i64>,
    ) -> Result<Vec<(ItemKey, Difference)>, Error> {
        let buckets: Vec<u16> = lists.iter().map(|list| list.bucket).collect();
        let verified = self.positions.verified;
        let rows = held_rows(&mut self.connection(), verified, &buckets).await?;
        let mut mine: BTreeMap<(u16, Vec<u8>), Vec<Option<Digest>>> = BTreeMap::new();
        for row in rows {
            let digest = row.digest.filter(|_| !damaged.contains(&row.position));
            let place = mine.entry((row.bucket, row.key)).or_default();
            place.push(digest);
        }
        let mut differences = Vec::new();
        let mut listed = Vec::new();
        for list in lists {
            for (key, digest) in &list.items {
                let bytes = key.to_bytes();
                let held = mine.remove(&(list.bucket, bytes.clone()));
                let good = held
                    .as_ref()
                    .is_some_and(|held| held.contains(&Some(*digest)));
                match &held {
                    None => differences.push((*key, Difference::Missing)),
                    Some(held) if held.len() > 1 => differences.push((*key, Difference::Doubled)),
                    Some(_) if !good => differences.push((*key, Difference::Altered)),
                    Some(_) => {}
                }
                listed.push([
                    i64::from(list.bucket).into(),
                    bytes.into(),
                    digest.to_vec().into(),
                    1.into(),
                    i64::from(good).into(),
                ]);
            }
        }
        for (_, key) in mine.into_keys() {
            // Bytes that are no key are no item of anybody's: they go, without a name.
            if let Ok(key) = ItemKey::from_bytes(&key) {
                differences.push((key, Difference::Surplus));
            }
        }
        let buckets = buckets.into_iter().map(|bucket| [i64::from(bucket).into()]);
        self.connection()
            .insert(
                "insert into compared_bucket (bucket)",
                buckets.collect(),
                " on conflict (bucket) do nothing",
            )
            .await?;
        self.connection()
            .insert(
                "insert into compared_item (bucket, key, digest, listed, held)",
                listed,
                " on conflict (bucket, key) do update set listed = 1, held = excluded.held, \
                 position = case when compared_item.digest = excluded.digest \
                 then compared_item.position end, digest = excluded.digest",
            )
            .await?;
        Ok(differences)
    }

    /// Stores items that the parent sent, aside from the catalog.
    ///
    /// # Errors
    /// When one was not asked for or is not what the parent had listed, or the database fails.
    pub async fn store_fetched(&mut self, items: Vec<ChangeRow>) -> Result<(), Error> {
        for item in items {
            let malformed = |why: &str| Error::Malformed {
                position: item.position,
                why: why.to_owned(),
            };
            let key = crate::log::check(&item)?;
            if item.removed || item.position == 0 {
                return Err(malformed("it is no item"));
            }
            let digest = item_digest(&item.key, &item.header, &item.document);
            let position = item.position;
            let stored = self
                .connection()
                .execute(
                    "update compared_item set position = $4, header = $5, document = $6 \
                     where bucket = $1 and key = $2 and digest = $3 and listed = 1 and held = 0 \
                     and position is null",
                    vec![
                        i64::from(key.bucket()).into(),
                        item.key.into(),
                        digest.to_vec().into(),
                        int(position),
                        item.header.into(),
                        item.document.into(),
                    ],
                )
                .await?;
            if stored != 1 {
                return Err(Error::Malformed {
                    position,
                    why: "it is not what was listed before".to_owned(),
                });
            }
        }
        Ok(())
    }
}
