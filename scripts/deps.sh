#!/bin/sh
# Installs what is missing of the named groups (build, demo, test, vm, bench, slow, screenshots, lint)
# on Debian and Ubuntu.
# Looks first, so that nothing is asked of apt, or of sudo, where all is there. Without root and sudo
# only what building needs is insisted on: demo and tests leave out what they lack, and say so.
set -eu

PATH=$PATH:/usr/sbin:/sbin
missing=''
needed=''
tools=''

# need PACKAGE COMMAND...: the package is missing if the command fails.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

# have PACKAGE PROGRAM
have() {
    need "$1" command -v "$2"
}

# tool VERSION CRATE OPTION...: a cargo command that no distribution has; any version that is there will do.
# Installed where cargo keeps its commands. Built for a short build: what it runs here takes seconds.
tool() {
    version=$1
    crate=$2
    shift 2
    cargo "${crate#cargo-}" --version >/dev/null 2>&1 || tools="$tools$crate --version $version $*
"
}

build() {
    if ! command -v cargo >/dev/null; then
        echo 'cargo is missing. Rust is best installed with rustup: https://rustup.rs' >&2
        exit 1
    fi
    have gcc cc
    # gcc only recommends it, and nothing links without it.
    need libc6-dev test -e /usr/include/stdio.h
    have pkg-config pkg-config
    need libudev-dev pkg-config --exists libudev
}

# A machine with drives and a desktop session.
demo() {
    have udev udevadm
    have dbus dbus-daemon
    have dbus dbus-send
    need python3-dbusmock /usr/bin/python3 -c 'import dbusmock'
    have e2fsprogs mkfs.ext4
    have mount losetup
    have util-linux flock
}

tests() {
    demo
    have util-linux setpriv
    have xfsprogs mkfs.xfs
    have btrfs-progs mkfs.btrfs
    have exfat-fuse mount.exfat-fuse
    have exfatprogs fsck.exfat
    have dosfstools mkfs.vfat
    have ntfs-3g ntfs-3g
    have rsync rsync
    have acl setfacl
    have attr setfattr
    have strace strace
    have busybox busybox
    have shellcheck shellcheck
    need udisks2 test -x /usr/libexec/udisks2/udisksd
    need polkitd test -x /usr/lib/polkit-1/polkitd
    have gnome-keyring gnome-keyring-daemon
    have chromium chromium
    have chromium-driver chromedriver
    need python3-prometheus-client /usr/bin/python3 -c 'import prometheus_client'
}

# A virtual machine, and looking at its drives from outside.
vm() {
    tests
    have qemu-system-x86 qemu-system-x86_64
    have mmdebstrap mmdebstrap
    need debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
    have mtools mcopy
    have binutils strip
}

bench() {
    have e2fsprogs mkfs.ext4
    have mount losetup
    have python3 python3
    have rsync rsync
    have restic restic
    have borgbackup borg
    have rdiff-backup rdiff-backup
}

# A drive that is as slow as a USB stick.
slow() {
    have e2fsprogs mkfs.ext4
    have mount losetup
    have fuse3 fusermount
    need python3-fusepy /usr/bin/python3 -c 'import fusepy'
}

# A display that nobody sees, and a notification service that draws on it.
screenshots() {
    have dbus dbus-run-session
    have dbus dbus-send
    have dunst dunst
    have xvfb xvfb-run
    have xauth xauth
    have imagemagick import
    have chromium chromium
    have chromium-driver chromedriver
    # Latin and Cyrillic.
    need fonts-dejavu-core test -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
}

lint() {
    have codespell codespell
    # Without its own code for git, which takes most of its build: only advisories need git.
    tool 0.20.2 cargo-deny --no-default-features
    tool 0.9.2 cargo-machete
}

for group in "$@"; do
    case $group in
    build)
        build
        needed=$missing
        ;;
    demo) demo ;;
    test) tests ;;
    vm) vm ;;
    bench) bench ;;
    slow) slow ;;
    screenshots) screenshots ;;
    lint) lint ;;
    *)
        echo "deps.sh: no group $group" >&2
        exit 2
        ;;
    esac
done

install_packages() {
    missing=$(printf '%s\n' "$missing" | tr ' ' '\n' | sort -u | tr '\n' ' ' | sed 's/^ *//; s/ *$//')
    if [ -z "$missing" ]; then
        return 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "Please install what Debian calls: $missing" >&2
        return 1
    fi
    if [ "$(id -u)" -eq 0 ]; then
        sudo=''
    elif command -v sudo >/dev/null; then
        sudo=sudo
    else
        echo "Missing; as root: apt-get install $missing" >&2
        [ -z "$needed" ]
        return
    fi
    echo "Installing: $missing"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # shellcheck disable=SC2086 # both are lists of words
    if ! { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        echo "apt-get could not install: $missing" >&2
        return 1
    fi
}

install_tools() {
    export CARGO_PROFILE_DEV_DEBUG=0
    printf '%s' "$tools" | while read -r crate options; do
        echo "Building: $crate"
        # shellcheck disable=SC2086 # a list of words
        cargo install --quiet --locked --debug "$crate" $options </dev/null || exit 1
    done
}

result=0
install_packages || result=1
install_tools || result=1
exit "$result"
