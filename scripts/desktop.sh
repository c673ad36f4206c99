# shellcheck shell=bash
# For demo and bench: udev, a message bus and a notification service, as long as the script runs.
# Sourced; needs $tmp, a folder of the script's own.

: "${tmp:?}"
started=()
agent=''

# Whether udev runs and answers.
udev_answers() {
    [ -e /run/udev/control ] && udevadm control --ping --timeout=5 2>/dev/null
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local left=$(($1 * 20))
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.05
    done
}

# Starts udev where none runs. The tests use it too, and take turns by this lock.
start_udev() {
    own_udev=''
    mkdir -p /run/lock
    exec 9>/run/lock/bkm-agent-tests
    flock -n 9 || {
        echo "(waiting for tests that use this machine's drives)"
        flock 9
    }
    if udev_answers; then
        return
    fi
    local program
    for program in /usr/lib/systemd/systemd-udevd /lib/systemd/systemd-udevd; do
        if [ -x "$program" ]; then
            "$program" >/dev/null 2>&1 9>&- &
            own_udev=$!
            wait_for 10 udev_answers
            # What an earlier udev wrote down of a loop device is not true of the next image on it.
            udevadm trigger --subsystem-match=block --action=change
            udevadm settle --timeout=30
            return
        fi
    done
    return 1
}

# A bus of our own also where a session has one: what was shown is to be read afterwards, and root may
# not use the bus of another user.
start_desktop() {
    export DBUS_SESSION_BUS_ADDRESS="unix:path=$tmp/bus"
    dbus-daemon --session --nofork --nopidfile --address="$DBUS_SESSION_BUS_ADDRESS" \
        >/dev/null 2>&1 9>&- &
    started+=($!)
    wait_for 10 test -S "$tmp/bus"
    /usr/bin/python3 -m dbusmock --session --template notification_daemon \
        --logfile "$tmp/shown" >/dev/null 2>&1 9>&- &
    started+=($!)
    wait_for 10 notifications_served
}

notifications_served() {
    dbus-send --session --print-reply --dest=org.freedesktop.DBus / \
        org.freedesktop.DBus.NameHasOwner string:org.freedesktop.Notifications 2>/dev/null |
        grep -q true
}

# start_agent PROGRAM: the agent in the background, its log in $tmp/log.
start_agent() {
    "$1" daemon >/dev/null 2>>"$tmp/log" </dev/null 9>&- &
    agent=$!
    started+=("$agent")
}

# Ends the processes that were started here, the last first, and nothing else; udev has `stop_udev`.
stop_all() {
    local at pid
    for ((at = ${#started[@]} - 1; at >= 0; at--)); do
        pid=${started[at]}
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    started=()
}

# Ends udev, if it is ours. To be called when the drives are detached, so that it has noted that.
stop_udev() {
    if [ -n "${own_udev:-}" ]; then
        udevadm settle --timeout=10 || true
        kill "$own_udev" 2>/dev/null || true
        wait "$own_udev" 2>/dev/null || true
        # What is left of it would pass for a udev that runs.
        rm -f /run/udev/control
        own_udev=''
    fi
}
