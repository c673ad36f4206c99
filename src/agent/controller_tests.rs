//! Replays of real plug-ins, and the cases that a recording cannot show.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::agent::test_profile;
use crate::config::profile::{After, OnBattery, Profile, drive_of};
use crate::drive::capture;
use crate::model::drive_match::DriveMatch;
use crate::pairing::wanted::{Tie, Wanted};

/// An event loop in which runs take no time unless a test holds them.
struct Replay {
    attaches: Attaches,
    profiles: Vec<Profile>,
    mounted: RefCell<Vec<PathBuf>>,
    last_complete: HashMap<String, Timestamp>,
    /// What mounting comes to where nobody has mounted the drive.
    mounting: MountOutcome,
    tie: Tie,
    on_battery: bool,
    /// What opening a container comes to.
    unlocking: Result<Box<Device>, Unopened>,
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
            mounting: MountOutcome::Open,
            tie: Tie::Off,
            on_battery: false,
            unlocking: Err(Unopened::No("no key".to_owned())),
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
                wanted: &|profile, device| {
                    let by = device.matches(drive_of(profile)?).then(String::new)?;
                    Some(Wanted { by, tie: self.tie.clone() })
                },
                last_complete: &|name, _| self.last_complete.get(name).copied(),
                is_mounted: &|device| self.mounted.borrow().contains(&device.node),
                on_battery: &|| self.on_battery,
                mount_wait: Duration::from_secs(2),
            };
            for action in self.attaches.handle(input, &world) {
                match action {
                    Action::State(_, device, profile, state) => {
                        let profile = profile.unwrap_or_default();
                        let node = device.node.display();
                        self.log.push(format!("{} {node} {profile}", state.word()));
                    }
                    Action::Unlock(id, device, profile) => {
                        self.log.push(format!("unlock {} {profile}", device.node.display()));
                        inputs.push_back(Input::Unlocked(id, self.unlocking.clone()));
                    }
                    Action::Mount { attach, device, make } => {
                        self.log.push(format!("mount {} make={make}", device.node.display()));
                        let outcome = if make { self.mounting } else { MountOutcome::Open };
                        inputs.push_back(Input::Mounted(attach, outcome));
                    }
                    Action::Run(id, profile) => {
                        self.log.push(format!("run {profile}"));
                        if !self.hold_runs {
                            inputs.push_back(Input::RunEnded(id, RunOutcome::Over));
                        }
                    }
                    Action::Cancel(_) => self.log.push("cancel".to_owned()),
                    Action::Release { attach, how, lock } => {
                        let lock = if lock { " and lock" } else { "" };
                        self.log.push(format!("release {how:?}{lock}"));
                        inputs.push_back(Input::Released(attach));
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
    assert_eq!((replay.count("run"), replay.count("locked")), (0, 1), "{:#?}", replay.log);
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
    replay.give(Input::RunEnded(first, RunOutcome::Stopped));
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
    replay.mounting = MountOutcome::Nobody;
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    replay.fire_mount_timers();
    assert!(replay.timers.is_empty(), "no wake-ups while it waits");
    assert_eq!(replay.count("mount /dev/loop0 make=true"), 1);
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
    assert_eq!(replay.count("waiting for another run"), 1);
    replay.give(Input::RunEnded(ids[0], RunOutcome::Over));
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
    assert_eq!((replay.count("not due"), replay.count("run")), (1, 0));
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
    replay.give(Input::RunEnded(id, RunOutcome::Stopped));
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
    assert_eq!((replay.count("seen"), replay.count("run docs")), (1, 1));
}

#[test]
fn a_new_profile_finds_the_drive_that_is_there() {
    let mut replay = Replay::new(Vec::new());
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    assert_eq!(replay.count("seen"), 1);
    replay.profiles.push(test_profile::drive("docs", labelled("A")));
    replay.give(Input::Reloaded);
    replay.give(Input::Reloaded);
    assert_eq!(replay.count("run docs"), 1);
}

/// The LUKS partition of the recording, and what is in it.
fn luks() -> (Events, Device) {
    let (plug, _) = split(capture::load("luks.txt"));
    let container = plug.iter().find(|(_, device)| device.is_luks()).unwrap().1.clone();
    let mut opened = *loop_device(16, Some("SECRET"));
    opened.node = "/dev/dm-0".into();
    opened.devpath = "/devices/virtual/block/dm-0".into();
    opened.container = Some(Box::new(container));
    (plug, opened)
}

#[test]
fn a_luks_drive_with_a_key_is_one_attach_that_is_unlocked_run_and_locked_again() {
    let (plug, opened) = luks();
    let mut profile = test_profile::drive("docs", labelled("BKPLUKS"));
    profile.every = Some(Duration::from_hours(1));
    let mut replay = Replay::new(vec![profile]);
    replay.unlocking = Ok(Box::new(opened.clone()));
    replay.play(&plug);
    // What udev tells of it meanwhile.
    replay.give(Input::Device(Happened::Add, Box::new(opened.clone())));
    replay.give(Input::Device(Happened::Change, Box::new(opened.clone())));
    let log = replay.log.join("\n");
    assert_eq!((replay.count("run docs"), replay.attaches.list.len()), (1, 1), "{log}");
    assert_eq!(replay.count("unlock /dev/sda1 docs"), 1, "{log}");
    assert_eq!(replay.count("mount /dev/dm-0 make=true"), 1, "at once: {log}");
    assert_eq!(replay.count("release AsFound and lock"), 1, "{log}");
    // It is locked; the stick is still there, and `every` opens it again.
    replay.give(Input::Device(Happened::Remove, Box::new(opened)));
    assert_eq!(replay.count("unplugged"), 0, "{:#?}", replay.log);
    let (id, timer, _) = replay.timers.pop().unwrap();
    replay.give(Input::Timer(id, timer));
    assert_eq!(replay.count("unlock /"), 2, "{:#?}", replay.log);
    assert_eq!(replay.count("run docs"), 2, "{:#?}", replay.log);
}

#[test]
fn a_luks_drive_without_a_key_waits_for_whoever_opens_it_and_stays_open() {
    let (plug, opened) = luks();
    let mut replay = Replay::new(vec![
        test_profile::drive("outside", labelled("BKPLUKS")),
        test_profile::drive("inside", labelled("SECRET")),
    ]);
    replay.profiles[1].source = "/other".into();
    replay.play(&plug);
    assert_eq!((replay.count("locked"), replay.count("run")), (1, 0));
    replay.give(Input::Device(Happened::Add, Box::new(opened.clone())));
    replay.give(Input::Device(Happened::Change, Box::new(opened)));
    replay.fire_mount_timers();
    let log = replay.log.join("\n");
    assert_eq!((replay.count("run outside"), replay.count("run inside")), (1, 1), "{log}");
    assert_eq!(replay.count("release AsFound and lock"), 0, "{log}");
    assert_eq!(replay.count("release AsFound"), 1, "{log}");
}

#[test]
fn a_luks_drive_that_is_pulled_while_open_is_gone() {
    let (plug, opened) = luks();
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("BKPLUKS"))]);
    replay.unlocking = Ok(Box::new(opened.clone()));
    replay.hold_runs = true;
    replay.play(&plug);
    let id = replay.attaches.list.iter().find(|a| a.holds_drive()).unwrap().id;
    let pulled: Vec<_> = plug.iter().map(|(_, d)| (Happened::Remove, d.clone())).collect();
    replay.play(&pulled);
    assert_eq!(replay.count("cancel"), 1);
    replay.give(Input::RunEnded(id, RunOutcome::Stopped));
    assert_eq!(replay.count("release Gone and lock"), 1, "{:#?}", replay.log);
    assert!(replay.attaches.list.is_empty());
}

#[test]
fn what_is_not_authorised_waits_for_the_session_and_for_the_desktop() {
    for desktop in [false, true] {
        let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("A"))]);
        replay.mounting = MountOutcome::NotAuthorised;
        replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
        replay.fire_mount_timers();
        assert_eq!((replay.count("not authorised"), replay.count("run")), (1, 0));
        assert!(replay.timers.is_empty(), "no wake-ups while it waits");
        if desktop {
            replay.mounted.borrow_mut().push("/dev/loop0".into());
            replay.give(Input::Mounts);
        } else {
            replay.mounting = MountOutcome::Open;
            replay.give(Input::Login);
            replay.fire_mount_timers();
        }
        assert_eq!(replay.count("run docs"), 1, "{:#?}", replay.log);
    }
}

#[test]
fn before_sleep_a_run_stops_and_goes_on_after_the_mount_was_looked_at_again() {
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("A"))]);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.hold_runs = true;
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    let id = replay.attaches.list[0].id;
    replay.give(Input::Sleep(true));
    assert_eq!((replay.count("asleep"), replay.count("cancel")), (1, 1));
    replay.give(Input::RunEnded(id, RunOutcome::Stopped));
    assert_eq!(replay.count("release Pause"), 1, "{:#?}", replay.log);
    assert!(replay.attaches.quiet());
    replay.give(Input::Mounts);
    assert_eq!(replay.count("mount"), 1, "not while it sleeps");
    replay.give(Input::Sleep(false));
    assert_eq!((replay.count("mount"), replay.count("run docs")), (2, 2), "{:#?}", replay.log);
    replay.give(Input::RunEnded(id, RunOutcome::Over));
    assert_eq!(replay.count("release AsFound"), 1);
}

#[test]
fn a_drive_that_was_pulled_while_the_computer_slept_is_not_waited_for() {
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("A"))]);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.hold_runs = true;
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    let id = replay.attaches.list[0].id;
    replay.give(Input::Sleep(true));
    replay.give(Input::RunEnded(id, RunOutcome::Stopped));
    replay.mounted.borrow_mut().clear();
    replay.give(Input::Present(Vec::new()));
    replay.give(Input::Sleep(false));
    assert_eq!(replay.count("run docs"), 1);
    assert!(replay.attaches.list.is_empty(), "{:#?}", replay.log);
}

#[test]
fn on_battery_a_profile_waits_for_mains_or_for_the_user() {
    let mut profile = test_profile::drive("docs", labelled("A"));
    profile.on_battery = OnBattery::Ask;
    let mut other = test_profile::drive("more", labelled("A"));
    other.on_battery = OnBattery::Skip;
    for asked in [false, true] {
        let mut replay = Replay::new(vec![profile.clone(), other.clone()]);
        replay.mounted.borrow_mut().push("/dev/loop0".into());
        replay.on_battery = true;
        replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
        assert_eq!((replay.count("on battery"), replay.count("run")), (2, 0));
        assert_eq!(replay.timers.len(), 1, "one timer for both");
        let (id, timer, _) = replay.timers.pop().unwrap();
        replay.give(Input::Timer(id, timer.clone()));
        assert_eq!((replay.count("on battery"), replay.count("run")), (2, 0), "told once");
        assert_eq!(replay.timers.len(), 1);
        if asked {
            replay.give(Input::Asked(id, Wish::RunNow));
        } else {
            replay.on_battery = false;
            replay.give(Input::Timer(id, timer));
        }
        assert_eq!((replay.count("run docs"), replay.count("run more")), (1, 1));
        assert_eq!(replay.count("release"), 1);
    }
}

#[test]
fn a_drive_that_must_be_paired_first_is_not_even_mounted() {
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("A"))]);
    replay.tie = Tie::Missing;
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    replay.fire_mount_timers();
    assert_eq!((replay.count("refused"), replay.count("mount")), (1, 0), "{:#?}", replay.log);
}

#[test]
fn a_drive_that_was_refused_is_not_tried_again_while_it_stays() {
    let mut profile = test_profile::drive("docs", labelled("A"));
    profile.every = Some(Duration::from_mins(1));
    let mut replay = Replay::new(vec![profile]);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.hold_runs = true;
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    let id = replay.attaches.list[0].id;
    replay.give(Input::RunEnded(id, RunOutcome::Refused));
    assert!(replay.timers.is_empty(), "{:#?}", replay.timers);
    assert_eq!(replay.count("release AsFound"), 1);
}

#[test]
fn the_user_can_stop_a_run_and_eject_the_drive() {
    let mut replay = Replay::new(vec![
        test_profile::drive("docs", labelled("A")),
        test_profile::drive("more", labelled("A")),
    ]);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.hold_runs = true;
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    let id = replay.attaches.list[0].id;
    replay.give(Input::Asked(id, Wish::Stop));
    assert_eq!(replay.count("cancel"), 1);
    replay.give(Input::RunEnded(id, RunOutcome::Stopped));
    assert_eq!((replay.count("run"), replay.count("release AsFound")), (1, 1));
    replay.give(Input::Asked(id, Wish::Eject));
    assert_eq!(replay.count("release PowerOff"), 1);
    // While it runs, the wish is carried out at its end.
    replay.give(Input::Asked(id, Wish::RunNow));
    replay.give(Input::Asked(id, Wish::Eject));
    replay.give(Input::Asked(id, Wish::Stop));
    replay.give(Input::RunEnded(id, RunOutcome::Stopped));
    assert_eq!(replay.count("release PowerOff"), 2, "{:#?}", replay.log);
}

#[test]
fn what_profiles_wish_for_the_drive_is_weighed() {
    let profile = |name: &str, after| {
        let mut profile = test_profile::drive(name, labelled("A"));
        profile.after = after;
        profile
    };
    for (one, other, how) in [
        (After::AsFound, After::PowerOff, "release PowerOff"),
        (After::Unmount, After::PowerOff, "release PowerOff"),
        (After::Unmount, After::AsFound, "release Unmount"),
        (After::PowerOff, After::Keep, "release Keep"),
    ] {
        let mut replay = Replay::new(vec![profile("a", one), profile("b", other)]);
        replay.mounted.borrow_mut().push("/dev/loop0".into());
        replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
        assert_eq!((replay.count("run"), replay.count(how)), (2, 1), "{:#?}", replay.log);
    }
}

#[test]
fn a_run_that_fails_waits_a_moment_for_the_word_that_the_drive_was_pulled() {
    for pulled in [false, true] {
        let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("A"))]);
        replay.mounted.borrow_mut().push("/dev/loop0".into());
        replay.hold_runs = true;
        replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
        let id = replay.attaches.list[0].id;
        replay.give(Input::RunEnded(id, RunOutcome::Failed));
        assert_eq!(replay.count("release"), 0);
        let (_, timer, _) = replay.timers.pop().unwrap();
        if pulled {
            replay.give(Input::Device(Happened::Change, loop_device(6, None)));
        }
        replay.give(Input::Timer(id, timer));
        let how = if pulled { "release Gone" } else { "release AsFound" };
        assert_eq!((replay.count(how), replay.count("release")), (1, 1), "{:#?}", replay.log);
    }
}

#[test]
fn a_drive_that_a_changed_profile_does_not_want_any_more_gets_no_further_run() {
    let mut profile = test_profile::drive("docs", labelled("A"));
    profile.every = Some(Duration::from_hours(1));
    let mut replay = Replay::new(vec![profile]);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    assert_eq!(replay.count("run docs"), 1);
    let elsewhere = test_profile::drive("docs", labelled("B"));
    replay.profiles = vec![elsewhere];
    replay.give(Input::Reloaded);
    let (id, timer, _) = replay.timers.pop().unwrap();
    replay.give(Input::Timer(id, timer));
    replay.give(Input::Asked(id, Wish::RunNow));
    assert_eq!(replay.count("run docs"), 1, "{:#?}", replay.log);
}

#[test]
fn after_a_mount_that_failed_every_tries_again() {
    let mut profile = test_profile::drive("docs", labelled("A"));
    profile.every = Some(Duration::from_hours(1));
    let mut replay = Replay::new(vec![profile]);
    replay.mounting = MountOutcome::Failed;
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    replay.fire_mount_timers();
    assert_eq!((replay.count("run docs"), replay.count("release AsFound")), (0, 1));
    replay.mounting = MountOutcome::Open;
    let (id, timer, _) = replay.timers.pop().unwrap();
    assert!(matches!(timer, Timer::Every(_)), "{timer:?}");
    replay.give(Input::Timer(id, timer));
    replay.fire_mount_timers();
    assert_eq!(replay.count("run docs"), 1, "{:#?}", replay.log);
}

#[test]
fn what_was_asked_for_on_battery_does_not_run_again_on_mains() {
    let mut profile = test_profile::drive("docs", labelled("A"));
    profile.on_battery = OnBattery::Ask;
    let mut replay = Replay::new(vec![profile]);
    replay.mounted.borrow_mut().push("/dev/loop0".into());
    replay.on_battery = true;
    replay.give(Input::Device(Happened::Add, loop_device(5, Some("A"))));
    let (id, timer, _) = replay.timers.pop().unwrap();
    replay.give(Input::Asked(id, Wish::RunNow));
    replay.on_battery = false;
    replay.give(Input::Timer(id, timer));
    assert_eq!(replay.count("run docs"), 1, "{:#?}", replay.log);
}

#[test]
fn a_key_that_is_named_later_opens_the_drive_and_a_stop_leaves_it_closed() {
    let (plug, opened) = luks();
    let mut replay = Replay::new(vec![test_profile::drive("docs", labelled("BKPLUKS"))]);
    replay.play(&plug);
    assert_eq!((replay.count("locked"), replay.count("run")), (1, 0));
    replay.unlocking = Ok(Box::new(opened.clone()));
    replay.give(Input::Reloaded);
    assert_eq!(replay.count("run docs"), 1, "{:#?}", replay.log);

    // The agent ends while the drive is being opened.
    let mut attaches = Attaches::default();
    let profiles = [test_profile::drive("docs", labelled("BKPLUKS"))];
    let world = World {
        profiles: &profiles,
        now: Timestamp::from_second(NOW).unwrap(),
        wanted: &|_, device| device.is_luks().then(|| Wanted { by: String::new(), tie: Tie::Off }),
        last_complete: &|_, _| None,
        is_mounted: &|_| false,
        on_battery: &|| false,
        mount_wait: Duration::ZERO,
    };
    let container = opened.container.clone().unwrap();
    let asked = attaches.handle(Input::Device(Happened::Add, container), &world);
    let Some(Action::Unlock(id, ..)) = asked.last().cloned() else {
        unreachable!("{asked:?}");
    };
    attaches.handle(Input::Stop, &world);
    let then = attaches.handle(Input::Unlocked(id, Ok(Box::new(opened))), &world);
    let release = Action::Release { attach: id, how: Release::AsFound, lock: true };
    assert!(then.contains(&release), "{then:?}");
    assert!(!attaches.quiet(), "not before it is closed");
}
