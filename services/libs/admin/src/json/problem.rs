//! What is answered where a call is refused or fails: the status of gRPC as the status of HTTP that means the same,
//! and `{"code": "NOT_FOUND", "message": "…"}`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tonic::{Code, Status};

/// The names of the codes, as gRPC writes them.
pub const CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A call that was refused or failed.
#[derive(Debug)]
pub struct Problem {
    pub(super) http: StatusCode,
    pub(super) code: Code,
    pub(super) message: String,
    allow: Option<&'static str>,
}

impl Problem {
    /// With the status of HTTP that goes with the code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            http: http_status(code),
            code,
            message: message.into(),
            allow: None,
        }
    }

    /// A method of HTTP that the path does not take.
    pub fn method_not_allowed(allow: &'static str, path: &str) -> Self {
        let message = format!("{path} takes {allow} and no other method");
        Self {
            http: StatusCode::METHOD_NOT_ALLOWED,
            allow: Some(allow),
            ..Self::new(Code::Unimplemented, message)
        }
    }

    /// A body that is too long, or that did not come whole.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("the body is longer than {limit} bytes, or did not come whole");
        Self {
            http: StatusCode::PAYLOAD_TOO_LARGE,
            ..Self::new(Code::OutOfRange, message)
        }
    }

    /// As it is told: `{"code": "NOT_FOUND", "message": "…"}`.
    pub fn to_json(&self) -> String {
        serde_json::json!({ "code": name(self.code), "message": self.message }).to_string()
    }

    /// What only a mistake of ours leads to.
    pub fn ours(what: &str) -> Self {
        tracing::error!(what, "a call over HTTP could not be served");
        Self::new(Code::Internal, format!("{what} could not be written"))
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Self::new(status.code(), status.message())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        let mut response =
            (self.http, [(header::CONTENT_TYPE, kind)], self.to_json()).into_response();
        let headers = response.headers_mut();
        if self.http == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"Headwater\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// The name of a code of a failure.
fn name(code: Code) -> &'static str {
    let at = usize::try_from(i32::from(code)).unwrap_or_default();
    // Success is no problem and has no name here.
    CODES.get(at.wrapping_sub(1)).copied().unwrap_or("UNKNOWN")
}

/// The status of HTTP for a code, as `google/rpc/code.proto` has it.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        // What ends a call here is the site that stops; 499 has no name.
        Code::Cancelled | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_name_and_no_failure_looks_like_success() {
        for (number, expected) in (1..).zip(CODES) {
            let code = Code::from_i32(number);
            assert_eq!(name(code), expected);
            assert!(http_status(code).as_u16() >= 400, "{expected}");
        }
        assert_eq!(name(Code::NotFound), "NOT_FOUND");
        assert_eq!(name(Code::Unauthenticated), "UNAUTHENTICATED");
        assert_eq!(http_status(Code::PermissionDenied), StatusCode::FORBIDDEN);
    }
}
