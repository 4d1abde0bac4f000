# SPDX-License-Identifier: Apache-2.0
"""`webops-image upload hetzner` against the double in doubles/hetzner.py, which is itself checked with hcloud, the vendor's own client.

One scenario goes through a virtual machine as the rescue system and starts the snapshot; the others take a stand-in for it (doubles/hetzner_rescue.py), whose SSH
server, programs and bytes are real, and whose disk is a file. A fresh small disk stands for the image there; `make check-full` takes a real one.
"""
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import types

import pytest
from bootdisk import Loader
from images import environment, good
from vm import PROGRAM, ROOT, VM

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the rescue systems want mounts and a network of their own")
TOKEN = "Canary64" * 8
MIB = 1 << 20
IMAGE_BYTES = 24 * MIB
# Prints GREETING on the first serial port, and halts.
BOOT_SECTOR = bytes.fromhex("31c08ed8be1a7cbaf803ac84c07403eeebf8f4ebfd") + bytes(5)
REPORT = {"profile": "web", "version": "1.0~rc1", "compatible": "web-amd64", "channel": "stable", "trust": "-", "sequence": 1, "source_date_epoch": 1, "config_schema": 1,
          "development_keys": True}
GREETING = b"the snapshot boots\r\n"


def certificate(directory, name):
    key, pem = directory / f"{name}.key", directory / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", pem], check=True, stderr=subprocess.DEVNULL)
    told = subprocess.run(["openssl", "x509", "-in", pem, "-noout", "-fingerprint", "-sha256"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return pem, key, told.strip().split("=")[1]


def make_image(path, seed=1):
    """A disk that boots by BIOS, with bytes that do not compress, zeros and a hole."""
    with open(path, "wb") as file:
        file.truncate(IMAGE_BYTES)
        file.write((BOOT_SECTOR + GREETING).ljust(510, b"\0") + b"\x55\xaa")
        file.write(random.Random(seed).randbytes(3 * MIB))
        file.seek(20 * MIB)
        file.write(bytes(MIB) + b"the end")
    return path


@contextlib.contextmanager
def network():
    """A network of our own, in which port 22 is free and nobody else's: what to put in front of a command that is to run there."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "busybox ip link set lo up; echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        yield ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]


@contextlib.contextmanager
def double(tmp_path, rescue):
    with network() as enter:
        yield from run_double(tmp_path, rescue, enter)


def run_double(tmp_path, rescue, enter):
    place = tmp_path / "project"
    place.mkdir()
    (place / "token").write_text(TOKEN)
    pem, key, fingerprint = certificate(tmp_path, "hetzner")
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen([*enter, sys.executable, "-B", ROOT / "qemu-tests/doubles/hetzner.py", place, pem, key, rescue], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        url = f"https://127.0.0.1:{int(process.stdout.readline())}/v1"
        yield types.SimpleNamespace(dir=place, enter=enter, url=url, fingerprint=fingerprint, pem=pem, tmp=tmp_path / "tmp", disk=make_image(tmp_path / "disk.raw"),
                                    arguments=["--url", url, "--fingerprint", fingerprint])
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(20)


@pytest.fixture
def project(tmp_path):
    with double(tmp_path, "namespace") as project:
        yield project


def command_of(project, *arguments, image=None):
    return [*project.enter, PROGRAM, "upload", "hetzner", image or project.disk, *project.arguments, *arguments]


def variables(project, **changes):
    return environment(**{"HCLOUD_TOKEN": TOKEN, "TMPDIR": project.tmp, **changes})


def upload(project, *arguments, image=None, timeout=300, **changes):
    return subprocess.run(command_of(project, *arguments, image=image), env=variables(project, **changes), timeout=timeout, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)


def fault(project, *lines):
    (project.dir / "fault").write_text("\n".join(lines))


def faults_left(project):
    path = project.dir / "fault"
    return path.read_text() if path.exists() else ""


def state(project, kind):
    path = project.dir / "state.json"
    return [item for item in json.loads(path.read_text())[kind] if item.get("type") != "system"] if path.exists() else []


def ids(project):
    return [item["id"] for kind in ("servers", "ssh_keys") for item in state(project, kind)]


def requests(project, text):
    path = project.dir / "log"
    return path.read_text().count(text) if path.exists() else 0


def snapshot(project, image=None):
    """The only one there is, with the image's bytes; nothing else is left in the project or on this computer."""
    assert not state(project, "servers") and not state(project, "ssh_keys") and not list(project.tmp.iterdir())
    (found,) = state(project, "images")
    path = project.dir / "images" / f"{found['id']}.raw"
    subprocess.run(["cmp", "-n", str((image or project.disk).stat().st_size), image or project.disk, path], check=True)
    return found, path


def nothing(project):
    assert not state(project, "servers") and not state(project, "ssh_keys") and not state(project, "images") and not list(project.tmp.iterdir())


def sent(project):
    """Bytes towards the server, of all SSH connections, as they were on the wire."""
    return sum(map(int, (project.dir / "ssh-bytes").read_text().split()))


def within_bar(project, disk):
    """What went over the wire, keys and framing of all connections included: the compressed image and two percent at most."""
    compressed = int(subprocess.run(["sh", "-ec", 'zstd -3 -c "$1" | wc -c', "sh", disk], check=True, text=True, stdout=subprocess.PIPE).stdout)
    print(f"{sent(project)} bytes sent, {sent(project) / compressed:.4f} of the compressed image")
    assert sent(project) <= compressed * 1.02
    return sent(project)


def test_snapshot_that_boots(tmp_path):
    """Through a virtual machine: its system is in memory, its disk has other things on it before."""
    with double(tmp_path, "qemu") as project:
        told = good(upload(project))
        found, path = snapshot(project)
        assert told.stdout == f"snapshot {found['id']}\n" and found["status"] == "available"
        assert path.stat().st_blocks * 512 < 5 * MIB  # what was there before was discarded, and zeros were not written
        with Loader("hetzner", path) as loader:
            loader.wait(GREETING.decode().strip(), 1, 60)


@pytest.mark.full
def test_real_image(tmp_path, image):
    with double(tmp_path, "qemu") as project:
        told = good(upload(project, image=image.dir, timeout=1800))
        found, path = snapshot(project, image.raw)
        within_bar(project, image.raw)
        assert found["labels"]["webops.profile"] == "dev" and found["labels"]["webops.version"] == "2026.11.1", told
        with VM("hetzner-snapshot", path, bios=True, config="HOSTNAME=cloud\n", disk_size=None) as vm:
            vm.wait_healthy()


def test_labels_progress_and_second_run(project):
    project.disk.with_suffix(".build.json").write_text(json.dumps(REPORT))
    told = good(upload(project, "--json"))
    assert "not checked, and pinned from now on" in told.stderr
    events = [json.loads(line) for line in told.stdout.splitlines()]
    stages = ["reading the image", "asking", "server", "rescue system", "writing", "reading back", "snapshot", "cleaning up"]
    assert [event["stage"] for event in events if event["event"] == "start"] == stages
    digest = hashlib.sha256(project.disk.read_bytes()).hexdigest()
    found, _ = snapshot(project)
    assert found["labels"] == {"webops.upload": digest[:32], "webops.profile": "web", "webops.version": "1.0-rc1"} and digest in found["description"]
    assert events[-1]["image"] == found["id"] and not events[-1]["was_there"]
    assert events[-1]["sent_bytes"] <= within_bar(project, project.disk)
    # The same bytes, compressed and under another name: nothing is made.
    other = project.disk.with_name("other.raw.zst")
    subprocess.run(["zstd", "-q", "-19", project.disk, "-o", other], check=True)
    subprocess.run(["bmaptool", "create", "-o", other.with_name("other.bmap"), project.disk], check=True)
    before = requests(project, "POST")
    told = good(upload(project, image=other))
    assert told.stdout == f"snapshot {found['id']} (was there)\n" and requests(project, "POST") == before
    # Another image is another snapshot; a compressed one goes as it is.
    project.disk = make_image(project.disk.with_name("new.raw"), seed=2)
    other.unlink()
    subprocess.run(["zstd", "-q", project.disk, "-o", other], check=True)
    subprocess.run(["bmaptool", "create", "-o", other.with_name("other.bmap"), project.disk], check=True)
    told = good(upload(project, "--json", image=other))
    assert json.loads(told.stdout.splitlines()[-1])["sent_bytes"] == other.stat().st_size
    assert len(state(project, "images")) == 2 and not state(project, "servers") and not state(project, "ssh_keys")


def test_refusals_make_nothing(project, tmp_path):
    def refused(*arguments, says, code=1, image=None, **changes):
        told = upload(project, *arguments, image=image, **changes)
        assert told.returncode == code and all(word in told.stderr for word in says) and TOKEN not in told.stdout + told.stderr, told
        assert not requests(project, "POST") and not list(project.tmp.iterdir())

    refused("--location", "mars", says=["there is no location mars; there are fsn1, nbg1, ash"])
    refused("--type", "cax11", says=["server type cax11 is of architecture arm, and the image is for x86", "cx23"])
    refused("--type", "cx99", says=["there is no server type cx99", "cx23, cx33"])
    refused("--type", "cpx11", "--location", "nbg1", says=["server type cpx11 is not offered in nbg1"])
    large = tmp_path / "large.raw"
    large.touch()
    os.truncate(large, 1200 * MIB)
    arm = make_image(tmp_path / "arm.raw")
    arm.with_suffix(".build.json").write_text(json.dumps({**REPORT, "compatible": "web-arm64"}))
    refused("--type", "cx23", image=arm, says=["server type cx23 is of architecture x86, and the image is for arm; such types are cax11"])
    refused("--type", "ccx1", image=large, says=["the disk of server type ccx1 has 1 GB, and the image 1.3"])
    refused(HCLOUD_TOKEN="wrong", says=["GET /images: 401 unable to authenticate", "the token"])
    refused(HCLOUD_TOKEN="", says=["no token: --token FILE, or the variable HCLOUD_TOKEN"], code=2)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o644)
    refused("--token", token, says=["others can read it: chmod 600"])
    for image in ("https://127.0.0.1:1/web-1.0.raw", "-"):
        refused(image=image, says=["only files are uploaded", "download the image first"], code=2)
    refused("--host-key", "md5:00", says=["a fingerprint is expected"], code=2)
    refused("--vm", says=["upload: --vm is for proxmox"], code=2)
    _, _, other = certificate(tmp_path, "other")
    project.arguments[-1] = other
    before = requests(project, "GET")
    refused(says=["its certificate has the SHA-256 fingerprint", project.fingerprint.replace(":", "").lower()])
    del project.arguments[-2:]
    refused(says=["certificate", "--fingerprint"])
    assert requests(project, "GET") == before  # the token went nowhere


def test_names_limits_and_others(project):
    good(upload(project))
    (made,) = state(project, "images")
    digest = made["labels"]["webops.upload"]
    hcloud(project, "image", "delete", str(made["id"]))
    # Somebody's own server has the name: it stays.
    name = f"webops-upload-{digest[:12]}"
    hcloud(project, "server", "create", "--name", name, "--type", "cx23", "--image", "debian-12", "--location", "fsn1", "--start-after-create=false")
    told = upload(project)
    assert told.returncode == 1 and f"has server {name} already, and it is not of this upload" in told.stderr, told
    assert [server["name"] for server in state(project, "servers")] == [name] and not state(project, "ssh_keys")
    # One that an upload from another computer left or has in use is not touched, unless that is asked for.
    for label in (f"webops.upload={digest}", "webops.host=another"):
        hcloud(project, "server", "add-label", name, label)
    told = upload(project)
    assert told.returncode == 75 and "of an upload of this image from another computer" in told.stderr and "--replace" in told.stderr, told
    assert [server["name"] for server in state(project, "servers")] == [name] and not state(project, "ssh_keys")
    # None more may be made.
    (project.dir / "limit").write_text("0")
    told = upload(project, "--replace")
    assert told.returncode == 1 and "server limit exceeded (the project's limit" in told.stderr, told
    nothing(project)
    (project.dir / "limit").unlink()
    good(upload(project, "--replace"))
    snapshot(project)


def test_what_is_sold_out_is_taken_elsewhere(project):
    fault(project, "POST /servers$ 412 resource_unavailable")
    told = good(upload(project, "--location", "nbg1"))
    assert "no server of type cx23 in nbg1" in told.stderr
    snapshot(project)
    fault(project, "POST /servers$ 412 resource_unavailable")
    told = upload(project, "--type", "cx23", "--location", "nbg1", image=make_image(project.disk.with_name("new.raw"), seed=2))
    assert told.returncode == 75 and "a server of type cx23 in nbg1" in told.stderr and not state(project, "ssh_keys"), told


@pytest.mark.parametrize("faults", [
    ["GET /images 429 rate_limit_exceeded", "GET /locations 503 unavailable", "POST /ssh_keys done-then-drop", "POST /servers$ done-then-drop", "POST /enable_rescue done-then-drop",
     "POST /poweron 423 locked", "POST /poweroff done-then-drop", "POST /create_image done-then-drop", "DELETE /servers done-then-drop", "DELETE /ssh_keys 500 server_error"],
    ["POST /ssh_keys 502 bad_gateway", "POST /servers$ cut", "POST /enable_rescue 429 rate_limit_exceeded", "POST /poweron done-then-drop", "GET /actions cut", "POST /poweroff 409 conflict",
     "POST /create_image 504 timeout", "DELETE /servers 423 locked", "DELETE /ssh_keys drop"]])
def test_faults_that_pass(project, faults):
    """Answers that are lost after the work, refusals for now, connections that break: one run gets through, and makes everything once."""
    fault(project, *faults)
    (project.dir / "ssh-fault").write_text(str(MIB))  # and in the middle of the image
    told = good(upload(project))
    assert not faults_left(project) and "again from the start" in told.stderr, (faults_left(project), told)
    snapshot(project)


@pytest.mark.parametrize("what, code, says", [
    ("POST /servers$ action no space on the host", 1, "Hetzner Cloud failed at create_server: no space on the host"),
    ("POST /create_image action disk cannot be read", 1, "Hetzner Cloud failed at create_image: disk cannot be read"),
    ("POST /servers$ 403 token_readonly", 1, "the token needs permission to write")])
def test_faults_that_last(project, what, code, says):
    fault(project, what)
    told = upload(project)
    assert told.returncode == code and says in told.stderr, told
    nothing(project)


def test_what_cannot_be_removed_is_said(project):
    fault(project, "DELETE /servers 403 protected")
    told = upload(project)
    (server,) = state(project, "servers")
    assert told.returncode == 75 and f"could not be removed: server {server['name']}" in told.stderr and "snapshot" in told.stderr, told
    assert not state(project, "ssh_keys") and len(state(project, "images")) == 1
    good(upload(project))
    snapshot(project)


def test_disk_that_keeps_what_was_discarded(project):
    (project.dir / "lying-discard").touch()
    told = good(upload(project))
    assert "does not read as what was written to it; again with all zeros" in told.stderr
    snapshot(project)


def test_host_key(project):
    told = upload(project, "--host-key", "SHA256:" + "A" * 43)
    assert told.returncode == 1 and "its host key is SHA256:" in told.stderr and "another machine answers" in told.stderr, told
    nothing(project)


def start(project, *arguments, before=()):
    return subprocess.Popen([*before, *command_of(project, "--json", *arguments)], env=variables(project), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def wait_for(path, process):
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, f"no {path.name}, exit status {process.poll()}"
        time.sleep(0.02)


def kill_at(project, where):
    """Starts an upload and kills it where a request hangs, or when a stage begins."""
    hung = project.dir / "hung"
    hung.unlink(missing_ok=True)
    fault(project, where if "/" in where else "POST /poweroff hang")  # past that no run gets, however late it is killed
    process = start(project)
    if "/" in where:
        wait_for(hung, process)
    else:
        assert any(json.loads(line).get("stage") == where for line in process.stdout)
    process.kill()
    process.wait()
    process.stdout.close()
    (project.dir / "fault").unlink(missing_ok=True)
    assert len(state(project, "servers")) <= 1 and len(state(project, "ssh_keys")) <= 1 and len(state(project, "images")) <= 1


def test_killed_at_every_request(project):
    """Each run is killed one request further than the one before, and so gets past what that one left. The answer is lost after the work where there is one."""
    for where in ("GET /server_types hang", "POST /ssh_keys hang", "POST /ssh_keys done-then-hang", "POST /servers$ done-then-hang", "POST /enable_rescue done-then-hang",
                  "POST /poweron done-then-hang", "writing", "reading back", "POST /poweroff hang", "POST /create_image done-then-hang"):
        kill_at(project, where)
    assert "was there" in good(upload(project)).stdout  # the snapshot went on without us
    snapshot(project)


@pytest.mark.parametrize("where", ["DELETE /servers hang", "DELETE /ssh_keys done-then-hang"])
def test_killed_while_cleaning_up(project, where):
    kill_at(project, where)
    assert "was there" in good(upload(project)).stdout
    snapshot(project)


@pytest.mark.parametrize("stage, code", [("rescue system", 1), ("snapshot", 0)])
def test_asked_to_end(project, stage, code):
    """A first signal removes everything; while the snapshot is being made it is borne."""
    process = start(project)
    assert any(json.loads(line).get("stage") == stage for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == code, rest
    if code:
        nothing(project)
    else:
        snapshot(project)


@pytest.mark.parametrize("has_own_tmp", [False, True])
def test_two_at_once(project, tmp_path, has_own_tmp):
    """Also where each has a temporary directory of its own, as jobs of CI and services of systemd do."""
    other = tmp_path / "other" if has_own_tmp else project.tmp
    other.mkdir(exist_ok=True)
    fault(project, "POST /servers$ done-then-hang")
    process = start(project)
    wait_for(project.dir / "hung", process)
    before = ids(project)
    told = upload(project, TMPDIR=other)
    process.kill()
    process.wait()
    process.stdout.close()
    assert ids(project) == before and len(before) == 2
    assert told.returncode == 75 and "is being uploaded already" in told.stderr, told


def test_two_without_a_machine_id(project, tmp_path):
    """As in two containers: the same name, no /etc/machine-id, temporary directories of their own. Neither removes what is the other's."""
    nameless, other = ["unshare", "--mount", "sh", "-ec", '[ ! -e /etc/machine-id ] || mount --bind /dev/null /etc/machine-id; exec "$@"', "sh"], tmp_path / "other"
    other.mkdir()
    fault(project, "POST /servers$ done-then-hang")
    process = start(project, before=nameless)
    wait_for(project.dir / "hung", process)
    before = ids(project)
    told = subprocess.run([*nameless, *command_of(project)], env=variables(project, TMPDIR=other), text=True, capture_output=True, check=False)
    assert told.returncode == 75 and "has no /etc/machine-id" in told.stderr and "--replace" in told.stderr, told
    assert ids(project) == before and len(before) == 2
    process.kill()
    process.wait()
    process.stdout.close()
    good(upload(project, "--replace"))
    snapshot(project)


def test_token_is_in_no_argument_or_environment(project):
    """Everything that is started on the way is looked at, with strace; our own environment is, too."""
    trace = project.dir / "trace"
    subprocess.run(["strace", "-f", "-qq", "-v", "-s", "4096", "-e", "trace=execve", "-o", trace, *command_of(project)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env=variables(project))
    enter, ours, *children = [line for line in trace.read_text().splitlines() if "execve(" in line and line.endswith(" = 0")]
    assert "nsenter" in enter and PROGRAM.name in ours and TOKEN in ours and any('"ssh"' in line for line in children) and not any(TOKEN in line for line in children)
    assert "root-password-canary" not in trace.read_text()
    fault(project, "GET /locations hang")
    project.disk = make_image(project.disk.with_name("new.raw"), seed=2)
    process = start(project)
    wait_for(project.dir / "hung", process)
    with open(f"/proc/{process.pid}/environ", "rb") as file:
        assert TOKEN.encode() not in file.read()
    process.kill()
    process.wait()
    process.stdout.close()


def hcloud(project, *arguments, check=True):
    environ = {**os.environ, "HCLOUD_TOKEN": TOKEN, "HCLOUD_ENDPOINT": project.url, "SSL_CERT_FILE": str(project.pem), "HOME": str(project.tmp.parent)}
    told = subprocess.run([*project.enter, "hcloud", *arguments], env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert not check or told.returncode == 0, told
    return told


def test_the_double_by_hcloud(project):
    """The vendor's own client finds a project in it: it makes, starts and snapshots a server, and is refused as the real one refuses."""
    assert "fsn1" in hcloud(project, "location", "list").stdout and "cx23" in hcloud(project, "server-type", "list").stdout
    assert "debian-12" in hcloud(project, "image", "list", "--type", "system").stdout
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", project.tmp / "key"], check=True)
    hcloud(project, "ssh-key", "create", "--name", "mine", "--public-key-from-file", str(project.tmp / "key.pub"), "--label", "a=b")
    hcloud(project, "server", "create", "--name", "web", "--type", "cx23", "--image", "debian-12", "--location", "fsn1", "--ssh-key", "mine", "--start-after-create=false")
    hcloud(project, "server", "enable-rescue", "web", "--ssh-key", "mine")
    hcloud(project, "server", "poweron", "web")
    address = hcloud(project, "server", "ip", "web").stdout.strip()
    for _ in range(50):
        told = subprocess.run([*project.enter, "ssh", "-F", "/dev/null", "-i", project.tmp / "key", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", f"root@{address}",
                               "cat /sys/block/sdz/size"], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        if told.returncode == 0:
            break
        time.sleep(0.1)
    assert int(told.stdout) * 512 == 40 << 30
    hcloud(project, "server", "poweroff", "web")
    hcloud(project, "server", "create-image", "--type", "snapshot", "--description", "theirs", "web")
    assert "theirs" in hcloud(project, "image", "list", "--type", "snapshot").stdout
    told = hcloud(project, "server", "create", "--name", "web", "--type", "cx23", "--image", "debian-12", check=False)
    assert told.returncode == 1 and "uniqueness_error" in told.stdout, told
    hcloud(project, "server", "delete", "web")
    assert not state(project, "servers")
    # What the client cannot be made to send.
    told = subprocess.run([*project.enter, "curl", "-s", "--cacert", project.pem, "-H", f"Authorization: Bearer {TOKEN}", "-H", "Content-Type: application/json", "-d",
                           '{"name":"web","server_type":"cx23","image":"debian-12","nonsense":1}', project.url + "/servers"], check=True, text=True, stdout=subprocess.PIPE).stdout
    assert json.loads(told)["error"]["details"]["fields"] == [{"name": "nonsense", "messages": ["unknown field"]}]
