//! Keys and tokens of real processes: in their files and in the environment, and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};
use testkit::hierarchy::{CENTRAL, run};
use testkit::process::Process;
use testkit::{Hierarchy, Spoken};

/// What must not be seen.
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 16, "{name}");
        self.0.push((name.to_owned(), secret.to_owned()));
    }

    /// The lines of a private key.
    fn add_key(&mut self, path: &Path) {
        let pem = fs::read_to_string(path).unwrap();
        let mut private = false;
        for line in pem.lines() {
            private = private && !line.starts_with("-----END");
            if private {
                self.add(&path.display().to_string(), line.get(..32).unwrap_or(line));
            }
            private = private || (line.starts_with("-----BEGIN") && line.contains("PRIVATE KEY"));
        }
    }

    fn check(&self, place: &str, text: &str) {
        for (name, secret) in &self.0 {
            assert!(!text.contains(secret), "{name} shows in {place}");
        }
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    files.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_tokens_show_in_no_log_no_answer_and_no_list_of_processes() {
    let mut hierarchy = Hierarchy::with_settings("telemetry.filter = 'debug'\n");
    hierarchy
        .upstream(["--generate", "60", "--seed", "7"])
        .await;
    hierarchy.central().await;
    let mut secrets = Secrets(Vec::new());

    // A site that joins, one whose token is refused, and a token nobody uses.
    let token = hierarchy.token("PR1", "primary", CENTRAL);
    let launch = hierarchy.agent_launch("PR1", "primary", CENTRAL);
    let launch = launch.variable("HEADWATER_JOIN_TOKEN", token.clone());
    let mut site = Process::start("PR1", hierarchy.folder(), &launch);
    site.address().await;
    hierarchy.attached("PR1").await;
    let mut spoken: Vec<Spoken> = Vec::new();
    let elsewhere = Hierarchy::with_settings("telemetry.filter = 'debug'\n");
    let again = elsewhere.agent_launch_at("PR1", "primary", &hierarchy.url(CENTRAL));
    let again = run(&again.variable("HEADWATER_JOIN_TOKEN", token.clone()));
    assert!(!again.status.success());
    spoken.push(again);
    let unused = hierarchy.token("PR2", "primary", CENTRAL);
    let damaged = format!("{}AAAA", &unused[..unused.len() - 4]);
    let launch = elsewhere.agent_launch_at("PR2", "primary", &hierarchy.url(CENTRAL));
    let refused = run(&launch.variable("HEADWATER_JOIN_TOKEN", damaged));
    assert!(!refused.status.success());
    spoken.push(refused);

    let credential = fs::read_to_string(hierarchy.data_dir(CENTRAL).join("admin-credential.json"));
    let credential: serde_json::Value = serde_json::from_str(&credential.unwrap()).unwrap();
    let administrator = credential["token"].as_str().unwrap();
    for (name, word) in [
        ("join token", &*token),
        ("unused join token", &unused),
        ("access token", administrator),
    ] {
        // The secret is at the end of a token, before its checksum; the whole word begins like others.
        secrets.add(name, word);
        secrets.add(name, &word[word.len() - 40..word.len() - 8]);
    }
    secrets.add_key(&hierarchy.data_dir(CENTRAL).join("authority.pem"));
    secrets.add_key(&hierarchy.data_dir(CENTRAL).join("site.key"));
    secrets.add_key(&hierarchy.data_dir("PR1").join("site.key"));
    assert!(secrets.0.len() >= 10);

    hierarchy.synchronize().await;
    for arguments in [
        &["status", "--json"][..],
        &["site", "list", "--json"],
        &["message", "list", "--limit", "1000", "--json"],
        &["log", "--last", "1000", "--json"],
        &["log", "--site", "PR1", "--last", "1000"],
        &["update", "list", "--json"],
        &["sync", "start", "--json"],
    ] {
        spoken.push(hierarchy.run(arguments));
    }
    let server = credential["server"].as_str().unwrap();
    let wrong = format!("{}AAAA", &administrator[..administrator.len() - 4]);
    let launch = testkit::process::Launch::of(["status", "--server", server]);
    let refused = run(&launch.variable("HEADWATER_TOKEN", wrong));
    assert!(!refused.status.success());
    spoken.push(refused);
    for spoken in &spoken {
        secrets.check(
            "what a verb says",
            &format!("{}{}", spoken.output, spoken.errors),
        );
    }
    for id in [hierarchy.process(CENTRAL).id(), site.id()] {
        let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap();
        secrets.check(
            "the list of processes",
            &String::from_utf8_lossy(&arguments),
        );
    }

    // What is the top-level site's alone does not come to a child with the settings, nor does it answer it.
    const PASSWORD: &str = "hunter2-of-the-proxy";
    const PROXY: &str = "proxy-that-nobody-below-knows.example";
    secrets.add("password of the proxy", PASSWORD);
    let proxy = format!("proxy.host={PROXY}");
    let user = ["proxy.user=anna", "proxy.allow-basic-authentication=true"];
    hierarchy
        .run(&["settings", "set", &proxy, user[0], user[1]])
        .good();
    let password = wire::v1::SetSecretRequest {
        name: "proxy.password".to_owned(),
        secret: PASSWORD.to_owned(),
    };
    let client = hierarchy.client().await.unwrap();
    let mut settings = client.settings();
    settings
        .set_secret(ctl::connection::question(password))
        .await
        .unwrap();
    let show = ["settings", "show", "--json"];
    let shown = testkit::until(
        "the settings reach PR1",
        testkit::patience::LONG,
        || async {
            let shown = hierarchy.run_at("PR1", &show);
            let there = shown.output.contains("\"version\":2");
            there.then_some(shown.clone()).ok_or(shown.errors)
        },
    )
    .await;
    let answers = [
        shown,
        hierarchy.run_at("PR1", &["settings", "show", "--site", "PR1", "--json"]),
        hierarchy.run_at("PR1", &["message", "list", "--json"]),
    ];
    for answer in &answers {
        secrets.check("what a replica answers", &answer.output);
        assert!(
            answer.status.success() && !answer.output.contains(PROXY),
            "{answer:?}"
        );
    }

    site.stop().await;
    hierarchy.stop_all().await;
    for file in files(&hierarchy.data_dir("PR1")) {
        let held = fs::read(&file).unwrap();
        let told = held
            .windows(PROXY.len())
            .any(|part| part == PROXY.as_bytes());
        assert!(!told, "{}", file.display());
    }
    let (mut logs, mut own) = (0, 0);
    for folder in [hierarchy.folder(), elsewhere.folder()] {
        for file in files(folder) {
            let name = file.file_name().unwrap().to_str().unwrap();
            if matches!(name, "authority.pem" | "site.key" | "admin-credential.json") {
                // The files that hold them are for their owner alone.
                let mode = std::os::unix::fs::PermissionsExt::mode(
                    &fs::metadata(&file).unwrap().permissions(),
                );
                assert_eq!(mode & 0o777, 0o600, "{}", file.display());
                own += 1;
            } else {
                let text = fs::read(&file).unwrap();
                logs += usize::from(name.ends_with(".log") || name.ends_with(".err"));
                secrets.check(&file.display().to_string(), &String::from_utf8_lossy(&text));
            }
        }
    }
    assert!(logs >= 4 && own >= 4, "{logs} {own}");
}
