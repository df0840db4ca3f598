//! What can go wrong at the proxy, told apart from what goes wrong behind it.
//!
//! Through a tunnel every answer to `CONNECT` is the proxy's own. In front of an `http` source an answer
//! may come from the proxy or from behind it: `407` is always the proxy's, others count as the proxy's
//! where they say so ([`is_own_answer`]), and else as the server's, with a word that they came through a
//! proxy.
//!
//! | what happens | tried again |
//! |---|---|
//! | name not found, not reached, too slow, ended the connection | yes: proxies are restarted |
//! | cannot reach the server (5xx, 408, 429) | yes: the way behind it comes back |
//! | asks for a user, refuses the user, knows only NTLM or the like | no: it needs a person, and wrong passwords lock users out |
//! | forbids the server (403), other answers, no HTTP | no: it needs a person |

use super::super::credentials::other_than_basic;
use super::Way;
use super::probe::{Heard, ask};
use crate::client::exchange::{ExchangeError, Trouble};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use std::fmt;

/// What went wrong at the proxy. Reads on after the words "the proxy HOST:PORT".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyTrouble {
    /// Its name leads to no address.
    NotFound,
    /// No connection to it came about.
    NotReached,
    /// No connection to it, or through it, came about in time.
    TooSlow,
    /// It asks for a user, and none is set.
    AsksForUser,
    /// It does not let this user in.
    RefusesUser {
        /// The user, with domain.
        user: String,
    },
    /// It lets users in by other means than basic authentication only.
    OtherAuthentication {
        /// What it offers, such as `Negotiate, NTLM`.
        offered: String,
    },
    /// It does not lead to this server: a filter, or a port that it does not allow.
    Forbids {
        /// Its answer.
        status: StatusCode,
    },
    /// It could not reach the server, or is overloaded.
    CannotReach {
        /// Its answer.
        status: StatusCode,
    },
    /// It did not lead to the server, and does not say why.
    NoWay,
    /// It answered with a status that no proxy answers with here.
    Unfit {
        /// Its answer.
        status: StatusCode,
    },
    /// It ended the connection in place of an answer.
    BrokeOff,
    /// What is there does not speak HTTP.
    NotHttp,
}

impl ProxyTrouble {
    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotFound
            | Self::NotReached
            | Self::TooSlow
            | Self::CannotReach { .. }
            | Self::NoWay
            | Self::BrokeOff => true,
            Self::AsksForUser
            | Self::RefusesUser { .. }
            | Self::OtherAuthentication { .. }
            | Self::Forbids { .. }
            | Self::Unfit { .. }
            | Self::NotHttp => false,
        }
    }

    /// What the proxy means with a status of its own.
    fn of_status(status: StatusCode, challenges: &[String], user: Option<&str>) -> Self {
        match status.as_u16() {
            // Some answer 401 to a wrong password, as tinyproxy does.
            401 | 407 => Self::of_challenges(challenges, user),
            403 | 451 => Self::Forbids { status },
            408 | 429 => Self::CannotReach { status },
            501 => Self::Unfit { status },
            500..=599 => Self::CannotReach { status },
            _ => Self::Unfit { status },
        }
    }

    /// What the proxy wants of somebody who is to sign in.
    fn of_challenges(challenges: &[String], user: Option<&str>) -> Self {
        if let Some(offered) = other_than_basic(challenges) {
            return Self::OtherAuthentication { offered };
        }
        match user {
            Some(user) => Self::RefusesUser {
                user: user.to_owned(),
            },
            None => Self::AsksForUser,
        }
    }
}

impl fmt::Display for ProxyTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str(
                "is not found by its name; check proxy.host and the name resolution of this machine",
            ),
            Self::NotReached => f.write_str(
                "cannot be reached; check proxy.host and proxy.port, whether it runs, and the firewall",
            ),
            Self::TooSlow => f.write_str(
                "was not reached, or did not lead to the server, within the time limit; check proxy.host \
                 and proxy.port, the firewall, and the proxy's log",
            ),
            Self::AsksForUser => f.write_str(
                "asks for a user; set proxy.user and the password, and allow basic authentication \
                 (proxy.allow-basic-authentication)",
            ),
            Self::RefusesUser { user } => write!(
                f,
                "refuses the user {user}; check proxy.user, proxy.domain and the password"
            ),
            Self::OtherAuthentication { offered } => write!(
                f,
                "lets users in by {offered} only, which Headwater does not have; have it offer basic \
                 authentication or let this machine in by its address, or run a relay on this machine \
                 that signs in and give its address as proxy.host"
            ),
            Self::Forbids { status } => write!(
                f,
                "forbids the way to the server with status {status}; have its filter allow this address \
                 and port"
            ),
            Self::CannotReach { status } => write!(
                f,
                "answered with status {status}: it cannot reach the server, or is overloaded; check the \
                 address of the source, and the proxy's log and network"
            ),
            Self::NoWay => f.write_str("did not lead to the server; its log says why"),
            Self::Unfit { status } => write!(
                f,
                "answered with status {status}; check whether there is a proxy at this address, and \
                 whether it allows CONNECT to the port of the server"
            ),
            Self::BrokeOff => {
                f.write_str("ended the connection before it led to the server; its log may say why")
            }
            Self::NotHttp => f.write_str(
                "does not speak HTTP; check proxy.host and proxy.port, and that it is no SOCKS proxy",
            ),
        }
    }
}

impl Way {
    /// Looks whether the proxy is why no connection came about. Where it does not tell, it is asked once more:
    /// the HTTP library keeps the proxy's answer to `CONNECT` to itself.
    pub async fn explain(&self, error: ExchangeError, target: &Uri) -> ExchangeError {
        if error.trouble == Trouble::TimedOut {
            return error.at_proxy(ProxyTrouble::TooSlow);
        }
        let tunnelled = target.scheme_str() == Some("https");
        let trouble = match Words::of(&error, tunnelled) {
            Words::NotOfTheProxy => return error,
            Words::NotFound => ProxyTrouble::NotFound,
            Words::NotReached => ProxyTrouble::NotReached,
            Words::BrokeOff => ProxyTrouble::BrokeOff,
            // Without the credentials: a wrong password is not said twice, for users get locked out.
            Words::AsksForUser => match ask(self, target, None).await {
                Some(Heard::Answer { challenges, .. }) => {
                    ProxyTrouble::of_challenges(&challenges, self.user.as_deref())
                }
                _ => ProxyTrouble::of_challenges(&[], self.user.as_deref()),
            },
            Words::Unsuccessful => match ask(self, target, self.authorization.as_ref()).await {
                Some(Heard::Answer { status, challenges }) if !status.is_success() => {
                    ProxyTrouble::of_status(status, &challenges, self.user.as_deref())
                }
                Some(Heard::NotHttp) => ProxyTrouble::NotHttp,
                _ => ProxyTrouble::NoWay,
            },
        };
        error.at_proxy(trouble)
    }

    /// What is wrong at the proxy, where it answered in place of an `http` server.
    pub fn answered(
        &self,
        target: &Uri,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<ProxyTrouble> {
        // What comes through a tunnel comes from the server.
        let plain = target.scheme_str() == Some("http");
        if !plain || !is_own_answer(status, headers) {
            return None;
        }
        let names = [header::PROXY_AUTHENTICATE, header::WWW_AUTHENTICATE];
        let values = names.iter().flat_map(|name| headers.get_all(name));
        let values = values.filter_map(|value| value.to_str().ok());
        let challenges: Vec<String> = values.map(str::to_owned).collect();
        Some(ProxyTrouble::of_status(
            status,
            &challenges,
            self.user.as_deref(),
        ))
    }
}

/// Whether an answer was made by the proxy. What the server said comes with the proxy's name in `Via`
/// (RFC 9110 7.6.3), if the proxy keeps the rule; so an answer without says nothing by itself.
fn is_own_answer(status: StatusCode, headers: &HeaderMap) -> bool {
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return true;
    }
    if !status.is_client_error() && !status.is_server_error() {
        return false;
    }
    // Squid's own pages, which have Via too.
    if headers.contains_key("x-squid-error") {
        return true;
    }
    let server = headers.get(header::SERVER).map(HeaderValue::as_bytes);
    let server = String::from_utf8_lossy(server.unwrap_or_default()).to_lowercase();
    !headers.contains_key(header::VIA) && server.contains("proxy")
}

/// What the HTTP library says of a connection that did not come about, by its words: the errors themselves
/// are its own. A test with a real proxy stands behind each.
enum Words {
    NotFound,
    NotReached,
    AsksForUser,
    Unsuccessful,
    BrokeOff,
    /// The tunnel stood: it is TLS that failed.
    NotOfTheProxy,
}

impl Words {
    fn of(error: &ExchangeError, tunnelled: bool) -> Self {
        let mut next = Some(error.cause());
        let mut tunnel = None;
        while let Some(cause) = next {
            let text = cause.to_string();
            match text.strip_prefix("tunnel error: ") {
                Some("proxy authorization required") => return Self::AsksForUser,
                Some("unsuccessful" | "proxy response headers too long") => {
                    return Self::Unsuccessful;
                }
                Some("failed to create underlying connection") => tunnel = Some(Self::NotReached),
                Some(_) => return Self::BrokeOff,
                None if text == "dns error" => return Self::NotFound,
                None => {}
            }
            next = cause.source();
        }
        match tunnel {
            Some(words) => words,
            None if tunnelled => Self::NotOfTheProxy,
            None => Self::NotReached,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(status: u16, challenges: &[&str], user: Option<&str>) -> ProxyTrouble {
        let status = StatusCode::from_u16(status).unwrap();
        let challenges: Vec<String> = challenges.iter().map(|&one| one.into()).collect();
        ProxyTrouble::of_status(status, &challenges, user)
    }

    #[test]
    fn a_proxy_that_asks_for_a_user_is_told_from_one_that_wants_another_kind_of_signing_in() {
        let basic = r#"Basic realm="a, b", charset="UTF-8""#;
        assert_eq!(trouble(407, &[basic], None), ProxyTrouble::AsksForUser);
        assert_eq!(trouble(407, &[], None), ProxyTrouble::AsksForUser);
        let refused = |user: &str| ProxyTrouble::RefusesUser { user: user.into() };
        let jane = Some("jane");
        assert_eq!(trouble(407, &["NTLM", basic], jane), refused("jane"));
        assert_eq!(trouble(401, &[basic], jane), refused("jane"));
        for challenges in [&["Negotiate", "NTLM"][..], &["Negotiate, NTLM"]] {
            let offered = "Negotiate, NTLM".into();
            let other = ProxyTrouble::OtherAuthentication { offered };
            assert_eq!(trouble(407, challenges, None), other);
            assert_eq!(trouble(407, challenges, jane), other);
        }
    }

    #[test]
    fn what_a_proxy_offers_is_shown_in_one_short_line() {
        let many = (0..100).map(|n| format!("Scheme-{n}")).collect::<Vec<_>>();
        let ProxyTrouble::OtherAuthentication { offered } =
            ProxyTrouble::of_challenges(&[many.join(", "), "a\nb".into()], None)
        else {
            panic!("another kind");
        };
        assert!(
            offered.len() <= crate::client::credentials::MOST_OFFERED && !offered.contains('\n')
        );
    }

    #[test]
    fn what_needs_a_person_is_not_tried_again() {
        for status in [400, 401, 403, 404, 405, 407, 451, 501] {
            assert!(!trouble(status, &[], None).is_transient(), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(trouble(status, &[], None).is_transient(), "{status}");
        }
    }

    #[test]
    fn an_answer_is_the_proxys_where_it_says_so() {
        let check = |status: u16, headers: &[(&'static str, &'static str)], own: bool| {
            let pairs = headers.iter().map(|&(name, value)| {
                let name = header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            let status = StatusCode::from_u16(status).unwrap();
            let found = is_own_answer(status, &pairs.collect());
            assert_eq!(found, own, "{status} {headers:?}");
        };
        let iis = ("server", "Microsoft-IIS/10.0");
        let tinyproxy = ("server", "tinyproxy/1.11.1");
        let via = ("via", "1.1 proxy (tinyproxy/1.11.1)");
        check(407, &[iis], true);
        check(403, &[tinyproxy], true);
        check(500, &[tinyproxy], true);
        check(403, &[tinyproxy, via], false);
        check(403, &[iis, via], false);
        check(503, &[iis], false);
        check(503, &[], false);
        check(200, &[tinyproxy], false);
        check(503, &[("x-squid-error", "ERR_CONNECT_FAIL 111"), via], true);
    }
}
