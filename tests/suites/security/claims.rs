//! A child that claims what is not its own to claim.

use crate::parent::code;
use crate::playground::Playground;
use catalog::PointId;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use testkit::patience::LONG;
use testkit::until;
use wire::v1::attach_request::Message as ToParent;
use wire::v1::site_link_service_client::SiteLinkServiceClient;
use wire::v1::{AttachRequest, Hello, SiteReport, StatusBatch, StatusMessage};

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_speaks_for_another_site_is_not_heard_and_that_is_journaled() {
    let playground = Playground::start().await;
    let child = playground.join("PR1", "primary", "CAS", None).await;
    playground.join("PR2", "primary", "CAS", None).await;
    let via = Some(Arc::clone(&child));
    playground.join("SE1", "secondary", "PR1", via).await;

    let report = |site: &str| {
        ToParent::Report(SiteReport {
            site_code: site.to_owned(),
            site_kind: "secondary".to_owned(),
            parent: "PR1".to_owned(),
            sequence: 1 << 50,
            last_error: format!("planted for {site}"),
            ..SiteReport::default()
        })
    };
    let status = |site: &str, number: u64, through: u64| {
        let batch = StatusBatch {
            through,
            messages: vec![StatusMessage {
                site_code: site.to_owned(),
                number,
                time: Some(wire::convert::from_timestamp(playground.ambient.now())),
                status_id: 9014,
                inserts: vec![format!("planted for {site}"), String::new()],
                ..StatusMessage::default()
            }],
        };
        ToParent::Status(batch.encode_to_vec())
    };
    let messages = [
        ToParent::Hello(Hello::default()),
        report("PR2"),
        report("CAS"),
        report("ZZ9"),
        report("SE1"),
        report("PR1"),
        status("PR2", 1000, 1),
        status("CAS", 1000, 2),
        status("ZZ9", 1000, 3),
        status("SE1", 1000, 4),
        status("PR1", 1000, 5),
    ];
    let messages = messages.map(|message| AttachRequest {
        message: Some(message),
    });
    let outbound =
        futures::StreamExt::chain(tokio_stream::iter(messages), futures::stream::pending());
    let mut link = SiteLinkServiceClient::new(playground.channel(Some(child)).await);
    let attached = Box::pin(link.attach(outbound)).await;
    let mut inbound = attached.unwrap().into_inner();
    // Everything was taken when the last batch is acknowledged.
    let mut acknowledged = 0;
    while acknowledged < 5 {
        let answer = inbound.message().await.unwrap().unwrap();
        if let Some(wire::v1::attach_response::Message::Acknowledgement(answer)) = answer.message {
            acknowledged = answer.through;
        }
    }

    let reports: BTreeMap<PointId, String> = playground
        .central
        .site
        .reports
        .all()
        .into_iter()
        .map(|report| (code(&report.site_code), report.last_error))
        .collect();
    let planted: Vec<_> = reports
        .iter()
        .filter(|(_, error)| error.contains("planted"))
        .collect();
    let expected = ["PR1", "SE1"].map(|site| (code(site), format!("planted for {site}")));
    assert_eq!(
        planted,
        expected
            .iter()
            .map(|(site, text)| (site, text))
            .collect::<Vec<_>>()
    );
    let stored = playground.messages(9014).await.join("\n");
    for (site, taken) in [
        ("PR1", true),
        ("SE1", true),
        ("PR2", false),
        ("CAS", false),
        ("ZZ9", false),
    ] {
        assert_eq!(
            stored.contains(&format!("planted for {site}")),
            taken,
            "{site}: {stored}"
        );
    }
    until("the refusals are in the journal", LONG, || async {
        let refused = playground.messages(9017).await;
        let all = ["PR2", "CAS", "ZZ9"].iter().all(|site| {
            let told = |what: &str| refused.iter().any(|text| text.contains(what));
            told(&format!("a report for site {site}"))
                && told(&format!("they are about site {site}"))
        });
        let by = refused.iter().all(|text| text.contains("site PR1 sent"));
        (all && by)
            .then_some(())
            .ok_or_else(|| format!("{refused:?}"))
    })
    .await;
}
