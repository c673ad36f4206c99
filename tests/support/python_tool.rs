//! Repositories in the shape of the Python backup-manager, made and read by small scripts beside this file.
//!
//! Needs `python3`: [`is_here`] says so where there is none.

use std::path::Path;
use std::process::{Command, Output};

use super::needs::skipped;

/// Whether these tests can run here; if not, the reason is printed.
pub(crate) fn is_here() -> bool {
    let found = Command::new("python3").arg("--version").output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        skipped("needs python3");
    }
    found
}

fn script(name: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(super::project_file("tests/support").join(name)).env("TZ", "UTC");
    command
}

#[track_caller]
fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// One run of the tool.
#[track_caller]
pub(crate) fn run(source: &Path, repository: &Path, name: &str, options: &[&str]) {
    let mut command = script("backup_manager.py");
    text(command.arg(source).arg(repository).arg(name).args(options).output().unwrap());
}

/// What the tool's reader prints.
#[track_caller]
pub(crate) fn read(repository: &Path, args: &[&str]) -> String {
    text(script("backup_tool.py").arg(repository).args(args).output().unwrap())
}
