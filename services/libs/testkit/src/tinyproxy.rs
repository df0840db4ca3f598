//! A real HTTP proxy of a test's own: tinyproxy, in front of what the test asks for.

use crate::patience::{LONG, until};
use crate::process::show;
use crate::skip::not_installed;
use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// Other ports to try when somebody else took the one that was free.
const MOST_PORTS: usize = 10;
/// What it writes into its log when it listens.
const LISTENS: &str = "Accepting connections";

/// What a proxy lets through.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// User and password, where it asks for them: letters and digits.
    pub user: Option<(String, String)>,
    /// Hosts that it does not lead to, as regular expressions.
    pub forbidden: Vec<String>,
    /// The ports that `CONNECT` may lead to; none: all.
    pub connect_ports: Vec<u16>,
}

impl Rules {
    /// A proxy that asks for this user.
    pub fn user(name: &str, password: &str) -> Self {
        Self {
            user: Some((name.to_owned(), password.to_owned())),
            ..Self::default()
        }
    }
}

/// A proxy in a temporary directory. It ends when dropped, and leaves nothing.
pub struct Tinyproxy {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

/// The program.
#[expect(
    clippy::disallowed_methods,
    reason = "programs are found by the environment"
)]
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let mut programs = folders.into_iter().map(|folder| folder.join("tinyproxy"));
    programs.find(|program| program.is_file())
}

impl Tinyproxy {
    /// A proxy that listens; none where it is not installed, which is said. In CI that is a failure.
    ///
    /// # Panics
    /// When it is there and does not start.
    pub async fn start(rules: &Rules) -> Option<Self> {
        let Some(program) = program() else {
            not_installed("there is no tinyproxy: install the package tinyproxy-bin");
            return None;
        };
        for _ in 0..MOST_PORTS {
            if let Some(proxy) = Self::try_start(&program, rules).await {
                return Some(proxy);
            }
        }
        panic!("tinyproxy found no free port in {MOST_PORTS} attempts");
    }

    /// A proxy that listens, or none where its port was taken in between.
    async fn try_start(program: &Path, rules: &Rules) -> Option<Self> {
        let directory = tempfile::Builder::new()
            .prefix("headwater-tinyproxy-")
            .tempdir()
            .expect("a temporary directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.expect("a free port");
        let settings = directory.path().join("tinyproxy.conf");
        write_settings(&settings, directory.path(), address, rules)
            .expect("the settings of tinyproxy");
        let said = File::create(directory.path().join("out")).expect("a file for what it says");
        let child = Command::new(program)
            .arg("-d")
            .arg("-c")
            .arg(&settings)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stderr(said.try_clone().expect("a file for what it says"))
            .stdout(said)
            .spawn()
            .expect("tinyproxy can be started");
        let mut proxy = Self {
            child,
            address,
            directory,
        };
        let started = until("tinyproxy listens or ends", LONG, || {
            std::future::ready(match proxy.has_ended() {
                Some(status) => Ok(Err(status)),
                None if proxy.log().contains(LISTENS) => Ok(Ok(())),
                None => Err(proxy.log()),
            })
        });
        match started.await {
            Ok(()) => Some(proxy),
            Err(status) => {
                eprintln!("tinyproxy ended at once ({status}):");
                show("what it said", &proxy.directory.path().join("out"));
                None
            }
        }
    }

    fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("a child of ours can be waited for")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Its log, with the first line of each request.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The first lines of the requests it got, in their order.
    pub fn requests(&self) -> Vec<String> {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains("Request (file "));
        lines
            .filter_map(|line| line.split_once("): "))
            .map(|(_, request)| request.to_owned())
            .collect()
    }

    /// Ends it.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn stop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        self.child.wait().expect("a child of ours ends");
    }
}

fn write_settings(
    path: &Path,
    folder: &Path,
    address: SocketAddr,
    rules: &Rules,
) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    writeln!(file, "Listen {}\nPort {}", address.ip(), address.port())?;
    writeln!(file, "Allow 127.0.0.1\nTimeout 60\nMaxClients 100")?;
    writeln!(file, "LogFile \"{}\"", folder.join("log").display())?;
    writeln!(file, "LogLevel Info")?;
    if let Some((name, password)) = &rules.user {
        writeln!(file, "BasicAuth {name} {password}")?;
    }
    if !rules.forbidden.is_empty() {
        let filter = folder.join("filter");
        std::fs::write(&filter, rules.forbidden.join("\n") + "\n")?;
        writeln!(file, "Filter \"{}\"", filter.display())?;
    }
    for port in &rules.connect_ports {
        writeln!(file, "ConnectPort {port}")?;
    }
    Ok(())
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            show("the log of tinyproxy", &self.log_file());
        }
    }
}
