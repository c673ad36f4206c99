//! Profile files that change while the agent runs: whoever edits them need not tell it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::agent::{self, Agent};
use crate::support::drive::Drive;
use crate::support::udevd::Udev;

/// The folder of profiles and a source.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("source")).unwrap();
        fs::write(dir.path().join("source/a.txt"), "one").unwrap();
        fs::create_dir_all(dir.path().join("config/bkm-agent/profiles")).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("config/bkm-agent/profiles/docs.json")
    }

    /// A profile that backs up to the folder `dist` of the drive.
    fn profile(&self, dist: &str) -> Value {
        let source = self.path().join("source");
        json!({ "drive": { "label": "EDITED" }, "src": source, "dist": dist })
    }

    /// Saves as `echo` and simple editors do.
    fn overwrite(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    /// Saves as careful editors do: beside it, then in its place.
    fn replace(&self, text: &str) {
        let beside = self.file().with_extension("json~");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.file()).unwrap();
    }
}

/// Plugs the drive in and waits until it was backed up, for the `nth` time; then pulls it.
fn back_up(agent: &Agent, drive: &mut Drive, nth: usize) {
    drive.attach();
    agent.wait_logged_times(nth, &["safe to remove"]);
    pull(agent, drive);
}

fn pull(agent: &Agent, drive: &mut Drive) {
    let before = agent.count(&["unplugged"]);
    drive.detach();
    agent.wait_logged_times(before + 1, &["unplugged"]);
}

#[test]
fn a_profile_counts_as_soon_as_it_is_saved_and_the_last_good_one_while_it_is_broken() {
    let Some(_udev) = Udev::with(&[]) else { return };
    let desk = Desk::new();
    let mut drive = Drive::ext4(desk.path(), "EDITED");
    let agent = Agent::start(desk.path(), agent::NO_BUS);
    let read_anew = || agent.count(&["reading the profiles anew"]);
    drive.attach();
    agent.wait_logged(&["no profile is for it", "EDITED"]);

    // Its first version has a mistake; the drive is plugged in when it is mended.
    desk.overwrite("{\n  \"drive\": { \"label\": \"EDITED\" },\n  \"srcc\": \"/\"\n}");
    agent.wait_logged(&["a profile is broken (left out)", "docs.json:3: ", "srcc"]);
    desk.overwrite(&desk.profile("First").to_string());
    agent.wait_logged(&["safe to remove"]);
    pull(&agent, &mut drive);

    // Broken by a careful editor, and looked at more than once.
    desk.replace("{\n  \"drive\": {\n    \"lable\": \"EDITED\"\n  }\n}");
    let kept = "a profile is broken (the last good one stays in use)";
    agent.wait_logged(&[kept, "docs.json:3: ", "lable"]);
    let before = read_anew();
    let notes = desk.file().with_file_name("notes.txt");
    fs::write(&notes, "not a profile").unwrap();
    agent.wait_logged_times(before + 1, &["reading the profiles anew"]);
    back_up(&agent, &mut drive, 2);
    assert_eq!(agent.count(&["a profile is broken", "lable"]), 1, "once: {}", agent.log());

    // Mended, with another place on the drive.
    let before = read_anew();
    desk.replace(&desk.profile("Second").to_string());
    agent.wait_logged_times(before + 1, &["reading the profiles anew"]);
    back_up(&agent, &mut drive, 3);

    let before = read_anew();
    fs::remove_file(desk.file()).unwrap();
    agent.wait_logged_times(before + 1, &["reading the profiles anew"]);
    drive.attach();
    agent.wait_logged_times(2, &["no profile is for it", "EDITED"]);
    assert_eq!(agent.count(&["running"]), 3, "{}", agent.log());
    assert!(agent.terminate().0.success());

    let point = desk.path().join("look");
    drive.mount(&point);
    for folder in ["First", "Second"] {
        let copy = point.join(folder).join("mirror/a.txt");
        assert_eq!(fs::read_to_string(copy).unwrap(), "one");
    }
}

#[test]
fn a_change_in_the_middle_of_a_run_does_not_disturb_it() {
    let Some(_udev) = Udev::with(&[]) else { return };
    let desk = Desk::new();
    fs::write(desk.path().join("source/large.bin"), vec![b'x'; 96 << 20]).unwrap();
    let mut drive = Drive::ext4_of(desk.path(), "EDITED", 512 << 20);
    desk.overwrite(&desk.profile("First").to_string());
    let agent = Agent::start(desk.path(), agent::NO_BUS);
    let mut log = agent.follow();
    drive.attach();
    log.wait(&["running"]);
    desk.replace(&desk.profile("Second").to_string());
    log.wait(&["reading the profiles anew"]);
    // In this order.
    log.wait(&["flushed"]);
    fs::remove_file(desk.file()).unwrap();
    log.wait(&["reading the profiles anew"]);
    agent.wait_logged(&["safe to remove"]);
    assert_eq!(agent.count(&["running"]), 1, "{}", agent.log());
    assert!(agent.terminate().0.success());
    let point = desk.path().join("look");
    drive.mount(&point);
    let copy = point.join("First/mirror/large.bin");
    assert_eq!(fs::metadata(copy).unwrap().len(), 96 << 20);
    assert!(!point.join("Second").exists());
}
