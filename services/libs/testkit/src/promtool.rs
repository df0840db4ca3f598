//! Prometheus' own tool, which checks metrics and alert rules.

use crate::skip::not_installed;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// What `promtool check` says of `input` on its standard input, or of the files that its arguments name; nothing where
/// all is well. None where it is not installed, which is said; in CI that is a failure.
///
/// # Panics
/// When it cannot be talked to.
pub fn check(arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new("promtool");
    command.arg("check").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.stderr(Stdio::piped()).spawn() else {
        not_installed("there is no promtool: install the package prometheus");
        return None;
    };
    let mut pipe = child.stdin.take().expect("a pipe that was asked for");
    // Who names files reads none of it.
    pipe.write_all(input.as_bytes()).ok();
    drop(pipe);
    let output = child
        .wait_with_output()
        .expect("a process that was started");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Some(errors),
        false => Some(format!(
            "{}: {errors}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout)
        )),
    }
}
