//! The example settings files show every setting with its true default. That they load as they are,
//! and that systemd takes the units, is tested in `tests/suites/deploy.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use clap::{Args, FromArgMatches};
use std::path::{Path, PathBuf};

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(name)
}

/// A line that sets something, in force or commented out: its key and the line without the mark.
fn setting(line: &str) -> Option<(&str, &str)> {
    let bare = line.strip_prefix("# ").unwrap_or(line);
    let (key, _) = bare.split_once(" = ")?;
    let is_key = key
        .bytes()
        .all(|c| c.is_ascii_lowercase() || b"-_".contains(&c));
    is_key.then_some((key, bare))
}

/// The example with every line in force, and its files in a folder of ours.
fn everything_set(name: &str) -> (tempfile::TempDir, PathBuf) {
    let text = std::fs::read_to_string(deploy(name)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let lines = text
        .lines()
        .map(|line| setting(line).map_or(line, |(_, bare)| bare));
    let set = lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("/etc/headwater", folder);
    let path = dir.path().join(name);
    std::fs::write(&path, set).unwrap();
    for (file, content) in [
        ("database-url", "postgres://u:p@h/d\n"),
        ("microsoft-root-2011.pem", "pem\n"),
        ("join-token", "hwj1.x\n"),
        (
            "content-key",
            "aws_access_key_id = a\naws_secret_access_key = b\n",
        ),
        ("first-settings.toml", "[products]\neverything = true\n"),
    ] {
        std::fs::write(dir.path().join(file), content).unwrap();
    }
    (dir, path)
}

fn parse<C: Args + FromArgMatches>(config: &Path) -> C {
    let command = C::augment_args(clap::Command::new("site"));
    let words = ["site", "--config", config.to_str().unwrap()];
    C::from_arg_matches(&command.get_matches_from(words)).unwrap()
}

/// Every flag has its key in the example, except those that belong on a command line.
fn check_complete<C: Args>(name: &str) {
    let text = std::fs::read_to_string(deploy(name)).unwrap();
    let shown: Vec<_> = text
        .lines()
        .filter_map(setting)
        .map(|(key, _)| key)
        .collect();
    let command = C::augment_args(clap::Command::new("site"));
    for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
        let key = match flag {
            // The secrets among them are in files.
            "config" | "join-token" | "database" => continue,
            "log" => "filter",
            "log-format" => "format",
            "otlp-endpoint" => "otlp_endpoint",
            // In a table of their own.
            other => other.strip_prefix("wsus-").unwrap_or(other),
        };
        assert!(shown.contains(&key), "{name} does not show {key}");
    }
}

#[test]
fn every_setting_is_shown() {
    check_complete::<central::Command>("central.toml");
    check_complete::<agent::Command>("agent.toml");
}

#[test]
fn the_shown_defaults_are_the_defaults() {
    let site = |site: &link::settings::SiteSettings| {
        let engine = &site.engine;
        let unless_given = settings::document::Failures::default();
        let times = (
            engine.retry_first.unwrap_or(unless_given.retry_first()),
            engine.retry_most.unwrap_or(unless_given.retry_most()),
            engine.poll,
        );
        let telemetry = (site.telemetry.filter.clone(), site.telemetry.format);
        (times, site.tombstones_kept, site.max_log_bytes, telemetry)
    };
    let (_dir, path) = everything_set("central.toml");
    let bare = central::Settings::load(parse(&deploy("central.toml"))).unwrap();
    let set = central::Settings::load(parse(&path)).unwrap();
    assert_eq!(bare.statement_validity, set.statement_validity);
    assert_eq!(bare.certificate_validity, set.certificate_validity);
    assert_eq!(site(&bare.site), site(&set.site));
    assert!(set.upstream.is_some() && bare.upstream.is_none());
    let (_dir, path) = everything_set("agent.toml");
    let bare = agent::Settings::load(parse(&deploy("agent.toml"))).unwrap();
    let set = agent::Settings::load(parse(&path)).unwrap();
    assert_eq!(site(&bare.site), site(&set.site));
    assert!(set.join_token.is_some());
}
