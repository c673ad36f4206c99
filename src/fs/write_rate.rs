//! How much a drive is given before it is waited for: as much as it takes in four seconds, as measured.
//!
//! So a pulled plug costs seconds of work on a slow stick as on a fast disk, the last sync is quick, and
//! what is told as copied is on the drive soon. It touches nothing. Batches and large files are paced
//! by it alike.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is given at a time should take the drive this long. It is what a pulled plug costs, and half as much
/// costs a drive that is slow to jump half again of its time for syncs (docs/performance.md).
const TIME: Duration = Duration::from_secs(4);

/// Before anything was measured: three seconds for a stick that writes 5 MB/s.
const FIRST: u64 = 16 << 20;

/// Less than this would cost more syncs than it saves, and more would take too much memory.
const RANGE: (u64, u64) = (4 << 20, 256 << 20);

/// Growth from one measurement to the next: what a drive takes in its own memory at first says little.
const GROWTH: u64 = 4;

/// What a path costs beside its content, in bytes: a small file takes about as long.
pub const PATH: u64 = 64 << 10;

/// What a path costs of which only the name changes, in bytes: a block of a folder, at most.
pub const NAME: u64 = 4 << 10;

/// A drive's pace, as measured by whoever writes to it.
#[derive(Debug)]
pub struct Pace(AtomicU64);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicU64::new(FIRST))
    }
}

impl Pace {
    /// Bytes to write before the drive is waited for.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Learns that `bytes` reached the drive within `took`.
    pub fn learn(&self, bytes: u64, took: Duration) {
        self.0.store(next(self.bytes(), bytes, took), Ordering::Relaxed);
    }
}

fn next(now: u64, bytes: u64, took: Duration) -> u64 {
    let (least, most) = RANGE;
    if bytes < least {
        // Mostly what a sync costs by itself.
        return now;
    }
    let per_time = bytes as f64 / took.as_secs_f64().max(0.001) * TIME.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and the result is clamped"
    )]
    let per_time = per_time as u64;
    per_time.clamp(least, most.min(now.saturating_mul(GROWTH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    /// What a drive that writes so many bytes in a second is given, time after time.
    fn given(per_second: u64, times: usize) -> Vec<u64> {
        let pace = Pace::default();
        let give = |_| {
            let bytes = pace.bytes();
            pace.learn(bytes, Duration::from_secs_f64(bytes as f64 / per_second as f64));
            bytes
        };
        (0..times).map(give).collect()
    }

    #[test]
    fn a_drive_is_given_what_it_takes_in_four_seconds() {
        assert_eq!(given(5 * MB, 3), [16 * MB, 20 * MB, 20 * MB]);
        assert_eq!(given(20 * MB, 3), [16 * MB, 64 * MB, 80 * MB]);
        assert_eq!(given(400 * MB, 4), [16 * MB, 64 * MB, 256 * MB, 256 * MB]);
        assert_eq!(given(MB / 10, 3), [16 * MB, 4 * MB, 4 * MB]);
    }

    #[test]
    fn what_is_too_little_to_measure_teaches_nothing() {
        let pace = Pace::default();
        pace.learn(MB, Duration::from_mins(1));
        pace.learn(0, Duration::ZERO);
        assert_eq!(pace.bytes(), FIRST);
        pace.learn(8 * MB, Duration::ZERO);
        assert_eq!(pace.bytes(), FIRST * GROWTH, "a measurement is believed up to a bound");
    }
}
