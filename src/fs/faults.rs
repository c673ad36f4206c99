//! Faults for tests: lets the k-th operation on a drive fail, and all after it, as when the plug is
//! pulled or the process is killed.
//!
//! Only `Tree` consults it, before each operation that changes something. A program that sets no
//! faults pays one `Option` check per operation.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// What goes wrong, and when. Operations are counted from 1 over the life of this value.
#[derive(Debug)]
pub struct Faults {
    done: AtomicU64,
    first_bad: u64,
    last_bad: u64,
    error: rustix::io::Errno,
    batch_paths: Option<usize>,
    no_links: bool,
    synced: Option<Then>,
    before: Option<(u64, Then)>,
}

/// What a test does at some point of a run.
struct Then(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Then {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Then")
    }
}

impl Faults {
    /// Only counts.
    pub fn none() -> Self {
        Self::stop_after(u64::MAX - 1)
    }

    /// Everything after the `k`-th operation fails, as for a process that was killed there.
    pub fn stop_after(k: u64) -> Self {
        Self {
            done: AtomicU64::new(0),
            first_bad: k + 1,
            last_bad: u64::MAX,
            error: rustix::io::Errno::NODEV,
            batch_paths: None,
            no_links: false,
            synced: None,
            before: None,
        }
    }

    /// The `k`-th operation alone fails, with `error`.
    pub fn fail_at(k: u64, error: rustix::io::Errno) -> Self {
        Self { first_bad: k, last_bad: k, error, ..Self::none() }
    }

    /// As a drive that gives no file a second name.
    #[must_use]
    pub fn without_links(mut self) -> Self {
        self.no_links = true;
        self
    }

    /// Calls `then` whenever something was made durable.
    #[must_use]
    pub fn after_sync(mut self, then: impl Fn() + Send + Sync + 'static) -> Self {
        self.synced = Some(Then(Box::new(then)));
        self
    }

    /// Calls `then` before the `k`-th operation.
    #[must_use]
    pub fn before(mut self, k: u64, then: impl Fn() + Send + Sync + 'static) -> Self {
        self.before = Some((k, Then(Box::new(then))));
        self
    }

    /// With batches of at most `paths` paths, so that a run of few files has several.
    #[must_use]
    pub fn with_batches_of(mut self, paths: usize) -> Self {
        self.batch_paths = Some(paths);
        self
    }

    /// How many paths a batch may have, if a test wants other batches than the program's.
    pub fn batch_paths(&self) -> Option<usize> {
        self.batch_paths
    }

    /// How many operations were tried.
    pub fn count(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Whether hard links are to be refused.
    pub(super) fn refuses_links(&self) -> bool {
        self.no_links
    }

    /// Something was made durable.
    pub(super) fn synced(&self) {
        if let Some(Then(then)) = &self.synced {
            then();
        }
    }

    /// Counts one operation, and says whether it is to fail.
    pub(super) fn step(&self) -> io::Result<()> {
        let number = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((k, Then(then))) = &self.before
            && *k == number
        {
            then();
        }
        if number >= self.first_bad && number <= self.last_bad {
            return Err(self.error.into());
        }
        Ok(())
    }
}
