#!/bin/sh
# Installs the program for one user, and says what is left to do. Called by `make install` with the
# program.
set -eu
cd "$(dirname "$0")/.."
program=$1
# shellcheck source=scripts/places.sh
. scripts/places.sh

put() {
    install -D -m "$1" "$2" "$DESTDIR$3"
    echo "installed $DESTDIR$3"
}

put 755 "$program" "$bin/bkm-agent"
for file in README.md CHANGELOG.md config/*.json docs/*.md; do
    install -D -m 644 "$file" "$DESTDIR$share/$file"
done
echo "installed $DESTDIR$share/ (sample profiles, their schema, documentation)"

made=$(mktemp)
trap 'rm -f "$made"' EXIT
# The unit $1 with the places of this installation.
placed() {
    sed "s|^ExecStart=[^ ]*|ExecStart=$bin/bkm-agent|
         s|^Documentation=.*|Documentation=file://$share/README.md|" "systemd/$1" >"$made"
}
placed "$unit"
put 644 "$made" "$units/$unit"
if [ -n "$system_units" ]; then
    placed "$system_unit"
    put 644 "$made" "$system_units/$system_unit"
fi

echo
if [ -n "$DESTDIR" ]; then
    put 644 "udev-rules/$rule" "$UDEV_RULES/$rule"
elif as_root install -D -m 644 "udev-rules/$rule" "$UDEV_RULES/$rule"; then
    echo "installed $UDEV_RULES/$rule"
    as_root udevadm control --reload 2>/dev/null || echo "udev does not run here; it reads the rule when it starts"
else
    cat <<END
To have a drive start the agent where it does not run yet (optional, as root):
  sudo cp udev-rules/$rule $UDEV_RULES/ && sudo udevadm control --reload
END
fi
if user_manager_runs; then
    systemctl --user daemon-reload
    systemctl --user enable "$unit"
    # Also where an older one runs; a backup under way is stopped in order and goes on.
    systemctl --user restart "$unit"
    echo "started $unit"
elif [ -z "$DESTDIR" ]; then
    echo "No systemd of this user runs here. In a session of yours: systemctl --user enable --now $unit"
fi
if [ -n "$system_units" ] && [ -z "$DESTDIR" ]; then
    echo "For the whole computer (a server), with profiles in /etc/bkm-agent/profiles, as root:"
    echo "  systemctl daemon-reload && systemctl enable --now $system_unit"
fi

cat <<END

Next: copy $share/config/usb-stick.json to ~/.config/bkm-agent/profiles/
and write your drive's label and your folder into it (\`bkm-agent drives\` and \`bkm-agent check\` help).
END
case :$PATH: in
*:"$bin":*) ;;
*) [ -n "$DESTDIR" ] || echo "$bin is not in your search path yet; add it, or log in again." ;;
esac
