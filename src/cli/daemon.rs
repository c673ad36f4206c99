//! `bkm-agent daemon`: listen and back up. What the systemd unit runs.

use crate::agent::settings::{MOUNT_WAIT, Settings};
use crate::agent::{daemon, logging};
use crate::cli::error::Exit;
use crate::host::dirs;

/// Listen for drives and back up to them until stopped.
#[derive(Debug, clap::Args)]
pub struct DaemonArgs {}

/// Runs the agent until SIGTERM or SIGINT; what it has to say goes to the log.
pub fn daemon(_args: &DaemonArgs) -> Exit {
    logging::start();
    let settings = Settings {
        profile_dirs: dirs::profile_dirs(),
        state_dir: dirs::state_dir(),
        mount_wait: MOUNT_WAIT,
        system: dirs::is_system(),
    };
    match daemon::run(settings) {
        Ok(()) => Exit::Done,
        Err(error) => {
            tracing::error!("{}", crate::text::error_chain::in_words(&error));
            Exit::Failed
        }
    }
}
