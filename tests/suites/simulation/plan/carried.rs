//! Packages that are carried to a hierarchy that no network reaches.

use super::{FAULTS_UNTIL, ISLAND, LONGEST_FAULT, Scheduled, Work, code, has_files, seconds};
use crate::fault;
use crate::software::{Errand, Since, Wish};
use catalog::PointId;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// How long after the beginning of an import something goes wrong, in milliseconds, at most.
const SOON: u64 = 1500;

/// The other hierarchy, and what has to do with it.
pub(super) struct Carried {
    pub(super) island: PointId,
    pub(super) work: Vec<(Duration, Work)>,
    pub(super) faults: Vec<Scheduled>,
}

/// Whether packages are carried in the run of a seed. Seeds that found something before there were any stay what they
/// were.
fn has_packages(seed: u64) -> bool {
    seed % 4 == 2 && !(80..10_000).contains(&seed)
}

struct Planning {
    random: StdRng,
    has_files: bool,
    work: Vec<(Duration, Work)>,
    packages: usize,
    /// When something is imported.
    imports: Vec<Duration>,
}

impl Planning {
    fn export(&mut self, at: Duration, since: Since) -> usize {
        let errand = Errand::Export {
            since,
            approvals: self.random.random_ratio(2, 3),
            content: self.has_files && self.random.random_ratio(2, 3),
        };
        self.work.push((at, Work::Courier(errand)));
        self.packages += 1;
        self.packages - 1
    }

    fn import(&mut self, at: Duration, package: usize) {
        let errand = Errand::Import { package };
        self.work.push((at, Work::Courier(errand)));
        self.imports.push(at);
    }

    /// Something happens that a package can bring.
    fn change(&mut self, at: Duration) {
        let percent = self.random.random_range(3..20);
        self.work.push((at, Work::Publish(percent)));
        let gone = self.random.random_ratio(1, 4);
        if gone {
            self.work.push((at, Work::Withdraw(2)));
        }
        let sync = Wish::Sync { full: gone };
        self.work.push((at, Work::Person(sync)));
    }

    /// Changes, and packages of them in some order. When the last of it begins.
    fn round(&mut self, at: Duration) -> Duration {
        self.change(at);
        let later = at + seconds(&mut self.random, 3..8);
        let latest = later + Duration::from_secs(8);
        match self.random.random_range(0..6) {
            0 | 1 => {
                let package = self.export(later, Since::Last);
                self.import(later, package);
            }
            2 | 3 => {
                // In the wrong order first.
                let one = self.export(later, Since::Last);
                self.change(later);
                let other = self.export(latest, Since::Last);
                for package in [other, one, other] {
                    self.import(latest, package);
                }
            }
            4 => {
                let package = self.export(later, Since::Beginning);
                self.import(later, package);
            }
            _ => {
                let package = self.export(later, Since::Last);
                self.import(later, package);
                // Once more, or an older one.
                let again = self.random.random_range(0..=package);
                self.import(latest, again);
            }
        }
        latest
    }
}

/// In some runs there is such a hierarchy. It has its own randomness.
pub(super) fn carried(seed: u64, central: PointId) -> Option<Carried> {
    if !has_packages(seed) {
        return None;
    }
    let island = code(ISLAND);
    let mut planning = Planning {
        random: StdRng::seed_from_u64(seed.wrapping_add(5)),
        has_files: has_files(seed),
        work: Vec::new(),
        packages: 0,
        imports: Vec::new(),
    };
    let first = seconds(&mut planning.random, 8..20);
    let package = planning.export(first, Since::Beginning);
    planning.import(first, package);
    let rounds = planning.random.random_range(2..5);
    let mut done = first;
    for round in 0..rounds {
        let length = (FAULTS_UNTIL - 35) / rounds;
        let begin = 20 + round * length;
        let at = seconds(&mut planning.random, begin..begin + length);
        // One after the other: packages are counted in the order in which they are made.
        done = planning.round(at.max(done));
    }
    let Planning {
        mut random,
        work,
        imports,
        ..
    } = planning;
    let faults = (0..random.random_range(1..7)).map(|_| {
        let import = imports[random.random_range(0..imports.len())];
        let from = import + Duration::from_millis(random.random_range(0..SOON));
        let until = from + seconds(&mut random, 0..LONGEST_FAULT) + Duration::from_millis(10);
        let fault = fault::pick_of_packages(&mut random, central, island);
        Scheduled { from, until, fault }
    });
    let faults = faults.collect();
    Some(Carried {
        island,
        work,
        faults,
    })
}
