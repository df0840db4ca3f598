use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

fn join() -> JoinToken {
    let invitation = Invitation {
        hierarchy: HierarchyId(Uuid::from_u128(1)),
        site: "SE1".parse().unwrap(),
        kind: SiteKind::Secondary,
        parent: "PR1".parse().unwrap(),
        expires: "2026-11-21T10:00:00.5Z".parse().unwrap(),
        authority_pin: AuthorityPin([9; 32]),
    };
    JoinToken::new(invitation, &mut StdRng::seed_from_u64(1))
}

fn access() -> AccessToken {
    let site = "CAS".parse().unwrap();
    AccessToken::new(site, AuthorityPin([9; 32]), &mut StdRng::seed_from_u64(2))
}

#[test]
fn a_token_is_one_word_that_reads_back() {
    let word = join().encode();
    let word = word.expose_secret();
    assert_eq!(word.len(), 5 + 132);
    assert!(word.starts_with("hwj1."));
    assert_eq!(JoinToken::decode(word).unwrap(), join());
    let wrapped = format!(" {}\r\n  {}\n", &word[..70], &word[70..]);
    assert_eq!(JoinToken::decode(&wrapped).unwrap(), join());

    let word = access().encode();
    assert_eq!(word.expose_secret().len(), 5 + 95);
    assert_eq!(AccessToken::decode(word.expose_secret()).unwrap(), access());
}

#[test]
fn a_token_of_the_other_kind_is_named_as_such() {
    let error = JoinToken::decode(access().encode().expose_secret()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is the token of a person, not of a new site"
    );
    let error = AccessToken::decode(join().encode().expose_secret()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is the token of a new site, not of a person"
    );
}

#[test]
fn a_token_ends_at_its_time() {
    let token = join();
    assert_eq!(token.expires.to_string(), "2026-11-21T10:00:00Z");
    assert!(!token.is_expired("2026-11-21T09:59:59Z".parse().unwrap()));
    assert!(token.is_expired(token.expires));
}

#[test]
fn hashes_are_of_the_secret_and_the_purpose() {
    assert_eq!(join().secret_hash(), join().clone().secret_hash());
    assert_ne!(join().secret_hash(), access().hash());
    let stored = TokenHash::from_bytes(*join().secret_hash().as_bytes());
    assert_eq!(stored, join().secret_hash());
    let mut rng = StdRng::seed_from_u64(3);
    let other = AccessToken::new(access().site, access().authority_pin, &mut rng);
    assert_ne!(other.hash(), access().hash());
}

#[test]
fn debug_shows_no_secret() {
    for shown in [format!("{:?}", join()), format!("{:?}", join().encode())] {
        assert!(!shown.contains("hwj1."), "{shown}");
        let secret = join().secret.0.expose_secret().map(|byte| byte.to_string());
        assert!(!shown.contains(&secret.join(", ")), "{shown}");
    }
    assert!(format!("{:?}", access()).contains("hidden"));
}

proptest! {
    #[test]
    fn a_truncated_word_is_recognised(keep in 0usize..137) {
        let word = join().encode();
        let error = JoinToken::decode(&word.expose_secret()[..keep]).unwrap_err();
        prop_assert_eq!(
            error.to_string(),
            "the join token is incomplete or mistyped: copy the whole word again"
        );
    }

    #[test]
    fn a_mistyped_character_is_recognised(at in 0usize..137, typed in "[A-Za-z0-9_.-]") {
        let mut word = join().encode().expose_secret().to_owned();
        prop_assume!(word[at..=at] != typed);
        word.replace_range(at..=at, &typed);
        prop_assert!(JoinToken::decode(&word).is_err());
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,300}", sealed in proptest::collection::vec(any::<u8>(), JOIN_LEN)) {
        prop_assert!(JoinToken::decode(&text).is_err());
        prop_assert!(AccessToken::decode(&text).is_err());
        let _ = JoinToken::decode(seal(JOIN_PREFIX, sealed).expose_secret());
    }
}

#[test]
fn a_token_names_any_point_of_a_site_and_the_first_as_ever() {
    let site: catalog::SiteCode = "PR1".parse().unwrap();
    for number in 1..=8 {
        let point = PointId::new(site, number).unwrap();
        let parent = PointId::new(site, 9 - number).unwrap();
        let token = JoinToken {
            site: point,
            parent,
            ..join()
        };
        let read = JoinToken::decode(token.encode().expose_secret()).unwrap();
        assert_eq!((read.site, read.parent), (point, parent));
    }
    assert_eq!(point_code("SE1".parse().unwrap()), *b"SE1");
}
