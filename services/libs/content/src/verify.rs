//! Reading every file that is here, and comparing it with the catalog. What is damaged is put aside and fetched again.

use crate::Content;
use crate::files::Verdict;
use futures::future::BoxFuture;
use store::content::ContentState;
use store::{Error, Store};

/// Rows that are read at a time.
const AT_ONCE: u32 = 200;

/// How far a verification is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files that were looked at.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files there are to look at.
    pub total_files: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// Files that are not what the catalog says.
    pub damaged: u64,
    /// Files that were noted as here and are not.
    pub missing: u64,
    /// What was found just now, for people; empty where it was right.
    pub found: String,
}

/// A verification that was broken off.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
    /// The store of content files.
    #[error(
        "the file {name} could not be read from the content store: check its disk and its rights"
    )]
    Files {
        /// Which.
        name: String,
        /// Why.
        source: crate::Error,
    },
}

/// Reads every file that is here, and tells `tell` after each. Ends early where `tell` says so.
///
/// # Errors
/// When the database or the store of files fails. What was found stays noted.
pub async fn verify(
    store: &Store,
    content: &Content,
    mut tell: impl FnMut(&Progress) -> BoxFuture<'static, bool> + Send,
) -> Result<Progress, VerifyError> {
    let totals = store.read().await?.content_totals().await?;
    let mut progress = Progress {
        total_files: totals.present.files + totals.unneeded.files,
        total_bytes: totals.present.bytes + totals.unneeded.bytes,
        ..Progress::default()
    };
    let mut last: Option<[u8; 20]> = None;
    loop {
        let rows = {
            let mut read = store.read().await?;
            read.content_after(last.as_ref(), AT_ONCE).await?
        };
        let Some(end) = rows.last() else { break };
        last = Some(end.file.sha1);
        for row in rows {
            let is_here = match row.state {
                ContentState::Present | ContentState::Unneeded => row.present_since.is_some(),
                ContentState::Wanted | ContentState::Quarantined => false,
            };
            if !is_here {
                continue;
            }
            let verdict = content.verify(&row).await;
            let verdict = verdict.map_err(|source| VerifyError::Files {
                name: row.file.name.clone(),
                source,
            })?;
            progress.found.clear();
            let why = match verdict {
                // Somebody brings or removes it just now, and looks at it doing so.
                None => continue,
                Some(Verdict::Good) => None,
                Some(Verdict::Missing) => {
                    progress.missing += 1;
                    Some("it is not in the content store".to_owned())
                }
                Some(Verdict::Bad(mismatch)) => {
                    progress.damaged += 1;
                    Some(mismatch.to_string())
                }
            };
            if let Some(why) = why {
                progress.found = format!("{} ({}): {why}", row.file.name, row.file.id());
            }
            progress.files += 1;
            progress.bytes += row.file.size;
            if !tell(&progress).await {
                return Ok(progress);
            }
        }
    }
    progress.found.clear();
    Ok(progress)
}
