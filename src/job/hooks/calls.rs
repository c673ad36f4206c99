//! Runs a profile's hooks before and after a backup, and says what became of them.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::backup::report::RunReport;
use crate::config::profile::Profile;
use crate::host::dirs;
use crate::job::hooks::event::{At, Event};
use crate::job::hooks::facts;
use crate::job::hooks::output::Output;
use crate::job::hooks::process::{self, Ended};
use crate::text::error_chain::in_words;

/// How long the hook after a cancelled run may take. Nobody waits for it where the drive was pulled; where
/// the agent itself ends, systemd ends the hook with it, sooner than this.
const AFTER_STOP: Duration = Duration::from_secs(10);

/// A hook that did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("the hook {:?} of the profile {profile:?}", event.name())]
pub struct HookError {
    /// Which hook.
    pub event: Event,
    /// The profile's name.
    pub profile: String,
    /// What happened.
    #[source]
    pub why: Why,
}

impl HookError {
    /// Whether it was only ended because the run is cancelled.
    pub fn stopped(&self) -> bool {
        matches!(self.why, Why::Stopped)
    }
}

/// What happened to a hook.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// Others could have written the profile.
    #[error(
        "not run, since others could have written it: {} must belong to you or to root, and nobody else may write it (chmod go-w)",
        file.display()
    )]
    Untrusted {
        /// The profile file.
        file: PathBuf,
    },
    /// It could not be started, or not be waited for.
    #[error("{program} cannot be run")]
    Run {
        /// The program.
        program: String,
        /// The system's word.
        source: io::Error,
    },
    /// It ended with another exit code than 0, or by a signal.
    #[error("{program} ended with {}{}", how(*status), said(last))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last line it printed; empty if none.
        last: String,
    },
    /// It took longer than it may, and was ended.
    #[error("{program} was ended after {}{}", crate::text::human::duration(limit.as_secs_f64()), said(last))]
    TooLong {
        /// The program.
        program: String,
        /// How long it may take.
        limit: Duration,
        /// The last line it printed; empty if none.
        last: String,
    },
    /// The run was cancelled, and the hook with it.
    #[error("ended, since the backup was stopped")]
    Stopped,
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// What a hook said last, to be put behind what became of it.
struct Said<'a>(&'a str);

fn said(last: &str) -> Said<'_> {
    Said(last)
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ", having said: {}", self.0) }
    }
}

/// Runs the profile's `before`, if it has one. The run must not be begun after an error.
///
/// Blocks until the hook ended, for `hooks.timeout` at most and some seconds for it to end then; `stop`
/// ends it within two seconds.
pub fn before(profile: &Profile, at: &At<'_>, stop: &AtomicBool) -> Result<(), HookError> {
    let facts = facts::Facts { event: Event::Before, profile, at, report: None, error: None };
    run(&facts, profile.hooks.timeout, stop)
}

/// Runs the profile's `after` or `failed`, as the run came out; an error in it is also logged.
///
/// `outcome` is the report, or in words why there is none. Blocks as [`before`] does. A run that ended because
/// `stop` is set still has its `failed`, which is then given ten seconds at most.
pub fn after(
    profile: &Profile,
    at: &At<'_>,
    outcome: Result<&RunReport, &str>,
    stop: &AtomicBool,
) -> Option<HookError> {
    let (event, report, error) = match outcome {
        Ok(report) => (Event::After, Some(report), None),
        Err(error) => (Event::Failed, None, Some(error)),
    };
    let facts = facts::Facts { event, profile, at, report, error };
    let (limit, never) = (profile.hooks.timeout, AtomicBool::new(false));
    let failed = if stop.load(Ordering::Relaxed) {
        run(&facts, limit.min(AFTER_STOP), &never)
    } else {
        run(&facts, limit, stop)
    };
    let error = failed.err()?;
    tracing::warn!(profile = %profile.name, hook = event.name(), "{}", in_words(&error));
    Some(error)
}

fn run(facts: &facts::Facts<'_>, limit: Duration, stop: &AtomicBool) -> Result<(), HookError> {
    let (event, profile) = (facts.event, facts.profile);
    let hook = match event {
        Event::Before => &profile.hooks.before,
        Event::After => &profile.hooks.after,
        Event::Failed => &profile.hooks.failed,
    };
    let Some((program, arguments)) = hook.split_first() else {
        return Ok(());
    };
    let failed = |why| Err(HookError { event, profile: profile.name.clone(), why });
    if let Some(why) = distrust(&profile.file, program) {
        return failed(why);
    }
    // Like all paths of a profile it may start with `~/`.
    let home = dirs::home().filter(|home| home.is_dir()).unwrap_or_else(|| "/".into());
    let path = match program.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => program.into(),
    };
    let mut command = Command::new(path);
    command.args(arguments).current_dir(home);
    facts.environment(&mut command);
    let log = |line: &str| {
        tracing::info!(profile = %profile.name, hook = event.name(), "{line}");
    };
    let mut output = Output::new(log);
    tracing::info!(profile = %profile.name, hook = event.name(), "runs");
    let ended = process::run(command, &facts.json(), limit, stop, &mut output);
    let last = output.finish();
    let program = crate::text::sanitize::line(program);
    match ended {
        Ok(Ended::By(status)) if status.success() => Ok(()),
        // systemd tells all processes of the service to end, and it may have been faster than we.
        Ok(Ended::By(_)) if stop.load(Ordering::Relaxed) => failed(Why::Stopped),
        Ok(Ended::By(status)) => failed(Why::Failed { program, status, last }),
        Ok(Ended::TooLong) => failed(Why::TooLong { program, limit, last }),
        Ok(Ended::Stopped) => failed(Why::Stopped),
        Err(source) => failed(Why::Run { program, source }),
    }
}

/// Why the file's hooks are not run: whoever can write it would have programs run as this user.
fn distrust(file: &Path, program: &str) -> Option<Why> {
    let meta = match std::fs::metadata(file) {
        Ok(meta) => meta,
        Err(source) => {
            return Some(Why::Run { program: crate::text::sanitize::line(program), source });
        }
    };
    let me = rustix::process::geteuid().as_raw();
    let owned = meta.uid() == 0 || meta.uid() == me;
    (!owned || meta.mode() & 0o022 != 0).then(|| Why::Untrusted { file: file.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_files_that_nobody_else_can_write_name_hooks() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, trusted) in [(0o600, true), (0o644, true), (0o664, false), (0o646, false)] {
            std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(distrust(file.path(), "p").is_none(), trusted, "{mode:o}");
        }
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(file.path(), Some(65_534), None).unwrap();
            assert!(matches!(distrust(file.path(), "p"), Some(Why::Untrusted { .. })));
        } else {
            println!("skipped: only root can give files away");
        }
        assert!(matches!(distrust(Path::new("/none"), "p"), Some(Why::Run { .. })));
    }
}
