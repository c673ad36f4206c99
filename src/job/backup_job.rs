//! One backup of one profile as the agent and `run` make it: is it the right drive, the profile's hooks, the
//! run, and what is remembered of the drive.
//!
//! A drive that is refused gets nothing: no hook runs and nothing is written to it. It mounts and unmounts
//! nothing. It blocks for as long as the run takes.

use crate::backup::error::RunError;
use crate::backup::options::Options;
use crate::backup::place::{self, Place};
use crate::backup::report::RunReport;
use crate::backup::run;
use crate::config::profile::Profile;
use crate::drive::device::Device;
use crate::drive::mounted::Mounted;
use crate::drive::writable::{self, NotWritable};
use crate::host::dirs;
use crate::job::hooks::calls::{self, HookError};
use crate::job::hooks::event::At;
use crate::pairing::admission::{self, Admission};
use crate::pairing::messages::Refusal;
use crate::pairing::store::Pairings;
use crate::pairing::verdict::Verdict;
use crate::state::catalogs::store::{Catalogs, New};
use crate::text::error_chain::in_words;

/// Why there is no complete backup.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The drive is not the profile's.
    #[error(transparent)]
    Refused(Refusal),
    /// The drive is the right one, and this user may not write to it.
    #[error(transparent)]
    NotWritable(#[from] NotWritable),
    /// The profile's `before` did not do its work, so the run was not begun.
    #[error(transparent)]
    Hook(HookError),
    /// The run did not complete.
    #[error(transparent)]
    Run(RunError),
}

/// What came of it.
pub struct Done {
    /// The report, or why there is none.
    pub ran: Result<RunReport, JobError>,
    /// What was wrong with the hook after a run that did not complete; after one that did, the report says it.
    pub hook: Option<HookError>,
}

impl From<JobError> for Done {
    fn from(error: JobError) -> Self {
        Self { ran: Err(error), hook: None }
    }
}

/// Backs `profile` up, to a mounted drive or, without one, to its folder.
pub fn run(
    profile: &Profile,
    drive: Option<(&Device, &Mounted)>,
    pairings: &Pairings,
    options: &Options<'_>,
) -> Done {
    let Some((device, mounted)) = drive else {
        let folder = place::folder_of(profile);
        let at = At { device: None, mount_point: None, repository: &folder };
        return hooked(profile, &at, options, || {
            let mut ran = run::run(profile, options);
            let device = Device { node: folder.clone(), ..Device::default() };
            keep_catalogs(profile, &device, Place::Folder(&folder), &mut ran, options);
            ran
        });
    };
    let admission = match admission::admit(profile, device, mounted, pairings) {
        Ok(admission) => admission,
        Err(refusal) => return JobError::Refused(refusal).into(),
    };
    if let Err(error) = writable::check(mounted, &admission.place) {
        return JobError::NotWritable(error).into();
    }
    let repository = mounted.point.join(&admission.place);
    let at =
        At { device: Some(device), mount_point: Some(&mounted.point), repository: &repository };
    hooked(profile, &at, options, || {
        admitted(profile, device, mounted, &admission, pairings, options)
    })
}

/// A run on a drive that was admitted, and the word of it on both sides.
fn admitted(
    profile: &Profile,
    device: &Device,
    mounted: &Mounted,
    admission: &Admission,
    pairings: &Pairings,
    options: &Options<'_>,
) -> Result<RunReport, RunError> {
    let mut ran = run::run_on_drive(&admission.profile(profile), device, mounted, options);
    keep_catalogs(profile, device, Place::Drive(mounted, &admission.place), &mut ran, options);
    if options.dry_run {
        return ran;
    }
    // After a run that failed as well: the drive was used.
    let confirmed = admission.confirm(mounted, pairings, ran.is_ok());
    if let Ok(report) = &mut ran {
        match confirmed {
            Ok(()) => {
                report.pairing.clone_from(&admission.note);
                report.first_use =
                    matches!(admission.verdict, Verdict::FirstUse | Verdict::FirstUseOfOld);
            }
            Err(error) => report.warnings.push(admission::failed(device, &error)),
        }
    }
    ran
}

/// Takes over to this computer what a complete run added to the repository's catalogs. The backup counts,
/// whatever comes of that.
fn keep_catalogs(
    profile: &Profile,
    device: &Device,
    place: Place<'_>,
    ran: &mut Result<RunReport, RunError>,
    options: &Options<'_>,
) {
    let Ok(report) = ran else { return };
    // It is large, and nobody else needs it.
    let made = report.made.take();
    if options.dry_run {
        return;
    }
    let (Place::Drive(_, path) | Place::Folder(path)) = place;
    let Ok(Some(tree)) = place.existing() else { return };
    let catalogs = Catalogs::new(&dirs::state_dir());
    let new = New { history: &report.history, made: made.as_ref() };
    if let Err(error) = catalogs.keep(&profile.name, device, path, &tree, &new, options.stop) {
        tracing::warn!("{}", in_words(&error));
    }
}

/// A run, and around it the profile's hooks; a dry run has none.
fn hooked(
    profile: &Profile,
    at: &At<'_>,
    options: &Options<'_>,
    run: impl FnOnce() -> Result<RunReport, RunError>,
) -> Done {
    let before = if options.dry_run { Ok(()) } else { calls::before(profile, at, options.stop) };
    let mut ran = match before {
        Ok(()) => run().map_err(JobError::Run),
        Err(error) => Err(JobError::Hook(error)),
    };
    if options.dry_run {
        return Done { ran, hook: None };
    }
    match &ran {
        Ok(_) => crate::state::frozen::set(&crate::host::dirs::state_dir(), &profile.name, false),
        Err(JobError::Run(RunError::MassChange { .. })) => {
            crate::state::frozen::set(&crate::host::dirs::state_dir(), &profile.name, true);
        }
        Err(_) => {}
    }
    let words = ran.as_ref().err().map(|error| in_words(error));
    let outcome = ran.as_ref().map_err(|_| words.as_deref().unwrap_or_default());
    let hook = calls::after(profile, at, outcome, options.stop);
    match (&mut ran, hook) {
        (Ok(report), Some(error)) => {
            report.warnings.push(in_words(&error));
            Done { ran, hook: None }
        }
        (_, hook) => Done { ran, hook },
    }
}
