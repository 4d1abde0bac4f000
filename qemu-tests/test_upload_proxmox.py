# SPDX-License-Identifier: Apache-2.0
"""`webops-image upload proxmox` against the double in doubles/proxmox.py, which is itself checked with proxmoxer, the client of others."""
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import types

import proxmoxer
import pytest
from images import environment, good, webops_image
from vm import PROGRAM, ROOT, Access

TOKEN = "root@pam!webops=01234567-89ab-cdef-0123-456789abcdef"


def certificate(directory, name):
    key, pem = directory / f"{name}.key", directory / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key,
                    "-out", pem], check=True, stderr=subprocess.DEVNULL)
    told = subprocess.run(["openssl", "x509", "-in", pem, "-noout", "-fingerprint", "-sha256"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return pem, key, told.strip().split("=")[1]


@pytest.fixture
def node(tmp_path):
    place = tmp_path / "node"
    place.mkdir()
    (place / "token").write_text(TOKEN)
    pem, key, fingerprint = certificate(tmp_path, "pve")
    process = subprocess.Popen([sys.executable, ROOT / "qemu-tests/doubles/proxmox.py", place, pem, key], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        port = int(process.stdout.readline())
        token = tmp_path / "token"
        token.touch(mode=0o600)
        token.write_text(TOKEN + "\n")
        yield types.SimpleNamespace(dir=place, port=port, fingerprint=fingerprint, token=token, pem=pem,
                                    arguments=["--url", f"https://127.0.0.1:{port}", "--token", token, "--fingerprint", fingerprint])
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(20)


def upload(node, image, *arguments, **options):
    return webops_image("upload", "proxmox", image, *node.arguments, *arguments, **options)


def fault(node, text):
    (node.dir / "fault").write_text(text)


def machines(node):
    path = node.dir / "vms.json"
    return json.loads(path.read_text()) if path.exists() else {}


def requests(node):
    return (node.dir / "log").read_text()


def test_image_and_machine(node, image):
    told = good(upload(node, image.dir, "--vm", "--name", "web1"))
    volume, machine = told.stdout.splitlines()
    (stored,) = (node.dir / "import").iterdir()
    assert volume == f"local:import/{stored.name}" and stored.name.startswith(image.raw.stem + "-") and machine == "virtual machine 100"
    subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", image.raw, stored], check=True, stdout=subprocess.DEVNULL)
    made = machines(node)["100"]
    assert re.fullmatch("webops-image upload sha256:[0-9a-f]{64}", made.pop("description"))
    assert made == {"vmid": "100", "name": "web1", "ostype": "l26", "memory": "2048", "cores": "2", "scsihw": "virtio-scsi-single",
                                     "scsi0": f"local-lvm:0,import-from={volume},discard=on", "net0": "virtio,bridge=vmbr0", "serial0": "socket",
                                     "boot": "order=scsi0", "template": False}
    # The same again: nothing is sent, and a template of it.
    before = stored.stat().st_mtime_ns
    told = good(upload(node, image.raw, "--vm", "--vmid", "200", "--template", "--uefi", "--json"))
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert events[-1] == {"event": "uploaded", "volume": volume, "was_there": True, "vmid": 200, "vm_was_there": False} and stored.stat().st_mtime_ns == before
    assert requests(node).count("/upload") == 1
    assert machines(node)["200"]["template"] is True and machines(node)["200"]["efidisk0"] == "local-lvm:1,efitype=4m,pre-enrolled-keys=0"


def test_machine_with_its_configuration(node, image, tmp_path):
    access = Access()
    try:
        config = access.config("HOSTNAME=web1\nOPERATOR_PASSWORD_FILE=/webops/secrets/operator.secret\n")
        good(upload(node, image.raw, "--vm", "--config", config, "--secrets", access.secrets, "--start"))
        (seed,) = (node.dir / "iso").iterdir()
        assert machines(node)["100"]["ide2"] == f"local:iso/{seed.name},media=cdrom" and machines(node)["100"]["start"] == "1"
        out = tmp_path / "out"
        subprocess.run(["xorriso", "-osirrox", "on", "-indev", seed, "-extract", "/", out], check=True, stderr=subprocess.DEVNULL)
        assert (out / "user-data").read_text() == config.read_text()
        assert (out / "secrets/operator.secret").read_bytes() == (access.secrets / "operator.secret").read_bytes()
        config.write_text("HOSTNAM=web1\n")
        told = upload(node, image.raw, "--vm", "--config", config)
        assert told.returncode == 1 and "config.env:1: HOSTNAM: unknown key" in told.stderr
    finally:
        access.close()


def test_qcow2_goes_as_it_is(node, image):
    qcow2 = node.dir / "own disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", image.raw, qcow2], check=True)
    good(upload(node, qcow2))
    (stored,) = (node.dir / "import").iterdir()
    assert stored.read_bytes() == qcow2.read_bytes() and stored.name.startswith("own-disk-")


def test_refusals_name_their_reason(node, image):
    def refused(*arguments, says, code=1, place=image.raw):
        told = upload(node, place, *arguments)
        assert told.returncode == code and all(word in told.stderr for word in says) and TOKEN not in told.stdout + told.stderr, told
        assert not list((node.dir / "import").iterdir()) or "vmid" in " ".join(map(str, arguments))

    refused("--node", "other", says=["/nodes/other/storage/local/status: 501"])
    refused("--storage", "none", says=["storage 'none' does not exist"])
    refused("--storage", "local-lvm", says=['storage local-lvm takes no disk images: add content type "import"'])
    refused(says=["a raw or qcow2 image is expected: zstd -d"], place=f"{image.raw}.zst")
    refused("--vmid", "7", "--vm", says=["an id from 100 on"], code=2)
    refused("--start", says=["goes with --vm"], code=2)
    for place in ("https://example.org/web-1.0.raw", "-"):  # said at once, and not after it was fetched
        refused(says=["only files are uploaded", "download the image first"], place=place, code=2)
    node.token.write_text("root@pam!webops=wrong")
    refused(says=["/version: 401 no such token (token, or its permissions)"])
    node.token.chmod(0o644)
    refused(says=["others can read it: chmod 600"])
    node.token.chmod(0o600)
    node.token.write_text(TOKEN)
    (node.dir / "version").write_text("8.3.5")
    refused(says=["Proxmox VE 8.3.5 takes no images over its API", "qm importdisk"])
    (node.dir / "version").write_text("9.0.3")
    good(upload(node, image.raw, "--vm", "--vmid", "150"))
    assert "virtual machine 150 (was there)" in good(upload(node, image.raw, "--vm", "--vmid", "150")).stdout
    refused("--vm", "--vmid", "150", "--name", "other", says=["VM 150 already exists"])
    refused("--vm", "--vmid", "151", "--vm-storage", "local", says=["storage 'local' does not support content-type 'images'"])
    refused("--vm", "--vmid", "151", "--name", "two words", says=["400 Parameter verification failed.; name: value does not match"])
    assert list(machines(node)) == ["150"]


@pytest.mark.parametrize("rest", ["/", "//", "/#v1:0:=node%2Fpve1:4:::::::"])
def test_address_as_a_browser_has_it(node, image, rest):
    node.arguments[1] += rest
    good(upload(node, image.raw))
    assert "/upload" in requests(node)


def test_another_certificate(node, image, tmp_path):
    _, _, other = certificate(tmp_path, "other")
    node.arguments[-1] = other
    told = upload(node, image.raw)
    assert told.returncode == 1 and "its certificate has the SHA-256 fingerprint" in told.stderr and node.fingerprint.replace(":", "").lower() in told.stderr
    assert not (node.dir / "log").exists()  # the token went nowhere
    del node.arguments[-2:]
    told = upload(node, image.raw)
    assert told.returncode == 1 and "certificate" in told.stderr and "--fingerprint" in told.stderr and not (node.dir / "log").exists(), told


@pytest.mark.parametrize("what, code, says", [
    ("GET /version 503", 0, ""), ("GET /version drop", 0, ""), ("POST /upload 502", 1, "/upload: 502 a fault that was asked for"), ("POST /upload cut", 75, "/upload: "),
    ("POST /upload drop", 75, "/upload: "), ("POST /upload task no space left on device", 1, "the task failed: no space left on device | starting file import"),
    ("POST /qemu$ 500", 1, "/qemu: 500 a fault"), ("POST /qemu$ task command 'qemu-img convert' failed", 1, "the task failed: command 'qemu-img convert' failed"),
    ("POST /upload done-then-drop", 75, "/upload: "), ("POST /qemu$ done-then-drop", 75, "/qemu: "), ("GET /tasks/.*/status 504", 0, "")])
def test_faults_and_the_next_run(node, image, what, code, says):
    fault(node, what)
    told = upload(node, image.raw, "--vm", "--vmid", "300")
    assert told.returncode == code and says in told.stderr and TOKEN not in told.stdout + told.stderr, told
    if code:
        assert "name" not in machines(node).get("300", {})  # none, or one that is being made
        good(upload(node, image.raw, "--vm", "--vmid", "300"))
    assert len(list((node.dir / "import").iterdir())) == 1 and list(machines(node)) == ["300"]
    assert not list(node.dir.glob(".*.part")) or "cut" in what


def test_lost_answers_make_no_second_machine(node, image):
    """Without an id: the machine is known by what it is made of. So is a template, and whether a machine is to run is no part of that."""
    fault(node, "POST /qemu$ done-then-drop")
    told = upload(node, image.raw, "--vm", "--name", "web1")
    assert told.returncode == 75, told
    assert "virtual machine 100 (was there)" in good(upload(node, image.raw, "--vm", "--name", "web1")).stdout
    assert "start" not in machines(node)["100"]
    for _ in range(2):
        assert "virtual machine 100 (was there)" in good(upload(node, image.raw, "--vm", "--name", "web1", "--start")).stdout
    assert list(machines(node)) == ["100"] and machines(node)["100"]["start"] == "1"
    # Another machine is another one.
    assert "virtual machine 101\n" in good(upload(node, image.raw, "--vm", "--name", "web2")).stdout
    assert "virtual machine 102\n" in good(upload(node, image.raw, "--vm", "--name", "web1", "--memory", "4096")).stdout
    assert "virtual machine 103\n" in good(upload(node, image.raw, "--vm", "--name", "web1", "--vmid", "103")).stdout
    fault(node, "POST /template done-then-drop")
    assert upload(node, image.raw, "--vm", "--name", "web1", "--template").returncode == 75
    assert "template 104 (was there)" in good(upload(node, image.raw, "--vm", "--name", "web1", "--template")).stdout
    assert [vmid for vmid, machine in machines(node).items() if machine["template"]] == ["104"]


def test_machine_that_does_not_start(node, image):
    """The machine is there, and the run fails; the next one starts it."""
    (node.dir / "no-start").write_text("KVM virtualisation configured, but not available")
    for _ in range(2):
        told = upload(node, image.raw, "--vm", "--start")
        assert told.returncode == 1 and "virtual machine 100 is there, but starting it: the task failed: KVM virtualisation configured, but not available" in told.stderr, told
        assert list(machines(node)) == ["100"] and "start" not in machines(node)["100"]
    (node.dir / "no-start").unlink()
    assert "virtual machine 100 (was there)" in good(upload(node, image.raw, "--vm", "--start")).stdout
    assert machines(node)["100"]["start"] == "1"


def test_lost_answer_and_an_envelope(node, image, tmp_path):
    """The secrets' envelope is another one each time, and the machine the same."""
    access, pem = Access(), tmp_path / "machine.pem"
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "2", "-subj", "/CN=machines", "-keyout", tmp_path / "secrets.key", "-out", pem], check=True,
                       stderr=subprocess.DEVNULL)
        command = ["--vm", "--config", access.config("HOSTNAME=web1\n"), "--secrets", access.secrets, "--encrypt-to", pem]
        fault(node, "POST /qemu$ done-then-drop")
        assert upload(node, image.raw, *command).returncode == 75
        (access.secrets / "operator.secret").write_text("changed")  # which nothing on the node tells; so that is said
        told = good(upload(node, image.raw, *command))
        assert "virtual machine 100 (was there)" in told.stdout and "it cannot be told whether they have changed" in told.stderr, told
        (seed,) = (node.dir / "iso").iterdir()  # no other one is left for nothing
        told = good(upload(node, image.raw, "--vm", "--config", access.config("HOSTNAME=web2\n"), *command[3:]))
        assert "virtual machine 101\n" in told.stdout and "cannot be told" not in told.stderr, told
        assert seed.name in machines(node)["100"]["ide2"] and seed.name not in machines(node)["101"]["ide2"] and len(list((node.dir / "iso").iterdir())) == 2
    finally:
        access.close()


def test_task_of_somebody_else(node, image):
    """While it runs a machine cannot be looked for; it is said what is waited for."""
    (node.dir / "busy").touch()
    with subprocess.Popen([PROGRAM, "upload", "proxmox", image.raw, *node.arguments, "--vm"], env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        end = threading.Timer(300, process.kill)  # so that silence fails instead of hanging
        end.start()
        assert any("waiting for task UPID:pve1:0000AAAA:00000001:00000001:qmcreate:999:somebody@pam: of node pve1" in line for line in process.stderr)
        assert not machines(node)
        (node.dir / "busy").unlink()
        assert "waiting for" not in process.stderr.read()  # once
    end.cancel()
    assert process.returncode == 0 and list(machines(node)) == ["100"]


def start(node, image, *arguments, **changes):
    return subprocess.Popen([PROGRAM, "upload", "proxmox", image, *node.arguments, *arguments], env=environment(**changes), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_until(condition, process):
    """Or until it has ended, which what comes then is to judge."""
    deadline = time.monotonic() + 300
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def outcome(process):
    with process:
        out, error = process.communicate(timeout=300)
    return good(subprocess.CompletedProcess(process.args, process.returncode, out, error))


def is_half_there(node):
    return any(path.stat().st_size for path in (node.dir / "import").iterdir())


def test_copy_that_goes_on_without_us(node, image):
    """The node copies an upload to its name; the run that waited for it is killed. The next one does not take the half for the whole."""
    (node.dir / "copying").touch()
    with start(node, image.raw, "--vm") as process:
        wait_until(lambda: is_half_there(node), process)
        process.kill()
    before = len(requests(node))
    process = start(node, image.raw, "--vm")
    wait_until(lambda: re.search("tasks/UPID.*imgcopy.*/status", requests(node)[before:]), process)
    (node.dir / "copying").unlink()
    told = outcome(process)
    (stored,) = (node.dir / "import").iterdir()
    assert told.stdout == f"local:import/{stored.name} (was there)\nvirtual machine 100\n" and requests(node).count("/upload") == 1
    subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", image.raw, stored], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("where", ["POST /upload wait", "POST /qemu$ wait"])
def test_two_at_once(node, image, tmp_path, where):
    """Neither looks before the other one has made what there is to find; temporary directories of their own do not matter."""
    fault(node, where)
    process = start(node, image.raw, "--vm")
    wait_until((node.dir / "waits").exists, process)
    before = requests(node)
    other = start(node, image.raw, "--vm", TMPDIR=tmp_path)
    assert any("is being uploaded already by another run on this computer; waiting for its end" in line for line in other.stderr)
    assert requests(node) == before
    (node.dir / "waits").unlink()
    volume, machine = outcome(process).stdout.splitlines()
    assert machine == "virtual machine 100" and outcome(other).stdout == f"{volume} (was there)\n{machine} (was there)\n"
    assert requests(node).count("/upload") == 1 and list(machines(node)) == ["100"]


def test_sent_by_another_computer_meanwhile(node, image, tmp_path):
    """What came while the image was converted is not written over."""
    good(upload(node, image.raw))
    (stored,) = (node.dir / "import").iterdir()
    stored.rename(tmp_path / stored.name)
    hold, tool = tmp_path / "hold", tmp_path / "bin" / "qemu-img"
    hold.touch()
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\ntouch {hold}.seen; while [ -e {hold} ]; do sleep 0.05; done; exec {shutil.which("qemu-img")} "$@"\n')
    tool.chmod(0o755)
    process = start(node, image.raw, PATH=f"{tool.parent}:{os.environ['PATH']}")
    wait_until((tmp_path / "hold.seen").exists, process)
    (tmp_path / stored.name).rename(stored)
    before = stored.stat()
    hold.unlink()
    assert outcome(process).stdout == f"local:import/{stored.name} (was there)\n"
    assert requests(node).count("/upload") == 1 and stored.stat().st_mtime_ns == before.st_mtime_ns


def test_configuration_on_the_image(node, image, tmp_path):
    """As docs/configure-a-machine.md tells it: the block map stays as it was, and the image is another one all the same."""
    names = []
    for host in ("one", "two"):
        copy, config = tmp_path / image.raw.name, tmp_path / "config.env"
        subprocess.run(["cp", "--sparse=always", image.raw, copy], check=True)
        shutil.copy(image.file(".bmap"), tmp_path)
        config.write_text(f"HOSTNAME={host}\n")
        subprocess.run(["mcopy", "-o", "-i", f"{copy}@@2M", config, "::/config.env"], check=True)
        told = good(upload(node, copy))
        assert "was there" not in told.stdout
        names.append(told.stdout.strip().removeprefix("local:import/"))
        subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", copy, node.dir / "import" / names[-1]], check=True, stdout=subprocess.DEVNULL)
    assert len(set(names)) == 2


@pytest.mark.parametrize("stage, number", [("converting", signal.SIGINT), ("uploading", signal.SIGTERM), ("virtual machine", signal.SIGINT)])
def test_asked_to_end(node, image, tmp_path, stage, number):
    """Nothing is left of what was made on the way; of the secrets nothing from the moment when they were sent."""
    access, temporary = Access(), tmp_path / "tmp"
    temporary.mkdir()
    if stage == "virtual machine":
        fault(node, "POST /qemu$ wait")
    try:
        config = access.config("HOSTNAME=web1\nOPERATOR_PASSWORD_FILE=/webops/secrets/operator.secret\n")
        command = [PROGRAM, "upload", "proxmox", image.raw, *node.arguments, "--json", "--vm", "--config", config, "--secrets", access.secrets]
        heed = functools.partial(signal.signal, number, signal.SIG_DFL)  # what runs in the background of a shell ignores SIGINT
        with subprocess.Popen(command, env=environment(TMPDIR=temporary), stdout=subprocess.PIPE, text=True, preexec_fn=heed) as process:
            assert any(json.loads(line).get("stage") == stage for line in process.stdout)
            if stage == "virtual machine":
                wait_until((node.dir / "waits").exists, process)
            left = [path.name for path in temporary.rglob("*")]
            process.send_signal(number)
            process.stdout.read()
        (node.dir / "waits").unlink(missing_ok=True)
        assert process.returncode == -number and any(name.startswith("webops-upload-") for name in left) and not any("seed" in name for name in left), left
        assert not list(temporary.iterdir())
        good(upload(node, image.raw, "--vm", "--config", config, "--secrets", access.secrets))
        assert list(machines(node)) == ["100"]
    finally:
        access.close()


def test_token_is_in_no_argument_or_environment(node, image):
    """Everything that is started on the way is looked at, with strace."""
    trace = node.dir / "trace"
    subprocess.run(["strace", "-f", "-qq", "-v", "-s", "4096", "-e", "trace=execve", "-o", trace, PROGRAM, "upload", "proxmox", image.raw, *node.arguments], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    text = trace.read_text()
    assert "qemu-img" in text and TOKEN not in text and TOKEN.split("=")[1] not in text


def test_the_double_by_proxmoxer(node, image, tmp_path):
    """The client that others use finds a node in it: versions, contents, an upload, a machine, its task."""
    user, name_secret = TOKEN.split("!")
    name, secret = name_secret.split("=")
    api = proxmoxer.ProxmoxAPI("127.0.0.1", port=node.port, user=user, token_name=name, token_value=secret, verify_ssl=False)
    assert api.version.get()["version"] == "8.4.1" and [item["node"] for item in api.nodes.get()] == ["pve1"]
    local = api.nodes("pve1").storage("local")
    assert "import" in local.status.get()["content"].split(",") and local.content.get(content="import") == []
    good(upload(node, image.raw))
    (volume,) = (item["volid"] for item in local.content.get(content="import"))
    upid = api.nodes("pve1").qemu.post(vmid=100, name="theirs", ostype="l26", memory=1024, cores=1, scsihw="virtio-scsi-pci", scsi0=f"local-lvm:0,import-from={volume},discard=on")
    assert api.nodes("pve1").tasks(upid).status.get()["status"] == "running"
    assert api.nodes("pve1").tasks(upid).status.get() == {"upid": upid, "node": "pve1", "status": "stopped", "exitstatus": "OK"}
    with pytest.raises(proxmoxer.ResourceException, match="Parameter verification failed"):
        api.nodes("pve1").qemu.post(vmid=101, nonsense=1)
