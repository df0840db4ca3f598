//! Streams of people and scripts: they end with the access token that they were asked for with, and nobody holds the
//! places of everybody else.

use crate::playground::Playground;
use admin::listening::MAX_STREAMS_OF_ONE;
use std::time::Duration;
use testkit::patience::LONG;
use testkit::until;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use trust::Role;
use wire::v1::access_service_client::AccessServiceClient;
use wire::v1::journal_service_client::JournalServiceClient;
use wire::v1::sync_service_client::SyncServiceClient;
use wire::v1::{
    CreateAccessTokenRequest, ReadLogRequest, ReadLogResponse, RevokeAccessTokenRequest,
    WatchSyncRequest, WatchSyncResponse,
};

fn asked<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let token = token.parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    request
}

async fn watch(channel: &Channel, token: &str) -> Result<Streaming<WatchSyncResponse>, Status> {
    let mut client = SyncServiceClient::new(channel.clone());
    let answer = client.watch_sync(asked(WatchSyncRequest {}, token)).await?;
    Ok(answer.into_inner())
}

async fn follow(channel: &Channel, token: &str, merged: bool) -> Streaming<ReadLogResponse> {
    let request = ReadLogRequest {
        last: 1,
        follow: true,
        merged,
        ..ReadLogRequest::default()
    };
    let mut client = JournalServiceClient::new(channel.clone());
    let answer = client.read_log(asked(request, token)).await;
    answer.unwrap().into_inner()
}

/// How a stream ends.
async fn end<T>(stream: &mut Streaming<T>) -> Status {
    let ended = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended without a word"),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(LONG, ended).await.expect("it ends")
}

/// A new token of a name of its own.
async fn create(channel: &Channel, administrator: &str, name: &str, seconds: u64) -> String {
    let request = CreateAccessTokenRequest {
        name: name.to_owned(),
        role: "viewer".to_owned(),
        valid_seconds: seconds,
    };
    let mut client = AccessServiceClient::new(channel.clone());
    let answer = client
        .create_access_token(asked(request, administrator))
        .await;
    format!("Bearer {}", answer.unwrap().into_inner().token)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_access_token_is_revoked_or_ends() {
    let playground = Playground::start().await;
    let channel = playground.channel(None).await;
    let administrator = playground.token(Role::Administrator).await;
    let ann = create(&channel, &administrator, "ann", 0).await;
    let bob = create(&channel, &administrator, "bob", 0).await;
    let mut sites = watch(&channel, &ann).await.unwrap();
    let mut log = follow(&channel, &ann, false).await;
    let mut merged = follow(&channel, &ann, true).await;
    let mut of_another = watch(&channel, &bob).await.unwrap();
    assert!(sites.message().await.unwrap().is_some());
    assert!(of_another.message().await.unwrap().is_some());

    let request = RevokeAccessTokenRequest {
        name: "ann".to_owned(),
    };
    let mut client = AccessServiceClient::new(channel.clone());
    let answer = client
        .revoke_access_token(asked(request, &administrator))
        .await;
    assert!(answer.unwrap().into_inner().revoked);
    // At once, and not only when the tokens are looked at again.
    let soon = Duration::from_secs(20);
    let all = async {
        [
            end(&mut sites).await,
            end(&mut log).await,
            end(&mut merged).await,
        ]
    };
    for ended in tokio::time::timeout(soon, all).await.expect("soon") {
        assert_eq!(ended.code(), Code::Unauthenticated);
        let said = ended.message();
        assert!(
            said.contains("\"ann\" was revoked: ask an administrator"),
            "{said}"
        );
    }
    let refused = watch(&channel, &ann).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    // The other person still listens: a run begins, which fails, for there is no upstream.
    let manual = sync::Request::new(sync::Trigger::Manual);
    let (run, _) = playground.central.site.engine.request(manual);
    let told = async {
        while let Some(answer) = of_another.message().await.unwrap() {
            let held = answer.sites.iter().filter_map(|site| site.run.as_ref());
            if held.map(|held| &held.id).any(|id| id == run.as_bytes()) {
                return;
            }
        }
        panic!("it ended");
    };
    tokio::time::timeout(LONG, told).await.expect("it goes on");

    let brief = create(&channel, &administrator, "brief", 2).await;
    let mut sites = watch(&channel, &brief).await.unwrap();
    let ended = end(&mut sites).await;
    assert_eq!(ended.code(), Code::Unauthenticated);
    let said = ended.message();
    assert!(said.contains("\"brief\" has expired: ask"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_holds_so_many_streams_and_leaves_places_for_others() {
    let playground = Playground::start().await;
    let channel = playground.channel(None).await;
    let administrator = playground.token(Role::Administrator).await;
    let ann = create(&channel, &administrator, "ann", 0).await;
    let mut held = Vec::new();
    for _ in 0..MAX_STREAMS_OF_ONE {
        held.push(watch(&channel, &ann).await.unwrap());
    }
    let refused = watch(&channel, &ann).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let said = refused.message();
    for part in ["\"ann\" holds 64 streams at CAS", "close some"] {
        assert!(said.contains(part), "{said}");
    }
    watch(&channel, &administrator).await.unwrap();
    // Who leaves gives the place back.
    held.truncate(MAX_STREAMS_OF_ONE / 2);
    until("there is a place again", LONG, || async {
        let again = watch(&channel, &ann).await;
        again.map(drop).map_err(|status| status.to_string())
    })
    .await;
}
