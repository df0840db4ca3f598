//! What happens next in a hierarchy that is never left in peace: chosen from what there is, by a seed.
//!
//! The upstream's process lives on: what it published is in its memory alone.

use rand::rngs::StdRng;
use rand::{Rng, RngExt as _};
use std::collections::BTreeMap;
use testkit::hierarchy::{CENTRAL, UPSTREAM};

/// Links that are disturbed at a time, at most.
const MOST_FAULTS: usize = 2;
/// Of so many sites one may be down at a time.
const SITES_FOR_ONE_DOWN: usize = 5;
/// After so many steps a link that is disturbed is healed.
const LONGEST_FAULT: u64 = 8;

/// What a site is in the hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The top.
    Central,
    /// Below the top.
    Primary,
    /// Below a primary site.
    Secondary,
}

impl Role {
    /// All of them, from the top.
    pub const ALL: [Self; 3] = [Self::Central, Self::Primary, Self::Secondary];

    /// As the program calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// A site that belongs to the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// What it is.
    pub role: Role,
    /// Whether it runs.
    pub up: bool,
    /// It is never stopped, so that its process shows what a long life does.
    pub stays: bool,
}

/// How the link in front of a process is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// All connections end, and none comes about.
    Cut,
    /// Connections stay, and nothing arrives.
    Stall,
    /// Everything comes late.
    Delay,
    /// Connections end in one direction.
    HalfClose,
    /// One bit arrives wrong.
    Flip,
}

/// What there is.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Steps that were taken.
    pub step: u64,
    /// The sites, by code.
    pub sites: BTreeMap<String, Site>,
    /// Links that are disturbed now, by the process before which they are, and since which step.
    pub faults: BTreeMap<String, u64>,
    /// How many sites the hierarchy is to have.
    pub wanted: usize,
    /// Whether the process of the central site is to live on.
    pub central_stays: bool,
    /// Number of the next site that joins.
    pub next: usize,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The upstream publishes a change, and the central site takes it.
    Evolve,
    /// The central site synchronizes, whether there is something or not.
    Synchronize,
    /// A site is asked to end.
    Stop(String),
    /// A site is killed.
    Kill(String),
    /// A site that is down is started.
    Start(String),
    /// The central site is killed and started again at once.
    Restart,
    /// The link before a process is disturbed.
    Disturb(String, Fault),
    /// The link before a process is as it was.
    Heal(String),
    /// A site joins below a parent.
    Join {
        /// Code of the new site.
        code: String,
        /// Its parent.
        parent: String,
    },
    /// A site is removed from the hierarchy.
    Remove(String),
}

impl Action {
    /// What is counted in the summary.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Evolve => "evolve",
            Self::Synchronize => "synchronize",
            Self::Stop(_) => "stop",
            Self::Kill(_) => "kill",
            Self::Start(_) => "start",
            Self::Restart => "restart",
            Self::Disturb(_, Fault::Cut) => "cut",
            Self::Disturb(_, Fault::Stall) => "stall",
            Self::Disturb(_, Fault::Delay) => "delay",
            Self::Disturb(_, Fault::HalfClose) => "half_close",
            Self::Disturb(_, Fault::Flip) => "flip",
            Self::Heal(_) => "heal",
            Self::Join { .. } => "join",
            Self::Remove(_) => "remove",
        }
    }
}

/// The code of a site: a letter for what it is, and a number of two places in base 36.
pub fn code(role: Role, number: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let digit = |at: usize| char::from(DIGITS[at % DIGITS.len()]);
    match role {
        Role::Central => CENTRAL.to_owned(),
        Role::Primary => format!("P{}{}", digit(number / 36), digit(number)),
        Role::Secondary => format!("S{}{}", digit(number / 36), digit(number)),
    }
}

/// Sites that codes suffice for: two places in base 36.
pub const MOST_CODES: usize = 36 * 36;

fn one<'a>(among: &[&'a String], rng: &mut StdRng) -> Option<&'a String> {
    (!among.is_empty()).then(|| among[rng.random_range(0..among.len())])
}

impl Facts {
    fn codes(&self, fits: impl Fn(&str, &Site) -> bool) -> Vec<&String> {
        let sites = self.sites.iter();
        sites
            .filter(|(code, site)| fits(code, site))
            .map(|(code, _)| code)
            .collect()
    }

    fn clean(&self, name: &str) -> bool {
        !self.faults.contains_key(name)
    }

    /// What happens next. Something can always happen: the last resort is a synchronization.
    pub fn plan(&self, rng: &mut StdRng) -> Action {
        let old = |since: u64| self.step.saturating_sub(since) >= LONGEST_FAULT;
        let healable = |name: &str| self.sites.get(name).is_none_or(|site| site.up);
        let overdue = self
            .faults
            .iter()
            .find(|(name, since)| old(**since) && healable(name));
        if let Some((name, _)) = overdue {
            return Action::Heal(name.clone());
        }
        // A share of a hundred for each; what is impossible now is tried again with another number.
        for _ in 0..20 {
            let chosen = match rng.next_u32() % 100 {
                0..18 => Some(Action::Evolve),
                18..22 => Some(Action::Synchronize),
                22..30 => self.down(rng).map(Action::Stop),
                30..40 => self.down(rng).map(Action::Kill),
                40..58 => one(&self.codes(|_, site| !site.up), rng)
                    .cloned()
                    .map(Action::Start),
                58..61 => (!self.central_stays).then_some(Action::Restart),
                61..76 => self.disturb(rng),
                76..88 => {
                    let faults: Vec<_> = self.faults.keys().filter(|name| healable(name)).collect();
                    one(&faults, rng).cloned().map(Action::Heal)
                }
                _ => self.come_or_go(rng),
            };
            if let Some(chosen) = chosen {
                return chosen;
            }
        }
        Action::Synchronize
    }

    /// A site that may go down.
    fn down(&self, rng: &mut StdRng) -> Option<String> {
        let down = self.codes(|_, site| !site.up).len();
        if down >= self.sites.len().div_ceil(SITES_FOR_ONE_DOWN) {
            return None;
        }
        let up = self.codes(|_, site| site.up && !site.stays && site.role != Role::Central);
        one(&up, rng).cloned()
    }

    fn disturb(&self, rng: &mut StdRng) -> Option<Action> {
        if self.faults.len() >= MOST_FAULTS {
            return None;
        }
        let upstream = UPSTREAM.to_owned();
        let mut links =
            self.codes(|name, site| site.up && site.role != Role::Secondary && self.clean(name));
        if self.clean(UPSTREAM) {
            links.push(&upstream);
        }
        let name = one(&links, rng)?.clone();
        let fault = match rng.next_u32() % 5 {
            0 => Fault::Cut,
            1 => Fault::Stall,
            2 => Fault::Delay,
            3 => Fault::HalfClose,
            // The upstream speaks plain HTTP: what arrives wrong from it is what it published.
            _ if name == UPSTREAM => Fault::Cut,
            _ => Fault::Flip,
        };
        Some(Action::Disturb(name, fault))
    }

    /// A site joins while there are fewer than there are to be; then one goes. No code is used twice, and
    /// when there is none left, nobody goes.
    fn come_or_go(&self, rng: &mut StdRng) -> Option<Action> {
        if self.next >= MOST_CODES {
            return None;
        }
        if self.sites.len() < self.wanted {
            let reached = self.clean(CENTRAL);
            let parents =
                self.codes(|name, site| site.up && site.role == Role::Primary && self.clean(name));
            let parent = one(&parents, rng).filter(|_| reached)?.clone();
            let code = code(Role::Secondary, self.next);
            return Some(Action::Join { code, parent });
        }
        let leaving = self.codes(|_, site| site.role == Role::Secondary && !site.stays);
        one(&leaving, rng).cloned().map(Action::Remove)
    }
}

#[cfg(test)]
mod tests;
