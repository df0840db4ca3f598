//! A site as the upstream of WSUS servers and Configuration Manager sites: the verified catalog of the site over
//! MS-WSUSSS, on ports of its own.
//!
//! How the protocol is spoken belongs to `wsus`, what is kept to `store`. Here is what they have in common: which
//! revisions of the verified catalog are listed and in which order ([`index`]), what stands behind an anchor and
//! a cookie ([`source`]), who may ask and how much ([`allow`], [`limits`]), and the ports ([`listen`], [`stall`]).
//!
//! Invariant: nothing is listed that cannot be delivered with all it needs, and nothing above the verified
//! position.

pub mod allow;
pub mod counts;
pub mod index;
pub mod keep;
pub mod limits;
pub mod listen;
pub mod pace;
pub mod service;
pub mod source;
pub mod stall;

mod servers;

use allow::Admission;
use counts::Counts;
use jiff::Timestamp;
use limits::{Limits, Rates};
use link::Site;
use link::settings::wsus::WsusSettings;
use listen::Bound;
use secrecy::ExposeSecret as _;
use service::Served;
use source::{Source, Wanted};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trust::SiteKey;
use uuid::Uuid;
use wsus::server::ServerSettings;

/// What a cookie key is for.
const COOKIES: &str = "headwater 2026-11-22 cookies of downstream servers";
/// Name of the identifier of this site as an upstream server.
const SERVER_ID: &str = "downstream-server-id";

/// The files of updates, where a site has them.
pub struct Content {
    /// Serves `/Content/…`.
    pub router: axum::Router,
    /// Told which files downstream servers wish to have, by their SHA-1.
    pub wanted: Wanted,
}

/// Starts to serve: the tasks are spawned on `tasks` and end when `stop` is told. The first catalog is looked at
/// in the background; until then, whoever asks is told to come back.
///
/// # Errors
/// When the database fails.
pub async fn start(
    bound: Bound,
    settings: &WsusSettings,
    (site, key): (Site, &SiteKey),
    content: Option<Content>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<Arc<Counts>, store::Error> {
    let server_id = server_id(&site).await?;
    let admission = Admission::new(site.clone(), settings.allow.clone());
    let cookie_key = cookie_key(key, &admission);
    let (router, wanted) = match content {
        Some(content) => (Some(content.router), Some(content.wanted)),
        None => (None, None),
    };
    let source = Arc::new(Source::new(site.clone(), server_id, admission, wanted));
    let clock = site.ambient.clock();
    let ids = site.ambient.clone();
    let server = ServerSettings {
        cookie_key,
        cookie_lifetime: ServerSettings::COOKIE_LIFETIME,
        max_updates_per_request: ServerSettings::MAX_UPDATES_PER_REQUEST,
        clock: Arc::new(move || -> Timestamp { clock.now() }),
        new_id: Arc::new(move || -> Uuid { ids.new_id() }),
    };
    let counts = Arc::new(Counts::default());
    let served = Served::new(
        wsus::server::Service::new(Arc::clone(&source), server),
        Limits::new(Rates {
            requests_per_second: settings.requests_per_second,
            requests_at_once: settings.requests_at_once,
            bytes_per_second: settings.bytes_per_second,
        }),
        settings.compress,
        Arc::clone(&counts),
        router,
    );
    tasks.spawn(keep::keep(site, source, stop.clone()));
    for port in bound.ports {
        tasks.spawn(listen::serve(port, served.clone(), stop.clone()));
    }
    Ok(counts)
}

/// The identifier of this site's catalog, made once.
async fn server_id(site: &Site) -> Result<Uuid, store::Error> {
    let mut tx = site.store.begin().await?;
    if let Some(bytes) = tx.state(SERVER_ID).await?
        && let Ok(id) = Uuid::from_slice(&bytes)
    {
        return Ok(id);
    }
    let id = site.ambient.new_id();
    tx.put_state(SERVER_ID, *id.as_bytes()).await?;
    tx.commit().await?;
    Ok(id)
}

/// The key of cookies: it follows from the site's own, so a restart signs nobody out, and from who may
/// synchronize, so that a list that became shorter counts at once.
fn cookie_key(key: &SiteKey, admission: &Admission) -> [u8; 32] {
    let mut material = key.to_secret_pem().expose_secret().as_bytes().to_vec();
    material.extend_from_slice(admission.to_string().as_bytes());
    blake3::derive_key(COOKIES, &material)
}
