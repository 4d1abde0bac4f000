# SPDX-License-Identifier: Apache-2.0
"""A repository with Rocky's package names, made and signed here, because Rocky's own cannot be reached: its packages hold the files of a Debian 12 base
(profiles/rpm-source.yaml), put where Rocky has them. What dnf, rpm, setfiles and the machine do with it is real; the programs in it are Debian's."""
import os
import re
import shutil
import stat
from pathlib import Path

import images
from repository import Recipes, make_key, run
from vm import SHARED

HERE = Path(__file__).parent
RELEASE = "rocky-9"

# Rocky's package and the Debian packages whose files it gets. What is in none of them goes into basesystem, which all others require.
PACKAGES = {
    "NetworkManager": ["network-manager", "libnm0"],
    "ca-certificates": ["ca-certificates"],
    "chrony": ["chrony"],
    "cloud-utils-growpart": ["cloud-guest-utils"],
    "dbus": ["dbus", "dbus-bin", "dbus-daemon", "dbus-session-bus-common", "dbus-system-bus-common"],
    "e2fsprogs": ["e2fsprogs", "libext2fs2", "libss2"],
    "glibc-minimal-langpack": ["libc-l10n"],
    "iproute": ["iproute2"],
    "iputils": ["iputils-ping"],
    "kernel-core": [],
    "kmod": ["kmod", "libkmod2"],
    "less": ["less"],
    "nftables": ["nftables", "libnftables1", "libnftnl11"],
    "openssh-server": ["openssh-server", "openssh-client", "openssh-sftp-server"],
    "passwd": ["passwd"],
    "policycoreutils": ["policycoreutils"],
    "procps-ng": ["procps"],
    "rpm": ["rpm", "rpm-common", "librpm9", "librpmio9", "librpmbuild9", "librpmsign9"],
    "selinux-policy-targeted": ["selinux-policy-default"],
    "shadow-utils": ["login"],
    "sudo": ["sudo"],
    "systemd": ["systemd", "systemd-sysv", "libsystemd0", "libsystemd-shared"],
    "systemd-udev": ["udev", "libudev1"],
    "tzdata": ["tzdata"],
    "util-linux": ["util-linux", "util-linux-extra", "mount", "fdisk"],
}


def unpack(tree):
    """The base layer of a real build, with /var and dpkg's database back in their places."""
    image = images.bake(HERE / "profiles" / "rpm-source.yaml", SHARED / "rpm-source")
    slot = image.inspect()["slots"][0]
    layer = slot["layers"][0]
    run("unsquashfs", "-quiet", "-no-progress", "-d", tree, "-o", slot["offset"] + layer["offset"], image.raw)
    for path in (tree / "usr/share/factory/var").iterdir():
        target = tree / "var" / path.name
        if target.is_dir() and not target.is_symlink():
            target.rmdir()
        path.rename(target)
    (tree / "var/lib/dpkg").unlink()
    database = tree / "var/lib/rpm"  # Debian's package rpm has a directory there, as Rocky's does
    if database.is_symlink():
        database.unlink()
        database.mkdir()
    shutil.rmtree(tree / "usr/lib/sysimage/rpm", ignore_errors=True)
    esp = next(partition for partition in image.inspect()["partitions"] if partition["name"] == "esp")
    modules, = (tree / "usr/lib/modules").iterdir()
    run("mcopy", "-i", f"{image.raw}@@{esp['offset']}", "::/webops/a.linux", modules / "vmlinuz")


def move(tree, source, target):
    (tree / target).parent.mkdir(parents=True, exist_ok=True)
    (tree / source).rename(tree / target)


def make_rocky(tree):
    """Where Rocky has things, and what it calls them."""
    units = tree / "usr/lib/systemd/system"
    move(units, "ssh.service", "sshd.service")
    move(units, "chrony.service", "chronyd.service")
    move(tree, "etc/chrony/chrony.conf", "etc/chrony.conf")
    move(tree, "etc/selinux/default", "etc/selinux/targeted")
    (tree / "etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=targeted\n")
    bundle = tree / "etc/pki/tls/certs/ca-bundle.crt"
    bundle.parent.mkdir(parents=True)
    certificates = tree / "etc/ssl/certs/ca-certificates.crt"
    bundle.write_bytes(certificates.read_bytes() if certificates.exists() else b"")
    certificates.unlink(missing_ok=True)
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "usr/lib/os-release").write_text('NAME="Rocky Linux"\nVERSION="9 (fixture)"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9"\n'
                                             'PLATFORM_ID="platform:el9"\nPRETTY_NAME="Rocky Linux 9 (fixture of Debian files)"\n')
    for link in (tree / "etc/systemd/system").rglob("*.service"):  # Debian's packages enable their services, Rocky's presets do
        if link.is_symlink():
            link.unlink()


MOVED = {"/lib/": "/usr/lib/", "/bin/": "/usr/bin/", "/sbin/": "/usr/sbin/", "/lib64/": "/usr/lib64/"}


def owners(tree):
    """Which of our packages each path belongs to, by dpkg's lists."""
    ours = {debian: name for name, packages in PACKAGES.items() for debian in packages}
    found = {}
    for listing in sorted((tree / "usr/lib/sysimage/dpkg/info").glob("*.list")):
        name = ours.get(listing.stem.split(":")[0])
        for line in listing.read_text().splitlines() if name else ():
            prefix = next((prefix for prefix in MOVED if line.startswith(prefix)), "")
            found[MOVED.get(prefix, "") + line[len(prefix):]] = name
    renamed = {"/usr/lib/systemd/system/sshd.service": "openssh-server", "/usr/lib/systemd/system/chronyd.service": "chrony", "/etc/chrony.conf": "chrony"}
    return {**found, **renamed}


def names(tree, file):
    return {int(line.split(":")[2]): line.split(":")[0] for line in (tree / file).read_text().splitlines()}


def escaped(path):
    """%files takes patterns, and knows no way to quote a bracket."""
    return re.sub(r"[\\*\[\]{}]", "?", path)


def file_lists(tree, lists):
    """One %files list per package; everything has its mode and owner by name."""
    users, groups, packages = names(tree, "etc/passwd"), names(tree, "etc/group"), owners(tree)
    handles = {name: [] for name in ["basesystem", *PACKAGES]}
    for directory, subdirectories, files in os.walk(tree):
        for name in sorted(subdirectories + files):
            path = Path(directory, name)
            inside = "/" + str(path.relative_to(tree))
            if inside.startswith("/usr/lib/sysimage/dpkg") or inside.startswith("/proc/") or inside.startswith("/sys/"):
                continue
            info = path.lstat()
            package = "kernel-core" if inside.startswith(("/usr/lib/modules/", "/boot/")) else "selinux-policy-targeted" if inside.startswith(
                ("/etc/selinux/targeted", "/etc/selinux/config")) else packages.get(inside, "basesystem")
            if stat.S_ISDIR(info.st_mode) and package != "kernel-core":
                package = "basesystem"
            attributes = "" if stat.S_ISLNK(info.st_mode) else f"%attr({info.st_mode & 0o7777:04o},{users[info.st_uid]},{groups[info.st_gid]}) "
            handles[package].append(("%dir " if stat.S_ISDIR(info.st_mode) else "") + attributes + f'"{escaped(inside)}"')
    lists.mkdir()
    for name, lines in handles.items():
        (lists / name).write_text("\n".join(lines) + "\n")


def spec(lists, version):
    head = f"""Name: basesystem
Version: {version}
Release: 1.el9
Summary: files of a Debian base for tests
License: various
AutoReqProv: no
Provides: setup filesystem glibc bash coreutils
%description
A fixture.
%files -f {lists}/basesystem
"""
    parts = [f"""%package -n {name}
Summary: fixture
AutoReqProv: no
Requires(pre): basesystem
%description -n {name}
A fixture.
%files -n {name} -f {lists}/{name}
""" for name in PACKAGES]
    return head + "".join(parts)


SETTINGS = ["__os_install_post %{nil}", "debug_package %{nil}", "_build_id_links none", "_binary_payload w1.gzdio", "__brp_mangle_shebangs %{nil}",
            "use_source_date_epoch_as_buildtime 1", "clamp_mtime_to_source_date_epoch 1", "_buildhost fixture", "__check_files %{nil}",
            "_use_internal_dependency_generator 0", "__find_provides %{nil}", "__find_requires %{nil}", "__spec_install_pre %{nil}"]


def build_packages(tree, work, version):
    lists = work / "lists"
    file_lists(tree, lists)
    (work / "fixture.spec").write_text(spec(lists, version))
    defines = [word for setting in [*SETTINGS, f"_topdir {work}/rpmbuild"] for word in ("--define", setting)]
    run("rpmbuild", "-bb", "--target", "x86_64", "--buildroot", tree, "--noclean", *defines, work / "fixture.spec",
        env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600"})
    return work / "rpmbuild/RPMS/x86_64"


def sign(home, packages):
    # rpm puts %__gpg_sign_cmd together itself; the home directory is what it has to know.
    run("rpmsign", "--define", f"_gpg_path {home}", "--define", "_gpg_name fixture", "--define", "__gpg /usr/bin/gpg", "--addsign", *packages)


class Repository(Recipes):
    """BaseOS and AppStream of one release."""

    kernel = "kernel-core"

    def __init__(self, top):
        super().__init__(top, RELEASE)

    def make(self, version):
        top = self.top
        shutil.rmtree(top, ignore_errors=True)
        top.mkdir(parents=True)
        tree = top / "tree"
        unpack(tree)
        make_rocky(tree)
        packages = build_packages(tree, top, version)
        fingerprint = make_key(self.home)
        sign(self.home, sorted(packages.glob("*.rpm")))
        places = {f"{RELEASE}-{name}": top / name for name in ("baseos", "appstream")}
        for place in places.values():
            place.mkdir()
        for package in packages.glob("*.rpm"):
            package.rename(top / ("appstream" if package.name.startswith("cloud-utils") else "baseos") / package.name)
        for place in places.values():
            run("createrepo_c", "--quiet", place)
        shutil.rmtree(tree)
        shutil.rmtree(top / "rpmbuild")
        self.write(self.home / "key.asc", fingerprint, places)
        return self
