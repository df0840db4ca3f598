//! Verbs that are run to their end, and what they said.

use crate::patience::LONG;
use crate::process::Launch;
use std::io::Read;
use std::process::{ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::Instant;

/// What a verb said, and how it ended.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Spoken {
    /// Standard output of a verb that went well.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn good(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.output
    }

    /// The one JSON value that a verb printed which went well.
    ///
    /// # Panics
    /// When it did not, or printed something else.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let output = self.good();
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// Standard error of a verb or process that was refused.
    ///
    /// # Panics
    /// When it went well, or does not say `part`.
    #[track_caller]
    pub fn refused(self, part: &str) -> String {
        assert!(!self.status.success(), "{self:?}");
        assert!(
            self.errors.contains(part),
            "{part:?} is not in {:?}",
            self.errors
        );
        self.errors
    }
}

/// Runs the program to its end.
///
/// # Panics
/// When it cannot be started, or takes too long.
pub fn run(launch: &Launch) -> Spoken {
    let mut command = launch.command();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be started");
    let (output, errors) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let deadline = Instant::now() + LONG;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a process that was started") {
            break Some(status);
        }
        if Instant::now() >= deadline {
            child.kill().expect("a process of ours");
            child.wait().expect("a process of ours");
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = |reader: JoinHandle<Vec<u8>>| {
        let bytes = reader.join().expect("a reader does not panic");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (output, errors) = (text(output), text(errors));
    let status = status.unwrap_or_else(|| {
        panic!(
            "{:?} did not end; it said {output:?} and {errors:?}",
            launch.arguments
        )
    });
    Spoken {
        status,
        output,
        errors,
    }
}

/// Reads a pipe to its end, beside us.
fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("a pipe that was asked for");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}
