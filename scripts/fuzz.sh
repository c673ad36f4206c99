#!/bin/sh
# Runs each fuzz target, or those that are named, for FUZZ_SECONDS (60). Starts from the inputs in
# fuzz/regressions; what it learns stays in fuzz/corpus, what it finds in fuzz/artifacts.
set -eu
cd "$(dirname "$0")/.."

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo 'cargo-fuzz is missing. Install it: cargo install --locked cargo-fuzz' >&2
    exit 1
fi

# Address sanitizing needs a nightly compiler, and would find little: the program has no unsafe code. A
# stable compiler takes the flags of the fuzzer with this variable.
export RUSTC_BOOTSTRAP=1
cargo fuzz build --sanitizer none

[ $# -gt 0 ] || set -- $(cargo fuzz list)
for target in "$@"; do
    echo "fuzzing: $target"
    mkdir -p "fuzz/corpus/$target"
    cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/regressions/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
        -verbosity=0 -print_final_stats=1
done
