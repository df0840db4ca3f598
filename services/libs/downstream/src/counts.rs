//! What downstream servers asked and got since the process started, for `/metrics`.

use daemon::metrics::{Metrics, MetricsError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Kinds of requests that are told apart: operations, each with its outcomes. The names are those of the
/// protocol, so there are never more than this.
const MAX_KINDS: usize = 256;

/// Requests and bytes.
#[derive(Debug, Default)]
pub struct Counts {
    requests: Mutex<BTreeMap<(&'static str, String), u64>>,
    bytes: AtomicU64,
    throttled: AtomicU64,
}

impl Counts {
    /// Counts a request by its operation and what became of it.
    pub fn request(&self, operation: &'static str, outcome: &str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let full = requests.len() >= MAX_KINDS;
        let kind = (operation, outcome.to_owned());
        match requests.get_mut(&kind) {
            Some(count) => *count += 1,
            None if full => {}
            None => {
                requests.insert(kind, 1);
            }
        }
    }

    /// Counts the bytes of an answer.
    pub fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a request that was turned away because there were too many.
    pub fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts the numbers into `metrics`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn render(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        let requests = metrics.counters(
            "wsus_server_requests_total",
            "Requests of downstream WSUS servers, by operation and outcome: ok, or the code of the fault.",
            &["operation", "outcome"],
        )?;
        let counted = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((operation, outcome), count) in &*counted {
            requests
                .with_label_values(&[*operation, outcome.as_str()])
                .inc_by(*count);
        }
        metrics
            .counter(
                "wsus_server_sent_bytes_total",
                "Bytes of the answers to downstream WSUS servers, as they were sent.",
            )?
            .inc_by(self.bytes.load(Ordering::Relaxed));
        metrics
            .counter(
                "wsus_server_throttled_requests_total",
                "Requests of downstream WSUS servers that were turned away because there were too many.",
            )?
            .inc_by(self.throttled.load(Ordering::Relaxed));
        Ok(())
    }
}
