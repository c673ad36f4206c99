#!/bin/bash
# Runs all tests but those in the virtual machine: builds once, tells how each program goes, and at the end what was
# skipped and why. As root, the tests that need no root run a second time as a user who is not root. What each
# program said is left in target/test-logs.
set -u
cd "$(dirname "$0")/.."

# mkfs, losetup and udevadm lie where an ordinary search path does not lead.
export PATH=$PATH:/usr/sbin:/sbin

# A snapshot that differs is a failure; nothing is written.
export INSTA_UPDATE=no
# nobody and nogroup, wherever there is an account list at all.
user=65534

logs=target/test-logs
rm -rf "$logs"
mkdir -p "$logs"
# Folders of tests, in memory where that is possible, and what a normal user needs. What a test leaves there goes.
scratch=$(mktemp -d /dev/shm/bkm-tests.XXXXXX 2>/dev/null || mktemp -d) || exit 1
place=$(mktemp -d "${TMPDIR:-/tmp}/bkm-tests.XXXXXX") || exit 1
computing=
tidy() {
	[ -z "$computing" ] || kill -- "-$computing"
	rm -rf --one-file-system "$scratch" "$place"
}
trap tidy EXIT
trap 'exit 130' INT TERM
chmod 711 "$scratch"
export BKM_TEST_SCRATCH=$scratch

# A line for each program that has ended: passed, failed, skipped.
sums=$logs/sums

# The number before the word in the line in which a test program sums up; 0 if it did not come to that.
count() {
	local found
	found=$(sed -n "s/^test result: .* \([0-9]*\) $2;.*/\1/p" "$1" | tail -n 1)
	echo "${found:-0}"
}

# Runs one program: the name to be shown, then the command.
run() {
	local name=$1 log begun=$SECONDS code
	shift
	log=$logs/${name//[ ,]/-}.txt
	"$@" >"$log" 2>&1 </dev/null
	code=$?
	local good bad left
	good=$(count "$log" passed) bad=$(count "$log" failed)
	left=$(sed -n 's/^skipped: \([^ ]*\): .*/\1/p' "$log" | sort -u | wc -l)
	# A program that was killed has no sum.
	if [ $code -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
	fi
	good=$((good - left))
	echo "$good $bad $left" >>"$sums"
	# At once, so that the lines of two programs do not mix.
	{
		printf '%-30s %5d passed %3d failed %4d skipped %6d s\n' "$name" "$good" "$bad" "$left" $((SECONDS - begun))
		if [ $code -ne 0 ]; then
			if grep -q '^failures:$' "$log"; then
				sed -n '/^failures:$/,$p' "$log"
			else
				echo "$name ended with code $code:"
				tail -n 100 "$log"
			fi
		fi
	} >"$log.said"
	cat "$log.said"
	rm "$log.said"
}

# The lines of all logs that begin so, each with the program's name.
lines() {
	local log
	for log in "$logs"/*.txt; do
		[ ! -f "$log" ] || sed -n "s/^$1: /  $(basename "$log" .txt): /p" "$log"
	done | sort -u
}

# Where test programs, and what they read, can be reached by any user.
make_place() {
	cp target/tested/bkm-agent "$place/"
	cp "$engine" "$place/engine"
	cp "$commands" "$place/commands"
	cp -r tests config "$place/"
	chmod -R go+rX "$place"
	mkdir "$place/home" "$place/tmp" "$scratch/user"
	chown "$user:$user" "$place/home" "$place/tmp" "$scratch/user"
}

# Runs a command as the user who is not root, with nothing of root's.
as_user() {
	setpriv --reuid=$user --regid=$user --clear-groups env --chdir="$place" \
		-u XDG_RUNTIME_DIR -u XDG_CONFIG_HOME -u XDG_STATE_HOME -u XDG_CACHE_HOME -u XDG_DATA_HOME \
		-u DBUS_SESSION_BUS_ADDRESS -u SUDO_USER -u SUDO_UID -u SUDO_GID \
		HOME="$place/home" TMPDIR="$place/tmp" USER=nobody LOGNAME=nobody \
		BKM_TEST_PROGRAM="$place/bkm-agent" BKM_TEST_ROOT="$place" BKM_TEST_SCRATCH="$scratch/user" \
		INSTA_WORKSPACE_ROOT="$place" \
		"$@"
}

cargo test --locked --profile tested --no-run --color never 2>&1 | tee "$logs/build.log"
[ "${PIPESTATUS[0]}" -eq 0 ] || exit 1

# The program that was built from a source file.
built() {
	sed -n "s|^ *Executable .*$1 (\(.*\))$|\1|p" "$logs/build.log"
}
library=$(built src/lib.rs) layers=$(built tests/layers/main.rs) engine=$(built tests/engine/main.rs)
commands=$(built tests/commands/main.rs) system=$(built tests/system/main.rs)
# What a test reads it finds by the project's folder, wherever the tests are started.
export INSTA_WORKSPACE_ROOT=$PWD

# What computes.
compute() {
	run library "$library" --show-output "$@"
	run documentation cargo test --locked --profile tested --doc -- --show-output "$@"
	run engine "$engine" --show-output "$@"
}

# What waits for drives, buses and processes; and the engine as a user, so that both take as long. Root sweeps every
# point; the sweeps of the user are a second look, and take every fifth.
wait_for_others() {
	run layers "$layers" --show-output "$@"
	run system "$system" --show-output --test-threads=3 "$@"
	run commands "$commands" --show-output "$@"
	if [ "$(id -u)" -eq 0 ]; then
		run 'commands as user' as_user "$place/commands" --show-output "$@"
		run 'engine as user' as_user env BKM_FAULTS_STEP=5 "$place/engine" --show-output "$@"
	fi
}

if [ "$(id -u)" -eq 0 ]; then
	make_place
fi
# What computes stands back, so that it holds up nobody's time limit. It is a process group of its own, to be ended
# as a whole.
set -m
(
	renice -n 15 -p "$BASHPID" >/dev/null
	compute "$@"
) &
computing=$!
set +m
wait_for_others "$@"
wait "$computing"
computing=

# Times and wake-ups are measured while nothing else runs.
if [ $# -eq 0 ]; then
	quiet=(--show-output --ignored --test-threads=1 quiet::)
	run 'commands, quiet' "$commands" "${quiet[@]}"
	if [ "$(id -u)" -eq 0 ]; then
		run 'commands, quiet, as user' as_user "$place/commands" "${quiet[@]}"
	fi
	run 'system, quiet' "$system" "${quiet[@]}"
fi

for what in 'skipped' 'skipped in part' 'fails as a user'; do
	if [ -n "$(lines "$what")" ]; then
		echo "$what:"
		lines "$what"
	fi
done
awk '{ passed += $1; failed += $2; skipped += $3 }
	END { print passed " passed, " failed " failed, " skipped " skipped"; exit failed > 0 }' "$sums"
