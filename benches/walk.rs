//! The least that finding out "nothing changed" can cost: every folder below the argument is read and every
//! entry looked at (`fstatat`), by all processors. Called by `benches/compare.py`.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a measure, not the program")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

fn walk<'s>(folder: PathBuf, seen: &'s AtomicU64, scope: &rayon::Scope<'s>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let found = entry.metadata().expect("an entry");
        seen.fetch_add(1, Ordering::Relaxed);
        if found.is_dir() {
            scope.spawn(move |scope| walk(entry.path(), seen, scope));
        }
    }
}

fn main() {
    let root = std::env::args_os().nth(1).expect("a folder");
    let seen = AtomicU64::new(0);
    rayon::scope(|scope| walk(root.into(), &seen, scope));
    println!("{}", seen.into_inner());
}
