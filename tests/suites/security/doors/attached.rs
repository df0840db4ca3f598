//! Bad messages in the conversation of an attached child.

use super::{bad, state, told};
use crate::parent::code;
use crate::playground::Playground;
use crate::raw::Raw;
use futures::StreamExt as _;
use prost::Message as _;
use std::collections::BTreeSet;
use testkit::Door;
use testkit::door::unfit;
use testkit::patience::LONG;
use tonic::transport::Channel;
use tonic::{Request, Status};
use wire::v1::attach_request::Message as ToParent;
use wire::v1::attach_response::Message as ToChild;
use wire::v1::{
    AttachRequest, AttachResponse, Hello, LogLines, RunReport, SiteReport, StatusBatch,
    StatusMessage,
};

/// What a child may say after its hello, with something of every kind.
fn said() -> Vec<AttachRequest> {
    let time = Some(prost_types::Timestamp {
        seconds: 1_790_000_000,
        nanos: 5,
    });
    let report = SiteReport {
        site_code: "PR1".to_owned(),
        site_kind: "primary".to_owned(),
        parent: "CAS".to_owned(),
        sequence: 5,
        version: "0.1.0".to_owned(),
        epoch: vec![7; 16],
        position: 9,
        verified_position: 8,
        root: vec![3; 32],
        items: 8,
        run: Some(RunReport {
            id: vec![9; 16],
            state: "Verifying".to_owned(),
            started: time,
            ..RunReport::default()
        }),
        last_success: time,
        last_error: "none".to_owned(),
        upstream: "CAS".to_owned(),
        ..SiteReport::default()
    };
    let status = StatusBatch {
        through: 77,
        messages: vec![StatusMessage {
            site_code: "PR1".to_owned(),
            number: 1000,
            time,
            status_id: 6702,
            run: vec![9; 16],
            inserts: vec!["one".to_owned(), "two".to_owned()],
        }],
    };
    let lines = LogLines {
        request: 1,
        lines: vec!["a line".to_owned()],
        end: true,
        error: String::new(),
    };
    [
        ToParent::Report(report),
        ToParent::Status(status.encode_to_vec()),
        ToParent::LogLines(lines),
    ]
    .map(|message| AttachRequest {
        message: Some(message),
    })
    .to_vec()
}

/// Attaches, says something bad and then something good. Ends when the good was acknowledged, or the
/// parent refused the bad.
async fn converse(channel: &Channel, bad: &[u8], through: u64) -> Result<(), Status> {
    let hello = ToParent::Hello(Hello::default());
    let batch = StatusBatch {
        messages: vec![],
        through,
    };
    let encoded = |message| {
        AttachRequest {
            message: Some(message),
        }
        .encode_to_vec()
    };
    let said = [
        encoded(hello),
        bad.to_vec(),
        encoded(ToParent::Status(batch.encode_to_vec())),
    ];
    let outbound = tokio_stream::iter(said).chain(futures::stream::pending());
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = "/headwater.v1.SiteLinkService/Attach".parse().unwrap();
    let call = client.streaming(Request::new(outbound), path, Raw);
    let mut inbound = call.await?.into_inner();
    while let Some(bytes) = inbound.message().await? {
        let answer = AttachResponse::decode(bytes.as_slice()).unwrap();
        if let Some(ToChild::Acknowledgement(answer)) = answer.message
            && answer.through == through
        {
            return Ok(());
        }
    }
    // What cannot be decoded ends the conversation without a word to the child; the site journals why.
    Err(Status::invalid_argument("the parent hung up"))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_words_of_an_attached_child_change_nothing_about_others() {
    let playground = Playground::start().await;
    let child = playground.join("PR1", "primary", "CAS", None).await;
    playground.join("PR2", "primary", "CAS", None).await;
    let channel = playground.channel(Some(child)).await;
    let before = state(&playground).await;
    let mut door = Door::new("conversations of children");
    let mut through = 1 << 40;
    for (seed, good) in (0..).zip(said()) {
        for mutant in bad(&good.encode_to_vec(), seed) {
            through += 1;
            let outcome = tokio::time::timeout(LONG, converse(&channel, &mutant.bytes, through))
                .await
                .unwrap_or_else(|_| panic!("no answer: {}", mutant.what));
            door.knock(&mutant, |_| outcome.as_ref().map_or_else(told, |()| Ok(())));
        }
    }
    door.close(700);
    assert_eq!(state(&playground).await, before);

    let site = &playground.central.site;
    let about: BTreeSet<String> = site
        .reports
        .all()
        .into_iter()
        .map(|r| r.site_code)
        .collect();
    assert!(
        about.iter().all(|site| site == "CAS" || site == "PR1"),
        "{about:?}"
    );
    let mut read = site.store.read().await.unwrap();
    for row in read.status_messages(None, 5_000).await.unwrap() {
        assert!(
            row.site == code("CAS") || row.site == code("PR1"),
            "{row:?}"
        );
        let text = journal::journal::message_of(row).text();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    for text in playground.messages(9017).await {
        assert_eq!(unfit(&text), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_message_whose_number_the_database_cannot_hold_is_refused_and_acknowledged() {
    let playground = Playground::start().await;
    let child = playground.join("PR1", "primary", "CAS", None).await;
    let channel = playground.channel(Some(child)).await;
    let message = |number| StatusMessage {
        site_code: "PR1".to_owned(),
        number,
        time: Some(wire::convert::from_timestamp(playground.ambient.now())),
        status_id: 6702,
        ..StatusMessage::default()
    };
    let batch = StatusBatch {
        through: 7,
        messages: vec![message(u64::MAX), message(1 << 63), message(5)],
    };
    let request = AttachRequest {
        message: Some(ToParent::Status(batch.encode_to_vec())),
    };
    converse(&channel, &request.encode_to_vec(), 7)
        .await
        .unwrap();
    let mut read = playground.central.site.store.read().await.unwrap();
    let rows = read.status_messages(Some(code("PR1")), 10).await.unwrap();
    let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, [5]);
    let refused = playground.messages(9017).await;
    assert!(
        refused
            .iter()
            .any(|text| text.contains("larger than any number")),
        "{refused:?}"
    );
}
