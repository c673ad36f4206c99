//! What the scenarios play in: the guest with the program installed, drives to plug in, and alice's
//! files, of which the host keeps a copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::drive::Drive;
use crate::guest::{Guest, Mark, STEP};
use crate::host::{must, run, wait_for};
use crate::image::Image;
use crate::outside::{Tree, tree};

/// Plays one story.
pub(crate) type Scenario = fn(&mut World) -> Outcome;

/// How it ended.
pub(crate) enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

/// A drive that was plugged in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plugged {
    pub(crate) since: Mark,
    at: Instant,
}

impl Plugged {
    /// Time since then.
    pub(crate) fn elapsed(self) -> Duration {
        self.at.elapsed()
    }
}

/// How a drive is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// A stick.
    Storage,
    /// A stick that takes a few megabytes a second.
    Slow,
    /// USB attached SCSI, as fast disks use it.
    Uas,
}

/// Bytes a second for [`How::Slow`].
const SLOW: u64 = 3_000_000;

/// The guest and what is around it.
pub(crate) struct World {
    pub(crate) guest: Guest,
    /// Drives are made here.
    pub(crate) folder: PathBuf,
    /// From each plug to "safe to remove", in this scenario.
    pub(crate) safe: Vec<Duration>,
    started: Mark,
    plugged: Vec<(String, How)>,
    dir: tempfile::TempDir,
}

impl World {
    /// Boots `image` and installs the program in it. `cache` takes drives and logs.
    pub(crate) fn new(project: &Path, cache: &Path, image: &Image) -> Self {
        let dir = tempfile::tempdir_in(cache).unwrap();
        let payload = pack(project, dir.path());
        let guest = Guest::boot(image, &payload, dir.path());
        let started = guest.mark();
        let folder = dir.path().join("drives");
        fs::create_dir(&folder).unwrap();
        let mut world = Self { guest, folder, safe: Vec::new(), started, plugged: Vec::new(), dir };
        world.install();
        let limits = json!({ "qom-type": "throttle-group", "id": "slow",
            "limits": { "bps-write": SLOW } });
        world.guest.monitor.must("object-add", &limits);
        world
    }

    /// As `make install` does it, which calls this script, and as it says what is left to root.
    fn install(&mut self) {
        self.guest.sh("tar -C /home/alice -xf /dev/vdb && chown -R alice:alice /home/alice && \
             udevadm settle");
        let said = self.guest.alice(
            "cd ~/bkm-agent && PREFIX=$HOME/.local DESTDIR= UDEV_RULES=/etc/udev/rules.d \
             sh scripts/install.sh target/release/bkm-agent",
        );
        assert!(said.contains("started bkm-agent.service"), "{said}");
        assert!(
            said.contains("sudo cp udev-rules/99-bkm-agent.rules /etc/udev/rules.d/"),
            "{said}"
        );
        self.guest.sh(
            "cd /home/alice/bkm-agent && cp udev-rules/99-bkm-agent.rules /etc/udev/rules.d/ && \
             udevadm control --reload",
        );
    }

    /// A scenario begins.
    pub(crate) fn begin(&mut self) {
        self.safe.clear();
        self.started = self.guest.mark();
    }

    /// Takes away what a scenario left: drives, profiles, and a session that was switched away.
    pub(crate) fn tidy(&mut self) {
        for (name, how) in self.plugged.clone() {
            self.pull_named(&name, how);
        }
        self.guest.try_sh("busybox chvt 1; rm -f /home/alice/.config/bkm-agent/profiles/*");
        self.guest.try_alice("systemctl --user start bkm-agent");
        for image in fs::read_dir(&self.folder).unwrap() {
            fs::remove_file(image.unwrap().path()).unwrap();
        }
    }

    /// What to read after a scenario failed: the journal since its begin.
    pub(crate) fn last_words(&mut self) -> String {
        let journal = self.guest.journal(self.started);
        let lines: Vec<&str> = journal
            .lines()
            .filter(|line| !line.contains(" runuser[") && !line.contains(" qemu-ga["))
            .collect();
        let tail = lines[lines.len().saturating_sub(120)..].join("\n");
        format!("---- the guest's journal\n{tail}\n----")
    }

    /// Writes a profile for the drive that `drive` matches, with alice's folder `source`.
    pub(crate) fn profile(&mut self, name: &str, drive: &Value, source: &str) {
        self.profile_with(name, &json!({ "drive": drive, "src": format!("~/{source}") }));
    }

    /// Writes this profile, as an editor does it, and waits until the agent has read it.
    pub(crate) fn profile_with(&mut self, name: &str, profile: &Value) {
        self.guest.write("/run/profile.json", profile.to_string().as_bytes());
        let since = self.guest.mark();
        self.guest.alice(&format!(
            "mkdir -p .config/bkm-agent/profiles && \
             cp /run/profile.json .config/bkm-agent/{name}.new && \
             mv .config/bkm-agent/{name}.new .config/bkm-agent/profiles/{name}.json"
        ));
        self.guest.wait_logged(since, STEP, &["reading the profiles anew"]);
    }

    /// Plugs a drive in.
    pub(crate) fn plug(&mut self, drive: &Drive, how: How) -> Plugged {
        let name = drive.name.as_str();
        let monitor = &mut self.guest.monitor;
        let file = json!({ "driver": "file", "filename": drive.file });
        let raw = json!({ "driver": "raw", "node-name": format!("{name}-raw"), "file": file });
        monitor.must("blockdev-add", &raw);
        if how == How::Slow {
            let throttled = json!({ "driver": "throttle", "node-name": format!("{name}-slow"),
                "throttle-group": "slow", "file": format!("{name}-raw") });
            monitor.must("blockdev-add", &throttled);
        }
        let since = self.guest.mark();
        let at = Instant::now();
        let monitor = &mut self.guest.monitor;
        if how == How::Uas {
            // It appears on the bus when its disk is in.
            let bridge = json!({ "driver": "usb-uas", "id": name, "bus": "usb.0",
                "attached": false });
            monitor.must("device_add", &bridge);
            let disk = json!({ "driver": "scsi-hd", "id": format!("{name}-disk"),
                "bus": format!("{name}.0"), "drive": format!("{name}-raw"), "serial": name });
            monitor.must("device_add", &disk);
            let attach = json!({ "path": format!("/machine/peripheral/{name}"),
                "property": "attached", "value": true });
            monitor.must("qom-set", &attach);
        } else {
            let node = if how == How::Slow { "slow" } else { "raw" };
            let stick = json!({ "driver": "usb-storage", "id": name, "bus": "usb.0",
                "drive": format!("{name}-{node}"), "removable": true, "serial": name });
            monitor.must("device_add", &stick);
        }
        self.plugged.push((name.to_owned(), how));
        Plugged { since, at }
    }

    /// Pulls a drive, whatever goes on there.
    pub(crate) fn pull(&mut self, drive: &Drive) {
        let at = self.plugged.iter().position(|(name, _)| *name == drive.name).unwrap();
        let (name, how) = self.plugged[at].clone();
        self.pull_named(&name, how);
    }

    fn pull_named(&mut self, name: &str, how: How) {
        let monitor = &mut self.guest.monitor;
        monitor.must("device_del", &json!({ "id": name }));
        monitor.event("DEVICE_DELETED", |event| {
            event["event"] == "DEVICE_DELETED" && event["data"]["device"] == name
        });
        let nodes: &[&str] = if how == How::Slow { &["slow", "raw"] } else { &["raw"] };
        for node in nodes {
            let gone = json!({ "node-name": format!("{name}-{node}") });
            wait_for("qemu to let go of the image", STEP, || {
                monitor.ask("blockdev-del", &gone).ok()
            });
        }
        self.plugged.retain(|(other, _)| other != name);
        // The guest has heard of it.
        wait_for("the guest to see the pull", STEP, || {
            let (code, _) =
                self.guest.try_sh(&format!("grep -qsx {name} /sys/bus/usb/devices/*/serial"));
            (code != 0).then_some(())
        });
    }

    /// Bytes that the guest wrote to a drive since it was plugged in.
    pub(crate) fn written(&mut self, drive: &Drive) -> u64 {
        let all = self.guest.monitor.must("query-blockstats", &Value::Null);
        let of_drive =
            |entry: &&Value| entry["qdev"].as_str().is_some_and(|qdev| qdev.contains(&drive.name));
        let found = all.as_array().unwrap().iter().find(of_drive);
        found.and_then(|entry| entry["stats"]["wr_bytes"].as_u64()).unwrap()
    }

    /// Waits until the notification says that the drive can be pulled.
    #[track_caller]
    pub(crate) fn safe_to_remove(&mut self, plugged: Plugged) -> String {
        let shown = self.finished(plugged, "Safe to remove.");
        self.guest.wait_logged(plugged.since, STEP, &["safe to remove"]);
        shown
    }

    /// Waits until a notification says `how` the backup ended.
    #[track_caller]
    pub(crate) fn finished(&mut self, plugged: Plugged, how: &str) -> String {
        let shown = self.guest.wait_shown(plugged.since, STEP * 2, &[how]);
        self.safe.push(plugged.elapsed());
        shown
    }

    /// Nothing of a drive is mounted or open.
    #[track_caller]
    pub(crate) fn nothing_is_mounted(&mut self) {
        let mounts = self.guest.sh("cat /proc/mounts; ls /dev/mapper");
        assert!(!mounts.contains("/media/") && !mounts.contains("luks"), "{mounts}");
    }

    /// The host's copy of alice's folder `source`.
    pub(crate) fn source(&self, source: &str) -> PathBuf {
        self.dir.path().join("payload").join(source)
    }

    /// What lies in it.
    pub(crate) fn source_tree(&self, source: &str) -> Tree {
        tree(&self.source(source))
    }

    /// Does the same to alice's folder and to the host's copy of it.
    pub(crate) fn change(&mut self, source: &str, script: &str) {
        self.guest.alice(&format!("cd {source} && {script}"));
        must(Command::new("sh").arg("-c").arg(script).current_dir(self.source(source)));
    }
}

/// Where a profile's repository lies on a drive, as nothing else is said in it.
pub(crate) fn repository(profile: &str) -> String {
    format!("Backups/alice@guest/{profile}")
}

/// A tar archive with what the guest is to have: the program as `make install` takes it from the
/// project, and alice's files. The host keeps those in `payload`.
fn pack(project: &Path, folder: &Path) -> PathBuf {
    let payload = folder.join("payload");
    let program = payload.join("bkm-agent");
    fs::create_dir_all(program.join("target/release")).unwrap();
    for part in ["README.md", "CHANGELOG.md", "config", "docs", "scripts", "systemd", "udev-rules"]
    {
        run("cp", [Path::new("-r"), &project.join(part), &program]);
    }
    // What cargo built for this test, without what only a debugger reads.
    let built = Path::new(env!("CARGO_BIN_EXE_bkm-agent"));
    run("strip", [Path::new("-o"), &program.join("target/release/bkm-agent"), built]);
    let small = [
        ("Documents/Projects/a.txt", 900),
        ("Documents/Projects/deep/er/b.txt", 70_000),
        ("Documents/Füße 1.txt", 40),
        ("Documents/empty.txt", 0),
        ("Pictures/one.jpg", 300_000),
        ("Pictures/two.jpg", 5000),
    ];
    let big = (0..12).map(|n| (format!("Videos/{n:02}.bin"), 2_000_000));
    let files = small.map(|(path, size)| (path.to_owned(), size)).into_iter().chain(big);
    for (path, size) in files {
        let file = payload.join(&path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // Bytes that no drive can make smaller, the same in every run.
        let mut bytes = vec![0; size];
        blake3::Hasher::new_derive_key(&path).finalize_xof().fill(&mut bytes);
        fs::write(file, bytes).unwrap();
    }
    let tar = folder.join("payload.tar");
    let folders = ["bkm-agent", "Documents", "Pictures", "Videos"];
    must(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&payload).args(folders));
    tar
}
