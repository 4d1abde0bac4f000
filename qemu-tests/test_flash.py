# SPDX-License-Identifier: Apache-2.0
"""`webops-image flash` on loop devices, as an operator types it: what it refuses, what it asks, what an interruption leaves, and other programs'
opinion of the result; then webops-flash, alone in a root without anything else, from a server. test_boots.py starts such a disk."""
import contextlib
import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import time
import types

import pytest
from images import environment, good, webops_image
from vm import PROGRAM, ROOT, Access, loop

MIB = 1 << 20


@pytest.fixture
def disk(image, tmp_path):
    """A disk with another one's table on it, 1 GiB larger than the image."""
    path = tmp_path / "disk"
    with open(path, "wb") as file:
        file.truncate(image.raw.stat().st_size + 1024 * MIB)
    subprocess.run(["sgdisk", "--new=1:2048:+100M", "--change-name=1:former", path], check=True, stdout=subprocess.DEVNULL)
    with loop(path) as device:
        yield device


def table(device):
    return subprocess.run(["sgdisk", "--verify", "--print", device], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def start(device):
    with open(device, "rb") as file:
        return file.read(4096)


def is_image(image, device):
    """Compared by bmap-tools' own map with what was written, past our own code."""
    with open(image.file(".bmap"), encoding="utf-8") as file:
        ranges = [line.split(">")[1].split("<")[0].strip().split("-") for line in file if "<Range" in line]
    with open(image.raw, "rb") as wanted, open(device, "rb") as found:
        for blocks in ranges:
            first, last = int(blocks[0]), int(blocks[-1])
            offset, end = max(first * 4096, MIB), (last + 1) * 4096  # the table is another one
            wanted.seek(offset)
            found.seek(offset)
            while offset < end:
                size = min(end - offset, 4 * MIB)
                if wanted.read(size) != found.read(size):
                    return False
                offset += size
    return True


def test_raw_and_compressed(image, disk):
    for path in (image.dir / f"{image.raw.name}.zst", image.raw):
        told = good(webops_image("flash", path, disk, "--yes"))
        assert "written and read back" in told.stdout
        assert [line.split()[0] for line in told.stderr.splitlines()] == ["image", "disk", "[1/3]", "[2/3]", "[3/3]"], told.stderr
        assert "No problems found" in table(disk) and "webops-state" in table(disk) and "former" not in table(disk)
        assert is_image(image, disk)
        assert f"{disk} holds the image" in good(webops_image("flash", "--verify-only", path, disk)).stdout
        subprocess.run(["dd", "if=/dev/zero", f"of={disk}", "bs=1M", "count=300", "conv=notrunc"], check=True, stderr=subprocess.DEVNULL)


def test_through_a_pipe(image, disk):
    with subprocess.Popen(["cat", f"{image.raw}.zst"], stdout=subprocess.PIPE) as cat:
        good(webops_image("flash", "-", disk, "--bmap", image.file(".bmap"), "--yes", stdin=cat.stdout))
        cat.stdout.close()
    assert is_image(image, disk) and "No problems found" in table(disk)


def test_for_programs(image, disk):
    events = [json.loads(line) for line in good(webops_image("flash", image.raw, disk, "--yes", "--json")).stdout.splitlines()]
    assert [event["stage"] for event in events if event["event"] == "end"] == ["writing", "reading back", "partition table"]
    done = events[-1]
    assert done["event"] == "flashed" and done["disk"] == disk and done["resumed_at"] == 0 and done["bytes"] > 100 * MIB


def test_configuration_goes_onto_the_boot_partition(image, disk):
    access = Access()
    try:
        config = access.config("HOSTNAME=flashed\nOPERATOR_PASSWORD_FILE=/webops/secrets/operator.secret\n")
        good(webops_image("flash", image.raw, disk, "--yes", "--config", config, "--secrets", access.secrets))
        esp = next(part for part in image.inspect()["partitions"] if part["name"] == "esp")
        for name, wanted in (("config.env", config), ("secrets/operator.secret", access.secrets / "operator.secret")):
            found = subprocess.run(["mtype", "-i", f"{disk}@@{esp['offset']}", f"::{name}"], check=True, stdout=subprocess.PIPE).stdout
            assert found == wanted.read_bytes()
        before = start(disk)
        config.write_text("HOSTNAM=flashed\n")
        refused = webops_image("flash", image.raw, disk, "--yes", "--config", config)
        assert refused.returncode == 1 and "config.env:1: HOSTNAM: unknown key" in refused.stderr and start(disk) == before
    finally:
        access.close()


def test_refusals_touch_nothing(image, disk, tmp_path):
    before = start(disk)

    def refused(*arguments, says):
        told = webops_image("flash", *arguments, stdin=subprocess.DEVNULL)
        assert told.returncode == 1 and says in told.stderr, told
        assert start(disk) == before

    refused(image.raw, disk, says=f"{disk}: nobody is there to ask; give --yes")
    refused(image.raw, disk, "--serial", "X", "--yes", says=f"{disk} has the serial number (none), and not X")
    refused(image.raw, "/dev/null", "--yes", says="/dev/null is no whole disk")
    refused(tmp_path / "none", disk, "--yes", says="No such file")
    medium = tmp_path / "server-installer.iso"
    with open(medium, "wb") as file:
        file.truncate(20 * MIB + 2048)
        file.seek(32768)
        file.write(b"\1CD001\1")
    refused(medium, disk, "--yes", says=f"{medium} is an ISO 9660 image")
    refused(image.file(".packages"), disk, "--yes", says="is no disk image: it has ")
    small = tmp_path / "small"
    with open(small, "wb") as file:
        file.truncate(100 * MIB)
    with loop(small) as device:
        refused(image.raw, device, "--yes", says="is too small: it has 104857600 bytes")
    with loop(small, "--read-only") as device:
        refused(image.raw, device, "--yes", says=f"{device} is read-only")
    with open(small, "wb") as file:
        file.truncate(image.raw.stat().st_size)
    subprocess.run(["mkfs.ext4", "-q", small], check=True)
    with loop(small) as device:
        mounted = tmp_path / "mounted"
        mounted.mkdir()
        subprocess.run(["mount", device, mounted], check=True)
        try:
            refused(image.raw, device, "--yes", says=f"{device} is in use: {device} is mounted at {mounted}")
        finally:
            subprocess.run(["umount", mounted], check=True)


def answer(text, *arguments):
    """On a terminal, with that answer; returns exit status and what was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([PROGRAM, "flash", *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment())
    os.close(theirs)
    os.write(ours, text.encode())
    shown = b""
    with contextlib.suppress(OSError):  # the last one has closed it
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    return process.wait(60), shown.decode()


def test_asks_on_a_terminal(image, disk):
    before = start(disk)
    status, shown = answer("yes\n", image.raw, disk)
    assert status == 1 and f"Everything on {disk} is lost. Type {disk} to go on: " in shown and f"that is not {disk}: nothing was written" in shown, shown
    assert start(disk) == before
    status, shown = answer(f"{disk}\n", image.raw, disk)
    assert status == 0 and " MiB/s " in shown and "written and read back" in shown, shown
    assert is_image(image, disk)


def injected(image, disk, fault):
    """With strace in between, which lets one system call fail."""
    return subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64,fsync", "-e", f"inject={fault}",
                           PROGRAM, "flash", image.raw, disk, "--yes"], text=True, capture_output=True, env=environment(), timeout=300)


def state(image, disk, before):
    """What somebody sees who finds the disk."""
    if start(disk) == before:
        return "untouched"
    if b"webops-image flash: not finished\n" in start(disk):
        return "unfinished"
    return "done" if is_image(image, disk) and "No problems found" in table(disk) else "broken"


# strace counts per thread: one writes the pieces, the other everything else.
@pytest.mark.parametrize("fault, found", [("pwrite64:signal=KILL:when=1", "untouched"), ("pwrite64:signal=KILL:when=2", "unfinished"),
                                          ("pwrite64:signal=KILL:when=3", "unfinished"), ("pwrite64:signal=KILL:when=25", "unfinished"),
                                          ("fsync:signal=KILL:when=1", "unfinished"), ("fsync:signal=KILL:when=3", "unfinished"),
                                          ("fsync:signal=KILL:when=4", "unfinished"), ("fsync:signal=KILL:when=5", "done")])
def test_killed_and_continued(image, disk, fault, found):
    """Whenever it is killed, the disk is either as it was, or recognisably unfinished, or done; and the next run makes it whole."""
    before = start(disk)
    told = injected(image, disk, fault)
    assert told.returncode in (-9, 137), told
    assert state(image, disk, before) == found
    assert webops_image("flash", "--verify-only", image.raw, disk).returncode == (found != "done")
    told = good(webops_image("flash", image.raw, disk, "--yes"))
    assert ("(an interrupted run was continued)" in told.stdout) == (fault in ("fsync:signal=KILL:when=3", "fsync:signal=KILL:when=4"))
    assert state(image, disk, before) == "done"


def test_a_disk_that_fails(image, disk):
    for fault, says in (("pwrite64:error=EIO:when=30", "Input/output error"), ("pwrite64:error=ENODEV:when=30", "No such device"),
                        ("fsync:error=EIO:when=2", "flushing")):
        told = injected(image, disk, fault)
        assert told.returncode == 1 and f"{disk}" in told.stderr and says in told.stderr, told
        assert b"webops-image flash: not finished\n" in start(disk)
    good(webops_image("flash", image.raw, disk, "--yes"))
    assert is_image(image, disk)


def test_a_disk_that_loses_the_table(image, disk, tmp_path):
    """It says that it has written, and has not: the backup table, or the block with the table. The write between them has only the zeros of more
    partitions than our images have."""
    log, command = tmp_path / "writes", [PROGRAM, "flash", image.raw, disk, "--yes"]

    def traced(*options):  # without -f: not the thread that writes the pieces
        return subprocess.run(["strace", "-qq", "-o", log, "-e", "trace=pwrite64", *options, *command], text=True, capture_output=True, env=environment(), timeout=300)

    good(traced())
    sizes = [int(line.rsplit(" = ", 1)[1]) for line in log.read_text().splitlines()]
    assert sizes[-3:] == [65536, MIB - 4096, 4096], sizes
    for number, size in ((len(sizes) - 2, 65536), (len(sizes), 4096)):
        subprocess.run(["sgdisk", "--zap-all", disk], check=True, stdout=subprocess.DEVNULL)
        told = traced("-e", f"inject=pwrite64:retval={size}:when={number}")
        assert told.returncode == 1 and f"{disk}: the partition table was read back otherwise than it was written" in told.stderr, told
        assert webops_image("flash", "--verify-only", image.raw, disk).returncode == 1


@contextlib.contextmanager
def serving(directory, *tls, before=()):
    process = subprocess.Popen([*before, sys.executable, ROOT / "qemu-tests/doubles/image_server.py", directory, *tls], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


@pytest.fixture
def server(image, tmp_path):
    """The files of the image by https and by http; the certificate is one that nobody knows."""
    directory, key, ca = tmp_path / "served", tmp_path / "key.pem", tmp_path / "ca.pem"
    directory.mkdir()
    for file in (f"{image.raw}.zst", image.file(".bmap"), image.file(".build.json")):
        (directory / os.path.basename(file)).symlink_to(file)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=images", "-addext",
                    "subjectAltName=DNS:localhost", "-keyout", key, "-out", ca], check=True, stderr=subprocess.DEVNULL)
    with serving(directory, ca, key) as https, serving(directory) as http:
        yield types.SimpleNamespace(dir=directory, ca=ca, https=f"https://localhost:{https}/{image.raw.name}.zst", http=f"http://127.0.0.1:{http}/{image.raw.name}.zst")


@pytest.fixture
def rescue(server, tmp_path):
    """A root with the program, the kernel's own file systems, and nothing else: no library, no shell, no /etc."""
    root = tmp_path / "rescue"
    mounts = (("dev", ["--bind", "/dev"]), ("proc", ["-t", "proc", "proc"]), ("sys", ["-t", "sysfs", "sysfs"]))
    root.mkdir()
    shutil.copy(ROOT / "build/webops-flash", root)
    shutil.copy(server.ca, root)
    with contextlib.ExitStack() as stack:
        for name, arguments in mounts:
            (root / name).mkdir()
            subprocess.run(["mount", *arguments, root / name], check=True)
            stack.callback(subprocess.run, ["umount", root / name], check=True)
        yield root


def in_rescue(rescue, *arguments, before=()):
    return subprocess.run([*before, "/usr/sbin/chroot", rescue, "/webops-flash", *map(str, arguments)], env={}, text=True, capture_output=True, timeout=300, stdin=subprocess.DEVNULL)


def put_config(rescue, text):
    """config.env with its secrets; they are nobody's but root's."""
    access = Access()
    try:
        shutil.copy(access.config(text), rescue / "config.env")
        shutil.copytree(access.secrets, rescue / "secrets", dirs_exist_ok=True)
    finally:
        access.close()
    return ["--config", "/config.env", "--secrets", "/secrets"]


def assert_config(image, device, rescue):
    esp = next(part for part in image.inspect()["partitions"] if part["name"] == "esp")
    for name in ("config.env", "secrets/operator.secret"):
        found = subprocess.run(["mtype", "-i", f"{device}@@{esp['offset']}", f"::{name}"], check=True, stdout=subprocess.PIPE).stdout
        assert found == (rescue / name).read_bytes()


def is_image_but_for_the_boot_partition(image, device):
    told = webops_image("flash", "--verify-only", image.raw, device)
    return told.returncode == 1 and "(partition esp) are not the image's; a configuration was put there" in told.stderr


def test_rescue_system_with_nothing_else(image, disk, server, rescue):
    """By https, over connections that break; the keys are checked by the build.json on the server."""
    config = put_config(rescue, "HOSTNAM=flashed\n")
    before = start(disk)
    told = in_rescue(rescue, "--yes", "--ca", "/ca.pem", *config, server.https, disk)
    assert told.returncode == 1 and "config.env:1: HOSTNAM: unknown key" in told.stderr and start(disk) == before, told
    put_config(rescue, "HOSTNAME=flashed\nOPERATOR_PASSWORD_FILE=/webops/secrets/operator.secret\n")
    (server.dir / "fault").write_text("cut 40000000")
    (server.dir / "log").unlink()
    told = good(in_rescue(rescue, "--yes", "--json", "--ca", "/ca.pem", *config, server.https, disk))
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert [event["stage"] for event in events if event["event"] == "end"] == ["writing", "reading back", "configuration and table"]
    assert events[-1]["event"] == "flashed" and events[-1]["disk"] == disk
    asked = [line.split()[1] for line in (server.dir / "log").read_text().splitlines() if "bytes=" in line]
    size = os.path.getsize(f"{image.raw}.zst")
    assert asked == [f"bytes={at}-" for at in range(40000000, size, 40000000)]
    assert "going on in 1 s" in told.stderr
    assert "No problems found" in table(disk) and is_image_but_for_the_boot_partition(image, disk)
    assert_config(image, disk, rescue)


def test_what_is_trusted(image, disk, server, rescue):
    before = start(disk)

    def refused(*arguments, says, status=1):
        told = in_rescue(rescue, "--yes", *arguments, disk)
        assert told.returncode == status and says in told.stderr, told
        assert start(disk) == before

    refused(server.https, says="this system has no certificates of authorities")
    refused("--ca", "/ca.pem", server.https.replace("localhost", "127.0.0.1"), says="the certificate of 127.0.0.1 is not to be trusted: IP address mismatch")
    refused(server.http, says="by http anybody on the way could change it")
    sha256 = hashlib.sha256(image.file(".bmap").read_bytes()).hexdigest()
    refused("--bmap-sha256", sha256[::-1], server.http, says="has another SHA-256 than was told")
    refused("--bmap-sha256", sha256, server.http.replace(".raw.zst", ".qcow2"), says="the server answered 404 (not found)")
    refused("--bmap-sha256", sha256, "http://127.0.0.1:1/x.raw", says="connecting to 127.0.0.1 port 1: Connection refused", status=75)
    told = good(in_rescue(rescue, "--list"))
    assert told.stdout.startswith("disk ")
    good(in_rescue(rescue, "--yes", "--bmap-sha256", sha256, server.http, disk))
    assert is_image(image, disk) and "No problems found" in table(disk)
    assert f"{disk} holds the image" in good(in_rescue(rescue, "--verify-only", "--ca", "/ca.pem", server.https, disk)).stdout


def processes_in(root):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/root") == str(root):
                found.append(int(pid))
    return found


def test_killed_in_a_rescue_system(image, disk, server, rescue):
    """In the middle, where nothing of the fetching is left behind; and behind the configuration, which the next run puts there anew."""
    config = put_config(rescue, "HOSTNAME=flashed\nOPERATOR_PASSWORD_FILE=/webops/secrets/operator.secret\n")
    arguments = ["--yes", "--ca", "/ca.pem", *config, server.https, disk]
    (server.dir / "fault").write_text("hold 60000000")
    with subprocess.Popen(["/usr/sbin/chroot", rescue, "/webops-flash", *arguments], env={}, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while b"not finished" not in start(disk) or len(processes_in(rescue)) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        fetching = next(pid for pid in processes_in(rescue) if pid != process.pid)
        with open(f"/proc/{fetching}/status", encoding="utf-8") as status:
            assert "Uid:\t65534\t65534\t65534\t65534\n" in status.read()
        process.kill()
    while processes_in(rescue):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert b"webops-image flash: not finished\n" in start(disk)
    (server.dir / "fault").unlink()
    told = in_rescue(rescue, *arguments, before=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:signal=KILL:when=6"])
    assert told.returncode in (-9, 137) and b"webops-image flash: not finished\n" in start(disk), told
    assert_config(image, disk, rescue)
    assert "(an interrupted run was continued)" in good(in_rescue(rescue, *arguments)).stdout
    assert "No problems found" in table(disk) and is_image_but_for_the_boot_partition(image, disk)
    assert_config(image, disk, rescue)


def test_names_are_found_without_modules_of_glibc(image, disk, server, rescue):
    """Where it has neither /etc/hosts nor /etc/nsswitch.conf, in a network of its own with a name server on its usual port."""
    double = ["sh", "-c", "ip link set lo up && exec \"$@\"", "-", sys.executable, ROOT / "qemu-tests/doubles/name_server.py", "mirror.test", "127.0.0.1"]
    sha256 = hashlib.sha256(image.file(".bmap").read_bytes()).hexdigest()
    (rescue / "etc").mkdir()
    with subprocess.Popen(["/usr/bin/unshare", "--net", *double], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as names:
        assert names.stdout.readline() == "ready\n"
        inside = ["/usr/bin/nsenter", f"--net=/proc/{names.pid}/ns/net"]
        with serving(server.dir, before=inside) as port:
            def flash(host):
                return in_rescue(rescue, "--yes", "--bmap-sha256", sha256, f"http://{host}:{port}/{image.raw.name}.zst", disk, before=inside)

            (rescue / "etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:1\n")
            told = flash("other.test")
            assert told.returncode == 1 and "there is no host other.test" in told.stderr, told
            good(flash("mirror.test"))
            (rescue / "etc/resolv.conf").write_text("nameserver 127.0.0.2\noptions timeout:1 attempts:1\n")
            told = flash("mirror.test")
            assert told.returncode == 75 and "no name server of /etc/resolv.conf answers" in told.stderr, told
        names.stdin.close()
    assert is_image(image, disk)


def test_from_a_server_with_webops_image(image, disk, server):
    good(webops_image("flash", "--yes", "--ca", server.ca, server.https, disk))
    assert is_image(image, disk) and "No problems found" in table(disk)
