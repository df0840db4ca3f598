//! One HTTP request: its turn, the answer, how that is packed, and what is counted.

use crate::counts::Counts;
use crate::limits::{Limits, Place};
use crate::pace::Paced;
use crate::source::Source;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;
use wsus::server::{Handled, Held, PeerAddress, Service, serves};
use wsus::xpress;

/// Path under which files lie, in lower case.
const CONTENT: &str = "content";
/// Answers shorter than this are not packed.
const WORTH_PACKING: usize = 1024;
/// Answers longer than this are packed on a thread where that may take time.
const PACK_ASIDE: usize = 64 << 10;
/// Longest answer of the services: far above what a list of every revision takes.
const MAX_ANSWER: usize = 1 << 30;
/// How long a request may take to arrive and to be answered.
const MOST_TIME: Duration = Duration::from_secs(5 * 60);
/// After how long who was turned away may come back, in seconds.
const COME_BACK: u64 = 30;

/// What a port serves. Cheap to clone.
#[derive(Clone)]
pub struct Served {
    service: Service<Source>,
    limits: Limits,
    compress: bool,
    counts: Arc<Counts>,
    content: Option<Router>,
}

impl Served {
    /// The services within limits, packed for those who take it so where `compress` says it, and files where there
    /// is a router for them.
    pub fn new(
        service: Service<Source>,
        limits: Limits,
        compress: bool,
        counts: Arc<Counts>,
        content: Option<Router>,
    ) -> Self {
        Self {
            service,
            limits,
            compress,
            counts,
            content,
        }
    }

    /// On the heap and without its type: it holds the futures of everything below it.
    fn handle(
        &self,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + '_>> {
        Box::pin(self.service.handle(request))
    }

    /// Answers one request that came from `address`.
    pub async fn answer(&self, address: IpAddr, mut request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        if let Some(content) = self.content.as_ref().filter(|_| is_content(path)) {
            if !self.limits.rate(address).await {
                return self.turned_away();
            }
            // Only what has a body to send takes a place.
            let place = match *request.method() {
                Method::GET => match self.limits.file(address) {
                    Some(place) => Some(place),
                    None => return self.turned_away(),
                },
                _ => None,
            };
            let answered = content.clone().oneshot(request).await;
            let answer = answered.unwrap_or_else(|never| match never {});
            return self.paced(address, answer, place);
        }
        if !serves(path) {
            return self.handle(request).await;
        }
        let Some(turn) = self.limits.turn(address).await else {
            return self.turned_away();
        };
        request.extensions_mut().insert(PeerAddress(address));
        request.extensions_mut().insert(self.limits.memory(address));
        let coding = Coding::taken(request.headers()).filter(|_| self.compress);
        // Who sends slowly holds a turn no longer than this.
        let handled = tokio::time::timeout(MOST_TIME, self.handle(request)).await;
        let Ok(mut answer) = handled else {
            self.counts.request("unreadable", "too slow");
            return come_back();
        };
        if let Some(handled) = answer.extensions_mut().remove::<Handled>() {
            let outcome = handled.fault.as_ref().map_or("ok", |code| code.as_str());
            let operation = handled.operation.unwrap_or("unreadable");
            self.counts.request(operation, outcome);
        }
        let held: Held = answer.extensions_mut().remove().unwrap_or_default();
        let (parts, body) = answer.into_parts();
        let Ok(body) = axum::body::to_bytes(body, MAX_ANSWER).await else {
            return come_back();
        };
        let mut answer = match coding.filter(|_| body.len() >= WORTH_PACKING) {
            Some(coding) => packed(parts, body.into(), coding).await,
            None => Response::from_parts(parts, Body::from(body)),
        };
        let length = answer.body().size_hint().lower();
        held.shrink(usize::try_from(length).unwrap_or(usize::MAX));
        self.counts.sent(length);
        answer
            .headers_mut()
            .insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        // What is not taken yet stays in memory, at the expense of its client alone.
        self.paced(address, answer, Some(turn.answered(held)))
    }

    /// The answer at the rate at which its client may have it.
    fn paced(
        &self,
        address: IpAddr,
        answer: Response<Body>,
        place: Option<Place>,
    ) -> Response<Body> {
        answer.map(|body| Body::new(Paced::new(body, self.limits.clone(), address, place)))
    }

    /// The answer to a client that has all that it may have at the same time.
    fn turned_away(&self) -> Response<Body> {
        self.counts.throttled();
        come_back()
    }
}

/// Whether a path is that of a file: in any case, with slashes doubled anywhere.
fn is_content(path: &str) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    parts
        .next()
        .is_some_and(|part| part.eq_ignore_ascii_case(CONTENT))
}

/// How an answer may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    /// What Windows servers ask for.
    Xpress,
}

impl Coding {
    /// How the client takes an answer packed, where it does: gzip makes it shorter.
    fn taken(headers: &HeaderMap) -> Option<Self> {
        let mut codings = [Self::Gzip, Self::Xpress].into_iter();
        codings.find(|coding| takes(headers, coding.name()))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xpress => xpress::CODING,
        }
    }

    fn pack(self, body: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Xpress => Ok(xpress::pack(body)),
        }
    }
}

/// Whether the client takes an answer that is packed so.
fn takes(headers: &HeaderMap, packing: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight
            .trim()
            .trim_start_matches("q=")
            .trim_matches(['0', '.']);
        name.trim().eq_ignore_ascii_case(packing) && (weight.is_empty() || !refused.is_empty())
    })
}

/// The answer packed; as it is where that fails.
async fn packed(mut parts: http::response::Parts, body: Vec<u8>, coding: Coding) -> Response<Body> {
    let large = body.len() >= PACK_ASIDE;
    let pack = move || coding.pack(&body).map_err(|_| body);
    let packed = match large {
        true => tokio::task::spawn_blocking(pack).await,
        false => Ok(pack()),
    };
    match packed {
        Ok(Ok(body)) => {
            let name = HeaderValue::from_static(coding.name());
            parts.headers.insert(header::CONTENT_ENCODING, name);
            Response::from_parts(parts, Body::from(body))
        }
        Ok(Err(body)) => Response::from_parts(parts, Body::from(body)),
        Err(_) => come_back(),
    }
}

fn come_back() -> Response<Body> {
    let text = "too many requests at the moment: come back later\n";
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = answer.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(COME_BACK));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_any_case() {
        assert!(is_content("/Content/3F/0A.cab"));
        assert!(is_content("//content//3F/0A.cab"));
        assert!(!is_content("/Contents/3F"));
        assert!(!is_content("/"));
    }

    #[track_caller]
    fn check(accepted: &str, taken: Option<Coding>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
        assert_eq!(Coding::taken(&headers), taken, "{accepted}");
    }

    #[test]
    fn an_answer_is_packed_as_it_is_asked_for_and_rather_with_gzip() {
        check("gzip", Some(Coding::Gzip));
        check("deflate, GZIP;q=0.5", Some(Coding::Gzip));
        check("xpress", Some(Coding::Xpress));
        check("Xpress, gzip", Some(Coding::Gzip));
        check("xpress;q=0.1, gzip;q=0", Some(Coding::Xpress));
        check("identity, gzip;q=0", None);
        check("gzip; q=0.0, xpress; q=0", None);
        check("", None);
    }
}
