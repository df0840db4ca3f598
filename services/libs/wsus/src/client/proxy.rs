//! The proxy in front of the synchronization source: what is chosen, whether it can be used, and how it is
//! used (DOMAIN 4.1).
//!
//! An `http` source is asked for with whole addresses in the request line, an `https` source through a
//! tunnel (`CONNECT`), so that the proxy does not see what is said. Name and password of the proxy's user
//! go to the proxy alone, in `Proxy-Authorization`: with each request to an `http` source, with `CONNECT`
//! alone for an `https` source. That is basic authentication (RFC 7617), the only one there is here; it
//! shows the password to whoever listens between here and the proxy, so it has to be allowed.
//!
//! The environment (`http_proxy` and so on) is never asked. [`trouble`] has what can go wrong.

mod probe;
pub(super) mod trouble;

use super::credentials::{Credentials, Unfit};
use http::HeaderValue;
use reqwest::Url;
use std::net::Ipv6Addr;

/// A proxy for the connection to the upstream server.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its name or address, without scheme and port: `proxy.example`, `10.0.0.1`, `fd00::1` or `[fd00::1]`.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who signs in to it; nobody, where it asks for nobody.
    pub credentials: Option<Credentials>,
    /// Whether the password may go to the proxy as it is. Without this, credentials are refused and not
    /// left out.
    pub allow_basic_authentication: bool,
}

/// Why a proxy cannot be used as it is set. Names the settings as administrators know them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyRefusal {
    /// The host.
    #[error(
        "{host:?} cannot be used as proxy.host, {reason}: give a name or an address alone, such as \
         proxy.example or 10.0.0.1, and the port in proxy.port"
    )]
    Host {
        /// What is set, without what might be a password.
        host: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The port.
    #[error("proxy.port is 0: give the port that the proxy listens on, such as 8080")]
    Port,
    /// The user, the domain or the password. Does not show them.
    #[error(
        "the user of the proxy cannot sign in, {reason}: check proxy.user, proxy.domain and the password"
    )]
    User {
        /// What is wrong.
        reason: &'static str,
    },
    /// Credentials, and no way to use them that is allowed.
    #[error(
        "the user {user} of the proxy {proxy} cannot sign in: basic authentication is the only kind that \
         Headwater has (not NTLM, Negotiate or Kerberos), and it is not allowed; set \
         proxy.allow-basic-authentication if the password may cross the network to the proxy in the \
         clear, or else take proxy.user away and have the proxy let this machine in by its address, or \
         run a relay on this machine that signs in by NTLM or Kerberos and give its address as proxy.host"
    )]
    BasicNotAllowed {
        /// The proxy: host and port.
        proxy: String,
        /// Who was to sign in.
        user: String,
    },
}

impl Proxy {
    /// Whether it can be used, for those who take settings before a client is made of them.
    ///
    /// # Errors
    /// See [`ProxyRefusal`].
    pub fn check(&self) -> Result<(), ProxyRefusal> {
        self.way().map(drop)
    }

    /// The proxy for what else is fetched through it.
    ///
    /// # Errors
    /// See [`ProxyRefusal`].
    pub fn for_reqwest(&self) -> Result<reqwest::Proxy, ProxyRefusal> {
        let proxy = self.way()?.for_reqwest();
        proxy.map_err(|_| ProxyRefusal::Host {
            host: self.host.clone(),
            reason: "it is no part of an address",
        })
    }

    /// What is done with it.
    pub(super) fn way(&self) -> Result<Way, ProxyRefusal> {
        if self.port == 0 {
            return Err(ProxyRefusal::Port);
        }
        let host = host(&self.host)?;
        let address = format!("{host}:{}", self.port);
        let mut way = Way {
            host,
            port: self.port,
            address,
            user: None,
            authorization: None,
        };
        if let Some(credentials) = &self.credentials {
            let unfit = |Unfit(reason)| ProxyRefusal::User { reason };
            let user = credentials.user_id().map_err(unfit)?;
            if !self.allow_basic_authentication {
                let proxy = way.address;
                return Err(ProxyRefusal::BasicNotAllowed { proxy, user });
            }
            way.authorization = Some(credentials.basic(&user).map_err(unfit)?);
            way.user = Some(user);
        }
        Ok(way)
    }
}

/// A proxy that can be used.
#[derive(Debug)]
pub(super) struct Way {
    /// As it stands in a URL: in brackets, where it is an IPv6 address.
    host: String,
    port: u16,
    /// Host and port.
    pub address: String,
    user: Option<String>,
    /// Marked as sensitive, so that it is not shown.
    authorization: Option<HeaderValue>,
}

impl Way {
    /// The proxy, for all addresses.
    pub fn for_reqwest(&self) -> reqwest::Result<reqwest::Proxy> {
        let proxy = reqwest::Proxy::all(format!("http://{}", self.address))?;
        Ok(match &self.authorization {
            Some(authorization) => proxy.custom_http_auth(authorization.clone()),
            None => proxy,
        })
    }
}

/// A host as it stands in a URL.
fn host(given: &str) -> Result<String, ProxyRefusal> {
    let given = given.trim();
    // What stands before an @ may be a password.
    let shown = given.rsplit('@').next().unwrap_or_default();
    let refuse = |reason| ProxyRefusal::Host {
        host: shown.chars().take(200).collect(),
        reason,
    };
    let bare = given
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(given);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    let reason = if given.is_empty() {
        "it is empty"
    } else if given.contains("://") {
        "it begins with a scheme such as http://"
    } else if given.contains('@') {
        "it holds a user, which belongs into proxy.user"
    } else if given.contains(['/', '\\', '?', '#']) {
        "it holds a path"
    } else if given.contains(':') {
        "it holds a port, or it is no IPv6 address"
    } else {
        let parsed = Url::parse(&format!("http://{given}/"));
        return match parsed.ok().as_ref().and_then(Url::host_str) {
            Some(host) => Ok(host.to_owned()),
            None => Err(refuse("it is neither a name nor an address")),
        };
    };
    Err(refuse(reason))
}

#[cfg(test)]
mod tests;
