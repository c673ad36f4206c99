//! Admission and confirmation with real repositories in folders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::fs::faults::Faults;
use crate::repository::layout;

const UUID: &str = "B4C4-F001";

/// A computer and a drive.
struct World {
    folder: tempfile::TempDir,
    profile: Profile,
    device: Device,
    links: bool,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("drive")).unwrap();
        let text = r#"{ "drive": { "label": "PHOTOS" }, "src": "~/Pictures" }"#;
        let profile =
            crate::config::load::load_text(Path::new("/p/docs.json"), "docs", text).unwrap();
        let device = Device {
            node: "/dev/sdb1".into(),
            uuid: Some(UUID.to_owned()),
            label: Some("PHOTOS".to_owned()),
            ..Device::default()
        };
        Self { folder, profile, device, links: true }
    }

    fn pairings(&self) -> Pairings {
        Pairings::new(&self.folder.path().join("state"))
    }

    fn root(&self, faults: Faults) -> Tree {
        let faults = if self.links { faults } else { faults.without_links() };
        Tree::open(&self.folder.path().join("drive")).unwrap().with_faults(Arc::new(faults))
    }

    fn tree(&self, place: &Path) -> Tree {
        self.root(Faults::none()).subtree(place).unwrap().unwrap()
    }

    fn admit(&self) -> Result<Admission, Refusal> {
        admit_on(&self.profile, &self.device, &self.root(Faults::none()), &self.pairings())
    }

    /// What a run does to repository and stamp.
    fn run_at(&self, place: &Path) {
        let root = self.root(Faults::none());
        root.create_folders(place, 0o700).unwrap();
        let tree = root.subtree(place).unwrap().unwrap();
        let mut repository = match Repository::open(&tree).unwrap() {
            Some(repository) => repository,
            None => Repository::create(&tree).unwrap(),
        };
        repository.begin_run().unwrap();
        repository.close_run(|_| unreachable!("nothing is open")).unwrap();
        repository.stamp_run(1, [0; 32]).unwrap();
    }

    /// A whole run.
    fn run(&self) -> Admission {
        let admission = self.admit().unwrap();
        self.run_at(&admission.place);
        admission.confirm_on(&self.root(Faults::none()), &self.pairings(), true).unwrap();
        admission
    }

    fn refused(&self) -> Kind {
        self.admit().unwrap_err().kind
    }

    fn name_place(&mut self, place: &str) {
        if let Dist::Drive { path, given, .. } = &mut self.profile.dist {
            (*path, *given) = (place.into(), true);
        }
    }

    fn default_place(&mut self, place: &str) {
        if let Dist::Drive { path, given, .. } = &mut self.profile.dist {
            (*path, *given) = (place.into(), false);
        }
    }

    fn known(&self) -> Vec<Paired> {
        self.pairings().of("docs").unwrap()
    }
}

#[test]
fn the_first_drive_is_paired_and_then_known() {
    let world = World::new();
    let first = world.run();
    assert_eq!(first.verdict, Verdict::FirstUse);
    assert!(first.note.unwrap().contains("PHOTOS is now paired"));
    for runs in 1..4 {
        assert_eq!(world.known()[0].runs, runs);
        let next = world.run();
        assert_eq!((next.verdict, next.note), (Verdict::Known, None));
    }
}

#[test]
fn looking_writes_nothing_to_drive_or_computer() {
    let world = World::new();
    world.admit().unwrap();
    assert!(!world.folder.path().join("state").exists());
    assert_eq!(std::fs::read_dir(world.folder.path().join("drive")).unwrap().count(), 0);
}

#[test]
fn without_a_repository_nothing_is_confirmed() {
    let world = World::new();
    let admission = world.admit().unwrap();
    admission.confirm_on(&world.root(Faults::none()), &world.pairings(), true).unwrap();
    assert_eq!(world.known(), []);
}

#[test]
fn a_run_without_changes_leaves_the_mark_alone() {
    let world = World::new();
    let place = world.run().place;
    let admission = world.admit().unwrap();
    world.run_at(&place);
    let faults = Arc::new(Faults::none());
    let root = Tree::open(&world.folder.path().join("drive")).unwrap();
    admission.confirm_on(&root.with_faults(Arc::clone(&faults)), &world.pairings(), true).unwrap();
    assert_eq!(faults.count(), 0, "operations that change the drive");
    assert_eq!(world.known()[0].runs, 2);
}

#[test]
fn a_new_host_name_does_not_start_a_second_backup_and_a_named_place_counts() {
    let mut world = World::new();
    let place = world.run().place;
    world.default_place("Backups/anna@new/docs");
    assert_eq!(world.run().place, place);
    world.name_place("Other");
    let moved = world.run();
    assert_eq!((&*moved.place, &moved.verdict), (Path::new("Other"), &Verdict::Known));
    assert!(moved.note.unwrap().contains("now names Other"));
    let next = world.run();
    assert_eq!((&*next.place, next.verdict, next.note), (Path::new("Other"), Verdict::Known, None));
    assert_eq!(world.known()[0].runs, 2, "of the repository in use");
}

#[test]
fn a_repository_that_somebody_moved_on_the_drive_is_found_where_the_profile_names_it() {
    let mut world = World::new();
    let place = world.run().place;
    let drive = world.folder.path().join("drive");
    crate::pairing::admission::tests::rename(&drive.join(&place), &drive.join("Moved"));
    assert_eq!(world.refused(), Kind::MarkGone);
    world.name_place("Moved");
    assert_eq!(world.run().verdict, Verdict::Known);
    assert_eq!(world.known()[0].place, PathBuf::from("Moved"));
}

#[expect(clippy::disallowed_methods, reason = "plays the person at the files")]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

#[test]
fn an_unpaired_drive_does_not_come_back_by_the_mark_that_stayed_on_it() {
    let mut world = World::new();
    world.run();
    let known = world.known();
    world.pairings().forget("docs", known[0].id, true).unwrap();
    assert_eq!(world.admit().unwrap().verdict, Verdict::FirstUseOfOld);
    world.profile.pairing = Pairing::Required;
    assert_eq!(world.refused(), Kind::NotPaired);
    world.profile.pairing = Pairing::FirstUse;
    world.run();
    assert_ne!(world.known()[0].id, known[0].id, "a new mark");
}

#[test]
fn without_pairing_nothing_is_written() {
    let mut world = World::new();
    world.profile.pairing = Pairing::Off;
    world.device.uuid = None;
    let place = world.run().place;
    assert!(!world.folder.path().join("state").exists());
    assert_eq!(mark::read(&world.tree(&place)).unwrap(), Found::None);
}

#[test]
fn what_is_remembered_and_cannot_be_read_refuses_and_says_which_file() {
    let world = World::new();
    world.run();
    let file = world.folder.path().join("state/pairing/docs.json");
    std::fs::write(&file, b"{ torn").unwrap();
    let refusal = world.admit().unwrap_err();
    assert_eq!(refusal.kind, Kind::Memory);
    assert!(refusal.to_string().contains(&file.display().to_string()), "{refusal}");
    std::fs::write(world.folder.path().join("state/pairing/secret"), b"torn").unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(world.refused(), Kind::Memory);
}

#[test]
fn a_link_or_nonsense_in_the_place_of_the_mark_is_refused() {
    let world = World::new();
    let place = world.run().place;
    let mark = world.folder.path().join("drive").join(place).join(layout::PAIRING);
    std::fs::write(&mark, b"{ \"version\": 1 }").unwrap();
    assert!(matches!(world.refused(), Kind::Damaged(_)));
    std::fs::remove_file(&mark).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &mark).unwrap();
    assert!(matches!(world.refused(), Kind::Damaged(_)));
}

#[test]
fn pair_makes_a_mark_by_which_no_copy_passes() {
    let world = World::new();
    let place = world.run().place;
    let before =
        std::fs::read(world.folder.path().join("drive").join(&place).join(layout::PAIRING));
    let tree = world.tree(&place);
    let repository = Repository::open(&tree).unwrap().unwrap();
    let paired =
        pair(&world.profile, &world.device, &place, repository, &world.pairings()).unwrap();
    assert_eq!(world.known(), [paired]);
    assert_eq!(world.admit().unwrap().verdict, Verdict::Known);
    let mark = world.folder.path().join("drive").join(&place).join(layout::PAIRING);
    std::fs::write(mark, before.unwrap()).unwrap();
    assert_eq!(world.refused(), Kind::OtherMark);
}

/// The confirmation of a first use is cut off at each operation on the drive, and before the computer
/// remembers: the next run accepts the drive and ends with the same.
#[test]
fn a_confirmation_that_is_cut_off_anywhere_is_done_by_the_next_run() {
    for links in [true, false] {
        let mut cuts = 0;
        for k in 0.. {
            let world = World { links, ..World::new() };
            let admission = world.admit().unwrap();
            world.run_at(&admission.place);
            let cut =
                admission.confirm_on(&world.root(Faults::stop_after(k)), &world.pairings(), true);
            if cut.is_ok() {
                break;
            }
            cuts += 1;
            let next = world.run();
            assert!(
                matches!(next.verdict, Verdict::FirstUseOfOld | Verdict::Returned),
                "cut after {k}: {:?}",
                next.verdict
            );
            assert_eq!(world.run().verdict, Verdict::Known, "cut after {k}");
        }
        assert!(cuts >= 5, "only {cuts} operations");
        // The mark is on the drive, and the computer does not know.
        let world = World { links, ..World::new() };
        world.run();
        std::fs::remove_file(world.folder.path().join("state/pairing/docs.json")).unwrap();
        assert_eq!(world.run().verdict, Verdict::Returned);
        assert_eq!(world.run().verdict, Verdict::Known);
    }
}
