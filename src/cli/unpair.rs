//! `unpair`: forgets a pairing, also of a drive that is not there. The backup stays.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use clap::Args;
use serde::Serialize;

use crate::cli::error::{CliError, Exit};
use crate::cli::target::{device_at, open_mount, pairings, release};
use crate::config::load;
use crate::config::profile::{Pairing, drive_of};
use crate::drive::device::{self, Device};
use crate::host::dirs;
use crate::pairing::admission;
use crate::pairing::store::Paired;
use crate::text::error_chain::in_words;
use crate::text::sanitize::line;

/// Forget that a drive is paired; the backup on it stays
#[derive(Debug, Args)]
pub struct UnpairArgs {
    /// The drive: its device node, its label, or the UUID of its file system
    #[arg(value_name = "DEV|LABEL|UUID")]
    pub drive: String,
    /// Only with this profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Print a JSON array with one object per pairing
    #[arg(long)]
    pub json: bool,
}

/// A pairing that is no more, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Ended {
    profile: String,
    label: Option<String>,
    uuid: String,
    /// Where the repository is on the drive.
    repository: String,
    /// Whether the mark was taken off the drive, as opposed to one that stays and does not count any more.
    mark_removed: bool,
}

/// Forgets the drive.
pub fn unpair(args: &UnpairArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let pairings = pairings();
    let all = pairings.all().map_err(|e| CliError::new(&e, Exit::Failed))?;
    let mut all: Vec<(String, Paired)> = all
        .into_iter()
        .flat_map(|(profile, drives)| drives.into_iter().map(move |d| (profile.clone(), d)))
        .collect();
    all.retain(|(profile, _)| args.profile.as_ref().is_none_or(|wanted| wanted == profile));
    let meant = meant(args, &all)?;
    let uuids: BTreeSet<_> = meant.iter().map(|(_, drive)| drive.uuid.to_lowercase()).collect();
    if uuids.len() > 1 {
        let uuids: Vec<_> = uuids.iter().map(|uuid| line(uuid)).collect();
        return Err(CliError::usage(format!(
            "several drives are called that; name one by its UUID: {}",
            uuids.join(", ")
        )));
    }
    let uuid = uuids.into_iter().next().unwrap_or_default();
    let removed = remove_marks(&uuid, &meant)?;
    let mut ended = Vec::new();
    for ((profile, drive), mark_removed) in meant.iter().zip(removed) {
        let forgotten = pairings.forget(profile, drive.id, !mark_removed);
        forgotten.map_err(|e| CliError::new(&e, Exit::Failed))?;
        ended.push(Ended {
            profile: profile.clone(),
            label: drive.label.clone(),
            uuid: drive.uuid.clone(),
            repository: drive.place.to_string_lossy().into_owned(),
            mark_removed,
        });
    }
    if args.json {
        crate::cli::output::print_json(&ended, true, out)?;
        return Ok(Exit::Done);
    }
    for one in &ended {
        print(one, out)?;
        let left = pairings.of(&one.profile).unwrap_or_default();
        if let Ok(profile) = load::find(&dirs::profile_dirs(), &one.profile)
            && profile.pairing == Pairing::FirstUse
            && left.is_empty()
            && let Some(wanted) = drive_of(&profile)
        {
            let wanted = line(&wanted.to_string());
            writeln!(
                out,
                "  the next drive with {wanted} will be paired by its first backup; \"pairing\": \"required\" in the profile prevents that"
            )?;
        }
    }
    Ok(Exit::Done)
}

/// The pairings of the drive that is named.
fn meant(args: &UnpairArgs, all: &[(String, Paired)]) -> Result<Vec<(String, Paired)>, CliError> {
    let is_meant: Box<dyn Fn(&Paired) -> bool> = if args.drive.starts_with('/') {
        let device = device_at(Path::new(&args.drive))?;
        Box::new(move |drive| has_uuid(&device, &drive.uuid))
    } else {
        Box::new(|drive| {
            drive.uuid.eq_ignore_ascii_case(&args.drive)
                || drive.label.as_ref() == Some(&args.drive)
        })
    };
    let meant: Vec<_> = all.iter().filter(|(_, drive)| is_meant(drive)).cloned().collect();
    if !meant.is_empty() {
        return Ok(meant);
    }
    let paired: BTreeSet<_> = all
        .iter()
        .map(|(profile, drive)| {
            let label = drive.label.as_deref().unwrap_or("(no label)");
            format!("{} {} ({})", line(label), line(&drive.uuid), line(profile))
        })
        .collect();
    let paired = Vec::from_iter(paired).join("; ");
    let paired =
        if paired.is_empty() { "no drive is".to_owned() } else { format!("only {paired}") };
    Err(CliError::failed(format!("{} is not paired; {paired}", line(&args.drive))))
}

fn has_uuid(device: &Device, uuid: &str) -> bool {
    device.uuid.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(uuid))
}

/// Takes the marks off the drive, if it is plugged in; says of each whether it is off.
fn remove_marks(uuid: &str, meant: &[(String, Paired)]) -> Result<Vec<bool>, CliError> {
    let mut present = device::present().map_err(|e| CliError::new(&e, Exit::Failed))?;
    present.retain(|device| has_uuid(device, uuid));
    // Of two that look the same nobody knows which is meant.
    let [device] = present.as_slice() else {
        return Ok(vec![false; meant.len()]);
    };
    let mounted = match open_mount(device, false) {
        Ok(mounted) => mounted,
        Err(error) => {
            crate::cli::output::say(&error.message);
            return Ok(vec![false; meant.len()]);
        }
    };
    let remove = |drive: &Paired| {
        let root = mounted.tree()?;
        admission::remove_mark(&root, &drive.place, drive.id)
    };
    let removed = meant.iter().map(|(_, drive)| {
        remove(drive).unwrap_or_else(|error| {
            crate::cli::output::say(&in_words(&error));
            false
        })
    });
    let removed = removed.collect();
    release(Some(mounted));
    Ok(removed)
}

fn print(one: &Ended, out: &mut dyn Write) -> Result<(), CliError> {
    let label = one.label.as_deref().unwrap_or(&one.uuid);
    writeln!(
        out,
        "{} is not paired with the profile {} any more. The backup on it stays: {}",
        line(label),
        line(&one.profile),
        line(&one.repository)
    )?;
    if !one.mark_removed {
        writeln!(out, "  its mark stays on it, and does not count any more")?;
    }
    Ok(())
}
