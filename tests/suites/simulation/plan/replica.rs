//! A second software update point of a site.

use super::{FAULTS_UNTIL, LONGEST_FAULT, Scheduled, Site, Work, code, seconds};
use crate::fault::Fault;
use crate::software::Wish;
use catalog::SiteKind;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// A second software update point of a site, and what has to do with it.
pub(super) struct Replica {
    pub(super) site: Site,
    pub(super) work: Vec<(Duration, Work)>,
    pub(super) faults: Vec<Scheduled>,
}

/// In every third run a site has one, and its source is switched. It has its own randomness: seeds that found
/// something stay what they were.
pub(super) fn replica(seed: u64, sites: &[Site]) -> Option<Replica> {
    if seed % 3 != 1 {
        return None;
    }
    let random = &mut StdRng::seed_from_u64(seed.wrapping_add(2));
    let primaries = sites.iter().filter(|site| site.kind == SiteKind::Primary);
    let primaries: Vec<&Site> = primaries.collect();
    // Rather one that has sites below it.
    let below = sites.iter().find(|site| site.kind == SiteKind::Secondary);
    let of = match below {
        Some(below) if random.random_ratio(3, 4) => below.parent,
        Some(_) | None => primaries[random.random_range(0..primaries.len())].code,
    };
    let site = Site {
        code: code(&format!("{of}-2")),
        kind: SiteKind::Primary,
        parent: of,
    };
    let invited = seconds(random, 2..20);
    let mut work = vec![(invited, Work::Person(site.invitation()))];
    for turn in 0..random.random_range(1..5) {
        let to = if turn % 2 == 0 { site.code } else { of };
        let at = seconds(random, 20..FAULTS_UNTIL);
        work.push((at, Work::Person(Wish::Switch { to })));
    }
    let faults = (0..random.random_range(0..3)).map(|_| {
        let from = seconds(random, 15..FAULTS_UNTIL - LONGEST_FAULT);
        let until = from + seconds(random, 0..LONGEST_FAULT) + Duration::from_millis(10);
        let fault = match random.random_range(0..5) {
            0 => Fault::PowerCut(site.code),
            1 => Fault::PowerCut(of),
            2 => Fault::Cut(site.code, of),
            3 => Fault::CommitUnheard(site.code, random.random_range(1..12)),
            _ => Fault::Restart(of),
        };
        Scheduled { from, until, fault }
    });
    let faults = faults.collect();
    Some(Replica { site, work, faults })
}
