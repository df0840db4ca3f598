//! The secrets that settings refer to. Each is kept sealed for one place: it opens for the server and the user
//! that it was set for, and goes to no other one.

use settings::Settings;
use settings::document::SynchronizeAction;
use std::str::FromStr;

/// A secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// Password of the proxy's user.
    ProxyPassword,
    /// Password of the connection account at the upstream server.
    SourcePassword,
    /// What notifications to web addresses are signed with.
    NotificationSecret,
    /// Password of the user at the mail server.
    MailPassword,
}

impl Secret {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ProxyPassword,
        Self::SourcePassword,
        Self::NotificationSecret,
        Self::MailPassword,
    ];

    /// Its name, like that of a setting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProxyPassword => "proxy.password",
            Self::SourcePassword => "source.password",
            Self::NotificationSecret => "notifications.secret",
            Self::MailPassword => "notifications.mail.password",
        }
    }

    /// For which server and user it is sealed; none while the settings name none.
    pub fn place(self, settings: &Settings) -> Option<String> {
        let (server, user, domain) = match self {
            Self::ProxyPassword => {
                let proxy = &settings.proxy;
                let server = format!("{}:{}", proxy.host.as_ref()?, proxy.port);
                (server, proxy.user.as_ref()?, &proxy.domain)
            }
            Self::SourcePassword => {
                let source = &settings.source;
                let url = source.url.as_ref()?.trim_end_matches('/').to_lowercase();
                if source.action != SynchronizeAction::UpstreamServer {
                    return None;
                }
                (url, source.user.as_ref()?, &source.domain)
            }
            // It signs, and goes to nobody.
            Self::NotificationSecret => return Some(self.name().to_owned()),
            Self::MailPassword => {
                let mail = &settings.notifications.mail;
                let server = format!("{}:{}", mail.host.as_ref()?.to_lowercase(), mail.port);
                (server, mail.user.as_ref()?, &None)
            }
        };
        let domain = domain.as_deref().unwrap_or_default();
        Some(format!("{} {server} {domain}\\{user}", self.name()))
    }

    /// What has to be set before it can be kept.
    pub const fn needs(self) -> &'static str {
        match self {
            Self::ProxyPassword => {
                "a password is kept for one proxy and one user: set proxy.host and proxy.user first"
            }
            Self::SourcePassword => {
                "a password is kept for one upstream server and one account: set source.action, source.url \
                 and source.user first"
            }
            Self::NotificationSecret => "it needs nothing",
            Self::MailPassword => {
                "a password is kept for one mail server and one user: set notifications.mail.host and \
                 notifications.mail.user first"
            }
        }
    }

    /// What is wrong where it is needed and is not there.
    pub const fn missing(self) -> &'static str {
        match self {
            Self::ProxyPassword => {
                "the proxy's user has no password, or it was set for another proxy or user: set it \
                 (headwater settings password)"
            }
            Self::SourcePassword => {
                "the connection account has no password, or it was set for another server or account: set \
                 it (headwater settings password source)"
            }
            Self::NotificationSecret => {
                "there is no secret to sign notifications with: set it (headwater settings password webhook)"
            }
            Self::MailPassword => {
                "the user of the mail server has no password, or it was set for another server or user: set \
                 it (headwater settings password mail)"
            }
        }
    }
}

/// A name that no secret has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no secret of this name: there are proxy.password, source.password, notifications.secret and \
     notifications.mail.password"
)]
pub struct NoSuchSecret;

impl FromStr for Secret {
    type Err = NoSuchSecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|secret| secret.name() == text).ok_or(NoSuchSecret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_for_one_server_and_one_user() {
        let mut settings = Settings::default();
        for secret in Secret::ALL {
            let goes_nowhere = secret == Secret::NotificationSecret;
            assert_eq!(secret.place(&settings).is_some(), goes_nowhere);
            assert_eq!(secret.name().parse(), Ok(secret));
        }
        settings.source.action = SynchronizeAction::UpstreamServer;
        settings.source.url = Some("https://WSUS:8531/".to_owned());
        settings.source.user = Some("jane".to_owned());
        let here = Secret::SourcePassword.place(&settings);
        assert_eq!(
            here.as_deref(),
            Some(r"source.password https://wsus:8531 \jane")
        );
        settings.source.url = Some("https://other:8531".to_owned());
        assert_ne!(Secret::SourcePassword.place(&settings), here);
        settings.source.action = SynchronizeAction::MicrosoftUpdate;
        assert_eq!(Secret::SourcePassword.place(&settings), None);
    }
}
