# SPDX-License-Identifier: Apache-2.0
"""From a boot file to the slot it needs: sections of a unified kernel image, webops.slot= on a command line, slot header, hash tree.

Formats: PE/COFF; docs/FORMATS.md "Slot"; dm-verity without superblock (Documentation/admin-guide/device-mapper/verity.rst).
"""
import re
import struct
from dataclasses import dataclass
from hashlib import sha256

BLOCK = 4096
DIGESTS = BLOCK // 32
SLOT = re.compile(r"(?:^|\s)webops\.slot=([0-9a-f]{32}):([0-9]{1,12}):([0-9a-f]{64})(?=\s|$)")


def pe_sections(data):
    """{name: bytes} of a PE image; ValueError when a section runs past the end."""
    if data[:2] != b"MZ" or len(data) < 64:
        raise ValueError("no MZ header")
    (at,) = struct.unpack_from("<I", data, 60)
    if data[at : at + 4] != b"PE\0\0" or at + 24 > len(data):
        raise ValueError("no PE header")
    count, optional = struct.unpack_from("<H", data, at + 6)[0], struct.unpack_from("<H", data, at + 20)[0]
    found = {}
    for i in range(count):
        head = at + 24 + optional + 40 * i
        if head + 40 > len(data):
            raise ValueError("the table of sections ends behind the file")
        name = data[head : head + 8].rstrip(b"\0").decode("ascii", "replace")
        virtual, _, raw, start = struct.unpack_from("<IIII", data, head + 8)
        if start + raw > len(data):
            raise ValueError(f"section {name} ends behind the file")
        found[name] = data[start : start + min(raw, virtual or raw)]
    return found


@dataclass(frozen=True)
class Wanted:
    """What a command line asks for."""

    slot_id: str
    blocks: int
    root_hash: str


def wanted_slot(cmdline):
    found = SLOT.findall(cmdline)
    return Wanted(found[0][0], int(found[0][1]), found[0][2]) if len(found) == 1 else None


def uki_wants(data):
    sections = pe_sections(data)
    for name in (".linux", ".initrd", ".cmdline"):
        if not sections.get(name):
            raise ValueError(f"no section {name}")
    return wanted_slot(sections[".cmdline"].rstrip(b"\0").decode("ascii", "replace"))


def header_id(block):
    """The slot id of a header block, hex; None when this is no header or its id is not that of its bytes."""
    if block[:8] != b"WEBOPSSL":
        return None
    own = block[16:32]
    return own.hex() if sha256(block[:16] + bytes(16) + block[32:]).digest()[:16] == own else None


class SlotTree:
    """The hash tree over the first `blocks` blocks of a partition, kept up to date: only blocks that changed are hashed again."""

    def __init__(self, disk, partition, blocks):
        self.disk, self.first, self.blocks = disk, partition.offset // BLOCK, blocks
        sizes = [blocks]
        while sizes[-1] > 1:
            sizes.append((sizes[-1] + DIGESTS - 1) // DIGESTS)
        # levels[n]: the digests of level n's blocks, padded with zeros to whole blocks; level 0 are the data blocks
        self.levels = [bytearray((size * 32 + BLOCK - 1) // BLOCK * BLOCK) for size in sizes]
        self.dirty = set(range(blocks))
        self.tree_changed = True
        self.tree_matches = False
        disk.listeners.append(self.changed)

    def changed(self, page):
        block = page - self.first
        if 0 <= block < self.blocks:
            self.dirty.add(block)
        elif self.blocks <= block < self.blocks + sum(len(level) for level in self.levels) // BLOCK:
            self.tree_changed = True

    def root(self):
        """The root hash of what is on the disk now."""
        if self.dirty:
            self.tree_changed = True
        dirty = self.dirty
        for number, level in enumerate(self.levels):
            for block in dirty:
                data = self.disk.page(self.first + block) if number == 0 else self.levels[number - 1][block * BLOCK : (block + 1) * BLOCK]
                level[block * 32 : block * 32 + 32] = sha256(data).digest()
            dirty = {block // DIGESTS for block in dirty}
        self.dirty = set()
        return bytes(self.levels[-1][:32]).hex()

    def verify(self, root_hash):
        """Would dm-verity read every block: data and the tree that lies behind it."""
        if self.root() != root_hash:
            return False
        if self.tree_changed:
            stored = b"".join(bytes(level) for level in reversed(self.levels[:-1]))
            self.tree_matches = self.disk.read((self.first + self.blocks) * BLOCK, len(stored)) == stored
            self.tree_changed = False
        return self.tree_matches


class Slots:
    """Which partition has a wanted generation, and whether all of it is right."""

    def __init__(self, disk):
        self.disk, self.trees = disk, {}

    def find(self, wanted):
        """'a', 'b' or None, as the init looks: the first whose header carries the id."""
        for name in ("a", "b"):
            partition = self.disk.partitions.get(f"webops-{name}")
            if partition and header_id(self.disk.read(partition.offset, BLOCK)) == wanted.slot_id:
                return name
        return None

    def verify(self, name, wanted):
        partition = self.disk.partitions[f"webops-{name}"]
        if not 0 < wanted.blocks <= partition.size // BLOCK:
            return False
        key = name, wanted.blocks
        if key not in self.trees:
            self.trees[key] = SlotTree(self.disk, partition, wanted.blocks)
        return self.trees[key].verify(wanted.root_hash)
