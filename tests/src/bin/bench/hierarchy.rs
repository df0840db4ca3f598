//! A hierarchy of real processes: an upstream, a central site and sites below it.

use crate::process::Process;
use anyhow::{Context as _, bail};
use ctl::connection::{Chosen, Client, Target, question};
use ctl::follow::{self, Watch};
use hierarchy::{Hierarchy as Reports, time};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::v1::{CreateJoinTokenRequest, SiteReport, VerifySiteRequest};

/// How long a site may take to reach what it is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a change of the catalog is looked for until the upstream has published it.
const LOOKS: u32 = 50;
/// Code of the central site.
pub const TOP: &str = "CAS";

/// What is started.
pub struct Setting {
    /// The program.
    pub program: PathBuf,
    /// Its seed.
    pub seed: u64,
}

/// Where the catalog comes from.
pub enum Source<'a> {
    /// It is generated.
    Generated(u32),
    /// It is in a package.
    Package(&'a Path),
}

/// A run of a site that completed.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// Position that the site had verified then.
    pub position: u64,
    /// Items that it showed then.
    pub items: u64,
}

impl Run {
    /// How long it took, in seconds.
    pub fn seconds(&self) -> f64 {
        seconds_between(self.started, self.finished)
    }
}

/// Seconds from one time to another.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// The processes of a hierarchy. Dropped, they are killed.
pub struct Hierarchy {
    program: PathBuf,
    dir: PathBuf,
    upstream: Process,
    sites: BTreeMap<String, (Process, String)>,
    client: Client,
    watch: Watch,
    /// What was told last: it is not told again before something changes.
    known: Reports,
}

impl Hierarchy {
    /// Starts an upstream and a central site without sites below it.
    pub async fn start(setting: &Setting, dir: &Path, source: Source<'_>) -> anyhow::Result<Self> {
        let program = &setting.program;
        let (updates, seed) = match &source {
            Source::Generated(updates) => (updates.to_string(), setting.seed.to_string()),
            Source::Package(_) => (String::new(), String::new()),
        };
        let mut arguments = words(&["upstream", "--listen", "127.0.0.1:0"]);
        match &source {
            Source::Generated(_) => {
                arguments.extend(words(&["--generate", &updates, "--seed", &seed]));
            }
            Source::Package(file) => {
                arguments.extend([OsStr::new("--package"), file.as_os_str()]);
            }
        }
        let mut upstream = Process::start("upstream", dir, program, &arguments, &[])?;
        let url = upstream.address().await?;
        let data_dir = dir.join(TOP);
        let mut arguments = words(&["central", "--site-code", TOP, "--listen", "127.0.0.1:0"]);
        arguments.extend(words(&["--upstream", &url, "--data-dir"]));
        arguments.push(data_dir.as_os_str());
        let everything = dir.join("everything.toml");
        std::fs::write(&everything, settings::document::EVERYTHING)?;
        arguments.extend(words(&["--first-settings"]));
        arguments.push(everything.as_os_str());
        let mut central = Process::start(TOP, dir, program, &arguments, &[])?;
        let address = central.address().await?;
        let client = Client::connect(&Target::load(Chosen::default(), &data_dir)?).await?;
        let watch = Watch::open(&client).await?;
        Ok(Self {
            program: program.clone(),
            dir: dir.to_owned(),
            upstream,
            sites: BTreeMap::from([(TOP.to_owned(), (central, address))]),
            client,
            watch,
            known: Reports::default(),
        })
    }

    /// The data directory of a site.
    pub fn data_dir(&self, code: &str) -> PathBuf {
        self.dir.join(code)
    }

    /// The address of a site.
    pub fn address(&self, code: &str) -> anyhow::Result<&str> {
        let (_, address) = self.sites.get(code).context("no such site")?;
        Ok(address)
    }

    /// Joins a site below a parent and starts it; it is connected when this returns.
    pub async fn join(&mut self, code: &str, kind: &str, parent: &str) -> anyhow::Result<()> {
        let url = self.address(parent)?.to_owned();
        self.join_at(code, kind, parent, &url).await
    }

    /// The same, where the parent is reached at another address than its own.
    pub async fn join_at(
        &mut self,
        code: &str,
        kind: &str,
        parent: &str,
        url: &str,
    ) -> anyhow::Result<()> {
        let request = CreateJoinTokenRequest {
            site_code: code.to_owned(),
            site_kind: kind.to_owned(),
            parent: parent.to_owned(),
            valid_seconds: PATIENCE.as_secs(),
        };
        let mut sites = self.client.hierarchy();
        let answer = sites.create_join_token(question(request)).await?;
        let token = answer.into_inner().token;
        let data_dir = self.data_dir(code);
        let mut arguments = words(&["agent", "--site-code", code, "--listen", "127.0.0.1:0"]);
        arguments.extend(words(&["--parent", url, "--data-dir"]));
        arguments.push(data_dir.as_os_str());
        let variables = [("HEADWATER_JOIN_TOKEN", token.as_str())];
        let mut agent = Process::start(code, &self.dir, &self.program, &arguments, &variables)?;
        let address = agent.address().await?;
        self.sites.insert(code.to_owned(), (agent, address));
        self.wait(code, |site, _| site.connected.then_some(()))
            .await
    }

    /// Waits until a site's report, beside that of the central site, says what is looked for.
    async fn wait<T>(
        &mut self,
        code: &str,
        found: impl Fn(&SiteReport, &SiteReport) -> Option<T>,
    ) -> anyhow::Result<T> {
        let wait = async {
            loop {
                if let (Some(site), Some(top)) = (self.known.site(code), self.known.site(TOP)) {
                    if let Some(error) = hierarchy::present_error(site) {
                        bail!("{code} failed: {error}");
                    }
                    if let Some(found) = found(site, top) {
                        return Ok(found);
                    }
                }
                self.known = self.watch.next().await?;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .with_context(|| format!("{code} did not get there in time"))?
    }

    /// Requests a synchronization, and waits for the run of the central site; it and its identifier.
    pub async fn sync(&mut self) -> anyhow::Result<(Run, Vec<u8>)> {
        let id = follow::start(&self.client, false).await?.run;
        let run = self.run_of(TOP, &id).await?;
        Ok((run, id))
    }

    /// Has a site compare every row of its catalog with its parent's, and waits for the end.
    pub async fn verify(&mut self, code: &str) -> anyhow::Result<Run> {
        let request = VerifySiteRequest {
            site_code: code.to_owned(),
        };
        let mut sites = self.client.hierarchy();
        let id = sites.verify_site(question(request)).await?.into_inner().run;
        self.run_of(code, &id).await
    }

    /// Waits until a site completed a run that the central site's run `id` led to.
    pub async fn run_of(&mut self, code: &str, id: &[u8]) -> anyhow::Result<Run> {
        self.wait(code, |site, _| {
            completed(site).filter(|_| site.run.as_ref().is_some_and(|run| run.id == id))
        })
        .await
    }

    /// Waits until a site completed a run and holds what the central site holds.
    pub async fn caught_up(&mut self, code: &str) -> anyhow::Result<Run> {
        self.wait(code, |site, top| {
            let same = site.verified_position == top.verified_position && site.root == top.root;
            completed(site).filter(|run| same && run.position > 0)
        })
        .await
    }

    /// Has the upstream publish a change of one in a hundred of its updates, and the central site take it:
    /// its run, and the identifier of that.
    pub async fn change(&mut self, before: u64) -> anyhow::Result<(Run, Vec<u8>)> {
        self.upstream.signal(rustix::process::Signal::USR1)?;
        for _ in 0..LOOKS {
            let (top, id) = self.sync().await?;
            if top.position > before {
                return Ok((top, id));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the upstream published no change")
    }

    /// Peaks of resident memory of the sites, in bytes, by the site's code.
    pub fn peak_memory(&self) -> anyhow::Result<Vec<(String, u64)>> {
        let peaks = self.sites.iter();
        peaks
            .map(|(code, (site, _))| Ok((code.clone(), site.peak_memory()?)))
            .collect()
    }

    /// Ends all processes in order, so that their databases are at rest.
    pub async fn stop(self) -> anyhow::Result<()> {
        for (_, (site, _)) in self.sites.into_iter().rev() {
            site.stop().await?;
        }
        self.upstream.stop().await
    }
}

fn completed(site: &SiteReport) -> Option<Run> {
    let run = site.run.as_ref()?;
    if run.state != "Completed" {
        return None;
    }
    Some(Run {
        started: time(run.started.as_ref())?,
        finished: time(run.finished.as_ref())?,
        position: site.verified_position,
        items: site.items,
    })
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}
