//! Whom the client trusts.

use crate::support::{Clock, Memory, client_settings, quick, settings};
use axum::response::IntoResponse as _;
use std::sync::Arc;
use testkit::tls::serve_tls;
use tokio::task::JoinSet;
use wsus::client::{Client, Credentials, Error};

#[tokio::test]
async fn an_authority_of_the_ca_file_is_trusted_and_no_other() {
    let clock = Clock::new();
    let mut tasks = JoinSet::new();
    let router = || wsus::server::router(Arc::new(Memory::default()), settings(&clock));
    let (url, authority) = serve_tls("one authority", router(), &mut tasks).await;
    let (_, other_authority) = serve_tls("another authority", router(), &mut tasks).await;

    let mut settings = client_settings(&url, &clock);
    settings.ca_file_pem = Some(authority.into_bytes());
    let client = Client::with_options(settings.clone(), quick()).unwrap();
    client.config_data(None).await.unwrap();

    settings.ca_file_pem = Some(other_authority.into_bytes());
    let client = Client::with_options(settings, quick()).unwrap();
    let error = client.config_data(None).await.unwrap_err();
    assert!(matches!(error, Error::UnknownIssuer { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("Microsoft Root Certificate Authority 2011"),
        "{text}"
    );
    assert!(text.contains("upstream-ca-file"), "{text}");
}

/// Answers 401 with this challenge to whoever does not send the header.
fn locked(router: axum::Router, challenge: &'static str, lets_in: &'static str) -> axum::Router {
    router.layer(axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| async move {
            let given = request.headers().get("authorization");
            if given.is_some_and(|given| given == lets_in) {
                return next.run(request).await;
            }
            let status = axum::http::StatusCode::UNAUTHORIZED;
            (status, [("www-authenticate", challenge)]).into_response()
        },
    ))
}

#[tokio::test]
async fn a_server_that_asks_for_an_account_gets_the_one_that_is_set() {
    // CORP\jane, hunter2
    const JANE: &str = "Basic Q09SUFxqYW5lOmh1bnRlcjI=";
    let clock = Clock::new();
    let mut tasks = JoinSet::new();
    let router = || wsus::server::router(Arc::new(Memory::default()), settings(&clock));
    let basic = locked(router(), "Basic realm=\"wsus\"", JANE);
    let (url, authority) = serve_tls("an authority", basic, &mut tasks).await;
    let windows = locked(router(), "Negotiate, NTLM", JANE);
    let (other_url, other_authority) = serve_tls("an authority", windows, &mut tasks).await;

    let mut settings = client_settings(&url, &clock);
    settings.ca_file_pem = Some(authority.into_bytes());
    let told = async |settings: &wsus::client::ClientSettings| {
        let client = Client::with_options(settings.clone(), quick()).unwrap();
        let error = client.config_data(None).await.unwrap_err();
        assert!(matches!(error, Error::SignIn { .. }), "{error:?}");
        let text = error.to_string();
        assert!(!text.contains("hunter"), "{text}");
        text
    };
    let text = told(&settings).await;
    assert!(
        text.contains("asks for an account; set source.user"),
        "{text}"
    );

    let jane = |password: &str| Credentials {
        user: "jane".to_owned(),
        domain: Some("CORP".to_owned()),
        password: password.to_owned().into(),
    };
    settings.account = Some(jane("hunter3"));
    let text = told(&settings).await;
    assert!(text.contains(r"refuses the account CORP\jane"), "{text}");

    settings.account = Some(jane("hunter2"));
    let client = Client::with_options(settings.clone(), quick()).unwrap();
    client.config_data(None).await.unwrap();

    settings.url = other_url;
    settings.ca_file_pem = Some(other_authority.into_bytes());
    settings.account = None;
    let text = told(&settings).await;
    assert!(
        text.contains("by Negotiate, NTLM only, which Headwater does not have"),
        "{text}"
    );

    settings.url = "http://localhost:1".to_owned();
    settings.account = Some(jane("hunter2"));
    let refused = Client::with_options(settings, quick())
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("in the clear"), "{refused}");
}
