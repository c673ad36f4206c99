//! Drives without hard links: where versions lie, that none lies there twice and none is copied on the
//! drive, and that all of them come back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use bkm_agent::fs::faults::Faults;
use bkm_agent::source::rules::RawRules;

use crate::support::bench::Bench;
use crate::support::displacing::{self, LARGE, part, write_large};
use crate::support::profile;

/// On a plain folder that refuses links.
#[expect(clippy::unnecessary_wraps, reason = "other places may not be had")]
fn plain(rules: RawRules) -> Option<Bench> {
    Some(Bench::plain(rules))
}

#[test]
fn a_version_lies_in_the_mirror_until_another_takes_its_place_and_then_where_it_was_brought() {
    displacing::a_version_lies_in_the_mirror_until_another_takes_its_place_and_then_where_it_was_brought(plain);
}

#[test]
fn no_content_lies_on_the_drive_twice_whatever_happens_to_it() {
    displacing::no_content_lies_on_the_drive_twice_whatever_happens_to_it(plain);
}

#[test]
fn a_file_that_stops_being_tracked_keeps_the_version_that_an_increment_relies_on() {
    displacing::a_file_that_stops_being_tracked_keeps_the_version_that_an_increment_relies_on(
        plain,
    );
}

#[test]
fn a_file_that_starts_being_tracked_gets_an_entry_without_being_copied() {
    displacing::a_file_that_starts_being_tracked_gets_an_entry_without_being_copied(plain);
}

#[test]
fn names_that_change_their_case_alone_and_kinds_that_change_lose_nothing() {
    displacing::names_that_change_their_case_alone_and_kinds_that_change_lose_nothing(plain);
}

#[test]
fn names_swap_case_with_one_another() {
    displacing::names_swap_case_with_one_another(plain);
}

#[test]
fn a_moved_file_is_a_deletion_and_a_new_copy() {
    displacing::a_moved_file_is_a_deletion_and_a_new_copy(plain);
}

#[test]
fn hard_links_of_the_source_are_files_of_their_own_and_come_back_as_links() {
    displacing::hard_links_of_the_source_are_files_of_their_own_and_come_back_as_links(plain);
}

#[test]
fn a_sparse_file_has_its_full_size_on_the_drive_and_comes_back() {
    displacing::a_sparse_file_has_its_full_size_on_the_drive_and_comes_back(plain);
}

#[test]
fn a_large_file_goes_on_where_a_stop_left_it() {
    displacing::a_large_file_goes_on_where_a_stop_left_it(plain);
}

#[test]
fn a_large_file_goes_on_where_a_kill_left_it_only_after_a_check() {
    for checked in [false, true] {
        let mut bench = Bench::plain(profile::all_tracked());
        bench.write("small", "small");
        bench.back_up();
        write_large(&bench);
        // 1 MiB is one operation.
        let faults = Arc::new(Faults::stop_after(20).without_links());
        bench.world.run(Some(faults)).unwrap_err();
        let (path, there) = part(&bench, "stage").unwrap();
        assert!(there >= 9 << 20 && there < LARGE as u64, "{there}");
        let inode = fs::metadata(path).unwrap().ino();
        let faults = Arc::new(Faults::none().without_links());
        let report = bench.world.run_checked(Some(faults), checked).unwrap();
        assert_eq!((report.new, report.recovered, report.problems.len()), (1, true, 0));
        assert_eq!(bench.inode("mirror/large") == inode, checked, "checked: {checked}");
        assert_eq!(part(&bench, "unchecked-1").is_some(), !checked, "checked: {checked}");
        assert_eq!(report.warnings.iter().any(|w| w.contains("sudo fsck -a")), !checked);
        bench.world.check_run(&report);
        // What was set aside goes with the next check.
        let faults = Arc::new(Faults::none().without_links());
        let report = bench.world.run_checked(Some(faults), true).unwrap();
        assert_eq!(part(&bench, "unchecked-1"), None);
        assert_eq!((report.new, report.warnings.len()), (0, 0));
    }
}
