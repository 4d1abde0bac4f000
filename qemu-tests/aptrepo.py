# SPDX-License-Identifier: Apache-2.0
"""Archives with Ubuntu's names (suites, components, by-hash, a signed InRelease), made here, because Ubuntu's own cannot be reached: the packages are
those of a Debian 12 build, some renamed. What apt, mmdebstrap and the machine do with them is real; the programs in them are Debian's."""
import gzip
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import images
from repository import Recipes, definition, make_key, run
from vm import DISTRIBUTION, SHARED

CODENAMES = {"ubuntu-20.04": "focal", "ubuntu-22.04": "jammy", "ubuntu-24.04": "noble"}
OS_RELEASE = """\
PRETTY_NAME="Ubuntu {number} LTS (fixture of Debian packages)"
NAME="Ubuntu"
VERSION_ID="{number}"
VERSION_CODENAME={codename}
ID=ubuntu
ID_LIKE=debian
"""


def deb(package, pool, change):
    """A package taken apart, changed, and put together again; the files of change(tree) are what differs."""
    tree = pool / "tree"
    run("dpkg-deb", "-R", package, tree)
    change(tree)
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, pool)
    shutil.rmtree(tree)


def edit_control(tree, **fields):
    control = (tree / "DEBIAN/control").read_text()
    for name, value in fields.items():
        control = re.sub(rf"(?m)^{name}: .*$", f"{name}: {value}", control)
    (tree / "DEBIAN/control").write_text(control)


def be_ubuntu(image, version):
    def change(tree):
        (tree / "usr/lib/os-release").write_text(OS_RELEASE.format(number=image.split("-")[1], codename=CODENAMES[image]))
        old = re.search(r"(?m)^Version: (.*)$", (tree / "DEBIAN/control").read_text()).group(1)
        edit_control(tree, Version=f"{old}ubuntu{version}")
    return change


def with_resolved(tree):
    """A package of its own in Debian 12 and Ubuntu 24.04; before, systemd brought it. The version stays Debian's, as in many of Ubuntu's packages: the
    builder must not mistake one for the other."""
    control = (tree / "DEBIAN/control").read_text()
    (tree / "DEBIAN/control").write_text(re.sub(r"(?m)^Depends: ", "Depends: systemd-resolved, ", control))


SOCKET = """\
[Unit]
Description=OpenBSD Secure Shell server socket
Before=sockets.target ssh.service
ConditionPathExists=!/etc/ssh/sshd_not_to_be_run

[Socket]
ListenStream=0.0.0.0:22
ListenStream=[::]:22
BindIPv6Only=ipv6-only
Accept=no
FreeBind=yes

[Install]
WantedBy=sockets.target
RequiredBy=ssh.service
"""
START_BY_SOCKET = """\
for needed_by in sockets.target.wants ssh.service.requires; do
    mkdir -p "/etc/systemd/system/$needed_by"
    ln -sf /usr/lib/systemd/system/ssh.socket "/etc/systemd/system/$needed_by/ssh.socket"
done
"""


def started_by_socket(tree):
    """sshd since Ubuntu 22.10: its package enables a socket unit."""
    (tree / "lib/systemd/system/ssh.socket").write_text(SOCKET)
    script = tree / "DEBIAN/postinst"
    text = script.read_text()
    assert text.startswith("#!/bin/sh\nset -e\n") and text.endswith("\nexit 0\n")
    script.write_text(text[:-len("exit 0\n")] + START_BY_SOCKET + "exit 0\n")


def virtual_kernel(pool, name, depends):
    tree = pool / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(f"Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: fixture <fixture@example.org>\n"
                                         f"Depends: {depends}\nDescription: fixture\n")
    run("dpkg-deb", "--root-owner-group", "-b", tree, pool)
    shutil.rmtree(tree)


def needed_packages(image):
    """File and SHA-256 of every package of finished builds of ours: what most scenarios boot, and where they run on this, of all stacks."""
    needed = {}
    for name in ("dev",) if DISTRIBUTION != image else ("dev", "stacks", "cluster", "kvm", "server"):
        profile, lock = Path(__file__).parent / "profiles" / f"{name}.yaml", SHARED / f"{image}-{name}-packages.lock"
        images.good(images.webops_image("lock", profile, "-o", lock))
        images.bake(profile, SHARED / f"{name}-packages", "--lock", lock)  # of just these, whatever the mirror has had since
        for package, _, _, file, _, sha256, _ in (line.split("\t") for line in lock.read_text().splitlines() if line.count("\t") == 6):
            needed[package] = file, sha256
    return {package: found for package, found in needed.items() if not package.startswith("webops-stand-in-")}


def fill_pool(pool, image, version):
    """Their files, from the builder's cache; the kernel under the name that the definition wants."""
    kernel, wanted = "", definition(image)
    changes = {"base-files": be_ubuntu(image, version), **({} if "systemd-resolved" in wanted["packages"] else {"systemd": with_resolved}),
               **({"openssh-server": started_by_socket} if image > "ubuntu-22.10" else {})}
    for name, (file, sha256) in needed_packages(image).items():
        found = images.CACHE / "packages" / sha256
        assert found.exists(), f"{file}: {found}"
        if name in changes:
            deb(found, pool, changes[name])
        else:
            (pool / file.replace("%3a", "-")).symlink_to(found)
        kernel = name if name.startswith("linux-image-") and name.endswith("cloud-amd64") and name != "linux-image-cloud-amd64" else kernel
    virtual_kernel(pool, wanted["kernel"], kernel)


def paragraphs(top):
    """What goes into Packages: each control file with where the package is and its hash."""
    for path in sorted((top / "pool").glob("*.deb")):
        data = path.read_bytes()
        control = run("dpkg-deb", "-f", path).rstrip("\n")
        yield f"{control}\nFilename: pool/{path.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"


def write_suite(top, home, image, suite, text):
    """dists/SUITE with its index under its name and its hash, and a signed InRelease."""
    lines = []
    for component, content in (("main", text), ("universe", "")):
        directory = top / "dists" / suite / component / "binary-amd64"
        (directory / "by-hash" / "SHA256").mkdir(parents=True)
        for name, data in (("Packages", content.encode()), ("Packages.gz", gzip.compress(content.encode(), 1, mtime=0))):
            digest = hashlib.sha256(data).hexdigest()
            (directory / name).write_bytes(data)
            (directory / "by-hash" / "SHA256" / digest).write_bytes(data)
            lines.append(f" {digest} {len(data)} {component}/binary-amd64/{name}")
    release = (f"Origin: Ubuntu\nLabel: Ubuntu\nSuite: {suite}\nCodename: {CODENAMES[image]}\nVersion: {image.split('-')[1]}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
               f"Acquire-By-Hash: yes\nArchitectures: amd64\nComponents: main universe\nSHA256:\n" + "\n".join(lines) + "\n")
    directory = top / "dists" / suite
    (directory / "Release").write_text(release)
    run("gpg", "--batch", "--homedir", home, "--clearsign", "--output", directory / "InRelease", directory / "Release")


class Archive(Recipes):
    def make(self, version):
        top, codename = self.top, CODENAMES[self.image]
        shutil.rmtree(top, ignore_errors=True)
        (top / "ubuntu" / "pool").mkdir(parents=True)
        fill_pool(top / "ubuntu" / "pool", self.image, version)
        fingerprint = make_key(self.home)
        subprocess.run(["gpg", "--batch", "--homedir", self.home, "--output", self.home / "key.gpg", "--export"], check=True)
        text = "\n".join(paragraphs(top / "ubuntu"))
        for suite, content in ((codename, text), (f"{codename}-updates", ""), (f"{codename}-security", "")):
            write_suite(top / "ubuntu", self.home, self.image, suite, content)
        (top / "ubuntu-security").symlink_to("ubuntu")
        self.write(self.home / "key.gpg", fingerprint, {name: top / name for name in ("ubuntu", "ubuntu-security")})
        return self
