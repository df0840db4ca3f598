//! What `deploy/` ships is usable: the settings files load, with every key that they show uncommented
//! too, and the units are what systemd takes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

/// The file as it is, and with every key that is commented out put in force.
fn variants(name: &str) -> [String; 2] {
    let text = std::fs::read_to_string(deploy(name)).unwrap();
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| {
            let bare = line.trim_start_matches("# ");
            let is_key = bare
                .split_once(" = ")
                .is_some_and(|(key, _)| key.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'));
            if is_key { bare } else { line }
        })
        .collect();
    [text.clone(), uncommented.join("\n")]
}

/// Writes the variants with the files that they name, and loads each.
fn check(name: &str, load: impl Fn(PathBuf) -> anyhow::Result<()>) {
    for (number, text) in variants(name).into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display().to_string();
        let text = text.replace("/etc/headwater", &place);
        std::fs::write(
            directory.path().join("database-url"),
            "postgres://headwater@localhost/headwater\n",
        )
        .unwrap();
        std::fs::write(directory.path().join("microsoft-root-2011.pem"), "").unwrap();
        std::fs::copy(
            deploy("first-settings.toml"),
            directory.path().join("first-settings.toml"),
        )
        .unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, &text).unwrap();
        if let Err(error) = load(path) {
            panic!("variant {number} of {name}: {error:#}\n{text}");
        }
    }
}

#[test]
fn the_settings_file_of_a_central_site_loads() {
    check("central.toml", |config| {
        let command = central::Command {
            site: link::settings::SiteFlags {
                config: Some(config),
                ..Default::default()
            },
            ..Default::default()
        };
        central::Settings::load(command).map(drop)
    });
}

#[test]
fn the_first_settings_make_sense() {
    let file = deploy("first-settings.toml");
    let first: settings::Settings = daemon::config::read(&file).unwrap();
    first.check().unwrap();
    assert!(
        first
            .schedule
            .describe()
            .contains("second Tuesday plus 1 day")
    );
}

#[test]
fn the_settings_file_of_a_child_site_loads() {
    check("agent.toml", |config| {
        let command = agent::Command {
            site: link::settings::SiteFlags {
                config: Some(config),
                ..Default::default()
            },
            ..Default::default()
        };
        agent::Settings::load(command).map(drop)
    });
}

#[test]
fn the_units_start_what_the_program_has() {
    for kind in ["central", "agent"] {
        let unit = std::fs::read_to_string(deploy(&format!("headwater-{kind}.service"))).unwrap();
        let start =
            format!("ExecStart=/usr/bin/headwater {kind} --config /etc/headwater/{kind}.toml");
        assert!(unit.contains(&start), "{unit}");
        for line in [
            "Type=notify",
            "NoNewPrivileges=true",
            "ProtectSystem=strict",
        ] {
            assert!(unit.contains(line), "{kind}: {line}");
        }
    }
}

#[test]
fn systemd_accepts_the_units() {
    let directory = tempfile::tempdir().unwrap();
    for kind in ["central", "agent"] {
        let name = format!("headwater-{kind}.service");
        // The program is not installed here, and neither is its user.
        let unit = std::fs::read_to_string(deploy(&name))
            .unwrap()
            .replace("/usr/bin/headwater", "/bin/true")
            .replace("User=headwater\nGroup=headwater\n", "");
        let path = directory.path().join(&name);
        std::fs::write(&path, unit).unwrap();
        let checked = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&path)
            .output();
        let Ok(output) = checked else {
            eprintln!("skipped: systemd-analyze is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains(&name), "{said}");
    }
}
