//! Tests of drive operations: what is refused, and that faults stop everything.

use std::os::unix::fs::symlink;

use super::*;

fn tree() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    (dir, tree)
}

#[test]
fn a_symbolic_link_anywhere_in_a_path_is_refused() {
    let (dir, tree) = tree();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "x").unwrap();
    symlink(outside.path(), dir.path().join("mirror")).unwrap();
    let through = Path::new("mirror/secret");
    assert!(tree.open_file(through).unwrap_err().is(Errno::LOOP));
    assert!(tree.create_file(Path::new("mirror/new"), 0o600).unwrap_err().is(Errno::LOOP));
    assert!(tree.remove_file(through).unwrap_err().is(Errno::LOOP));
    assert!(tree.rename_over(through, Path::new("taken")).unwrap_err().is(Errno::LOOP));
    assert!(tree.create_folder(Path::new("mirror"), 0o700, None).is_err());
    assert!(outside.path().join("secret").exists());
}

#[test]
fn a_path_that_leads_out_is_refused() {
    let (_dir, tree) = tree();
    assert!(tree.open_file(Path::new("../etc/passwd")).unwrap_err().is(Errno::XDEV));
    assert!(tree.open_file(Path::new("/etc/passwd")).unwrap_err().is(Errno::XDEV));
}

#[test]
fn a_fifo_in_place_of_a_file_does_not_hang() {
    let (dir, tree) = tree();
    let made = std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status();
    assert!(made.unwrap().success());
    let error = tree.open_file(Path::new("pipe")).unwrap_err();
    assert_eq!(error.source.to_string(), "not a regular file");
}

#[test]
fn rename_new_never_replaces() {
    let (dir, tree) = tree();
    std::fs::write(dir.path().join("a"), "new").unwrap();
    std::fs::write(dir.path().join("b"), "old").unwrap();
    assert!(tree.rename_new(Path::new("a"), Path::new("b")).unwrap_err().is(Errno::EXIST));
    assert_eq!(std::fs::read(dir.path().join("b")).unwrap(), b"old");
}

#[test]
fn a_folder_made_again_is_found() {
    let (dir, tree) = tree();
    tree.create_folders(Path::new("a/b"), 0o755).unwrap();
    tree.create_file(Path::new("a/b/c"), 0o600).unwrap();
    tree.remove_file(Path::new("a/b/c")).unwrap();
    tree.remove_folder(Path::new("a/b")).unwrap();
    tree.create_folder(Path::new("a/b"), 0o755, None).unwrap();
    tree.create_file(Path::new("a/b/c"), 0o600).unwrap();
    assert!(dir.path().join("a/b/c").exists());
}

#[test]
fn after_the_kth_operation_nothing_happens_any_more() {
    let (dir, tree) = tree();
    let faults = Arc::new(Faults::stop_after(1));
    let tree = tree.with_faults(Arc::clone(&faults));
    tree.create_folder(Path::new("a"), 0o755, None).unwrap();
    assert!(tree.create_folder(Path::new("b"), 0o755, None).is_err());
    assert!(tree.sync().is_err());
    assert!(!dir.path().join("b").exists());
    assert_eq!(faults.count(), 3);
}
