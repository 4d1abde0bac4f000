# SPDX-License-Identifier: Apache-2.0
"""A vendor's cloud image as base. The disk is made here, of our own base: a root file system in a GPT with EFI partition, two kernels, and what cloud
images bring along and would spoil ours. libguestfs reads it for real."""
import json
import shutil
import subprocess
from pathlib import Path

import images
import pytest
from images import environment, good, webops_image
from vm import LOGIN, OUT, ROOT, VM

DIR = OUT / "vendor"
OLD_KERNEL = "5.10.0-1-amd64"
SECRET = "Canary5Qp81vendor"
DEFINITION = """\
id: vendor-test
name: A vendor's Debian
family: debian
backend: vendor
architecture: amd64
disk:
  file: {disk}
manager: apt
{more}sources:
  - archive: debian
    suites: [bookworm, bookworm-updates]
    components: [main]
    keyring: /usr/share/keyrings/debian-archive-keyring.gpg
  - archive: debian-security
    suites: [bookworm-security]
    components: [main]
    keyring: /usr/share/keyrings/debian-archive-keyring.gpg
packages: [chrony, vim-tiny]
enable:
  - {{unit: systemd-networkd.service, wants: multi-user.target}}
  - {{unit: systemd-networkd.socket, wants: sockets.target}}
  - {{unit: systemd-networkd-wait-online.service, wants: network-online.target}}
  - {{unit: systemd-resolved.service, wants: sysinit.target}}
links:
  - {{path: /etc/resolv.conf, target: ../run/systemd/resolve/stub-resolv.conf}}
exclude:
  - /usr/share/doc/*
"""
PROFILE = """\
name: vendor
version: 2026.11.1
sequence: 1
image: vendor-test
layers: [base, hardening]
slot_size: 768M
esp_size: 128M
state_size: 64M
zstd_level: 3
modules: cloud
cmdline: [console=tty0, "console=ttyS0,115200n8", panic=10]
outputs: []
"""
# A unit that fails would make the machine unhealthy, an fstab with partitions of another disk would not let it start.
LEFTOVERS = {
    "etc/cloud/cloud.cfg": "datasource_list: [ NoCloud ]\n",
    "etc/netplan/50-cloud-init.yaml": "network: {version: 2}\n",
    "etc/fstab": "UUID=11111111-2222-3333-4444-555555555555 / ext4 defaults 0 1\nLABEL=NOT-HERE /boot/efi vfat defaults 0 1\n",
    "etc/hostname": "vendor-host\n",
    "etc/ssh/ssh_host_ed25519_key": f"{SECRET}\n",
    "etc/systemd/system/sockets.target.wants/ssh.socket": "[Socket]\nListenStream=22\n",
    "etc/systemd/system/ssh.service.requires/ssh.socket": "[Socket]\nListenStream=22\n",
    "etc/systemd/system/snap.core.mount": "[Mount]\nWhat=/nowhere\nWhere=/snap/core\n",
    "home/debian/.ssh/authorized_keys": f"ssh-ed25519 {SECRET}\n",
    "root/.ssh/authorized_keys": f"ssh-ed25519 {SECRET}\n",
    "usr/lib/python3/dist-packages/cloudinit/version.py": "",
    "usr/lib/systemd/system/cloud-init.service": "[Service]\nType=oneshot\nExecStart=/usr/bin/false\n",
    "var/lib/cloud/instances/i-1/user-data.txt": f"password: {SECRET}\n",
    f"boot/vmlinuz-{OLD_KERNEL}": "an old kernel\n",
    f"usr/lib/modules/{OLD_KERNEL}/modules.dep": "",
}


def tool(*arguments):
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)


def base_tree(image, tree):
    """Our base as its packages' files lie in a distribution: /var and the package database in their places, a kernel in /boot."""
    report = image.inspect()
    slot = next(part for part in report["partitions"] if part["name"] == "webops-a")
    esp = next(part for part in report["partitions"] if part["name"] == "esp")
    tool("unsquashfs", "-quiet", "-no-progress", "-o", str(slot["offset"] + report["slots"][0]["layers"][0]["offset"]), "-d", tree, image.raw)
    shutil.rmtree(tree / "var")
    (tree / "usr/share/factory/var").rename(tree / "var")
    (tree / "var/lib/dpkg").unlink()
    (tree / "usr/lib/sysimage/dpkg").rename(tree / "var/lib/dpkg")
    for link in (tree / "etc/systemd/system").glob("*.wants/systemd-networkd*"):  # a vendor's image may use something else
        link.unlink()
    (tree / "etc/resolv.conf").unlink()
    release = next((tree / "usr/lib/modules").iterdir()).name
    tool("mcopy", "-i", f"{image.raw}@@{esp['offset']}", "::webops/a.linux", tree / f"boot/vmlinuz-{release}")
    return release


def add_leftovers(tree):
    for name, text in LEFTOVERS.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tree / "etc/machine-id").chmod(0o644)
    (tree / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "cloud-init.service").symlink_to("/usr/lib/systemd/system/cloud-init.service")
    with open(tree / "var/lib/dpkg/status", "a", encoding="utf-8") as status:
        status.write("Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n")


def partitioned(path, *trees):
    """A raw disk with an empty EFI partition and an ext4 file system of each tree."""
    megabytes, table = 66, "label: gpt\nstart=1MiB, size=64MiB, type=U, name=EFI\n"
    starts = []
    for tree in trees:
        used = int(subprocess.run(["du", "-sm", tree], check=True, text=True, stdout=subprocess.PIPE).stdout.split()[0])
        size = used + used // 4 + 32
        table += f"start={megabytes}MiB, size={size}MiB, type=L\n"
        starts.append((megabytes, size))
        megabytes += size
    with open(path, "wb") as disk:
        disk.truncate((megabytes + 2) << 20)
    subprocess.run(["sfdisk", "--quiet", path], input=table, text=True, check=True)
    for tree, (start, size) in zip(trees, starts):
        tool("mke2fs", "-q", "-t", "ext4", "-d", tree, "-E", f"offset={start << 20}", path, f"{size}M")


@pytest.fixture(scope="module")
def disk(image):
    """A qcow2 as a vendor publishes them, and the release of its newer kernel."""
    shutil.rmtree(DIR, ignore_errors=True)
    DIR.mkdir(parents=True)
    tree, raw, path = DIR / "tree", DIR / "disk.raw", DIR / "disk.qcow2"
    release = base_tree(image, tree)
    add_leftovers(tree)
    partitioned(raw, tree)
    shutil.rmtree(tree)
    tool("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, path)
    raw.unlink()
    yield path, release
    shutil.rmtree(DIR, ignore_errors=True)


def project(path, disk_path, more=""):
    """Our data and, in a directory of its own, a profile on an image definition with that disk; returns the profile."""
    shutil.rmtree(path, ignore_errors=True)
    (path / "images").mkdir(parents=True)
    (path / "profiles").mkdir()
    (path / "images/vendor-test.yaml").write_text(DEFINITION.format(disk=disk_path, more=more))
    profile = path / "profiles/vendor.yaml"
    profile.write_text(PROFILE)
    return profile


@pytest.fixture(scope="module")
def baked(disk):
    return images.build(project(DIR / "project", disk[0]), OUT / "vendor-image", name="vendor")


def refused(profile, *words):
    result = webops_image("plan", profile)
    assert result.returncode == 1, result.stdout + result.stderr
    for word in words:
        assert word in result.stderr, f"'{word}' is not in: {result.stderr}"


def test_what_is_no_whole_disk_is_refused_before_anything_starts(disk):
    cut, text = DIR / "cut.qcow2", DIR / "text.raw"
    cut.write_bytes(disk[0].read_bytes()[:8 << 20])
    text.write_bytes(b"no disk\n" * 512)
    refused(project(DIR / "bad", cut), "cut.qcow2", "damaged or cut off")
    refused(project(DIR / "bad", text), "text.raw", "neither a qcow2 nor a raw disk")
    refused(project(DIR / "bad", DIR / "missing.raw"), ": disk.file: ", "missing.raw")
    refused(project(DIR / "bad", f"{disk[0]}\n  sha256: {'0' * 64}"), "has SHA-256", "the definition says 0000")
    refused(project(DIR / "bad", disk[0], "stand_ins: [x]\n"), "stand_ins: a vendor's image")


def test_inspect_tells_what_a_foreign_disk_is(disk):
    path, release = disk
    report = json.loads(good(webops_image("inspect", "--json", path)).stdout)
    assert report["foreign"] is True and report["format"] == "qcow2" and report["table"] == "gpt"
    assert len(report["partitions"]) == 2 and {"device": "/dev/sda2", "type": "ext4", "label": ""} in report["file_systems"]
    (system,) = report["systems"]
    assert (system["distribution"], system["architecture"], system["packages_are"]) == ("debian", "x86_64", "deb")
    assert set(system["kernels"]) == {release, OLD_KERNEL}
    packages = {package["name"] for package in system["packages"]}
    assert {"systemd", "openssh-server"} <= packages and "gone" not in packages


def test_vendor_disk_becomes_an_image_that_is_healthy(disk, baked):
    release = disk[1]
    listed = [line.split("\t") for line in baked.file(".packages").read_text().splitlines()]
    by_layer = {(layer, name) for layer, name, *_ in listed}
    assert ("vendor-test", "systemd") in by_layer and ("system", "vim-tiny") in by_layer and ("base", "cloud-guest-utils") in by_layer
    assert not any(name in ("gone", "chrony") and layer != "vendor-test" for layer, name in by_layer)  # what the disk has is not installed again
    assert "gone" not in {name for _, name in by_layer}
    assert baked.inspect()["verified"] is True
    with VM("vendor", baked.raw, config=LOGIN + "HOSTNAME=from-vendor\n") as vm:
        vm.wait_healthy()
        assert vm.out("uname -r; ls /usr/lib/modules").split() == [release, release]
        assert vm.root_out("systemctl --failed --no-legend --plain") == ""
        assert vm.out("hostname") == "from-vendor"
        gone = " ".join(f"/{name}" for name in LEFTOVERS if not name.startswith(("boot", "etc/fstab", "etc/hostname", "etc/ssh", "root")))
        assert vm.root_out(f"ls -d {gone} 2>/dev/null", check=False) == ""
        assert vm.root_out(f"grep -rlF {SECRET} /etc /home /root /var/lib /usr/share/factory 2>/dev/null", check=False) == ""
        assert vm.root_out("getcap /usr/bin/ping").endswith("cap_net_raw=ep")  # attributes come through
        assert "0123456789abcdef" not in vm.out("cat /etc/machine-id")


def test_second_build_takes_all_from_the_cache_and_the_lock_pins_the_disk(disk, baked):
    profile = DIR / "project/profiles/vendor.yaml"
    plan = good(webops_image("plan", profile)).stdout
    assert plan.count("cached") >= 8 and "build:" not in plan, plan
    good(webops_image("lock", profile))
    lock = profile.with_suffix(".lock").read_text()
    digest = subprocess.run(["sha256sum", disk[0]], check=True, text=True, stdout=subprocess.PIPE).stdout.split()[0]
    part = next(line for line in lock.splitlines() if line.startswith("part vendor-test "))
    assert part.endswith(f"disk:{digest}")
    result = webops_image("build", profile, "--locked", "-o", OUT / "vendor-image", timeout=900)
    assert result.returncode == 0, result.stderr


@pytest.mark.full
def test_named_kernel_comes_as_a_package(disk):
    image = images.build(project(DIR / "kernel", disk[0], "kernel: linux-image-amd64\n"), OUT / "vendor-kernel", name="vendor")
    listed = image.file(".packages").read_text()
    assert "system\tlinux-image-amd64\t" in listed
    with VM("vendor-kernel", image.raw, config=LOGIN) as vm:
        vm.wait_healthy()
        running, modules = vm.out("uname -r; ls /usr/lib/modules").split()
        assert running == modules and running not in (disk[1], OLD_KERNEL)


@pytest.mark.full
def test_same_disk_gives_the_same_bytes(disk, baked):
    cache = DIR / "second-cache"
    first, second = baked.dir, DIR / "second"
    good(webops_image("build", DIR / "project/profiles/vendor.yaml", "-o", second, env=environment(WEBOPS_CACHE=cache), timeout=900))
    tool("cmp", next(Path(first).glob("*.raw")), next(second.glob("*.raw")))


@pytest.mark.full
def test_disks_without_one_system_are_refused_by_name():
    """None, an encrypted one, and two."""
    DIR.mkdir(parents=True, exist_ok=True)
    empty, one, two = (DIR / name for name in ("empty-tree", "one-tree", "two-tree"))
    for tree in (empty, one, two):
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
    for tree in (one, two):
        for name in ("bin", "boot", "dev", "etc", "lib", "proc", "usr/bin", "var/lib/dpkg"):
            (tree / name).mkdir(parents=True)
        (tree / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian"\n')
        (tree / "etc/debian_version").write_text("12.5\n")
        (tree / "etc/fstab").write_text("/dev/sda2 / ext4 defaults 0 1\n")
        shutil.copy("/bin/true", tree / "bin/true")
    partitioned(DIR / "empty.raw", empty)
    partitioned(DIR / "both.raw", one, two)
    partitioned(DIR / "luks.raw", empty)
    # Only the header matters here, and it can be made without a device: libcryptsetup writes it into a file.
    luks = DIR / "luks.part"
    with open(luks, "wb") as part:
        part.truncate(20 << 20)
    subprocess.run(["cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", luks, "-"],
                   input=b"secret", check=True)
    with open(DIR / "luks.raw", "r+b") as whole:
        whole.seek(66 << 20)
        whole.write(luks.read_bytes())
    refused(project(DIR / "bad", DIR / "empty.raw"), "no operating system was found", "/dev/sda2 ext4")
    refused(project(DIR / "bad", DIR / "both.raw"), "has 2 operating systems")
    refused(project(DIR / "bad", DIR / "luks.raw"), "is encrypted (LUKS)")
    assert "no operating system" in good(webops_image("inspect", DIR / "empty.raw")).stdout
    assert (ROOT / "images/vendor/remove.list").exists()
