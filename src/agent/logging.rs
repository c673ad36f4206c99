//! Where log lines go: to the journal when the agent is a service, else to standard error; never to
//! both. Called once, by the `daemon` command.

use std::env;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Sets logging up for this process. `RUST_LOG` chooses what is logged; without it, `info`.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let journal = stderr_is_the_journal().then(tracing_journald::layer).and_then(Result::ok);
    // A second start in one process, as in tests, keeps the first.
    let _already = match journal {
        Some(layer) => {
            let layer = layer
                .with_syslog_identifier("bkm-agent".to_owned())
                // So fields are BKM_STATE, BKM_DEVICE…: `journalctl BKM_PROFILE=photos`
                .with_field_prefix(Some("BKM".to_owned()));
            registry.with(layer).try_init()
        }
        None => registry
            .with(
                fmt::layer()
                    .with_writer(io::stderr)
                    .with_ansi(io::stderr().is_terminal())
                    .with_target(false),
            )
            .try_init(),
    };
}

/// Whether systemd connected standard error to the journal. The variable alone says nothing: it is
/// inherited by everything that a service starts.
fn stderr_is_the_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    env::var("JOURNAL_STREAM")
        .is_ok_and(|named| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}
