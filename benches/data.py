"""Makes and changes the benchmark's sources, always the same: `small` and `million` have many small files in folders
of folders, `large` has four large ones. Used by compare.py."""

import os
import random
import shutil
import sys

TOPS = 16
# Of each set: files, folders in each of the 16, and bytes in all.
SETS = {"small": (50_000, 50, 400_000_000), "million": (1_000_000, 1_000, 2_000_000_000)}
LARGE = (4, 1 << 30)


def top(root, number):
    return os.path.join(root, f"part{number:02}")


def path_of(name, root, number):
    subs = SETS[name][1]
    return os.path.join(top(root, number % TOPS), f"folder{number // TOPS % subs:03}", f"file{number:06}.dat")


def once(root):
    """Whether `root` is to be made; what was begun and not ended is made anew."""
    if os.path.exists(root + ".made"):
        return False
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    print(f"Making {root} (once)", file=sys.stderr)
    return True


def sizes_of(name):
    files, _, total = SETS[name]
    chance = random.Random(1)
    # Most files small, few large, as in a home folder.
    sizes = [chance.lognormvariate(0, 1.5) for _ in range(files)]
    unit = total / sum(sizes)
    return [int(size * unit) for size in sizes]


def make(name, root):
    if not once(root):
        return
    chance = random.Random(2)
    for number, size in enumerate(sizes_of(name)):
        path = path_of(name, root, number)
        if number < TOPS * SETS[name][1]:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(chance.randbytes(size))
    open(root + ".made", "w").close()


def make_large(root):
    if not once(root):
        return
    files, size = LARGE
    for number in range(files):
        with open(os.path.join(root, f"film{number}.mkv"), "wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))
    open(root + ".made", "w").close()


def some(name, root, share):
    """One file in `share`, another choice each time; none of the folder that is renamed."""
    files = SETS[name][0]
    numbers = [n for n in random.sample(range(files), files // share * 2) if n % TOPS][: files // share]
    return [(number, path_of(name, root, number)) for number in numbers]


def change(name, root, share):
    for _, path in some(name, root, share):
        if os.path.exists(path):
            with open(path, "r+b") as file:
                file.write(random.randbytes(max(os.path.getsize(path), 1)))


def rename(name, root):
    os.rename(top(root, 0), os.path.join(root, "renamed"))


def delete(name, root, share):
    for _, path in some(name, root, share):
        os.unlink(path)


def undo(name, root):
    """Gives the source its names and files again, for the next round."""
    renamed = os.path.join(root, "renamed")
    if os.path.exists(renamed):
        os.rename(renamed, top(root, 0))
    if name in SETS:
        for number, size in enumerate(sizes_of(name)):
            path = path_of(name, root, number)
            if not os.path.exists(path):
                with open(path, "wb") as file:
                    file.write(random.randbytes(size))
