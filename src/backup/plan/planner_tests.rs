//! The planner, where a source changes between the scan and the plan.

use std::fs;
use std::path::Path;

use super::*;
use crate::source::entry::ScanOptions;
use crate::source::rules::{RawRules, Rules};
use crate::source::scan::scan;

static GO: AtomicBool = AtomicBool::new(false);

fn scanned(root: &Path) -> (Source, Scan) {
    let source = Source::open(root).unwrap();
    let options = ScanOptions { one_file_system: true, skip: &[], stop: &GO, known: None };
    let found = scan(&source, &Rules::new(&RawRules::default()).unwrap(), &options).unwrap();
    (source, found)
}

#[test]
fn what_vanishes_between_the_scan_and_the_plan_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("folder/sub")).unwrap();
    fs::write(folder.path().join("folder/sub/file"), "content").unwrap();
    fs::write(folder.path().join("file"), "content").unwrap();
    let (source, found) = scanned(folder.path());
    fs::remove_file(folder.path().join("file")).unwrap();
    fs::remove_file(folder.path().join("folder/sub/file")).unwrap();
    fs::remove_dir(folder.path().join("folder/sub")).unwrap();
    fs::remove_dir(folder.path().join("folder")).unwrap();
    let plan = plan(&source, &found, &Index::empty(), &Format::default(), false, &GO).unwrap();
    assert_eq!(plan.problems, []);
    assert_eq!(plan.work.len(), 4, "staging finds out that it is gone");
}
