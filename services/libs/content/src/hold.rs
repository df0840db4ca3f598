//! Holding up the fetching while files come another way: who brings a file has it alone.

use crate::Content;
use tokio::sync::watch;

/// Nothing is fetched while there is one. What was under way stays, and goes on from there.
#[derive(Debug)]
pub struct Hold {
    holds: watch::Sender<usize>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.send_modify(|holds| *holds -= 1);
    }
}

impl Content {
    /// Holds up the fetching until the answer is dropped.
    pub fn hold(&self) -> Hold {
        let holds = self.inner.holds.clone();
        holds.send_modify(|holds| *holds += 1);
        Hold { holds }
    }
}
