//! What a test leaves out, because the machine has not what it takes: said where `scripts/test` lists it.

use std::io::Write as _;

/// Names the file to which what was left out is written, a line each.
const LIST: &str = "HEADWATER_SKIPPED";

/// Says that a test, or a part of it, is left out.
///
/// # Panics
/// When the list cannot be written.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by the environment where to say it"
)]
pub fn left_out(why: &str) {
    eprintln!("SKIPPED: {why}");
    if let Some(list) = std::env::var_os(LIST) {
        let list = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(list);
        let mut list = list.expect("the list of what was left out");
        writeln!(list, "{why}").expect("the list of what was left out");
    }
}

/// Says that a test is left out for want of what `scripts/prepare` installs. In CI, where that ran, it is a failure.
///
/// # Panics
/// In CI.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by the environment whether it may be skipped"
)]
pub fn not_installed(why: &str) {
    let ci = std::env::var("CI").is_ok_and(|ci| !ci.is_empty());
    assert!(!ci, "{why}, and in CI nothing of that is skipped");
    left_out(why);
}
