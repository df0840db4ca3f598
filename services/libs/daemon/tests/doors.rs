//! Bad configuration files: each is refused with one short line that says where, and repeats no secret.

use daemon::config::{ByteSize, ConfigPath, Period, Secret, parse, read};
use daemon::telemetry;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::Path;
use testkit::Door;
use testkit::door::{sentence, unfit};
use testkit::mutate::{Mutant, cuts, damage, encodings};

/// A bit of everything that settings files have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "read for the sake of reading")]
struct Settings {
    site_code: String,
    #[serde(default)]
    listen: Option<SocketAddr>,
    #[serde(default)]
    poll: Option<Period>,
    #[serde(default)]
    max_log_size: Option<ByteSize>,
    #[serde(default)]
    data_dir: Option<ConfigPath>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    upstream_parallel: Option<usize>,
    #[serde(default)]
    database: Option<Secret>,
    #[serde(default)]
    telemetry: telemetry::Settings,
}

const GOOD: &str = "# a site\nsite-code = \"CAS\"\nlisten = \"127.0.0.1:8540\"\npoll = \"1h30m\"\n\
    max-log-size = \"4MiB\"\ndata-dir = 'data'\nnames = [\"a.example\", \"b.example\"]\n\
    upstream-parallel = 4\ndatabase = \"postgres://u:hunter2@h/d\"\n\n[telemetry]\nformat = \"json\"\n\
    filter = \"info,sync=debug\"\notlp_endpoint = \"http://127.0.0.1:4317\"\n";

/// A word of the secret that no error may repeat.
const SECRET: &str = "hunter2";

fn config(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let read = parse::<Settings>(text, Path::new("site.toml"));
    let settings = read.map_err(|error| {
        let told = sentence(&error);
        // A secret that was put elsewhere is none any more.
        let in_place =
            text.matches("database = ").count() == 1 && text.matches(SECRET).count() == 1;
        assert!(!in_place || !told.contains(SECRET), "{told}");
        assert!(told.starts_with("site.toml"), "{told}");
        told
    })?;
    assert!(!format!("{:?}", settings.database).contains(SECRET));
    Ok(())
}

#[test]
fn bad_configuration_files_are_refused() {
    config(GOOD.as_bytes()).unwrap();
    let mut door = Door::new("configuration files");
    door.knock_all(cuts(GOOD.as_bytes()), config);
    door.knock_all(damage(GOOD.as_bytes(), 1, 4_000), config);
    door.knock_all(encodings(GOOD), config);
    let long = "x\u{7f}".repeat(100_000);
    for (what, line) in [
        (
            "an unknown key of control characters",
            "\"a\\n\\u001b[31m\\u202e\" = 1".to_owned(),
        ),
        ("a key without end", format!("{} = 1", "k".repeat(300_000))),
        (
            "a quoted key without end",
            format!("\"{}\" = 1", "k".repeat(300_000)),
        ),
        ("a table of control characters", "[a\u{1b}[31m]".to_owned()),
        ("a table without end", format!("[{}]", "t".repeat(300_000))),
        ("a value without end", format!("names = \"{long}\"")),
        (
            "a wrong value without end",
            format!("upstream-parallel = \"{}\"", "v\\n".repeat(100_000)),
        ),
        (
            "a wrong address",
            format!("listen = \"{}\"", "1\\u001b".repeat(1_000)),
        ),
        (
            "a wrong format",
            format!("telemetry.format = \"{}\"", "f\\n".repeat(1_000)),
        ),
        (
            "a wrong period",
            format!("poll = \"{}\"", "9\\u001b".repeat(1_000)),
        ),
        (
            "a wrong size",
            format!("max-log-size = \"{}\"", "9".repeat(1_000)),
        ),
        (
            "lists in each other",
            format!("names = {}", "[".repeat(100_000)),
        ),
        (
            "tables in each other",
            format!("names = {}", "{a=".repeat(100_000)),
        ),
        (
            "dotted without end",
            format!("{}a = 1", "a.".repeat(50_000)),
        ),
        (
            "many tables",
            (0..20_000).map(|n| format!("[t{n}]\n")).collect(),
        ),
        (
            "a number without end",
            format!("upstream-parallel = {}", "9".repeat(100_000)),
        ),
        (
            "a date",
            "upstream-parallel = 2024-01-01T00:00:00Z".to_owned(),
        ),
        ("not a number", "upstream-parallel = nan".to_owned()),
        (
            "many lines in one text",
            format!("poll = \"\"\"{}\"\"\"", "\n".repeat(100_000)),
        ),
    ] {
        let text = format!("site-code = \"CAS\"\n{line}\n");
        assert!(config(text.as_bytes()).is_err(), "{what}");
        door.knock(&Mutant::new(what, text), config);
    }
    for at in 0..GOOD.lines().count() {
        let lines: Vec<&str> = GOOD.lines().collect();
        let mut without = lines.clone();
        without.remove(at);
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        for (what, lines) in [("is left out", without), ("is there twice", twice)] {
            let mutant = Mutant::new(format!("line {at} {what}"), lines.join("\n"));
            door.knock(&mutant, config);
        }
    }
    door.close(4_000);
}

#[test]
fn an_error_does_not_repeat_what_breaks_the_line_or_has_no_end() {
    for (line, begins) in [
        (
            "[te\u{4}emetry]".to_owned(),
            "site.toml:1:4: key te emetry: ",
        ),
        (
            "\"a\\n\\u001b[31m\" = 1".to_owned(),
            "site.toml:1:1: unknown field `a  [31m`",
        ),
        (
            format!("{} = 1", "k".repeat(1 << 19)),
            "site.toml:1:1: key kkkk",
        ),
    ] {
        let error = parse::<Settings>(&line, Path::new("site.toml")).unwrap_err();
        let told = sentence(&error);
        assert!(told.starts_with(begins), "{told}");
        assert_eq!(unfit(&told), None);
    }
}

#[test]
fn a_value_that_is_a_password_without_quotes_is_not_repeated() {
    for value in [
        "hunter2",
        "{ hunter2 = 1 }",
        "[\"hunter2\"]",
        "'hunter2' x",
        "\"\"\"hunter2",
    ] {
        let text = format!("site-code = \"CAS\"\ndatabase = {value}\n");
        let error = parse::<Settings>(&text, Path::new("site.toml")).unwrap_err();
        let told = sentence(&error);
        assert_eq!(unfit(&told), None);
        assert!(told.starts_with("site.toml:"), "{told}");
    }
}

#[test]
fn bad_files_are_refused_with_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    for bytes in [
        &[0xFF, 0xFE, b'a', 0][..],
        &[0; 4096],
        &[b'#'; (1 << 20) + 1],
        b"\xC0\x80",
    ] {
        std::fs::write(&file, bytes).unwrap();
        let told = sentence(&read::<Settings>(&file).unwrap_err());
        assert!(told.contains("site.toml"), "{told}");
        assert_eq!(unfit(&told), None);
    }
    assert!(read::<Settings>(folder.path()).is_err());
}

#[test]
fn bad_periods_and_sizes_are_refused() {
    let mut door = Door::new("periods and sizes");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let period = |bytes: &[u8]| {
        let period: Period = text(bytes).parse().map_err(|error| sentence(&error))?;
        assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        Ok(())
    };
    let size = |bytes: &[u8]| {
        let size: ByteSize = text(bytes).parse().map_err(|error| sentence(&error))?;
        assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        Ok(())
    };
    for (seed, good) in (2..).zip(["1h30m", "3660d", "500ms"]) {
        door.knock_all(cuts(good.as_bytes()), period);
        door.knock_all(damage(good.as_bytes(), seed, 500), period);
    }
    for (seed, good) in (5..).zip(["4MiB", "16777215TiB"]) {
        door.knock_all(cuts(good.as_bytes()), size);
        door.knock_all(damage(good.as_bytes(), seed, 500), size);
    }
    door.close(2_500);
}
