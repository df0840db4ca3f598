//! Alerts and notifications of a top-level site, without the site.

use central::alerts::Alerts;
use central::alerts::notify::{Notifier, Pace};
use central::secrets::Secret;
use daemon::Ambient;
use jiff::SignedDuration;
use journal::{Journal, JournalSettings};
use link::reports::Reports;
use settings::Settings;
use std::sync::Arc;
use std::time::Duration;
use store::deliveries::DeliveryRow;
use store::status::StatusRow;
use store::{Location, Store};
use tempfile::TempDir;
use testkit::patience::LONG;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use trust::seal::Sealer;
use trust::{Authority, HierarchyId};
use uuid::Uuid;
use wire::convert::from_timestamp;
use wire::v1::SiteReport;

/// Tries again at once, for long.
const PATIENT: Pace = Pace {
    first_wait: Duration::from_millis(10),
    longest_wait: Duration::from_millis(40),
    tried_for: SignedDuration::from_hours(1),
};
/// Gives up soon.
pub const IMPATIENT: Pace = Pace {
    tried_for: SignedDuration::from_millis(100),
    ..PATIENT
};

/// The parts that are at work.
pub struct Desk {
    pub alerts: Alerts,
    pub notifier: Notifier,
    store: Store,
    reports: Reports,
    settings: watch::Sender<Arc<Settings>>,
    sealer: Arc<Sealer>,
    folder: TempDir,
    _stop: DropGuard,
}

/// The time of this machine.
pub fn now() -> jiff::Timestamp {
    daemon::Clock::now(&daemon::SystemClock)
}

/// Waits for something.
pub async fn patiently(is_so: impl Fn() -> bool) {
    let waiting = tokio::time::timeout(LONG, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waiting.await.unwrap();
}

impl Desk {
    pub async fn open() -> Self {
        Self::open_with(PATIENT).await
    }

    pub async fn open_with(pace: Pace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ambient = Ambient::system();
        let location = Location::Directory(folder.path().to_owned());
        let store = Store::open(&location).await.unwrap();
        let journal = JournalSettings {
            site: "CAS".parse().unwrap(),
            has_parent: false,
            server: "cas.example".to_owned(),
            directory: folder.path().join("logs"),
            max_log_bytes: 1 << 20,
            json_lines: false,
            merges: false,
        };
        let journal = Journal::open(store.clone(), journal, ambient.clone()).unwrap();
        let hierarchy = HierarchyId(Uuid::from_u128(1));
        let authority = Authority::create(hierarchy, ambient.now(), &mut ambient.new_rng());
        let sealer = Arc::new(Sealer::new(&authority.unwrap()));
        let reports = Reports::default();
        let settings = watch::Sender::new(Arc::new(Settings::default()));
        let alerts = Alerts::new(
            (store.clone(), journal, ambient),
            reports.clone(),
            settings.subscribe(),
            hierarchy,
        );
        let notifier = Notifier::new(alerts.clone(), Arc::clone(&sealer), pace);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(alerts.clone().keep(stop.clone()));
        tasks.spawn(notifier.clone().keep(stop.clone()));
        let desk = Self {
            alerts,
            notifier,
            store,
            reports,
            settings,
            sealer,
            folder,
            _stop: stop.drop_guard(),
        };
        desk.report("CAS", |_| {});
        desk
    }

    pub fn set(&self, changes: &[&str]) {
        let changes: Vec<_> = changes.iter().map(|text| text.parse().unwrap()).collect();
        self.settings.send_modify(|settings| {
            let changed = settings.with(&changes).unwrap();
            changed.check().unwrap();
            *settings = Arc::new(changed);
        });
    }

    /// Keeps a secret for the settings as they are now.
    pub async fn keep_secret(&self, name: &str, text: &str) {
        let secret: Secret = name.parse().unwrap();
        let place = secret.place(&self.settings.borrow()).unwrap();
        let sealed = self.sealer.seal(&place, &text.into()).unwrap();
        let mut tx = self.store.begin().await.unwrap();
        tx.put_secret(name, Some(&sealed)).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn report(&self, site: &str, change: impl FnOnce(&mut SiteReport)) {
        let site = site.parse().unwrap();
        let mut report = self.reports.get(site).unwrap_or_else(|| SiteReport {
            site_code: site.to_string(),
            parent: if site.as_str() == "CAS" { "" } else { "CAS" }.to_owned(),
            connected: true,
            ..SiteReport::default()
        });
        change(&mut report);
        report.sequence += 1;
        self.reports.put(site, report);
    }

    pub fn fail(&self, site: &str, why: &str) {
        self.report(site, |report| {
            report.last_failure = Some(from_timestamp(now()));
            report.last_error = why.to_owned();
        });
    }

    pub fn succeed(&self, site: &str) {
        let now = from_timestamp(now());
        self.report(site, |report| report.last_success = Some(now));
    }

    async fn rows(&self) -> Vec<StatusRow> {
        let mut read = self.store.read().await.unwrap();
        let mut rows = read.status_messages(None, 100).await.unwrap();
        rows.reverse();
        rows
    }

    /// The status messages, oldest first.
    pub async fn messages(&self) -> Vec<u32> {
        self.rows().await.iter().map(|row| row.status_id).collect()
    }

    /// What the newest message says.
    pub async fn last_inserts(&self) -> Vec<String> {
        self.rows().await.pop().unwrap().inserts
    }

    /// What waits for receivers.
    pub async fn waiting(&self) -> Vec<DeliveryRow> {
        let mut read = self.store.read().await.unwrap();
        read.next_deliveries().await.unwrap()
    }

    /// No line of the log holds a text.
    pub fn says_nothing_of(&self, text: &str) {
        let log = self.folder.path().join("logs/wsyncmgr.log");
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains("STATMSG: ID=9055"), "{log}");
        assert!(!log.contains(text), "{log}");
    }
}
