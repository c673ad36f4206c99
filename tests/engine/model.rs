//! The product's invariant as a property: whatever happens to a source between runs, no old version
//! changes, the mirror is the source, and every point in time can be restored.
//!
//! `BKM_MODEL_CASES` raises the number of cases.

use crate::support::model::check;
use crate::support::profile;

#[test]
fn everything_tracked_comes_back_as_of_every_run() {
    check(true, 60, 8, &[profile::all_tracked()], None);
}

#[test]
fn tracked_files_come_back_beside_mirrored_ones() {
    check(true, 40, 8, &[profile::mixed()], None);
}

#[test]
fn a_mirror_without_versions_is_the_source() {
    check(true, 20, 6, &[profile::all_mirrored()], None);
}

#[test]
fn rules_that_change_between_runs_lose_nothing() {
    let rules = [
        profile::all_tracked(),
        profile::mixed(),
        profile::all_mirrored(),
        profile::turned_round(),
        profile::all_tracked(),
    ];
    check(true, 60, 9, &rules, None);
}

#[test]
fn a_drive_that_refuses_links_keeps_every_version() {
    check(false, 60, 8, &[profile::all_tracked()], None);
}

#[test]
fn a_drive_that_refuses_links_keeps_what_rules_that_change_leave() {
    let rules = [
        profile::all_tracked(),
        profile::mixed(),
        profile::all_mirrored(),
        profile::turned_round(),
        profile::all_tracked(),
    ];
    check(false, 60, 9, &rules, None);
}
