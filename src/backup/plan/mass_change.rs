//! Whether a run would change so much that somebody should look first (invariant 12): ransomware, a disk
//! that is not mounted and a wiped folder all look like this.
//!
//! Pure: figures in, a decision out. Moves, new files and changes of attributes alone are no part of the
//! figures.

use crate::config::profile::MassChange;

/// What a run would do to the tracked files, in numbers of files and links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Tracked files that the index holds.
    pub(crate) tracked: u64,
    /// Those of them that vanished, other than by a move.
    pub(crate) deleted: u64,
    /// Those of them with other content.
    pub(crate) changed: u64,
}

/// Whether both limits are exceeded; at a limit is not beyond it.
pub(crate) fn is_beyond(losses: &Losses, limits: &MassChange) -> bool {
    let lost = u128::from(losses.deleted) + u128::from(losses.changed);
    lost > u128::from(limits.files)
        && lost * 100 > u128::from(limits.percent) * u128::from(losses.tracked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beyond(tracked: u64, deleted: u64, changed: u64) -> bool {
        is_beyond(&Losses { tracked, deleted, changed }, &MassChange::default())
    }

    #[test]
    fn by_default_it_is_more_than_half_and_more_than_a_thousand() {
        assert_eq!(MassChange::default(), MassChange { percent: 50, files: 1000 });
        assert!(!beyond(2000, 1000, 0), "exactly a thousand");
        assert!(!beyond(2002, 1001, 0), "exactly half");
        assert!(beyond(2001, 1001, 0));
        assert!(!beyond(1000, 1000, 0), "all of few");
        assert!(beyond(1001, 1001, 0), "all of more");
        assert!(!beyond(1_000_000, 400_000, 0), "many, but not half");
    }

    #[test]
    fn deletions_and_changes_count_together() {
        assert!(beyond(2001, 0, 1001));
        assert!(beyond(2001, 500, 501));
        assert!(!beyond(2001, 500, 500));
    }

    #[test]
    fn a_backup_of_nothing_is_never_beyond() {
        assert!(!beyond(0, 0, 0));
        assert!(!is_beyond(&Losses::default(), &MassChange { percent: 1, files: 0 }));
    }

    #[test]
    fn the_limits_are_the_profiles() {
        let losses = Losses { tracked: 10, deleted: 2, changed: 1 };
        assert!(is_beyond(&losses, &MassChange { percent: 29, files: 2 }));
        assert!(!is_beyond(&losses, &MassChange { percent: 30, files: 2 }));
        assert!(!is_beyond(&losses, &MassChange { percent: 29, files: 3 }));
        let all = Losses { tracked: 10, deleted: 10, changed: 0 };
        assert!(!is_beyond(&all, &MassChange { percent: 100, files: 0 }), "that turns it off");
    }

    #[test]
    fn figures_beyond_all_bounds_do_not_overflow() {
        assert!(beyond(u64::MAX, u64::MAX, u64::MAX));
        assert!(!beyond(u64::MAX, u64::MAX / 3, 0));
    }
}
