# SPDX-License-Identifier: Apache-2.0
"""A virtual machine whose disk writes are recorded: QEMU's blklogwrites between the disk and its image sees firmware, boot loader and kernel alike.

The command line is that of `webops-image run` but for the disk. Always software emulation, so that a recording does not depend on the host.
"""
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from vm import ACCEL, CPU, LOGS, VM, Access

from . import writelog

FIRMWARE = Path("/usr/share/OVMF")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Recorded(VM):
    """Boots `disk` (raw) with its writes in `overlay` and their log in `log`; both are made anew.
    `more` {serial: path}: further read-only disks, /dev/disk/by-id/virtio-<serial> in the machine."""

    def __init__(self, name, disk, log, overlay, *, access, bios=False, more=None, user="ops", memory=1024):
        self.name, self.user, self.access, self.log, self.overlay = name, user, access, Path(log), Path(overlay)
        self.password = "correct horse battery"
        LOGS.mkdir(parents=True, exist_ok=True)
        self.serial = LOGS / f"{name}.log"
        self.serial.write_bytes(b"")
        self.log.write_bytes(b"")
        self.overlay.unlink(missing_ok=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", Path(disk).resolve(), "-F", "raw", self.overlay], check=True)
        self.vars = self.overlay.with_suffix(".vars")
        port, control = free_port(), self.overlay.with_suffix(".qmp")
        self.facts = {"ssh_port": port, "qmp": str(control)}
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-name", name, "-nodefaults", "-no-user-config", "-display", "none", "-vga", "std",
                   "-machine", "q35", "-accel", ACCEL, "-cpu", CPU, "-m", str(memory), "-smp", "1" if bios else "2", "-device", "virtio-rng-pci"]
        if not bios:
            shutil.copyfile(FIRMWARE / "OVMF_VARS_4M.fd", self.vars)
            command += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.fd",
                        "-drive", f"if=pflash,unit=1,format=raw,file={self.vars}"]
        command += ["-blockdev", f"driver=file,node-name=image,filename={self.overlay}", "-blockdev", "driver=qcow2,node-name=disk,file=image",
                    "-blockdev", f"driver=file,node-name=logfile,filename={self.log}",
                    "-blockdev", "driver=blklogwrites,node-name=recorded,file=disk,log=logfile,log-sector-size=512,log-super-update-interval=1",
                    # A request of the guest has 254 pieces at most. QEMU would make one of several, with up to IOV_MAX (1024) pieces, to which blklogwrites adds its own:
                    # the write of the log fails, and the guest gets an I/O error.
                    "-device", "virtio-blk-pci,drive=recorded,bootindex=1,request-merging=off"]
        for serial, path in (more or {}).items():
            command += ["-drive", f"if=none,id={serial},format=raw,readonly=on,file={path}", "-device", f"virtio-blk-pci,drive={serial},serial={serial}"]
        command += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net,romfile=",
                    "-chardev", f"file,id=serial,append=on,path={self.serial}", "-serial", "chardev:serial",
                    "-chardev", f"socket,id=qmp,server=on,wait=off,path={control}", "-mon", "chardev=qmp,mode=control"]
        self.started = time.monotonic()
        self.errors = open(LOGS / f"{name}.run", "wb")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def position(self):
        """Entries logged so far."""
        return writelog.count(self.log)

    def reset(self):
        """As the button does: nothing is told to the machine, what QEMU has accepted stays."""
        self.qmp("system_reset")
        self.disconnect()

    def wait_end(self, timeout=120):
        self.disconnect()
        self.process.wait(timeout)

    def power_off(self, timeout=180):
        self.root("systemctl --no-block poweroff", check=False)
        self.wait_end(timeout)

    def stop(self, grace=40):
        self.disconnect()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        self.overlay.unlink(missing_ok=True)
        self.vars.unlink(missing_ok=True)
        Path(self.facts["qmp"]).unlink(missing_ok=True)
        return self.process.returncode


class Keys(Access):
    """Keys and secrets that outlive their machine: several machines in turn are the same one."""

    def close(self):
        pass

    def remove(self):
        super().close()


def prepared(image, directory, config, access, *, disk_size="3G"):
    """A raw disk on which the image was booted once and configured, and was shut down properly. Nothing of that is recorded."""
    directory.mkdir(parents=True, exist_ok=True)
    keep, raw = directory / "first.qcow2", directory / "first.raw"
    for path in directory.glob("first.qcow2*"):
        path.unlink()
    with VM(f"{directory.name}-first", image, config=config, disk_size=disk_size, keep=keep, access=access) as vm:
        vm.wait_healthy()
        vm.root("systemctl --no-block poweroff", check=False)
        vm.disconnect()
        vm.process.wait(180)
    subprocess.run(["qemu-img", "convert", "-O", "raw", keep, raw], check=True)
    for path in directory.glob("first.qcow2*"):
        path.unlink()
    return raw
