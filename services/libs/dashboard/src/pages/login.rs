//! Signing in with an access token, and out.

use crate::Dashboard;
use crate::api::{Api, question};
use crate::page::{Problem, Shown, own_path, query};
use crate::session::{COOKIE, Person};
use askama::Template;
use axum::extract::{Form, Query, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use http::{HeaderValue, StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;
use tonic::Code;
use trust::Role;
use wire::v1::GetCallerRequest;

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    site_code: String,
    next: String,
    refused: Option<String>,
    expired: bool,
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

/// `GET /login`
///
/// # Errors
/// When the template fails.
pub async fn show(State(dashboard): State<Dashboard>, Query(asked): Query<Asked>) -> Shown {
    let page = Page {
        site_code: dashboard.site_code.to_string(),
        next: own_path(&asked.next).to_owned(),
        refused: None,
        expired: asked.expired.is_some(),
    };
    Ok(Html(page.render()?).into_response())
}

/// `POST /login`
///
/// # Errors
/// When the template fails.
pub async fn sign_in(
    State(dashboard): State<Dashboard>,
    Form(presented): Form<Presented>,
) -> Shown {
    let next = own_path(&presented.next).to_owned();
    let caller = async {
        let api = Api::new(dashboard.api.clone(), &presented.token)?;
        let answer = api
            .access()
            .get_caller(question(GetCallerRequest {}))
            .await?;
        let caller = answer.into_inner();
        let role: Role = caller
            .role
            .parse()
            .map_err(|_| tonic::Status::internal("the role of the access token is not known"))?;
        Ok::<_, tonic::Status>((caller.name, role))
    };
    match caller.await {
        Ok(who) => {
            let secret = dashboard.sessions.begin(
                who,
                presented.token,
                dashboard.ambient.now(),
                &mut dashboard.ambient.new_rng(),
            );
            Ok(with_cookie(&next, &secret, ""))
        }
        Err(refusal) if refusal.code() == Code::Unauthenticated => {
            let page = Page {
                site_code: dashboard.site_code.to_string(),
                next,
                refused: Some(refusal.message().to_owned()),
                expired: false,
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
