//! What a repair costs, and what coming back after a long time costs: bytes on the wire, calls, seconds.

use crate::catalog_files;
use crate::figures::{short, tell};
use crate::hierarchy::{Hierarchy, Setting, Source, TOP};
use anyhow::Context as _;
use serde_json::json;
use std::path::Path;
use testkit::{Database, Proxy};

/// Rows that are damaged.
const DAMAGED: u64 = 1_000;
/// Changes of one in a hundred updates that are published while a site is away: one for each working day
/// of a month.
const DAYS: u32 = 22;
/// Updates in the catalog that a site is away from.
const AWAY_FROM: u32 = 20_000;

/// Measures both.
pub async fn measure(setting: &Setting, dir: &Path, updates: u32) -> anyhow::Result<()> {
    eprintln!("a repair of {DAMAGED} rows ...");
    repair(setting, &dir.join("damaged"), updates).await?;
    std::fs::remove_dir_all(dir)?;
    eprintln!("a site that is away for {DAYS} changes ...");
    away(setting, &dir.join("away")).await?;
    Ok(std::fs::remove_dir_all(dir)?)
}

/// A proxy in front of the central site, and a primary site that goes through it.
async fn start(
    setting: &Setting,
    dir: &Path,
    updates: u32,
) -> anyhow::Result<(Hierarchy, Proxy, u64)> {
    let mut hierarchy = Hierarchy::start(setting, dir, Source::Generated(updates)).await?;
    let proxy = Proxy::new().await;
    let address = hierarchy.address(TOP)?;
    let (_, address) = address.rsplit_once('/').context("an address")?;
    proxy.lead_to(address.parse()?);
    let url = format!("https://{}", proxy.address());
    hierarchy.join_at("PR1", "primary", TOP, &url).await?;
    let (top, _) = hierarchy.sync().await?;
    hierarchy.caught_up("PR1").await?;
    Ok((hierarchy, proxy, top.position))
}

async fn repair(setting: &Setting, dir: &Path, updates: u32) -> anyhow::Result<()> {
    let (mut hierarchy, proxy, rows) = start(setting, dir, updates).await?;
    let before = proxy.delivered();
    let whole = hierarchy.verify("PR1").await?;
    let compared = proxy.delivered() - before;

    // A third each: deleted, altered, overwritten by a double of their neighbours.
    let data_dir = hierarchy.data_dir("PR1");
    let every = rows / DAMAGED;
    let chosen = format!("position % {every} = 3 and position / {every} < {DAMAGED}");
    let sql = format!(
        "update item set document = x'00' where {chosen} and position / {every} % 3 = 0; \
         delete from item where {chosen} and position / {every} % 3 = 1; \
         delete from item where {chosen} and position / {every} % 3 = 2; \
         insert into item (position, bucket, key, digest, header, document) \
         select position + 1, bucket, key, digest, header, document from item \
         where (position + 1) % {every} = 3 and (position + 1) / {every} < {DAMAGED} \
         and (position + 1) / {every} % 3 = 2;"
    );
    Database::damage(&data_dir, &sql).await;
    let before = proxy.delivered();
    let run = hierarchy.verify("PR1").await?;
    let moved = proxy.delivered() - before;
    let log = std::fs::read_to_string(data_dir.join("logs/wsyncmgr.log"))?;
    let last = log.lines().rfind(|line| line.contains("Took over "));
    let mut words = last.context("no repair in the log")?.split(' ');
    let items: u64 = words.nth(2).context("a number of items")?.parse()?;
    let calls: u64 = words.nth(2).context("a number of calls")?.parse()?;
    tell(&json!({
        "benchmark": "repair", "rows": rows, "damaged": DAMAGED, "differences": items,
        "bytes_received": moved, "calls": calls, "seconds": short(run.seconds()),
        "bytes_received_where_nothing_differs": compared,
        "seconds_where_nothing_differs": short(whole.seconds()),
    }))?;
    hierarchy.stop().await
}

async fn away(setting: &Setting, dir: &Path) -> anyhow::Result<()> {
    let (mut hierarchy, proxy, first) = start(setting, dir, AWAY_FROM).await?;
    proxy.cut();
    let mut position = first;
    for _ in 0..DAYS {
        let (top, _) = hierarchy.change(position).await?;
        position = top.position;
    }
    let changes = catalog_files::changes(&hierarchy.data_dir(TOP), first).await?;
    let changed: usize = changes
        .iter()
        .map(|change| change.key.len() + change.header.len() + change.document.len())
        .sum();
    let address = hierarchy.address(TOP)?;
    let (_, address) = address.rsplit_once('/').context("an address")?;
    let before = proxy.delivered();
    proxy.lead_to(address.parse()?);
    let run = hierarchy.caught_up("PR1").await?;
    let moved = proxy.delivered() - before;
    tell(&json!({
        "benchmark": "away", "published_changes": DAYS, "items_changed": changes.len(),
        "positions": position - first, "bytes_changed": changed, "bytes_received": moved,
        "ratio": short(moved as f64 / changed as f64), "seconds": short(run.seconds()),
    }))?;
    hierarchy.stop().await
}
