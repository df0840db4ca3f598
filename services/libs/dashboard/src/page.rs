//! What all pages have: the frame around them, and how a refusal looks.

use crate::Dashboard;
use crate::session::{Note, Person};
use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::StatusCode;
use tonic::{Code, Status};
use trust::Role;

/// What stands around a page.
pub struct Frame {
    pub title: String,
    pub site_code: String,
    /// Path of the entry of the navigation that the page belongs to.
    pub here: &'static str,
    /// What makes the page fetch itself anew: "sites", "messages", or both.
    pub live: &'static str,
    pub person: String,
    pub role: &'static str,
    pub operator: bool,
    pub administrator: bool,
    pub note: Option<Note>,
    pub version: &'static str,
}

impl Frame {
    /// The frame of a page for a person.
    pub fn new(
        dashboard: &Dashboard,
        person: &Person,
        title: impl Into<String>,
        here: &'static str,
        live: &'static str,
    ) -> Self {
        Self {
            title: title.into(),
            site_code: dashboard.site_code.to_string(),
            here,
            live,
            person: person.name.clone(),
            role: person.role.name(),
            operator: person.may(Role::Operator),
            administrator: person.may(Role::Administrator),
            note: if person.refreshing {
                None
            } else {
                person.take_note(dashboard)
            },
            version: daemon::build_info::VERSION,
        }
    }

    /// The entries of the navigation: path and name.
    pub fn entries(&self) -> [(&'static str, &'static str); 8] {
        [
            ("/", "Hierarchy"),
            ("/status", "Synchronization status"),
            ("/alerts", "Alerts"),
            ("/runs", "Synchronizations"),
            ("/updates", "Updates"),
            ("/downstream", "Downstream servers"),
            ("/log", "Log"),
            ("/settings", "Settings"),
        ]
    }
}

/// A page, or why there is none.
pub type Shown = Result<Response, Problem>;

/// Renders a page.
///
/// # Errors
/// When the template fails.
pub fn render(template: &impl Template) -> Shown {
    Ok(Html(template.render()?).into_response())
}

/// Why a page cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A service refused.
    #[error("{}", .0.message())]
    Refused(#[from] Status),
    /// A template failed.
    #[error("the page cannot be made")]
    Template(#[from] askama::Error),
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    heading: &'static str,
    text: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, heading) = match &self {
            Self::Template(error) => {
                tracing::error!(%error, "a page of the dashboard cannot be made");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This page cannot be shown",
                )
            }
            Self::Refused(refusal) => match refusal.code() {
                Code::Unauthenticated => return Redirect::to("/login?expired=1").into_response(),
                Code::PermissionDenied => (StatusCode::FORBIDDEN, "You may not do this"),
                Code::NotFound => (StatusCode::NOT_FOUND, "There is no such thing here"),
                Code::InvalidArgument => (StatusCode::BAD_REQUEST, "That cannot be shown"),
                Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => {
                    (StatusCode::CONFLICT, "That is not possible now")
                }
                Code::Ok
                | Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This page cannot be shown",
                ),
            },
        };
        let page = ProblemPage {
            heading,
            text: self.to_string(),
        };
        match page.render() {
            Ok(text) => (status, Html(text)).into_response(),
            Err(_) => (status, heading).into_response(),
        }
    }
}

/// Says what came of a button, and shows the page that it stands on.
///
/// # Errors
/// When the person is not known any more.
pub fn back(
    dashboard: &Dashboard,
    person: &Person,
    to: &str,
    result: Result<String, Status>,
) -> Shown {
    match result {
        Ok(text) => person.note(dashboard, false, text),
        Err(refusal) if refusal.code() == Code::Unauthenticated => {
            return Err(Problem::Refused(refusal));
        }
        Err(refusal) => person.note(dashboard, true, refusal.message()),
    }
    Ok(Redirect::to(to).into_response())
}

/// The path of a page of this site that a form wants to come back to; the first page for anything else.
pub fn own_path(wanted: &str) -> &str {
    let is_path = wanted.starts_with('/')
        && !wanted.starts_with("//")
        && !wanted.contains('\\')
        && wanted.bytes().all(|byte| byte.is_ascii_graphic())
        && wanted.len() <= 2048;
    if is_path { wanted } else { "/" }
}

/// Pairs as the query of an address; those without a value are left out.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    format!("?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_comes_back_to_a_page_of_this_site_only() {
        assert_eq!(own_path("/sites/PR1?sort=lag"), "/sites/PR1?sort=lag");
        for bad in [
            "",
            "https://x",
            "//x",
            "/\\x",
            "/a\r\nSet-Cookie: b",
            "x",
            "/\t/x",
            "/\0",
            "/é",
        ] {
            assert_eq!(own_path(bad), "/", "{bad:?}");
        }
    }
}
