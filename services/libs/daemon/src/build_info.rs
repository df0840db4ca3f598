//! Which build this is.

/// The version of the program; the same for all of its parts.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, where the build says so by `HEADWATER_COMMIT`.
pub const COMMIT: Option<&str> = option_env!("HEADWATER_COMMIT");

/// Version and commit in one line.
pub fn version_line() -> String {
    match COMMIT {
        Some(commit) => format!("{VERSION} ({commit})"),
        None => VERSION.to_owned(),
    }
}
