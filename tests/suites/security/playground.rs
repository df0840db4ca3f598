//! A central site in this process, with sites that joined it and people who hold tokens.

use crate::parent::code;
use central::Central;
use daemon::Ambient;
use link::dial::TcpConnector;
use rustls::ClientConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use secrecy::ExposeSecret as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Request;
use tonic::transport::Channel;
use trust::tls::{HotCertificate, ServerTrust};
use trust::{
    AccessToken, Authority, AuthorityPin, PersonIdentity, Role, SiteCertificate, SiteIdentity,
    SiteKey,
};
use wire::v1::access_service_client::AccessServiceClient;
use wire::v1::enrollment_service_client::EnrollmentServiceClient;
use wire::v1::hierarchy_service_client::HierarchyServiceClient;
use wire::v1::person_service_client::PersonServiceClient;
use wire::v1::{
    CreateJoinTokenRequest, IssueCertificateRequest, JoinRequest, RemoveSiteRequest,
    RevokeAccessTokenRequest,
};

/// A central site in this process, and sites that joined it.
pub struct Playground {
    pub central: Central,
    address: SocketAddr,
    authority: Authority,
    pub ambient: Ambient,
    _stop: DropGuard,
    _folder: TempDir,
}

/// A key, and a client certificate for a person.
pub struct PersonKey {
    pub key: SiteKey,
    /// The certificate and the authority's, in PEM.
    pub chain: String,
}

impl PersonKey {
    /// One that an authority issued, and wrote down nowhere.
    pub fn issued_by(authority: &Authority, name: &str, ambient: &Ambient) -> Self {
        let key = SiteKey::generate().unwrap();
        let identity = PersonIdentity::new(authority.hierarchy(), name).unwrap();
        let (hour, request) = (Duration::from_secs(3600), key.csr_pem().unwrap());
        let (now, mut rng) = (ambient.now(), ambient.new_rng());
        let issued = authority.issue_to_person(&request, &identity, hour, now, &mut rng);
        let chain = issued.unwrap().pem_chain;
        Self { key, chain }
    }

    /// The configuration for dialling a site with it.
    pub fn tls(&self, pin: AuthorityPin, site: &str) -> ClientConfig {
        let time = trust::tls::time_provider(|| daemon::Clock::now(&daemon::SystemClock));
        let expected = Some(code(site));
        let trust = ServerTrust::Pin { pin, expected };
        let mut tls = trust::tls::client_config(None, trust, time).unwrap();
        let pem = self.key.to_secret_pem();
        let key = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).unwrap();
        let chain = trust::certificate::chain_from_pem(&self.chain).unwrap();
        let certified = CertifiedKey::from_der(chain, key, &trust::tls::provider()).unwrap();
        tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        tls
    }
}

/// A site's certificate with its key.
pub type Credentials = Arc<HotCertificate>;

impl Playground {
    pub async fn start() -> Self {
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

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub fn pin(&self) -> AuthorityPin {
        self.authority.pin()
    }

    /// Dials without a certificate.
    pub fn plain_tls(&self) -> ClientConfig {
        let time = trust::tls::time_provider(|| daemon::Clock::now(&daemon::SystemClock));
        let trust = ServerTrust::Pin {
            pin: self.authority.pin(),
            expected: Some(code("CAS")),
        };
        trust::tls::client_config(None, trust, time).unwrap()
    }

    pub async fn channel(&self, certificate: Option<Credentials>) -> Channel {
        let time = trust::tls::time_provider(|| daemon::Clock::now(&daemon::SystemClock));
        let trust = ServerTrust::Pin {
            pin: self.authority.pin(),
            expected: Some(code("CAS")),
        };
        let tls = trust::tls::client_config(certificate, trust, time).unwrap();
        link::dial::channel(&self.url(), Arc::new(tls), Arc::new(TcpConnector))
            .await
            .unwrap()
    }

    /// A key, and a certificate for a person that this site issued.
    pub async fn person(&self, name: &str, role: Role) -> PersonKey {
        let key = SiteKey::generate().unwrap();
        let mut request = Request::new(IssueCertificateRequest {
            name: name.to_owned(),
            role: role.name().to_owned(),
            valid_seconds: 3600,
            certificate_request: key.csr_pem().unwrap(),
        });
        let administrator = self.token(Role::Administrator).await;
        request
            .metadata_mut()
            .insert("authorization", administrator.parse().unwrap());
        let issued = PersonServiceClient::new(self.channel(None).await)
            .issue_certificate(request)
            .await;
        let chain = issued.unwrap().into_inner().certificate_chain;
        PersonKey { key, chain }
    }

    /// A certificate of the right authority for a person of whom the site knows nothing.
    pub fn unknown_person(&self, name: &str) -> PersonKey {
        PersonKey::issued_by(&self.authority, name, &self.ambient)
    }

    /// Ends a token or a certificate.
    pub async fn revoke(&self, name: &str) {
        let mut request = Request::new(RevokeAccessTokenRequest {
            name: name.to_owned(),
        });
        let administrator = self.token(Role::Administrator).await;
        request
            .metadata_mut()
            .insert("authorization", administrator.parse().unwrap());
        let revoked = AccessServiceClient::new(self.channel(None).await)
            .revoke_access_token(request)
            .await;
        assert!(revoked.unwrap().into_inner().revoked);
    }

    /// Dials with the certificate of a person.
    pub fn person_tls(&self, person: &PersonKey) -> ClientConfig {
        person.tls(self.pin(), "CAS")
    }

    pub async fn person_channel(&self, person: &PersonKey) -> Channel {
        let tls = self.person_tls(person);
        link::dial::channel(&self.url(), Arc::new(tls), Arc::new(TcpConnector))
            .await
            .unwrap()
    }

    pub async fn token(&self, role: Role) -> String {
        let (pin, mut rng) = (self.authority.pin(), self.ambient.new_rng());
        let token = AccessToken::new(code("CAS"), pin, &mut rng);
        let mut tx = self.central.site.store.begin().await.unwrap();
        let now = self.ambient.now();
        let (hash, role) = (token.hash(), role.name());
        let row = store::access::AccessTokenRow::new(role, role, now);
        tx.put_access_token(hash.as_bytes(), &row).await.unwrap();
        tx.commit().await.unwrap();
        format!("Bearer {}", token.encode().expose_secret())
    }

    /// Joins a site as a real one does; with the certificate of its parent, where that is not the
    /// central site.
    pub async fn join(
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

    pub async fn remove(&self, site: &str) {
        let mut request = Request::new(RemoveSiteRequest {
            site_code: site.to_owned(),
            ..RemoveSiteRequest::default()
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
    pub fn stranger(&self, site: &str) -> Credentials {
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
    pub async fn messages(&self, id: u32) -> Vec<String> {
        let mut read = self.central.site.store.read().await.unwrap();
        let mut rows = read.status_messages(None, 1000).await.unwrap();
        rows.retain(|row| row.status_id == id);
        rows.into_iter()
            .map(|row| journal::journal::message_of(row).text())
            .collect()
    }
}
