//! Putting a central site together: everything is built and bound, then tasks start.

use crate::admin::Admin;
use crate::admission::CentralAdmission;
use crate::alerts::Alerts;
use crate::alerts::notify::{Notifier, Pace};
use crate::cleanup::Cleaner;
use crate::decisions::Decisions;
use crate::expiry::Expirer;
use crate::identity::Identity;
use crate::in_force::{Fixed, InForce};
use crate::ingest::WsusUpstream;
use crate::pacing;
use crate::package::{self, Packages};
use crate::publish::Publisher;
use crate::restore;
use crate::roll_out::{self, Register};
use crate::schedule::Scheduler;
use crate::settings::{Command, Settings};
use crate::source_point::SourcePoints;
use crate::update_files::FileSources;
use admin::content_admin::CleaningUp;
use admin::{Catalog, ContentAdmin, Listeners, Reading, credential, json};
use anyhow::Context as _;
use content::serve::ContentServer;
use content::{Content, Files, Parts};
use daemon::{Ambient, Metrics, Shutdown, Signals, Telemetry, service_manager};
use jiff::SignedDuration;
use journal::{Journal, JournalSettings};
use link::Site;
use link::address::advertised;
use link::children::{Children, LinkService};
use link::condition::Conditions;
use link::enrollment::Enrollment;
use link::listen::{self, Acceptor};
use link::log_route::LogRouter;
use link::metrics::SiteMetrics;
use link::refusals::Refusals;
use link::reporter::{self, Place};
use link::reports::Reports;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use sync::{Engine, Tally, Upstream as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trust::seal::Sealer;
use trust::tls::{self, HotCertificate};
use wire::v1::content_service_server::ContentServiceServer;

/// How long tasks may take to end.
const DRAIN: Duration = Duration::from_secs(15);
/// How often old removals are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(60 * 60);
/// Folder of the log within the data directory.
const LOG_FOLDER: &str = "logs";

/// A central site that runs.
pub struct Central {
    /// The site.
    pub site: Site,
    /// What is wrong at the sites of the hierarchy.
    pub alerts: Alerts,
    /// Where it serves WSUS servers, as URLs.
    pub wsus: Vec<String>,
    tasks: TaskTracker,
}

impl Central {
    /// Waits until every task of the site has ended, after `stop` was told.
    pub async fn ended(self) {
        self.tasks.wait().await;
        if let Err(error) = self.site.store.tidy().await {
            tracing::warn!(%error, "the database was not tidied up; the next start does it");
        }
    }
}

/// Starts a central site on a listener, in this process. It runs until `stop` is told.
///
/// # Errors
/// When a file, the database or a key is not usable.
pub async fn run(
    settings: &Settings,
    acceptor: impl Acceptor,
    address: SocketAddr,
    ambient: Ambient,
    stop: CancellationToken,
) -> anyhow::Result<Central> {
    let directory = &settings.site.data_dir;
    std::fs::create_dir_all(directory)
        .with_context(|| format!("the data directory {}", directory.display()))?;
    let wsus_ports = match &settings.site.wsus {
        Some(wsus) => Some((downstream::listen::Bound::new(wsus).await?, wsus)),
        None => None,
    };
    let store = Store::open(&settings.site.database).await?;
    let identity = Identity::open(directory, &ambient)?;
    let code = settings.site_code;
    let pin = identity.authority.pin();
    credential::ensure(directory, (code, pin), address, &store, &ambient).await?;
    let journal = Journal::open(
        store.clone(),
        JournalSettings {
            site: code,
            has_parent: false,
            server: daemon::paths::host_name(),
            directory: directory.join(LOG_FOLDER),
            max_log_bytes: settings.site.max_log_bytes,
            json_lines: settings.site.json_log,
            merges: true,
        },
        ambient.clone(),
    )?;
    let hierarchy_log = journal.hierarchy_log()?;

    let mut names = settings.names.clone();
    names.extend(["localhost".to_owned(), address.ip().to_string()]);
    let certificate =
        identity.certificate(code, &names, settings.certificate_validity, &ambient)?;
    let hot = HotCertificate::new(&certificate, &identity.key)?;
    let clock = ambient.clone();
    let time = tls::time_provider(move || clock.now());
    let tls = tls::server_config(
        Arc::clone(&hot) as _,
        &[identity.authority.certificate_der().clone()],
        time,
    )?;

    let Identity { authority, key } = identity;
    let authority = Arc::new(authority);
    let publisher = Publisher {
        authority: Arc::clone(&authority),
        ambient: ambient.clone(),
        validity: settings.statement_validity,
    };
    let fixed = Fixed {
        upstream: settings.upstream.as_ref().map(|source| source.url.clone()),
    };
    let reports = Reports::default();
    let register = Register {
        store: store.clone(),
        reports: reports.clone(),
        top: code.site(),
        address: settings
            .names
            .first()
            .map(|name| format!("https://{name}:{}", address.port())),
        locale: settings.site.locale,
    };
    let in_force = Box::pin(InForce::load(
        store.clone(),
        journal.clone(),
        ambient.clone(),
        settings.first.clone(),
        fixed,
        register.clone(),
    ))
    .await?;
    let upstream = WsusUpstream::new(
        settings.upstream.clone(),
        code,
        store.clone(),
        publisher.clone(),
        ambient.clone(),
        in_force.watch(),
    );
    let metrics = Metrics::new()?;
    let engine = Engine::new(
        Arc::clone(&upstream),
        store.clone(),
        journal.clone(),
        ambient.clone(),
        settings.site.engine.clone(),
    )
    .await?
    .of_kind(settings.site_kind)
    .counted_by(Tally::new(&metrics)?);
    let pacing = pacing::keep(in_force.watch(), engine.handle(), stop.clone());
    let site = Site {
        code,
        kind: settings.site_kind,
        hierarchy: authority.hierarchy(),
        statement_key: authority.statement_key(),
        store: store.clone(),
        journal: journal.clone(),
        refusals: Refusals::new(journal.clone()),
        engine: engine.handle(),
        ambient: ambient.clone(),
        reports,
        announcements: watch::Sender::default(),
        parent: watch::Sender::new(None),
        attached: watch::Sender::new(true),
        received: Arc::default(),
    };
    reporter::load(&site).await?;
    let tasks = TaskTracker::new();
    let admission = Arc::new(
        CentralAdmission::load(
            &site,
            Arc::clone(&authority),
            settings.certificate_validity,
            tasks.clone(),
        )
        .await?,
    );
    let scheduler = Scheduler {
        settings: in_force.clone(),
        store: store.clone(),
        engine: engine.handle(),
        ambient: ambient.clone(),
        seed: ::settings::schedule::seed_of(authority.hierarchy().0),
    };
    let alerts = Alerts::new(
        (store.clone(), journal.clone(), ambient.clone()),
        site.reports.clone(),
        in_force.watch(),
        authority.hierarchy(),
    );
    let sealer = Arc::new(Sealer::new(&authority));
    let notifier = Notifier::new(alerts.clone(), Arc::clone(&sealer), Pace::default());
    let conditions = Conditions {
        site: site.clone(),
        certificate: Arc::clone(&hot),
        directory: directory.clone(),
        floor: {
            let settings = in_force.watch();
            Arc::new(move || settings.borrow().alerts.disk_low.floor())
        },
    };
    let condition = watch::Sender::new(conditions.look());
    let decisions = Decisions::new(Arc::clone(&upstream), engine.handle(), journal.clone());
    let cleaner = Cleaner::new(decisions.clone(), Arc::clone(&upstream), journal.clone());
    let expirer = Expirer {
        decisions: decisions.clone(),
        upstream: Arc::clone(&upstream),
        engine: engine.handle(),
        journal: journal.clone(),
    };
    in_force.decide_by(decisions.clone());
    in_force.roll_out().await?;
    let sources = FileSources::new(&upstream, settings.files.clone())?;
    let content = Content::new(Parts {
        store: store.clone(),
        files: Files::open(&settings.site.content)?,
        journal: journal.clone(),
        ambient: ambient.clone(),
        sources: sources.all(),
    });
    let planner = ::admin::content_admin::planner(&site, in_force.watch_roll_out());
    upstream.has_content(planner.clone(), content.clone());
    let cleaner = cleaner.with_content(content.clone());
    let children = Arc::new(Children::default());
    let logs = LogRouter::new(site.clone(), Arc::clone(&children));
    let link = LinkService::new(
        site.clone(),
        Arc::clone(&children),
        admission.clone(),
        logs.clone(),
        tasks.clone(),
        stop.clone(),
    );
    let points = SourcePoints {
        site: site.clone(),
        children: Arc::clone(&children),
        admission: Arc::clone(&admission),
        settings: in_force.clone(),
    };
    let reading = Reading {
        site: site.clone(),
        logs,
        catalog: Arc::new(Catalog::new(store.clone())),
        settings: in_force.watch_roll_out(),
        pin,
        listeners: Listeners::default(),
        stop: stop.clone(),
    };
    let parts = package::Parts {
        upstream: Arc::clone(&upstream),
        engine: engine.handle(),
        journal: journal.clone(),
        settings: in_force.clone(),
    };
    let packages = Packages::new(parts, directory);
    tasks.spawn(packages.clone().keep_tidy(stop.clone()));
    let mut shown = SiteMetrics::new(site.clone(), Arc::clone(&children), metrics);
    let mut wsus = Vec::new();
    if let Some((ports, settings)) = wsus_ports {
        wsus.extend(ports.urls());
        let files = downstream::Content {
            router: content::router(content.clone()),
            wanted: content.wishes(&tasks),
        };
        let served = (site.clone(), &key);
        let counts =
            downstream::start(ports, settings, served, Some(files), &tasks, stop.clone()).await?;
        shown = shown.and(move |metrics| counts.render(metrics));
    }
    let admin = Admin {
        packages,
        wsus: wsus.iter().cloned().collect(),
        site: site.clone(),
        sources: points.clone(),
        authority: Arc::clone(&authority),
        reading,
        children: Arc::clone(&children),
        admission: Arc::clone(&admission),
        settings: in_force.clone(),
        upstream: Arc::clone(&upstream),
        decisions: decisions.clone(),
        cleaner: cleaner.clone(),
        sealer,
        alerts: alerts.clone(),
        notifier: notifier.clone(),
    };
    let kept_content = ContentAdmin {
        planner: planner.clone(),
        content: content.clone(),
        reading: admin.reading.clone(),
        tasks: tasks.clone(),
    };
    kept_content.keep(CleaningUp::WithTheRest, &stop);
    let services = ::admin::services(|routes| {
        admin.clone().add_to(routes);
        routes.add_service(ContentServiceServer::new(kept_content.clone()));
    });
    let (pages, sampling) = dashboard::router(dashboard::Parts {
        api: services.clone(),
        pulse: dashboard::Pulse {
            sites: site.reports.watch(),
            messages: site.journal.watch_outbox(),
            alerts: Some(alerts.watch()),
        },
        reports: {
            let reports = site.reports.clone();
            Box::new(move || reports.all())
        },
        ambient: ambient.clone(),
        site_code: site.code.to_string(),
        stop: stop.clone(),
    });
    let content_server = ContentServer::new(content.clone(), link.clone());
    let router = link::router::router(
        link,
        Enrollment::new(site.clone(), admission),
        shown,
        |routes| {
            routes.add_service(content_server.into_service());
            routes.add_service(ContentServiceServer::new(kept_content));
            admin.add_to(routes);
        },
    )
    .await?
    .merge(pages)
    .merge(json::router(services)?);

    let place = Place {
        address: settings
            .site
            .advertise
            .clone()
            .unwrap_or_else(|| advertised(address)),
        upstream: {
            let upstream = Arc::clone(&upstream);
            Arc::new(move || upstream.name())
        },
        locale: settings.site.locale,
        settings_version: in_force.watch_version(),
        condition: condition.subscribe(),
        content: content.watch_state(),
    };
    tasks.spawn(sampling);
    tasks.spawn(listen::serve(
        acceptor,
        Arc::new(tls),
        router,
        site.refusals.clone(),
        stop.clone(),
    ));
    tasks.spawn(pacing);
    tasks.spawn(engine.work(stop.clone()));
    // What has to go through a proxy does so from the first file on.
    let files_way = upstream.begin_files_way(&sources).await;
    tasks.spawn(content.work(stop.clone()));
    tasks.spawn(Arc::clone(&upstream).keep_files_way(sources, files_way, stop.clone()));
    tasks.spawn(hierarchy_log.keep(stop.clone()));
    tasks.spawn(journal.keep(stop.clone()));
    tasks.spawn(site.clone().announce_runs(children, stop.clone()));
    tasks.spawn(reporter::report(site.clone(), place, stop.clone()));
    tasks.spawn(reporter::keep(site.clone(), stop.clone()));
    tasks.spawn(points.keep(stop.clone()));
    tasks.spawn(scheduler.keep(stop.clone()));
    tasks.spawn(conditions.keep(condition, stop.clone()));
    tasks.spawn(alerts.clone().keep(stop.clone()));
    tasks.spawn(notifier.keep(stop.clone()));
    tasks.spawn(decisions.keep(stop.clone()));
    tasks.spawn(expirer.keep(stop.clone()));
    tasks.spawn(cleaner.keep(site.engine.clone(), stop.clone()));
    tasks.spawn(roll_out::keep(in_force, register, stop.clone()));
    tasks.spawn(restore::watch(site.clone(), upstream, stop.clone()));
    tasks.spawn(publisher.clone().keep_fresh(store.clone(), stop.clone()));
    tasks.spawn(keep_house(
        store,
        ambient.clone(),
        settings.site.tombstones_kept,
        stop.clone(),
    ));
    let own = OwnCertificate {
        authority,
        key,
        hot,
        names,
        validity: settings.certificate_validity,
        ambient,
    };
    tasks.spawn(own.keep_valid(site.clone(), stop));
    tasks.close();
    Ok(Central {
        site,
        alerts,
        wsus,
        tasks,
    })
}

/// Forgets removals that every site has long seen.
async fn keep_house(store: Store, ambient: Ambient, kept: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(HOUSEKEEPING) => {}
            () = stop.cancelled() => return,
        }
        let before = SignedDuration::try_from(kept)
            .ok()
            .and_then(|kept| ambient.now().checked_sub(kept).ok());
        let Some(before) = before else { continue };
        let forgotten = async {
            let mut tx = store.begin().await?;
            let forgotten = tx.forget_removals(before).await?;
            tx.commit().await?;
            Ok::<_, store::Error>(forgotten)
        };
        match forgotten.await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "old removals were forgotten"),
            Err(error) => tracing::error!(%error, "old removals could not be forgotten"),
        }
    }
}

/// The top-level site's own certificate, which it makes for itself.
struct OwnCertificate {
    authority: Arc<trust::Authority>,
    key: trust::SiteKey,
    hot: Arc<HotCertificate>,
    names: Vec<String>,
    validity: Duration,
    ambient: Ambient,
}

impl OwnCertificate {
    async fn keep_valid(self, site: Site, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.validity / 2) => {}
                () = stop.cancelled() => return,
            }
            let identity = trust::SiteIdentity::new(site.hierarchy, site.code);
            let renewed = self
                .authority
                .self_issue(
                    &self.key,
                    &identity,
                    &self.names,
                    self.validity,
                    self.ambient.now(),
                    &mut self.ambient.new_rng(),
                )
                .and_then(|issued| issued.to_site_certificate())
                .and_then(|certificate| self.hot.replace(&certificate, &self.key));
            if let Err(error) = renewed {
                tracing::error!(%error, "the site's own certificate could not be renewed");
            }
        }
    }
}

/// Runs a central site as a process, until it is told to stop.
///
/// # Errors
/// When the settings are not usable, or the site cannot start.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(command)?;
    let telemetry = Telemetry::start(&settings.site.telemetry, "headwater-central")?;
    let signals = Signals::install()?;
    let shutdown = Shutdown::new();
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = listener.local_addr()?;
    let start = Box::pin(run(
        &settings,
        listener,
        address,
        Ambient::system().with_traces(telemetry.traces()),
        shutdown.token().clone(),
    ));
    let mut ending = pin!(shutdown.clone().wait(signals, DRAIN));
    // A start may wait for the database server, and is given up when the process is told to end.
    let central = tokio::select! {
        started = start => started?,
        exit = ending.as_mut() => {
            telemetry.shutdown(Duration::from_secs(5)).await;
            return Ok(exit.into());
        }
    };
    println!("listening on https://{address}");
    for url in &central.wsus {
        println!("serving WSUS servers on {url}");
    }
    service_manager::ready();
    shutdown.spawn("site", async move { central.ended().await });
    let exit = ending.await;
    telemetry.shutdown(Duration::from_secs(5)).await;
    Ok(exit.into())
}
