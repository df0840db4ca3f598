//! Taking in files whose bytes somebody brings one after the other: a package. What the verified catalog does not
//! name, or describes in another way, does not come in.

use crate::digest::Mismatch;
use crate::files::{Claim, Finished, Partial};
use crate::import::note;
use crate::{Content, ContentFile, ContentId, Hold};
use bytes::Bytes;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// How long it is waited for whoever is at work on a file.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether that is over.
const LOOK: Duration = Duration::from_millis(50);

/// What becomes of a file that is offered.
#[derive(Debug)]
pub enum Offer {
    /// The verified catalog names no such file.
    Unknown,
    /// It is here.
    Held,
    /// Somebody else is at work on it.
    Busy,
    /// Its bytes are to come.
    Wanted(Box<Intake>),
}

/// A file whose bytes come.
#[derive(Debug)]
pub struct Intake {
    claim: Claim,
    partial: Partial,
}

/// Why a file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// It is not what the catalog says; what came lies in quarantine.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The store of content files.
    #[error("the content store failed: check its disk and its rights")]
    Files(#[from] io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Content {
    /// Offers a file of so many bytes. Nothing is fetched meanwhile, which the hold proves.
    ///
    /// # Errors
    /// When the database or the content store fails.
    pub async fn offer(
        &self,
        _hold: &Hold,
        id: ContentId,
        size: u64,
    ) -> Result<Offer, IntakeError> {
        let (file, row) = {
            let mut read = self.store().read().await?;
            let file = read.named_content(&[id.0]).await?.remove(&id.0);
            (file, read.content(&id.0).await?)
        };
        let Some(file) = file.filter(|file| file.size == size) else {
            return Ok(Offer::Unknown);
        };
        if row.is_some_and(|row| row.present_since.is_some()) {
            return Ok(Offer::Held);
        }
        Ok(match self.intake_when_free(&file).await? {
            Some(intake) => Offer::Wanted(Box::new(intake)),
            None => Offer::Busy,
        })
    }

    /// The right to bring a file, and nothing of it yet; none while somebody else has it.
    pub(crate) async fn intake_if_free(&self, file: &ContentFile) -> io::Result<Option<Intake>> {
        let Some(claim) = self.files().claim(file.id()) else {
            return Ok(None);
        };
        match self.files().partial(claim.clone(), file).await {
            Ok(mut partial) => {
                // What another source left of it may be why the file is brought.
                partial.begin_anew().await?;
                Ok(Some(Intake { claim, partial }))
            }
            // The last write of what was held up.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same once whoever has it ended; none where that takes too long.
    pub(crate) async fn intake_when_free(&self, file: &ContentFile) -> io::Result<Option<Intake>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let intake = self.intake_if_free(file).await?;
            if intake.is_some() || Instant::now() >= end {
                return Ok(intake);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the file: it lies in the store and is noted, if it is what the catalog says.
    ///
    /// # Errors
    /// When it is not, or the database or the content store fails.
    pub async fn end_intake(&self, intake: Intake) -> Result<(), IntakeError> {
        let file = intake.partial.file().clone();
        // Held until the table says that it is here.
        let _claim = intake.claim;
        match intake.partial.finish().await? {
            Finished::Stored => {}
            Finished::Quarantined(mismatch) => return Err(mismatch.into()),
        }
        note(self.store(), &file, self.inner.parts.ambient.now()).await?;
        // Sites below wait for it.
        self.inner.transfers.bump();
        self.nudge();
        Ok(())
    }
}

impl Intake {
    /// The file.
    pub fn file(&self) -> &ContentFile {
        self.partial.file()
    }

    /// Writes its next bytes.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn append(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.partial.append(Bytes::from(bytes)).await
    }
}
