# SPDX-License-Identifier: Apache-2.0
"""Bad generations: whatever is wrong with one, the machine returns to the old one by itself, in time, and can say why.

The old machine runs once and installs every kind, one over the other; after each its disk is kept as it is then: the bad generation written,
waiting for its first start. A scenario takes such a disk, damages it further if that is what it is about, switches the machine on, and waits.
"""
import dataclasses
import json
import re
import time
from typing import Callable

import generations
import pytest
from vm import LOGIN, LOGS, OUT, VM, WORKER, Access

pytestmark = pytest.mark.full  # in `make check`: test_update.py (a panic), test_image_test.py (a flipped bit), test_bootcount.py, test_secureboot.py
TRIES = 2
RETURN_SECONDS = 900  # a hang costs each try its deadline; reported, and bounded here for busy machines
CONFIG = "HOSTNAME=scenario\n" + LOGIN + f"""\
HEALTH_TIMEOUT=30
WATCHDOG_TIMEOUT=15
UPDATE_TRIES={TRIES}
"""
OLD = "webops: healthy: dev 2026.11.1 slot a"


class Slot:
    """Where things lie in slot b once the generation of `image` is there, from its own slot a."""

    def __init__(self, image):
        self.report = next(slot for slot in image.inspect()["slots"] if slot["name"] == "webops-a")
        self.root_hash = self.report["root_hash"].encode()

    def layer(self, share):
        base = self.report["layers"][0]
        return base["offset"] + int(base["bytes"] * share)

    def tree(self, share):
        return self.report["data_bytes"] + int(self.report["tree_bytes"] * share)


def flip_layer(disk, slot, bios):
    disk.flip("webops-b", slot.layer(2 / 3))


def flip_tree(disk, slot, bios):
    disk.flip("webops-b", slot.tree(2 / 3))


def zero_superblock(disk, slot, bios):
    disk.zero("webops-b", slot.layer(0), 96)


def zero_header(disk, slot, bios):
    disk.zero("webops-b", 0, 4096)


def truncate_kernel(disk, slot, bios):
    disk.edit("webops/b.linux" if bios else "EFI/webops/b.efi", lambda data: data[: len(data) // 2])


def empty_kernel(disk, slot, bios):
    disk.edit("webops/b.linux" if bios else "EFI/webops/b.efi", lambda data: b"")


def truncate_initramfs(disk, slot, bios):
    if bios:
        disk.edit("webops/b.initrd", lambda data: data[: len(data) // 2])
    else:  # the same hole in the middle of the section
        disk.edit("EFI/webops/b.efi", lambda data: holed(data, b".initrd"))


def holed(uki, name):
    """The second half of a section of a UKI, zeroed: its header says where it lies (PE format, section table)."""
    at = uki.index(name.ljust(8, b"\0"))
    size, offset = (int.from_bytes(uki[at + field : at + field + 4], "little") for field in (16, 20))
    return uki[: offset + size // 2] + bytes(size - size // 2) + uki[offset + size :]


def wrong_root_hash(disk, slot, bios):
    other = slot.root_hash[:-1] + (b"0" if slot.root_hash[-1:] != b"0" else b"1")
    disk.edit("webops/b.cfg" if bios else "EFI/webops/b.efi", lambda data: data.replace(slot.root_hash, other))


@dataclasses.dataclass
class Kind:
    name: str
    why: str  # what `webops why` has to say, as a regular expression over "stage: check: reason"
    recipe: dict = dataclasses.field(default_factory=lambda: {"layer": "next"})
    damage: Callable = None

    @property
    def generation(self):
        return "next" if self.damage else self.name

    @property
    def has_log(self):
        """It came as far as a journal on state, whose last lines are kept."""
        return self.why.startswith("health: ") and not self.damage


KINDS = [
    Kind("flipped-layer", "health: slot-integrity", damage=flip_layer),
    # What the damaged block of hashes covers depends on the image's layout: something that the init reads, or not.
    Kind("flipped-tree", "health: slot-integrity|init: the slot is damaged", damage=flip_tree),
    Kind("missing-header", "init: .*slot", damage=zero_header),
    Kind("unmountable", "init: ", damage=zero_superblock),
    Kind("wrong-root-hash", r"boot loader: .*b\.(efi|cfg)", damage=wrong_root_hash),
    Kind("truncated-kernel", r"boot loader: .*b\.(efi|linux)", damage=truncate_kernel),
    Kind("empty-kernel", r"boot loader: .*b\.(efi|linux)", damage=empty_kernel),
    Kind("truncated-initramfs", r"boot loader: .*b\.(efi|initrd)", damage=truncate_initramfs),
    Kind("panic", "kernel: ", {"cmdline": "rdinit=/missing"}),
    Kind("hang-early", "start: deadline", {"layer": "bad-hang-early"}),
    Kind("hang-pid1", "start: .*watchdog", {"layer": "bad-hang-pid1"}),
    Kind("target", "start: deadline", {"layer": "bad-target"}),
    Kind("health", "health: sshd", {"layer": "bad-health"}),
    Kind("network", "health: network", {"layer": "bad-network"}),
    Kind("state", "health: state", {"layer": "bad-state"}),
    Kind("webops", "start: .*never came as far as webops", {"layer": "bad-webops"}),
]
CASES = [
    pytest.param(kind, firmware, id=f"{kind.name}-{firmware}",
                 marks=pytest.mark.xdist_group(f"bad-{firmware}"))
    for kind in KINDS
    for firmware in ("uefi", "bios")
]


class Prepared:
    def __init__(self, image, kinds):
        self.access, self.disks, self.images = Access(), {}, {}
        self.dir = generations.chain(OUT / f"bad-{WORKER}")
        bundles = {}
        for kind in kinds:
            if kind.generation not in bundles:
                built = generations.build(kind.generation, 2, **kind.recipe)
                self.images[kind.generation], bundles[kind.generation] = built, generations.bundle(built)
        self.install(image, bundles)

    def install(self, image, bundles):
        disk = self.dir / "0.qcow2"
        with VM(f"bad-prepare-{WORKER}", image.raw, config=CONFIG, keep=disk, extra=generations.disk_arguments(bundles), access=self.access, keep_access=True) as vm:
            vm.wait_healthy()
            vm.root("echo precious >/srv/data")
            for number, name in enumerate(bundles, 1):
                vm.root(f"webops update {generations.device(name)}", timeout=600)
                vm.root("sync")
                self.disks[name] = disk
                disk = self.dir / f"{number}.qcow2"
                vm.qmp("blockdev-snapshot-sync", **{"device": "disk", "snapshot-file": str(disk), "format": "qcow2"})

    def slot(self, kind):
        return Slot(self.images[kind.generation])


@pytest.fixture(scope="module")
def prepared(request, image):
    """Only what this run's selection needs."""
    chosen = [item.callspec.params["kind"] for item in request.session.items if "prepared" in getattr(item, "fixturenames", ()) and hasattr(item, "callspec")]
    made = Prepared(image, chosen)
    yield made
    made.access.close()


def wait_for_verdict(vm):
    """Until the old slot has written down what became of the trial: spent tries make the entry bad before that."""
    deadline = time.monotonic() + 120
    while True:
        told, status = vm.root("webops why --json", check=False).stdout, vm.status()
        if time.monotonic() > deadline or ('"stage"' in told and status["slots"]["b"]["state"] == "bad"):
            return status
        time.sleep(2)


def returns(vm, kind, firmware, seconds=RETURN_SECONDS):
    """The machine was just switched on with the bad generation waiting; it must end on the old one."""
    vm.wait_console(OLD, timeout=seconds, never=("webops: healthy: dev 2026.12",))
    took = time.monotonic() - vm.started
    kernels = vm.console().count("Linux version ")
    status = wait_for_verdict(vm)
    told = json.loads(vm.root_out("webops why --json"))
    why = ": ".join(told[name] for name in ("stage", "check", "reason") if told[name])
    with open(LOGS / "bad-generations.jsonl", "a", encoding="utf-8") as log:
        log.write(json.dumps({"kind": kind.name, "firmware": firmware, "seconds": round(took, 1), "kernels": kernels, "why": why}) + "\n")
    assert re.search(kind.why, why), why
    assert told["log"] or not kind.has_log, told
    assert kernels <= TRIES + 1
    assert status["slot"] == "a" and status["slots"]["a"]["state"] == "good" and status["slots"]["b"]["state"] == "bad", status["slots"]
    assert status["health"]["healthy"] is True
    assert vm.root_out("cat /srv/data") == "precious"


@pytest.mark.parametrize("kind, firmware", CASES)
def test_returns_to_the_old_generation(prepared, kind, firmware):
    source, bios, damaged = prepared.disks[kind.generation], firmware == "bios", None
    if kind.damage:
        damaged = generations.Disk(source, prepared.dir / f"{kind.name}.raw")
        kind.damage(damaged, prepared.slot(kind), bios)
    try:
        with VM(f"bad-{kind.name}-{firmware}", damaged.path if damaged else source, bios=bios, disk_size=None, access=prepared.access, keep_access=True) as vm:
            returns(vm, kind, firmware)
    finally:
        if damaged:
            damaged.close()
