# SPDX-License-Identifier: Apache-2.0
"""Secure Boot: a machine in setup mode enrols the keys of its image by itself, boots what is signed with them, and nothing else."""
import shutil
import struct
import subprocess

import generations
import images
import pytest
from vm import BOOT_SECONDS, OUT, ROOT, VM, Access

PROFILE = ROOT / "qemu-tests" / "profiles" / "dev.yaml"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURITY_DIRECTORY = 4 + 20 + 112 + 4 * 8  # from the PE signature on: COFF header, optional header, fifth data directory


@pytest.fixture(scope="module")
def keys():
    """Made once; kept with the image that was signed with them."""
    directory = OUT / "secure-boot-keys"
    if not directory.exists():
        images.good(images.webops_image("keygen", "--name", "Scenario", directory))
    return directory / "secure-boot"


@pytest.fixture(scope="module")
def signed(keys):
    return images.build(PROFILE, OUT / "secure-boot", "--secure-boot-key", keys / "db.key", "--secure-boot-cert", keys / "db.pem")


@pytest.fixture(scope="module")
def secured(signed, config, tmp_path_factory):
    """Has enrolled its keys and runs with Secure Boot; configured by a stick."""
    access = Access()
    disk = tmp_path_factory.mktemp("secured") / "disk.qcow2"
    with VM("secure-boot", signed.raw, secure_boot=True, access=access, extra=access.stick(config), keep=disk) as vm:
        vm.wait_console("Enrolling secure boot keys")
        vm.wait_healthy()
        yield vm
        vm.cut_power()  # its disk is of no use to anybody


def esp_file(image, path, to):
    offset = next(part["offset"] for part in image.inspect()["partitions"] if part["name"] == "esp")
    subprocess.run(["mcopy", "-n", "-o", "-i", f"{image.raw}@@{offset}", f"::{path}", to], check=True)
    return to


def variable(vm, name):
    """The first byte of a global EFI variable (behind four of attributes)."""
    return int(vm.root_out(f"od -An -t u1 -j 4 -N 1 /sys/firmware/efi/efivars/{name}-{GLOBAL}"))


def test_every_program_the_firmware_starts_is_signed(signed, keys, tmp_path):
    for path in ("/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi", "/EFI/webops/a.efi"):
        program = esp_file(signed, path, tmp_path / "program.efi")
        subprocess.run(["sbverify", "--cert", keys / "db.pem", program], check=True)
        other = subprocess.run(["sbverify", "--cert", keys / "KEK.pem", program], check=False, capture_output=True)
        assert other.returncode != 0, f"{path} is signed by the wrong key, too"


def test_enrolled_and_enforced(secured):
    assert "configuration: volume WEBOPS" in secured.root_out("journalctl -b -u webops-early --no-pager")
    assert variable(secured, "SecureBoot") == 1
    assert variable(secured, "SetupMode") == 0
    assert "secureboot: Secure boot enabled" in secured.root_out("journalctl -b -k --no-pager")


def put_as_b(vm, tamper):
    """Puts the running UKI, tampered with, on the ESP as slot B's, with one try and the higher version."""
    esp = "/run/esp"
    vm.root(f"mkdir -p {esp} && mount /dev/disk/by-partlabel/esp {esp} && rm -f {esp}/loader/entries/b* && cp {esp}/EFI/webops/a.efi {esp}/EFI/webops/b.efi"
            f" && {tamper.format(uki=f'{esp}/EFI/webops/b.efi')} && ! cmp -s {esp}/EFI/webops/a.efi {esp}/EFI/webops/b.efi"
            f" && printf 'title tampered\\nsort-key webops\\nversion 9\\nefi /EFI/webops/b.efi\\n' > {esp}/loader/entries/b+1.conf && umount {esp}")


def entries(vm):
    return vm.root_out("mkdir -p /run/esp && mount -o ro /dev/disk/by-partlabel/esp /run/esp && ls /run/esp/loader/entries && umount /run/esp").split()


@pytest.mark.parametrize("how", ["altered", pytest.param("unsigned", marks=pytest.mark.full)])
def test_tampered_uki_does_not_boot_and_the_machine_comes_back(secured, signed, tmp_path, how):
    if how == "altered":  # in the middle: of the kernel or of what is in its section; a single byte may be the one that is there
        tamper = "printf tampered | dd of={uki} bs=1 seek=$(($(stat -c %s {uki}) / 2)) conv=notrunc status=none"
    else:  # the header no longer says where the signature is
        uki = esp_file(signed, "/EFI/webops/a.efi", tmp_path / "a.efi").read_bytes()
        at = struct.unpack_from("<I", uki, 0x3c)[0] + SECURITY_DIRECTORY
        assert any(uki[at:at + 8]), "the UKI has no signature"
        tamper = f"dd if=/dev/zero of={{uki}} bs=1 count=8 seek={at} conv=notrunc status=none"
    put_as_b(secured, tamper)
    since = secured.mark()
    secured.root("systemctl --no-block reboot", check=False)
    secured.disconnect()
    secured.wait_console("restarting in 5 seconds", since, never=("webops-init:",))  # our restart program: the boot loader came back
    secured.wait_healthy(since, 2 * BOOT_SECONDS)  # two starts of the firmware, and the boot itself
    console = secured.console(since)
    assert "Error loading \\EFI\\webops\\b.efi: Access Denied" in console
    assert console.count("starting its init") == 1, "the tampered UKI ran"
    assert "b+0-1.conf" in entries(secured)
    assert variable(secured, "SecureBoot") == 1


def test_image_without_signatures_is_refused_by_an_enrolled_machine(image, secured, tmp_path):
    """The firmware with that machine's variables, and another disk: it refuses the boot loader itself."""
    disk = tmp_path / "disk.qcow2"
    shutil.copyfile(f"{secured.keep}.vars", f"{disk}.vars")
    with VM("secure-boot-unsigned", image.raw, secure_boot=True, keep=disk) as vm:
        vm.wait_console("Access Denied", never=("boot loader came back", "webops-init:"))


@pytest.mark.full
def test_update_commit_and_rollback_under_secure_boot(signed, keys, config):
    """The whole way with a generation signed by the enrolled keys, as `webops update` installs it."""
    new = images.build(generations.recipe("next", 2, layer="next"), OUT / "gen-secure-next", "--secure-boot-key", keys / "db.key",
                       "--secure-boot-cert", keys / "db.pem", name="dev")
    arguments, device = generations.disk_arguments({"next": generations.bundle(new)}), generations.device("next")
    with VM("secure-boot-update", signed.raw, config=config, secure_boot=True, extra=arguments) as vm:
        vm.wait_console("Enrolling secure boot keys")
        vm.wait_healthy()
        for command, slot in ((f"webops update {device} --reboot", "b"), ("webops rollback", "a")):
            since = vm.mark()
            vm.root(command, check=False, timeout=600)
            vm.wait_healthy(since, 2 * BOOT_SECONDS)
            vm.disconnect()
            assert vm.status()["slot"] == slot and variable(vm, "SecureBoot") == 1
            assert "secureboot: Secure boot enabled" in vm.root_out("journalctl -b -k --no-pager")
