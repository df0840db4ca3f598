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
use wire::v1::content_service_client::ContentServiceClient;
use wire::v1::journal_service_client::JournalServiceClient;
use wire::v1::sync_service_client::SyncServiceClient;
use wire::v1::{
    CreateAccessTokenRequest, ImportContentRequest, ReadLogRequest, ReadLogResponse,
    RevokeAccessTokenRequest, WatchSyncRequest, WatchSyncResponse,
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

/// A new token of a name of its own, with the role administrator.
async fn token_of_an_administrator(
    playground: &Playground,
    channel: &Channel,
    name: &str,
) -> String {
    let request = CreateAccessTokenRequest {
        name: name.to_owned(),
        role: "administrator".to_owned(),
        valid_seconds: 0,
    };
    let administrator = playground.token(Role::Administrator).await;
    let mut client = AccessServiceClient::new(channel.clone());
    let answer = client
        .create_access_token(asked(request, &administrator))
        .await;
    format!("Bearer {}", answer.unwrap().into_inner().token)
}

/// Small files that the catalog of a site names, in a folder.
async fn known_files(playground: &Playground, folder: &std::path::Path, number: u64) {
    let mut named = Vec::new();
    for number in 0..number {
        let bytes = number.to_le_bytes();
        let (sha1, sha256) = content::digest::Digests::of(&bytes);
        std::fs::write(folder.join(number.to_string()), bytes).unwrap();
        named.push(content::ContentFile {
            sha1,
            sha256: Some(sha256),
            size: 8,
            name: format!("{number}.cab"),
            url: None,
        });
    }
    let mut tx = playground.central.site.store.begin().await.unwrap();
    tx.name_content(&named).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_taken_in_for_no_longer_than_the_access_token_is_good() {
    const FILES: u64 = 1_500;
    let playground = Playground::start().await;
    let folder = tempfile::tempdir().unwrap();
    known_files(&playground, folder.path(), FILES).await;
    let channel = playground.channel(None).await;
    let import = async |token: &str, dry_run: bool| {
        let request = ImportContentRequest {
            directory: folder.path().display().to_string(),
            dry_run,
        };
        let mut client = ContentServiceClient::new(channel.clone());
        let answer = client.import_content(asked(request, token)).await;
        answer.unwrap().into_inner()
    };
    let ann = token_of_an_administrator(&playground, &channel, "ann").await;
    let mut answers = import(&ann, false).await;
    assert!(answers.message().await.unwrap().is_some());
    playground.revoke("ann").await;
    let ended = end(&mut answers).await;
    assert_eq!(ended.code(), Code::Unauthenticated);
    let said = ended.message();
    assert!(said.contains("\"ann\" was revoked"), "{said}");
    // Nothing goes on behind it: who goes through all of them now finds fewer than there are.
    let administrator = playground.token(Role::Administrator).await;
    let mut answers = import(&administrator, true).await;
    let mut last = None;
    while let Some(answer) = answers.message().await.unwrap() {
        last = Some(answer);
    }
    let last = last.unwrap();
    assert!(last.done && last.files == FILES, "{last:?}");
    assert!(last.held > 0 && last.held < FILES, "{last:?}");
}
