//! Every cell of the verdict's table, and what a drive matches by.

use super::*;
use crate::model::drive_match::DriveMatch;
use crate::pairing::store::Origin;

const HERE: &str = "B4C4-F001";

const ELSEWHERE: &str = "B4C4-F002";

fn drive(uuid: &str, id: u8) -> Paired {
    Paired {
        uuid: uuid.to_owned(),
        container: None,
        label: None,
        id: [id; 16],
        place: "Backups/docs".into(),
        runs: 5,
        since: String::new(),
        origin: Origin::FirstUse,
    }
}

fn ours(id: u8, bound_to: &str) -> OnDrive {
    OnDrive::Ours { id: [id; 16], bound_to: bound_to.to_owned() }
}

/// What a column of the table stands for.
#[derive(Debug, Clone, Copy)]
enum Knows {
    Nothing,
    Others,
    This,
    ThisAndOthers,
}

impl Knows {
    fn drives(self) -> Vec<Paired> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Others => vec![drive(ELSEWHERE, 9)],
            Self::This => vec![drive(HERE, 1)],
            Self::ThisAndOthers => vec![drive(ELSEWHERE, 9), drive("b4c4-f001", 1)],
        }
    }
}

#[test]
fn every_cell_of_the_table() {
    use Verdict::{Ahead, FirstUse, FirstUseOfOld, Known, Refused, Returned};
    let no = Refused;
    let name = || "anna@host".to_owned();
    let damaged = || OnDrive::Damaged("torn".to_owned());
    // What lies on the drive, the runs it tells of; then the verdict where the profile has no pairings, has
    // some of other drives, has one of this drive.
    let table = [
        (OnDrive::Blank, 0, FirstUse, no(Kind::LookAlike), no(Kind::MarkGone)),
        (OnDrive::Unmarked, 5, FirstUseOfOld, no(Kind::LookAlike), no(Kind::MarkGone)),
        (ours(1, HERE), 5, Returned, Returned, Known),
        (ours(1, "b4c4-f001"), 6, Returned, Returned, Known),
        (ours(1, HERE), 7, Returned, Returned, Ahead(2)),
        (ours(1, HERE), 4, Returned, Returned, no(Kind::Behind(1))),
        (ours(1, HERE), 0, Returned, Returned, no(Kind::Behind(5))),
        (ours(2, HERE), 5, Returned, Returned, no(Kind::OtherMark)),
        (ours(1, ELSEWHERE), 5, no(Kind::Copied), no(Kind::Copied), no(Kind::Copied)),
        (ours(9, ELSEWHERE), 5, no(Kind::Copied), no(Kind::Copied), no(Kind::Copied)),
        (
            OnDrive::SameName(name()),
            5,
            no(Kind::Reinstalled(name())),
            no(Kind::Reinstalled(name())),
            no(Kind::Reinstalled(name())),
        ),
        (
            OnDrive::Foreign(name()),
            5,
            no(Kind::Foreign(name())),
            no(Kind::Foreign(name())),
            no(Kind::Foreign(name())),
        ),
        (OnDrive::Forged, 5, no(Kind::Forged), no(Kind::Forged), no(Kind::Forged)),
        (
            damaged(),
            5,
            no(Kind::Damaged("torn".to_owned())),
            no(Kind::Damaged("torn".to_owned())),
            no(Kind::Damaged("torn".to_owned())),
        ),
    ];
    for (on_drive, runs, nothing, others, this) in table {
        for knows in [Knows::Nothing, Knows::Others, Knows::This, Knows::ThisAndOthers] {
            let known = knows.drives();
            let judge = |mode, uuid| verdict(mode, &known, uuid, &on_drive, runs);
            let expected = match knows {
                Knows::Nothing => &nothing,
                Knows::Others => &others,
                Knows::This | Knows::ThisAndOthers => &this,
            };
            let cell = format!("{on_drive:?}, {runs} runs, knows {knows:?}");
            assert_eq!(judge(Pairing::FirstUse, Some(HERE)), *expected, "{cell}");
            // Only first use itself is what `required` takes away.
            let required = match expected {
                FirstUse | FirstUseOfOld => &no(Kind::NotPaired),
                other => other,
            };
            assert_eq!(judge(Pairing::Required, Some(HERE)), *required, "{cell}, required");
            assert_eq!(judge(Pairing::Off, Some(HERE)), Verdict::Off, "{cell}, off");
            assert_eq!(judge(Pairing::Off, None), Verdict::Off, "{cell}, off, no UUID");
            for mode in [Pairing::FirstUse, Pairing::Required] {
                assert_eq!(judge(mode, None), no(Kind::NoUuid), "{cell}, no UUID");
            }
        }
    }
}

#[test]
fn a_paired_drive_matches_by_its_pairing_and_others_by_the_rule() {
    let wanted = DriveMatch { label: Some("PHOTOS".to_owned()), ..DriveMatch::default() };
    let mut profile = crate::config::check::check_text(
        r#"{ "drive": { "label": "PHOTOS" }, "src": "~/Pictures" }"#,
    )
    .unwrap();
    assert!(matches!(&profile.dist, Dist::Drive { drive, .. } if *drive == wanted));
    let device = |uuid: &str, label: &str| Device {
        uuid: Some(uuid.to_owned()),
        label: Some(label.to_owned()),
        ..Device::default()
    };
    let known = [drive(HERE, 1)];
    assert_eq!(matches(&profile, &device("b4c4-f001", "RENAMED"), &known), Some(How::Paired));
    assert_eq!(matches(&profile, &device(ELSEWHERE, "PHOTOS"), &known), Some(How::Rule));
    assert_eq!(matches(&profile, &device(ELSEWHERE, "RENAMED"), &known), None);
    assert_eq!(matches(&profile, &device(HERE, "PHOTOS"), &[]), Some(How::Rule));
    assert_eq!(matches(&profile, &Device::default(), &known), None, "no UUID is not a UUID");
    profile.pairing = Pairing::Off;
    assert_eq!(matches(&profile, &device(HERE, "RENAMED"), &known), None);
    profile.dist = Dist::Folder("/mnt".into());
    assert_eq!(matches(&profile, &device(HERE, "PHOTOS"), &known), None);
}

#[test]
fn a_paired_drive_is_known_by_its_encrypted_volume_while_that_is_locked() {
    let profile =
        crate::config::check::check_text(r#"{ "src": "/s", "drive": { "uuid": "x" } }"#).unwrap();
    let known = [Paired { container: Some("C0-FFEE".to_owned()), ..drive(HERE, 1) }];
    let locked = |uuid: &str| Device {
        uuid: Some(uuid.to_owned()),
        fs_usage: Some("crypto".to_owned()),
        fs_type: Some("crypto_LUKS".to_owned()),
        ..Device::default()
    };
    assert_eq!(matches(&profile, &locked("c0-ffee"), &known), Some(How::Paired));
    assert_eq!(matches(&profile, &locked("c0-ffe0"), &known), None);
    assert_eq!(matches(&profile, &locked(HERE), &known), None, "what is in it has another UUID");
    assert_eq!(matches(&profile, &locked("c0-ffee"), &[drive(HERE, 1)]), None);
}
