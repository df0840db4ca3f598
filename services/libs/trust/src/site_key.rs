//! A site's own private key. It is made at the site and never leaves it.

use crate::Error;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// The ECDSA key (P-256) of a site, for its certificate.
pub struct SiteKey {
    pub(crate) pair: KeyPair,
}

impl SiteKey {
    /// Makes a new key, from the randomness of the operating system.
    pub fn generate() -> Result<Self, Error> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(|pair| Self { pair })
            .map_err(|error| Error::crypto("making a key", error))
    }

    /// The key as PKCS #8 PEM, to be stored where only the service can read it.
    pub fn to_secret_pem(&self) -> SecretString {
        self.pair.serialize_pem().into()
    }

    /// Reads what [`SiteKey::to_secret_pem`] wrote.
    pub fn from_secret_pem(pem: &SecretString) -> Result<Self, Error> {
        KeyPair::from_pkcs8_pem_and_sign_algo(pem.expose_secret(), &PKCS_ECDSA_P256_SHA256)
            .map(|pair| Self { pair })
            .map_err(|error| Error::malformed("the site's private key", error))
    }

    /// A certificate request (PKCS #10, PEM) for this key. It asks for no name: the authority
    /// decides the names.
    pub fn csr_pem(&self) -> Result<String, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "headwater site");
        params
            .serialize_request(&self.pair)
            .and_then(|request| request.pem())
            .map_err(|error| Error::crypto("making the certificate request", error))
    }

    pub(crate) fn private_key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pair.serialize_der()).into()
    }
}

impl fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem_and_is_never_shown() {
        let key = SiteKey::generate().unwrap();
        let pem = key.to_secret_pem();
        let again = SiteKey::from_secret_pem(&pem).unwrap();
        assert_eq!(again.to_secret_pem().expose_secret(), pem.expose_secret());
        assert_eq!(format!("{key:?}"), "SiteKey(hidden)");
        assert!(!format!("{pem:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_damaged_key_is_refused() {
        let pem = SiteKey::generate().unwrap().to_secret_pem();
        let cut = pem.expose_secret()[..pem.expose_secret().len() / 2].to_owned();
        assert!(SiteKey::from_secret_pem(&cut.into()).is_err());
        assert!(SiteKey::from_secret_pem(&String::new().into()).is_err());
    }
}
