//! Runs one program to its end, however it behaves: it may not read its input, flood its output, hang,
//! ignore SIGTERM, or leave children that hold its output open.
//!
//! It blocks its thread, but for no longer than the limits allow, unless the kernel holds the program
//! where SIGKILL does not reach it (in a drive that dies).

use std::fs::File;
use std::io::{self, PipeReader, Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::job::hooks::output::Output;

/// From SIGTERM to SIGKILL after a timeout.
const KILL_AFTER: Duration = Duration::from_secs(5);

/// The same when the run is cancelled: the agent has 4 s in all to end.
const KILL_AFTER_STOP: Duration = Duration::from_secs(2);

/// How long output is still read after the program ended: what it started may hold the pipe for days.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// How often the stop flag, which wakes nobody, is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How a program ended.
pub(super) enum Ended {
    /// By itself.
    By(ExitStatus),
    /// By us: it took too long.
    TooLong,
    /// By us: the run is cancelled.
    Stopped,
}

/// Runs `command` with `input` on its standard input; what it prints goes to `output`.
pub(super) fn run<L: FnMut(&str)>(
    mut command: Command,
    input: &[u8],
    limit: Duration,
    stop: &AtomicBool,
    output: &mut Output<L>,
) -> io::Result<Ended> {
    if stop.load(Ordering::Relaxed) {
        return Ok(Ended::Stopped);
    }
    // A file in memory, not a pipe: nobody has to write while the program does not read.
    let mut stdin = File::from(rustix::fs::memfd_create(c"bkm-hook", MemfdFlags::CLOEXEC)?);
    stdin.write_all(input)?;
    stdin.rewind()?;
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    command.stdin(stdin).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let mut child = command.spawn()?;
    // Our ends of the pipe, without which it has no end.
    drop(command);
    let waited = wait(&child, reader, limit, stop, output);
    if !matches!(waited, Ok(None)) {
        // The program was not waited for yet, so its number is still its own.
        let _none_left = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
    }
    let status = child.wait()?;
    Ok(waited?.unwrap_or(Ended::By(status)))
}

/// Waits until the program has ended (`None`; it is not waited for in the sense of wait(2)), or must be
/// killed with its group.
fn wait<L: FnMut(&str)>(
    child: &Child,
    mut reader: PipeReader,
    limit: Duration,
    stop: &AtomicBool,
    output: &mut Output<L>,
) -> io::Result<Option<Ended>> {
    let group = Pid::from_child(child);
    let process = rustix::process::pidfd_open(group, PidfdFlags::empty())?;
    let (mut runs, mut prints) = (true, true);
    let mut ending = None;
    let mut until = Instant::now() + limit;
    let mut buffer = vec![0; 16 << 10];
    while runs || prints {
        let now = Instant::now();
        let stopped = stop.load(Ordering::Relaxed);
        if runs && ending.is_none() && (stopped || now >= until) {
            let (why, patience) = if stopped {
                (Ended::Stopped, KILL_AFTER_STOP)
            } else {
                (Ended::TooLong, KILL_AFTER)
            };
            ending = Some(why);
            until = now + patience;
            let _none_left = rustix::process::kill_process_group(group, Signal::TERM);
        } else if now >= until {
            break;
        }
        let mut fds = Vec::with_capacity(2);
        if runs {
            fds.push(PollFd::new(&process, PollFlags::IN));
        }
        if prints {
            fds.push(PollFd::new(&reader, PollFlags::IN));
        }
        let patience = until.saturating_duration_since(now).min(LOOK);
        match poll(&mut fds, Some(&Timespec::try_from(patience).unwrap_or_default())) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if runs && fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
            runs = false;
            // Its children have the rest of the patience if they were told to end.
            if ending.is_none() {
                until = Instant::now() + LAST_OUTPUT;
            }
        }
        match reader.read(&mut buffer) {
            Ok(0) => prints = false,
            Ok(length) => output.take(buffer.get(..length).unwrap_or_default()),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
    Ok(ending)
}
