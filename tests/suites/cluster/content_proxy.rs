//! Update files and a real HTTP proxy: they go through it where that is chosen, past it otherwise, and are whole though
//! its connections drop.

use crate::content_crashes::{complete, publish, stored};
use crate::content_source::Source;
use catalog::content::ContentFile;
use content::{CHUNK, Limits};
use ctl::connection::question;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::proxy::Proxy;
use testkit::tinyproxy::{Rules, Tinyproxy};
use testkit::{Hierarchy, until};
use wire::v1::SetSecretRequest;

const FILES: u64 = 6;
const SIZE: usize = 3_000_000;

fn set(hierarchy: &Hierarchy, assignments: &[&str]) {
    let arguments = ["settings", "set"].iter().chain(assignments);
    let arguments: Vec<&str> = arguments.copied().collect();
    hierarchy.run(&arguments).good();
}

async fn password(hierarchy: &Hierarchy, secret: &str) {
    let secret = SetSecretRequest {
        name: "proxy.password".to_owned(),
        secret: secret.to_owned(),
    };
    let client = hierarchy.client().await.unwrap();
    let set = client.settings().set_secret(question(secret)).await;
    set.unwrap();
}

async fn restart(hierarchy: &mut Hierarchy) {
    hierarchy.stop(CENTRAL).await;
    hierarchy.start(CENTRAL).await;
}

/// Takes every file away from a site, which finds out and wants them again.
fn lose(hierarchy: &Hierarchy, files: &[ContentFile]) {
    let store = hierarchy.data_dir(CENTRAL).join("WsusContent");
    for file in files {
        let path = store.join(file.folder()).join(file.stored_name());
        std::fs::remove_file(path).unwrap();
    }
    let verified = hierarchy.run(&["content", "verify"]);
    let missing = format!("{} missing", files.len());
    assert!(verified.output.contains(&missing), "{verified:?}");
}

/// Waits until the site says why no files come.
async fn waits(hierarchy: &Hierarchy, because: &str) {
    until(&format!("files wait because {because}"), LONG, || async {
        let report = hierarchy.site(CENTRAL).await?;
        let waits = report.content_waits.contains(because);
        waits.then_some(()).ok_or_else(|| format!("{report:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn update_files_go_through_the_proxy_or_past_it_as_chosen() {
    let Some(proxy) = Tinyproxy::start(&Rules::user("anna", "hunter2")).await else {
        return;
    };
    // In front of the proxy is a line that can be cut.
    let line = Proxy::new().await;
    line.lead_to(proxy.address());
    let mut hierarchy = Hierarchy::new();
    let folder = hierarchy.folder().join("source");
    std::fs::create_dir_all(&folder).unwrap();
    let files = publish(&folder, FILES, SIZE);
    let all = FILES * SIZE as u64;
    let source = Source::start(folder).await;
    hierarchy.central().await;
    let url = format!("source.url={}", source.url);
    let address = line.address();
    let (host, port) = (
        format!("proxy.host={}", address.ip()),
        format!("proxy.port={}", address.port()),
    );
    set(
        &hierarchy,
        &[
            "source.action=upstream-server",
            &url,
            &host,
            &port,
            "proxy.user=anna",
            "proxy.allow-basic-authentication=true",
            "proxy.use-for=synchronization",
            "content.download=immediate",
        ],
    );
    password(&hierarchy, "hunter2").await;

    // Synchronization alone.
    hierarchy.run(&["sync", "start", "--wait"]).good();
    complete(&hierarchy, CENTRAL, &files, LONG).await;
    assert_eq!((source.through_proxy(), source.sent()), (0, all));
    assert!(source.past_proxy() >= FILES);
    let asked = proxy.requests();
    assert!(
        asked.iter().any(|line| line.starts_with("POST ")),
        "{asked:?}"
    );
    assert!(
        !asked.iter().any(|line| line.starts_with("GET ")),
        "{asked:?}"
    );

    // Files, too. While it cannot be reached, nothing goes past it: not at once, and not after a restart either.
    line.cut();
    set(&hierarchy, &["proxy.use-for=synchronization-and-content"]);
    // From the first file on, whatever a site does first.
    restart(&mut hierarchy).await;
    let past = source.past_proxy();
    lose(&hierarchy, &files);
    until("files fail", LONG, || async {
        let report = hierarchy.site(CENTRAL).await?;
        let failing = report.content_failing > 0;
        failing.then_some(()).ok_or_else(|| format!("{report:?}"))
    })
    .await;
    restart(&mut hierarchy).await;
    hierarchy.run(&["content", "retry"]).good();
    line.lead_to(proxy.address());
    hierarchy.run(&["content", "retry"]).good();
    complete(&hierarchy, CENTRAL, &files, LONG).await;
    assert_eq!(source.past_proxy(), past);
    assert!(source.through_proxy() >= FILES);

    // Connections that drop in the middle cost a part of each file under way.
    let before = source.sent();
    line.allow(all / 3);
    lose(&hierarchy, &files);
    let mut drops = 0;
    for share in [6, 3] {
        let some = all / share;
        until("some of it came", LONG, || {
            let there = stored(&hierarchy, CENTRAL);
            assert!(there < all, "it is done already");
            std::future::ready(
                (there >= some)
                    .then_some(())
                    .ok_or_else(|| there.to_string()),
            )
        })
        .await;
        line.cut();
        drops += 1;
        line.allow(all / 3);
        line.lead_to(proxy.address());
        hierarchy.run(&["content", "retry"]).good();
    }
    line.free();
    complete(&hierarchy, CENTRAL, &files, LONG).await;
    let again = source.sent() - before - all;
    let most = drops * Limits::default().parallel as u64 * CHUNK;
    assert!(again <= most, "{again} bytes came again");
    assert_eq!(source.past_proxy(), past);

    // Its user cannot sign in any more: files wait, say so, and do not go past it.
    set(&hierarchy, &["proxy.domain=corp"]);
    restart(&mut hierarchy).await;
    lose(&hierarchy, &files);
    waits(&hierarchy, "set for another proxy or user").await;
    assert_eq!(source.past_proxy(), past);
    set(&hierarchy, &["proxy.domain="]);
    complete(&hierarchy, CENTRAL, &files, LONG).await;
    assert_eq!(source.past_proxy(), past);
    assert!(!hierarchy.log(CENTRAL).contains("hunter2"));
}
