//! How a site is beside synchronization: until when its certificate is valid, how much room its disk has, and how many
//! status messages wait for its parent.

use crate::site::Site;
use daemon::disk::Room;
use jiff::Timestamp;
use journal::StatusId;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trust::tls::HotCertificate;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Free room is told in steps of this, so that a site does not report anew for every file.
const STEP: u64 = 16 << 20;
/// Name under which the site remembers that it told of its disk.
const DISK_LOW: &str = "disk-low";
/// A disk is well again when it has so much more room than where it counts as low, in percent of that.
pub const MARGIN_PERCENT: u64 = 10;

/// How a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Condition {
    /// From when until when its certificate is valid.
    pub certificate: Option<(Timestamp, Timestamp)>,
    /// Room of the data directory's file system.
    pub disk: Option<Room>,
    /// Status messages that wait for the parent.
    pub outbox: u64,
}

/// What looks.
pub struct Conditions {
    /// The site.
    pub site: Site,
    /// The certificate that it shows.
    pub certificate: Arc<HotCertificate>,
    /// Its data directory.
    pub directory: PathBuf,
    /// Free bytes below which the disk is low; none where nobody is to be told.
    pub floor: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
}

/// Whether a disk is low, where it was so or not before.
pub fn is_low(was_low: bool, free: u64, floor: u64) -> bool {
    let margin = match was_low {
        true => floor / 100 * MARGIN_PERCENT,
        false => 0,
    };
    free < floor.saturating_add(margin)
}

impl Conditions {
    /// How the site is now, without its outbox, for which the database has to be asked.
    pub fn look(&self) -> Condition {
        let room = self.site.ambient.room(&self.directory);
        Condition {
            certificate: self.certificate.validity().ok(),
            disk: room.map(|room| Room {
                free: room.free / STEP * STEP,
                ..room
            }),
            outbox: 0,
        }
    }

    /// Status messages that wait for the parent; none at a site that has none.
    async fn outbox(&self) -> u64 {
        if !self.site.journal.has_parent() {
            return 0;
        }
        let length = async { self.site.store.read().await?.outbox_length().await };
        length.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the length of the outbox cannot be read");
            0
        })
    }

    /// Keeps `condition` up to date, and records status message 9024 once when the disk becomes low, until
    /// `stop` is told.
    pub async fn keep(self, condition: watch::Sender<Condition>, stop: CancellationToken) {
        loop {
            let now = Condition {
                outbox: self.outbox().await,
                ..self.look()
            };
            condition.send_if_modified(|held| std::mem::replace(held, now) != now);
            if let Some(room) = now.disk
                && let Err(error) = self.tell(room).await
            {
                tracing::error!(%error, "whether the disk is low could not be told");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn tell(&self, room: Room) -> Result<(), store::Error> {
        let Some(floor) = (self.floor)() else {
            return Ok(());
        };
        let was_low = self.site.store.read().await?.state(DISK_LOW).await?;
        let was_low = was_low.is_some();
        let low = is_low(was_low, room.free, floor);
        if low == was_low {
            return Ok(());
        }
        if low {
            let folder = self.directory.display().to_string();
            let inserts = vec![room.free.to_string(), folder];
            self.site
                .journal
                .record(StatusId::DiskNearlyFull, None, inserts)
                .await;
        }
        let mut tx = self.site.store.begin().await?;
        match low {
            true => tx.put_state(DISK_LOW, *b"1").await?,
            false => tx.remove_state(DISK_LOW).await?,
        }
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::is_low;

    #[test]
    fn a_disk_at_the_floor_does_not_flap() {
        assert!(!is_low(false, 1000, 1000));
        assert!(is_low(false, 999, 1000));
        assert!(is_low(true, 1099, 1000));
        assert!(!is_low(true, 1100, 1000));
        assert!(!is_low(true, u64::MAX, u64::MAX));
    }
}
