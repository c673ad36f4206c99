//! A message bus of its own for a test, and the system's services on it.
//!
//! The code under test finds its bus by the environment, which a process cannot change for itself safely: so
//! the test binary runs itself again for the part that talks ([`Bus::again`]).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::needs::find_tool;
use super::process::{Running, run, wait_for};
use super::this_test;

/// Set in the second run.
const SECOND_RUN: &str = "BKM_TEST_BUS";

/// A bus that lets everybody do everything; what may be done is up to the services.
pub(crate) struct Bus {
    pub(crate) address: String,
    services: Vec<Running>,
    _daemon: Running,
}

/// Whether this process is the second run of a test, with a bus.
pub(crate) fn is_second_run() -> bool {
    std::env::var_os(SECOND_RUN).is_some()
}

impl Bus {
    /// Starts one; its socket lies in `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        let socket = folder.join("bus");
        let config = folder.join("bus.conf");
        let text = format!(
            "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context='default'><allow user='*'/><allow own='*'/>\
             <allow send_destination='*'/><allow receive_sender='*'/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        run(Command::new("chmod").arg("755").arg(folder));
        let mut bus = Command::new("dbus-daemon")
            .arg("--config-file")
            .arg(&config)
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = bus.stdout.take().unwrap();
        let daemon = Running(bus);
        BufReader::new(output).read_line(&mut line).unwrap();
        Self { address: line.trim().to_owned(), services: Vec::new(), _daemon: daemon }
    }

    /// Starts a service and waits until it has its name on the bus.
    pub(crate) fn serve(&mut self, name: &str, command: &mut Command) {
        let service = self.on(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.services.push(Running(service.unwrap()));
        self.wait_for_name(name);
    }

    pub(crate) fn wait_for_name(&self, name: &str) {
        wait_for(name, || {
            let mut asked =
                self.call("org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner");
            let answer = asked.arg(format!("string:{name}")).output().unwrap();
            String::from_utf8_lossy(&answer.stdout).contains("true").then_some(())
        });
    }

    /// A call of a method, for arguments of `dbus-send` to follow.
    pub(crate) fn call(&self, service: &str, object: &str, method: &str) -> Command {
        let mut command = Command::new("dbus-send");
        command.arg(format!("--bus={}", self.address)).arg("--print-reply");
        command.arg(format!("--dest={service}")).args([object, method]);
        command
    }

    /// Lets `command` find this bus as both the system's and the session's.
    pub(crate) fn on<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.address)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
    }

    /// Runs the calling test again on this bus, in a process of its own; as the user `uid`, if one is given, with
    /// `folder` as what is the user's.
    #[track_caller]
    pub(crate) fn again(&self, uid: Option<u32>, folder: &Path, drive: &Path) {
        let program = std::env::current_exe().unwrap();
        let mut command = match uid {
            None => Command::new(program),
            Some(uid) => {
                // It may lie where that user cannot go.
                let copy = folder.join("test-program");
                if !copy.exists() {
                    run(Command::new("cp").arg(&program).arg(&copy));
                }
                run(Command::new("chown").arg(uid.to_string()).arg(folder));
                let mut command = Command::new("setpriv");
                let ids = [format!("--reuid={uid}"), format!("--regid={uid}")];
                command.args(ids).arg("--clear-groups").arg(copy);
                command
            }
        };
        command.args(["--exact", &this_test(), "--nocapture"]).env("XDG_RUNTIME_DIR", folder);
        let output = run(self.on(&mut command).env(SECOND_RUN, drive));
        assert!(output.contains("1 passed"), "{output}");
    }
}

/// The drive that a second run is about.
pub(crate) fn drive() -> std::path::PathBuf {
    std::env::var_os(SECOND_RUN).unwrap().into()
}

/// Where Debian and others install UDisks2's service.
pub(crate) fn udisksd() -> Result<Command, String> {
    let places = ["/usr/libexec/udisks2/udisksd", "/usr/lib/udisks2/udisksd"];
    let found = places.into_iter().find(|place| Path::new(place).exists());
    found.map(Command::new).ok_or_else(|| "needs udisks2".to_owned())
}

/// Why a bus with mocks cannot be had here, if so.
pub(crate) fn missing() -> Option<String> {
    ["dbus-daemon", "dbus-send", "setpriv"]
        .into_iter()
        .find(|tool| find_tool(tool).is_none())
        .map(|tool| format!("needs {tool}"))
        .or_else(super::desktop::Desktop::missing)
}

/// A template of python-dbusmock, in place of the real service.
pub(crate) fn mock(template: &str) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-m", "dbusmock", "--system", "--template", template]);
    command
}
