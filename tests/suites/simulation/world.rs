//! The hosts of a run and the network between them.

use crate::database::Databases;
use crate::disk::Disk;
use crate::ledger::Ledger;
use crate::mood::{Mood, Trouble};
use crate::plan::{Plan, Work};
use crate::software::{self, COURIER, PERSON, Shared, UPSTREAM, host_of};
use catalog::PointId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use turmoil::Sim;
use upstream::generator::GeneratorSettings;
use upstream::{SourceSettings, Upstream, UpstreamSettings};

/// Ports that a host dials from. One whose answer never came is not used again.
const PORTS: std::ops::RangeInclusive<u16> = 10_000..=65_535;
/// No run lasts longer.
const LONGEST: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// Part of the messages over a link that broke at random that mend it again.
const REPAIRED: f64 = 0.3;
/// How long a database may take to be closed after its process is gone, in milliseconds.
const CLOSING: u32 = 10_000;

/// Everything of a run.
pub struct World {
    /// The simulator. First, so that the databases are closed before their folder goes.
    pub sim: Sim<'static>,
    /// What the software shares.
    pub shared: Shared,
    /// What is to happen.
    pub plan: Plan,
    /// How the upstream is.
    pub mood: Mood,
    /// The disks.
    pub disk: Disk,
    /// What was seen in the databases.
    pub ledger: Ledger,
    /// For reading the databases, from outside of the run.
    pub databases: Databases,
    /// Where that is awaited.
    pub runtime: Runtime,
    upstream: Upstream,
    hosts: Vec<String>,
    down: BTreeSet<String>,
    folder: TempDir,
}

/// A folder in memory where the system has one: what is synced to it costs no time.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("headwater-simulation-");
    match memory.is_dir() {
        true => builder.tempdir_in(memory).unwrap(),
        false => builder.tempdir().unwrap(),
    }
}

impl World {
    /// The hosts of a plan, before anything has happened.
    pub fn new(plan: Plan) -> Self {
        let folder = folder();
        let shared = Shared::new(folder.path(), plan.seed, plan.pace.clone());
        let disk = Disk::new(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(plan.seed)
            .tick_duration(plan.tick)
            .simulation_duration(LONGEST)
            .min_message_latency(plan.latency.0)
            .max_message_latency(plan.latency.1)
            .fail_rate(plan.loss)
            .repair_rate(REPAIRED)
            .tcp_capacity(4096)
            .ephemeral_ports(PORTS)
            .enable_random_order();
        let mut sim = builder.build();
        let mood = Mood::default();
        let settings = UpstreamSettings {
            source: SourceSettings::Generate(GeneratorSettings {
                seed: plan.seed,
                updates: plan.updates,
            }),
            evolve: None,
            evolve_percent: 1.0,
        };
        let ambient = shared.host(UPSTREAM).ambient(plan.seed);
        let upstream = runtime.block_on(Upstream::open(settings, ambient)).unwrap();
        let central = plan.central;
        {
            let (shared, upstream, mood) = (shared.clone(), upstream.clone(), mood.clone());
            sim.host(UPSTREAM, move || {
                software::upstream(shared.clone(), upstream.clone(), mood.clone())
            });
        }
        {
            let shared = shared.clone();
            sim.host(host_of(central), move || {
                software::central(shared.clone(), central)
            });
        }
        for site in &plan.sites {
            let (shared, code) = (shared.clone(), site.code);
            sim.host(host_of(code), move || software::agent(shared.clone(), code));
        }
        {
            let shared = shared.clone();
            sim.host(PERSON, move || software::person(shared.clone(), central));
        }
        if let Some(island) = plan.island {
            let of = shared.clone();
            sim.host(host_of(island), move || {
                software::island(of.clone(), island)
            });
            let of = shared.clone();
            sim.host(COURIER, move || {
                software::courier(of.clone(), central, island)
            });
        }
        for (host, skew) in &plan.skews {
            shared.host(host).skew.store(*skew, Ordering::Relaxed);
        }
        let mut hosts = vec![UPSTREAM.to_owned(), PERSON.to_owned(), host_of(central)];
        hosts.extend(plan.sites.iter().map(|site| host_of(site.code)));
        if let Some(island) = plan.island.map(host_of) {
            for other in &hosts {
                sim.partition(island.as_str(), other.as_str());
            }
            hosts.extend([COURIER.to_owned(), island]);
        }
        Self {
            sim,
            shared,
            mood,
            disk,
            ledger: Ledger::default(),
            databases: Databases::default(),
            runtime,
            upstream,
            hosts,
            down: BTreeSet::new(),
            folder,
            plan,
        }
    }

    /// How long the run has lasted.
    pub fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// Lets one tick pass.
    pub fn step(&mut self) {
        self.sim.step().unwrap();
        self.shared.network.set_elapsed(self.sim.elapsed());
    }

    /// Does something.
    pub fn work(&mut self, work: Work) {
        match work {
            Work::Publish(percent) => {
                let published = self.upstream.publish_changes(f64::from(percent)).unwrap();
                let host = self.shared.host(UPSTREAM);
                host.note(format!("published {published:?}"));
            }
            Work::Withdraw(most) => {
                let withdrawn = self.upstream.catalog().withdraw(most);
                let host = self.shared.host(UPSTREAM);
                host.note(format!("withdrew {withdrawn} updates"));
            }
            Work::Person(wish) => self.shared.wish(wish),
            Work::Courier(errand) => self.shared.errand(errand),
        }
    }

    /// Notes something that happens to the run as a whole.
    pub fn note(&self, what: impl Into<String>) {
        self.shared.network.note(&"run".into(), what);
    }

    fn others(&self, name: &str) -> Vec<String> {
        let others = self.hosts.iter().filter(|other| *other != name);
        others.cloned().collect()
    }

    /// Whether no network leads from one host to the other: to the island there is but the courier.
    fn are_apart(&self, one: &str, other: &str) -> bool {
        let Some(island) = self.plan.island.map(host_of) else {
            return false;
        };
        (one == island || other == island) && one != COURIER && other != COURIER
    }

    /// Lets a host lose its power: nobody hears of it any more, then it is gone.
    pub fn cut_power(&mut self, name: &str) {
        if !self.down.insert(name.to_owned()) {
            return;
        }
        for other in self.others(name) {
            self.sim.release(name, other.as_str());
            self.sim.partition(name, other.as_str());
        }
        self.sim.crash(name);
        self.shared.host(name).note("lost its power");
        let directory = self.folder.path().join(name);
        self.runtime.block_on(self.databases.close(&directory));
        wait_until_closed(&directory);
    }

    /// Gives a host its power back, if it has none.
    pub fn give_power(&mut self, name: &str) {
        if !self.down.remove(name) {
            return;
        }
        for other in self.others(name) {
            if !self.down.contains(&other) && !self.are_apart(name, &other) {
                self.sim.repair(name, other.as_str());
            }
        }
        self.shared.host(name).note("has power again");
        self.sim.bounce(name);
    }

    /// Lets two hosts reach each other as ever, if both have power.
    pub fn mend_link(&mut self, one: &str, other: &str) {
        if self.down.contains(one) || self.down.contains(other) || self.are_apart(one, other) {
            return;
        }
        self.sim.release(one, other);
        self.sim.repair(one, other);
        let usual = (self.plan.latency.0 + self.plan.latency.1) / 2;
        self.sim.set_link_latency(one, other, usual);
    }

    /// Turns a site's clock.
    pub fn turn_clock(&mut self, site: PointId, milliseconds: i64) {
        let host = self.shared.host(&host_of(site));
        host.skew.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Mends everything that is broken.
    pub fn heal(&mut self) {
        self.mood.set(Trouble::None);
        self.disk.clear_all();
        self.sim.set_fail_rate(0.0);
        for name in self.down.clone() {
            self.give_power(&name);
        }
        for (index, one) in self.hosts.clone().iter().enumerate() {
            for other in &self.hosts.clone()[index + 1..] {
                self.mend_link(one, other);
            }
        }
    }

    /// Leaves the databases and logs where they are when the run is over, and says where.
    pub fn keep(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }

    fn copy(&self) -> PathBuf {
        self.folder.path().join("copy.db")
    }

    /// Puts a copy of the central site's database aside, in place of the one before.
    pub fn back_up_central(&mut self) {
        let directory = self.shared.directory(self.plan.central);
        let copy = self.copy();
        let written = self.databases.back_up(&directory, &copy);
        self.runtime.block_on(written);
    }

    /// Puts the copy back. The site has no power.
    pub fn restore_central(&mut self) {
        let directory = self.shared.directory(self.plan.central);
        let database = directory.join(store::DATABASE_FILE);
        if !self.copy().exists() {
            return;
        }
        for end in ["", "-wal", "-shm"] {
            std::fs::remove_file(format!("{}{end}", database.display())).ok();
        }
        std::fs::copy(self.copy(), database).unwrap();
        self.shared
            .host(&host_of(self.plan.central))
            .note("got an older database back");
    }
}

/// Waits until no file of a folder is open any more: connections to SQLite end on threads of their own.
fn wait_until_closed(folder: &Path) {
    for _ in 0..CLOSING {
        let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
            return;
        };
        let mut files = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        if !files.any(|file| file.starts_with(folder)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{} is still open", folder.display());
}
