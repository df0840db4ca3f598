use super::*;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    site: String,
    #[serde(default)]
    listen: Option<Listen>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listen {
    timeout: Period,
    limit: ByteSize,
    password: Option<Secret>,
    folder: Option<ConfigPath>,
}

fn read_text(text: &str) -> Result<Settings, String> {
    parse(text, Path::new("/etc/headwater/central.toml")).map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    read_text(text).unwrap_err()
}

#[test]
fn a_good_file_becomes_final_types() {
    let settings = read_text(
        "site = \"CAS\"\n[listen]\ntimeout = \"1h30m\"\nlimit = \"4MiB\"\nfolder = \"data\"\n",
    )
    .unwrap();
    assert_eq!(settings.site, "CAS");
    let listen = settings.listen.unwrap();
    assert_eq!(listen.timeout.0, Duration::from_secs(5400));
    assert_eq!(listen.limit.0, 4 << 20);
    let folder = listen.folder.unwrap();
    let file = Path::new("/etc/headwater/central.toml");
    assert_eq!(folder.resolve(file), Path::new("/etc/headwater/data"));
    assert_eq!(ConfigPath::new("/srv").resolve(file), Path::new("/srv"));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_allowed_ones() {
    let text = "site = \"CAS\"\n\n[listen]\ntimeout = \"90s\"\nlimt = \"4MiB\"\n";
    let error = refusal(text);
    assert!(
        error.starts_with("/etc/headwater/central.toml:5:1: key listen.limt: "),
        "{error}"
    );
    assert!(error.contains("unknown field `limt`"), "{error}");
    assert!(error.contains("`limit`"), "{error}");
}

#[test]
fn a_bad_value_is_named_with_its_line_and_the_allowed_form() {
    let error = refusal("site = \"CAS\"\n[listen]\ntimeout = \"ninety\"\nlimit = \"4MiB\"\n");
    assert!(
        error.starts_with("/etc/headwater/central.toml:3:11: key listen.timeout: "),
        "{error}"
    );
    assert!(
        error.contains("is not a period: write a number with"),
        "{error}"
    );
    let error = refusal("site = \"CAS\"\n[listen]\ntimeout = 90\nlimit = \"4MiB\"\n");
    assert!(error.contains(":3:11: key listen.timeout: "), "{error}");
    assert!(error.contains("a period in quotes"), "{error}");
}

#[test]
fn a_missing_key_and_broken_toml_are_named() {
    assert!(refusal("").contains("missing field `site`"));
    let error = refusal("site = \"CAS\"\n[listen]\ntimeout = \"90s\"\n");
    assert!(error.contains("missing field `limit`"), "{error}");
    assert!(error.contains("key listen"), "{error}");
    let error = refusal("site = \"CAS\n");
    assert!(error.contains("central.toml:1:"), "{error}");
}

#[test]
fn no_error_and_no_debug_repeats_a_secret() {
    let head = "site = \"CAS\"\n[listen]\ntimeout = \"90s\"\nlimit = \"1B\"\n";
    for value in [
        "748329",
        "748329.5",
        "[748329]",
        "{ fil = \"748329\" }",
        "true",
        "\"748329",
    ] {
        let error = refusal(&format!("{head}password = {value}\n"));
        assert!(!error.contains("748329"), "{error}");
        assert!(error.contains(":5:"), "{error}");
    }
    let settings = read_text(&format!("{head}password = \"hunter2\"\n")).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    let secret = settings.listen.unwrap().password.unwrap();
    assert_eq!(
        secret.load(Path::new("x")).unwrap().expose_secret(),
        "hunter2"
    );
}

#[test]
fn a_secret_may_lie_in_a_file_beside_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("central.toml");
    std::fs::write(dir.path().join("proxy.secret"), "hunter2\n").unwrap();
    std::fs::write(dir.path().join("empty.secret"), "\n").unwrap();
    let text = "site = \"CAS\"\n[listen]\ntimeout = \"9s\"\nlimit = \"1B\"\npassword = { file = \"NAME\" }\n";
    let load = |name: &str| {
        std::fs::write(&file, text.replace("NAME", name)).unwrap();
        let settings: Settings = read(&file).unwrap();
        settings.listen.unwrap().password.unwrap().load(&file)
    };
    assert_eq!(load("proxy.secret").unwrap().expose_secret(), "hunter2");
    assert!(
        load("empty.secret")
            .unwrap_err()
            .to_string()
            .ends_with("it is empty")
    );
    assert!(load("absent.secret").is_err());
}

#[test]
fn an_absent_or_huge_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let absent = read::<Settings>(&dir.path().join("absent.toml")).unwrap_err();
    assert!(absent.to_string().contains("absent.toml cannot be read"));
    let huge = dir.path().join("huge.toml");
    std::fs::write(&huge, "#".repeat(1024 * 1024 + 1)).unwrap();
    assert!(matches!(
        read::<Settings>(&huge),
        Err(ConfigError::TooLarge { .. })
    ));
}

#[test]
fn values_are_refused_without_a_unit_and_beyond_their_bounds() {
    for text in [
        "",
        "90",
        "s",
        "-1s",
        "1.5h",
        "1w",
        "1h 30",
        "99999999999999999999s",
        "4000d",
    ] {
        assert!(text.parse::<Period>().is_err(), "{text}");
    }
    for text in ["", "4", "4mib", "4 MiB x", "-1B", "99999999999TiB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text}");
    }
    assert_eq!("2 GiB".parse::<ByteSize>().unwrap().to_string(), "2GiB");
    assert_eq!("0s".parse::<Period>().unwrap().to_string(), "0s");
    assert_eq!("90s".parse::<Period>().unwrap().to_string(), "1m30s");
}

proptest! {
    #[test]
    fn values_read_what_they_show(milliseconds in 0u64..300_000_000_000, bytes: u64) {
        let period = Period(Duration::from_millis(milliseconds));
        prop_assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        let size = ByteSize(bytes);
        prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = read_text(&text);
        let _ = text.parse::<Period>();
        let _ = text.parse::<ByteSize>();
    }
}
