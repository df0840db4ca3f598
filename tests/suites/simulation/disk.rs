//! The disks of the sites: which commits fail, and how many there were.

use crate::software::{Shared, host_of};
use catalog::PointId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use store::simulation::{Fate, forget_disk, set_disk};

/// When commits fail, counted from when the rule was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The n-th fails.
    FailsAt(u32),
    /// The n-th happens, and nobody hears of it.
    UnheardAt(u32),
    /// The n-th fails, and all after it.
    FullFrom(u32),
}

#[derive(Debug, Default)]
struct State {
    /// By the name of the host: the rule, and the commits since it was set.
    rules: BTreeMap<String, (Rule, u32)>,
    commits: BTreeMap<String, u64>,
    /// Those that did not happen, or were not heard of.
    struck: BTreeMap<String, u64>,
}

/// The disks of a run. Dropped, they are all fine.
pub struct Disk(Rc<RefCell<State>>);

impl Drop for Disk {
    fn drop(&mut self) {
        forget_disk();
    }
}

impl Disk {
    /// The disks of the run on this thread.
    pub fn new(shared: &Shared) -> Self {
        let state = Rc::new(RefCell::new(State::default()));
        let (told, network) = (Rc::clone(&state), shared.clone());
        set_disk(move |directory| {
            let name = directory.file_name().unwrap().to_string_lossy();
            let fate = told.borrow_mut().next(&name);
            if fate != Fate::Done {
                let mut state = told.borrow_mut();
                *state.struck.entry(name.clone().into_owned()).or_default() += 1;
                drop(state);
                network.host(&name).note(format!("commit: {fate:?}"));
            }
            fate
        });
        Self(state)
    }

    /// From now on, a site's commits follow a rule.
    pub fn set(&self, site: PointId, rule: Rule) {
        self.0.borrow_mut().rules.insert(host_of(site), (rule, 0));
    }

    /// From now on, a site's commits happen.
    pub fn clear(&self, site: PointId) {
        self.0.borrow_mut().rules.remove(&host_of(site));
    }

    /// From now on, all commits happen.
    pub fn clear_all(&self) {
        self.0.borrow_mut().rules.clear();
    }

    /// Whether the rule of a site has let a commit fail.
    pub fn has_struck(&self, site: PointId) -> bool {
        let state = self.0.borrow();
        state
            .rules
            .get(&host_of(site))
            .is_some_and(|(rule, commits)| {
                let (Rule::FailsAt(nth) | Rule::UnheardAt(nth) | Rule::FullFrom(nth)) = rule;
                commits >= nth
            })
    }

    /// How many commits a site has tried.
    pub fn commits(&self, site: PointId) -> u64 {
        let state = self.0.borrow();
        state
            .commits
            .get(&host_of(site))
            .copied()
            .unwrap_or_default()
    }

    /// How many of them did not happen, or were not heard of.
    pub fn struck(&self, site: PointId) -> u64 {
        let state = self.0.borrow();
        state
            .struck
            .get(&host_of(site))
            .copied()
            .unwrap_or_default()
    }
}

impl State {
    fn next(&mut self, name: &str) -> Fate {
        *self.commits.entry(name.to_owned()).or_default() += 1;
        let Some((rule, commits)) = self.rules.get_mut(name) else {
            return Fate::Done;
        };
        *commits += 1;
        match *rule {
            Rule::FailsAt(nth) if *commits == nth => Fate::DiskFull,
            Rule::UnheardAt(nth) if *commits == nth => Fate::Unheard,
            Rule::FullFrom(nth) if *commits >= nth => Fate::DiskFull,
            Rule::FailsAt(_) | Rule::UnheardAt(_) | Rule::FullFrom(_) => Fate::Done,
        }
    }
}
