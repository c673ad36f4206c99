#!/bin/sh
# Asks the tools that `make lint` has beside cargo's own: which licences and sources the dependencies have, whether
# one is not used, and spelling. A tool that is not here is left out, and that is said; where CI=true it is a failure.
set -eu
cd "$(dirname "$0")/.."

failed=''

# ask TRY COMMAND: asks if TRY, which tells whether the tool is here, succeeds.
ask() {
    if sh -c "$1" >/dev/null 2>&1; then
        echo "$2"
        $2 || failed="$failed, $2"
    elif [ "${CI:-}" = true ]; then
        failed="$failed, $2 (not here)"
    else
        echo "skipped, not here: $2"
    fi
}

ask 'cargo deny --version' 'cargo deny --locked check bans licenses sources'
ask 'cargo machete --version' 'cargo machete'
# What it leaves out and which words are right is in .codespellrc.
ask 'codespell --version' codespell

if [ -n "$failed" ]; then
    echo "lint failed: ${failed#, }" >&2
    exit 1
fi
