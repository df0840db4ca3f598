//! When the source of a site is switched without anybody asking for it. Pure.

use catalog::PointId;

/// What is known of a software update point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The point.
    pub code: PointId,
    /// Whether it may be the source: others know where it is reached.
    pub reachable: bool,
    /// Whether it is attached, or dialled the top-level site of late.
    pub alive: bool,
    /// Its runs that failed since the last one that did not.
    pub failed_in_a_row: u32,
    /// Looks in a row at which it was not connected.
    pub missed_looks: u32,
    /// Verified position.
    pub verified: u64,
}

/// A site with several software update points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// After how many failed runs or missed looks in a row its source is switched.
    pub after: u32,
    /// The source.
    pub source: Point,
    /// The replicas.
    pub replicas: Vec<Point>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Leave,
    /// Another source, and why.
    Switch {
        /// The new source.
        to: PointId,
        /// Why, for people.
        why: String,
    },
    /// The source should be switched, and no replica can take its place.
    Nobody {
        /// Why it should be, for people.
        why: String,
    },
}

/// Decides for one site: the replica that is furthest, of those that are there and do not fail as often
/// themselves.
pub fn plan(facts: &Facts) -> Plan {
    let Facts { after, source, .. } = facts;
    let why = if *after == 0 {
        return Plan::Leave;
    } else if source.failed_in_a_row >= *after {
        let runs = source.failed_in_a_row;
        let times = if runs == 1 { "run" } else { "runs in a row" };
        format!("{runs} {times} of {} failed", source.code)
    } else if source.missed_looks >= *after {
        let looks = source.missed_looks;
        let times = if looks == 1 { "look" } else { "looks in a row" };
        format!("{} was not connected at {looks} {times}", source.code)
    } else {
        return Plan::Leave;
    };
    let fit = facts
        .replicas
        .iter()
        .filter(|replica| replica.alive && replica.reachable && replica.failed_in_a_row < *after);
    // Of equals the first.
    let best = fit.max_by_key(|replica| (replica.verified, std::cmp::Reverse(replica.code)));
    match best {
        Some(best) => Plan::Switch { to: best.code, why },
        None => Plan::Nobody { why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(code: &str) -> Point {
        Point {
            code: code.parse().unwrap(),
            reachable: true,
            alive: true,
            failed_in_a_row: 0,
            missed_looks: 0,
            verified: 10,
        }
    }

    fn facts(after: u32, failed: u32, missed: u32) -> Facts {
        Facts {
            after,
            source: Point {
                failed_in_a_row: failed,
                missed_looks: missed,
                ..point("PR1")
            },
            replicas: vec![point("PR1-2"), point("PR1-3")],
        }
    }

    fn to(plan: &Plan) -> Option<String> {
        match plan {
            Plan::Switch { to, .. } => Some(to.to_string()),
            Plan::Leave | Plan::Nobody { .. } => None,
        }
    }

    #[test]
    fn a_source_is_left_alone_until_the_number_is_reached() {
        for (after, failed, missed) in [(0, 99, 99), (3, 2, 2), (3, 0, 0)] {
            assert_eq!(plan(&facts(after, failed, missed)), Plan::Leave);
        }
        let failed = plan(&facts(3, 3, 0));
        assert_eq!(to(&failed).as_deref(), Some("PR1-2"));
        let Plan::Switch { why, .. } = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(why, "3 runs in a row of PR1 failed");
        let Plan::Switch { why, .. } = plan(&facts(1, 0, 4)) else {
            panic!("it is not connected");
        };
        assert_eq!(why, "PR1 was not connected at 4 looks in a row");
    }

    #[test]
    fn the_replica_that_is_furthest_takes_the_place() {
        let mut facts = facts(1, 1, 0);
        facts.replicas[1].verified = 11;
        assert_eq!(to(&plan(&facts)).as_deref(), Some("PR1-3"));
        for unfit in [
            |point: &mut Point| point.alive = false,
            |point: &mut Point| point.reachable = false,
            |point: &mut Point| point.failed_in_a_row = 1,
        ] {
            let mut facts = facts.clone();
            unfit(&mut facts.replicas[1]);
            assert_eq!(to(&plan(&facts)).as_deref(), Some("PR1-2"));
            unfit(&mut facts.replicas[0]);
            assert!(matches!(plan(&facts), Plan::Nobody { .. }));
        }
    }
}
