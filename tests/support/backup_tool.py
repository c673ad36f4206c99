"""Reads a repository as the Python backup-manager's `backup_tool.py` does, as far as its shape is known. Written
for these tests from a description: it is not that program, and it is as strict as that one can be.

    backup_tool.py REPOSITORY list                 increments in order, each with its files
    backup_tool.py REPOSITORY search MASK          versions whose name matches
    backup_tool.py REPOSITORY script DESTINATION   a shell script that copies the newest versions there
"""

import datetime
import fnmatch
import json
import os
import shlex
import sys


def increments(repository):
    """Folders of increments that have `track/`, by their modification times."""
    names = [n for n in os.listdir(repository) if n.startswith("backup_")]
    folders = [os.path.join(repository, n) for n in names]
    folders = [f for f in folders if os.path.isdir(f)]
    for folder in sorted(folders, key=lambda f: (os.stat(f).st_mtime, f)):
        os.listdir(os.path.join(folder, "track"))
        with open(os.path.join(folder, os.path.basename(folder) + ".json"), encoding="utf-8") as file:
            yield folder, json.load(file)


def files(catalog):
    for path, entry in catalog["file_catalog"].items():
        size, mtime = entry["size"], entry["mtime"]
        if not isinstance(size, int) or not isinstance(mtime, (int, float)):
            raise TypeError(f"{path}: {size!r}, {mtime!r}")
        if entry["category"] not in ("tracked", "deleted"):
            raise ValueError(entry["category"])
        yield path, entry


def main():
    repository, command, *rest = sys.argv[1:]
    newest = {}
    for folder, catalog in increments(repository):
        name = os.path.basename(folder)
        if catalog["backup_name"] != name:
            raise ValueError(catalog["backup_name"])
        datetime.datetime.fromisoformat(catalog["backup_timestamp"])
        if command == "list":
            print(name)
        for path, entry in files(catalog):
            day = datetime.datetime.fromtimestamp(entry["mtime"]).strftime("%Y-%m-%d")
            line = f"{entry['category']} {entry['size']} {path}"
            if command == "list":
                print(f"  {line}")
            elif command == "search" and fnmatch.fnmatch(os.path.basename(path), rest[0]):
                print(f"{name} {line} {day == entry.get('mtime_date', day)}")
            if entry["category"] == "tracked":
                newest[path] = os.path.join(folder, entry["backup_path"])
            else:
                newest.pop(path, None)
    if command == "script":
        print("set -e")
        for path, content in newest.items():
            to = os.path.join(rest[0], path)
            print(f"mkdir -p {shlex.quote(os.path.dirname(to))}")
            print(f"cp -p {shlex.quote(content)} {shlex.quote(to)}")


main()
