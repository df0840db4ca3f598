//! The HTTP around the services: paths, media types, sizes.

use super::Source;
use super::memory::{Held, Memory};
use super::reporting::MAX_ROLLUP_BYTES;
use super::service::Service;
use crate::fault::{ErrorCode, Fault};
use crate::message::{Operation, Request, SoapVersion};
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::net::IpAddr;
use std::time::Duration;

/// Largest request that is read. A filter with every category that exists has a hundredth of it.
pub const MAX_REQUEST_BYTES: usize = 4 << 20;

/// How long a request may take to arrive. Reports, which are larger, are not among it.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Where a request comes from: an extension of it, put there by who took the connection in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// That a request came over HTTPS: an extension of it, put there by who took the connection in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverHttps;

/// What became of a request: an extension of the answer, for who counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// The operation; none where the message cannot be read.
    pub operation: Option<&'static str>,
    /// The code of the fault; none for a success.
    pub fault: Option<ErrorCode>,
}

/// Path of the reporting service, in lower case, without the slash in front. So the others.
const REPORTING_PATH: &str = "reportingwebservice/reportingwebservice.asmx";

/// Paths of the other services.
const PATHS: [&str; 2] = [
    "serversyncwebservice/serversyncwebservice.asmx",
    "dssauthwebservice/dssauthwebservice.asmx",
];

/// Path of the authorization service, relative to the root, as Windows announces it.
pub(super) const DSS_AUTH_PATH: &str = "DssAuthWebService/DssAuthWebService.asmx";

/// Longest path or host that is looked at or repeated in a fault.
const MAX_PATH_BYTES: usize = 512;

/// Whether a request for `path` is for the services: in any case, with slashes doubled anywhere, as real
/// downstream servers write it.
pub fn serves(path: &str) -> bool {
    endpoint(path).is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    /// Server synchronization or authorization: either answers the operations of both.
    Synchronization,
    Reporting,
}

fn endpoint(path: &str) -> Option<Endpoint> {
    if path.len() > MAX_PATH_BYTES {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let path = parts.join("/").to_ascii_lowercase();
    if path == REPORTING_PATH {
        return Some(Endpoint::Reporting);
    }
    PATHS
        .contains(&path.as_str())
        .then_some(Endpoint::Synchronization)
}

/// Who asks, and what memory there is for the answer.
pub(super) struct Caller {
    pub address: Option<IpAddr>,
    pub is_https: bool,
    pub memory: Memory,
}

impl<S: Source> Service<S> {
    /// Answers one HTTP request. Whether the path is one of ours is told by [`serves`]; any other path is
    /// answered with 404.
    ///
    /// The request may have [`PeerAddress`], [`OverHttps`] and [`Memory`] as extensions. The answer has [`Held`]: who sends it keeps
    /// that as long as the answer is in memory.
    pub async fn handle(&self, request: http::Request<Body>) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let Some(endpoint) = endpoint(parts.uri.path()) else {
            return plain(StatusCode::NOT_FOUND, "there is nothing at this address");
        };
        if parts.method != Method::POST {
            let mut answer = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "this is a SOAP service: use POST",
            );
            let allow = HeaderValue::from_static("POST");
            answer.headers_mut().insert(header::ALLOW, allow);
            return answer;
        }
        let action = soap_action(&parts.headers);
        let peer = parts.extensions.get::<PeerAddress>().map(|peer| peer.0);
        let memory = parts.extensions.get::<Memory>();
        let caller = Caller {
            address: peer,
            is_https: parts.extensions.get::<OverHttps>().is_some(),
            memory: memory.unwrap_or_else(|| self.memory()).clone(),
        };
        let too_large = || {
            let text = format!(
                "the request was cut off, or is larger than {} MiB and {} MiB for a report",
                MAX_REQUEST_BYTES >> 20,
                MAX_ROLLUP_BYTES >> 20
            );
            plain(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        let (version, operation, outcome) = match endpoint {
            Endpoint::Reporting => {
                let version = version_of(&parts.headers);
                let Some((operation, outcome)) = self.report(version, &action, body, peer).await
                else {
                    return too_large();
                };
                let outcome = outcome.map(|text| (text, Held::default()));
                (version, operation, outcome)
            }
            Endpoint::Synchronization => {
                let body = axum::body::to_bytes(body, MAX_REQUEST_BYTES);
                let Ok(body) = tokio::time::timeout(BODY_TIME, body).await else {
                    return plain(
                        StatusCode::REQUEST_TIMEOUT,
                        "the request took too long to arrive",
                    );
                };
                let Ok(body) = body else {
                    return too_large();
                };
                self.synchronize(&parts.headers, &action, &body, caller)
                    .await
            }
        };
        let (mut answer, fault) = match outcome {
            Ok((text, held)) => {
                let mut answer = soap(StatusCode::OK, version, text);
                answer.extensions_mut().insert(held);
                (answer, None)
            }
            Err(mut fault) => {
                fault.id = Some(self.new_id());
                fault.actor = address(&parts);
                tracing::debug!(%fault, method = fault.method, "answered with a fault");
                let text = fault.encode(version);
                let answer = soap(StatusCode::INTERNAL_SERVER_ERROR, version, text);
                (answer, Some(fault.code))
            }
        };
        answer.extensions_mut().insert(Handled { operation, fault });
        answer
    }

    async fn synchronize(
        &self,
        headers: &HeaderMap,
        action: &str,
        body: &[u8],
        caller: Caller,
    ) -> (
        SoapVersion,
        Option<&'static str>,
        Result<(String, Held), Fault>,
    ) {
        match Request::decode(body) {
            Ok((version, request)) => {
                let operation = request.operation().name();
                let answer = self.answer(version, request, &caller).await;
                (version, Some(operation), answer)
            }
            Err(error) => {
                tracing::debug!(%error, action, "request could not be read");
                let parameter = error.parameter().unwrap_or("request").to_owned();
                let mut fault = Fault::new(ErrorCode::InvalidParameters, parameter);
                fault.reason = error.to_string();
                fault.method = format!("\"{action}\"");
                (version_of(headers), None, Err(fault))
            }
        }
    }
}

/// Quoted action of an operation, for the element `Method` of a fault.
pub(super) fn method(operation: Operation) -> String {
    operation.soap_action()
}

/// The action that the headers name, without quotes: `SOAPAction`, or a parameter of the media type.
fn soap_action(headers: &HeaderMap) -> String {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let action = headers.get("soapaction").map(text).or_else(|| {
        let content_type = headers.get(header::CONTENT_TYPE).map(text)?;
        let (_, action) = content_type.split_once("action=")?;
        action.split(';').next().map(str::to_owned)
    });
    let action = action.unwrap_or_default();
    action
        .trim()
        .trim_matches('"')
        .chars()
        .take(MAX_PATH_BYTES)
        .collect()
}

/// The version that the media type promises, for a message that cannot be read.
fn version_of(headers: &HeaderMap) -> SoapVersion {
    match headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(media) if media.starts_with(b"application/soap+xml") => SoapVersion::V12,
        _ => SoapVersion::V11,
    }
}

fn address(parts: &http::request::Parts) -> String {
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| parts.uri.authority().map(|authority| authority.as_str()))
        .unwrap_or("localhost");
    let host: String = host.chars().take(MAX_PATH_BYTES).collect();
    format!("http://{host}{}", parts.uri.path())
}

fn soap(status: StatusCode, version: SoapVersion, text: String) -> http::Response<Body> {
    let mut answer = http::Response::new(Body::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(version.content_type()),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=0"),
    );
    answer
}

fn plain(status: StatusCode, text: impl Into<Body>) -> http::Response<Body> {
    let mut answer = http::Response::new(text.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_in_any_case_and_with_doubled_slashes() {
        for path in [
            "/ServerSyncWebService/ServerSyncWebService.asmx",
            "//DssAuthWebService//DssAuthWebService.asmx",
            "/serversyncwebservice/SERVERSYNCWEBSERVICE.ASMX",
            "/ReportingWebService/ReportingWebService.asmx",
        ] {
            assert!(serves(path), "{path}");
        }
        for path in [
            "/",
            "",
            "/ServerSyncWebService/",
            "/x/ServerSyncWebService/ServerSyncWebService.asmx",
        ] {
            assert!(!serves(path), "{path}");
        }
    }
}
