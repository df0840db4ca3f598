//! Why content files are needed: which update needs which file, and which files the verified catalog names.
//!
//! What was found out about an update replaces what was known of it before, in one unit of work with the files that
//! are wanted or not any more because of it ([`crate::content`]).

use crate::backend::{ROWS_PER_STATEMENT, Row, Value, int};
use crate::content::{
    ContentSum, PRIORITY_AHEAD, PRIORITY_APPROVED, PRIORITY_LICENCE, PRIORITY_WISHED,
};
use crate::error::{Error, corrupt};
use crate::{Read, Tx};
use catalog::content::ContentFile;
use catalog::needed::Reason;
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// Stands in the place of an update where a downstream server asked for a file.
const ASKED: &[u8] = b"asked";

/// Which files are needed for an update: all of them, whatever was known before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentPlan {
    /// The update.
    pub update: UpdateId,
    /// The files, each once.
    pub files: Vec<(ContentFile, Reason)>,
    /// Revisions that it bundles and that the catalog does not have.
    pub awaited: Vec<RevisionId>,
}

/// Why a file is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentNeed {
    /// The update that needs it; none: no update of this site does.
    pub update: Option<UpdateId>,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Timestamp,
}

/// A file that nothing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnneededContent {
    /// Which.
    pub sha1: [u8; 20],
    /// Its bytes in the store; none where it is not there.
    pub bytes: u64,
}

/// Licence terms that are needed and not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MissingTerms {
    /// Their texts.
    pub files: u64,
    /// Updates that have them.
    pub updates: u64,
    /// Texts that were not tried yet.
    pub untried: u64,
}

fn code(reason: Reason) -> i64 {
    match reason {
        Reason::LicenceTerms => 0,
        Reason::Approved => 1,
        Reason::Asked => 2,
        Reason::Immediate => 3,
    }
}

fn reason_of(code: i64) -> Result<Reason, Error> {
    match code {
        0 => Ok(Reason::LicenceTerms),
        1 => Ok(Reason::Approved),
        2 => Ok(Reason::Asked),
        3 => Ok(Reason::Immediate),
        _ => Err(corrupt(format_args!("content_need: reason {code}"))),
    }
}

fn priority(reason: Reason) -> u8 {
    match reason {
        Reason::LicenceTerms => PRIORITY_LICENCE,
        Reason::Approved => PRIORITY_APPROVED,
        Reason::Asked => PRIORITY_WISHED,
        Reason::Immediate => PRIORITY_AHEAD,
    }
}

pub(crate) fn sha1_of(bytes: Vec<u8>) -> Result<[u8; 20], Error> {
    bytes
        .try_into()
        .map_err(|_| corrupt("content_need: not a SHA-1"))
}

fn member(id: &RevisionId) -> Value {
    let mut bytes = id.update_id.0.as_bytes().to_vec();
    bytes.extend(id.revision.to_be_bytes());
    bytes.into()
}

fn holder(update: UpdateId) -> Vec<u8> {
    update.0.as_bytes().to_vec()
}

fn update_of(holder: &[u8]) -> Option<UpdateId> {
    Uuid::from_slice(holder).map(UpdateId).ok()
}

/// Of holder, reason and since.
pub(crate) fn need_of(row: &Row) -> Result<ContentNeed, Error> {
    Ok(ContentNeed {
        update: update_of(&row.blob(0)?),
        reason: reason_of(row.int(1)?)?,
        since: Timestamp::from_millisecond(row.int(2)?).map_err(corrupt)?,
    })
}

fn named(row: &Row) -> Result<ContentFile, Error> {
    let url = row.text(4)?;
    let sha256 = row.optional_blob(1)?.map(<[u8; 32]>::try_from).transpose();
    Ok(ContentFile {
        sha1: sha1_of(row.blob(0)?)?,
        sha256: sha256.map_err(|_| corrupt("content_named: not a SHA-256"))?,
        size: row.count(2)?,
        name: row.text(3)?,
        url: (!url.is_empty()).then_some(url),
    })
}

impl Tx<'_> {
    /// Takes over what was found out about updates. Files that are needed now and were not are wanted, those that
    /// nothing needs any more are not; how many the latter are. May be repeated.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plan_content(
        &mut self,
        plans: &[ContentPlan],
        now: Timestamp,
    ) -> Result<u64, Error> {
        let mut wanted: BTreeMap<u8, Vec<ContentFile>> = BTreeMap::new();
        let mut gone: BTreeSet<[u8; 20]> = BTreeSet::new();
        for plan in plans {
            gone.extend(self.replace_needs(plan, now).await?);
            for (file, reason) in &plan.files {
                let files = wanted.entry(priority(*reason)).or_default();
                files.push(file.clone());
            }
        }
        for (priority, files) in wanted {
            self.want_content(&files, priority, now).await?;
            let files: Vec<[u8; 20]> = files.iter().map(|file| file.sha1).collect();
            self.no_longer_unneeded(&files).await?;
        }
        self.let_go(gone.into_iter().collect(), now).await
    }

    /// Replaces what is known of an update: files that it does not need any more.
    async fn replace_needs(
        &mut self,
        plan: &ContentPlan,
        now: Timestamp,
    ) -> Result<Vec<[u8; 20]>, Error> {
        let holder = holder(plan.update);
        let rows = self
            .connection()
            .fetch(
                "select sha1, reason from content_need where holder = $1",
                vec![holder.clone().into()],
            )
            .await?;
        let mut held = BTreeMap::new();
        for row in rows {
            held.insert(sha1_of(row.blob(0)?)?, row.int(1)?);
        }
        let mut added = Vec::new();
        for (file, reason) in &plan.files {
            if held.remove(&file.sha1) != Some(code(*reason)) {
                added.push([
                    holder.clone().into(),
                    file.sha1.to_vec().into(),
                    code(*reason).into(),
                    now.as_millisecond().into(),
                ]);
            }
        }
        self.connection()
            .insert(
                "insert into content_need (holder, sha1, reason, since)",
                added,
                " on conflict (holder, sha1) do update set reason = excluded.reason",
            )
            .await?;
        let gone: Vec<[u8; 20]> = held.into_keys().collect();
        for files in gone.chunks(ROWS_PER_STATEMENT) {
            let places = self.connection().places_after(1, files.len());
            let mut values: Vec<Value> = vec![holder.clone().into()];
            values.extend(files.iter().map(|sha1| sha1.to_vec().into()));
            self.connection()
                .execute(
                    format!("delete from content_need where holder = $1 and sha1 in {places}"),
                    values,
                )
                .await?;
        }
        self.connection()
            .execute(
                "delete from content_awaited where holder = $1",
                vec![holder.clone().into()],
            )
            .await?;
        let awaited = plan.awaited.iter();
        let awaited = awaited.map(|id| [holder.clone().into(), member(id)]);
        self.connection()
            .insert(
                "insert into content_awaited (holder, member)",
                awaited.collect(),
                " on conflict (holder, member) do nothing",
            )
            .await?;
        Ok(gone)
    }

    /// Gives files up that nothing needs any more.
    async fn let_go(&mut self, files: Vec<[u8; 20]>, now: Timestamp) -> Result<u64, Error> {
        let mut unneeded = Vec::new();
        for sha1 in files {
            let needed = self
                .connection()
                .fetch_optional(
                    "select 1 from content_need where sha1 = $1 limit 1",
                    vec![sha1.to_vec().into()],
                )
                .await?;
            if needed.is_none() {
                unneeded.push(sha1);
            }
        }
        let changed = self.unwant_content(&unneeded).await?;
        let rows = unneeded.iter();
        let rows = rows.map(|sha1| [sha1.to_vec().into(), now.as_millisecond().into()]);
        self.connection()
            .insert(
                "insert into content_unneeded (sha1, since)",
                rows.collect(),
                " on conflict (sha1) do nothing",
            )
            .await?;
        Ok(changed)
    }

    async fn no_longer_unneeded(&mut self, files: &[[u8; 20]]) -> Result<(), Error> {
        for files in files.chunks(ROWS_PER_STATEMENT) {
            let places = self.connection().places_after(0, files.len());
            self.connection()
                .execute(
                    format!("delete from content_unneeded where sha1 in {places}"),
                    files.iter().map(|sha1| sha1.to_vec().into()).collect(),
                )
                .await?;
        }
        Ok(())
    }

    /// Notes files that the verified catalog names. A later address takes the place of the one before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn name_content(&mut self, files: &[ContentFile]) -> Result<(), Error> {
        // The same file twice in one statement would be refused by PostgreSQL.
        let mut seen = HashSet::new();
        let files = files.iter().filter(|file| seen.insert(file.sha1));
        let rows = files.map(|file| {
            [
                file.sha1.to_vec().into(),
                file.sha256.map(|sha256| sha256.to_vec()).into(),
                int(file.size),
                file.name.as_str().into(),
                file.url.as_deref().unwrap_or_default().into(),
            ]
        });
        self.connection()
            .insert(
                "insert into content_named (sha1, sha256, size, name, url)",
                rows.collect(),
                " on conflict (sha1) do update set \
                 sha256 = coalesce(excluded.sha256, content_named.sha256), size = excluded.size, \
                 name = excluded.name, \
                 url = case when excluded.url = '' then content_named.url else excluded.url end",
            )
            .await?;
        Ok(())
    }

    /// Notes that a downstream server asked for files: they are wanted until [`Tx::forget_asked`]. Those that the
    /// verified catalog does not name, which are not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask_for_content(
        &mut self,
        files: &[[u8; 20]],
        now: Timestamp,
    ) -> Result<Vec<[u8; 20]>, Error> {
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for sha1 in files {
            let row = self
                .connection()
                .fetch_optional(
                    "select sha1, sha256, size, name, url from content_named where sha1 = $1",
                    vec![sha1.to_vec().into()],
                )
                .await?;
            match row {
                Some(row) => known.push(named(&row)?),
                None => unknown.push(*sha1),
            }
        }
        let rows = known.iter().map(|file| {
            [
                ASKED.to_vec().into(),
                file.sha1.to_vec().into(),
                code(Reason::Asked).into(),
                now.as_millisecond().into(),
            ]
        });
        let mut seen = HashSet::new();
        let rows = rows.zip(&known);
        let rows = rows.filter(|(_, file)| seen.insert(file.sha1));
        self.connection()
            .insert(
                "insert into content_need (holder, sha1, reason, since)",
                rows.map(|(row, _)| row).collect(),
                " on conflict (holder, sha1) do update set since = excluded.since",
            )
            .await?;
        self.want_content(&known, PRIORITY_WISHED, now).await?;
        let known: Vec<[u8; 20]> = known.iter().map(|file| file.sha1).collect();
        self.no_longer_unneeded(&known).await?;
        Ok(unknown)
    }

    /// Forgets what downstream servers asked for before a time, `most` files at most. How many that were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_asked(
        &mut self,
        before: Timestamp,
        most: u32,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let rows = self
            .connection()
            .fetch(
                "select sha1 from content_need where holder = $1 and since < $2 order by sha1 limit $3",
                vec![
                    ASKED.to_vec().into(),
                    before.as_millisecond().into(),
                    i64::from(most).into(),
                ],
            )
            .await?;
        let mut files = Vec::with_capacity(rows.len());
        for row in rows {
            let sha1 = sha1_of(row.blob(0)?)?;
            self.connection()
                .execute(
                    "delete from content_need where holder = $1 and sha1 = $2",
                    vec![ASKED.to_vec().into(), sha1.to_vec().into()],
                )
                .await?;
            files.push(sha1);
        }
        let forgotten = files.len() as u64;
        self.let_go(files, now).await?;
        Ok(forgotten)
    }

    /// Notes since when nothing needs the files of which that is not known: from now on. How many entries changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_unneeded_content(&mut self, now: Timestamp) -> Result<u64, Error> {
        let gone = self
            .connection()
            .execute(
                "delete from content_unneeded where sha1 not in \
                 (select sha1 from content_file where state = 0)",
                vec![],
            )
            .await?;
        let noted = self
            .connection()
            .execute(
                "insert into content_unneeded (sha1, since) select sha1, $1 from content_file \
                 where state = 0 and sha1 not in (select sha1 from content_unneeded) \
                 on conflict (sha1) do nothing",
                vec![now.as_millisecond().into()],
            )
            .await?;
        Ok(gone + noted)
    }
}

impl Read<'_> {
    /// Why a file is needed: no entry where nothing needs it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content_needs(
        &mut self,
        sha1: &[u8; 20],
        most: u32,
    ) -> Result<Vec<ContentNeed>, Error> {
        let rows = self
            .connection()
            .fetch(
                "select holder, reason, since from content_need where sha1 = $1 order by reason, holder limit $2",
                vec![sha1.to_vec().into(), i64::from(most).into()],
            )
            .await?;
        rows.iter().map(need_of).collect()
    }

    /// Of these files those that the verified catalog names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn named_content(
        &mut self,
        files: &[[u8; 20]],
    ) -> Result<HashMap<[u8; 20], ContentFile>, Error> {
        let mut found = HashMap::with_capacity(files.len());
        for files in files.chunks(ROWS_PER_STATEMENT) {
            let places = self.connection().places_after(0, files.len());
            let rows = self
                .connection()
                .fetch(
                    format!(
                        "select sha1, sha256, size, name, url from content_named where sha1 in {places}"
                    ),
                    files.iter().map(|sha1| sha1.to_vec().into()).collect(),
                )
                .await?;
            for row in &rows {
                let file = named(row)?;
                found.insert(file.sha1, file);
            }
        }
        Ok(found)
    }

    /// Updates that need files, or wait for members, behind one of them, in the order of their GUIDs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn updates_with_content(
        &mut self,
        after: Option<UpdateId>,
        most: u32,
    ) -> Result<Vec<UpdateId>, Error> {
        let rows = self
            .connection()
            .fetch(
                "select holder from (select holder from content_need union select holder from content_awaited) \
                 as holders where holder > $1 and length(holder) = 16 order by holder limit $2",
                vec![
                    after.map(holder).unwrap_or_default().into(),
                    i64::from(most).into(),
                ],
            )
            .await?;
        let updates = rows.iter().map(|row| {
            let holder = row.blob(0)?;
            update_of(&holder).ok_or_else(|| corrupt("content_need: not an update"))
        });
        updates.collect()
    }

    /// Updates that wait for one of these revisions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn updates_awaiting(
        &mut self,
        revisions: &[RevisionId],
    ) -> Result<Vec<UpdateId>, Error> {
        let mut updates = Vec::new();
        for revisions in revisions.chunks(ROWS_PER_STATEMENT) {
            let places = self.connection().places_after(0, revisions.len());
            let rows = self
                .connection()
                .fetch(
                    format!("select holder from content_awaited where member in {places}"),
                    revisions.iter().map(member).collect(),
                )
                .await?;
            for row in &rows {
                updates.extend(update_of(&row.blob(0)?));
            }
        }
        Ok(updates)
    }

    /// Files that nothing has needed since a time or before, those of longest ago first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content_unneeded_since(
        &mut self,
        before: Timestamp,
        most: u32,
    ) -> Result<Vec<UnneededContent>, Error> {
        let rows = self
            .connection()
            .fetch(
                "select u.sha1, case when f.present_since is null then 0 else f.size end \
                 from content_unneeded u join content_file f on f.sha1 = u.sha1 \
                 where f.state = 0 and u.since <= $1 order by u.since, u.sha1 limit $2",
                vec![before.as_millisecond().into(), i64::from(most).into()],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(UnneededContent {
                    sha1: sha1_of(row.blob(0)?)?,
                    bytes: row.count(1)?,
                })
            })
            .collect()
    }

    /// Files that nothing needs: how many since a time or before, and how many in all, with their bytes in the
    /// store.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_unneeded_content(
        &mut self,
        before: Timestamp,
    ) -> Result<(ContentSum, ContentSum), Error> {
        let row = self
            .connection()
            .fetch_one(
                "select cast(count(case when u.since <= $1 then 1 end) as bigint), \
                 cast(coalesce(sum(case when u.since <= $1 and f.present_since is not null \
                 then f.size else 0 end), 0) as bigint), count(*), \
                 cast(coalesce(sum(case when f.present_since is not null then f.size else 0 end), 0) as bigint) \
                 from content_file f left join content_unneeded u on u.sha1 = f.sha1 where f.state = 0",
                vec![before.as_millisecond().into()],
            )
            .await?;
        let sum = |files, bytes| ContentSum {
            files,
            bytes,
            had: 0,
        };
        Ok((
            sum(row.count(0)?, row.count(1)?),
            sum(row.count(2)?, row.count(3)?),
        ))
    }

    /// Licence terms that are needed and not there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn missing_licence_terms(&mut self) -> Result<MissingTerms, Error> {
        let row = self
            .connection()
            .fetch_one(
                "select count(distinct f.sha1), count(distinct n.holder), \
                 count(distinct case when f.attempts = 0 then f.sha1 end) \
                 from content_file f join content_need n on n.sha1 = f.sha1 \
                 where f.state in (1, 3) and n.reason = 0",
                vec![],
            )
            .await?;
        Ok(MissingTerms {
            files: row.count(0)?,
            updates: row.count(1)?,
            untried: row.count(2)?,
        })
    }
}
