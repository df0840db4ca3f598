//! What a site serves on its one port: the link, enrollment, health, reflection, `/metrics`, and what
//! the kind of site adds.

use crate::children::LinkService;
use crate::enrollment::Enrollment;
use crate::metrics::SiteMetrics;
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::{StatusCode, header};
use tonic::service::RoutesBuilder;
use wire::v1::enrollment_service_server::EnrollmentServiceServer;
use wire::v1::site_link_service_server::SiteLinkServiceServer;

/// Longest message that is taken in from a child or a person, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// The router of a site. `extra` adds the services that only some sites have.
///
/// # Errors
/// When the descriptors that reflection shows are malformed.
pub async fn router(
    link: LinkService,
    enrollment: Enrollment,
    metrics: SiteMetrics,
    extra: impl FnOnce(&mut RoutesBuilder),
) -> Result<Router, tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_serving::<SiteLinkServiceServer<LinkService>>()
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(SiteLinkServiceServer::new(link).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(
            EnrollmentServiceServer::new(enrollment).max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(health)
        .add_service(reflection);
    extra(&mut routes);
    let metrics = Router::new().route(
        "/metrics",
        get(move || async move { show(metrics.render().await) }),
    );
    Ok(routes.routes().into_axum_router().merge(metrics))
}

fn show(metrics: Result<String, crate::metrics::Error>) -> axum::response::Response {
    match metrics {
        Ok(text) => (
            [(header::CONTENT_TYPE, daemon::metrics::CONTENT_TYPE)],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be given");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
