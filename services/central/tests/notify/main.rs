//! Telling receivers of alerts: web addresses and a mail server on this machine, which fail, and take what they
//! are told in the end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod desk;
mod post;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use desk::{Desk, now, patiently};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// Signs, and gives access to the web address.
const SECRET: &str = "hunter2-hunter2-hunter2";

/// What a web address was told.
#[derive(Debug, Clone)]
struct Heard {
    id: String,
    event: String,
    document: serde_json::Value,
}

/// A web address that refuses at first.
#[derive(Clone, Default)]
struct Hook {
    heard: Arc<Mutex<Vec<Heard>>>,
    refusals: Arc<Mutex<Vec<StatusCode>>>,
}

impl Hook {
    /// Refuses with these before it takes anything. Its address.
    async fn listen(&self, refusals: &[StatusCode]) -> String {
        *self.refusals.lock().unwrap() = refusals.iter().rev().copied().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/{SECRET}", listener.local_addr().unwrap());
        let route = format!("/{SECRET}");
        let router = Router::new()
            .route(&route, post(Self::take))
            .with_state(self.clone());
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    async fn take(
        State(hook): State<Self>,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, HeaderMap) {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let timestamp = header("headwater-timestamp");
        let signed = [timestamp.as_bytes(), b".", &body].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = header("headwater-signature");
        let digits = signature.strip_prefix("v1=").unwrap();
        let tag: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        hmac::verify(&key, &signed, &tag).unwrap();
        let sent: i64 = timestamp.parse().unwrap();
        assert!((now().as_second() - sent).abs() < 600);
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["version"], 1);
        assert_eq!(document["id"], header("headwater-notification"));
        let text = |name: &str| document[name].as_str().unwrap().to_owned();
        hook.heard.lock().unwrap().push(Heard {
            id: text("id"),
            event: text("event"),
            document: document.clone(),
        });
        let mut answer = HeaderMap::new();
        answer.insert("location", "http://127.0.0.1:1/".parse().unwrap());
        let refusal = hook.refusals.lock().unwrap().pop();
        (refusal.unwrap_or(StatusCode::NO_CONTENT), answer)
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.event).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_address_that_refuses_at_first_is_told_in_order_and_can_tell_repeats() {
    let hook = Hook::default();
    let url = hook
        .listen(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::FOUND])
        .await;
    let desk = Desk::open().await;
    desk.set(&[&format!("notifications.webhooks+={url}")]);
    desk.keep_secret("notifications.secret", SECRET).await;
    desk.fail("PR1", "no way to the parent");
    patiently(|| hook.heard().len() == 3).await;
    let heard = hook.heard();
    assert_eq!(hook.events(), ["raised"; 3]);
    assert!(heard.iter().all(|again| again.id == heard[0].id));
    assert!(
        heard
            .iter()
            .all(|again| again.document == heard[0].document)
    );
    let alert = &heard[0].document["alert"];
    assert_eq!(alert["kind"], "sync-failed");
    assert_eq!(
        (&alert["site"], &alert["status_id"]),
        (&"PR1".into(), &9055.into())
    );
    assert!(
        alert["text"]
            .as_str()
            .unwrap()
            .ends_with("no way to the parent")
    );
    assert!(alert["ended"].is_null() && alert["acknowledged_by"].is_null());
    assert_eq!(heard[0].document["top_level_site"], "CAS");

    // Somebody knows, and another one does, too late.
    let alerts = desk.alerts.list(false, 10).await.unwrap();
    assert_eq!(alerts.len(), 1);
    let id = alerts[0].row.id;
    for who in ["anna", "ben"] {
        let alert = desk.alerts.acknowledge(id, who).await.unwrap().unwrap();
        assert_eq!(alert.row.acknowledged.unwrap().0, "anna");
    }
    desk.succeed("PR1");
    patiently(|| hook.heard().len() == 5).await;
    assert_eq!(hook.events()[3..], ["acknowledged", "ended"]);
    let ended = &hook.heard()[4].document["alert"];
    assert_eq!(ended["acknowledged_by"], "anna");
    assert!(ended["ended"].is_string());
    assert_eq!(desk.alerts.list(false, 10).await.unwrap(), []);
    assert_eq!(desk.alerts.list(true, 10).await.unwrap().len(), 1);
    assert_eq!(desk.messages().await, [9055, 9072, 9056]);
    patiently_empty(&desk).await;
    desk.says_nothing_of(SECRET);
}

async fn patiently_empty(desk: &Desk) {
    loop {
        if desk.waiting().await.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_given_up_with_a_message() {
    let desk = Desk::open_with(desk::IMPATIENT).await;
    // Nobody listens there, and the secret is missing as well.
    desk.set(&["notifications.webhooks+=http://127.0.0.1:1/hunter2-path"]);
    desk.fail("PR1", "no way");
    patiently_messages(&desk, &[9055, 9073]).await;
    let told = desk.last_inserts().await;
    assert_eq!(told[..2], ["webhook http://127.0.0.1:1", "1"]);
    assert!(
        told[2].contains("headwater settings password webhook"),
        "{told:?}"
    );
    desk.keep_secret("notifications.secret", SECRET).await;
    desk.succeed("PR1");
    patiently_messages(&desk, &[9055, 9073, 9056, 9073]).await;
    let told = desk.last_inserts().await;
    assert!(told[2].contains("onnect"), "{told:?}");
    assert_eq!(desk.waiting().await, []);
    desk.says_nothing_of("hunter2-path");
}

async fn patiently_messages(desk: &Desk, expected: &[u32]) {
    let patience = tokio::time::timeout(testkit::patience::LONG, async {
        while desk.messages().await != expected {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    assert!(patience.await.is_ok(), "{:?}", desk.messages().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_told_nothing_more() {
    let hook = Hook::default();
    let refusals = [StatusCode::SERVICE_UNAVAILABLE; 100];
    let url = hook.listen(&refusals).await;
    let desk = Desk::open().await;
    desk.set(&[&format!("notifications.webhooks+={url}")]);
    desk.keep_secret("notifications.secret", SECRET).await;
    desk.fail("PR1", "no way");
    patiently(|| !hook.heard().is_empty()).await;
    assert_eq!(desk.waiting().await.len(), 1);
    desk.set(&["notifications.webhooks=[]"]);
    patiently_empty(&desk).await;
    // With no receiver nothing waits for one.
    desk.succeed("PR1");
    patiently_messages(&desk, &[9055, 9056]).await;
    assert_eq!(desk.waiting().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_each_receiver_answered() {
    let (good, bad) = (Hook::default(), Hook::default());
    let refusals = [StatusCode::TEMPORARY_REDIRECT];
    let urls = [good.listen(&[]).await, bad.listen(&refusals).await];
    let desk = Desk::open().await;
    assert_eq!(desk.notifier.test("anna").await.unwrap(), []);
    let set = urls
        .each_ref()
        .map(|url| format!("notifications.webhooks+={url}"));
    desk.set(&set.each_ref().map(String::as_str));
    desk.keep_secret("notifications.secret", SECRET).await;
    let tested = desk.notifier.test("anna").await.unwrap();
    let answer = |url: &str| {
        let server = url.trim_end_matches(SECRET).trim_end_matches('/');
        let of = |tested: &&central::alerts::notify::Tested| {
            tested.receiver == format!("webhook {server}")
        };
        tested.iter().find(of).unwrap().answer.clone()
    };
    assert_eq!(answer(&urls[0]), Ok("HTTP 204 No Content".to_owned()));
    let refused = answer(&urls[1]).unwrap_err();
    assert!(
        refused.starts_with("HTTP 307") && refused.contains("not followed"),
        "{refused}"
    );
    assert_eq!(
        (good.events(), bad.events()),
        (vec!["test".to_owned()], vec!["test".to_owned()])
    );
    assert!(good.heard()[0].document["alert"].is_null());
    assert_eq!(desk.messages().await, [9074, 9074]);
    assert_eq!(desk.last_inserts().await, ["anna", "2", "1"]);
    assert!(!format!("{tested:?}").contains(SECRET));
}
