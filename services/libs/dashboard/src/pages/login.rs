//! Signing in with an access token or a client certificate, and out.

use crate::Dashboard;
use crate::api::{Api, question};
use crate::page::{Problem, Shown, own_path, query};
use crate::session::{COOKIE, Credential, Person};
use askama::Template;
use axum::extract::{Form, Query, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use http::{Extensions, HeaderValue, StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;
use tonic::{Code, Status};
use trust::{PersonCertificate, Role};
use wire::v1::GetCallerRequest;

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    site_code: String,
    next: String,
    refused: Option<String>,
    expired: bool,
    /// Name and role of the person whose client certificate the connection shows.
    offered: Option<(String, Role)>,
    /// Why that certificate opens nothing.
    unknown: Option<String>,
}

impl Page {
    /// The page for a connection, with what to come back to.
    async fn new(dashboard: &Dashboard, next: String, shown: &Extensions) -> Self {
        let (offered, unknown) = match shown.get::<PersonCertificate>() {
            None => (None, None),
            Some(held) => {
                let credential = Credential::Certificate(held.clone());
                match caller(dashboard, &credential).await {
                    Ok(who) => (Some(who), None),
                    Err(refusal) => (None, Some(refusal.message().to_owned())),
                }
            }
        };
        Self {
            site_code: dashboard.site_code.to_string(),
            next,
            refused: None,
            expired: false,
            offered,
            unknown,
        }
    }
}

/// Name and role of who signs in with something.
async fn caller(dashboard: &Dashboard, credential: &Credential) -> Result<(String, Role), Status> {
    let api = Api::new(dashboard.api.clone(), credential)?;
    let answer = api
        .access()
        .get_caller(question(GetCallerRequest {}))
        .await?;
    let caller = answer.into_inner();
    let role: Role = caller
        .role
        .parse()
        .map_err(|_| Status::internal("the role of the access token is not known"))?;
    Ok((caller.name, role))
}

/// What the address of the page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    next: String,
    expired: Option<String>,
}

/// What the form says.
#[derive(Deserialize)]
pub struct Presented {
    token: SecretString,
    #[serde(default)]
    next: String,
}

/// Leads someone who is not signed in to the page where they can, and back afterwards.
pub fn asked_to_sign_in(wanted: &str) -> Response {
    let next = if wanted == "/" { "" } else { own_path(wanted) };
    Redirect::to(&format!("/login{}", query(&[("next", next)]))).into_response()
}

/// What the form of a client certificate says.
#[derive(Deserialize)]
pub struct Continued {
    #[serde(default)]
    next: String,
}

/// `GET /login`
///
/// # Errors
/// When the template fails.
pub async fn show(
    State(dashboard): State<Dashboard>,
    Query(asked): Query<Asked>,
    shown: Extensions,
) -> Shown {
    let next = own_path(&asked.next).to_owned();
    let page = Page {
        expired: asked.expired.is_some(),
        ..Page::new(&dashboard, next, &shown).await
    };
    Ok(Html(page.render()?).into_response())
}

/// `POST /login`
///
/// # Errors
/// When the template fails.
pub async fn sign_in(
    State(dashboard): State<Dashboard>,
    shown: Extensions,
    Form(presented): Form<Presented>,
) -> Shown {
    let credential = Credential::Token(presented.token);
    enter(&dashboard, credential, &presented.next, &shown).await
}

/// `POST /login/certificate`: signs in with the client certificate of the connection. Only a page of this site can send
/// it ([`crate::guard`]): a certificate is shown whether or not the person means it.
///
/// # Errors
/// When the template fails.
pub async fn sign_in_by_certificate(
    State(dashboard): State<Dashboard>,
    shown: Extensions,
    Form(continued): Form<Continued>,
) -> Shown {
    let Some(certificate) = shown.get::<PersonCertificate>() else {
        let why = "This connection shows no client certificate.";
        return Err(Problem::Refused(Status::invalid_argument(why)));
    };
    let credential = Credential::Certificate(certificate.clone());
    enter(&dashboard, credential, &continued.next, &shown).await
}

/// Begins a session, or shows why there is none.
async fn enter(
    dashboard: &Dashboard,
    credential: Credential,
    next: &str,
    shown: &Extensions,
) -> Shown {
    let next = own_path(next).to_owned();
    match caller(dashboard, &credential).await {
        Ok(who) => {
            let secret = dashboard.sessions.begin(
                who,
                credential,
                dashboard.ambient.now(),
                &mut dashboard.ambient.new_rng(),
            );
            Ok(with_cookie(&next, &secret, ""))
        }
        Err(refusal) if refusal.code() == Code::Unauthenticated => {
            let page = Page {
                refused: Some(refusal.message().to_owned()),
                ..Page::new(dashboard, next, shown).await
            };
            Ok((StatusCode::UNAUTHORIZED, Html(page.render()?)).into_response())
        }
        Err(refusal) => Err(Problem::Refused(refusal)),
    }
}

/// `POST /logout`
pub async fn sign_out(State(dashboard): State<Dashboard>, person: Person) -> Response {
    person.leave(&dashboard);
    with_cookie("/login", "", "; Max-Age=0")
}

/// Leads on, with a cookie.
fn with_cookie(next: &str, secret: &str, more: &str) -> Response {
    let cookie = format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict{more}");
    let mut response = Redirect::to(next).into_response();
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
