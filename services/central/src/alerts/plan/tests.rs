//! The plan, on hierarchies made up.

use super::*;
use hierarchy::samples::{report, run, three_tiers};
use proptest::prelude::*;
use trust::{Authority, Statement};
use wire::convert::from_timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn code(text: &str) -> PointId {
    text.parse().unwrap()
}

/// What a test goes through: sites, settings, and what is noted.
struct World {
    hierarchy: Hierarchy,
    settings: Settings,
    vanished: BTreeMap<UpdateId, String>,
    watching_since: Timestamp,
    open: Vec<AlertRow>,
    ids: u128,
}

impl World {
    fn new() -> Self {
        Self {
            hierarchy: three_tiers(),
            settings: Settings::default(),
            vanished: BTreeMap::new(),
            watching_since: at(0),
            open: Vec::new(),
            ids: 0,
        }
    }

    fn set(&mut self, change: &str) {
        let change = [change.parse().unwrap()];
        self.settings = self.settings.with(&change).unwrap();
    }

    fn report(&mut self, site: &str, change: impl FnOnce(&mut SiteReport)) {
        let mut report = self.hierarchy.site(site).unwrap().clone();
        change(&mut report);
        self.hierarchy.absorb(vec![report]);
    }

    fn plan(&self, second: i64) -> Plan {
        let facts = Facts {
            hierarchy: &self.hierarchy,
            settings: &self.settings,
            vanished: &self.vanished,
            top: code("CAS"),
            watching_since: self.watching_since,
            now: at(second),
        };
        let mut ids = self.ids;
        plan(facts, &self.open, || {
            ids += 1;
            Uuid::from_u128(ids)
        })
    }

    /// Does what is planned, and says what was told: "+kind site" and "-kind site".
    fn look(&mut self, second: i64) -> Vec<String> {
        let planned = self.plan(second);
        self.open.retain(|row| !planned.forget.contains(&row.id));
        let mut told = Vec::new();
        for (row, what) in planned.write {
            self.ids = self.ids.max(row.id.as_u128());
            self.open.retain(|held| held.id != row.id);
            let name = format!("{} {}", row.kind, row.site);
            match what {
                Told::Raised => told.push(format!("+{name}")),
                Told::Ended => told.push(format!("-{name}")),
                Told::Nothing => {}
            }
            if row.ended.is_none() {
                self.open.push(row);
            }
        }
        let again = self.plan(second);
        assert!(
            again.is_nothing(),
            "planning twice changes nothing: {again:?}"
        );
        told
    }

    fn text(&self, kind: Kind, site: &str) -> String {
        let row = self
            .open
            .iter()
            .find(|row| row.kind == kind.name() && row.site == code(site));
        crate::alerts::Alert::from(row.unwrap().clone()).text
    }
}

#[test]
fn nothing_is_wrong_where_nothing_is() {
    let mut world = World::new();
    assert!(world.look(1_000_000).is_empty());
    assert!(world.open.is_empty());
}

#[test]
fn a_site_is_told_once_when_it_fails_and_once_when_it_succeeds() {
    let mut world = World::new();
    let fail = |second: i64, why: &'static str| {
        move |report: &mut SiteReport| {
            report.last_failure = Some(from_timestamp(at(second)));
            report.last_error = why.to_owned();
        }
    };
    world.report("PR1", fail(200, "no way"));
    assert_eq!(world.look(201), ["+sync-failed PR1"]);
    assert!(
        world
            .text(Kind::SyncFailed, "PR1")
            .ends_with("at site PR1: no way")
    );
    world.report("PR1", fail(300, "no road"));
    assert!(world.look(301).is_empty());
    assert!(
        world
            .text(Kind::SyncFailed, "PR1")
            .ends_with("at site PR1: no road")
    );
    assert_eq!(world.open[0].since, at(200), "since the first failure");
    world.report("PR1", |report| {
        report.last_success = Some(from_timestamp(at(400)))
    });
    assert_eq!(world.look(401), ["-sync-failed PR1"]);
    // Who switches it off does not want to hear of it.
    world.report("PR1", fail(500, "no way"));
    assert_eq!(world.look(501), ["+sync-failed PR1"]);
    world.set("failures.alert=false");
    assert_eq!(world.look(502), ["-sync-failed PR1"]);
    assert!(world.look(503).is_empty());
}

#[test]
fn of_a_site_that_is_gone_there_is_no_alert() {
    let mut world = World::new();
    world.report("SE1", |report| {
        report.last_failure = Some(from_timestamp(at(200)))
    });
    assert_eq!(world.look(201), ["+sync-failed SE1"]);
    let left = ["CAS", "PR1"].map(|site| world.hierarchy.site(site).unwrap().clone());
    world.hierarchy = Hierarchy::new(left.to_vec());
    assert_eq!(world.look(202), ["-sync-failed SE1"]);
}

#[test]
fn the_nearest_cut_off_site_carries_those_behind_it() {
    let mut world = World::new();
    for site in ["PR1", "SE1"] {
        world.report(site, |report| report.connected = false);
    }
    assert!(world.look(1_000).is_empty());
    assert!(world.look(1_000 + 5 * MINUTE - 1).is_empty());
    assert_eq!(world.plan(1_001).next, Some(at(1_000 + 5 * MINUTE)));
    assert_eq!(world.look(1_000 + 5 * MINUTE), ["+site-silent PR1"]);
    let told = world.text(Kind::SiteSilent, "PR1");
    assert!(told.contains("since 1970-01-01T00:16:40Z"), "{told}");
    assert!(told.ends_with("cannot be seen either: 1 (SE1)"), "{told}");
    // It comes back, and the one behind it does not: that one's time begins now.
    world.report("PR1", |report| report.connected = true);
    assert_eq!(world.look(2_000), ["-site-silent PR1"]);
    assert_eq!(world.look(2_000 + 5 * MINUTE), ["+site-silent SE1"]);
    assert!(
        world
            .text(Kind::SiteSilent, "SE1")
            .ends_with("either: none")
    );
    world.report("SE1", |report| report.connected = true);
    assert_eq!(world.look(3_000), ["-site-silent SE1"]);
}

#[test]
fn a_link_that_comes_back_in_time_is_no_alert_and_leaves_nothing() {
    let mut world = World::new();
    for second in [1_000, 1_400, 1_800] {
        world.report("PR1", |report| report.connected = false);
        assert!(world.look(second).is_empty());
        world.report("PR1", |report| report.connected = true);
        assert!(world.look(second + 4 * MINUTE).is_empty());
        assert!(world.open.is_empty());
    }
}

#[test]
fn who_is_not_there_yet_after_a_start_may_still_come() {
    let mut world = World::new();
    world.report("PR1", |report| report.connected = false);
    assert!(world.look(1_000).is_empty());
    // The top-level site was off for an hour, and nobody is connected to it yet.
    world.watching_since = at(1_000 + HOUR);
    for site in ["PR2", "SE1", "SE2"] {
        world.report(site, |report| report.connected = false);
    }
    assert!(world.look(1_001 + HOUR).is_empty());
    assert_eq!(
        world.look(1_001 + HOUR + 5 * MINUTE),
        ["+site-silent PR1", "+site-silent PR2"]
    );
    // One that was raised before stays, and is told of once.
    world.watching_since = at(1_000 + 2 * HOUR);
    assert!(world.look(1_001 + 2 * HOUR).is_empty());
    world.report("PR1", |report| report.connected = true);
    assert_eq!(world.look(1_002 + 2 * HOUR), ["-site-silent PR1"]);
}

#[test]
fn a_site_that_stays_behind_is_told_of_and_one_that_catches_up_is_not() {
    let mut world = World::new();
    let top = |position: u64| move |report: &mut SiteReport| report.verified_position = position;
    world.report("CAS", top(20));
    assert!(world.look(1_000).is_empty());
    // Everybody comes to 20 while the top goes on: nobody is behind for long.
    for site in ["PR1", "PR2", "SE1"] {
        world.report(site, |report| report.verified_position = 20);
    }
    world.report("CAS", top(30));
    assert!(world.look(1_000 + 50 * MINUTE).is_empty());
    assert_eq!(world.look(1_000 + HOUR), ["+site-behind SE2"]);
    let told = world.text(Kind::SiteBehind, "SE2");
    assert!(told.ends_with("20 positions are missing"), "{told}");
    // What it is cut off for later does not end it, nor begin the time anew.
    world.report("SE2", |report| report.connected = false);
    assert!(world.look(1_000 + HOUR + 60).is_empty());
    world.report("SE2", |report| report.connected = true);
    assert!(world.look(1_000 + HOUR + 120).is_empty());
    // It came to where it was to come when it was told of.
    world.report("SE2", top(20));
    assert_eq!(world.look(1_000 + HOUR + 180), ["-site-behind SE2"]);
    for site in ["PR1", "PR2", "SE1", "SE2"] {
        world.report(site, top(30));
    }
    assert!(world.look(1_000 + 2 * HOUR).is_empty());
    assert!(world.open.is_empty());
}

#[test]
fn another_catalog_is_behind_too() {
    let mut world = World::new();
    world.report("PR1", |report| report.root = vec![9; 32]);
    assert!(world.look(1_000).is_empty());
    assert_eq!(world.look(1_000 + HOUR), ["+site-behind PR1"]);
    assert!(
        world
            .text(Kind::SiteBehind, "PR1")
            .ends_with("it holds another catalog")
    );
}

#[test]
fn a_first_synchronization_that_goes_forward_is_no_alert() {
    let mut world = World::new();
    let first = |processed: u64| {
        move |report: &mut SiteReport| {
            let mut run = run(1, "SyncingUpdates");
            run.processed = processed;
            report.run = Some(run);
            report.last_success = None;
            (report.position, report.verified_position) = (processed, 0);
        }
    };
    let mut second = 1_000;
    for processed in 0..20 {
        world.report("PR1", first(processed));
        assert!(world.look(second).is_empty());
        // Between notes that are worth it nothing is written.
        world.report("PR1", first(processed + 100));
        assert!(world.plan(second + 1).is_nothing());
        second += 30 * MINUTE;
    }
    world.report("PR1", first(20));
    assert!(world.look(second).is_empty());
    assert!(world.look(second + HOUR - 1).is_empty());
    assert_eq!(world.look(second + HOUR), ["+site-behind PR1"]);
    world.report("PR1", first(21));
    assert_eq!(world.look(second + HOUR + 1), ["-site-behind PR1"]);
}

#[test]
fn a_certificate_is_told_of_when_little_is_left_of_it() {
    let mut world = World::new();
    let valid = |from: i64, days: i64| {
        move |report: &mut SiteReport| {
            report.certificate_valid_from = Some(from_timestamp(at(from)));
            report.certificate_expires = Some(from_timestamp(at(from + days * DAY)));
        }
    };
    // A third is left: normal. Seven of thirty days are less than a quarter.
    world.report("PR1", valid(0, 30));
    world.report("CAS", valid(0, 365));
    assert!(world.look(21 * DAY).is_empty());
    assert_eq!(world.plan(21 * DAY).next, Some(at(23 * DAY)));
    assert_eq!(world.look(23 * DAY), ["+certificate-expires PR1"]);
    assert!(
        world
            .text(Kind::CertificateExpires, "PR1")
            .contains("ends at 1970-01-31T00:00:00Z")
    );
    world.report("PR1", valid(23 * DAY, 30));
    assert_eq!(world.look(23 * DAY + 1), ["-certificate-expires PR1"]);
    // Of one that is good for four hours a quarter is one hour. A site that is cut off has one, too.
    world.report("SE1", |report| {
        report.connected = false;
        report.certificate_valid_from = Some(from_timestamp(at(24 * DAY)));
        report.certificate_expires = Some(from_timestamp(at(24 * DAY + 4 * HOUR)));
    });
    let before = world.look(24 * DAY + 3 * HOUR - 1);
    assert!(!before.contains(&"+certificate-expires SE1".to_owned()));
    assert!(
        world
            .look(24 * DAY + 3 * HOUR)
            .contains(&"+certificate-expires SE1".to_owned())
    );
}

#[test]
fn a_statement_that_is_no_longer_good_is_told_of() {
    let mut world = World::new();
    let hierarchy = trust::HierarchyId(Uuid::from_u128(1));
    let mut random = daemon::Ambient::system().new_rng();
    let authority = Authority::create(hierarchy, at(0), &mut random).unwrap();
    let statement = |issued: i64| {
        let statement = Statement {
            hierarchy,
            epoch: Uuid::from_u128(2),
            position: 10,
            items: 9,
            root: [1; 32],
            issued: at(issued),
            stale_after: at(issued + 7 * DAY),
        };
        authority.sign(statement).to_bytes().to_vec()
    };
    world.report("PR1", |report| report.statement = statement(1_000));
    assert!(world.look(7 * DAY).is_empty());
    assert_eq!(world.plan(7 * DAY).next, Some(at(7 * DAY + 1_000)));
    assert_eq!(world.look(7 * DAY + 1_001), ["+statement-stale PR1"]);
    // While it is cut off nobody knows.
    world.report("PR1", |report| report.connected = false);
    assert!(world.look(7 * DAY + 1_002).is_empty());
    world.report("PR1", |report| {
        report.connected = true;
        report.statement = statement(7 * DAY);
    });
    assert_eq!(world.look(7 * DAY + 1_003), ["-statement-stale PR1"]);
}

#[test]
fn a_disk_at_the_threshold_does_not_flap() {
    let mut world = World::new();
    let free = |mebibytes: u64| {
        move |report: &mut SiteReport| {
            report.disk_free = mebibytes << 20;
            report.disk_total = 100 << 30;
        }
    };
    world.report("SE1", free(2048));
    assert!(world.look(1_000).is_empty());
    world.report("SE1", free(2047));
    assert_eq!(world.look(1_001), ["+disk-low SE1"]);
    let told = world.text(Kind::DiskLow, "SE1");
    assert!(
        told.starts_with("only 1.9 GiB of 100.0 GiB are free"),
        "{told}"
    );
    for (second, mebibytes) in [(1_002, 2100), (1_003, 2000), (1_004, 2200)] {
        world.report("SE1", free(mebibytes));
        assert!(world.look(second).is_empty());
    }
    assert_eq!(
        world.text(Kind::DiskLow, "SE1"),
        told,
        "the value at which it began"
    );
    world.report("SE1", free(2300));
    assert_eq!(world.look(1_005), ["-disk-low SE1"]);
    world.set("alerts.disk-low.free-mebibytes=4096");
    assert_eq!(world.look(1_006), ["+disk-low SE1"]);
    world.set("alerts.disk-low.enabled=false");
    assert_eq!(world.look(1_007), ["-disk-low SE1"]);
}

#[test]
fn a_category_that_is_not_offered_is_told_of_by_its_title() {
    let mut world = World::new();
    let office = UpdateId::from_u128(7);
    world.vanished = BTreeMap::from([
        (office, "Office".to_owned()),
        (UpdateId::from_u128(8), "Drivers".to_owned()),
    ]);
    assert_eq!(
        world.look(1_000),
        ["+category-vanished CAS", "+category-vanished CAS"]
    );
    assert!(
        world
            .text(Kind::CategoryVanished, "CAS")
            .starts_with("Office (00000000-")
    );
    world.vanished.remove(&office);
    assert_eq!(world.look(1_001), ["-category-vanished CAS"]);
}

#[test]
fn nothing_is_said_before_the_top_level_site_told_of_itself() {
    let mut world = World::new();
    world.report("CAS", |report| {
        report.last_failure = Some(from_timestamp(at(200)))
    });
    assert_eq!(world.look(201), ["+sync-failed CAS"]);
    let sites = ["PR1", "SE1"].map(|site| world.hierarchy.site(site).unwrap().clone());
    world.hierarchy = Hierarchy::new(sites.to_vec());
    assert!(world.plan(202).is_nothing());
}

#[test]
fn what_a_newer_version_noted_is_left_alone() {
    let mut world = World::new();
    world.report("PR1", |report| {
        report.last_failure = Some(from_timestamp(at(200)))
    });
    world.look(201);
    world.open[0].kind = "power-cut".to_owned();
    assert_eq!(world.look(202), ["+sync-failed PR1"]);
    assert_eq!(world.open.len(), 2);
}

/// One thing that happens at a site.
fn happens() -> impl Strategy<Value = (usize, u8, i64)> {
    (0..5_usize, 0..9_u8, 1..2 * HOUR)
}

proptest! {
    #[test]
    fn whatever_happens_every_alert_is_raised_once_and_ends_once(
        events in proptest::collection::vec(happens(), 1..60)
    ) {
        let mut world = World::new();
        let mut now = 1_000;
        let mut active = BTreeSet::new();
        for (site, what, passes) in events {
            let site = ["CAS", "PR1", "PR2", "SE1", "SE2"][site];
            now += passes;
            world.report(site, |report| match what {
                0 => report.connected = false,
                1 => report.connected = true,
                2 => report.last_failure = Some(from_timestamp(at(now))),
                3 => report.last_success = Some(from_timestamp(at(now))),
                4 => report.verified_position += 5,
                5 => report.last_success = None,
                6 => (report.disk_free, report.disk_total) = (1 << 30, 1 << 40),
                7 => (report.disk_free, report.disk_total) = (1 << 35, 1 << 40),
                _ => report.root = vec![what; 32],
            });
            for told in world.look(now) {
                let (sign, name) = told.split_at(1);
                match sign {
                    "+" => prop_assert!(active.insert(name.to_owned()), "raised twice: {}", name),
                    _ => prop_assert!(active.remove(name), "ended and never raised: {}", name),
                }
            }
        }
        // All is well in the end.
        let well = ["CAS", "PR1", "PR2", "SE1", "SE2"].map(|site| {
            let parent = world.hierarchy.site(site).unwrap().parent.clone();
            report(site, "primary", &parent)
        });
        world.hierarchy = Hierarchy::new(well.to_vec());
        let ended = world.look(now + 1).len();
        prop_assert_eq!(ended, active.len());
        prop_assert!(world.open.is_empty());
    }
}
