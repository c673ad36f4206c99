//! The progress bar: files and bytes done, rate and time left, on a terminal only.

use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::backup::options::Monitor;

/// A bar on standard error, or nothing if that is no terminal.
pub(super) struct Bar {
    inner: ProgressBar,
    files: AtomicU64,
    files_done: AtomicU64,
}

impl Bar {
    /// A bar that is shown once there is something to show.
    pub(super) fn new(wanted: bool) -> Self {
        let target = if wanted && stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(5)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // The template is ours and sound; without it the bar's own default is shown.
        if let Ok(style) = ProgressStyle::with_template(
            "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}, {eta} left",
        ) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { inner: bar, files: AtomicU64::new(0), files_done: AtomicU64::new(0) }
    }

    /// Shows `phase`, which does so many bytes.
    pub(super) fn begin(&self, phase: &'static str, bytes: u64) {
        self.inner.set_length(bytes);
        self.inner.set_message(phase);
    }

    /// So many bytes more are to be done.
    pub(super) fn more(&self, bytes: u64) {
        self.inner.inc_length(bytes);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.inner.finish_and_clear();
    }

    fn show_files(&self) {
        let (done, all) =
            (self.files_done.load(Ordering::Relaxed), self.files.load(Ordering::Relaxed));
        self.inner.set_message(format!("{done}/{all} files"));
    }
}

impl Monitor for Bar {
    fn planned(&self, files: u64, bytes: u64) {
        self.files.store(files, Ordering::Relaxed);
        self.inner.set_length(bytes);
        self.show_files();
    }

    fn copied(&self, files: u64, bytes: u64) {
        if files > 0 {
            self.files_done.fetch_add(files, Ordering::Relaxed);
            self.show_files();
        }
        self.inner.inc(bytes);
    }

    fn phase(&self, phase: &str) {
        self.inner.set_message(phase.to_owned());
    }
}
