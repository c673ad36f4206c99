//! A server: the system's own agent, profiles in `/etc`, nobody logged in.

use serde_json::json;

use crate::drive::{Drive, Fs};
use crate::guest::STEP;
use crate::host::wait_for;
use crate::outside::{Check, look};
use crate::world::{How, Outcome, World};

pub(crate) fn without_session(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "server", Fs::Ext4, "SERVER");
    world.guest.alice("systemctl --user stop bkm-agent");
    let profile = json!({ "drive": { "label": "SERVER" }, "src": "/home/alice/Documents",
        "dist": "server" });
    world.guest.sh("mkdir -p /etc/bkm-agent/profiles");
    world.guest.write("/etc/bkm-agent/profiles/server.json", profile.to_string().as_bytes());
    // `make install PREFIX=/usr/local`, and what it says is next.
    let said = world.guest.sh("cd /home/alice/bkm-agent && HOME=/root PREFIX=/usr/local DESTDIR= \
         UDEV_RULES=/etc/udev/rules.d sh scripts/install.sh target/release/bkm-agent");
    let next = "systemctl daemon-reload && systemctl enable --now bkm-agent-system.service";
    assert!(said.contains(next), "{said}");
    // Nobody is logged in.
    world.guest.sh(&format!(
        "systemctl mask --runtime --now getty@tty1.service; loginctl terminate-user alice; {next}"
    ));
    wait_for("alice to be gone", STEP, || {
        (world.guest.sh("loginctl list-sessions --no-legend").trim().is_empty()).then_some(())
    });
    let plugged = world.plug(&drive, How::Storage);
    world.guest.wait_logged(plugged.since, STEP, &["safe to remove"]);
    world.safe.push(plugged.elapsed());
    let mounts = world.guest.sh("cat /proc/mounts");
    assert!(!mounts.contains("/dev/sd"), "{mounts}");
    world.pull(&drive);
    let found = look(&drive, &drive.parts[0], Check::Clean);
    found.is_backup_of(&world.source_tree("Documents"), "server");
    Outcome::Passed
}
