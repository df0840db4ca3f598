//! Who is told of alerts: web addresses, and people by mail. The secrets that this needs are kept apart,
//! sealed.

use crate::check::{Findings, MOST_TEXT, is_certificates, is_host, is_server};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Web addresses that are told.
pub const MOST_WEBHOOKS: usize = 10;
/// Longest web address, in bytes.
const MOST_URL: usize = 2_000;
/// People that mail goes to.
pub const MOST_RECIPIENTS: usize = 50;
/// Longest mail address, in bytes (RFC 5321).
const MOST_ADDRESS: usize = 254;
/// Longest part of one before the at sign.
const MOST_LOCAL: usize = 64;

/// Who is told when an alert is raised, ends or is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Notifications {
    /// Web addresses that get each notification as JSON, signed with the secret `notifications.secret`
    /// (`headwater settings password webhook`). Whoever may see the settings sees the addresses.
    pub webhooks: BTreeSet<String>,
    /// Mail.
    pub mail: Mail,
}

/// How the connection to the mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MailEncryption {
    /// It begins in the clear, and goes no further unless the server goes over to TLS.
    #[default]
    Starttls,
    /// It is TLS from the start.
    Tls,
}

/// Mail to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Mail {
    /// Name or address of the mail server (SMTP submission); none: nobody gets mail.
    pub host: Option<String>,
    /// Its port: 587 with starttls and 465 with tls, as a rule.
    pub port: u16,
    /// How the connection is encrypted. Nothing is sent in the clear.
    pub encryption: MailEncryption,
    /// Certificate authority of the mail server, in PEM, besides those of the system.
    pub ca_pem: Option<String>,
    /// User that signs in to it; none: nobody signs in. The password is kept apart, sealed
    /// (`headwater settings password mail`).
    pub user: Option<String>,
    /// Address that the mail comes from.
    pub from: Option<String>,
    /// Addresses that it goes to.
    pub to: BTreeSet<String>,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            host: None,
            port: 587,
            encryption: MailEncryption::Starttls,
            ca_pem: None,
            user: None,
            from: None,
            to: BTreeSet::new(),
        }
    }
}

impl Mail {
    /// Whether anybody gets mail.
    pub fn is_on(&self) -> bool {
        self.host.is_some()
    }
}

pub(crate) fn check(found: &mut Findings, notifications: &Notifications) {
    let webhooks = &notifications.webhooks;
    let why = format!("{} addresses: keep {MOST_WEBHOOKS} at most", webhooks.len());
    found.unless(
        webhooks.len() <= MOST_WEBHOOKS,
        "notifications.webhooks",
        why,
    );
    // An address may hold what gives access: it is not repeated.
    found.unless(
        webhooks.iter().take(MOST_WEBHOOKS).all(|url| is_webhook(url)),
        "notifications.webhooks",
        "one is not https:// with a host (http:// is for this machine itself, as in http://127.0.0.1:9000/), or has \
         a user, a fragment or spaces in it",
    );
    check_mail(found, &notifications.mail);
}

fn check_mail(found: &mut Findings, mail: &Mail) {
    if let Some(host) = &mail.host {
        let fine = is_host(host) || host.parse::<std::net::Ipv6Addr>().is_ok();
        found.unless(
            fine,
            "notifications.mail.host",
            "it is not a name or an address: put the port into notifications.mail.port",
        );
        found.unless(
            mail.from.is_some(),
            "notifications.mail.from",
            "mail needs an address that it comes from, such as headwater@example.org",
        );
        found.unless(
            !mail.to.is_empty(),
            "notifications.mail.to",
            "mail needs somebody that it goes to, such as patching@example.org",
        );
    }
    found.unless(mail.port > 0, "notifications.mail.port", "use 1 to 65535");
    found.unless(
        mail.user.is_none() || mail.host.is_some(),
        "notifications.mail.user",
        "there is no mail server to sign in to: set notifications.mail.host",
    );
    let is_user = |user: &String| {
        !user.is_empty() && user.len() <= MOST_TEXT && !user.chars().any(char::is_control)
    };
    found.unless(
        mail.user.as_ref().is_none_or(is_user),
        "notifications.mail.user",
        "it is empty, too long, or has control characters in it",
    );
    found.unless(
        mail.ca_pem.as_ref().is_none_or(|pem| is_certificates(pem)),
        "notifications.mail.ca-pem",
        "it is not a certificate in PEM of 64 KiB at most",
    );
    let addresses = "it is not a bare mail address, such as headwater@example.org";
    found.unless(
        mail.from.as_ref().is_none_or(|from| is_address(from)),
        "notifications.mail.from",
        addresses,
    );
    let why = format!(
        "{} addresses: keep {MOST_RECIPIENTS} at most",
        mail.to.len()
    );
    found.unless(
        mail.to.len() <= MOST_RECIPIENTS,
        "notifications.mail.to",
        why,
    );
    let mut recipients = mail.to.iter().take(MOST_RECIPIENTS);
    if let Some(wrong) = recipients.find(|to| !is_address(to)) {
        let shown = catalog::Problem::new(format_args!("{wrong:?}"));
        let why = format!("{shown}: {addresses}");
        found.unless(false, "notifications.mail.to", why);
    }
}

/// A web address that may be told: encrypted, or on this machine.
fn is_webhook(url: &str) -> bool {
    if url.len() > MOST_URL || !url.bytes().all(|c| c.is_ascii_graphic()) || url.contains('#') {
        return false;
    }
    let (encrypted, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        (None, None) => return false,
    };
    let server = rest.split(['/', '?']).next().unwrap_or_default();
    is_server(server) && (encrypted || is_this_machine(server))
}

/// Whether a server, with or without a port, is the machine itself.
fn is_this_machine(server: &str) -> bool {
    let host = match server.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host,
        Some(_) | None => server,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A mail address without a name, quotes or comments: what ends up in a header is this and nothing else.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let is_atom = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&c);
    let dots = |part: &str| part.starts_with('.') || part.ends_with('.') || part.contains("..");
    text.len() <= MOST_ADDRESS
        && (1..=MOST_LOCAL).contains(&local.len())
        && local.bytes().all(is_atom)
        && !dots(local)
        && !domain.starts_with('[')
        && is_host(domain)
        && !dots(domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::check::CheckError;

    fn with(changes: &[&str]) -> Settings {
        let changes: Vec<_> = changes.iter().map(|text| text.parse().unwrap()).collect();
        Settings::default().with(&changes).unwrap()
    }

    #[track_caller]
    fn refused(changes: &[&str], name: &str, part: &str) {
        let CheckError(wrong) = with(changes).check().unwrap_err();
        let said = |wrong: &crate::check::Wrong| wrong.name == name && wrong.why.contains(part);
        assert!(wrong.iter().any(said), "{wrong:?}");
    }

    #[test]
    fn a_webhook_is_encrypted_or_on_this_machine() {
        for url in [
            "https://hooks.example.org/T0/B0?x=1",
            "https://hooks.example.org:8443",
            "http://127.0.0.1:9000/x",
            "http://localhost/x",
            "http://[::1]:9000/x",
        ] {
            assert!(is_webhook(url), "{url}");
        }
        for url in [
            "http://hooks.example.org/x",
            "http://127.0.0.1.example.org/x",
            "https://",
            "https://user:password@host/x",
            "https://host/x y",
            "https://host/x#y",
            "ftp://host",
            "host",
        ] {
            assert!(!is_webhook(url), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_webhook_does_not_repeat_it() {
        let changes = ["notifications.webhooks+=http://hooks.example.org/hunter2"];
        refused(&changes, "notifications.webhooks", "https://");
        let told = with(&changes).check().unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
        let many: Vec<String> = (0..=MOST_WEBHOOKS)
            .map(|n| format!("notifications.webhooks+=https://h{n}"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(with(&many[1..]).check(), Ok(()));
        refused(&many, "notifications.webhooks", "keep 10 at most");
    }

    #[test]
    fn mail_needs_a_sender_and_a_recipient() {
        let host = "notifications.mail.host=mail.example.org";
        let from = "notifications.mail.from=headwater@example.org";
        let to = "notifications.mail.to+=patching@example.org";
        assert_eq!(with(&[host, from, to]).check(), Ok(()));
        refused(&[host, to], "notifications.mail.from", "comes from");
        refused(&[host, from], "notifications.mail.to", "goes to");
        let user = "notifications.mail.user=headwater";
        refused(
            &[user],
            "notifications.mail.user",
            "set notifications.mail.host",
        );
        refused(
            &["notifications.mail.port=0"],
            "notifications.mail.port",
            "65535",
        );
        refused(
            &["notifications.mail.ca-pem=x"],
            "notifications.mail.ca-pem",
            "PEM",
        );
    }

    #[test]
    fn a_mail_address_is_nothing_else() {
        for address in ["a@b", "first.last+tag@mail.example.org"] {
            assert!(is_address(address), "{address}");
        }
        for address in [
            "",
            "a",
            "@b",
            "a@",
            "a b@c",
            "Anna <a@b>",
            "a@b\r\nBcc: c@d",
            "a@[::1]",
            ".a@b",
            "a..b@c",
            "a@b..c",
            "a@b@c",
        ] {
            assert!(!is_address(address), "{address:?}");
        }
        refused(
            &["notifications.mail.from=Anna <a@b>"],
            "notifications.mail.from",
            "bare",
        );
        refused(
            &["notifications.mail.to+=nobody"],
            "notifications.mail.to",
            "nobody",
        );
    }
}
