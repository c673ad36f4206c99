# shellcheck shell=sh disable=SC2034
# Where install puts things and uninstall finds them. Sourced.

: "${PREFIX:?is set by make}" "${DESTDIR=}" "${UDEV_RULES:=/etc/udev/rules.d}"

system_units=''
bin=$PREFIX/bin
share=$PREFIX/share/bkm-agent
# systemd looks for a user's own units in one place and for everybody's in another.
if [ "$PREFIX" = "$HOME/.local" ]; then
    units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
else
    units=$PREFIX/lib/systemd/user
    # The agent for the whole computer is only there where everybody's programs are.
    system_units=$PREFIX/lib/systemd/system
fi
unit=bkm-agent.service
system_unit=bkm-agent-system.service
rule=99-bkm-agent.rules

# Whether there is a systemd of the user to talk to; packagers do not mean theirs.
user_manager_runs() {
    [ -z "$DESTDIR" ] && systemctl --user show-environment >/dev/null 2>&1
}

# as_root COMMAND...: now, if nobody has to be asked for it.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}
