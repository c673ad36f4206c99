//! Where the agent keeps what it knows on this computer, and where profiles lie.

use std::env;
use std::path::PathBuf;

/// The folder for remembered state: `$STATE_DIRECTORY` (set by systemd), else
/// `$XDG_STATE_HOME/bkm-agent`, else `~/.local/state/bkm-agent`; without a home `/var/lib/bkm-agent`.
pub fn state_dir() -> PathBuf {
    if let Some(dir) = absolute("STATE_DIRECTORY") {
        return dir;
    }
    match absolute("XDG_STATE_HOME").or_else(|| home().map(|home| home.join(".local/state"))) {
        Some(dir) => dir.join("bkm-agent"),
        None => PathBuf::from("/var/lib/bkm-agent"),
    }
}

/// The folders that hold profiles, in order of precedence: the user's
/// (`$XDG_CONFIG_HOME/bkm-agent/profiles`, else `~/.config/…`), then `/etc/bkm-agent/profiles`.
pub fn profile_dirs() -> Vec<PathBuf> {
    let user = absolute("XDG_CONFIG_HOME").or_else(|| home().map(|home| home.join(".config")));
    user.into_iter()
        .chain([PathBuf::from("/etc")])
        .map(|dir| dir.join("bkm-agent/profiles"))
        .collect()
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
