//! The update files that a package carries: those that are needed here and are here. They are read from the content
//! store while the package is sent, each one after it was found to be what the catalog says.

use super::Error;
use super::export::{PIECE_OF_PROGRESS, Piece as Sent, send, send_data};
use super::import::Packages;
use super::manifest::FilesKind;
use super::piece::{MAX_FILES, PIECE_BYTES, Piece};
use super::spool::MAX_PACKAGE_BYTES;
use super::write::Writer;
use catalog::content::ContentId;
use catalog::needed::Reason;
use catalog::{Problem, UpdateId};
use content::Content;
use content::files::Verdict;
use jiff::Timestamp;
use std::collections::HashSet;
use std::io::ErrorKind;
use store::content::ContentRow;
use store::needs::ContentNeed;
use sync::upstream::with_causes;
use tokio::sync::mpsc::Sender;

/// Files that are looked up at a time.
const AT_ONCE: u32 = 200;

/// Which files a package carries.
pub(super) struct Choice {
    pub kind: FilesKind,
    /// Of a package with what changed: the updates that did, and when the package before it was made, whose files
    /// whoever imports this one has. None: all files.
    pub since: Option<(HashSet<UpdateId>, Timestamp)>,
}

impl Choice {
    fn takes(&self, row: &ContentRow, needs: &[ContentNeed]) -> bool {
        let of_kind = match self.kind {
            FilesKind::Content => true,
            FilesKind::LicenceTerms => needs.iter().any(|need| need.reason == Reason::LicenceTerms),
        };
        let Some((updates, before)) = &self.since else {
            return of_kind;
        };
        let came = row.present_since.is_some_and(|came| came >= *before);
        // What was asked for by hand belongs to no update, and what other settings made needed to none that changed.
        let changed = needs.iter().any(|need| {
            need.since >= *before || need.update.is_some_and(|update| updates.contains(&update))
        });
        of_kind && (came || changed)
    }
}

/// What is needed and not in a package.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Left {
    /// Files.
    pub absent: u64,
    /// Those of them that were chosen, and could not be read: the next package has to look for them again.
    pub passed_over: u64,
}

impl Packages {
    /// Writes the files that were chosen behind the changes. What is needed and not in it.
    pub(super) async fn push_files(
        &self,
        writer: &mut Writer,
        choice: &Choice,
        pieces: &Sender<Result<Sent, Error>>,
    ) -> Result<Left, Error> {
        let Some(content) = self.content() else {
            return Ok(Left::default());
        };
        let (chosen, absent) = self.choose(choice).await?;
        let total = bytes_of(&chosen, writer)?;
        let mut passed_over = 0;
        let mut done = 0;
        for (id, size) in chosen {
            let progress = Sent::Progress(PIECE_OF_PROGRESS, done, total);
            send(pieces, progress).await?;
            let row = {
                let mut read = self.upstream().store.read().await?;
                read.content(&id.0).await?
            };
            let written = match row {
                Some(row) => push_file(content, &row, writer, pieces).await?,
                None => false,
            };
            passed_over += u64::from(!written);
            done += size;
        }
        Ok(Left {
            absent: absent + passed_over,
            passed_over,
        })
    }

    /// Counts the files that were chosen, as if they were written. What is needed and not in it.
    pub(super) async fn count_files(
        &self,
        writer: &mut Writer,
        choice: &Choice,
    ) -> Result<Left, Error> {
        if self.content().is_none() {
            return Ok(Left::default());
        }
        let (chosen, absent) = self.choose(choice).await?;
        let total = bytes_of(&chosen, writer)?;
        writer.count_files(chosen.len() as u64, total);
        Ok(Left {
            absent,
            passed_over: 0,
        })
    }

    /// The files to write, and how many more are needed and not here.
    async fn choose(&self, choice: &Choice) -> Result<(Vec<(ContentId, u64)>, u64), Error> {
        let store = &self.upstream().store;
        let (mut chosen, mut last) = (Vec::new(), None::<[u8; 20]>);
        loop {
            let mut read = store.read().await?;
            let rows = read.present_content_after(last.as_ref(), AT_ONCE).await?;
            let Some(end) = rows.last() else { break };
            last = Some(end.file.sha1);
            let files: Vec<[u8; 20]> = rows.iter().map(|row| row.file.sha1).collect();
            let needs = read.needs_of(&files).await?;
            for row in rows {
                let of = needs.get(&row.file.sha1).map_or(&[][..], Vec::as_slice);
                if choice.takes(&row, of) {
                    chosen.push((row.file.id(), row.file.size));
                }
            }
        }
        let mut read = store.read().await?;
        let absent = match choice.kind {
            FilesKind::Content => read.content_totals().await?.files_to_go(),
            FilesKind::LicenceTerms => read.missing_licence_terms().await?.files,
        };
        Ok((chosen, absent))
    }
}

/// Bytes of the files that were chosen.
///
/// # Errors
/// When there is no room for them in a package.
fn bytes_of(chosen: &[(ContentId, u64)], writer: &Writer) -> Result<u64, Error> {
    if chosen.len() as u64 > MAX_FILES {
        return Err(Error::TooManyFiles { most: MAX_FILES });
    }
    let total = chosen.iter().map(|(_, size)| size).sum();
    // What is compressed already stays as large.
    let size = writer.bytes().saturating_add(total);
    match size > MAX_PACKAGE_BYTES {
        true => Err(Error::TooLarge {
            size,
            most: MAX_PACKAGE_BYTES,
        }),
        false => Ok(total),
    }
}

/// Writes one file; whether it did, which it does not where the file is not what the catalog says or somebody is at
/// work on it.
async fn push_file(
    content: &Content,
    row: &ContentRow,
    writer: &mut Writer,
    pieces: &Sender<Result<Sent, Error>>,
) -> Result<bool, Error> {
    let file = &row.file;
    let failed = |why: &dyn std::fmt::Display| Error::File {
        name: format!("{} ({})", Problem::new(&file.name), file.id()),
        why: Problem::new(why),
    };
    let verdict = content.verify(row).await;
    match verdict.map_err(|error| failed(&with_causes(&error)))? {
        Some(Verdict::Good) => {}
        Some(Verdict::Missing | Verdict::Bad(_)) | None => return Ok(false),
    }
    // Nobody removes it meanwhile.
    let Some(_claim) = content.files().claim(file.id()) else {
        return Ok(false);
    };
    let mut offset = 0;
    loop {
        let length = (file.size - offset).min(PIECE_BYTES as u64);
        let data = match length {
            0 => Vec::new(),
            _ => {
                match content.files().read(file, offset, length).await {
                    Ok(data) => data.to_vec(),
                    // The clean-up was faster than the claim.
                    Err(error) if offset == 0 && error.kind() == ErrorKind::NotFound => {
                        return Ok(false);
                    }
                    Err(error) => return Err(failed(&error)),
                }
            }
        };
        if (data.len() as u64) < length {
            return Err(failed(&"it became shorter while it was read"));
        }
        let piece = Piece {
            file: file.id(),
            size: file.size,
            offset,
            data,
        };
        send_data(pieces, &writer.push_piece(&piece)?).await?;
        if piece.is_last() {
            return Ok(true);
        }
        offset += length;
    }
}
