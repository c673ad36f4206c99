//! A run leaves the memory that files are cached in to the programs that use them.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::path::Path;
use std::process::Command;

use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};

use crate::support::home::Home;
use crate::support::needs::{self, skipped};

const MB: usize = 1 << 20;

/// Bytes of the file that the page cache has.
fn cached(path: &Path) -> usize {
    let mut fincore = Command::new(needs::find_tool("fincore").unwrap());
    let output = fincore.args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().parse().unwrap()
}

fn uncache(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
}

#[test]
fn large_files_leave_the_page_cache_as_it_was() {
    if let Some(why) = needs::missing_tool(&["fincore"]) {
        return skipped(&why);
    }
    let home = Home::with_docs();
    // Larger than what a drive is given at a time at first, and smaller.
    let mut others = vec![("huge".to_owned(), 48)];
    others.extend((0..20).map(|number| (format!("large{number}"), 2)));
    let in_use = ("in_use".to_owned(), 3);
    for (name, megabytes) in others.iter().chain([&in_use]) {
        let path = home.at("work").join(name);
        fs::write(&path, vec![7; megabytes * MB]).unwrap();
        uncache(&path);
    }
    if cached(&home.at("work/huge")) > 0 {
        return skipped("files of this file system stay in memory");
    }
    assert_eq!(fs::read(home.at("work/in_use")).unwrap().len(), 3 * MB);
    let file = File::open(home.at("work/in_use")).unwrap();
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    if rustix::io::preadv2(&file, &mut buffers, 0, ReadWriteFlags::NOWAIT) == Err(Errno::OPNOTSUPP)
    {
        return skipped("this file system does not tell what is in memory");
    }

    home.done(&["run", "--profile", "docs"]);

    assert_eq!(cached(&home.at("work/in_use")), 3 * MB, "what another program uses was dropped");
    let left = |folder: &str| {
        others.iter().map(|(name, _)| cached(&home.at(folder).join(name))).sum::<usize>()
    };
    // A disk that answers at once looks as if it had been in the cache, now and then.
    assert!(left("work") <= 60 * MB, "{} bytes of the source are left", left("work"));
    assert!(left("there/backup/mirror") < MB, "{} bytes", left("there/backup/mirror"));
    assert_eq!(fs::read(home.at("there/backup/mirror/huge")).unwrap(), vec![7; 48 * MB]);
}
