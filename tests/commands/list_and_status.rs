//! `list` and `status`.

use crate::support::home::Home;

#[test]
fn increments_are_listed_with_their_files() {
    let home = Home::with_docs();
    shown!(home.shown(&["list"]), @r"
    exit 1
    --- stderr
    bkm-agent: there is no backup at /home/anna/there/backup yet; `bkm-agent run` makes one
    ");
    home.done(&["run"]);
    home.write("work/a.txt", "one and a half");
    std::fs::rename(home.at("work/sub/c.pdf"), home.at("work/c.pdf")).unwrap();
    std::fs::remove_file(home.at("work/sub/b.txt")).unwrap();
    home.done(&["run"]);
    shown!(home.shown(&["list"]), @r"
    exit 0
    backup_[TIME]  [TIME]  3 new or changed (11 B), 0 deleted
    backup_[TIME]  [TIME]  1 new or changed (14 B), 1 moved or touched, 2 deleted
    ");
    shown!(home.shown(&["list", "--detailed"]), @r"
    exit 0
    backup_[TIME]  [TIME]  3 new or changed (11 B), 0 deleted
      ###############################
      +       3 B  [TIME]  a.txt
      +       3 B  [TIME]  sub/b.txt
      +       5 B  [TIME]  sub/c.pdf
    backup_[TIME]  [TIME]  1 new or changed (14 B), 1 moved or touched, 2 deleted
      ########################################
      +      14 B  [TIME]  a.txt
      =       5 B  [TIME]  c.pdf (was sub/c.pdf)
      -       3 B  [TIME]  sub/b.txt
      -       5 B  [TIME]  sub/c.pdf
    ");
    shown!(home.shown(&["list", "--repo", "there/backup"]), @r"
    exit 0
    backup_[TIME]  [TIME]  3 new or changed (11 B), 0 deleted
    backup_[TIME]  [TIME]  1 new or changed (14 B), 1 moved or touched, 2 deleted
    ");
    shown!(home.shown(&["list", "--repo", "work"]), @r"
    exit 1
    --- stderr
    bkm-agent: work is not a backup repository (it has no .bkm/format.json)
    ");
}

#[test]
fn status_tells_of_the_last_runs() {
    let home = Home::with_docs();
    shown!(home.shown(&["status"]), @r"
    exit 0
    No backup was made or tried on this computer yet.
    ");
    home.done(&["run"]);
    shown!(home.shown(&["status"]), @r"
    exit 0
    docs → /home/anna/there/backup: complete
      last complete  [TIME]
      last seen      [TIME]
      last run       3 new, 0 changed, 0 moved, 0 deleted, 11 B in [DURATION]
    ");
    std::fs::rename(home.at("work"), home.at("away")).unwrap();
    home.bkm(&["run"]);
    shown!(home.shown(&["status"]), @r"
    exit 0
    docs → /home/anna/there/backup: failed: the source /home/anna/work is not there; is its disk mounted?
      last complete  [TIME]
      last seen      [TIME]
      last run       3 new, 0 changed, 0 moved, 0 deleted, 11 B in [DURATION]
    ");
}
