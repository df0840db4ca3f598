//! Bad certificates, requests for them, keys, tokens and statements: each is refused with one short line.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use base64::Engine as _;
use jiff::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use secrecy::{ExposeSecret as _, SecretString};
use std::cell::Cell;
use std::time::Duration;
use testkit::Door;
use testkit::door::{sentence, unfit};
use testkit::mutate::{Mutant, cuts, damage, encodings};
use trust::authority::{hierarchy_of, request_key_hash};
use trust::certificate::{MAX_PEM, chain_from_pem, key_hash, not_after};
use trust::statement::{SIGNED_STATEMENT_LEN, StatementError};
use trust::token::Invitation;
use trust::{
    AccessToken, Authority, HierarchyId, JoinToken, SignedStatement, SiteCertificate, SiteIdentity,
    SiteKey, Statement,
};
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> Timestamp {
    "2026-10-04T16:00:00Z".parse().unwrap()
}

struct Samples {
    authority: Authority,
    identity: SiteIdentity,
    key: SiteKey,
    rng: StdRng,
}

impl Samples {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let hierarchy = HierarchyId(Uuid::from_u128(7));
        Self {
            authority: Authority::create(hierarchy, now(), &mut rng).unwrap(),
            identity: SiteIdentity::new(hierarchy, "PR1".parse().unwrap()),
            key: SiteKey::generate().unwrap(),
            rng,
        }
    }

    fn chain(&mut self) -> String {
        let request = self.key.csr_pem().unwrap();
        self.issue(&request).unwrap().pem_chain
    }

    fn issue(&mut self, request: &str) -> Result<trust::IssuedCertificate, trust::Error> {
        let (identity, rng) = (&self.identity, &mut self.rng);
        self.authority.issue(request, identity, DAY, now(), rng)
    }

    fn statement(&self) -> SignedStatement {
        self.authority.sign(Statement {
            hierarchy: self.authority.hierarchy(),
            epoch: Uuid::from_u128(9),
            position: 77,
            items: 70,
            root: [3; 32],
            issued: now(),
            stale_after: now(),
        })
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Bad PEM: spoilt as text, and spoilt inside.
fn bad_pem(pem: &str, seed: u64) -> Vec<Mutant> {
    let mut all: Vec<Mutant> = cuts(pem.as_bytes()).collect();
    all.extend(damage(pem.as_bytes(), seed, 400));
    all.extend(encodings(pem));
    let label = pem.lines().next().unwrap().replace("-----BEGIN ", "");
    let label = label.trim_end_matches('-');
    let section =
        |inside: &str| format!("-----BEGIN {label}-----\n{inside}\n-----END {label}-----\n");
    let long = "A".repeat(40_000);
    for (what, text) in [
        (
            "a section that is not ended",
            format!("-----BEGIN {label}-----\n{long}"),
        ),
        ("a label without end", format!("-----BEGIN {long}\n{long}")),
        (
            "a label of control characters",
            format!("-----BEGIN \u{1b}\u{7}\n{pem}"),
        ),
        ("much Base64", section(&long)),
        ("no Base64", section(&"\u{1b}?\0".repeat(5_000))),
        ("nothing", section("")),
        ("many sections", pem.repeat(40)),
        ("more than is read", pem.repeat(200)),
        ("text around", format!("{long}\n{pem}\u{1b}")),
    ] {
        all.push(Mutant::new(what, text));
    }
    all
}

#[test]
fn bad_certificates_are_refused() {
    let mut samples = Samples::new();
    let pem = samples.chain();
    let open = |bytes: &[u8]| {
        let certificate = SiteCertificate::from_pem(text(bytes)?).map_err(|e| sentence(&e))?;
        assert!(certificate.chain().len() <= 8);
        // Nobody but its own authority vouches for a certificate: what is read here is what stood there.
        for der in certificate.chain() {
            key_hash(der).map_err(|e| sentence(&e))?;
        }
        Ok(())
    };
    open(pem.as_bytes()).unwrap();
    let mut door = Door::new("certificate chains");
    door.knock_all(bad_pem(&pem, 1), open);
    let der = chain_from_pem(&pem).unwrap();
    let open = |bytes: &[u8]| {
        SiteIdentity::from_certificate_der(bytes).map_err(|e| sentence(&e))?;
        key_hash(bytes).map_err(|e| sentence(&e))?;
        not_after(bytes).map_err(|e| sentence(&e))?;
        Ok(())
    };
    let open_authority = |bytes: &[u8]| match hierarchy_of(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(sentence(&error)),
    };
    for cut in cuts(&der[0]) {
        assert!(open(&cut.bytes).is_err(), "{}", cut.what);
    }
    door.knock_all(cuts(&der[0]), open);
    door.knock_all(damage(&der[0], 2, 2_500), open);
    door.knock_all(damage(&der[1], 3, 1_000), open_authority);
    for size in [1 << 14, 1 << 20] {
        door.knock(
            &Mutant::new("nested sequences", [0x30, 0x80].repeat(size)),
            open,
        );
        door.knock(
            &Mutant::new(
                "a long sequence",
                [0x30, 0x84, 0x7F, 0xFF, 0xFF, 0xFF].repeat(size),
            ),
            open,
        );
    }
    door.close(4_000);
}

#[test]
fn bad_certificate_requests_are_refused_and_never_signed() {
    let mut samples = Samples::new();
    let good = samples.key.csr_pem().unwrap();
    let hash = request_key_hash(&good).unwrap();
    let mut door = Door::new("certificate requests");
    for mutant in bad_pem(&good, 4) {
        door.knock(&mutant, |bytes| {
            let pem = text(bytes)?;
            let told = request_key_hash(pem);
            let issued = samples.issue(pem);
            assert_eq!(told.is_ok(), issued.is_ok());
            let issued = issued.map_err(|e| sentence(&e))?;
            told.map_err(|e| sentence(&e))?;
            // Its own signature covers the request: what is signed is for the same key.
            assert_eq!(request_key_hash(pem).unwrap(), hash);
            assert_eq!(
                issued.to_site_certificate().unwrap().identity(),
                &samples.identity
            );
            Ok(())
        });
    }
    door.close(750);
}

#[test]
fn bad_keys_are_refused_and_not_repeated() {
    let samples = Samples::new();
    let site = samples.key.to_secret_pem().expose_secret().to_owned();
    let authority = samples
        .authority
        .to_secret_pem()
        .unwrap()
        .expose_secret()
        .to_owned();
    let mut door = Door::new("private keys");
    let told = |bytes: &[u8], error: trust::Error| {
        let sentence = sentence(&error);
        let pem = String::from_utf8_lossy(bytes);
        let lines = pem
            .lines()
            .filter(|line| line.len() > 20 && !line.starts_with('-'));
        for line in lines {
            assert!(!sentence.contains(line), "the key is repeated: {sentence}");
        }
        sentence
    };
    door.knock_all(bad_pem(&site, 5), |bytes| {
        let pem: SecretString = text(bytes)?.to_owned().into();
        let key = SiteKey::from_secret_pem(&pem).map_err(|e| told(bytes, e))?;
        SiteKey::from_secret_pem(&key.to_secret_pem()).unwrap();
        Ok(())
    });
    door.knock_all(bad_pem(&authority, 6), |bytes| {
        let pem: SecretString = text(bytes)?.to_owned().into();
        let read = Authority::from_secret_pem(&pem).map_err(|e| told(bytes, e))?;
        assert_eq!(read.pin(), samples.authority.pin());
        Ok(())
    });
    door.close(1_200);
}

#[test]
fn a_key_that_lost_its_line_breaks_is_not_repeated_as_numbers() {
    let pem = Samples::new().authority.to_secret_pem().unwrap();
    let line = pem.expose_secret().replace('\n', "");
    let error = Authority::from_secret_pem(&line.into()).unwrap_err();
    let told = sentence(&error);
    assert!(told.len() < 100 && !told.contains('['), "{told}");
}

#[test]
fn an_authority_whose_certificate_was_damaged_is_not_another_authority() {
    let authority = Samples::new().authority;
    let pem = authority.to_secret_pem().unwrap();
    // One letter of the name in it, which nothing else depends on.
    let der = authority.certificate_der();
    let name = der.windows(9).position(|window| window == b"Headwater");
    let mut der = der.to_vec();
    der[name.unwrap()] = b'h';
    let keys = pem.expose_secret().split_once("-----END CERTIFICATE-----");
    let damaged = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----{}",
        base64::engine::general_purpose::STANDARD.encode(&der),
        keys.unwrap().1
    );
    let error = Authority::from_secret_pem(&damaged.into()).unwrap_err();
    assert!(error.to_string().contains("altered or damaged"), "{error}");
}

#[test]
fn a_pem_line_that_is_none_is_not_shown_as_a_list_of_numbers() {
    for pem in [
        "-----BEGIN CERTIFICATE-----\nAAAA".to_owned(),
        format!("-----BEGIN {}", "A".repeat(MAX_PEM - 100)),
        format!("-----BEGIN CERTIFICATE-----\n{}", "A\n".repeat(10_000)),
    ] {
        let error = sentence(&SiteCertificate::from_pem(&pem).unwrap_err());
        assert_eq!(unfit(&error), None);
        assert!(!error.contains("65, 65"), "{error}");
    }
}

#[test]
fn bad_tokens_are_refused() {
    let mut samples = Samples::new();
    let join = JoinToken::new(
        Invitation {
            hierarchy: samples.authority.hierarchy(),
            site: "PR1".parse().unwrap(),
            kind: "primary".parse().unwrap(),
            parent: "CAS".parse().unwrap(),
            expires: now(),
            authority_pin: samples.authority.pin(),
        },
        &mut samples.rng,
    );
    let access = AccessToken::new(
        "CAS".parse().unwrap(),
        samples.authority.pin(),
        &mut samples.rng,
    );
    let (join_word, access_word) = (join.encode(), access.encode());
    let mut door = Door::new("tokens");
    let open_join = |bytes: &[u8]| {
        let token = JoinToken::decode(text(bytes)?).map_err(|e| sentence(&e))?;
        // The checksum lets nothing through but the word itself, with blanks.
        assert!(token == join);
        Ok(())
    };
    let open_access = |bytes: &[u8]| {
        let token = AccessToken::decode(text(bytes)?).map_err(|e| sentence(&e))?;
        assert!(token == access);
        Ok(())
    };
    for (word, seed) in [
        (join_word.expose_secret(), 8),
        (access_word.expose_secret(), 9),
    ] {
        for mutants in [
            cuts(word.as_bytes()).collect::<Vec<_>>(),
            damage(word.as_bytes(), seed, 1_000).collect(),
            encodings(word),
        ] {
            for mutant in mutants {
                door.knock(&mutant, open_join);
                door.knock(&mutant, open_access);
            }
        }
    }
    door.close(4_000);
}

#[test]
fn bad_statements_are_refused() {
    let samples = Samples::new();
    let (key, hierarchy) = (
        samples.authority.statement_key(),
        samples.authority.hierarchy(),
    );
    let good = samples.statement().to_bytes();
    assert_eq!(good.len(), SIGNED_STATEMENT_LEN);
    let taken = Cell::new(0);
    let open = |bytes: &[u8]| {
        let statement = SignedStatement::from_bytes(bytes).map_err(|e| sentence(&e))?;
        assert_eq!(statement.to_bytes(), bytes);
        statement
            .verify(&key, hierarchy)
            .map_err(|e| sentence(&e))?;
        assert_eq!(bytes, good);
        taken.set(taken.get() + 1);
        Ok(())
    };
    open(&good).unwrap();
    let mut door = Door::new("statements");
    for cut in cuts(&good) {
        let refused = SignedStatement::from_bytes(&cut.bytes);
        assert_eq!(refused, Err(StatementError::Malformed), "{}", cut.what);
    }
    door.knock_all(cuts(&good), open);
    door.knock_all(damage(&good, 10, 500), open);
    // Every single bit.
    let before = taken.get();
    for at in 0..good.len() * 8 {
        let mut bytes = good.to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        door.knock(&Mutant::new(format!("bit {at} flipped"), bytes), open);
    }
    assert_eq!(taken.get(), before);
    door.close(2_000);
}

#[test]
fn bad_names_of_sites_are_refused() {
    let samples = Samples::new();
    let good = samples.identity.to_string();
    let open = |bytes: &[u8]| {
        let word = text(bytes)?;
        let identity: SiteIdentity = word.parse().map_err(|e: trust::Error| sentence(&e))?;
        assert_eq!(identity.to_string(), word);
        Ok(())
    };
    let mut door = Door::new("names of sites");
    door.knock_all(cuts(good.as_bytes()), open);
    door.knock_all(damage(good.as_bytes(), 11, 1_500), open);
    door.knock_all(encodings(&good), open);
    door.close(1_500);
}
