# SPDX-License-Identifier: Apache-2.0
"""A disk in memory: an unchanged base file and the 4 KiB pages that differ from it. Writes can be taken back, and every state has a
fingerprint, so that a state that was judged before is known at once.
"""
import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from hashlib import blake2b

PAGE = 4096
CHUNK = 64  # pages
SECTOR = 512
GPT_ENTRY = struct.Struct("<16s16sQQQ72s")


@dataclass(frozen=True)
class Partition:
    name: str
    offset: int
    size: int

    @property
    def end(self):
        return self.offset + self.size


def gpt_at(read, lba):
    """The partitions of the table whose header is at `lba`; None when header or table is damaged."""
    head = read(lba * SECTOR, SECTOR)
    signature, _, size, crc = struct.unpack_from("<8sIII", head)
    if signature != b"EFI PART" or not 92 <= size <= SECTOR or zlib.crc32(head[:16] + bytes(4) + head[20:size]) != crc:
        return None
    own, _, _, _ = struct.unpack_from("<QQQQ", head, 24)
    start, count, entry_size, table_crc = struct.unpack_from("<QIII", head, 72)
    if own != lba or entry_size != 128 or count > 128:
        return None
    table = read(start * SECTOR, count * entry_size)
    if zlib.crc32(table) != table_crc:
        return None
    found = {}
    for i in range(count):
        kind, _, first, last, _, name = GPT_ENTRY.unpack_from(table, i * entry_size)
        if kind != bytes(16):
            text = name.decode("utf-16-le").rstrip("\0")
            found[text] = Partition(text, first * SECTOR, (last - first + 1) * SECTOR)
    return found


class Disk:
    def __init__(self, path, size=None):
        self.file = open(path, "rb")
        self.base_size = os.fstat(self.file.fileno()).st_size
        self.size = max(size or 0, self.base_size)
        self.base = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        self.pages = {}
        self.undo = []  # (page, what it was before or None)
        self.listeners = []  # called with the number of a page that changed
        self.prints = {}  # fingerprint of all changed pages, by region
        self.page_print = {}
        self.chunk_print = {}  # the same by chunks, so that a file's content can be compared quickly
        self.regions = []
        self.partitions = self.gpt()
        if self.partitions is None:
            raise ValueError(f"{path}: no partition table")
        self.set_regions()

    def set_regions(self):
        """What a page belongs to is decided by the base's table: only the state partition grows, to the end."""
        parts = sorted(self.partitions.values(), key=lambda part: part.offset)
        self.regions = [(part.offset // PAGE, part.end // PAGE, part.name) for part in parts]
        self.state_end = self.size // PAGE - 9  # the backup table's 33 sectors, rounded up

    def region(self, page):
        for first, end, name in self.regions:
            if first <= page < end:
                return name
        state = self.partitions.get("webops-state")
        return "webops-state" if state and state.offset // PAGE <= page < self.state_end else "gpt"

    def gpt(self):
        """The partitions a reader finds: by the first table, else by the second one. None: neither is whole."""
        return gpt_at(self.read, 1) or gpt_at(self.read, self.size // SECTOR - 1) or gpt_at(self.read, self.base_size // SECTOR - 1)

    def page(self, number):
        page = self.pages.get(number)
        if page is None:
            page = self.base[number * PAGE : (number + 1) * PAGE]
            if len(page) < PAGE:
                page += bytes(PAGE - len(page))
        return page

    def read(self, offset, size):
        first, end = offset // PAGE, (offset + size + PAGE - 1) // PAGE
        data = b"".join([self.page(number) for number in range(first, end)])
        return data[offset - first * PAGE :][:size]

    def set_page(self, number, page):
        """`page` None: as in the base. Everything that depends on the page hears of it."""
        name = self.region(number)
        old = self.page_print.pop(number, 0)
        new = 0
        if page is None:
            self.pages.pop(number, None)
        else:
            self.pages[number] = page
            if page != self.base[number * PAGE : (number + 1) * PAGE]:
                new = int.from_bytes(blake2b(page, digest_size=8, salt=number.to_bytes(16, "little")).digest(), "little")
                self.page_print[number] = new
        self.prints[name] = self.prints.get(name, 0) ^ old ^ new
        self.chunk_print[number // CHUNK] = self.chunk_print.get(number // CHUNK, 0) ^ old ^ new
        for listener in self.listeners:
            listener(number)

    def write(self, offset, data):
        """Whole sectors. Remembered until forget()."""
        size, position = len(data), 0
        while position < size:
            number, start = divmod(offset + position, PAGE)
            length = min(PAGE - start, size - position)
            piece = data[position : position + length]
            if length < PAGE:
                old = self.page(number)
                piece = old[:start] + piece + old[start + length :]
            self.undo.append((number, self.pages.get(number)))
            self.set_page(number, piece)
            position += length

    def mark(self):
        return len(self.undo)

    def rollback(self, mark):
        while len(self.undo) > mark:
            self.set_page(*self.undo.pop())

    def forget(self):
        self.undo.clear()

    def fingerprint(self, *, state=False):
        """Equal for equal content; without `state`, of all but the state partition."""
        return tuple(sorted((name, value) for name, value in self.prints.items() if value and (state or name != "webops-state")))

    def range_print(self, ranges):
        """A fingerprint of at least these ranges [(offset, size)]: equal only if their content is."""
        chunk = PAGE * CHUNK
        return tuple(tuple(self.chunk_print.get(n, 0) for n in range(at // chunk, (at + size - 1) // chunk + 1)) for at, size in ranges)

    def export(self, path):
        """Writes this state as a sparse file."""
        with open(path, "wb") as out:
            self._export_base(out)
            for number, page in self.pages.items():
                out.seek(number * PAGE)
                out.write(page)
            out.truncate(self.size)

    def _export_base(self, out):
        position = 0
        while position < self.base_size:
            try:
                start = os.lseek(self.file.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            position = os.lseek(self.file.fileno(), start, os.SEEK_HOLE)
            out.seek(start)
            while start < position:
                length = min(1 << 20, position - start)
                out.write(self.base[start : start + length])
                start += length

    def close(self):
        self.base.close()
        self.file.close()
