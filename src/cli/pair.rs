//! `pair`: ties a drive to a profile, and makes the profile if there is none. It never formats.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::backup::error::RunError;
use crate::backup::place::Place;
use crate::cli::drives::{Kept, versions_words};
use crate::cli::error::{CliError, Exit};
use crate::cli::file_system::{check_file_system, format_hint};
use crate::cli::new_profile::profile_for;
use crate::cli::passphrase;
use crate::cli::target::{device_at, known, open_mount, pairings, release};
use crate::config::profile::{Pairing, Profile, drive_of};
use crate::desktop::secrets;
use crate::drive::device::Device;
use crate::drive::mounted::Mounted;
use crate::drive::{luks, writable};
use crate::fs::tree::error::TreeError;
use crate::host::atomic_file;
use crate::pairing::admission;
use crate::pairing::verdict::{Kind, Verdict};
use crate::repository::handle::Repository;
use crate::repository::mark;
use crate::text::human;
use crate::text::sanitize::line;

/// Pair a drive with a profile, so that no other drive passes for it
///
/// With --src the profile is made as well: on a blank drive this is the whole set-up. Nothing on the
/// drive is formatted or removed.
#[derive(Debug, Args)]
pub struct PairArgs {
    /// The drive's device node, e.g. /dev/sdb1
    #[arg(value_name = "DEV")]
    pub device: PathBuf,
    /// The profile; one more drive for it if it has some
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// The folder to back up; a profile is made for it if there is none
    #[arg(long, value_name = "DIR")]
    pub src: Option<PathBuf>,
    /// Do not ask before a drive is taken over that is paired with another computer
    #[arg(long)]
    pub take_over: bool,
    /// Ask for the passphrase of an encrypted drive that is locked, and keep it in your keyring, so that
    /// the drive is unlocked when it is plugged in
    #[arg(long)]
    pub store_passphrase: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What was done, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Done {
    profile: String,
    /// The profile's file.
    file: PathBuf,
    /// Whether that was made now.
    made: bool,
    source: PathBuf,
    device: String,
    label: Option<String>,
    uuid: Option<String>,
    #[serde(rename = "type")]
    fs_type: Option<String>,
    /// Size of the device in bytes.
    size: Option<u64>,
    /// Where the repository is on the drive.
    repository: PathBuf,
    #[serde(flatten)]
    kept: Kept,
    /// Other backups of a profile of this name on the drive, which are not gone on with.
    others: Vec<PathBuf>,
    /// Whether it was paired before, and nothing had to be done.
    already: bool,
    /// The computer that it was paired with, if it was taken over.
    taken_over_from: Option<String>,
}

/// Pairs the drive.
pub fn pair(args: &PairArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    if let Some(name) = &args.profile
        && (name.contains('/') || name.starts_with('.'))
    {
        return Err(CliError::usage(format!(
            "{}: a profile's name has no \"/\" and does not begin with a dot",
            line(name)
        )));
    }
    let named = device_at(&args.device)?;
    if !args.store_passphrase {
        return pair_open(args, &named, out);
    }
    if !named.is_luks() {
        return Err(CliError::usage(format!(
            "{} is no locked encrypted drive: lock it first, so that the passphrase can be tried, and name the locked one",
            args.device.display()
        )));
    }
    let passphrase = passphrase::ask(&named)?;
    let open = luks::unlock(&named, passphrase.bytes())
        .map_err(|error| CliError::new(&error, Exit::Failed))?;
    let paired = pair_open(args, &open, out).and_then(|exit| {
        let uuid = named.uuid.as_deref().unwrap_or_default();
        let label = format!("Passphrase of {} for bkm-agent", named.name());
        secrets::store(uuid, &label, &passphrase)
            .map_err(|error| CliError::failed(format!("paired, but not stored: {error}")))?;
        Ok(exit)
    });
    // It was locked before.
    if let Err(error) = luks::lock(&named) {
        crate::cli::output::say(&crate::text::error_chain::in_words(&error));
    }
    paired
}

/// Pairs a drive whose file system is there.
fn pair_open(args: &PairArgs, device: &Device, out: &mut dyn Write) -> Result<Exit, CliError> {
    check_file_system(device)?;
    let (profile, new) = profile_for(args.profile.as_deref(), args.src.as_deref(), device)?;
    if drive_of(&profile).is_none() {
        return Err(CliError::usage(format!(
            "the profile {} is for a folder and not for a drive: take \"dist\" out and write \"drive\" into {}",
            line(&profile.name),
            profile.file.display()
        )));
    }
    if profile.pairing == Pairing::Off {
        return Err(CliError::usage(format!(
            "the profile {} says \"pairing\": \"off\"; take that out of {} first",
            line(&profile.name),
            profile.file.display()
        )));
    }
    let mounted = open_mount(device, false).map_err(|error| CliError {
        message: format!("{}{}", error.message, format_hint(device, &error.message)),
        ..error
    })?;
    let paired = pair_mounted(args, &profile, device, &mounted);
    release(Some(mounted));
    let mut done = paired?;
    if let Some(text) = new {
        atomic_file::replace(&profile.file, text.as_bytes()).map_err(|error| {
            CliError::failed(format!(
                "{}: cannot be written: {error}; the drive is paired, write the profile by hand:\n{text}",
                profile.file.display()
            ))
        })?;
        done.made = true;
    }
    print(&done, args.json, out)?;
    Ok(Exit::Done)
}

fn pair_mounted(
    args: &PairArgs,
    profile: &Profile,
    device: &Device,
    mounted: &Mounted,
) -> Result<Done, CliError> {
    if mounted.read_only() {
        return Err(CliError::failed(format!(
            "{} is mounted read-only at {} (a switch on it, or errors: check it with fsck)",
            device.name(),
            line(&mounted.point.to_string_lossy())
        )));
    }
    let pairings = pairings();
    let mut place = admission::place_of(profile, device, &known(profile));
    let mut already = false;
    let mut taken_over_from = None;
    match admission::admit(profile, device, mounted, &pairings) {
        Ok(admission) => {
            // With a note there is something new, such as another place.
            already = matches!(admission.verdict, Verdict::Known) && admission.note.is_none();
            place = admission.place;
        }
        Err(refusal) => match refusal.kind {
            Kind::NoUuid | Kind::Memory | Kind::Unreadable => {
                return Err(CliError::failed(refusal.to_string()));
            }
            Kind::Foreign(computer) => {
                ask(args, device, &computer)?;
                taken_over_from = Some(computer);
            }
            Kind::Reinstalled(computer) => taken_over_from = Some(computer),
            Kind::NotPaired
            | Kind::LookAlike
            | Kind::MarkGone
            | Kind::Forged
            | Kind::Damaged(_)
            | Kind::Copied
            | Kind::OtherMark
            | Kind::Behind(_) => {}
        },
    }
    writable::check(mounted, &place).map_err(|e| CliError::new(&e, Exit::Failed))?;
    let failed = |error: RunError| CliError::new(&error, Exit::Failed);
    let at = Place::Drive(mounted, &place);
    let (tree, others) = if let Some(tree) = at.existing().map_err(failed)? {
        (tree, Vec::new())
    } else {
        let others = others(mounted, &profile.name).map_err(|e| failed(e.into()))?;
        (at.create(profile.private).map_err(failed)?, others)
    };
    let opened = match Repository::open(&tree).map_err(|e| failed(e.into()))? {
        Some(repository) => repository,
        None => Repository::create(&tree).map_err(|e| failed(e.into()))?,
    };
    let format = opened.format();
    let kept = Kept {
        profile: profile.name.clone(),
        keeps_versions: format.keeps_versions,
        names: format.names,
    };
    if already {
        drop(opened);
    } else {
        admission::pair(profile, device, &place, opened, &pairings)
            .map_err(|e| CliError::failed(admission::failed(device, &e)))?;
    }
    Ok(Done {
        profile: profile.name.clone(),
        file: profile.file.clone(),
        made: false,
        source: profile.source.clone(),
        device: device.node.to_string_lossy().into_owned(),
        label: device.label.clone(),
        uuid: device.uuid.clone(),
        fs_type: device.fs_type.clone(),
        size: device.size,
        repository: place,
        kept,
        others,
        already,
        taken_over_from,
    })
}

/// Where on the drive backups of a profile of this name lie in the usual place of other computers: the host
/// may have been called otherwise once.
fn others(mounted: &Mounted, profile: &str) -> Result<Vec<PathBuf>, TreeError> {
    /// More than there are computers.
    const MOST: usize = 10_000;
    let root = mounted.tree()?;
    let above = Path::new("Backups");
    if root.stat(above)?.is_none_or(|found| !found.file_type.is_dir()) {
        return Ok(Vec::new());
    }
    let mut others = Vec::new();
    for computer in root.list(above, MOST)? {
        let place = above.join(computer).join(profile);
        if let Ok(Some(tree)) = root.subtree(&place)
            && mark::has_repository(&tree)?
        {
            others.push(place);
        }
    }
    Ok(others)
}

/// Asks before a drive is taken from another computer.
fn ask(args: &PairArgs, device: &Device, computer: &str) -> Result<(), CliError> {
    let what = format!("{} is paired with another computer, {}", device.name(), line(computer));
    if args.take_over {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(CliError::failed(format!(
            "{what}. With --take-over it is paired with this one instead, goes on with the backup that is on it, and that one refuses it from then on"
        )));
    }
    write!(
        io::stderr(),
        "{what}. Take it over, go on with the backup that is on it, and let that one refuse it from then on? [y/N] "
    )?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(CliError::failed("nothing was changed"))
    }
}

fn print(done: &Done, json: bool, out: &mut dyn Write) -> Result<(), CliError> {
    if json {
        return Ok(crate::cli::output::print_json(done, true, out)?);
    }
    let size = done.size.map_or_else(|| "?".to_owned(), human::size);
    let parts = [
        done.device.as_str(),
        done.label.as_deref().unwrap_or("(no label)"),
        done.fs_type.as_deref().unwrap_or("?"),
    ];
    writeln!(out, "{}  {size}", parts.map(line).join("  "))?;
    let made = if done.made { ", made now" } else { "" };
    let show = |path: &Path| line(&path.to_string_lossy());
    writeln!(out, "  profile    {} ({}{made})", line(&done.profile), show(&done.file))?;
    writeln!(out, "  source     {}", show(&done.source))?;
    writeln!(out, "  repository {}", show(&done.repository))?;
    writeln!(out, "  versions   {}", versions_words(&done.kept))?;
    if let Some(computer) = &done.taken_over_from {
        writeln!(out, "  it was paired by {} before", line(computer))?;
    }
    for other in &done.others {
        writeln!(
            out,
            "  there is a backup at {} as well; to go on with that one, write \"dist\": {} into the profile and pair again",
            show(other),
            crate::text::sanitize::json(
                &serde_json::Value::from(&*other.to_string_lossy()).to_string()
            )
        )?;
    }
    let already = if done.already { " already, and as it was left" } else { "" };
    writeln!(
        out,
        "Paired with this computer{already}. What next: plug it in and the backup starts, or"
    )?;
    writeln!(out, "  bkm-agent run --profile {}", line(&done.profile))?;
    Ok(())
}
