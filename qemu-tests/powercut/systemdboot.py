# SPDX-License-Identifier: Apache-2.0
"""What systemd-boot 252 would start: entry files, their names' counters, their order.

Rules from its behaviour as documented (systemd-boot(7), the Boot Loader Specification, Automatic Boot Assessment, UAPI version comparison) and as read
in src/boot/efi/boot.c of 252: entries without tries come last, then sort-key, machine-id, version, id, tries.
"""
import functools
import re
from dataclasses import dataclass, replace

COUNTER = re.compile(r"(.*)\+(\d+)(?:-(\d+))?(\.conf)", re.I | re.S)
VALID = re.compile(r"[0-9A-Za-z~\-^.]")


@dataclass(frozen=True)
class BootEntry:
    file: str
    sort_key: str | None
    machine_id: str
    version: str
    loader: str
    left: int  # -1: not counted
    done: int

    @property
    def id(self):
        return self.file.lower()

    def bumped(self):
        """The file's name after one more try."""
        if self.left < 0:
            return self.file
        return f"{COUNTER.fullmatch(self.file).group(1)}+{max(self.left - 1, 0)}-{self.done + 1}.conf"


def counters(file):
    """(left, done) of an entry's name; (-1, -1) when it has none. The counter is what follows the last +."""
    match = COUNTER.fullmatch(file)
    if not match or int(match[2]) >= 1 << 31 or int(match[3] or 0) >= 1 << 31:
        return -1, -1
    return int(match[2]), int(match[3] or 0)


def parse(file, text):
    """An entry file; None when it starts nothing."""
    keys = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, _, value = line.replace("\t", " ").partition(" ")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if value:
            keys["efi" if key in ("efi", "linux") else key] = value
    if "efi" not in keys or keys.get("architecture", "x64").lower() != "x64":
        return None
    return BootEntry(file, keys.get("sort-key"), keys.get("machine-id", ""), keys.get("version", ""), keys["efi"], *counters(file))


def compare_versions(a, b):
    """<0, 0, >0: the UAPI group's version comparison, as 252 has it."""

    def segment(text, test):
        end = 0
        while end < len(text) and test(text[end]):
            end += 1
        return text[:end], text[end:]

    while True:
        a = a[next((i for i, c in enumerate(a) if VALID.match(c)), len(a)) :]
        b = b[next((i for i, c in enumerate(b) if VALID.match(c)), len(b)) :]
        if a[:1] == "~" or b[:1] == "~":
            if a[:1] != b[:1]:
                return -1 if a[:1] == "~" else 1
            a, b = a[1:], b[1:]
        if not a or not b:
            return (ord(a[0]) if a else 0) - (ord(b[0]) if b else 0)
        for mark in "-^.":
            if a[:1] == mark or b[:1] == mark:
                if a[:1] != b[:1]:
                    return -1 if a[:1] == mark else 1
                a, b = a[1:], b[1:]
        digits = lambda c: c.isascii() and c.isdigit()  # noqa: E731
        letters = lambda c: c.isascii() and c.isalpha()  # noqa: E731
        if digits(a[:1]) or digits(b[:1]):
            (x, a), (y, b) = segment(a, digits), segment(b, digits)
            if bool(x) != bool(y):
                return 1 if x else -1
            if int(x) != int(y):
                return 1 if int(x) > int(y) else -1
        else:
            (x, a), (y, b) = segment(a, letters), segment(b, letters)
            if x != y:
                return 1 if x > y else -1


def compare(a, b):
    """<0: a is preferred."""
    if (a.left == 0) != (b.left == 0):
        return 1 if a.left == 0 else -1
    if (a.sort_key is None) != (b.sort_key is None):
        return 1 if a.sort_key is None else -1
    if a.sort_key is not None:
        for x, y in ((a.sort_key, b.sort_key), (a.machine_id, b.machine_id)):
            if x != y:
                return -1 if x < y else 1
        order = compare_versions(b.version, a.version)
        if order:
            return order
    order = compare_versions(b.id, a.id)
    if order or a.left < 0 or b.left < 0:
        return order
    return b.left - a.left or a.done - b.done


def choose(entries):
    """The entry that is started, or None."""
    return min(entries, key=functools.cmp_to_key(compare), default=None)


def is_entry_name(file):
    return file.lower().endswith(".conf") and not file.startswith((".", "auto-"))


def parse_again(entry):
    """The entry as the next start finds it: with one try less."""
    left, done = (max(entry.left - 1, 0), entry.done + 1) if entry.left >= 0 else (entry.left, entry.done)
    return replace(entry, file=entry.bumped(), left=left, done=done)
