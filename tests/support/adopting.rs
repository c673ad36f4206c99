//! Repositories of the Python backup-manager, with the homes that they were made of.

use std::fs::{self, File, FileTimes};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::home::Home;
use super::python_tool;

pub(crate) const FIRST: &str = "backup_20250101_100000";

pub(crate) const SECOND: &str = "backup_20250102_100000";

pub(crate) const THIRD: &str = "backup_20250103_100000";

/// A file of the source, as old as `minutes`.
pub(crate) fn write(home: &Home, path: &str, content: &str, minutes: u64) {
    home.write(&format!("work/{path}"), content);
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_735_000_000 + minutes * 60, 123_456_789);
    let file = File::options().write(true).open(home.at("work").join(path)).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

pub(crate) fn python(home: &Home, name: &str, options: &[&str]) {
    python_tool::run(&home.at("work"), &home.at("there/backup"), name, options);
}

/// A repository after three runs: `a` was overwritten in the first increment, `gone` deleted in the third.
pub(crate) fn three_runs(options: &[&str]) -> Home {
    let home = Home::new();
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/there/backup" }));
    write(&home, "a.txt", "one", 1);
    write(&home, "sub/b.txt", "two", 1);
    write(&home, "sub/gone.txt", "three", 1);
    python(&home, FIRST, options);
    write(&home, "a.txt", "one, changed", 2);
    write(&home, "c.txt", "four", 2);
    python(&home, SECOND, options);
    fs::remove_file(home.at("work/sub/gone.txt")).unwrap();
    python(&home, THIRD, options);
    home
}
