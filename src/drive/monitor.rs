//! Listens to udev, to changes of the mount table and of some folders on a thread of its own.
//!
//! The thread waits in one level-triggered `poll(2)` without a time limit, so it costs nothing while
//! nothing happens. It must never lose an event in silence: when the kernel dropped some (its buffer
//! was full), everything that is present is told anew. libudev's objects are made, used and dropped
//! in that thread; only plain values leave it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::fs::inotify;
use rustix::io::Errno;
use tokio::sync::mpsc::UnboundedSender;

use crate::drive::device::{self, Device};
use crate::drive::mountinfo;

/// Size of the kernel's buffer for events, in bytes; capped by `net.core.rmem_max`. An event is about
/// 1 KiB, so this holds a storm of a thousand.
pub const RECEIVE_BUFFER: usize = 1 << 20;

/// What udev says happened to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It appeared.
    Add,
    /// It or its content is another.
    Change,
    /// It is gone.
    Remove,
    /// Something that does not matter here (`bind`, `move`, `online`…).
    Other,
}

impl Action {
    /// The action that udev names so.
    pub fn from_name(name: &str) -> Self {
        match name {
            "add" => Self::Add,
            "change" => Self::Change,
            "remove" => Self::Remove,
            _ => Self::Other,
        }
    }
}

/// What the monitor tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something happened to one device.
    Device {
        /// What happened.
        action: Action,
        /// The device as it is now.
        device: Box<Device>,
    },
    /// These and no other devices hold a file system now. The first event, and told again after
    /// events were lost.
    Present(Vec<Device>),
    /// Something was mounted or unmounted.
    MountsChanged,
    /// A file in one of the watched folders was written, came or went.
    FilesChanged,
}

/// Why nothing can be listened to.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen to udev: {what}: {source}")]
pub struct MonitorError {
    what: &'static str,
    #[source]
    source: io::Error,
}

/// A running monitor; dropping it ends its thread.
#[derive(Debug)]
pub struct Monitor {
    wake: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Starts to listen; `events` gets what happens until the monitor or the receiver is dropped. `folders`
    /// are watched for changes of the files in them; one that is not there is not.
    pub fn start(
        folders: &[PathBuf],
        events: UnboundedSender<Event>,
    ) -> Result<Self, MonitorError> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| failed("eventfd")(errno.into()))?;
        let woken = wake.try_clone().map_err(failed("eventfd"))?;
        let watch = watch(folders).map_err(failed("inotify"))?;
        let (report, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("udev".to_owned())
            .spawn(move || match Source::open(RECEIVE_BUFFER) {
                Ok(source) => {
                    let _nobody = report.send(Ok(()));
                    source.listen(&woken, &watch, &events);
                }
                Err(error) => {
                    let _nobody = report.send(Err(error));
                }
            })
            .map_err(failed("thread"))?;
        let monitor = Self { wake, thread: Some(thread) };
        match started.recv() {
            Ok(Ok(())) => Ok(monitor),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(failed("thread")(io::Error::other("it ended"))),
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _full = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Watches the files in `folders`. Only whole files are told of: not those that are still written.
fn watch(folders: &[PathBuf]) -> io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let what = inotify::WatchFlags::CLOSE_WRITE
        | inotify::WatchFlags::MOVED_FROM
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::DELETE
        | inotify::WatchFlags::ONLYDIR;
    for folder in folders {
        match inotify::add_watch(&watch, folder, what) {
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => tracing::warn!(
                "{}: changes are not noticed ({errno}); send SIGHUP after one",
                folder.display()
            ),
        }
    }
    Ok(watch)
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> MonitorError {
    move |source| MonitorError { what, source }
}

/// udev's socket and the mount table, as the monitor's thread holds them.
pub struct Source {
    socket: udev::MonitorSocket,
    mounts: File,
}

impl Source {
    /// Opens both; `receive_buffer` in bytes. From now on the kernel keeps events.
    pub fn open(receive_buffer: usize) -> Result<Self, MonitorError> {
        // "udev", not "kernel": labels and UUIDs exist only after udev's rules have run.
        let socket = udev::MonitorBuilder::new()
            .and_then(|builder| builder.match_subsystem("block"))
            .map_err(failed("monitor"))?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, receive_buffer)
            .map_err(|errno| failed("receive buffer")(errno.into()))?;
        let socket = socket.listen().map_err(failed("socket"))?;
        let mounts = File::open(mountinfo::PATH).map_err(failed(mountinfo::PATH))?;
        Ok(Self { socket, mounts })
    }

    /// Tells `events` what is present and then what happens, until `wake` can be read or nobody
    /// listens any more.
    fn listen(&self, wake: &OwnedFd, watch: &OwnedFd, events: &UnboundedSender<Event>) {
        // Listening began before this list is made: a drive plugged in meanwhile is told twice
        // rather than never.
        let mut told = Vec::from_iter(present());
        loop {
            for event in told.drain(..) {
                if events.send(event).is_err() {
                    return;
                }
            }
            let mut fds = [
                PollFd::new(&self.socket, PollFlags::IN),
                // The mount table can always be read: asking for IN would spin.
                PollFd::new(&self.mounts, PollFlags::PRI),
                PollFd::new(wake, PollFlags::IN),
                PollFd::new(watch, PollFlags::IN),
            ];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => {
                    tracing::error!("the udev monitor ends: poll: {errno}");
                    return;
                }
            }
            let [socket, mounts, woken, files] = fds.map(|fd| fd.revents());
            if !woken.is_empty() {
                return;
            }
            if mounts.intersects(PollFlags::PRI | PollFlags::ERR) {
                told.push(Event::MountsChanged);
            }
            if !files.is_empty() {
                // Which file it was is not asked: all are read anew.
                let mut names = [0; 4096];
                while rustix::io::read(watch, &mut names).is_ok_and(|read| read > 0) {}
                told.push(Event::FilesChanged);
            }
            if !socket.is_empty() && self.drain(&mut told) {
                tracing::warn!("udev events were lost; looking at all drives again");
                told.extend(present());
            }
        }
    }

    /// Moves all events that wait into `out`; true if the kernel had to drop some.
    pub fn drain(&self, out: &mut Vec<Event>) -> bool {
        // Reading the error clears it; uncleared, the next receive would fail with it.
        let overrun = |error: rustix::io::Result<()>| matches!(error, Err(Errno::NOBUFS));
        let mut lost = rustix::net::sockopt::socket_error(self.socket.as_fd()).is_ok_and(overrun);
        loop {
            for event in self.socket.iter() {
                let name = event.action().unwrap_or_default().to_string_lossy();
                out.push(Event::Device {
                    action: Action::from_name(&name),
                    device: Box::new(Device::from_udev(&event)),
                });
            }
            // The iterator ends on every failure alike; an overrun in the middle of it leaves only
            // errno behind, and events that still wait.
            if io::Error::last_os_error().raw_os_error() != Some(Errno::NOBUFS.raw_os_error()) {
                return lost;
            }
            lost = true;
        }
    }
}

/// All that is present, as one event. None if udev cannot be asked: an empty list would mean that
/// every drive was pulled.
fn present() -> Option<Event> {
    match device::present() {
        Ok(list) => Some(Event::Present(list)),
        Err(error) => {
            tracing::error!("cannot list the drives that are present: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn tells_what_is_present_first_then_of_files_and_ends_when_dropped() {
        let (send, mut events) = tokio::sync::mpsc::unbounded_channel();
        let dir = tempfile::tempdir().unwrap();
        let folders = [dir.path().join("none"), dir.path().to_owned()];
        let monitor = Monitor::start(&folders, send).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut next = || {
            let patience = Duration::from_secs(10);
            runtime.block_on(async { tokio::time::timeout(patience, events.recv()).await })
        };
        let first = next();
        assert!(matches!(first, Ok(Some(Event::Present(_)))), "{first:?}");
        std::fs::write(dir.path().join("docs.json"), "{}").unwrap();
        // Other tests' drives may come and go meanwhile.
        while next().unwrap().unwrap() != Event::FilesChanged {}
        drop(monitor);
        while events.blocking_recv().is_some() {}
    }
}
