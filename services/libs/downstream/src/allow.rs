//! Who may synchronize from this site, and who was refused, told to the journal within bounds.

use journal::StatusId;
use link::Site;
use link::settings::wsus::Allowed;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// The same refusal is journaled this often.
const REPEATED_AFTER: Duration = Duration::from_secs(60 * 60);
/// Refusals that are remembered.
const MAX_REMEMBERED: usize = 1024;

/// What a server says that it is, and where it calls from.
type Who = (Uuid, Option<IpAddr>);

/// Who may synchronize from this site. Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    site: Site,
    allow: Arc<[Allowed]>,
    told: Arc<Mutex<HashMap<Who, Instant>>>,
}

impl fmt::Display for Admission {
    /// The list, as the settings have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for allowed in &*self.allow {
            writeln!(f, "{allowed}")?;
        }
        Ok(())
    }
}

impl Admission {
    /// Those of `allow`; everybody where that is empty.
    pub fn new(site: Site, allow: Vec<Allowed>) -> Self {
        Self {
            site,
            allow: allow.into(),
            told: Arc::default(),
        }
    }

    /// Whether a server may synchronize. A refusal is journaled.
    pub async fn admits(&self, id: Uuid, name: &str, address: Option<IpAddr>) -> bool {
        let mut allow = self.allow.iter();
        if self.allow.is_empty() || allow.any(|allowed| allowed.admits(id, name, address)) {
            return true;
        }
        let from = shown(address);
        tracing::warn!(%id, name, from, "a downstream server is not on the list of those that may");
        if self.is_news((id, address)) {
            let inserts = vec![name.to_owned(), id.to_string(), from];
            self.site
                .refusals
                .record(StatusId::DownstreamServerRefused, inserts)
                .await;
        }
        false
    }

    fn is_news(&self, who: Who) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&who).is_some_and(|at| now - *at < REPEATED_AFTER) {
            return false;
        }
        if told.len() >= MAX_REMEMBERED {
            told.clear();
        }
        told.insert(who, now);
        true
    }
}

/// An address as it is shown.
pub(crate) fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(String::new, |address| address.to_canonical().to_string())
}
