# SPDX-License-Identifier: Apache-2.0
"""A vendor's cloud image with rpm packages as base (rpmdisk.py), updated on the running machine, and the disks of which no base can be made."""
import json
import re
import shutil
import subprocess

import families
import generations
import images
import pytest
import rpmdisk
import rpmrepo
from images import environment, good, webops_image
from rpmrepo import SETTINGS
from test_update import committed, restarts
from vm import LOGIN, OUT, ROOT, SHARED, VM

DIR = OUT / "vendor-rpm"
# What the disk lacks: the definition brings it (layer `system`), our layer `base`, and one of the scenarios.
NOT_ON_DISK = ("nftables", "cloud-utils-growpart", "less", "iputils")
PROFILE = """\
name: vendor-rpm
version: 2026.11.{sequence}
sequence: {sequence}
image: vendor-rpm
layers: [{layers}]
slot_size: 768M
esp_size: 128M
state_size: 64M
zstd_level: 3
modules: cloud
cmdline: [console=tty0, "console=ttyS0,115200n8", panic=10]
outputs: []
"""
# iputils is not on the disk; systemd is, and is left as it is there.
LAYER = "name: more\nversion: '1'\nsummary: a package on top\npackages: {dnf: [iputils, systemd]}\n"


class Vendor:
    """The disk, a project with its definition, and a repository that has what the disk lacks."""

    def __init__(self, top):
        self.top, self.disk, self.repository = top, top / "disk.qcow2", families.once(rpmrepo.Repository, "rocky-9", SHARED / "rocky-9-1", "1")

    def packages(self):
        every = sorted(path for name in ("baseos", "appstream") for path in (self.repository.top / name).glob("*.rpm"))
        return [path for path in every if not path.name.startswith(NOT_ON_DISK)]

    def make(self):
        shutil.rmtree(self.top, ignore_errors=True)
        self.top.mkdir(parents=True)
        own = rpmdisk.own_packages(self.top / "own", SETTINGS)
        self.release = rpmdisk.install(self.top / "tree", [*self.packages(), *own], self.repository.home / "key.asc")
        rpmdisk.add_leftovers(self.top / "tree")
        rpmdisk.write(self.top / "tree", self.top / "disk.raw")
        shutil.rmtree(self.top / "tree")
        subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", self.top / "disk.raw", self.disk], check=True)
        (self.top / "disk.raw").unlink()
        return self

    def definition(self, disk, more=""):
        """The shipped one of packages, with the disk instead of most of them."""
        text = (self.repository.top / "images/rocky-9.yaml").read_text()
        text = generations.changed(text, "^id: .*", "id: vendor-rpm")
        text = generations.changed(text, "^kernel: .*\n", "")
        text = generations.changed(text, "^backend: dnf", f"backend: vendor\nmanager: dnf\ndisk:\n  file: {disk}\n{more}".rstrip("\n"))
        return re.sub(r"^packages:\n(  - .*\n)+", "packages: [chrony, nftables]\n", text, flags=re.MULTILINE)

    def project(self, name, sequence=1, layers="base, hardening, more", disk=None, more=""):
        path = self.top / name
        for directory in ("images", "profiles", "overlays/more"):
            (path / directory).mkdir(parents=True, exist_ok=True)
        (path / "images/vendor-rpm.yaml").write_text(self.definition(disk or self.disk, more))
        (path / "overlays/more/layer.yaml").write_text(LAYER)
        if not (path / "overlays/next").exists():
            shutil.copytree(ROOT / "qemu-tests/overlays/next", path / "overlays/next")
        profile = path / f"profiles/vendor-rpm-{sequence}.yaml"
        profile.write_text(PROFILE.format(sequence=sequence, layers=layers))
        return profile

    def env(self, **changes):
        return environment(WEBOPS_MIRRORS=self.repository.top / "mirrors", **changes)

    def build(self, profile, out):
        return images.bake(profile, out, name="vendor-rpm", env=self.env())

    def refused(self, profile, *words):
        result = webops_image("plan", profile, env=self.env())
        assert result.returncode == 1, result.stdout + result.stderr
        for word in words:
            assert word in result.stderr, f"'{word}' is not in: {result.stderr}"


@pytest.fixture(scope="module")
def vendor():
    yield Vendor(DIR).make()
    shutil.rmtree(DIR, ignore_errors=True)


@pytest.fixture(scope="module")
def baked(vendor):
    return vendor.build(vendor.project("project"), OUT / "vendor-rpm-1")


@pytest.mark.full
def test_inspect_names_the_distribution(vendor):
    report = json.loads(good(webops_image("inspect", "--json", vendor.disk)).stdout)
    assert report["table"] == "gpt" and [fs["type"] for fs in report["file_systems"]] == ["vfat", "ext4", "ext4"]
    (system,) = report["systems"]
    assert (system["distribution"], system["version"], system["architecture"], system["packages_are"]) == ("rocky", "9.4", "x86_64", "rpm")
    assert set(system["kernels"]) == {vendor.release, rpmdisk.OLD_KERNEL}
    versions = {(package["name"], package["version"]) for package in system["packages"]}
    assert {("cloud-init", "1:24.1-1.el9"), ("systemd", "1-1.el9"), ("kernel-core", "1:5.10.0-1.el9")} <= versions
    assert "gpg-pubkey" not in {name for name, _ in versions}


def test_the_base_is_the_disk_without_what_is_the_vendors(vendor, baked):
    listed = [line.split("\t") for line in baked.file(".packages").read_text().splitlines()]
    by_layer = {(layer, name, version) for layer, name, version, _ in listed}
    assert {("vendor-rpm", "kernel-core", "1-1.el9"), ("vendor-rpm", "chrony", "1-1.el9"), ("system", "nftables", "1-1.el9"),
            ("base", "cloud-utils-growpart", "1-1.el9")} <= by_layer
    names = [name for _, name, *_ in listed]
    assert len(names) == len(set(names)) and "cloud-init" not in names  # what the disk has is not installed again, and one kernel is left
    urls = re.findall(r'"pkg:[^"]*"', baked.file(".spdx.json").read_text())
    assert len(urls) == len(names) and all(url.startswith('"pkg:rpm/rocky/') for url in urls)
    good(webops_image("lock", baked.profile, env=vendor.env()))
    lock = baked.profile.with_suffix(".lock").read_text()
    digest = subprocess.run(["sha256sum", vendor.disk], check=True, text=True, stdout=subprocess.PIPE).stdout.split()[0]
    assert re.search(rf"^part vendor-rpm {names.index('nftables')} disk:{digest}$", lock, re.MULTILINE), lock
    plan = good(webops_image("plan", baked.profile, "--locked", env=vendor.env())).stdout
    assert "build:" not in plan and plan.count("cached") >= 8, plan


@pytest.fixture(scope="module")
def machine(request, vendor, baked):
    """With `make check-full` the next generation of it is attached as a disk."""
    disks = []
    if "not full" not in request.config.getoption("markexpr"):
        following = vendor.build(vendor.project("project", 2, "base, hardening, more, next"), OUT / "vendor-rpm-2")
        disks = generations.disk_arguments({"next": generations.bundle(following)})
    with VM("vendor-rpm", baked.raw, config=LOGIN + "HOSTNAME=from-vendor\n", extra=disks) as vm:
        vm.wait_healthy()
        yield vm


def query(machine, *packages):
    """What rpm says of them on the machine, one line each."""
    rpm = "rpm --dbpath /var/lib/rpm -q --queryformat '%{NAME} %{VERSION}\n' "  # Debian's rpm, which the fixture has, looks into the home directory
    return machine.out(rpm + " ".join(packages), check=False).splitlines()


def test_machine_is_healthy_and_nothing_of_the_vendor_is_left(vendor, machine):
    assert machine.out("uname -r; ls /usr/lib/modules").split() == [vendor.release, vendor.release]
    assert machine.root_out("systemctl --failed --no-legend --plain") == ""
    assert machine.root_out("webops drift") == "no drift"
    assert machine.out("hostname") == "from-vendor"
    assert query(machine, "kernel-core", "nftables", "less", "iputils", "cloud-init") == [
        "kernel-core 1", "nftables 1", "less 1", "iputils 1", "package cloud-init is not installed"]
    assert "1 received" in machine.root_out("ping -c 1 127.0.0.1")
    gone = [f"/{name}" for name in rpmdisk.LEFTOVERS if not name.startswith(("etc/fstab", "etc/hostname", "root/.ssh"))]
    gone += ["/usr/bin/cloud-init", "/usr/libexec/first-start", "/usr/lib/systemd/system/first-start.service", "/etc/cloud",
             "/etc/systemd/system/multi-user.target.wants/first-start.service", "/etc/systemd/system/multi-user.target.wants/cloud-init.service"]
    assert machine.root_out(f"ls -d {' '.join(gone)} 2>/dev/null", check=False) == ""
    assert machine.root_out(f"grep -rlF {rpmdisk.SECRET} /etc /home /root /var/lib /usr/share/factory 2>/dev/null", check=False) == ""
    assert machine.root_out("findmnt -no FSTYPE /boot", check=False) == "" and "UUID=" not in machine.out("cat /etc/fstab", check=False)
    assert "0123456789abcdef" not in machine.out("cat /etc/machine-id")


def test_capabilities_and_labels_come_through(machine):
    assert machine.root_out(f"getcap /{rpmdisk.CAPABLE}").endswith("cap_net_raw=ep")
    label = "import os; print(os.getxattr('/usr/sbin/sshd', 'security.selinux'))"
    assert "sshd_exec_t" in machine.root_out(f'python3 -c "{label}"')


@pytest.mark.full
def test_updates_to_the_next_generation_of_the_base(machine):
    machine.root("mkdir -p /srv/data && echo kept >/srv/data/file")
    device = generations.device("next")
    restarts(machine, f"webops update {device} --reboot")
    now = committed(machine, "b")
    assert now["generation"]["version"] == "2026.11.2" and now["slots"]["a"]["state"] == "good"
    assert machine.out("cat /etc/webops-next") and machine.root_out("cat /srv/data/file") == "kept"
    assert query(machine, "kernel-core", "iputils") == ["kernel-core 1", "iputils 1"]
    assert machine.root_out("systemctl --failed --no-legend --plain") == ""


def test_what_does_not_fit_is_refused_when_planning(vendor):
    profile = vendor.project("bad", more="remove: [chrony]\n")
    vendor.refused(profile, "chrony is needed by (installed) time-agent", "`remove`")
    profile = vendor.project("bad", layers="base")
    definition = profile.parent.parent / "images/vendor-rpm.yaml"
    text = definition.read_text().replace("manager: dnf", "manager: apt")
    text = re.sub(r"^(selinux|release|platform): .*\n|^sources:\n(  .*\n)+", "", text, flags=re.MULTILINE)
    definition.write_text(text)
    vendor.refused(profile, "has packages of kind rpm", "`manager: dnf` fits")


def tiny_disk(path, *files):
    """Just enough that libguestfs takes it for Rocky."""
    tree = path.with_suffix(".tree")
    for name in ("boot", "dev", "etc", "proc", "usr/bin", "usr/lib/modules"):
        (tree / name).mkdir(parents=True)
    for name in ("bin", "lib"):
        (tree / name).symlink_to(f"usr/{name}")
    (tree / "etc/os-release").write_text('ID="rocky"\nVERSION_ID="9.4"\nPRETTY_NAME="Rocky Linux 9.4"\n')
    (tree / "etc/rocky-release").write_text("Rocky Linux release 9.4 (fixture)\n")
    (tree / "etc/fstab").write_text(f"UUID={rpmdisk.ROOT_UUID} / auto defaults 0 0\nUUID={rpmdisk.BOOT_UUID} /boot auto defaults 0 0\n")
    shutil.copy("/bin/true", tree / "usr/bin/ls")  # tells the architecture
    for name, text in files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    rpmdisk.write(tree, path)
    return path


@pytest.mark.full
def test_disks_with_another_database_or_none(vendor):
    none = tiny_disk(vendor.top / "none.raw")
    vendor.refused(vendor.project("bad", disk=none), "none.raw", "has no database of packages")
    dpkg = tiny_disk(vendor.top / "dpkg.raw", ("var/lib/dpkg/status", "Package: x\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"))
    vendor.refused(vendor.project("bad", disk=dpkg), "has packages of kind deb", "`manager: apt` fits")
    damaged = tiny_disk(vendor.top / "damaged.raw", ("var/lib/rpm/rpmdb.sqlite", "no database\n" * 1000))
    vendor.refused(vendor.project("bad", disk=damaged), "the rpm database", "rpmdb failed")


@pytest.mark.full
def test_named_kernel_comes_as_a_package(vendor):
    image = vendor.build(vendor.project("kernel", more="kernel: kernel\n"), OUT / "vendor-rpm-kernel")
    lines = [line.split("\t")[:3] for line in image.file(".packages").read_text().splitlines()]
    parts = [line for line in lines if line[1].startswith("kernel")]
    assert parts == [["system", name, "1-1.el9"] for name in ("kernel", "kernel-core", "kernel-modules")]
    with VM("vendor-rpm-kernel", image.raw, config=LOGIN) as vm:
        vm.wait_healthy()
        assert query(vm, "kernel-core") == ["kernel-core 1"]


@pytest.mark.full
def test_same_disk_gives_the_same_bytes(vendor, baked):
    out = vendor.top / "second"
    good(webops_image("build", baked.profile, "-o", out, env=vendor.env(WEBOPS_CACHE=vendor.top / "second-cache"), timeout=900))
    subprocess.run(["cmp", baked.raw, next(out.glob("*.raw"))], check=True)


@pytest.mark.full
def test_xfs_in_a_logical_volume_gives_the_same_base(vendor, baked):
    raw = vendor.top / "volumes.raw"
    rpmdisk.write_on_volumes(vendor.disk, raw)
    image = vendor.build(vendor.project("volumes", layers="base", disk=raw), OUT / "vendor-rpm-volumes")
    bases = [each.inspect()["slots"][0]["layers"][0] for each in (baked, image)]
    assert bases[0]["name"] == bases[1]["name"] == "vendor-rpm" and bases[0]["sha256"] == bases[1]["sha256"]
