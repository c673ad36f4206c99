//! `bkm-agent daemon`: listen and back up. What the systemd unit runs.

use super::Exit;
use crate::agent::{self, MOUNT_WAIT, Settings};
use crate::state_dir;

/// Listen for drives and back up to them until stopped.
#[derive(Debug, clap::Args)]
pub struct DaemonArgs {}

/// Runs the agent until SIGTERM or SIGINT; what it has to say goes to the log.
pub fn daemon(_args: &DaemonArgs) -> Exit {
    agent::logging::start();
    let settings = Settings {
        profile_dirs: state_dir::profile_dirs(),
        state_dir: state_dir::state_dir(),
        mount_wait: MOUNT_WAIT,
        system: state_dir::is_system(),
    };
    match agent::run(settings) {
        Ok(()) => Exit::Done,
        Err(error) => {
            tracing::error!("{}", crate::in_words::in_words(&error));
            Exit::Failed
        }
    }
}
