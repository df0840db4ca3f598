//! A hierarchy of real processes in a temporary directory: an upstream, a central site, and sites that
//! join with real tokens. In front of each that listens stands a [`Proxy`], so that links can be slowed
//! and cut, and a process that is started again is found where it was.

mod spoken;
mod watch;

pub use spoken::{Spoken, run};

use crate::patience::{LONG, until};
use crate::process::{Launch, Process, show};
use crate::proxy::Proxy;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The name of the stand-in for Microsoft Update.
pub const UPSTREAM: &str = "upstream";
/// The code of the central site.
pub const CENTRAL: &str = "CAS";
/// Settings of every site: what is tried again is so soon.
const SETTINGS: &str = "retry-first = '500ms'\nretry-most = '2s'\n";

struct Member {
    launch: Launch,
    process: Option<Process>,
    proxy: Proxy,
}

/// Processes that belong together. All are killed when it is dropped.
pub struct Hierarchy {
    members: BTreeMap<String, Member>,
    /// Another build of the program than that of the tests.
    program: Option<PathBuf>,
    /// Dropped after the processes.
    folder: Folder,
}

struct Folder {
    path: PathBuf,
    /// Where the folder goes with the hierarchy.
    temporary: Option<TempDir>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(folder) = self.temporary.take()
            && std::thread::panicking()
        {
            eprintln!(
                "--- everything of the test that failed is in {}",
                folder.keep().display()
            );
        }
    }
}

impl Default for Hierarchy {
    fn default() -> Self {
        Self::new()
    }
}

impl Hierarchy {
    /// Nothing runs yet.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    pub fn new() -> Self {
        Self::with_settings("")
    }

    /// Nothing runs yet; all sites will have these settings besides those of every test.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    pub fn with_settings(settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("headwater-test-").tempdir();
        let folder = folder.expect("a temporary directory");
        let path = folder.path().to_owned();
        let temporary = Some(folder);
        Self::at(Folder { path, temporary }, settings, None)
    }

    /// Nothing runs yet; everything will be in a folder that stays, and of a program that is there.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    pub fn of(program: PathBuf, folder: PathBuf, settings: &str) -> Self {
        let folder = Folder {
            path: folder,
            temporary: None,
        };
        Self::at(folder, settings, Some(program))
    }

    fn at(folder: Folder, settings: &str, program: Option<PathBuf>) -> Self {
        let settings = format!("{SETTINGS}{settings}");
        std::fs::write(folder.path.join("site.toml"), settings).expect("a settings file");
        Self {
            members: BTreeMap::new(),
            program,
            folder,
        }
    }

    /// Folder of everything.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Data directory of a site.
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The text of a site's `wsyncmgr.log`.
    pub fn log(&self, name: &str) -> String {
        let path = self.data_dir(name).join("logs/wsyncmgr.log");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// A launch of the program that this hierarchy is of.
    fn launch<S: Into<String>>(&self, arguments: impl IntoIterator<Item = S>) -> Launch {
        Launch {
            program: self.program.clone(),
            ..Launch::of(arguments)
        }
    }

    fn site_launch(&self, kind: &str, code: &str) -> Launch {
        let settings = self.folder().join("site.toml");
        let data_dir = self.data_dir(code);
        self.launch([kind, "--site-code", code])
            .with("--config")
            .with(settings.display().to_string())
            .with("--data-dir")
            .with(data_dir.display().to_string())
    }

    fn member(&self, name: &str) -> &Member {
        let member = self.members.get(name);
        member.unwrap_or_else(|| panic!("there is no {name} in this test"))
    }

    /// The proxy in front of a process.
    pub fn proxy(&self, name: &str) -> &Proxy {
        &self.member(name).proxy
    }

    /// A process that runs.
    ///
    /// # Panics
    /// When it does not.
    pub fn process(&mut self, name: &str) -> &mut Process {
        let member = self.members.get_mut(name);
        let process = member.and_then(|member| member.process.as_mut());
        process.unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// The address at which others reach a process: its proxy.
    pub fn url(&self, name: &str) -> String {
        let scheme = if name == UPSTREAM { "http" } else { "https" };
        format!("{scheme}://{}", self.proxy(name).address())
    }

    /// Starts a stand-in for Microsoft Update.
    pub async fn upstream<S: Into<String>>(&mut self, source: impl IntoIterator<Item = S>) {
        let mut launch = self.launch([UPSTREAM, "--listen", "127.0.0.1:0"]);
        launch.arguments.extend(source.into_iter().map(Into::into));
        self.add(UPSTREAM, launch).await;
    }

    /// Starts a central site that synchronizes from the upstream, if there is one.
    pub async fn central(&mut self) {
        self.central_with(|launch| launch).await;
    }

    /// The same, launched in a way of its own.
    pub async fn central_with(&mut self, adapt: impl FnOnce(Launch) -> Launch) {
        let everything = self.folder().join("everything.toml");
        std::fs::write(&everything, settings::document::EVERYTHING).expect("a settings file");
        let mut launch = self
            .site_launch("central", CENTRAL)
            .with("--first-settings")
            .with(everything.display().to_string())
            .with("--listen")
            .with("127.0.0.1:0");
        if self.members.contains_key(UPSTREAM) {
            launch = launch.with("--upstream").with(self.url(UPSTREAM));
        }
        self.add(CENTRAL, adapt(launch)).await;
    }

    /// Starts a site that joins with a new token, and waits until it is attached to its parent. A
    /// secondary site has no port.
    pub async fn join(&mut self, code: &str, kind: &str, parent: &str) {
        self.join_with(code, kind, parent, |launch| launch).await;
    }

    /// The same, launched in a way of its own.
    pub async fn join_with(
        &mut self,
        code: &str,
        kind: &str,
        parent: &str,
        adapt: impl FnOnce(Launch) -> Launch,
    ) {
        let token = self.token(code, kind, parent);
        let launch = adapt(self.agent_launch(code, kind, parent));
        let joining = launch.variable("HEADWATER_JOIN_TOKEN", token);
        self.add(code, joining).await;
        // A site joins once; from now on it starts without the token.
        if let Some(member) = self.members.get_mut(code) {
            let token = |(name, _): &(String, String)| name != "HEADWATER_JOIN_TOKEN";
            member.launch.variables.retain(token);
        }
        self.attached(code).await;
    }

    /// How a site is started that joined, or is to join.
    pub fn agent_launch(&self, code: &str, kind: &str, parent: &str) -> Launch {
        self.agent_launch_at(code, kind, &self.url(parent))
    }

    /// The same, with any address as the parent's.
    pub fn agent_launch_at(&self, code: &str, kind: &str, parent: &str) -> Launch {
        let launch = self
            .site_launch("agent", code)
            .with("--parent")
            .with(parent);
        match kind {
            "secondary" => launch,
            _ => launch.with("--listen").with("127.0.0.1:0"),
        }
    }

    /// A join token, made by the verb.
    pub fn token(&self, code: &str, kind: &str, parent: &str) -> String {
        self.token_for(code, kind, parent, "24h")
    }

    /// A join token that can be used for some time.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn token_for(&self, code: &str, kind: &str, parent: &str, expires: &str) -> String {
        let made = self.run(&[
            "site",
            "token",
            code,
            "--kind",
            kind,
            "--parent",
            parent,
            "--expires",
            expires,
        ]);
        made.good().trim().to_owned()
    }

    async fn add(&mut self, name: &str, mut launch: Launch) {
        let proxy = Proxy::new().await;
        if launch.listens() && name != UPSTREAM {
            launch = launch
                .with("--advertise")
                .with(format!("https://{}", proxy.address()));
        }
        let member = Member {
            launch,
            process: None,
            proxy,
        };
        self.members.insert(name.to_owned(), member);
        self.start(name).await;
    }

    /// Starts a process again that was killed or stopped, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(&mut self, name: &str) {
        let folder = self.folder().to_owned();
        let member = self.members.get_mut(name).expect("a member of this test");
        let process = Process::start(name, &folder, &member.launch);
        let process = member.process.insert(process);
        if member.launch.listens() {
            member.proxy.lead_to(address_of(process).await);
        } else {
            process.says("running").await;
        }
    }

    /// Starts a process again, launched in another way from now on.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn relaunch(&mut self, name: &str, adapt: impl FnOnce(Launch) -> Launch) {
        let member = self.members.get_mut(name).expect("a member of this test");
        member.launch = adapt(member.launch.clone());
        self.start(name).await;
    }

    /// Whether a process runs.
    pub fn runs(&mut self, name: &str) -> bool {
        let member = self.members.get_mut(name);
        let process = member.and_then(|member| member.process.as_mut());
        process.is_some_and(|process| process.has_ended().is_none())
    }

    /// Kills a process that is to come back no more. Its data stays.
    pub fn forget(&mut self, name: &str) {
        self.members.remove(name);
    }

    /// Cuts all links that lead to a process, which runs on.
    pub fn cut(&self, name: &str) {
        self.proxy(name).cut();
    }

    /// Ends a cut.
    pub async fn heal(&mut self, name: &str) {
        let address = address_of(self.process(name)).await;
        self.proxy(name).lead_to(address);
    }

    /// Kills a process as a power cut does, and with it its connections.
    pub fn kill(&mut self, name: &str) {
        self.process(name).kill();
        self.proxy(name).cut();
    }

    /// Asks a process to end, and waits until it has.
    pub async fn stop(&mut self, name: &str) {
        let status = self.process(name).stop().await;
        assert!(status.success(), "{name}: {status}");
        self.proxy(name).cut();
    }

    /// Ends all processes, children of the hierarchy before their parents.
    pub async fn stop_all(&mut self) {
        let mut names: Vec<String> = self.members.keys().cloned().collect();
        // Secondary before primary before central sites; the upstream last.
        names.sort_by_key(|name| match name.as_str() {
            UPSTREAM => 3,
            CENTRAL => 2,
            name if name.starts_with('P') => 1,
            _ => 0,
        });
        for name in names {
            if self.runs(&name) {
                self.stop(&name).await;
            }
        }
    }

    /// Publishes a change of the generated catalog, and waits until it is there.
    ///
    /// # Panics
    /// When it takes too long.
    pub async fn evolve(&mut self) {
        const PUBLISHED: &str = "published a change";
        let process = self.process(UPSTREAM);
        let before = process.errors().matches(PUBLISHED).count();
        process.signal(Signal::USR1);
        until("the upstream publishes a change", LONG, || {
            let published = process.errors().matches(PUBLISHED).count();
            let answer = (published > before)
                .then_some(())
                .ok_or("nothing new".to_owned());
            std::future::ready(answer)
        })
        .await;
    }

    /// Runs a verb on the central site's machine.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Spoken {
        self.run_at(CENTRAL, arguments)
    }

    /// Runs a verb on the machine of a site that listens.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn run_at(&self, site: &str, arguments: &[&str]) -> Spoken {
        let data_dir = self.data_dir(site).display().to_string();
        let launch = self.launch(arguments.iter().copied());
        let launch = launch.variable("HEADWATER_DATA_DIR", data_dir);
        run(&launch)
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in self.members.keys() {
                let log = self.data_dir(name).join("logs/wsyncmgr.log");
                if log.is_file() {
                    show(&format!("log of {name}"), &log);
                }
            }
        }
    }
}

async fn address_of(process: &mut Process) -> SocketAddr {
    let address = process.address().await;
    let (_, address) = address.rsplit_once('/').expect("an address with a scheme");
    address.parse().expect("an address with a port")
}
