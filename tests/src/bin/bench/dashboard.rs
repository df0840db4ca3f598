//! What the dashboard costs at a central site with 1,000 sites below it: until the first page is there, until an event
//! reaches a page that is open, and memory.

use crate::figures::{median, short, tell};
use crate::hierarchy::{Setting, TOP};
use crate::process::{Process, run};
use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use prost::Message as _;
use serde_json::json;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;
use store::Store;
use store::authority::SiteRow;
use tokio::time::Instant;
use wire::v1::{RunReport, SiteReport};

/// Primary sites, and secondary sites below each.
const PRIMARIES: usize = 30;
const SECONDARIES: usize = 32;
/// Pages that stay open and listen.
const OPEN: usize = 10;
/// How often what varies is measured; the median counts.
const ROUNDS: usize = 10;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process is left alone before it is weighed.
const REST: Duration = Duration::from_secs(2);

/// Measures it.
pub async fn measure(setting: &Setting, dir: &Path) -> anyhow::Result<()> {
    let sites = 1 + PRIMARIES * (1 + SECONDARIES);
    eprintln!("the dashboard of {sites} sites ...");
    let data_dir = dir.join(TOP);
    let arguments = [
        "central",
        "--site-code",
        TOP,
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
    ];
    let mut arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    arguments.push(data_dir.as_os_str());
    let mut central = Process::start(TOP, dir, &setting.program, &arguments, &[])?;
    central.address().await?;
    central.stop().await?;
    fill(&data_dir).await?;
    let mut central = Process::start(TOP, dir, &setting.program, &arguments, &[])?;
    let base = central.address().await?;
    let create = [
        "access",
        "create",
        "bench",
        "--role",
        "operator",
        "--data-dir",
    ];
    let mut create: Vec<&OsStr> = create.iter().map(OsStr::new).collect();
    create.push(data_dir.as_os_str());
    let program = setting.program.to_string_lossy();
    let token = run(dir, &program, &create).await?;
    tokio::time::sleep(REST).await;
    let before = central.memory()?;

    let client = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let cookie = sign_in(&client, &base, token.trim()).await?;
    let get = async |path: &str| {
        let request = client
            .get(format!("{base}{path}"))
            .header("cookie", &cookie);
        let answer = tokio::time::timeout(PATIENCE, request.send()).await??;
        let answer = answer.error_for_status()?;
        Ok::<_, anyhow::Error>(answer.text().await?)
    };
    let mut paints = Vec::new();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let page = get("/").await?;
        for asset in ["/assets/style.css", "/assets/live.js", "/assets/icon.svg"] {
            get(asset).await?;
        }
        paints.push(begun.elapsed().as_secs_f64());
        bytes = page.len();
        let shown = page.matches("class=\"node ").count();
        anyhow::ensure!(shown == sites, "the picture shows {shown} of {sites} sites");
    }
    let mut listening = Vec::new();
    for _ in 0..OPEN {
        let request = client
            .get(format!("{base}/events"))
            .header("cookie", &cookie);
        listening.push(request.send().await?.error_for_status()?.bytes_stream());
    }
    let mut reached = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let pressed = client
            .post(format!("{base}/sync"))
            .header("cookie", &cookie)
            .header("origin", &base)
            .form(&[("back", "/")]);
        pressed.send().await?.error_for_status()?;
        for page in &mut listening {
            tokio::time::timeout(PATIENCE, told(page)).await??;
        }
        reached.push(begun.elapsed().as_secs_f64());
        get("/").await?;
        // What the same change tells later is not the next one's.
        tokio::time::sleep(REST).await;
        for page in &mut listening {
            while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, page.next()).await {}
        }
    }
    let after = central.memory()?;
    drop(listening);
    tell(&json!({
        "benchmark": "dashboard", "sites": sites, "page_bytes": bytes,
        "first_page_seconds": short(median(&paints)), "event_seconds": short(median(&reached)),
        "open_pages": OPEN, "memory_before": before, "memory_after": after,
        "memory_growth": after.saturating_sub(before),
    }))?;
    central.stop().await
}

/// Waits until a page is told that sites changed.
async fn told<S, B>(page: &mut S) -> anyhow::Result<()>
where
    S: futures::Stream<Item = reqwest::Result<B>> + Unpin,
    B: AsRef<[u8]>,
{
    while let Some(part) = page.next().await {
        let part = part?;
        if String::from_utf8_lossy(part.as_ref()).contains("event: sites") {
            return Ok(());
        }
    }
    bail!("the events ended")
}

async fn sign_in(client: &reqwest::Client, base: &str, token: &str) -> anyhow::Result<String> {
    let form = client
        .post(format!("{base}/login"))
        .header("origin", base)
        .form(&[("token", token)]);
    let answer = form.send().await?;
    let cookie = answer.headers().get("set-cookie");
    let cookie = cookie.context("nobody was signed in")?.to_str()?;
    let cookie = cookie.split(';').next().unwrap_or_default();
    Ok(cookie.to_owned())
}

/// Puts the reports of all sites into the database of a central site.
async fn fill(data_dir: &Path) -> anyhow::Result<()> {
    let store = Store::open(&store::Location::Directory(data_dir.to_owned())).await?;
    let epoch = store.positions().epoch;
    let mut tx = store.begin().await?;
    let report = |code: &str, kind: &str, parent: &str| SiteReport {
        site_code: code.to_owned(),
        site_kind: kind.to_owned(),
        parent: parent.to_owned(),
        sequence: 1,
        version: "0.1.0".to_owned(),
        epoch: epoch.as_bytes().to_vec(),
        upstream: parent.to_owned(),
        connected: true,
        run: Some(RunReport {
            state: "Completed".to_owned(),
            ..RunReport::default()
        }),
        ..SiteReport::default()
    };
    let code = |number: usize| {
        let digit = |digit: usize| b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit % 36] as char;
        String::from_iter(['T', digit(number / 36), digit(number)])
    };
    let mut number = 0;
    for primary in 0..PRIMARIES {
        let parent = format!("P{primary:02}");
        let mut reports = vec![report(&parent, "primary", TOP)];
        for _ in 0..SECONDARIES {
            reports.push(report(&code(number), "secondary", &parent));
            number += 1;
        }
        for report in reports {
            let site = report.site_code.parse()?;
            let row = SiteRow {
                code: site,
                kind: report.site_kind.parse()?,
                parent: report.parent.parse()?,
                former_parents: Vec::new(),
                joined: jiff::Timestamp::UNIX_EPOCH,
                removed: None,
                key_hash: vec![1; 32],
            };
            tx.put_site(&row).await?;
            tx.put_site_report(site, 1, report.encode_to_vec()).await?;
        }
    }
    tx.commit().await?;
    store.close().await;
    Ok(())
}
