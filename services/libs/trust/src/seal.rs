//! Secrets that a database keeps for the authority: sealed, so that a copy of the database gives nothing
//! away. The key comes from the authority's own and is nowhere stored.

use crate::Authority;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use secrecy::{ExposeSecret as _, SecretString};

/// Longest secret that is sealed, in bytes.
pub const MOST_SECRET: usize = 4096;

/// First byte of the sealed form.
const VERSION: u8 = 1;
/// What the key is for. The name of the secret is bound to it as well.
const CONTEXT: &str = "headwater 2026-11-21 secrets that settings refer to";

/// A secret that cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too long.
    #[error("the secret is longer than {MOST_SECRET} bytes")]
    TooLong,
    /// The cryptographic library refused.
    #[error("the secret cannot be sealed")]
    Refused,
    /// Altered, of another name, or sealed by another authority.
    #[error(
        "the sealed secret cannot be opened: it was altered, or another authority sealed it; set it again"
    )]
    NotOurs,
}

/// Seals and opens the secrets of one authority.
pub struct Sealer(RandomizedNonceKey);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// The sealer of an authority: the same one, whenever its key is the same.
    pub fn new(authority: &Authority) -> Self {
        let key = blake3::derive_key(CONTEXT, &authority.secret_bytes());
        Self(RandomizedNonceKey::new(&AES_256_GCM, &key).expect("the key has 32 bytes"))
    }

    /// The sealed form of a secret; it opens under the same name only.
    ///
    /// # Errors
    /// When it is too long.
    pub fn seal(&self, name: &str, secret: &SecretString) -> Result<Vec<u8>, SealError> {
        let mut text = secret.expose_secret().as_bytes().to_vec();
        if text.len() > MOST_SECRET {
            return Err(SealError::TooLong);
        }
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut text)
            .map_err(|_| SealError::Refused)?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut text);
        Ok(sealed)
    }

    /// The secret of a sealed form.
    ///
    /// # Errors
    /// When it was not sealed under this name and by this authority.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<SecretString, SealError> {
        let [VERSION, rest @ ..] = sealed else {
            return Err(SealError::NotOurs);
        };
        let (nonce, text) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::NotOurs)?;
        let mut text = text.to_vec();
        let text = self
            .0
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(name.as_bytes()),
                &mut text,
            )
            .map_err(|_| SealError::NotOurs)?;
        let text = std::str::from_utf8(text).map_err(|_| SealError::NotOurs)?;
        Ok(SecretString::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HierarchyId;
    use jiff::Timestamp;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use uuid::Uuid;

    fn sealer(seed: u64) -> Sealer {
        let hierarchy = HierarchyId(Uuid::from_u128(1));
        let mut random = StdRng::seed_from_u64(seed);
        let authority = Authority::create(hierarchy, Timestamp::UNIX_EPOCH, &mut random).unwrap();
        Sealer::new(&authority)
    }

    #[test]
    fn a_secret_opens_under_its_name_and_by_its_authority_alone() {
        let (sealer, other) = (sealer(1), sealer(2));
        let sealed = sealer.seal("proxy", &"hunter2".into()).unwrap();
        let open = |sealer: &Sealer, name| {
            let opened = sealer.open(name, &sealed);
            opened.map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(open(&sealer, "proxy"), Ok("hunter2".to_owned()));
        assert_eq!(open(&sealer, "source"), Err(SealError::NotOurs));
        assert_eq!(open(&other, "proxy"), Err(SealError::NotOurs));
        assert!(!sealed.windows(7).any(|bytes| bytes == b"hunter2"));
    }

    #[test]
    fn what_was_altered_is_refused() {
        let sealer = sealer(1);
        let sealed = sealer.seal("proxy", &"hunter2".into()).unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(sealer.open("proxy", &altered).is_err());
            assert!(sealer.open("proxy", &sealed[..at]).is_err());
        }
        let long = SecretString::from("x".repeat(MOST_SECRET + 1));
        assert_eq!(sealer.seal("proxy", &long), Err(SealError::TooLong));
    }
}
