//! TLS between sites and towards people: TLS 1.3 alone, mutual between sites, one authority.
//!
//! An address is only a locator here: which site answers is decided by its certificate, never by the
//! name that was dialled. Sessions are not resumed, so that every connection is checked against
//! today's trust and today's certificates; connections between sites live long, so this costs nothing.

mod hot;
mod problem;
mod verifier;

pub use hot::HotCertificate;
pub use problem::HandshakeProblem;
pub use verifier::{PeerRefusal, ServerTrust};

use crate::Error;
use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt;
use std::sync::Arc;

/// HTTP/2, which gRPC needs.
pub const ALPN_HTTP2: &[u8] = b"h2";
/// HTTP/1.1, for browsers and probes.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The one cryptographic provider of the program. It is handed to every configuration explicitly, so
/// that nothing depends on which one a process installed.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The configuration of a listening port. A client without a certificate is let in, for browsers
/// and sites that join: each method then demands who it needs. A client that shows a certificate
/// must have it from one of `trusted` and it must be valid now; which site it is, and whether that
/// was removed, is the caller's question ([`crate::SiteIdentity::from_certificate_der`]).
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    trusted: &[CertificateDer<'static>],
    time: Arc<dyn TimeProvider>,
) -> Result<ServerConfig, Error> {
    const WHAT: &str = "configuring the TLS server";
    let roots = Arc::new(roots(trusted)?);
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::crypto(WHAT, error))?;
    let mut config = ServerConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::crypto(WHAT, error))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The configuration for dialling a site. `certificate` is this site's own, or nothing for a site
/// that joins and for people.
pub fn client_config(
    certificate: Option<Arc<HotCertificate>>,
    trust: ServerTrust,
    time: Arc<dyn TimeProvider>,
) -> Result<ClientConfig, Error> {
    let verifier = verifier::SiteVerifier::new(trust, &provider())?;
    let builder = ClientConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::crypto("configuring the TLS client", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match certificate {
        Some(certificate) => builder.with_client_cert_resolver(certificate),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A clock for rustls: `now` is asked at every handshake.
pub fn time_provider(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Arc<dyn TimeProvider> {
    Arc::new(Clock(now))
}

struct Clock<F>(F);

impl<F> fmt::Debug for Clock<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl<F: Fn() -> Timestamp + Send + Sync> TimeProvider for Clock<F> {
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch = (self.0)().duration_since(Timestamp::UNIX_EPOCH);
        Some(UnixTime::since_unix_epoch(since_epoch.try_into().ok()?))
    }
}

fn roots(trusted: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots
            .add(certificate.clone())
            .map_err(|error| Error::malformed("the authority's certificate", error))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
