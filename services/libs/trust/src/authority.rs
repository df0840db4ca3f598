//! The hierarchy's certificate authority and statement key, kept by the top-level site alone.

use crate::certificate;
use crate::identity::single_uri;
use crate::{
    AuthorityPin, Error, HierarchyId, PersonIdentity, SignedStatement, SiteCertificate,
    SiteIdentity, SiteKey, Statement, StatementPublicKey,
};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use jiff::{SignedDuration, Timestamp};
use rand::CryptoRng;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::time::Duration;
use x509_parser::time::ASN1Time;

/// How long an authority lives: ten years of 365 days.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The shortest certificate that is issued.
pub const MIN_VALIDITY: Duration = Duration::from_secs(60);
/// The longest certificate that is issued to a site.
pub const MAX_VALIDITY: Duration = Duration::from_secs(366 * 24 * 3600);
/// How far back the start of a certificate is set, so that a site whose clock is behind accepts it.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// Largest certificate request that is read, in bytes of PEM. One of ours has about 500.
pub const MAX_REQUEST: usize = 8 * 1024;
/// Bytes of randomness in a serial number (RFC 5280 4.1.2.2 allows 20 octets and wants it positive).
const SERIAL_BYTES: usize = 16;

/// A certificate that was issued to a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The site's certificate followed by the authority's, as PEM.
    pub pem_chain: String,
    /// The time after which nobody accepts it.
    pub not_after: Timestamp,
    /// The serial number in hexadecimal, for the journal.
    pub serial: String,
}

/// The authority of one hierarchy: an ECDSA key (P-256) with its self-signed certificate, which
/// vouches for sites, and an Ed25519 key, which signs statements.
pub struct Authority {
    hierarchy: HierarchyId,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
    issuer: Issuer<'static, KeyPair>,
    statement_key: SigningKey,
}

impl Authority {
    /// Makes the authority of a new hierarchy. Called once in a hierarchy's life. The statement key
    /// comes from `rng`, the certificate key from the randomness of the operating system.
    pub fn create(
        hierarchy: HierarchyId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|error| Error::crypto("making the authority's key", error))?;
        let mut params = CertificateParams::default();
        params.not_before = asn1(before(now))?.to_datetime();
        params.not_after = asn1(after(now, AUTHORITY_VALIDITY)?)?.to_datetime();
        params.serial_number = Some(serial(rng));
        params.distinguished_name = named(&format!("Headwater hierarchy {hierarchy}"));
        params.subject_alt_names = vec![uri(&format!("spiffe://{hierarchy}"))?];
        // No authority below this one: a site's key can never vouch for another site.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params
            .self_signed(&key)
            .map_err(|error| Error::crypto("signing the authority's certificate", error))?;
        Self::assemble(certificate.der().clone(), key, SigningKey::generate(rng))
    }

    /// Both private keys and the certificate as PEM sections, to be stored where only the service
    /// can read them. Whoever has this text is the hierarchy's authority.
    pub fn to_secret_pem(&self) -> Result<SecretString, Error> {
        let statement = self
            .statement_key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| Error::crypto("writing the statement key", error))?;
        let certificate = self.certificate_pem();
        let key = SecretString::from(self.issuer.key().serialize_pem());
        Ok(format!("{certificate}{}{}", key.expose_secret(), statement.as_str()).into())
    }

    /// Reads what [`Authority::to_secret_pem`] wrote. Refused when a part is missing, or when the
    /// key and the certificate do not belong together.
    pub fn from_secret_pem(pem: &SecretString) -> Result<Self, Error> {
        const WHAT: &str = "the authority";
        let pem = pem.expose_secret();
        let mut chain = certificate::chain_from_pem(pem)?;
        let (Some(certificate), true) = (chain.pop(), chain.is_empty()) else {
            return Err(Error::malformed(WHAT, "it needs exactly one certificate"));
        };
        let (mut issuing, mut stating) = (Vec::new(), Vec::new());
        for key in PrivatePkcs8KeyDer::pem_slice_iter(pem.as_bytes()) {
            let key = key.map_err(|error| Error::pem(WHAT, &error))?;
            match SigningKey::from_pkcs8_der(key.secret_pkcs8_der()) {
                Ok(statement) => stating.push(statement),
                Err(_) => issuing.push(
                    KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)
                        .map_err(|error| Error::malformed("the authority's key", error))?,
                ),
            }
        }
        match (issuing.pop(), stating.pop(), issuing.len() + stating.len()) {
            (Some(key), Some(statement), 0) => Self::assemble(certificate, key, statement),
            (..) => Err(Error::malformed(
                WHAT,
                "it needs one certificate key and one statement key",
            )),
        }
    }

    fn assemble(
        certificate: CertificateDer<'static>,
        key: KeyPair,
        statement_key: SigningKey,
    ) -> Result<Self, Error> {
        const WHAT: &str = "the authority's certificate";
        let held = certificate::parse(&certificate)?;
        if held.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(Error::KeyMismatch { what: WHAT });
        }
        if !certificate::is_self_signed(&held) {
            let reason = "its own signature does not fit, so it was altered or damaged";
            return Err(Error::malformed(WHAT, reason));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| Error::malformed(WHAT, error))?;
        Ok(Self {
            hierarchy: hierarchy_of(&certificate)?,
            not_after: certificate::not_after(&certificate)?,
            certificate,
            issuer,
            statement_key,
        })
    }

    /// The hierarchy that this authority vouches for.
    pub fn hierarchy(&self) -> HierarchyId {
        self.hierarchy
    }

    /// The authority's certificate as PEM: public, what every site trusts.
    pub fn certificate_pem(&self) -> String {
        pem_section("CERTIFICATE", &self.certificate)
    }

    /// The authority's certificate as DER.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The fingerprint that tokens carry, so that a newcomer recognises this authority.
    pub fn pin(&self) -> AuthorityPin {
        AuthorityPin::of(&self.certificate)
    }

    /// The time at which the authority itself ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The key with which every site checks statements.
    pub fn statement_key(&self) -> StatementPublicKey {
        StatementPublicKey(self.statement_key.verifying_key().to_bytes())
    }

    /// Signs the summary of a catalog. Its times are cut to microseconds first, which is the
    /// resolution in which statements are written.
    pub fn sign(&self, statement: Statement) -> SignedStatement {
        SignedStatement::sign(statement, &self.statement_key)
    }

    /// Signs the manifest of a package, in which everything that the package holds has its digest.
    pub fn sign_package(&self, manifest: &[u8]) -> [u8; crate::package::SIGNATURE_LEN] {
        crate::package::sign(manifest, &self.statement_key)
    }

    /// What only this authority knows, for keys that are made of it.
    pub(crate) fn secret_bytes(&self) -> [u8; 32] {
        self.statement_key.to_bytes()
    }

    /// Issues a certificate for `identity` to the key of the certificate request. All names and
    /// usages that the request asks for are ignored; whether the caller may have this identity is
    /// the caller's question. Ends with the authority at the latest. Asking twice gives two
    /// certificates with different serial numbers.
    pub fn issue(
        &self,
        csr_pem: &str,
        identity: &SiteIdentity,
        validity: Duration,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<IssuedCertificate, Error> {
        let request = request_of(csr_pem)?;
        let (params, not_after) = self.site_params(identity, &[], validity, now, rng)?;
        self.issue_to(request, params, not_after)
    }

    /// Issues a client certificate for a person to the key of the certificate request, as [`Authority::issue`] does for a
    /// site. It opens no port and names no site: nobody takes it for that of one.
    pub fn issue_to_person(
        &self,
        csr_pem: &str,
        identity: &PersonIdentity,
        validity: Duration,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<IssuedCertificate, Error> {
        if identity.hierarchy() != self.hierarchy {
            let reason = "it is of another hierarchy";
            return Err(Error::malformed("the name of a person", reason));
        }
        let request = request_of(csr_pem)?;
        let leaf = Leaf {
            name: identity.name(),
            uri: identity.to_string(),
            names: &[],
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        let (params, not_after) = self.leaf_params(leaf, validity, now, rng)?;
        self.issue_to(request, params, not_after)
    }

    fn issue_to(
        &self,
        mut request: CertificateSigningRequestParams,
        params: CertificateParams,
        not_after: Timestamp,
    ) -> Result<IssuedCertificate, Error> {
        let serial = hex(&params.serial_number);
        request.params = params;
        let certificate = request
            .signed_by(&self.issuer)
            .map_err(|error| Error::crypto("signing the certificate", error))?;
        Ok(self.issued(&certificate, not_after, serial))
    }

    /// Issues the top-level site's own certificate to its own key. `names` are the DNS names and
    /// addresses under which people open the dashboard; between sites they mean nothing.
    pub fn self_issue(
        &self,
        key: &SiteKey,
        identity: &SiteIdentity,
        names: &[String],
        validity: Duration,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<IssuedCertificate, Error> {
        let (params, not_after) = self.site_params(identity, names, validity, now, rng)?;
        let serial = hex(&params.serial_number);
        let certificate = params
            .signed_by(&key.pair, &self.issuer)
            .map_err(|error| Error::crypto("signing the certificate", error))?;
        Ok(self.issued(&certificate, not_after, serial))
    }

    fn site_params(
        &self,
        identity: &SiteIdentity,
        names: &[String],
        validity: Duration,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(CertificateParams, Timestamp), Error> {
        if identity.hierarchy != self.hierarchy {
            return Err(Error::OtherHierarchy {
                site: identity.site,
                asked: identity.hierarchy,
                own: self.hierarchy,
            });
        }
        let leaf = Leaf {
            name: identity.site.as_str(),
            uri: identity.to_string(),
            names,
            usages: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        };
        self.leaf_params(leaf, validity, now, rng)
    }

    fn leaf_params(
        &self,
        leaf: Leaf<'_>,
        validity: Duration,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(CertificateParams, Timestamp), Error> {
        if !(MIN_VALIDITY..=MAX_VALIDITY).contains(&validity) {
            return Err(Error::Validity {
                asked_seconds: validity.as_secs(),
                min_seconds: MIN_VALIDITY.as_secs(),
                max_seconds: MAX_VALIDITY.as_secs(),
            });
        }
        if now >= self.not_after {
            return Err(Error::AuthorityExpired {
                not_after: self.not_after,
            });
        }
        let not_after = asn1(after(now, validity)?.min(self.not_after))?;
        let mut params = CertificateParams::new(leaf.names)
            .map_err(|error| Error::malformed("a name of the dashboard", error))?;
        params.not_before = asn1(before(now))?.to_datetime();
        params.not_after = not_after.to_datetime();
        params.serial_number = Some(serial(rng));
        params.distinguished_name = named(leaf.name);
        params.subject_alt_names.insert(0, uri(&leaf.uri)?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = leaf.usages;
        params.use_authority_key_identifier_extension = true;
        let not_after = Timestamp::from_second(not_after.timestamp())
            .map_err(|error| Error::malformed("the end of the certificate", error))?;
        Ok((params, not_after))
    }

    fn issued(
        &self,
        certificate: &rcgen::Certificate,
        not_after: Timestamp,
        serial: String,
    ) -> IssuedCertificate {
        let leaf = pem_section("CERTIFICATE", certificate.der());
        IssuedCertificate {
            pem_chain: leaf + &self.certificate_pem(),
            not_after,
            serial,
        }
    }
}

impl IssuedCertificate {
    /// The certificate as the site holds it.
    pub fn to_site_certificate(&self) -> Result<SiteCertificate, Error> {
        SiteCertificate::from_pem(&self.pem_chain)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("hierarchy", &self.hierarchy)
            .field("pin", &self.pin())
            .finish_non_exhaustive()
    }
}

/// What a certificate says besides its times.
struct Leaf<'a> {
    name: &'a str,
    uri: String,
    /// DNS names and addresses.
    names: &'a [String],
    usages: Vec<ExtendedKeyUsagePurpose>,
}

/// A certificate request whose key signed it, and is one that is accepted.
fn request_of(csr_pem: &str) -> Result<CertificateSigningRequestParams, Error> {
    const WHAT: &str = "the certificate request";
    if csr_pem.len() > MAX_REQUEST {
        return Err(Error::TooLarge {
            what: WHAT,
            limit: MAX_REQUEST,
        });
    }
    let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(|error| {
        if error == rcgen::Error::InvalidCertificationRequestSignature {
            Error::RequestSignature
        } else {
            Error::malformed(WHAT, error)
        }
    })?;
    let algorithm = request.public_key.algorithm();
    if *algorithm != PKCS_ECDSA_P256_SHA256 && *algorithm != PKCS_ECDSA_P384_SHA384 {
        return Err(Error::WeakKey {
            what: "the key of the certificate request",
        });
    }
    Ok(request)
}

/// The hierarchy that the authority's certificate `der` belongs to.
pub fn hierarchy_of(der: &[u8]) -> Result<HierarchyId, Error> {
    let uri = single_uri(der)?;
    uri.strip_prefix("spiffe://")
        .ok_or_else(|| Error::malformed("the authority's certificate", "it names no hierarchy"))?
        .parse()
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn uri(text: &str) -> Result<SanType, Error> {
    text.try_into()
        .map(SanType::URI)
        .map_err(|error: rcgen::Error| Error::crypto("naming the certificate", error))
}

/// A random positive number, so that nobody can foresee the bytes that the authority signs.
fn serial(rng: &mut impl CryptoRng) -> SerialNumber {
    let mut bytes = [0u8; SERIAL_BYTES];
    rng.fill_bytes(&mut bytes);
    bytes[0] = bytes[0] & 0x7F | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn hex(serial: &Option<SerialNumber>) -> String {
    let bytes = serial.as_ref().map(SerialNumber::to_bytes);
    bytes
        .unwrap_or_default()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn before(now: Timestamp) -> Timestamp {
    now.checked_sub(CLOCK_TOLERANCE).unwrap_or(now)
}

fn after(now: Timestamp, validity: Duration) -> Result<Timestamp, Error> {
    SignedDuration::try_from(validity)
        .ok()
        .and_then(|validity| now.checked_add(validity).ok())
        .ok_or(Error::Time { time: now })
}

/// A time as certificates write it: whole seconds of the years 1950 to 9999.
fn asn1(time: Timestamp) -> Result<ASN1Time, Error> {
    ASN1Time::from_timestamp(time.as_second()).map_err(|_| Error::Time { time })
}

pub(crate) fn pem_section(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    const LINE: usize = 64;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests;

/// A fingerprint of the public key that a certificate request is for: BLAKE3 of the key. The request's
/// own signature is checked, so whoever made it holds the key.
///
/// # Errors
/// When the text is no certificate request, or not signed by its key.
pub fn request_key_hash(csr_pem: &str) -> Result<[u8; 32], Error> {
    use rcgen::PublicKeyData as _;
    const WHAT: &str = "the certificate request";
    if csr_pem.len() > MAX_REQUEST {
        return Err(Error::TooLarge {
            what: WHAT,
            limit: MAX_REQUEST,
        });
    }
    let request = CertificateSigningRequestParams::from_pem(csr_pem)
        .map_err(|error| Error::malformed(WHAT, error))?;
    Ok(*blake3::hash(request.public_key.der_bytes()).as_bytes())
}
