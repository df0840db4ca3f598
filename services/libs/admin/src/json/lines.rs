//! What a stream tells, as lines of JSON. Where it fails after it began, the last line says why, as a refusal does.

use super::encoded;
use super::problem::Problem;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::stream::{Stream, StreamExt as _};
use http::{HeaderValue, StatusCode, header};
use prost::bytes::Bytes;
use prost_reflect::MessageDescriptor;
use std::convert::Infallible;
use tonic::Status;

/// The content type of lines of JSON.
pub const NDJSON: &str = "application/x-ndjson";

/// The answer that tells what `answers` tells, each of the kind `kind`.
pub fn response(
    kind: MessageDescriptor,
    answers: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
) -> Response {
    let lines = answers.map(move |answer| {
        let line = answer
            .map_err(Problem::from)
            .and_then(|answer| encoded(kind.clone(), answer))
            .unwrap_or_else(|problem| problem.to_json().into_bytes());
        Ok::<_, Infallible>([line.as_slice(), b"\n"].concat())
    });
    let lines_are = HeaderValue::from_static(NDJSON);
    let headers = [(header::CONTENT_TYPE, lines_are)];
    (StatusCode::OK, headers, Body::from_stream(lines)).into_response()
}
