# SPDX-License-Identifier: Apache-2.0
"""A small disk with everything a generation needs, and logs of what tools did to it: for testing the checker without a virtual machine."""
import copy
import os
import struct
import subprocess
from hashlib import sha256

from . import writelog
from .disk import SECTOR, Disk
from .generation import BLOCK, DIGESTS

MIB = 1 << 20
SIZES = {"bios": 1, "esp": 40, "webops-a": 1, "webops-b": 1, "webops-state": 1}  # MiB
GRUB_CFG = b"""\
set slot=a
load_env --file /grub/env1 webops_slot webops_left
if [ "$webops_left" = "2" ]; then
  set webops_left=1
  if save_env --file /grub/env1 webops_left; then set slot=$webops_slot; fi
elif [ "$webops_left" = "1" ]; then
  set webops_left=0
  if save_env --file /grub/env1 webops_left; then set slot=$webops_slot; fi
fi
source /webops/$slot.cfg
if linux /webops/$slot.linux $webops_cmdline; then
  if initrd /webops/$slot.initrd; then boot; fi
fi
reboot
"""


def tree(data):
    """(hash tree as stored, root hash in hex)."""
    levels = [data]
    while len(levels[-1]) > BLOCK or len(levels) == 1:
        digests = b"".join(sha256(levels[-1][at : at + BLOCK]).digest() for at in range(0, len(levels[-1]), BLOCK))
        levels.append(digests.ljust((len(digests) + BLOCK - 1) // BLOCK * BLOCK, b"\0"))
    assert len(data) // BLOCK <= DIGESTS**2
    return b"".join(reversed(levels[1:])), sha256(levels[-1]).hexdigest()


class Fake:
    """A generation of `blocks` blocks and its boot files; `seed` makes its bytes."""

    def __init__(self, seed, blocks=160):
        head = bytearray(BLOCK)
        head[:8], head[32:33] = b"WEBOPSSL", bytes([seed])
        head[16:32] = sha256(head).digest()[:16]
        body = b"".join(sha256(bytes([seed]) + n.to_bytes(4, "little")).digest() * DIGESTS for n in range(blocks - 1))
        self.data = bytes(head) + body
        stored, root = tree(self.data)
        self.slot = self.data + stored
        self.cmdline = f"quiet webops.slot={head[16:32].hex()}:{blocks}:{root}"
        self.linux = bytes(0x1FE) + b"\x55\xaa\0\0HdrS" + bytes([seed]) * 5000
        self.initrd = bytes([seed + 1]) * 3000
        self.uki = pe({".cmdline": self.cmdline.encode(), ".initrd": self.initrd, ".linux": self.linux})
        self.cfg = f'set webops_cmdline="{self.cmdline}"\n'.encode()

    def entry(self, slot, version):
        return f"title test\nsort-key webops\nversion {version}\nefi /EFI/webops/{slot}.efi\n".encode()


def pe(sections):
    head = bytearray(b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 0, 0))
    at, body = 1024, b""
    for name, data in sections.items():
        head += struct.pack("<8sIIII16x", name.encode(), len(data), at, len(data), at + len(body))
        body += data
    return bytes(head).ljust(at, b"\0") + body


class Workshop:
    """A disk file, changed with mtools and direct writes; every change between two snapshots becomes log entries."""

    def __init__(self, directory, generation, *, esp_mib=40, sectors_per_cluster=1):
        self.base, self.path = directory / "base.raw", directory / "work.raw"
        self.entries, self.log = [], directory / "made.log"
        with open(self.path, "wb") as disk:
            disk.truncate((sum(SIZES.values()) - SIZES["esp"] + esp_mib + 2) * MIB)
        arguments, start = [], 1
        self.starts = {}
        for number, (name, size) in enumerate({**SIZES, "esp": esp_mib}.items(), 1):
            self.starts[name] = start
            arguments += ["-n", f"{number}:{start * 2048}:{(start + size) * 2048 - 1}", "-c", f"{number}:{name}"]
            start += size
        tool(["sgdisk", "-a", "2048", *arguments, self.path])
        tool(["mkfs.vfat", "-F", "32", "-s", sectors_per_cluster, "--invariant", f"--offset={2 * 2048}", self.path, str(esp_mib * 1024)])
        tool(["mmd", "-i", self.esp, *(f"::/{name}" for name in ("EFI", "EFI/BOOT", "EFI/systemd", "EFI/webops", "loader", "loader/entries", "grub", "webops"))])
        self.put("EFI/BOOT/BOOTX64.EFI", b"restart")
        self.put("EFI/systemd/systemd-bootx64.efi", b"loader")
        self.put("loader/loader.conf", b"timeout 0\n")
        self.put("grub/grub.cfg", GRUB_CFG)
        self.put("grub/env1", b"# GRUB Environment Block\nwebops_slot=b\nwebops_left=0\n".ljust(1024, b"#"))
        self.files("a", generation)
        self.put("loader/entries/a.conf", generation.entry("a", 1))
        self.slot("a", generation.slot)
        self.start()

    def clone(self, directory):
        """The same in another directory, nothing recorded."""
        other = copy.copy(self)
        other.base, other.path, other.log = directory / "base.raw", directory / "work.raw", directory / "made.log"
        tool(["cp", "--sparse=always", self.path, other.path])
        other.start()
        return other

    @property
    def esp(self):
        return f"{self.path}@@{2 * MIB}"

    def put(self, path, data):
        tool(["mcopy", "-o", "-i", self.esp, "-", f"::/{path}"], input=data)

    def remove(self, path):
        tool(["mdel", "-i", self.esp, f"::/{path}"])

    def rename(self, path, name):
        tool(["mren", "-i", self.esp, f"::/{path}", name])

    def files(self, slot, generation):
        self.put(f"EFI/webops/{slot}.efi", generation.uki)
        self.put(f"webops/{slot}.linux", generation.linux)
        self.put(f"webops/{slot}.initrd", generation.initrd)
        self.put(f"webops/{slot}.cfg", generation.cfg)

    def slot(self, name, data):
        with open(self.path, "r+b") as disk:
            disk.seek(self.starts[f"webops-{name}"] * MIB)
            disk.write(data)

    # Recording

    def start(self):
        """From here on changes are recorded."""
        tool(["cp", "--sparse=always", self.path, self.base])
        self.entries, self.last = [], self.path.read_bytes()

    def step(self, *, flush=True, backwards=False):
        """What changed since the last step becomes writes of neighbouring sectors, in the order of the disk, and a flush."""
        now, runs, at = self.path.read_bytes(), [], 0
        while at < len(now):
            if now[at : at + MIB] == self.last[at : at + MIB]:
                at += MIB
                continue
            for sector in range(at, at + MIB, SECTOR):
                if now[sector : sector + SECTOR] != self.last[sector : sector + SECTOR]:
                    if runs and runs[-1][1] == sector and sector - runs[-1][0] < 65536:
                        runs[-1][1] = sector + SECTOR
                    else:
                        runs.append([sector, sector + SECTOR])
            at += MIB
        runs = runs[::-1] if backwards else runs
        self.entries += [(first, now[first:end]) for first, end in runs]
        if flush:
            self.entries.append(None)
        self.last = now

    def recorded(self):
        """(disk at its start, log)."""
        with open(self.log, "wb") as log:
            log.write(writelog.SUPER.pack(writelog.MAGIC, 1, len(self.entries), SECTOR).ljust(SECTOR, b"\0"))
            for entry in self.entries:
                offset, data, flags = (entry[0], entry[1], 0) if entry else (0, b"", writelog.FLUSH)
                log.write(writelog.ENTRY.pack(offset // SECTOR, len(data) // SECTOR, flags, 0).ljust(SECTOR, b"\0") + data)
        return Disk(self.base), writelog.Log(self.log)


def tool(command, input=None):
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null", "TZ": "UTC", "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    done = subprocess.run(list(map(str, command)), input=input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    assert done.returncode == 0, f"{command}: {done.stdout.decode(errors='replace')}"
    return done.stdout
