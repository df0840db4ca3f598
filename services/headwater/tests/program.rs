//! The program as it is typed. This test is also why Cargo builds the program when it builds the tests
//! of the whole workspace; the suites in `tests/` run it.

use std::process::Command;

#[test]
fn the_program_says_which_version_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said.trim(),
        concat!("headwater ", env!("CARGO_PKG_VERSION"))
    );
}
