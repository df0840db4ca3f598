use super::*;
use proptest::prelude::*;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public() -> StatementPublicKey {
    StatementPublicKey(key().verifying_key().to_bytes())
}

fn statement() -> Statement {
    Statement {
        hierarchy: HierarchyId(Uuid::from_u128(1)),
        epoch: Uuid::from_u128(2),
        position: 1000,
        items: 900,
        root: [5; 32],
        issued: "2026-11-20T10:00:00.123456789Z".parse().unwrap(),
        stale_after: "2026-11-27T10:00:00Z".parse().unwrap(),
    }
}

fn signed() -> SignedStatement {
    SignedStatement::sign(statement(), &key())
}

/// Reads and verifies, as a site does with what its parent sends.
fn accept(bytes: &[u8]) -> Result<Statement, StatementError> {
    let signed = SignedStatement::from_bytes(bytes)?;
    signed.verify(&public(), statement().hierarchy).cloned()
}

#[test]
fn a_signed_statement_survives_its_bytes() {
    let bytes = signed().to_bytes();
    let read = SignedStatement::from_bytes(&bytes).unwrap();
    assert_eq!(read, signed());
    let accepted = accept(&bytes).unwrap();
    assert_eq!(accepted.position, 1000);
    assert_eq!(accepted.issued.to_string(), "2026-11-20T10:00:00.123456Z");
}

#[test]
fn another_key_or_hierarchy_is_refused() {
    let other = StatementPublicKey(SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes());
    let hierarchy = statement().hierarchy;
    assert_eq!(
        signed().verify(&other, hierarchy),
        Err(StatementError::Signature)
    );
    let foreign = HierarchyId(Uuid::from_u128(9));
    assert!(matches!(
        signed().verify(&public(), foreign),
        Err(StatementError::OtherHierarchy { .. })
    ));
    // A key that is no point of the curve must not be a way around.
    let broken = StatementPublicKey([0xFF; 32]);
    assert_eq!(
        signed().verify(&broken, hierarchy),
        Err(StatementError::Signature)
    );
    // Nor the neutral element, under which forged signatures verify leniently.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert!(
        signed()
            .verify(&StatementPublicKey(weak), hierarchy)
            .is_err()
    );
}

#[test]
fn a_statement_follows_only_older_ones() {
    let held = statement();
    assert_eq!(held.may_follow(&held), Ok(()));
    let newer = Statement {
        position: 1001,
        root: [6; 32],
        ..statement()
    };
    assert_eq!(newer.may_follow(&held), Ok(()));
    assert_eq!(
        held.may_follow(&newer),
        Err(StatementError::Older {
            offered: 1000,
            held: 1001
        })
    );
    let fork = Statement {
        root: [6; 32],
        ..statement()
    };
    assert_eq!(
        fork.may_follow(&held),
        Err(StatementError::Fork { position: 1000 })
    );
}

#[test]
fn a_new_epoch_follows_only_when_it_was_issued_later() {
    let held = statement();
    let second = jiff::SignedDuration::from_secs(1);
    let epoch = Uuid::from_u128(3);
    let later = Statement {
        epoch,
        position: 1,
        issued: held.issued + second,
        ..statement()
    };
    assert_eq!(later.may_follow(&held), Ok(()));
    let before = Statement {
        epoch,
        issued: held.issued - second,
        ..statement()
    };
    assert!(matches!(
        before.may_follow(&held),
        Err(StatementError::Older { .. })
    ));
}

#[test]
fn a_statement_goes_stale_after_its_time() {
    let statement = statement();
    assert!(!statement.is_stale(statement.stale_after));
    assert!(statement.is_stale("2026-11-28T00:00:00Z".parse().unwrap()));
}

proptest! {
    #[test]
    fn any_altered_byte_is_refused(at in 0..SIGNED_STATEMENT_LEN, flip in 1u8..=255) {
        let mut bytes = signed().to_bytes();
        bytes[at] ^= flip;
        prop_assert!(accept(&bytes).is_err());
    }

    #[test]
    fn any_other_length_is_refused(cut in 0..SIGNED_STATEMENT_LEN, extra in 1usize..100) {
        let bytes = signed().to_bytes();
        prop_assert_eq!(accept(&bytes[..cut]), Err(StatementError::Malformed));
        let mut long = bytes.to_vec();
        long.resize(bytes.len() + extra, 0);
        prop_assert_eq!(accept(&long), Err(StatementError::Malformed));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(accept(&bytes).is_err());
    }

    #[test]
    fn every_statement_reads_what_was_signed(
        epoch: u128, position: u64, items: u64, root: [u8; 32],
        issued in -2_000_000_000_000_000i64..4_000_000_000_000_000,
    ) {
        let statement = Statement {
            epoch: Uuid::from_u128(epoch),
            position,
            items,
            root,
            issued: Timestamp::from_microsecond(issued).unwrap(),
            ..statement()
        };
        let bytes = SignedStatement::sign(statement.clone(), &key()).to_bytes();
        prop_assert_eq!(accept(&bytes).unwrap(), statement);
    }
}
