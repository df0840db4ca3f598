use super::*;

fn word() -> String {
    // Any 67 bytes with their checksum are a token; `AccessToken::new` makes one from a generator.
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(7);
    let site = "CAS".parse().unwrap();
    let token = AccessToken::new(site, trust::AuthorityPin([1; 32]), &mut rng);
    token.encode().expose_secret().to_owned()
}

fn layer(server: Option<&str>, token: Option<&str>, data_dir: Option<&str>) -> Layer {
    Layer {
        server: server.map(str::to_owned),
        token: token.map(|word| TokenSource::Word(word.into())),
        data_dir: data_dir.map(PathBuf::from),
    }
}

fn show(chosen: &Chosen) -> String {
    let token = match &chosen.token {
        Some(TokenSource::Word(word)) => word.expose_secret(),
        Some(TokenSource::File(_)) => "file",
        None => "-",
    };
    let server = chosen.server.as_deref().unwrap_or("-");
    let data_dir = chosen.data_dir.as_deref().unwrap_or(Path::new("-"));
    format!("{server} {token} {}", data_dir.display())
}

#[test]
fn an_earlier_layer_wins_value_by_value() {
    let chosen = choose([
        layer(Some("flag"), None, None),
        layer(Some("env"), Some("env"), None),
        layer(None, None, Some("file")),
    ]);
    assert_eq!(show(&chosen), "flag env file");
}

#[test]
fn a_data_directory_flag_wins_over_a_server_in_the_environment() {
    let chosen = choose([
        layer(None, None, Some("flag")),
        layer(Some("env"), Some("env"), Some("env")),
    ]);
    assert_eq!(show(&chosen), "- - flag");
}

#[test]
fn within_a_layer_server_and_token_win_over_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let word = word();
    let chosen = choose([layer(Some("cas:8540"), Some(&word), Some("absent"))]);
    let target = Target::load(chosen, dir.path()).unwrap();
    assert_eq!(target.server, "https://cas:8540");
    assert_eq!(target.word(), word);
}

#[test]
fn the_credential_gives_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let credential = format!(
        r#"{{"server":"https://127.0.0.1:8540","token":"{}"}}"#,
        word()
    );
    std::fs::write(dir.path().join(CREDENTIAL_FILE), credential).unwrap();
    let target = Target::load(Chosen::default(), dir.path()).unwrap();
    assert_eq!(target.server, "https://127.0.0.1:8540");
    let other = choose([layer(Some("https://cas.example.org:1/"), None, None)]);
    let target = Target::load(other, dir.path()).unwrap();
    assert_eq!(target.server, "https://cas.example.org:1");
}

#[test]
fn a_missing_credential_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = Target::load(Chosen::default(), dir.path()).unwrap_err();
    let text = error.to_string();
    for part in [
        "--data-dir",
        "--server",
        "HEADWATER_TOKEN",
        &dir.path().display().to_string(),
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_broken_credential_is_named_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "hwa1.verysecret";
    std::fs::write(
        dir.path().join(CREDENTIAL_FILE),
        format!(r#"{{"server":"x","token":"{secret}" oops"#),
    )
    .unwrap();
    let error = Target::load(Chosen::default(), dir.path()).unwrap_err();
    assert!(error.to_string().contains(CREDENTIAL_FILE), "{error}");
    assert!(!format!("{error:?}").contains(secret));
}

#[test]
fn a_settings_file_may_be_the_central_sites_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("central.toml");
    std::fs::write(
        &path,
        "site-code = \"CAS\"\ndata-dir = \"data\"\n[limits]\na = 1\n",
    )
    .unwrap();
    let layer = Layer::of_file(&path).unwrap();
    assert_eq!(layer.data_dir.unwrap(), dir.path().join("data"));
    std::fs::write(&path, "token = 'hwa1.secret\n").unwrap();
    let error = format!(
        "{:?}",
        anyhow::Error::from(Layer::of_file(&path).unwrap_err())
    );
    assert!(error.contains("central.toml:1"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_token_file_may_end_with_a_line_break() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, format!("{}\n", word())).unwrap();
    let chosen = Chosen {
        server: Some("cas:1".into()),
        token: Some(TokenSource::File(path)),
        data_dir: None,
    };
    assert_eq!(Target::load(chosen, dir.path()).unwrap().word(), word());
}

#[test]
fn an_address_is_encrypted_and_a_host() {
    assert_eq!(address("cas:8540").unwrap(), "https://cas:8540");
    assert!(matches!(
        address("http://cas:8540"),
        Err(Error::PlainText { .. })
    ));
    for text in [
        "",
        "https://",
        "https://a/b",
        "a b",
        "https://me:secret@cas:1",
    ] {
        assert!(
            matches!(address(text), Err(Error::Address { .. })),
            "{text}"
        );
    }
}
