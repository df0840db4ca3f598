//! A site in this process, and its source.

use catalog::header::RevisionHeader;
use catalog::{RevisionId, UpdateId};
use central::decisions::Decisions;
use central::ingest::WsusUpstream;
use central::publish::Publisher;
use daemon::Ambient;
use jiff::Timestamp;
use journal::{Journal, JournalSettings};
use settings::Settings;
use settings::document::{Approvals, Products};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::query::RevisionRow;
use store::{Location, Store};
use sync::{Engine, EngineHandle, EngineSettings, EngineState, Request, State, Trigger};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trust::{Authority, HierarchyId};
use upstream::generator::GeneratorSettings;
use upstream::{ServedCatalog, load};
use wsus::message::{ConfigData, RevisionFilter, RevisionList};
use wsus::server::{ServerIdentity, ServerSettings, Session, Source, SourceError, StoredUpdate};

/// Longest that a test waits for a run.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What a source does wrong, and what was asked of it.
#[derive(Default)]
pub struct Moods {
    /// Left out of lists.
    pub unlisted: HashSet<UpdateId>,
    /// Asking for one of these makes the whole call fail.
    pub faulty: HashSet<RevisionId>,
    /// Served with a document that is no update.
    pub garbled: HashSet<RevisionId>,
    /// Served with a document that says that it is mandatory.
    pub mandatory: HashSet<UpdateId>,
    /// Serve so many documents, then fail every call.
    pub break_after: Option<usize>,
    /// Say that the server was replaced, so often.
    pub server_changed: usize,
    /// Every id that a document was given out for, in order.
    pub served: Vec<RevisionId>,
    /// Anchors that came in with lists of updates.
    pub anchors: Vec<Option<String>>,
    /// Filters that came in for updates.
    pub filters: Vec<RevisionFilter>,
    /// Listed with the categories once, whatever the anchor.
    pub appear: Vec<RevisionId>,
    /// Lists of updates hold all, or all changes, whatever is asked for.
    pub lists_everything: bool,
    /// Says that files are to be had from it.
    pub hosts_files: bool,
    /// No document is given out before this is told.
    pub hold: Option<CancellationToken>,
}

pub struct Moody {
    pub catalog: ServedCatalog,
    pub moods: Mutex<Moods>,
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
        let config = self.catalog.config(anchor, now).await?;
        Ok(ConfigData {
            catalog_only_sync: !self.moods.lock().unwrap().hosts_files,
            ..config
        })
    }

    async fn revisions(
        &self,
        session: &Session,
        filter: &RevisionFilter,
        now: Timestamp,
    ) -> Result<RevisionList, SourceError> {
        {
            let mut moods = self.moods.lock().unwrap();
            if !filter.get_config {
                moods.anchors.push(filter.anchor.clone());
                moods.filters.push(filter.clone());
            }
            if moods.server_changed > 0 {
                moods.server_changed -= 1;
                return Err(SourceError::ServerChanged);
            }
        }
        let mut filter = filter.clone();
        if self.moods.lock().unwrap().lists_everything {
            filter.categories = None;
            filter.classifications = None;
        }
        let mut list = self.catalog.revisions(session, &filter, now).await?;
        let mut moods = self.moods.lock().unwrap();
        if filter.get_config {
            list.revisions.append(&mut moods.appear);
        }
        list.revisions
            .retain(|id| !moods.unlisted.contains(&id.update_id));
        Ok(list)
    }

    async fn updates(&self, ids: &[RevisionId]) -> Result<Vec<Option<StoredUpdate>>, SourceError> {
        let hold = self.moods.lock().unwrap().hold.clone();
        if let Some(hold) = hold {
            hold.cancelled().await;
        }
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
            let is_mandatory = moods.mandatory.contains(&id.update_id);
            if let Some(update) = update.as_mut().filter(|_| is_mandatory) {
                let marked = "<upd:Properties IsMandatory=\"true\" ";
                let document = update.document.replacen("<upd:Properties ", marked, 1);
                update.document = document.into();
            }
        }
        Ok(updates)
    }
}

pub struct Fixture {
    pub source: Arc<Moody>,
    pub upstream: Arc<WsusUpstream>,
    choice: watch::Sender<Arc<Settings>>,
    pub store: Store,
    pub engine: EngineHandle,
    pub decisions: Decisions,
    pub journal: Journal,
    pub ambient: Ambient,
    stop: CancellationToken,
    tasks: TaskTracker,
    _directory: tempfile::TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A generated catalog of so many updates, and a site that synchronizes everything.
pub async fn fixture(updates: u32) -> Fixture {
    let catalog = load::generated(GeneratorSettings { seed: 3, updates });
    choosing(catalog, everything()).await
}

/// All that the source has.
pub fn everything() -> Products {
    Products {
        everything: true,
        ..Products::default()
    }
}

/// A site that synchronizes a part of a catalog.
pub async fn choosing(catalog: ServedCatalog, products: Products) -> Fixture {
    let settings = Arc::unwrap_or_clone(with(products));
    placed(catalog, settings, Ambient::system()).await
}

/// A site with these settings, and a clock of its own.
pub async fn placed(catalog: ServedCatalog, settings: Settings, ambient: Ambient) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let source = Arc::new(Moody {
        catalog,
        moods: Mutex::default(),
    });
    let choice = watch::Sender::new(Arc::new(settings));
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
            json_lines: false,
            merges: false,
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
        Some(central::settings::Upstream {
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
        choice.subscribe(),
    );
    let engine = Engine::new(
        Arc::clone(&upstream),
        store.clone(),
        journal.clone(),
        ambient.clone(),
        EngineSettings {
            // No retry of its own within a test: the test asks for it.
            retry_first: Some(Duration::from_secs(3600)),
            ..EngineSettings::default()
        },
    )
    .await
    .unwrap();
    let handle = engine.handle();
    tasks.spawn(engine.work(stop.clone()));
    let decisions = Decisions::new(Arc::clone(&upstream), handle.clone(), journal.clone());
    tasks.spawn(decisions.clone().keep(stop.clone()));
    Fixture {
        source,
        upstream,
        choice,
        store,
        engine: handle,
        decisions,
        journal,
        ambient,
        stop,
        tasks,
        _directory: directory,
    }
}

/// The choice, and nothing that is decided by itself.
fn with(products: Products) -> Arc<Settings> {
    let approvals = Approvals {
        rules: BTreeMap::new(),
        ..Approvals::default()
    };
    Arc::new(Settings {
        products,
        approvals,
        ..Settings::default()
    })
}

impl Fixture {
    /// What the source does wrong from now on, and what it was asked.
    pub fn moods(&self) -> std::sync::MutexGuard<'_, Moods> {
        self.source.moods.lock().unwrap()
    }

    /// Chooses anew, for the runs that begin from now on.
    pub fn choose(&self, products: Products) {
        self.choice.send_replace(with(products));
    }

    /// Puts other settings in force.
    pub fn set(&self, settings: Settings) {
        self.choice.send_replace(Arc::new(settings));
    }

    /// What is decided by itself from now on.
    pub fn decide_by_itself(&self, approvals: Approvals) {
        self.choice.send_modify(|settings| {
            let settings = Arc::make_mut(settings);
            settings.approvals = approvals;
        });
    }

    /// Asks for a run and waits for its end.
    pub async fn run(&self, full: bool) -> EngineState {
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
    pub async fn complete(&self, full: bool) -> EngineState {
        let state = self.run(full).await;
        let run = state.run.as_ref().unwrap();
        assert!(matches!(run.state, State::Completed { .. }), "{run:?}");
        state
    }

    /// The verified catalog.
    pub async fn held(&self) -> BTreeMap<RevisionId, RevisionRow> {
        let mut read = self.store.read().await.unwrap();
        let rows = read.revisions_after(0, 100_000).await.unwrap();
        rows.into_iter().map(|row| (row.id, row)).collect()
    }

    /// All that the source lists.
    pub async fn all_ids(&self) -> BTreeSet<RevisionId> {
        let mut ids = BTreeSet::new();
        for get_config in [true, false] {
            let filter = RevisionFilter {
                get_config,
                ..RevisionFilter::default()
            };
            let session = Session::newest(uuid::Uuid::nil());
            let list = self
                .source
                .catalog
                .revisions(&session, &filter, self.ambient.now());
            ids.extend(list.await.unwrap().revisions);
        }
        ids
    }

    /// An update that is a bundle and no member of one, and one of its members.
    pub async fn bundle(&self) -> (RevisionId, RevisionId) {
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

    /// Ends all that runs.
    pub async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
