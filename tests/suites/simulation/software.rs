//! What runs on the hosts of a run: the product, the stand-in for Microsoft Update, and a person.

mod courier;
mod person;

pub use courier::{Errand, Since, Tally, courier};
pub use person::person;

use crate::files::SimulatedFiles;
use crate::glue::{Host, Network, SimulatedHttp};
use crate::mood::Mood;
use catalog::{PointId, SiteKind};
use central::settings::FirstSettings;
use jiff::Timestamp;
use link::dial;
use link::settings::{ContentStore, SiteSettings};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Location;
use sync::EngineSettings;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Request;
use trust::AccessToken;
use trust::tls::{self, ServerTrust};
use trust::token::JoinToken;
use wire::v1::approval_service_client::ApprovalServiceClient;
use wire::v1::catalog_service_client::CatalogServiceClient;
use wire::v1::change_settings_request::To;
use wire::v1::cleanup_service_client::CleanupServiceClient;
use wire::v1::hierarchy_service_client::HierarchyServiceClient;
use wire::v1::package_service_client::PackageServiceClient;
use wire::v1::settings_service_client::SettingsServiceClient;
use wire::v1::sync_service_client::SyncServiceClient;
use wire::v1::{
    Approval, Assignments, ChangeSettingsRequest, CreateJoinTokenRequest, DecideUpdatesRequest,
    DecisionOutcome, GetSourceRequest, ListUpdatesRequest, RemoveSiteRequest, RunCleanupRequest,
    StartSyncRequest, SwitchSourceRequest, VerifySiteRequest,
};

/// Port of every site.
pub const PORT: u16 = 8540;
/// Port of the upstream.
const UPSTREAM_PORT: u16 = 8530;
/// The upstream's host.
pub const UPSTREAM: &str = "mu";
/// The person's host.
pub const PERSON: &str = "person";
/// The host of who carries packages.
pub const COURIER: &str = "courier";
/// Wait before a site that could not start is started again, as a service manager does it.
const START_AGAIN: Duration = Duration::from_secs(3);
/// Updates among which a person picks one.
const LISTED: u32 = 20;
/// How long a person waits for an answer, in looks.
const PATIENCE: u32 = 50;

/// How the sites of a run are set.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How long certificates are valid.
    pub certificates: Duration,
    /// How long statements are good.
    pub statements: Duration,
    /// When failed runs are tried again, and how often children ask of their own accord.
    pub engine: EngineSettings,
    /// How long removals are remembered.
    pub removals_kept: Duration,
    /// How often software looks for something new to do.
    pub look: Duration,
    /// Whether superseded updates expire at once, and whatever can be is cleaned up at once.
    pub tidy: bool,
    /// Whether update files come; else sites have the catalog alone.
    pub files: bool,
}

impl Pace {
    /// The pace of a run of some minutes, with certificates and statements of these lengths.
    pub fn brisk(certificates: Duration, statements: Duration) -> Self {
        Self {
            certificates,
            statements,
            engine: EngineSettings {
                retry_first: Some(Duration::from_millis(500)),
                retry_most: Some(Duration::from_secs(5)),
                poll: Some(Duration::from_secs(30)),
            },
            removals_kept: Duration::from_secs(90 * 24 * 60 * 60),
            look: Duration::from_millis(200),
            tidy: false,
            files: false,
        }
    }

    /// The same, with update files or without.
    pub fn with_files(self, files: bool) -> Self {
        Self { files, ..self }
    }

    /// The same, with everything expired and cleaned up at once, or not.
    pub fn tidy(self, tidy: bool) -> Self {
        Self { tidy, ..self }
    }
}

/// Settings that expire and clean up at once.
const TIDY: [&str; 7] = [
    "supersedence.feature-updates=0",
    "supersedence.other-updates=0",
    "cleanup.decline-expired=true",
    "cleanup.decline-superseded=true",
    "cleanup.remove-unused-revisions=true",
    "cleanup.days=0",
    "cleanup.undeployed-days=0",
];

/// What a person is to do, in this order; each until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Invite a site to a place in the hierarchy.
    Invite {
        /// The site.
        site: PointId,
        /// Its kind.
        kind: SiteKind,
        /// Its parent.
        parent: PointId,
    },
    /// Synchronize now.
    Sync {
        /// Whether everything is compared.
        full: bool,
    },
    /// Have one site synchronize, with all below it.
    SyncSite {
        /// The site.
        site: PointId,
    },
    /// Synchronize once by the schedule.
    Schedule {
        /// Seconds from the moment when that is done.
        after: i64,
    },
    /// Have everything cleaned up that can be.
    TidyUp,
    /// Take in a package of updates that the upstream does not have.
    Import {
        /// What is in it follows from this.
        seed: u64,
    },
    /// Give a site languages of its own.
    Languages {
        /// The site.
        site: PointId,
    },
    /// Have a site compare every row with its parent's.
    Verify {
        /// The site.
        site: PointId,
    },
    /// Remove a site. If it is a source with replicas, the first of those takes its place.
    Remove {
        /// The site.
        site: PointId,
    },
    /// Have a site synchronize by another of its software update points.
    Switch {
        /// The point.
        to: PointId,
    },
    /// Have sources switched by themselves.
    SwitchAfter {
        /// After how many failed runs or missed looks in a row.
        looks: u8,
    },
    /// Decide about an update.
    Decide {
        /// Which of those that are listed, counted round and round.
        update: usize,
        /// Whether it is declined; else approved for install, with its licence terms accepted.
        decline: bool,
    },
}

impl Wish {
    /// What has to be done in the order in which it was wished. Who decides about updates waits for some, and
    /// must not keep the synchronization waiting that brings them.
    fn matter(&self) -> (bool, Option<PointId>) {
        (matches!(self, Self::Decide { .. }), self.site())
    }

    /// The site that it concerns; none where it concerns all.
    fn site(&self) -> Option<PointId> {
        match self {
            Self::Invite { site, .. }
            | Self::Remove { site }
            | Self::Verify { site }
            | Self::SyncSite { site } => Some(*site),
            Self::Languages { site } => Some(*site),
            Self::Switch { to } => Some(*to),
            Self::Sync { .. }
            | Self::Schedule { .. }
            | Self::SwitchAfter { .. }
            | Self::Decide { .. }
            | Self::Import { .. }
            | Self::TidyUp => None,
        }
    }
}

/// Where a site belongs, and the token that it joins with.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its parent.
    pub parent: PointId,
    /// Whose address it was given.
    dial: PointId,
    token: String,
}

/// What the software of all hosts shares with whoever runs them.
#[derive(Clone)]
pub struct Shared {
    /// The network.
    pub network: Network,
    folder: Arc<Path>,
    seed: u64,
    pace: Pace,
    board: Arc<Mutex<Board>>,
}

#[derive(Default)]
struct Board {
    hosts: BTreeMap<String, Host>,
    incarnations: BTreeMap<String, u64>,
    wishes: VecDeque<Wish>,
    places: BTreeMap<PointId, Place>,
    /// When the schedule starts a run.
    scheduled: Option<Timestamp>,
    /// Whether updates are declined, as the person was told last; else they are approved for install.
    decided: BTreeMap<String, bool>,
    /// Updates that the person ever declined.
    declined: BTreeSet<String>,
    /// Packages that the person was told are in the catalog.
    imported: BTreeSet<u64>,
    /// What the courier has.
    carriage: courier::Carriage,
    stopping: BTreeMap<String, CancellationToken>,
}

impl Board {
    /// The point by which a site synchronizes; the one that is named while none is invited.
    fn source_of(&self, point: PointId) -> PointId {
        let mut points = self
            .places
            .iter()
            .filter(|(site, place)| site.is_beside(point) && !place.parent.is_beside(point));
        points.next().map_or(point, |(site, _)| *site)
    }

    fn move_to(&mut self, site: PointId, parent: PointId) {
        if let Some(place) = self.places.get_mut(&site) {
            place.parent = parent;
        }
    }

    /// What a switch of its source changes.
    fn switch(&mut self, to: PointId) {
        let from = self.source_of(to);
        let Some(above) = self.places.get(&from).map(|place| place.parent) else {
            return;
        };
        if from == to {
            return;
        }
        let below: Vec<PointId> = self
            .places
            .iter()
            .filter(|(_, place)| place.parent == from)
            .map(|(site, _)| *site)
            .collect();
        for site in below {
            self.move_to(site, to);
        }
        self.move_to(to, above);
        self.move_to(from, to);
    }
}

/// The host of a site.
pub fn host_of(site: PointId) -> String {
    site.as_str().to_lowercase()
}

impl Shared {
    /// The board of a new run.
    pub fn new(folder: &Path, seed: u64, pace: Pace) -> Self {
        Self {
            network: Network::default(),
            folder: folder.into(),
            seed,
            pace,
            board: Arc::default(),
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data directory of a site.
    pub fn directory(&self, site: PointId) -> PathBuf {
        self.folder.join(host_of(site))
    }

    /// A host, which is made when it is first asked for.
    pub fn host(&self, name: &str) -> Host {
        let mut board = self.board();
        let made = || Host::new(name, &self.network);
        board
            .hosts
            .entry(name.to_owned())
            .or_insert_with(made)
            .clone()
    }

    /// What a host's next incarnation takes its randomness from.
    fn next_seed(&self, name: &str) -> u64 {
        let mut board = self.board();
        let incarnation = board.incarnations.entry(name.to_owned()).or_default();
        *incarnation += 1;
        let text = format!("{} {name} {incarnation}", self.seed);
        u64::from_le_bytes(
            blake3::hash(text.as_bytes()).as_bytes()[..8]
                .try_into()
                .unwrap(),
        )
    }

    /// Asks the person for something.
    pub fn wish(&self, wish: Wish) {
        self.board().wishes.push_back(wish);
    }

    /// Whether the person has done everything.
    pub fn wishes_done(&self) -> bool {
        self.board().wishes.is_empty()
    }

    /// Where a site belongs now.
    pub fn place(&self, site: PointId) -> Option<Place> {
        self.board().places.get(&site).cloned()
    }

    /// Notes that a site synchronizes by another of its points now, without anybody asking for it.
    pub fn switched(&self, to: PointId) {
        self.board().switch(to);
    }

    /// Whether a site is no member, and nobody means to make it one.
    fn is_gone(&self, site: PointId) -> bool {
        let board = self.board();
        let invites =
            |wish: &Wish| matches!(wish, Wish::Invite { site: other, .. } if *other == site);
        !board.places.contains_key(&site) && !board.wishes.iter().any(invites)
    }

    /// The sites that were invited and not removed since.
    pub fn members(&self) -> BTreeMap<PointId, PointId> {
        let board = self.board();
        let places = board.places.iter();
        places.map(|(site, place)| (*site, place.parent)).collect()
    }

    /// When the schedule starts a run, by the clock of who made it.
    pub fn scheduled(&self) -> Option<Timestamp> {
        self.board().scheduled
    }

    /// Whether updates are declined, as the person was told last, by their GUIDs; else they are approved for
    /// install.
    pub fn decided(&self) -> BTreeMap<String, bool> {
        self.board().decided.clone()
    }

    /// Updates that the person ever declined, also where they were approved since.
    pub fn declined(&self) -> BTreeSet<String> {
        self.board().declined.clone()
    }

    /// What the packages were made from that the person was told are in the catalog.
    pub fn imported(&self) -> BTreeSet<u64> {
        self.board().imported.clone()
    }

    /// Tells the software of a host to end as a service does; it is started again.
    pub fn restart(&self, name: &str) {
        if let Some(stop) = self.board().stopping.get(name) {
            stop.cancel();
        }
    }

    fn running(&self, name: &str) -> CancellationToken {
        let stop = CancellationToken::new();
        self.board().stopping.insert(name.to_owned(), stop.clone());
        stop
    }

    fn site_settings(&self, site: PointId, poll: Option<Duration>) -> SiteSettings {
        let data_dir = self.directory(site);
        let pace = &self.pace;
        SiteSettings {
            content: ContentStore::within(&data_dir),
            wsus: None,
            site_code: Some(site),
            database: Location::Directory(data_dir.clone()),
            data_dir,
            listen: None,
            locale: None,
            advertise: Some(format!("https://{}:{PORT}", host_of(site))),
            engine: EngineSettings {
                poll,
                ..pace.engine.clone()
            },
            tombstones_kept: pace.removals_kept,
            max_log_bytes: 1 << 20,
            json_log: false,
            telemetry: daemon::telemetry::Settings::default(),
        }
    }
}

/// The upstream, until the host loses its power.
pub async fn upstream(shared: Shared, upstream: upstream::Upstream, mood: Mood) -> turmoil::Result {
    let listener = shared.host(UPSTREAM).listen(UPSTREAM_PORT).await?;
    let address = format!("http://{UPSTREAM}:{UPSTREAM_PORT}");
    Ok(axum::serve(listener, mood.over(upstream, &address)).await?)
}

/// Settings without update files.
const NO_FILES: [&str; 2] = ["content.download=never", "content.licence-terms=false"];

/// What is synchronized: everything.
fn first_settings(pace: &Pace) -> settings::Settings {
    let settings = settings::Settings {
        products: settings::document::Products {
            everything: true,
            ..Default::default()
        },
        ..Default::default()
    };
    let tidy = TIDY.iter().filter(|_| pace.tidy);
    let chosen = tidy.chain(NO_FILES.iter().filter(|_| !pace.files));
    let chosen: Vec<settings::change::Assignment> =
        chosen.map(|text| text.parse().unwrap()).collect();
    settings.with(&chosen).unwrap()
}

/// The central site, until the host loses its power.
pub async fn central(shared: Shared, code: PointId) -> turmoil::Result {
    let host = shared.host(&host_of(code));
    let upstream = central::settings::Upstream {
        url: format!("http://{UPSTREAM}:{UPSTREAM_PORT}"),
        ca_file_pem: None,
        parallel: 2,
        exchange: Some(Arc::new(SimulatedHttp { host })),
    };
    top_level(shared, code, Some(upstream)).await
}

/// The top-level site of a hierarchy that lives from packages, until the host loses its power.
pub async fn island(mut shared: Shared, code: PointId) -> turmoil::Result {
    // What comes is to be what was there, and nothing that it decides itself.
    shared.pace.tidy = false;
    top_level(shared, code, None).await
}

async fn top_level(
    shared: Shared,
    code: PointId,
    upstream: Option<central::settings::Upstream>,
) -> turmoil::Result {
    let name = host_of(code);
    let host = shared.host(&name);
    let ambient = host.ambient(shared.next_seed(&name));
    let settings = central::settings::Settings {
        site: shared.site_settings(code, None),
        site_code: code,
        site_kind: SiteKind::Central,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
        upstream,
        files: Some(Arc::new(SimulatedFiles(SimulatedHttp {
            host: host.clone(),
        }))),
        first: Some(FirstSettings::Document(Box::new(first_settings(
            &shared.pace,
        )))),
        names: vec![name.clone()],
        statement_validity: shared.pace.statements,
        certificate_validity: shared.pace.certificates,
    };
    loop {
        let stop = shared.running(&name);
        let listener = host.listen(PORT).await?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let running =
            central::run::run(&settings, listener, address, ambient.clone(), stop.clone());
        match Box::pin(running).await {
            Ok(central) => {
                host.note("runs");
                stop.cancelled().await;
                central.ended().await;
                host.note("ended");
            }
            Err(error) => {
                host.note(format!("could not start: {error:#}"));
                sleep(START_AGAIN).await;
            }
        }
    }
}

/// A child site, until the host loses its power. It begins when it is invited, and begins anew with
/// each further invitation.
pub async fn agent(shared: Shared, code: PointId) -> turmoil::Result {
    let name = host_of(code);
    let host = shared.host(&name);
    let ambient = host.ambient(shared.next_seed(&name));
    loop {
        let Some(place) = shared.place(code) else {
            sleep(shared.pace.look).await;
            continue;
        };
        let settings = agent::settings::Settings {
            site: shared.site_settings(code, shared.pace.engine.poll),
            parent: format!("https://{}:{PORT}", host_of(place.dial)),
            join_token: Some(place.token.clone().into()),
        };
        let stop = shared.running(&name);
        let running = agent::run::run(
            &settings,
            Some((
                host.listen(PORT).await?,
                SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            )),
            Arc::new(host.clone()),
            ambient.clone(),
            stop.clone(),
        );
        match Box::pin(running).await {
            Ok(agent) => {
                host.note("runs");
                let invited = async {
                    // A site that was removed stays where it is until it is invited again.
                    while shared
                        .place(code)
                        .is_none_or(|now| now.token == place.token)
                    {
                        sleep(shared.pace.look).await;
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = invited => stop.cancel(),
                }
                agent.ended().await;
                host.note("ended");
            }
            Err(error) => {
                host.note(format!("could not start: {error:#}"));
                sleep(START_AGAIN).await;
            }
        }
    }
}
