//! Whether the document makes sense as a whole. Types and names are checked when it is read; here are the
//! limits, and what does not go together.

use crate::document::{
    ApprovalRule, Cleanup, LanguageChoice, Proxy, RuleApproval, Settings, Source, SynchronizeAction,
};
use std::fmt;

/// Longest text of a setting, in characters; certificates have their own limit.
const MOST_TEXT: usize = 255;
/// Longest certificate authority file, in bytes.
const MOST_CA_BYTES: usize = 64 * 1024;
/// Products, and classifications, that can be chosen one by one.
const MOST_CHOSEN: usize = 5_000;
/// Languages that can be chosen.
const MOST_LANGUAGES: usize = 100;
/// Rules of automatic approval.
const MOST_RULES: usize = 100;
/// Sites with settings of their own.
const MOST_SITES: usize = 20_000;
/// Most months that a superseded update waits (Configuration Manager).
const MOST_MONTHS: u8 = 99;
/// Longest time to a deadline.
const MOST_DEADLINE_DAYS: u16 = 365;
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
struct Findings(Vec<Wrong>);

impl Findings {
    fn unless(&mut self, fine: bool, name: impl Into<String>, why: impl Into<String>) {
        if !fine {
            self.0.push(Wrong {
                name: name.into(),
                why: why.into(),
            });
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
        check_languages(
            &mut found,
            "languages.summary-details",
            &self.languages.summary_details,
        );
        check_languages(
            &mut found,
            "languages.update-files",
            &self.languages.update_files,
        );
        for (name, months) in [
            (
                "supersedence.feature-updates",
                self.supersedence.feature_updates,
            ),
            (
                "supersedence.other-updates",
                self.supersedence.other_updates,
            ),
        ] {
            let why = format!("{months} months: use 0 (at once) to {MOST_MONTHS}");
            found.unless(months <= MOST_MONTHS, name, why);
        }
        let rules = &self.approvals.rules;
        let why = format!("there are {}: {MOST_RULES} at most", rules.len());
        found.unless(rules.len() <= MOST_RULES, "approvals.rules", why);
        for (name, rule) in rules {
            check_rule(&mut found, name, rule);
        }
        if let Err(error) = self.schedule.check() {
            found.unless(false, "schedule", error.to_string());
        }
        check_cleanup(&mut found, &self.cleanup);
        let failures = self.failures.switch_source_after;
        let why = format!("{failures} failures: use 0 (never) to {MOST_FAILURES}");
        found.unless(
            failures <= MOST_FAILURES,
            "failures.switch-source-after",
            why,
        );
        let why = format!("{MOST_SITES} at most");
        found.unless(self.sites.len() <= MOST_SITES, "sites", why);
        for (site, settings) in &self.sites {
            let name = format!("sites.{site}.update-files");
            check_languages(&mut found, &name, &settings.update_files);
            let why = "a site has languages of the hierarchy (languages.update-files), never more: \
                       add the language there first, or take it out here";
            let within = settings
                .update_files
                .is_within(&self.languages.update_files);
            found.unless(within, name, why);
        }
        if found.0.is_empty() {
            Ok(())
        } else {
            Err(CheckError(found.0))
        }
    }
}

impl LanguageChoice {
    /// Whether a child may choose this where its parent has `parent`: a part of it, never more. A child
    /// that takes all takes all that its parent has.
    pub fn is_within(&self, parent: &Self) -> bool {
        match (self, parent) {
            (Self::All, _) | (_, Self::All) => true,
            (Self::ServerLocale, Self::ServerLocale) => true,
            (Self::Chosen(chosen), Self::Chosen(parent)) => chosen
                .iter()
                .all(|tag| tag == ENGLISH || parent.contains(tag)),
            // Which language a server speaks is known there alone.
            (Self::Chosen(chosen), Self::ServerLocale) => chosen.iter().all(|tag| tag == ENGLISH),
            (Self::ServerLocale, Self::Chosen(_)) => false,
        }
    }
}

/// Always there.
pub const ENGLISH: &str = "en";

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
        let fine = host.is_some_and(|host| is_authority(host) && url.len() <= MOST_TEXT);
        found.unless(
            fine,
            "source.url",
            "it is not http:// or https:// with a host, and a port where it is not 80 or 443; no user, no path",
        );
    }
    let requests = source.parallel_requests;
    let why = format!("{requests} requests: use 1 to 16");
    found.unless(
        (1..=16).contains(&requests),
        "source.parallel-requests",
        why,
    );
    if let Some(pem) = &source.ca_pem {
        let fine = pem.len() <= MOST_CA_BYTES && pem.contains("-----BEGIN CERTIFICATE-----");
        found.unless(
            fine,
            "source.ca-pem",
            "it is not a certificate in PEM of 64 KiB at most",
        );
    }
}

/// A host, and perhaps a port.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    is_host(host) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_host(text: &str) -> bool {
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
    for (name, text) in [("proxy.user", &proxy.user), ("proxy.domain", &proxy.domain)] {
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

fn check_languages(found: &mut Findings, name: &str, choice: &LanguageChoice) {
    let LanguageChoice::Chosen(tags) = choice else {
        return;
    };
    found.unless(
        tags.len() <= MOST_LANGUAGES,
        name,
        format!("{MOST_LANGUAGES} languages at most: use all"),
    );
    for tag in tags.iter().take(MOST_LANGUAGES) {
        let mut parts = tag.split('-');
        let language = parts.next().is_some_and(|language| {
            matches!(language.len(), 2 | 3) && language.chars().all(|c| c.is_ascii_lowercase())
        });
        let rest = parts.all(|part| {
            (2..=8).contains(&part.len())
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        });
        found.unless(
            language && rest && tag.len() <= 20,
            name,
            format!(
                "{} is not a language tag in small letters such as de or pt-br",
                catalog::Problem::new(format_args!("{tag:?}"))
            ),
        );
    }
}

fn check_rule(found: &mut Findings, name: &str, rule: &ApprovalRule) {
    let called = |setting: &str| format!("approvals.rules.{name}{setting}");
    let fine = (1..=64).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !fine {
        let shown = catalog::Problem::new(format_args!("approvals.rules.{name}"));
        found.unless(
            false,
            shown.to_string(),
            "a rule's name has 1 to 64 small letters, digits and hyphens",
        );
        return;
    }
    let chosen = rule.products.len().max(rule.classifications.len());
    found.unless(
        chosen <= MOST_CHOSEN,
        called(""),
        format!("{MOST_CHOSEN} products can be chosen one by one: choose families"),
    );
    let title = rule.title.as_deref().unwrap_or("*");
    found.unless(
        !title.is_empty() && title.len() <= MOST_TEXT && !title.chars().any(char::is_control),
        called(".title"),
        "it is empty, too long, or has control characters in it; * stands for any text",
    );
    let days = rule.deadline_days.unwrap_or(0);
    found.unless(
        days <= MOST_DEADLINE_DAYS,
        called(".deadline-days"),
        format!("{days} days: use 0 to {MOST_DEADLINE_DAYS}"),
    );
    found.unless(
        rule.deadline_days.is_none() || rule.approval == RuleApproval::Install,
        called(".deadline-days"),
        "only what is approved for installation has a deadline",
    );
}

fn check_cleanup(found: &mut Findings, cleanup: &Cleanup) {
    let days = cleanup.days;
    let why = format!("{days} days: use 1 to 365");
    found.unless((1..=365).contains(&days), "cleanup.days", why);
    let days = cleanup.history_days;
    let why = format!("{days} days: use 1 to 3650");
    found.unless((1..=3650).contains(&days), "cleanup.history-days", why);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let error = with(&["supersedence.other-updates=100", "proxy.port=0"]).check();
        let told = error.unwrap_err().to_string();
        assert_eq!(
            told,
            "the setting proxy.port: use 1 to 65535; the setting supersedence.other-updates: \
             100 months: use 0 (at once) to 99"
        );
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

    #[test]
    fn a_child_has_languages_of_the_hierarchy_and_never_more() {
        let hierarchy = r#"languages.update-files={"chosen":["de","fr"]}"#;
        let site = |tags: &str| format!(r#"sites.SE1.update-files={{"chosen":{tags}}}"#);
        assert_eq!(with(&[hierarchy, &site(r#"["de","en"]"#)]).check(), Ok(()));
        refused(
            &[hierarchy, &site(r#"["de","it"]"#)],
            "sites.SE1.update-files",
            "never more",
        );
        refused(
            &[r#"languages.update-files={"chosen":["German"]}"#],
            "languages.update-files",
            "language tag",
        );
    }

    #[test]
    fn rules_of_approval_have_names_and_limits() {
        refused(
            &["approvals.rules.pilot.deadline-days=366"],
            "approvals.rules.pilot.deadline-days",
            "0 to 365",
        );
        refused(
            &["approvals.rules.default-detection.deadline-days=3"],
            "approvals.rules.default-detection.deadline-days",
            "only what is approved for installation",
        );
        refused(
            &["approvals.rules.Pilot!.enabled=true"],
            "approvals.rules.Pilot!",
            "small letters",
        );
    }

    proptest! {
        #[test]
        fn what_is_within_a_part_is_within_the_whole(
            child in proptest::collection::btree_set("[a-d]{2}", 0..4),
            parent in proptest::collection::btree_set("[a-d]{2}", 0..4),
        ) {
            let (child, parent) = (LanguageChoice::Chosen(child), LanguageChoice::Chosen(parent));
            prop_assert!(child.is_within(&child));
            prop_assert!(child.is_within(&LanguageChoice::All));
            let LanguageChoice::Chosen(tags) = &child else { unreachable!() };
            let LanguageChoice::Chosen(held) = &parent else { unreachable!() };
            prop_assert_eq!(child.is_within(&parent), tags.is_subset(held));
        }
    }
}
