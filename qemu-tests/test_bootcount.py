# SPDX-License-Identifier: Apache-2.0
"""Boot counting in the boot loaders themselves: whatever a generation on trial or the environments look like, the good slot starts.

GRUB is asked with a kernel that only prints its command line; the last two scenarios boot the real thing to the end (make check-full: in
`make check` test_update.py does that for UEFI, test_image_test.py for BIOS).
"""
import shutil
import subprocess

import pytest
from bootdisk import ENVIRONMENT_BYTES, Esp, Loader, environment, kernel, partition
from vm import OUT, VM

STARTS = r"START-([ab])"
GOOD_A, TRIAL_B = environment(4, "a"), environment(5, "a", "b", 2, 0)
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"


@pytest.fixture(scope="module")
def directory():
    path = OUT / "bootcount"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    yield path
    shutil.rmtree(path)


def copy(source, target):
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    return target


@pytest.fixture(scope="module")
def template(image, directory):
    """The image's boot sector, GRUB and ESP with two slots that say their name; nothing behind the ESP."""
    disk = copy(image.raw, directory / "template.raw")
    subprocess.run(["truncate", "-s", str(sum(partition(disk, 2))), disk], check=True)
    esp, program = Esp(disk), kernel(directory)
    for slot in "ab":
        esp.write(f"/webops/{slot}.linux", program)
        esp.write(f"/webops/{slot}.initrd", b"initramfs")
        esp.write(f"/webops/{slot}.cfg", f'set webops_cmdline="START-{slot}"\n'.encode())
    return disk


def put(esp, path, data):
    """None removes the file."""
    esp.write(path, data) if data is not None else esp.remove(path)


def flip(data, text, other):
    assert data.count(text) == 1
    return data.replace(text, other)


INJECTED = environment(9, "a", "b; echo INJECTED", 2, 0), environment(9, '"; echo INJECTED; "', "b", 2, 0), environment(9, "a", "b", "$(INJECTED)", 0)
FOREIGN = (b"# GRUB Environment Block\nprefix=(hd9)/x\nroot=hd9\nwebops_first=b\n" + TRIAL_B.split(b"\n", 1)[1])[:ENVIRONMENT_BYTES]

ENVIRONMENTS = {
    "trial spends its tries": (TRIAL_B, TRIAL_B, "bbaa"),
    "three tries": (environment(5, "a", "b", 3, 0), environment(5, "a", "b", 3, 0), "bbbaa"),
    "no trial": (GOOD_A, GOOD_A, "aa"),
    "b is good": (environment(1, "b"), environment(1, "b"), "bb"),
    "trial without tries": (environment(5, "a", "b", 0, 3), environment(5, "a", "b", 0, 3), "aa"),
    "a counter that is full": (environment(5, "a", "b", 1, 9), environment(5, "a", "b", 1, 9), "ba"),
    "the way back, a on trial": (environment(5, "b", "a", 1, 0), environment(5, "b", "a", 1, 0), "abb"),
    "first is newer": (environment(10, "a"), environment(9, "b"), "a"),
    "second is newer, as numbers": (environment(9, "a"), environment(10, "b"), "b"),
    "cut between the two copies": (GOOD_A, TRIAL_B, "bba"),
    "cut while GRUB spent a try": (environment(5, "a", "b", 1, 1), TRIAL_B, "ba"),
    "the same in the other copy": (TRIAL_B, environment(5, "a", "b", 1, 1), "ba"),
    "first missing": (None, TRIAL_B, "bba"),
    "second missing": (TRIAL_B, None, "bba"),
    "both missing": (None, None, "aa"),
    "first empty": (b"", TRIAL_B, "bba"),
    "both empty": (b"", b"", "aa"),
    "both only a header": (b"# GRUB Environment Block\n".ljust(ENVIRONMENT_BYTES, b"#"),) * 2 + ("aa",),
    "first 0xff": (b"\xff" * ENVIRONMENT_BYTES, TRIAL_B, "bba"),
    "both zeros": (bytes(ENVIRONMENT_BYTES),) * 2 + ("aa",),
    "first is cut to a sector": (TRIAL_B[:512], GOOD_A, "bba"),
    "first has a line too many": (TRIAL_B + b"\n", TRIAL_B, "bba"),
    "second sector lost": (TRIAL_B[:512] + bytes(512), environment(4, "a"), "a"),
    "a digit of the number": (flip(environment(5, "b"), b"number=5", b"number=7"), GOOD_A, "a"),
    "a digit of the tries": (flip(TRIAL_B, b"left=2", b"left=3"), flip(TRIAL_B, b"left=2", b"left=6"), "aa"),
    "the good slot's name": (flip(GOOD_A, b"good=a", b"good=b"), GOOD_A, "a"),
    "no slot's name": (environment(9, "c"), environment(9, "b", left=0, trial="-"), "b"),
    "tries that are no number": (environment(9, "a", "b", "x", 0), environment(9, "a", "b", "99", 0), "aa"),
    "trial is the good one": (environment(9, "a", "a", 3, 0), environment(9, "a", "a", 3, 0), "aa"),
    "commands in the trial's name": (INJECTED[0], INJECTED[0], "aa"),
    "commands in the good slot's name": (INJECTED[1], INJECTED[1], "aa"),
    "commands in the tries": (INJECTED[2], INJECTED[2], "aa"),
    "variables of others": (FOREIGN, FOREIGN, "bba"),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_grub_environment(template, directory, name):
    first, second, wanted = ENVIRONMENTS[name]
    disk = copy(template, directory / "environment.raw")
    esp = Esp(disk)
    put(esp, "/grub/env1", first)
    put(esp, "/grub/env2", second)
    with Loader("grub", disk) as loader:
        assert "".join(loader.wait(STARTS, len(wanted), 60)) == wanted
        assert "INJECTED\n" not in loader.console()


# Files that are missing: what is not there is removed, then the slots that are started. "." is a start that came to nothing.
FILES = {
    "trial without kernel": (TRIAL_B, ["b.linux"], "..aa"),
    "trial without initramfs": (environment(5, "a", "b", 1, 0), ["b.initrd"], ".a"),
    "trial without entry": (environment(5, "a", "b", 1, 0), ["b.cfg"], ".a"),
    "good slot without kernel": (environment(5, "a"), ["a.linux"], ".b"),
    "good slot without kernel, trial over": (environment(5, "a", "b", 0, 3), ["a.linux"], ".b"),
    "no environment, no slot A": (None, ["a.cfg", "a.linux"], "b"),
    "no environment, slot A has no kernel": (None, ["a.linux"], ".b"),
}


@pytest.mark.parametrize("name", FILES)
def test_grub_without_files(template, directory, name):
    env, missing, wanted = FILES[name]
    disk = copy(template, directory / "files.raw")
    esp = Esp(disk)
    for path in ("/grub/env1", "/grub/env2"):
        put(esp, path, env)
    for path in missing:
        esp.remove(f"/webops/{path}")
    with Loader("grub-files", disk) as loader:
        found = loader.wait(r"START-[ab]|webops: slot [ab] cannot be loaded", len(wanted), 90)
    assert "".join("." if "cannot" in text else text[-1] for text in found) == wanted


def test_grub_on_a_disk_that_takes_no_writes(template, directory):
    disk = copy(template, directory / "read-only.raw")
    for path in ("/grub/env1", "/grub/env2"):
        Esp(disk).write(path, TRIAL_B)
    with Loader("grub-read-only", disk, read_only=True) as loader:
        assert "".join(loader.wait(STARTS, 2, 60)) == "aa"
        assert "the try cannot be counted" in loader.console()


def test_what_grub_writes_is_read_by_webops_rules(template, directory):
    disk = copy(template, directory / "written.raw")
    esp = Esp(disk)
    for path in ("/grub/env1", "/grub/env2"):
        esp.write(path, environment(5, "a", "b", 3, 0))
    with Loader("grub-written", disk) as loader:
        loader.wait(STARTS, 1, 60)
    written = esp.read("/grub/env1")
    assert written in [environment(5, "a", "b", left, 3 - left) for left in range(3)] and esp.read("/grub/env2") in [
        environment(5, "a", "b", left, 3 - left) for left in range(4)]


def with_second_slot(image, path, tries, cmdline):
    """A disk whose slot B holds the same generation as A, on trial, with a command line of its own. Both backends say so."""
    disk = copy(image.raw, path)
    (a, size), (b, _) = partition(disk, 3), partition(disk, 4)
    subprocess.run(["dd", f"if={image.raw}", f"of={disk}", "bs=1M", f"skip={a}", f"seek={b}", f"count={size}", "iflag=skip_bytes,count_bytes",
                    "oflag=seek_bytes", "conv=notrunc,sparse", "status=none"], check=True)
    esp = Esp(disk)
    line = esp.read("/webops/a.cfg").decode().split('"')[1]
    uki = esp.read("/EFI/webops/a.efi")
    assert len(cmdline(line)) == len(line) and uki.count(line.encode()) == 1
    esp.write("/EFI/webops/b.efi", uki.replace(line.encode(), cmdline(line).encode()))
    esp.write(f"/loader/entries/b+{tries}.conf", b"title b\nsort-key webops\nversion 99\nefi /EFI/webops/b.efi\n")
    for name in ("linux", "initrd"):
        esp.write(f"/webops/b.{name}", esp.read(f"/webops/a.{name}"))
    esp.write("/webops/b.cfg", f'set webops_cmdline="{cmdline(line)}"\n'.encode())
    for copy_path in ("/grub/env1", "/grub/env2"):
        esp.write(copy_path, environment(2, "a", "b", tries, 0))
    return disk


def test_uefi_restarts_when_a_kernel_image_cannot_be_loaded(image, directory):
    disk = with_second_slot(image, directory / "truncated.raw", 2, lambda line: line)
    esp = Esp(disk)
    uki = esp.read("/EFI/webops/b.efi")
    esp.write("/EFI/webops/b.efi", uki[:len(uki) // 2])
    variables = copy(OVMF[1], directory / "variables.fd")
    firmware = ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF[0]}", "-drive", f"if=pflash,format=raw,file={variables}"]
    with Loader("uefi-truncated", disk, firmware=firmware, memory=1024) as loader:
        found = loader.wait(r"webops: the boot loader came back: .*restarting|Linux version|Shell>", 3, 180)
    assert ["came back" in text for text in found] == [True, True, False] and found[2] == "Linux version"
    assert esp.names("/loader/entries") == ["a.conf", "b+0-2.conf"]


@pytest.mark.full
def test_uefi_init_failure_returns_to_the_good_slot(image, config, directory):
    def other_hash(line):
        root_hash = line.split("webops.slot=")[1].split()[0].rsplit(":", 1)[1]
        return line.replace(root_hash, f"{int(root_hash, 16) ^ 1:064x}")

    disk = with_second_slot(image, directory / "init.raw", 2, other_hash)
    with VM("bootcount-init", disk, config=config) as vm:
        vm.wait_healthy()
        console = vm.console()
        assert "webops-init: cannot boot: step verity" in console and console.count("webops-init: restarting in") == 2
        assert vm.root_out("cat /run/webops/boot").startswith("SLOT=a")


@pytest.mark.full
def test_bios_panic_returns_to_the_good_slot(image, config, directory):
    def panics(line):  # no init in the initramfs: the kernel looks for a root file system, finds none, and panics
        words = "init_on_alloc=1 slab_nomerge "
        return line.replace(words, "rdinit=/none".ljust(len(words)))

    disk = with_second_slot(image, directory / "panic.raw", 2, panics)
    with VM("bootcount-panic", disk, config=config, bios=True) as vm:
        vm.wait_healthy()
        console = vm.console()
        assert console.count("Kernel panic") == 2 and "webops: trial of slot b, tries left after this one: 0" in console
        assert vm.root_out("cat /run/webops/boot").startswith("SLOT=a")
