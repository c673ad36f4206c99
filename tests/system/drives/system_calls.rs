//! How many system calls a backup makes for each file, counted: a number without noise, in which a
//! regression shows that no clock would.
//!
//! Everything is done twice, with [`FEW`] and with [`MANY`] files in the same folders. What a run costs once
//! (its start, its threads, its folders, its syncs) is the same in both and drops out of the difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::support::drive::Drive;
use crate::support::home::Home;
use crate::support::needs::skipped;
use crate::support::{self, process, udevd};

/// Fewer than one batch has and than one folder is listed in, so that neither differs.
const FEW: usize = 1000;

const MANY: usize = 2000;

/// Few enough for the handles on folders of the drive to be kept.
const FOLDERS: usize = 20;

/// One file in so many is changed, and one deleted.
const PART: usize = 20;

/// Where a call acts. What is elsewhere is shown and not bounded: it is looked through whatever devices this
/// machine has just now, and the state folder is written only when something in it changed.
const PLACES: [&str; 3] = ["source", "drive", "elsewhere"];

/// How many calls each phase makes for each of its files on the source and on the drive: as measured. One more
/// for each file is a regression; one less is to be written here.
const CALLS: [(&str, [f64; 2]); 5] = [
    ("first run", [7.0, 7.0]),
    ("unchanged", [1.0, 0.0]),
    ("changed", [7.0, 9.0]),
    ("renamed", [4.0, 8.0]),
    ("deleted", [0.0, 3.0]),
];

/// The index is read and written in more pieces as it becomes longer.
const SLACK: f64 = 0.25;

/// Calls that depend on how threads happen to run and on the allocator; no file is touched by them.
const NOISE: [&str; 16] = [
    "brk",
    "clone",
    "clone3",
    "exit",
    "futex",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "restart_syscall",
    "rseq",
    "rt_sigprocmask",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
];

/// Counts by place and by the call's name.
type Counts = BTreeMap<(&'static str, String), f64>;

/// What the runs of one world gave: for each phase its name, how many files it was about, and its calls.
type Phases = Vec<(&'static str, usize, Counts)>;

/// A source with files, and a drive that it is backed up to.
struct World {
    home: Home,
    rows: usize,
    source: PathBuf,
    point: PathBuf,
    _disks: [Drive; 2],
}

impl World {
    fn new(files: usize) -> Self {
        let home = Home::new();
        let (source, point) = (home.at("disk"), home.at("drive"));
        let disk = |label, at: &Path| {
            let mut disk = Drive::ext4_for(home.folder(), label, 128 << 20, 8192);
            disk.attach();
            disk.mount(at);
            disk
        };
        let disks = [disk("SOURCE", &source), disk("DRIVE", &point)];
        let (src, dist) = (source.join("work"), point.join("backup"));
        // Which thread takes which file decides how many folders of the staging area there are.
        home.profile("docs", &json!({ "src": src, "dist": dist, "max_workers": 1 }));
        let world = Self { rows: files / FOLDERS, source, point, home, _disks: disks };
        for folder in 0..FOLDERS {
            fs::create_dir_all(world.folder(folder)).unwrap();
        }
        world.write(0..world.rows, "as it was");
        world
    }

    fn folder(&self, number: usize) -> PathBuf {
        self.source.join(format!("work/folder {number:02}"))
    }

    /// The files of these rows: each row has one in each folder.
    fn files(&self, rows: std::ops::Range<usize>) -> Vec<PathBuf> {
        let name = |row| (0..FOLDERS).map(move |n| self.folder(n).join(format!("{row:03}.txt")));
        rows.flat_map(name).collect()
    }

    fn write(&self, rows: std::ops::Range<usize>, content: &str) -> usize {
        let files = self.files(rows);
        for (number, file) in files.iter().enumerate() {
            // No path: strace shows what is written.
            fs::write(file, format!("{content}, {number}")).unwrap();
        }
        files.len()
    }

    /// All phases in their order.
    fn phases(&self) -> Phases {
        let part = self.rows / PART;
        let mut phases = vec![("first run", self.rows * FOLDERS, self.run())];
        phases.push(("unchanged", self.rows * FOLDERS, self.run()));
        let changed = self.write(0..part, "changed since");
        phases.push(("changed", changed, self.run()));
        fs::rename(self.folder(7), self.folder(99)).unwrap();
        phases.push(("renamed", self.rows, self.run()));
        fs::rename(self.folder(99), self.folder(7)).unwrap();
        // The folder is in its place again, which is not counted.
        self.home.done(&["run", "--profile", "docs"]);
        let deleted = self.files(part..2 * part);
        for file in &deleted {
            fs::remove_file(file).unwrap();
        }
        phases.push(("deleted", deleted.len(), self.run()));
        phases
    }

    /// Backs up and counts.
    fn run(&self) -> Counts {
        self.wait_for_the_clock();
        let trace = self.home.at("trace");
        let mut strace = Command::new("strace");
        self.home.surround(&mut strace);
        strace.args(["-f", "-y", "-qq", "-o"]).arg(&trace);
        strace.arg(support::program()).args(["run", "--profile", "docs"]);
        process::run(&mut strace);
        count(&fs::read_to_string(&trace).unwrap(), &self.source, &self.point)
    }

    /// A file that was changed within a tick of the clock is waited for, and looked at once more.
    fn wait_for_the_clock(&self) {
        let mark = self.source.join("mark");
        fs::write(&mark, "").unwrap();
        let changed = fs::metadata(&mark).unwrap().modified().unwrap();
        process::wait_for("the clock to go on", || {
            let age = SystemTime::now().duration_since(changed).unwrap_or_default();
            (age > Duration::from_millis(100)).then_some(())
        });
    }
}

/// Counts the calls of a trace. Where a call was interrupted by another thread's, its beginning counts.
fn count(trace: &str, source: &Path, drive: &Path) -> Counts {
    let [source, drive] = [source, drive].map(|path| path.display().to_string());
    let mut counts = Counts::new();
    for line in trace.lines() {
        let line = line.split_once(' ').map_or(line, |(_pid, line)| line.trim_start());
        let Some((name, rest)) = line.split_once('(') else { continue };
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        // Before a handle is closed, a debug build looks whether it is one.
        let debug = name == "fcntl" && rest.contains("F_GETFD");
        if !is_name || name.is_empty() || debug || NOISE.contains(&name) {
            continue;
        }
        // Only what it is given says where it acts; a handle that it returns need not be told yet.
        let given = rest.rsplit_once(" = ").map_or(rest, |(given, _)| given);
        // Attributes of what cannot be opened are read through its entry in /proc.
        let at = if given.contains(&source) || given.contains("\"/proc/self/fd/") {
            "source"
        } else if given.contains(&drive) {
            "drive"
        } else {
            "elsewhere"
        };
        *counts.entry((at, name.to_owned())).or_default() += 1.0;
    }
    counts
}

/// `a` less `times` of `b`.
fn less(a: &Counts, times: f64, b: &Counts) -> Counts {
    let mut left = a.clone();
    for (call, count) in b {
        *left.entry(call.clone()).or_default() -= times * count;
    }
    left
}

/// One line: the sum of a place, and what it is made of.
fn line(counts: &Counts, place: &str) -> (f64, String) {
    let of_place = counts.iter().filter(|((at, _), count)| *at == place && count.abs() > 0.004);
    let mut calls: Vec<(&str, f64)> = of_place.map(|((_, name), n)| (&**name, *n)).collect();
    calls.sort_by(|a, b| b.1.total_cmp(&a.1));
    let sum = calls.iter().map(|(_, count)| count).sum();
    let mut text = format!("{place:9} {sum:7.2}:");
    for (name, count) in calls {
        write!(text, " {name} {count:.2}").unwrap();
    }
    (sum, text)
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "some thousand files")]
fn each_file_costs_so_many_system_calls() {
    let Some(_turn) = udevd::turn(&["strace"]) else { return };
    let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output().unwrap();
    if !traced.status.success() {
        let why = String::from_utf8_lossy(&traced.stderr);
        return skipped(format_args!("strace cannot trace here: {}", why.trim()));
    }
    let (few, many) = (World::new(FEW).phases(), World::new(MANY).phases());
    let all = (MANY - FEW) as f64;
    let unchanged = less(&many[1].2, 1.0, &few[1].2);
    let unchanged = less(&Counts::new(), -1.0 / all, &unchanged);
    let mut over = Vec::new();
    for ((few, many), (phase, calls)) in few.iter().zip(&many).zip(CALLS) {
        assert_eq!(few.0, phase);
        let files = (many.1 - few.1) as f64;
        let more = less(&many.2, 1.0, &few.2);
        // The other files are there as well, and unchanged.
        let others = if phase == "unchanged" { 0.0 } else { all - files };
        let for_each = less(&Counts::new(), -1.0 / files, &less(&more, others, &unchanged));
        println!("{phase}: for each of the files");
        for (number, place) in PLACES.into_iter().enumerate() {
            let (sum, text) = line(&for_each, place);
            println!("  {text}");
            if let Some(measured) = calls.get(number).filter(|most| sum > *most + SLACK) {
                over.push(format!("{phase}: {text} (it was {measured})"));
            }
        }
        let once = less(&few.2, few.1 as f64, &for_each);
        let once = less(&once, FEW as f64 - few.1 as f64, &unchanged);
        println!("{phase}: once for the run and its {FOLDERS} folders");
        for place in PLACES {
            println!("  {}", line(&once, place).1);
        }
    }
    assert!(over.is_empty(), "more system calls than before:\n{}", over.join("\n"));
}
