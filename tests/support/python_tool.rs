//! Repositories in the shape of the Python backup-manager, made and read by small scripts beside this file.
//!
//! Needs `python3`: [`missing`] says so where there is none.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Why these tests cannot run here, if so.
pub(crate) fn missing() -> Option<&'static str> {
    let found = Command::new("python3").arg("--version").output();
    (!found.is_ok_and(|output| output.status.success())).then_some("needs python3")
}

fn script(name: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name))
        .env("TZ", "UTC");
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
