//! Who may call what: every RPC of every service, called by everybody there is, at a central site.

use crate::parent::code;
use catalog::SiteCode;
use central::Central;
use daemon::Ambient;
use link::dial::TcpConnector;
use prost::Message as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::patience::LONG;
use testkit::until;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use trust::tls::{HotCertificate, ServerTrust};
use trust::{AccessToken, Authority, Role, SiteCertificate, SiteIdentity, SiteKey};
use wire::v1::attach_request::Message as ToParent;
use wire::v1::enrollment_service_client::EnrollmentServiceClient;
use wire::v1::hierarchy_service_client::HierarchyServiceClient;
use wire::v1::site_link_service_client::SiteLinkServiceClient;
use wire::v1::{
    AttachRequest, CreateJoinTokenRequest, Hello, JoinRequest, RemoveSiteRequest, SiteReport,
    StatusBatch, StatusMessage,
};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Who calls is not known.
    Unknown,
    /// Who calls may not.
    Denied,
    /// The call is looked at.
    Heard,
}
use Outcome::{Denied, Heard, Unknown};

/// Who calls, in the order of the columns.
const CALLERS: [&str; 9] = [
    "nobody",
    "a site that never joined",
    "a child",
    "a site below a child",
    "a site that was removed",
    "a site whose code another machine has now",
    "a viewer",
    "an operator",
    "an administrator",
];

/// Only children, and no site that is none any more. Tokens are worth nothing.
const CHILDREN: [Outcome; 9] = [
    Unknown, Denied, Heard, Denied, Denied, Denied, Unknown, Unknown, Unknown,
];
/// Everybody without a certificate, and children. Who was shut out may come back without it.
const NEWCOMERS: [Outcome; 9] = [
    Heard, Denied, Heard, Denied, Denied, Denied, Heard, Heard, Heard,
];
/// Whoever has a token, and certificates are worth nothing.
const VIEWERS: [Outcome; 9] = [
    Unknown, Unknown, Unknown, Unknown, Unknown, Unknown, Heard, Heard, Heard,
];
const OPERATORS: [Outcome; 9] = [
    Unknown, Unknown, Unknown, Unknown, Unknown, Unknown, Denied, Heard, Heard,
];
const ADMINISTRATORS: [Outcome; 9] = [
    Unknown, Unknown, Unknown, Unknown, Unknown, Unknown, Denied, Denied, Heard,
];

/// Every RPC, and what is expected. A new one belongs here.
const TABLE: &[(&str, [Outcome; 9])] = &[
    ("CatalogService/GetUpdate", VIEWERS),
    ("CatalogService/ListUpdates", VIEWERS),
    ("EnrollmentService/Join", NEWCOMERS),
    ("HierarchyService/CreateJoinToken", ADMINISTRATORS),
    ("HierarchyService/ListSites", VIEWERS),
    ("HierarchyService/RemoveSite", ADMINISTRATORS),
    ("JournalService/ListStatusMessages", VIEWERS),
    ("JournalService/ReadLog", VIEWERS),
    ("SiteLinkService/Attach", CHILDREN),
    ("SiteLinkService/DescribeSite", CHILDREN),
    ("SiteLinkService/Pull", CHILDREN),
    ("SiteLinkService/RenewCertificate", CHILDREN),
    ("SyncService/CancelSync", OPERATORS),
    ("SyncService/StartSync", OPERATORS),
    ("SyncService/WatchSync", VIEWERS),
];

/// Messages as bytes, whatever they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let bytes = bytes::Buf::remaining(buffer);
        Ok(Some(bytes::Buf::copy_to_bytes(buffer, bytes).to_vec()))
    }
}

/// A central site in this process, and sites that joined it.
struct Playground {
    central: Central,
    address: SocketAddr,
    authority: Authority,
    ambient: Ambient,
    _stop: DropGuard,
    _folder: TempDir,
}

/// A site's certificate with its key.
type Credentials = Arc<HotCertificate>;

impl Playground {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ambient = Ambient::system();
        let settings = central::Settings::load(central::Command {
            site: link::settings::SiteFlags {
                site_code: Some(code("CAS")),
                data_dir: Some(folder.path().to_owned()),
                ..Default::default()
            },
            ..Default::default()
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let run = central::run(&settings, listener, address, ambient.clone(), stop.clone());
        let central = Box::pin(run).await.unwrap();
        let pem = std::fs::read_to_string(folder.path().join("authority.pem")).unwrap();
        Self {
            central,
            address,
            authority: Authority::from_secret_pem(&pem.into()).unwrap(),
            ambient,
            _stop: stop.drop_guard(),
            _folder: folder,
        }
    }

    async fn channel(&self, certificate: Option<Credentials>) -> Channel {
        let time = trust::tls::time_provider(|| daemon::Clock::now(&daemon::SystemClock));
        let trust = ServerTrust::Pin {
            pin: self.authority.pin(),
            expected: Some(code("CAS")),
        };
        let tls = trust::tls::client_config(certificate, trust, time).unwrap();
        let url = format!("https://{}", self.address);
        link::dial::channel(&url, Arc::new(tls), Arc::new(TcpConnector))
            .await
            .unwrap()
    }

    async fn token(&self, role: Role) -> String {
        use secrecy::ExposeSecret as _;
        let (pin, mut rng) = (self.authority.pin(), self.ambient.new_rng());
        let token = AccessToken::new(code("CAS"), pin, &mut rng);
        let mut tx = self.central.site.store.begin().await.unwrap();
        let now = self.ambient.now();
        let (hash, role) = (token.hash(), role.name());
        tx.put_access_token(hash.as_bytes(), role, role, now)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        format!("Bearer {}", token.encode().expose_secret())
    }

    /// Joins a site as a real one does; with the certificate of its parent, where that is not the
    /// central site.
    async fn join(
        &self,
        site: &str,
        kind: &str,
        parent: &str,
        via: Option<Credentials>,
    ) -> Credentials {
        let administrator = self.token(Role::Administrator).await;
        let mut request = Request::new(CreateJoinTokenRequest {
            site_code: site.to_owned(),
            site_kind: kind.to_owned(),
            parent: parent.to_owned(),
            valid_seconds: 600,
        });
        request
            .metadata_mut()
            .insert("authorization", administrator.parse().unwrap());
        let token = HierarchyServiceClient::new(self.channel(None).await)
            .create_join_token(request)
            .await;
        let key = SiteKey::generate().unwrap();
        let request = JoinRequest {
            token: token.unwrap().into_inner().token,
            certificate_request: key.csr_pem().unwrap(),
            version: link::VERSION.to_owned(),
        };
        let joined = EnrollmentServiceClient::new(self.channel(via).await)
            .join(request)
            .await;
        let chain = joined.unwrap().into_inner().certificate_chain;
        HotCertificate::new(&SiteCertificate::from_pem(&chain).unwrap(), &key).unwrap()
    }

    async fn remove(&self, site: &str) {
        let mut request = Request::new(RemoveSiteRequest {
            site_code: site.to_owned(),
        });
        let administrator = self.token(Role::Administrator).await;
        request
            .metadata_mut()
            .insert("authorization", administrator.parse().unwrap());
        HierarchyServiceClient::new(self.channel(None).await)
            .remove_site(request)
            .await
            .unwrap();
    }

    /// A certificate of the right authority for a site that never joined.
    fn stranger(&self, site: &str) -> Credentials {
        let key = SiteKey::generate().unwrap();
        let identity = SiteIdentity::new(self.authority.hierarchy(), code(site));
        let (day, now) = (Duration::from_secs(86_400), self.ambient.now());
        let request = key.csr_pem().unwrap();
        let issued =
            self.authority
                .issue(&request, &identity, day, now, &mut self.ambient.new_rng());
        HotCertificate::new(&issued.unwrap().to_site_certificate().unwrap(), &key).unwrap()
    }

    /// Status messages of one kind, as texts.
    async fn messages(&self, id: u32) -> Vec<String> {
        let mut read = self.central.site.store.read().await.unwrap();
        let mut rows = read.status_messages(None, 1000).await.unwrap();
        rows.retain(|row| row.status_id == id);
        rows.into_iter()
            .map(|row| journal::journal::message_of(row).text())
            .collect()
    }
}

/// Calls an RPC with an empty message.
async fn call(channel: &Channel, rpc: &str, token: Option<&str>) -> Outcome {
    let mut request = Request::new(tokio_stream::once(Vec::new()));
    request.set_timeout(LONG);
    if let Some(token) = token {
        request
            .metadata_mut()
            .insert("authorization", token.parse().unwrap());
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = format!("/headwater.v1.{rpc}").parse().unwrap();
    let status = match client.streaming(request, path, Raw).await {
        Err(status) => Some(status),
        // The answer of a stream that was refused is its first message.
        Ok(answers) => answers.into_inner().message().await.err(),
    };
    match status {
        None => Heard,
        Some(status) => match status.code() {
            Code::Unauthenticated => Unknown,
            Code::PermissionDenied => Denied,
            // An empty message asks for nothing that there is, and is told so.
            Code::InvalidArgument | Code::NotFound => Heard,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => panic!("{rpc}: {status}"),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_is_open_to_those_who_may_and_to_nobody_else() {
    // Every RPC that there is stands in the table.
    let described = prost_types::FileDescriptorSet::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
    let ours = described
        .file
        .iter()
        .filter(|file| file.package() == "headwater.v1");
    let mut rpcs: Vec<String> = ours
        .flat_map(|file| &file.service)
        .flat_map(|service| {
            let methods = service.method.iter();
            methods.map(move |method| format!("{}/{}", service.name(), method.name()))
        })
        .collect();
    rpcs.sort();
    let known: Vec<_> = TABLE.iter().map(|(rpc, _)| (*rpc).to_owned()).collect();
    assert_eq!(rpcs, known, "the table has to name every RPC");

    let playground = Playground::start().await;
    let child = playground.join("PR1", "primary", "CAS", None).await;
    let via = Some(Arc::clone(&child));
    let grandchild = playground.join("SE1", "secondary", "PR1", via).await;
    let removed = playground.join("PR2", "primary", "CAS", None).await;
    playground.remove("PR2").await;
    let replaced = playground.join("PR3", "primary", "CAS", None).await;
    playground.remove("PR3").await;
    playground.join("PR3", "primary", "CAS", None).await;
    let stranger = playground.stranger("XX9");

    let mut callers = Vec::new();
    for certificate in [
        None,
        Some(stranger),
        Some(child),
        Some(grandchild),
        Some(removed),
        Some(replaced),
    ] {
        callers.push((playground.channel(certificate).await, None));
    }
    for role in [Role::Viewer, Role::Operator, Role::Administrator] {
        callers.push((
            playground.channel(None).await,
            Some(playground.token(role).await),
        ));
    }
    let mut wrong = Vec::new();
    for (rpc, expected) in TABLE {
        for (who, ((channel, token), expected)) in CALLERS.iter().zip(callers.iter().zip(expected))
        {
            let outcome = call(channel, rpc, token.as_deref()).await;
            if outcome != *expected {
                wrong.push(format!(
                    "{rpc} by {who}: {outcome:?} instead of {expected:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // Tokens that are none: made up, of another hierarchy, or sent in another way.
    let channel = playground.channel(None).await;
    let elsewhere = Playground::start().await;
    let foreign = elsewhere.token(Role::Administrator).await;
    let good = playground.token(Role::Administrator).await;
    for token in [
        "Bearer ",
        "Bearer hwa1.x",
        &foreign,
        &good[7..],
        &good.replace("Bearer", "Basic"),
    ] {
        let outcome = call(&channel, "HierarchyService/ListSites", Some(token)).await;
        assert_eq!(outcome, Unknown, "{}", &token[..8.min(token.len())]);
    }
    // What was refused for its certificate is in the journal, once for each site and reason.
    let refused = playground.messages(9003).await;
    for site in ["XX9", "PR2", "PR3", "SE1"] {
        let told = refused.iter().filter(|text| text.contains(site)).count();
        assert_eq!(told, 1, "{site}: {refused:?}");
    }
}

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
        ToParent::Status(StatusBatch {
            through,
            messages: vec![StatusMessage {
                site_code: site.to_owned(),
                number,
                time: Some(wire::convert::from_timestamp(playground.ambient.now())),
                status_id: 9014,
                inserts: vec![format!("planted for {site}"), String::new()],
                ..StatusMessage::default()
            }],
        })
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

    let reports: BTreeMap<SiteCode, String> = playground
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
