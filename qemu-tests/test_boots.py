# SPDX-License-Identifier: Apache-2.0
"""Other ways to boot: BIOS, without any configuration, from other sources of configuration, damaged, another release."""
import base64
import shutil
import subprocess
import sys

import images
import pytest
from families import FAMILY
from vm import OUT, ROOT, VM, Access, loop

DOUBLE = ROOT / "qemu-tests" / "doubles" / "hetzner_metadata.py"


@pytest.fixture
def access():
    """Keys and secrets that exist before the machine; it removes them."""
    return Access()


def test_minimal_without_configuration_says_what_to_provide():
    image = images.build(ROOT / "profiles" / "minimal.yaml", OUT / "minimal")
    with VM("no-config", image.raw) as vm:
        line = vm.wait_console("webops: ")
        assert line
        vm.wait_console("config.env")
        vm.wait_healthy()
        console = vm.console()
        assert "SSH_AUTHORIZED_KEYS" in console and "cidata" in console.lower()


def test_bios_boots_the_same_image_configured_by_hetzner_metadata(image):
    log = OUT / "hetzner.log"
    log.unlink(missing_ok=True)
    double = OUT / "hetzner"
    shutil.rmtree(double, ignore_errors=True)
    double.mkdir(parents=True)
    # QEMU starts the double once per connection, with the connection on its standard input and output.
    net = f"net=169.254.0.0/16,guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} {DOUBLE} {double} {log}"
    vm = VM("hetzner", image.raw, bios=True, net=net, extra=["-smbios", "type=1,manufacturer=Hetzner,product=vServer"])
    with vm:
        key = (vm.access.dir / "id.pub").read_text().strip()
        (double / "user-data").write_text(f"HOSTNAME=from-hetzner\nSSH_AUTHORIZED_KEYS='{key}'\n")
        (double / "hostname").write_text("hetzner-name")
        vm.wait_healthy()
        assert vm.out("hostname") == "from-hetzner"
        assert vm.run("test -d /sys/firmware/efi", check=False).returncode != 0
        assert vm.root_out("systemctl --failed --no-legend --plain") == ""
        report = vm.status()
        assert report["health"]["healthy"] is True and not report["config"]["problems"]
        requests = log.read_text()
        assert "GET /hetzner/v1/userdata" in requests and "refused" not in requests
        # From now on it may hold secrets of somebody else: root and webops-fetch reach it, other users do not.
        connect = "timeout 5 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80'"
        assert vm.root(connect).returncode == 0
        assert vm.run(connect, check=False).returncode != 0
        # Under its filter of system calls the program can still ask for names: 75, and a message of its own.
        answer = vm.root("/usr/lib/webops/webops-fetch --timeout=20 http://name.invalid/", check=False)
        assert answer.returncode == 75 and "resolve" in answer.stderr, answer.stderr


def flip(path, offset):
    with open(path, "r+b") as disk:
        disk.seek(offset)
        byte = disk.read(1)[0]
        disk.seek(offset)
        disk.write(bytes([byte ^ 0x10]))
    return path


def copied(image, name):
    """Sparse, because the empty slot is large."""
    path = OUT / f"{name}.raw"
    subprocess.run(["cp", "--sparse=always", image.raw, path], check=True)
    return path


def flashed(image, name, config, access):
    """The image on a disk of its own, 1 GiB larger, as `webops-image flash` puts it there with configuration and secrets."""
    path = OUT / f"{name}.disk"
    with open(path, "wb") as disk:
        disk.truncate(image.raw.stat().st_size + (1 << 30))
    with loop(path) as device:
        images.good(images.webops_image("flash", image.raw, device, "--yes", "--config", access.config(config), "--secrets", access.secrets))
    return path


@pytest.fixture
def slot(image):
    report = image.inspect()
    partition = next(part for part in report["partitions"] if part["name"] == "webops-a")
    return partition, report["slots"][0]


def test_flipped_bit_in_a_layer_is_not_served(image, config, slot, access):
    """The machine is one that was flashed, and is configured by what was put on its boot partition then."""
    partition, generation = slot
    layer = generation["layers"][0]
    # Drivers and file systems of the kernel that no virtual machine loads are from a fifth to a third of the base; behind them are libraries
    # without which nobody could log in and look.
    path = flip(flashed(image, "flipped-layer", config, access), partition["offset"] + layer["offset"] + layer["bytes"] * 3 // 10)
    try:
        with VM("flipped-layer", path, access=access, disk_size=None) as vm:
            vm.wait_healthy()
            assert "configuration: ESP" in vm.root_out("journalctl -b -u webops-early --no-pager")
            assert int(vm.root_out("df --output=size -BM /var | tail -n 1").rstrip("M")) > 900  # state grew to the disk's end
            read = vm.root("dd if=/dev/dm-0 of=/dev/null bs=1M", check=False)  # the slot as dm-verity shows it
            assert read.returncode != 0 and "Input/output error" in read.stderr, read.stderr
            verdict = vm.root("webops health", check=False)
            assert verdict.returncode == 1 and "verity" in verdict.stdout + verdict.stderr, verdict
    finally:
        path.unlink()


def test_flipped_bit_in_the_header_never_starts(image, config, slot):
    partition, _ = slot
    path = flip(copied(image, "flipped-header"), partition["offset"] + 50)
    try:
        with VM("flipped-header", path, config=config) as vm:
            vm.wait_console("webops-init", never=("webops: healthy",))
            vm.wait_console("Linux version", since=0)
            first = vm.console().index("Linux version")
            # It says why and starts over, instead of hanging.
            vm.wait_console("Linux version", since=first + 200)
            assert "slot" in vm.console().lower()
    finally:
        path.unlink()


@pytest.mark.full  # test_update.py boots it in `make check`
def test_the_following_release_boots_configured_by_credentials(following, config, access):
    def credential(name, text):
        return ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={base64.b64encode(text.encode()).decode()}"]
    extra = credential("webops.config", config)
    for secret in access.secrets.iterdir():
        extra += credential(f"webops.secret.{secret.name}", secret.read_text())
    with VM("following", following.raw, extra=extra, access=access) as vm:
        vm.wait_healthy()
        assert vm.out(". /etc/os-release; echo $VERSION_ID") == FAMILY.next_version
        assert vm.out("hostname") == "scenario"
        assert vm.root_out("systemctl --failed --no-legend --plain") == ""
        assert "configuration: credentials" in vm.root_out("journalctl -b -u webops-early --no-pager")
