//! Finding the program that is tested.
//!
//! Cargo names a program to the tests of its own package only. So the program is taken from where Cargo
//! puts it, beside the test's own executable, but never when it is older than anything that it was built
//! from: Cargo's list of that (`headwater.d`) lies beside it. Then, and where it is missing, Cargo builds
//! it in the test's own profile; Cargo's lock keeps tests that do so at the same time apart. A run of the
//! whole workspace has built it already, because the package `headwater` has a test of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The program `headwater`, built from the sources as they are now.
///
/// # Panics
/// When it cannot be built.
pub fn headwater() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows its own executable");
        // …/target/PROFILE/deps/NAME-HASH
        let folder = test
            .ancestors()
            .nth(2)
            .expect("Cargo's folder of a profile");
        let program = folder.join(format!("headwater{}", std::env::consts::EXE_SUFFIX));
        if !is_current(&program) {
            build(folder);
        }
        assert!(program.is_file(), "{} was not built", program.display());
        program
    })
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// Whether the program is there and newer than all that it was built from.
fn is_current(program: &Path) -> bool {
    let Some(built) = changed(program) else {
        return false;
    };
    let Ok(list) = std::fs::read_to_string(program.with_extension("d")) else {
        return false;
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let manifests = ["Cargo.toml", "Cargo.lock"].map(|file| workspace.join(file));
    sources(&list)
        .into_iter()
        .chain(manifests)
        .all(|source| changed(&source).is_some_and(|changed| changed <= built))
}

/// The files of one of Cargo's lists, `PROGRAM: SOURCE SOURCE …`, where blanks in names are written `\ `.
fn sources(list: &str) -> Vec<PathBuf> {
    let mut sources = vec![String::new()];
    let mut letters = list.lines().next().unwrap_or_default().chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' => sources.push(String::new()),
            '\\' => sources
                .last_mut()
                .expect("never empty")
                .extend(letters.next()),
            letter => sources.last_mut().expect("never empty").push(letter),
        }
    }
    // The first is the program itself.
    sources.into_iter().skip(1).map(PathBuf::from).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo says by the environment which Cargo it is"
)]
fn build(folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(name) => name,
    };
    let mut command = Command::new(cargo);
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.."))
        .args([
            "build",
            "--quiet",
            "--package",
            "headwater",
            "--bin",
            "headwater",
        ])
        .args(["--profile", profile]);
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    let status = command.status().expect("Cargo can be started");
    assert!(status.success(), "headwater cannot be built: {status}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_sources_is_read_with_blanks_in_names() {
        let list = "/t/debug/headwater: /a/main.rs /a\\ b/lib.rs\n\n/x: /y\n";
        let expected = ["/a/main.rs", "/a b/lib.rs"].map(PathBuf::from);
        assert_eq!(sources(list), expected);
    }

    #[test]
    fn a_program_without_a_list_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("headwater");
        assert!(!is_current(&program));
        std::fs::write(&program, "").unwrap();
        assert!(!is_current(&program));
        std::fs::write(folder.path().join("headwater.d"), "headwater: /gone.rs\n").unwrap();
        assert!(!is_current(&program));
    }
}
