#!/usr/bin/python3
"""Shows an image file as `drive` in a folder, as slow as a USB stick: a loop device on it is a slow drive.

slow_drive.py IMAGE FOLDER [WRITE_MB_S [JUMP_MS]]    (20 MB/s, 3 ms)

One request at a time, as such drives work. A request that does not go on where the one before ended costs
JUMP_MS more: a stick opens another erase block there, a disk moves its head. Reads take a quarter of what
writes do, a flush as long as a jump. Serves until FOLDER is unmounted, and leaves what the drive did in
IMAGE.work: microseconds that its requests take, jumps, flushes, bytes written. Needs python3-fusepy; the folder's
file is read and written past the page cache.
"""

import errno
import os
import stat
import sys
import time

from fusepy import FUSE, FuseOSError, Operations


class SlowDrive(Operations):
    def __init__(self, image, rate, jump):
        self.image = os.open(image, os.O_RDWR)
        self.result = image + ".work"
        self.per_byte = 1 / rate
        self.jump = jump
        self.ended = 0
        self.free = 0.0
        self.busy = 0.0
        self.counts = dict.fromkeys(("jumps", "flushes", "bytes"), 0)

    def take(self, seconds):
        """Lets the time pass that a request takes. Sleeping too long is made good with the next one."""
        now = time.monotonic()
        self.busy += seconds
        self.free = max(self.free, now - 0.002) + seconds
        if self.free > now:
            time.sleep(self.free - now)

    def moved(self, offset, length):
        jumps = offset != self.ended
        self.ended = offset + length
        self.counts["jumps"] += jumps
        return self.jump if jumps else 0

    def getattr(self, path, fh=None):
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path == "/drive":
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": os.fstat(self.image).st_size}
        raise FuseOSError(errno.ENOENT)

    def readdir(self, path, fh):
        return [".", "..", "drive"]

    def read(self, path, size, offset, fh):
        data = os.pread(self.image, size, offset)
        self.take(self.moved(offset, size) + size * self.per_byte / 4)
        return data

    def write(self, path, data, offset, fh):
        self.counts["bytes"] += len(data)
        self.take(self.moved(offset, len(data)) + len(data) * self.per_byte)
        return os.pwrite(self.image, data, offset)

    def fsync(self, path, datasync, fh):
        self.counts["flushes"] += 1
        self.take(self.jump)

    def destroy(self, path):
        with open(self.result, "w") as result:
            print(int(self.busy * 1e6), *self.counts.values(), file=result)

    def fallocate(self, path, mode, offset, length, fh=None):
        raise FuseOSError(errno.EOPNOTSUPP)


image, folder = sys.argv[1:3]
rate, jump = (float(n) for n in (sys.argv[3:5] + ["20", "3"][len(sys.argv) - 3 :])[:2])
FUSE(
    SlowDrive(image, rate * 1e6, jump / 1e3),
    folder,
    foreground=True,
    nothreads=True,
    direct_io=True,
    big_writes=True,
    max_write=131072,
    attr_timeout=3600,
)
