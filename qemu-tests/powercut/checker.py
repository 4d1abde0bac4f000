# SPDX-License-Identifier: Apache-2.0
"""Judges one state of a disk: which generation would run on it, under either firmware, and what is damaged.

A generation counts as bootable only if everything from the boot entry to the last block of its slot is right: entry → kernel image (equal to the
generation's own, byte by byte) → webops.slot= → slot header → data and hash tree. What the loader would do after failed tries is followed to its end.
"""
from dataclasses import dataclass, field
from hashlib import sha256

from . import fat, grub, systemdboot
from .generation import Slots, uki_wants, wanted_slot

SMALL = 65536
MAX_STARTS = 16
LOADERS = ("/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi", "/loader/loader.conf", "/grub/grub.cfg")


@dataclass(frozen=True)
class File:
    """What is known of a file on the ESP."""

    size: int
    digest: str
    head: bytes  # all of a small file, the first KiB of others
    wanted: object  # Wanted of a UKI, else None


class Esp:
    """The files of a disk's ESP as they are now. Contents are hashed once per content, not once per state."""

    cache = {}

    def __init__(self, disk):
        self.disk, self.partition = disk, disk.partitions["esp"]
        self.volume = fat.Volume(lambda offset, size: disk.read(self.partition.offset + offset, size))
        self.root = self.volume.tree()

    def file(self, path):
        """None when it is not there; FatError when it is and cannot be read."""
        node = fat.find(self.root, path)
        if node is None or node.is_directory:
            return None
        runs = self.volume.content_runs(node)
        ranges = [(self.partition.offset + at, size) for at, size in runs]
        key = id(self.disk), tuple(ranges), self.disk.range_print(ranges)
        if key not in self.cache:
            self.cache[key] = describe(b"".join(self.disk.read(at, size) for at, size in ranges))
        return self.cache[key]

    def names(self, path):
        node = fat.find(self.root, path)
        return [child.name for child in node.children.values() if not child.is_directory] if node else []


def describe(data):
    wanted = None
    if data[:2] == b"MZ":
        try:
            wanted = uki_wants(data)
        except ValueError:
            pass
    return File(len(data), sha256(data).hexdigest(), data if len(data) <= SMALL else data[:1024], wanted)


@dataclass(frozen=True)
class Generation:
    """What a generation's files are, taken from the image it was baked into. `files` {path suffix: SHA-256}."""

    name: str
    uki: str
    linux: str
    initrd: str
    wanted: object

    @classmethod
    def of(cls, name, disk, slot="a"):
        """As found on a whole disk."""
        esp = Esp(disk)
        uki = esp.file(f"/EFI/webops/{slot}.efi")
        return cls(name, uki.digest, esp.file(f"/webops/{slot}.linux").digest, esp.file(f"/webops/{slot}.initrd").digest, uki.wanted)


@dataclass
class Verdict:
    """`runs` {"uefi": name of the generation that runs in the end, or None, "bios": …}; `first` is what is tried first, `starts` after how many
    starts the running one is reached, `fallback` where the loader ends when the first one never gets healthy. `problems` break the promise."""

    runs: dict = field(default_factory=dict)
    first: dict = field(default_factory=dict)
    starts: dict = field(default_factory=dict)
    fallback: dict = field(default_factory=dict)
    counted: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)
    notes: list = field(default_factory=list)  # debris: cross-linked or broken without any effect on what runs
    lost: int = 0  # bytes in clusters that belong to no name


class Judge:
    """Judges states of one disk. `generations` are those that may run; `kept` are paths whose content must never change, `guarded` slots
    ("a") whose partition must never be written."""

    def __init__(self, disk, generations, *, kept=(), guarded=()):
        self.disk, self.generations, self.slots = disk, generations, Slots(disk)
        esp = Esp(disk)
        self.kept = {path: esp.file(path).digest for path in (*LOADERS, *kept) if esp.file(path)}
        self.guarded = guarded
        self.boot_code = self.loader_code()
        self.seen = {}

    def loader_code(self):
        return self.disk.page(0)[:440], self.disk.prints.get("bios", 0)

    def judge(self):
        """The verdict; states that are the same but for the state partition are judged once."""
        key = self.disk.fingerprint()
        if key not in self.seen:
            self.seen[key] = self._judge()
        return self.seen[key]

    def _judge(self):
        verdict = Verdict()
        if self.loader_code() != self.boot_code:
            verdict.problems.append("GRUB's code changed")
        partitions = self.disk.gpt()
        if partitions is None:
            verdict.problems.append("no partition table")
            return verdict
        for name in self.guarded:
            if self.disk.prints.get(f"webops-{name}"):
                verdict.problems.append(f"slot {name} was written to")
        try:
            esp = Esp(self.disk)
        except fat.FatError as error:
            verdict.problems.append(f"ESP: {error}")
            return verdict
        for path, digest in self.kept.items():
            self._check_kept(esp, path, digest, verdict)
        self._follow(verdict, "uefi", lambda broken: self._run_uefi(esp, broken))
        self._follow(verdict, "bios", lambda broken: self._run_bios(esp, broken))
        self._audit(esp, verdict)
        return verdict

    @staticmethod
    def _check_kept(esp, path, digest, verdict):
        try:
            file = esp.file(path)
        except fat.FatError as error:
            verdict.problems.append(str(error))
            return
        if file is None or file.digest != digest:
            verdict.problems.append(f"{path} {'is gone' if file is None else 'changed'}")

    def _follow(self, verdict, firmware, run):
        tried, name, counted = run(None)
        verdict.runs[firmware], verdict.starts[firmware] = name, len(tried)
        verdict.first[firmware], verdict.counted[firmware] = name if len(tried) == 1 else None, counted
        if name is None:
            verdict.problems.append(f"{firmware}: nothing boots after {len(tried)} starts: {', '.join(tried[:6])}")
        elif len(tried) > 1:
            # An entry that is tried although its generation is not whole: published too early.
            verdict.problems.append(f"{firmware}: started what is not whole before {name}: {', '.join(tried[:-1])}")
        verdict.fallback[firmware] = run(name)[1] if name is not None else None

    # UEFI

    def _run_uefi(self, esp, broken):
        """Starts systemd-boot again and again, as the restart program does, until a generation runs. `broken`: one that is taken to fail."""
        entries, tried, counted = [], [], False
        for file in esp.names("/loader/entries"):
            if systemdboot.is_entry_name(file):
                entry = self._entry(esp, file)
                if entry:
                    entries.append(entry)
        for _ in range(MAX_STARTS):
            entry = systemdboot.choose(entries)
            if entry is None:
                return tried, None, False
            tried.append(entry.file)
            entries.remove(entry)
            entries.append(systemdboot.parse_again(entry))
            counted = entry.left >= 0
            name = self._runs(esp, entry.loader)
            if name is not None and name != broken:
                return tried, name, counted
        return tried, None, False

    @staticmethod
    def _entry(esp, file):
        try:
            content = esp.file(f"/loader/entries/{file}")
            entry = systemdboot.parse(file, content.head.decode("utf-8", "replace"))
            return entry if entry and fat.find(esp.root, entry.loader) else None  # 252 skips entries whose file is missing
        except fat.FatError:
            return None

    def _runs(self, esp, path):
        """The generation that a UKI brings up, or None."""
        try:
            file = esp.file(path)
        except fat.FatError:
            return None
        if file is None or file.wanted is None:
            return None
        return next((g.name for g in self.generations if g.uki == file.digest and self._slot_is_whole(file.wanted, g)), None)

    def _slot_is_whole(self, wanted, generation):
        if wanted != generation.wanted:
            return False
        slot = self.slots.find(wanted)
        return slot is not None and self.slots.verify(slot, wanted)

    # BIOS

    def _run_bios(self, esp, broken):
        written, tried = {}, []

        def read(path):
            if path in written:
                return written[path]
            try:
                file = esp.file(path)
            except fat.FatError:
                return None
            return file.head if file else None

        for _ in range(MAX_STARTS):
            script = grub.Script(read).run("/grub/grub.cfg")
            changed = script.writes != {} and any(read(path) != data for path, data in script.writes.items())
            written.update(script.writes)
            if script.started is None:
                tried.append(script.ended)
                if script.ended != "reboot" or not changed:
                    return tried, None, False
                continue
            tried.append(script.started[0])
            name = self._kernel_runs(esp, *script.started)
            if name is not None and name != broken:
                return tried, name, changed
        return tried, None, False

    def _kernel_runs(self, esp, linux, initrd, cmdline):
        try:
            kernel, ramdisk = esp.file(linux), esp.file(initrd) if initrd else None
        except fat.FatError:
            return None
        wanted = wanted_slot(cmdline)
        if not kernel or not ramdisk or not wanted:
            return None
        return next(
            (g.name for g in self.generations if (g.linux, g.initrd) == (kernel.digest, ramdisk.digest) and self._slot_is_whole(wanted, g)), None
        )

    # Volume

    def _audit(self, esp, verdict):
        found = fat.audit(esp.volume, esp.root)
        kept = {path.lower() for path in self.kept}
        for first, second in found.cross_linked:
            bad = {first.lower(), second.lower()} & kept
            (verdict.problems if bad else verdict.notes).append(f"{first} and {second} share clusters")
        verdict.notes += [f"{path} is broken" for path in found.broken]
        verdict.lost = max(found.lost, 0) * esp.volume.cluster_bytes
