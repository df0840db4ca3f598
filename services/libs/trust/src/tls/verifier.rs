//! Which server a client accepts: a site of the hierarchy, whatever its address.

use crate::{AuthorityPin, Error, HierarchyId, SiteIdentity};
use catalog::PointId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use std::sync::Arc;

/// What a client knows about the site that it dials.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// A site dials its parent: the authority is known.
    Hierarchy {
        /// The authority's certificate.
        authority: CertificateDer<'static>,
        /// The hierarchy that the site must belong to.
        hierarchy: HierarchyId,
        /// The site that must answer, or any site of the hierarchy.
        expected: Option<PointId>,
    },
    /// A new site or a person dials with a token: the authority is recognised by its fingerprint
    /// among the certificates that the server shows.
    Pin {
        /// The fingerprint in the token.
        pin: AuthorityPin,
        /// The site that must answer, or any site of the hierarchy. Name it whenever the token does:
        /// another site that answers would learn the token.
        expected: Option<PointId>,
    },
}

/// A certificate that chains as it should, but does not belong to the site that was dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// The server does not show the authority that was pinned.
    #[error(
        "the other side belongs to another hierarchy than the token: check the address, or make a new token"
    )]
    OtherAuthority,
    /// The certificate names no site.
    #[error("the certificate of the other side names no site")]
    NotASite,
    /// The certificate names a site of another hierarchy.
    #[error("the other side belongs to hierarchy {found}, this site to {own}")]
    OtherHierarchy {
        /// The hierarchy in the certificate.
        found: HierarchyId,
        /// The hierarchy that was expected.
        own: HierarchyId,
    },
    /// Another site of the hierarchy answers at this address.
    #[error("site {found} answers at this address, not {expected}: check the address")]
    OtherSite {
        /// The site in the certificate.
        found: PointId,
        /// The site that was expected.
        expected: PointId,
    },
}

#[derive(Debug)]
pub(super) struct SiteVerifier {
    trust: ServerTrust,
    /// The known authority; empty where it is pinned.
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl SiteVerifier {
    pub(super) fn new(trust: ServerTrust, provider: &CryptoProvider) -> Result<Self, Error> {
        let roots = match &trust {
            ServerTrust::Hierarchy { authority, .. } => {
                super::roots(std::slice::from_ref(authority))?
            }
            ServerTrust::Pin { .. } => RootCertStore::empty(),
        };
        Ok(Self {
            trust,
            roots,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let leaf = ParsedCertificate::try_from(leaf)?;
        let check = |roots| {
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&leaf, roots, issuers, now, algorithms)
        };
        match &self.trust {
            ServerTrust::Hierarchy { .. } => check(&self.roots),
            ServerTrust::Pin { pin, .. } => {
                let authority = issuers
                    .iter()
                    .find(|issuer| AuthorityPin::of(issuer) == *pin)
                    .ok_or_else(|| refuse(PeerRefusal::OtherAuthority))?;
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone().into_owned())?;
                check(&roots)
            }
        }
    }

    fn check_identity(&self, leaf: &CertificateDer<'_>) -> Result<(), PeerRefusal> {
        let found = SiteIdentity::from_certificate_der(leaf).map_err(|_| PeerRefusal::NotASite)?;
        let expected = match &self.trust {
            ServerTrust::Hierarchy {
                hierarchy,
                expected,
                ..
            } => {
                if found.hierarchy != *hierarchy {
                    return Err(PeerRefusal::OtherHierarchy {
                        found: found.hierarchy,
                        own: *hierarchy,
                    });
                }
                expected
            }
            ServerTrust::Pin { expected, .. } => expected,
        };
        match expected {
            Some(expected) if *expected != found.site => Err(PeerRefusal::OtherSite {
                found: found.site,
                expected: *expected,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

fn refuse(refusal: PeerRefusal) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(refusal))).into()
}

impl ServerCertVerifier for SiteVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check_chain(end_entity, intermediates, now)?;
        self.check_identity(end_entity).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
