# SPDX-License-Identifier: Apache-2.0
"""Reads a log of QEMU's blklogwrites driver, which is that of Linux's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst)."""
import mmap
import struct
from dataclasses import dataclass

MAGIC = 0x6A736677736872
SECTOR = 512
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SUPER = struct.Struct("<QQQI")  # magic, version, entries, sector size
ENTRY = struct.Struct("<QQQQ")  # sector, sectors, flags, bytes of inline data (marks only)


@dataclass(frozen=True)
class Entry:
    number: int
    offset: int  # bytes on the disk
    size: int  # bytes; 0 for a bare flush
    flags: int
    at: int  # where its data lies in the log

    @property
    def is_flush(self):
        return bool(self.flags & FLUSH)

    @property
    def is_write(self):
        return self.size > 0 and not self.flags & (DISCARD | MARK)

    @property
    def is_discard(self):
        return bool(self.flags & DISCARD)


class Log:
    """The entries of one log file. What was being logged when QEMU ended is not in the superblock's count, and not here."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.map = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, version, count, sector = SUPER.unpack_from(self.map)
        if magic != MAGIC or version != 1 or sector != SECTOR:
            raise ValueError(f"{path}: no log of dm-log-writes with sectors of {SECTOR} bytes")
        self.entries = []
        position = SECTOR
        for number in range(count):
            first, sectors, flags, inline = ENTRY.unpack_from(self.map, position)
            position += SECTOR
            size = sectors * SECTOR
            self.entries.append(Entry(number, first * SECTOR, size, flags, position))
            position += 0 if flags & DISCARD else inline if flags & MARK else size
            if position > len(self.map):
                raise ValueError(f"{path}: entry {number} runs past the end of the file")

    def data(self, entry):
        """The bytes written; of a discard: zeros, one of the things that may then be read."""
        return bytes(entry.size) if entry.is_discard else self.map[entry.at : entry.at + entry.size]

    def close(self):
        self.map.close()
        self.file.close()


def count(path):
    """Entries so far, of a log that may still be growing (the superblock follows each flush)."""
    with open(path, "rb") as log:
        head = log.read(SUPER.size)
    return SUPER.unpack(head)[2] if len(head) == SUPER.size else 0
