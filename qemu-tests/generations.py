# SPDX-License-Identifier: Apache-2.0
"""Further generations of an image of profiles/, as images and as bundles signed with development keys; and how to break one.

Recipes are derived from the first one's (dev.yaml unless told), so that a generation differs from it in what its scenario is about and in
nothing else.
"""
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile

import images
from vm import OUT, ROOT

HERE = ROOT / "qemu-tests"
RECIPES = OUT / "recipes"


def changed(text, pattern, new):
    text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
    assert count == 1, f"the profile should say '{pattern}' once"
    return text


def profile(kind, sequence, *, base="dev", layer=None, cmdline=None):
    """The text of a profile named like the first one, `base`, with a higher sequence."""
    text = (HERE / "profiles" / f"{base}.yaml").read_text()
    text = changed(text, "^version: 2026.11.1\nsequence: 1\n", f"version: 2026.12.{sequence}-{kind}\nsequence: {sequence}\n")
    text = changed(text, r"^outputs: \[.*\]", "outputs: []")
    if layer:
        text = changed(text, r"^layers: \[(.*)\]", rf"layers: [\1, {layer}]")
    if cmdline:
        text = changed(text, r"^cmdline: \[", f"cmdline: [{cmdline}, ")
    return text


def write(tree, name, text):
    """A profile in a tree beside our overlays; returns its path."""
    path = tree / "profiles" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (tree / "overlays").symlink_to(HERE / "overlays")
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:  # renamed: another run may be reading it
        file.write(text)
    os.rename(file.name, path)
    return path


def recipe(kind, sequence, base="dev", **changes):
    return write(RECIPES, f"{base}-{kind}-{sequence}", profile(kind, sequence, base=base, **changes))


def build(kind, sequence, base="dev", **changes):
    """In a directory of its own per kind and sequence, because a directory keeps the images of other versions."""
    return images.build(recipe(kind, sequence, base=base, **changes), OUT / f"gen-{base}-{kind}-{sequence}", name=base)


def bundle(image):
    """The image's generation as a signed bundle beside it; one that is there is replaced by a rename, another run may have it attached."""
    images.good(images.webops_image("bundle", image.dir))
    path = image.raw.with_suffix(".bundle")
    assert path.exists(), f"{path} expected, found {list(image.dir.glob('*.bundle'))}"
    return path


def disk_arguments(bundles):
    """QEMU arguments that attach bundles as read-only disks: name → /dev/disk/by-id/virtio-<name> (at most 20 characters)."""
    arguments = []
    for name, path in bundles.items():
        arguments += ["-drive", f"if=none,id={name},format=raw,readonly=on,file={path}", "-device", f"virtio-blk-pci,drive={name},serial={name[:20]}"]
    return arguments


def device(name):
    return f"/dev/disk/by-id/virtio-{name[:20]}"


class Disk:
    """A raw copy of a machine's disk that is switched off, to be damaged byte by byte."""

    def __init__(self, source, path):
        self.path = path
        path.unlink(missing_ok=True)
        subprocess.run(["qemu-img", "convert", "-O", "raw", source, path], check=True)
        table = json.loads(subprocess.run(["sfdisk", "--json", path], check=True, capture_output=True, text=True).stdout)["partitiontable"]
        self.parts = {part["name"]: part["start"] * 512 for part in table["partitions"]}

    def flip(self, partition, offset, mask=0x10):
        with open(self.path, "r+b") as disk:
            disk.seek(self.parts[partition] + offset)
            byte = disk.read(1)[0]
            disk.seek(-1, 1)
            disk.write(bytes([byte ^ mask]))

    def zero(self, partition, offset, count):
        with open(self.path, "r+b") as disk:
            disk.seek(self.parts[partition] + offset)
            disk.write(bytes(count))

    def _mtools(self, tool, *arguments):
        environment = images.environment(MTOOLS_SKIP_CHECK="1")
        subprocess.run([tool, "-i", f"{self.path}@@{self.parts['esp']}", *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)

    def edit(self, name, change):
        """A file on the ESP becomes what change(its bytes) returns."""
        copy = self.path.with_suffix(".esp")
        self._mtools("mcopy", "-n", "-o", f"::{name}", copy)
        old = copy.read_bytes()
        new = change(old)
        assert new != old, f"{name} did not change"
        copy.write_bytes(new)
        self._mtools("mcopy", "-n", "-o", copy, f"::{name}")
        copy.unlink()

    def close(self):
        self.path.unlink(missing_ok=True)


def chain(directory):
    """An empty directory for overlay disks."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
