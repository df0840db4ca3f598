//! What holds for every answer: nothing is loaded from elsewhere, nothing is kept, and no other site's page may press a
//! button here.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

/// All that a page may load and do: this site's own files, and no script or style within the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Refuses what another site's page sent, and puts the headers to every answer.
pub async fn guard(request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = if changes && !is_from_here(request.headers(), request.uri()) {
        let why = "This was not sent by a page of this site, and was refused.\n";
        (StatusCode::FORBIDDEN, why).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Whether a browser says that the page that sent a form is one of ours. The cookie is sent to our own pages only, too
/// (`SameSite=Strict`): this is the second lock on the same door.
fn is_from_here(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| text("host"));
    match (text("origin"), host) {
        (Some(origin), Some(host)) => origin.strip_prefix("https://") == Some(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_here(pairs: &[(&'static str, &'static str)], uri: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        is_from_here(&headers, &Uri::from_static(uri))
    }

    #[test]
    fn only_a_page_of_this_site_may_send_a_form() {
        assert!(from_here(&[("sec-fetch-site", "same-origin")], "/sync"));
        assert!(!from_here(&[("sec-fetch-site", "cross-site")], "/sync"));
        assert!(!from_here(&[("sec-fetch-site", "same-site")], "/sync"));
        let own = ("origin", "https://cas:8540");
        assert!(from_here(&[own, ("host", "cas:8540")], "/sync"));
        assert!(from_here(&[own], "https://cas:8540/sync"));
        assert!(!from_here(&[own, ("host", "cas:8541")], "/sync"));
        assert!(!from_here(
            &[("origin", "null"), ("host", "cas:8540")],
            "/sync"
        ));
        assert!(!from_here(&[("host", "cas:8540")], "/sync"));
    }
}
