//! One request, one answer, over HTTP.

use super::account::{Account, SignInTrouble};
use super::exchange::{Exchange, ExchangeError, Http, HttpSettings, Trouble};
use super::{ClientOptions, ClientSettings, Error};
use crate::message::{DecodeError, Operation, Request, Response, SoapVersion};
use futures::TryStreamExt as _;
use http::{StatusCode, header};
use reqwest::Url;
use std::sync::Arc;

/// Largest answer that is read. A list of a million revisions has 140 MB.
pub const MAX_RESPONSE_BYTES: usize = 256 << 20;

/// Largest answer that is read where the status is not success: a fault, or the page of a proxy.
const MAX_ERROR_BYTES: usize = 1 << 20;

/// Answers longer than this are decoded on a thread where that may take time.
const DECODE_ASIDE_BYTES: usize = match cfg!(feature = "simulation") {
    true => 1 << 30,
    false => 1 << 20,
};

/// Path of the server synchronization service.
const SERVER_SYNC_PATH: &str = "ServerSyncWebService/ServerSyncWebService.asmx";

pub(super) struct Transport {
    exchange: Arc<dyn Exchange>,
    root: Url,
    /// Host and port of the proxy, where one is used.
    proxy: Option<String>,
    /// Who signs in at the server, where somebody does.
    account: Option<Account>,
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
        let operation = request.operation();
        let version = SoapVersion::V11;
        let body = request.encode(version);
        let address = url.as_str().to_owned();
        let proxy = self.proxy.as_deref();
        let failed = |source| Error::of_transport(operation, &address, proxy, source);
        let mut request = http::Request::post(url.as_str())
            .header(header::CONTENT_TYPE, version.content_type())
            .header("SOAPAction", operation.soap_action());
        if let Some(account) = &self.account {
            request = request.header(header::AUTHORIZATION, &account.authorization);
        }
        let request = request
            .body(body.into_bytes())
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
        let mut body = Vec::new();
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
        let decoded = if body.len() > DECODE_ASIDE_BYTES {
            let decode = move || Response::decode(&body, operation);
            match tokio::task::spawn_blocking(decode).await {
                Ok(decoded) => decoded,
                Err(_) => {
                    return Err(Error::Interrupted {
                        url: self.root.as_str().to_owned(),
                    });
                }
            }
        } else {
            Response::decode(&body, operation)
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
            Err(source) => Err(decode_error(operation, address, source)),
        }
    }
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
