//! What a test needs of the machine, and how it says that this is not here.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::this_test;

/// Says that the test cannot run here. `scripts/test.sh` collects these lines.
pub(crate) fn skipped(why: impl Display) {
    println!("skipped: {}: {why}", this_test());
}

/// Says that a part of the test cannot run here.
pub(crate) fn skipped_part(what: impl Display) {
    println!("skipped in part: {}: {what}", this_test());
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Why a test with real drives cannot run here, if so.
pub(crate) fn missing(tools: &[&str]) -> Option<String> {
    if !is_root() {
        return Some("needs root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("needs loop devices".to_owned());
    }
    missing_tool(tools)
}

/// Which of the programs is not here, if one is not.
pub(crate) fn missing_tool(tools: &[&str]) -> Option<String> {
    tools.iter().find(|tool| find_tool(tool).is_none()).map(|tool| format!("needs {tool}"))
}

/// Where a program lies.
pub(crate) fn find_tool(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|dir| PathBuf::from(dir).join(name))
        .find(|path| path.exists())
}
