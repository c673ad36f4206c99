//! `run`: back up now, by hand.

use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;

use crate::backup::error::RunError;
use crate::backup::options::{Monitor as _, Options};
use crate::backup::place;
use crate::backup::plan::work::Action;
use crate::backup::report::RunReport;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::print_list;
use crate::cli::progress::Bar;
use crate::cli::signals;
use crate::cli::target::{
    device_at, drive_for, is_for, named_profiles, no_profile_for, no_profiles, open_mount, pairings,
};
use crate::config::profile::{Pairing, Profile, drive_of};
use crate::drive::device::{self, Device};
use crate::drive::mount;
use crate::drive::mounted::Mounted;
use crate::host::dirs;
use crate::job::backup_job::{self, JobError};
use crate::job::drive::{self, Release, Released, Unopened};
use crate::notify::texts::ended::Removal;
use crate::pairing::verdict::How;
use crate::state::memory::Store;
use crate::text::error_chain::in_words;
use crate::text::human;

/// Back up now
///
/// Without options: every profile whose drive is plugged in or that needs none.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Back up to the drive at this device node, e.g. /dev/sdb1
    #[arg(long, value_name = "DEV")]
    pub device: Option<PathBuf>,
    /// Only the profile with this name
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub profile: Option<String>,
    /// The profile in this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print what would be done; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on although so much of the source vanished or changed that a run stops and asks
    #[arg(long)]
    pub accept_mass_change: bool,
    /// Print one JSON object per profile
    #[arg(long)]
    pub json: bool,
}

/// Backs up, one profile after the other.
pub fn run(args: &RunArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let (profiles, mut exit) = named_profiles(args.profile.as_deref(), args.config.as_deref())?;
    let mut jobs = VecDeque::from(jobs(args, profiles)?);
    let stop = signals::stop_flag()?;
    while let Some((profile, device)) = jobs.pop_front() {
        let more = device.is_some() && jobs.iter().any(|(_, next)| *next == device);
        exit = exit.and(match one(args, &profile, device.as_ref(), more, &stop, out) {
            Ok(exit) => exit,
            Err(error) => {
                // A reader that went away is told nothing.
                if !error.message.is_empty() {
                    let name = crate::text::sanitize::line(&profile.name);
                    crate::cli::output::say(&format!("{name}: {}", error.message));
                }
                error.exit
            }
        });
        if exit == Exit::Stopped {
            break;
        }
    }
    Ok(exit)
}

/// What is to be backed up, and to which drive.
fn jobs(
    args: &RunArgs,
    profiles: Vec<Profile>,
) -> Result<Vec<(Profile, Option<Device>)>, CliError> {
    if args.profile.is_some() || args.config.is_some() {
        let with_drive = |profile: Profile| {
            let needed = drive_of(&profile).is_some() || args.device.is_some();
            let device = needed.then(|| drive_for(&profile, args.device.as_deref())).transpose()?;
            Ok((profile, device))
        };
        return profiles.into_iter().map(with_drive).collect();
    }
    if let Some(node) = &args.device {
        let device = device_at(node)?;
        let jobs: Vec<_> = profiles
            .into_iter()
            .filter(|profile| is_for(profile, &device).is_some())
            .map(|profile| (profile, Some(device.clone())))
            .collect();
        return if jobs.is_empty() { Err(no_profile_for(&device)) } else { Ok(jobs) };
    }
    if profiles.is_empty() {
        return Err(no_profiles(&dirs::profile_dirs()));
    }
    let present = device::present().map_err(|e| CliError::new(&e, Exit::Failed))?;
    let mut jobs = Vec::new();
    for profile in profiles {
        if drive_of(&profile).is_none() {
            jobs.push((profile, None));
            continue;
        }
        // An encrypted drive that is locked has nothing to be mounted.
        let devices = present.iter().filter(|device| device.has_file_system());
        let devices = devices.filter(|device| is_for(&profile, device).is_some());
        jobs.extend(devices.map(|device| (profile.clone(), Some(device.clone()))));
    }
    if jobs.is_empty() {
        return Err(CliError::failed(
            "no drive of a profile is plugged in (see `bkm-agent drives`)",
        ));
    }
    Ok(jobs)
}

/// One profile on its drive or folder. `more`: the next one goes to the same drive, which is not to be
/// pulled yet.
pub(crate) fn one(
    args: &RunArgs,
    profile: &Profile,
    device: Option<&Device>,
    more: bool,
    stop: &AtomicBool,
    out: &mut dyn Write,
) -> Result<Exit, CliError> {
    let bar = Bar::new(!args.json && !args.dry_run);
    let options = Options {
        dry_run: args.dry_run,
        accept_mass_change: args.accept_mass_change,
        stop,
        monitor: &bar,
        faults: None,
    };
    let store = Store::new(&dirs::state_dir());
    let remembered = device
        .cloned()
        .unwrap_or_else(|| Device { node: place::folder_of(profile), ..Device::default() });
    let remember = |state: &str, report: Option<&RunReport>| {
        if !args.dry_run {
            store.update(&profile.name, &remembered, |memory| {
                state.clone_into(&mut memory.state);
                if let Some(report) = report {
                    memory.complete(report.clone());
                }
            });
            if report.is_some() {
                store.settle(&profile.name, &remembered);
            }
        }
    };
    let pairings = pairings();
    let mut shown_at = None;
    // A locked drive is opened as the agent does it, and locked again afterwards.
    let opened = match device {
        Some(device) if device.is_luks() => Some(unlocked(device, profile)?),
        _ => None,
    };
    let (device, lock) = (opened.as_deref().or(device), opened.is_some());
    let (done, ending) = match device {
        None => (backup_job::run(profile, None, &pairings, &options), Ending::Folder),
        Some(device) => {
            let mounted = match mounted_for(profile, device, args.dry_run) {
                Ok(mounted) => mounted,
                Err(error) => {
                    // What was unlocked for this is locked again.
                    drop(drive::release(None, None, device, Release::AsFound, lock));
                    return Err(error);
                }
            };
            let done = backup_job::run(profile, Some((device, &mounted)), &pairings, &options);
            if let Ok(report) = &done.ran {
                bar.phase("unmounting");
                if mounted.is_ours() {
                    // Where we mount it is gone afterwards, and nobody looks for it there.
                    let on_drive = report.repository.strip_prefix(&mounted.point);
                    let folder = on_drive.unwrap_or(&report.repository).display();
                    shown_at = Some(format!("{folder} on {}", device.name()));
                }
            }
            let how = if args.dry_run { Release::AsFound } else { profile.after.into() };
            let released = drive::release(Some(mounted), None, device, how, lock);
            (done, Ending::Drive(released))
        }
    };
    bar.finish();
    if let Some(hook) = &done.hook {
        crate::cli::output::say(&in_words(hook));
    }
    match done.ran {
        Ok(report) => {
            remember(&ending.state(&report), Some(&report));
            if args.json {
                crate::cli::output::print_json(&report, false, out)?;
            } else {
                let repository =
                    shown_at.unwrap_or_else(|| report.repository.display().to_string());
                let last = ending.words().filter(|_| !more && !args.dry_run);
                print(&report, &repository, last.as_deref(), out)?;
            }
            match report.refused {
                Some(why) => {
                    Err(CliError::failed(format!("the run itself would be refused: {why}")))
                }
                None if report.problems.is_empty() => Ok(Exit::Done),
                None => Ok(Exit::Problems),
            }
        }
        Err(error) => {
            let exit = match &error {
                JobError::Run(RunError::Stopped { .. }) => Exit::Stopped,
                JobError::Hook(hook) if hook.stopped() => Exit::Stopped,
                JobError::Run(RunError::NeedsDrive { .. }) => Exit::Usage,
                _ => Exit::Failed,
            };
            let mut told = CliError::new(&error, exit);
            match &error {
                JobError::Refused(refusal) => remember(&format!("refused: {}", refusal.why), None),
                _ if exit == Exit::Stopped => {
                    remember(&told.message, None);
                    if let Some(words) = ending.words() {
                        told.message = format!("{}. {words}", told.message);
                    }
                }
                _ => remember(&format!("failed: {}", told.message), None),
            }
            Err(told)
        }
    }
}

/// Mounts the drive; one that is the profile's as far as this computer knows is put in order before.
fn mounted_for(profile: &Profile, device: &Device, dry_run: bool) -> Result<Mounted, CliError> {
    let known = profile.pairing == Pairing::Off || is_for(profile, device) == Some(How::Paired);
    if known && !dry_run {
        mount::find_or_mount_known(device).map_err(|e| CliError::new(&e, Exit::Failed))
    } else {
        open_mount(device, dry_run)
    }
}

/// What is in the locked drive.
fn unlocked(container: &Device, profile: &Profile) -> Result<Box<Device>, CliError> {
    drive::unlock(container, profile).map_err(|unopened| {
        let why = match unopened {
            Unopened::NotAuthorised => "you may not unlock it now".to_owned(),
            Unopened::No(why) => why,
        };
        let (node, name) = (container.node.display(), container.name());
        CliError::failed(format!(
            "{node} ({name}) is locked: {why}. Unlock it in the file manager, then try again"
        ))
    })
}

/// How the drive was left.
enum Ending {
    Folder,
    Drive(Released),
}

impl Ending {
    /// For the person who is about to pull it.
    fn words(&self) -> Option<String> {
        let Self::Drive(Released { removal, error, .. }) = self else { return None };
        let because = error.as_ref().map_or(String::new(), |why| format!(" ({why})"));
        Some(match removal {
            Removal::Safe => "Safe to remove.".to_owned(),
            Removal::EjectFirst => format!("Eject the drive before you pull it{because}."),
            Removal::Doubtful | Removal::Gone => {
                format!(
                    "The drive is unmounted, but not all may be written to it{because}: run the backup again."
                )
            }
        })
    }

    fn state(&self, report: &RunReport) -> String {
        let drive = match self {
            Self::Folder => "",
            Self::Drive(Released { removal: Removal::Safe, .. }) => ", safe to remove",
            Self::Drive(Released { removal: Removal::EjectFirst, .. }) => ", eject before you pull",
            Self::Drive(_) => ", but the drive could not be synced",
        };
        let problems = match report.problems.len() as u64 {
            0 => String::new(),
            n => format!(" with {}", human::count(n, "problem", "problems")),
        };
        format!("complete{problems}{drive}")
    }
}

/// Prints a report; `last` is what to do with the drive.
fn print(
    report: &RunReport,
    repository: &str,
    last: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let line = crate::text::sanitize::line;
    writeln!(out, "{} → {}", line(&report.profile), line(repository))?;
    if let Some(what) = &report.adopted {
        let done = if report.plan.is_some() { "to be taken over" } else { "taken over" };
        writeln!(out, "  {done}: {}", line(what))?;
    }
    if report.recovered {
        writeln!(out, "  an interrupted run was finished first")?;
    }
    if let Some(plan) = &report.plan {
        for planned in plan {
            let action = match planned.action {
                Action::New => "new",
                Action::Changed => "changed",
                Action::Touched => "touched",
                Action::Moved => "moved",
                Action::Deleted => "deleted",
            };
            match &planned.from {
                Some(from) => writeln!(out, "  {action:8} {from} → {}", planned.path)?,
                None => writeln!(out, "  {action:8} {}", planned.path)?,
            }
        }
    }
    let RunReport { new, changed, touched, moved, deleted, unchanged, .. } = report;
    writeln!(
        out,
        "  {new} new, {changed} changed, {touched} touched, {moved} moved, {deleted} deleted, {unchanged} unchanged"
    )?;
    let size = human::size(report.bytes_copied);
    if report.plan.is_some() {
        writeln!(out, "  {size} to copy; nothing was written (dry run)")?;
    } else {
        let time = human::duration(report.duration_s);
        let increment =
            report.increment.as_deref().unwrap_or("no increment: nothing tracked changed");
        writeln!(out, "  {size} copied in {time}; {increment}")?;
    }
    if !report.pruned.is_empty() {
        let pruned = human::count(report.pruned.len() as u64, "old increment", "old increments");
        writeln!(out, "  {pruned} removed, {} freed", human::size(report.freed))?;
    }
    if let Some(note) = &report.pairing {
        writeln!(out, "  {note}")?;
    }
    for warning in &report.warnings {
        writeln!(out, "  warning: {}", line(warning))?;
    }
    print_list("problem", "problems", &report.problems, out)?;
    print_list("note", "notes", &report.notes, out)?;
    if let Some(last) = last {
        writeln!(out, "  {last}")?;
    }
    Ok(())
}
