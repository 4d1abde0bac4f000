# SPDX-License-Identifier: Apache-2.0
"""Every image definition that test_distributions.py does not start is built from a repository with its own names (aptrepo.py, rpmrepo.py), looked into,
and started once. One of each package manager in `make check`, the rest in `make check-full`."""
import re

import pytest
from conftest import check_itself_and_healthy, configured
from families import FURTHER, PROFILES
from generations import changed, write
from images import webops_image
from repository import definition, run
from vm import VM, Access

BY_DEFAULT = ("ubuntu-20.04", "rocky-8")
DEV = (PROFILES / "dev.yaml").read_text()


def parameters(by_default):
    """One machine and one repository of a definition at a time."""
    def marks(image):
        return [pytest.mark.xdist_group(f"definition-{image}"), *([] if image in by_default else [pytest.mark.full])]
    return [pytest.param(family, id=family.image, marks=marks(family.image)) for family in FURTHER]


class Layers:
    """What an image holds, each file as the top layer has it."""

    def __init__(self, image, top):
        self.slot, self.raw, self.top = image.inspect()["slots"][0], image.raw, top
        for layer in self.slot["layers"]:
            run("unsquashfs", "-quiet", "-no-progress", "-no-xattrs", "-force", "-d", top, "-o", self.offset(layer), self.raw, "usr/lib", "etc", "usr/share/factory")

    def offset(self, layer):
        return self.slot["offset"] + layer["offset"]

    def compressions(self):
        """squashfs 4.0: a little-endian number at 20."""
        with open(self.raw, "rb") as disk:
            for layer in self.slot["layers"]:
                disk.seek(self.offset(layer) + 20)
                yield {1: "gzip", 6: "zstd"}[int.from_bytes(disk.read(2), "little")]

    def target(self, path):
        path = self.top / path.lstrip("/")
        assert path.is_symlink(), path
        return str(path.readlink())


@pytest.mark.parametrize("family", parameters(BY_DEFAULT))
def test_is_what_the_definition_says(family, tmp_path):
    wanted, image = definition(family.image), family.build()
    layers = Layers(image, tmp_path / "tree")
    assert set(layers.compressions()) == {wanted.get("compression", "zstd")}
    text = (layers.top / "usr/lib/os-release").read_text()
    assert [re.search(rf'^{key}="?([^"\n]*)', text, re.M)[1] for key in ("ID", "VERSION_ID")] == family.image.split("-")
    installed = {package["name"] for package in image.inspect()["packages"]}
    assert {*wanted["packages"], wanted["kernel"]} <= installed
    versions = [line.split("\t")[2] for line in image.file(".packages").read_text().splitlines() if line.split("\t")[1] == "systemd"]
    assert len(versions) == 1 and (".el" + family.version in versions[0] if family.has_rpm else versions[0]), versions
    assert len(list((layers.top / "usr/lib/modules").glob("*/kernel/fs/squashfs/squashfs.ko*"))) == 1
    for unit in wanted["enable"]:
        assert layers.target(f"etc/systemd/system/{unit['wants']}.wants/{unit['unit']}").endswith(unit["unit"])
    for link in wanted["links"]:
        assert layers.target(link["path"]) == link["target"]
    assert (layers.top / "usr/lib/webops/lib").is_dir()  # runtime: bundled


@pytest.mark.full
@pytest.mark.parametrize("family", [family for family in FURTHER if family.version == "8"], ids=lambda family: family.image)
def test_the_core_of_the_kernel_alone_is_refused(family, tmp_path):
    """squashfs is in kernel-modules: such a machine could never start."""
    adapted, env = family.adapt(PROFILES / "dev.yaml")
    profile = write(adapted.parent.parent, "core", changed(adapted.read_text(), "^image: ", "kernel: kernel-core\nimage: "))
    result = webops_image("build", profile, "-o", tmp_path, env=env)
    assert result.returncode == 1 and "has no module squashfs" in result.stderr, result.stderr


@pytest.fixture(scope="module", params=parameters(()))
def machine(request):
    """Those of 8 without what their kernel may lack."""
    family = request.param
    image = family.build_with("older", changed(DEV, r"^layers: \[(.*)\]", r"layers: [\1, older-kernel]")) if family.version == "8" else family.build()
    access = Access()
    with VM(f"definition-{family.image}", image.raw, access=access, extra=configured(access)) as vm:
        vm.family = family
        vm.wait_healthy()
        yield vm


def test_starts_and_is_healthy(machine):
    check_itself_and_healthy(machine, machine.family)
    assert "curve25519-sha256" in machine.root_out("sshd -T") and machine.out(machine.family.installed)


def test_sshd_offers_what_webops_says(machine):
    """Not what is in the distribution's own file, or on the command line."""
    assert machine.root_out("ls /etc/ssh | grep host_key", check=False) == ""
    offered = machine.root_out("ssh -v -o BatchMode=yes -o StrictHostKeyChecking=no -o KexAlgorithms=diffie-hellman-group14-sha256 nobody@127.0.0.1 2>&1", check=False)
    assert "no matching key exchange method found" in offered, offered
    assert "diffie-hellman" not in re.search("Their offer: (.*)", offered)[1]


def test_a_changed_configuration_is_applied(machine):
    machine.root("sed -i 's/SWAPPINESS=7/SWAPPINESS=8/; s/SSH_RATE_LIMIT=20/SSH_RATE_LIMIT=30/' /webops/config.env && webops apply")
    assert machine.root_out("sysctl -n vm.swappiness") == "8"
    again = machine.root("webops apply")
    assert "; 0 changes" in again.stdout + again.stderr
    machine.root("echo x >>/etc/issue && echo x >/etc/new")
    assert machine.root_out("webops drift", check=False).split() == ["changed", "/etc/issue", "added", "/etc/new"]


def test_lacks_what_an_older_kernel_lacks(machine):
    """So all of the above was done without."""
    if machine.family.version == "8":
        fsopen, open_tree, pidfd_open = 430, 428, 434
        said = machine.root_out(f"perl -e 'for ({fsopen}, {open_tree}, {pidfd_open}) {{ syscall($_, -1, 0, 0); print qq($!\\n) }}'")
        assert said.splitlines() == ["Function not implemented"] * 3
