//! What the dashboard, the verbs, the RPCs, the metrics and the logs say of one run is one and the same.

use crate::documents::generate;
use crate::metrics::{scrape, value};
use hierarchy::words::{count, size};
use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::patience::LONG;
use testkit::{Hierarchy, until};
use uuid::Uuid;
use wire::convert::optional_timestamp;
use wire::v1::{
    GetRunRequest, GetRunResponse, ListRunsRequest, Run, RunReport, SiteRun, WatchSyncRequest,
};

fn time(value: Option<&prost_types::Timestamp>) -> Timestamp {
    optional_timestamp("time", value).unwrap().unwrap()
}

/// Who looks at pages.
struct Eyes {
    client: reqwest::Client,
    base: String,
    cookie: String,
    token: String,
}

impl Eyes {
    async fn open(hierarchy: &Hierarchy) -> Self {
        let token = hierarchy.run(&["access", "create", "eyes", "--role", "viewer"]);
        let token = token.good().trim().to_owned();
        let client = reqwest::Client::builder()
            .danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let base = hierarchy.url(CENTRAL);
        let form = client
            .post(format!("{base}/login"))
            .header("origin", &base)
            .form(&[("token", &token)]);
        let answer = form.send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self {
            client,
            base,
            cookie,
            token,
        }
    }

    /// A page as it is read: its text without its tags, each run of blanks as one.
    async fn reads(&self, path: &str) -> String {
        let request = self.client.get(format!("{}{path}", self.base));
        let answer = request.header("cookie", &self.cookie).send().await.unwrap();
        let page = answer.error_for_status().unwrap().text().await.unwrap();
        let main = &page[page.find("<main").unwrap()..page.find("</main>").unwrap()];
        let pieces = main
            .split('<')
            .map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text));
        let text = pieces.collect::<Vec<_>>().join(" ");
        let text = [
            ("&#34;", "\""),
            ("&quot;", "\""),
            ("&#39;", "'"),
            ("&#60;", "<"),
            ("&#62;", ">"),
            ("&#38;", "&"),
            ("&amp;", "&"),
        ]
        .iter()
        .fold(text, |text, (escaped, letter)| {
            text.replace(escaped, letter)
        });
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The JSON form of an RPC.
    async fn json(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}/api/v1/{path}", self.base));
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        let text = answer.error_for_status().unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// What the RPCs say of a run.
struct Told {
    whole: GetRunResponse,
    run: Run,
    own: SiteRun,
    report: RunReport,
}

async fn told(hierarchy: &Hierarchy, id: &[u8]) -> Told {
    let client = hierarchy.client().await.unwrap();
    let request = GetRunRequest { id: id.to_vec() };
    let whole = client.runs().get_run(request).await.unwrap().into_inner();
    let listed = client.runs().list_runs(ListRunsRequest::default()).await;
    let listed = listed.unwrap().into_inner().runs;
    let run = whole.run.clone().unwrap();
    let listed = listed.iter().find(|listed| listed.id == id).unwrap();
    assert_eq!(*listed, run, "the list and the run");
    let sites = client.sync().watch_sync(WatchSyncRequest {}).await.unwrap();
    let sites = sites.into_inner().message().await.unwrap().unwrap().sites;
    let central = sites.iter().find(|site| site.site_code == CENTRAL).unwrap();
    let own = whole.sites.iter().find(|part| part.site_code == CENTRAL);
    Told {
        own: own.unwrap().clone(),
        report: central.run.clone().unwrap(),
        run,
        whole,
    }
}

/// The number under which viewers find the lines of a run.
fn thread(id: &[u8]) -> String {
    let thread = journal::merged::thread_of(Some(Uuid::from_slice(id).unwrap()));
    format!("<thread={thread} (0x{thread:X})>")
}

/// What lines of a run a log has, without what follows their texts.
fn lines(hierarchy: &Hierarchy, log: &str, id: &[u8]) -> Vec<String> {
    let path = hierarchy.data_dir(CENTRAL).join("logs").join(log);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let of_run = text.lines().filter(|line| line.contains(&thread(id)));
    let said = of_run.map(|line| line.split("  $$<").next().unwrap_or(line).to_owned());
    said.collect()
}

/// Waits for a line of the merged log, which is written beside the run.
async fn merged_line(hierarchy: &Hierarchy, id: &[u8], parts: &[&str]) {
    until(&format!("hierarchy.log says {parts:?}"), LONG, || {
        let lines = lines(hierarchy, "hierarchy.log", id);
        let found = lines
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)));
        std::future::ready(found.then_some(()).ok_or(format!("{lines:#?}")))
    })
    .await;
}

/// How long a run took, as pages and verbs write it.
fn seconds(milliseconds: i64) -> String {
    assert!(milliseconds < 10_000, "a run of a test is short");
    format!("{}.{} s", milliseconds / 1000, milliseconds / 100 % 10)
}

/// What the RPCs, the verbs, the JSON form and the pages say of a run.
async fn compare(hierarchy: &Hierarchy, eyes: &Eyes, told: &Told) -> i64 {
    let Told {
        whole,
        run,
        own,
        report,
    } = told;
    let id = Uuid::from_slice(&run.id).unwrap().to_string();
    let (started, finished) = (time(run.started.as_ref()), time(run.finished.as_ref()));
    let took = finished.duration_since(started).as_millis();
    let took = i64::try_from(took).unwrap();

    // The run, the part of its site in it, and the report of its site.
    assert_eq!(report.id, run.id);
    assert_eq!((&own.state, &report.state), (&run.state, &run.state));
    assert_eq!((&own.error, &report.error), (&run.error, &run.error));
    for other in [&own.started, &report.started] {
        assert_eq!(time(other.as_ref()), started);
    }
    for other in [&own.finished, &report.finished] {
        assert_eq!(time(other.as_ref()), finished);
    }
    assert_eq!((own.items, own.bytes), (report.items, report.bytes));
    assert_eq!(report.full, run.full);

    // The verbs.
    let shown = hierarchy.run(&["sync", "show", &id, "--json"]).json();
    let history = hierarchy.run(&["sync", "history", "--json"]).json();
    let listed = history["runs"].as_array().unwrap().iter();
    let listed: Vec<&Value> = listed.filter(|listed| listed["id"] == json!(id)).collect();
    assert_eq!(listed, [&shown["run"]]);
    let expected = json!({
        "id": id, "started": started, "finished": finished, "state": run.state, "full": run.full,
        "manual": run.manual, "added": run.added, "revised": run.revised, "expired": run.expired,
        "removed": run.removed, "failed": run.failed, "position": run.position, "error": run.error,
        "sites": run.sites, "completed": run.completed, "site_code": null, "subtree": false, "source": null,
    });
    assert_eq!(shown["run"], expected);
    let parts = shown["sites"].as_array().unwrap();
    assert_eq!(parts.len(), whole.sites.len());
    for (part, shown) in whole.sites.iter().zip(parts) {
        assert_eq!(shown["site_code"], part.site_code);
        assert_eq!(shown["state"], part.state);
        assert_eq!(shown["items"], part.items);
        assert_eq!(shown["bytes"], part.bytes);
        assert_eq!(shown["error"], part.error);
        assert_eq!(shown["finished"], json!(time(part.finished.as_ref())));
    }

    // The JSON form of the RPC.
    let answer = eyes.json("RunService/ListRuns").await;
    let listed = answer["runs"].as_array().unwrap().iter();
    let position = run.position.to_string();
    let mut of_position = listed.filter(|listed| {
        let field = |name: &str| listed[name].as_str().unwrap_or("0").to_owned();
        field("position") == position
            && field("added") == run.added.to_string()
            && listed["state"].as_str() == Some(&run.state)
            && listed["error"].as_str().unwrap_or_default() == run.error
    });
    assert!(of_position.next().is_some(), "{answer}");

    // The pages.
    let page = eyes.reads(&format!("/runs/{id}")).await;
    let came = format!(
        "{} new, {} revised, {} expired; {} removed; {} failed",
        run.added, run.revised, run.expired, run.removed, run.failed
    );
    let length = seconds(took);
    for part in [
        format!("Run {id}"),
        format!(" {}", run.state),
        came,
        format!("Position {}", count(run.position)),
        format!("Took at the top-level site {length}"),
        format!("{} of {}", run.completed, run.sites),
        format!("{length} {} {}", count(own.items), size(own.bytes)),
        run.error.clone(),
    ] {
        let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.contains(&part), "{part:?} is not in {page}");
    }
    let all = eyes.reads("/runs").await;
    assert!(
        all.contains(&format!("{length} ")) && all.contains(&run.state),
        "{all}"
    );
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_verbs_rpcs_metrics_and_logs_say_the_same_of_a_run() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(200)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.synchronize().await;
    let eyes = Eyes::open(&hierarchy).await;
    hierarchy.evolve().await;
    let before = scrape(&hierarchy, CENTRAL).await;

    let id = hierarchy.request_sync().await;
    hierarchy.converged(&id).await;
    hierarchy
        .message(CENTRAL, 9078, &["this site's part"])
        .await;
    let id_text = Uuid::from_slice(&id).unwrap().to_string();
    until("both parts are told", LONG, || {
        let shown = hierarchy.run(&["sync", "show", &id_text, "--json"]).json();
        let complete = shown["run"]["completed"] == 2 && shown["sites"][1]["items"] != 0;
        std::future::ready(complete.then_some(()).ok_or(shown.to_string()))
    })
    .await;
    let first = told(&hierarchy, &id).await;
    let run = first.run.clone();
    assert!(run.added + run.revised > 0 && run.manual, "{run:?}");
    let took = compare(&hierarchy, &eyes, &first).await;

    // The metrics: what this run added to them.
    let after = scrape(&hierarchy, CENTRAL).await;
    let grew = |sample: &str| {
        let at = |text: &str| value(text, sample).unwrap_or_else(|| panic!("{sample}: {text}"));
        at(&after) - at(&before)
    };
    assert_eq!(
        grew("headwater_sync_runs_total{outcome=\"completed\"}"),
        1.0
    );
    assert_eq!(grew("headwater_sync_runs_total{outcome=\"failed\"}"), 0.0);
    assert_eq!(grew("headwater_sync_items_total"), first.own.items as f64);
    assert_eq!(grew("headwater_sync_bytes_total"), first.own.bytes as f64);
    let sum = grew("headwater_sync_run_duration_seconds_sum{outcome=\"completed\"}");
    assert!(
        (sum * 1000.0 - took as f64).abs() < 0.5,
        "{sum} s and {took} ms"
    );
    let is = |sample: &str| value(&after, sample);
    assert_eq!(
        is("headwater_catalog_verified_position"),
        Some(run.position as f64)
    );
    let ended = time(run.finished.as_ref()).as_second() as f64;
    assert_eq!(
        is("headwater_sync_last_success_timestamp_seconds"),
        Some(ended)
    );

    // The logs.
    let said = lines(&hierarchy, "wsyncmgr.log", &id);
    let seconds = took / 1000;
    for line in [
        format!(
            "Updated {} items in SMS database, new update source content version is {}",
            run.added + run.revised + run.expired,
            run.position
        ),
        format!("Sync time: 0d00h00m{seconds:02}s"),
    ] {
        assert!(said.contains(&line), "{line}: {said:#?}");
    }
    assert!(
        said.iter().any(|line| line.contains("STATMSG: ID=6702")),
        "{said:#?}"
    );
    for part in &first.whole.sites {
        let came = format!("{} items and {} bytes came", part.items, part.bytes);
        let began = time(part.started.as_ref()).to_string();
        merged_line(&hierarchy, &id, &["Information 9078", &came, &began]).await;
    }
    merged_line(&hierarchy, &id, &["Information 6702"]).await;

    // One that fails.
    hierarchy.stop(UPSTREAM).await;
    let failing = hierarchy.request_sync().await;
    let failing_text = Uuid::from_slice(&failing).unwrap().to_string();
    until("the run failed", LONG, || {
        let shown = hierarchy
            .run(&["sync", "show", &failing_text, "--json"])
            .json();
        let failed = shown["run"]["state"] == "Failed" && shown["sites"][0]["state"] == "Failed";
        std::future::ready(failed.then_some(()).ok_or(shown.to_string()))
    })
    .await;
    hierarchy.run(&["sync", "cancel"]).good();
    let client = hierarchy.client().await.unwrap();
    let request = GetRunRequest {
        id: failing.clone(),
    };
    let failed = client.runs().get_run(request).await.unwrap().into_inner();
    let failed = failed.run.unwrap();
    assert!(!failed.error.is_empty());
    let shown = hierarchy
        .run(&["sync", "show", &failing_text, "--json"])
        .json();
    assert_eq!(shown["run"]["error"], failed.error);
    let page = eyes.reads(&format!("/runs/{failing_text}")).await;
    let error = failed
        .error
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(
        page.contains("Failed") && page.contains(&error),
        "{error}: {page}"
    );
    let said = lines(&hierarchy, "wsyncmgr.log", &failing);
    let in_log = said
        .iter()
        .any(|line| line.starts_with("Sync failed: ") && line.contains(&failed.error));
    assert!(in_log, "{}: {said:#?}", failed.error);
    merged_line(&hierarchy, &failing, &["Error 6703", &failed.error]).await;
    until(
        "history and metrics count the same failures",
        LONG,
        || async {
            let text = scrape(&hierarchy, CENTRAL).await;
            let counted = value(&text, "headwater_sync_runs_total{outcome=\"failed\"}");
            let runs = client.runs().list_runs(ListRunsRequest::default()).await;
            let runs = runs.map_err(|status| status.to_string())?.into_inner().runs;
            let failed = runs.iter().filter(|run| run.state == "Failed").count();
            let same = counted == Some(failed as f64) && failed > 0;
            same.then_some(())
                .ok_or(format!("{counted:?} and {failed}"))
        },
    )
    .await;

    // The first one is told in the same way now that it is no longer the newest, and after a restart.
    for restarted in [false, true] {
        if restarted {
            hierarchy.stop(CENTRAL).await;
            hierarchy.start(CENTRAL).await;
        }
        let client = hierarchy.client().await.unwrap();
        let request = GetRunRequest { id: id.clone() };
        let again = client.runs().get_run(request).await.unwrap().into_inner();
        assert_eq!(again, first.whole);
    }
}
