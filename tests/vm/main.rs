//! The agent on a whole computer: a virtual machine with systemd, udev, polkit, UDisks2 and a user's
//! session, into which the program is installed and real USB drives are plugged.
//!
//! `make test-vm` runs it; `cargo test` leaves it out. One guest is booted, all scenarios run in it one
//! after the other, and each leaves no drive behind. With arguments, only the scenarios whose name
//! holds one of them: `cargo test --test vm -- vfat luks`. docs/testing.md says more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, prints its report, and plays the person at the files"
)]

mod base64;
mod commands;
mod drive;
mod file_systems;
mod guest;
mod host;
mod image;
mod json_socket;
mod look_alike;
mod outside;
mod pulled;
mod session;
mod system_wide;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use image::Image;
use world::{Outcome, World};

/// In their order; the first ones tell most about what is broken.
const SCENARIOS: &[(&str, world::Scenario)] = &[
    ("ext4", file_systems::ext4),
    ("vfat", file_systems::vfat),
    ("exfat", file_systems::exfat),
    ("ntfs", file_systems::ntfs),
    ("btrfs", file_systems::btrfs),
    ("luks", file_systems::luks),
    ("no partition table", file_systems::no_partition_table),
    ("two partitions", file_systems::two_partitions),
    ("label with space and slash", file_systems::odd_label),
    ("root's file system", file_systems::owned_by_root),
    ("uas", file_systems::uas),
    ("pulled in the middle", pulled::in_the_middle),
    ("clone of the drive", look_alike::clone),
    ("desktop mounted it before", session::desktop_was_first),
    ("desktop mounts at the same moment", session::desktop_mounts_too),
    ("session inactive", session::inactive),
    ("suspend", session::suspend),
    ("why and status", commands::why_and_status),
    ("system-wide", system_wide::without_session),
];

/// One line of the report.
struct Line {
    name: &'static str,
    outcome: Outcome,
    safe: Vec<Duration>,
    took: Duration,
}

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if let Some(why) = host::missing() {
        println!("vm: skipped: {why}");
        return ExitCode::SUCCESS;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = project.join("target/vm");
    let image = match Image::get(&cache) {
        Ok(image) => image,
        Err(why) => {
            println!("vm: skipped: {why}");
            return ExitCode::SUCCESS;
        }
    };
    let start = Instant::now();
    let mut world = World::new(project, &cache, &image);
    println!(
        "vm: the guest is up and the program installed after {:.0} s",
        start.elapsed().as_secs_f64()
    );
    let mut lines = Vec::new();
    for &(name, scenario) in SCENARIOS {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            let line = play(&mut world, name, scenario);
            println!("{}", line.text());
            lines.push(line);
        }
    }
    report(&lines, start.elapsed())
}

fn play(world: &mut World, name: &'static str, scenario: world::Scenario) -> Line {
    let start = Instant::now();
    world.begin();
    let played = catch_unwind(AssertUnwindSafe(|| scenario(world)));
    let outcome = played.unwrap_or_else(|_| {
        println!("{}", world.last_words());
        Outcome::Failed
    });
    let tidied = catch_unwind(AssertUnwindSafe(|| world.tidy()));
    let outcome = if tidied.is_err() { Outcome::Failed } else { outcome };
    Line { name, outcome, safe: std::mem::take(&mut world.safe), took: start.elapsed() }
}

impl Line {
    fn text(&self) -> String {
        let result = match &self.outcome {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAILED",
            Outcome::Skipped(_) => "skipped",
        };
        let seconds = |time: &Duration| format!("{:.1}", time.as_secs_f64());
        let safe: Vec<_> = self.safe.iter().map(seconds).collect();
        let mut text = format!(
            "| {:<34} | {result:<7} | {:<24} | {:>6} |",
            self.name,
            safe.join(", "),
            seconds(&self.took)
        );
        if let Outcome::Skipped(why) = &self.outcome {
            text.push_str(" skipped: ");
            text.push_str(why);
        }
        text
    }
}

fn report(lines: &[Line], took: Duration) -> ExitCode {
    println!();
    println!(
        "| {:<34} | {:<7} | {:<24} | {:>6} |",
        "scenario", "result", "plug to safe to remove, s", "all, s"
    );
    println!("|{:-<36}|{:-<9}|{:-<26}|{:-<8}|", "", "", "", "");
    for line in lines {
        println!("{}", line.text());
    }
    let count = |is: fn(&Outcome) -> bool| lines.iter().filter(|line| is(&line.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed));
    println!(
        "\nvm: {} passed, {failed} failed, {} skipped, in {:.0} s",
        count(|outcome| matches!(outcome, Outcome::Passed)),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        took.as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
