//! The invariant as a property, on each file system that a drive can have.
//!
//! `BKM_MODEL_CASES` raises the number of cases.

use std::path::Path;

use crate::support::loop_drive::LoopDrive;
use crate::support::model::check;
use crate::support::needs::skipped;
use crate::support::profile;

fn check_on(fs: &str) {
    match LoopDrive::new(fs, if fs == "xfs" { 320 } else { 256 }) {
        Err(why) => skipped(&why),
        Ok(drive) => {
            check(true, 8, 5, &[profile::all_tracked()], Some(drive.point()));
            check(true, 4, 5, &[profile::mixed(), profile::turned_round()], Some(drive.point()));
        }
    }
}

#[test]
fn an_ext4_drive_keeps_every_version() {
    check_on("ext4");
}

#[test]
fn an_xfs_drive_keeps_every_version() {
    check_on("xfs");
}

#[test]
fn a_btrfs_drive_keeps_every_version() {
    check_on("btrfs");
}

#[test]
fn an_exfat_drive_keeps_every_version() {
    check_on("exfat");
}

#[test]
fn a_fat_drive_keeps_every_version() {
    match LoopDrive::new("vfat", 64) {
        Ok(drive) if can_append(drive.point()) => check_on("vfat"),
        Ok(_) => skipped("the FAT driver that is here cannot append to a file"),
        Err(why) => skipped(&why),
    }
}

/// What every program that keeps a log needs; the FUSE driver `fusefat` answers EPERM.
fn can_append(drive: &Path) -> bool {
    let file = drive.join("file");
    std::fs::write(&file, "one").unwrap();
    let opened = std::fs::OpenOptions::new().append(true).open(&file);
    opened.and_then(|mut file| std::io::Write::write_all(&mut file, b"two")).is_ok()
}

#[test]
fn an_ntfs_drive_keeps_every_version() {
    check_on("ntfs");
}
