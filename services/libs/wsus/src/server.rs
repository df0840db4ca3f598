//! The upstream end of MS-WSUSSS: serves a [`Source`] to downstream servers.

mod answer;
mod cookie;
mod http;
mod memory;
mod reporting;
mod service;
mod source;

pub use self::http::{Handled, MAX_REQUEST_BYTES, OverHttps, PeerAddress, serves};
pub use memory::{Held, Memory};
pub use reporting::{MAX_ROLLUP_BYTES, MAX_SERVERS, SUMMARY, ServerReport};
pub use service::{ANSWER_BYTES, Service};
pub use source::{
    DeploymentAnchors, DownstreamServer, ServerIdentity, Session, Source, SourceError, StoredUpdate,
};

use crate::anchor::Anchor;
use crate::message::{ALL_COMPUTERS, Deployments, TargetGroup, UNASSIGNED_COMPUTERS};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Settings of the server.
#[derive(Clone)]
pub struct ServerSettings {
    /// Key that cookies are sealed with. Servers behind one address share it; a new key makes every
    /// downstream server authenticate again, which it does by itself.
    pub cookie_key: [u8; 32],
    /// How long a cookie is valid; [`ServerSettings::COOKIE_LIFETIME`] as a rule.
    pub cookie_lifetime: Duration,
    /// Most revisions in one `GetUpdateData`; [`ServerSettings::MAX_UPDATES_PER_REQUEST`] as a rule.
    pub max_updates_per_request: u32,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Makes the identifier of a fault.
    pub new_id: Arc<dyn Fn() -> Uuid + Send + Sync>,
}

impl ServerSettings {
    /// How long Windows servers let a cookie live.
    pub const COOKIE_LIFETIME: Duration = Duration::from_secs(240 * 60);

    /// Most revisions that Windows servers take in one request.
    pub const MAX_UPDATES_PER_REQUEST: u32 = 100;
}

/// A router that serves the services over `source`, and answers 404 to any other path.
///
/// It works through the fallback of the router, because the paths match in any case. A process that serves
/// other things at the same address calls [`Service::handle`] from a fallback of its own, where
/// [`serves`] tells it to.
pub fn router<S: Source>(source: Arc<S>, settings: ServerSettings) -> axum::Router {
    let service = Service::new(source, settings);
    axum::Router::new().fallback(move |request: ::http::Request<axum::body::Body>| {
        let service = service.clone();
        async move { service.handle(request).await }
    })
}

/// The two groups that every server has.
pub fn builtin_groups() -> Vec<TargetGroup> {
    let group = |id, parent_id, name: &str| TargetGroup {
        id,
        parent_id,
        name: name.to_owned(),
        is_builtin: true,
    };
    vec![
        group(ALL_COMPUTERS, Uuid::nil(), "All Computers"),
        group(UNASSIGNED_COMPUTERS, ALL_COMPUTERS, "Unassigned Computers"),
    ]
}

/// The answer of a server that has no approvals.
fn builtin_deployments(now: Timestamp) -> Deployments {
    Deployments {
        anchor: Anchor::new(0, now).to_string(),
        groups: builtin_groups(),
        ..Deployments::default()
    }
}
