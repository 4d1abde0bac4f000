# SPDX-License-Identifier: Apache-2.0
"""The groups of scripts/bench that measure updates: delta, index, write, chunk. build/bench-delta is the machine's data path on the host."""
import hashlib
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DRIVER = ROOT / "build" / "bench-delta"
FETCH = ROOT / "build" / "webops-fetch"
SERVER = ROOT / "qemu-tests" / "doubles" / "bad_server.py"
BLOCK = 4096
WRITE_BYTES = 1 << 30
SSH = ("openssh-client", "openssh-sftp-server", "openssh-server")


def driver(*arguments):
    text = subprocess.run([DRIVER, *(str(part) for part in arguments)], check=True, text=True, stdout=subprocess.PIPE).stdout
    return json.loads(text) if text.startswith("{") else text.strip()


def percent(part, whole):
    return f"{100 * part / whole:.2f} %"


# Two generations, as webops-image builds them

def edit_etc(data):
    with (data / "overlays/hardening/files/etc/modprobe.d/webops-hardening.conf").open("a") as file:
        file.write("install floppy /bin/false\n")


def edit_package(data):
    image = data / "images/debian-12.yaml"
    image.write_text(image.read_text().replace("  - e2fsprogs\n", "  - e2fsprogs\n  - htop\n"))


def edit_old_ssh(data):
    """The release before the newest one that the mirrors still have."""
    image, text = data / "images/debian-12.yaml", subprocess.run(["apt-cache", "madison", SSH[2]], check=True, text=True, stdout=subprocess.PIPE).stdout
    versions = sorted({line.split("|")[1].strip() for line in text.splitlines()}, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])
    lines = "".join(f'  - "{package}={versions[-2]}"\n' for package in SSH)
    image.write_text(image.read_text().replace("  - openssh-server\n", lines))
    return f"openssh {versions[-2]} → {versions[-1]}"


def edit_old_kernel(data):
    """The last point release as it came out: nothing of -updates and -security."""
    image = data / "images/debian-12.yaml"
    text = re.sub(r"  - archive: debian-security\n(    .*\n)+", "", image.read_text())
    image.write_text(text.replace("[bookworm, bookworm-updates]", "[bookworm]"))


def generation(bench, edit, number, base="quickstart"):
    """Builds that profile with `edit`; returns its UKI, its layers from the base up, and what edit() said."""
    data = bench.WORK / "update-project"
    shutil.rmtree(data, ignore_errors=True)
    for room in ("images", "overlays", "profiles"):
        shutil.copytree(ROOT / room, data / room, symlinks=True)
    said = edit(data) if edit else None
    text = (data / f"profiles/{base}.yaml").read_text()
    text = re.sub(r"^(name|version|sequence|outputs|zstd_level):.*\n", "", text, flags=re.M)
    profile = data / "profiles/update.yaml"
    profile.write_text(f"name: update\nversion: 1.{number}\nsequence: {number}\nzstd_level: 15\noutputs: []\n" + text)
    out = bench.WORK / "update-image"
    shutil.rmtree(out, ignore_errors=True)
    bench.run(bench.PROGRAM, "build", profile, "-o", out, env={**os.environ, "WEBOPS_CACHE": str(bench.CACHE), "WEBOPS_DATA": str(data)})
    nodes = json.loads(next(out.glob("*.build.json")).read_text())["nodes"]
    files = {(node["kind"], node["label"]): bench.CACHE / "nodes" / f"{node['kind']}-{node['key']}" for node in nodes}
    layers = [place / "layer.squashfs" for (kind, _), place in files.items() if kind in ("base", "layer")]
    return next(place / "uki.efi" for (kind, _), place in files.items() if kind == "uki"), layers, said


def edited(edit_old, edit_new, base="quickstart"):
    def pair(bench):
        old, new = generation(bench, edit_old, 1, base), generation(bench, edit_new, 2, base)
        return old, new, old[2]
    return pair


def repack(bench, layer, sshd, name):
    """The layer once more, with this sshd: everything else is the same in both generations."""
    tree, out = bench.WORK / "tree", bench.WORK / f"{name}.squashfs"
    shutil.rmtree(tree, ignore_errors=True)
    bench.run("unsquashfs", "-n", "-q", "-d", tree, layer)
    (tree / "usr/sbin/sshd").write_bytes(sshd)
    tar = subprocess.Popen(["tar", "--sort=name", "--mtime=@0", "-C", tree, "-c", *sorted(os.listdir(tree))], stdout=subprocess.PIPE)
    subprocess.run(["mksquashfs", "-", out, "-tar", "-comp", "zstd", "-Xcompression-level", "15", "-b", "131072", "-noappend", "-no-progress", "-quiet",
                    "-mkfs-time", "0", "-all-time", "0"], stdin=tar.stdout, stdout=subprocess.DEVNULL, check=True)
    shutil.rmtree(tree)
    return out


def sshd_alone(bench):
    old, new = generation(bench, edit_old_ssh, 1), generation(bench, None, 2)
    binaries = [subprocess.run(["unsquashfs", "-cat", layers[0], "usr/sbin/sshd"], check=True, stdout=subprocess.PIPE).stdout for _, layers, _ in (old, new)]
    bases = [repack(bench, new[1][0], sshd, name) for sshd, name in zip(binaries, ("old-base", "new-base"), strict=True)]
    return (old[0], [bases[0], *old[1][1:]]), (new[0], [bases[1], *new[1][1:]]), None


SCENARIOS = (
    ("one file of /etc in a layer changed", edited(None, edit_etc), "≤ 0.2 %"),
    ("one package added (htop, to the base)", edited(None, edit_package), "≤ 2.5 %"),
    ("sshd of one security update in the place of the one before", sshd_alone, "≤ 1.5 %"),
    ("that security update as Debian made it, twelve programs rebuilt", edited(edit_old_ssh, None), "≤ 1.5 %"),
    ("the same in `server`, with the full kernel and its drivers", edited(edit_old_ssh, None, "server"), "≤ 1.5 %"),
    ("Debian 12 point release → today, with new kernel", edited(edit_old_kernel, None), "reported"),
)


def new_tree(bench, slot_bytes):
    tree = Path(tempfile.mkdtemp(prefix="tree-", dir=bench.WORK))
    driver("tree", tree, slot_bytes)
    return tree


class Pair:
    """Two generations packed in a tree whose machine runs the first."""

    def __init__(self, bench, old, new):
        self.old, self.new = old, new
        size = sum(path.stat().st_size for path in old[1]) + sum(path.stat().st_size for path in new[1])
        self.tree = new_tree(bench, size + (64 << 20))

    def __enter__(self):
        driver("pack", self.tree, "old", self.old[0], *self.old[1])
        self.bytes = driver("pack", self.tree, "new", self.new[0], *self.new[1])["payload_bytes"]
        driver("run", self.tree, "old", self.old[0])
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.tree)

    def install(self):
        """By HTTP ranges from a plain server."""
        command = [sys.executable, SERVER, self.tree / "new.bundle", self.tree / "requests"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            try:
                return driver("install", self.tree, "new", f"http://127.0.0.1:{server.stdout.readline().strip()}/good", FETCH)
            finally:
                server.stdin.close()

    def objects(self):
        """(old, new) of what other tools would be given: the slot's data and the UKI."""
        yield self.tree / "old.bundle.slot", self.tree / "new.bundle.slot"
        yield self.old[0], self.new[0]


# The others, on the same bytes

def block_index(pair):
    """What RAUC's adaptive mode fetches (its block-hash-index, computed by its rule): the index, and each 4 KiB block whose hash the old one lacks."""
    missing = index = 0
    for old, new in pair.objects():
        have = {hashlib.sha256(bytes(BLOCK)).digest()}
        with old.open("rb") as file:
            while block := file.read(BLOCK):
                have.add(hashlib.sha256(block.ljust(BLOCK, b"\0")).digest())
        with new.open("rb") as file:
            while block := file.read(BLOCK):
                index += hashlib.sha256().digest_size
                digest = hashlib.sha256(block.ljust(BLOCK, b"\0")).digest()
                missing += 0 if digest in have else BLOCK
                have.add(digest)
    return missing + index


def casync(pair):
    """The new index, and the compressed chunks that the old one's store lacks."""
    fetched = 0
    with tempfile.TemporaryDirectory(dir=pair.tree) as place:
        for number, (old, new) in enumerate(pair.objects()):
            stores = []
            for name, path in (("old", old), ("new", new)):
                store, index = Path(place) / f"{name}{number}.castr", Path(place) / f"{name}{number}.caibx"
                subprocess.run(["casync", "make", f"--store={store}", index, path], check=True, stdout=subprocess.DEVNULL)
                stores.append({chunk.name: chunk.stat().st_size for chunk in store.rglob("*.cacnk")})
            fetched += index.stat().st_size + sum(size for name, size in stores[1].items() if name not in stores[0])
    return fetched


def bench_delta(bench, _runs):
    for name, make, bar in SCENARIOS:
        old, new, what = make(bench)
        said = f" ({what})" if what else ""
        with Pair(bench, old, new) as pair:
            ours, theirs, others = pair.install(), block_index(pair), casync(pair)
            bench.row(f"fetched: {name}{said}",
                      f"{percent(ours['fetched_bytes'], pair.bytes)} of {pair.bytes / 1e6:.1f} MB ({ours['fetched_bytes'] / 1e3:.0f} kB, "
                      f"{ours['requests']} requests); 4 KiB block index as RAUC's adaptive mode {percent(theirs, pair.bytes)}; casync {percent(others, pair.bytes)}", bar)
            bench.row("… peak memory of the installation", f"{ours['rss_kib'] / 1024:.1f} MiB", "≤ 64 MiB")


def bench_index(bench, _runs):
    uki, layers, _ = generation(bench, None, 1)
    results = [driver("chunk", path) for path in (uki, *layers)]
    size, index = sum(result["bytes"] for result in results), sum(result["index_bytes"] for result in results)
    bench.row("chunk indexes against what they describe (UKI and layers of quickstart)", percent(index, size), "≤ 0.25 %")


def cpu_of(*command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def random_file(path):
    """Squashfs of zstd looks like this to whoever hashes it."""
    with path.open("wb") as file:
        subprocess.run(["openssl", "rand", str(WRITE_BYTES)], stdout=file, check=True)


def bench_chunk(bench, runs):
    path = bench.WORK / "random"
    random_file(path)
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(cpu_of(DRIVER, "chunk", path))
        theirs.append(cpu_of("sha256sum", path))
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    path.unlink()
    bench.row("processor time to chunk and hash a slot of 1 GiB", f"{ours:.2f} s, sha256sum {theirs:.2f} s: ratio {ours / theirs:.2f}", "≤ 2")


def forget(path):
    """Not in the page cache any more."""
    subprocess.run(["dd", f"of={path}", "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"], check=True)


def plain_copy(bundle, target):
    begin = time.monotonic()
    subprocess.run(["dd", f"if={bundle}", f"of={target}", "bs=1M", "conv=notrunc,fsync", "status=none"], check=True)
    forget(target)
    subprocess.run(["dd", f"if={target}", "of=/dev/null", "bs=1M", "status=none"], check=True)
    return time.monotonic() - begin


def fill(path, size, is_used):
    """A slot never written, or one full of another generation."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
        if is_used:
            subprocess.run(["openssl", "rand", str(size)], stdout=file, check=True)
    os.sync()
    forget(path)


def bench_write(bench, runs):
    layer, uki = bench.WORK / "random", bench.WORK / "uki"
    random_file(layer)
    uki.write_bytes(os.urandom(15 << 20))
    tree = new_tree(bench, WRITE_BYTES + (64 << 20))
    try:
        driver("pack", tree, "new", uki, layer)
        bundle, slot = tree / "new.bundle", tree / "dev/vda4"
        (tree / "new.bundle.slot").unlink()
        layer.unlink()
        for what, is_used in (("a slot never written", False), ("a slot full of other bytes", True)):
            ours, theirs = [], []
            for _ in range(runs):
                fill(slot, WRITE_BYTES + (64 << 20), is_used)
                theirs.append(plain_copy(bundle, slot))
                fill(slot, WRITE_BYTES + (64 << 20), is_used)
                (tree / "var/lib/webops/update/uki.part").unlink(missing_ok=True)
                ours.append(driver("local", tree, "new", bundle, FETCH)["seconds"])
            ours, theirs = statistics.median(ours), statistics.median(theirs)
            bench.row(f"local full bundle of 1 GiB into {what}", f"{ours:.2f} s; dd conv=fsync and one read-back of the same bytes {theirs:.2f} s: {theirs / ours:.2f} × its speed", "≥ 0.8 ×")
    finally:
        shutil.rmtree(tree)
        uki.unlink()


def benches(bench):
    """`bench` is scripts/bench itself: WORK, CACHE, PROGRAM, run(), row()."""
    def group(action):
        return lambda runs: action(bench, runs)
    return {"delta": group(bench_delta), "index": group(bench_index), "write": group(bench_write), "chunk": group(bench_chunk)}
