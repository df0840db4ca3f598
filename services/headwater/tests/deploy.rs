//! What is delivered beside the program is right: example settings load and are complete, units verify.

use clap::{Args, FromArgMatches};
use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(name)
}

/// The example with every example line in force, beside the files that it names.
fn everything_set(name: &str) -> (tempfile::TempDir, PathBuf) {
    let text = std::fs::read_to_string(deploy(name)).unwrap();
    let set: Vec<_> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, set.join("\n")).unwrap();
    std::fs::write(dir.path().join("database-url"), "postgres://u:p@h/d\n").unwrap();
    std::fs::write(dir.path().join("upstream-ca.pem"), "pem\n").unwrap();
    std::fs::write(dir.path().join("join-token"), "hwj1.x\n").unwrap();
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
    let command = C::augment_args(clap::Command::new("site"));
    for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
        let key = match flag {
            "config" | "join-token" | "database" => continue,
            "log" => "filter",
            "log-format" => "format",
            "otlp-endpoint" => "otlp_endpoint",
            other => other,
        };
        let is_set = |line: &str| {
            line.trim_start_matches('#')
                .starts_with(&format!("{key} = "))
        };
        assert!(text.lines().any(is_set), "{name} does not show {key}");
    }
}

#[test]
fn the_example_of_a_central_site_loads_and_shows_every_setting() {
    let settings = central::settings::Settings::load(parse(&deploy("central.toml"))).unwrap();
    assert_eq!(settings.site_code.to_string(), "CAS");
    let (_dir, path) = everything_set("central.toml");
    let settings = central::settings::Settings::load(parse(&path)).unwrap();
    assert_eq!(settings.names, ["cas.example.org"]);
    assert!(settings.upstream.is_some());
    check_complete::<central::Command>("central.toml");
}

#[test]
fn the_example_of_a_child_site_loads_and_shows_every_setting() {
    let settings = agent::settings::Settings::load(parse(&deploy("agent.toml"))).unwrap();
    assert_eq!(settings.parent, "https://cas.example.org:8540");
    let (_dir, path) = everything_set("agent.toml");
    let settings = agent::settings::Settings::load(parse(&path)).unwrap();
    assert!(settings.join_token.is_some());
    check_complete::<agent::Command>("agent.toml");
}

#[test]
fn the_shown_defaults_are_the_defaults() {
    let (_dir, path) = everything_set("central.toml");
    let bare = central::settings::Settings::load(parse(&deploy("central.toml"))).unwrap();
    let set = central::settings::Settings::load(parse(&path)).unwrap();
    assert_eq!(bare.statement_validity, set.statement_validity);
    assert_eq!(bare.certificate_validity, set.certificate_validity);
    let site = |site: &link::settings::SiteSettings| {
        let engine = &site.engine;
        let times = (engine.retry_first, engine.retry_most, site.tombstones_kept);
        (times, site.max_log_bytes, site.telemetry.filter.clone())
    };
    assert_eq!(site(&bare.site), site(&set.site));
    let (_dir, path) = everything_set("agent.toml");
    let bare = agent::settings::Settings::load(parse(&deploy("agent.toml"))).unwrap();
    let set = agent::settings::Settings::load(parse(&path)).unwrap();
    assert_eq!(bare.site.engine.poll, set.site.engine.poll);
    assert_eq!(site(&bare.site), site(&set.site));
}

#[test]
fn systemd_accepts_the_units() {
    for name in ["headwater-central.service", "headwater-agent.service"] {
        let unit = std::fs::read_to_string(deploy(name)).unwrap();
        // The program is not installed here: the one under test stands in for it.
        let unit = unit.replace("/usr/bin/headwater", env!("CARGO_BIN_EXE_headwater"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, unit).unwrap();
        let verified = Command::new("systemd-analyze")
            .arg("verify")
            .arg(&path)
            .output();
        let Ok(verified) = verified else {
            eprintln!("skipped: systemd-analyze is not installed here");
            return;
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        let about_us: Vec<_> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(
            verified.status.success() && about_us.is_empty(),
            "{name}: {said}"
        );
    }
}
