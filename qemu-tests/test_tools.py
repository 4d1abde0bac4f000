# SPDX-License-Identifier: Apache-2.0
"""Tools that are not ours read the image and agree with us."""
import hashlib
import json
import os
import re
import subprocess

import pytest
from images import good, webops_image
from vm import OUT


def tool(*command, **options):
    result = subprocess.run(list(map(str, command)), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, **options)
    assert result.returncode == 0, f"{command}: {result.stdout}"
    return result.stdout


def cut(image, offset, size, name):
    """A part of the image as a file of its own, holes kept."""
    path = OUT / name
    path.unlink(missing_ok=True)
    subprocess.run(["dd", f"if={image}", f"of={path}", "bs=1M", "iflag=skip_bytes,count_bytes", f"skip={offset}", f"count={size}", "conv=sparse",
                    "status=none"], check=True)
    os.truncate(path, size)
    return path


@pytest.fixture(scope="module")
def report(image):
    return image.inspect()


@pytest.fixture(scope="module")
def parts(image, report):
    cut_out = {part["name"]: cut(image.raw, part["offset"], part["bytes"], f"part-{part['name']}.raw")
               for part in report["partitions"] if part["name"] in ("esp", "webops-a", "webops-state")}
    yield cut_out
    for path in cut_out.values():
        path.unlink()


def test_sgdisk_finds_no_problem(image):
    assert "No problems found" in tool("sgdisk", "-v", image.raw)
    table = tool("sgdisk", "-p", image.raw)
    assert re.findall(r"^ +\d+ .* (\S+)$", table, re.M) == ["bios", "esp", "webops-a", "webops-b", "webops-state"]


def test_esp_is_a_clean_fat(parts):
    tool("fsck.vfat", "-n", parts["esp"])
    listing = tool("mdir", "-/", "-b", "-i", parts["esp"]).lower()
    for name in ("efi/boot/bootx64.efi", "efi/webops/a.efi", "loader/entries/a.conf", "grub/grub.cfg", "webops/a.linux", "webops/a.initrd"):
        assert name in listing, name
    assert "b.efi" not in listing and "+" not in listing


def test_state_is_a_clean_ext4(parts):
    tool("e2fsck", "-fn", parts["webops-state"])


def test_veritysetup_verifies_the_slot(parts, report):
    slot = report["slots"][0]
    arguments = ["--no-superblock", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096", "--salt=-",
                 f"--data-blocks={slot['data_bytes'] // 4096}", f"--hash-offset={slot['data_bytes']}"]
    tool("veritysetup", "verify", parts["webops-a"], parts["webops-a"], slot["root_hash"], *arguments)
    # And it notices one flipped bit.
    with open(parts["webops-a"], "r+b", buffering=0) as file:
        file.seek(123456)
        byte = file.read(1)[0]
        file.seek(123456)
        file.write(bytes([byte ^ 1]))
        failed = subprocess.run(["veritysetup", "verify", parts["webops-a"], parts["webops-a"], slot["root_hash"], *arguments], capture_output=True)
        file.seek(123456)
        file.write(bytes([byte]))
    assert failed.returncode != 0


def test_unsquashfs_reads_every_layer(parts, report):
    for layer in report["slots"][0]["layers"]:
        path = cut(parts["webops-a"], layer["offset"], layer["bytes"], f"layer-{layer['name']}.squashfs")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == layer["sha256"]
        summary = tool("unsquashfs", "-s", path)
        assert "zstd" in summary and "Block size 131072" in summary
        tool("unsquashfs", "-l", path)
        path.unlink()


def test_uki_is_what_systemd_expects(parts, report):
    uki = OUT / "a.efi"
    tool("mcopy", "-o", "-i", parts["esp"], "::EFI/webops/a.efi", uki)
    sections = tool("objdump", "-h", uki)
    for name in (".osrel", ".cmdline", ".linux", ".initrd"):
        assert re.search(rf" \{name} ", sections), name
    texts = {}
    for name in (".cmdline", ".osrel", ".linux", ".initrd"):
        path = OUT / f"uki{name}"
        tool("objcopy", "-O", "binary", f"--only-section={name}", uki, path)
        texts[name] = path.read_bytes()
        path.unlink()
    cmdline = texts[".cmdline"].rstrip(b"\0").decode()
    slot = report["slots"][0]
    assert f"webops.slot={slot['id']}:{slot['data_bytes'] // 4096}:{slot['root_hash']}" in cmdline
    assert slot["cmdline"] == cmdline
    assert texts[".linux"][514:518] == b"HdrS"
    # BIOS boots the same kernel and the same initramfs.
    for name, section in (("a.linux", ".linux"), ("a.initrd", ".initrd")):
        copy = OUT / name
        tool("mcopy", "-o", "-i", parts["esp"], f"::webops/{name}", copy)
        assert texts[section].startswith(copy.read_bytes()), name
        copy.unlink()
    uki.unlink()


def test_libguestfs_sees_the_file_systems(image):
    env = {**os.environ, "LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
    listing = tool("guestfish", "--ro", "--format=raw", "-a", image.raw, "run", ":", "list-filesystems", env=env)
    kinds = dict(line.split(": ") for line in listing.strip().splitlines())
    assert kinds["/dev/sda2"] == "vfat" and kinds["/dev/sda5"] == "ext4"


def test_other_outputs_hold_the_same_disk(image):
    qcow2, compressed = image.file(".qcow2"), image.file(".zst")
    tool("qemu-img", "check", qcow2)
    tool("qemu-img", "compare", "-f", "qcow2", "-F", "raw", qcow2, image.raw)
    unpacked = OUT / "unpacked.raw"
    tool("zstd", "-q", "-d", "-f", "--sparse", compressed, "-o", unpacked)
    tool("cmp", unpacked, image.raw)
    target = OUT / "flashed.raw"
    target.unlink(missing_ok=True)
    tool("bmaptool", "copy", "--bmap", image.file(".bmap"), compressed, target)
    tool("qemu-img", "compare", "-f", "raw", "-F", "raw", target, image.raw)
    unpacked.unlink()
    target.unlink()


def test_sbom_and_package_list_agree(image, report):
    listed = {line.split()[1] for line in image.file(".packages").read_text().splitlines() if line.strip()}
    sbom = json.loads(image.file(".spdx.json").read_text())
    named = {package["name"] for package in sbom["packages"]}
    inspected = {package["name"] for package in report["packages"]}
    assert {"systemd", "openssh-server", "nftables", "cloud-guest-utils"} <= listed & named & inspected
    assert inspected <= listed and inspected <= named


def test_inspect_refuses_a_flipped_bit(image, report):
    part = next(part for part in report["partitions"] if part["name"] == "webops-a")
    copy = OUT / "inspect-flipped.raw"
    subprocess.run(["cp", "--sparse=always", image.raw, copy], check=True)
    with open(copy, "r+b") as disk:
        disk.seek(part["offset"] + report["slots"][0]["layers"][0]["offset"] + 99999)
        byte = disk.read(1)[0]
        disk.seek(-1, os.SEEK_CUR)
        disk.write(bytes([byte ^ 0x80]))
    refused = webops_image("inspect", copy)
    copy.unlink()
    assert refused.returncode == 1
    assert "block" in refused.stdout + refused.stderr, refused.stdout + refused.stderr
    assert "root" in good(webops_image("inspect", image.raw)).stdout.lower()


def test_diff_of_two_distributions(image, following):
    """Of two kernels the options are told, of two releases the packages."""
    found = json.loads(good(webops_image("diff", "--json", image.raw, following.raw)).stdout)
    options = {change["key"]: change for change in found["kernel_options"]}
    assert options["CONFIG_CC_VERSION_TEXT"]["before"] != options["CONFIG_CC_VERSION_TEXT"]["after"]
    assert all(key.startswith("CONFIG_") for key in options) and any(change["after"] in ("y", "m") for change in options.values())
    packages = {change["key"]: change for change in found["packages"]}
    assert packages["systemd:amd64"]["before"].startswith("252.") and packages["systemd:amd64"]["after"].startswith("257.")
