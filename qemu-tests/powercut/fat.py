# SPDX-License-Identifier: Apache-2.0
"""A reader of FAT32 that is as strict as a boot loader and tells what fsck would: names, chains, cross links, lost clusters.

Specification: Microsoft's "FAT: General Overview of On-Disk Format" 1.03. Nothing is written.
"""
import struct
from array import array
from dataclasses import dataclass, field

DIRECTORY, VOLUME, LONG_NAME = 0x10, 0x08, 0x0F
END = 0x0FFFFFF8


class FatError(Exception):
    """What a driver would call a corrupt volume."""


@dataclass
class Node:
    name: str
    is_directory: bool
    cluster: int
    size: int
    at: int  # offset in the volume of the first of its directory slots
    slots: int  # of 32 bytes: long name parts and the short name
    children: dict = field(default_factory=dict)  # by lower-case name


class Volume:
    """`read(offset, size)` reads the volume."""

    def __init__(self, read):
        self.read = read
        boot = read(0, 512)
        if boot[510:] != b"\x55\xaa":
            raise FatError("no boot sector")
        (self.sector, self.per_cluster, self.reserved, self.fats) = struct.unpack_from("<HBHB", boot, 11)
        (sectors, self.fat_sectors) = struct.unpack_from("<II", boot, 32)
        (self.root,) = struct.unpack_from("<I", boot, 44)
        if self.sector != 512 or not self.per_cluster or not self.fats or not self.fat_sectors or boot[22:24] != b"\0\0":
            raise FatError("no FAT32")
        self.cluster_bytes = self.sector * self.per_cluster
        self.fat_at = self.reserved * self.sector
        self.data_at = self.fat_at + self.fats * self.fat_sectors * self.sector
        self.clusters = (sectors * self.sector - self.data_at) // self.cluster_bytes
        self.load_fat()

    def load_fat(self):
        self.fat_bytes = self.read(self.fat_at, (self.clusters + 2) * 4)
        self.fat = array("I", self.fat_bytes)
        return self.fat

    def cluster_at(self, cluster):
        return self.data_at + (cluster - 2) * self.cluster_bytes

    def runs(self, cluster, what):
        """The chain from `cluster` as [(first cluster, count)]."""
        runs, total = [], 0
        ascending = ascending_bytes(self.clusters + 2)
        while True:
            if not 2 <= cluster < self.clusters + 2:
                raise FatError(f"{what}: the chain leads to cluster {cluster:#x}")
            count = contiguous(self.fat_bytes, ascending, cluster, self.clusters + 2)
            runs.append((cluster, count))
            total += count
            if total > self.clusters:
                raise FatError(f"{what}: the chain is a loop")
            cluster = self.fat[cluster + count - 1] & 0x0FFFFFFF
            if cluster >= END:
                return runs

    def content_runs(self, node):
        """[(offset in the volume, bytes)] of a file, cut to its size."""
        left, found = node.size, []
        if left and node.cluster == 0:
            raise FatError(f"{node.name}: {left} bytes without a cluster")
        for cluster, count in self.runs(node.cluster, node.name) if left else []:
            length = min(left, count * self.cluster_bytes)
            if length:
                found.append((self.cluster_at(cluster), length))
            left -= length
        if left:
            raise FatError(f"{node.name}: the chain ends {left} bytes too early")
        return found

    def content(self, node):
        return b"".join(self.read(at, length) for at, length in self.content_runs(node))

    def list(self, cluster, what):
        """The nodes of one directory, in their order on disk."""
        slots = []
        for first, count in self.runs(cluster, what):
            at = self.cluster_at(first)
            data = self.read(at, count * self.cluster_bytes)
            slots += [(at + i, data[i : i + 32]) for i in range(0, len(data), 32)]
        return parse_slots(slots)

    def tree(self):
        """The root node with everything below it. A directory that cannot be read raises FatError."""
        root = Node("/", True, self.root, 0, 0, 0)
        seen = set()
        pending = [root]
        while pending:
            directory = pending.pop()
            if directory.cluster in seen:
                raise FatError(f"{directory.name}: two names for one directory")
            seen.add(directory.cluster)
            for node in self.list(directory.cluster, directory.name):
                directory.children.setdefault(node.name.lower(), node)
                if node.is_directory:
                    pending.append(node)
        return root

    def free_slot(self, cluster, what="directory"):
        """(offset, index) of the first slot behind the last one that is used; where firmware puts a new name."""
        index, at = 0, self.cluster_at(cluster)
        for first, count in self.runs(cluster, what):
            at = self.cluster_at(first)
            data = self.read(at, count * self.cluster_bytes)
            for i in range(0, len(data), 32):
                if data[i] == 0:
                    return at + i, index
                index += 1
        return None, index


def find(root, path):
    """The node at a path, as firmware looks for it: any case, \\ or /. None when there is none."""
    node = root
    for part in path.replace("\\", "/").split("/"):
        if part:
            node = node.children.get(part.lower()) if node.is_directory else None
            if node is None:
                return None
    return node


def walk(node, path=""):
    for child in node.children.values():
        name = f"{path}/{child.name}"
        yield name, child
        if child.is_directory:
            yield from walk(child, name)


_ascending = {}


def ascending_bytes(count):
    if count not in _ascending:
        _ascending[count] = array("I", range(1, count + 1)).tobytes()
    return _ascending[count]


def contiguous(fat, ascending, cluster, end):
    """How many clusters from `cluster` on follow each other on disk, by comparing the table with 1, 2, 3 …, in doubling steps."""
    count, step = 1, 64
    while cluster + count < end:
        step = min(step, end - cluster - count)
        start = 4 * (cluster + count - 1)
        if fat[start : start + 4 * step] == ascending[start : start + 4 * step]:
            count += step
            step *= 2
        elif step == 1:
            break
        else:
            step = max(1, step // 4)
            if step == 1 and fat[start : start + 4] != ascending[start : start + 4]:
                break
    return count


def short_checksum(name):
    total = 0
    for byte in name:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total


def short_name(slot):
    base, extension = slot[0:8].rstrip(b" "), slot[8:11].rstrip(b" ")
    if base[:1] == b"\x05":
        base = b"\xe5" + base[1:]
    base, extension = base.decode("cp437"), extension.decode("cp437")
    base = base.lower() if slot[12] & 0x08 else base
    extension = extension.lower() if slot[12] & 0x10 else extension
    return f"{base}.{extension}" if extension else base


def parse_slots(slots):
    """Directory slots [(offset, 32 bytes)] → nodes. Long name parts without their short name are debris of a cut and are skipped."""
    nodes, parts, start, check = [], [], 0, 0
    for at, slot in slots:
        if slot[0] == 0:
            break
        if slot[0] == 0xE5:
            parts = []
            continue
        if slot[11] & 0x3F == LONG_NAME:
            order = slot[0]
            if order & 0x40:
                parts, start, check = [], at, slot[13]
                wanted = order & 0x1F
            elif not parts or order != wanted - len(parts) or slot[13] != check:
                parts = []
                continue
            parts.append(slot[1:11] + slot[14:26] + slot[28:32])
            continue
        if slot[11] & VOLUME:
            parts = []
            continue
        name = short_name(slot)
        is_long = parts and len(parts) == wanted and check == short_checksum(slot[:11])
        if is_long:
            name = b"".join(reversed(parts)).decode("utf-16-le", "replace").split("\0")[0]
        high, low = struct.unpack_from("<H", slot, 20)[0], struct.unpack_from("<H", slot, 26)[0]
        size = struct.unpack_from("<I", slot, 28)[0]
        if name not in (".", ".."):
            nodes.append(Node(name, bool(slot[11] & DIRECTORY), high << 16 | low, size, start if is_long else at, len(parts) + 1 if is_long else 1))
        parts = []
    return nodes


@dataclass
class Audit:
    cross_linked: list  # pairs of paths that share a cluster
    broken: list  # files whose chain cannot be followed
    lost: int  # clusters that belong to no name
    fats_differ: bool


def audit(volume, root):
    """What fsck would say."""
    intervals, broken = [], []
    for path, node in [("/", root), *walk(root)]:
        if node.cluster == 0:
            continue
        try:
            for first, count in volume.runs(node.cluster, path):
                intervals.append((first, first + count, path))
        except FatError:
            broken.append(path)
    intervals.sort()
    cross, reach, owner, used = [], 0, "", 0
    for first, end, path in intervals:
        if first < reach:
            cross.append((owner, path))
        if end > reach:
            used += end - max(first, reach)
            reach, owner = end, path
    taken = volume.clusters - volume.fat[2:].count(0)
    second = volume.read(volume.fat_at + volume.fat_sectors * volume.sector, len(volume.fat_bytes)) if volume.fats > 1 else volume.fat_bytes
    return Audit(cross, broken, taken - used, second[8:] != volume.fat_bytes[8:])
