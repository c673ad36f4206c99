#!/bin/bash
# How many writers a drive should get, and how much of what is copied has yet to reach it: small files and
# large ones, copied by 1, 2, 4 and 8 workers to a fresh ext4 drive, as fast as this computer's disk and as slow
# as a USB stick (benches/slow_drive.py). Called by `make bench-writers`; needs root.
#
# Columns: seconds of the run; seconds from the last copied byte to its end, when the drive may be unmounted;
# the most that was in memory only, in MB. Of the slow drive: seconds that it was at work (without noise), and
# jumps between places.
#
# BENCH_ROUNDS (1), BENCH_DIR (/var/tmp/bkm-bench), BENCH_DRIVES ("slow fast"), BENCH_WORKERS ("1 2 4 8"),
# BENCH_FILES ("small large"), BENCH_SLOW ("20 3": MB/s written, ms that a jump takes).
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

program=$(realpath "${1:-target/release/bkm-agent}")
rounds=${BENCH_ROUNDS:-1}
work=${BENCH_DIR:-/var/tmp/bkm-bench}
drives=${BENCH_DRIVES:-slow fast}
workers=${BENCH_WORKERS:-1 2 4 8}
files=${BENCH_FILES:-small large}
read -r rate jump <<<"${BENCH_SLOW:-20 3}"
[ "$(id -u)" -eq 0 ] || {
    echo "The benchmark attaches drives: it needs root." >&2
    exit 1
}
mkdir -p "$work"
tmp=$(mktemp -d "$work/writers.XXXXXX")
mkdir "$tmp/drive" "$tmp/slow" "$tmp/debug"
node=''

detach() {
    if mountpoint -q "$tmp/drive"; then umount "$tmp/drive"; fi
    if [ -n "$node" ]; then losetup -d "$node"; fi
    node=''
    if mountpoint -q "$tmp/slow"; then
        fusermount -u "$tmp/slow"
        wait "$server"
    fi
}

clean_up() {
    trap '' INT TERM
    detach || true
    if mountpoint -q "$tmp/debug"; then umount "$tmp/debug"; fi
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export HOME=$tmp XDG_CONFIG_HOME=$tmp/config XDG_STATE_HOME=$tmp/state
unset STATE_DIRECTORY JOURNAL_STREAM NOTIFY_SOCKET RUST_LOG
mount -t debugfs none "$tmp/debug"

# A fresh drive, mounted: $1 is fast or slow.
attach() {
    local image=$tmp/drive.img tries
    rm -f "$image"
    truncate -s 2G "$image"
    mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$image"
    if [ "$1" = slow ]; then
        benches/slow_drive.py "$image" "$tmp/slow" "$rate" "$jump" &
        server=$!
        for ((tries = 0; tries < 100; tries++)); do
            [ ! -e "$tmp/slow/drive" ] || break
            sleep 0.05
        done
        image=$tmp/slow/drive
    fi
    node=$(losetup --find --show --direct-io=on "$image")
    mount "$node" "$tmp/drive"
    sync -f "$tmp/drive"
}

# Microseconds since 1970.
now() {
    echo "${EPOCHREALTIME/[.,]/}"
}

# Kilobytes of the drive that are in memory only.
in_memory() {
    awk '$1 == "BdiWriteback:" || $1 == "BdiReclaimable:" { sum += $2 } END { print sum }' "$1"
}

# measure WORKERS BYTES RESULT: one run.
measure() {
    local begun copied='' ended most=0 wrote dirty pid stats
    stats=$tmp/debug/bdi/$(lsblk -dno MAJ:MIN "$node" | tr -d ' ')/stats
    printf '{ "src": "%s", "dist": "%s", "max_workers": %s }\n' "$source" "$tmp/drive/backup" "$1" \
        >"$tmp/profile.json"
    rm -rf "$XDG_STATE_HOME"
    begun=$(now)
    "$program" run --config "$tmp/profile.json" >/dev/null &
    pid=$!
    while wrote=$(awk '$1 == "wchar:" { print $2 }' "/proc/$pid/io" 2>/dev/null) && [ -n "$wrote" ]; do
        if [ -z "$copied" ] && [ "$wrote" -ge "$2" ]; then copied=$(now); fi
        dirty=$(in_memory "$stats")
        if [ "$dirty" -gt "$most" ]; then most=$dirty; fi
        sleep 0.01
    done
    wait "$pid"
    ended=$(now)
    echo "$((ended - begun)) $((ended - ${copied:-$ended})) $((most * 1024))" >>"$3"
}

# median FILE COLUMN [UNIT], in millions unless told
median() {
    awk -v c="$2" '{ print $c }' "$1" | sort -n |
        awk -v d="${3:-1e6}" '{ v[NR] = $1 } END { printf (d == 1 ? "%8d" : "%8.2f"), v[int((NR + 1) / 2)] / d }'
}

# 5,000 files of 8 KB, and 4 of 100 MB.
if [ ! -e "$work/small.made" ]; then
    mkdir -p "$work/small" "$work/large"
    for ((folder = 0; folder < 50; folder++)); do
        mkdir -p "$work/small/$folder"
        head -c 800K /dev/urandom | split -b 8K - "$work/small/$folder/file"
    done
    for n in 1 2 3 4; do head -c 100M /dev/urandom >"$work/large/$n"; done
    touch "$work/small.made"
fi

printf '%-34s %8s %8s %8s %8s %8s\n' "slow: $rate MB/s, $jump ms a jump" 'run s' 'safe s' 'dirty MB' 'drive s' jumps
for drive in $drives; do
    for kind in $files; do
        source=$work/$kind
        bytes=$(find "$source" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
        cat "$source"/* "$source"/*/* >/dev/null 2>&1 || true # the source is in the cache
        for ((round = 1; round <= rounds; round++)); do
            for count in $workers; do
                attach "$drive"
                measure "$count" "$bytes" "$tmp/$drive.$kind.$count"
                detach
                if [ "$drive" = slow ]; then cat "$tmp/drive.img.work" >>"$tmp/$drive.$kind.$count.work"; fi
            done
        done
        for count in $workers; do
            result=$tmp/$drive.$kind.$count
            printf '%-34s %s %s %s' "$drive, $kind files, $count workers" \
                "$(median "$result" 1)" "$(median "$result" 2)" "$(median "$result" 3)"
            if [ "$drive" = slow ]; then printf ' %s %8s' "$(median "$result.work" 1)" "$(median "$result.work" 2 1)"; fi
            echo
        done
    done
done
