//! Whether the document makes sense as a whole. Types and names are checked when it is read; here are the
//! limits, and what does not go together.

use crate::document::{Failures, Proxy, Settings, Source, SynchronizeAction};
use crate::languages::Sites;
use catalog::SiteCode;
use std::fmt;

/// Longest text of a setting, in characters; certificates have their own limit.
pub(crate) const MOST_TEXT: usize = 255;
/// Longest certificate authority file, in bytes.
const MOST_CA_BYTES: usize = 64 * 1024;
/// Products, and classifications, that can be chosen one by one.
pub(crate) const MOST_CHOSEN: usize = 5_000;
/// Sites that have settings of their own.
const MOST_SITES: usize = 10_000;
/// Failures in a row that can be waited for.
const MOST_FAILURES: u8 = 100;

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The setting.
    pub name: String,
    /// Why, and what to do.
    pub why: String,
}

/// Everything that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CheckError(pub Vec<Wrong>);

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, wrong) in self.0.iter().enumerate() {
            let parting = if number == 0 { "" } else { "; " };
            write!(f, "{parting}the setting {}: {}", wrong.name, wrong.why)?;
        }
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Findings(Vec<Wrong>);

impl Findings {
    pub(crate) fn unless(&mut self, fine: bool, name: impl Into<String>, why: impl Into<String>) {
        if !fine {
            self.0.push(Wrong {
                name: name.into(),
                why: why.into(),
            });
        }
    }

    pub(crate) fn result(self) -> Result<(), CheckError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(CheckError(self.0))
        }
    }
}

impl Settings {
    /// Checks the document as a whole.
    ///
    /// # Errors
    /// Everything that is wrong, each with its name, its limits and what to do.
    pub fn check(&self) -> Result<(), CheckError> {
        let mut found = Findings::default();
        check_source(&mut found, &self.source);
        check_proxy(&mut found, &self.proxy);
        for (name, chosen) in [
            ("products.products", &self.products.products),
            ("products.classifications", &self.products.classifications),
        ] {
            let why =
                format!("{MOST_CHOSEN} can be chosen one by one: choose families, or everything");
            found.unless(chosen.len() <= MOST_CHOSEN, name, why);
        }
        check_failures(&mut found, &self.failures);
        if let Err(error) = self.schedule.check() {
            found.unless(false, "schedule", error.to_string());
        }
        check_limits(&mut found, self);
        crate::approvals::check(&mut found, &self.approvals);
        crate::alerts::check(&mut found, &self.alerts);
        crate::content::check(&mut found, self);
        crate::notifications::check(&mut found, &self.notifications);
        let why = format!("{MOST_SITES} sites can have settings of their own");
        found.unless(self.site.len() <= MOST_SITES, "site", why);
        found.result()
    }

    /// Leaves out what an earlier version sets for sites that are gone, unless the settings `held` do so too. The
    /// sites that it was about.
    pub fn leave_out_gone(&mut self, held: &Self, sites: &Sites) -> Vec<SiteCode> {
        let stays = |site: &SiteCode| sites.contains_key(site) || held.site.contains_key(site);
        let gone: Vec<SiteCode> = self
            .site
            .keys()
            .copied()
            .filter(|site| !stays(site))
            .collect();
        self.site.retain(|site, _| stays(site));
        gone
    }

    /// Checks what is set for single sites against the sites that there are. What stood in the settings
    /// `before` for a site that was removed since stands in nobody's way.
    ///
    /// # Errors
    /// Everything that is wrong: a site that is not there, or languages that its parent does not have.
    pub fn check_sites(&self, before: &Self, sites: &Sites) -> Result<(), CheckError> {
        let mut found = Findings::default();
        for (site, section) in &self.site {
            let is_left_over = !sites.contains_key(site) && before.site.get(site) == Some(section);
            if !is_left_over
                && section.update_files.is_some()
                && let Some(why) = self.wrong_with_site(*site, sites)
            {
                found.unless(false, format!("site.{site}.update-files"), why);
            }
            if !is_left_over
                && !section.content.is_empty()
                && let Some((field, why)) = self.wrong_with_content(*site, sites)
            {
                found.unless(false, format!("site.{site}.content{field}"), why);
            }
        }
        found.result()
    }
}

fn check_source(found: &mut Findings, source: &Source) {
    let needed = source.action == SynchronizeAction::UpstreamServer;
    found.unless(
        !needed || source.url.is_some(),
        "source.url",
        "an upstream server needs its URL, for instance https://wsus.example.org:8531",
    );
    if let Some(url) = &source.url {
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        let host = rest.map(|rest| rest.trim_end_matches('/'));
        let fine = host.is_some_and(|host| is_server(host) && url.len() <= MOST_TEXT);
        found.unless(
            fine,
            "source.url",
            "it is not http:// or https:// with a host, and a port where it is not 80 or 443; no user, no path",
        );
    }
    let is_encrypted =
        needed && (source.url.as_ref()).is_some_and(|url| url.starts_with("https://"));
    found.unless(
        source.user.is_none() || is_encrypted,
        "source.user",
        "a connection account signs in to an upstream server with an https:// address only: its password is \
         not sent in the clear, and Microsoft Update asks for none",
    );
    found.unless(
        source.domain.is_none() || source.user.is_some(),
        "source.domain",
        "a domain is nothing without a user: set source.user",
    );
    check_names(
        found,
        [
            ("source.user", &source.user),
            ("source.domain", &source.domain),
        ],
    );
    let requests = source.parallel_requests;
    let why = format!("{requests} requests: use 1 to 16");
    found.unless(
        (1..=16).contains(&requests),
        "source.parallel-requests",
        why,
    );
    if let Some(pem) = &source.ca_pem {
        found.unless(
            is_certificates(pem),
            "source.ca-pem",
            "it is not a certificate in PEM of 64 KiB at most",
        );
    }
}

/// What is done when a synchronization failed.
fn check_failures(found: &mut Findings, failures: &Failures) {
    let after = failures.switch_source_after;
    found.unless(
        after <= MOST_FAILURES,
        "failures.switch-source-after",
        format!("{after} failures: use 1 to {MOST_FAILURES}, or 0 for never"),
    );
    let (first, most) = (failures.retry_first_seconds, failures.retry_most_minutes);
    found.unless(
        (1..=3600).contains(&first),
        "failures.retry-first-seconds",
        format!("{first} seconds: use 1 to 3600"),
    );
    found.unless(
        (1..=1440).contains(&most),
        "failures.retry-most-minutes",
        format!("{most} minutes: use 1 to 1440"),
    );
    found.unless(
        most == 0 || failures.retry_first() <= failures.retry_most(),
        "failures.retry-first-seconds",
        format!(
            "{first} seconds are more than the {most} minutes of failures.retry-most-minutes, the longest wait"
        ),
    );
}

/// Months and days.
fn check_limits(found: &mut Findings, settings: &Settings) {
    let (supersedence, cleanup) = (&settings.supersedence, &settings.cleanup);
    for (name, months) in [
        ("supersedence.feature-updates", supersedence.feature_updates),
        ("supersedence.other-updates", supersedence.other_updates),
    ] {
        let why = format!("{months} months: use 1 to 99, or 0 for at once");
        found.unless(months <= 99, name, why);
    }
    for (name, days) in [
        ("cleanup.days", cleanup.days),
        ("cleanup.undeployed-days", cleanup.undeployed_days),
        ("cleanup.content-days", cleanup.content_days),
    ] {
        let why = format!("{days} days: use 1 to 365, or 0 for at once");
        found.unless(days <= 365, name, why);
    }
    let days = cleanup.history_days;
    let why = format!("{days} days: use 1 to 3650");
    found.unless((1..=3650).contains(&days), "cleanup.history-days", why);
}

/// Certificates in PEM, as far as one sees without reading them.
pub(crate) fn is_certificates(pem: &str) -> bool {
    pem.len() <= MOST_CA_BYTES && pem.contains("-----BEGIN CERTIFICATE-----")
}

/// A host, and perhaps a port.
pub(crate) fn is_server(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    is_host(host) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

pub(crate) fn is_host(text: &str) -> bool {
    let address = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !text.is_empty()
                && text.len() <= MOST_TEXT
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        }
    }
}

fn check_proxy(found: &mut Findings, proxy: &Proxy) {
    if let Some(host) = &proxy.host {
        let fine = is_host(host) || host.parse::<std::net::Ipv6Addr>().is_ok();
        found.unless(
            fine,
            "proxy.host",
            "it is not a name or an address: leave http:// out, and put the port into proxy.port",
        );
    }
    found.unless(proxy.port > 0, "proxy.port", "use 1 to 65535");
    found.unless(
        proxy.user.is_none() || proxy.host.is_some(),
        "proxy.user",
        "there is no proxy to sign in to: set proxy.host",
    );
    found.unless(
        proxy.domain.is_none() || proxy.user.is_some(),
        "proxy.domain",
        "a domain is nothing without a user: set proxy.user",
    );
    found.unless(
        proxy.user.is_none() || proxy.allow_basic_authentication,
        "proxy.allow-basic-authentication",
        "signing in otherwise (NTLM, Negotiate) is not supported, and the password is not sent in the \
         clear unasked: set it to true, or take proxy.user out",
    );
    check_names(
        found,
        [("proxy.user", &proxy.user), ("proxy.domain", &proxy.domain)],
    );
}

/// Checks the names that somebody signs in with.
fn check_names(found: &mut Findings, names: [(&str, &Option<String>); 2]) {
    for (name, text) in names {
        let fine = text.as_ref().is_none_or(|text| {
            !text.is_empty() && text.len() <= MOST_TEXT && !text.chars().any(char::is_control)
        });
        found.unless(
            fine,
            name,
            "it is empty, too long, or has control characters in it",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: &[&str]) -> Settings {
        let changes: Vec<_> = changes.iter().map(|text| text.parse().unwrap()).collect();
        Settings::default().with(&changes).unwrap()
    }

    #[track_caller]
    fn refused(changes: &[&str], name: &str, part: &str) {
        let CheckError(wrong) = with(changes).check().unwrap_err();
        let said = wrong
            .iter()
            .any(|wrong| wrong.name == name && wrong.why.contains(part));
        assert!(said, "{wrong:?}");
    }

    #[test]
    fn the_defaults_make_sense() {
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let error = with(&["source.parallel-requests=17", "proxy.port=0"]).check();
        let told = error.unwrap_err().to_string();
        assert_eq!(
            told,
            "the setting source.parallel-requests: 17 requests: use 1 to 16; the setting \
             proxy.port: use 1 to 65535"
        );
    }

    #[test]
    fn months_and_days_have_limits() {
        let months = "100 months: use 1 to 99, or 0 for at once";
        for name in ["supersedence.feature-updates", "supersedence.other-updates"] {
            refused(&[&format!("{name}=100")], name, months);
            for fine in [0, 1, 99] {
                assert_eq!(with(&[&format!("{name}={fine}")]).check(), Ok(()));
            }
        }
        for name in [
            "cleanup.days",
            "cleanup.undeployed-days",
            "cleanup.content-days",
        ] {
            let days = "366 days: use 1 to 365, or 0 for at once";
            refused(&[&format!("{name}=366")], name, days);
            for fine in [0, 1, 365] {
                assert_eq!(with(&[&format!("{name}={fine}")]).check(), Ok(()));
            }
        }
        for days in ["0", "3651"] {
            let change = format!("cleanup.history-days={days}");
            refused(&[&change], "cleanup.history-days", "use 1 to 3650");
        }
    }

    #[test]
    fn a_source_is_a_host_and_a_port() {
        for url in [
            "http://wsus:8530",
            "https://wsus.example.org",
            "https://[::1]:8531/",
        ] {
            let url = format!("source.url={url}");
            let settings = with(&["source.action=upstream-server", &url]);
            assert_eq!(settings.check(), Ok(()), "{url}");
        }
        refused(
            &["source.action=upstream-server"],
            "source.url",
            "needs its URL",
        );
        for url in [
            "wsus",
            "ftp://wsus",
            "http://",
            "http://u:p@wsus",
            "http://wsus:0",
            "http://wsus/x",
        ] {
            refused(
                &[&format!("source.url={url}")],
                "source.url",
                "no user, no path",
            );
        }
        refused(&["source.ca-pem=hello"], "source.ca-pem", "PEM");
    }

    #[test]
    fn a_connection_account_signs_in_over_tls_only() {
        let https = [
            "source.action=upstream-server",
            "source.url=https://wsus:8531",
            "source.user=anna",
        ];
        assert_eq!(with(&https).check(), Ok(()));
        let http = [https[0], "source.url=http://wsus:8530", https[2]];
        refused(&http, "source.user", "not sent in the clear");
        refused(
            &["source.action=microsoft-update", https[2]],
            "source.user",
            "asks for none",
        );
        refused(&["source.domain=corp"], "source.domain", "without a user");
    }

    #[test]
    fn failures_in_a_row_have_a_limit() {
        assert_eq!(with(&["failures.switch-source-after=100"]).check(), Ok(()));
        refused(
            &["failures.switch-source-after=101"],
            "failures.switch-source-after",
            "use 1 to 100, or 0 for never",
        );
    }

    #[test]
    fn waits_between_failures_have_limits_and_the_first_is_not_the_longer_one() {
        let (first, most) = (
            "failures.retry-first-seconds",
            "failures.retry-most-minutes",
        );
        for (name, wrong, limits) in [
            (first, "0", "0 seconds: use 1 to 3600"),
            (first, "3601", "3601 seconds: use 1 to 3600"),
            (most, "0", "0 minutes: use 1 to 1440"),
            (most, "1441", "1441 minutes: use 1 to 1440"),
        ] {
            refused(&[&format!("{name}={wrong}")], name, limits);
        }
        let longer = [
            "failures.retry-first-seconds=121",
            "failures.retry-most-minutes=2",
        ];
        refused(&longer, first, "more than the 2 minutes");
        let equal = ["failures.retry-first-seconds=120", longer[1]];
        assert_eq!(with(&equal).check(), Ok(()));
    }

    #[test]
    fn a_password_is_not_sent_in_the_clear_unasked() {
        let proxy = ["proxy.host=proxy.example", "proxy.user=anna"];
        refused(&proxy, "proxy.allow-basic-authentication", "NTLM");
        let allowed = [proxy[0], proxy[1], "proxy.allow-basic-authentication=true"];
        assert_eq!(with(&allowed).check(), Ok(()));
        refused(&["proxy.user=anna"], "proxy.user", "set proxy.host");
        refused(&["proxy.domain=corp"], "proxy.domain", "without a user");
        refused(
            &["proxy.host=http://proxy"],
            "proxy.host",
            "leave http:// out",
        );
    }
}
