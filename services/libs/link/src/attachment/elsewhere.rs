//! A parent that is up and cut off from its own cannot learn, and cannot tell, that another took its place: its
//! children ask others meanwhile.

use super::{Attachment, Left};
use crate::address::Address;
use std::time::Duration;
use tokio::sync::watch;

/// How long a parent has to be cut off before others are asked, and how often they are asked then, one at a time.
const ASK_EVERY: Duration = Duration::from_secs(30);

impl Attachment {
    /// Whenever the parent is cut off from its own for long, asks the others in turn where this site belongs; ends
    /// when that is elsewhere.
    pub(super) async fn look_elsewhere(&self, mut uplink: watch::Receiver<bool>) -> Left {
        let mut turn = 0;
        loop {
            if uplink.wait_for(|attached| !attached).await.is_err() {
                // The conversation is over, which is for it to say.
                return std::future::pending().await;
            }
            tokio::select! {
                () = tokio::time::sleep(self.site.ambient.jitter(ASK_EVERY)) => {}
                _ = uplink.wait_for(|attached| *attached) => continue,
            }
            let Some(other) = self.ways.other(turn) else {
                continue;
            };
            turn += 1;
            if let Some(parent) = self.ask(other).await {
                return Left {
                    why: format!("this site belongs below {} now", parent.point),
                    redirect: Some(parent),
                };
            }
        }
    }

    /// Asks another where this site belongs: it lets it in, or says where, or does not know. None where that is the
    /// parent there is.
    async fn ask(&self, other: &Address) -> Option<Address> {
        let parent = match self.dial(other).await {
            Ok(_) => Some(other.clone()),
            Err(left) => left.redirect,
        };
        let held = self.site.parent.borrow().as_ref().map(|held| held.point);
        parent.filter(|parent| Some(parent.point) != held)
    }
}
