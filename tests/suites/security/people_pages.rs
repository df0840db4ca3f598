//! The dashboard with a client certificate: who has one continues with it, and a cookie alone is not that person.

use crate::playground::{PersonKey, Playground};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use std::time::Duration;
use testkit::patience::LONG;
use tonic::Request;
use trust::Role;
use wire::v1::change_settings_request::To;
use wire::v1::settings_service_client::SettingsServiceClient;
use wire::v1::{Assignments, ChangeSettingsRequest};

fn browser(playground: &Playground, person: Option<&PersonKey>) -> Client {
    let tls = match person {
        Some(person) => playground.person_tls(person),
        None => playground.plain_tls(),
    };
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .build()
        .unwrap()
}

async fn get(browser: &Client, playground: &Playground, path: &str, cookie: &str) -> Response {
    let request = browser.get(format!("{}{path}", playground.url()));
    request.header("cookie", cookie).send().await.unwrap()
}

/// Presses "Continue as".
async fn go_on(browser: &Client, playground: &Playground, fetched_from: &str) -> Response {
    browser
        .post(format!("{}/login/certificate", playground.url()))
        .header("sec-fetch-site", fetched_from)
        .form(&[("next", "/updates")])
        .send()
        .await
        .unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_a_certificate_continues_and_nobody_else_with_the_cookie() {
    let playground = Playground::start().await;
    let ann = playground.person("ann", Role::Operator).await;
    let (with, without) = (browser(&playground, Some(&ann)), browser(&playground, None));

    // The page offers it to who shows it, and to nobody else.
    let page = get(&with, &playground, "/login?next=/updates", "").await;
    let page = page.text().await.unwrap();
    assert!(
        page.contains("Continue as ann") && page.contains("operator"),
        "{page}"
    );
    let page = get(&without, &playground, "/login", "")
        .await
        .text()
        .await
        .unwrap();
    assert!(!page.contains("Continue as"), "{page}");
    // One that is not known here is told so.
    let unknown = playground.unknown_person("eve");
    let unknown = browser(&playground, Some(&unknown));
    let page = get(&unknown, &playground, "/login", "")
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("does not know the client certificate of eve"),
        "{page}"
    );
    assert!(!page.contains("Continue as"), "{page}");
    assert_eq!(
        go_on(&unknown, &playground, "same-origin").await.status(),
        401
    );

    // Nobody is signed in by showing a certificate, and no other page can press the button.
    let page = get(&with, &playground, "/updates", "").await;
    assert_eq!(
        (page.status().as_u16(), header(&page, "location")),
        (303, "/login?next=%2Fupdates")
    );
    assert_eq!(go_on(&with, &playground, "cross-site").await.status(), 403);
    assert_eq!(
        go_on(&without, &playground, "same-origin").await.status(),
        400
    );

    let entered = go_on(&with, &playground, "same-origin").await;
    assert_eq!(
        (entered.status().as_u16(), header(&entered, "location")),
        (303, "/updates")
    );
    let cookie = header(&entered, "set-cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let page = get(&with, &playground, "/updates", cookie).await;
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("ann <small>operator</small>"), "{page}");

    // The cookie by itself, or with the certificate of somebody else, opens nothing.
    let other = playground.person("bob", Role::Administrator).await;
    let other = browser(&playground, Some(&other));
    for thief in [&without, &other, &unknown] {
        let page = get(thief, &playground, "/updates", cookie).await;
        assert_eq!(header(&page, "location"), "/login?next=%2Fupdates");
    }

    // Revoked, the next page is the one to sign in.
    playground.revoke("ann").await;
    let page = get(&with, &playground, "/updates", cookie).await;
    assert_eq!(header(&page, "location"), "/login?expired=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_change_of_settings_is_refused_too_where_somebody_else_was_faster() {
    let playground = Playground::start().await;
    let ann = playground.person("ann", Role::Administrator).await;
    let ann = browser(&playground, Some(&ann));
    let entered = go_on(&ann, &playground, "same-origin").await;
    let cookie = header(&entered, "set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let send = |version: &str, confirmed: &str| {
        let fields = [
            ("tab", "supersedence"),
            ("version", version),
            ("confirmed", confirmed),
            ("set", "supersedence.other-updates=9"),
            ("supersedence.other-updates", "9"),
        ];
        let request = ann.post(format!("{}/settings", playground.url()));
        let request = request
            .header("sec-fetch-site", "same-origin")
            .header("cookie", &cookie)
            .form(&fields);
        async move { request.send().await.unwrap() }
    };
    let page = get(&ann, &playground, "/settings?tab=supersedence", &cookie).await;
    let page = page.text().await.unwrap();
    assert!(page.contains("Nobody changed any yet"), "{page}");
    let preview = send("0", "").await;
    assert_eq!(preview.status(), 200);
    assert!(preview.text().await.unwrap().contains("What would change"));

    // Somebody else is faster.
    let mut request = Request::new(ChangeSettingsRequest {
        to: Some(To::Assignments(Assignments {
            set: vec!["cleanup.days=31".to_owned()],
            reset: Vec::new(),
        })),
        ..ChangeSettingsRequest::default()
    });
    let administrator = playground.token(Role::Administrator).await;
    let metadata = request.metadata_mut();
    metadata.insert("authorization", administrator.parse().unwrap());
    let mut settings = SettingsServiceClient::new(playground.channel(None).await);
    let other = settings.change_settings(request).await.unwrap();
    assert_eq!(other.into_inner().version, 1);

    for confirmed in ["", "yes"] {
        let refused = send("0", confirmed).await;
        assert_eq!(refused.status(), 303);
        let page = get(&ann, &playground, header(&refused, "location"), &cookie).await;
        let page = page.text().await.unwrap();
        assert!(
            page.contains("version 1 is in force, and not version 0"),
            "{page}"
        );
    }
    let saved = send("1", "yes").await;
    let page = get(&ann, &playground, header(&saved, "location"), &cookie).await;
    assert!(
        page.text()
            .await
            .unwrap()
            .contains("Version 2 of the settings is in force")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_an_open_page_end_when_its_person_is_revoked() {
    let playground = Playground::start().await;
    let (ann, bob) = (
        playground.person("ann", Role::Viewer).await,
        playground.person("bob", Role::Viewer).await,
    );
    let mut events = Vec::new();
    for person in [&ann, &bob] {
        let browser = browser(&playground, Some(person));
        let entered = go_on(&browser, &playground, "same-origin").await;
        let cookie = header(&entered, "set-cookie").split(';').next().unwrap();
        let answer = get(&browser, &playground, "/events", cookie).await;
        assert_eq!(answer.status(), 200);
        events.push(answer);
    }
    let [of_ann, of_bob] = events.try_into().unwrap();
    playground.revoke("ann").await;
    tokio::time::timeout(LONG, of_ann.text())
        .await
        .expect("they end when the certificate is looked at again")
        .unwrap();
    // Those of somebody else go on.
    let on = tokio::time::timeout(Duration::from_millis(100), of_bob.text()).await;
    assert!(on.is_err(), "{on:?}");
}
