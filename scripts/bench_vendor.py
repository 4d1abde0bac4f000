#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long a build takes, and how much memory all its processes together: made for profiles on a vendor's disk (docs/VENDOR-IMAGES.md).

Usage: scripts/bench_vendor.py PROFILE OUT-DIR      (the build takes everything anew, in a cache of its own beside OUT-DIR)

Resident memory of the build's process tree is added up ten times a second, so pages that several share count several times. QEMU, which is libguestfs'
appliance, is counted apart.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import time

PROGRAM = pathlib.Path(__file__).resolve().parent.parent / "build" / "webops-image"


def processes():
    """Every process: number → (parent, name, resident bytes)."""
    found = {}
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = pathlib.Path("/proc", number, "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # it ended
            continue
        name, rest = stat[stat.index("(") + 1:stat.rindex(")")], stat[stat.rindex(")") + 2:].split()
        found[int(number)] = (int(rest[1]), name, int(rest[21]) * os.sysconf("SC_PAGE_SIZE"))
    return found


def tree_memory(root):
    """Bytes of the processes below `root` and itself: of QEMU, and of all others."""
    found = processes()
    appliance = others = 0
    for number, (_, name, resident) in found.items():
        at = number
        while at in found and at != root:
            at = found[at][0]
        if at == root:
            if name.startswith("qemu-system"):
                appliance += resident
            else:
                others += resident
    return appliance, others


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[2])
    cache = out.with_name(out.name + ".cache")
    for directory in (out, cache):
        shutil.rmtree(directory, ignore_errors=True)
    start, appliance, others = time.monotonic(), 0, 0
    with subprocess.Popen([PROGRAM, "build", sys.argv[1], "-o", out], env={**os.environ, "WEBOPS_CACHE": str(cache)}) as build:
        while build.poll() is None:
            now = tree_memory(build.pid)
            appliance, others = max(appliance, now[0]), max(others, now[1])
            time.sleep(0.1)
    shutil.rmtree(cache, ignore_errors=True)
    print(f"{time.monotonic() - start:.1f} s; peak memory {others / (1 << 20):.0f} MiB, appliance {appliance / (1 << 20):.0f} MiB; load {os.getloadavg()[0]:.1f}")
    return build.returncode


if __name__ == "__main__":
    sys.exit(main())
