//! One request, one answer, over HTTP.

use super::account::{Account, SignInTrouble};
use super::exchange::{Exchange, ExchangeError, Http, HttpSettings, Trouble};
use super::{ClientOptions, ClientSettings, Error};
use crate::message::{DecodeError, Operation, Request, Response, SoapVersion};
use crate::xpress::{self, UnpackError};
use futures::TryStreamExt as _;
use http::{StatusCode, header};
use reqwest::Url;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Largest answer that is read. A list of a million revisions has 140 MB.
pub const MAX_RESPONSE_BYTES: usize = 256 << 20;

/// Largest answer that is read where the status is not success: a fault, or the page of a proxy.
const MAX_ERROR_BYTES: usize = 1 << 20;

/// Answers longer than this are decoded on a thread where that may take time.
const DECODE_ASIDE_BYTES: usize = match cfg!(feature = "simulation") {
    true => 1 << 30,
    false => 1 << 20,
};

/// The version of SOAP that is spoken.
const SOAP: SoapVersion = SoapVersion::V11;

/// Path of the server synchronization service.
const SERVER_SYNC_PATH: &str = "ServerSyncWebService/ServerSyncWebService.asmx";

pub(super) struct Transport {
    exchange: Arc<dyn Exchange>,
    root: Url,
    /// Host and port of the proxy, where one is used.
    proxy: Option<String>,
    /// Who signs in at the server, where somebody does.
    account: Option<Account>,
    /// Whether answers may come packed; not any more once one could not be unpacked.
    takes_packed: AtomicBool,
}

/// A request that is ready to be sent, as often as needed.
struct Call {
    operation: Operation,
    url: String,
    body: Vec<u8>,
}

impl Transport {
    pub fn new(settings: &ClientSettings, options: &ClientOptions) -> Result<Self, Error> {
        let root = root_of(&settings.url)?;
        let account = match &settings.account {
            Some(credentials) => Some(Account::new(credentials, &root)?),
            None => None,
        };
        let way = match &settings.proxy {
            Some(proxy) => Some(Arc::new(proxy.way()?)),
            None => None,
        };
        if let Some(exchange) = &options.exchange {
            return Ok(Self {
                exchange: Arc::clone(exchange),
                root,
                proxy: None,
                account,
                takes_packed: AtomicBool::new(true),
            });
        }
        let proxy = way.as_ref().map(|way| way.address.clone());
        let exchange = Arc::new(Http::new(HttpSettings {
            root: root.as_str(),
            tls: root.scheme() == "https",
            ca_file_pem: settings.ca_file_pem.as_deref(),
            timeout: settings.timeout,
            proxy: way,
        })?);
        Ok(Self {
            exchange,
            root,
            proxy,
            account,
            takes_packed: AtomicBool::new(true),
        })
    }

    /// Scheme, host and port of the upstream server.
    pub fn root(&self) -> &str {
        self.root.as_str()
    }

    pub fn unexpected(&self, response: &Response) -> Error {
        Error::Unexpected {
            url: self.root.as_str().to_owned(),
            operation: response.operation(),
        }
    }

    /// Calls the server synchronization service.
    pub async fn exchange(&self, request: Request) -> Result<Response, Error> {
        self.exchange_at(SERVER_SYNC_PATH, request).await
    }

    /// Calls the service at `path`, relative to the root of the server.
    pub async fn exchange_at(&self, path: &str, request: Request) -> Result<Response, Error> {
        let foreign = || Error::ForeignService {
            url: self.root.as_str().to_owned(),
            service: path.chars().take(200).collect(),
        };
        let url = self.root.join(path).map_err(|_| foreign())?;
        if url.origin() != self.root.origin() {
            return Err(foreign());
        }
        let call = Call {
            operation: request.operation(),
            url: url.into(),
            body: request.encode(SOAP).into_bytes(),
        };
        let packed = self.takes_packed.load(Ordering::Relaxed);
        match self.send(&call, packed).await {
            Err(error @ Error::Packed { .. }) if packed => {
                tracing::warn!(%error, "answers are asked for as they are from now on");
                self.takes_packed.store(false, Ordering::Relaxed);
                self.send(&call, false).await
            }
            answered => answered,
        }
    }

    /// Sends a request and reads the answer, which may be packed where `packed` says so.
    async fn send(&self, call: &Call, packed: bool) -> Result<Response, Error> {
        let operation = call.operation;
        let address = call.url.clone();
        let proxy = self.proxy.as_deref();
        let failed = |source| Error::of_transport(operation, &address, proxy, source);
        let mut request = http::Request::post(&call.url)
            .header(header::CONTENT_TYPE, SOAP.content_type())
            .header("SOAPAction", operation.soap_action());
        if packed {
            request = request.header(header::ACCEPT_ENCODING, xpress::CODING);
        }
        if let Some(account) = &self.account {
            request = request.header(header::AUTHORIZATION, &account.authorization);
        }
        let request = request
            .body(call.body.clone())
            .map_err(|error| failed(ExchangeError::new(Trouble::Broken, error)))?;
        let mut answer = self.exchange.send(request).await.map_err(failed)?;
        let status = answer.status;
        if status == StatusCode::UNAUTHORIZED {
            let user = self.account.as_ref().map(|account| account.user.as_str());
            return Err(Error::SignIn {
                operation,
                url: address,
                trouble: SignInTrouble::of(&answer.challenges, user),
            });
        }
        let limit = if status.is_success() {
            MAX_RESPONSE_BYTES
        } else {
            MAX_ERROR_BYTES
        };
        let too_large = || Error::TooLarge {
            operation,
            url: address.clone(),
        };
        let announced = answer.announced.unwrap_or(0);
        if status.is_success() && announced > limit as u64 {
            return Err(too_large());
        }
        let mut body: Vec<u8> = Vec::new();
        while let Some(chunk) = answer.body.try_next().await.map_err(failed)? {
            if body.len() + chunk.len() > limit {
                if status.is_success() {
                    return Err(too_large());
                }
                break; // the page of a proxy: its status says enough
            }
            if body.capacity() == 0 {
                // What is announced is not believed beyond a few megabytes before it is there.
                const FIRST_GUESS: usize = 4 << 20;
                let announced = usize::try_from(announced).unwrap_or(FIRST_GUESS);
                body.reserve(announced.clamp(chunk.len(), FIRST_GUESS.max(chunk.len())));
            }
            body.extend_from_slice(&chunk);
        }
        let (length, coding) = (body.len(), answer.coding);
        let came_packed = coding.as_deref().is_some_and(is_xpress);
        let decode = move || {
            let body = unpacked(body, coding.as_deref(), limit)?;
            Ok::<_, Unpacking>(Response::decode(&body, operation))
        };
        let decoded = if length > DECODE_ASIDE_BYTES {
            match tokio::task::spawn_blocking(decode).await {
                Ok(decoded) => decoded,
                Err(_) => {
                    return Err(Error::Interrupted {
                        url: self.root.as_str().to_owned(),
                    });
                }
            }
        } else {
            decode()
        };
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(Unpacking::TooLarge) if status.is_success() => return Err(too_large()),
            Err(Unpacking::Failed(reason)) if status.is_success() => {
                return Err(Error::Packed {
                    operation,
                    url: address,
                    reason,
                });
            }
            // What does not succeed is told by its status where nothing else can be read.
            Err(Unpacking::TooLarge | Unpacking::Failed(_)) => Response::decode(b"", operation),
        };
        match decoded {
            Ok(Err(fault)) => Err(Error::Fault {
                operation,
                url: address,
                fault: Box::new(fault),
            }),
            _ if !status.is_success() => Err(Error::Status {
                operation,
                url: address,
                proxy: self.proxy.clone().filter(|_| self.root.scheme() == "http"),
                status,
            }),
            Ok(Ok(response)) => Ok(response),
            // Whoever packs in another way sends what reads as nonsense, too.
            Err(source) if came_packed => Err(Error::Packed {
                operation,
                url: address,
                reason: source.to_string(),
            }),
            Err(source) => Err(decode_error(operation, address, source)),
        }
    }
}

/// Why the body of an answer is not to be had.
enum Unpacking {
    /// It is larger than what is read.
    TooLarge,
    /// It is packed in another way than it says, or in one that nobody asked for.
    Failed(String),
}

/// The body of an answer as it was before it was packed.
fn unpacked(body: Vec<u8>, coding: Option<&str>, most: usize) -> Result<Vec<u8>, Unpacking> {
    let coding = coding.unwrap_or_default().trim();
    if coding.is_empty() || coding.eq_ignore_ascii_case("identity") {
        return Ok(body);
    }
    if !is_xpress(coding) {
        let coding: String = coding.chars().take(40).collect();
        let reason = format!("it came as {coding:?}, which nobody asked for");
        return Err(Unpacking::Failed(reason));
    }
    xpress::unpack(&body, most).map_err(|error| match error {
        UnpackError::TooLarge(_) => Unpacking::TooLarge,
        UnpackError::CutOff
        | UnpackError::BlockTooLong(_)
        | UnpackError::Grown
        | UnpackError::Block => Unpacking::Failed(error.to_string()),
    })
}

fn is_xpress(coding: &str) -> bool {
    coding.trim().eq_ignore_ascii_case(xpress::CODING)
}

fn decode_error(operation: Operation, url: String, source: DecodeError) -> Error {
    Error::Decode {
        operation,
        url,
        source: Box::new(source),
    }
}

/// The root of the server from the setting: scheme, host and port.
fn root_of(url: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| Error::Url {
        url: url.chars().take(200).collect(),
        reason: reason.to_owned(),
    };
    let parsed = Url::parse(url.trim()).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(refuse("the scheme is not http or https"));
    }
    if parsed.host().is_none() {
        return Err(refuse("it names no host"));
    }
    if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() {
        return Err(refuse("there is a path after the host"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(refuse("it holds a user name"));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port() {
        for url in [
            "http://wsus:8530",
            "https://sws.update.microsoft.com/",
            " http://[::1]:80 ",
        ] {
            assert!(root_of(url).is_ok(), "{url}");
        }
        for url in [
            "wsus",
            "ftp://wsus",
            "http://wsus/x.asmx",
            "http://u:p@wsus",
            "http://",
            "",
        ] {
            assert!(root_of(url).is_err(), "{url}");
        }
    }
}
