//! The connection account: who this server signs in as at an upstream server that does not let everybody in.
//! A WSUS server does, unless IIS asks for an account on its server synchronization service.
//!
//! The password goes over TLS only, and to the server of the setting only.

use super::credentials::{Credentials, Unfit, other_than_basic};
use http::HeaderValue;
use reqwest::Url;
use std::fmt;

/// Why a connection account cannot be used as it is set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// The server is asked without TLS.
    #[error(
        "the connection account {user} cannot sign in to {url}: the address begins with http://, so the \
         password would cross the network in the clear; use the https:// address of the server \
         (source.url), or take source.user away"
    )]
    NotEncrypted {
        /// Root of the upstream server.
        url: String,
        /// The account.
        user: String,
    },
    /// The user, the domain or the password. Does not show them.
    #[error(
        "the connection account cannot sign in, {reason}: check source.user, source.domain and the password"
    )]
    Unfit {
        /// What is wrong.
        reason: &'static str,
    },
}

/// An account that can be used.
#[derive(Debug)]
pub(super) struct Account {
    /// With its domain.
    pub user: String,
    /// Marked as sensitive, so that it is not shown.
    pub authorization: HeaderValue,
}

impl Account {
    /// The account of these credentials at a server.
    pub fn new(credentials: &Credentials, root: &Url) -> Result<Self, AccountRefusal> {
        let unfit = |Unfit(reason)| AccountRefusal::Unfit { reason };
        let user = credentials.user_id().map_err(unfit)?;
        if root.scheme() != "https" {
            let url = root.to_string();
            return Err(AccountRefusal::NotEncrypted { url, user });
        }
        let authorization = credentials.basic(&user).map_err(unfit)?;
        Ok(Self {
            user,
            authorization,
        })
    }
}

/// What an upstream server wants that does not let this server in. Reads on after "the server".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInTrouble {
    /// An account, and none is set.
    AsksForAccount,
    /// Another one, or another password.
    Refuses {
        /// The account, with its domain.
        user: String,
    },
    /// Another way to sign in.
    OtherWay {
        /// What it offers, such as `Negotiate, NTLM`.
        offered: String,
    },
}

impl SignInTrouble {
    /// What the challenges of a status 401 mean for `user`.
    pub(super) fn of(challenges: &[String], user: Option<&str>) -> Self {
        if let Some(offered) = other_than_basic(challenges) {
            return Self::OtherWay { offered };
        }
        match user {
            Some(user) => Self::Refuses {
                user: user.to_owned(),
            },
            None => Self::AsksForAccount,
        }
    }
}

impl fmt::Display for SignInTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsksForAccount => f.write_str(
                "asks for an account; set source.user, and its password with headwater settings password \
                 source",
            ),
            Self::Refuses { user } => write!(
                f,
                "refuses the account {user}; check source.user, source.domain and the password, and that \
                 the account is a member of WSUS Administrators where the server asks for it"
            ),
            Self::OtherWay { offered } => write!(
                f,
                "lets servers in by {offered} only, which Headwater does not have; in IIS, allow anonymous \
                 or basic authentication for ServerSyncWebService and DssAuthWebService"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    fn jane() -> Credentials {
        Credentials {
            user: "jane".into(),
            domain: Some("CORP".into()),
            password: SecretString::from("hunter2"),
        }
    }

    #[test]
    fn a_password_is_not_sent_in_the_clear() {
        let root = Url::parse("http://wsus:8530").unwrap();
        let refused = Account::new(&jane(), &root).unwrap_err().to_string();
        assert!(refused.contains(r"CORP\jane") && refused.contains("in the clear"));
        let root = Url::parse("https://wsus:8531").unwrap();
        let account = Account::new(&jane(), &root).unwrap();
        assert!(!format!("{account:?}").contains("hunter2"));
        assert_eq!(account.authorization, "Basic Q09SUFxqYW5lOmh1bnRlcjI=");
    }

    #[test]
    fn what_the_server_wants_is_told() {
        let told = |challenges: &[&str], user| {
            let challenges: Vec<String> = challenges.iter().map(|&one| one.into()).collect();
            SignInTrouble::of(&challenges, user).to_string()
        };
        assert!(
            told(&["Negotiate", "NTLM"], Some("jane"))
                .starts_with("lets servers in by Negotiate, NTLM only")
        );
        assert!(
            told(&["Basic realm=\"wsus\""], Some("jane")).starts_with("refuses the account jane")
        );
        assert!(told(&[], None).contains("headwater settings password source"));
    }
}
