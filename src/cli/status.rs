//! `bkm-agent status`: what this computer remembers of each profile and drive. Reads only the state
//! folder: the drives may lie in the cupboard.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use crate::agent::reminder::is_overdue;
use crate::cli::error::Exit;
use crate::config::profile::Profile;
use crate::host::dirs;
use crate::state::memory::{Memory, Store};
use crate::text::{human, sanitize};

/// Show the last runs of each profile and drive.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Print a JSON array with one object per profile and drive.
    #[arg(long)]
    pub json: bool,
    /// Print figures for Prometheus, as its collector of text files reads them.
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
}

/// Prints what is remembered to `out`.
pub fn status(args: &StatusArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let all = Store::new(&dirs::state_dir()).all();
    if args.prometheus {
        out.write_all(crate::cli::prometheus::text(&all).as_bytes())?;
        return Ok(Exit::Done);
    }
    let profiles: Vec<Profile> =
        crate::config::load::load_all(&dirs::profile_dirs()).into_iter().flatten().collect();
    print(&standings(&all, &profiles, Timestamp::now()), args.json, out)
}

/// What is remembered of a profile on a drive, and whether the profile's backup has become old.
#[derive(Debug, Serialize)]
struct Standing<'a> {
    #[serde(flatten)]
    memory: &'a Memory,
    /// Whether the last complete run, on whichever drive, is older than the profile's `remind_after`.
    overdue: bool,
}

fn standings<'a>(all: &'a [Memory], profiles: &[Profile], now: Timestamp) -> Vec<Standing<'a>> {
    let is_old = |name: &str| {
        let profile = profiles.iter().find(|profile| profile.name == name)?;
        let of_drives = all.iter().filter(|memory| memory.profile == name);
        let last = of_drives.filter_map(Memory::completed_at).max();
        Some(is_overdue(profile.remind_after?, last, now))
    };
    let stand = |memory: &'a Memory| {
        let overdue = is_old(&memory.profile).unwrap_or_default();
        Standing { memory, overdue }
    };
    all.iter().map(stand).collect()
}

fn print(all: &[Standing<'_>], json: bool, out: &mut dyn Write) -> io::Result<Exit> {
    if json {
        crate::cli::output::print_json(&all, true, out)?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        writeln!(out, "No backup was made or tried on this computer yet.")?;
    }
    for Standing { memory, overdue } in all {
        let drive = &memory.drive;
        let name = drive.label.as_ref().or(drive.uuid.as_ref());
        let name = name.unwrap_or(&drive.node);
        writeln!(
            out,
            "{} → {}: {}",
            sanitize::line(&memory.profile),
            sanitize::line(name),
            sanitize::line(&memory.state)
        )?;
        let seen = memory.last_seen.as_deref().unwrap_or("never");
        let complete = memory.last_complete.as_deref().unwrap_or("never");
        let old =
            if *overdue { "  (overdue: older than the profile's \"remind_after\")" } else { "" };
        writeln!(out, "  last complete  {}{old}", sanitize::line(complete))?;
        writeln!(out, "  last seen      {}", sanitize::line(seen))?;
        if let Some(verified) = &memory.last_verified {
            writeln!(out, "  last verified  {}", sanitize::line(verified))?;
        }
        if let Some(run) = &memory.last_run {
            writeln!(
                out,
                "  last run       {} new, {} changed, {} moved, {} deleted, {} in {}",
                run.new,
                run.changed,
                run.moved,
                run.deleted,
                human::size(run.bytes_copied),
                human::duration(run.duration_s)
            )?;
            if !run.problems.is_empty() {
                let problems = human::count(run.problems.len() as u64, "problem", "problems");
                writeln!(out, "                 {problems}")?;
            }
        }
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::report::RunReport;
    use crate::state::memory::Drive;

    fn memory() -> Memory {
        Memory {
            profile: "docs".to_owned(),
            drive: Drive { label: Some("A\x1bB".to_owned()), ..Drive::default() },
            state: "safe to remove".to_owned(),
            last_complete: Some("2026-11-23T09:15:00+01:00".to_owned()),
            last_run: Some(RunReport { new: 3, bytes_copied: 1_500_000, ..RunReport::default() }),
            ..Memory::default()
        }
    }

    #[test]
    fn lines_for_people() {
        let mut out = Vec::new();
        let all = [memory()];
        print(&standings(&all, &[], Timestamp::now()), false, &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        docs → A\u{1b}B: safe to remove
          last complete  2026-11-23T09:15:00+01:00
          last seen      never
          last run       3 new, 0 changed, 0 moved, 0 deleted, 1.5 MB in 0 s
        ");
    }

    #[test]
    fn one_object_per_profile_and_drive() {
        let mut out = Vec::new();
        let all = [memory()];
        print(&standings(&all, &[], Timestamp::now()), true, &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let object = value.as_array().unwrap()[0].as_object().unwrap();
        let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "drive",
                "last_complete",
                "last_run",
                "last_seen",
                "last_verified",
                "overdue",
                "profile",
                "state"
            ]
        );
    }

    #[test]
    fn a_backup_that_became_old_on_all_drives_is_marked() {
        let text = r#"{ "src": "/s", "drive": { "label": "A" }, "remind_after": "2w" }"#;
        let mut profile = crate::config::check::check_text(text).unwrap();
        profile.name = "docs".to_owned();
        let mut newer = memory();
        newer.last_complete = Some("2026-11-28T09:15:00+01:00".to_owned());
        let all = [memory(), newer, Memory { profile: "other".to_owned(), ..memory() }];
        let marks = |now: &str| -> Vec<bool> {
            let all = standings(&all, std::slice::from_ref(&profile), now.parse().unwrap());
            all.iter().map(|standing| standing.overdue).collect()
        };
        assert_eq!(marks("2026-12-10T00:00:00Z"), [false, false, false]);
        assert_eq!(marks("2026-12-13T00:00:00Z"), [true, true, false]);
    }
}
