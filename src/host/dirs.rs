//! Where the agent keeps what it knows on this computer, and where profiles lie.

use std::env;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Profiles for the whole computer.
const SYSTEM_PROFILES: &str = "/etc/bkm-agent/profiles";

/// State of the agent for the whole computer.
const SYSTEM_STATE: &str = "/var/lib/bkm-agent";

/// The folder for remembered state: `$STATE_DIRECTORY` (set by systemd), else for the whole computer
/// `/var/lib/bkm-agent`, else `$XDG_STATE_HOME/bkm-agent` or `~/.local/state/bkm-agent`.
pub fn state_dir() -> PathBuf {
    if let Some(dir) = absolute("STATE_DIRECTORY") {
        return dir;
    }
    let own = absolute("XDG_STATE_HOME").or_else(|| home().map(|home| home.join(".local/state")));
    match own {
        Some(dir) if !is_system() => dir.join("bkm-agent"),
        _ => PathBuf::from(SYSTEM_STATE),
    }
}

/// The paths `depth` levels below one of this computer's own folders, in no order; what cannot be listed has none.
pub(crate) fn at_depth(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let walk = WalkDir::new(folder).follow_links(true).min_depth(depth).max_depth(depth);
    walk.into_iter().filter_map(|entry| Some(entry.ok()?.into_path())).collect()
}

/// The folders that hold profiles, in order of precedence: the user's
/// (`$XDG_CONFIG_HOME/bkm-agent/profiles`, else `~/.config/…`), then `/etc/bkm-agent/profiles`; for the
/// whole computer only that.
pub fn profile_dirs() -> Vec<PathBuf> {
    let own = own_profiles().filter(|_| !is_system());
    own.into_iter().chain([PathBuf::from(SYSTEM_PROFILES)]).collect()
}

/// Whether this process acts for the whole computer: root without a home (a system service), or root who
/// has no profiles of its own where the computer has some (`sudo bkm-agent status`).
pub fn is_system() -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    own_profiles().is_none_or(|own| !own.is_dir() && Path::new(SYSTEM_PROFILES).is_dir())
}

/// The folder of the profiles for the whole computer, which an agent for it has to itself.
pub fn system_profiles() -> &'static Path {
    Path::new(SYSTEM_PROFILES)
}

fn own_profiles() -> Option<PathBuf> {
    let config = absolute("XDG_CONFIG_HOME").or_else(|| home().map(|home| home.join(".config")));
    config.map(|config| config.join("bkm-agent/profiles"))
}

/// The home folder of the user, from `$HOME`.
pub fn home() -> Option<PathBuf> {
    absolute("HOME")
}

/// A variable that holds an absolute path; anything else counts as not set (as the XDG base
/// directory specification asks).
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
