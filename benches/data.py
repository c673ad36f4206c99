#!/usr/bin/env python3
"""Makes and changes the benchmark's source: 50,000 files of 0.4 GB in 800 folders, always the same.

data.py make DIR      makes it, unless it is there
data.py change DIR    gives 1 % of the files other content
data.py rename DIR    renames a folder that holds 1/16 of them (and back, next time)
"""

import os
import random
import sys

FILES = 50_000
TOPS = 16
SUBS = 50
BYTES = 400_000_000


def top(root, number):
    return os.path.join(root, f"part{number:02}")


def path_of(root, number):
    return os.path.join(top(root, number % TOPS), f"folder{number // TOPS % SUBS:02}", f"file{number:05}.dat")


def make(root):
    done = root + ".made"
    if os.path.exists(done):
        return
    print(f"Making {FILES} files in {root} (once)", file=sys.stderr)
    chance = random.Random(1)
    # Most files small, few large, as in a home folder.
    sizes = [chance.lognormvariate(0, 1.5) for _ in range(FILES)]
    unit = BYTES / sum(sizes)
    for number, size in enumerate(sizes):
        path = path_of(root, number)
        if number < TOPS * SUBS:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(chance.randbytes(int(size * unit)))
    open(done, "w").close()


def change(root):
    chance = random.Random()
    for number in chance.sample(range(TOPS, FILES), FILES // 100):
        path = path_of(root, number)
        # One of them may be below the folder that is renamed now.
        path = path if os.path.exists(path) else path.replace("part00", "renamed", 1)
        length = os.path.getsize(path)
        with open(path, "r+b") as file:
            file.write(chance.randbytes(max(length, 1)))


def rename(root):
    here, there = top(root, 0), os.path.join(root, "renamed")
    if os.path.exists(there):
        here, there = there, here
    os.rename(here, there)


{"make": make, "change": change, "rename": rename}[sys.argv[1]](os.path.abspath(sys.argv[2]))
