# SPDX-License-Identifier: Apache-2.0
"""One virtual machine, started through `webops-image run`: console, SSH with one shared connection, reboots, time limits.

Knows nothing of what a scenario checks. Every wait has a deadline; stopping is by process id and leaves nothing behind.
"""
import contextlib
import functools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build" / "webops-image"
DISTRIBUTION = os.environ.get("DISTRIBUTION") or "debian-12"  # what the scenarios run on: an image of families.py
SHARED = ROOT / "out" / "tests"  # what all distributions use: cache, keys, repositories
OUT = SHARED if DISTRIBUTION == "debian-12" else SHARED / DISTRIBUTION
LOGS = ROOT / "out" / "qemu-logs" / ("" if DISTRIBUTION == "debian-12" else DISTRIBUTION)
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")  # for names that two processes of one run must not share
CPU = "qemu64,svm=off"  # in software emulation a quarter faster than "max": fewer features to find drivers for, and no vector instructions to emulate
# Two machines run at a time, on two processors: one emulating thread each is faster than two, and leaves nothing to races between them (docs/BENCHMARKS.md).
# 256 MiB as `webops-image run` has it; with QEMU's own 1 GiB the firmware may take minutes after a restart.
EMULATED = "tcg,thread=single,tb-size="
ACCEL = EMULATED + "256"
BOOT_SECONDS = 420  # a boot takes 25 s on an idle machine without hardware virtualisation; others may be busy beside us
LOGIN = """\
OPERATOR_USER=ops
OPERATOR_PASSWORD_FILE=/webops/secrets/operator.secret
SSH_AUTHORIZED_KEYS_FILE=/webops/secrets/ssh.secret
SSH_RATE_LIMIT=0
"""  # lines of config.env with which a scenario logs in by its Access, as often as it likes
PASSWORD = "correct horse battery"
CANARY = "Canary7Xk29fQz7w"  # salt of the operator's password hash, so part of the secret file's text


@functools.cache
def accelerator(image):
    """What `webops-image run` chooses. It is asked once and then told, because it tries for two seconds whether hardware virtualisation works."""
    command = subprocess.run([PROGRAM, "run", image, "--bios", "--print-command"], text=True, capture_output=True, check=True).stdout
    chosen = re.search(r"-accel (\S+)", command)[1]
    return ACCEL if chosen.startswith("tcg") else chosen


class Access:
    """A key pair and a secrets directory for one machine, in a private temporary directory."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="webops-vm."))
        self.key = self.dir / "id"
        self.secrets = self.dir / "secrets"
        self.secrets.mkdir(mode=0o700)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "qemu-tests", "-f", self.key], check=True)
        hashed = subprocess.run(["openssl", "passwd", "-6", "-salt", CANARY, "-stdin"], input=PASSWORD, text=True, capture_output=True, check=True)
        self.add_secret("operator.secret", hashed.stdout)
        self.add_secret("ssh.secret", (self.dir / "id.pub").read_text())

    def add_secret(self, name, text):
        path = self.secrets / name
        path.touch(mode=0o600)
        path.write_text(text)

    def config(self, text):
        path = self.dir / "config.env"
        path.write_text(text)
        return path

    def put(self, image, text):
        """Configuration and secrets into a FAT file system, the way docs/configure-a-machine.md does it; `image` may end in @@OFFSET."""
        subprocess.run(["mcopy", "-i", image, self.config(text), "::/config.env"], check=True)
        self.put_secrets(image)

    def put_secrets(self, image):
        subprocess.run(["mmd", "-i", image, "::/secrets"], check=True)
        subprocess.run(["mcopy", "-i", image, *self.secrets.iterdir(), "::/secrets/"], check=True)

    def stick(self, text):
        """QEMU arguments of a disk labelled WEBOPS with both."""
        image = self.dir / "webops.img"
        subprocess.run(["mkfs.vfat", "-C", "-n", "WEBOPS", image, "2048"], check=True, stdout=subprocess.DEVNULL)
        self.put(image, text)
        return ["-drive", f"if=none,id=stick,format=raw,file={image}", "-device", "virtio-blk-pci,drive=stick"]

    def nocloud(self, text, meta_data, network_config):
        """QEMU arguments of a NoCloud seed as a virtualisation platform makes one, with secrets on it."""
        image, parts = self.dir / "cidata.img", {"meta-data": meta_data, "network-config": network_config}
        for name, part in parts.items():
            (self.dir / name).write_text(part)
        subprocess.run(["cloud-localds", "--filesystem", "vfat", "--network-config", self.dir / "network-config", image, self.config(text), self.dir / "meta-data"],
                       check=True)
        self.put_secrets(image)
        return ["-drive", f"if=none,id=cidata,format=raw,readonly=on,file={image}", "-device", "virtio-blk-pci,drive=cidata"]

    def envelope(self):
        """A certificate for envelopes of secrets, and QEMU arguments of a disk with its key."""
        stick, key, certificate = self.dir / "key.img", self.dir / "secrets.key", self.dir / "machine.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=machine", "-keyout", key, "-out", certificate], check=True,
                       stderr=subprocess.DEVNULL)
        subprocess.run(["mkfs.vfat", "-C", "-n", "WEBOPS", stick, "1024"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mcopy", "-i", stick, key, "::"], check=True)
        return certificate, ["-drive", f"if=none,id=key,format=raw,file={stick}", "-device", "virtio-blk-pci,drive=key"]

    def sealed_cdrom(self, text, for_image):
        """QEMU arguments of a CD-ROM drive with the ISO image that `webops-image seed` makes of both, its secrets in an envelope, and of a disk with
        the key."""
        image = self.dir / "seed.iso"
        certificate, key = self.envelope()
        subprocess.run([PROGRAM, "seed", "--config", self.config(text), "--secrets", self.secrets, "--encrypt-to", certificate, "--image", for_image, "-o", image], check=True,
                       stdout=subprocess.DEVNULL)
        return ["-drive", f"if=none,id=cdrom,media=cdrom,readonly=on,format=raw,file={image}", "-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=cdrom", *key]

    def fw_cfg(self, text):
        """QEMU arguments that hand over both by its configuration device."""
        files = {"config": self.config(text), **{f"secrets/{secret.name}": secret for secret in self.secrets.iterdir()}}
        return [word for name, path in files.items() for word in ("-fw_cfg", f"name=opt/org.webops/{name},file={path}")]

    def close(self):
        shutil.rmtree(self.dir)


@contextlib.contextmanager
def loop(path, *options):
    """The loop device of a file, as long as it is needed."""
    device = subprocess.run(["losetup", "--find", "--show", *options, path], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


class Link:
    """A network segment that machines share beside the one to the outside: multicast datagrams that never leave the loopback interface."""

    GROUP = "230.97.97.1"

    def __init__(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]  # of its own, so that two runs beside each other do not meet

    @staticmethod
    def mac(number):
        return f"52:54:00:97:00:{number:02x}"

    @staticmethod
    def address(number):
        return f"10.97.0.{number}"

    def config(self, number):
        """Lines of config.env for machine `number` (1 … 254); its other card goes on asking DHCP."""
        return f"NET1_INTERFACE={self.mac(number)}\nNET1_ADDRESS={self.address(number)}/24\n"

    def arguments(self, number):
        """For QEMU."""
        return ["-netdev", f"socket,id=link,mcast={self.GROUP}:{self.port},localaddr=127.0.0.1",
                "-device", f"virtio-net-pci,netdev=link,mac={self.mac(number)},romfile="]


class VM:
    def __init__(self, name, image, *, config=None, bios=False, disk_size="4G", user="ops", extra=(), net=None, keep=None, password=PASSWORD, access=None,
                 keep_access=False, secure_boot=False, memory=None, cpus=None, accel=None):
        self.name, self.user, self.password, self.keep, self.facts = name, user, password, keep, None
        self.access, self.keep_access = access or Access(), keep_access
        LOGS.mkdir(parents=True, exist_ok=True)
        self.serial = LOGS / f"{name}.log"
        self.serial.write_bytes(b"")
        # One processor where it can be: machines run beside each other, and emulating a second one only costs.
        # OVMF 2022.11 with one was once seen to hang in its timer's interrupt after a restart; with two it was not.
        command = ["setpriv", "--pdeathsig", "TERM", PROGRAM, "run", image, "--json", "--serial", self.serial, "--bios" if bios else "--uefi",
                   "--cpus", str(cpus or (1 if bios else 2))]
        if secure_boot:
            command += ["--secure-boot"]
        if memory:
            command += ["--memory", str(memory)]
        if disk_size:
            command += ["--disk-size", disk_size]
        if config is not None:
            command += ["--config", self.access.config(config), "--secrets", self.access.secrets]
        if net:
            command += ["--net", net]
        if keep:
            command += ["--keep", keep]
        command += ["--", "-accel", accel or accelerator(image), "-cpu", CPU, *extra]
        self.started = time.monotonic()
        with open(LOGS / f"{name}.run", "wb") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError(f"{name} did not start: " + (LOGS / f"{name}.run").read_text())
        self.facts = json.loads(line)

    def seconds(self):
        """Since it was switched on."""
        return time.monotonic() - self.started

    # Console

    def console(self, since=0):
        return self.serial.read_bytes()[since:].decode("utf-8", "replace")

    def mark(self):
        return self.serial.stat().st_size

    def last_words(self, since=0, lines=15):
        """The console's end, for messages: where scenarios run far away, nobody sees the file."""
        return f"console in {self.serial}, its end:\n" + "\n".join(self.console(since).splitlines()[-lines:])

    def wait_console(self, text, since=0, timeout=BOOT_SECONDS, never=()):
        """Waits until a whole line with `text` stands on the console; returns that line."""
        deadline = time.monotonic() + timeout
        while True:
            for line in self.console(since).splitlines(keepends=True):
                if text in line and line[-1] in "\r\n":
                    return line.strip()
                for bad in never:
                    assert bad not in line, f"{self.name}: {line.strip()}; {self.last_words(since)}"
            assert self.process.poll() is None, f"{self.name}: ended while waiting for '{text}'; {self.last_words(since)}"
            assert time.monotonic() < deadline, f"{self.name}: no '{text}' within {timeout} s; {self.processors()}; {self.last_words(since)}"
            time.sleep(0.1)

    def wait_healthy(self, since=0, timeout=BOOT_SECONDS):
        return self.wait_console("webops: healthy", since, timeout, never=("webops: unhealthy",))

    # SSH: one connection for all commands, because the machine limits the rate of new ones

    def _ssh(self, *arguments):
        # What is given first counts for ssh.
        return ["ssh", *arguments, "-p", str(self.facts["ssh_port"]), "-i", self.access.key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20",
                "-o", f"ControlPath={self.access.dir}/mux", "-o", "ControlMaster=auto", "-o", "ControlPersist=600",
                f"{self.user}@127.0.0.1"]

    def run(self, command, *, input="", check=True, timeout=180):
        """A command of the operator's; returns a CompletedProcess with text."""
        result = subprocess.run([*self._ssh(), command], input=input, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        assert not check or result.returncode == 0, f"{self.name}: `{command}` ended with {result.returncode}: {result.stdout}{result.stderr}"
        return result

    def out(self, command, **options):
        return self.run(command, **options).stdout.strip()

    def root(self, command, *, input="", check=True, timeout=180):
        """A command as root through sudo, whose password goes over standard input."""
        return self.run(f"sudo -S -p '' sh -c {shlex.quote(command)}", input=f"{self.password}\n{input}", check=check, timeout=timeout)

    def root_out(self, command, **options):
        return self.root(command, **options).stdout.strip()

    def status(self):
        return json.loads(self.root_out("webops status --json"))

    def places(self):
        """What lies on the state partition where stacks keep things, two levels deep."""
        return set(self.root_out("find /srv /var/lib /var/lib/webops/persist/etc -xdev -mindepth 1 -maxdepth 2").splitlines())

    def ignored(self, known=()):
        """What systemd's programs say they ignore, of files that the image or we gave them, without what is known of an older one."""
        lines = self.root_out("journalctl -b -q -o cat --no-pager -t systemd -t systemd-networkd -t systemd-udevd -t systemd-resolved").splitlines()
        assert lines, f"{self.name}: systemd has said nothing since the start"
        return [line for line in lines if "ignoring" in line and not any(word in line for word in known)]

    def disconnect(self):
        subprocess.run(self._ssh("-O", "exit"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def reboot(self):
        """Reboots from inside and waits for health; returns the console position where the new boot begins."""
        since = self.mark()
        self.root("systemctl --no-block reboot", check=False)
        self.disconnect()
        self.wait_healthy(since)
        return since

    # QEMU's control socket

    def qmp(self, command, **arguments):
        """One command; returns its result."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(30)
            control.connect(self.facts["qmp"])
            with control.makefile("rw") as stream:
                stream.readline()  # the greeting
                for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    stream.write(json.dumps(request) + "\n")
                    stream.flush()
                    answer = json.loads(stream.readline())
                    while "event" in answer:
                        answer = json.loads(stream.readline())
                    assert "return" in answer, f"{self.name}: {command}: {answer}"
        return answer["return"]

    def processors(self):
        """Where a machine that says nothing more stands, for messages: all its processors' registers, twice, in a file, and their instruction pointers.
        One that never moves waits with interrupts off; one that has halted waits for an interrupt; an emulator that does not answer is itself stuck."""
        path, seen = LOGS / f"{self.name}.registers", []
        try:
            with open(path, "w", encoding="utf-8") as file:
                for _ in range(2):
                    for question in ("info registers -a", "info lapic 0", "info pic"):
                        answer = self.qmp("human-monitor-command", **{"command-line": question})
                        file.write(f"({question})\n{answer}\n")
                        seen += re.findall(r"[RE]IP=(\w+) [RE]FL=(\w+).*HLT=(\d)", answer)
                    time.sleep(1)
        except (OSError, ValueError) as error:
            return f"QEMU tells nothing of its processors: {error}"
        return f"processors (instruction pointer, flags, halted; more in {path}): " + ", ".join(" ".join(words) for words in seen)

    def plug(self, is_in):
        """Pulls the cable of the card on the Link, or puts it back."""
        self.qmp("set_link", name="link", up=is_in)

    # End

    def cut_power(self):
        """As a power cut does it: nothing is written any more, nobody is told."""
        os.kill(self.facts["pid"], signal.SIGKILL)
        self.process.wait(30)
        self.disconnect()

    def end(self):
        """Switched off when nobody will look at its disk; otherwise it shuts down first, which takes its time in software emulation."""
        try:
            if self.facts and not self.keep:
                self.qmp("quit")
                return
        except (OSError, ValueError):  # no control socket (yet), or it went away under the answer
            pass
        self.process.send_signal(signal.SIGTERM)

    def stop(self, grace=40):
        self.disconnect()
        if self.process.poll() is None:
            self.end()
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                self.process.kill()  # QEMU dies with it (setpriv --pdeathsig)
                self.process.wait()
        self.process.stdout.close()
        if not self.keep_access:
            self.access.close()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
