//! Exporting the verified catalog. A package is made while it is sent, in bounded memory; one that goes up to a
//! statement which is overtaken meanwhile goes up to the newer one.

use super::export_files::{Choice, Left};
use super::format::Change;
use super::import::Packages;
use super::manifest::{Carried, FilesKind, MAX_EARLIER, mark_of};
use super::write::Writer;
use super::{Error, wsusutil};
use catalog::UpdateId;
use catalog::item::{ItemKey, approval_keys};
use jiff::Timestamp;
use journal::StatusId;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;
use store::ChangeRow;
use store::packages::PackageMark;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;
use trust::SignedStatement;
use uuid::Uuid;
use wsus::package::PackageInfo;

/// Name under which is kept how far the last package went.
const LAST: &str = "last-package";
/// Name under which is kept which packages were made.
const MADE: &str = "packages-made";
/// Changes that are read at a time, and their bytes.
const PAGE: usize = match cfg!(feature = "simulation") {
    true => 25,
    false => 500,
};
const PAGE_BYTES: u64 = 8 << 20;
/// Approvals that are read at a time.
const RECORDS: u32 = 2000;
/// Bytes of one message.
const PIECE: usize = match cfg!(feature = "simulation") {
    true => 4 << 10,
    false => 256 << 10,
};
/// Who takes nothing for so long is no longer waited for: nothing else is exported or imported meanwhile.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// After what a package begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With everything.
    Beginning,
    /// After a position.
    Position(u64),
    /// After the last package that was exported.
    Last,
}

/// What is to be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Whether in the form of wsusutil.
    pub wsusutil: bool,
    /// After what it begins.
    pub since: Since,
    /// Whether approvals are in it.
    pub approvals: bool,
    /// Whether the settings that concern every site are in it.
    pub settings: bool,
    /// Which update files are in it.
    pub files: Option<FilesKind>,
    /// Whether only what would be in it is told.
    pub dry_run: bool,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exported {
    /// Revisions in it.
    pub revisions: u64,
    /// Revisions that it says are gone.
    pub removals: u64,
    /// Approvals in it.
    pub approvals: u64,
    /// Whether settings are in it.
    pub settings: bool,
    /// Update files in it; none where they were not asked for.
    pub files: Option<Carried>,
    /// Files that are needed and not in it, as they are not here.
    pub absent: u64,
    /// Its size.
    pub bytes: u64,
    /// After which position it begins.
    pub base: u64,
    /// How far it goes.
    pub position: u64,
    /// The key that signed it; empty where none did.
    pub key: String,
}

/// What comes of an export, in order.
#[derive(Debug)]
pub enum Piece {
    /// How far it is.
    Progress(&'static str, u64, u64),
    /// The next bytes.
    Data(Vec<u8>),
    /// All was sent.
    Done(Exported),
}

/// How far the last package went.
#[derive(Serialize, Deserialize)]
struct Last {
    epoch: Uuid,
    position: u64,
    /// Which files were in it, and when it was begun.
    #[serde(default)]
    files: Option<(FilesKind, Timestamp)>,
}

/// The packages that were made in an epoch.
#[derive(Serialize, Deserialize)]
struct Made {
    epoch: Uuid,
    /// The newest last, [`MAX_EARLIER`] of them.
    packages: Vec<PackageMark>,
}

impl Made {
    /// One more was made.
    fn and(mut self, mark: PackageMark) -> Self {
        self.packages.retain(|other| *other != mark);
        self.packages.push(mark);
        let over = self.packages.len().saturating_sub(MAX_EARLIER);
        self.packages.drain(..over);
        self
    }
}

/// What is done while files are written.
pub(super) const PIECE_OF_PROGRESS: &str = "writing files";

/// Sends; an error where nobody takes it any more.
pub(super) async fn send(pieces: &Sender<Result<Piece, Error>>, piece: Piece) -> Result<(), Error> {
    match timeout(MOST_WAIT, pieces.send(Ok(piece))).await {
        Ok(sent) => sent.map_err(|_| Error::Cancelled),
        Err(_) => Err(Error::NotTaken),
    }
}

/// Waits until all that was sent is taken.
async fn all_taken(pieces: &Sender<Result<Piece, Error>>) -> Result<(), Error> {
    // One more is taken each time.
    for taken in 1..=pieces.max_capacity() {
        match timeout(MOST_WAIT, pieces.reserve_many(taken)).await {
            Ok(places) => drop(places.map_err(|_| Error::Cancelled)?),
            Err(_) => return Err(Error::NotTaken),
        }
    }
    Ok(())
}

pub(super) async fn send_data(
    pieces: &Sender<Result<Piece, Error>>,
    data: &[u8],
) -> Result<(), Error> {
    for piece in data.chunks(PIECE) {
        send(pieces, Piece::Data(piece.to_vec())).await?;
    }
    Ok(())
}

fn change_of(row: ChangeRow) -> Result<Change, Error> {
    let key = ItemKey::from_bytes(&row.key).map_err(Error::altered)?;
    Ok(Change {
        key,
        header: row.header,
        document: row.document,
        removed: row.removed,
    })
}

/// The update that a change is about.
fn update_of(key: ItemKey) -> Option<UpdateId> {
    match key {
        ItemKey::Revision(id) => Some(id.update_id),
        ItemKey::Approval(update) | ItemKey::Expiry(update) => Some(update),
        ItemKey::Settings => None,
    }
}

impl Packages {
    /// Exports, piece by piece, for whoever takes them.
    ///
    /// # Errors
    /// When there is nothing to export, not from there on, or the database or the spool fails.
    pub async fn export(
        &self,
        who: &str,
        wanted: Wanted,
        pieces: &Sender<Result<Piece, Error>>,
    ) -> Result<(), Error> {
        let _turn = self.take_turn()?;
        if wanted.dry_run {
            let exported = self.look(wanted, pieces).await?;
            return send(pieces, Piece::Done(exported)).await;
        }
        let (exported, last) = self.make(wanted, pieces).await?;
        all_taken(pieces).await?;
        // The next package begins after this one only where somebody has this one.
        if let Some(last) = last {
            let mut tx = self.upstream().store.begin().await?;
            tx.put_state(LAST, serde_json::to_vec(&last).unwrap_or_default())
                .await?;
            tx.commit().await?;
        }
        let format = if wanted.wsusutil {
            "wsusutil"
        } else {
            "Headwater"
        };
        let inserts = vec![
            format.to_owned(),
            exported.revisions.to_string(),
            exported.position.to_string(),
            who.to_owned(),
        ];
        self.journal()
            .record(StatusId::PackageExported, None, inserts)
            .await;
        send(pieces, Piece::Done(exported)).await
    }

    async fn make(
        &self,
        wanted: Wanted,
        pieces: &Sender<Result<Piece, Error>>,
    ) -> Result<(Exported, Option<Last>), Error> {
        if wanted.wsusutil {
            return Ok((self.export_wsusutil(wanted, pieces).await?, None));
        }
        let (exported, last) = self.export_own(wanted, pieces).await?;
        Ok((exported, Some(last)))
    }

    /// What an export would have in it. Its bytes go nowhere; who waits sees how far it is.
    async fn look(
        &self,
        wanted: Wanted,
        pieces: &Sender<Result<Piece, Error>>,
    ) -> Result<Exported, Error> {
        let (sender, mut made) = channel(1);
        let making = async {
            let exported = self.make(wanted, &sender).await;
            drop(sender);
            exported
        };
        let telling = async {
            while let Some(piece) = made.recv().await {
                if let Ok(piece @ Piece::Progress(..)) = piece
                    && send(pieces, piece).await.is_err()
                {
                    // Nobody waits any more, and nothing more is made.
                    made.close();
                }
            }
        };
        let (exported, ()) = tokio::join!(making, telling);
        Ok(exported?.0)
    }

    async fn export_wsusutil(
        &self,
        wanted: Wanted,
        pieces: &Sender<Result<Piece, Error>>,
    ) -> Result<Exported, Error> {
        for (asked, what) in [
            (wanted.since != Since::Beginning, "a part of it (--since)"),
            (wanted.approvals, "approvals"),
            (wanted.settings, "settings"),
            (wanted.files.is_some(), "update files"),
        ] {
            if asked {
                return Err(Error::OnlyOwnFormat(what));
            }
        }
        let upstream = self.upstream();
        let tree = upstream
            .categories()
            .await
            .map_err(|failure| Error::Run(Box::new(failure)))?;
        let info = || PackageInfo::of_all_languages(self.hierarchy(), upstream.ambient.now());
        let report = |step, done, total| {
            // Who is slow to look misses some of it.
            let _ = pieces.try_send(Ok(Piece::Progress(step, done, total)));
        };
        let folder = self.spool().folder()?.to_owned();
        let (mut file, revisions) =
            wsusutil::write(&upstream.store, &folder, info, &tree, &report).await?;
        let position = upstream.store.positions().verified;
        let bytes = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        send_file(file, pieces).await?;
        Ok(Exported {
            revisions,
            bytes,
            position,
            ..Exported::default()
        })
    }

    /// What is remembered of the package before, of this epoch.
    async fn last(&self) -> Result<Option<Last>, Error> {
        let mut read = self.upstream().store.read().await?;
        let epoch = read.positions().epoch;
        let last = read.state(LAST).await?;
        let last = last.and_then(|json| serde_json::from_slice::<Last>(&json).ok());
        Ok(last.filter(|last| last.epoch == epoch))
    }

    /// The packages that were made in this epoch.
    async fn made(&self) -> Result<Made, Error> {
        let mut read = self.upstream().store.read().await?;
        let epoch = read.positions().epoch;
        let made = read.state(MADE).await?;
        let made = made.and_then(|json| serde_json::from_slice::<Made>(&json).ok());
        Ok(made.filter(|made| made.epoch == epoch).unwrap_or(Made {
            epoch,
            packages: Vec::new(),
        }))
    }

    /// Which files a package has that begins after `base`. Whoever has all up to there has the files of the package
    /// before, if it is known which those are: then only what came since, and those of updates that changed.
    async fn choice(
        &self,
        kind: FilesKind,
        base: u64,
        changed: HashSet<UpdateId>,
    ) -> Result<Choice, Error> {
        let last = self.last().await?;
        let before = last.filter(|last| base > 0 && base >= last.position);
        let before = before.and_then(|last| last.files);
        let before = before.filter(|(held, _)| *held == kind || *held == FilesKind::Content);
        Ok(Choice {
            kind,
            since: before.map(|(_, when)| (changed, when)),
        })
    }

    /// After which position a package begins.
    async fn base(&self, since: Since) -> Result<u64, Error> {
        let positions = self.upstream().store.positions();
        if positions.verified == 0 {
            return Err(Error::Nothing);
        }
        let base = match since {
            Since::Beginning => return Ok(0),
            Since::Position(base) => base,
            Since::Last => self.last().await?.ok_or(Error::NoLast)?.position,
        };
        if base > positions.verified {
            return Err(Error::Beyond {
                base,
                verified: positions.verified,
            });
        }
        Ok(base)
    }

    async fn export_own(
        &self,
        wanted: Wanted,
        pieces: &Sender<Result<Piece, Error>>,
    ) -> Result<(Exported, Last), Error> {
        let upstream = self.upstream();
        let base = self.base(wanted.since).await?;
        let first = upstream.store.positions();
        let begun = upstream.ambient.now();
        let (mut writer, begin) = match wanted.files {
            None => Writer::begin(),
            Some(kind) => Writer::begin_with(kind),
        };
        let made = self.made().await?;
        writer.comes_after(made.packages.clone());
        let mut updates = HashSet::new();
        send_data(pieces, &begin).await?;
        let mut at = base;
        let statement: SignedStatement = loop {
            let (slice, verified, statement) = {
                let mut read = upstream.store.read().await?;
                let positions = read.positions();
                if positions.epoch != first.epoch {
                    return Err(Error::Restless);
                }
                let floor = read.floor().await?;
                if base > 0 && base < floor {
                    return Err(Error::BelowFloor { floor, base });
                }
                let verified = positions.verified;
                let slice = read.changes_after(at, verified, PAGE, PAGE_BYTES).await?;
                (slice, verified, read.signed_statement().await?)
            };
            if slice.changes.is_empty() {
                // The newest that there is: what came meanwhile is in it.
                break statement.ok_or(Error::Nothing)?;
            }
            at = slice.through;
            for row in slice.changes {
                // Of everything, only what went during the export has to be told.
                let matters = !row.removed || base > 0 || row.position > first.verified;
                let change = change_of(row)?;
                if wanted.files.is_some() && base > 0 {
                    updates.extend(update_of(change.key));
                }
                if matters
                    && change.key.revision().is_some()
                    && let Some(block) = writer.push(&change)?
                {
                    send_data(pieces, &block).await?;
                }
            }
            send(
                pieces,
                Piece::Progress("writing changes", at - base, verified - base),
            )
            .await?;
        };
        if wanted.approvals {
            self.push_approvals(&mut writer, pieces).await?;
        }
        if wanted.settings {
            let content = upstream.store.read().await?.rolled_out_settings().await?;
            if let Some(header) = content {
                let change = Change {
                    key: ItemKey::Settings,
                    header,
                    document: Vec::new(),
                    removed: false,
                };
                if let Some(block) = writer.push(&change)? {
                    send_data(pieces, &block).await?;
                }
            }
        }
        let mut left = Left::default();
        if let Some(kind) = wanted.files {
            if let Some(planner) = self.planner() {
                planner.settle().await?;
            }
            let choice = self.choice(kind, base, updates).await?;
            left = match wanted.dry_run {
                true => self.count_files(&mut writer, &choice).await?,
                false => self.push_files(&mut writer, &choice, pieces).await?,
            };
        }
        let authority = &upstream.publisher.authority;
        let site = upstream.site.to_string();
        let now = upstream.ambient.now();
        let end = writer.finish(authority, &site, base, &statement, now)?;
        let stated = statement.claimed();
        if !wanted.dry_run {
            // Before anybody has all of it: whoever takes it in finds it in the next one.
            let made = made.and(mark_of(stated));
            let mut tx = upstream.store.begin().await?;
            tx.put_state(MADE, serde_json::to_vec(&made).unwrap_or_default())
                .await?;
            tx.commit().await?;
        }
        send_data(pieces, &end).await?;
        let last = Last {
            epoch: stated.epoch,
            position: stated.position,
            // After one that passed files over, the next carries all of them.
            files: wanted
                .files
                .filter(|_| left.passed_over == 0)
                .map(|kind| (kind, begun)),
        };
        let contents = writer.contents();
        let exported = Exported {
            revisions: contents.revisions,
            removals: contents.removals,
            approvals: contents.approvals.unwrap_or_default(),
            settings: contents.settings,
            files: contents.files,
            absent: left.absent,
            bytes: writer.bytes(),
            base,
            position: stated.position,
            key: authority.statement_key().to_string(),
        };
        Ok((exported, last))
    }

    /// All that was decided about updates: few bytes each, so that no package has to know what one before held.
    async fn push_approvals(
        &self,
        writer: &mut Writer,
        pieces: &Sender<Result<Piece, Error>>,
    ) -> Result<(), Error> {
        writer.with_approvals();
        let mut after = None;
        loop {
            let rows = {
                let mut read = self.upstream().store.read().await?;
                read.verified_records(approval_keys(), after, RECORDS)
                    .await?
            };
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = Some(last.key);
            for row in rows {
                let change = Change {
                    key: row.key,
                    header: row.record,
                    document: Vec::new(),
                    removed: false,
                };
                if let Some(block) = writer.push(&change)? {
                    send_data(pieces, &block).await?;
                }
            }
        }
    }
}

async fn send_file(mut file: File, pieces: &Sender<Result<Piece, Error>>) -> Result<(), Error> {
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece);
            read.map(|_| (file, piece))
        });
        let (back, piece) = read.await.map_err(|_| Error::Cancelled)??;
        if piece.is_empty() {
            return Ok(());
        }
        file = back;
        send(pieces, Piece::Data(piece)).await?;
    }
}
