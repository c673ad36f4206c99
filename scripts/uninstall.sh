#!/bin/sh
# Takes away what install.sh put there. Called by `make uninstall`.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/places.sh
. scripts/places.sh

take() {
    if [ -e "$DESTDIR$1" ]; then
        rm -f "$DESTDIR$1"
        echo "removed $DESTDIR$1"
    fi
}

if user_manager_runs && [ -e "$units/$unit" ]; then
    systemctl --user disable --now "$unit"
fi
if [ -n "$system_units" ]; then
    if [ -z "$DESTDIR" ] && [ -e "$system_units/$system_unit" ] && [ "$(id -u)" -eq 0 ]; then
        systemctl disable --now "$system_unit" 2>/dev/null || true
    fi
    take "$system_units/$system_unit"
fi
take "$bin/bkm-agent"
take "$units/$unit"
rm -f "$DESTDIR$units/default.target.wants/$unit"
for file in README.md CHANGELOG.md config/*.json docs/*.md; do
    rm -f "$DESTDIR$share/$file"
done
# What somebody else put there stays, and so does its folder.
if rmdir "$DESTDIR$share/config" "$DESTDIR$share/docs" "$DESTDIR$share" 2>/dev/null; then
    echo "removed $DESTDIR$share/"
fi
if user_manager_runs; then
    systemctl --user daemon-reload
fi

if [ -n "$DESTDIR" ]; then
    take "$UDEV_RULES/$rule"
elif cmp -s "udev-rules/$rule" "$UDEV_RULES/$rule"; then
    if as_root rm -f "$UDEV_RULES/$rule"; then
        echo "removed $UDEV_RULES/$rule"
        as_root udevadm control --reload 2>/dev/null || true
    else
        echo "Still there, for root to remove: sudo rm $UDEV_RULES/$rule"
    fi
fi
echo "Left alone: your profiles (~/.config/bkm-agent), what the agent remembers (~/.local/state/bkm-agent), and every backup."
