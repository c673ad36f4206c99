//! The guest's disk: a small Debian, built once and kept below `target/` under a key of its recipe.
//!
//! Nothing writes to it afterwards: the machine runs on a throw-away layer above it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::host::run;

/// What runs inside the new root before it becomes an image.
const SETUP: &str = include_str!("guest/setup.sh");

/// What a desktop has of these parts. The kernel comes in by `SETUP`.
const PACKAGES: &str = "btrfs-progs,busybox-static,cryptsetup-bin,dbus,dbus-user-session,dosfstools,\
e2fsprogs,exfatprogs,kmod,libblockdev-crypto2,libpam-systemd,libudev1,ntfs-3g,passwd,polkitd,\
procps,python3-dbus,python3-dbusmock,python3-gi,qemu-guest-agent,systemd,systemd-sysv,udev,udisks2";

const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
const SIZE: &str = "1500M";

/// The files that a machine boots from.
pub(crate) struct Image {
    pub(crate) disk: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
}

impl Image {
    /// The image in `cache`; built there first if its recipe changed. The error says why it cannot be.
    pub(crate) fn get(cache: &Path) -> Result<Self, String> {
        let recipe = [SETUP, PACKAGES, SUITE, MIRROR, SIZE].join("\n");
        let key = blake3::hash(recipe.as_bytes()).to_hex();
        let folder = cache.join(format!("image-{}", &key[..16]));
        if !folder.exists() {
            build(cache, &folder)?;
        }
        let file = |name: &str| folder.join(name);
        Ok(Self { disk: file("disk"), kernel: file("vmlinuz"), initramfs: file("initramfs") })
    }
}

fn build(cache: &Path, folder: &Path) -> Result<(), String> {
    let start = Instant::now();
    println!("vm: building the guest's image (once; one to two minutes)");
    fs::create_dir_all(cache).unwrap();
    for old in fs::read_dir(cache).unwrap() {
        let old = old.unwrap();
        if old.file_name().to_string_lossy().starts_with("image-") {
            fs::remove_dir_all(old.path()).unwrap();
        }
    }
    let dir = tempfile::tempdir_in(cache).unwrap();
    let (root, made) = (dir.path().join("root"), dir.path().join("made"));
    let setup = dir.path().join("setup.sh");
    fs::write(&setup, SETUP).unwrap();
    let hook = format!(
        "cp '{}' \"$1/setup.sh\" && chroot \"$1\" sh /setup.sh && rm \"$1/setup.sh\"",
        setup.display()
    );
    let unwanted = ["man", "doc", "locale"];
    let made_root = Command::new("mmdebstrap")
        .args(["--mode=root", "--variant=apt", "--quiet"])
        .arg(format!("--include={PACKAGES}"))
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .args(unwanted.map(|of| format!("--dpkgopt=path-exclude=/usr/share/{of}/*")))
        .arg(format!("--customize-hook={hook}"))
        .arg(SUITE)
        .arg(&root)
        .arg(MIRROR)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !made_root.status.success() {
        let said = String::from_utf8_lossy(&made_root.stderr).into_owned();
        return Err(format!("mmdebstrap could not make a guest: {said}"));
    }
    fs::create_dir(&made).unwrap();
    for boot in ["vmlinuz", "initramfs"] {
        fs::copy(root.join("boot").join(boot), made.join(boot)).unwrap();
    }
    let disk = made.join("disk");
    run("mkfs.ext4", [Path::new("-q"), Path::new("-d"), &root, &disk, Path::new(SIZE)]);
    fs::rename(&made, folder).unwrap();
    println!("vm: image built in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
