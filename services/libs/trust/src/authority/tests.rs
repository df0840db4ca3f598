use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

fn authority() -> Authority {
    Authority::create(HierarchyId(Uuid::from_u128(1)), now(), &mut rng()).unwrap()
}

fn identity(authority: &Authority, code: &str) -> SiteIdentity {
    SiteIdentity::new(authority.hierarchy(), code.parse().unwrap())
}

#[test]
fn an_issued_certificate_names_the_site_and_ends_in_time() {
    let authority = authority();
    let wanted = identity(&authority, "PR1");
    let csr = SiteKey::generate().unwrap().csr_pem().unwrap();
    let issued = authority
        .issue(&csr, &wanted, 30 * DAY, now(), &mut rng())
        .unwrap();
    let held = issued.to_site_certificate().unwrap();
    assert_eq!(held.identity(), &wanted);
    assert_eq!(
        held.not_after(),
        now() + SignedDuration::from_hours(30 * 24)
    );
    assert_eq!(issued.not_after, held.not_after());
    assert_eq!(held.chain().len(), 2);
    assert_eq!(&held.chain()[1], authority.certificate_der());
    let days = held.renew_at().duration_since(now()).as_hours() / 24;
    assert_eq!(days, 20);
}

#[test]
fn a_certificate_of_a_minute_is_not_due_for_renewal_at_once() {
    let authority = authority();
    let wanted = identity(&authority, "PR1");
    let csr = SiteKey::generate().unwrap().csr_pem().unwrap();
    let minute = std::time::Duration::from_secs(60);
    let issued = authority.issue(&csr, &wanted, minute, now(), &mut rng());
    let held = issued.unwrap().to_site_certificate().unwrap();
    let wait = held.renew_at().duration_since(now());
    assert_eq!(wait, SignedDuration::from_secs(40));
}

#[test]
fn a_request_for_foreign_names_gets_ours() {
    let authority = authority();
    let key = SiteKey::generate().unwrap();
    let mut params = CertificateParams::new(vec!["central.example.org".to_owned()]).unwrap();
    params
        .subject_alt_names
        .push(uri(&identity(&authority, "CAS").to_string()).unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key.pair).unwrap().pem().unwrap();

    let wanted = identity(&authority, "PR1");
    let issued = authority
        .issue(&csr, &wanted, DAY, now(), &mut rng())
        .unwrap();
    let held = issued.to_site_certificate().unwrap();
    assert_eq!(held.identity(), &wanted);
    let leaf = certificate::parse(&held.chain()[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1);
    assert!(!leaf.is_ca());
}

#[test]
fn serial_numbers_are_random_and_positive() {
    let authority = authority();
    let csr = SiteKey::generate().unwrap().csr_pem().unwrap();
    let wanted = identity(&authority, "PR1");
    let mut rng = rng();
    let first = authority
        .issue(&csr, &wanted, DAY, now(), &mut rng)
        .unwrap();
    let second = authority
        .issue(&csr, &wanted, DAY, now(), &mut rng)
        .unwrap();
    assert_ne!(first.serial, second.serial);
    assert_eq!(first.serial.len(), 2 * SERIAL_BYTES);
}

#[test]
fn an_altered_request_is_refused() {
    use base64::Engine;
    let authority = authority();
    let csr = SiteKey::generate().unwrap().csr_pem().unwrap();
    let body: String = csr.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = base64::engine::general_purpose::STANDARD
        .decode(body)
        .unwrap();
    // Inside the subject's name: the request stays well-formed, the signature does not.
    let at = der.windows(9).position(|w| w == b"headwater").unwrap();
    der[at] ^= 0x20;
    let altered = pem_section("CERTIFICATE REQUEST", &der);
    let result = authority.issue(
        &altered,
        &identity(&authority, "PR1"),
        DAY,
        now(),
        &mut rng(),
    );
    assert!(matches!(result, Err(Error::RequestSignature)), "{result:?}");
    for junk in [
        "",
        "-----BEGIN CERTIFICATE REQUEST-----",
        &"x".repeat(MAX_REQUEST + 1),
    ] {
        let result = authority.issue(junk, &identity(&authority, "PR1"), DAY, now(), &mut rng());
        assert!(result.is_err());
    }
}

#[test]
fn only_elliptic_keys_of_ours_are_certified() {
    let authority = authority();
    let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let csr = CertificateParams::default()
        .serialize_request(&pair)
        .unwrap();
    let csr = csr.pem().unwrap();
    let result = authority.issue(&csr, &identity(&authority, "PR1"), DAY, now(), &mut rng());
    assert!(matches!(result, Err(Error::WeakKey { .. })), "{result:?}");
}

#[test]
fn validity_is_bounded_and_ends_with_the_authority() {
    let authority = authority();
    let wanted = identity(&authority, "PR1");
    let csr = SiteKey::generate().unwrap().csr_pem().unwrap();
    for validity in [Duration::ZERO, MAX_VALIDITY + DAY, Duration::MAX] {
        let result = authority.issue(&csr, &wanted, validity, now(), &mut rng());
        assert!(matches!(result, Err(Error::Validity { .. })));
    }
    let late = authority.not_after() - SignedDuration::from_hours(1);
    let issued = authority
        .issue(&csr, &wanted, DAY, late, &mut rng())
        .unwrap();
    assert_eq!(issued.not_after, authority.not_after());
    let result = authority.issue(&csr, &wanted, DAY, authority.not_after(), &mut rng());
    assert!(matches!(result, Err(Error::AuthorityExpired { .. })));
}

#[test]
fn a_site_of_another_hierarchy_is_not_certified() {
    let authority = authority();
    let foreign = SiteIdentity::new(HierarchyId(Uuid::from_u128(2)), "PR1".parse().unwrap());
    let csr = SiteKey::generate().unwrap().csr_pem().unwrap();
    let result = authority.issue(&csr, &foreign, DAY, now(), &mut rng());
    assert!(matches!(result, Err(Error::OtherHierarchy { .. })));
}

#[test]
fn an_authority_survives_its_pem_and_never_shows_a_key() {
    let authority = authority();
    let pem = authority.to_secret_pem().unwrap();
    let again = Authority::from_secret_pem(&pem).unwrap();
    assert_eq!(again.hierarchy(), authority.hierarchy());
    assert_eq!(again.pin(), authority.pin());
    assert_eq!(again.statement_key(), authority.statement_key());
    assert_eq!(again.certificate_pem(), authority.certificate_pem());
    let csr = SiteKey::generate().unwrap().csr_pem().unwrap();
    let site = identity(&again, "PR1");
    again.issue(&csr, &site, DAY, now(), &mut rng()).unwrap();

    let shown = format!("{authority:?}");
    let secret = pem.expose_secret();
    let secret_lines = secret.split("PRIVATE KEY").skip(1).flat_map(str::lines);
    for line in secret_lines.filter(|line| line.len() > 20) {
        assert!(!shown.contains(line));
    }
}

#[test]
fn an_authority_of_mixed_parts_is_refused() {
    let pem = authority().to_secret_pem().unwrap();
    let other = authority().to_secret_pem().unwrap();
    let (certificate, _) = pem
        .expose_secret()
        .split_once("-----BEGIN PRIVATE")
        .unwrap();
    let (_, keys) = other
        .expose_secret()
        .split_once("-----BEGIN PRIVATE")
        .unwrap();
    let mixed = format!("{certificate}-----BEGIN PRIVATE{keys}");
    let result = Authority::from_secret_pem(&mixed.into());
    assert!(
        matches!(result, Err(Error::KeyMismatch { .. })),
        "{result:?}"
    );
    for part in ["", certificate] {
        assert!(Authority::from_secret_pem(&part.to_owned().into()).is_err());
    }
}

#[test]
fn the_top_level_site_certifies_itself_with_its_dashboard_names() {
    let authority = authority();
    let key = SiteKey::generate().unwrap();
    let names = ["updates.example.org".to_owned(), "192.0.2.7".to_owned()];
    let wanted = identity(&authority, "CAS");
    let issued = authority
        .self_issue(&key, &wanted, &names, DAY, now(), &mut rng())
        .unwrap();
    assert_eq!(issued.to_site_certificate().unwrap().identity(), &wanted);
}

#[test]
fn a_certificate_and_every_request_for_its_key_have_one_key_hash() {
    let authority = authority();
    let wanted = identity(&authority, "PR1");
    let (key, other) = (SiteKey::generate().unwrap(), SiteKey::generate().unwrap());
    let hash_of = |key: &SiteKey| request_key_hash(&key.csr_pem().unwrap()).unwrap();
    for days in [1, 2] {
        let issued = authority
            .issue(
                &key.csr_pem().unwrap(),
                &wanted,
                days * DAY,
                now(),
                &mut rng(),
            )
            .unwrap();
        let held = issued.to_site_certificate().unwrap();
        let hash = certificate::key_hash(&held.chain()[0]).unwrap();
        assert_eq!(hash, hash_of(&key));
        assert_ne!(hash, hash_of(&other));
    }
    assert!(certificate::key_hash(b"no certificate").is_err());
}
