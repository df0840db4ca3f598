//! Recorded exchanges and a genuine export, which are no part of the project.

use std::path::{Path, PathBuf};

/// The folder of the recorded data: `HEADWATER_SHARED_DATA`, or `../shared/data` beside the workspace.
/// None where it is absent, which is said.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by the environment where the data is"
)]
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("HEADWATER_SHARED_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    crate::skip::left_out("there is no recorded data: HEADWATER_SHARED_DATA names its folder");
    None
}
