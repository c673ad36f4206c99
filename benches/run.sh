#!/bin/bash
# bkm-agent beside `rsync -a --delete` (a mirror without history): the same source of 50,000 files, each
# tool on a fresh ext4 drive (an image on a loop device), in turn, medians of all rounds. Called by
# `make bench`; needs root.
#
# BENCH_ROUNDS (5), BENCH_DIR (/var/tmp/bkm-bench, keeps the source for the next time).
# Times include the sync at the end. The caches are warm: what is compared is the tools, not the disk.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

program=$(realpath "${1:-target/release/bkm-agent}")
rounds=${BENCH_ROUNDS:-5}
work=${BENCH_DIR:-/var/tmp/bkm-bench}
[ "$(id -u)" -eq 0 ] || {
    echo "The benchmark attaches drives: it needs root." >&2
    exit 1
}
if compgen -G '/etc/bkm-agent/profiles/*.json' >/dev/null; then
    echo "A second agent would act on the profiles in /etc/bkm-agent as well; not here." >&2
    exit 1
fi
mkdir -p "$work"
source=$work/source
tmp=$(mktemp -d "$work/run.XXXXXX")
node=''
# shellcheck source=scripts/desktop.sh
. scripts/desktop.sh

clean_up() {
    trap '' INT TERM
    stop_all
    detach || true
    stop_udev
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export HOME=$tmp XDG_CONFIG_HOME=$tmp/config XDG_STATE_HOME=$tmp/state
unset STATE_DIRECTORY JOURNAL_STREAM NOTIFY_SOCKET RUST_LOG
mkdir -p "$tmp/drive" "$XDG_CONFIG_HOME/bkm-agent/profiles"
printf '{ "src": "%s", "dist": "%s" }\n' "$source" "$tmp/drive/backup" >"$tmp/folder.json"

# A fresh drive with the label $1, not mounted.
make_drive() {
    rm -f "$tmp/drive.img"
    truncate -s 2G "$tmp/drive.img"
    mkfs.ext4 -q -F -L "$1" -E lazy_itable_init=0,lazy_journal_init=0 "$tmp/drive.img"
}

attach() {
    node=$(losetup --find --show "$tmp/drive.img")
}

detach() {
    if mountpoint -q "$tmp/drive"; then umount "$tmp/drive"; fi
    if [ -n "$node" ]; then losetup -d "$node"; fi
    node=''
}

# Bytes that the drive was given to write so far.
written() {
    sync
    echo $(($(awk '{ print $7 }' "/sys/block/${node##*/}/stat") * 512))
}

backup() {
    case $1 in
    rsync)
        rsync -a --delete "$source/" "$tmp/drive/backup/"
        sync -f "$tmp/drive"
        ;;
    bkm)
        # It syncs by itself.
        "$program" run --config "$tmp/folder.json" >/dev/null
        ;;
    esac
}

# Microseconds since 1970.
now() {
    echo "${EPOCHREALTIME/[.,]/}"
}

# measure TOOL CASE: time and bytes of one run.
measure() {
    local before begun ended
    # The drive of each round is another one; without a memory of the last nothing is refused.
    rm -rf "$XDG_STATE_HOME"
    before=$(written)
    begun=$(now)
    backup "$1"
    ended=$(now)
    echo "$((ended - begun)) $(($(written) - before))" >>"$tmp/$1.$2"
}

# median FILE COLUMN
median() {
    awk -v c="$2" '{ print $c }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

python3 benches/data.py make "$source"
cases=(first unchanged changed renamed)
for ((round = 1; round <= rounds; round++)); do
    printf '\rround %s of %s ' "$round" "$rounds" >&2
    # Both tools see the same states of the source: each has a drive of its own for the round.
    for tool in rsync bkm; do
        tool_image=$tmp/$tool.img
        make_drive BENCH
        mv "$tmp/drive.img" "$tool_image"
    done
    for case in "${cases[@]}"; do
        case $case in
        changed) python3 benches/data.py change "$source" ;;
        renamed) python3 benches/data.py rename "$source" ;;
        esac
        find "$source" -size +0 >/dev/null # both find the folders in the cache
        for tool in rsync bkm; do
            node=$(losetup --find --show "$tmp/$tool.img")
            mount "$node" "$tmp/drive"
            measure "$tool" "$case"
            detach
        done
    done
    rm -f "$tmp"/*.img
done
printf '\r' >&2

echo "50,000 files, 0.4 GB, ext4; medians of $rounds rounds"
echo
printf '%-28s %16s %16s %8s\n' '' 'rsync s / MB' 'bkm-agent s / MB' 'ratio'
describe() {
    case $1 in
    first) echo "first backup" ;;
    unchanged) echo "no change" ;;
    changed) echo "1 % changed" ;;
    renamed) echo "folder of 1/16 renamed" ;;
    esac
}
for case in "${cases[@]}"; do
    printf '%-28s' "$(describe "$case")"
    for tool in rsync bkm; do
        awk -v s="$(median "$tmp/$tool.$case" 1)" -v b="$(median "$tmp/$tool.$case" 2)" \
            'BEGIN { printf " %16s", sprintf("%.2f / %.3f", s / 1e6, b / 1e6) }'
    done
    awk -v r="$(median "$tmp/rsync.$case" 1)" -v b="$(median "$tmp/bkm.$case" 1)" \
        'BEGIN { printf " %8.2f\n", b / r }'
done
