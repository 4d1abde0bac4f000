# SPDX-License-Identifier: Apache-2.0
"""The full kernel and the drivers of servers: the init finds its disk behind each kind of controller, and a chipset's watchdog is used."""
import shutil

import images
import pytest
from test_init import Files, works
from vm import OUT, ROOT, VM

pytestmark = pytest.mark.full
SCSI = ["-device", "scsi-hd,drive=disk,bus=hba.0"]
CONTROLLERS = {
    "ahci": ["-device", "ahci,id=hba", "-device", "ide-hd,drive=disk,bus=hba.0"],
    "piix": ["-device", "ide-hd,drive=disk,bus=ide.0"],  # the machine's own
    "megaraid": ["-device", "megasas,id=hba", *SCSI],
    "megaraid-gen2": ["-device", "megasas-gen2,id=hba", *SCSI],
    "lsi-sas": ["-device", "mptsas1068,id=hba", "-device", "scsi-hd,drive=disk,bus=hba.0,wwn=0x5000970000000001"],  # SAS disks have a name, and Linux wants one
    "pvscsi": ["-device", "pvscsi,id=hba", *SCSI],
    "virtio-scsi": ["-device", "virtio-scsi-pci,id=hba", *SCSI],
    "nvme": ["-device", "nvme,serial=1,drive=disk"],
    "usb": ["-device", "qemu-xhci", "-device", "usb-storage,drive=disk"],
    "usb-uas": ["-device", "qemu-xhci", "-device", "usb-uas,id=hba", *SCSI],
}


@pytest.fixture(scope="module")
def server():
    return images.build(ROOT / "qemu-tests" / "profiles" / "server.yaml", OUT / "server")


@pytest.fixture(scope="module")
def files(server):
    directory = OUT / "server-init"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    yield Files(server, directory)
    shutil.rmtree(directory)


@pytest.mark.parametrize("name", CONTROLLERS)
def test_disk_behind(files, name):
    drive = ["-drive", f"file={files.raw},format=raw,if=none,id=disk,snapshot=on"]
    console = works(files, f"server-{name}", [], devices=[*drive, *CONTROLLERS[name]])
    assert "generation on /dev/" + ("nvme0n1p3" if name == "nvme" else "sda3") in console


def test_watchdog_of_the_chipset(server, config):
    with VM("server", server.raw, config=config, extra=["-device", "i6300esb"]) as vm:
        vm.wait_healthy()
        found = vm.root_out("cd /sys/class/watchdog; for dog in *; do echo $(cat $dog/state) $(cat $dog/identity); done").splitlines()
        assert [line for line in found if line.startswith("active i6300ESB")], found
        assert vm.root_out("systemctl --failed --no-legend --plain") == ""
