//! Twenty sites that want the same files of one parent at once: real processes, which together need some seconds. The same
//! in one process, with more to look at, is in the tests of the crate `content`.

use crate::content_crashes::{complete, publish};
use crate::content_source::Source;
use std::time::Duration;
use testkit::Hierarchy;
use testkit::hierarchy::CENTRAL;

const CHILDREN: u64 = 20;
const FILES: u64 = 4;
const SIZE: usize = 2_000_000;
/// Around the bytes of files there are some of the link, of TLS and of the catalog.
const AROUND: u64 = 500_000;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_sites_below_one_cost_the_origin_each_byte_once() {
    let mut hierarchy = Hierarchy::new();
    let folder = hierarchy.folder().join("source");
    std::fs::create_dir_all(&folder).unwrap();
    let files = publish(&folder, FILES, SIZE);
    let source = Source::start(folder).await;
    let url = source.url.clone();
    hierarchy
        .central_with(|launch| launch.with("--upstream").with(url))
        .await;
    let codes: Vec<String> = (1..=CHILDREN)
        .map(|number| format!("P{number:02}"))
        .collect();
    for code in &codes {
        hierarchy.join(code, "primary", CENTRAL).await;
    }
    hierarchy
        .run(&["settings", "set", "content.download=immediate"])
        .good();
    let before = hierarchy.proxy(CENTRAL).delivered();
    hierarchy.request_sync().await;
    let sites = codes.iter().map(String::as_str).chain([CENTRAL]);
    for site in sites {
        complete(&hierarchy, site, &files, Duration::from_secs(120)).await;
    }
    let all = FILES * SIZE as u64;
    assert_eq!(source.sent(), all);
    // And each of them got each byte once.
    let delivered = hierarchy.proxy(CENTRAL).delivered() - before;
    let most = CHILDREN * (all + all / 50 + AROUND);
    assert!(delivered >= CHILDREN * all, "{delivered}");
    assert!(delivered <= most, "{delivered} of {most}");
}
