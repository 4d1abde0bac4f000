# SPDX-License-Identifier: Apache-2.0
"""Where in its directory a boot entry's name stands. Firmware appends the new name behind the last one that was ever used; filler names (not
ending in .conf, so that no boot loader looks at them) bring that place to the edge of a sector or of a cluster.
"""
from . import fat
from .checker import Esp
from .disk import Disk
from .synthetic import tool

ENTRIES = "/loader/entries"
SECTOR_SLOTS = 16  # of 32 bytes
NAME_SLOTS = 2  # of a counted name: one long part and the short name


def next_slot(path):
    """(index of the first directory slot that was never used, slots per cluster) in loader/entries of a raw disk."""
    disk = Disk(path)
    esp = Esp(disk)
    directory = fat.find(esp.root, ENTRIES)
    _, index = esp.volume.free_slot(directory.cluster)
    slots = esp.volume.cluster_bytes // 32
    disk.close()
    return index, slots


# name → does a counted name that is appended at `index` lie there
LAYOUTS = {
    "one sector": lambda index, cluster: 0 < index % SECTOR_SLOTS < SECTOR_SLOTS - NAME_SLOTS,
    "sector edge": lambda index, cluster: index % SECTOR_SLOTS == 0 and index % cluster != 0,
    "across a sector edge": lambda index, cluster: index % SECTOR_SLOTS == SECTOR_SLOTS - 1 and (index + 1) % cluster != 0,
    "cluster edge": lambda index, cluster: index % cluster == 0,
    "across a cluster edge": lambda index, cluster: index % cluster == cluster - 1,
}


def fill(path, layout):
    """Adds filler names to a raw disk until the next name that is appended lies as `layout` says. Returns its index."""
    disk = Disk(path)
    volume = f"{path}@@{disk.partitions['esp'].offset}"
    disk.close()
    for number in range(100):
        index, cluster = next_slot(path)
        if LAYOUTS[layout](index, cluster):
            return index
        tool(["mcopy", "-o", "-i", volume, "-", f"::{ENTRIES}/PAD{number}"], input=b"")
    raise RuntimeError(f"{path}: no layout '{layout}' after 100 fillers")
