# SPDX-License-Identifier: Apache-2.0
"""Disks for boot loader scenarios: files on the ESP changed with mtools, boot environments, and a kernel that only says that it was started."""
import os
import re
import struct
import subprocess
import time

from vm import ACCEL, CPU, LOGS, ROOT

MTOOLS = {**os.environ, "MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null", "TZ": "UTC"}
ENVIRONMENT_BYTES = 1024
SECTOR = 512


def partition(disk, number):
    """Offset and size of a partition, from the table at the disk's start."""
    with open(disk, "rb") as file:
        file.seek(2 * SECTOR + 128 * (number - 1))
        first, last = struct.unpack_from("<QQ", file.read(128), 32)
    return first * SECTOR, (last - first + 1) * SECTOR


class Esp:
    """Files on the ESP of a raw disk image."""

    def __init__(self, disk):
        self.image = f"{disk}@@{partition(disk, 2)[0]}"

    def _run(self, tool, *arguments, **options):
        return subprocess.run([tool, "-i", self.image, *arguments], env=MTOOLS, check=True, capture_output=True, **options).stdout

    def write(self, path, data):
        self._run("mcopy", "-o", "-", f"::{path}", input=data)

    def read(self, path):
        return self._run("mtype", f"::{path}")

    def remove(self, path):
        self._run("mdel", f"::{path}")

    def names(self, directory):
        return sorted(line.rsplit("/", 1)[1] for line in self._run("mdir", "-b", f"::{directory}", text=True).split())


def environment(number, good, trial="-", left=0, done=0, **changes):
    """A boot environment as docs/FORMATS.md describes it; `changes` replaces values after the check value was made."""
    values = {"number": number, "good": good, "trial": trial, "left": left, "done": done, "check": f"{number}:{good}:{trial}:{left}:{done}", **changes}
    text = "# GRUB Environment Block\n" + "".join(f"webops_{key}={value}\n" for key, value in values.items())
    return text.encode().ljust(ENVIRONMENT_BYTES, b"#")


def kernel(directory):
    """doubles/kernel.S behind the header of the x86 boot protocol, version 2.12."""
    subprocess.run(["as", "--32", "-o", directory / "kernel.o", ROOT / "qemu-tests" / "doubles" / "kernel.S"], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", directory / "kernel.o", directory / "kernel.bin"], check=True)
    code = (directory / "kernel.bin").read_bytes().ljust(SECTOR, b"\0")
    setup = bytearray(2 * SECTOR)
    fields = [("<B", 0x1F1, 1), ("<I", 0x1F4, len(code) // 16), ("<H", 0x1FE, 0xAA55), ("<4s", 0x202, b"HdrS"), ("<H", 0x206, 0x20C), ("<B", 0x211, 1),
              ("<I", 0x214, 0x100000), ("<I", 0x22C, 0x7FFFFFFF), ("<I", 0x230, 0x1000), ("<I", 0x238, 2047), ("<I", 0x260, 0x10000)]
    for form, offset, value in fields:
        struct.pack_into(form, setup, offset, value)
    return bytes(setup) + code


class Loader:
    """QEMU without anything but a disk: the boot loader's own console."""

    def __init__(self, name, disk, *, firmware=(), memory=64, read_only=False):
        LOGS.mkdir(parents=True, exist_ok=True)
        self.name, self.serial = name, LOGS / f"loader-{name}.log"
        self.serial.write_bytes(b"")
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "q35", "-accel", ACCEL, "-cpu", CPU, "-m", str(memory), "-display", "none", "-net", "none",
             "-monitor", "none", "-serial", f"file:{self.serial}", *firmware,
             "-drive", f"file={disk},format=raw,if=virtio,readonly={'on' if read_only else 'off'}"], stdin=subprocess.DEVNULL)

    def console(self):
        """Text without the terminal's control sequences."""
        return re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", self.serial.read_text(errors="replace").replace("\r", "\n"))

    def wait(self, pattern, count, timeout):
        """The first `count` matches."""
        deadline = time.monotonic() + timeout
        while len(found := re.findall(pattern, self.console(), re.MULTILINE)) < count:
            assert self.process.poll() is None, f"{self.name}: QEMU ended; console in {self.serial}"
            assert time.monotonic() < deadline, f"{self.name}: {found} after {timeout} s; console in {self.serial}"
            time.sleep(0.05)
        return found[:count]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
