//! A backup on a "drive" that somebody tampers with, and what every command must keep to then: it ends
//! in time, within 1 GiB of memory, without a panic and without raw control characters, and nothing
//! outside the repository is read into it or written.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::home::{Home, tree};
use super::process::Running;

/// Seconds that a command may compute: more than any needs, less than "it hangs". A machine that is busy with
/// something else makes it wait, but not compute.
const SECONDS: u64 = 30;

/// How long it may take in all: a command that waits for something computes nothing.
const PATIENCE: Duration = Duration::from_mins(3);

/// Address space of the program, in bytes.
const MEMORY: u64 = 1 << 30;

/// What lies outside and must not get in.
pub(crate) const SECRET: &str = "a secret of this computer";

/// A home with two backups, and a folder outside that nothing may touch.
pub(crate) struct Attacked {
    pub(crate) home: Home,
    outside: Vec<String>,
    tried: u32,
}

/// Exit codes that are right for each command.
pub(crate) struct Expected {
    pub(crate) run: &'static [i32],
    pub(crate) list: &'static [i32],
    pub(crate) restore: &'static [i32],
    pub(crate) restore_at: &'static [i32],
    /// What those that fail say.
    pub(crate) says: &'static str,
}

/// Everything refuses and names the way out.
pub(crate) const DAMAGED: Expected =
    Expected { run: &[1], list: &[1], restore: &[1], restore_at: &[1], says: "bkm-agent repair" };

impl Attacked {
    pub(crate) fn new() -> Self {
        let home = Home::with_docs();
        home.done(&["run"]);
        home.write("work/a.txt", "one, changed");
        home.done(&["run"]);
        // Something to do for the next run, above and in a folder.
        home.write("work/a.txt", "one, changed once more");
        home.write("work/sub/new.txt", "new");
        home.write("outside/a.txt", SECRET);
        home.write("outside/sub/b.txt", SECRET);
        home.write("outside/sub/deeper/c.txt", SECRET);
        let mut attacked = Self { home, outside: Vec::new(), tried: 0 };
        attacked.remember_outside();
        attacked
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.home.at("there/backup")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.home.at("outside")
    }

    /// What is outside now is how it must stay.
    pub(crate) fn remember_outside(&mut self) {
        self.outside = tree(&self.outside());
    }

    /// Does what takes second names of files outside away, which changes no more than their times.
    pub(crate) fn outside_may_lose_a_link(&mut self, act: impl FnOnce(&mut Self)) {
        act(self);
        assert_eq!(self.home.read("outside/a.txt"), SECRET);
        self.remember_outside();
    }

    /// The increments, oldest first.
    pub(crate) fn increments(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.repository()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with("backup_")).collect();
        names.sort();
        names
    }

    /// Runs one command; it must keep to what every command keeps to.
    #[track_caller]
    pub(crate) fn command(&mut self, args: &[&str]) -> Output {
        self.tried += 1;
        self.forget_catalogs();
        let output = ended_in_time(self.bounded(args), args);
        let said = words(&output);
        assert!(output.status.code().is_some(), "{args:?} was ended by a signal: {said}");
        assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{args:?}: {said}");
        let raw = said.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(raw, None, "{args:?} printed a control character: {said:?}");
        // A program may want the whole of a long text; a person does not.
        let most = if args.contains(&"--json") { 4 << 20 } else { 1 << 20 };
        assert!(said.len() < most, "{args:?} printed {} bytes", said.len());
        assert_eq!(tree(&self.outside()), self.outside, "{args:?} wrote outside");
        output
    }

    /// Has the computer keep no catalogs, so that they are read from the drive.
    #[expect(clippy::disallowed_methods, reason = "a test plays the person at the files")]
    fn forget_catalogs(&self) {
        let kept = self.home.at("state/bkm-agent/catalogs");
        if kept.exists() {
            std::fs::remove_dir_all(kept).unwrap();
        }
    }

    fn bounded(&self, args: &[&str]) -> Command {
        let mut command = Command::new("prlimit");
        self.home.surround(&mut command);
        command
            .args([format!("--as={MEMORY}"), format!("--cpu={SECONDS}")])
            .arg(super::program())
            .args(args);
        command
    }

    /// Runs every command that touches the drive. Readers come first, as they find what was done.
    #[track_caller]
    pub(crate) fn expect(&mut self, what: &str, expected: &Expected) {
        let first = self.home.json(&["status", "--json"]);
        assert!(first.is_array());
        let at = self.first_increment();
        let [now, then] = ["now", "then"].map(|place| format!("{place}-{}", self.tried));
        for (args, codes) in [
            (vec!["list"], expected.list),
            (vec!["list", "--detailed"], expected.list),
            (vec!["list", "--detailed", "--json"], expected.list),
            (vec!["restore", "--to", &now], expected.restore),
            (vec!["restore", "--to", &then, "--at", &at], expected.restore_at),
            (vec!["run", "--dry-run"], &[0, 1, 3]),
            (vec!["run"], expected.run),
            (vec!["run", "--json"], &[0, 1, 3]),
            (vec!["status"], &[0]),
        ] {
            let output = self.command(&args);
            let (code, said) = (output.status.code().unwrap(), words(&output));
            assert!(codes.contains(&code), "{what}: {args:?} ended with {code}: {said}");
            if code != 0 && codes.len() == 1 {
                assert!(said.contains(expected.says), "{what}: {args:?} said: {said}");
            }
        }
    }

    /// The first increment as the listing named it when all was well.
    fn first_increment(&self) -> String {
        let names = std::fs::read_to_string(self.home.at("first")).ok();
        names.unwrap_or_else(|| {
            let name = self.increments().first().cloned().unwrap_or_default();
            self.home.write("first", &name);
            name
        })
    }

    /// Remembers what `expect` restores from, before the names on the drive are tampered with.
    pub(crate) fn know_increments(&self) {
        let _name = self.first_increment();
    }
}

impl Drop for Attacked {
    fn drop(&mut self) {
        println!("{} commands tried", self.tried);
        if std::thread::panicking() {
            return;
        }
        // What was mounted is unmounted by now. Restored files and the repository are looked through.
        for place in std::fs::read_dir(self.home.folder()).unwrap() {
            let place = place.unwrap();
            if place.file_name() != "outside" {
                let place = place.path();
                assert!(!holds_secret(&place), "{} holds the secret", place.display());
            }
        }
    }
}

/// Standard output and error.
pub(crate) fn words(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[track_caller]
fn ended_in_time(mut command: Command, args: &[&str]) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running(command.spawn().unwrap());
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).unwrap();
            text
        })
    };
    let stdout = reader(Box::new(child.0.stdout.take().unwrap()));
    let stderr = reader(Box::new(child.0.stderr.take().unwrap()));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "{args:?} hangs");
        std::thread::sleep(Duration::from_millis(2));
    };
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Whether a file below `place`, reached without leaving it, has the secret.
fn holds_secret(place: &Path) -> bool {
    let files = walkdir::WalkDir::new(place).same_file_system(true).into_iter().flatten();
    files.filter(|entry| entry.file_type().is_file()).any(|entry| {
        let named = rustix::fs::lstat(entry.path()).unwrap();
        // The attack's own second names of files outside are not the program's doing.
        named.st_nlink == 1
            && named.st_size < 1 << 20
            && String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).contains(SECRET)
    })
}

/// The folders of a repository, and what must happen when something else stands there.
pub(crate) fn folders(attacked: &Attacked) -> Vec<(String, Expected)> {
    let first = attacked.increments()[0].clone();
    vec![
        (String::new(), Expected { says: "leads to", ..DAMAGED }),
        (".bkm".to_owned(), DAMAGED),
        (
            ".bkm/stage".to_owned(),
            Expected { list: &[0], restore: &[0], restore_at: &[0], ..DAMAGED },
        ),
        ("mirror".to_owned(), Expected { list: &[0], restore: &[0], restore_at: &[0], ..DAMAGED }),
        ("mirror/sub".to_owned(), Expected { says: "not backed up", ..ONE_PROBLEM }),
        (first.clone(), NO_CATALOG),
        (format!("{first}/track"), OLD_VERSION),
        // What lies there is in the mirror as well.
        (format!("{first}/track/sub"), HARMLESS),
    ]
}

/// Reading goes on; the tampered file alone is a problem of the run.
pub(crate) const ONE_PROBLEM: Expected =
    Expected { run: &[3], list: &[0], restore: &[0], restore_at: &[0], says: "left alone" };

/// Something that no command needs, or puts right by itself.
pub(crate) const HARMLESS: Expected =
    Expected { run: &[0], list: &[0], restore: &[0], restore_at: &[0], says: "" };

/// The catalog alone is unusable.
pub(crate) const NO_CATALOG: Expected =
    Expected { run: &[0], list: &[1], restore: &[0], restore_at: &[1], says: "bkm-agent repair" };

/// A version of the first increment is not what it was.
pub(crate) const OLD_VERSION: Expected =
    Expected { run: &[0], list: &[0], restore: &[0], restore_at: &[3], says: "problem" };
