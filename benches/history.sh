#!/bin/bash
# How long questions about a long history take: 3,650 runs over 100,000 files, made by benches/history.rs.
# Called by `make bench-history`. Each figure is the median of BENCH_ROUNDS (5), caches warm.
#
# BENCH_DIR (/var/tmp/bkm-history, some 1 GB; kept for the next time).
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C

program=$(realpath "${1:-target/release/bkm-agent}")
maker=$(realpath "${2:-target/release/examples/history}")
rounds=${BENCH_ROUNDS:-5}
work=${BENCH_DIR:-/var/tmp/bkm-history}
mkdir -p "$work/source"
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_STATE_HOME=$work/state
unset STATE_DIRECTORY JOURNAL_STREAM NOTIFY_SOCKET RUST_LOG
mkdir -p "$XDG_CONFIG_HOME/bkm-agent/profiles"
printf '{ "src": "%s/source", "dist": "%s/backup" }\n' "$work" "$work" \
    >"$XDG_CONFIG_HOME/bkm-agent/profiles/docs.json"
if [ ! -e "$work/made" ]; then
    echo "Making 3,650 increments over 100,000 files in $work (once)" >&2
    [ ! -d "$work/backup" ] || { echo "$work/backup is not whole: remove it" >&2; exit 1; }
    "$maker" "$work/backup"
    touch "$work/made"
fi

# Median of the seconds that a command takes.
timed() {
    local name=$1
    shift
    for _ in $(seq "$rounds"); do
        begin=${EPOCHREALTIME/[.,]/}
        "$@" >/dev/null 2>&1 || true
        echo $((${EPOCHREALTIME/[.,]/} - begin))
    done | sort -n | awk -v name="$name" '{ t[NR] = $1 }
        END { printf "%-58s %6.2f s\n", name, t[int((NR + 1) / 2)] / 1000000 }'
}

once() {
    rounds=1 timed "$@"
}

rm -rf "$XDG_STATE_HOME/bkm-agent/catalogs"
once 'first time: all catalogs are read from the drive' "$program" list
du -sm "$work"/state/bkm-agent/catalogs | awk '{ printf "%-58s %6d MB\n", "kept on the computer", $1 }'
measure() {
    timed "list, $1" "$program" list
    timed "search --mask '*0042*', $1" "$program" search --mask '*0042*'
    timed "search --mask report --last-backups 100, $1" "$program" search --mask report --last-backups 100
    timed "search --size '>99K' --json (everything is looked at), $1" "$program" search --size '>99K' --json
    timed "versions, $1" "$program" versions 'Documents/part02/folder02/report 000034 of the year.txt'
}
measure 'drive here'
mv "$work/backup" "$work/away"
measure 'drive away'
mv "$work/away" "$work/backup"
middle=$(basename "$(printf '%s\n' "$work"/backup/backup_* | sed -n 1825p)")
timed 'planning restore --at in the middle' "$program" restore nothing-is-there --at "$middle" --to "$work/out"
timed 'planning restore --at the end' "$program" restore nothing-is-there --at 2100-01-01 --to "$work/out"
if command -v strace >/dev/null; then
    opened=$(strace -f -e trace=openat,openat2 "$program" run --dry-run 2>&1 | grep -c 'backup_[0-9_]*\.json' || true)
    printf '%-58s %6d\n' 'catalogs opened by a run (dry)' "$opened"
fi
