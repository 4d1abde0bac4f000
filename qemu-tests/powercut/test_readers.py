# SPDX-License-Identifier: Apache-2.0
"""The checker's readers against other people's programs: FAT against mtools and fsck.vfat, GRUB's environment against grub-editenv, versions and
entry names against tables of systemd-boot's documentation, the hash tree against veritysetup.
"""
import random
import re
import shutil
import subprocess

import pytest

from . import fat, generation, grub, systemdboot, writelog
from .disk import Disk
from .replay import shuffled, tears
from .synthetic import BLOCK, Fake, tool, tree
from .systemdboot import BootEntry

NAMES = ["a.conf", "b+3.conf", "b+2-1.conf", "UPPER.TXT", "lower", "Mixed Case and blanks.data", "ümlaut.conf", "x" * 100, "dot.in.name", "13chars+3.cnf", "AUTOEXEC.BAT"]


@pytest.fixture
def volume_file(tmp_path):
    path = tmp_path / "fat"
    with open(path, "wb") as out:
        out.truncate(40 << 20)
    tool(["mkfs.vfat", "-F", "32", "-s", "1", "--invariant", path])
    return path


def opened(path):
    data = path.read_bytes()
    return fat.Volume(lambda offset, size: data[offset : offset + size])


def put(path, name, data):
    tool(["mcopy", "-o", "-i", path, "-", f"::/{name}"], input=data)


def fsck(path):
    done = subprocess.run([shutil.which("fsck.vfat", path="/usr/sbin:/sbin") or "fsck.vfat", "-n", path], text=True, stdout=subprocess.PIPE)
    return done.returncode, done.stdout


def test_names_and_contents_are_those_of_mtools(volume_file):
    chance = random.Random(3)
    contents = {}
    tool(["mmd", "-i", volume_file, "::/dir", "::/dir/deep"])
    for name in NAMES:
        for prefix in ("", "dir/", "dir/deep/"):
            contents[prefix + name] = chance.randbytes(chance.choice([0, 1, 511, 512, 513, 5000, 40000]))
            put(volume_file, prefix + name, contents[prefix + name])
    for number in range(20):
        put(volume_file, f"hole{number}", bytes(2000))
    free = opened(volume_file).load_fat()[2:].count(0)
    put(volume_file, "filler", bytes(512 * (free - 4)))
    for number in range(0, 20, 2):
        tool(["mdel", "-i", volume_file, f"::/hole{number}"])
    contents["fragmented"] = chance.randbytes(15000)
    put(volume_file, "fragmented", contents["fragmented"])
    contents |= {"filler": bytes(512 * (free - 4)), **{f"hole{number}": bytes(2000) for number in range(1, 20, 2)}}
    volume = opened(volume_file)
    root = volume.tree()
    found = {path[1:]: node for path, node in fat.walk(root) if not node.is_directory}
    assert set(found) == set(contents)
    for name, data in contents.items():
        assert volume.content(found[name]) == data
        assert fat.find(root, "\\" + name.replace("/", "\\").upper()) is found[name], "names are found in any case"
    assert len(volume.runs(found["fragmented"].cluster, "")) > 3
    report = fat.audit(volume, root)
    assert (report.cross_linked, report.broken, report.lost, report.fats_differ) == ([], [], 0, False)
    assert fsck(volume_file)[0] == 0


def test_damage_is_seen_as_fsck_sees_it(volume_file):
    for name in ("first", "second", "third"):
        put(volume_file, name, bytes(5000))
    volume = opened(volume_file)
    root = volume.tree()
    nodes = [fat.find(root, name) for name in ("first", "second", "third")]

    def patched(at, value):
        data = bytearray(volume_file.read_bytes())
        for table in range(volume.fats):
            start = volume.fat_at + table * volume.fat_sectors * 512 + 4 * at
            data[start : start + 4] = value.to_bytes(4, "little")
        path = volume_file.with_name("damaged")
        path.write_bytes(data)
        return path

    crossed = patched(nodes[0].cluster, nodes[1].cluster + 1)
    report = fat.audit(opened(crossed), root)
    status, text = fsck(crossed)
    assert report.cross_linked and status and "share clusters" in text
    assert report.lost == int(re.search(r"Reclaimed (\d+) unused clusters", text)[1])
    lost = patched(60000, 0x0FFFFFFF)
    report = fat.audit(opened(lost), root)
    assert report.lost == 1 and "Reclaimed 1 unused cluster" in fsck(lost)[1]
    short = patched(nodes[2].cluster, 0x0FFFFFFF)
    with pytest.raises(fat.FatError, match="ends 4488 bytes too early"):
        opened(short).content(nodes[2])
    assert fsck(short)[0]
    loop = patched(nodes[2].cluster + 2, nodes[2].cluster)
    with pytest.raises(fat.FatError, match="loop"):
        opened(loop).content(nodes[2])
    assert fat.audit(opened(loop), root).broken == ["/third"]


def test_long_name_without_its_short_name_is_no_name(volume_file):
    put(volume_file, "b+3.conf", b"x")
    volume = opened(volume_file)
    node = fat.find(volume.tree(), "b+3.conf")
    assert node.slots == 2
    data = bytearray(volume_file.read_bytes())
    data[node.at + 32] = 0xE5  # the short name is deleted, the long one is left
    assert fat.find(fat.Volume(lambda at, size: bytes(data[at : at + size])).tree(), "b+3.conf") is None
    data = bytearray(volume_file.read_bytes())
    data[node.at] = 0xE5  # the other way round: what is left does not end in .conf
    names = [child.name for child in fat.Volume(lambda at, size: bytes(data[at : at + size])).tree().children.values()]
    assert len(names) == 1 and not systemdboot.is_entry_name(names[0])


# systemd-boot


@pytest.mark.parametrize(
    "file, left, done, after",
    [
        ("b.conf", -1, -1, "b.conf"),
        ("b+3.conf", 3, 0, "b+2-1.conf"),
        ("b+2-1.conf", 2, 1, "b+1-2.conf"),
        ("b+1-2.conf", 1, 2, "b+0-3.conf"),
        ("b+0-3.conf", 0, 3, "b+0-4.conf"),
        ("b+x+2.CONF", 2, 0, "b+x+1-1.conf"),
        ("b+2x.conf", -1, -1, "b+2x.conf"),
        ("b+2-.conf", -1, -1, "b+2-.conf"),
        ("b+.conf", -1, -1, "b+.conf"),
        ("b+3+.conf", -1, -1, "b+3+.conf"),
        ("b+2147483648.conf", -1, -1, "b+2147483648.conf"),
    ],
)
def test_counters(file, left, done, after):
    entry = systemdboot.parse(file, "efi /x.efi\n")
    assert (entry.left, entry.done, entry.bumped()) == (left, done, after)


def test_versions_in_their_documented_order():
    order = ["", "~1", "122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1", "123a-1", "124-1"]
    for low, a in enumerate(order[2:]):
        for b in order[2 + low + 1 :]:
            assert systemdboot.compare_versions(a, b) < 0 < systemdboot.compare_versions(b, a), (a, b)
    for a, b in (("1_2_3", "1_3_3"), ("9", "10"), ("1", "1.1"), ("007", "8"), ("", "1"), ("~", "")):
        assert systemdboot.compare_versions(a, b) < 0
    assert systemdboot.compare_versions("00123", "123") == systemdboot.compare_versions("x", "x") == 0


def entry(file, version="1", **changes):
    return BootEntry(file, changes.get("sort_key", "webops"), "", version, "/x.efi", *systemdboot.counters(file))


@pytest.mark.parametrize(
    "entries, first",
    [
        ([entry("a.conf", "1"), entry("b+3.conf", "2")], "b+3.conf"),
        ([entry("a.conf", "1"), entry("b+0-3.conf", "2")], "a.conf"),
        ([entry("a.conf", "1"), entry("b.conf", "2")], "b.conf"),
        ([entry("a.conf", "9"), entry("b.conf", "10")], "b.conf"),
        ([entry("a+0-3.conf", "1"), entry("b+0-3.conf", "2")], "b+0-3.conf"),
        ([entry("z.conf", "9", sort_key=None), entry("a.conf", "1")], "a.conf"),
        ([entry("b.conf", "2"), entry("b+2-1.conf", "2")], "b+2-1.conf"),  # twins of a cut rename: the counted one, while it has tries
        ([entry("b+2-1.conf", "2"), entry("b+3.conf", "2")], "b+3.conf"),
        ([], None),
    ],
)
def test_choice(entries, first):
    for candidates in (entries, entries[::-1]):
        chosen = systemdboot.choose(candidates)
        assert (chosen.file if chosen else None) == first


def test_entry_files():
    parsed = systemdboot.parse("b.conf", '# comment\ntitle  "two words"\nsort-key\twebops\nversion 7\nefi /EFI/webops/b.efi\n')
    assert (parsed.sort_key, parsed.version, parsed.loader) == ("webops", "7", "/EFI/webops/b.efi")
    assert systemdboot.parse("b.conf", "title x\n") is None, "an entry that starts nothing"
    assert systemdboot.parse("b.conf", "architecture aa64\nefi /x\n") is None
    assert systemdboot.parse("b.conf", "efi /EFI/webops/b.e").loader == "/EFI/webops/b.e", "a text cut short names another file"
    assert [name for name in ("a.conf", "A.CONF", ".a.conf", "auto-x.conf", "a.conf.new", "a") if systemdboot.is_entry_name(name)] == ["a.conf", "A.CONF"]


# GRUB


def test_environment_is_that_of_grub_editenv(tmp_path):
    path = tmp_path / "env"
    subprocess.run(["grub-editenv", path, "create"], check=True)
    created = path.read_bytes()
    subprocess.run(["grub-editenv", path, "set", "webops_left=3", "webops_trial=b", "other=x=y"], check=True)
    assert grub.env_lines(path.read_bytes()) == {"webops_left": "3", "webops_trial": "b", "other": "x=y"}
    assert grub.env_set(created, {"webops_left": "3", "webops_trial": "b", "other": "x=y"}) == path.read_bytes()
    before = path.read_bytes()
    subprocess.run(["grub-editenv", path, "set", "webops_left=10"], check=True)
    assert grub.env_set(before, {"webops_left": "10"}) == path.read_bytes()
    for damaged in (b"", before[:10], b"x" + before[1:]):
        assert grub.env_lines(damaged) is None


def ran(script, files=None, **options):
    kernel = bytes(0x1FE) + b"\x55\xaa\0\0HdrS"
    files = {"/grub/grub.cfg": script.encode(), "/k": kernel, "/i": b"i", "/env": b"# GRUB Environment Block\nleft=2\n".ljust(1024, b"#"), **(files or {})}
    return grub.Script(files.get, **options).run("/grub/grub.cfg")


@pytest.mark.parametrize(
    "script, started",
    [
        ("linux /k x 'a b' \"$u c\"; initrd /i; boot", ("/k", "/i", "x a b  c")),
        ("if linux /none; then initrd /i; boot; fi; reboot", None),
        ("load_env --file /env left; if [ \"$left\" = 2 -a ! -z \"$left\" ]; then linux /k two; else linux /k other; fi\ninitrd /i\nboot", ("/k", "/i", "two")),
        ("load_env --file /none left; if [ -z $left ]; then linux /k unset; fi; boot", ("/k", None, "unset")),
        ("function f { linux /k $1; }\nf 'one two'; boot", ("/k", None, "one two")),
        ("function f { if [ $1 = a ]; then return 1; fi; return 0; linux /k no; }\nif f a; then linux /k a; elif f b; then linux /k b; fi; boot", ("/k", None, "b")),
        ("for x in a b; do if [ $x = b ]; then linux /k $x; boot; fi; done", ("/k", None, "b")),
        ("# comment\nset a=\"x\"\nset b=${a}y\nlinux /k $b # comment\nboot", ("/k", None, "xy")),
        ("if [ 2 -gt 10 ]; then linux /k no; elif test 10 -gt 2; then linux /k yes; fi; boot", ("/k", None, "yes")),
        ("boot", None),
    ],
)
def test_scripts(script, started):
    assert ran(script).started == started


def test_save_env_before_boot_and_when_it_fails():
    script = "load_env --file /env left; set left=1; if save_env --file /env left; then linux /k trial; else linux /k good; fi; boot"
    assert ran(script).started[2] == "trial"
    assert grub.env_lines(ran(script).writes["/env"]) == {"left": "1"}
    assert ran(script, can_write=False).started[2] == "good"
    assert ran(script, {"/env": b""}).started[2] == "good"
    assert ran("reboot").ended == "reboot" and ran("boot").ended == "prompt"
    with pytest.raises(grub.Unsupported):
        ran("chainloader +1")


# Slot and log


def test_hash_tree_is_that_of_veritysetup(tmp_path):
    program = shutil.which("veritysetup", path="/usr/sbin:/sbin:/usr/bin")
    fake = Fake(5, blocks=300)
    (tmp_path / "data").write_bytes(fake.data)
    text = subprocess.run([program, "format", "--no-superblock", "--salt=-", tmp_path / "data", tmp_path / "hash"], check=True, text=True, stdout=subprocess.PIPE).stdout
    stored, root = tree(fake.data)
    assert root == re.search(r"Root hash:\s+(\w+)", text)[1]
    assert (tmp_path / "hash").read_bytes()[: len(stored)] == stored


def test_hash_tree_follows_changes(tmp_path):
    from .synthetic import Workshop

    shop = Workshop(tmp_path, Fake(1, blocks=130))
    disk = Disk(shop.base)
    slots, wanted = generation.Slots(disk), generation.wanted_slot(Fake(1, blocks=130).cmdline)
    at = disk.partitions["webops-a"].offset
    assert slots.find(wanted) == "a" and slots.verify("a", wanted)
    for offset in (at + 4096, at + 4096 * 129 + 3 * 512, at + 4096 * 130, at + 4096 * 132 + 512):
        mark = disk.mark()
        disk.write(offset, bytes(range(256)) * 2)
        assert not slots.verify("a", wanted), offset
        disk.rollback(mark)
        assert slots.verify("a", wanted)
    disk.write(at + 40 // 512, bytes(512))
    assert slots.find(wanted) is None


def test_kernel_image(tmp_path):
    fake = Fake(3)
    assert generation.uki_wants(fake.uki) == generation.wanted_slot(fake.cmdline)
    for length in (0, 10, 80, 1100, len(fake.uki) - 1):
        with pytest.raises(ValueError):
            generation.uki_wants(fake.uki[:length])
    assert generation.wanted_slot(fake.cmdline + " " + fake.cmdline) is None


def test_log(tmp_path):
    head = writelog.SUPER.pack(writelog.MAGIC, 1, 3, 512).ljust(512, b"\0")
    entries = [(8, 2, 0, b"a" * 1024), (0, 0, writelog.FLUSH, b""), (100, 4, writelog.DISCARD, b"")]
    path = tmp_path / "log"
    path.write_bytes(head + b"".join(writelog.ENTRY.pack(sector, count, flags, 0).ljust(512, b"\0") + data for sector, count, flags, data in entries) + b"x" * 700)
    log = writelog.Log(path)
    assert [(e.offset, e.size, e.is_write, e.is_flush, e.is_discard) for e in log.entries] == [
        (4096, 1024, True, False, False), (0, 0, False, True, False), (51200, 2048, False, False, True)]
    assert log.data(log.entries[0]) == b"a" * 1024 and log.data(log.entries[2]) == bytes(2048)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match="past the end"):
        writelog.Log(path)


def test_tears_and_orders():
    old, new = bytes(2048), b"".join(bytes([n]) * 512 for n in (1, 0, 3, 4))
    assert tears(new, old) == [512, 1536], "after each changed sector but the last"
    assert tears(bytes(512), b"x" * 512) == []
    assert len(tears(b"n" * 65536, bytes(65536))) == 8
    window = [writelog.Entry(n, n * 512, 512, 0, 0) for n in range(20)]
    assert shuffled(window, 1) == shuffled(window, 1) != shuffled(window, 2)
    assert BLOCK == 4096
