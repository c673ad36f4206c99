//! A run leaves the memory that files are cached in to the programs that use them.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::path::Path;

use common::home::Home;
use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};

const MB: usize = 1 << 20;

/// How many of a file's megabytes begin in the page cache.
fn cached(path: &Path) -> usize {
    let file = File::open(path).unwrap();
    let megabytes = 0..file.metadata().unwrap().len() / MB as u64;
    // From the end: asking for what is not there begins to read it, and what follows.
    let is_cached = |number: &u64| {
        let mut byte = [0];
        let only_cached = ReadWriteFlags::NOWAIT;
        let at = number * MB as u64;
        let read = rustix::io::preadv2(&file, &mut [IoSliceMut::new(&mut byte)], at, only_cached);
        read != Err(Errno::AGAIN)
    };
    megabytes.rev().filter(is_cached).count()
}

fn uncache(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
}

#[test]
fn large_files_leave_the_page_cache_as_it_was() {
    let home = Home::with_docs();
    // Larger than what a drive is first given at a time, and less.
    let files = [("huge", 48), ("large", 3), ("in_use", 3)];
    for (name, megabytes) in files {
        let path = home.at("work").join(name);
        fs::write(&path, vec![7; megabytes * MB]).unwrap();
        uncache(&path);
    }
    if cached(&home.at("work/huge")) > 0 {
        println!("skipped: this file system does not tell what is cached");
        return;
    }
    assert_eq!(fs::read(home.at("work/in_use")).unwrap().len(), 3 * MB);
    uncache(&home.at("work/huge"));

    home.done(&["run", "docs"]);

    assert_eq!(cached(&home.at("work/in_use")), 3, "what another program uses was dropped");
    for folder in ["work", "there/backup/mirror"] {
        for name in ["huge", "large"] {
            let left = cached(&home.at(folder).join(name));
            assert_eq!(left, 0, "MB of {folder}/{name} left in the cache");
        }
    }
    assert_eq!(fs::read(home.at("there/backup/mirror/huge")).unwrap(), vec![7; 48 * MB]);
}
