//! How fast answers are read and written. Not a test: run it with
//! `cargo test --release -p wsus --test protocol speed -- --ignored --nocapture`.

use crate::support::{Clock, Memory, id, service};
use axum::body::Body;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wsus::message::{
    AuthorizationCookie, GetAuthorizationCookie, GetCookie, GetUpdateData, Operation, Request,
    Response, ServerSyncUpdate, SoapVersion, UpdateData,
};

const RUN: Duration = Duration::from_secs(2);

fn document(length: usize) -> String {
    let part = "<upd:UpdateIdentity UpdateID=\"e0789628-ce08-4437-be74-2495b842f43b\" RevisionNumber=\"200\" />\
        <upd:Title>A title of a usual length for an update (KB9000001)</upd:Title>";
    part.repeat(length / part.len())
}

/// Calls `run` for some time; gives calls a second.
fn rate(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut calls = 0u32;
    while start.elapsed() < RUN {
        run();
        calls += 1;
    }
    f64::from(calls) / start.elapsed().as_secs_f64()
}

fn answer(length: usize, count: u128) -> String {
    let update = |n| ServerSyncUpdate {
        id: id(n),
        document: document(length),
        file_digests: vec![[3; 20]],
    };
    let updates = (0..count).map(update).collect();
    let data = UpdateData {
        updates,
        ..UpdateData::default()
    };
    Response::UpdateData(data).encode(SoapVersion::V11)
}

#[test]
#[ignore = "a measurement"]
fn speed_of_reading() {
    for (what, length, count) in [("plain", 2_400, 700), ("in cabinets", 100_000, 8)] {
        let text = answer(length, count);
        let calls = rate(|| {
            let decoded = Response::decode(text.as_bytes(), Operation::GetUpdateData);
            black_box(decoded.unwrap().unwrap());
        });
        let megabytes = calls * text.len() as f64 / 1e6;
        eprintln!(
            "reading documents {what}: {megabytes:.0} MB/s, answers of {} bytes",
            text.len()
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn speed_of_writing() {
    for length in [2_400, 4_000, 100_000] {
        let document = document(length);
        let update = ServerSyncUpdate {
            id: id(1),
            document,
            file_digests: vec![[3; 20]],
        };
        let data = UpdateData {
            updates: vec![update; 100],
            ..UpdateData::default()
        };
        let response = Response::UpdateData(data);
        let calls = rate(|| {
            black_box(response.encode(SoapVersion::V11));
        });
        eprintln!(
            "writing documents of {length}: {:.0} updates/s",
            calls * 100.0
        );
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn speed_of_the_server() {
    let clock = Clock::new();
    let source = Arc::new(Memory::default());
    for n in 0..100 {
        source.put(id(n), &document(4_000), &[]);
    }
    let service = service(&source, &clock);
    let ask = async |request: Request| {
        let body = Body::from(request.encode(SoapVersion::V11));
        let request =
            http::Request::post("/ServerSyncWebService/ServerSyncWebService.asmx").body(body);
        let answer = service.handle(request.unwrap()).await;
        axum::body::to_bytes(answer.into_body(), 64 << 20)
            .await
            .unwrap()
    };
    let account = GetAuthorizationCookie {
        account_name: "dss".into(),
        account_guid: "6f1c2f6e-3f0b-4d3a-9b1e-0d2f6a1c5e12".into(),
    };
    let answer = ask(Request::GetAuthorizationCookie(account)).await;
    let decoded = Response::decode(&answer, Operation::GetAuthorizationCookie);
    let Ok(Ok(Response::AuthorizationCookie(AuthorizationCookie {
        plug_in_id,
        cookie_data,
    }))) = decoded
    else {
        panic!("refused");
    };
    let open = Request::GetCookie(GetCookie {
        auth_cookies: vec![AuthorizationCookie {
            plug_in_id,
            cookie_data,
        }],
        old_cookie: None,
        protocol_version: Some("1.20".into()),
    });
    let Ok(Ok(Response::Cookie(cookie))) = Response::decode(&ask(open).await, Operation::GetCookie)
    else {
        panic!("refused");
    };
    let start = Instant::now();
    let mut served = 0u32;
    while start.elapsed() < RUN {
        let answer = ask(Request::GetUpdateData(GetUpdateData {
            cookie: Some(cookie.clone()),
            update_ids: (0..100).map(id).collect(),
        }))
        .await;
        assert!(answer.len() > 500_000);
        served += 100;
    }
    eprintln!(
        "serving documents of 4000: {:.0} updates/s",
        f64::from(served) / start.elapsed().as_secs_f64()
    );
}
