//! Those who are refused: at the door, by their certificate, by what they speak.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use testkit::hierarchy::{CENTRAL, run};
use testkit::process::Process;
use testkit::{Hierarchy, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use trust::tls::{HotCertificate, ServerTrust};
use trust::{AuthorityPin, SiteCertificate, SiteKey};
use wire::v1::PullRequest;
use wire::v1::site_link_service_client::SiteLinkServiceClient;

/// The fingerprint of a hierarchy's authority, from a join token.
pub fn pin(hierarchy: &Hierarchy) -> AuthorityPin {
    let token = hierarchy.token("ZZ9", "primary", CENTRAL);
    trust::JoinToken::decode(&token).unwrap().authority_pin
}

/// A channel to a site, with the certificate of a site or with none.
async fn channel(
    url: &str,
    pin: AuthorityPin,
    certificate: Option<Arc<HotCertificate>>,
) -> Result<Channel, link::dial::Error> {
    let time = trust::tls::time_provider(|| daemon::Clock::now(&daemon::SystemClock));
    let trust = ServerTrust::Pin {
        pin,
        expected: None,
    };
    let tls = trust::tls::client_config(certificate, trust, time).unwrap();
    link::dial::channel(url, Arc::new(tls), Arc::new(link::dial::TcpConnector)).await
}

/// A channel of somebody without a certificate.
pub async fn anonymous_channel(
    hierarchy: &Hierarchy,
    site: &str,
) -> Result<Channel, link::dial::Error> {
    channel(&hierarchy.url(site), pin(hierarchy), None).await
}

/// The certificate that a site got when it joined.
fn certificate(hierarchy: &Hierarchy, site: &str) -> Arc<HotCertificate> {
    let read = |file: &str| std::fs::read_to_string(hierarchy.data_dir(site).join(file)).unwrap();
    let key = SiteKey::from_secret_pem(&read("site.key").into()).unwrap();
    let certificate = SiteCertificate::from_pem(&read("site.pem")).unwrap();
    HotCertificate::new(&certificate, &key).unwrap()
}

/// Tries to join with a token, as a site that is to have this code.
fn join(
    hierarchy: &Hierarchy,
    code: &str,
    kind: &str,
    parent: &str,
    token: &str,
) -> testkit::Spoken {
    let launch = hierarchy.agent_launch(code, kind, parent);
    run(&launch.variable("HEADWATER_JOIN_TOKEN", token))
}

/// What the verb for status messages says about a message of a site.
fn listed(hierarchy: &Hierarchy, site: &str, id: u64) -> Vec<String> {
    let list = hierarchy
        .run(&[
            "message", "list", "--site", site, "--limit", "500", "--json",
        ])
        .json();
    let messages = list["messages"].as_array().unwrap();
    messages
        .iter()
        .filter(|message| message["status_id"] == id)
        .map(|message| message["text"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_no_good_is_refused_with_a_reason_and_a_journal_entry() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.central().await;
    let used = hierarchy.token("PR1", "primary", CENTRAL);
    let launch = hierarchy.agent_launch("PR1", "primary", CENTRAL);
    let launch = launch.variable("HEADWATER_JOIN_TOKEN", used.clone());
    let mut site = Process::start("PR1", hierarchy.folder(), &launch);
    site.address().await;
    hierarchy.attached("PR1").await;
    let short = hierarchy.token_for("PR3", "primary", CENTRAL, "1s");

    // A token that was used, by another than the one who used it.
    let again = Hierarchy::new();
    let other = again.agent_launch_at("PR1", "primary", &hierarchy.url(CENTRAL));
    let spoken = run(&other.variable("HEADWATER_JOIN_TOKEN", used.clone()));
    spoken.refused("the join token for site PR1 was used already");

    // One of another hierarchy, one that never was a token, and none.
    let mut elsewhere = Hierarchy::new();
    elsewhere.central().await;
    let foreign = elsewhere.token("PR2", "primary", CENTRAL);
    join(&hierarchy, "PR2", "primary", CENTRAL, &foreign)
        .refused("the other side belongs to another hierarchy than the token");
    join(&hierarchy, "PR2", "primary", CENTRAL, "hwj1.nonsense").refused("the join token");
    run(&hierarchy.agent_launch("PR2", "primary", CENTRAL))
        .refused("this site has not joined a hierarchy yet");

    // One that is for another code, and one that is for another parent.
    let token = hierarchy.token("PR2", "primary", CENTRAL);
    join(&hierarchy, "PR7", "primary", CENTRAL, &token)
        .refused("the join token is for site PR2, but --site-code says PR7");
    let below = hierarchy.token("SE1", "secondary", "PR1");
    join(&hierarchy, "SE1", "secondary", CENTRAL, &below)
        .refused("site CAS answers at this address, not PR1");

    // One whose secret this hierarchy did not make: the right authority, another secret.
    let forged = {
        let token = trust::JoinToken::decode(&token).unwrap();
        let invitation = trust::token::Invitation {
            hierarchy: token.hierarchy,
            site: token.site,
            kind: token.kind,
            parent: token.parent,
            expires: token.expires,
            authority_pin: token.authority_pin,
        };
        let ambient = daemon::Ambient::system();
        let forged = trust::JoinToken::new(invitation, &mut ambient.new_rng()).encode();
        secrecy::ExposeSecret::expose_secret(&forged).to_owned()
    };
    join(&hierarchy, "PR2", "primary", CENTRAL, &forged)
        .refused("this hierarchy did not make the join token");

    // One that is too old. The wait is for the clock of the token, which stands in it.
    let expires = trust::JoinToken::decode(&short).unwrap().expires;
    until("the token is over", Duration::from_secs(10), || async {
        let now = daemon::Clock::now(&daemon::SystemClock);
        (now > expires).then_some(()).ok_or("it is not".to_owned())
    })
    .await;
    join(&hierarchy, "PR3", "primary", CENTRAL, &short)
        .refused("the join token for site PR3 expired at ");

    let refused = listed(&hierarchy, CENTRAL, 9001);
    for part in [
        "was used already",
        "expired at",
        "did not make the join token",
    ] {
        assert!(
            refused.iter().any(|text| text.contains(part)),
            "{part}: {refused:?}"
        );
    }
    let joined = listed(&hierarchy, CENTRAL, 9002);
    assert_eq!(joined, ["site PR1 (primary) joined below CAS"]);
    // The good token for PR2 still is one: refusals did not use it up.
    let launch = hierarchy.agent_launch("PR2", "primary", CENTRAL);
    let launch = launch.variable("HEADWATER_JOIN_TOKEN", token);
    Process::start("PR2", hierarchy.folder(), &launch)
        .address()
        .await;
    assert_eq!(listed(&hierarchy, CENTRAL, 9002).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_certificates_and_plain_text_are_refused_with_a_reason_and_a_journal_entry() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.central().await;
    let mut elsewhere = Hierarchy::new();
    elsewhere.central().await;
    elsewhere.join("PR1", "primary", CENTRAL).await;
    elsewhere.stop("PR1").await;

    // A site of the other hierarchy dials this one: it refuses our certificate, and says so.
    let launch = elsewhere.agent_launch_at("PR1", "primary", &hierarchy.url(CENTRAL));
    let mut site = Process::start("PR1", elsewhere.folder(), &launch);
    site.address().await;
    hierarchy
        .message(CENTRAL, 9003, &["another hierarchy"])
        .await;
    until("the site says why", testkit::patience::LONG, || async {
        let log = elsewhere.log("PR1");
        log.contains("belongs to another hierarchy")
            .then_some(())
            .ok_or(log)
    })
    .await;
    site.kill();

    // Somebody with that certificate who would trust any site: this one refuses it.
    let stranger = certificate(&elsewhere, "PR1");
    let url = hierarchy.url(CENTRAL);
    if let Ok(channel) = channel(&url, pin(&hierarchy), Some(stranger)).await {
        // The refusal may arrive after the handshake.
        let pulled = SiteLinkServiceClient::new(channel)
            .pull(PullRequest::default())
            .await;
        assert!(pulled.is_err());
    }
    let refused = "the certificate of the other side belongs to another hierarchy";
    hierarchy.message(CENTRAL, 9003, &[refused]).await;

    // Plain text.
    let address: SocketAddr = hierarchy.proxy(CENTRAL).address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: cas\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.contains("This port speaks TLS only: use https"),
        "{answer}"
    );
    hierarchy
        .message(CENTRAL, 9004, &["spoke plain text"])
        .await;
    assert!(!listed(&hierarchy, CENTRAL, 9004).is_empty());
    // A site that is told to speak plain text does not even try.
    let plain = url.replace("https", "http");
    let spoken = run(&hierarchy.agent_launch_at("PR9", "primary", &plain));
    spoken.refused("TLS only");
    assert_eq!(hierarchy.sites().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_removed_is_refused_and_says_so() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(crate::documents::generate(100)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("PR2", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.synchronize().await;

    let removed = hierarchy
        .run(&["site", "remove", "SE1", "--yes", "--json"])
        .json();
    assert_eq!(removed["removed"], serde_json::json!(["SE1"]));
    hierarchy
        .run(&["site", "remove", "SE1", "--yes"])
        .refused("there is no site SE1");
    let says = async |site: &str, text: &str| {
        until(
            &format!("{site} says {text:?}"),
            testkit::patience::LONG,
            || async {
                let log = hierarchy.log(site);
                log.contains(text).then_some(()).ok_or(log)
            },
        )
        .await;
    };
    says("SE1", "site SE1 was removed from the hierarchy").await;
    hierarchy.run(&["site", "remove", "PR2", "--yes"]).good();
    says("PR2", "site PR2 was removed from the hierarchy").await;
    hierarchy
        .message(CENTRAL, 9007, &["SE1", "local administrator"])
        .await;
    let codes: Vec<_> = hierarchy.sites().await.unwrap().into_keys().collect();
    assert_eq!(codes, [CENTRAL, "PR1"]);

    // Its certificate opens nothing, at its own parent and elsewhere.
    for (site, parent) in [("SE1", "PR1"), ("PR2", CENTRAL), ("SE1", CENTRAL)] {
        let url = hierarchy.url(parent);
        let certificate = certificate(&hierarchy, site);
        let channel = channel(&url, pin(&hierarchy), Some(certificate))
            .await
            .unwrap();
        let pulled = SiteLinkServiceClient::new(channel)
            .pull(PullRequest::default())
            .await;
        let status = pulled.err().unwrap();
        assert_eq!(
            status.code(),
            tonic::Code::PermissionDenied,
            "{site} at {parent}"
        );
        assert!(status.message().contains("was removed"), "{status}");
    }
    // Over restarts too, and the rest goes on without it.
    hierarchy.stop("PR1").await;
    hierarchy.start("PR1").await;
    hierarchy.attached("PR1").await;
    hierarchy.evolve().await;
    hierarchy.synchronize().await;

    // With a new token it may come back.
    hierarchy.stop("PR2").await;
    hierarchy.join("PR2", "primary", CENTRAL).await;
    hierarchy.synchronize().await;
}
