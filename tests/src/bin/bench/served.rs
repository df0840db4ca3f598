//! What serving WSUS servers costs: all documents of a catalog over MS-WSUSSS, beside the same documents as files
//! that nginx serves, both to as many connections, in one run.
//!
//! Answers are counted and not unpacked, so it is the server that is measured.

use crate::figures::{median, short, tell};
use crate::hierarchy::{Setting, TOP};
use crate::process::{Process, run};
use anyhow::{Context as _, bail, ensure};
use catalog::item::ItemKey;
use catalog::{RevisionId, codec};
use rustix::process::Signal;
use serde_json::json;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Location, Store};
use tokio::time::Instant;
use uuid::Uuid;
use wsus::message::{
    Cookie, GetAuthorizationCookie, GetCookie, GetRevisionIdList, GetUpdateData, Operation,
    Request, Response, RevisionFilter, SoapVersion,
};

/// Connections of the client.
const CONNECTIONS: usize = 4;
/// Revisions that one request asks for.
const BATCH: usize = 100;
/// Changes that are read from the database at a time.
const PAGE: u32 = 500;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What one update begins with in an answer.
const ITEM: &str = "<ServerSyncUpdateData>";

/// What one round brought.
#[derive(Debug, Clone, Copy, Default)]
struct Brought {
    answers: u64,
    documents: u64,
    bytes: u64,
}

/// Measures it; the baseline is passed over where nginx is missing.
pub async fn measure(
    setting: &Setting,
    dir: &Path,
    updates: u32,
    rounds: u8,
) -> anyhow::Result<()> {
    eprintln!("serving {updates} updates to a WSUS server ...");
    let (upstream, central, url) = start(setting, dir, updates).await?;
    let client = reqwest::Client::builder().no_proxy().no_gzip().build()?;
    let cookie = session(&client, &url).await?;
    let ids = listed(&client, &url, &cookie).await?;
    let mut seconds = Vec::new();
    let mut brought = Brought::default();
    for _ in 0..rounds {
        let begun = Instant::now();
        brought = fetch(&client, &url, &cookie, &ids).await?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    ensure!(
        brought.documents == ids.len() as u64,
        "not all documents came"
    );
    let memory = central.peak_memory()?;
    central.stop().await?;
    upstream.stop().await?;
    let took = median(&seconds);
    let mut line = json!({
        "benchmark": "served", "updates": updates, "documents": brought.documents,
        "answers": brought.answers, "bytes": brought.bytes, "seconds": short(took),
        "documents_per_second": short(brought.documents as f64 / took),
        "answers_per_second": short(brought.answers as f64 / took),
        "megabytes_per_second": short(brought.bytes as f64 / took / 1e6),
        "peak_memory": memory,
    });
    match baseline(dir, &client, &ids, rounds).await {
        Ok((files, bytes)) => {
            line["nginx_bytes"] = json!(bytes);
            line["nginx_answers_per_second"] = short(ids.len() as f64 / files);
            line["nginx_seconds"] = short(files);
            line["nginx_megabytes_per_second"] = short(bytes as f64 / files / 1e6);
            line["time_to_nginx"] = short(took / files);
        }
        Err(error) => eprintln!("the same files from nginx are passed over: {error:#}"),
    }
    tell(&line)
}

/// A port that is free now.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// An upstream and a central site that synchronized from it; and where that serves WSUS servers.
async fn start(
    setting: &Setting,
    dir: &Path,
    updates: u32,
) -> anyhow::Result<(Process, Process, String)> {
    let (updates, seed) = (updates.to_string(), setting.seed.to_string());
    let arguments = [
        "upstream",
        "--listen",
        "127.0.0.1:0",
        "--generate",
        &updates,
        "--seed",
        &seed,
    ];
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let mut upstream = Process::start("upstream", dir, &setting.program, &arguments, &[])?;
    let source = upstream.address().await?;
    let first = dir.join("everything.toml");
    std::fs::write(&first, settings::document::EVERYTHING)?;
    let (data_dir, first) = (
        dir.join(TOP).display().to_string(),
        first.display().to_string(),
    );
    let served = format!("127.0.0.1:{}", free_port()?);
    let arguments = [
        "central",
        "--site-code",
        TOP,
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        &data_dir,
        "--upstream",
        &source,
        "--first-settings",
        &first,
        "--wsus-listen",
        &served,
        "--wsus-requests-per-second",
        "100000",
        "--wsus-bytes-per-second",
        "100000000000",
    ];
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let mut central = Process::start(TOP, dir, &setting.program, &arguments, &[])?;
    central.address().await?;
    let program = setting.program.to_string_lossy();
    run(
        dir,
        &program,
        &["sync", "start", "--wait", "--data-dir", &data_dir],
    )
    .await?;
    Ok((upstream, central, format!("http://{served}")))
}

async fn post(client: &reqwest::Client, url: &str, request: &Request) -> anyhow::Result<String> {
    let operation = request.operation();
    let service = match operation == Operation::GetAuthorizationCookie {
        true => "DssAuthWebService/DssAuthWebService.asmx",
        false => "ServerSyncWebService/ServerSyncWebService.asmx",
    };
    let sent = client
        .post(format!("{url}/{service}"))
        .header("Content-Type", "text/xml; charset=utf-8")
        .header("SOAPAction", operation.soap_action())
        .body(request.encode(SoapVersion::V11))
        .send();
    let answer = tokio::time::timeout(PATIENCE, sent).await??;
    Ok(answer.error_for_status()?.text().await?)
}

async fn ask(client: &reqwest::Client, url: &str, request: Request) -> anyhow::Result<Response> {
    let text = post(client, url, &request).await?;
    let answer = Response::decode(text.as_bytes(), request.operation())?;
    answer.map_err(|fault| anyhow::anyhow!("{fault}"))
}

/// A session, as soon as the catalog is served.
async fn session(client: &reqwest::Client, url: &str) -> anyhow::Result<Cookie> {
    let authorize = Request::GetAuthorizationCookie(GetAuthorizationCookie {
        account_name: "bench.example".to_owned(),
        account_guid: Uuid::from_u128(1).to_string(),
    });
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Response::AuthorizationCookie(authorization) =
            ask(client, url, authorize.clone()).await?
        else {
            bail!("no authorization");
        };
        let open = Request::GetCookie(GetCookie {
            auth_cookies: vec![authorization],
            old_cookie: None,
            protocol_version: Some("1.20".to_owned()),
        });
        let Response::Cookie(cookie) = ask(client, url, open).await? else {
            bail!("no session");
        };
        match listed(client, url, &cookie).await {
            Ok(ids) if !ids.is_empty() => return Ok(cookie),
            Ok(_) | Err(_) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(_) => bail!("nothing was served in time"),
            Err(error) => return Err(error),
        }
    }
}

/// Everything that there is.
async fn listed(
    client: &reqwest::Client,
    url: &str,
    cookie: &Cookie,
) -> anyhow::Result<Vec<RevisionId>> {
    let mut ids = Vec::new();
    for get_config in [true, false] {
        let list = Request::GetRevisionIdList(GetRevisionIdList {
            cookie: Some(cookie.clone()),
            filter: Some(RevisionFilter {
                get_config,
                ..RevisionFilter::default()
            }),
        });
        let Response::RevisionList(list) = ask(client, url, list).await? else {
            bail!("no list of revisions");
        };
        ids.extend(list.revisions);
    }
    Ok(ids)
}

/// Work that several connections share.
type Work<T> = Arc<Mutex<VecDeque<T>>>;

fn next<T>(work: &Work<T>) -> Option<T> {
    work.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

/// Fetches the documents of all revisions; short answers are asked for the rest.
async fn fetch(
    client: &reqwest::Client,
    url: &str,
    cookie: &Cookie,
    ids: &[RevisionId],
) -> anyhow::Result<Brought> {
    let work: Work<Vec<RevisionId>> = Arc::new(Mutex::new(
        ids.chunks(BATCH).map(<[RevisionId]>::to_vec).collect(),
    ));
    let connections = (0..CONNECTIONS).map(|_| {
        let work = Arc::clone(&work);
        async move {
            let mut brought = Brought::default();
            while let Some(mut batch) = next(&work) {
                while !batch.is_empty() {
                    let request = Request::GetUpdateData(GetUpdateData {
                        cookie: Some(cookie.clone()),
                        update_ids: batch.clone(),
                    });
                    let text = post(client, url, &request).await?;
                    let came = text.matches(ITEM).count();
                    ensure!(came > 0, "an answer brought nothing");
                    batch.drain(..came.min(batch.len()));
                    brought.answers += 1;
                    brought.documents += came as u64;
                    brought.bytes += text.len() as u64;
                }
            }
            Ok::<_, anyhow::Error>(brought)
        }
    });
    let mut all = Brought::default();
    for brought in futures::future::try_join_all(connections).await? {
        all.answers += brought.answers;
        all.documents += brought.documents;
        all.bytes += brought.bytes;
    }
    Ok(all)
}

/// The nginx that is measured beside. Dropped in the middle of something, it ends with its workers: killed, it
/// would leave them behind.
struct Nginx(Option<Process>);

impl Drop for Nginx {
    fn drop(&mut self) {
        const WORKERS_END: Duration = Duration::from_millis(300);
        if let Some(process) = &self.0
            && process.signal(Signal::TERM).is_ok()
        {
            std::thread::sleep(WORKERS_END);
        }
    }
}

impl Nginx {
    /// Serves the files below `dir/files` at `port`.
    async fn start(dir: &Path, port: u16) -> anyhow::Result<Self> {
        let mut program = None;
        // Where Debian puts it is not on the path of everybody.
        for candidate in ["nginx", "/usr/sbin/nginx"] {
            if run(dir, candidate, &["-v"]).await.is_ok() {
                program = Some(candidate);
                break;
            }
        }
        let program = program
            .context("nginx is not there: install it (in Debian: apt-get install nginx-light)")?;
        // As root its workers would be somebody else, who may not read what is here.
        let user = match rustix::process::geteuid().is_root() {
            true => "user root; ",
            false => "",
        };
        let place = dir.display();
        let settings = format!(
            "{user}daemon off; worker_processes auto; pid {place}/nginx.pid; error_log {place}/nginx.err;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; sendfile on; keepalive_requests 1000000;\n\
             client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;\n\
             uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;\n\
             server {{ listen 127.0.0.1:{port}; root {place}/files; }} }}\n"
        );
        let file = dir.join("nginx.conf");
        std::fs::write(&file, settings)?;
        let errors = dir.join("nginx.err");
        let arguments = [
            "-e".as_ref(),
            errors.as_os_str(),
            "-c".as_ref(),
            file.as_os_str(),
        ];
        let process = Process::start("nginx", dir, Path::new(program), &arguments, &[])?;
        Ok(Self(Some(process)))
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        match self.0.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }
}

/// The same documents as files, from nginx: seconds, and bytes.
async fn baseline(
    dir: &Path,
    client: &reqwest::Client,
    ids: &[RevisionId],
    rounds: u8,
) -> anyhow::Result<(f64, u64)> {
    let root = dir.join("files");
    std::fs::create_dir_all(&root)?;
    let port = free_port()?;
    let server = Nginx::start(dir, port).await?;
    write_documents(&dir.join(TOP), &root).await?;
    let url = format!("http://127.0.0.1:{port}");
    let deadline = Instant::now() + PATIENCE;
    while client.get(&url).send().await.is_err() {
        ensure!(Instant::now() < deadline, "nginx does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut seconds = Vec::new();
    let mut bytes = 0;
    for _ in 0..rounds {
        let begun = Instant::now();
        bytes = read_files(client, &url, ids).await?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    server.stop().await?;
    Ok((median(&seconds), bytes))
}

/// Reads every document once, over as many connections as the site has; how many bytes came.
async fn read_files(
    client: &reqwest::Client,
    url: &str,
    ids: &[RevisionId],
) -> anyhow::Result<u64> {
    let work: Work<RevisionId> = Arc::new(Mutex::new(ids.iter().copied().collect()));
    let connections = (0..CONNECTIONS).map(|_| {
        let work = Arc::clone(&work);
        async move {
            let mut bytes = 0;
            while let Some(id) = next(&work) {
                let request = client.get(format!("{url}/{}", name_of(id)));
                let answer = request.send().await?.error_for_status()?;
                bytes += answer.bytes().await?.len() as u64;
            }
            Ok::<u64, anyhow::Error>(bytes)
        }
    });
    let read = futures::future::try_join_all(connections).await?;
    Ok(read.iter().sum())
}

fn name_of(id: RevisionId) -> String {
    format!("{}-{}.xml", id.update_id, id.revision)
}

/// Writes every document of a site that does not run into a folder.
async fn write_documents(data_dir: &Path, root: &Path) -> anyhow::Result<()> {
    let store = Store::open(&Location::Directory(data_dir.to_owned())).await?;
    let mut after = 0;
    loop {
        let mut read = store.read().await?;
        let changes = read.shown_changes_after(after, PAGE).await?;
        drop(read);
        let Some(last) = changes.last() else {
            break;
        };
        after = last.position;
        for change in &changes {
            if let (ItemKey::Revision(id), Some(_)) = (change.key, &change.header) {
                std::fs::write(root.join(name_of(id)), codec::decompress(&change.document)?)?;
            }
        }
    }
    store.close().await;
    Ok(())
}
