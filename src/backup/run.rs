//! The order of one run, from opening the source to the stamp.
//!
//! The drive is not written to before the source was scanned, the plan made and its room checked; the
//! one exception is ending what an interrupted run left.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::backup::adopt::takeover::{self, Takeover};
use crate::backup::error::RunError;
use crate::backup::execute::{self, Done, execute};
use crate::backup::options::Options;
use crate::backup::place::{self, Place};
use crate::backup::plan::known::Known;
use crate::backup::plan::mass_change::{self, Losses};
use crate::backup::plan::planner::plan;
use crate::backup::plan::space::{self, Free, Need};
use crate::backup::plan::work::{Plan, Work};
use crate::backup::recover::{Recovery, next_folder_time, recover};
use crate::backup::report::RunReport;
use crate::backup::stage::{self, Stager};
use crate::config::profile::{Dist, Profile};
use crate::drive::device::Device;
use crate::drive::mounted::Mounted;
use crate::fs::tree::handle::Tree;
use crate::model::entry::Kind;
use crate::model::problem::Problem;
use crate::prune::error::PruneError;
use crate::prune::removal::{self, Wish};
use crate::repository::error::RepositoryError;
use crate::repository::format::{self, Format};
use crate::repository::handle::Repository;
use crate::repository::index::contents::Index;
use crate::repository::index::increment::RunMark;
use crate::repository::index::open::Closing;
use crate::repository::index::record::Record;
use crate::repository::index::stamp::Stamp;
use crate::repository::status::Status;
use crate::repository::{adoption, layout, reserve};
use crate::source::entry::{self, ScanOptions};
use crate::source::open::Source;
use crate::source::scan::{Scan, scan};
use crate::text::clock;
use crate::transaction::{limits, staged};

/// Backs up `profile` to its repository on a mounted drive.
pub fn run_on_drive(
    profile: &Profile,
    device: &Device,
    mounted: &Mounted,
    options: &Options<'_>,
) -> Result<RunReport, RunError> {
    let Dist::Drive { path, .. } = &profile.dist else {
        return run(profile, options);
    };
    let mut report = run_at(profile, Place::Drive(mounted, path), options)?;
    report.device = Some(device.node.display().to_string());
    Ok(report)
}

/// Backs up `profile` to its folder.
pub fn run(profile: &Profile, options: &Options<'_>) -> Result<RunReport, RunError> {
    match &profile.dist {
        Dist::Folder(path) => run_at(profile, Place::Folder(path), options),
        Dist::Drive { .. } => Err(RunError::NeedsDrive { profile: profile.name.clone() }),
    }
}

fn run_at(
    profile: &Profile,
    place: Place<'_>,
    options: &Options<'_>,
) -> Result<RunReport, RunError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(profile.workers())
        .thread_name(|n| format!("bkm-worker-{n}"))
        .build()
        .map_err(RunError::Workers)?;
    let run = Run { profile, place, options, begun: Instant::now() };
    pool.install(|| run.go())
}

/// What a run knows of a repository that it begins with.
#[derive(Default)]
struct Begun<'s> {
    /// The plan that was made before the repository was.
    first: Option<Plan<'s>>,
    /// What stays in the mirror in the first run after a takeover.
    kept: Vec<Problem>,
    /// What was taken over.
    adopted: Option<String>,
    /// What the user should know of it.
    warnings: Vec<String>,
}

impl Begun<'_> {
    fn tell(&self, report: &mut RunReport) {
        report.adopted.clone_from(&self.adopted);
        report.warnings.extend(self.warnings.iter().cloned());
        if !self.kept.is_empty() {
            let n = crate::text::human::count(
                self.kept.len() as u64,
                "file or folder",
                "files or folders",
            );
            report.warnings.push(format!(
                "{n} that the Python backup-manager mirrored are not selected by this profile's rules; the \
                 next run takes them out of the mirror, unless the profile is changed until then"
            ));
        }
        report.notes.extend(self.kept.iter().cloned());
    }
}

struct Run<'a> {
    profile: &'a Profile,
    place: Place<'a>,
    options: &'a Options<'a>,
    begun: Instant,
}

impl Run<'_> {
    fn go(&self) -> Result<RunReport, RunError> {
        let mut done = Done::default();
        self.go_on(&mut done).map_err(|e| match e {
            RunError::Stopped { .. } => RunError::Stopped { kept: kept(&done) },
            RunError::Repository(source) if source.is_full() => {
                RunError::FilledUp { kept: kept(&done), source }
            }
            other => other,
        })
    }

    fn go_on(&self, done: &mut Done) -> Result<RunReport, RunError> {
        let source = Source::open(&self.profile.source)?;
        if let Place::Folder(dist) = self.place {
            place::check_leads_there(self.profile, dist)?;
            place::check_file_system(self.profile, dist)?;
        }
        let tree = self.place.existing()?.map(|tree| self.with_faults(tree));
        if self.options.dry_run {
            return self.dry_run(&source, tree.as_ref());
        }
        let scan = match self.scan_and_open(&source, tree.as_ref())? {
            (scan, None) => scan,
            (mut scan, Some(repository)) => {
                refuse_empty(&source, &scan, repository.index())?;
                let kept = Self::keep_unselected(
                    &source,
                    &mut scan,
                    repository.tree(),
                    repository.index(),
                    repository.stamp(),
                )?;
                let begun = Begun { kept, ..Begun::default() };
                let ran = self.back_up(&source, &scan, repository, begun, done);
                free_later(scan);
                return ran;
            }
        };
        if let Some(tree) = &tree
            && let Some(takeover) = takeover::survey(tree, &source, &scan, self.options)?
        {
            return self.take_over(&source, scan, tree, takeover, done);
        }
        let first = self.first_plan(&source, &scan, tree.as_ref())?;
        let tree = match tree {
            Some(tree) => tree,
            None => self.with_faults(self.place.create(self.profile.private)?),
        };
        let begun = Begun { first: Some(first), ..Begun::default() };
        let ran = self.back_up(&source, &scan, Repository::create(&tree)?, begun, done);
        free_later(scan);
        ran
    }

    /// Scans the source while the index is read: neither waits for the other's disk.
    fn scan_and_open<'t>(
        &self,
        source: &Source,
        tree: Option<&'t Tree>,
    ) -> Result<(Scan, Option<Repository<'t>>), RunError> {
        let known = Known::new(source.stable_inodes());
        // One thread alone reads the index first.
        let (opened, scanned) = rayon::join(
            || tree.map_or(Ok(None), |tree| Self::open(tree, &known)),
            || self.scan(source, tree, Some(&known)),
        );
        let (mut scan, opened) = (scanned?, opened?);
        let Some((repository, seen)) = known.forget() else { return Ok((scan, opened)) };
        scan.seen = seen;
        Ok((scan, Some(repository)))
    }

    /// Opens the repository. Where the scan may leave out what is as it was, `known` has it from then on.
    fn open<'t>(tree: &'t Tree, known: &Known<'t>) -> Result<Option<Repository<'t>>, RunError> {
        let Some(repository) = Repository::open(tree)? else { return Ok(None) };
        let in_flight = repository.index().is_unclosed();
        if in_flight || adoption::is_fresh(tree, repository.stamp())? {
            return Ok(Some(repository));
        }
        known.learn(repository);
        Ok(None)
    }

    /// Takes over what the Python tool made, and backs up to it. What does not fit leaves it as it is.
    fn take_over(
        &self,
        source: &Source,
        mut scan: Scan,
        tree: &Tree,
        takeover: Takeover,
        done: &mut Done,
    ) -> Result<RunReport, RunError> {
        let index = takeover.adopted.index();
        refuse_empty(source, &scan, &index)?;
        let kept = takeover::keep_unselected(source, &mut scan, index.records());
        let format = Format::default();
        let mut first = plan(source, &scan, &index, &format, false, self.options.stop)?;
        first.room_beside = takeover.shared_bytes;
        self.room(Some(tree), &first, &index, &format)?;
        let summary = takeover.summary.clone();
        let warnings = takeover.warnings.clone();
        let repository = Repository::adopt(tree, || takeover.detach(tree, self.options))?;
        // What was detached has another inode now.
        let same = repository.index().records() == index.records();
        let first = same.then_some(first);
        if self.profile.private {
            tree.close_to_others()?;
        }
        let begun = Begun { first, kept, adopted: Some(summary), warnings };
        let ran = self.back_up(source, &scan, repository, begun, done);
        free_later(scan);
        ran
    }

    /// In the first run on a repository that was taken over nothing leaves the mirror because of other rules
    /// than the Python tool's: it is told first.
    fn keep_unselected(
        source: &Source,
        scan: &mut Scan,
        tree: &Tree,
        index: &Index,
        stamp: &Stamp,
    ) -> Result<Vec<Problem>, RunError> {
        if !adoption::is_fresh(tree, stamp)? {
            return Ok(Vec::new());
        }
        Ok(takeover::keep_unselected(source, scan, index.records()))
    }

    /// The plan for a repository that is to be made: what does not fit leaves the drive as it is. What a
    /// new drive can do is not tried for that, so it is taken to keep links and holes.
    fn first_plan<'s>(
        &self,
        source: &Source,
        scan: &'s Scan,
        tree: Option<&Tree>,
    ) -> Result<Plan<'s>, RunError> {
        let index = Index::empty();
        let format = Format::default();
        let plan = plan(source, scan, &index, &format, false, self.options.stop)?;
        self.room(tree, &plan, &index, &format)?;
        Ok(plan)
    }

    fn with_faults(&self, tree: Tree) -> Tree {
        match &self.options.faults {
            Some(faults) => tree.with_faults(faults.clone()),
            None => tree,
        }
    }

    fn scan(
        &self,
        source: &Source,
        repository: Option<&Tree>,
        known: Option<&dyn entry::Known>,
    ) -> Result<Scan, RunError> {
        let own: Vec<(u64, u64)> = repository
            .and_then(|tree| rustix::fs::fstat(tree.handle()).ok())
            .map(|stat| (stat.st_dev, stat.st_ino))
            .into_iter()
            .collect();
        let options = ScanOptions {
            one_file_system: self.profile.one_file_system,
            skip: &own,
            stop: self.options.stop,
            known,
        };
        scan(source, &self.profile.rules, &options)
            .map_err(|e| RunError::from_scan(e, source.path()))
    }

    fn report(&self, scan: &Scan) -> RunReport {
        let unmatched =
            scan.unmatched.iter().map(|rule| format!("the rule {rule} matches nothing"));
        RunReport {
            profile: self.profile.name.clone(),
            repository: self.place.shown(),
            problems: scan.problems.clone(),
            notes: scan.notes.clone(),
            warnings: unmatched.collect(),
            ..RunReport::default()
        }
    }

    fn dry_run(&self, source: &Source, tree: Option<&Tree>) -> Result<RunReport, RunError> {
        let mut scan = self.scan(source, tree, None)?;
        let mut begun = Begun::default();
        let (index, stamp) = match tree.map(Repository::read_index) {
            None | Some(Err(RepositoryError::Missing(_))) => (Index::empty(), Stamp::default()),
            Some(Err(e @ RepositoryError::NotTakenOver(_))) => {
                let takeover = match tree {
                    Some(tree) => takeover::survey(tree, source, &scan, self.options)?,
                    None => None,
                };
                let takeover = takeover.ok_or(e)?;
                let index = takeover.adopted.index();
                begun.kept = takeover::keep_unselected(source, &mut scan, index.records());
                begun.adopted = Some(takeover.summary);
                begun.warnings = takeover.warnings;
                (index, Stamp::default())
            }
            Some(read) => {
                let (index, stamp) = read?;
                if let Some(tree) = tree {
                    begun.kept = Self::keep_unselected(source, &mut scan, tree, &index, &stamp)?;
                }
                (index, stamp)
            }
        };
        refuse_empty(source, &scan, &index)?;
        let format = match tree {
            Some(tree) => format::read(tree)?,
            None => None,
        };
        // What a new drive can do is not tried here: that would write to it.
        let format = format.unwrap_or_default();
        let rules_changed = self.rules_changed(&stamp);
        let plan = plan(source, &scan, &index, &format, rules_changed, self.options.stop)?;
        let mut report = self.report(&scan);
        let allowed = self.refuse_mass_change(&plan, &index, rules_changed);
        let fits = allowed.and_then(|()| self.room(tree, &plan, &index, &format).map(drop));
        report.refused = match fits {
            Err(e @ (RunError::MassChange { .. } | RunError::Full(_))) => Some(e.to_string()),
            other => other.map(|()| None)?,
        };
        report.bytes_copied = plan.bytes;
        self.fill(&mut report, &plan.lines, &Done::default());
        begun.tell(&mut report);
        report.unchanged = plan.unchanged;
        report.problems.extend(plan.problems);
        report.notes.extend(plan.notes);
        report.plan = Some(plan.lines);
        Ok(report)
    }

    fn back_up(
        &self,
        source: &Source,
        scan: &Scan,
        mut repository: Repository<'_>,
        begun: Begun<'_>,
        done: &mut Done,
    ) -> Result<RunReport, RunError> {
        let options = self.options;
        let set_owner = rustix::process::geteuid().is_root();
        repository.set_browse(self.profile.browse);
        let mut report = self.report(scan);
        begun.tell(&mut report);
        let checked = self.place.is_checked();
        let how = Recovery { scan, set_owner, checked, stop: options.stop };
        let recovered = recover(&mut repository, &how)?;
        report.recovered = recovered.any;
        report.problems.extend(recovered.problems);
        report.warnings.extend(recovered.warnings);
        if let Place::Folder(dist) = self.place {
            place::remember_file_system(self.profile, dist)?;
        }
        let rules_changed = self.rules_changed(repository.stamp());
        let format = repository.format().clone();
        // Still true if the drive is as it was taken to be.
        let same = format.plans_like(&Format::default())
            && (repository.index().is_new() || begun.adopted.is_some());
        let plan = match begun.first.filter(|_| same) {
            Some(plan) => plan,
            None => plan(source, scan, repository.index(), &format, rules_changed, options.stop)?,
        };
        self.refuse_mass_change(&plan, repository.index(), rules_changed)?;
        let tree = repository.tree();
        let (plan, room) = match self.room(Some(tree), &plan, repository.index(), &format) {
            // What the retention does not keep makes room, and the plan is made anew: it knows of increments.
            Err(RunError::Full(full)) if self.prunes() => {
                self.prune(&mut repository, &mut report)?;
                // One that is half done is to be finished before anything else.
                if repository.index().is_unclosed() {
                    return Err(RunError::Full(full));
                }
                let index = repository.index();
                let plan = self::plan(source, scan, index, &format, rules_changed, options.stop)?;
                let room = self.room(Some(tree), &plan, index, &format)?;
                (plan, room)
            }
            room => (plan, room?),
        };
        if room >= reserve::LEAST {
            reserve::make(tree)?;
        }
        options.monitor.planned(plan.files_to_copy(), plan.bytes);

        let mark = if plan.makes_increment { Some(mark(&repository)?) } else { None };
        let Plan { work, lines, unchanged, problems, notes, naming, .. } = plan;
        let stager = Stager {
            source,
            tree: repository.tree(),
            stop: options.stop,
            monitor: options.monitor,
            sequence: mark.as_ref().map_or(0, |mark| mark.sequence),
            next: AtomicU64::new(1),
            set_owner,
            keeping: format.keeps_versions,
            naming: &naming,
        };
        if !work.is_empty() || repository.is_browse_due()? {
            repository.begin_run()?;
        }
        done.remarks = space::of_remarks(&[&report.problems, &report.notes, &problems, &notes]);
        let most_paths = options.faults.as_ref().and_then(|faults| faults.batch_paths());
        let most_paths = most_paths.unwrap_or(limits::BATCH_PATHS);
        let mark = mark.as_ref();
        if let Err(e) = execute(&mut repository, work, mark, &stager, most_paths, done) {
            // Where that fails as well, the next run takes back what was in flight. So it does after an error
            // of the drive: that is told once, and a later sync says nothing of what was lost with it.
            if !is_failing(&e) {
                let _settled = repository.settle();
            }
            let full = matches!(&e, RunError::Repository(e) if e.is_full());
            if full && repository.forget_unwritten().is_ok() {
                // Others may need the room, and the next run would begin with that.
                let _cleared = staged::clear_staged(&repository);
                let _taken = reserve::make(repository.tree());
            }
            return Err(e);
        }
        options.monitor.phase("syncing");
        self.fill(&mut report, &lines, done);
        report.unchanged = unchanged;
        report.bytes_copied = done.bytes;
        report.problems.extend(problems.into_iter().chain(std::mem::take(&mut done.problems)));
        report.notes.extend(notes.into_iter().chain(std::mem::take(&mut done.notes)));
        let closed = repository.close_run(|index| Closing {
            status: Status::Complete,
            folder_time_s: next_folder_time(index),
            problems: report.problems.clone(),
            notes: report.notes.clone(),
        })?;
        report.increment = closed.made.as_ref().map(|made| made.backup_name.clone());
        report.made = closed.made;
        report.warnings.extend(closed.warning);
        staged::remove_left(repository.tree(), &mut done.left)?;
        if self.prunes() {
            self.prune(&mut repository, &mut report)?;
        }
        // What was kept leaves because of rules that are new to the repository, and the next run says so.
        let rules = if begun.kept.is_empty() { self.profile.rules.fingerprint() } else { [0; 32] };
        repository.stamp_run(clock::now_ns(), rules)?;
        report.history = crate::repository::index::history::history_of(repository.index());
        free_later(repository.into_index());
        report.duration_s = self.begun.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Whether old increments go by themselves. Not with a run whose great change was accepted: if that was a
    /// mistake, what is old is all there is.
    fn prunes(&self) -> bool {
        !self.profile.retention.is_off() && !self.options.accept_mass_change
    }

    /// Removes increments that the retention does not keep. That it cannot is told, and fails no backup; a drive
    /// that fails does.
    fn prune(
        &self,
        repository: &mut Repository<'_>,
        report: &mut RunReport,
    ) -> Result<(), RunError> {
        let index = repository.index();
        let fates = removal::fates(index, &self.profile.retention, jiff::Timestamp::now());
        let going = removal::going(&fates);
        if going.is_empty() {
            return Ok(());
        }
        self.options.monitor.phase("removing old increments");
        match removal::prune(repository, &Wish::Increments(&going), self.options.stop) {
            Ok(plan) => {
                report.freed = report.freed.saturating_add(plan.frees);
                report.pruned.extend(plan.going.into_iter().map(|going| going.name));
            }
            Err(PruneError::Repository(e)) if !e.is_full() => return Err(e.into()),
            Err(e) => {
                let why = crate::text::error_chain::in_words(&e);
                report.warnings.push(format!("old increments were not removed: {why}"));
            }
        }
        Ok(())
    }

    fn fill(
        &self,
        report: &mut RunReport,
        lines: &[crate::backup::plan::work::Planned],
        done: &Done,
    ) {
        let [new, changed, touched, moved, deleted] = execute::count(lines, done);
        report.new = new;
        report.changed = changed;
        report.touched = touched;
        report.moved = moved;
        report.deleted = deleted;
        report.duration_s = self.begun.elapsed().as_secs_f64();
    }

    /// Invariant 12: where much of what is tracked vanished or changed under the same rules, the user is
    /// asked first.
    fn refuse_mass_change(
        &self,
        plan: &Plan<'_>,
        index: &Index,
        rules_changed: bool,
    ) -> Result<(), RunError> {
        let (deleted, changed) = (plan.tracked_deleted, plan.tracked_changed);
        // Nothing lost is known without counting.
        if rules_changed || self.options.accept_mass_change || (deleted, changed) == (0, 0) {
            return Ok(());
        }
        let is_tracked_file = |r: &&Record| r.is_tracked() && r.kind() != Kind::Folder;
        let tracked = index.records().values().filter(is_tracked_file).count() as u64;
        let limits = self.profile.mass_change;
        if !mass_change::is_beyond(&Losses { tracked, deleted, changed }, &limits) {
            return Ok(());
        }
        let known = crate::host::dirs::profile_dirs();
        let is_known = known.iter().any(|dir| self.profile.file.starts_with(dir));
        let which = if is_known {
            format!("--profile {}", self.profile.name)
        } else {
            format!("--config {}", self.profile.file.display())
        };
        Err(RunError::MassChange {
            which,
            path: self.profile.source.clone(),
            tracked,
            deleted,
            changed,
            limits,
        })
    }

    /// Refuses to begin what cannot fit; returns the bytes that are left over. What an interrupted run
    /// staged is on the drive already. `tree` is the repository's folder, if there is one.
    fn room(
        &self,
        tree: Option<&Tree>,
        plan: &Plan<'_>,
        index: &Index,
        format: &Format,
    ) -> Result<u64, RunError> {
        let space = tree.map_or_else(|| self.place.space(), |tree| Ok(tree.space()?))?;
        // Some FUSE drivers do not tell.
        let Some(free) = Free::of(&space) else {
            return Ok(u64::MAX);
        };
        let there = |work: &Work<'_>| tree.map_or(Ok(0), |tree| stage::there_already(tree, work));
        let mut need = Need::new(index, format.keeps_versions, free.block).of_plan(plan, there)?;
        if index.is_new() {
            need = need.with_new_repository();
        }
        let held = tree.map_or(Ok(0), reserve::held)?;
        free.check(plan, &need, held).map_err(RunError::Full)
    }

    fn rules_changed(&self, stamp: &Stamp) -> bool {
        stamp.counter > 0 && stamp.rules != self.profile.rules.fingerprint()
    }
}

/// Frees what is large on a thread of its own, a moment later: with many files it takes a time that the user would
/// wait for the end of the run, and other threads that need memory meanwhile wait for it. Where there is no thread
/// to be had, it is freed here.
fn free_later(large: impl Send + 'static) {
    const A_MOMENT: Duration = Duration::from_millis(200);
    let free = move || {
        std::thread::sleep(A_MOMENT);
        drop(large);
    };
    let _handle = std::thread::Builder::new().name("bkm-free".to_owned()).spawn(free);
}

/// Whether an error says that the drive may have lost what was written to it.
fn is_failing(e: &RunError) -> bool {
    matches!(e, RunError::Repository(RepositoryError::Drive(e)) if !e.is(rustix::io::Errno::NOSPC))
}

/// The increment of this run: named after the time, or the next free second.
fn mark(repository: &Repository<'_>) -> Result<RunMark, RunError> {
    let now = jiff::ZonedDateTime::now();
    let mut time = now.datetime();
    let name = loop {
        let name = layout::increment_name(time);
        let listed = repository.index().increments().iter().any(|i| i.name == name);
        if !listed && repository.tree().stat(Path::new(&name))?.is_none() {
            break name;
        }
        time = time.saturating_add(jiff::Span::new().seconds(1));
    };
    Ok(RunMark {
        sequence: repository.index().next_sequence(),
        name,
        timestamp: now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    })
}

/// Invariant 12: a source that selects nothing is not "delete everything".
fn refuse_empty(source: &Source, scan: &Scan, index: &Index) -> Result<(), RunError> {
    if !scan.seen.is_empty() || scan.entries.iter().any(|entry| entry.stat.kind != Kind::Folder) {
        return Ok(());
    }
    let held = index.records().values().filter(|r| r.kind() != Kind::Folder).count() as u64;
    if held == 0 {
        return Ok(());
    }
    Err(RunError::EmptySource { path: source.path().to_owned(), held })
}

fn kept(done: &Done) -> String {
    match done.published {
        0 => "nothing of this run is in place yet, what earlier runs backed up is untouched; the next run goes on"
            .to_owned(),
        n => format!(
            "{} of this run are kept on the drive, and the next run goes on from there",
            crate::text::human::count(n, "file", "files")
        ),
    }
}
