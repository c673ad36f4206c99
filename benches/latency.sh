#!/bin/bash
# How soon the agent does its work, beside the work itself: from mounting a drive to the first byte that is
# copied, from the last byte to the notification that the drive can go, and how long the program takes to
# start. A real udev, an ext4 drive (an image on a loop device), a real bus and notification service. Called
# by `make bench-latency`; needs root.
#
# BENCH_ROUNDS (20), BENCH_DIR (/var/tmp/bkm-bench, keeps the source of 50,000 files for the next time).
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

program=$(realpath "${1:-target/release/bkm-agent}")
rounds=${BENCH_ROUNDS:-20}
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
source=$work/small
tmp=$(mktemp -d "$work/latency.XXXXXX")
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
profiles=$XDG_CONFIG_HOME/bkm-agent/profiles
mkdir -p "$tmp/drive" "$profiles"

detach() {
    if mountpoint -q "$tmp/drive"; then umount "$tmp/drive"; fi
    if [ -n "$node" ]; then losetup -d "$node"; fi
    node=''
}

# Microseconds since 1970.
now() {
    echo "${EPOCHREALTIME/[.,]/}"
}

# summary FILE: median and worst of numbers of microseconds, in milliseconds.
summary() {
    sort -n "$1" | awk '{ v[NR] = $1 / 1000 } END { printf "%6.1f %9.1f\n", v[int((NR + 1) / 2)], v[NR] }'
}

# When the last copy of a file in the list $1 was born on the drive; `head` for the first.
born() {
    sed "s|^|$tmp/drive/backup/mirror/|" "$1" | tr '\n' '\0' | xargs -0 stat -c %W.%w |
        sed 's/^\([0-9]*\)\..*\.\([0-9]\{6\}\).*/\1\2/' | sort -n | "$2" -n 1
}

# When the notification was shown that ends the plug-in, in microseconds since 1970; nothing before that.
shown() {
    awk '/ Notify "bkm-agent" / { at = $1 } /before you pull|Safe to remove/ { printf "%.0f", at * 1000000; exit }' "$tmp/shown"
}

is_shown() {
    [ -n "$(shown)" ]
}

# plug_ins NAME SOURCE CHANGED AFTER WORDS: the drive is attached and mounted as a desktop does it, the files in
# the list CHANGED having changed before; AFTER is what the profile has the agent do with it in the end.
plug_ins() {
    local name=$1 from=$2 changed=$3 after=$4 words=$5 label round called first last told file
    label=BENCH-$((RANDOM % 900 + 100))
    printf '{ "drive": { "label": "%s" }, "src": "%s", "dist": "backup", "after": "%s" }\n' \
        "$label" "$from" "$after" >"$profiles/bench.json"
    rm -f "$tmp/drive.img"
    truncate -s 2G "$tmp/drive.img"
    mkfs.ext4 -q -F -L "$label" -E lazy_itable_init=0,lazy_journal_init=0 "$tmp/drive.img"
    rm -rf "$tmp/state"
    start_agent "$program"
    for ((round = 0; round <= rounds; round++)); do
        while read -r file; do date +%N >>"$from/$file"; done <"$changed"
        : >"$tmp/log"
        : >"$tmp/shown"
        node=$(losetup --find --show "$tmp/drive.img")
        wait_for 10 grep -q "waiting for it to be mounted.*$label" "$tmp/log"
        # The agent may be faster than mount(8), which does not end with the mount.
        called=$(now)
        mount "$node" "$tmp/drive"
        wait_for 120 is_shown
        mountpoint -q "$tmp/drive" || mount "$node" "$tmp/drive"
        first=$(born "$changed" head)
        last=$(born "$changed" tail)
        told=$(shown)
        # The first round copies everything.
        if [ "$round" -gt 0 ]; then
            echo "$((first - called))" >>"$tmp/first.$name"
            echo "$((told - last))" >>"$tmp/last.$name"
        fi
        detach
        wait_for 10 grep -q "unplugged.*$label" "$tmp/log"
    done
    kill "$agent"
    wait "$agent" || true
    printf '%-62s %s\n' "mounting to the first byte copied, $words" "$(summary "$tmp/first.$name")"
    printf '%-62s %s\n' "last byte copied to the notification, $words" "$(summary "$tmp/last.$name")"
}

# start_up NAME WORDS ARGUMENTS...: the program from its call to its end.
start_up() {
    local name=$1 words=$2 round before
    shift 2
    for ((round = 0; round < rounds; round++)); do
        before=$(now)
        "$program" "$@" >/dev/null
        echo "$(($(now) - before))" >>"$tmp/start.$name"
    done
    printf '%-62s %s\n' "$words" "$(summary "$tmp/start.$name")"
}

PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=benches python3 -c 'import data, sys; data.make("small", sys.argv[1])' "$source"
find "$source" -size +0 >/dev/null # the caches are warm
small=$tmp/small
mkdir "$small"
for ((n = 1; n <= 12; n++)); do head -c 20000 /dev/urandom >"$small/file$n"; done
ls "$small" >"$tmp/twelve"
(cd "$source" && find . -type f | sort | head -n 1) >"$tmp/one"

printf '%-62s %6s %9s\n' "($rounds rounds, in ms)" median worst
start_udev
start_desktop
plug_ins small "$small" "$tmp/twelve" keep '12 of 12 files'
plug_ins unmounted "$small" "$tmp/twelve" unmount 'the same, unmounted'
plug_ins large "$source" "$tmp/one" keep '1 of 50,000 files'

start_up version 'bkm-agent --version' --version
start_up one 'bkm-agent status, 1 profile and drive' status
# Ten profiles with three drives each.
known=$(find "$tmp/state/bkm-agent/drives" -name '*.json' | head -n 1)
for ((n = 1; n <= 10; n++)); do
    cp "$profiles/bench.json" "$profiles/bench$n.json"
    mkdir -p "$(dirname "$(dirname "$known")")/bench$n"
    for ((d = 1; d <= 3; d++)); do
        sed "s/\"profile\": \"bench\"/\"profile\": \"bench$n\"/" "$known" \
            >"$(dirname "$(dirname "$known")")/bench$n/drive$d.json"
    done
done
start_up many "bkm-agent status, $("$program" status | grep -c 'last seen') drives of 11 profiles" status
