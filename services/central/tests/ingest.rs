//! The ingest of a top-level site against sources that misbehave as real ones do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use catalog::header::RevisionHeader;
use catalog::{RevisionId, UpdateId};
use central::ingest::WsusUpstream;
use central::publish::Publisher;
use central::settings;
use daemon::Ambient;
use jiff::Timestamp;
use journal::{Journal, JournalSettings};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::query::RevisionRow;
use store::{Location, Store};
use sync::{Engine, EngineHandle, EngineSettings, EngineState, Request, State, Trigger};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trust::{Authority, HierarchyId};
use upstream::generator::GeneratorSettings;
use upstream::{ServedCatalog, load};
use wsus::message::{ConfigData, RevisionFilter, RevisionList};
use wsus::server::{ServerIdentity, ServerSettings, Source, SourceError, StoredUpdate};

/// Longest that a test waits for a run.
const PATIENCE: Duration = Duration::from_secs(60);
const UPDATES: u32 = 300;

/// What a source does wrong, and what was asked of it.
#[derive(Default)]
struct Moods {
    /// Left out of lists.
    unlisted: HashSet<UpdateId>,
    /// Asking for one of these makes the whole call fail.
    faulty: HashSet<RevisionId>,
    /// Served with a document that is no update.
    garbled: HashSet<RevisionId>,
    /// Serve so many documents, then fail every call.
    break_after: Option<usize>,
    /// Say that the server was replaced, so often.
    server_changed: usize,
    /// Every id that a document was given out for, in order.
    served: Vec<RevisionId>,
    /// Anchors that came in with lists of updates.
    anchors: Vec<Option<String>>,
}

struct Moody {
    catalog: ServedCatalog,
    moods: Mutex<Moods>,
}

impl Source for Moody {
    fn identity(&self) -> ServerIdentity {
        self.catalog.identity()
    }

    async fn config(
        &self,
        anchor: Option<&str>,
        now: Timestamp,
    ) -> Result<ConfigData, SourceError> {
        self.catalog.config(anchor, now).await
    }

    async fn revisions(
        &self,
        filter: &RevisionFilter,
        now: Timestamp,
    ) -> Result<RevisionList, SourceError> {
        {
            let mut moods = self.moods.lock().unwrap();
            if !filter.get_config {
                moods.anchors.push(filter.anchor.clone());
            }
            if moods.server_changed > 0 {
                moods.server_changed -= 1;
                return Err(SourceError::ServerChanged);
            }
        }
        let mut list = self.catalog.revisions(filter, now).await?;
        let moods = self.moods.lock().unwrap();
        list.revisions
            .retain(|id| !moods.unlisted.contains(&id.update_id));
        Ok(list)
    }

    async fn updates(&self, ids: &[RevisionId]) -> Result<Vec<Option<StoredUpdate>>, SourceError> {
        {
            let mut moods = self.moods.lock().unwrap();
            if let Some(left) = moods.break_after {
                moods.break_after = Some(left.saturating_sub(ids.len()));
                if left < ids.len() {
                    // The one fault that no client tries again.
                    return Err(SourceError::InvalidParameter("updateIds"));
                }
            }
            if ids.iter().any(|id| moods.faulty.contains(id)) {
                return Err(SourceError::Failed("a faulty update".into()));
            }
            moods.served.extend_from_slice(ids);
        }
        let mut updates = self.catalog.updates(ids).await?;
        let moods = self.moods.lock().unwrap();
        for (id, update) in ids.iter().zip(&mut updates) {
            if let Some(update) = update.as_mut().filter(|_| moods.garbled.contains(id)) {
                update.document = "<upd:Update>this is not an update</upd:Update>".into();
            }
        }
        Ok(updates)
    }
}

struct Fixture {
    source: Arc<Moody>,
    store: Store,
    engine: EngineHandle,
    ambient: Ambient,
    stop: CancellationToken,
    tasks: TaskTracker,
    _directory: tempfile::TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn fixture(updates: u32) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let ambient = Ambient::system();
    let source = Arc::new(Moody {
        catalog: load::generated(GeneratorSettings { seed: 3, updates }),
        moods: Mutex::default(),
    });
    let clock = ambient.clone();
    let ids = ambient.clone();
    let router = wsus::server::router(
        Arc::clone(&source),
        ServerSettings {
            cookie_key: [7; 32],
            cookie_lifetime: ServerSettings::COOKIE_LIFETIME,
            max_updates_per_request: 50,
            clock: Arc::new(move || clock.now()),
            new_id: Arc::new(move || ids.new_id()),
        },
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let stopped = stop.clone();
    tasks.spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(stopped.cancelled_owned())
            .await
            .unwrap();
    });
    let store = Store::open(&Location::Directory(directory.path().into()))
        .await
        .unwrap();
    let site = "CAS".parse().unwrap();
    let journal = Journal::open(
        store.clone(),
        JournalSettings {
            site,
            has_parent: false,
            server: "cas".into(),
            directory: directory.path().join("logs"),
            max_log_bytes: 1 << 20,
        },
        ambient.clone(),
    )
    .unwrap();
    let authority = Authority::create(
        HierarchyId(ambient.new_id()),
        ambient.now(),
        &mut ambient.new_rng(),
    )
    .unwrap();
    let upstream = WsusUpstream::new(
        Some(settings::Upstream {
            url,
            ca_file_pem: None,
            parallel: 2,
            exchange: None,
        }),
        site,
        store.clone(),
        Publisher {
            authority: Arc::new(authority),
            ambient: ambient.clone(),
            validity: Duration::from_secs(3600),
        },
        ambient.clone(),
    );
    let engine = Engine::new(
        upstream,
        store.clone(),
        journal,
        ambient.clone(),
        EngineSettings {
            // No retry of its own within a test: the test asks for it.
            retry_first: Duration::from_secs(3600),
            ..EngineSettings::default()
        },
    )
    .await
    .unwrap();
    let handle = engine.handle();
    tasks.spawn(engine.work(stop.clone()));
    Fixture {
        source,
        store,
        engine: handle,
        ambient,
        stop,
        tasks,
        _directory: directory,
    }
}

impl Fixture {
    fn moods(&self) -> std::sync::MutexGuard<'_, Moods> {
        self.source.moods.lock().unwrap()
    }

    /// Asks for a run and waits for its end.
    async fn run(&self, full: bool) -> EngineState {
        let (id, _) = self.engine.request(Request {
            full,
            ..Request::new(Trigger::Manual)
        });
        let mut states = self.engine.watch();
        let ended = states.wait_for(|state| {
            state
                .run
                .as_ref()
                .is_some_and(|run| run.id == id && run.state.finished().is_some())
        });
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("the run ends in time")
            .unwrap()
            .clone()
    }

    /// Asks for a run that has to complete.
    async fn complete(&self, full: bool) -> EngineState {
        let state = self.run(full).await;
        let run = state.run.as_ref().unwrap();
        assert!(matches!(run.state, State::Completed { .. }), "{run:?}");
        state
    }

    /// The verified catalog.
    async fn held(&self) -> BTreeMap<RevisionId, RevisionRow> {
        let mut read = self.store.read().await.unwrap();
        let rows = read.revisions_after(0, 100_000).await.unwrap();
        rows.into_iter().map(|row| (row.id, row)).collect()
    }

    async fn all_ids(&self) -> BTreeSet<RevisionId> {
        let mut ids = BTreeSet::new();
        for get_config in [true, false] {
            let filter = RevisionFilter {
                get_config,
                ..RevisionFilter::default()
            };
            let list = self.source.catalog.revisions(&filter, self.ambient.now());
            ids.extend(list.await.unwrap().revisions);
        }
        ids
    }

    /// An update that is a bundle and no member of one, and one of its members.
    async fn bundle(&self) -> (RevisionId, RevisionId) {
        let held = self.held().await;
        let bundles: Vec<(RevisionId, Vec<RevisionId>)> = held
            .values()
            .map(|row| {
                (
                    row.id,
                    RevisionHeader::from_bytes(&row.header).unwrap().bundled,
                )
            })
            .collect();
        let members: HashSet<RevisionId> = bundles.iter().flat_map(|(_, m)| m).copied().collect();
        bundles
            .iter()
            .filter(|(id, _)| !members.contains(id))
            .find_map(|(id, members)| members.first().map(|member| (*id, *member)))
            .expect("the generated catalog has bundles")
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_holds_everything_and_a_second_fetches_nothing() {
    let site = fixture(UPDATES).await;
    let state = site.complete(false).await;
    let all = site.all_ids().await;
    assert_eq!(
        site.held().await.keys().copied().collect::<BTreeSet<_>>(),
        all
    );
    assert_eq!(state.run.unwrap().counts.items(), all.len() as u64);

    let served = site.moods().served.len();
    let position = site.store.positions();
    site.complete(false).await;
    assert_eq!(site.moods().served.len(), served);
    assert_eq!(site.store.positions(), position);
    let anchors = site.moods().anchors.clone();
    assert!(anchors[0].is_none() && anchors[1].is_some(), "{anchors:?}");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_source_come_as_a_delta_and_are_counted() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let before = site.moods().served.len();
    let published = site
        .source
        .catalog
        .publish_changes(5.0, site.ambient.now())
        .unwrap();
    let state = site.complete(false).await;
    let counts = state.run.unwrap().counts;
    assert!(
        counts.added > 0 && counts.revised > 0 && counts.expired > 0,
        "{counts:?}"
    );
    let fetched = site.moods().served.len() - before;
    assert!(
        fetched > 0 && fetched < before / 2,
        "{fetched} after {published:?}"
    );
    assert!(
        site.all_ids()
            .await
            .is_subset(&site.held().await.keys().copied().collect())
    );
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_update_is_put_aside_and_the_run_goes_on() {
    let site = fixture(UPDATES).await;
    let all = site.all_ids().await;
    let faulty = *all.iter().nth(17).unwrap();
    let garbled = *all.iter().nth(90).unwrap();
    site.moods().faulty.insert(faulty);
    site.moods().garbled.insert(garbled);
    let state = site.complete(false).await;
    assert_eq!(state.run.unwrap().counts.quarantined, 2);
    let held = site.held().await;
    assert_eq!(held.len(), all.len() - 2);
    assert!(!held.contains_key(&faulty) && !held.contains_key(&garbled));
    let aside = site
        .store
        .read()
        .await
        .unwrap()
        .quarantined(10)
        .await
        .unwrap();
    let ids: BTreeSet<RevisionId> = aside.iter().map(|row| row.id).collect();
    assert_eq!(ids, BTreeSet::from([faulty, garbled]));

    // Mended at the source: the next full run brings them, and they leave quarantine.
    *site.moods() = Moods::default();
    site.complete(true).await;
    assert_eq!(site.held().await.len(), all.len());
    assert!(
        site.store
            .read()
            .await
            .unwrap()
            .quarantined(10)
            .await
            .unwrap()
            .is_empty()
    );
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bundle_refers_to_is_fetched_though_no_list_names_it() {
    let probe = fixture(UPDATES).await;
    probe.complete(false).await;
    let (_, member) = probe.bundle().await;
    probe.end().await;

    let site = fixture(UPDATES).await;
    site.moods().unlisted.insert(member.update_id);
    site.complete(false).await;
    assert!(site.held().await.contains_key(&member));
    // Nor does a full run take it for withdrawn.
    site.complete(true).await;
    assert!(site.held().await.contains_key(&member));
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_broken_off_goes_on_where_it_was() {
    let site = fixture(2000).await;
    site.moods().break_after = Some(1500);
    let state = site.run(false).await;
    assert!(matches!(state.run.unwrap().state, State::Failed { .. }));
    let kept = site.store.positions().head;
    assert!(kept >= 500, "{kept}");
    assert_eq!(site.held().await.len(), 0, "nothing unverified is shown");

    site.moods().break_after = None;
    site.moods().served.clear();
    site.complete(false).await;
    let all = site.all_ids().await;
    assert_eq!(site.held().await.len(), all.len());
    let fetched: BTreeSet<RevisionId> = site.moods().served.iter().copied().collect();
    assert_eq!(fetched.len() as u64, all.len() as u64 - kept);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_replaced_voids_the_anchors_only() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let served = site.moods().served.len();
    site.moods().server_changed = 1;
    site.moods().anchors.clear();
    site.complete(false).await;
    assert_eq!(site.moods().anchors.last(), Some(&None));
    assert_eq!(
        site.moods().served.len(),
        served,
        "what is held is not fetched again"
    );
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_run_removes_what_is_no_longer_listed_but_believes_no_empty_list() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let held = site.held().await;
    let (bundle, _) = site.bundle().await;
    site.moods().unlisted.insert(bundle.update_id);
    site.complete(false).await;
    assert!(
        site.held().await.contains_key(&bundle),
        "a delta run removes nothing"
    );
    let state = site.complete(true).await;
    assert!(!site.held().await.contains_key(&bundle));
    assert!(state.run.unwrap().counts.removed >= 1);

    let left = site.held().await.len();
    site.moods().unlisted = held.keys().map(|id| id.update_id).collect();
    site.complete(true).await;
    assert_eq!(site.held().await.len(), left);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_away_is_named_in_the_failure() {
    let site = fixture(10).await;
    site.moods().break_after = Some(0);
    let state = site.run(false).await;
    let (_, error) = state.last_failure.expect("the run failed");
    assert!(error.contains("127.0.0.1"), "{error}");
    assert!(state.next_attempt.is_some() || site.engine.state().run.is_some());
    site.end().await;
}
