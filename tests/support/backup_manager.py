"""Makes a repository in the shape of the Python backup-manager, with its faults. Written for these tests from a
description of that shape: it is not that program.

    backup_manager.py SOURCE REPOSITORY NAME [--old FORM] [--live] [--mirrored FOLDER]... [--beside] [--inside]

One call is one run: new and changed files are copied into the mirror *in place*, so that an inode that older
increments share gets the new content; then they are linked into the increment NAME.
--old FORM: metadata NAME_TIME.json with files.new_changed as FORM: paths, objects or map
--live: links the source's own files instead of copying them
--mirrored: what is below FOLDER has no versions
--beside: the metadata lies beside the increment's folder; --inside: mirror.json lies in the mirror
"""

import argparse
import datetime
import json
import os
import shutil


def walk(root):
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            yield os.path.relpath(path, root), os.lstat(path)


def entry(path, stat, category):
    time = datetime.datetime.fromtimestamp(stat.st_mtime)
    folder = "deleted" if category == "deleted" else "track"
    return {
        "size": stat.st_size,
        "mtime": stat.st_mtime,
        "mtime_iso": time.isoformat(),
        "mtime_date": time.strftime("%Y-%m-%d"),
        "category": category,
        "backup_path": f"{folder}/{path}",
    }


def main():
    parser = argparse.ArgumentParser()
    for name in ("source", "repository", "name"):
        parser.add_argument(name)
    parser.add_argument("--old", choices=("paths", "objects", "map"))
    parser.add_argument("--mirrored", action="append", default=[])
    for name in ("--live", "--beside", "--inside"):
        parser.add_argument(name, action="store_true")
    args = parser.parse_args()
    mirror = os.path.join(args.repository, "mirror")
    increment = os.path.join(args.repository, args.name)
    os.makedirs(mirror, exist_ok=True)
    os.makedirs(os.path.join(increment, "track"))
    now = dict(walk(args.source))
    before = {p: s for p, s in walk(mirror) if p != "mirror.json"}
    tracked = lambda path: not any(path.startswith(folder + "/") for folder in args.mirrored)
    catalog = {}

    def link(path, part):
        to = os.path.join(increment, part, path)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        os.link(os.path.join(mirror, path), to)

    for path, stat in now.items():
        old = before.get(path)
        if old and (old.st_size, old.st_mtime) == (stat.st_size, stat.st_mtime):
            continue
        to = os.path.join(mirror, path)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        if not args.live:
            shutil.copy2(os.path.join(args.source, path), to)
        elif not old:
            os.link(os.path.join(args.source, path), to)
        if tracked(path):
            link(path, "track")
            catalog[path] = entry(path, stat, "tracked")
    for path, stat in before.items():
        if path not in now:
            if tracked(path):
                link(path, "deleted")
                catalog[path] = entry(path, stat, "deleted")
            os.unlink(os.path.join(mirror, path))

    timestamp = datetime.datetime.strptime(args.name, "backup_%Y%m%d_%H%M%S").isoformat()
    if args.old:
        paths = lambda category: [p for p, e in catalog.items() if e["category"] == category]
        small = lambda path: {"size": catalog[path]["size"], "mtime": catalog[path]["mtime"]}
        forms = {
            "paths": lambda found: found,
            "objects": lambda found: [{"path": p, **small(p)} for p in found],
            "map": lambda found: {p: small(p) for p in found},
        }
        form = forms[args.old]
        name = f"{args.name}_120000.json"
        document = {
            "timestamp": timestamp,
            "files": {"new_changed": form(paths("tracked")), "deleted": form(paths("deleted"))},
        }
    else:
        name = f"{args.name}.json"
        document = {
            "version": "1.0",
            "backup_type": "incremental",
            "backup_name": args.name,
            "backup_timestamp": timestamp,
            "file_catalog": catalog,
            "summary": {"total_operations": len(catalog)},
            "statistics": {"total_files": len(catalog)},
        }
    with open(os.path.join(args.repository if args.beside else increment, name), "w") as out:
        json.dump(document, out)
    known = {p: {"size": s.st_size, "mtime": s.st_mtime} for p, s in now.items()}
    with open(os.path.join(mirror if args.inside else args.repository, "mirror.json"), "w") as out:
        json.dump(known, out)
    # The tool orders increments by this, and its runs are not within one second of each other.
    time = datetime.datetime.strptime(args.name, "backup_%Y%m%d_%H%M%S").timestamp()
    os.utime(increment, (time, time))


main()
