# SPDX-License-Identifier: Apache-2.0
"""The group of scripts/bench that measures how fast an image gets onto a disk: flash, beside dd and bmaptool on the same loop device.

The image has 6 GiB, of which 900 MiB are data; half of that compresses. All runs read it from the page cache. bmaptool does not read back, so
its ranges are read past the cache and hashed here, as `webops-image flash` does with its own; dd is timed without any reading back.
"""
import hashlib
import mmap
import os
import statistics
import subprocess
import time

from vm import loop

MIB = 1 << 20
IMAGE_BYTES, PIECE = 6 << 30, 4 * MIB
EXTENTS = ((1 * MIB, 1 * MIB), (2 * MIB, 40 * MIB), (600 * MIB, 800 * MIB), (5000 * MIB, 59 * MIB))


def make_image(bench):
    raw = bench.WORK / "flash-1.raw"
    with open(raw, "wb") as file:
        file.truncate(IMAGE_BYTES)
        for offset, size in EXTENTS:
            file.seek(offset)
            for _ in range(size // MIB):
                file.write(os.urandom(MIB // 2) + bytes(range(256)) * (MIB // 512))
    bench.run("sgdisk", "--new=1:1M:+1M", "--new=2:2M:+512M", "--new=3:600M:+4G", "--new=4:5000M:0", raw)
    bench.run("bmaptool", "-q", "create", "-o", raw.with_suffix(".bmap"), raw)
    bench.run("zstd", "-q", "-f", "-3", raw, "-o", f"{raw}.zst")
    return raw


def ranges(bmap):
    for line in bmap.read_text().splitlines():
        if "<Range" in line:
            blocks = line.split(">")[1].split("<")[0].strip().split("-")
            yield int(blocks[0]) * 4096, (int(blocks[-1]) + 1) * 4096, line.split('"')[1]


def read_back(bmap, device):
    fd, memory = os.open(device, os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, PIECE)
    for begin, end, wanted in ranges(bmap):
        digest = hashlib.sha256()
        for offset in range(begin, end, PIECE):
            size = min(PIECE, end - offset)
            if os.preadv(fd, [memoryview(memory)[:size]], offset) != size:
                raise SystemExit(f"bench: {device} ends early")
            digest.update(memoryview(memory)[:size])
        if digest.hexdigest() != wanted:
            raise SystemExit("bench: bmaptool's disk is not the image")
    os.close(fd)


def timed(action):
    subprocess.run(["sync"], check=True)
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def bench_flash(bench, runs):
    raw = make_image(bench)
    zst, bmap, disk = f"{raw}.zst", raw.with_suffix(".bmap"), bench.WORK / "flash-disk"
    with open(disk, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, IMAGE_BYTES + (1 << 30))
    took = {}
    with loop(disk) as device:
        def bmaptool(source):
            bench.run("bmaptool", "-q", "copy", "--bmap", bmap, source, device)
            read_back(bmap, device)

        ways = {"dd": lambda: bench.run("dd", f"if={raw}", f"of={device}", "bs=4M", "conv=fsync,notrunc"),
                "bmaptool": lambda: bmaptool(raw), "flash": lambda: bench.run(bench.PROGRAM, "flash", raw, device, "--yes"),
                "bmaptool zst": lambda: bmaptool(zst), "flash zst": lambda: bench.run(bench.PROGRAM, "flash", zst, device, "--yes")}
        for _ in range(runs):
            for name, way in ways.items():
                took.setdefault(name, []).append(timed(way))
    middle = {name: statistics.median(seconds) for name, seconds in took.items()}
    for path in (raw, disk, bmap, zst):
        os.unlink(path)
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in middle.items())
    bench.row("flash of 6 GiB with 900 MiB of data to a loop device, read back: speed by `dd` of the raw file, not read back",
              f"{middle['dd'] / middle['flash']:.1f} × (seconds: {seconds})", "≥ 3 ×")
    bench.row("the same by bmaptool, read back", f"{middle['bmaptool'] / middle['flash']:.2f} ×", "≥ 1 ×")
    bench.row("the same from zstd", f"{middle['bmaptool zst'] / middle['flash zst']:.2f} ×", "≥ 1 ×")


def benches(bench):
    return {"flash": lambda runs: bench_flash(bench, runs)}
