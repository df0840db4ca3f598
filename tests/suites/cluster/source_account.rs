//! A synchronization source that asks for an account, under an authority that no system knows.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use ctl::connection::question;
use daemon::Ambient;
use testkit::Hierarchy;
use testkit::hierarchy::CENTRAL;
use testkit::tls::serve_tls;
use tokio::task::JoinSet;
use upstream::generator::GeneratorSettings;
use upstream::{SourceSettings, Upstream, UpstreamSettings};
use wire::v1::SetSecretRequest;

/// CORP\jane, hunter2.
const JANE: &str = "Basic Q09SUFxqYW5lOmh1bnRlcjI=";

/// A stand-in that lets in nobody else: its address, and its authority in PEM.
async fn locked(tasks: &mut JoinSet<()>) -> (String, String) {
    let settings = UpstreamSettings {
        source: SourceSettings::Generate(GeneratorSettings {
            seed: 7,
            updates: 30,
        }),
        evolve: None,
        evolve_percent: 0.0,
    };
    let upstream = Upstream::open(settings, Ambient::system()).await.unwrap();
    let lock = from_fn(|request: Request, next: Next| async move {
        let given = request.headers().get("authorization");
        if given.is_some_and(|given| given == JANE) {
            return next.run(request).await;
        }
        let challenge = [("www-authenticate", "Basic realm=\"wsus\"")];
        (StatusCode::UNAUTHORIZED, challenge).into_response()
    });
    serve_tls("an authority", upstream.router().layer(lock), tasks).await
}

async fn set_password(hierarchy: &Hierarchy, password: &str) {
    let secret = SetSecretRequest {
        name: "source.password".to_owned(),
        secret: password.to_owned(),
    };
    let client = hierarchy.client().await.unwrap();
    let set = client.settings().set_secret(question(secret)).await;
    set.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_and_the_authority_of_the_source_come_from_the_settings() {
    let mut tasks = JoinSet::new();
    let (url, authority) = locked(&mut tasks).await;
    let mut hierarchy = Hierarchy::new();
    hierarchy.central().await;
    let set = |assignments: &[&str]| {
        let arguments: Vec<&str> = [&["settings", "set"], assignments].concat();
        hierarchy.run(&arguments).good()
    };
    let fails = |why: &str| {
        let run = hierarchy.run(&["sync", "start", "--wait"]);
        assert!(!run.status.success());
        assert!(run.output.contains(why), "{}", run.output);
        assert!(!run.output.contains("hunter"), "{}", run.output);
    };
    set(&[
        "source.action=upstream-server",
        &format!("source.url={url}"),
    ]);
    fails("source.ca-pem");
    set(&[&format!("source.ca-pem={authority}")]);
    fails("asks for an account; set source.user");
    set(&["source.user=jane", "source.domain=CORP"]);
    fails("headwater settings password source");
    set_password(&hierarchy, "hunter3").await;
    fails(r"refuses the account CORP\jane");
    set_password(&hierarchy, "hunter2").await;
    hierarchy.run(&["sync", "start", "--wait"]).good();
    assert!(hierarchy.site(CENTRAL).await.unwrap().verified_position > 30);

    // A password is for one account of one server, and nobody is shown it.
    let shown = hierarchy.run(&["settings", "show"]).good();
    assert!(!shown.contains("hunter"), "{shown}");
    set(&["source.user=john"]);
    fails("headwater settings password source");
}
