//! Against what is published: every request of our client and every answer of our server is valid by the schemas of
//! the official WSDL, and what was recorded between others gets answers of the recorded form.

use crate::downstream::{Downstream, SERVES, chosen, everything, path_of, served, serving};
use catalog::document;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::hierarchy::CENTRAL;
use testkit::{Hierarchy, shared_data, skip};
use wsus::message::{
    DownloadFiles, FileUrl, GetAuthorizationCookie, GetConfigData, GetCookie, GetDeployments,
    GetRelatedRevisions, GetRevisionIdList, GetUpdateData, LanguageAndDelta, Operation, Request,
    Response, SoapVersion, UpdateData,
};

/// Interpreters that may have what the validation needs.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "python3"];

/// An interpreter with lxml; none where there is none, which is said.
pub fn python() -> Option<&'static str> {
    let has_lxml = |python: &&str| {
        let mut command = Command::new(python);
        let command = command
            .args(["-c", "import lxml.etree"])
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = PYTHONS.into_iter().find(has_lxml);
    if found.is_none() {
        skip::not_installed("no Python here has lxml: install the package python3-lxml");
    }
    found
}

/// What is wrong with each message; an empty text where nothing is.
pub fn problems(python: &str, wsdl: &Path, messages: &[(&str, String)]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/interop/schemas.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = serde_json::to_vec(&(wsdl, messages)).unwrap();
    let writer = std::thread::spawn(move || input.write_all(&text));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The file that describes an operation; none where none does.
fn file_of(operation: Operation) -> Option<&'static str> {
    // The published description is older than these.
    let newer = [Operation::GetDriverIdList, Operation::GetDriverSetData];
    if newer.contains(&operation) {
        return None;
    }
    Some(match operation == Operation::GetAuthorizationCookie {
        true => "DssAuth.wsdl",
        false => "ServerSync.wsdl",
    })
}

const ROLLUPS: [(&str, &str); 5] = [
    (
        "GetRollupConfiguration",
        "<cookie><Expiration>9999-12-31T23:59:59.9999999</Expiration></cookie>",
    ),
    (
        "RollupDownstreamServers",
        "<cookie><Expiration>9999-12-31T23:59:59.9999999</Expiration></cookie>\
         <clientTime>2026-10-04T16:00:00Z</clientTime><downstreamServers><DownstreamServerRollupInfo>\
         <ServerId>00000000-0000-0000-0000-00006f1c2f6e</ServerId><FullDomainName>dss.example</FullDomainName>\
         <LastSyncTime>2026-10-04T15:00:00Z</LastSyncTime>\
         <ParentServerId>00000000-0000-0000-0000-000000000000</ParentServerId><Version>10.0.26100.1</Version>\
         <IsReplica>true</IsReplica><LastRollupTime>1753-01-01T00:00:00</LastRollupTime>\
         </DownstreamServerRollupInfo></downstreamServers>",
    ),
    (
        "RollupComputers",
        "<clientTime>2026-10-04T16:00:00Z</clientTime>",
    ),
    (
        "GetOutOfSyncComputers",
        "<parentServerId>00000000-0000-0000-0000-000000000000</parentServerId>",
    ),
    (
        "RollupComputerStatus",
        "<clientTime>2026-10-04T16:00:00Z</clientTime>\
         <parentServerId>00000000-0000-0000-0000-000000000000</parentServerId>",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_ours_is_valid_by_the_official_schemas() {
    let (Some(python), Some(data)) = (python(), shared_data::folder()) else {
        return;
    };
    let mut hierarchy = serving(60).await;
    // Some are refused, because they were withdrawn: that makes it no success.
    let approved = hierarchy.run(&[
        "update",
        "approve",
        "--text",
        "Update",
        "--yes",
        "--accept-licence",
    ]);
    assert!(approved.output.contains("were approved"), "{approved:?}");
    let approved = hierarchy.synchronize().await;
    assert!(approved.verified_position > 0);
    served(&mut hierarchy, CENTRAL).await;
    let server = Downstream::of(&mut hierarchy, CENTRAL).await;
    let mut messages: Vec<(&str, String)> = Vec::new();
    for request in requests(&server).await {
        let operation = request.operation();
        for version in [SoapVersion::V11, SoapVersion::V12] {
            let text = request.encode(version);
            let action = operation.soap_action();
            let path = path_of(operation);
            let (status, answer) = server.post(path, &action, text.clone().into()).await;
            assert_eq!(status, 200, "{operation}: {answer}");
            let Some(file) = file_of(operation) else {
                continue;
            };
            messages.push((file, text));
            messages.push((file, answer));
        }
    }
    for (operation, parameters) in ROLLUPS {
        const SPACE: &str = "http://www.microsoft.com/SoftwareDistribution";
        let text = format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
             <{operation} xmlns=\"{SPACE}\">{parameters}</{operation}></s:Body></s:Envelope>"
        );
        let path = "/ReportingWebService/ReportingWebService.asmx";
        let action = format!("\"{SPACE}/{operation}\"");
        let (status, answer) = server.post(path, &action, text.clone().into()).await;
        assert_eq!(status, 200, "{operation}: {answer}");
        messages.push(("ServerReporting.wsdl", text));
        messages.push(("ServerReporting.wsdl", answer));
    }
    // A file without a known address.
    let unknown = Response::UpdateData(UpdateData {
        file_urls: vec![FileUrl {
            digest: vec![7; 20],
            ..FileUrl::default()
        }],
        ..UpdateData::default()
    });
    messages.push(("ServerSync.wsdl", unknown.encode(SoapVersion::V11)));
    shown(&hierarchy);
    let found = problems(python, &data.join("wsdl"), &messages);
    assert_eq!(found.len(), messages.len());
    assert!(found.len() > 50, "{}", found.len());
    let wrong = found.iter().zip(&messages);
    let wrong = wrong.filter(|(problem, _)| !problem.is_empty());
    let told: Vec<String> = wrong
        .map(|(problem, (_, text))| {
            let start: String = text.chars().take(600).collect();
            format!("{problem}: {start}")
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    // That the validation finds something where there is something.
    let wrong = messages[0]
        .1
        .replace("<GetAuthConfig", "<GetAuthConfig x=\"y\"");
    let found = problems(python, &data.join("wsdl"), &[("ServerSync.wsdl", wrong)]);
    assert_ne!(found, [""]);
}

/// What the server reported is shown, and it can be taken off the list.
fn shown(hierarchy: &Hierarchy) {
    let listed = hierarchy.run(&["downstream", "list", "--json"]).json();
    let [server] = listed["servers"].as_array().unwrap().as_slice() else {
        panic!("{listed}")
    };
    assert_eq!(server["name"], "dss.example");
    assert_eq!(server["version"], "10.0.26100.1");
    assert_eq!(server["replica"], true);
    // By its own clock, which is behind, it synchronized an hour before it reported.
    let time = |name: &str| server[name].as_str().unwrap().parse::<jiff::Timestamp>();
    let before = time("last_report")
        .unwrap()
        .duration_since(time("last_sync").unwrap());
    assert_eq!(before.as_secs(), 60 * 60);
    let table = hierarchy.run(&["downstream", "list"]).good();
    assert!(
        table.contains("dss.example") && table.contains("replica"),
        "{table}"
    );
    let id = server["id"].as_str().unwrap();
    hierarchy.run(&["downstream", "remove", id]).good();
    let again = hierarchy.run(&["downstream", "remove", id]);
    assert!(!again.status.success(), "{again:?}");
}

/// A request of every operation, and of some in several forms, all of which the server answers.
async fn requests(server: &Downstream) -> Vec<Request> {
    let session = server.session().await.unwrap();
    let cookie = Some(session.clone());
    let config = server.list(&session, everything(true, None)).await.unwrap();
    let all = server
        .list(&session, everything(false, None))
        .await
        .unwrap();
    let list = |filter| {
        Request::GetRevisionIdList(GetRevisionIdList {
            cookie: Some(session.clone()),
            filter: Some(filter),
        })
    };
    let data = |ids: &[catalog::RevisionId]| GetUpdateData {
        cookie: Some(session.clone()),
        update_ids: ids.to_vec(),
    };
    let some = &all.revisions[..40];
    let documents = server.updates(&session, some).await.unwrap();
    let parsed = documents.updates.iter();
    let parsed: Vec<_> = parsed
        .map(|u| document::parse(&u.document).unwrap())
        .collect();
    let categories = parsed.iter().flat_map(|u| u.category_clauses().flatten());
    let categories: Vec<_> = categories.copied().collect();
    let file = parsed.iter().find_map(|update| update.files.first());
    let mut with_languages = chosen(&categories, &categories);
    with_languages.languages = vec![LanguageAndDelta {
        id: 1033,
        delta: false,
    }];
    let deployments = |anchor: Option<&str>| {
        Request::GetDeployments(GetDeployments {
            cookie: Some(session.clone()),
            deployment_anchor: anchor.map(str::to_owned),
            sync_anchor: Some(all.anchor.clone()),
        })
    };
    let answered = server.ask(deployments(None)).await.unwrap();
    let wsus::message::Response::Deployments(told) = answered else {
        panic!("{answered:?}")
    };
    assert!(!told.deployments.is_empty(), "something is approved");
    vec![
        Request::GetAuthConfig,
        Request::GetAuthorizationCookie(GetAuthorizationCookie {
            account_name: server.name.clone(),
            account_guid: server.id.to_string(),
        }),
        Request::GetCookie(GetCookie {
            auth_cookies: vec![server.authorization().await.unwrap()],
            old_cookie: cookie.clone(),
            protocol_version: Some("1.20".to_owned()),
        }),
        Request::GetConfigData(GetConfigData {
            cookie: cookie.clone(),
            config_anchor: None,
        }),
        Request::GetConfigData(GetConfigData {
            cookie: cookie.clone(),
            config_anchor: Some(config.anchor.clone()),
        }),
        list(everything(true, None)),
        list(everything(false, Some(&all.anchor))),
        list(with_languages),
        Request::GetUpdateData(data(&config.revisions[..1])),
        Request::GetUpdateData(data(some)),
        Request::GetUpdateDecryptionData(data(some)),
        deployments(None),
        deployments(Some(&told.anchor)),
        Request::DownloadFiles(DownloadFiles {
            cookie: cookie.clone(),
            file_digests: vec![file.unwrap().sha1.to_vec()],
        }),
        Request::GetRelatedRevisionsForUpdates(GetRelatedRevisions {
            cookie: cookie.clone(),
            update_ids: categories,
        }),
        Request::GetDriverIdList(wsus::message::DriverQuery {
            cookie: cookie.clone(),
        }),
        Request::GetDriverSetData(wsus::message::DriverQuery { cookie }),
        Request::Ping { level: 1 },
    ]
}

/// The paths of the elements of a message, each once.
fn form(text: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut path: Vec<String> = Vec::new();
    for tag in text.split('<').skip(1) {
        let (name, _) = tag.split_once('>').unwrap();
        if name.starts_with('?') {
            continue;
        }
        if name.starts_with('/') {
            path.pop();
            continue;
        }
        let closed = name.ends_with('/');
        let name = name.trim_end_matches('/');
        let name = name.split_whitespace().next().unwrap();
        path.push(name.to_owned());
        paths.insert(path.join("/"));
        if closed {
            path.pop();
        }
    }
    paths
}

/// `text` with the content of its elements `name` exchanged.
fn exchanged(text: &str, name: &str, content: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    match (text.find(&open), text.find(&close)) {
        (Some(start), Some(end)) => {
            format!("{}{content}{}", &text[..start + open.len()], &text[end..])
        }
        _ => text.to_owned(),
    }
}

/// The content of the first element `name`, where there is one.
fn content<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once('<')?.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_requests_get_answers_of_the_recorded_form() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    // The catalog of the five documents that were recorded.
    let documents = data.join("captures/updates").display().to_string();
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(["--dir", &documents]).await;
    hierarchy
        .central_with(|launch| launch.with(SERVES[0]).with(SERVES[1]))
        .await;
    hierarchy.synchronize().await;
    served(&mut hierarchy, CENTRAL).await;
    let server = Downstream::of(&mut hierarchy, CENTRAL).await;
    let encode = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let session = encode(&server.session().await.unwrap().encrypted_data);
    let authorization = encode(&server.authorization().await.unwrap().cookie_data);
    let (mut compared, mut documents_compared) = (0, 0);
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    for exchange in std::fs::read_dir(data.join("captures/exchanges")).unwrap() {
        let folder = exchange.unwrap().path();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let meta: serde_json::Value = serde_json::from_str(&read("meta.json")).unwrap();
        let (path, action) = (meta["path"].as_str(), meta["soap_action"].as_str());
        let request = exchanged(&read("request.body"), "EncryptedData", &session);
        let request = exchanged(&request, "CookieData", &authorization);
        let action = format!("\"{}\"", action.unwrap().trim_matches('"'));
        let asked = server.http.post(format!("{}{}", server.url, path.unwrap()));
        let asked = asked.header("Content-Type", "text/xml; charset=utf-8");
        let answer = asked.header("SOAPAction", &action).body(request.clone());
        let answer = answer.send().await.unwrap();
        // Status and media type are the recorded ones.
        assert_eq!(meta["status"], answer.status().as_u16(), "{folder:?}");
        let media = answer.headers()["content-type"].to_str().unwrap();
        let recorded = read("response.headers");
        let told = recorded
            .lines()
            .find_map(|line| line.strip_prefix("Content-Type: "));
        assert_eq!(told, Some(media), "{folder:?}");
        let ours = answer.text().await.unwrap();
        let theirs = read("response.body");
        let missing: Vec<_> = form(&theirs).difference(&form(&ours)).cloned().collect();
        let beyond: Vec<_> = form(&ours).difference(&form(&theirs)).cloned().collect();
        // The catalogs differ, so one may have an entry of a list where the other has none.
        let is_entry = |path: &String| path.contains("UpdateIdentity") || path.contains("/Id");
        let differs = missing.iter().chain(&beyond).any(|path| !is_entry(path));
        assert!(
            !differs,
            "{folder:?}: missing {missing:?}, beyond {beyond:?}: {ours}"
        );
        // A fault says the same, but for where it was and which one it is.
        for name in ["faultcode", "ErrorCode", "Message", "Method"] {
            assert_eq!(
                content(&ours, name),
                content(&theirs, name),
                "{folder:?} {name}"
            );
        }
        // The same documents, byte for byte, whether they come as text or packed.
        let (_, request) = Request::decode(request.as_bytes()).unwrap();
        let decode = |text: &str| Response::decode(text.as_bytes(), request.operation()).unwrap();
        if let (Ok(Response::UpdateData(ours)), Ok(Response::UpdateData(theirs))) =
            (decode(&ours), decode(&theirs))
        {
            assert_eq!(ours.updates, theirs.updates, "{folder:?}");
            documents_compared += 1;
        }
        kinds.insert(request.operation().name());
        compared += 1;
    }
    assert_eq!((compared, documents_compared), (12, 2));
    let all = [
        "GetAuthConfig",
        "GetAuthorizationCookie",
        "GetConfigData",
        "GetCookie",
        "GetRevisionIdList",
        "GetUpdateData",
    ];
    assert_eq!(kinds, all.into());
}
