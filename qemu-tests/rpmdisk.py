# SPDX-License-Identifier: Apache-2.0
"""A vendor's cloud image with rpm packages, made here because no vendor's can be reached: the packages of rpmrepo.py, installed by rpm on a disk as Rocky
and AlmaLinux lay theirs out (GPT; EFI system partition, /boot and root apart), with cloud-init, an older kernel, and what such images bring along."""
import os
import shutil
import subprocess

from repository import run

SECRET = "Canary7Hw20vendor"
OLD_KERNEL = "5.10.0-1.el9.x86_64"
BOOT_UUID, ROOT_UUID, ESP_ID = "b0070000-0000-4000-8000-000000000001", "70070000-0000-4000-8000-000000000002", "e5900001"

# rpm -e must run its scripts and take away what no list of ours names; the kernel is a second one of the same name.
SPEC = f"""Name: cloud-init
Version: 24.1
Release: 1.el9
Epoch: 1
Summary: fixture
License: fixture
Requires: systemd
%description
A fixture.
%install
mkdir -p %{{buildroot}}
cd %{{buildroot}}
mkdir -p etc/cloud usr/bin usr/lib/modules/{OLD_KERNEL} usr/lib/systemd/system usr/libexec/first-start boot
echo 'datasource_list: [ NoCloud ]' >etc/cloud/cloud.cfg
printf '#!/bin/sh\\nexit 1\\n' | tee usr/bin/cloud-init >usr/libexec/first-start/run
chmod 755 usr/bin/cloud-init usr/libexec/first-start/run
printf '[Service]\\nType=oneshot\\nExecStart=/usr/bin/false\\n' | tee usr/lib/systemd/system/cloud-init.service >usr/lib/systemd/system/first-start.service
echo old | tee boot/vmlinuz-{OLD_KERNEL} usr/lib/modules/{OLD_KERNEL}/modules.dep >usr/lib/modules/{OLD_KERNEL}/vmlinuz
%files
%config(noreplace) /etc/cloud/cloud.cfg
/usr/bin/cloud-init
/usr/libexec/first-start
/usr/lib/systemd/system/cloud-init.service
/usr/lib/systemd/system/first-start.service
%post
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s /usr/lib/systemd/system/cloud-init.service /usr/lib/systemd/system/first-start.service /etc/systemd/system/multi-user.target.wants
%preun
rm -f /etc/systemd/system/multi-user.target.wants/first-start.service
%package -n kernel-core
Summary: fixture
Version: {OLD_KERNEL.split("-")[0]}
%description -n kernel-core
A fixture.
%files -n kernel-core
/boot/vmlinuz-{OLD_KERNEL}
/usr/lib/modules/{OLD_KERNEL}
%package -n time-agent
Summary: fixture
Requires: chrony
%description -n time-agent
A fixture.
%files -n time-agent
"""
CAPABLE = "usr/bin/lscpu"  # has a capability on the disk
# A unit that fails would make the machine unhealthy, an fstab with partitions of another disk would not let it start.
LEFTOVERS = {
    ".autorelabel": "",
    "boot/grub2/grub.cfg": "set default=0\n",
    "boot/loader/entries/0123-old.conf": "title old\n",
    "etc/default/grub": "GRUB_TIMEOUT=1\n",
    "etc/dracut.conf.d/vendor.conf": 'add_drivers+=" virtio_blk "\n',
    "etc/fstab": f"UUID={ROOT_UUID} / auto defaults 0 0\nUUID={BOOT_UUID} /boot auto defaults 0 0\nUUID=E590-0001 /boot/efi vfat defaults 0 2\n",
    "etc/hostname": "vendor-host\n",
    "etc/kernel/cmdline": f"root=UUID={ROOT_UUID}\n",
    "etc/ssh/ssh_host_ed25519_key": f"{SECRET}\n",
    "etc/ssh/sshd_config.d/50-cloud-init.conf": "PasswordAuthentication yes\n",
    "etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nBOOTPROTO=static\nIPADDR=203.0.113.9\n",
    "etc/NetworkManager/system-connections/vendor.nmconnection": f"[connection]\nid=vendor\ntype=ethernet\n# {SECRET}\n",
    "home/rocky/.ssh/authorized_keys": f"ssh-ed25519 {SECRET}\n",
    "root/.ssh/authorized_keys": f"ssh-ed25519 {SECRET}\n",
    "root/anaconda-ks.cfg": f"rootpw {SECRET}\n",
    "var/lib/cloud/instances/i-1/user-data.txt": f"password: {SECRET}\n",
    "var/lib/NetworkManager/secret_key": SECRET,
}


def own_packages(top, settings):
    """cloud-init, an older kernel, and a package that needs another one of the disk; built here."""
    top.mkdir(parents=True)
    (top / "vendor.spec").write_text(SPEC)
    defines = [word for setting in [*settings, f"_topdir {top}/rpmbuild"] for word in ("--define", setting)]
    run("rpmbuild", "-bb", "--target", "x86_64", *defines, top / "vendor.spec")
    return sorted((top / "rpmbuild/RPMS").rglob("*.rpm"))


def install(tree, packages, key):
    """The tree as rpm makes it, and the kernel where kernel-install puts it; returns the kernel's release."""
    tree.mkdir(parents=True)
    rpm = ["rpm", "--root", tree, "--dbpath", "/var/lib/rpm"]
    run(*rpm, "--nosignature", "-i", *packages)
    run(*rpm, "--import", key)  # rpm keeps keys as packages
    release, = (path.name for path in (tree / "usr/lib/modules").iterdir() if path.name != OLD_KERNEL)
    (tree / "etc/debian_version").unlink()
    (tree / "etc/rocky-release").write_text("Rocky Linux release 9.4 (fixture)\n")
    for name in ("vmlinuz", "config"):
        shutil.copy(tree / "usr/lib/modules" / release / name, tree / f"boot/{name}-{release}")
    return release


def add_leftovers(tree):
    for name, text in LEFTOVERS.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    run("setcap", "cap_net_raw=ep", tree / CAPABLE)
    (tree / "boot/efi").mkdir()
    (tree / "etc/machine-id").unlink(missing_ok=True)
    (tree / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")


def megabytes(tree):
    used = int(run("du", "-sm", tree).split()[0])
    return used + used // 4 + 32


def write(tree, raw):
    """The tree on a raw disk: /boot on a file system of its own, root on the rest."""
    boot = tree.with_name("boot")
    boot.mkdir()
    for path in (tree / "boot").iterdir():
        path.rename(boot / path.name)
    sizes = [64, megabytes(boot), megabytes(tree)]
    starts = [1, 1 + sizes[0], 1 + sizes[0] + sizes[1]]
    with open(raw, "wb") as disk:
        disk.truncate((starts[2] + sizes[2] + 1) << 20)
    table = "label: gpt\n" + "".join(f"start={start}MiB, size={size}MiB, type={kind}\n" for start, size, kind in zip(starts, sizes, "ULL"))
    subprocess.run(["sfdisk", "--quiet", raw], input=table, text=True, check=True)
    run("mkfs.vfat", "-F", 16, "-i", ESP_ID, "--offset", starts[0] * 2048, raw, sizes[0] * 1024)
    run("mmd", "-i", f"{raw}@@{starts[0] << 20}", "::EFI", "::EFI/rocky")
    for source, uuid, start, size in ((boot, BOOT_UUID, starts[1], sizes[1]), (tree, ROOT_UUID, starts[2], sizes[2])):
        run("mke2fs", "-q", "-t", "ext4", "-U", uuid, "-d", source, "-E", f"offset={start << 20}", raw, f"{size}M")
    for path in boot.iterdir():
        path.rename(tree / "boot" / path.name)
    boot.rmdir()


VOLUMES = """\
add {disk} readonly:true format:qcow2
add {raw} format:raw
run
part-init /dev/sdb gpt
part-add /dev/sdb p 2048 133119
part-add /dev/sdb p 133120 788479
part-add /dev/sdb p 788480 -2048
mkfs vfat /dev/sdb1
mkfs xfs /dev/sdb2 label:boot
pvcreate /dev/sdb3
vgcreate rocky /dev/sdb3
lvcreate-free root rocky 100
mkfs xfs /dev/rocky/root
mkmountpoint /old
mkmountpoint /new
mount-ro /dev/sda3 /old
mount-ro /dev/sda2 /old/boot
mount /dev/rocky/root /new
mkdir /new/boot
mount /dev/sdb2 /new/boot
tar-out /old {tar} numericowner:true xattrs:true
tar-in {tar} /new xattrs:true
write /new/etc/fstab "/dev/mapper/rocky-root / xfs defaults 0 0\\nLABEL=boot /boot xfs defaults 0 0\\n"
umount-all
"""


def write_on_volumes(disk, raw):
    """The tree of `disk` as an installation lays it: XFS, root in a logical volume. libguestfs makes it, this machine need know neither."""
    with open(raw, "wb") as file:
        file.truncate(1400 << 20)
    tar = raw.with_suffix(".tar")
    run("guestfish", input=VOLUMES.format(disk=disk, raw=raw, tar=tar), env={**os.environ, "LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"})
    tar.unlink()
