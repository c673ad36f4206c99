#!/bin/bash
# The whole story in half a minute: a drive is plugged in, the backup starts by itself, files change,
# the drive is plugged in again, an older version comes back. Called by `make demo` with the program.
#
# The drive is an image on a loop device, which udev tells of as it does of a USB drive. That needs root;
# without it the same is shown with a folder. Whatever is started or mounted is taken away at the end,
# also after Ctrl-C; profiles, backups and settings of this computer are not touched.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

program=${1:-target/debug/bkm-agent}
[ -x "$program" ] || {
    echo "$program is not there: run \`make demo\`, which builds it." >&2
    exit 1
}
program=$(realpath "$program")

bold='' dim='' normal=''
if [ -t 1 ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') normal=$(printf '\033[0m')
fi

# A label that no drive of this computer has.
label=BKM-DEMO-$((RANDOM % 900 + 100))
tmp=$(mktemp -d "${TMPDIR:-/tmp}/bkm-demo.XXXXXX")
node=''
# shellcheck source=scripts/desktop.sh
. scripts/desktop.sh

clean_up() {
    trap '' INT TERM
    stop_all
    if mountpoint -q "$tmp/drive" 2>/dev/null; then umount -l "$tmp/drive" || true; fi
    if [ -n "$node" ]; then losetup -d "$node" 2>/dev/null || true; fi
    stop_udev
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step=0
heading() {
    step=$((step + 1))
    printf '\n%s%s. %s%s\n' "$bold" "$step" "$1" "$normal"
}

# What a person would do or type.
does() {
    printf '   %s%s%s\n' "$dim" "$1" "$normal"
}

indent() {
    sed "s|$tmp|~|g; s/^/   /"
}

held=()
# check WORDS COMMAND...: one thing that must be so.
check() {
    local words=$1
    shift
    if ! "$@" >/dev/null 2>&1; then
        printf '\nNot so: %s\n' "$words" >&2
        if [ -s "$tmp/log" ]; then
            echo "The agent's log:" >&2
            cat "$tmp/log" >&2
        fi
        exit 1
    fi
    held+=("$words")
}

# Why the real thing cannot be shown here; nothing if it can.
no_drive_because() {
    if [ "$(id -u)" -ne 0 ]; then
        echo "attaching a drive needs root"
    elif ! [ -e /dev/loop-control ]; then
        echo "this machine has no loop devices"
    elif compgen -G '/etc/bkm-agent/profiles/*.json' >/dev/null; then
        echo "a second agent would act on the profiles in /etc/bkm-agent as well"
    else
        local needed
        for needed in udevadm dbus-daemon dbus-send mkfs.ext4 losetup flock; do
            command -v "$needed" >/dev/null || echo "$needed is missing"
        done
        /usr/bin/python3 -c 'import dbusmock' 2>/dev/null || echo "python3-dbusmock is missing"
    fi
}

# --- the pieces -------------------------------------------------------------------------------------

export HOME=$tmp XDG_CONFIG_HOME=$tmp/.config XDG_STATE_HOME=$tmp/.local/state
unset STATE_DIRECTORY JOURNAL_STREAM NOTIFY_SOCKET RUST_LOG
source=$tmp/Documents
profile=$XDG_CONFIG_HOME/bkm-agent/profiles/documents.json
mkdir -p "$source" "$(dirname "$profile")" "$tmp/drive"

make_source() {
    # Real files: this project's own.
    mkdir "$source/bkm-agent" "$source/Letters" "$source/Photos"
    cp -R README.md Cargo.toml config src "$source/bkm-agent/"
    printf 'Dear Ada,\nthe first draft.\n' >"$source/Letters/ada.txt"
    printf 'milk, bread\n' >"$source/Letters/shopping.txt"
    head -c 3000000 /dev/urandom >"$source/Photos/sea.raw"
    head -c 2000000 /dev/urandom >"$source/Photos/hills.raw"
    # For comparing later.
    cp -a "$source" "$tmp/as-it-was"
}

work_on_it() {
    printf 'Dear Ada,\nthis is better.\n' >"$source/Letters/ada.txt"
    rm "$source/Letters/shopping.txt"
    mv "$source/Photos" "$source/Pictures"
    does "edit Letters/ada.txt, delete Letters/shopping.txt, rename Photos to Pictures"
}

# How many notifications say that a run is over.
ended() {
    [ "$(grep -c 'Notify .*"Backup \(finished\|failed\|stopped\)' "$tmp/shown" 2>/dev/null)" -ge "$1" ]
}

# The notifications since line $1 of the record, as they are read on the screen.
show_notifications() {
    tail -n "+$(($1 + 1))" "$tmp/shown" | sed -n '
        s/^[0-9.]* Notify "bkm-agent" [0-9]* "[^"]*" "\([^"]*\)" "/   ┌ \1\n   │ /
        T body
        P
        s/^[^\n]*\n//
        b end
        :body
        /^[0-9]\{9,\}[.0-9]* /d
        s/^/   │ /
        :end
        s/" \[\(.*\)$//
        s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g
        p'
}

plug_in() {
    local before
    before=$(wc -l <"$tmp/shown")
    node=$(losetup --find --show "$tmp/drive.img")
    if ! wait_for 30 ended "$1"; then
        check "the backup ended and a notification told of it" false
    fi
    show_notifications "$before"
}

unplug() {
    if mountpoint -q "$tmp/drive"; then umount "$tmp/drive"; fi
    losetup -d "$node"
    node=''
}

# Makes the drive's content readable at $repo, as a file manager does.
look() {
    if [ -n "$node" ]; then mount -o ro "$node" "$tmp/drive"; fi
}

# The folders of the repository, and the files in them but for many.
tree() {
    (
        cd "$repo"
        find . -mindepth 1 -print \( -name .bkm -o -name bkm-agent \) -prune |
            LC_ALL=C sort | while IFS= read -r path; do
            name=${path##*/}
            depth=$(printf %s "${path#./}" | tr -cd / | wc -c)
            if [ -d "$path" ]; then
                name=$name/
                case ${path##*/} in
                bkm-agent) name="$name  ($(find "$path" -type f | wc -l) files)" ;;
                .bkm) name="$name  (the program's own records)" ;;
                esac
            fi
            links=$(stat -c %h "$path")
            if [ -f "$path" ] && [ "$links" -gt 1 ]; then
                name="$name  ($links names, stored once)"
            fi
            printf '   %*s%s\n' $((depth * 3)) '' "$name"
        done
    )
}

same_tree() {
    diff -r "$1" "$2"
}

increments() {
    (cd "$repo" && ls -d backup_*)
}

# --- the story --------------------------------------------------------------------------------------

because=$(no_drive_because | head -n 1)
make_source

if [ -z "$because" ]; then
    repo=$tmp/drive/Backups
    truncate -s 64M "$tmp/drive.img"
    mkfs.ext4 -q -F -L "$label" "$tmp/drive.img"
    if ! start_udev; then
        because="udev does not start here"
    fi
fi

if [ -z "$because" ]; then
    heading "A profile says which drive is for which folder"
    printf '{ "drive": { "label": "%s" }, "src": "~/Documents", "dist": "Backups" }\n' "$label" >"$profile"
    does "write ~/.config/bkm-agent/profiles/documents.json:"
    indent <"$profile"
    "$program" check | indent
    start_desktop
    start_agent "$program"
    heading "Plug in the drive: the backup starts by itself"
    plug_in 1
    check "plugging in the drive started the backup" grep -q '"Backup started"' "$tmp/shown"
    check "a notification said: safe to remove" grep -q 'Safe to remove' "$tmp/shown"
    check "and it was true: the drive was unmounted" bash -c "! grep -q '^$node ' /proc/mounts"
else
    repo=$tmp/Backup
    printf '(no drive is plugged in here: %s. The same with a folder, started by hand.)\n' "$because"
    heading "A profile says which folder goes where"
    printf '{ "src": "~/Documents", "dist": "~/Backup" }\n' >"$profile"
    does "write documents.json:"
    indent <"$profile"
    "$program" check | indent
    heading "The first backup"
    does "bkm-agent run --config documents.json"
    "$program" run --config "$profile" | indent
fi

look
check "the mirror is the folder, as plain files" same_tree "$source" "$repo/mirror"
first=$(increments)
if [ -z "$because" ]; then
    unplug
fi

heading "A day's work"
work_on_it

if [ -z "$because" ]; then
    heading "Plug it in again"
    plug_in 2
else
    heading "The second backup"
    does "bkm-agent run --config documents.json"
    "$program" run --config "$profile" | indent
fi
look
second=$(increments | grep -v "$first")
check "the mirror followed" same_tree "$source" "$repo/mirror"
check "the renamed photo was not copied again" \
    test "$repo/mirror/Pictures/sea.raw" -ef "$repo/$first/track/Photos/sea.raw"
check "the older version did not change" \
    cmp "$tmp/as-it-was/Letters/ada.txt" "$repo/$first/track/Letters/ada.txt"
check "the deleted file is kept" \
    cmp "$tmp/as-it-was/Letters/shopping.txt" "$repo/$second/deleted/Letters/shopping.txt"

heading "What is in the backup: plain files, readable without this program"
tree

heading "What the last backup found  (+ new or changed, = the same content, - deleted)"
does "bkm-agent list --detailed"
"$program" list --detailed --repo "$repo" >"$tmp/listed"
sed -n "/^$second/,\$p" "$tmp/listed" | indent

heading "The letter as it was before"
does "bkm-agent restore Letters/ada.txt --at $first --to ~/restored"
"$program" restore Letters/ada.txt --at "$first" --to "$tmp/restored" --repo "$repo" | indent
does "cat ~/restored/Letters/ada.txt"
indent <"$tmp/restored/Letters/ada.txt"
check "the restored letter is the first draft, byte for byte" \
    cmp "$tmp/as-it-was/Letters/ada.txt" "$tmp/restored/Letters/ada.txt"
"$program" restore --at "$first" --to "$tmp/all" --repo "$repo" >"$tmp/restore-all"
check "the whole folder comes back as it was before" same_tree "$tmp/as-it-was" "$tmp/all"

printf '\n%sChecked, and so:%s\n' "$bold" "$normal"
printf '   ✓ %s\n' "${held[@]}"
if [ -n "$because" ]; then
    printf '\nNot shown: udev, mounting and the notification (%s).\n' "$because"
    if [ "$(id -u)" -ne 0 ]; then
        printf 'As root: scripts/demo.sh %s\n' "${program#"$PWD/"}"
    fi
fi
