//! The processes of a demo: started, listened to, and ended with it.

use anyhow::{Context, anyhow, bail};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How often we look whether a process said something or ended.
const LOOK: Duration = Duration::from_millis(25);
/// How long processes may take to end when asked to.
const END_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of what a process said is shown when it ended early, in bytes and in lines.
const TAIL_BYTES: u64 = 16 * 1024;
const TAIL_LINES: usize = 20;
/// Most bytes of standard output among which the address is looked for.
const MOST_OUTPUT: u64 = 64 * 1024;

/// The processes, by the name of what they play. Dropping this kills them.
pub struct Children {
    program: PathBuf,
    dir: PathBuf,
    running: BTreeMap<String, Running>,
}

struct Running {
    child: Child,
    address: Option<String>,
}

impl Children {
    /// No process yet. `program` is what is started, everything of them goes below `dir`.
    pub fn new(program: PathBuf, dir: &Path) -> Self {
        Self {
            program,
            dir: dir.to_owned(),
            running: BTreeMap::new(),
        }
    }

    /// The data directory of a site.
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn output(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.out"))
    }

    fn errors(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.err"))
    }

    /// Starts the program with these arguments and variables. What it says goes to files.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        &mut self,
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let data_dir = self.data_dir(name);
        fs::create_dir_all(&data_dir)
            .with_context(|| format!("{} cannot be made", data_dir.display()))?;
        let file = |path: PathBuf| {
            File::create(&path).with_context(|| format!("{} cannot be written", path.display()))
        };
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(file(self.output(name))?)
            .stderr(file(self.errors(name))?)
            .kill_on_drop(true);
        // Settings for other sites of the person who tries the demo must not reach its processes.
        let ours = |name: &OsStr| variables.iter().any(|(variable, _)| *variable == name);
        for (variable, _) in std::env::vars_os() {
            let is_setting = variable.to_string_lossy().starts_with("HEADWATER_");
            if is_setting && !ours(&variable) {
                command.env_remove(&variable);
            }
        }
        // Ctrl-C is for us alone: we end the others in order.
        #[cfg(unix)]
        command.process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        let address = None;
        self.running
            .insert(name.to_owned(), Running { child, address });
        Ok(())
    }

    /// The address of a process, if it named it already.
    pub fn known_address(&self, name: &str) -> Option<&str> {
        self.running.get(name)?.address.as_deref()
    }

    /// The address that a process listens on, waiting until it names it.
    ///
    /// # Errors
    /// When it takes longer than `timeout`, or any process ends meanwhile.
    pub async fn address(&mut self, name: &str, timeout: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(address) = self.known_address(name) {
                return Ok(address.to_owned());
            }
            let output = head(&self.output(name), MOST_OUTPUT).unwrap_or_default();
            let found = address_in(&output);
            if let (Some(address), Some(running)) = (found, self.running.get_mut(name)) {
                running.address = Some(address);
                continue;
            }
            if let Some(error) = self.ended() {
                return Err(error);
            }
            if Instant::now() >= deadline {
                bail!(
                    "{name} was not ready after {} s{}",
                    timeout.as_secs(),
                    self.tail(name)
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a process ends, which none should, and says which and why.
    pub async fn first_end(&mut self) -> anyhow::Error {
        loop {
            if let Some(error) = self.ended() {
                return error;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A process that ended.
    fn ended(&mut self) -> Option<anyhow::Error> {
        let ended = |running: &mut Running| running.child.try_wait().ok().flatten();
        let (name, status): (String, ExitStatus) = self
            .running
            .iter_mut()
            .find_map(|(name, running)| Some((name.clone(), ended(running)?)))?;
        Some(anyhow!("{name} ended early ({status}){}", self.tail(&name)))
    }

    /// The end of what a process said to its standard error, to be put behind a message.
    fn tail(&self, name: &str) -> String {
        let path = self.errors(name);
        let said = tail(&path, TAIL_BYTES).unwrap_or_default();
        let lines: Vec<_> = said.lines().filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        if last.is_empty() {
            return ", without a word".into();
        }
        let indented: Vec<_> = last
            .iter()
            .map(|line| format!("  {}", wire::text::harmless(line)))
            .collect();
        format!(", its last words were:\n{}", indented.join("\n"))
    }

    /// The end of what every process said.
    pub fn log_tails(&self) -> String {
        let tails = self
            .running
            .keys()
            .map(|name| format!("{name}{}", self.tail(name)));
        tails.collect::<Vec<_>>().join("\n")
    }

    /// Asks all processes to end, children of the hierarchy before their parents, and ends those that
    /// do not.
    pub async fn stop(&mut self) {
        for running in self.running.values_mut() {
            ask_to_end(&mut running.child);
        }
        let all = async {
            for running in self.running.values_mut() {
                // An error means that there is nothing to wait for.
                let _ = running.child.wait().await;
            }
        };
        if tokio::time::timeout(END_TIMEOUT, all).await.is_err() {
            for running in self.running.values_mut() {
                let _ = running.child.kill().await;
            }
        }
        self.running.clear();
    }
}

/// Asks a process to end, as a service manager does.
#[cfg(unix)]
fn ask_to_end(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process};
    // A child that has been waited for has no identifier any more, so no other process is meant.
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = id.and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

#[cfg(not(unix))]
fn ask_to_end(child: &mut Child) {
    let _ = child.start_kill();
}

/// The address in the line with which a process says that it is ready: `… on https://127.0.0.1:8540`.
fn address_in(output: &str) -> Option<String> {
    let whole_lines = output.rsplit_once('\n').map(|(lines, _)| lines)?;
    whole_lines.lines().find_map(|line| {
        let (_, address) = line.rsplit_once(" on ")?;
        let address = address.split_whitespace().next()?;
        let scheme = address.starts_with("https://") || address.starts_with("http://");
        scheme.then(|| address.to_owned())
    })
}

fn head(path: &Path, most: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(path: &Path, most: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(dir: &Path) -> Children {
        Children::new("/bin/sh".into(), dir)
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn the_address_is_taken_from_a_whole_line() {
        let check = |output: &str, expected: Option<&str>| {
            assert_eq!(address_in(output).as_deref(), expected, "{output:?}");
        };
        check(
            "listening on https://127.0.0.1:8540\n",
            Some("https://127.0.0.1:8540"),
        );
        check(
            "serving 5,310 revisions on http://127.0.0.1:1\nmore",
            Some("http://127.0.0.1:1"),
        );
        check("listening on https://127.0.0.1:85", None);
        check("depends on nothing\n", None);
    }

    #[tokio::test]
    async fn a_process_names_its_address_and_ends_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let mut children = shell(dir.path());
        let script = "trap 'echo bye; exit 0' TERM; echo \"at $HEADWATER_X on https://h:1\"; while :; do sleep 0.02; done";
        children
            .start("A", &["-c", script], &[("HEADWATER_X", "x")])
            .unwrap();
        assert_eq!(
            children.address("A", PATIENCE).await.unwrap(),
            "https://h:1"
        );
        children.stop().await;
        let said = fs::read_to_string(dir.path().join("A.out")).unwrap();
        assert_eq!(said, "at x on https://h:1\nbye\n");
    }

    #[tokio::test]
    async fn a_process_that_ends_early_is_named_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut children = shell(dir.path());
        let script = "echo first >&2; echo 'no such parent' >&2; exit 3";
        children.start("PR1", &["-c", script], &[]).unwrap();
        let error = children
            .address("PR1", PATIENCE)
            .await
            .unwrap_err()
            .to_string();
        for part in ["PR1 ended early", "3", "no such parent"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn a_process_that_is_never_ready_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut children = shell(dir.path());
        children.start("A", &["-c", "exec sleep 60"], &[]).unwrap();
        let error = children.address("A", LOOK).await.unwrap_err().to_string();
        assert!(error.contains("A was not ready"), "{error}");
    }
}
