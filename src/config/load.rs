//! Profile files: where they lie, and how one is read.
//!
//! The folders come from the caller (`dirs::profile_dirs` gives this computer's).

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::config::check::{Surroundings, check};
use crate::config::error::{ConfigError, nearest};
use crate::config::profile::Profile;

/// The largest profile file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Reads one profile; its name is the file's name without the ending.
pub fn load_file(path: &Path) -> Result<Profile, ConfigError> {
    let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let wrong = |reason: &str| ConfigError::File { file: file.clone(), reason: reason.to_owned() };
    let unreadable = |source: io::Error| ConfigError::Read { file: file.clone(), source };
    // Looked at before it is opened: opening a FIFO would wait.
    if !fs::metadata(&file).map_err(unreadable)?.is_file() {
        return Err(wrong("not a file"));
    }
    let Some(name) = file.file_stem().and_then(OsStr::to_str) else {
        return Err(wrong("the name, which is the profile's, is not UTF-8"));
    };
    let mut bytes = Vec::new();
    File::open(&file)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong("larger than 1 MiB; that is no profile"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let bytes = error.as_bytes();
        let before = bytes.get(..error.utf8_error().valid_up_to());
        let lines = before.unwrap_or_default().split(|&b| b == b'\n');
        ConfigError::Json {
            file: file.clone(),
            line: lines.count(),
            reason: "not UTF-8 text".to_owned(),
        }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    check(&file, name.to_owned(), text, &surroundings())
}

/// The profile called `name` that `text` would be as the content of `file`.
pub fn load_text(file: &Path, name: &str, text: &str) -> Result<Profile, ConfigError> {
    check(file, name.to_owned(), text, &surroundings())
}

/// Reads all profiles of the folders, sorted by name within each. Of two with the same name the one in
/// the earlier folder counts; a folder that is not there is none.
pub fn load_all(dirs: &[PathBuf]) -> Vec<Result<Profile, ConfigError>> {
    let mut profiles = Vec::new();
    let mut seen = Vec::new();
    for dir in dirs {
        for file in files(dir) {
            match file {
                Ok(file) if seen.contains(&file.file_name().map(OsStr::to_owned)) => {}
                Ok(file) => {
                    seen.push(file.file_name().map(OsStr::to_owned));
                    profiles.push(load_file(&file));
                }
                Err(error) => profiles.push(Err(error)),
            }
        }
    }
    profiles
}

/// Reads the profile called `name` from the first folder that has it.
pub fn find(dirs: &[PathBuf], name: &str) -> Result<Profile, ConfigError> {
    let names: Vec<(String, PathBuf)> = dirs
        .iter()
        .flat_map(|dir| files(dir))
        .flatten()
        .filter_map(|file| Some((file.file_stem()?.to_str()?.to_owned(), file)))
        .collect();
    match names.iter().find(|(other, _)| other == name) {
        Some((_, file)) => load_file(file),
        None => Err(ConfigError::NotFound {
            name: name.to_owned(),
            nearest: nearest(name, names.iter().map(|(other, _)| other.as_str()))
                .map(str::to_owned),
            dirs: dirs.to_vec(),
        }),
    }
}

/// The `*.json` of a folder, sorted by name; hidden ones (an editor's leftovers) are none.
fn files(dir: &Path) -> Vec<Result<PathBuf, ConfigError>> {
    let is_profile = |path: &Path| {
        let is_hidden =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        path.extension() == Some(OsStr::new("json")) && !is_hidden
    };
    WalkDir::new(dir)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name()
        .into_iter()
        .filter_map(|entry| match entry {
            Ok(entry) if entry.file_type().is_dir() || !is_profile(entry.path()) => None,
            Ok(entry) => Some(Ok(entry.into_path())),
            Err(error) => {
                let source: io::Error = error.into();
                // Without the folder there are no profiles in it.
                (source.kind() != io::ErrorKind::NotFound)
                    .then(|| Err(ConfigError::Read { file: dir.to_owned(), source }))
            }
        })
        .collect()
}

/// This user and computer, as `anna@host`: what the default place of a repository is called after.
pub fn computer_name() -> String {
    let here = surroundings();
    format!("{}@{}", here.user, here.host)
}

/// What profiles refer to of this computer and user.
fn surroundings() -> Surroundings {
    let uname = rustix::system::uname();
    Surroundings {
        home: crate::host::dirs::home(),
        user: user_name(),
        host: uname.nodename().to_string_lossy().into_owned(),
    }
}

/// The user's name as `/etc/passwd` has it, so that a service (whose environment names no user) and a
/// shell come to the same folder on a drive; users that only a directory service knows are taken from
/// the environment.
fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let environment = ["USER", "LOGNAME"].iter().filter_map(env::var_os);
    name_of(uid, &passwd)
        .or_else(|| environment.filter_map(|user| user.into_string().ok()).find(|u| !u.is_empty()))
        .unwrap_or_else(|| format!("uid{uid}"))
}

/// The name of `uid` in the text of passwd(5).
fn name_of(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn the_user_is_named_by_the_number_not_by_the_environment() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(name_of(1000, passwd).as_deref(), Some("alice"));
        assert_eq!(name_of(0, passwd).as_deref(), Some("root"));
        assert_eq!(name_of(7, passwd), None);
    }

    const FOLDER: &str = r#"{ "src": "/home/a", "dist": "/mnt/b" }"#;

    #[test]
    fn the_first_folder_wins_and_leftovers_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let (user, system) = (dir.path().join("user"), dir.path().join("system"));
        fs::create_dir_all(user.join("folder.json")).unwrap();
        fs::create_dir(&system).unwrap();
        write(&user, "b.json", FOLDER);
        write(&user, ".b.json", "leftover");
        write(&user, "notes.txt", "no profile");
        write(&system, "b.json", "broken");
        write(&system, "a.json", "broken");
        let dirs = [user.clone(), dir.path().join("none"), system.clone()];
        let all = load_all(&dirs);
        let shown: Vec<String> = all
            .into_iter()
            .map(|result| result.map_or_else(|error| error.to_string(), |profile| profile.name))
            .collect();
        let broken =
            format!("{}/a.json:1: not valid JSON: expected value (column 1)", system.display());
        assert_eq!(shown, ["b".to_owned(), broken]);
        assert_eq!(find(&dirs, "b").unwrap().file, user.join("b.json"));
        assert_eq!(
            find(&dirs, "bb").unwrap_err().to_string(),
            "no profile \"bb\"; did you mean \"b\"?"
        );
        assert_eq!(
            find(std::slice::from_ref(&user), "photos").unwrap_err().to_string(),
            format!("no profile \"photos\"; profiles are looked for in {}", user.display())
        );
    }

    #[test]
    fn only_sound_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let with_bom = write(dir.path(), "bom.json", &format!("\u{feff}{FOLDER}"));
        assert_eq!(load_file(&with_bom).unwrap().name, "bom");
        let message = |path: &Path| {
            let message = load_file(path).unwrap_err().to_string();
            message.replace(&dir.path().display().to_string(), "/x")
        };
        assert_eq!(message(dir.path()), "/x: not a file");
        assert_eq!(message(&dir.path().join("none")), "/x/none: cannot be read");
        let large = write(dir.path(), "large.json", &" ".repeat((1 << 20) + 1));
        assert_eq!(message(&large), "/x/large.json: larger than 1 MiB; that is no profile");
        let raw = dir.path().join("raw.json");
        fs::write(&raw, b"{\n\"src\": \"\xff\"}").unwrap();
        assert_eq!(message(&raw), "/x/raw.json:2: not UTF-8 text");
    }
}
