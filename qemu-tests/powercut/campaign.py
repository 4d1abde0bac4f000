# SPDX-License-Identifier: Apache-2.0
"""What is recorded, and what is promised about it: an update with its trial and commit, trials in different directory layouts, a trial that is
cut until its tries are spent, a trial that is never healthy. Each recording is replayed by replay.py.
"""
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from vm import BOOT_SECONDS, LOGIN, VM

from . import layouts, statecheck
from .checker import Generation, Judge
from .disk import Disk
from .record import Keys, Recorded, prepared
from .replay import Replay, Report, State, build
from .writelog import Log

CONFIG = "HOSTNAME=powercut\n" + LOGIN
TRIES = 3  # UPDATE_TRIES' default


@dataclass
class Recording:
    """One log over one disk. `marks` {name: entries logged when it was reached}."""

    name: str
    firmware: str
    base: Path
    log: Path
    marks: dict = field(default_factory=dict)
    good: str = "a"  # the slot that an update never touches
    end: str = "new"  # what runs at the end

    def replayed(self, generations, **options):
        """(report, log, disk)."""
        disk, log = Disk(self.base), Log(self.log)
        good = self.good
        kept = (f"/EFI/webops/{good}.efi", f"/webops/{good}.linux", f"/webops/{good}.initrd", f"/webops/{good}.cfg", f"/loader/entries/{good}.conf")
        judge = Judge(disk, generations, kept=kept, guarded=(good,))
        report = Replay(log, disk, judge, Report(self.name, self.firmware), self.promise, **options).run()
        if report.end.runs.get(self.firmware) != self.end:
            report.failures.append((State("end", len(log.entries)), [f"ends with {report.end.runs}, not with {self.end}"]))
        disk.close()
        log.close()
        return report

    def promise(self, verdict, position):
        """Besides that something boots: before the new generation was healthy once it only ever runs counted, with the old one behind it."""
        found = []
        for firmware in ("uefi", "bios"):
            runs = verdict.runs.get(firmware)
            if position <= self.marks.get("update", -1) and runs != "old":
                found.append(f"{firmware}: {runs} runs before the update began")
            if runs != "new" or position > self.marks.get("healthy", 1 << 60):
                continue
            if not verdict.counted[firmware]:
                found.append(f"{firmware}: new runs uncounted before it was healthy")
            if verdict.fallback[firmware] != "old":
                found.append(f"{firmware}: behind new comes {verdict.fallback[firmware]}")
        return found


class Campaign:
    """All recordings of one firmware. `first` is the image that is installed, `bundles` {"new": path, "bad": path} (bad: never healthy), `images`
    the same as images: their ESP and slot tell what the bundles' generations are."""

    def __init__(self, directory, firmware, first, bundles, images):
        self.dir, self.firmware, self.first, self.bundles, self.images = Path(directory), firmware, first, bundles, images
        self.bios = firmware == "bios"
        self.keys = Keys()
        self.recordings, self.prepared = [], None
        self.dir.mkdir(parents=True, exist_ok=True)

    def generations(self, *kinds):
        """"old", and the others as "new"."""
        return [Generation.of("old", Disk(self.first)), *(Generation.of("new", Disk(self.images[kind])) for kind in kinds or ("new",))]

    def start(self, name, base):
        recording = Recording(name, self.firmware, Path(base), self.dir / f"{name.replace(' ', '-')}.log")
        self.recordings.append(recording)
        return recording, Recorded(f"powercut-{self.firmware}-{name.replace(' ', '-')}", base, recording.log, recording.log.with_suffix(".qcow2"),
                                   access=self.keys, bios=self.bios, more=self.bundles)

    def prepare(self):
        if not self.prepared:
            self.prepared = prepared(self.first, self.dir, CONFIG, self.keys)
        return self.prepared

    def update(self):
        """The whole of it: update, trial, commit. Also leaves the disk as it was when the trial was about to start."""
        recording, machine = self.start("update", self.prepare())
        with machine as vm:
            vm.wait_healthy()
            recording.marks["update"] = vm.position()
            vm.root("webops update /dev/disk/by-id/virtio-new", timeout=600)
            recording.marks["installed"] = vm.position()
            since = vm.mark()
            vm.root("systemctl --no-block reboot", check=False)
            vm.disconnect()
            self.healthy(vm, recording, since)
            committed(vm, "b")
            recording.marks["committed"] = vm.position()
            vm.power_off()
        self.trial = self.before_trial(recording)
        return recording

    @staticmethod
    def healthy(vm, recording, since):
        """Waits for health, and notes the last entry that is certainly older than it, and so than the commit."""
        vm.wait_console("Linux version", since)
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            position = vm.position()
            if "webops: healthy" in vm.console(since):
                break
            recording.marks["healthy"] = position
            time.sleep(0.1)
        vm.wait_healthy(since)

    def before_trial(self, recording):
        """The disk when the machine had gone down for the trial: before the boot loader's first write, which counts."""
        log, disk = Log(recording.log), Disk(recording.base)
        esp = disk.partitions["esp"]
        first = next(e.number for e in log.entries[recording.marks["installed"] :] if e.is_write and esp.offset <= e.offset < esp.end)
        build(log, disk, State("write", first))
        path = self.dir / "trial.raw"
        disk.export(path)
        disk.close()
        return path

    def layout(self, layout):
        """The boot loader's counting where the counted name stands at the edges of sectors and clusters; at one of them also the commit."""
        path = self.dir / f"layout-{layout.replace(' ', '-')}.raw"
        Disk(self.trial).export(path)
        layouts.fill(path, layout)
        recording, machine = self.start(layout, path)
        with machine as vm:
            if layout != "cluster edge":
                vm.wait_console("Linux version")
                return recording
            self.healthy(vm, recording, 0)
            committed(vm, "b")
            vm.power_off()
        return recording

    def spent(self):
        """Every try is cut a moment after the kernel starts; then the old generation is back and finds out."""
        recording, machine = self.start("tries spent", self.trial)
        recording.end = "old"
        with machine as vm:
            since = 0
            for _ in range(TRIES):
                vm.wait_console("Linux version", since)
                since = vm.mark()
                vm.reset()
            vm.wait_healthy(since)
            vm.root("webops why")
            vm.power_off()
        return recording

    def unhealthy(self):
        """A generation that starts and never gets healthy: it is rejected by itself."""
        recording, machine = self.start("never healthy", self.prepare())
        recording.end = "old"
        with machine as vm:
            vm.wait_healthy()
            recording.marks["update"] = vm.position()
            since = vm.mark()
            vm.root("webops update /dev/disk/by-id/virtio-bad --reboot", timeout=600, check=False)
            vm.disconnect()
            vm.wait_console("webops: unhealthy", since, timeout=900)
            since = vm.mark()
            vm.wait_console("Linux version", since)
            vm.wait_console("webops: healthy", since)
            vm.root("webops why")
            vm.power_off()
        return recording

    def close(self, *, keep=False):
        self.keys.remove()
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)


def committed(vm, slot, timeout=180):
    """Waits until the generation in `slot` runs and is good."""
    deadline = time.monotonic() + timeout
    while True:
        now = json.loads(vm.root_out("webops status --json"))
        if now["slot"] == slot and now["slots"][slot]["state"] == "good":
            return
        assert time.monotonic() < deadline, f"not committed within {timeout} s: {now['slots']}"
        time.sleep(2)


def spread(states, count):
    """`count` of them, from beginning to end, every kind."""
    by_kind = {}
    for state in states:
        by_kind.setdefault(state.kind, []).append(state)
    found = []
    for index, group in enumerate(by_kind.values()):
        share = count // len(by_kind) + (index < count % len(by_kind))
        found += group if len(group) <= share else [group[i * (len(group) - 1) // max(1, share - 1)] for i in range(share)]
    return found


def check_state_partitions(recording, report, count):
    """e2fsck over a sample. Returns how many were looked at; what is wrong becomes a failure of the report."""
    sample = spread(report.chosen, count)
    log = Log(recording.log)
    for state in sample:
        disk = Disk(recording.base)
        build(log, disk, state)
        found = statecheck.problems(disk, recording.log.with_suffix(".state"))
        disk.close()
        if found:
            report.failures.append((state, found))
    recording.log.with_suffix(".state").unlink(missing_ok=True)
    log.close()
    return len(sample)


def boot(campaign, recording, state, versions, number):
    """Really boots a state, until some generation is healthy. Returns (version, starts)."""
    log, disk = Log(recording.log), Disk(recording.base)
    build(log, disk, state)
    path = campaign.dir / "state.raw"
    disk.export(path)
    disk.close()
    log.close()
    with VM(f"powercut-{campaign.firmware}-state-{number}", path, bios=campaign.bios, disk_size=None, access=campaign.keys) as vm:
        line = vm.wait_console("webops: healthy", timeout=900)
        starts = vm.console().count("Linux version")
    path.unlink()
    version = next((version for version in versions if f" {version} " in line), None)
    assert version, f"{line}: none of {versions}"
    return version, starts
