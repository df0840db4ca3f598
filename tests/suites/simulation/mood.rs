//! How the upstream treats those who ask it.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use std::sync::{Arc, Mutex, PoisonError};
use tower::ServiceExt as _;
use upstream::Upstream;
use wsus::fault::{ErrorCode, Fault};
use wsus::message::SoapVersion;

/// What may be wrong with the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// It does not answer.
    Silent,
    /// It says that it is busy.
    Busy,
    /// It answers with the page of a broken proxy.
    BadGateway,
    /// Its answers end in the middle.
    CutShort,
    /// It knows no cookie any more that it gave out. Once.
    NoCookies,
    /// It says that it is another server than before. Once.
    Changed,
}

/// Every trouble there is.
pub const TROUBLES: [Trouble; 6] = [
    Trouble::Silent,
    Trouble::Busy,
    Trouble::BadGateway,
    Trouble::CutShort,
    Trouble::NoCookies,
    Trouble::Changed,
];

/// How the upstream is now. Cloning gives another handle on the same.
#[derive(Debug, Clone, Default)]
pub struct Mood(Arc<Mutex<Trouble>>);

impl Mood {
    /// Changes it.
    pub fn set(&self, trouble: Trouble) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// The trouble now. What happens once is over with that.
    fn take(&self) -> Trouble {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = *held;
        if matches!(trouble, Trouble::NoCookies | Trouble::Changed) {
            *held = Trouble::None;
        }
        trouble
    }

    /// An upstream of this mood at an address.
    pub fn over(self, upstream: Upstream, address: &str) -> Router {
        let address: Arc<str> = address.into();
        let router = Arc::new(Mutex::new(upstream.router_at(&address)));
        Router::new().fallback(move |request: http::Request<Body>| {
            let (mood, router, upstream) = (self.clone(), Arc::clone(&router), upstream.clone());
            let address = Arc::clone(&address);
            async move {
                let trouble = mood.take();
                if trouble == Trouble::NoCookies {
                    *router.lock().unwrap_or_else(PoisonError::into_inner) =
                        upstream.router_at(&address);
                }
                let router = router
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                answer(trouble, router, request).await
            }
        })
    }
}

async fn answer(trouble: Trouble, router: Router, request: http::Request<Body>) -> Response {
    match trouble {
        Trouble::None | Trouble::NoCookies => router.oneshot(request).await.unwrap(),
        Trouble::Silent => std::future::pending().await,
        Trouble::Busy => fault(ErrorCode::ServerBusy),
        Trouble::Changed => fault(ErrorCode::ServerChanged),
        Trouble::BadGateway => {
            let mut page = Response::new(Body::from("<html>Bad gateway</html>"));
            *page.status_mut() = StatusCode::BAD_GATEWAY;
            page
        }
        Trouble::CutShort => {
            let whole = router.oneshot(request).await.unwrap();
            let (mut parts, body) = whole.into_parts();
            parts.headers.remove(http::header::CONTENT_LENGTH);
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let half = bytes.slice(..bytes.len() / 2);
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            let chunks = futures::stream::iter([Ok(half), Err(broken)]);
            Response::from_parts(parts, Body::from_stream(chunks))
        }
    }
}

fn fault(code: ErrorCode) -> Response {
    let text = Fault::new(code, "").encode(SoapVersion::V11);
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let media = http::HeaderValue::from_static(SoapVersion::V11.content_type());
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, media);
    answer
}
