//! A PostgreSQL server of a test's own, which can be stopped and started again.

use crate::skip::not_installed;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Settings that make a server quick that is thrown away.
const SETTINGS: &str = "-c listen_addresses=127.0.0.1 -c fsync=off \
                        -c full_page_writes=off -c max_connections=50";

/// A server in a temporary directory, at a port that stays its own. It ends when dropped.
pub struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    port: u16,
}

/// The folder of the server's programs.
#[expect(
    clippy::disallowed_methods,
    reason = "programs are found by the environment"
)]
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Debian keeps them here and puts few of them where people find them.
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut versions: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
    versions.sort();
    folders.extend(
        versions
            .into_iter()
            .rev()
            .map(|version| version.join("bin")),
    );
    let mut whole = folders.into_iter();
    whole.find(|folder| {
        ["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|name| folder.join(name).is_file())
    })
}

impl Postgres {
    /// A server that runs; none where it is not installed, which is said. In CI that is a failure.
    ///
    /// # Panics
    /// When the server is there and cannot be started.
    pub fn start_new() -> Option<Self> {
        let Some(programs) = programs() else {
            not_installed("there is no PostgreSQL server: install the package postgresql");
            return None;
        };
        let directory = tempfile::Builder::new()
            .prefix("headwater-postgres-")
            .tempdir();
        let directory = directory.expect("a temporary directory");
        // Free now; the server is the only one that asks for this one.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let server = Self {
            programs,
            directory,
            port: free.expect("a free port").port(),
        };
        if is_root() {
            let owner = Command::new("chown")
                .arg("postgres")
                .arg(server.directory.path())
                .status();
            assert!(
                owner.is_ok_and(|status| status.success()),
                "no user postgres"
            );
        }
        let data = server.data();
        let made = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ];
        server.run("initdb", &[&["-D", &data], &made[..]].concat());
        server.start();
        Some(server)
    }

    fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(&self) {
        let folder = self.directory.path().display();
        let settings = format!(
            "{SETTINGS} -c unix_socket_directories={folder} -p {}",
            self.port
        );
        let log = self.directory.path().join("log").display().to_string();
        let data = self.data();
        let arguments = [
            "-s", "-w", "-D", &data, "-l", &log, "-o", &settings, "start",
        ];
        self.run("pg_ctl", &arguments);
    }

    /// Stops it as a crash does: every connection ends at once, and it recovers at the next start.
    ///
    /// # Panics
    /// When it cannot be stopped.
    pub fn stop(&self) {
        let data = self.data();
        self.run("pg_ctl", &["-s", "-D", &data, "-m", "immediate", "stop"]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = self.command(program, arguments).status();
        let status = status.expect("a program of the server");
        assert!(
            status.success(),
            "{program}: {status}: {}",
            std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
        );
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = self.programs.join(program);
        // PostgreSQL refuses to run as root.
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|own| own.uid() == 0)
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data();
        let stop = ["-s", "-D", &data, "-m", "immediate", "stop"];
        // It may be stopped already.
        drop(self.command("pg_ctl", &stop).status());
    }
}
