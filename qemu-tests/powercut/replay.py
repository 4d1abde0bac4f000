# SPDX-License-Identifier: Apache-2.0
"""From a recorded log to the states that a power cut could have left, each judged as it is built.

Kinds of states: after a flush; after a write to anything but slot data; after one of 200 random slot-data writes; the last write torn at a sector;
the writes since the last flush with one of them missing; the same in another order with some of them missing (a disk may keep any of them until
it is told to flush).
"""
import random
from collections import Counter
from dataclasses import dataclass, field

from .disk import PAGE, SECTOR

KINDS = ("flush", "write", "slot", "torn", "dropped", "reordered")
SEEDS = (1, 2, 3)
SLOT_WRITES = 200
REORDER_BYTES = 4 << 20  # larger windows are reordered only as a whole, at the flush that ends them
DROPS = 16  # of one window: all when there are fewer
TEARS = 8  # of one write: all when there are fewer


@dataclass
class State:
    """How to build a state again: the first `until` entries, then what `extra` says."""

    kind: str
    until: int  # entries applied in order
    extra: tuple = ()  # ("torn", entry, bytes from its start) | ("window", first entry, seed) | ("without", first entry, entry)


@dataclass
class Report:
    name: str
    firmware: str
    entries: int = 0
    states: Counter = field(default_factory=Counter)  # by kind
    distinct: set = field(default_factory=set)  # fingerprints without the state partition
    distinct_all: set = field(default_factory=set)
    runs: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)  # (State, [problem])
    notes: Counter = field(default_factory=Counter)
    lost: dict = field(default_factory=dict)  # bytes on the ESP that belong to no name, in the worst state of each kind
    chosen: list = field(default_factory=list)  # a sample, for boots and for e2fsck
    end: object = None  # verdict of the whole log

    @property
    def total(self):
        return sum(self.states.values())


def tears(data, old):
    """Lengths at which a torn write is neither the old nor the whole new content: after a sector that changes, before one that does."""
    changed = [at for at in range(0, len(data), SECTOR) if data[at : at + SECTOR] != old[at : at + SECTOR]]
    lengths = [at + SECTOR for at in changed[:-1]]
    if len(lengths) > TEARS:
        lengths = [lengths[i * (len(lengths) - 1) // (TEARS - 1)] for i in range(TEARS)]
    return lengths


def shuffled(window, seed):
    """Another order of the writes of a window, with some missing: what reached the disk before the cut. The same for the same seed."""
    chance = random.Random(f"{seed}:{window[0].number}:{len(window)}")
    kept = [entry for entry in window if chance.random() < (0.25, 0.5, 0.75)[seed % 3]]
    chance.shuffle(kept)
    return kept


def dropped(window):
    """Which single writes of a window are left out in turn. Not the last one: that is the state before it."""
    candidates = window[:-1]
    step = max(1, -(-len(candidates) // DROPS))
    return candidates[::step]


class Replay:
    """Walks one log over one disk. `judge` is a checker.Judge of that disk; `promise(verdict, position)` gives further problems."""

    def __init__(self, log, disk, judge, report, promise=lambda verdict, position: [], *, seeds=SEEDS, first=0, last=None):
        self.log, self.disk, self.judge, self.report, self.promise = log, disk, judge, report, promise
        self.seeds, self.first = seeds, first
        self.entries = log.entries[: last if last is not None else len(log.entries)]
        self.window = []  # writes since the last flush
        self.mark = 0
        chance = random.Random(f"slots:{len(log.entries)}")
        data = [entry.number for entry in self.entries if entry.is_write and self.is_slot_data(entry)]
        self.sampled = set(chance.sample(data, min(SLOT_WRITES, len(data))))

    def regions(self, entry):
        return {self.disk.region(page) for page in range(entry.offset // PAGE, (entry.offset + entry.size - 1) // PAGE + 1)}

    def is_slot_data(self, entry):
        return self.regions(entry) <= {"webops-a", "webops-b"}

    def is_state_only(self, entry):
        return self.regions(entry) == {"webops-state"}

    def run(self):
        for entry in self.entries:
            if entry.is_flush and entry.number >= self.first:
                self.reorder(entry.number)
            if entry.size and not entry.flags & 8:
                self.write(entry)
            if entry.is_flush:
                self.check("flush", entry.number + 1)
                self.window.clear()
                self.disk.forget()
        self.report.entries = len(self.entries)
        self.report.end = self.judge.judge()
        return self.report

    def write(self, entry):
        data = self.log.data(entry)
        interesting = entry.number in self.sampled or not self.is_slot_data(entry)
        if interesting and entry.number >= self.first and not entry.is_discard:
            for length in tears(data, self.disk.read(entry.offset, entry.size)):
                mark = self.disk.mark()
                self.disk.write(entry.offset, data[:length])
                self.check("torn", entry.number, ("torn", entry.number, length))
                self.disk.rollback(mark)
        self.disk.write(entry.offset, data)
        self.window.append(entry)
        if interesting:
            self.check("slot" if self.is_slot_data(entry) else "write", entry.number + 1)
            if not self.is_state_only(entry) and sum(item.size for item in self.window) <= REORDER_BYTES:
                self.reorder(entry.number + 1)

    def reorder(self, until):
        """The window so far in other orders. Leaves the disk as it was."""
        window = list(self.window)
        if len(window) < 2 or until < self.first:
            return
        self.disk.rollback(0)
        for seed in self.seeds:
            self.variant("reordered", shuffled(window, seed), until, ("window", window[0].number, seed))
        for missing in dropped(window):
            rest = [entry for entry in window if entry is not missing]
            self.variant("dropped", rest, until, ("without", window[0].number, missing.number))
        for entry in window:
            self.disk.write(entry.offset, self.log.data(entry))

    def variant(self, kind, entries, until, extra):
        for entry in entries:
            self.disk.write(entry.offset, self.log.data(entry))
        self.check(kind, until, extra)
        self.disk.rollback(0)

    def check(self, kind, until, extra=()):
        if until < self.first:
            return
        verdict = self.judge.judge()
        state = State(kind, until, extra)
        report = self.report
        report.states[kind] += 1
        loader = self.disk.fingerprint()
        whole = self.disk.fingerprint(state=True)
        if loader not in report.distinct or whole not in report.distinct_all:
            report.chosen.append(state)
        report.distinct.add(loader)
        report.distinct_all.add(whole)
        report.runs[verdict.runs.get(report.firmware)] += 1
        problems = verdict.problems + self.promise(verdict, until)
        if problems:
            report.failures.append((state, problems))
        report.notes.update(verdict.notes)
        report.lost[kind] = max(report.lost.get(kind, 0), verdict.lost)


def window_of(log, state):
    window = [entry for entry in log.entries[state.extra[1] : state.until] if entry.size and not entry.flags & 8]
    if state.extra[0] == "without":
        return [entry for entry in window if entry.number != state.extra[2]]
    return shuffled(window, state.extra[2])


def build(log, disk, state):
    """Puts `disk` (fresh from the base) into a state."""
    is_window = state.extra and state.extra[0] != "torn"
    done = state.extra[1] if is_window else state.until
    for entry in log.entries[:done]:
        if entry.size and not entry.flags & 8:
            disk.write(entry.offset, log.data(entry))
    if is_window:
        for entry in window_of(log, state):
            disk.write(entry.offset, log.data(entry))
    elif state.extra:
        entry = log.entries[state.extra[1]]
        disk.write(entry.offset, log.data(entry)[: state.extra[2]])
    disk.forget()
