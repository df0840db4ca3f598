//! The update files of a package on their way into the content store, once its catalog is taken in: what that does
//! not name, or describes in another way, stays outside. What was broken off goes on when the package is imported
//! again: files that are here are passed over.

use super::import::blocking;
use super::piece::Piece;
use super::read::FileBlocks;
use super::{Error, Progress};
use catalog::Problem;
use catalog::content::ContentId;
use content::intake::{Intake, IntakeError, Offer};
use content::plan::Planner;
use content::{Content, Hold};
use daemon::Ambient;
use daemon::disk::LEFT_FREE;
use std::sync::Arc;
use store::Store;
use sync::upstream::with_causes;

/// Files that are told by name which were not taken in.
const MOST_TOLD: usize = 20;

/// The files in a package that nothing is wrong with.
pub(crate) struct PackageFiles {
    pub(super) blocks: FileBlocks,
    /// Each with its length.
    pub(super) list: Vec<(ContentId, u64)>,
}

/// What became of the files in a package, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesReport {
    /// In it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Taken in.
    pub taken: u64,
    /// Their bytes.
    pub taken_bytes: u64,
    /// Here already.
    pub held: u64,
    /// Not what the catalog here says, or not named by it.
    pub refused: u64,
    /// Which those are and why, the first of them.
    pub why: Vec<String>,
}

impl FilesReport {
    fn refuse(&mut self, name: impl std::fmt::Display, why: impl std::fmt::Display) {
        self.refused += 1;
        if self.why.len() < MOST_TOLD {
            let why = Problem::new(format_args!("{name}: {why}"));
            self.why.push(format!("A file in it was not taken: {why}"));
        }
    }
}

/// What an import has of the content of its site.
pub(super) struct Shelf<'s> {
    pub store: &'s Store,
    pub planner: &'s Planner,
    pub content: &'s Content,
    pub ambient: &'s Ambient,
}

impl Shelf<'_> {
    /// What is in a package and here already, and whether there is room for the rest.
    pub(super) async fn look(&self, list: &[(ContentId, u64)]) -> Result<FilesReport, Error> {
        let mut report = FilesReport {
            files: list.len() as u64,
            bytes: list.iter().map(|(_, size)| size).sum(),
            ..FilesReport::default()
        };
        let (mut all, mut largest) = (0_u64, 0);
        for (id, size) in list {
            let row = self.store.read().await?.content(&id.0).await?;
            if row.is_some_and(|row| row.present_since.is_some()) {
                report.held += 1;
            } else {
                all += size;
                largest = largest.max(*size);
            }
        }
        let files = self.content.files();
        // What lies elsewhere comes by here, one file after the other.
        let needed = match files.is_directory() {
            true => all,
            false => largest,
        };
        match self.ambient.room(files.work_folder()) {
            Some(room) if needed > 0 && room.free < needed.saturating_add(LEFT_FREE) => {
                Err(Error::NoRoomForFiles {
                    needed: needed.saturating_add(LEFT_FREE),
                    free: room.free,
                    place: files.work_folder().display().to_string(),
                })
            }
            Some(_) | None => Ok(report),
        }
    }

    /// Takes files in, while nothing is fetched. Whatever goes wrong, the catalog of the package is taken in by then: it is
    /// about the files alone.
    pub(super) async fn take_in(
        &self,
        files: PackageFiles,
        hold: &Hold,
        report: &mut FilesReport,
        progress: &Arc<Progress<'static>>,
    ) -> Result<(), Error> {
        let taken = self.take_all(files, hold, report, progress).await;
        taken.map_err(|error| Error::Files {
            why: Problem::new(with_causes(error.as_ref())),
        })
    }

    async fn take_all(
        &self,
        files: PackageFiles,
        hold: &Hold,
        report: &mut FilesReport,
        progress: &Arc<Progress<'static>>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // What the catalog names is known when what changed in it was looked at.
        self.planner.settle().await?;
        report.held = 0;
        let mut blocks = files.blocks;
        let (mut done, mut current) = (0, None);
        loop {
            let (back, next) = blocking(move || {
                let next = blocks.next();
                next.map(|next| (blocks, next))
            })
            .await?;
            blocks = back;
            let Some(pieces) = next else { return Ok(()) };
            for piece in pieces {
                done += piece.data.len() as u64;
                self.take_piece(piece, hold, &mut current, report).await?;
            }
            progress("taking in files", done, report.bytes);
        }
    }

    async fn take_piece(
        &self,
        piece: Piece,
        hold: &Hold,
        current: &mut Option<Box<Intake>>,
        report: &mut FilesReport,
    ) -> Result<(), IntakeError> {
        let is_last = piece.is_last();
        if piece.offset == 0 {
            *current = match self.content.offer(hold, piece.file, piece.size).await? {
                Offer::Wanted(intake) => Some(intake),
                Offer::Held => {
                    report.held += 1;
                    None
                }
                Offer::Unknown => {
                    let why = "the catalog here names no such file";
                    report.refuse(piece.file, why);
                    None
                }
                Offer::Busy => {
                    let why = "it is being brought another way; import the package again if it does not come";
                    report.refuse(piece.file, why);
                    None
                }
            };
        }
        let Some(intake) = current else {
            return Ok(());
        };
        if !piece.data.is_empty() {
            intake.append(piece.data).await?;
        }
        if !is_last {
            return Ok(());
        }
        let Some(intake) = current.take() else {
            return Ok(());
        };
        let name = format!("{} ({})", intake.file().name, piece.file);
        match self.content.end_intake(*intake).await {
            Ok(()) => {
                report.taken += 1;
                report.taken_bytes += piece.size;
                Ok(())
            }
            Err(IntakeError::Mismatch(mismatch)) => {
                report.refuse(name, mismatch);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
