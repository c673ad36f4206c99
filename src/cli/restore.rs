//! `restore`: get files back.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write, stderr, stdin};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::tz::TimeZone;

use crate::backup::options::Monitor as _;
use crate::cli::error::{CliError, Exit};
use crate::cli::progress::Bar;
use crate::cli::source_path::in_source;
use crate::cli::target::{Held, Which};
use crate::cli::{restore_report, signals};
use crate::fs::tree::handle::Tree;
use crate::history::point;
use crate::history::timeline::{self, Versions};
use crate::model::relpath::RelPath;
use crate::restore::error::RestoreError;
use crate::restore::options::{Existing, How};
use crate::restore::owners::Owners;
use crate::restore::run::{preview, restore as bring_back};
use crate::restore::script::{Script, ScriptError};
use crate::restore::selection::{Amount, Selection};
use crate::text::human;

/// Restore files, folders or the whole tree
///
/// Paths are those of the source; below DIR they are laid out as they were there. Without PATH and
/// --mask everything is restored. Without --at the files come as of the last backup; with it the
/// tracked files come as of then (files that are only mirrored have no history).
///
/// A file that exists with the same content is left as it is. One that differs stays, too, and is named as
/// a problem, unless --missing, --overwrite or --keep-both says otherwise. Nothing is ever deleted.
/// A restore that was stopped goes on when the same command is given again.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct RestoreArgs {
    /// Files or folders, relative to the source (or absolute, inside it)
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What matches this pattern: against the name, or against the path if it has a `/`
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    mask: Vec<String>,
    /// Where to, made if it does not exist; without it to the original place, after a question
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// As of this increment (see `list`) or time: 2026-11-23, '2026-11-23 09:15'
    #[arg(long, value_name = "INCREMENT|TIME")]
    at: Option<String>,
    /// Restore only what is missing; leave what exists
    #[arg(long, group = "existing")]
    missing: bool,
    /// Replace files that exist and differ, and put attributes right
    #[arg(long, group = "existing")]
    overwrite: bool,
    /// Restore beside files that exist and differ, as in `report (2026-11-23 09.15).odt`
    #[arg(long, group = "existing")]
    keep_both: bool,
    /// Show what would be done; write nothing
    #[arg(long, conflicts_with = "script")]
    dry_run: bool,
    /// Do not ask before restoring to the original place
    #[arg(long, short)]
    yes: bool,
    /// Give the files of one user to another, by name or number, e.g. 1000:1001; as root
    #[arg(long, value_name = "FROM:TO")]
    map_owner: Vec<String>,
    /// Give the files of one group to another, by name or number
    #[arg(long, value_name = "FROM:TO")]
    map_group: Vec<String>,
    /// Give set-user-ID and set-group-ID bits back as well; else they are left off, and named
    #[arg(long)]
    keep_set_id: bool,
    /// Write a shell script that does it instead, for a computer without this program
    #[arg(long, value_name = "FILE", conflicts_with = "existing")]
    script: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is asked for, found in the backup.
struct Wanted {
    selection: Selection,
    versions: Versions,
    amount: Amount,
    how: How,
    /// Where to.
    to: PathBuf,
}

/// Restores what is asked for.
pub fn restore(args: &RestoreArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    if args.to.is_none() {
        check_original(args)?;
    }
    let held = args.which.hold()?;
    let done = with(args, &held, out);
    held.close();
    done
}

/// Whether there is an original place, and somebody who can be asked.
fn check_original(args: &RestoreArgs) -> Result<(), CliError> {
    if args.which.repo.is_some() {
        return Err(CliError::usage(
            "with --repo name a place with --to: the original place is known to a profile only",
        ));
    }
    let can_ask = stdin().is_terminal() && stderr().is_terminal();
    if !(args.yes || args.dry_run || args.script.is_some() || can_ask) {
        return Err(CliError::usage(
            "this restores to the original place, and nobody can be asked: say --yes, look first with \
             --dry-run, or name another place with --to DIR",
        ));
    }
    Ok(())
}

fn with(args: &RestoreArgs, held: &Held, out: &mut dyn Write) -> Result<Exit, CliError> {
    let wanted = wanted(args, held)?;
    if let Some(file) = &args.script {
        return write_script(args, held, &wanted, file, out);
    }
    if args.dry_run {
        return dry_run(args, held, &wanted, out);
    }
    if args.to.is_none() && !args.yes && !agreed(&wanted)? {
        return Err(CliError::failed("nothing was restored"));
    }
    make_destination(args, &wanted.to)?;
    let destination = Tree::open(&wanted.to).map_err(|e| CliError::new(&e, Exit::Failed))?;
    let stop = signals::stop_flag()?;
    let bar = Bar::new(!args.json);
    bar.begin("restoring", wanted.amount.bytes);
    let done = bring_back(
        &held.opened.tree,
        &wanted.versions,
        &wanted.selection,
        &destination,
        wanted.how,
        &stop,
        &|bytes| bar.copied(0, bytes),
    );
    bar.finish();
    let done = done.map_err(|e| failed(&e))?;
    if args.json {
        crate::cli::output::print_json(&done, false, out)?;
    } else {
        restore_report::print(&done, &wanted.to, out)?;
    }
    Ok(if done.problems.is_empty() { Exit::Done } else { Exit::Problems })
}

fn dry_run(
    args: &RestoreArgs,
    held: &Held,
    wanted: &Wanted,
    out: &mut dyn Write,
) -> Result<Exit, CliError> {
    let destination = match std::fs::symlink_metadata(&wanted.to) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        _ => Some(Tree::open(&wanted.to).map_err(|e| CliError::new(&e, Exit::Failed))?),
    };
    let stop = signals::stop_flag()?;
    let bar = Bar::new(!args.json);
    bar.begin("comparing", wanted.amount.bytes);
    let found = preview(
        &held.opened.tree,
        &wanted.versions,
        &wanted.selection,
        destination.as_ref(),
        wanted.how.clone(),
        &stop,
        &|bytes| bar.copied(0, bytes),
    );
    bar.finish();
    let found = found.map_err(|e| failed(&e))?;
    if args.json {
        crate::cli::output::print_json(&found, false, out)?;
    } else {
        restore_report::print_preview(&found, &wanted.to, out)?;
    }
    Ok(if found.problems.is_empty() { Exit::Done } else { Exit::Problems })
}

fn write_script(
    args: &RestoreArgs,
    held: &Held,
    wanted: &Wanted,
    file: &Path,
    out: &mut dyn Write,
) -> Result<Exit, CliError> {
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|e| CliError::failed(format!("cannot tell where {} is: {e}", path.display())))
    };
    let script = Script {
        repository: &held.opened.tree,
        index: &held.reading.index,
        versions: &wanted.versions,
        as_of: args.at.as_deref().unwrap_or("the last backup"),
        from: &absolute(held.opened.tree.shown())?,
        to: &absolute(&wanted.to)?,
        how: &wanted.how,
    };
    let shown = crate::text::sanitize::line(&file.to_string_lossy());
    let made = File::options().write(true).create_new(true).mode(0o700).open(file);
    let made = made.map_err(|e| CliError::failed(format!("cannot make {shown}: {e}")))?;
    let mut made = BufWriter::new(made);
    let stop = signals::stop_flag()?;
    let written = script.write(&wanted.selection, &stop, &mut made);
    let written = written.and_then(|written| {
        made.flush()?;
        made.get_ref().sync_all()?;
        Ok(written)
    });
    let written = written.map_err(|e| {
        // A part of a script would restore a part.
        drop(std::fs::remove_file(file));
        match e {
            ScriptError::Restore(e) => failed(&e),
            e @ ScriptError::Write(_) => CliError::new(&e, Exit::Failed),
        }
    })?;
    if args.json {
        let object = serde_json::json!({
            "script": file.to_string_lossy(), "files": written.files, "problems": written.problems,
        });
        crate::cli::output::print_json(&object, false, out)?;
    } else {
        let files = human::count(written.files, "file", "files");
        writeln!(
            out,
            "wrote {shown}, which restores {files} to {}",
            restore_report::shown(&wanted.to)
        )?;
        crate::cli::output::print_list("problem", "problems", &written.problems, out)?;
    }
    Ok(if written.problems.is_empty() { Exit::Done } else { Exit::Problems })
}

fn failed(e: &RestoreError) -> CliError {
    let exit = match e {
        RestoreError::Stopped(_) => Exit::Stopped,
        RestoreError::Mask { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    CliError::new(e, exit)
}

fn wanted(args: &RestoreArgs, held: &Held) -> Result<Wanted, CliError> {
    let source = held.opened.profile.as_ref().map(|profile| profile.source.as_path());
    let paths: Vec<RelPath> = args
        .paths
        .iter()
        .map(|path| in_source(path, source))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    // `restore .` means everything, also beside other paths.
    let everything = !args.paths.is_empty() && paths.len() < args.paths.len();
    let selection = if everything {
        Selection::new(Vec::new(), &[])
    } else {
        Selection::new(paths, &args.mask)
    }
    .map_err(|e| failed(&e))?;
    let how = How {
        existing: match (args.missing, args.overwrite, args.keep_both) {
            (true, _, _) => Existing::Leave,
            (_, true, _) => Existing::Replace,
            (_, _, true) => Existing::KeepBoth,
            _ => Existing::Name,
        },
        keep_set_id: args.keep_set_id,
        owners: owners(args)?,
    };
    let to = match (&args.to, source) {
        (Some(to), _) => to.clone(),
        (None, Some(source)) => source.to_owned(),
        (None, None) => return Err(CliError::usage("name a place with --to")),
    };
    refuse_repository(&held.opened.tree, &to)?;
    let versions = versions(args, held)?;
    // Before the destination is made: a name that was mistyped leaves no empty folder.
    let amount = selection.amount(&versions).map_err(|e| failed(&e))?;
    Ok(Wanted { selection, versions, amount, how, to })
}

fn owners(args: &RestoreArgs) -> Result<Owners, CliError> {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (passwd, group) = (text("/etc/passwd"), text("/etc/group"));
    Owners::parse(&args.map_owner, &args.map_group, &passwd, &group)
        .map_err(|e| CliError::new(&e, Exit::Usage))
}

/// What lies in the repository is the backup itself: restoring into it would change what is kept.
fn refuse_repository(repository: &Tree, to: &Path) -> Result<(), CliError> {
    let Ok(own) = rustix::fs::fstat(repository.handle()) else { return Ok(()) };
    let Ok(to) = std::path::absolute(to) else { return Ok(()) };
    let existing = to.ancestors().find_map(|path| std::fs::canonicalize(path).ok());
    let above = existing.as_deref().map(Path::ancestors).into_iter().flatten();
    let inside = above.filter_map(|path| std::fs::metadata(path).ok());
    if inside.into_iter().any(|meta| (meta.dev(), meta.ino()) == (own.st_dev, own.st_ino)) {
        return Err(CliError::usage(format!(
            "{} lies in the backup; name another place with --to",
            restore_report::shown(&to)
        )));
    }
    Ok(())
}

fn versions(args: &RestoreArgs, held: &Held) -> Result<Versions, CliError> {
    let index = &held.reading.index;
    let Some(at) = &args.at else {
        return Ok(timeline::now(index));
    };
    let increment = point::find(index.increments(), at, &TimeZone::system())
        .map_err(|e| CliError::new(&e, Exit::Failed))?;
    timeline::at(&held.opened.tree, index, increment.sequence)
        .map_err(|e| CliError::new(&e, Exit::Failed))
}

/// Asks whether to write to the original place.
fn agreed(wanted: &Wanted) -> Result<bool, CliError> {
    let existing = match wanted.how.existing {
        Existing::Name | Existing::Leave => "What exists there stays as it is.",
        Existing::Replace => "Files that exist there and differ ARE REPLACED.",
        Existing::KeepBoth => "What exists there stays; what differs is put beside it.",
    };
    let mut err = stderr();
    write!(
        err,
        "Restore {} ({}) to the original place, {}? {existing} [y/N] ",
        human::count(wanted.amount.files, "file", "files"),
        human::size(wanted.amount.bytes),
        restore_report::shown(&wanted.to)
    )?;
    err.flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|e| CliError::failed(format!("cannot ask: {e}")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn make_destination(args: &RestoreArgs, to: &Path) -> Result<(), CliError> {
    let cannot = |e: std::io::Error| {
        CliError::failed(format!("cannot make {}: {e}", restore_report::shown(to)))
    };
    if args.to.is_some() {
        return std::fs::create_dir_all(to).map_err(cannot);
    }
    // Its disk may be away: only its last component is made, and never in place of a mount point's parents.
    match std::fs::create_dir(to) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(CliError::failed(format!(
            "the original place, {}, is not there; is its disk mounted? Make the folder, or name another \
             place with --to",
            restore_report::shown(to)
        ))),
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(cannot(e)),
        _ => Ok(()),
    }
}
