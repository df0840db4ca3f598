//! The dashboard: pages about the hierarchy, rendered at the site and live by server-sent events.
//!
//! It knows of the site what the admin API says and no more: every page asks the very services that the verbs ask, in
//! this process, with the access token of the person who looks. What a person may not do by RPC, nobody may do here, and
//! a site that only shows refuses changes here with the same words.

mod api;
mod assets;
mod content;
mod convergence;
mod events;
mod guard;
mod page;
mod pages;
mod picture;
mod plot;
mod session;
mod words;

use crate::convergence::Convergence;
use crate::session::Sessions;
use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use daemon::{Ambient, Places};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use wire::v1::SiteReport;

/// Pages that listen for events or follow a log, at a time.
const MAX_LISTENERS: usize = 1000;
/// Pages of those that one person may have open.
const MAX_LISTENERS_OF_ONE: usize = 48;

/// What changes make pages fetch themselves anew. Each number changes with every change.
#[derive(Clone)]
pub struct Pulse {
    /// Reports of sites.
    pub sites: watch::Receiver<u64>,
    /// Status messages.
    pub messages: watch::Receiver<u64>,
    /// Alerts; none at a site that raises none.
    pub alerts: Option<watch::Receiver<u64>>,
}

/// What the dashboard is made of.
pub struct Parts {
    /// The services of the admin API.
    pub api: Routes,
    /// What makes pages fetch themselves anew.
    pub pulse: Pulse,
    /// The reports of all sites that are known here, for the plot of how far they are.
    pub reports: Box<dyn Fn() -> Vec<SiteReport> + Send>,
    /// Time and randomness.
    pub ambient: Ambient,
    /// Code of the site.
    pub site_code: String,
    /// Ends the streams that would go on for ever.
    pub stop: CancellationToken,
}

/// What every page needs. Cheap to clone.
#[derive(Clone)]
struct Dashboard {
    api: Routes,
    pulse: Pulse,
    ambient: Ambient,
    site_code: Arc<str>,
    sessions: Arc<Sessions>,
    convergence: Arc<Convergence>,
    /// Places of pages that listen for events or follow a log.
    listeners: Places,
    stop: CancellationToken,
}

/// The pages of a site, to be served over TLS, and what samples how far the sites are, until it is told to stop.
pub fn router(parts: Parts) -> (Router, impl Future<Output = ()> + Send + 'static) {
    let convergence = Arc::<Convergence>::default();
    let sampling = convergence::sample(
        Arc::clone(&convergence),
        parts.pulse.sites.clone(),
        parts.reports,
        parts.ambient.clone(),
        parts.stop.clone(),
    );
    let dashboard = Dashboard {
        api: parts.api,
        pulse: parts.pulse,
        ambient: parts.ambient,
        site_code: parts.site_code.into(),
        sessions: Arc::default(),
        convergence,
        listeners: Places::new(MAX_LISTENERS, MAX_LISTENERS_OF_ONE),
        stop: parts.stop,
    };
    let router = Router::new()
        .route("/", get(pages::hierarchy::show))
        .route("/status", get(pages::status::show))
        .route("/sites/{code}", get(pages::site::show))
        .route("/sites/{code}/verify", post(pages::site::verify))
        .route("/sites/{code}/remove", post(pages::site::remove))
        .route("/sites/{code}/source", post(pages::site::switch_source))
        .route("/sync", post(pages::sync::start))
        .route("/sync/cancel", post(pages::sync::cancel))
        .route("/alerts", get(pages::alerts::list))
        .route("/alerts/{id}/acknowledge", post(pages::alerts::acknowledge))
        .route("/downstream", get(pages::downstream::list))
        .route("/downstream/{id}/remove", post(pages::downstream::remove))
        .route("/runs", get(pages::runs::list))
        .route("/runs/{id}", get(pages::run::show))
        .route("/updates", get(pages::updates::list))
        .route("/updates/decide", post(pages::updates::decide))
        .route("/updates/{id}", get(pages::update::show))
        .route("/log", get(pages::log::show))
        .route("/log/lines", get(pages::log::lines))
        .route(
            "/settings",
            get(pages::settings::show).post(pages::settings::change),
        )
        .route("/settings/secret", post(pages::settings::secrets::keep))
        .route("/events", get(events::stream))
        .route(
            "/login",
            get(pages::login::show).post(pages::login::sign_in),
        )
        .route(
            "/login/certificate",
            post(pages::login::sign_in_by_certificate),
        )
        .route("/logout", post(pages::login::sign_out))
        .route("/assets/{name}", get(assets::serve))
        .layer(middleware::from_fn(guard::guard))
        .with_state(dashboard);
    (router, sampling)
}
