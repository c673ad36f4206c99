//! The rules of a profile, compiled, and the decision for one path.
//!
//! Pure: paths in, decisions out. It must never need more than the folder's scope and the path itself,
//! so that a scan can decide at each entry and leave excluded folders unopened.
//!
//! What the rules mean:
//!
//! * Without any `include_*` or `track_*` everything is tracked.
//! * `include_dirs` and `track_dirs` take a folder and everything below it. What lies in both is
//!   tracked; with `directory_priority: "include"` it is mirrored.
//! * `include_files` and `track_files` take files by their path from the source; `:rec` or a leading
//!   `**/` makes that any depth. They win over both excludes.
//! * `exclude_dirs` leaves a folder out with everything below it, `exclude_files` a file.
//! * A file taken by several rules gets the highest category among those that apply to it.

use std::sync::atomic::{AtomicBool, Ordering};

use globset::{Candidate, Glob, GlobSet};

use crate::model::entry::Category;
use crate::source::pattern::{self, Pattern, RuleField};

/// What a folder is that lies in an `include_dirs` and in a `track_dirs` folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DirectoryPriority {
    /// Tracked.
    #[default]
    Track,
    /// Only mirrored.
    Include,
}

/// The rules as written in a profile.
#[derive(Debug, Clone, Default)]
pub struct RawRules {
    /// `include_dirs`
    pub include_dirs: Vec<String>,
    /// `track_dirs`
    pub track_dirs: Vec<String>,
    /// `include_files`
    pub include_files: Vec<String>,
    /// `track_files`
    pub track_files: Vec<String>,
    /// `exclude_dirs`
    pub exclude_dirs: Vec<String>,
    /// `exclude_files`
    pub exclude_files: Vec<String>,
    /// `directory_priority`
    pub directory_priority: DirectoryPriority,
}

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {pattern:?}: {reason}", field.name())]
pub struct RuleError {
    /// The field it stands in.
    pub field: RuleField,
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The rules of one profile, compiled.
#[derive(Debug, Clone)]
pub struct Rules {
    include_dirs: Set,
    track_dirs: Set,
    include_files: Set,
    track_files: Set,
    exclude_dirs: Set,
    exclude_files: Set,
    /// Folders that may hold a match of `include_files` or `track_files`.
    file_gates: GlobSet,
    /// Folders that may hold a match of `include_dirs` or `track_dirs`.
    folder_gates: GlobSet,
    everything: bool,
    priority: DirectoryPriority,
    /// Field and text of each rule, by its number.
    texts: Vec<(RuleField, String)>,
    fingerprint: [u8; 32],
}

/// The patterns of one field.
#[derive(Debug, Clone, Default)]
struct Set {
    globs: GlobSet,
    /// The rule's number, by its place in `globs`.
    numbers: Vec<usize>,
    /// The number of a rule that names the source itself.
    root: Option<usize>,
}

/// What the folders above a path say about it: handed down from folder to folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scope {
    tracked: bool,
    included: bool,
    excluded: bool,
}

impl Scope {
    /// Whether it lies in a folder that `exclude_dirs` leaves out.
    pub fn is_excluded(self) -> bool {
        self.excluded
    }
}

/// Which rules have matched something, during one scan.
#[derive(Debug)]
pub struct Hits(Vec<AtomicBool>);

impl Rules {
    /// Checks and compiles the rules. The error names the first pattern that cannot be used.
    pub fn new(raw: &RawRules) -> Result<Self, RuleError> {
        let mut builder = Builder::default();
        let include_dirs = builder.set(RuleField::IncludeDirs, &raw.include_dirs)?;
        let track_dirs = builder.set(RuleField::TrackDirs, &raw.track_dirs)?;
        let folder_gates = builder.gates(RuleField::IncludeDirs)?;
        let include_files = builder.set(RuleField::IncludeFiles, &raw.include_files)?;
        let track_files = builder.set(RuleField::TrackFiles, &raw.track_files)?;
        let file_gates = builder.gates(RuleField::IncludeFiles)?;
        let exclude_dirs = builder.set(RuleField::ExcludeDirs, &raw.exclude_dirs)?;
        let exclude_files = builder.set(RuleField::ExcludeFiles, &raw.exclude_files)?;
        let everything = [&raw.include_dirs, &raw.track_dirs, &raw.include_files, &raw.track_files]
            .iter()
            .all(|list| list.is_empty());
        builder.hash.update(&[u8::from(raw.directory_priority == DirectoryPriority::Include)]);
        Ok(Self {
            include_dirs,
            track_dirs,
            include_files,
            track_files,
            exclude_dirs,
            exclude_files,
            file_gates,
            folder_gates,
            everything,
            priority: raw.directory_priority,
            texts: builder.texts,
            fingerprint: *builder.hash.finalize().as_bytes(),
        })
    }

    /// A hash of what the rules mean: another one says that the rules changed. The order of patterns
    /// and spellings that mean the same (`a/`, `./a`) do not change it.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// A fresh record of which rules matched.
    pub fn hits(&self) -> Hits {
        let hits = Hits(self.texts.iter().map(|_| AtomicBool::new(false)).collect());
        for number in [self.include_dirs.root, self.track_dirs.root].into_iter().flatten() {
            hits.mark(number);
        }
        hits
    }

    /// The rules that have not matched anything, as field and text: `include_dirs "Notes"`.
    pub fn unmatched(&self, hits: &Hits) -> Vec<String> {
        self.texts
            .iter()
            .zip(&hits.0)
            .filter(|(_, hit)| !hit.load(Ordering::Relaxed))
            .map(|((field, text), _)| format!("{} {text:?}", field.name()))
            .collect()
    }

    /// The scope of the source itself.
    pub fn root(&self) -> Scope {
        Scope {
            tracked: self.track_dirs.root.is_some(),
            included: self.include_dirs.root.is_some(),
            excluded: false,
        }
    }

    /// What a folder, or a file that no rule names, is in this scope; `None`: it is not selected.
    pub fn category(&self, scope: Scope) -> Option<Category> {
        if scope.excluded {
            None
        } else if self.everything {
            Some(Category::Tracked)
        } else {
            match (scope.tracked, scope.included, self.priority) {
                (false, false, _) => None,
                (false, true, _) | (true, true, DirectoryPriority::Include) => {
                    Some(Category::Mirrored)
                }
                (true, _, _) => Some(Category::Tracked),
            }
        }
    }

    fn names_files(&self) -> bool {
        !(self.include_files.globs.is_empty() && self.track_files.globs.is_empty())
    }
}

/// Decides path by path, with room to work in that is used again for each; one per thread.
#[derive(Debug)]
pub struct Decider<'a> {
    rules: &'a Rules,
    hits: &'a Hits,
    found: Vec<usize>,
}

impl<'a> Decider<'a> {
    /// Decides by `rules` and records in `hits` which ones matched.
    pub fn new(rules: &'a Rules, hits: &'a Hits) -> Self {
        Self { rules, hits, found: Vec::new() }
    }

    /// The scope of the folder at `path` inside a folder of scope `above`; `None`: nothing in it can
    /// be selected, so it is not to be entered.
    pub fn folder(&mut self, above: Scope, path: &[u8]) -> Option<Scope> {
        let rules = self.rules;
        let candidate = Candidate::from_bytes(path);
        let mut scope = above;
        scope.excluded |= self.hit(&rules.exclude_dirs, &candidate);
        if scope.excluded {
            // Entered only for the sake of an `include_files` or `track_files` pattern that could
            // match below: those that spell out this folder (as `Cache/keep.txt` does `Cache`), and
            // those for any depth (`:rec`, `**/`), for which every excluded folder has to be read.
            return rules.file_gates.is_match_candidate(&candidate).then_some(scope);
        }
        // Both are asked even where the answer is known, so that no rule seems to match nothing.
        scope.tracked |= self.hit(&rules.track_dirs, &candidate);
        scope.included |= self.hit(&rules.include_dirs, &candidate);
        let entered = rules.category(scope).is_some()
            || rules.folder_gates.is_match_candidate(&candidate)
            || rules.file_gates.is_match_candidate(&candidate);
        entered.then_some(scope)
    }

    /// What the file (or link) at `path` inside a folder of scope `scope` is; `None`: left out.
    pub fn file(&mut self, scope: Scope, path: &[u8]) -> Option<Category> {
        let rules = self.rules;
        let by_folder = rules.category(scope);
        if !rules.names_files() && (by_folder.is_none() || rules.exclude_files.globs.is_empty()) {
            return by_folder;
        }
        let candidate = Candidate::from_bytes(path);
        let included = self.hit(&rules.include_files, &candidate);
        if self.hit(&rules.track_files, &candidate) {
            return Some(Category::Tracked);
        }
        let by_folder = by_folder.filter(|_| !self.hit(&rules.exclude_files, &candidate));
        by_folder.max(included.then_some(Category::Mirrored))
    }

    fn hit(&mut self, set: &Set, candidate: &Candidate<'_>) -> bool {
        if set.globs.is_empty() {
            return false;
        }
        set.globs.matches_candidate_into(candidate, &mut self.found);
        for place in &self.found {
            if let Some(&number) = set.numbers.get(*place) {
                self.hits.mark(number);
            }
        }
        !self.found.is_empty()
    }
}

impl Hits {
    fn mark(&self, number: usize) {
        if let Some(hit) = self.0.get(number)
            // Most are marked already, and reading does not take the cache line from other threads.
            && !hit.load(Ordering::Relaxed)
        {
            hit.store(true, Ordering::Relaxed);
        }
    }
}

/// Compiles field after field, numbering the rules and hashing their canonical form.
#[derive(Default)]
struct Builder {
    texts: Vec<(RuleField, String)>,
    gates: Vec<Glob>,
    hash: blake3::Hasher,
}

impl Builder {
    fn set(&mut self, field: RuleField, patterns: &[String]) -> Result<Set, RuleError> {
        let mut set = Set::default();
        let mut globs = Vec::new();
        let mut canonical = Vec::new();
        for text in patterns {
            let bad = |reason: String| RuleError { field, pattern: text.clone(), reason };
            let number = self.texts.len();
            match pattern::parse(field, text).map_err(bad)? {
                Pattern::Root => {
                    set.root = Some(number);
                    canonical.push(String::new());
                }
                Pattern::Glob(glob) => {
                    globs.push(compile(&glob).map_err(bad)?);
                    set.numbers.push(number);
                    if !field.excludes() {
                        for gate in pattern::gates(&glob) {
                            self.gates.push(compile(&gate).map_err(bad)?);
                        }
                    }
                    canonical.push(glob);
                }
            }
            self.texts.push((field, text.clone()));
        }
        set.globs = build(field, &globs)?;
        canonical.sort_unstable();
        canonical.dedup();
        // Lengths go in as well: no two lists of patterns have the same bytes.
        self.hash.update(&(canonical.len() as u64).to_le_bytes());
        for glob in canonical {
            self.hash.update(&(glob.len() as u64).to_le_bytes());
            self.hash.update(glob.as_bytes());
        }
        Ok(set)
    }

    /// The gates of the fields since the last call; `field` is for the error's text.
    fn gates(&mut self, field: RuleField) -> Result<GlobSet, RuleError> {
        build(field, &std::mem::take(&mut self.gates))
    }
}

fn compile(glob: &str) -> Result<Glob, String> {
    pattern::compile(glob).map_err(|error| error.kind().to_string())
}

fn build(field: RuleField, globs: &[Glob]) -> Result<GlobSet, RuleError> {
    GlobSet::new(globs).map_err(|error| RuleError {
        field,
        pattern: error.glob().unwrap_or("(all patterns together)").to_owned(),
        reason: error.kind().to_string(),
    })
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
