//! Replays of real plug-ins, and the cases that a recording cannot show.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::agent::test_profile;
use crate::config::After;
use crate::config::{DriveMatch, Profile};
use crate::drive::capture;

/// An event loop in which runs take no time unless a test holds them.
struct Replay {
    attaches: Attaches,
    profiles: Vec<Profile>,
    mounted: RefCell<Vec<PathBuf>>,
    last_complete: HashMap<String, Timestamp>,
    may_mount: bool,
    hold_runs: bool,
    /// Everything that was asked for, in words.
    log: Vec<String>,
    timers: Vec<(AttachId, Timer, Duration)>,
}

const NOW: i64 = 1_800_000_000;

impl Replay {
    fn new(profiles: Vec<Profile>) -> Self {
        Self {
            attaches: Attaches::default(),
            profiles,
            mounted: RefCell::default(),
            last_complete: HashMap::new(),
            may_mount: true,
            hold_runs: false,
            log: Vec::new(),
            timers: Vec::new(),
        }
    }

    fn give(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let world = World {
                profiles: &self.profiles,
                now: Timestamp::from_second(NOW).unwrap(),
                last_complete: &|name, _| self.last_complete.get(name).copied(),
                is_mounted: &|device| self.mounted.borrow().contains(&device.node),
                may_mount: self.may_mount,
                mount_wait: Duration::from_secs(2),
            };
            for action in self.attaches.handle(input, &world) {
                match action {
                    Action::State(_, device, profile, state) => {
                        let profile = profile.unwrap_or_default();
                        self.log.push(format!("{state:?} {} {profile}", device.node.display()));
                    }
                    Action::Mount { attach, device, make } => {
                        self.log.push(format!("mount {} make={make}", device.node.display()));
                        inputs.push_back(Input::Mounted(attach, true));
                    }
                    Action::Run(id, profile) => {
                        self.log.push(format!("run {profile}"));
                        if !self.hold_runs {
                            inputs.push_back(Input::RunEnded(id));
                        }
                    }
                    Action::Cancel(_) => self.log.push("cancel".to_owned()),
                    Action::Release(id, how) => {
                        self.log.push(format!("release {how:?}"));
                        inputs.push_back(Input::Released(id));
                    }
                    Action::SetTimer(id, timer, after) => self.timers.push((id, timer, after)),
                    Action::Forget(_) => self.log.push("forget".to_owned()),
                }
            }
        }
    }
}

impl Replay {
    /// Plays the events up to the removal, or all; each `change` twice, as a busy udev may.
    fn play(&mut self, events: &[(Happened, Device)]) {
        for (happened, device) in events {
            self.give(Input::Device(*happened, Box::new(device.clone())));
            if *happened == Happened::Change {
                self.give(Input::Device(*happened, Box::new(device.clone())));
            }
        }
    }

    fn fire_mount_timers(&mut self) {
        for (id, timer, _) in std::mem::take(&mut self.timers) {
            if timer == Timer::Mount {
                self.give(Input::Timer(id, timer));
            } else {
                self.timers.push((id, timer, Duration::ZERO));
            }
        }
    }

    fn count(&self, line: &str) -> usize {
        self.log.iter().filter(|l| l.starts_with(line)).count()
    }
}

fn labelled(label: &str) -> DriveMatch {
    DriveMatch { label: Some(label.to_owned()), ..DriveMatch::default() }
}

type Events = Vec<(Happened, Device)>;

/// Plugging in, and pulling.
fn split(events: Events) -> (Events, Events) {
    events.into_iter().partition(|(happened, _)| *happened != Happened::Remove)
}

/// A device as a loop device tells of itself.
fn loop_device(diskseq: u64, label: Option<&str>) -> Box<Device> {
    Box::new(Device {
        node: "/dev/loop0".into(),
        devpath: "/devices/virtual/block/loop0".into(),
        diskseq: Some(diskseq),
        fs_usage: label.map(|_| "filesystem".to_owned()),
        uuid: label.map(|l| format!("uuid-of-{l}")),
        label: label.map(str::to_owned),
        ..Device::default()
    })
}

#[test]
fn every_recorded_plug_in_gives_one_run() {
    for (file, label) in [
        ("ext4.txt", "BACKUP_EXT4"),
        ("vfat.txt", "BKPFAT"),
        ("exfat.txt", "BKPEXFAT"),
        ("ntfs.txt", "BKPNTFS"),
        ("btrfs.txt", "BKPBTRFS"),
        ("bare.txt", "BAREFAT"),
        ("space.txt", "My Dïsk/1"),
        ("two.txt", "TWO_P2"),
    ] {
        let (plug, pull) = split(capture::load(file));
        let mut replay = Replay::new(vec![test_profile::drive("docs", labelled(label))]);
        replay.play(&plug);
        assert_eq!(replay.count("run"), 0, "{file}: the desktop has its time");
        replay.fire_mount_timers();
        replay.play(&plug);
        replay.fire_mount_timers();
        assert_eq!(replay.count("run docs"), 1, "{file}: {:#?}", replay.log);
        assert_eq!(replay.count("release AsFound"), 1, "{file}");
        replay.play(&pull);
        assert!(replay.attaches.list.is_empty(), "{file}");
        // The next plug-in has another DISKSEQ, and is a new attach.
        let again: Vec<_> = plug
            .into_iter()
            .map(|(happened, device)| {
                let diskseq = device.diskseq.map(|n| n + 1);
                (happened, Device { diskseq, ..device })
            })
            .collect();
        replay.play(&again);
        replay.fire_mount_timers();
        assert_eq!(replay.count("run docs"), 2, "{file}");
    }
}

#[test]
fn both_partitions_of_one_stick_run_and_every_profile_of_a_drive() {
    let (plug, _) = split(capture::load("two.txt"));
    let mut second = test_profile::drive("second", labelled("TWO_P2"));
    second.after = After::Keep;
    let serial = DriveMatch {
        serial: Some("SERTWO".to_owned()),
        partlabel: Some("second".to_owned()),
        ..DriveMatch::default()
    };
    let mut replay = Replay::new(vec![
        test_profile::drive("first", labelled("TWO_P1")),
        second,
        test_profile::drive("third", serial),
    ]);
    replay.play(&plug);
    replay.fire_mount_timers();
    assert_eq!(replay.count("run"), 3, "{:#?}", replay.log);
    assert_eq!(replay.count("mount /dev/sda2"), 1, "mounted once for both");
    assert_eq!(replay.count("release Keep"), 1);
    assert_eq!(replay.count("release AsFound"), 1);
}

#[test]
fn a_locked_luks_volume_is_no_drive_but_the_opened_one_is() {
    let (plug, _) = split(capture::load("luks.txt"));
    let mut replay = Replay::new(vec![
        test_profile::drive("locked", labelled("BKPLUKS")),
        test_profile::drive("open", labelled("SECRET")),
    ]);
    replay.play(&plug);
    assert!(replay.log.is_empty(), "{:#?}", replay.log);
    let mut opened = loop_device(16, Some("SECRET"));
    opened.devpath = "/devices/virtual/block/dm-0".into();
    replay.give(Input::Device(Happened::Change, opened));
    replay.fire_mount_timers();
    assert_eq!(replay.count("run open"), 1);
}

#[test]
fn a_pulled_drive_stops_its_run_and_the_same_drive_waits_for_its_end() {
    let events = capture::load("ext4.txt");
    let (plug, pull) = split(events);
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("BACKUP_EXT4"))]);
    replay.hold_runs = true;
    replay.play(&plug);
    replay.fire_mount_timers();
    let first = replay.attaches.list[0].id;
    replay.play(&pull);
    assert_eq!(replay.count("cancel"), 1);
    // It comes back under another name while the old run still ends.
    let mut again = plug[1].1.clone();
    again.diskseq = Some(99);
    again.devpath = "/devices/other/sdb/sdb1".into();
    again.node = "/dev/sdb1".into();
    replay.give(Input::Device(Happened::Add, Box::new(again)));
    replay.fire_mount_timers();
    assert_eq!(replay.count("run docs"), 1, "{:#?}", replay.log);
    replay.give(Input::RunEnded(first));
    assert_eq!(replay.count("release Gone"), 1);
    replay.fire_mount_timers();
    assert_eq!(replay.count("run docs"), 2, "{:#?}", replay.log);
}

#[test]
fn a_loop_device_tells_of_both_by_change() {
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("A"))]);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    for seq in [5, 7] {
        for _ in 0..3 {
            replay.give(Input::Device(Happened::Change, loop_device(seq, Some("A"))));
        }
        replay.give(Input::Device(Happened::Change, loop_device(seq + 1, None)));
        assert!(replay.attaches.list.is_empty());
    }
    assert_eq!(replay.count("run docs"), 2);
    assert_eq!(replay.count("mount /dev/loop0 make=false"), 2);
}

#[test]
fn a_user_waits_until_the_desktop_mounts() {
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("A"))]);
    replay.may_mount = false;
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    assert!(replay.timers.is_empty(), "no wake-ups while it waits");
    replay.give(Input::Mounts);
    assert_eq!(replay.count("run"), 0);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.give(Input::Mounts);
    assert_eq!(replay.count("run docs"), 1);
}

#[test]
fn after_lost_events_the_list_of_what_is_present_decides() {
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("A"))]);
    replay.hold_runs = true;
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    let device = loop_device(5, Some("A"));
    replay.give(Input::Present(vec![*device.clone()]));
    replay.give(Input::Present(vec![*device]));
    assert_eq!((replay.count("run"), replay.count("cancel")), (1, 0));
    replay.give(Input::Present(Vec::new()));
    assert_eq!(replay.count("cancel"), 1);
}

#[test]
fn one_source_runs_on_one_drive_at_a_time() {
    let mut replay = Replay::new(vec![
        test_profile::drive("a", labelled("A")),
        test_profile::drive("b", labelled("B")),
        test_profile::drive("c", labelled("C")),
    ]);
    replay.profiles[2].source = "/other".into();
    replay.hold_runs = true;
    let mut ids = Vec::new();
    for (at, label) in ["A", "B", "C"].into_iter().enumerate() {
        let mut device = loop_device(at as u64, Some(label));
        device.node = format!("/dev/loop{at}").into();
        device.devpath = format!("/devices/loop{at}").into();
        replay.mounted.borrow_mut().push(device.node.clone());
        replay.give(Input::Device(Happened::Add, device));
        ids.push(replay.attaches.list[at].id);
    }
    assert_eq!(replay.count("run a"), 1);
    assert_eq!(replay.count("run b"), 0, "{:#?}", replay.log);
    assert_eq!(replay.count("run c"), 1, "another source runs side by side");
    assert_eq!(replay.count("Queued"), 1);
    replay.give(Input::RunEnded(ids[0]));
    assert_eq!(replay.count("run b"), 1);
}

#[test]
fn too_soon_is_not_due_and_every_runs_again() {
    let mut profile = test_profile::drive("docs", labelled("A"));
    profile.min_interval = Some(Duration::from_hours(6));
    profile.every = Some(Duration::from_hours(24));
    let mut replay = Replay::new(vec![profile]);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    let hour_ago = Timestamp::from_second(NOW - 3600).unwrap();
    replay.last_complete.insert("docs".to_owned(), hour_ago);
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    assert_eq!((replay.count("NotDue"), replay.count("run")), (1, 0));
    let (id, timer, after) = replay.timers.pop().unwrap();
    assert_eq!(after, Duration::from_hours(23));
    replay.last_complete.clear();
    replay.give(Input::Timer(id, timer));
    assert_eq!(replay.count("run docs"), 1);
    let (id, timer, after) = replay.timers.pop().unwrap();
    assert_eq!(after, Duration::from_hours(24), "from the end of the run");
    replay.give(Input::Timer(id, timer));
    assert_eq!(replay.count("run docs"), 2, "mounted and run again");
    assert_eq!(replay.timers.len(), 1, "one timer, however often it ran");
}

#[test]
fn a_stop_cancels_what_runs_and_starts_nothing_more() {
    let mut replay = Replay::new(vec![
        test_profile::drive("docs", labelled("A")),
        test_profile::drive("more", labelled("A")),
    ]);
    replay.hold_runs = true;
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    let id = replay.attaches.list[0].id;
    replay.give(Input::Stop);
    assert_eq!(replay.count("cancel"), 1);
    assert!(!replay.attaches.quiet());
    replay.give(Input::RunEnded(id));
    assert_eq!(replay.count("run"), 1, "{:#?}", replay.log);
    assert_eq!(replay.count("release AsFound"), 1);
    assert!(replay.attaches.quiet());
    replay.give(Input::Device(Happened::Change, loop_device(9, Some("A"))));
    assert_eq!(replay.count("run"), 1);
}

#[test]
fn a_drive_that_gets_its_label_while_plugged_in_is_recognised() {
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("NEW"))]);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    let mut device = loop_device(5, Some("OLD"));
    replay.give(Input::Device(Happened::Add, device.clone()));
    assert_eq!(replay.count("run"), 0);
    device.label = Some("NEW".to_owned());
    replay.give(Input::Device(Happened::Change, device.clone()));
    replay.give(Input::Device(Happened::Change, device));
    assert_eq!((replay.count("Seen"), replay.count("run docs")), (1, 1));
}

#[test]
fn a_new_profile_finds_the_drive_that_is_there() {
    let mut replay = Replay::new(Vec::new());
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    assert_eq!(replay.count("Seen"), 1);
    replay.profiles.push(test_profile::drive("docs", labelled("A")));
    replay.give(Input::Reloaded);
    replay.give(Input::Reloaded);
    assert_eq!(replay.count("run docs"), 1);
}
