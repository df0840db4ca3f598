//! One trace for a run, across all sites.

use crate::collector::{Collected, Collector};
use crate::documents::generate;
use std::collections::BTreeMap;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};
use uuid::Uuid;

/// What a child does in a run.
const PHASES: [&str; 4] = [
    "Connecting",
    "SyncingCategories",
    "SyncingUpdates",
    "Verifying",
];

/// Waits until the whole part of each of these sites in a run was collected: its spans, in the order of their
/// beginnings, the run itself first.
async fn parts(
    collector: &Collector,
    run: &[u8],
    sites: &[&str],
) -> BTreeMap<String, Vec<Collected>> {
    until("every site has told its part in the run", LONG, || {
        let mut parts: BTreeMap<String, Vec<Collected>> = BTreeMap::new();
        for collected in collector.collected() {
            if collected.span.trace_id == run {
                parts.entry(collected.site()).or_default().push(collected);
            }
        }
        for part in parts.values_mut() {
            part.sort_by_key(|held| (held.span.start_time_unix_nano, held.span.name != "sync run"));
        }
        let there = parts.keys().eq(sites) && parts.values().all(|part| part.len() >= 5);
        let shape = || format!("{:?}", parts.iter().map(|(site, part)| (site, part.len())));
        let answer = there.then(|| parts.clone()).ok_or_else(shape);
        std::future::ready(answer)
    })
    .await
}

/// The run of a site, below that of its parent, with its phases below it.
fn check(part: &[Collected], parent: Option<&Collected>, run: &str) -> Collected {
    let (whole, phases) = part.split_first().unwrap();
    assert_eq!(whole.span.name, "sync run");
    let above = parent.map_or(&[][..], |parent| &parent.span.span_id);
    assert_eq!(whole.span.parent_span_id, above, "{whole:?}");
    let names: Vec<&str> = phases.iter().map(|held| held.span.name.as_str()).collect();
    assert_eq!(names, PHASES, "{whole:?}");
    for phase in phases {
        assert_eq!(phase.span.parent_span_id, whole.span.span_id, "{phase:?}");
        assert!(phase.span.start_time_unix_nano >= whole.span.start_time_unix_nano);
        assert!(phase.span.end_time_unix_nano <= whole.span.end_time_unix_nano);
    }
    assert_eq!(whole.says("headwater.run.id"), run);
    assert_eq!(whole.says("headwater.run.outcome"), "Completed");
    assert_eq!(whole.says("headwater.run.mode"), "delta");
    let items: u64 = whole.says("headwater.run.items").parse().unwrap();
    let bytes: u64 = whole.says("headwater.run.bytes").parse().unwrap();
    assert!(items >= 200 && bytes > items, "{whole:?}");
    whole.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_trace_across_all_sites_and_one_that_was_away_joins_it_later() {
    let (collector, endpoint) = Collector::start().await;
    let settings = format!("[telemetry]\notlp_endpoint = '{endpoint}'\n");
    let mut hierarchy = Hierarchy::with_settings(&settings);
    hierarchy.upstream(generate(200)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("PR2", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.stop("PR2").await;

    let run = hierarchy.request_sync().await;
    hierarchy.converged_without(&run, &["PR2"]).await;
    let name = Uuid::from_slice(&run).unwrap().to_string();
    let told = parts(&collector, &run, &[CENTRAL, "PR1", "SE1"]).await;
    let central = check(&told[CENTRAL], None, &name);
    let primary = check(&told["PR1"], Some(&central), &name);
    let secondary = check(&told["SE1"], Some(&primary), &name);
    for (part, service, kind) in [
        (&central, "headwater-central", "central"),
        (&primary, "headwater-agent", "primary"),
        (&secondary, "headwater-agent", "secondary"),
    ] {
        assert_eq!(part.service, service);
        assert_eq!(part.says("headwater.site.kind"), kind);
    }
    assert_eq!(central.says("headwater.run.trigger"), "manual");
    assert_eq!(secondary.says("headwater.run.trigger"), "parent");

    // The parent is started again before the one that was away: the span does not depend on its memory.
    hierarchy.stop(CENTRAL).await;
    hierarchy.start(CENTRAL).await;
    hierarchy.start("PR2").await;
    let told = parts(&collector, &run, &[CENTRAL, "PR1", "PR2", "SE1"]).await;
    check(&told["PR2"], Some(&central), &name);
}
