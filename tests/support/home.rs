//! A person's home for tests of commands: profiles, a source, and the real program with them.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A home folder of its own; `work` is the source, `there/backup` the usual destination.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(home.at("work")).unwrap();
        std::fs::create_dir_all(home.at("there")).unwrap();
        home
    }

    /// A home with the profile `docs` from `work` to `there/backup` and three files in `work`.
    pub(crate) fn with_docs() -> Self {
        let home = Self::new();
        home.profile("docs", &serde_json::json!({ "src": "~/work", "dist": "~/there/backup" }));
        home.write("work/a.txt", "one");
        home.write("work/sub/b.txt", "two");
        home.write("work/sub/c.pdf", "three");
        home
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn profile(&self, name: &str, profile: &Value) {
        self.write(&format!("config/bkm-agent/profiles/{name}.json"), &profile.to_string());
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap()
    }

    /// The program with this home.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(super::program());
        self.surround(&mut command);
        command.args(args);
        command
    }

    /// Lets `command` know nothing but this home.
    pub(crate) fn surround(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder())
            .env("XDG_CONFIG_HOME", self.at("config"))
            .env("XDG_STATE_HOME", self.at("state"))
            .env("USER", "anna")
            .env("TZ", "UTC")
            .current_dir(self.folder())
            .stdin(Stdio::null());
    }

    /// Runs the program to its end.
    pub(crate) fn bkm(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs it; it must end with exit code 0. What it printed.
    #[track_caller]
    pub(crate) fn done(&self, args: &[&str]) -> String {
        let output = self.bkm(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.done(args)).unwrap()
    }

    /// Exit code, standard output and standard error, for snapshots.
    pub(crate) fn shown(&self, args: &[&str]) -> String {
        self.render(&self.bkm(args))
    }

    pub(crate) fn render(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.replace(&self.folder().display().to_string(), "/home/anna")
        };
        let mut shown = format!("exit {}\n", output.status.code().map_or(-1, |code| code));
        shown.push_str(&text(&output.stdout));
        if !output.stderr.is_empty() {
            shown.push_str("--- stderr\n");
            shown.push_str(&text(&output.stderr));
        }
        shown
    }
}

/// Somebody for whom permissions count.
pub(crate) struct User<'h> {
    home: &'h Home,
    /// What runs the program.
    with: Vec<PathBuf>,
}

impl Home {
    /// A user who is not root and owns this home from now on; `None` with the reason printed.
    pub(crate) fn user(&self) -> Option<User<'_>> {
        const NOBODY: u32 = 65_534;
        // The program may lie where that user cannot go.
        let program = self.at("bkm-agent");
        super::process::run(Command::new("cp").arg(super::program()).arg(&program));
        let mut with = Vec::new();
        if rustix::process::geteuid().is_root() {
            let Some(setpriv) = super::needs::find_tool("setpriv") else {
                super::needs::skipped("root may do everything, and setpriv is missing");
                return None;
            };
            let ids = format!("{NOBODY}:{NOBODY}");
            super::process::run(Command::new("chown").args(["-R", &ids]).arg(self.folder()));
            let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
            with.push(setpriv);
            with.extend(ids.map(PathBuf::from));
            with.push("--clear-groups".into());
        }
        with.push(program);
        Some(User { home: self, with })
    }
}

impl User<'_> {
    /// As [`Home::shown`].
    pub(crate) fn shown(&self, args: &[&str]) -> String {
        let mut command = Command::new(&self.with[0]);
        self.home.surround(&mut command);
        command.args(&self.with[1..]).args(args);
        self.home.render(&command.output().unwrap())
    }
}

/// Every path below `folder` with what tells whether it was written to: kind, size, times, inode.
pub(crate) fn tree(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.unwrap();
        let meta = std::fs::symlink_metadata(entry.path()).unwrap();
        lines.push(format!(
            "{} {:o} {} {}.{} {}.{} {}",
            entry.path().display(),
            meta.mode(),
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
            meta.ino()
        ));
    }
    lines
}

/// The paths below a folder of the home, sorted.
pub(crate) fn paths(home: &Home, folder: &str) -> Vec<String> {
    let folder = home.at(folder);
    walkdir::WalkDir::new(&folder)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| {
            let path = entry.unwrap().into_path();
            path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned()
        })
        .collect()
}

/// What a snapshot blanks since it differs from run to run: times and names made of times, durations,
/// processes, devices, users.
pub(crate) fn blanks() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"backup_\d{8}_\d{6}", "backup_[TIME]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)?", "[TIME]"),
        (r"\bin (\d+(\.\d)? (s|min|h) ?)+", "in [DURATION]"),
        (r"process \d+", "process [PID]"),
        (r"Backups/\S+@\S+/", "Backups/[USER]@[HOST]/"),
        (r"loop\d+", "loop[N]"),
        (r"-[0-9a-f]{8}\.json", "-[HASH].json"),
    ]
}
