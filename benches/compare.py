#!/usr/bin/env python3
"""bkm-agent beside what people use today: the same files, each tool with a fresh ext4 drive of its own (an image on
a loop device), in turn, medians of all rounds. Called by `make bench`; needs root.

    compare.py PROGRAM WALK [SET...]

PROGRAM is bkm-agent, WALK the bare parallel walk of benches/walk.rs. Sets: small (50,000 files), large (4 files of
1 GB), tree (the Rust toolchain that built it, else /usr), million. Each prints a table and keeps it in target/bench.

BENCH_ROUNDS (3 of small, 1 of the others); BENCH_TOOLS, names of some of them; BENCH_DIR (/var/tmp/bkm-bench) keeps the sources for the next time.

Seconds are from the start of the tool to the end of a sync of the drive. CPU seconds are those of the tool and all
that it started; the kernel's writing back is not in them. Memory is that of the tool's largest process. Bytes are
what the drive was given to write until nothing more came. "Warm": source and drive stay in the cache. "Cold": the
drive was unmounted, all caches dropped, the drive mounted again, as it is when it was just plugged in.
"""

import ctypes
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import data

os.environ["PATH"] += ":/usr/sbin:/sbin"
os.environ["LC_ALL"] = "C"

LIBC = ctypes.CDLL(None)
WORK = Path(os.environ.get("BENCH_DIR", "/var/tmp/bkm-bench"))
KEPT = Path("target/bench")

CASES = {
    "first": "first backup",
    "warm": "no change, warm",
    "cold": "no change, cold",
    "changed": "{share} changed",
    "renamed": "folder of 1/16 renamed",
    "deleted": "1 % deleted",
}


def sh(*args, **more):
    subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.DEVNULL, **more)


class Drive:
    """A loop device with ext4, from an image that goes with it."""

    def __init__(self, folder, gigabytes):
        self.image, self.point, self.node = folder / "drive.img", folder / "drive", None
        self.point.mkdir(parents=True)
        with open(self.image, "wb") as image:
            image.truncate(gigabytes << 30)
        # Nothing is written by itself later.
        sh("mkfs.ext4", "-q", "-F", "-i", 8192, "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.attach()

    def attach(self):
        asked = ["losetup", "--find", "--show", self.image]
        self.node = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        sh("mount", self.node, self.point)

    def detach(self):
        if self.node:
            sh("umount", self.point)
            sh("losetup", "-d", self.node)
            self.node = None

    def sync(self):
        """As `sync -f`, without starting a program."""
        folder = os.open(self.point, os.O_RDONLY)
        failed = LIBC.syncfs(folder)
        os.close(folder)
        if failed:
            sys.exit("The drive cannot be synced.")

    def written(self):
        os.sync()
        return int(Path(f"/sys/block/{Path(self.node).name}/stat").read_text().split()[6]) * 512

    def remove(self):
        self.detach()
        self.image.unlink()


class Tool:
    """One of those compared: `commands(first)` back up `source` to `drive.point`."""

    def __init__(self, name, shown, cases=None):
        self.name, self.shown, self.cases = name, shown, cases

    def commands(self, source, folder, run):
        to = folder / "drive"
        match self.name:
            case "cp":
                return [["cp", "-a", source, to / "copy"]]
            case "rsync":
                return [["rsync", "-a", "--delete", f"{source}/", f"{to}/mirror/"]]
            case "link-dest":
                before = ["--link-dest", f"../{run - 1}"] if run else []
                return [["rsync", "-a", "--delete", *before, f"{source}/", f"{to}/{run}/"]]
            case "restic":
                restic = ["restic", "--quiet", "--repo", to / "restic"]
                init = [] if run else [[*restic, "init"]]
                return [*init, [*restic, "backup", source]]
            case "borg":
                init = [] if run else [["borg", "init", "--encryption", "none", to / "borg"]]
                return [*init, ["borg", "create", f"{to}/borg::{run}", source]]
            case "rdiff-backup":
                return [["rdiff-backup", source, to / "rdiff"]]
            case "bkm-agent":
                return [[PROGRAM, "run", "--config", folder / "profile.json"]]

    def prepare(self, source, folder):
        home = folder / "home"
        home.mkdir()
        profile = {"src": str(source), "dist": str(folder / "drive/backup")}
        (folder / "profile.json").write_text(json.dumps(profile))
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("XDG_")},
            "HOME": str(home),
            "RESTIC_PASSWORD": "bench",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }


PROGRAM = WALK = None
TOOLS = [
    Tool("cp", "cp -a", ["first"]),
    Tool("rsync", "rsync -a --delete"),
    Tool("link-dest", "rsync --link-dest"),
    Tool("restic", "restic"),
    Tool("borg", "borg"),
    Tool("rdiff-backup", "rdiff-backup"),
    Tool("bkm-agent", "bkm-agent"),
]


def measured(commands, drive, environment):
    """Seconds, CPU seconds, peak memory in MB and bytes written of commands and the sync after them."""
    before = drive.written() if drive else 0
    cpu = peak = 0
    begun = time.monotonic()
    for command in commands:
        process = subprocess.Popen(
            [str(word) for word in command],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        said = process.stderr.read().decode(errors="replace")
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command[0]} failed with {process.returncode}: {said}")
        cpu += used.ru_utime + used.ru_stime
        peak = max(peak, used.ru_maxrss / 1024)
    if drive:
        drive.sync()
    took = time.monotonic() - begun
    return {
        "seconds": took,
        "cpu": cpu,
        "memory": peak,
        "bytes": drive.written() - before if drive else 0,
    }


def drop_caches():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def read_through(folder):
    """Brings all files into the cache: some kernels give up again what was not used for a while. (Not in this
    process: what that takes would count as the memory of all that it starts.)"""
    sh("find", folder, "-type", "f", "-exec", "cat", "{}", "+")


class Set:
    """Files to back up, what happens to them, and who backs them up."""

    def __init__(self, name, shown, gigabytes, tools=None, cases=None, apart=False, share=100):
        self.name, self.shown, self.gigabytes = name, shown, gigabytes
        asked = os.environ.get("BENCH_TOOLS", "").split() or [tool.name for tool in TOOLS]
        self.tools = [t for t in TOOLS if t.name in asked and (not tools or t.name in tools)]
        self.cases = cases or list(CASES)
        # One tool after the other: their drives do not lie on the disk side by side.
        self.apart = apart
        # One file in this many changes.
        self.share = share
        self.results = {}

    def source(self):
        if self.name == "tree":
            asked = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True)
            return Path(asked.stdout.strip() or "/usr")
        return WORK / self.name

    def make(self):
        if self.name in data.SETS:
            data.make(self.name, str(self.source()))
        elif self.name == "large":
            data.make_large(str(self.source()))

    def change(self, case):
        if case == "changed":
            data.change(self.name, str(self.source()), self.share)
        elif case == "renamed":
            data.rename(self.name, str(self.source()))
        elif case == "deleted":
            data.delete(self.name, str(self.source()), 100)

    def keep(self, tool, case, figures):
        self.results.setdefault(tool, {}).setdefault(case, []).append(figures)

    def round(self, number, folder):
        """All tools once through all cases, each time another one first."""
        at = number % len(self.tools)
        tools = self.tools[at:] + self.tools[:at]
        for together in [[tool] for tool in tools] if self.apart else [tools]:
            drives = {}
            for tool in together:
                drives[tool] = Drive(folder / tool.name, self.gigabytes)
                DRIVES.append(drives[tool])
                tool.prepare(self.source(), folder / tool.name)
            for run, case in enumerate(self.cases):
                self.change(case)
                measured([[WALK, self.source()]], None, None)
                for tool in together:
                    if tool.cases and case not in tool.cases:
                        continue
                    self.one(tool, case, run, drives[tool], folder / tool.name)
                # The limit of "no change".
                if case in ("warm", "cold") and together[0] is tools[0]:
                    if case == "cold":
                        drop_caches()
                    self.keep("limit", case, measured([[WALK, self.source()]], None, None))
            for tool in together:
                drives[tool].remove()
                shutil.rmtree(folder / tool.name)
        data.undo(self.name, str(self.source()))

    def one(self, tool, case, run, drive, folder):
        print(f"\r\033[K{self.name}: {tool.shown}, {case}", end="", file=sys.stderr)
        commands = tool.commands(self.source(), folder, run)
        if case == "first":
            read_through(self.source())
        if case == "cold":
            drive.detach()
            drop_caches()
            drive.attach()
        self.keep(tool.name, case, measured(commands, drive, tool.environment))

    def table(self):
        """As Markdown: seconds, CPU seconds, peak memory, bytes written."""
        shares = {100: "1 %", 1000: "0.1 %"}
        heads = [CASES[case].format(share=shares[self.share]) for case in self.cases]
        lines = [
            f"{self.shown}. Seconds with the final sync / CPU seconds / peak memory in MB / MB written.",
            "",
            "| | " + " | ".join(heads) + " |",
            "|---" * (len(heads) + 1) + "|",
        ]
        middle = lambda runs, what: statistics.median(run[what] for run in runs)
        rows = [(tool.name, tool.shown) for tool in self.tools] + [("limit", "*limit: bare parallel walk*")]
        for name, shown in rows:
            cells = []
            for case in self.cases:
                runs = self.results.get(name, {}).get(case)
                if not runs:
                    cells.append("")
                    continue
                seconds, cpu, memory = (middle(runs, what) for what in ("seconds", "cpu", "memory"))
                written = middle(runs, "bytes") / 1e6
                digits = 2 if written < 10 else 0
                cells.append(f"{seconds:.2f} / {cpu:.2f} / {memory:.0f} / {written:.{digits}f}")
            lines.append(f"| {shown} | " + " | ".join(cells) + " |")
        lines += ["", "bkm-agent as a ratio of the others' time (and bytes), by rounds, median:", ""]
        ours = self.results["bkm-agent"]
        for name, shown in rows:
            if name == "bkm-agent":
                continue
            ratios = []
            for case, head in zip(self.cases, heads):
                theirs = self.results.get(name, {}).get(case)
                if not theirs:
                    continue
                pairs = list(zip(ours[case], theirs))
                ratio = statistics.median(a["seconds"] / b["seconds"] for a, b in pairs)
                of_bytes = ""
                if middle(theirs, "bytes") > 0:
                    of_bytes = f" ({statistics.median(a['bytes'] / max(b['bytes'], 1) for a, b in pairs):.2f})"
                ratios.append(f"{head} {ratio:.2f}{of_bytes}")
            lines.append(f"- {shown}: " + ", ".join(ratios))
        return "\n".join(lines) + "\n"


SETS = {
    "small": Set("small", "50,000 files, 0.4 GB", 4),
    "large": Set(
        "large",
        "4 files of 1 GB",
        10,
        tools=["cp", "rsync", "restic", "borg", "bkm-agent"],
        cases=["first", "warm", "cold"],
        apart=True,
    ),
    "tree": Set("tree", "A real tree: the Rust toolchain", 8, cases=["first", "warm", "cold"], apart=True),
    "million": Set(
        "million",
        "1,000,000 files, 2 GB",
        16,
        tools=["rsync", "bkm-agent"],
        cases=["first", "warm", "cold", "changed"],
        share=1000,
    ),
}
DRIVES = []


def main():
    global PROGRAM, WALK
    PROGRAM, WALK = (os.path.abspath(path) for path in sys.argv[1:3])
    if os.geteuid():
        sys.exit("The benchmark attaches drives: it needs root.")
    # Drives are detached on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    KEPT.mkdir(parents=True, exist_ok=True)
    WORK.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:] or SETS:
        one = SETS[name]
        one.make()
        folder = Path(tempfile.mkdtemp(dir=WORK, prefix="run."))
        try:
            rounds = 3 if name == "small" else 1
            for number in range(int(os.environ.get("BENCH_ROUNDS", rounds))):
                one.round(number, folder)
        finally:
            for drive in DRIVES:
                drive.detach()
            shutil.rmtree(folder)
        print("\r\033[K", end="", file=sys.stderr)
        table = one.table()
        print(table)
        (KEPT / f"{name}.md").write_text(table)
        (KEPT / f"{name}.json").write_text(json.dumps(one.results, indent=1))


main()
