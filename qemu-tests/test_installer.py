# SPDX-License-Identifier: Apache-2.0
"""Installation media: from power-on to a healthy installed machine with nobody typing, and every answer by which nothing is written."""
import contextlib
import functools
import hashlib
import http.server
import json
import os
import shlex
import socket
import subprocess
import threading
import time

import images
import pytest
from bootdisk import Esp
from vm import CPU, LOGIN, LOGS, OUT, PASSWORD, ROOT, VM, Access, accelerator

PROFILES = ROOT / "qemu-tests" / "profiles"
DISK_BYTES = 3 << 30
SERIAL = "TARGET1"
ANSWER = f"{LOGIN}HOSTNAME=installed\nINSTALL_DISK=serial={SERIAL}\nINSTALL_CONFIRM=erase\n"
OVMF = "/usr/share/OVMF/OVMF_{}_4M.fd"
INSTALL_SECONDS = 600
REFUSED = "webops: not installed"


@pytest.fixture(scope="module")
def access():
    access = Access()
    yield access
    access.close()


class Release:
    """What `webops-image installer` leaves, and the build beside it; on the medium a configuration that installs and restarts."""

    def __init__(self, profile, directory, access, *options, config=ANSWER):
        self.name, self.dir = profile.stem, directory
        adapted, env = images.adapt(profile)
        images.good(images.webops_image("installer", adapted, "-o", directory, "--config", access.config(config), "--secrets", access.secrets, *options, env=env,
                                        timeout=1500))

    def file(self, suffix):
        return self.dir / f"{self.name}-2026.11.1{suffix}"


@pytest.fixture(scope="module")
def release(access):
    return Release(PROFILES / "dev.yaml", OUT / "installer", access)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine(VM):
    """QEMU with an empty disk and what a scenario puts beside it; it is the firmware's choice where it starts from."""

    def __init__(self, name, release, access, *, bios=False, disks=None, extra=(), memory=1024):  # pylint: disable=super-init-not-called
        self.name, self.user, self.password, self.keep, self.keep_access, self.access = name, "ops", PASSWORD, None, True, access
        LOGS.mkdir(parents=True, exist_ok=True)
        self.serial, self.dir = LOGS / f"installer-{name}.log", access.dir
        self.serial.write_bytes(b"")
        self.facts = {"ssh_port": free_port(), "qmp": str(self.dir / f"{name}.qmp")}
        firmware = []
        if not bios:
            variables = self.dir / f"{name}.vars"
            variables.write_bytes(open(OVMF.format("VARS"), "rb").read())
            firmware = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF.format('CODE')}", "-drive", f"if=pflash,unit=1,format=raw,file={variables}"]
        drives = [word for number, (path, options) in enumerate(disks.items())
                  for word in ("-drive", f"if=none,id=disk{number},format=raw,file={path}", "-device", f"virtio-blk-pci,drive=disk{number}{options}")]
        with open(LOGS / f"installer-{name}.qemu", "wb") as errors:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-machine", "q35", "-accel", accelerator(release.file(".raw")), "-cpu", CPU,
                 "-m", str(memory), "-smp", "1" if bios else "2", "-nodefaults", "-no-user-config", "-display", "none", "-vga", "std",
                 "-device", "virtio-rng-pci", "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.facts['ssh_port']}-:22",
                 "-device", "virtio-net-pci,netdev=net,romfile=", "-serial", f"file:{self.serial}", "-qmp", f"unix:{self.facts['qmp']},server=on,wait=off",
                 *firmware, *drives, *extra], stdout=subprocess.PIPE, stderr=errors, text=True)

    def wait_off(self, since=0, timeout=INSTALL_SECONDS):
        """Until it has switched itself off."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            assert REFUSED not in self.console(since), self.last_words(since)
            assert time.monotonic() < deadline, f"{self.name}: still on after {timeout} s; {self.last_words()}"
            time.sleep(0.2)

    def wait_installed(self):
        return self.wait_console("webops: installed: ", timeout=INSTALL_SECONDS, never=(REFUSED,))


def empty_disk(name):
    path = OUT / f"installer-{name}.disk"
    path.unlink(missing_ok=True)
    with open(path, "wb") as disk:
        disk.truncate(DISK_BYTES)
    return path


def is_untouched(path):
    """Nothing was ever written: it has no data block."""
    return path.stat().st_blocks == 0


def cdrom(release):
    return ["-drive", f"if=none,id=cdrom,media=cdrom,readonly=on,format=raw,file={release.file('-installer.iso')}", "-device", "virtio-scsi-pci",
            "-device", "scsi-cd,drive=cdrom"]


def network_boot(release):
    """The loader's part: kernel, initramfs, command line."""
    return ["-kernel", release.file("-installer.vmlinuz"), "-initrd", release.file("-installer.initrd"), "-append", release.file("-installer.cmdline").read_text().strip()]


def web_server(release):
    """For the build's directory, with a port that is its own from now on; until it serves, connections are refused."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(release.dir))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
    server.server_bind()
    return server


def address_of(server):
    """As the guest sees it."""
    return f"http://10.0.2.2:{server.server_port}"


@contextlib.contextmanager
def serving(server):
    server.server_activate()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield address_of(server)
    server.shutdown()


@pytest.fixture
def server(release):
    with web_server(release) as server, serving(server) as address:
        yield address


def test_cdrom_under_uefi(release, access):
    """The configuration is on the medium, which stays where it is: after the installation the firmware prefers the disk."""
    disk = empty_disk("cdrom")
    try:
        with Machine("cdrom", release, access, disks={disk: f",serial={SERIAL}"}, extra=cdrom(release)) as machine:
            line = machine.wait_installed()
            assert line == f"webops: installed: dev 2026.11.1 on /dev/vda, serial number {SERIAL}"
            installer = machine.console()
            assert "from a medium: starting its init" in installer and "webops: healthy" not in installer
            assert f"webops: disk /dev/vda          3.0 GiB, by=virtio, serial={SERIAL}" in installer
            since = machine.mark()
            verdict = machine.wait_healthy(since)
            assert "dev 2026.11.1 slot a" in verdict
            assert "webops: /dev/vda is first in the firmware's boot order" in installer + machine.console(since)
            assert '"webops" from HD(2,GPT,' in machine.console(since)  # what the firmware says it starts
            assert machine.out("hostname") == "installed"
            report = machine.status()
            assert report["config"]["source"] == "state" and report["config"]["problems"] == []
            assert "configuration: ESP" in machine.root_out("journalctl -b -u webops-early --no-pager")
            assert machine.root_out("systemctl is-active webops-installer.service || true") == "inactive"
            assert machine.root_out("systemctl --failed --no-legend --plain") == ""
            assert int(machine.root_out("df --output=size -BM /var | tail -n 1").rstrip("M")) > 900  # state grew to the disk's end
            refused = machine.root("webops install-disk", check=False)
            assert refused.returncode == 1 and "not started from an installation medium" in refused.stderr
        assert b"INSTALL_DISK" in Esp(disk).read("config.env")
    finally:
        disk.unlink()


def test_stick_under_bios(release, access):
    """The same file as a disk. A second stick says to switch off, and counts more than what is on the medium; nor is it, though it is no USB disk here, the
    smallest one. That is a disk which comes when the medium has long been up, as slow controllers have them. Then the medium is pulled out."""
    disk, large, stick = empty_disk("stick"), empty_disk("stick-large"), release.file("-installer.iso")
    os.truncate(large, 2 * DISK_BYTES)
    late = ["-device", "pcie-root-port,id=late", "-drive", f"if=none,id=target,format=raw,file={disk}"]
    try:
        with Machine("stick", release, access, bios=True, disks={stick: ",bootindex=1", large: ""},
                     extra=[*late, *access.stick(ANSWER.replace("=erase", f"={SERIAL}").replace(f"serial={SERIAL}", "smallest") + "INSTALL_THEN=poweroff\n")]) as machine:
            machine.wait_console("webops: waiting for disks until 60 s after the start", timeout=INSTALL_SECONDS)
            machine.qmp("device_add", driver="virtio-blk-pci", drive="target", bus="late", serial=SERIAL)
            machine.wait_installed()
            machine.wait_off()
            assert "webops: disk /dev/vdc" in machine.console() and "with a volume for a configuration" in machine.console()
            assert "webops: disk /dev/vda" in machine.console() and "the installation medium" in machine.console()
        assert is_untouched(large)
        with Machine("stick-installed", release, access, bios=True, disks={disk: ",bootindex=1"}) as machine:
            machine.wait_healthy()
            assert machine.out("hostname") == "installed"
    finally:
        disk.unlink()
        large.unlink()


def test_network_installs_from_an_address(release, access):
    """No medium at all: kernel and initramfs as a boot server hands them over, the configuration from the virtual machine's host, the image by HTTP, from a
    server that is up later than the machine."""
    disk, late = empty_disk("network"), web_server(release)
    server = address_of(late)
    sha256 = hashlib.sha256(release.file(".bmap").read_bytes()).hexdigest()
    config = f"{ANSWER}INSTALL_IMAGE_URL={server}/dev-2026.11.1.raw.zst\nINSTALL_IMAGE_SHA256={sha256}\nINSTALL_THEN=poweroff\n"
    try:
        with Machine("network", release, access, bios=True, disks={disk: f",serial={SERIAL}"}, extra=[*network_boot(release), *access.fw_cfg(config)]) as machine:
            refused = machine.wait_console(REFUSED, timeout=INSTALL_SECONDS)
            assert "Connection refused" in refused and refused.endswith("; trying again in a minute"), refused
            since = machine.mark()
            with serving(late):
                line = machine.wait_console("webops: installed: ", since, timeout=INSTALL_SECONDS, never=(REFUSED,))
            assert f"{server}/dev-2026.11.1.raw.zst" in line
            machine.wait_off(since)
        report = json.loads(images.good(images.webops_image("inspect", "--json", disk)).stdout)  # holds every byte of the slot against its hashes
        assert report["slots"][0]["version"] == "2026.11.1"
        esp = Esp(disk)
        assert b"HOSTNAME=installed" in esp.read("config.env") and esp.names("secrets") == ["operator.secret", "ssh.secret"]
    finally:
        late.server_close()
        disk.unlink()


def test_wrong_answers_write_nothing(release, access, server):
    """One machine with two empty disks and one with data, where somebody tries again and again; then what it is when it is asked."""
    disks, data = [empty_disk("wrong-1"), empty_disk("wrong-2")], empty_disk("wrong-data")
    os.truncate(data, DISK_BYTES // 2)
    subprocess.run(["mkfs.ext4", "-q", data], check=True)
    held = hashlib.sha256(data.read_bytes()).hexdigest()
    image, sha256 = f"INSTALL_IMAGE_URL={server}/dev-2026.11.1.raw.zst\n", hashlib.sha256(b"").hexdigest()
    rule = f"INSTALL_DISK=serial={SERIAL}\n"
    answers = {  # what config.env says → what is said of it
        "INSTALL_DISK=largest\nINSTALL_CONFIRM=erase\n": "the rule fits /dev/vda and /dev/vdb",
        "INSTALL_DISK=smallest\nINSTALL_CONFIRM=erase\n": "/dev/vdc holds data, and INSTALL_DISK does not name it",
        "INSTALL_DISK=serial=OTHER\nINSTALL_CONFIRM=erase\n": "no disk fits the rule",
        "INSTALL_DISK=path=/dev/disk/by-id/virtio-OTHER\nINSTALL_CONFIRM=erase\n": "there is no /dev/disk/by-id/virtio-OTHER",
        rule: f"set INSTALL_CONFIRM={SERIAL}",
        f"{rule}INSTALL_CONFIRM=yes\n": "neither 'erase' nor the serial number",
        f"{rule}INSTALL_CONFIRM=TARGET2\n": "neither 'erase' nor the serial number",
        f"{rule}INSTALL_CONFIRM=erase\n": "there is no image here",  # the network brings none, and no address is named
        f"{rule}INSTALL_CONFIRM=erase\n{image}INSTALL_IMAGE_SHA256={sha256}\n": "has another SHA-256",
        f"{rule}INSTALL_CONFIRM=erase\n{image.replace('.raw', '.none')}INSTALL_IMAGE_SHA256={sha256}\n": "404",
    }
    try:
        with Machine("wrong", release, access, bios=True, disks={disks[0]: f",serial={SERIAL}", disks[1]: ",serial=TARGET2", data: ""},
                     extra=[*network_boot(release), *access.fw_cfg(LOGIN)]) as machine:
            first = machine.wait_console("webops: not installed: ", timeout=INSTALL_SECONDS)
            assert "put a config.env on the medium" in first
            for answer, text in answers.items():
                machine.root(f"printf %s {shlex.quote(LOGIN + answer)} > /webops/config.env")
                since = machine.mark()
                result = machine.root("webops install-disk", check=False)
                line = machine.wait_console(REFUSED, since)
                assert text in line, f"{answer}{line}{result.stderr}"
                assert all(map(is_untouched, disks)) and hashlib.sha256(data.read_bytes()).hexdigest() == held, f"{answer} wrote to a disk"
            assert machine.root_out("webops health") == "started from an installation medium: there is no machine to judge"
            assert "started from an installation medium" in machine.root_out("webops status")
            assert machine.status()["slot"] == "medium"
            for verb in ("update", "rollback", "install"):
                refused = machine.root(f"webops {verb}", check=False)
                assert refused.returncode == 1 and "installation medium" in refused.stderr, f"{verb}: {refused}"
            assert machine.root_out("systemctl --failed --no-legend --plain") == ""
    finally:
        for disk in (*disks, data):
            disk.unlink()


@pytest.mark.full  # an image of its own
def test_a_stack_and_secrets_in_an_envelope(access):
    """The medium alone tells nobody a secret; with the key beside it the machine is installed, and its stack runs."""
    secret = "only in the envelope"
    access.add_secret("probe.secret", secret + "\n")
    certificate, key = access.envelope()
    config = f"{ANSWER}INSTALL_THEN=poweroff\nPROBE_ENABLED=true\nPROBE_TEXT=installed\nPROBE_PASSWORD_FILE=/webops/secrets/probe.secret\n"
    release = Release(PROFILES / "probe.yaml", OUT / "installer-probe", access, "--encrypt-to", certificate, config=config)
    disk = empty_disk("envelope")
    try:
        assert secret.encode() not in release.file("-installer.iso").read_bytes()
        with Machine("no-key", release, access, disks={disk: f",serial={SERIAL}"}, extra=cdrom(release)) as machine:
            machine.wait_console(REFUSED, timeout=INSTALL_SECONDS)
            assert "secrets.cms is closed: no volume labelled WEBOPS or cidata has its key" in machine.console()
            assert is_untouched(disk)
        with Machine("envelope", release, access, disks={disk: f",serial={SERIAL}"}, extra=[*cdrom(release), *key]) as machine:
            machine.wait_installed()
            machine.wait_off()
        with Machine("envelope-installed", release, access, disks={disk: f",serial={SERIAL}"}) as machine:
            machine.wait_healthy()
            stack = next(stack for stack in machine.status()["stacks"] if stack["name"] == "probe")
            assert (stack["state"], stack["health"]) == ("running", "healthy"), stack
            assert machine.root_out("cat /run/probe/password") == secret
    finally:
        disk.unlink()


@pytest.mark.full  # Debian's full kernel, which has drivers for real controllers, is a base of its own
@pytest.mark.parametrize("bios", [True, False], ids=["bios", "uefi"])
def test_usb_stick_and_sata_disk(access, bios):
    """As on a machine without any virtual device: the medium behind an xHCI controller, the disk behind an AHCI one."""
    release = Release(PROFILES / "server.yaml", OUT / "installer-server", access)
    name, disk = f"usb-{'bios' if bios else 'uefi'}", empty_disk("usb")
    sata = ["-drive", f"if=none,id=sata,format=raw,file={disk}", "-device", f"ide-hd,bus=ide.0,drive=sata,serial={SERIAL},bootindex=2"]
    usb = ["-device", "qemu-xhci", "-drive", f"if=none,id=usb,readonly=on,format=raw,file={release.file('-installer.iso')}",
           "-device", "usb-storage,drive=usb,bootindex=1"]
    answer = ANSWER.replace(f"serial={SERIAL}", "'by=sata smallest'") + "INSTALL_THEN=poweroff\n"
    try:
        with Machine(name, release, access, bios=bios, disks={}, extra=[*usb, *sata, *access.fw_cfg(answer)]) as machine:
            machine.wait_installed()
            machine.wait_off()
        with Machine(f"{name}-installed", release, access, bios=bios, disks={}, extra=sata) as machine:
            machine.wait_healthy()
    finally:
        disk.unlink()
