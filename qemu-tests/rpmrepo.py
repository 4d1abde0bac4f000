# SPDX-License-Identifier: Apache-2.0
"""Repositories with the package names of Rocky and AlmaLinux, made and signed here, because their own cannot be reached: the packages hold the files of a
Debian 12 base (profiles/rpm-source.yaml), put where Enterprise Linux has them. What dnf, rpm, SELinux and the machine do with it is real; the programs in
it are Debian's."""
import os
import re
import shutil
import stat
from pathlib import Path

import images
from repository import Recipes, make_key, run
from vm import SHARED

HERE = Path(__file__).parent
NAMES = {"rocky": "Rocky Linux", "almalinux": "AlmaLinux"}

# Enterprise Linux's package and the Debian packages whose files it gets. What is in none of them goes into basesystem, which all others require.
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
    "kernel": [],
    "kernel-core": [],
    "kernel-modules": [],
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


def edit(path, *changes):
    """Pairs of what is there once and what takes its place."""
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"{path}: '{old}' should be there once"
        text = text.replace(old, new)
    path.write_text(text)


def make_certificates(tree, number):
    """/etc/ssl/certs of Enterprise Linux is a link, and so is the bundle."""
    certificates, bundle, there = tree / "etc/pki/tls/certs", tree / "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", tree / "etc/ssl/certs"
    for directory in (certificates, bundle.parent):
        directory.mkdir(parents=True)
    bundle.write_bytes((there / "ca-certificates.crt").read_bytes())
    (certificates / "ca-bundle.crt").symlink_to("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem")
    shutil.rmtree(there)
    there.symlink_to("../pki/tls/certs" if number == "8" else "/etc/pki/tls/certs")


def remove_shadow_group(tree):
    """Enterprise Linux has none: programs that ask for passwords are root's, and nobody may read the files."""
    gid, = (number for number, name in names(tree, "etc/group").items() if name == "shadow")
    for path in tree.rglob("*"):
        info = path.lstat()
        if info.st_gid == gid and not path.is_symlink():
            os.chown(path, info.st_uid, 0, follow_symlinks=False)
            path.chmod(info.st_mode & 0o777 | (0o4000 if info.st_mode & 0o2000 else 0))
    for name in ("group", "gshadow"):
        path = tree / "etc" / name
        path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("shadow:")))
    for name in ("shadow", "gshadow"):
        (tree / "etc" / name).chmod(0)


def compile_contexts(contexts):
    """As `semodule -B` of the policy's package leaves them beside their texts. libselinux prefers them when they are not older."""
    (contexts / "file_contexts.local").write_text("")
    for name in ("file_contexts", "file_contexts.homedirs", "file_contexts.local"):
        run("sefcontext_compile", "-o", contexts / f"{name}.bin", contexts / name)


def make_host_keys(units):
    """sshd.service of Enterprise Linux has its host keys made in /etc."""
    (units / "sshd-keygen.target").write_text("[Unit]\nWants=sshd-keygen.service\n")
    (units / "sshd-keygen.service").write_text("[Service]\nType=oneshot\nExecStart=/usr/bin/ssh-keygen -A\n")
    edit(units / "sshd.service", ("[Unit]\n", "[Unit]\nWants=sshd-keygen.target\n"))


def make_older(tree):
    """What is otherwise in 8: an sshd_config that includes no files, an sshd that has the policy's algorithms on its command line, a kernel that reads no zstd."""
    config, = (tree / "usr/lib/modules").glob("*/config")
    edit(config, ("CONFIG_SQUASHFS_ZSTD=y", "# CONFIG_SQUASHFS_ZSTD is not set"), ("CONFIG_RD_ZSTD=y", "# CONFIG_RD_ZSTD is not set"))
    edit(tree / "etc/ssh/sshd_config", ("\nInclude /etc/ssh/sshd_config.d/*.conf\n", "\n"))
    edit(tree / "usr/lib/systemd/system/sshd.service", ("$SSHD_OPTS", "$OPTIONS $CRYPTO_POLICY"), (
        "EnvironmentFile=-/etc/default/ssh\n", "EnvironmentFile=-/etc/crypto-policies/back-ends/opensshserver.config\nEnvironmentFile=-/etc/sysconfig/sshd\n"))
    policy = tree / "etc/crypto-policies/back-ends/opensshserver.config"
    policy.parent.mkdir(parents=True)
    policy.write_text("CRYPTO_POLICY='-oKexAlgorithms=curve25519-sha256,diffie-hellman-group14-sha256'\n")


def make_enterprise(tree, image):
    """Where Enterprise Linux has things, and what it calls them."""
    name, number = image.split("-")
    units = tree / "usr/lib/systemd/system"
    move(units, "ssh.service", "sshd.service")
    move(units, "chrony.service", "chronyd.service")
    move(tree, "etc/chrony/chrony.conf", "etc/chrony.conf")
    move(tree, "etc/selinux/default", "etc/selinux/targeted")
    (tree / "etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=targeted\n")
    compile_contexts(tree / "etc/selinux/targeted/contexts/files")
    make_certificates(tree, number)
    remove_shadow_group(tree)
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "usr/lib/os-release").write_text(f'NAME="{NAMES[name]}"\nVERSION="{number} (fixture)"\nID="{name}"\nID_LIKE="rhel centos fedora"\n'
                                             f'VERSION_ID="{number}"\nPLATFORM_ID="platform:el{number}"\n'
                                             f'PRETTY_NAME="{NAMES[name]} {number} (fixture of Debian files)"\n')
    (tree / "etc/sysconfig").mkdir()
    (tree / "etc/sysconfig/sshd").write_text("# Options of sshd\n")
    make_host_keys(units)
    for link in (tree / "etc/systemd/system").rglob("*.service"):  # Debian's packages enable their services, Rocky's presets do
        if link.is_symlink():
            link.unlink()
    if number == "8":
        make_older(tree)


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


def kernel_package(inside):
    """As in 8 and 9, squashfs is not in the core."""
    if not inside.startswith(("/usr/lib/modules/", "/boot/")):
        return None
    return "kernel-modules" if "/kernel/fs/squashfs" in inside else "kernel-core"


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
            package = kernel_package(inside) or ("selinux-policy-targeted" if inside.startswith(("/etc/selinux/targeted", "/etc/selinux/config")) else
                                                 packages.get(inside, "basesystem"))
            if stat.S_ISDIR(info.st_mode) and not package.startswith("kernel-"):
                package = "basesystem"
            attributes = "" if stat.S_ISLNK(info.st_mode) else f"%attr({info.st_mode & 0o7777:04o},{users[info.st_uid]},{groups[info.st_gid]}) "
            handles[package].append(("%dir " if stat.S_ISDIR(info.st_mode) else "") + attributes + f'"{escaped(inside)}"')
    lists.mkdir()
    for name, lines in handles.items():
        (lists / name).write_text("\n".join(lines) + "\n")


REQUIRES = {"kernel": "kernel-core, kernel-modules", "kernel-modules": "kernel-core"}


def spec(lists, image, version, modules):
    head = f"""Name: basesystem
Version: {version}
Release: 1.el{image.split("-")[1]}
Summary: files of a Debian base for tests
License: various
AutoReqProv: no
Provides: setup filesystem glibc bash coreutils /bin/sh
%description
A fixture.
%files -f {lists}/basesystem
"""
    parts = [f"""%package -n {name}
Summary: fixture
AutoReqProv: no
Requires(pre): basesystem
Requires: {REQUIRES.get(name, "basesystem")}
%description -n {name}
A fixture.
%files -n {name} -f {lists}/{name}
""" for name in PACKAGES]
    return head + "".join(parts) + f"%posttrans -n kernel-core\n/usr/sbin/depmod {modules}\n"


SETTINGS = ["__os_install_post %{nil}", "debug_package %{nil}", "_build_id_links none", "_binary_payload w1.gzdio", "__brp_mangle_shebangs %{nil}",
            "use_source_date_epoch_as_buildtime 1", "clamp_mtime_to_source_date_epoch 1", "_buildhost fixture", "__check_files %{nil}",
            "_use_internal_dependency_generator 0", "__find_provides %{nil}", "__find_requires %{nil}", "__spec_install_pre %{nil}"]


def build_packages(tree, work, image, version):
    lists = work / "lists"
    file_lists(tree, lists)
    modules, = (tree / "usr/lib/modules").iterdir()
    (work / "fixture.spec").write_text(spec(lists, image, version, modules.name))
    defines = [word for setting in [*SETTINGS, f"_topdir {work}/rpmbuild"] for word in ("--define", setting)]
    run("rpmbuild", "-bb", "--target", "x86_64", "--buildroot", tree, "--noclean", *defines, work / "fixture.spec",
        env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600"})
    return work / "rpmbuild/RPMS/x86_64"


def sign(home, packages):
    # rpm puts %__gpg_sign_cmd together itself; the home directory is what it has to know.
    run("rpmsign", "--define", f"_gpg_path {home}", "--define", "_gpg_name fixture", "--define", "__gpg /usr/bin/gpg", "--addsign", *packages)


class Repository(Recipes):
    """BaseOS and AppStream of one release."""

    kernel = "kernel"

    def make(self, version):
        top = self.top
        shutil.rmtree(top, ignore_errors=True)
        top.mkdir(parents=True)
        tree = top / "tree"
        unpack(tree)
        make_enterprise(tree, self.image)
        packages = build_packages(tree, top, self.image, version)
        fingerprint = make_key(self.home)
        sign(self.home, sorted(packages.glob("*.rpm")))
        places = {f"{self.image}-{name}": top / name for name in ("baseos", "appstream")}
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
