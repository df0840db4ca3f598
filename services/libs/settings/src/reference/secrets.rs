//! The secrets beside the settings.

/// A secret: kept sealed, never shown, in no version of the settings and at no other site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// What `headwater settings password` calls it.
    pub word: &'static str,
    /// What WSUS or Configuration Manager calls it.
    pub answers_to: &'static str,
}

impl Secret {
    /// The section of the settings that it belongs to.
    pub fn section(&self) -> &'static str {
        self.name.split('.').next().unwrap_or_default()
    }
}

/// All of them.
pub const SECRETS: [Secret; 4] = [
    Secret {
        name: "source.password",
        meaning: "Password of the connection account, `source.user`. It is for this server and this account alone.",
        word: "source",
        answers_to: "WSUS server connection account: password",
    },
    Secret {
        name: "proxy.password",
        meaning: "Password of the proxy's user, `proxy.user`. It is for this proxy and this user alone.",
        word: "proxy",
        answers_to: "Proxy and account settings: proxy credentials; WSUS: password",
    },
    Secret {
        name: "notifications.secret",
        meaning: "What notifications to `notifications.webhooks` are signed with.",
        word: "webhook",
        answers_to: "-",
    },
    Secret {
        name: "notifications.mail.password",
        meaning: "Password of the mail server's user, `notifications.mail.user`. It is for this server and this user alone.",
        word: "mail",
        answers_to: "E-mail Notifications: logon to the server: password",
    },
];
