//! What an answer with an error means for the person who asked.

use tonic::{Code, Status};
use wire::text::harmless;

/// A refusal in words that say what to do. `doing` says what was tried, as in "starting a synchronization".
pub fn explain(status: Status, server: &str, doing: &str) -> anyhow::Error {
    let said = harmless(status.message()).into_owned();
    let cause = match status.code() {
        Code::Unauthenticated => format!(
            "{server} does not know the access token ({said}): after a new start with an empty data directory there is a new admin credential; a token of another site or a revoked one is worth nothing here"
        ),
        Code::PermissionDenied => {
            format!("the access token does not allow this: {said}")
        }
        Code::Unavailable => format!(
            "{server} does not answer ({said}): look whether the site is running and whether the address is right"
        ),
        Code::DeadlineExceeded => format!("{server} took too long to answer"),
        Code::Unimplemented => {
            format!("{server} does not know this request: it is older than this program")
        }
        Code::Internal | Code::Unknown if source(&status).is_some() => format!(
            "the conversation with {server} broke off: {}",
            source(&status).unwrap_or_default()
        ),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => {
            if said.is_empty() {
                format!("{server} refused: {}", status.code().description())
            } else {
                said
            }
        }
    };
    anyhow::anyhow!(cause).context(format!("{doing} failed"))
}

/// The innermost cause of an error of the transport.
fn source(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Some(harmless(&cause.to_string()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let check = |status, expected: &str| {
            let error = format!("{:#}", explain(status, "https://cas:1", "listing sites"));
            assert!(error.starts_with("listing sites failed: "), "{error}");
            assert!(error.contains(expected), "{error}");
        };
        check(Status::unauthenticated("unknown token"), "admin credential");
        check(Status::unavailable("refused"), "is running");
        check(Status::not_found("no site SE9"), "no site SE9");
        check(Status::aborted(""), "https://cas:1 refused");
    }
}
