//! One process: started, listened to, killed. What it says goes to files, which are shown when the test
//! fails.

use crate::patience::{LONG, until};
use crate::program;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Lines of a process that are shown when its test fails.
const SHOWN_LINES: usize = 60;

/// What is started: arguments and variables of `headwater`.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// What follows the program's name.
    pub arguments: Vec<String>,
    /// Secrets and other variables.
    pub variables: Vec<(String, String)>,
    /// Another build of the program than the one that tests are built with.
    pub program: Option<PathBuf>,
    /// The command that starts the program, where it is not started directly: the program and its
    /// arguments follow. It must become the program (`exec`), so that a signal reaches that.
    pub within: Vec<String>,
}

impl Launch {
    /// Arguments, one by one.
    pub fn of<S: Into<String>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self {
            arguments: arguments.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// One more argument.
    #[must_use]
    pub fn with(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One more variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Whether the process is told to listen.
    pub fn listens(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--listen")
    }

    /// The command, in an environment that holds no other settings of Headwater.
    pub fn command(&self) -> Command {
        let program = match &self.program {
            Some(program) => program,
            None => program::headwater(),
        };
        let mut command = match self.within.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        // Settings of the person who runs the tests must not reach the processes.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HEADWATER_") {
                command.env_remove(name);
            }
        }
        command.args(&self.arguments).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A process of the program. Killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    errors: PathBuf,
    /// Where this start's own words begin in the two files.
    begins: (usize, usize),
    ended: Option<ExitStatus>,
}

fn length(path: &Path) -> usize {
    path.metadata()
        .map_or(0, |file| usize::try_from(file.len()).unwrap_or(0))
}

fn append(path: &Path) -> File {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.expect("a file for what a process says")
}

impl Process {
    /// Starts it. What it says goes to `NAME.out` and `NAME.err` in `folder`, behind what is there.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, folder: &Path, launch: &Launch) -> Self {
        let output = folder.join(format!("{name}.out"));
        let errors = folder.join(format!("{name}.err"));
        let begins = (length(&output), length(&errors));
        let mut command = launch.command();
        command.stdout(append(&output)).stderr(append(&errors));
        let child = command.spawn().expect("the program can be started");
        Self {
            name: name.to_owned(),
            child,
            output,
            errors,
            begins,
            ended: None,
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn said(path: &Path, begin: usize) -> String {
        let bytes = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(begin..).unwrap_or_default()).into_owned()
    }

    /// What it said on standard output since it was started.
    pub fn output(&self) -> String {
        Self::said(&self.output, self.begins.0)
    }

    /// What it said on standard error since it was started.
    pub fn errors(&self) -> String {
        Self::said(&self.errors, self.begins.1)
    }

    /// Waits for a whole line of standard output that holds `text`, and gives the line.
    ///
    /// # Panics
    /// When the process ends without, or takes too long.
    pub async fn says(&mut self, text: &str) -> String {
        let what = format!("{} says {text:?}", self.name);
        until(&what, LONG, || {
            let output = self.output();
            let whole = output.rsplit_once('\n').map_or("", |(lines, _)| lines);
            let found = whole.lines().find(|line| line.contains(text));
            let answer = match (found, self.has_ended()) {
                (Some(line), _) => Ok(line.to_owned()),
                (None, None) => Err(format!("it said {output:?}")),
                (None, Some(status)) => {
                    panic!("{what}: it ended instead ({status}): {}", self.errors())
                }
            };
            std::future::ready(answer)
        })
        .await
    }

    /// The address in the line with which it says that it is ready: `… on http…`.
    ///
    /// # Panics
    /// When the process ends without, or takes too long.
    pub async fn address(&mut self) -> String {
        let line = self.says(" on http").await;
        let (_, address) = line.rsplit_once(" on ").expect("it was looked for");
        address.trim().to_owned()
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a process that was started");
        }
        self.ended
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes too long.
    pub async fn ends(&mut self, most: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        until(&what, most, || {
            let ended = self.has_ended();
            std::future::ready(ended.ok_or_else(|| format!("it runs; {}", self.errors())))
        })
        .await
    }

    /// Sends a signal to the process, if it runs.
    pub fn signal(&mut self, signal: Signal) {
        if self.has_ended().is_some() {
            return;
        }
        // Not waited for yet, so the number is still its own.
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.expect("the number of a process");
        kill_process(id, signal).expect("a signal to a process of ours");
    }

    /// Kills it as a power cut does (SIGKILL), and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended = Some(self.child.wait().expect("a process that was started"));
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    ///
    /// # Panics
    /// When it takes too long.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ends(LONG).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            for (stream, path) in [("output", &self.output), ("errors", &self.errors)] {
                show(&format!("{} of {}", stream, self.name), path);
            }
        }
    }
}

/// Shows the end of a file, for a test that fails.
pub fn show(what: &str, path: &Path) {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    eprintln!("--- {what} ({}):", path.display());
    last.iter().for_each(|line| eprintln!("    {line}"));
}
