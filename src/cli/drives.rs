//! `bkm-agent drives`: the file systems that are plugged in, and which profiles are for them.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use sysinfo::{Disk, DiskKind, DiskRefreshKind, Disks};

use crate::cli::error::Exit;
use crate::cli::target::{is_for, known, pairings};
use crate::config::profile::{Pairing, Profile};
use crate::drive::device::{self, Device};
use crate::drive::mount;
use crate::drive::mounted::Mounted;
use crate::fs::probe::Names;
use crate::host::dirs;
use crate::pairing::admission;
use crate::pairing::verdict::{self, Verdict};
use crate::repository::format;
use crate::repository::python::reader;
use crate::repository::versioning::Keeping;
use crate::text::human;
use crate::text::sanitize::{self, line};

/// Show the drives that are plugged in and the profiles for them.
#[derive(Debug, clap::Args)]
pub struct DrivesArgs {
    /// Print a JSON array with one object per file system.
    #[arg(long)]
    pub json: bool,
}

/// One file system, as `drives --json` prints it.
#[derive(Debug, Serialize)]
struct Shown {
    device: String,
    label: Option<String>,
    uuid: Option<String>,
    #[serde(rename = "type")]
    fs_type: Option<String>,
    partuuid: Option<String>,
    partlabel: Option<String>,
    serial: Option<String>,
    /// What kind of medium the kernel takes it for, if it is mounted: `ssd`, or `hdd` (which it also
    /// calls most sticks). Only an illustration; nothing is decided by it.
    medium: Option<&'static str>,
    /// Size of the device in bytes.
    size: Option<u64>,
    /// Where it is mounted.
    mount_point: Option<String>,
    read_only: Option<bool>,
    /// Size of the mounted file system in bytes.
    total: Option<u64>,
    /// Bytes on it that a user may still fill.
    free: Option<u64>,
    /// Names of the profiles that it matches.
    profiles: Vec<String>,
    /// How it is tied to each of them.
    pairings: Vec<Tie>,
    /// What was found out about it when these profiles were backed up to it.
    repositories: Vec<Kept>,
    /// Profiles whose repository there the Python tool made, and no run has taken over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to_take_over: Vec<String>,
}

/// A repository on a mounted drive.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    pub(super) profile: String,
    /// How old versions are kept there.
    pub(super) keeps_versions: Keeping,
    /// Which names the drive takes.
    pub(super) names: Names,
}

/// How a drive is tied to a profile.
#[derive(Debug, Serialize)]
struct Tie {
    profile: String,
    /// `off`, `paired`, `not-paired` or `refused`.
    state: &'static str,
    /// When it was paired.
    since: Option<String>,
    /// Why it is refused, or what is to be known of it.
    why: Option<String>,
}

/// Prints the drives to `out`.
pub fn drives(args: &DrivesArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let mut present = device::present()?;
    present.sort_by(|a, b| a.node.cmp(&b.node));
    // An encrypted drive that is open is shown by what is in it.
    let open: Vec<_> =
        present.iter().filter_map(|device| Some(device.container.as_ref()?.devnum)).collect();
    present.retain(|device| !open.contains(&device.devnum));
    // What is wrong with a profile is the business of `check`.
    let profiles: Vec<Profile> =
        crate::config::load::load_all(&dirs::profile_dirs()).into_iter().flatten().collect();
    let media = media();
    let shown: Vec<Shown> = present.iter().map(|device| show(device, &profiles, &media)).collect();
    print(&shown, args.json, out)
}

fn show(device: &Device, profiles: &[Profile], media: &Media) -> Shown {
    let entry = mount::find(device).ok().flatten();
    let matching: Vec<&Profile> =
        profiles.iter().filter(|profile| is_for(profile, device).is_some()).collect();
    let mounted = entry.as_ref().and_then(|entry| mount::open(device, entry).ok());
    let kept = |profile: &&Profile| kept(device, mounted.as_ref()?, profile);
    let not_ours = |profile: &&&Profile| {
        mounted.as_ref().is_some_and(|mounted| is_not_taken_over(device, mounted, profile))
    };
    let space = entry.as_ref().and_then(|entry| space(&entry.point));
    Shown {
        to_take_over: matching
            .iter()
            .filter(not_ours)
            .map(|profile| profile.name.clone())
            .collect(),
        device: device.node.to_string_lossy().into_owned(),
        label: device.label.clone(),
        uuid: device.uuid.clone(),
        fs_type: device.fs_type.clone(),
        partuuid: device.partuuid.clone(),
        partlabel: device.partlabel.clone(),
        serial: device.serial.clone().or_else(|| device.serial_long.clone()),
        medium: media
            .iter()
            .find(|(node, _)| Path::new(node) == device.node)
            .map(|(_, medium)| *medium),
        size: device.size,
        mount_point: entry.as_ref().map(|entry| entry.point.to_string_lossy().into_owned()),
        read_only: entry.as_ref().map(crate::drive::mountinfo::MountEntry::read_only),
        total: space.map(|(total, _)| total),
        free: space.map(|(_, free)| free),
        pairings: matching.iter().map(|profile| tie(device, mounted.as_ref(), profile)).collect(),
        repositories: matching.iter().filter_map(kept).collect(),
        profiles: matching.iter().map(|profile| profile.name.clone()).collect(),
    }
}

/// How the drive is tied to the profile; one that is not mounted is not looked at.
fn tie(device: &Device, mounted: Option<&Mounted>, profile: &Profile) -> Tie {
    let drives = known(profile);
    let since = verdict::paired(&drives, device.uuid.as_deref()).map(|paired| paired.since.clone());
    let (state, why) = if profile.pairing == Pairing::Off {
        ("off", None)
    } else {
        let seen = mounted.map(|mounted| admission::admit(profile, device, mounted, &pairings()));
        match seen {
            Some(Err(refusal)) => ("refused", Some(refusal.why)),
            Some(Ok(seen)) => match seen.verdict {
                Verdict::Known | Verdict::Ahead(_) | Verdict::Returned => ("paired", seen.note),
                _ => ("not-paired", None),
            },
            None if since.is_some() => ("paired", None),
            None => ("not-paired", None),
        }
    };
    Tie { profile: profile.name.clone(), state, since, why }
}

/// The same for people.
fn tie_words(tie: &Tie) -> String {
    let day = |time: &String| time.get(..10).unwrap_or(time).to_owned();
    let state = match (tie.state, &tie.since) {
        ("paired", Some(since)) => format!("paired since {}", line(&day(since))),
        ("paired", None) => "paired".to_owned(),
        ("refused", _) => "refused".to_owned(),
        ("off", _) => "known by \"drive\" alone (\"pairing\": \"off\")".to_owned(),
        _ => "not paired".to_owned(),
    };
    let why = tie.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}: {state}{why}", line(&tie.profile))
}

/// What the profile's repository on the mounted drive says; `None` if there is none that can be read.
fn kept(device: &Device, mounted: &Mounted, profile: &Profile) -> Option<Kept> {
    let place = admission::place_of(profile, device, &known(profile));
    let tree = mounted.tree().ok()?.subtree(&place).ok()??;
    let format = format::read(&tree).ok()??;
    Some(Kept {
        profile: profile.name.clone(),
        keeps_versions: format.keeps_versions,
        names: format.names,
    })
}

/// Whether the Python tool made the profile's repository, and no run has taken it over.
fn is_not_taken_over(device: &Device, mounted: &Mounted, profile: &Profile) -> bool {
    let place = admission::place_of(profile, device, &known(profile));
    let tree = mounted.tree().ok().and_then(|drive| drive.subtree(&place).ok()?);
    tree.is_some_and(|tree| reader::is_not_taken_over(&tree))
}

/// How the profile's repository keeps versions, and what its drive cannot keep, for people.
fn kept_words(kept: &Kept) -> String {
    format!("{}: {}", line(&kept.profile), versions_words(kept))
}

/// The same without the profile.
pub(super) fn versions_words(kept: &Kept) -> String {
    let versions = match kept.keeps_versions {
        Keeping::Hardlink => {
            "hardlink: one file with a name in the mirror and one in its increment"
        }
        Keeping::Displace => {
            "displace: moved to its increment when replaced; owners, modes and links are in the lists alone"
        }
    };
    let names = match kept.names {
        Names::Any => "",
        Names::Text => "; names that are not UTF-8 are escaped",
        Names::Portable => {
            "; names that Windows refuses, or that differ by case alone, are escaped"
        }
        Names::Ascii => "; names with other than ASCII letters are escaped",
    };
    format!("{versions}{names}")
}

/// Device nodes and what kind of medium they are.
type Media = Vec<(OsString, &'static str)>;

/// The kinds of the mounted devices, as sysinfo tells them; asked for nothing that touches a drive.
fn media() -> Media {
    let Ok(mut disks) = Disks::new() else {
        return Vec::new();
    };
    disks.refresh_specifics(true, DiskRefreshKind::nothing().with_kind());
    let known = |disk: &Disk| match disk.kind() {
        DiskKind::SSD => Some((disk.name().to_owned(), "ssd")),
        DiskKind::HDD => Some((disk.name().to_owned(), "hdd")),
        DiskKind::Unknown(_) => None,
    };
    disks.iter().filter_map(known).collect()
}

/// Total and free bytes. Asked of the one mount that matters: the list that sysinfo makes asks every
/// mount, which a hung network mount blocks, and is empty once one mount point is not UTF-8.
fn space(point: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(point).ok()?;
    let unit = if stat.f_frsize > 0 { stat.f_frsize } else { stat.f_bsize };
    let bytes = |blocks: u64| blocks.checked_mul(unit);
    Some((bytes(stat.f_blocks)?, bytes(stat.f_bavail)?))
}

fn print(all: &[Shown], json: bool, out: &mut dyn Write) -> io::Result<Exit> {
    if json {
        crate::cli::output::print_json(&all, true, out)?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        writeln!(
            out,
            "No file system found. (Does udev run? Is the drive plugged in and unlocked?)"
        )?;
    }
    for drive in all {
        let label = drive.label.as_deref().unwrap_or("(no label)");
        let fs_type = drive.fs_type.as_deref().unwrap_or("?");
        let size = drive.size.map_or_else(|| "?".to_owned(), human::size);
        let parts = [drive.device.as_str(), label, fs_type].map(sanitize::line);
        let medium = drive.medium.map(|m| format!("  {m}")).unwrap_or_default();
        writeln!(out, "{}  {size}{medium}", parts.join("  "))?;
        for (name, value) in [
            ("uuid", &drive.uuid),
            ("partuuid", &drive.partuuid),
            ("partlabel", &drive.partlabel),
            ("serial", &drive.serial),
        ] {
            if let Some(value) = value {
                writeln!(out, "  {name:<10} {}", sanitize::line(value))?;
            }
        }
        match &drive.mount_point {
            Some(point) => {
                let free = match (drive.free, drive.total) {
                    (Some(free), Some(total)) => {
                        format!(", {} of {} free", human::size(free), human::size(total))
                    }
                    _ => String::new(),
                };
                let ro = if drive.read_only == Some(true) { ", read-only" } else { "" };
                writeln!(out, "  mounted    {}{free}{ro}", sanitize::line(point))?;
            }
            None if drive.fs_type.as_deref() == Some("crypto_LUKS") => {
                writeln!(out, "  locked (LUKS)")?;
            }
            None => writeln!(out, "  not mounted")?,
        }
        let profiles = match drive.profiles.as_slice() {
            [] => "none".to_owned(),
            names => sanitize::line(&names.join(", ")),
        };
        writeln!(out, "  profiles   {profiles}")?;
        for tie in &drive.pairings {
            writeln!(out, "  pairing    {}", tie_words(tie))?;
        }
        for kept in &drive.repositories {
            writeln!(out, "  versions   {}", kept_words(kept))?;
        }
        for profile in &drive.to_take_over {
            let words = "made by the Python backup-manager; the next run takes it over";
            writeln!(out, "  versions   {}: {words}", sanitize::line(profile))?;
        }
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_label_is_escaped_for_people_and_exact_in_json() {
        let device = Device {
            node: "/dev/sdb1".into(),
            label: Some("A\x1b[2J".to_owned()),
            fs_type: Some("vfat".to_owned()),
            uuid: Some("B4C4-F001".to_owned()),
            size: Some(15_500_000_000),
            ..Device::default()
        };
        let shown = [show(&device, &[], &Vec::new())];
        let mut text = Vec::new();
        print(&shown, false, &mut text).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r"
        /dev/sdb1  A\u{1b}[2J  vfat  16 GB
          uuid       B4C4-F001
          not mounted
          profiles   none
        ");
        let mut json = Vec::new();
        print(&shown, true, &mut json).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value[0]["label"], "A\x1b[2J");
        assert_eq!(value[0]["profiles"], serde_json::json!([]));
    }

    #[test]
    fn the_space_of_a_mounted_file_system() {
        let (total, free) = space(Path::new("/")).unwrap();
        assert!(total >= free && total > 0);
    }
}
