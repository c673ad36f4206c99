//! A desktop session for tests: a message bus, and a notification service that records.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::needs::find_tool;
use super::process::{Running, wait_for};

/// A session bus with a notification service that needs no display.
pub(crate) struct Desktop {
    pub(crate) address: String,
    service: Service,
    _bus: Bus,
}

/// A session bus alone.
pub(crate) struct Bus {
    pub(crate) address: String,
    _bus: Running,
}

/// A notification service that records, until it is dropped.
pub(crate) struct Service {
    log: PathBuf,
    _service: Running,
}

/// One call of `Notify`, as it was recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// When the call came.
    pub(crate) at: SystemTime,
    /// The notification that it replaces; 0 for a new one.
    pub(crate) replaces: u32,
    /// The whole line.
    pub(crate) line: String,
}

impl Desktop {
    /// Why there is none, if so.
    pub(crate) fn missing() -> Option<String> {
        let mock = Command::new("/usr/bin/python3")
            .args(["-c", "import dbusmock"])
            .stderr(Stdio::null())
            .status();
        if find_tool("dbus-daemon").is_none() || find_tool("dbus-send").is_none() {
            return Some("needs dbus-daemon and dbus-send".to_owned());
        }
        (!mock.is_ok_and(|status| status.success())).then(|| "needs python3-dbusmock".to_owned())
    }

    /// Starts both; `folder` takes the record.
    pub(crate) fn start(folder: &Path) -> Self {
        let bus = Bus::start();
        let service = Service::start(&bus.address, &folder.join("notifications.log"), "{}");
        Self { address: bus.address.clone(), service, _bus: bus }
    }

    /// What was shown so far.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        self.service.shown()
    }
}

impl Bus {
    pub(crate) fn start() -> Self {
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address=1"])
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let output = bus.stdout.take().unwrap();
        let bus = Running(bus);
        BufReader::new(output).read_line(&mut address).unwrap();
        Self { address: address.trim().to_owned(), _bus: bus }
    }
}

impl Service {
    /// Starts it on the bus at `address`. `parameters` are those of dbusmock's template, in JSON.
    pub(crate) fn start(address: &str, log: &Path, parameters: &str) -> Self {
        let service = Command::new("/usr/bin/python3")
            .args(["-m", "dbusmock", "--session", "--template", "notification_daemon"])
            .args(["--parameters", parameters, "--logfile"])
            .arg(log)
            .env("DBUS_SESSION_BUS_ADDRESS", address)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let service = Self { log: log.to_owned(), _service: Running(service) };
        wait_for("the notification service", || {
            let output = Command::new("dbus-send")
                .args(["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/"])
                .arg("org.freedesktop.DBus.NameHasOwner")
                .arg("string:org.freedesktop.Notifications")
                .env("DBUS_SESSION_BUS_ADDRESS", address)
                .output()
                .unwrap();
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            answer.contains("true").then_some(())
        });
        service
    }

    /// What was shown so far.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let mut shown: Vec<Shown> = Vec::new();
        for line in text.lines() {
            if let Some((at, call)) = line.split_once(" Notify \"bkm-agent\" ")
                && let Some((replaces, rest)) = call.split_once(' ')
            {
                let at = UNIX_EPOCH + Duration::from_secs_f64(at.parse().unwrap());
                shown.push(Shown {
                    at,
                    replaces: replaces.parse().unwrap(),
                    line: rest.to_owned(),
                });
            } else if !has_time(line)
                && let Some(last) = shown.last_mut()
            {
                // A body of several lines is recorded as it is.
                last.line.push('\n');
                last.line.push_str(line);
            }
        }
        // A call that is being recorded has no end yet: the time it is to be shown.
        shown.retain(|call| call.line.ends_with(" -1"));
        shown
    }
}

/// Whether `line` begins a record, by its time: seconds since 1970. A text can begin with a figure too.
fn has_time(line: &str) -> bool {
    let time = line.split_once(' ').map_or(line, |(time, _)| time);
    time.len() > 12 && time.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}
