//! What can go wrong between a downstream and an upstream server, in words for the person who has to
//! mend it.

use super::account::{AccountRefusal, SignInTrouble};
use super::exchange::{ExchangeError, Trouble};
use super::proxy::ProxyRefusal;
use super::proxy::trouble::ProxyTrouble;
use super::transport::MAX_RESPONSE_BYTES;
use crate::fault::{ErrorCode, Fault};
use crate::message::{DecodeError, Operation};
use http::StatusCode;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address in the settings.
    #[error(
        "{url:?} cannot be used as the address of an upstream server, {reason}: give scheme, host and \
         port, such as http://wsus.example:8530 or https://sws.update.microsoft.com"
    )]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The CA file in the settings.
    #[error(
        "the setting upstream-ca-file (or source.ca-pem) holds no usable PEM certificates: {reason}"
    )]
    CaFile {
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy in the settings.
    #[error(transparent)]
    ProxyRefused(#[from] ProxyRefusal),
    /// The connection account in the settings.
    #[error(transparent)]
    AccountRefused(#[from] AccountRefusal),
    /// The server does not let this server in.
    #[error("{operation} at {url} failed: the server {trouble}")]
    SignIn {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
        /// What it wants.
        trouble: SignInTrouble,
    },
    /// The certificates of the system.
    #[error("the connection to {url} cannot be prepared: {reason}")]
    Setup {
        /// Root of the upstream server.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The server's certificate leads to a root that is not trusted.
    #[error(
        "{operation} at {url} failed: the certificate of the server leads to a certification authority \
         that is not trusted here; Microsoft Update's endpoint chains to \"Microsoft Root Certificate \
         Authority 2011\", which operating systems other than Windows do not know: save that certificate \
         (or that of the authority of your WSUS server, or of a proxy that looks into TLS) as PEM and name \
         the file in the setting upstream-ca-file, or put it into source.ca-pem"
    )]
    UnknownIssuer {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
        /// What the TLS library says.
        #[source]
        source: Box<ExchangeError>,
    },
    /// No answer in time.
    #[error(
        "{operation} at {url}{} failed: the server was silent for longer than the time limit; check that \
         it is not overloaded, and that no firewall holds the connection",
        through(.proxy.as_deref())
    )]
    TimedOut {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
        /// Host and port of the proxy, where one is used.
        proxy: Option<String>,
        /// The underlying error.
        #[source]
        source: Box<ExchangeError>,
    },
    /// No connection to the proxy, or an answer of its own in place of the server's.
    #[error("{operation} at {url} failed: the proxy {proxy} {trouble}")]
    Proxy {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
        /// Host and port of the proxy.
        proxy: String,
        /// What is wrong there.
        trouble: Box<ProxyTrouble>,
        /// The underlying error.
        #[source]
        source: Box<ExchangeError>,
    },
    /// No connection, or one that broke.
    #[error(
        "{operation} at {url}{} failed: {}; check the address, name resolution, firewall and proxy",
        through(.proxy.as_deref()),
        if *.connecting { "no connection to the server" } else { "the connection to the server broke" }
    )]
    Transport {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
        /// Host and port of the proxy, where one is used.
        proxy: Option<String>,
        /// Whether the connection could not be opened at all.
        connecting: bool,
        /// The underlying error.
        #[source]
        source: Box<ExchangeError>,
    },
    /// An HTTP status other than success, without a fault.
    #[error("{operation} at {url} failed with HTTP status {status}: {}{}",
        advice(*.status), perhaps(.proxy.as_deref()))]
    Status {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
        /// Host and port of the proxy, where the answer may also be its own.
        proxy: Option<String>,
        /// The status.
        status: StatusCode,
    },
    /// A SOAP fault.
    #[error("{operation} at {url} was refused with {fault}{}", fault_advice(.fault))]
    Fault {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
        /// The fault.
        fault: Box<Fault>,
    },
    /// The upstream server is another than before. Anchors have to be dropped; then go on.
    #[error(
        "the upstream server {url} says that it was replaced or restored: everything has to be \
         synchronized again from the start"
    )]
    ServerChanged {
        /// Root of the upstream server.
        url: String,
    },
    /// An answer that is not what the protocol says.
    #[error(
        "the answer to {operation} from {url} cannot be read; is there a WSUS server at this address?"
    )]
    Decode {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
        /// What is wrong with it.
        #[source]
        source: Box<DecodeError>,
    },
    /// An answer that is packed in a way that cannot be undone.
    #[error(
        "the answer to {operation} from {url} is packed and cannot be unpacked: {reason}; is there a proxy \
         that alters what it hands on?"
    )]
    Packed {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An answer too large to be read.
    #[error("the answer to {operation} from {url} is larger than {} MiB", MAX_RESPONSE_BYTES >> 20)]
    TooLarge {
        /// The operation.
        operation: Operation,
        /// The address called.
        url: String,
    },
    /// An authorization service at another address than the server.
    #[error(
        "the upstream server {url} names an authorization service at another address, {service:?}, \
         which is not called"
    )]
    ForeignService {
        /// Root of the upstream server.
        url: String,
        /// The address named.
        service: String,
    },
    /// Every single update is refused.
    #[error(
        "the upstream server {url} refused {count} updates one after the other, so the rest was not asked \
         for; the last one with: {last}"
    )]
    OnlyRefusals {
        /// Root of the upstream server.
        url: String,
        /// How many.
        count: usize,
        /// Why the last one was refused.
        last: String,
    },
    /// An answer to something that was not asked. A fault of this program.
    #[error("{url} was answered with a message of {operation} out of turn")]
    Unexpected {
        /// Root of the upstream server.
        url: String,
        /// What the answer is the answer to.
        operation: Operation,
    },
    /// Decoding was interrupted: this process is going down.
    #[error("reading the answer of {url} was interrupted")]
    Interrupted {
        /// Root of the upstream server.
        url: String,
    },
}

impl Error {
    /// The code of the fault, where the server answered with one.
    pub fn fault_code(&self) -> Option<&ErrorCode> {
        let Self::Fault { fault, .. } = self else {
            return None;
        };
        Some(&fault.code)
    }

    /// The SHA-1 of the files that the server does not know, where that is what is wrong.
    pub fn missing_files(&self) -> Option<Vec<[u8; 20]>> {
        let Self::Fault { fault, .. } = self else {
            return None;
        };
        fault.missing_files()
    }

    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::TimedOut { .. } => true,
            Self::Proxy { trouble, .. } => trouble.is_transient(),
            Self::Status { status, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
            Self::Fault { fault, .. } => {
                fault.code == ErrorCode::ServerBusy || fault.code.as_str().is_empty()
            }
            Self::Url { .. }
            | Self::CaFile { .. }
            | Self::ProxyRefused(_)
            | Self::AccountRefused(_)
            | Self::SignIn { .. }
            | Self::Setup { .. }
            | Self::UnknownIssuer { .. }
            | Self::ServerChanged { .. }
            | Self::Decode { .. }
            | Self::Packed { .. }
            | Self::TooLarge { .. }
            | Self::ForeignService { .. }
            | Self::OnlyRefusals { .. }
            | Self::Unexpected { .. }
            | Self::Interrupted { .. } => false,
        }
    }

    /// Whether the error may come from one of the updates asked for, so that the others are to be had.
    pub(super) fn concerns_an_update(&self) -> bool {
        matches!(self, Self::Decode { .. } | Self::TooLarge { .. })
            || self.fault_code() == Some(&ErrorCode::InternalServerError)
    }

    /// The error of a request that brought no answer.
    pub(super) fn of_transport(
        operation: Operation,
        url: &str,
        proxy: Option<&str>,
        source: ExchangeError,
    ) -> Self {
        let mut source = Box::new(source);
        let url = url.to_owned();
        let proxy = proxy.map(str::to_owned);
        if let Some(trouble) = source.take_proxy() {
            return Self::Proxy {
                operation,
                url,
                proxy: proxy.unwrap_or_default(),
                trouble,
                source,
            };
        }
        if is_unknown_issuer(source.cause()) {
            return Self::UnknownIssuer {
                operation,
                url,
                source,
            };
        }
        match source.trouble {
            Trouble::TimedOut => Self::TimedOut {
                operation,
                url,
                proxy,
                source,
            },
            trouble @ (Trouble::Connecting | Trouble::Broken) => Self::Transport {
                operation,
                url,
                proxy,
                connecting: trouble == Trouble::Connecting,
                source,
            },
        }
    }
}

/// Looks for the verdict of the TLS library among the causes of an error.
fn is_unknown_issuer(error: &(dyn std::error::Error + 'static)) -> bool {
    let verdict = |error: &(dyn std::error::Error + 'static)| {
        matches!(
            error.downcast_ref::<rustls::Error>(),
            Some(rustls::Error::InvalidCertificate(
                rustls::CertificateError::UnknownIssuer
            ))
        )
    };
    let mut next = Some(error);
    while let Some(error) = next {
        // An I/O error shows the cause of its inner error, not the inner error itself.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if verdict(error) || inner.is_some_and(|inner| is_unknown_issuer(inner)) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Names the proxy after the address called.
fn through(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"))
}

/// Names the proxy where it may have answered in place of the server.
fn perhaps(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| {
        format!(
            "; it came through the proxy {proxy}, which may have answered in place of the server"
        )
    })
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        301..=308 => "the server redirects to another address; give that one instead",
        403 => {
            "the server does not let this account in; a WSUS server may be locked to chosen downstream \
             servers in IIS"
        }
        404 | 405 => {
            "there is no server synchronization service at this address; check host and port"
        }
        407 => "the proxy asks for a name and a password; set them for the upstream connection",
        413 => "the server does not accept a request of this size",
        429 | 503 => "the server is overloaded; it is asked again later",
        500..=599 => "the server or a proxy before it failed; see its log",
        _ => "this is not the answer of a WSUS server; check host and port",
    }
}

fn fault_advice(fault: &Fault) -> &'static str {
    match fault.code {
        ErrorCode::IncompatibleProtocolVersion => {
            ": the server does not speak the version of the protocol that is spoken here"
        }
        ErrorCode::InternalServerError => ": the log of the upstream server says more",
        ErrorCode::ServerBusy => ": the server is busy, try later",
        ErrorCode::InvalidParameters
        | ErrorCode::InvalidCookie
        | ErrorCode::InvalidAuthorizationCookie
        | ErrorCode::FileDigestsMissing
        | ErrorCode::ServerChanged
        | ErrorCode::TooManyIds
        | ErrorCode::Other(_) => "",
    }
}
