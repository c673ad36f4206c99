//! A server: the system's own agent, profiles in `/etc`, nobody logged in.

use serde_json::json;

use crate::drive::{Drive, Fs};
use crate::guest::STEP;
use crate::host::wait_for;
use crate::outside::{Check, look};
use crate::world::{How, Outcome, World};

pub(crate) fn without_session(world: &mut World) -> Outcome {
    let unit = "/home/alice/bkm-agent/systemd/bkm-agent-system.service";
    if world.guest.try_sh(&format!("test -e {unit}")).0 != 0 {
        return Outcome::Skipped("there is no bkm-agent-system.service".to_owned());
    }
    let drive = Drive::new(&world.folder, "server", Fs::Ext4, "SERVER");
    world.guest.alice("systemctl --user stop bkm-agent");
    let profile = json!({ "drive": { "label": "SERVER" }, "src": "/home/alice/Documents",
        "dist": "server" });
    world.guest.sh("mkdir -p /etc/bkm-agent/profiles");
    world.guest.write("/etc/bkm-agent/profiles/server.json", profile.to_string().as_bytes());
    // The program lies where the unit looks for it.
    world.guest.sh(&format!(
        "program=$(sed -n 's/^ExecStart=\\([^ ]*\\).*/\\1/p' {unit})
         install -D -m 755 /home/alice/.local/bin/bkm-agent \"$program\"
         cp {unit} /etc/systemd/system/
         systemctl daemon-reload
         loginctl terminate-user alice
         systemctl mask --runtime --now getty@tty1.service
         systemctl start bkm-agent-system.service"
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
