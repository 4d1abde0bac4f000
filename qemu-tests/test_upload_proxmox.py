# SPDX-License-Identifier: Apache-2.0
"""`webops-image upload proxmox` against the double in doubles/proxmox.py, which is itself checked with proxmoxer, the client of others."""
import functools
import json
import re
import shutil
import signal
import subprocess
import sys
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


def test_lost_answer_and_an_envelope(node, image, tmp_path):
    """The secrets' envelope is another one each time, and the machine the same."""
    access, pem = Access(), tmp_path / "machine.pem"
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "2", "-subj", "/CN=machines", "-keyout", tmp_path / "secrets.key", "-out", pem], check=True,
                       stderr=subprocess.DEVNULL)
        command = ["--vm", "--config", access.config("HOSTNAME=web1\n"), "--secrets", access.secrets, "--encrypt-to", pem]
        fault(node, "POST /qemu$ done-then-drop")
        assert upload(node, image.raw, *command).returncode == 75
        assert "virtual machine 100 (was there)" in good(upload(node, image.raw, *command)).stdout
        assert "virtual machine 101\n" in good(upload(node, image.raw, "--vm", "--config", access.config("HOSTNAME=web2\n"), *command[3:])).stdout
    finally:
        access.close()


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
    try:
        config = access.config("HOSTNAME=web1\nOPERATOR_PASSWORD_FILE=/webops/secrets/operator.secret\n")
        command = [PROGRAM, "upload", "proxmox", image.raw, *node.arguments, "--json", "--vm", "--config", config, "--secrets", access.secrets]
        heed = functools.partial(signal.signal, number, signal.SIG_DFL)  # what runs in the background of a shell ignores SIGINT
        with subprocess.Popen(command, env=environment(TMPDIR=temporary), stdout=subprocess.PIPE, text=True, preexec_fn=heed) as process:
            assert any(json.loads(line).get("stage") == stage for line in process.stdout)
            left = [path.name for path in temporary.rglob("*")]
            process.send_signal(number)
            process.stdout.read()
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
