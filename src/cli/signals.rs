//! Ctrl-C and SIGTERM: the first asks for a stop at the next safe point, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::error::{CliError, Exit};

/// A flag that becomes true when the program is to stop.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>, CliError> {
    let failed = |e: std::io::Error| CliError::new(&e, Exit::Failed);
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        (interrupt, signal(SignalKind::terminate()).map_err(failed)?)
    };
    std::thread::Builder::new()
        .name("bkm-signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                for asked_before in [false, true] {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if asked_before {
                        // A pulled plug is no worse: the next run recovers.
                        std::process::exit(Exit::Stopped as i32);
                    }
                    flag.store(true, Ordering::Relaxed);
                    crate::cli::output::say(
                        "stopping at the next safe point (once more to stop at once)",
                    );
                }
            });
        })
        .map_err(failed)?;
    Ok(stop)
}
