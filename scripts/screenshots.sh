#!/bin/sh
# Takes the pictures of notifications in docs/images: examples/notifications.rs shows them through the
# program's own code, dunst draws them on a display that nobody sees.
set -eu

cd "$(dirname "$0")/.."
show=$PWD/target/debug/examples/notifications
images=$PWD/docs/images

if [ "${1-}" != inside ]; then
    # A bus and a display of their own, so that no desktop is disturbed.
    exec dbus-run-session -- xvfb-run -a -s '-screen 0 800x600x24' "$0" inside
fi

tmp=$(mktemp -d)
dunst=''
finish() {
    [ -z "$dunst" ] || kill "$dunst" 2>/dev/null || :
    rm -rf "$tmp"
}
trap finish EXIT

cat >"$tmp/dunstrc" <<'END'
[global]
    width = (420, 420)
    height = 300
    origin = top-left
    offset = 0x0
    padding = 12
    horizontal_padding = 14
    frame_width = 2
    gap_size = 0
    font = DejaVu Sans 11
    line_height = 3
    format = "<b>%s</b>\n%b"
    markup = full
    word_wrap = yes
    ellipsize = end
    progress_bar = true
    progress_bar_height = 12
    progress_bar_min_width = 392
    progress_bar_max_width = 392
    icon_position = off
    show_indicators = no
    idle_threshold = 0
[urgency_low]
    background = "#f6f6f6"
    foreground = "#202020"
    frame_color = "#9aa5b1"
    highlight = "#2a7ab5"
    timeout = 0
[urgency_normal]
    background = "#f6f6f6"
    foreground = "#202020"
    frame_color = "#2a7ab5"
    highlight = "#2a7ab5"
    timeout = 0
[urgency_critical]
    background = "#fdf0ef"
    foreground = "#202020"
    frame_color = "#c0392b"
    highlight = "#c0392b"
    timeout = 0
END

# soon WHAT COMMAND...: waits until the command succeeds.
soon() {
    what=$1
    shift
    tries=100
    until "$@"; do
        tries=$((tries - 1))
        if [ "$tries" -eq 0 ]; then
            echo "screenshots.sh: $what" >&2
            cat "$tmp/dunst.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

listens() {
    dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner \
        string:org.freedesktop.Notifications | grep -q true
}

# Until it is drawn there is only the empty display, of one colour.
drawn() {
    import -window root "$tmp/screen.png" && [ "$(identify -format %k "$tmp/screen.png")" -gt 1 ]
}

# picture NAME SAMPLE LOCALE: a dunst for each, since a notification of another program cannot be replaced.
picture() {
    dunst -config "$tmp/dunstrc" >"$tmp/dunst.log" 2>&1 &
    dunst=$!
    soon "dunst does not start" listens
    LC_ALL=$3 "$show" "$2"
    soon "$1 does not appear" drawn
    convert "$tmp/screen.png" -trim +repage -strip -colors 128 "PNG8:$images/notification-$1.png"
    kill "$dunst"
    wait "$dunst" || :
    dunst=''
    echo "docs/images/notification-$1.png"
}

mkdir -p "$images"
for sample in started progress finished problems refused; do
    picture "$sample" "$sample" C.UTF-8
done
for sample in progress finished; do
    picture "$sample-ru" "$sample" ru_RU.UTF-8
done
