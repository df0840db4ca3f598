//! The processes that are measured, and those that baselines need: started, listened to, weighed, ended.

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a process may take until it says where it listens.
const READY: Duration = Duration::from_secs(60);
/// How long a process may take to end when it is asked to.
const END: Duration = Duration::from_secs(20);
/// Between two looks at what a process said.
const LOOK: Duration = Duration::from_millis(10);

/// A process of ours. Dropped, it is killed.
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts a program. What it says goes to files in `dir`, which is its working directory too.
    pub fn start(
        name: &str,
        dir: &Path,
        program: &Path,
        arguments: &[&OsStr],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let output = dir.join(format!("{name}.out"));
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("HEADWATER_") {
                command.env_remove(variable);
            }
        }
        let child = command
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&output)?)
            .stderr(std::fs::File::create(dir.join(format!("{name}.err")))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            output,
        })
    }

    /// The address in the line with which a process says that it is ready: `… on https://…`.
    pub async fn address(&mut self) -> anyhow::Result<String> {
        let deadline = Instant::now() + READY;
        loop {
            let said = tokio::fs::read_to_string(&self.output).await?;
            let line = said.lines().find_map(|line| line.rsplit_once(" on http"));
            if let (Some((_, address)), true) = (line, said.ends_with('\n')) {
                return Ok(format!("http{address}"));
            }
            if let Some(status) = self.child.try_wait()? {
                let errors = self.output.with_extension("err");
                let errors = tokio::fs::read_to_string(errors).await?;
                bail!("{} ended early ({status}): {errors}", self.name);
            }
            if Instant::now() >= deadline {
                bail!("{} was not ready in time", self.name);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().context("the process has ended")?;
        let pid = Pid::from_raw(i32::try_from(id)?).context("no process has this number")?;
        kill_process(pid, signal).with_context(|| format!("{} took no signal", self.name))
    }

    /// The most memory that the process ever had resident, in bytes.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        self.resident("VmHWM:")
    }

    /// The memory that the process has resident now, in bytes.
    pub fn memory(&self) -> anyhow::Result<u64> {
        self.resident("VmRSS:")
    }

    fn resident(&self, which: &str) -> anyhow::Result<u64> {
        let id = self.child.id().context("the process has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix(which))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .context("the system does not tell how much memory is resident")?;
        Ok(kibibytes.trim().parse::<u64>()? * 1024)
    }

    /// Asks the process to end, and waits for it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        tokio::time::timeout(END, self.child.wait())
            .await
            .with_context(|| format!("{} did not end in time", self.name))??;
        Ok(())
    }
}

/// Runs a program to its end; an error holds what it said.
pub async fn run<A: AsRef<OsStr>>(
    dir: &Path,
    program: &str,
    arguments: &[A],
) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        bail!(
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
