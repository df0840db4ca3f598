//! Doing what was planned to a real hierarchy.

use crate::churn::{Action, Facts, Fault, Role, Site, code};
use anyhow::Context as _;
use std::path::PathBuf;
use std::time::Duration;
use testkit::Hierarchy;
use testkit::hierarchy::{CENTRAL, UPSTREAM};

/// How late everything comes over a link that is slow.
const DELAY: Duration = Duration::from_millis(150);
/// One site in so many is a primary site.
const SITES_FOR_ONE_PRIMARY: usize = 10;

/// The hierarchy, and what is known of it.
pub struct Field {
    /// Its processes.
    pub hierarchy: Hierarchy,
    /// What steps are planned from.
    pub facts: Facts,
    /// Sites that were removed, and whose data is still there.
    pub removed: Vec<String>,
}

/// What is built.
pub struct Plan {
    /// The program.
    pub program: PathBuf,
    /// Folder of everything; it stays.
    pub folder: PathBuf,
    /// Sites, the central site among them.
    pub sites: usize,
    /// Updates of the generated catalog.
    pub updates: u32,
    /// Share of the updates that one change concerns, in percent.
    pub evolve_percent: f64,
    /// Seed of the generated catalog.
    pub seed: u64,
}

impl Field {
    /// A hierarchy of which nothing runs yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            hierarchy: Hierarchy::of(plan.program.clone(), plan.folder.clone(), ""),
            facts: Facts {
                wanted: plan.sites,
                ..Facts::default()
            },
            removed: Vec::new(),
        }
    }

    /// Starts an upstream, a central site, and all sites below it.
    pub async fn build(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let source = [
            "--generate".to_owned(),
            plan.updates.to_string(),
            "--seed".to_owned(),
            plan.seed.to_string(),
            "--evolve-percent".to_owned(),
            plan.evolve_percent.to_string(),
        ];
        self.hierarchy.upstream(source).await;
        self.hierarchy.central().await;
        self.note(CENTRAL, Role::Central, true);
        let primaries = (plan.sites / SITES_FOR_ONE_PRIMARY).clamp(1, plan.sites - 1);
        for number in 0..primaries {
            let code = code(Role::Primary, number);
            self.join(&code, Role::Primary, CENTRAL, number == 0).await;
        }
        for number in 0..plan.sites - 1 - primaries {
            let parent = code(Role::Primary, number % primaries);
            let code = code(Role::Secondary, number);
            self.join(&code, Role::Secondary, &parent, number == 0)
                .await;
            self.facts.next = number + 1;
        }
        self.synchronize().await
    }

    fn note(&mut self, code: &str, role: Role, stays: bool) {
        let up = true;
        self.facts
            .sites
            .insert(code.to_owned(), Site { role, up, stays });
    }

    async fn join(&mut self, code: &str, role: Role, parent: &str, stays: bool) {
        self.hierarchy.join(code, role.name(), parent).await;
        self.note(code, role, stays);
    }

    async fn synchronize(&self) -> anyhow::Result<()> {
        use ctl::connection::question;
        let client = self.hierarchy.client().await.map_err(anyhow::Error::msg)?;
        let request = wire::v1::StartSyncRequest {
            full: false,
            ..wire::v1::StartSyncRequest::default()
        };
        let answer = client.sync().start_sync(question(request)).await;
        answer.context("the central site refused to synchronize")?;
        Ok(())
    }

    fn set_up(&mut self, code: &str, up: bool) {
        if let Some(site) = self.facts.sites.get_mut(code) {
            site.up = up;
        }
    }

    /// Does one step.
    ///
    /// # Errors
    /// When the central site refuses or does not answer.
    ///
    /// # Panics
    /// When a process does not start or end as it has to.
    pub async fn act(&mut self, action: &Action) -> anyhow::Result<()> {
        self.facts.step += 1;
        let hierarchy = &mut self.hierarchy;
        match action {
            Action::Evolve => {
                hierarchy.evolve().await;
                self.synchronize().await?;
            }
            Action::Synchronize => self.synchronize().await?,
            Action::Stop(code) => {
                hierarchy.stop(code).await;
                self.set_up(code, false);
            }
            Action::Kill(code) => {
                hierarchy.kill(code);
                self.set_up(code, false);
            }
            Action::Start(code) => {
                hierarchy.start(code).await;
                self.set_up(code, true);
            }
            Action::Restart => {
                hierarchy.kill(CENTRAL);
                hierarchy.start(CENTRAL).await;
            }
            Action::Disturb(name, fault) => {
                let proxy = hierarchy.proxy(name);
                match fault {
                    Fault::Cut => proxy.cut(),
                    Fault::Stall => proxy.stall(),
                    Fault::Delay => proxy.delay(DELAY),
                    // These are over at once.
                    Fault::HalfClose => proxy.half_close(),
                    Fault::Flip => proxy.flip(),
                }
                if matches!(fault, Fault::Cut | Fault::Stall | Fault::Delay) {
                    self.facts.faults.insert(name.clone(), self.facts.step);
                }
            }
            Action::Heal(name) => self.heal(name).await,
            Action::Join { code, parent } => {
                // A parent that is cut off from the top cannot ask whether the new site may join.
                let reports = hierarchy.sites().await.map_err(anyhow::Error::msg)?;
                if !reports.get(parent).is_some_and(|parent| parent.connected) {
                    return Ok(());
                }
                self.facts.next += 1;
                self.join(code, Role::Secondary, parent, false).await;
            }
            Action::Remove(code) => {
                let said = hierarchy.run(&["site", "remove", code, "--yes"]);
                anyhow::ensure!(said.status.success(), "{}", said.errors.trim());
                hierarchy.forget(code);
                self.facts.sites.remove(code);
                self.removed.push(code.clone());
            }
        }
        Ok(())
    }

    async fn heal(&mut self, name: &str) {
        self.hierarchy.proxy(name).free();
        self.hierarchy.heal(name).await;
        self.facts.faults.remove(name);
    }

    /// Starts what is down and heals every link, so that all can come to rest.
    ///
    /// # Panics
    /// When a process does not start.
    pub async fn calm(&mut self) {
        let names = self.facts.sites.keys().cloned();
        let names: Vec<String> = names.chain([UPSTREAM.to_owned()]).collect();
        for name in names {
            if !self.hierarchy.runs(&name) {
                self.hierarchy.start(&name).await;
                self.set_up(&name, true);
            }
            let listens = name == UPSTREAM || self.facts.sites[&name].role != Role::Secondary;
            if listens {
                self.heal(&name).await;
            }
        }
    }

    /// Has the central site synchronize once more, and waits until every site has what it has; what is
    /// missing when that takes longer than `most`.
    pub async fn converge(&self, most: Duration) -> anyhow::Result<Vec<String>> {
        self.synchronize().await?;
        let deadline = tokio::time::Instant::now() + most;
        loop {
            let missing = match self.hierarchy.sites().await {
                Ok(reports) => self.missing(&reports),
                Err(error) => vec![error],
            };
            if missing.is_empty() || tokio::time::Instant::now() >= deadline {
                return Ok(missing);
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    fn missing(
        &self,
        reports: &std::collections::BTreeMap<String, wire::v1::SiteReport>,
    ) -> Vec<String> {
        let Some(central) = reports.get(CENTRAL) else {
            return vec![format!("{CENTRAL} has no report")];
        };
        let codes = self.facts.sites.keys();
        codes
            .filter_map(|code| {
                let Some(site) = reports.get(code) else {
                    return Some(format!("{code} has no report"));
                };
                // A process that found its site current when it started had no reason to run.
                let run = site.run.as_ref();
                let state = run.map_or("Completed", |run| run.state.as_str());
                let same = (site.verified_position, &site.root, &site.epoch)
                    == (central.verified_position, &central.root, &central.epoch);
                let current = same && site.connected && state == "Completed";
                (!current).then(|| {
                    format!(
                        "{code} is at {} of {}, {state}, connected: {}, {}",
                        site.verified_position,
                        central.verified_position,
                        site.connected,
                        site.last_error
                    )
                })
            })
            .collect()
    }
}
