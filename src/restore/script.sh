set -u
LC_ALL=C
export LC_ALL
umask 077
[ $# -lt 1 ] || REPO=$1
[ $# -lt 2 ] || DEST=$2
case $REPO in /*) ;; *) REPO=./$REPO ;; esac
case $DEST in /*) ;; *) DEST=./$DEST ;; esac
OVERWRITE=${OVERWRITE:-0}
user=$(id -u)
restored=0
there=0
problems=0
part=
trap 'rm -f "$part"; exit 130' INT TERM

problem() { # PATH REASON
    problems=$((problems + 1))
    printf 'problem: %s: %s' "$1" "$2" | tr -d '\001-\037\177' >&2
    echo >&2
}

# Whether the folders above $1 are there, and no link among them leads elsewhere.
open_way() {
    rest=$1
    way=$DEST
    while :; do
        case $rest in
        */*)
            way=$way/${rest%%/*}
            rest=${rest#*/}
            ;;
        *) return 0 ;;
        esac
        if [ -h "$way" ] || ! [ -d "$way" ]; then return 1; fi
    done
}

# Mode last: it may close the file.
attributes() { # FILE MODE OWNER TIME TIME-TO-THE-SECOND
    [ "$user" != 0 ] || chown "$3" "$1" || return 1
    TZ=UTC0 touch -d "$4" "$1" 2>/dev/null || TZ=UTC0 touch -t "$5" "$1" || return 1
    chmod "$2" "$1"
}

folder() { # NUMBER PATH
    eval "mine_$1=no"
    to=$DEST/$2
    if ! open_way "$2" || [ -h "$to" ]; then
        problem "$2" 'a file or link stands in the way'
    elif [ -d "$to" ]; then
        [ "$OVERWRITE" != 1 ] || eval "mine_$1=yes"
    elif [ -e "$to" ]; then
        problem "$2" 'a file stands in its place'
    elif mkdir "$to"; then
        eval "mine_$1=yes"
    else
        problem "$2" 'the folder could not be made'
    fi
}

finished() { # NUMBER PATH MODE OWNER TIME TIME-TO-THE-SECOND
    eval "mine=\$mine_$1"
    # shellcheck disable=SC2154
    [ "$mine" = yes ] || return 0
    attributes "$DEST/$2" "$3" "$4" "$5" "$6" ||
        problem "$2" 'its owner, mode or time could not be set'
}

file() { # FROM PATH SIZE MODE OWNER TIME TIME-TO-THE-SECOND
    from=$REPO/$1
    to=$DEST/$2
    if ! open_way "$2"; then
        problem "$2" 'a file or link stands in the way'
        return
    fi
    if [ -h "$from" ] || ! [ -f "$from" ]; then
        problem "$2" 'it is missing from the backup'
        return
    fi
    if [ -d "$to" ] && ! [ -h "$to" ]; then
        problem "$2" 'a folder stands in its place'
        return
    fi
    if ! [ -h "$to" ] && [ -f "$to" ] && cmp -s "$from" "$to"; then
        there=$((there + 1))
        if [ "$OVERWRITE" = 1 ]; then
            attributes "$to" "$4" "$5" "$6" "$7" ||
                problem "$2" 'its owner, mode or time could not be set'
        fi
        return
    fi
    if [ "$OVERWRITE" != 1 ] && { [ -e "$to" ] || [ -h "$to" ]; }; then
        problem "$2" 'exists already and is not the same; OVERWRITE=1 replaces it'
        return
    fi
    part=${to%/*}/.bkm-restore-script-$$
    rm -f "$part"
    if ! cp "$from" "$part" || [ "$(($(wc -c <"$part")))" -ne "$3" ]; then
        rm -f "$part"
        problem "$2" 'it could not be copied whole'
        return
    fi
    attributes "$part" "$4" "$5" "$6" "$7" ||
        problem "$2" 'its owner, mode or time could not be set'
    if mv -f "$part" "$to"; then
        restored=$((restored + 1))
    else
        rm -f "$part"
        problem "$2" 'it could not be put in its place'
    fi
}

link() { # TARGET PATH OWNER
    to=$DEST/$2
    if ! open_way "$2"; then
        problem "$2" 'a file or link stands in the way'
        return
    fi
    if [ -h "$to" ] && [ "$(readlink "$to" && echo .)" = "$1
." ]; then
        there=$((there + 1))
        return
    fi
    if [ -e "$to" ] || [ -h "$to" ]; then
        if [ "$OVERWRITE" != 1 ]; then
            problem "$2" 'exists already and is not the same; OVERWRITE=1 replaces it'
            return
        fi
        if { [ -d "$to" ] && ! [ -h "$to" ]; } || ! rm -f "$to"; then
            problem "$2" 'what stands in its place could not be replaced'
            return
        fi
    fi
    if ! ln -s -- "$1" "$to"; then
        problem "$2" 'the link could not be made'
        return
    fi
    restored=$((restored + 1))
    [ "$user" != 0 ] || chown -h "$3" "$to" || problem "$2" 'its owner could not be set'
}

if ! [ -d "$REPO/mirror" ]; then
    echo "$REPO is not the backup's folder; name it: sh $0 REPOSITORY [DESTINATION]" |
        tr -d '\001-\011\013-\037\177' >&2
    exit 1
fi
if ! mkdir -p "$DEST"; then exit 1; fi
