//! The plug is pulled in the middle of a run: the next plug-in completes it, and what older increments
//! hold stays as it was.

use serde_json::json;

use crate::drive::{Drive, Fs};
use crate::guest::STEP;
use crate::host::wait_for;
use crate::outside::{Check, look};
use crate::world::{How, Outcome, World, repository};

/// Early, in the middle, and late: bytes that reached the drive, of 24 MB that the run copies.
const POINTS: [u64; 3] = [1_500_000, 12_000_000, 23_500_000];

pub(crate) fn in_the_middle(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "pulled", Fs::Ext4, "PULLED");
    let part = &drive.parts[0];
    world.profile("pulled", &json!({ "label": "PULLED" }), "Videos");
    let plugged = world.plug(&drive, How::Storage);
    world.safe_to_remove(plugged);
    world.pull(&drive);
    let mut older = look(&drive, part, Check::Clean).increments();
    for point in POINTS {
        world.change("Videos", "for file in *; do echo more >>$file; done");
        let plugged = world.plug(&drive, How::Slow);
        wait_for("a part of the run", STEP * 2, || (world.written(&drive) >= point).then_some(()));
        world.pull(&drive);
        let goes_on = "Plug it in again: the backup goes on where it stopped.";
        world.guest.wait_shown(plugged.since, STEP, &[goes_on]);
        let shown = world.guest.shown(plugged.since);
        assert!(!shown.iter().any(|text| text.contains("Safe to remove")), "{shown:#?}");
        look(&drive, part, Check::None).keeps(&older);

        let plugged = world.plug(&drive, How::Storage);
        world.safe_to_remove(plugged);
        world.pull(&drive);
        let found = look(&drive, part, Check::Clean);
        found.keeps(&older);
        found.is_backup_of(&world.source_tree("Videos"), &repository("pulled"));
        older = found.increments();
    }
    Outcome::Passed
}
