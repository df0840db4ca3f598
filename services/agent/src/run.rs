//! Putting a child site together: everything is built and bound, then tasks start.

use crate::admission::AgentAdmission;
use crate::in_force::InForce;
use crate::membership::Membership;
use crate::renewal::Renewal;
use crate::settings::{Command, Settings};
use ::settings::document::{Cleanup, DiskLow};
use ::settings::roll_out::RollOut;
use admin::content_admin::CleaningUp;
use admin::{Catalog, ContentAdmin, Listeners, Reading, Replica, credential, json};
use anyhow::Context as _;
use content::serve::ContentServer;
use content::source::ParentSource;
use content::{Content, Files, Parts};
use daemon::{Ambient, Exit, Metrics, Shutdown, Signals, Telemetry, service_manager};
use jiff::SignedDuration;
use journal::{Journal, JournalSettings, StatusId, phrases};
use link::Site;
use link::address::advertised;
use link::attachment::{Attachment, TlsTowards};
use link::children::{Children, LinkService};
use link::condition::Conditions;
use link::dial::{Connector, TcpConnector};
use link::enrollment::Enrollment;
use link::listen::{self, Acceptor};
use link::log_route::LogRouter;
use link::metrics::SiteMetrics;
use link::pull::ParentUpstream;
use link::refusals::Refusals;
use link::reporter::{self, Place};
use link::reports::Reports;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use sync::{Engine, Tally, Upstream as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trust::AuthorityPin;
use trust::tls::{self, HotCertificate, ServerTrust};
use wire::v1::content_service_server::ContentServiceServer;

/// How long tasks may take to end.
const DRAIN: Duration = Duration::from_secs(15);
/// How often the age of the statement and old removals are looked at.
const HOUSEKEEPING: Duration = match cfg!(feature = "simulation") {
    true => Duration::from_secs(2 * 60),
    false => Duration::from_secs(10 * 60),
};
/// Steps in which old history is forgotten, at most, before the next look.
const HISTORY_STEPS: u32 = 10;
/// Folder of the log within the data directory.
const LOG_FOLDER: &str = "logs";

/// A child site that runs.
pub struct Agent {
    /// The site.
    pub site: Site,
    /// Where it serves WSUS servers, as URLs.
    pub wsus: Vec<String>,
    tasks: TaskTracker,
}

impl Agent {
    /// Waits until every task of the site has ended, after `stop` was told.
    pub async fn ended(self) {
        self.tasks.wait().await;
        if let Err(error) = self.site.store.tidy().await {
            tracing::warn!(%error, "the database was not tidied up; the next start does it");
        }
    }
}

/// Starts a child site in this process. It runs until `stop` is told. Without an acceptor, and the address at which
/// that listens, it takes no children in and answers nobody. Joins the hierarchy first, if it has not.
///
/// # Errors
/// When the site cannot join, or a file, the database or a key is not usable.
pub async fn run(
    settings: &Settings,
    acceptor: Option<(impl Acceptor, SocketAddr)>,
    connector: Arc<dyn Connector>,
    ambient: Ambient,
    stop: CancellationToken,
) -> anyhow::Result<Agent> {
    let directory = &settings.site.data_dir;
    std::fs::create_dir_all(directory)
        .with_context(|| format!("the data directory {}", directory.display()))?;
    let wsus_ports = match &settings.site.wsus {
        Some(wsus) => Some((downstream::listen::Bound::new(wsus).await?, wsus)),
        None => None,
    };
    let clock = ambient.clone();
    let time = tls::time_provider(move || clock.now());
    let member = Membership::open(
        settings,
        &ambient,
        Arc::clone(&time),
        Arc::clone(&connector),
    )
    .await?;
    let store = Store::open(&settings.site.database).await?;
    let mut tx = store.begin_repeatable().await?;
    let parent = member.kept.parent();
    let again = tx.address_outbox(member.site, parent).await?;
    tx.commit().await?;
    if again > 0 {
        tracing::info!(%parent, again, "status messages are sent to the new parent, too");
    }
    let journal = Journal::open(
        store.clone(),
        JournalSettings {
            site: member.site,
            has_parent: true,
            server: daemon::paths::host_name(),
            directory: directory.join(LOG_FOLDER),
            max_log_bytes: settings.site.max_log_bytes,
            json_lines: settings.site.json_log,
            merges: false,
        },
        ambient.clone(),
    )?;
    let authority = member
        .certificate
        .chain()
        .last()
        .context("the certificate chain is empty")?
        .clone();
    let pin = AuthorityPin::of(&authority);
    let hot = HotCertificate::new(&member.certificate, &member.key)?;
    let server_tls = tls::server_config(
        Arc::clone(&hot) as _,
        std::slice::from_ref(&authority),
        Arc::clone(&time),
    )?;
    let ways = member.kept.ways(&settings.parent);
    let parent = watch::Sender::new(Some(ways.after(0).clone()));
    let towards: TlsTowards = {
        let (hot, hierarchy) = (Arc::clone(&hot), member.hierarchy);
        Arc::new(move |point| {
            let trust = ServerTrust::Hierarchy {
                authority: authority.clone(),
                hierarchy,
                expected: Some(point),
            };
            tls::client_config(Some(Arc::clone(&hot)), trust, Arc::clone(&time))
        })
    };

    let upstream = ParentUpstream::new(member.kept.parent(), parent.subscribe());
    let metrics = Metrics::new()?;
    let engine = Engine::new(
        Arc::clone(&upstream),
        store.clone(),
        journal.clone(),
        ambient.clone(),
        settings.site.engine.clone(),
    )
    .await?
    .of_kind(member.kind)
    .counted_by(Tally::new(&metrics)?);
    let site = Site {
        code: member.site,
        kind: member.kind,
        hierarchy: member.hierarchy,
        statement_key: member.statement_key,
        store: store.clone(),
        journal: journal.clone(),
        refusals: Refusals::new(journal),
        engine: engine.handle(),
        ambient: ambient.clone(),
        reports: Reports::default(),
        announcements: watch::Sender::default(),
        parent,
        attached: watch::Sender::new(false),
        received: Arc::default(),
    };
    upstream.belongs_to(site.clone());
    reporter::load(&site).await?;
    let admission = Arc::new(
        AgentAdmission::load(
            member.site,
            member.kind,
            store.clone(),
            ambient.clone(),
            Arc::clone(&upstream),
            site.reports.clone(),
            member.kept,
        )
        .await?,
    );
    let content = Content::new(Parts {
        store: store.clone(),
        files: Files::open(&settings.site.content)?,
        journal: site.journal.clone(),
        ambient: ambient.clone(),
        sources: vec![Arc::new(ParentSource::new(Arc::clone(&upstream)))],
    });
    let children = Arc::new(Children::default());
    let logs = LogRouter::new(site.clone(), Arc::clone(&children));
    let tasks = TaskTracker::new();
    let in_force = InForce::default();
    if let Some(why) = in_force.refresh(&site).await? {
        tracing::warn!(why, "the settings of the catalog cannot be read");
    }
    let reading = Reading {
        site: site.clone(),
        logs: logs.clone(),
        catalog: Arc::new(Catalog::new(store.clone())),
        settings: in_force.watch(),
        pin,
        listeners: Listeners::default(),
        stop: stop.clone(),
    };
    let kept_content = ContentAdmin {
        planner: admin::content_admin::planner(&site, in_force.watch()),
        content: content.clone(),
        reading: reading.clone(),
        tasks: tasks.clone(),
    };
    kept_content.keep(CleaningUp::ByItself, &stop);
    let mut shown = SiteMetrics::new(site.clone(), Arc::clone(&children), metrics);
    let mut wsus = Vec::new();
    if let Some((ports, settings)) = wsus_ports {
        wsus.extend(ports.urls());
        let files = downstream::Content {
            router: content::router(content.clone()),
            wanted: content.wishes(&tasks),
        };
        let served = (site.clone(), &member.key);
        let counts =
            downstream::start(ports, settings, served, Some(files), &tasks, stop.clone()).await?;
        shown = shown.and(move |metrics| counts.render(metrics));
    }
    if let Some((acceptor, address)) = acceptor {
        let who = (member.site, pin);
        credential::ensure(directory, who, address, &store, &ambient).await?;
        let replica = Replica(reading.clone(), wsus.iter().cloned().collect());
        let kept_content = kept_content.clone();
        let link = LinkService::new(
            site.clone(),
            Arc::clone(&children),
            admission.clone(),
            logs.clone(),
            tasks.clone(),
            stop.clone(),
        );
        let services = admin::services(|routes| {
            replica.clone().add_to(routes);
            routes.add_service(ContentServiceServer::new(kept_content.clone()));
        });
        let (pages, sampling) = dashboard::router(dashboard::Parts {
            api: services.clone(),
            pulse: dashboard::Pulse {
                sites: site.reports.watch(),
                messages: site.journal.watch_outbox(),
                alerts: None,
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
            Enrollment::new(site.clone(), admission.clone()),
            shown,
            |routes| {
                routes.add_service(content_server.into_service());
                routes.add_service(ContentServiceServer::new(kept_content));
                replica.add_to(routes);
            },
        )
        .await?
        .merge(pages)
        .merge(json::router(services)?);
        tasks.spawn(sampling);
        tasks.spawn(listen::serve(
            acceptor,
            Arc::new(server_tls),
            router,
            site.refusals.clone(),
            stop.clone(),
        ));
    }
    let attachment = Attachment {
        site: site.clone(),
        ways,
        tls: towards,
        connector,
        upstream: Arc::clone(&upstream),
        children: Arc::clone(&children),
        logs,
        register: admission,
        tasks: tasks.clone(),
    };
    let conditions = Conditions {
        site: site.clone(),
        certificate: Arc::clone(&hot),
        directory: directory.clone(),
        floor: {
            let rolled_out = in_force.watch();
            Arc::new(move || match rolled_out.borrow().as_deref() {
                Some(rolled_out) => rolled_out.settings.alerts.disk_low.floor(),
                // No catalog came yet.
                None => DiskLow::default().floor(),
            })
        },
    };
    let condition = watch::Sender::new(conditions.look());
    let place = Place {
        address: settings.site.advertise.clone().unwrap_or_default(),
        upstream: {
            let upstream = Arc::clone(&upstream);
            Arc::new(move || upstream.name())
        },
        locale: settings.site.locale,
        settings_version: in_force.watch_version(),
        condition: condition.subscribe(),
        content: content.watch_state(),
    };
    let renewal = Renewal {
        site: site.clone(),
        key: member.key,
        hot,
        parent: upstream,
        directory: directory.clone(),
    };
    tasks.spawn(conditions.keep(condition, stop.clone()));
    tasks.spawn(engine.work(stop.clone()));
    tasks.spawn(content.work(stop.clone()));
    tasks.spawn(site.journal.clone().keep(stop.clone()));
    tasks.spawn(
        site.clone()
            .announce_runs(Arc::clone(&children), stop.clone()),
    );
    tasks.spawn(attachment.keep(stop.clone()));
    let rolled_out = in_force.watch();
    tasks.spawn(in_force.keep(site.clone(), stop.clone()));
    tasks.spawn(reporter::report(site.clone(), place, stop.clone()));
    tasks.spawn(reporter::keep(site.clone(), stop.clone()));
    tasks.spawn(renewal.keep_valid(member.certificate, stop.clone()));
    tasks.spawn(keep_house(
        site.clone(),
        settings.site.tombstones_kept,
        rolled_out,
        stop,
    ));
    tasks.close();
    Ok(Agent { site, wsus, tasks })
}

/// Warns once when no new statement came for too long, and forgets removals that every site has long
/// seen, and this site's old history.
async fn keep_house(
    site: Site,
    kept: Duration,
    rolled_out: watch::Receiver<Option<Arc<RollOut>>>,
    stop: CancellationToken,
) {
    let mut warned = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(HOUSEKEEPING) => {}
            () = stop.cancelled() => return,
        }
        let now = site.ambient.now();
        let looked = async {
            let statement = site.store.read().await?.signed_statement().await?;
            let before = SignedDuration::try_from(kept)
                .ok()
                .and_then(|kept| now.checked_sub(kept).ok());
            if let Some(before) = before {
                let mut tx = site.store.begin().await?;
                tx.forget_removals(before).await?;
                tx.commit().await?;
            }
            let days = match rolled_out.borrow().as_deref() {
                Some(rolled_out) => rolled_out.settings.cleanup.history_days,
                // No catalog came yet.
                None => Cleanup::default().history_days,
            };
            let history = SignedDuration::from_hours(24 * i64::from(days));
            if let Ok(before) = now.checked_sub(history) {
                let forgotten = site.store.forget_history(before, HISTORY_STEPS).await?;
                if forgotten.total() > 0 {
                    let line = phrases::history_forgotten(forgotten.status, forgotten.runs);
                    site.journal.line(None, line);
                }
            }
            Ok::<_, store::Error>(statement)
        };
        let statement = match looked.await {
            Ok(statement) => statement,
            Err(error) => {
                tracing::error!(%error, "the housekeeping of the database did not succeed");
                continue;
            }
        };
        let Some(statement) = statement else { continue };
        let statement = statement.claimed();
        if statement.is_stale(now) && warned != Some(statement.issued) {
            warned = Some(statement.issued);
            let issued = statement.issued.to_string();
            site.journal
                .record(StatusId::StatementStale, None, vec![issued])
                .await;
        }
    }
}

/// Runs a child site as a process, until it is told to stop.
///
/// # Errors
/// When the settings are not usable, or the site cannot join or start.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(command)?;
    let telemetry = Telemetry::start(&settings.site.telemetry, "headwater-agent")?;
    let signals = Signals::install()?;
    let shutdown = Shutdown::new();
    let listener = match settings.site.listen {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}"))?,
        ),
        None => None,
    };
    let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    if settings.site.advertise.is_none() {
        settings.site.advertise = address.map(advertised);
    }
    let start = Box::pin(run(
        &settings,
        listener.zip(address),
        Arc::new(TcpConnector),
        Ambient::system().with_traces(telemetry.traces()),
        shutdown.token().clone(),
    ));
    let mut ending = pin!(shutdown.clone().wait(signals, DRAIN));
    let exit = match unless_it_ends(start, ending.as_mut()).await {
        Ok(agent) => {
            let agent = agent?;
            match address {
                Some(address) => println!("listening on https://{address}"),
                None => println!("running without a port: this site takes no children in"),
            }
            for url in &agent.wsus {
                println!("serving WSUS servers on {url}");
            }
            service_manager::ready();
            shutdown.spawn("site", async move { agent.ended().await });
            ending.await
        }
        Err(exit) => exit,
    };
    telemetry.shutdown(Duration::from_secs(5)).await;
    Ok(exit.into())
}

/// What a start comes to, unless the process is told to end first: a start may wait long, as for a parent
/// that does not answer, and is given up then.
async fn unless_it_ends<T>(
    start: impl Future<Output = T>,
    ending: Pin<&mut impl Future<Output = Exit>>,
) -> Result<T, Exit> {
    tokio::select! {
        started = start => Ok(started),
        exit = ending => Err(exit),
    }
}

#[cfg(test)]
mod tests;
