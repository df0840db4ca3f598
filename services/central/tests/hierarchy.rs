//! Who gets into a hierarchy, who is put out of it, and what the journal says: a whole central site,
//! dialled over the network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use catalog::PointId;
use central::run::Central;
use central::settings::{Command, Settings};
use daemon::Ambient;
use jiff::Timestamp;
use link::dial::{self, TcpConnector};
use link::enrollment::{self, Membership};
use link::settings::SiteFlags;
use settings::roll_out::RollOut;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::status::StatusRow;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use trust::tls::{self, HotCertificate, ServerTrust};
use trust::{AccessToken, JoinToken, SiteCertificate, SiteKey};
use wire::v1::change_settings_request::To;
use wire::v1::enrollment_service_client::EnrollmentServiceClient;
use wire::v1::hierarchy_service_client::HierarchyServiceClient;
use wire::v1::settings_service_client::SettingsServiceClient;
use wire::v1::site_link_service_client::SiteLinkServiceClient;
use wire::v1::sync_service_client::SyncServiceClient;
use wire::v1::{
    Assignments, CancelSyncRequest, ChangeSettingsRequest, CreateJoinTokenRequest,
    DescribeSiteRequest, JoinRequest, PullRequest, RemoveSiteRequest, RenewCertificateRequest,
    StartSyncRequest,
};

struct Fixture {
    central: Option<Central>,
    stop: CancellationToken,
    url: String,
    token: AccessToken,
    word: String,
    ambient: Ambient,
    _directory: tempfile::TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A site that joined: its key and its certificate.
struct Member {
    key: SiteKey,
    certificate: SiteCertificate,
}

fn code(text: &str) -> PointId {
    text.parse().unwrap()
}

impl Fixture {
    async fn new() -> Self {
        Self::with_first_settings(None).await
    }

    /// A new hierarchy that begins with the settings of a TOML file.
    async fn with_first_settings(first: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let first_settings = first.map(|text| {
            let file = directory.path().join("first-settings.toml");
            std::fs::write(&file, text).unwrap();
            file
        });
        let command = Command {
            first_settings,
            site: SiteFlags {
                site_code: Some(code("CAS")),
                data_dir: Some(directory.path().into()),
                ..SiteFlags::default()
            },
            ..Command::default()
        };
        let settings = Settings::load(command).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ambient, stop) = (Ambient::system(), CancellationToken::new());
        let central =
            central::run::run(&settings, listener, address, ambient.clone(), stop.clone());
        let central = Box::pin(central).await.unwrap();
        let text = std::fs::read(directory.path().join("admin-credential.json")).unwrap();
        let credential: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let word = credential["token"].as_str().unwrap().to_owned();
        Self {
            central: Some(central),
            stop,
            url: format!("https://{address}"),
            token: AccessToken::decode(&word).unwrap(),
            word,
            ambient,
            _directory: directory,
        }
    }

    fn store(&self) -> &Store {
        &self.central.as_ref().unwrap().site.store
    }

    /// A connection, with a site's certificate or with none.
    async fn dial(&self, member: Option<&Member>) -> Channel {
        let clock = self.ambient.clone();
        let hot = member.map(|member| HotCertificate::new(&member.certificate, &member.key));
        let trust = ServerTrust::Pin {
            pin: self.token.authority_pin,
            expected: None,
        };
        let time = tls::time_provider(move || clock.now());
        let tls = tls::client_config(hot.map(Result::unwrap), trust, time).unwrap();
        dial::channel(&self.url, Arc::new(tls), Arc::new(TcpConnector))
            .await
            .unwrap()
    }

    /// A request of the administrator.
    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", self.word).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    async fn invite(&self, site: &str, kind: &str, parent: &str) -> String {
        let request = self.ask(CreateJoinTokenRequest {
            site_code: site.into(),
            site_kind: kind.into(),
            parent: parent.into(),
            valid_seconds: 600,
        });
        let mut client = HierarchyServiceClient::new(self.dial(None).await);
        let answer = client.create_join_token(request).await.unwrap();
        answer.into_inner().token
    }

    async fn remove(&self, site: &str) {
        let request = self.ask(RemoveSiteRequest {
            site_code: site.into(),
            ..RemoveSiteRequest::default()
        });
        let mut client = HierarchyServiceClient::new(self.dial(None).await);
        client.remove_site(request).await.unwrap();
    }

    async fn join(&self, word: &str, key: SiteKey) -> Result<Member, enrollment::Error> {
        let (token, clock) = (JoinToken::decode(word).unwrap(), self.ambient.clone());
        let time = tls::time_provider(move || clock.now());
        let connector = Arc::new(TcpConnector);
        let joined: Membership =
            enrollment::join(&self.url, &token, word, &key, time, connector).await?;
        let certificate = SiteCertificate::from_pem(&joined.certificate_chain).unwrap();
        Ok(Member { key, certificate })
    }

    /// A new site below this one, or a new machine for it.
    async fn member(&self, site: &str) -> Member {
        let word = self.invite(site, "primary", "").await;
        let key = SiteKey::generate().unwrap();
        self.join(&word, key).await.unwrap()
    }

    /// What a pull with this certificate is told.
    async fn pull(&self, member: &Member) -> Result<(), Status> {
        let mut client = SiteLinkServiceClient::new(self.dial(Some(member)).await);
        let pulled = client.pull(PullRequest::default()).await;
        pulled.map(drop)
    }

    async fn renew(&self, member: &Member, key: &SiteKey) -> Result<String, Status> {
        let mut client = SiteLinkServiceClient::new(self.dial(Some(member)).await);
        let request = RenewCertificateRequest {
            certificate_request: key.csr_pem().unwrap(),
            site_code: String::new(),
        };
        let renewed = client.renew_certificate(request).await?;
        Ok(renewed.into_inner().certificate_chain)
    }

    /// Inserts of the journal's messages with a number, newest first.
    async fn journaled(&self, id: u32) -> Vec<Vec<String>> {
        let mut read = self.store().read().await.unwrap();
        let rows = read.status_messages(None, 1000).await.unwrap();
        let wanted = rows.into_iter().filter(|row| row.status_id == id);
        wanted.map(|row: StatusRow| row.inserts).collect()
    }
}

#[track_caller]
fn check_denied<T>(answer: Result<T, Status>, part: &str) {
    let status = answer.err().expect("it is refused");
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains(part), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_token_works_again_for_its_site_until_that_is_removed() {
    let fixture = Fixture::new().await;
    let word = fixture.invite("PR1", "primary", "").await;
    let pem = SiteKey::generate().unwrap().to_secret_pem();
    let key = || SiteKey::from_secret_pem(&pem).unwrap();
    fixture.join(&word, key()).await.unwrap();
    // The answer was lost: the site asks again, and is not journaled twice.
    let member = fixture.join(&word, key()).await.unwrap();
    fixture.pull(&member).await.unwrap();
    assert_eq!(fixture.journaled(9002).await, [["PR1", "primary", "CAS"]]);

    fixture.remove("PR1").await;
    let refused = fixture.join(&word, key()).await.err().unwrap().to_string();
    assert!(refused.contains("make a new one"), "{refused}");
    check_denied(fixture.pull(&member).await, "was removed");
    check_denied(fixture.renew(&member, &member.key).await, "was removed");
    assert_eq!(fixture.journaled(9001).await.len(), 1);
    let removed = fixture.journaled(9007).await;
    assert_eq!(removed, [["PR1", "local administrator"]]);
    // A removed site that dials again and again is told of once.
    assert_eq!(fixture.journaled(9003).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_join_tokens_of_a_site_that_has_not_joined_can_be_revoked() {
    let fixture = Fixture::new().await;
    let word = fixture.invite("PR1", "primary", "").await;
    fixture.remove("PR1").await;
    assert_eq!(
        fixture.journaled(9033).await,
        [["PR1", "1", "local administrator"]]
    );
    let key = SiteKey::generate().unwrap();
    let refused = fixture.join(&word, key).await.err().unwrap().to_string();
    assert!(refused.contains("make a new one"), "{refused}");
    let request = fixture.ask(RemoveSiteRequest {
        site_code: "PR1".into(),
        ..RemoveSiteRequest::default()
    });
    let mut client = HierarchyServiceClient::new(fixture.dial(None).await);
    let nothing = client.remove_site(request).await.unwrap_err();
    assert_eq!(nothing.code(), tonic::Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_invited_elsewhere_joins_there_alone() {
    let fixture = Fixture::new().await;
    fixture.member("PR1").await;
    let below = fixture.invite("SE1", "secondary", "PR1").await;
    let top = fixture.invite("SE1", "primary", "").await;
    let held = async |word: &str| {
        let hash = JoinToken::decode(word).unwrap().secret_hash();
        let mut tx = fixture.store().begin().await.unwrap();
        tx.join_token(hash.as_bytes()).await.unwrap().is_some()
    };
    assert!(!held(&below).await);
    // Two for the same place are as good as one.
    fixture.invite("SE1", "primary", "").await;
    let key = SiteKey::generate().unwrap();
    fixture.join(&top, key).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_a_machine_that_was_replaced_opens_nothing() {
    let fixture = Fixture::new().await;
    let old = fixture.member("PR1").await;
    fixture.pull(&old).await.unwrap();
    let new = fixture.member("PR1").await;
    fixture.pull(&new).await.unwrap();
    check_denied(fixture.pull(&old).await, "joined again with another key");
    check_denied(fixture.renew(&old, &new.key).await, "another key");
    // Nor does a certificate certify another key.
    check_denied(fixture.renew(&new, &old.key).await, "another key");
    let chain = fixture.renew(&new, &new.key).await.unwrap();
    let certificate = SiteCertificate::from_pem(&chain).unwrap();
    assert_eq!(certificate.identity().site, code("PR1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_takes_everything_below_and_everything_that_was_kept() {
    let fixture = Fixture::new().await;
    let parent = fixture.member("PR1").await;
    let below = fixture.invite("SE1", "secondary", "PR1").await;
    let pending = fixture.invite("SE2", "secondary", "PR1").await;
    let key = SiteKey::generate().unwrap();
    let request = |word: &str| JoinRequest {
        token: word.to_owned(),
        certificate_request: key.csr_pem().unwrap(),
        version: String::new(),
    };
    let channel = fixture.dial(Some(&parent)).await;
    let mut enrollment = EnrollmentServiceClient::new(channel.clone());
    enrollment.join(request(&below)).await.unwrap();
    let site = SiteLinkServiceClient::new(channel)
        .describe_site(DescribeSiteRequest {
            site_code: "SE1".into(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((site.parent.as_str(), site.removed), ("PR1", false));
    let csr = key.csr_pem().unwrap();
    let hash = trust::authority::request_key_hash(&csr).unwrap();
    assert_eq!(site.key_hash, hash);

    let mut tx = fixture.store().begin().await.unwrap();
    tx.put_site_report(code("SE1"), 1, vec![]).await.unwrap();
    tx.commit().await.unwrap();
    fixture.remove("PR1").await;
    let mut read = fixture.store().read().await.unwrap();
    let sites = read.sites().await.unwrap();
    assert!(sites.iter().all(|row| row.removed.is_some()));
    assert_eq!(sites.len(), 2);
    let reports = read.site_reports().await.unwrap();
    assert!(reports.iter().all(|(site, _, _)| *site == code("CAS")));
    drop(read);
    // The parent is back; the tokens below it are not.
    let parent = fixture.member("PR1").await;
    let channel = fixture.dial(Some(&parent)).await;
    for word in [&below, &pending] {
        let joined = EnrollmentServiceClient::new(channel.clone())
            .join(request(word))
            .await;
        check_denied(joined, "make a new one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_told_of_the_sites_below_it_alone() {
    let fixture = Fixture::new().await;
    let asks = fixture.member("PR1").await;
    fixture.member("PR2").await;
    let mut client = SiteLinkServiceClient::new(fixture.dial(Some(&asks)).await);
    for site in ["PR1", "PR2", "SE9"] {
        let request = DescribeSiteRequest {
            site_code: site.into(),
        };
        let status = client.describe_site(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{site}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_join_tokens_does_not_fill_the_journal() {
    let fixture = Fixture::new().await;
    let mut client = EnrollmentServiceClient::new(fixture.dial(None).await);
    for _ in 0..50 {
        let request = JoinRequest {
            token: "hwj1.guess".into(),
            ..JoinRequest::default()
        };
        client.join(request).await.unwrap_err();
    }
    assert_eq!(fixture.journaled(9001).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_says_who_asked_for_what() {
    let fixture = Fixture::new().await;
    let word = fixture.invite("PR1", "primary", "").await;
    let mut sync = SyncServiceClient::new(fixture.dial(None).await);
    let start = fixture.ask(StartSyncRequest {
        full: true,
        ..StartSyncRequest::default()
    });
    sync.start_sync(start).await.unwrap();
    let cancel = fixture.ask(CancelSyncRequest::default());
    sync.cancel_sync(cancel).await.unwrap();

    let administrator = "local administrator";
    let requested = fixture.journaled(9026).await;
    assert_eq!(requested, [[administrator, "full"]]);
    let cancelled = fixture.journaled(9027).await;
    assert_eq!(cancelled, [[administrator, "at every site"]]);
    let [created] = &fixture.journaled(9028).await[..] else {
        panic!("one token was made");
    };
    let expires: Timestamp = created[3].parse().unwrap();
    assert_eq!(expires, JoinToken::decode(&word).unwrap().expires);
    assert_eq!(created[..3], ["PR1", "primary", "CAS"]);
    assert_eq!(created[4], administrator);
    assert!(!created.iter().any(|insert| insert.contains(&word)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_removed_is_not_shown_after_a_restart() {
    let mut fixture = Fixture::new().await;
    fixture.member("PR1").await;
    fixture.remove("PR1").await;
    // What a report leaves that came in while the site was being removed.
    let mut tx = fixture.store().begin().await.unwrap();
    tx.put_site_report(code("PR1"), 1, vec![]).await.unwrap();
    tx.commit().await.unwrap();
    let central = fixture.central.take().unwrap();
    let site = central.site.clone();
    link::reporter::load(&site).await.unwrap();
    let shown = site.reports.all();
    assert!(shown.iter().all(|report| report.site_code == "CAS"));
    assert!(site.reports.get(code("PR1")).is_none());
    fixture.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), central.ended());
    ended.await.unwrap();
}

impl Fixture {
    /// Changes settings as the administrator does.
    async fn set(&self, assignments: &[&str]) -> Result<u64, Status> {
        let set = assignments.iter().map(|text| (*text).to_owned()).collect();
        let request = self.ask(ChangeSettingsRequest {
            to: Some(To::Assignments(Assignments {
                set,
                reset: Vec::new(),
            })),
            ..ChangeSettingsRequest::default()
        });
        let mut client = SettingsServiceClient::new(self.dial(None).await);
        let answer = client.change_settings(request).await?;
        Ok(answer.into_inner().version)
    }

    /// The settings of the verified catalog.
    async fn rolled_out(&self) -> Option<RollOut> {
        let mut read = self.store().read().await.unwrap();
        let content = read.rolled_out_settings().await.unwrap();
        content.map(|content| RollOut::from_content(&content).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_settings_are_in_the_signed_catalog_at_once_without_what_is_the_top_level_sites_alone()
 {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.rolled_out().await, None);
    fixture.set(&["proxy.port=0"]).await.unwrap_err();
    assert_eq!(fixture.store().positions().head, 0);
    let changes = [
        "schedule.time-zone=Europe/Berlin",
        "proxy.host=proxy.example",
    ];
    assert_eq!(fixture.set(&changes).await.unwrap(), 1);
    let positions = fixture.store().positions();
    assert_eq!((positions.head, positions.verified), (1, 1));
    let rolled_out = fixture.rolled_out().await.unwrap();
    assert_eq!(
        (rolled_out.version, rolled_out.top),
        (1, code("CAS").site())
    );
    assert_eq!(rolled_out.who, "local administrator");
    assert_eq!(rolled_out.settings.schedule.time_zone, "Europe/Berlin");
    assert_eq!(rolled_out.settings.proxy.host, None);
    // The item is held once, at its last change.
    assert_eq!(fixture.set(&["schedule.time-zone=UTC"]).await.unwrap(), 2);
    assert_eq!(fixture.rolled_out().await.unwrap().version, 2);
    let items = fixture.store().read().await.unwrap().items().await.unwrap();
    assert_eq!((items, fixture.store().positions().verified), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_settings_name_sites_that_are_invited_later() {
    let first =
        "[languages]\nupdate-files = [\"de\", \"fr\"]\n[site.PR1]\nupdate-files = [\"fr\"]\n";
    let fixture = Fixture::with_first_settings(Some(first)).await;
    fixture.member("PR1").await;
    fixture
        .set(&["schedule.time-zone=Europe/Berlin"])
        .await
        .unwrap();
    let rolled_out = fixture.rolled_out().await.unwrap();
    let of = rolled_out.update_files(code("PR1").site(), Some(code("CAS").site()));
    assert_eq!(of.to_string(), "en, fr");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_effect_follows_the_sites_that_there_are() {
    let fixture = Fixture::new().await;
    let refused = fixture
        .set(&["site.PR1.update-files=fr"])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().starts_with(
            "the setting site.PR1.update-files: there is no site PR1 in the hierarchy (headwater site list)"
        ),
        "{}",
        refused.message()
    );
    fixture.member("PR1").await;
    fixture.set(&["site.PR1.update-files=fr"]).await.unwrap();
    let rolled_out = fixture.rolled_out().await.unwrap();
    let of = |site: &str| {
        rolled_out
            .update_files(code(site).site(), Some(code("CAS").site()))
            .to_string()
    };
    assert_eq!(
        (of("PR1"), of("PR2")),
        ("en, fr".to_owned(), "all".to_owned())
    );
    let refused = fixture
        .set(&["languages.update-files=de"])
        .await
        .unwrap_err();
    assert_eq!(
        refused.message(),
        "the setting site.PR1.update-files: fr is not among the languages of its parent CAS (de, en): choose a \
         part of those, or give CAS more first"
    );
    // Other settings can be changed whatever became of a site.
    fixture.remove("PR1").await;
    let mut positions = fixture.store().watch_positions();
    while !fixture.rolled_out().await.unwrap().sites.is_empty() {
        let changed = tokio::time::timeout(Duration::from_secs(60), positions.changed());
        changed
            .await
            .expect("the removed site is left out in time")
            .unwrap();
    }
    fixture
        .set(&["schedule.time-zone=Europe/Berlin"])
        .await
        .unwrap();
    // Not even what it was refused before for the sake of that site.
    fixture.set(&["languages.update-files=de"]).await.unwrap();
    // What is set anew for it is refused.
    let refused = fixture.set(&["site.PR1.update-files=de"]).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}
