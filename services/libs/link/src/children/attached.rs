//! The children that are attached now, and what they are told.

use crate::moved::{self, Moved};
use catalog::PointId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;
use wire::v1::attach_response::Message as ToChild;
use wire::v1::{AttachResponse, CancelRequest, Removed};

/// The children of a site that are attached.
pub struct Children {
    connected: Mutex<Connected>,
    /// Bytes that went to children in pulls and comparisons.
    sent: AtomicU64,
}

#[derive(Default)]
struct Connected {
    /// Counts attachments, so that an old conversation does not end a new one.
    last: u64,
    children: BTreeMap<PointId, Child>,
    /// Told when a child is removed: what it is being served then ends.
    members: BTreeMap<PointId, CancellationToken>,
}

/// A child that is attached.
struct Child {
    number: u64,
    sender: mpsc::Sender<Result<AttachResponse, Status>>,
    /// Ends the conversation.
    cut: CancellationToken,
}

impl Default for Children {
    fn default() -> Self {
        Self {
            connected: Mutex::new(Connected::default()),
            sent: AtomicU64::new(0),
        }
    }
}

impl Children {
    fn connected(&self) -> MutexGuard<'_, Connected> {
        // Each change is one insertion or removal.
        self.connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message to a child; false when it is not attached or does not keep up.
    pub fn send(&self, child: PointId, message: ToChild) -> bool {
        let mut connected = self.connected();
        let Some(held) = connected.children.get(&child) else {
            return false;
        };
        let message = AttachResponse {
            message: Some(message),
        };
        let sent = held.sender.try_send(Ok(message)).is_ok();
        if !sent && let Some(held) = connected.children.remove(&child) {
            held.cut.cancel();
        }
        sent
    }

    /// Counts bytes that go to a child in a pull or a comparison.
    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that went to children in pulls and comparisons since the process started.
    pub fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Codes of the children that are attached.
    pub fn attached(&self) -> Vec<PointId> {
        self.connected().children.keys().copied().collect()
    }

    /// Cancels the run under way at every child, and below.
    pub fn cancel(&self, run: Uuid) {
        for child in self.attached() {
            let run = run.as_bytes().to_vec();
            self.send(child, ToChild::Cancel(CancelRequest { run }));
        }
    }

    /// Tells children that a site was removed: the child itself, or one below it. A child that is
    /// removed is cut off.
    pub fn tell_removed(&self, site: PointId) {
        for child in self.attached() {
            let site_code = site.to_string();
            self.send(child, ToChild::Removed(Removed { site_code }));
        }
        let mut connected = self.connected();
        if let Some(held) = connected.children.remove(&site) {
            held.cut.cancel();
        }
        if let Some(member) = connected.members.remove(&site) {
            member.cancel();
        }
    }

    /// Tells children that points moved: those that are told to move, and the other software update points of
    /// this site, which may have to do with them. A child that belongs elsewhere now is cut off; what it is
    /// pulling comes to its end all the same.
    pub fn tell_moved(&self, here: PointId, moved: &[Moved]) {
        for child in self.attached() {
            let concerned = moved.iter().filter(|moved| {
                let beside = [here, moved.site, moved.parent];
                moved.site == child || beside.iter().any(|point| child.is_beside(*point))
            });
            let concerned: Vec<Moved> = concerned.cloned().collect();
            for message in moved::messages(&concerned) {
                self.send(child, ToChild::Moved(message));
            }
        }
        for moved in moved.iter().filter(|moved| moved.parent != here) {
            if let Some(held) = self.connected().children.remove(&moved.site) {
                held.cut.cancel();
            }
        }
    }

    /// Told when a child is removed.
    pub(super) fn removal_of(&self, child: PointId) -> CancellationToken {
        self.connected().members.entry(child).or_default().clone()
    }

    /// Takes a child in; an older conversation with it is cut off.
    pub(super) fn attach(
        &self,
        child: PointId,
        sender: mpsc::Sender<Result<AttachResponse, Status>>,
    ) -> (u64, CancellationToken) {
        let mut connected = self.connected();
        connected.last += 1;
        let number = connected.last;
        let cut = CancellationToken::new();
        let held = Child {
            number,
            sender,
            cut: cut.clone(),
        };
        if let Some(older) = connected.children.insert(child, held) {
            older.cut.cancel();
        }
        (number, cut)
    }

    /// Whether the attachment was still the newest of its child.
    pub(super) fn detach(&self, child: PointId, number: u64) -> bool {
        let mut connected = self.connected();
        let newest = connected
            .children
            .get(&child)
            .is_none_or(|held| held.number == number);
        if newest {
            connected.children.remove(&child);
        }
        newest
    }
}
