//! `check`: whether the profiles are valid, and what they select.
//!
//! It only reads, and no drive needs to be there; one that is there and mounted is looked at for where
//! it is mounted.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::backup::place::folder_of;
use crate::cli::error::{CliError, Exit};
use crate::cli::target::no_profiles;
use crate::config::error::ConfigError;
use crate::config::load::{find, load_all, load_file};
use crate::config::profile::{Profile, drive_of};
use crate::config::summary::{CheckSummary, summary};
use crate::drive::device::{self, Device};
use crate::drive::mount;
use crate::fs::tree::handle::Tree;
use crate::model::problem::Problem;
use crate::repository::python::reader;
use crate::text::error_chain::in_words;
use crate::text::human::{count, size};
use crate::text::sanitize::line;

/// How many problems or notes of one profile are printed; JSON has all.
const SHOWN: usize = 20;

/// Check the profiles: whether they are valid, and what they select
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Check only this profile
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub profile: Option<String>,
    /// Check the profile in this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object per profile, each on a line
    #[arg(long)]
    pub json: bool,
}

/// Checks the profiles and prints what they select. [`Exit::Usage`] if one is invalid, else
/// [`Exit::Problems`] if a source could not be read as a whole; warnings do not count.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    check_in(args, &crate::host::dirs::profile_dirs(), out)
}

fn check_in(args: &CheckArgs, dirs: &[PathBuf], out: &mut dyn Write) -> Result<Exit, CliError> {
    let profiles = match (&args.config, &args.profile) {
        (Some(file), _) => vec![load_file(file)],
        (None, Some(name)) => vec![find(dirs, name)],
        (None, None) => load_all(dirs),
    };
    if profiles.is_empty() {
        return Err(no_profiles(dirs));
    }
    let mut exit = Exit::Done;
    for profile in profiles {
        let (report, this) = look_at(profile);
        let written = if args.json {
            writeln!(out, "{}", crate::text::sanitize::json(&report.to_json()))
        } else {
            report.print(out)
        };
        written?;
        exit = exit.and(this);
    }
    Ok(exit)
}

/// What there is to say about one profile.
enum Report {
    Invalid(String),
    Blind { profile: String, error: String },
    Selects(Box<CheckSummary>),
}

fn look_at(profile: Result<Profile, ConfigError>) -> (Report, Exit) {
    match profile {
        Err(error) => (Report::Invalid(in_words(&error)), Exit::Usage),
        Ok(profile) => match summary(&profile, mount_point(&profile).as_deref())
            .map(|summary| with_takeover(&profile, summary))
        {
            Ok(summary) if summary.problems.is_empty() => {
                (Report::Selects(Box::new(summary)), Exit::Done)
            }
            Ok(summary) => (Report::Selects(Box::new(summary)), Exit::Problems),
            Err(error) => {
                let report = Report::Blind { profile: profile.name, error: in_words(&error) };
                (report, Exit::Problems)
            }
        },
    }
}

/// Says that the repository there, if it can be seen, is the Python tool's.
fn with_takeover(profile: &Profile, mut summary: CheckSummary) -> CheckSummary {
    let place = folder_of(profile);
    let place = match drive_of(profile) {
        Some(_) => mount_point(profile).map(|point| point.join(place)),
        None => Some(place),
    };
    let tree = place.and_then(|place| Tree::open(&place).ok());
    if tree.is_some_and(|tree| reader::is_not_taken_over(&tree)) {
        let words = "the repository there was made by the Python backup-manager; the next run takes it over";
        summary.warnings.push(words.to_owned());
    }
    summary
}

/// Where the profile's drive is mounted now.
fn mount_point(profile: &Profile) -> Option<PathBuf> {
    let wanted = drive_of(profile)?;
    let mut devices = device::present().ok()?.into_iter().filter(Device::has_file_system);
    let device = devices.find(|device| device.matches(wanted))?;
    Some(mount::find(&device).ok()??.point)
}

impl Report {
    fn to_json(&self) -> String {
        match self {
            Self::Invalid(error) => {
                serde_json::json!({ "valid": false, "error": error }).to_string()
            }
            Self::Blind { profile, error } => {
                serde_json::json!({ "valid": true, "profile": profile, "error": error }).to_string()
            }
            Self::Selects(summary) => {
                let mut value = serde_json::json!({ "valid": true });
                if let (Some(object), Ok(serde_json::Value::Object(fields))) =
                    (value.as_object_mut(), serde_json::to_value(summary))
                {
                    object.extend(fields);
                }
                value.to_string()
            }
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let summary = match self {
            Self::Invalid(error) => return writeln!(out, "invalid: {}", line(error)),
            Self::Blind { profile, error } => {
                return writeln!(out, "{}\n  problem: {}", line(profile), line(error));
            }
            Self::Selects(summary) => summary,
        };
        writeln!(out, "{}", line(&summary.profile))?;
        writeln!(out, "  file:    {}", line(&summary.file))?;
        writeln!(out, "  source:  {}", line(&summary.source))?;
        let dist = line(&summary.dist);
        match &summary.drive {
            Some(drive) => {
                let drive = line(&drive.to_string());
                writeln!(out, "  to:      {dist} on the drive with {drive}")?;
            }
            None => writeln!(out, "  to:      {dist}")?,
        }
        writeln!(
            out,
            "  selects: {} ({}), {} of them tracked, in {}",
            count(summary.files, "file", "files"),
            size(summary.bytes),
            summary.tracked,
            count(summary.folders, "folder", "folders")
        )?;
        for rule in &summary.unmatched {
            writeln!(out, "  matches nothing: {}", line(rule))?;
        }
        print_some(out, "problem", &summary.problems)?;
        print_some(out, "note", &summary.notes)?;
        for warning in &summary.warnings {
            writeln!(out, "  warning: {}", line(warning))?;
        }
        Ok(())
    }
}

fn print_some(out: &mut dyn Write, what: &str, problems: &[Problem]) -> io::Result<()> {
    for problem in problems.iter().take(SHOWN) {
        writeln!(out, "  {what}: {}: {}", problem.path, line(&problem.reason))?;
    }
    match problems.len().checked_sub(SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "  {what}: {more} more; --json lists all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn run(args: &CheckArgs, dir: &Path) -> (String, Exit) {
        let mut out = Vec::new();
        let exit = check_in(args, &[dir.join("profiles")], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        (text.replace(&dir.display().to_string(), "/x"), exit)
    }

    const ALL: CheckArgs = CheckArgs { profile: None, config: None, json: false };

    fn place(dir: &Path, profile: &str) {
        fs::create_dir_all(dir.join("profiles")).unwrap();
        fs::create_dir_all(dir.join("docs")).unwrap();
        fs::write(dir.join("docs/a"), "x".repeat(1536)).unwrap();
        let text = profile.replace("/x", &dir.display().to_string());
        fs::write(dir.join("profiles/docs.json"), text).unwrap();
    }

    #[test]
    fn prints_what_a_profile_selects() {
        let dir = tempfile::tempdir().unwrap();
        place(
            dir.path(),
            r#"{ "src": "/x/docs", "dist": "there", "drive": { "label": "A\u001b" },
                "exclude_files": ["*.log"], "retention": { "keep_last": 3 } }"#,
        );
        let (text, exit) = run(&ALL, dir.path());
        assert_eq!(exit, Exit::Done);
        assert_eq!(
            text,
            r#"docs
  file:    /x/profiles/docs.json
  source:  /x/docs
  to:      there on the drive with label "A\u{1b}"
  selects: 1 file (1.5 kB), 1 of them tracked, in 0 folders
  matches nothing: exclude_files "*.log"
"#
        );
        let json = CheckArgs { json: true, ..ALL };
        let (text, _) = run(&json, dir.path());
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["valid"], true);
        assert_eq!(object["bytes"], 1536);
        assert_eq!(object["drive"]["label"], "A\u{1b}");
        assert_eq!(object["problems"], serde_json::json!([]));
    }

    #[test]
    fn an_invalid_profile_is_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        place(dir.path(), "{\n\"source\": \"/x\" }");
        let (text, exit) = run(&ALL, dir.path());
        assert_eq!(exit, Exit::Usage);
        assert!(text.starts_with("invalid: /x/profiles/docs.json:2: unknown field \"source\"; "));
        let named = CheckArgs { profile: Some("doc".into()), ..ALL };
        let (text, exit) = run(&named, dir.path());
        assert_eq!(exit, Exit::Usage);
        assert_eq!(text, "invalid: no profile \"doc\"; did you mean \"docs\"?\n");
    }

    #[test]
    fn a_source_that_is_not_there_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        place(dir.path(), r#"{ "src": "/x/gone", "dist": "/x/b" }"#);
        let (text, exit) = run(&ALL, dir.path());
        assert_eq!(exit, Exit::Problems);
        assert_eq!(
            text,
            "docs\n  problem: the source /x/gone is not there; is its disk mounted?\n"
        );
    }

    #[test]
    fn without_a_profile_it_says_where_to_put_one() {
        let dir = tempfile::tempdir().unwrap();
        let error = check_in(&ALL, &[dir.path().to_owned()], &mut Vec::new()).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.message.contains("pictures.json"), "{}", error.message);
    }
}
