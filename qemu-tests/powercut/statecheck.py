# SPDX-License-Identifier: Apache-2.0
"""The state partition of a disk: e2fsck as the init runs it, then everything again; and what our own records on it look like."""
import os
import shutil
import struct
import subprocess

from .disk import PAGE

TOOLS = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def extract(disk, path):
    """The partition as a sparse file."""
    part = disk.partitions["webops-state"]
    grown = (disk.gpt() or disk.partitions).get("webops-state", part)
    with open(path, "wb") as out:
        for start, size in extents(disk, grown.offset, grown.size):
            out.seek(start - grown.offset)
            out.write(disk.read(start, size))
        out.truncate(grown.size)


def extents(disk, offset, size):
    """[(offset, bytes)] of what is in the base file or was written."""
    end, position = offset + size, offset
    while position < min(end, disk.base_size):
        try:
            start = os.lseek(disk.file.fileno(), position, os.SEEK_DATA)
        except OSError:
            break
        position = os.lseek(disk.file.fileno(), start, os.SEEK_HOLE)
        if start < end:
            start = max(start, offset) // PAGE * PAGE
            yield start, min(position, end) - start
    for page in sorted(disk.pages):
        if offset <= page * PAGE < end:
            yield page * PAGE, PAGE


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def mend(path):
    """What the init does first: a superblock of whose two sectors one is older gets its checksum, and is marked so that all is looked at."""
    with open(path, "r+b") as volume:
        volume.seek(1024)
        block = bytearray(volume.read(1024))
        state, features, checksum = struct.unpack_from("<H", block, 0x3A)[0], struct.unpack_from("<I", block, 0x64)[0], struct.unpack_from("<I", block, 0x3FC)[0]
        if block[0x38:0x3A] != b"\x53\xef" or not features & 0x400 or crc32c(block[:0x3FC]) == checksum:
            return
        struct.pack_into("<H", block, 0x3A, state | 2)
        struct.pack_into("<I", block, 0x3FC, crc32c(block[:0x3FC]))
        volume.seek(1024)
        volume.write(block)


def problems(disk, path, directory="/var/lib/webops/update"):
    """What is wrong after the repair that the init does at each start: [] when the file system is whole and our records can be read."""
    extract(disk, path)
    mend(path)
    first = subprocess.run(["e2fsck", "-p", path], env=TOOLS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if first.returncode > 1:
        return [f"state: e2fsck -p ended with {first.returncode}: {first.stdout.strip()[-300:]}"]
    second = subprocess.run(["e2fsck", "-fn", path], env=TOOLS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    found = [f"state: e2fsck -fn ended with {second.returncode}: {second.stdout.strip()[-300:]}"] if second.returncode else []
    out = path.with_suffix(".files")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump {directory} {out}", path], env=TOOLS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for file in out.rglob("*"):
        if file.is_file() and file.name != "lock" and file.suffix != ".part":  # a part of a bundle, checked by hash when it is used
            data = file.read_bytes()
            if b"\0" in data:
                found.append(f"state: {file.name} holds NUL bytes")
            elif data and not data.endswith(b"\n") and not file.name.startswith("."):
                found.append(f"state: {file.name} ends in the middle of a line")
    shutil.rmtree(out)
    return found
