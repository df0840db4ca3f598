//! What there is to know of a site, from its newest report, in groups.

use super::super::sites::SiteRow;
use crate::words::Moment;
use hierarchy::time;
use hierarchy::words::{ahead, count, rate, size};
use jiff::{SignedDuration, Timestamp};
use trust::certificate::renew_at;
use wire::v1::{RunReport, SiteReport};

/// Bytes of a digest that are shown.
const DIGEST: usize = 8;

/// A group of facts under a heading.
pub struct Group {
    pub heading: &'static str,
    pub facts: Vec<Fact>,
}

/// A name and what is known under it.
pub struct Fact {
    pub name: &'static str,
    pub value: String,
    /// What does not fit the line: the exact time.
    pub title: String,
    /// Class of its colour: bad, late, or none.
    pub look: &'static str,
}

impl Fact {
    fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
            title: String::new(),
            look: "",
        }
    }

    fn at(name: &'static str, then: Timestamp, now: Timestamp) -> Self {
        let moment = Moment::new(then, now);
        Self {
            title: moment.text,
            ..Self::new(name, format!("{}, {}", moment.date, moment.ago))
        }
    }

    fn looks(self, look: &'static str) -> Self {
        Self { look, ..self }
    }
}

/// Everything that the report of a site says.
pub fn groups(site: &SiteReport, row: &SiteRow, now: Timestamp) -> Vec<Group> {
    let mut groups = vec![
        catalog(site, row, now),
        Group {
            heading: "Throughput",
            facts: throughput(site, row, now),
        },
        Group {
            heading: "Update files",
            facts: vec![Fact::new(
                "Here and to come",
                crate::content::sentence(site, now).unwrap_or_default(),
            )],
        },
        Group {
            heading: "Certificate",
            facts: certificate(site, now),
        },
        Group {
            heading: "Disk",
            facts: disk(site),
        },
        Group {
            heading: "Program",
            facts: vec![
                Fact::new("Version", site.version.clone()),
                Fact::new("Settings version", settings(site)),
                Fact::new("Address", site.address.clone()),
                Fact::new("Language of its server", site.locale.clone()),
            ],
        },
    ];
    for group in &mut groups {
        group.facts.retain(|fact| !fact.value.is_empty());
    }
    groups.retain(|group| !group.facts.is_empty());
    groups
}

fn catalog(site: &SiteReport, row: &SiteRow, now: Timestamp) -> Group {
    let link = if site.parent.is_empty() {
        "none: it is the top-level site".to_owned()
    } else if site.connected {
        format!("up, to {}", site.parent)
    } else {
        format!("down, to {}", site.parent)
    };
    let moment = |name, value| match time(value) {
        Some(then) => Fact {
            value: Moment::new(then, now).ago,
            ..Fact::at(name, then, now)
        },
        None => Fact::new(name, "never"),
    };
    let root = site.root.iter().take(DIGEST);
    let root: String = root.map(|byte| format!("{byte:02x}")).collect();
    Group {
        heading: "Catalog and link",
        facts: vec![
            Fact::new("Kind", row.kind.clone()),
            Fact::new("Synchronization source", site.upstream.clone()),
            Fact::new("Link", link).looks(if site.connected { "" } else { "bad" }),
            Fact::new("Verified position", row.position.clone()),
            Fact::new("Position to reach", row.target.clone()),
            Fact::new("Items", count(site.items)),
            Fact::new("Root digest", root),
            moment("Last success", site.last_success.as_ref()),
            moment("Last failure", site.last_failure.as_ref()),
            moment("Last report", site.reported.as_ref()),
            Fact::new("Failed runs in a row", count(site.failed_in_a_row.into())),
        ],
    }
}

fn throughput(site: &SiteReport, row: &SiteRow, now: Timestamp) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(run) = &site.run {
        let over = time(run.finished.as_ref()).is_some();
        let name = if over { "Last run" } else { "Run under way" };
        facts.push(Fact::new(name, run_came(run, now)));
    }
    if !site.parent.is_empty() {
        facts.push(Fact::new(
            "Received since its start",
            format!("{} changes, {}", count(site.received_changes), row.received),
        ));
        facts.push(Fact::new(
            "Messages that wait for its parent",
            count(site.outbox),
        ));
    }
    facts
}

/// What came in a run, and how fast; until its end, or until now.
fn run_came(run: &RunReport, now: Timestamp) -> String {
    let mut text = format!("{} items, {}", count(run.items), size(run.bytes));
    let end = time(run.finished.as_ref()).unwrap_or(now);
    let took = time(run.started.as_ref()).map(|started| end.duration_since(started));
    let took = took.filter(|took| *took > SignedDuration::ZERO);
    if run.items > 0
        && let Some(took) = took
        && let (Some(items), Some(bytes)) = (rate(run.items, took), rate(run.bytes, took))
    {
        text.push_str(&format!(
            "; {} items and {} a second",
            count(items),
            size(bytes)
        ));
    }
    text
}

fn certificate(site: &SiteReport, now: Timestamp) -> Vec<Fact> {
    let from = time(site.certificate_valid_from.as_ref());
    let Some((from, until)) = from.zip(time(site.certificate_expires.as_ref())) else {
        return Vec::new();
    };
    let renewal = renew_at(from, until);
    let (renewed, look) = if until <= now {
        ("overdue: it has expired".to_owned(), "bad")
    } else if renewal <= now {
        ("overdue".to_owned(), "late")
    } else {
        (ahead(renewal, now), "")
    };
    let renewal = Fact {
        value: renewed,
        ..Fact::at("Renewal", renewal, now)
    };
    vec![
        Fact::at("Valid from", from, now),
        Fact::at("Valid until", until, now).looks(look),
        renewal.looks(look),
    ]
}

fn disk(site: &SiteReport) -> Vec<Fact> {
    if site.disk_total == 0 {
        return Vec::new();
    }
    let percent = hierarchy::words::percent(site.disk_free, site.disk_total).unwrap_or(0);
    vec![
        Fact::new("Free", format!("{} ({percent}%)", size(site.disk_free))),
        Fact::new("In all", size(site.disk_total)),
    ]
}

fn settings(site: &SiteReport) -> String {
    match site.settings_version {
        0 => "none: all are defaults".to_owned(),
        version => count(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{at, report, three_tiers};

    const DAY: i64 = 24 * 60 * 60;

    fn told(site: &SiteReport, day: i64) -> Vec<(&'static str, String, &'static str)> {
        let now = Timestamp::from_second(day * DAY).unwrap();
        let row = SiteRow::new(&three_tiers(), (0, 0), site, now);
        let groups = groups(site, &row, now).into_iter();
        let facts = groups.flat_map(|group| group.facts);
        facts
            .map(|fact| (fact.name, fact.value, fact.look))
            .collect()
    }

    fn of<'t>(told: &'t [(&'static str, String, &'static str)], name: &str) -> (&'t str, &'t str) {
        let fact = told.iter().find(|fact| fact.0 == name);
        fact.map_or(("", ""), |fact| (fact.1.as_str(), fact.2))
    }

    #[test]
    fn a_certificate_is_told_with_its_renewal() {
        let mut site = report("PR1", "primary", "CAS");
        assert_eq!(of(&told(&site, 1), "Renewal"), ("", ""));
        site.certificate_valid_from = Some(at(0));
        site.certificate_expires = Some(at(90 * DAY + 300));
        let early = told(&site, 50);
        assert_eq!(of(&early, "Valid from"), ("1970-01-01, 50 days ago", ""));
        assert_eq!(of(&early, "Valid until"), ("1970-04-01, in 40 days", ""));
        assert_eq!(of(&early, "Renewal"), ("in 10 days", ""));
        let late = told(&site, 70);
        assert_eq!(of(&late, "Renewal"), ("overdue", "late"));
        let over = told(&site, 91);
        assert_eq!(of(&over, "Renewal"), ("overdue: it has expired", "bad"));
        assert_eq!(of(&over, "Valid until").1, "bad");
    }

    #[test]
    fn throughput_is_that_of_the_run() {
        let mut site = report("PR1", "primary", "CAS");
        site.outbox = 1_234;
        site.received_bytes = 2048;
        site.run = Some(RunReport {
            started: Some(at(DAY - 10)),
            items: 5_000,
            bytes: 10 << 20,
            ..RunReport::default()
        });
        let running = told(&site, 1);
        let expected = "5,000 items, 10.0 MB; 500 items and 1.0 MB a second";
        assert_eq!(of(&running, "Run under way").0, expected);
        assert_eq!(of(&running, "Messages that wait for its parent").0, "1,234");
        assert_eq!(
            of(&running, "Received since its start").0,
            "0 changes, 2.0 KB"
        );
        // Of one that is over, it stays what it was.
        site.run.as_mut().unwrap().finished = Some(at(DAY - 5));
        let over = told(&site, 9);
        let expected = "5,000 items, 10.0 MB; 1,000 items and 2.0 MB a second";
        assert_eq!(of(&over, "Last run").0, expected);
    }

    #[test]
    fn a_disk_that_is_not_known_is_not_told() {
        let mut site = report("PR1", "primary", "CAS");
        assert_eq!(of(&told(&site, 1), "Free").0, "");
        (site.disk_free, site.disk_total) = (3 << 30, 12 << 30);
        assert_eq!(of(&told(&site, 1), "Free").0, "3.0 GB (25%)");
        assert_eq!(of(&told(&site, 1), "In all").0, "12.0 GB");
    }
}
