//! The agent as a process, with folders of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::process::{PATIENCE, Running, run, wait_for};

/// Where no bus is.
pub(crate) const NO_BUS: &str = "unix:path=/nonexistent/bus";

/// Mounts that agents made on this machine.
pub(crate) fn mounts_of_ours() -> usize {
    std::fs::read_dir("/run/bkm-agent").map_or(0, Iterator::count)
}

/// What a process holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Resident memory in KiB; most of it is the program itself, as far as it was used.
    pub(crate) resident: u64,
    /// What of it is the process's own: heap and stacks.
    pub(crate) own: u64,
    /// Open files, sockets and the like.
    pub(crate) handles: Vec<String>,
    pub(crate) threads: usize,
}

/// Reads a log as it grows; each line once, so that a long one costs no more than a short one.
pub(crate) struct Follow {
    log: BufReader<File>,
    /// A line that is not whole yet.
    line: String,
}

impl Follow {
    /// Waits for the next line that holds all of `words`.
    #[track_caller]
    pub(crate) fn wait(&mut self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.log.read_line(&mut self.line).unwrap();
            if self.line.ends_with('\n') {
                let line = std::mem::take(&mut self.line);
                if words.iter().all(|word| line.contains(word)) {
                    return line;
                }
            } else {
                assert!(Instant::now() < deadline, "waited in vain for a line with {words:?}");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// A running `bkm-agent daemon`.
pub(crate) struct Agent {
    process: Running,
    log: PathBuf,
    folder: PathBuf,
    told: Arc<Mutex<String>>,
}

impl Agent {
    /// What it may hold while it is idle, in KiB: as it is released (12 MB) and with everything that a debug build
    /// adds.
    pub(crate) const MOST_RESIDENT: u64 = if cfg!(debug_assertions) { 32_000 } else { 12_000 };

    /// Writes the profile of the drive labelled `label`, with a source of its own.
    pub(crate) fn drive_profile(dir: &Path, label: &str, more: &serde_json::Value) {
        let source = dir.join(label);
        std::fs::create_dir_all(&source).unwrap();
        std::fs::write(source.join("a.txt"), label).unwrap();
        let mut profile =
            serde_json::json!({ "drive": { "label": label }, "src": source, "dist": "B" });
        let fields = profile.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        Self::own_profile(dir, &label.to_lowercase(), &profile);
    }

    /// Writes a profile for the drive labelled `label`, with a source of two files.
    pub(crate) fn profile(folder: &Path, name: &str, label: &str) {
        let source = folder.join("source");
        std::fs::create_dir_all(source.join("sub")).unwrap();
        std::fs::write(source.join("a.txt"), "one").unwrap();
        std::fs::write(source.join("sub/b.txt"), "two").unwrap();
        let profile = serde_json::json!({
            "drive": { "label": label }, "src": source, "dist": "Backups"
        });
        Self::own_profile(folder, name, &profile);
    }

    /// Writes this profile.
    pub(crate) fn own_profile(folder: &Path, name: &str, profile: &serde_json::Value) {
        let profiles = folder.join("config/bkm-agent/profiles");
        std::fs::create_dir_all(&profiles).unwrap();
        std::fs::write(profiles.join(format!("{name}.json")), profile.to_string()).unwrap();
    }

    /// Starts the agent with the profiles in `folder` and waits until it is ready.
    pub(crate) fn start(folder: &Path, bus: &str) -> Self {
        Self::start_by(command(folder), folder, bus)
    }

    /// The same as the user `uid`, who is nobody's user and owns `folder` from now on.
    pub(crate) fn start_as(uid: u32, folder: &Path, bus: &str) -> Self {
        run(Command::new("chown").arg("-R").arg(format!("{uid}:{uid}")).arg(folder));
        // The program may lie where that user cannot go.
        let program = folder.join("bkm-agent");
        run(Command::new("cp").arg(super::program()).arg(&program));
        let mut command = with_folders(Command::new("setpriv"), folder);
        let ids = [format!("--reuid={uid}"), format!("--regid={uid}")];
        command.args(ids).arg("--clear-groups").arg(program);
        Self::start_by(command, folder, bus)
    }

    /// As a root that file permissions bind as anyone else.
    pub(crate) fn start_bound(folder: &Path, bus: &str) -> Self {
        let mut command = with_folders(Command::new("setpriv"), folder);
        command.arg("--bounding-set=-dac_override,-dac_read_search").arg(super::program());
        Self::start_by(command, folder, bus)
    }

    fn start_by(mut command: Command, folder: &Path, bus: &str) -> Self {
        let log = folder.join("agent.log");
        let socket = folder.join("notify.sock");
        // One of an agent before is still there.
        let _none = std::fs::remove_file(&socket);
        let systemd = UnixDatagram::bind(&socket).unwrap();
        run(Command::new("chmod").arg("666").arg(&socket));
        let process = command
            .arg("daemon")
            .env("DBUS_SESSION_BUS_ADDRESS", bus)
            .env("NOTIFY_SOCKET", &socket)
            .stderr(File::create(&log).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self {
            process: Running(process),
            log,
            folder: folder.to_owned(),
            told: Arc::default(),
        };
        // As systemd does: who tells waits until there is room for it.
        let told = Arc::clone(&agent.told);
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(read) = systemd.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..read]);
                told.lock().unwrap().extend([&*text, "\n"]);
            }
        });
        agent.wait_told("READY=1");
        agent
    }

    /// Waits until the agent told systemd so.
    pub(crate) fn wait_told(&self, what: &str) {
        wait_for(what, || self.told.lock().unwrap().contains(what).then_some(()));
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How many lines of the log hold all of `words`.
    pub(crate) fn count(&self, words: &[&str]) -> usize {
        let log = self.log();
        let holds_all = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(holds_all).count()
    }

    /// Waits until one line of the log holds all of `words`.
    #[track_caller]
    pub(crate) fn wait_logged(&self, words: &[&str]) {
        self.wait_logged_times(1, words);
    }

    /// Reads its log from here on.
    pub(crate) fn follow(&self) -> Follow {
        let mut file = File::open(&self.log).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        Follow { log: BufReader::new(file), line: String::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        super::process::signal(&self.process.0, signal);
    }

    /// What it holds once it is idle: its two threads are left, those that ran backups have ended, and both
    /// slept while it was looked at, so that none had a file open for a moment.
    pub(crate) fn idle(&self) -> Held {
        wait_for("the agent to be idle", || {
            let before = self.sleeps();
            let held = self.held();
            let idle = before.len() == 2 && before.iter().all(|thread| thread.contains("sleeping"));
            (idle && self.sleeps() == before).then_some(held)
        })
    }

    /// Of each thread its name, state, and how often it went to sleep so far.
    pub(crate) fn sleeps(&self) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        // One may end meanwhile.
        let status = |thread: PathBuf| std::fs::read_to_string(thread.join("status")).ok();
        let told = ["Name:", "State:", "voluntary_ctxt_switches:"];
        let short = |status: String| {
            let lines =
                status.lines().filter(|line| told.iter().any(|word| line.starts_with(word)));
            lines.collect::<Vec<_>>().join(" ")
        };
        threads.filter_map(|thread| status(thread.unwrap().path()).map(short)).collect()
    }

    /// What it holds now.
    pub(crate) fn held(&self) -> Held {
        let proc = PathBuf::from(format!("/proc/{}", self.pid()));
        let memory = std::fs::read_to_string(proc.join("smaps_rollup")).unwrap();
        let kib = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        Held {
            resident: kib("Rss:"),
            own: kib("Anonymous:"),
            handles: handles(&proc.join("fd")),
            threads: std::fs::read_dir(proc.join("task")).unwrap().count(),
        }
    }

    /// Sends SIGTERM; how it ended and how long that took.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        super::process::signal(&self.process.0, rustix::process::Signal::TERM);
        let status = wait_for("the agent to end", || self.process.0.try_wait().unwrap());
        (status, start.elapsed())
    }

    /// Waits until `times` lines of the log hold all of `words`.
    #[track_caller]
    pub(crate) fn wait_logged_times(&self, times: usize, words: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(words) < times {
            let log = self.log();
            assert!(Instant::now() < deadline, "{times} × {words:?} in vain:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What another command of the program prints with the same folders.
    pub(crate) fn ask(&self, args: &[&str]) -> serde_json::Value {
        let output = command(&self.folder).args(args).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// What the links in `folder` lead to; without the numbers that the kernel gives to what has no name.
fn handles(folder: &Path) -> Vec<String> {
    let links = std::fs::read_dir(folder).unwrap();
    // One may be closed meanwhile.
    let targets = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
    let name = |target: PathBuf| {
        let target = target.to_string_lossy().into_owned();
        target.split_once(":[").map_or_else(|| target.clone(), |(kind, _)| kind.to_owned())
    };
    let mut names: Vec<String> = targets.map(name).collect();
    names.sort();
    names
}

fn command(folder: &Path) -> Command {
    with_folders(Command::new(super::program()), folder)
}

fn with_folders(mut command: Command, folder: &Path) -> Command {
    command
        .env_remove("STATE_DIRECTORY")
        .env_remove("JOURNAL_STREAM")
        .env_remove("RUST_LOG")
        // As its units set it.
        .env("MALLOC_ARENA_MAX", "1")
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_STATE_HOME", folder.join("state"));
    command
}
