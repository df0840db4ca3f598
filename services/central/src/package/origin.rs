//! Whose packages are taken, and in which order: pure rules.

use super::Error;
use super::manifest::{Manifest, mark_of};
use jiff::Timestamp;
use store::packages::PackageSource;
use trust::{Statement, StatementPublicKey};
use uuid::Uuid;

/// What a person allowed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    /// What nothing proves is trusted.
    pub trust: bool,
    /// The key of the hierarchy, known from elsewhere.
    pub key: Option<StatementPublicKey>,
    /// Another hierarchy may take the place of the one before.
    pub rehome: bool,
}

/// Whether a package of wsusutil is taken, of which nothing proves anything.
///
/// # Errors
/// When nobody trusted it.
pub fn judge_unsigned(allowed: Allowed) -> Result<(), Error> {
    match allowed.trust {
        true => Ok(()),
        false => Err(Error::Unsigned),
    }
}

/// Whether a package whose signature is good is taken by hierarchy `own`, which has `held` of packages; what is
/// held of them once it was.
///
/// # Errors
/// When it is of another hierarchy, of the wrong order, or older than what is held.
pub fn judge(
    manifest: &Manifest,
    statement: &Statement,
    own: Uuid,
    held: Option<&PackageSource>,
    allowed: Allowed,
    now: Timestamp,
) -> Result<PackageSource, Error> {
    let key = manifest.key()?;
    let mark = mark_of(statement);
    let earlier = manifest.earlier.iter();
    let history: Vec<_> = earlier.chain([&mark]).cloned().collect();
    let source = PackageSource {
        hierarchy: manifest.hierarchy,
        key: key.0,
        epoch: manifest.epoch,
        position: manifest.position,
        issued: statement.issued,
        imported: now,
        history,
    };
    if manifest.hierarchy == own {
        return Err(Error::Own);
    }
    if let Some(named) = allowed.key.filter(|named| *named != key) {
        return Err(Error::OtherKeyNamed { found: key, named });
    }
    let held = match held {
        Some(held) if (held.hierarchy, held.key) == (manifest.hierarchy, key.0) => Some(held),
        Some(held) if !allowed.rehome => {
            return Err(Error::OtherHierarchy {
                found: manifest.hierarchy,
                key,
                held: held.hierarchy,
            });
        }
        Some(_) | None => None,
    };
    let Some(held) = held else {
        if !allowed.trust && allowed.key.is_none() {
            return Err(Error::UnknownKey {
                hierarchy: manifest.hierarchy,
                key,
            });
        }
        return match manifest.base {
            0 => Ok(source),
            base => Err(Error::WrongOrder { base, held: 0 }),
        };
    };
    if held.epoch != manifest.epoch {
        if !manifest.is_full() {
            return Err(Error::OtherEpoch {
                offered: manifest.epoch,
                held: held.epoch,
            });
        }
        // Epochs are told apart by the times of their statements.
        return match statement.issued > held.issued {
            true => Ok(source),
            false => Err(Error::Older {
                offered: (manifest.position, statement.issued),
                held: (held.position, held.issued),
            }),
        };
    }
    let is_one_history = held.history.contains(&mark)
        || held
            .history
            .last()
            .is_some_and(|last| source.history.contains(last));
    let older = Error::Older {
        offered: (manifest.position, statement.issued),
        held: (held.position, held.issued),
    };
    if !is_one_history {
        // What does not tell of what is here may mean another thing by a position. One with everything takes the place
        // of all that was there.
        return match (statement.issued >= held.issued, manifest.is_full()) {
            (true, true) => Ok(source),
            (true, false) => Err(Error::OtherHistory {
                held: held.position,
            }),
            (false, _) => Err(older),
        };
    }
    if manifest.position < held.position {
        return Err(older);
    }
    if manifest.base > held.position {
        return Err(Error::WrongOrder {
            base: manifest.base,
            held: held.position,
        });
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::{authority, manifest, mark};
    use super::*;
    use store::packages::PackageMark;

    const OWN: Uuid = Uuid::from_u128(0xB);
    const TRUST: Allowed = Allowed {
        trust: true,
        key: None,
        rehome: false,
    };
    const STRICT: Allowed = Allowed {
        trust: false,
        ..TRUST
    };

    /// What becomes of the package of hierarchy `of` from `base` to `position`.
    fn offer(
        (of, base, position): (u64, u64, u64),
        held: Option<&PackageSource>,
        allowed: Allowed,
    ) -> Result<PackageSource, String> {
        let authority = authority(of);
        let manifest = manifest(&authority, base, position);
        let (manifest, statement) = {
            let bytes = manifest.to_bytes().unwrap();
            Manifest::open(&bytes, &authority.sign_package(&bytes)).unwrap()
        };
        let now = Timestamp::UNIX_EPOCH;
        judge(&manifest, &statement, OWN, held, allowed, now).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(
        package: (u64, u64, u64),
        held: Option<&PackageSource>,
        allowed: Allowed,
        why: &str,
    ) {
        let error = offer(package, held, allowed).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn the_first_package_needs_trust_and_everything_in_it() {
        refused((1, 0, 5), None, STRICT, "took no package before");
        refused((1, 3, 5), None, TRUST, "wrong order");
        let key = Some(authority(1).statement_key());
        let named = Allowed { key, ..STRICT };
        assert_eq!(offer((1, 0, 5), None, named), offer((1, 0, 5), None, TRUST));
        refused((2, 0, 5), None, named, "not with the key");
        assert_eq!(offer((1, 0, 5), None, TRUST).unwrap().position, 5);
    }

    #[test]
    fn further_ones_are_known_by_their_key_and_come_in_order() {
        let held = offer((1, 0, 5), None, TRUST).unwrap();
        let held = Some(&held);
        assert_eq!(offer((1, 5, 9), held, STRICT).unwrap().position, 9);
        assert_eq!(offer((1, 3, 9), held, STRICT).unwrap().position, 9);
        assert_eq!(offer((1, 0, 9), held, STRICT).unwrap().position, 9);
        // Once more changes nothing, and is no mistake.
        assert_eq!(offer((1, 0, 5), held, STRICT).unwrap().position, 5);
        refused(
            (1, 6, 9),
            held,
            TRUST,
            "wrong order: it begins after position 6",
        );
        refused((1, 0, 4), held, TRUST, "older than what is here");
    }

    #[test]
    fn another_hierarchy_is_followed_only_on_purpose() {
        let held = offer((1, 0, 5), None, TRUST).unwrap();
        refused((2, 0, 9), Some(&held), TRUST, "another hierarchy");
        let rehome = Allowed {
            rehome: true,
            ..STRICT
        };
        refused((2, 0, 9), Some(&held), rehome, "took no package before");
        let rehome = Allowed {
            trust: true,
            ..rehome
        };
        refused((2, 3, 9), Some(&held), rehome, "wrong order");
        // Its positions are other ones.
        assert_eq!(offer((2, 0, 2), Some(&held), rehome).unwrap().position, 2);
        // The same hierarchy with another key is another one.
        let forged = PackageSource {
            key: [9; 32],
            ..held.clone()
        };
        refused((1, 0, 9), Some(&forged), TRUST, "another hierarchy");
    }

    #[test]
    fn a_history_that_began_anew_comes_whole_and_later() {
        let held = offer((1, 0, 5), None, TRUST).unwrap();
        let before = PackageSource {
            epoch: Uuid::from_u128(3),
            issued: "1969-01-01T00:00:00Z".parse().unwrap(),
            position: 100,
            ..held.clone()
        };
        refused((1, 2, 5), Some(&before), TRUST, "history anew");
        assert_eq!(offer((1, 0, 5), Some(&before), STRICT).unwrap().position, 5);
        let later = PackageSource {
            issued: "1971-01-01T00:00:00Z".parse().unwrap(),
            ..before
        };
        refused((1, 0, 5), Some(&later), TRUST, "older");
    }

    #[test]
    fn what_was_taken_of_a_history_that_was_lost_is_noticed() {
        let held = offer((1, 0, 5), None, TRUST).unwrap();
        let signed_at = |issued: &str, history: Vec<PackageMark>| PackageSource {
            issued: issued.parse().unwrap(),
            history,
            ..held.clone()
        };
        // The package that was taken in last is none that the other hierarchy knows, not even where it goes as far and
        // was signed at the same time.
        let other_root = PackageMark {
            root: "02".repeat(8),
            ..mark(5)
        };
        let lost = signed_at("1970-01-01T00:00:00Z", vec![mark(4), other_root]);
        for package in [(1, 3, 9), (1, 5, 9), (1, 6, 9), (1, 2, 4), (1, 0, 4)] {
            // In what was common to both there is nothing new.
            let why = match package {
                (_, _, 4) => "older than what is here",
                _ => "does not know that one any more",
            };
            refused(package, Some(&lost), TRUST, why);
        }
        // One with everything is newer.
        assert_eq!(offer((1, 0, 9), Some(&lost), STRICT).unwrap().position, 9);
        let lost = signed_at("1969-01-01T00:00:00Z", vec![]);
        assert_eq!(offer((1, 0, 4), Some(&lost), STRICT).unwrap().position, 4);
        let newer = signed_at("1971-01-01T00:00:00Z", vec![]);
        refused((1, 0, 9), Some(&newer), TRUST, "older");
        // What the one that was taken in last tells of may come once more.
        let knows = signed_at("1971-01-01T00:00:00Z", vec![mark(5)]);
        assert_eq!(offer((1, 3, 5), Some(&knows), STRICT).unwrap().position, 5);
    }

    #[test]
    fn nobody_imports_what_it_exported() {
        let authority = authority(0xB);
        let manifest = manifest(&authority, 0, 5);
        let bytes = manifest.to_bytes().unwrap();
        let opened = Manifest::open(&bytes, &authority.sign_package(&bytes)).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let error = judge(&opened.0, &opened.1, OWN, None, TRUST, now).unwrap_err();
        assert!(error.to_string().contains("this hierarchy itself"));
        assert!(judge_unsigned(STRICT).is_err() && judge_unsigned(TRUST).is_ok());
    }
}
