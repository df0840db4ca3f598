//! The signature of a package: over its manifest, which names the digest of everything in it.

use crate::statement::StatementPublicKey;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::fmt;

/// Separates these signatures from all others that the key makes, and names the layout.
const DOMAIN: &[u8] = b"headwater-package-v1\0\0\0\0";
/// Length of a signature, in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// What is signed.
fn body(manifest: &[u8]) -> Vec<u8> {
    [DOMAIN, manifest].concat()
}

pub(crate) fn sign(manifest: &[u8], key: &SigningKey) -> [u8; SIGNATURE_LEN] {
    key.sign(&body(manifest)).to_bytes()
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 64 hexadecimal digits, as headwater export prints it")]
pub struct KeyError;

impl StatementPublicKey {
    /// Whether the owner of this key signed a package with this manifest.
    pub fn signed_package(&self, manifest: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .and_then(|key| key.verify_strict(&body(manifest), &Signature::from_bytes(signature)))
            .is_ok()
    }
}

/// In hexadecimal, as people compare it.
impl fmt::Display for StatementPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::str::FromStr for StatementPublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(KeyError);
        }
        let mut key = [0; 32];
        for (place, byte) in key.iter_mut().enumerate() {
            let digits = text.get(2 * place..2 * place + 2).ok_or(KeyError)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| KeyError)?;
        }
        Ok(Self(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_manifest_by_one_key() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let public = StatementPublicKey(key.verifying_key().to_bytes());
        let other = SigningKey::from_bytes(&[4; 32]);
        let signature = sign(b"manifest", &key);
        assert!(public.signed_package(b"manifest", &signature));
        assert!(!public.signed_package(b"manifesto", &signature));
        assert!(!public.signed_package(b"manifest", &sign(b"manifest", &other)));
        // The same bytes without the domain are another thing.
        assert!(!public.signed_package(b"manifest", &key.sign(b"manifest").to_bytes()));
    }

    #[test]
    fn a_key_reads_its_own_text() {
        let key = StatementPublicKey([0xA5; 32]);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.to_string().to_uppercase().parse(), Ok(key));
        for text in ["", "a5", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<StatementPublicKey>(), Err(KeyError), "{text}");
        }
    }
}
