//! What a release must not hold.

use std::path::Path;
use std::process::Command;

use stack_tests::binary;

/// Variables that tests read, and the features of builds for them.
const SWITCHES: &[&str] = &[
    "PORTCULLIS_TEST",
    "PORTCULLIS_FAULTS",
    "PORTCULLIS_BIN",
    "weakened for tests",
];

/// A search of ours through a debug build would take minutes.
fn holds(program: &Path, text: &str) -> bool {
    let grep = Command::new("grep")
        .args(["-aqF", "-e", text])
        .arg(program)
        .status()
        .unwrap();
    grep.success()
}

fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_program_knows_no_switch_of_the_tests() {
    for switch in SWITCHES {
        assert!(!holds(binary(), switch), "{switch}");
    }
    // What it does read is found, so that the search can fail.
    assert!(holds(binary(), "PORTCULLIS_MASTER_KEY"));
    let expected = format!("portcullis {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version(binary()), expected);
}

#[test]
#[ignore = "cargo xtask test builds the weakened program and names it"]
fn a_build_that_is_weakened_says_so_with_its_version() {
    let weakened = std::env::var_os("PORTCULLIS_WEAKENED_BIN").unwrap();
    let weakened = Path::new(&weakened);
    assert!(holds(weakened, "weakened for tests"));
    assert!(version(weakened).contains("(weakened for tests, never for use)"));
}
