//! A hostile drive: mounts in the place of what the program put there.

use std::path::PathBuf;

use rustix::mount::{MountFlags, UnmountFlags, mount_bind, unmount};

use crate::support::attack::{Attacked, DAMAGED, Expected, folders};
use crate::support::needs::skipped;

struct Bound(PathBuf);

impl Drop for Bound {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn what_is_mounted_inside_the_repository_is_not_entered() {
    if !rustix::process::geteuid().is_root() {
        return skipped("needs root");
    }
    let says = "something else is mounted there";
    for number in 1..folders(&Attacked::new()).len() {
        let mut attacked = Attacked::new();
        attacked.know_increments();
        let (folder, expected) = folders(&attacked).swap_remove(number);
        let path = attacked.repository().join(&folder);
        if mount_bind(attacked.outside(), &path).is_err() {
            return skipped("no mount can be made here");
        }
        let bound = Bound(path);
        // A run that comes to the mount stops there, and says so.
        let run: &[i32] = if expected.run == [3] { &[1] } else { expected.run };
        attacked.expect(&format!("{folder:?} under a mount"), &Expected { run, says, ..expected });
        drop(bound);
    }
    // Private to nobody else: a mount of a single file, over the index.
    let mut attacked = Attacked::new();
    let index = attacked.repository().join(".bkm/index");
    rustix::mount::mount(
        attacked.outside().join("a.txt"),
        &index,
        "",
        MountFlags::BIND,
        None::<&std::ffi::CStr>,
    )
    .unwrap();
    let bound = Bound(index);
    attacked.expect("the index under a mount", &Expected { says, ..DAMAGED });
    drop(bound);
}
