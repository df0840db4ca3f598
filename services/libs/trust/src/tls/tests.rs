//! Handshakes in memory: two connections, bytes carried by hand, the clock a value.

use super::*;
use crate::{Authority, AuthorityPin, HierarchyId, SiteIdentity, SiteKey};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{Read, Write};
use std::time::Duration;
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn clock(time: &str) -> Arc<dyn TimeProvider> {
    let time: Timestamp = time.parse().unwrap();
    time_provider(move || time)
}

/// A hierarchy with sites that live for 30 days from `now`.
struct Hierarchy(Authority);

impl Hierarchy {
    fn new(number: u128) -> Self {
        let mut rng = StdRng::seed_from_u64(3);
        Self(Authority::create(HierarchyId(Uuid::from_u128(number)), now(), &mut rng).unwrap())
    }

    fn site(&self, code: &str) -> Arc<HotCertificate> {
        let (certificate, key) = self.issue(code);
        HotCertificate::new(&certificate, &key).unwrap()
    }

    fn issue(&self, code: &str) -> (crate::SiteCertificate, SiteKey) {
        let key = SiteKey::generate().unwrap();
        let identity = SiteIdentity::new(self.0.hierarchy(), code.parse().unwrap());
        let mut rng = StdRng::seed_from_u64(4);
        let csr = key.csr_pem().unwrap();
        let issued = self
            .0
            .issue(&csr, &identity, 30 * DAY, now(), &mut rng)
            .unwrap();
        (issued.to_site_certificate().unwrap(), key)
    }

    fn server(&self, site: Arc<HotCertificate>, time: &str) -> ServerConfig {
        server_config(site, &[self.0.certificate_der().clone()], clock(time)).unwrap()
    }

    fn trust(&self, expected: Option<&str>) -> ServerTrust {
        ServerTrust::Hierarchy {
            authority: self.0.certificate_der().clone(),
            hierarchy: self.0.hierarchy(),
            expected: expected.map(|code| code.parse().unwrap()),
        }
    }

    fn pin(&self, expected: Option<&str>) -> ServerTrust {
        ServerTrust::Pin {
            pin: self.0.pin(),
            expected: expected.map(|code| code.parse().unwrap()),
        }
    }
}

const TODAY: &str = "2026-11-20T10:00:00Z";
const LATE: &str = "2027-01-20T10:00:00Z";
const EARLY: &str = "2026-11-19T10:00:00Z";

fn client(
    certificate: Option<Arc<HotCertificate>>,
    trust: ServerTrust,
    time: &str,
) -> ClientConfig {
    client_config(certificate, trust, clock(time)).unwrap()
}

/// What each side made of the handshake: the server's view of the client, or the problem.
#[derive(Debug, PartialEq)]
struct Outcome {
    client: Result<(), HandshakeProblem>,
    server: Result<Option<String>, HandshakeProblem>,
}

fn shake(server: &ServerConfig, client: &ClientConfig) -> Outcome {
    let name = ServerName::try_from("locator.example").unwrap();
    let client = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
    let server = ServerConnection::new(Arc::new(server.clone())).unwrap();
    let (mut client, mut server) = (Connection::from(client), Connection::from(server));
    let (mut client_ok, mut server_ok) = (Ok(()), Ok(()));
    for _ in 0..10 {
        carry(&mut client, &mut server, &mut server_ok);
        carry(&mut server, &mut client, &mut client_ok);
    }
    assert!(client_ok.is_err() || !client.is_handshaking());
    if client_ok.is_ok() && server_ok.is_ok() {
        client.writer().write_all(b"hello").unwrap();
        carry(&mut client, &mut server, &mut server_ok);
        let mut read = [0; 5];
        server.reader().read_exact(&mut read).unwrap();
        assert_eq!(&read, b"hello");
        assert_eq!(client.alpn_protocol(), Some(ALPN_HTTP2));
        assert_eq!(
            client.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
    }
    let peer = server.peer_certificates().map(|chain| {
        SiteIdentity::from_certificate_der(&chain[0])
            .unwrap()
            .site
            .to_string()
    });
    Outcome {
        client: client_ok,
        server: server_ok.map(|()| peer),
    }
}

fn carry(from: &mut Connection, to: &mut Connection, result: &mut Result<(), HandshakeProblem>) {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    feed(to, &bytes, result);
}

fn feed(to: &mut Connection, mut bytes: &[u8], result: &mut Result<(), HandshakeProblem>) {
    while !bytes.is_empty() && result.is_ok() {
        to.read_tls(&mut bytes).unwrap();
        if let Err(error) = to.process_new_packets() {
            *result = Err(HandshakeProblem::from_tls(&error));
        }
    }
}

fn both(client: Option<&str>) -> Outcome {
    Outcome {
        client: Ok(()),
        server: Ok(client.map(str::to_owned)),
    }
}

#[test]
fn sites_of_one_hierarchy_meet_and_know_each_other() {
    let h = Hierarchy::new(1);
    let server = h.server(h.site("PR1"), TODAY);
    let child = client(Some(h.site("SE1")), h.trust(Some("PR1")), TODAY);
    assert_eq!(shake(&server, &child), both(Some("SE1")));
}

#[test]
fn a_client_without_a_certificate_is_let_in_as_nobody() {
    let h = Hierarchy::new(1);
    let server = h.server(h.site("PR1"), TODAY);
    assert_eq!(
        shake(&server, &client(None, h.trust(None), TODAY)),
        both(None)
    );
    assert_eq!(
        shake(&server, &client(None, h.pin(None), TODAY)),
        both(None)
    );
    assert_eq!(
        shake(&server, &client(None, h.pin(Some("PR1")), TODAY)),
        both(None)
    );
}

#[test]
fn another_authority_is_refused_on_both_sides() {
    let (h, foreign) = (Hierarchy::new(1), Hierarchy::new(2));
    let server = h.server(h.site("PR1"), TODAY);
    let child = client(Some(h.site("SE1")), foreign.trust(None), TODAY);
    let outcome = shake(&server, &child);
    assert_eq!(outcome.client, Err(HandshakeProblem::OtherHierarchy));
    assert_eq!(outcome.server, Err(HandshakeProblem::OurCertificateForeign));

    let child = client(Some(foreign.site("SE1")), h.trust(None), TODAY);
    let outcome = shake(&server, &child);
    assert_eq!(outcome.server, Err(HandshakeProblem::OtherHierarchy));
    assert_eq!(outcome.client, Err(HandshakeProblem::OurCertificateForeign));
}

#[test]
fn another_authority_of_the_same_name_is_refused() {
    let (h, forged) = (Hierarchy::new(1), Hierarchy::new(1));
    let server = forged.server(forged.site("PR1"), TODAY);
    let outcome = shake(&server, &client(None, h.trust(Some("PR1")), TODAY));
    assert_eq!(outcome.client, Err(HandshakeProblem::OtherHierarchy));
    let outcome = shake(&server, &client(None, h.pin(Some("PR1")), TODAY));
    let expected = HandshakeProblem::Refused(PeerRefusal::OtherAuthority);
    assert_eq!(outcome.client, Err(expected));
}

#[test]
fn a_pinned_certificate_that_did_not_sign_the_leaf_is_refused() {
    let (h, forged) = (Hierarchy::new(1), Hierarchy::new(1));
    // The forger shows the genuine authority's certificate, which is public, behind its own leaf.
    let (certificate, key) = forged.issue("PR1");
    let leaf = &certificate.chain()[0];
    let pem = crate::authority::pem_section("CERTIFICATE", leaf) + &h.0.certificate_pem();
    let shown = crate::SiteCertificate::from_pem(&pem).unwrap();
    let server = h.server(HotCertificate::new(&shown, &key).unwrap(), TODAY);
    let outcome = shake(&server, &client(None, h.pin(None), TODAY));
    assert_eq!(outcome.client, Err(HandshakeProblem::OtherHierarchy));
}

#[test]
fn the_wrong_site_at_the_right_address_is_refused() {
    let h = Hierarchy::new(1);
    let server = h.server(h.site("SE9"), TODAY);
    for trust in [h.trust(Some("PR1")), h.pin(Some("PR1"))] {
        let outcome = shake(&server, &client(Some(h.site("SE1")), trust, TODAY));
        let problem = outcome.client.unwrap_err();
        assert_eq!(
            problem.to_string(),
            "site SE9 answers at this address, not PR1: check the address"
        );
        assert!(outcome.server.is_err());
    }
}

#[test]
fn a_site_of_another_hierarchy_under_one_authority_is_refused() {
    let h = Hierarchy::new(1);
    let server = h.server(h.site("PR1"), TODAY);
    let trust = ServerTrust::Hierarchy {
        authority: h.0.certificate_der().clone(),
        hierarchy: HierarchyId(Uuid::from_u128(9)),
        expected: None,
    };
    let outcome = shake(&server, &client(None, trust, TODAY));
    assert!(matches!(
        outcome.client,
        Err(HandshakeProblem::Refused(
            PeerRefusal::OtherHierarchy { .. }
        ))
    ));
}

#[test]
fn the_clock_that_was_given_decides_validity() {
    let h = Hierarchy::new(1);
    let site = h.site("PR1");
    for (time, expected) in [(LATE, "expired"), (EARLY, "not valid yet")] {
        let server = h.server(site.clone(), TODAY);
        let outcome = shake(&server, &client(None, h.trust(None), time));
        let problem = outcome.client.unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");

        let server = h.server(site.clone(), time);
        let outcome = shake(&server, &client(Some(h.site("SE1")), h.trust(None), TODAY));
        let problem = outcome.server.unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");
    }
    let server = h.server(site, LATE);
    let outcome = shake(&server, &client(Some(h.site("SE1")), h.trust(None), TODAY));
    assert_eq!(outcome.client, Err(HandshakeProblem::OurCertificateExpired));
}

#[test]
fn a_new_certificate_is_used_at_the_next_handshake() {
    let h = Hierarchy::new(1);
    let hot = h.site("PR1");
    let server = h.server(hot.clone(), TODAY);
    let child = client(None, h.trust(Some("PR2")), TODAY);
    assert!(shake(&server, &child).client.is_err());
    let (certificate, key) = h.issue("PR2");
    hot.replace(&certificate, &key).unwrap();
    assert_eq!(shake(&server, &child), both(None));

    let stranger = SiteKey::generate().unwrap();
    let result = hot.replace(&certificate, &stranger);
    assert!(matches!(result, Err(Error::KeyMismatch { .. })));
    assert_eq!(shake(&server, &child), both(None));
}

#[test]
fn plain_text_is_recognised_on_both_sides() {
    let h = Hierarchy::new(1);
    let server = ServerConnection::new(Arc::new(h.server(h.site("PR1"), TODAY))).unwrap();
    let mut result = Ok(());
    feed(
        &mut server.into(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &mut result,
    );
    assert_eq!(result, Err(HandshakeProblem::PlainText));

    let name = ServerName::try_from("192.0.2.1").unwrap();
    let config = client(None, h.trust(None), TODAY);
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut result = Ok(());
    feed(
        &mut client.into(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &mut result,
    );
    assert_eq!(result, Err(HandshakeProblem::PlainText));
}

#[test]
fn tls_1_2_is_refused() {
    let h = Hierarchy::new(1);
    let server = h.server(h.site("PR1"), TODAY);
    let roots = roots(&[h.0.certificate_der().clone()]).unwrap();
    let old = ClientConfig::builder_with_details(provider(), clock(TODAY))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert_eq!(
        shake(&server, &old).server,
        Err(HandshakeProblem::Incompatible)
    );
}

#[test]
fn a_stream_that_just_ends_is_told_from_one_that_says_why() {
    let cut = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    assert_eq!(HandshakeProblem::from_io(&cut), HandshakeProblem::Closed);
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
    let inner = std::io::Error::new(std::io::ErrorKind::InvalidData, alert);
    assert_eq!(
        HandshakeProblem::from_io(&inner),
        HandshakeProblem::OurCertificateForeign
    );
}

#[test]
fn two_pins_differ_where_two_authorities_do() {
    let (one, other) = (Hierarchy::new(1), Hierarchy::new(1));
    assert_ne!(one.0.pin(), other.0.pin());
    assert_eq!(one.0.pin(), AuthorityPin::of(one.0.certificate_der()));
}

#[test]
fn a_site_cannot_vouch_for_another() {
    let h = Hierarchy::new(1);
    let (certificate, key) = h.issue("SE1");
    // The site's key signs a certificate for the central site, and shows its own as the issuer.
    let issuer = rcgen::Issuer::from_ca_cert_der(&certificate.chain()[0], key.pair).unwrap();
    let stolen = SiteKey::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    let identity = SiteIdentity::new(h.0.hierarchy(), "CAS".parse().unwrap());
    let name = identity.to_string().as_str().try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(name)];
    let forged = params.signed_by(&stolen.pair, &issuer).unwrap();
    let mut pem = forged.pem();
    for issuer in certificate.chain() {
        pem += &crate::authority::pem_section("CERTIFICATE", issuer);
    }
    let forged = crate::SiteCertificate::from_pem(&pem).unwrap();
    let forged = HotCertificate::new(&forged, &stolen).unwrap();

    let server = h.server(forged.clone(), TODAY);
    for trust in [h.trust(None), h.pin(None)] {
        assert!(shake(&server, &client(None, trust, TODAY)).client.is_err());
    }
    let server = h.server(h.site("CAS"), TODAY);
    let child = client(Some(forged), h.trust(None), TODAY);
    assert!(shake(&server, &child).server.is_err());
}
