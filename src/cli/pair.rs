//! `pair`: ties a drive to a profile, and makes the profile if there is none. It never formats.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::drives::{Kept, space, versions_words};
use super::locate::{device_at, is_for, known, named_profiles, open_mount, pairings, release};
use super::{CliError, Exit};
use crate::agent::event::drive_of;
use crate::backup::RunError;
use crate::backup::place::Place;
use crate::config::{self, ConfigError, Pairing, Profile};
use crate::drive::device::Device;
use crate::drive::mount::Mounted;
use crate::drive::writable;
use crate::pairing::{self, Kind, Verdict};
use crate::repository::Repository;
use crate::sanitize::line;
use crate::{atomic_file, human, state_dir};

/// File systems that can only be read, here or anywhere.
const ONLY_READ: [&str; 5] = ["iso9660", "squashfs", "erofs", "cramfs", "apfs"];

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
    /// Keep the passphrase of an encrypted drive, so that it is unlocked when it is plugged in
    #[arg(long, hide = true)]
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
    /// In bytes.
    size: Option<u64>,
    /// Where the repository is on the drive.
    repository: PathBuf,
    #[serde(flatten)]
    kept: Kept,
    /// Whether it was paired before, and nothing had to be done.
    already: bool,
    /// The computer that it was paired with, if it was taken over.
    taken_over_from: Option<String>,
}

/// Pairs the drive.
pub fn pair(args: &PairArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    if args.store_passphrase {
        return Err(CliError::usage("--store-passphrase is not built yet"));
    }
    let device = device_at(&args.device)?;
    check_file_system(&device)?;
    let (profile, new) = profile_for(args, &device)?;
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
    let mounted = open_mount(&device, false).map_err(|error| CliError {
        message: format!("{}{}", error.message, format_hint(&device, &error.message)),
        ..error
    })?;
    let paired = pair_mounted(args, &profile, &device, &mounted);
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

/// Refuses what cannot take a backup, and says what would.
fn check_file_system(device: &Device) -> Result<(), CliError> {
    let node = device.node.display();
    if let Some(fs_type) = &device.fs_type
        && ONLY_READ.contains(&fs_type.as_str())
    {
        return Err(CliError::failed(format!(
            "{node} has a file system that cannot be written here ({}).{}",
            line(fs_type),
            format_words(device)
        )));
    }
    if device.has_file_system() {
        return Ok(());
    }
    Err(CliError::failed(if device.fs_usage.as_deref() == Some("crypto") {
        format!(
            "{node} is encrypted and locked. Unlock it (by a click in the file manager, or udisksctl unlock -b {node}), then pair what appears then: `bkm-agent drives` names it"
        )
    } else {
        match partitions(&device.node).as_slice() {
            [] => format!("{node} has no file system.{}", format_words(device)),
            parts => format!("{node} has partitions; name the one to use: {}", parts.join(", ")),
        }
    }))
}

/// How to make a file system, since the program never does.
fn format_words(device: &Device) -> String {
    format!(
        " bkm-agent never formats a drive. To make a file system for it, which erases all that is on it: sudo mkfs.ext4 -L BACKUP {}",
        device.node.display()
    )
}

fn format_hint(device: &Device, error: &str) -> String {
    if error.contains("has no driver") {
        format!(". If nothing on it is needed:{}", format_words(device))
    } else {
        String::new()
    }
}

/// The nodes of the disk's partitions.
fn partitions(node: &Path) -> Vec<String> {
    let Some(name) = node.file_name() else { return Vec::new() };
    let folder = Path::new("/sys/class/block").join(name);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let parts = entries.filter(|entry| entry.path().join("partition").exists());
    let mut parts: Vec<_> =
        parts.map(|part| format!("/dev/{}", part.file_name().to_string_lossy())).collect();
    parts.sort();
    parts
}

/// The profile that is meant; with the text of its file, if that is to be made.
fn profile_for(args: &PairArgs, device: &Device) -> Result<(Profile, Option<String>), CliError> {
    let source = args.src.as_deref().map(source_at).transpose()?;
    if let Some(name) = &args.profile {
        return match (config::find(&state_dir::profile_dirs(), name), source) {
            (Ok(profile), Some(source)) if profile.source != source => {
                Err(CliError::usage(format!(
                    "the profile {} is there and backs up {}; leave --src out, or give another name",
                    line(name),
                    line(&profile.source.to_string_lossy())
                )))
            }
            (Ok(profile), _) => Ok((profile, None)),
            (Err(ConfigError::NotFound { .. }), Some(source)) => made(name, &source, device),
            (Err(error), _) => Err(CliError::new(&error, Exit::Usage)),
        };
    }
    let (profiles, _) = match named_profiles(None, None) {
        Ok(found) => found,
        // Said already; a new one can be made all the same.
        Err(_) if source.is_some() => (Vec::new(), Exit::Done),
        Err(error) => return Err(error),
    };
    let names = |profiles: &[Profile]| {
        profiles.iter().map(|profile| line(&profile.name)).collect::<Vec<_>>().join(", ")
    };
    let mut fitting = profiles.clone();
    fitting.retain(|profile| match &source {
        Some(source) => profile.source == *source && drive_of(profile).is_some(),
        None => is_for(profile, device).is_some(),
    });
    match (<[Profile; 1]>::try_from(fitting), source) {
        (Ok([profile]), _) => Ok((profile, None)),
        (Err(several), _) if !several.is_empty() => Err(CliError::usage(format!(
            "which profile? Name one with --profile: {}",
            names(&several)
        ))),
        (Err(_), Some(source)) => made(&name_for(&source), &source, device),
        (Err(_), None) => {
            let node = device.node.display();
            let mut message = format!(
                "what is to be backed up to {}? Name a folder: bkm-agent pair {node} --src ~/Documents",
                device.name()
            );
            if !profiles.is_empty() {
                message.push_str("; or a profile with --profile: ");
                message.push_str(&names(&profiles));
            }
            Err(CliError::usage(message))
        }
    }
}

/// The folder that is to be backed up, without symbolic links in its path.
fn source_at(src: &Path) -> Result<PathBuf, CliError> {
    let at = match (src.strip_prefix("~"), state_dir::home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => src.to_owned(),
    };
    let wrong = |why: &str| CliError::usage(format!("{}: {why}", line(&at.to_string_lossy())));
    let source = std::fs::canonicalize(&at).map_err(|e| wrong(&e.to_string()))?;
    if source.is_dir() { Ok(source) } else { Err(wrong("not a folder")) }
}

/// A profile's name for a folder: `~/My Documents` is `my-documents`.
fn name_for(source: &Path) -> String {
    let name = source.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '_' | '.') { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "backup".to_owned() } else { name.to_owned() }
}

/// A profile that is not there yet, with its text. The drive is named by its UUID alone: by its label a
/// drive of the same name would be looked at as well, and a paired drive is known whatever its label.
fn made(name: &str, source: &Path, device: &Device) -> Result<(Profile, Option<String>), CliError> {
    let dirs = state_dir::profile_dirs();
    let file = dirs.first().cloned().unwrap_or_default().join(format!("{name}.json"));
    if file.exists() || config::find(&dirs, name).is_ok() {
        return Err(CliError::usage(format!(
            "a profile {} is there already, for something else; give the new one another name with --profile",
            line(name)
        )));
    }
    let at_home =
        state_dir::home().and_then(|home| source.strip_prefix(home).ok().map(Path::to_owned));
    let src = match &at_home {
        Some(rest) if !rest.as_os_str().is_empty() => Path::new("~").join(rest),
        _ => source.to_owned(),
    };
    let Some(src) = src.to_str() else {
        return Err(CliError::usage("a folder whose name is not UTF-8 cannot stand in a profile"));
    };
    let profile = serde_json::json!({ "drive": { "uuid": device.uuid }, "src": src });
    if device.uuid.is_none() {
        return Err(CliError::failed(format!(
            "the file system of {} has no number of its own (UUID), so it cannot be paired",
            device.name()
        )));
    }
    let text = format!("{profile:#}\n");
    match config::load_text(&file, name, &text) {
        Ok(profile) => Ok((profile, Some(text))),
        Err(error) => Err(CliError::new(&error, Exit::Usage)),
    }
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
    let mut place = pairing::place_of(profile, device, &known(profile));
    let mut already = false;
    let mut taken_over_from = None;
    match pairing::admit(profile, device, mounted, &pairings) {
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
    let tree = match at.existing().map_err(failed)? {
        Some(tree) => tree,
        None => at.create(profile.private).map_err(failed)?,
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
        pairing::pair(profile, device, &place, opened, &pairings)
            .map_err(|e| CliError::failed(pairing::failed(device, &e)))?;
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
        size: device.size.or_else(|| Some(space(&mounted.point)?.0)),
        repository: place,
        kept,
        already,
        taken_over_from,
    })
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
        return Ok(super::print_json(done, true, out)?);
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
    let already = if done.already { " already, and as it was left" } else { "" };
    writeln!(
        out,
        "Paired with this computer{already}. What next: plug it in and the backup starts, or"
    )?;
    writeln!(out, "  bkm-agent run --profile {}", line(&done.profile))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_called_after_its_folder() {
        for (folder, name) in [
            ("/home/anna/Documents", "documents"),
            ("/home/anna/My Documents", "my-documents"),
            ("/home/anna/.config", "config"),
            ("/home/anna/Фото", "фото"),
            ("/", "backup"),
        ] {
            assert_eq!(name_for(Path::new(folder)), name);
        }
    }
}
