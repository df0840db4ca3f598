//! The content files that a site wants or holds: what is planned (which are needed) meets what is done (which
//! are fetched) in one table.
//!
//! The plan calls [`Tx::want_content`] and [`Tx::unwant_content`], as often as it likes; the clean-up
//! [`Tx::forget_content`]. What fetches asks [`Read::content_to_fetch`] and says what became of it.

use crate::backend::{Connection, Row, Value, int};
use crate::error::{Error, corrupt};
use crate::{Read, Tx};
use catalog::content::{ContentFile, MAX_FILE_BYTES};
use jiff::Timestamp;

/// How urgent a file is: the text of a licence, which a person waits for to decide.
pub const PRIORITY_LICENCE: u8 = 30;
/// How urgent a file is: a child asks for it and waits.
pub const PRIORITY_ASKED: u8 = 20;
/// How urgent a file is: of an update that is approved.
pub const PRIORITY_APPROVED: u8 = 10;
/// How urgent a file is: a downstream server asked for it, and comes back for it. Nobody proves who it is, so what
/// the hierarchy decided goes first.
pub const PRIORITY_WISHED: u8 = 5;
/// How urgent a file is: fetched though nobody approved anything yet.
pub const PRIORITY_AHEAD: u8 = 0;

/// Bytes of an error that are kept.
const MAX_ERROR_BYTES: usize = 1000;

/// What is with a content file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentState {
    /// Nothing needs it. Where it lies in the store, the clean-up may remove it.
    Unneeded,
    /// It is needed and not there yet.
    Wanted,
    /// It is needed, and lies in the store, verified.
    Present,
    /// It is needed; what came last was not what the catalog says, and lies aside. It is fetched again.
    Quarantined,
}

impl ContentState {
    fn code(self) -> i64 {
        match self {
            Self::Unneeded => 0,
            Self::Wanted => 1,
            Self::Present => 2,
            Self::Quarantined => 3,
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unneeded => "unneeded",
            Self::Wanted => "wanted",
            Self::Present => "present",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A content file, and what is with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentRow {
    /// The file.
    pub file: ContentFile,
    /// What is with it.
    pub state: ContentState,
    /// How urgent it is; higher goes first.
    pub priority: u8,
    /// Bytes that were there at the end of the last attempt.
    pub had: u64,
    /// How often it was tried since it was wanted or there last.
    pub attempts: u32,
    /// When to try, or to try again.
    pub next_attempt: Timestamp,
    /// Why the last attempt did not succeed; empty where it did, or there was none.
    pub last_error: String,
    /// Since when the store holds it; none where it does not.
    pub present_since: Option<Timestamp>,
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContentSum {
    /// Files.
    pub files: u64,
    /// Their bytes, all of them.
    pub bytes: u64,
    /// Of these, the bytes that the last attempts left behind.
    pub had: u64,
}

/// All content files of a site, by their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContentTotals {
    /// Needed, not there yet, nothing wrong.
    pub wanted: ContentSum,
    /// Needed and there.
    pub present: ContentSum,
    /// Needed; what came was not what the catalog says.
    pub quarantined: ContentSum,
    /// In the store, and nothing needs it.
    pub unneeded: ContentSum,
    /// Of those that are wanted or quarantined, how many did not come at the last attempt.
    pub failing: u64,
}

impl ContentTotals {
    /// Files that are still to come.
    pub fn files_to_go(&self) -> u64 {
        self.wanted.files + self.quarantined.files
    }

    /// Bytes that are still to come.
    pub fn bytes_to_go(&self) -> u64 {
        let all = self.wanted.bytes + self.quarantined.bytes;
        all.saturating_sub(self.wanted.had + self.quarantined.had)
    }
}

pub(crate) const COLUMNS: &str = "sha1, sha256, size, name, url, state, priority, had, attempts, next_attempt, last_error, \
                       present_since";

pub(crate) fn row_of(row: &Row) -> Result<ContentRow, Error> {
    let bad = |what: &str| corrupt(format_args!("content_file: {what}"));
    let time = |at: i64| Timestamp::from_millisecond(at).map_err(corrupt);
    let sha256 = row.optional_blob(1)?.map(<[u8; 32]>::try_from).transpose();
    let url = row.text(4)?;
    Ok(ContentRow {
        file: ContentFile {
            sha1: row.blob(0)?.try_into().map_err(|_| bad("SHA-1"))?,
            sha256: sha256.map_err(|_| bad("SHA-256"))?,
            size: row.count(2)?,
            name: row.text(3)?,
            url: (!url.is_empty()).then_some(url),
        },
        state: state_of(row.int(5)?)?,
        priority: u8::try_from(row.int(6)?).map_err(|_| bad("priority"))?,
        had: row.count(7)?,
        attempts: u32::try_from(row.count(8)?).unwrap_or(u32::MAX),
        next_attempt: time(row.int(9)?)?,
        last_error: row.text(10)?,
        present_since: row.optional_int(11)?.map(time).transpose()?,
    })
}

fn state_of(code: i64) -> Result<ContentState, Error> {
    match code {
        0 => Ok(ContentState::Unneeded),
        1 => Ok(ContentState::Wanted),
        2 => Ok(ContentState::Present),
        3 => Ok(ContentState::Quarantined),
        _ => Err(corrupt(format_args!("content_file: state {code}"))),
    }
}

fn id(sha1: &[u8; 20]) -> Value {
    sha1.to_vec().into()
}

fn shortened(error: &str) -> &str {
    let mut end = error.len().min(MAX_ERROR_BYTES);
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    &error[..end]
}

async fn one(
    connection: &mut Connection<'_>,
    sha1: &[u8; 20],
) -> Result<Option<ContentRow>, Error> {
    let row = connection
        .fetch_optional(
            format!("select {COLUMNS} from content_file where sha1 = $1"),
            vec![id(sha1)],
        )
        .await?;
    row.as_ref().map(row_of).transpose()
}

async fn after(
    connection: &mut Connection<'_>,
    after: Option<&[u8; 20]>,
    limit: u32,
) -> Result<Vec<ContentRow>, Error> {
    let after: Vec<u8> = after.map(|sha1| sha1.to_vec()).unwrap_or_default();
    let rows = connection
        .fetch(
            format!("select {COLUMNS} from content_file where sha1 > $1 order by sha1 limit $2"),
            vec![after.into(), i64::from(limit).into()],
        )
        .await?;
    rows.iter().map(row_of).collect()
}

impl Tx<'_> {
    /// Notes that files are needed. Those that the store holds are present at once, the others are fetched from
    /// now on. May be repeated: what is wanted or there already only gets the higher priority, and an address or
    /// SHA-256 that was not known. How many were not needed before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn want_content(
        &mut self,
        files: &[ContentFile],
        priority: u8,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let needed_before = self.needed().await?;
        let rows = files.iter().map(|file| {
            [
                id(&file.sha1),
                file.sha256.map(|sha256| sha256.to_vec()).into(),
                int(file.size),
                file.name.as_str().into(),
                file.url.as_deref().unwrap_or_default().into(),
                ContentState::Wanted.code().into(),
                i64::from(priority).into(),
                0.into(),
                0.into(),
                now.as_millisecond().into(),
                "".into(),
                Value::NoInt,
            ]
        });
        // What lies in the store was compared with its SHA-1 alone, and the catalog now says its SHA-256: it is looked
        // through again before it counts as present.
        let again = "(content_file.present_since is not null and content_file.sha256 is null \
                     and excluded.sha256 is not null)";
        // The same file twice in one statement would be refused by PostgreSQL.
        let mut seen = std::collections::HashSet::new();
        let rows = rows
            .zip(files)
            .filter(|(_, file)| seen.insert(file.sha1))
            .map(|(row, _)| row)
            .collect();
        self.connection()
            .insert(
                &format!("insert into content_file ({COLUMNS})"),
                rows,
                &format!(
                    " on conflict (sha1) do update set \
                 sha256 = coalesce(content_file.sha256, excluded.sha256), \
                 size = case when content_file.present_since is null then excluded.size \
                 else content_file.size end, \
                 url = case when excluded.url = '' then content_file.url else excluded.url end, \
                 priority = case when content_file.state <> 0 and content_file.priority > excluded.priority \
                 then content_file.priority else excluded.priority end, \
                 next_attempt = case when content_file.state = 0 or {again} then excluded.next_attempt \
                 else content_file.next_attempt end, \
                 present_since = case when {again} then null else content_file.present_since end, \
                 state = case when {again} then 1 when content_file.state <> 0 then content_file.state \
                 when content_file.present_since is not null then 2 else 1 end"
                ),
            )
            .await?;
        Ok(self.needed().await?.saturating_sub(needed_before))
    }

    async fn needed(&mut self) -> Result<u64, Error> {
        self.connection()
            .fetch_one("select count(*) from content_file where state <> 0", vec![])
            .await?
            .count(0)
    }

    /// Notes that nothing needs files any more. What the store holds of them stays there until
    /// [`Tx::forget_content`]. How many were needed before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unwant_content(&mut self, files: &[[u8; 20]]) -> Result<u64, Error> {
        let mut changed = 0;
        for files in files.chunks(crate::backend::ROWS_PER_STATEMENT) {
            let places = self.connection().places_after(0, files.len());
            changed += self
                .connection()
                .execute(
                    format!(
                        "update content_file set state = 0, attempts = 0, last_error = '' \
                         where state <> 0 and sha1 in {places}"
                    ),
                    files.iter().map(id).collect(),
                )
                .await?;
        }
        Ok(changed)
    }

    /// Forgets a file that nothing needs: whether it was one. Who removes the file itself does so afterwards, and
    /// holds its claim in the store all the while: a file without a row costs room, a row without its file
    /// would be a lie.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_content(&mut self, sha1: &[u8; 20]) -> Result<bool, Error> {
        let changed = self
            .connection()
            .execute(
                "delete from content_file where sha1 = $1 and state = 0",
                vec![id(sha1)],
            )
            .await?;
        // Should it be needed and let go again, its time begins anew.
        self.connection()
            .execute(
                "delete from content_unneeded where sha1 = $1",
                vec![id(sha1)],
            )
            .await?;
        Ok(changed > 0)
    }

    /// A content file; none where none of this SHA-1 is wanted or held.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content(&mut self, sha1: &[u8; 20]) -> Result<Option<ContentRow>, Error> {
        one(&mut self.connection(), sha1).await
    }

    /// Content files in the order of their SHA-1, those after `last`, or from the first: for walking through all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content_after(
        &mut self,
        last: Option<&[u8; 20]>,
        limit: u32,
    ) -> Result<Vec<ContentRow>, Error> {
        after(&mut self.connection(), last, limit).await
    }

    /// Notes that the store holds a file, verified. One that nothing needs stays unneeded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content_came(&mut self, sha1: &[u8; 20], now: Timestamp) -> Result<(), Error> {
        self.connection()
            .execute(
                "update content_file set present_since = coalesce(present_since, $2), had = size, attempts = 0, \
                 last_error = '', state = case when state = 0 then 0 else 2 end where sha1 = $1",
                vec![id(sha1), now.as_millisecond().into()],
            )
            .await?;
        Ok(())
    }

    /// Notes that the store does not hold a file that was present: it is fetched again. For who looked and found
    /// it missing or damaged.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content_lost(
        &mut self,
        sha1: &[u8; 20],
        why: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.connection()
            .execute(
                "update content_file set present_since = null, had = 0, attempts = 0, next_attempt = $2, \
                 last_error = $3, state = case when state = 0 then 0 else 1 end \
                 where sha1 = $1 and present_since is not null",
                vec![id(sha1), now.as_millisecond().into(), shortened(why).into()],
            )
            .await?;
        Ok(())
    }

    /// Notes an attempt that did not bring a file, why, how much of it is there, and when to try again. With
    /// `quarantined`, what came was not what the catalog says.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content_failed(
        &mut self,
        sha1: &[u8; 20],
        failure: &ContentFailure<'_>,
    ) -> Result<(), Error> {
        let state = match failure.quarantined {
            true => ContentState::Quarantined,
            false => ContentState::Wanted,
        };
        self.connection()
            .execute(
                "update content_file set had = $2, attempts = attempts + $6, next_attempt = $3, last_error = $4, \
                 state = case when $5 = 3 then 3 else state end \
                 where sha1 = $1 and state in (1, 3)",
                vec![
                    id(sha1),
                    int(failure.had),
                    failure.next_attempt.as_millisecond().into(),
                    shortened(failure.why).into(),
                    state.code().into(),
                    i64::from(failure.counts).into(),
                ],
            )
            .await?;
        Ok(())
    }

    /// Has everything that is wanted tried at once, whatever its next attempt was: for who asks by hand. How many files
    /// that concerns.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retry_content(&mut self, now: Timestamp) -> Result<u64, Error> {
        self.connection()
            .execute(
                "update content_file set next_attempt = $1 where state in (1, 3) and next_attempt > $1",
                vec![now.as_millisecond().into()],
            )
            .await
    }

    /// The same for the texts of licence terms alone: a synchronization waits for those, and what else fails keeps its
    /// time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retry_licence_terms(&mut self, now: Timestamp) -> Result<u64, Error> {
        self.connection()
            .execute(
                "update content_file set next_attempt = $1 where state in (1, 3) and next_attempt > $1 \
                 and priority >= $2",
                vec![now.as_millisecond().into(), i64::from(PRIORITY_LICENCE).into()],
            )
            .await
    }
}

/// An attempt that did not bring a file.
#[derive(Debug, Clone, Copy)]
pub struct ContentFailure<'a> {
    /// Why, for people.
    pub why: &'a str,
    /// Bytes that are there.
    pub had: u64,
    /// When to try again.
    pub next_attempt: Timestamp,
    /// Whether what came was not what the catalog says.
    pub quarantined: bool,
    /// Whether it counts as an attempt: not where the source only has it not yet.
    pub counts: bool,
}

impl Read<'_> {
    /// What is to be fetched now: wanted or quarantined, its time has come; the most urgent first, and among
    /// those the small ones first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content_to_fetch(
        &mut self,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<ContentRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from content_file where state in (1, 3) and next_attempt <= $1 \
                     order by priority desc, attempts, size, sha1 limit $2"
                ),
                vec![now.as_millisecond().into(), i64::from(limit).into()],
            )
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// When the next file has its turn that is not there yet; none where nothing is wanted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_content_attempt(&mut self) -> Result<Option<Timestamp>, Error> {
        let row = self
            .connection()
            .fetch_one(
                "select min(next_attempt) from content_file where state in (1, 3)",
                vec![],
            )
            .await?;
        let at = row.optional_int(0)?;
        at.map(Timestamp::from_millisecond)
            .transpose()
            .map_err(corrupt)
    }

    /// A content file; none where none of this SHA-1 is wanted or held.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content(&mut self, sha1: &[u8; 20]) -> Result<Option<ContentRow>, Error> {
        one(&mut self.connection(), sha1).await
    }

    /// Content files in the order of their SHA-1, those after `last`, or from the first: for walking through all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content_after(
        &mut self,
        last: Option<&[u8; 20]>,
        limit: u32,
    ) -> Result<Vec<ContentRow>, Error> {
        after(&mut self.connection(), last, limit).await
    }

    /// Files that nothing needs, in the order of their SHA-1: for the clean-up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unneeded_content(&mut self, limit: u32) -> Result<Vec<ContentRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from content_file where state = 0 order by sha1 limit $1"
                ),
                vec![i64::from(limit).into()],
            )
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// Files that did not come at the last attempt, those that were tried most often first: for people.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn failing_content(&mut self, limit: u32) -> Result<Vec<ContentRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from content_file where state in (1, 3) and attempts > 0 \
                     order by attempts desc, sha1 limit $1"
                ),
                vec![i64::from(limit).into()],
            )
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// Files and bytes by state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn content_totals(&mut self) -> Result<ContentTotals, Error> {
        let rows = self
            .connection()
            .fetch(
                // What is larger than any file may be is never fetched, and would go beyond what can be summed.
                "select state, count(*), \
                 cast(coalesce(sum(case when size > $1 then 0 else size end), 0) as bigint), \
                 cast(coalesce(sum(had), 0) as bigint), \
                 cast(coalesce(sum(case when attempts > 0 then 1 else 0 end), 0) as bigint) \
                 from content_file where state <> 0 or present_since is not null group by state",
                vec![int(MAX_FILE_BYTES)],
            )
            .await?;
        let mut totals = ContentTotals::default();
        for row in &rows {
            let sum = ContentSum {
                files: row.count(1)?,
                bytes: row.count(2)?,
                had: row.count(3)?,
            };
            match state_of(row.int(0)?)? {
                ContentState::Unneeded => totals.unneeded = sum,
                ContentState::Present => totals.present = sum,
                ContentState::Wanted => {
                    totals.wanted = sum;
                    totals.failing += row.count(4)?;
                }
                ContentState::Quarantined => {
                    totals.quarantined = sum;
                    totals.failing += row.count(4)?;
                }
            }
        }
        Ok(totals)
    }
}
