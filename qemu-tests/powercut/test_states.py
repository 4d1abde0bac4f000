# SPDX-License-Identifier: Apache-2.0
"""The checker's teeth: an orderly update passes in every state, and each seeded defect is found. No virtual machine."""
import pytest

from .checker import Generation, Judge
from .disk import Disk
from .replay import Replay, Report, build
from .synthetic import MIB, Fake, Workshop

KEPT = ("/EFI/webops/a.efi", "/webops/a.linux", "/webops/a.initrd", "/webops/a.cfg", "/loader/entries/a.conf")
OLD, NEW = Fake(1), Fake(7)


def generation(name, fake):
    from hashlib import sha256

    from .generation import wanted_slot

    digest = lambda data: sha256(data).hexdigest()  # noqa: E731
    return Generation(name, digest(fake.uki), digest(fake.linux), digest(fake.initrd), wanted_slot(fake.cmdline))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("template"), OLD)


@pytest.fixture
def shop(template, tmp_path):
    return template.clone(tmp_path)


def replay(shop, **options):
    disk, log = shop.recorded()
    judge = Judge(disk, [generation("old", OLD), generation("new", NEW)], kept=KEPT, guarded=("a",))
    return Replay(log, disk, judge, Report("test", "uefi"), **options).run()


def publish_bios(shop):
    shop.put("grub/env1", b"# GRUB Environment Block\nwebops_slot=b\nwebops_left=2\n".ljust(1024, b"#"))


def update(shop):
    """As an update ought to be: slot, files, entry, each flushed; then a boot loader's bump, then the commit."""
    shop.slot("b", NEW.slot)
    shop.step()
    shop.files("b", NEW)
    shop.step()
    shop.put("loader/entries/b+2.conf", NEW.entry("b", 2))
    shop.step()
    publish_bios(shop)
    shop.step()
    shop.rename("loader/entries/b+2.conf", "b+1-1.conf")
    shop.step()
    shop.rename("loader/entries/b+1-1.conf", "b.conf")
    shop.step()


def problems(report):
    return {problem for _, found in report.failures for problem in found}


def test_an_orderly_update_has_a_generation_in_every_state(shop):
    update(shop)
    report = replay(shop)
    assert not report.failures, report.failures[:3]
    assert report.runs["old"] > 10 and report.runs["new"] > 3 and set(report.runs) == {"old", "new"}
    assert {"flush", "write", "slot", "reordered", "dropped", "torn"} == set(report.states)
    assert report.end.runs == {"uefi": "new", "bios": "new"} and report.end.counted == {"uefi": False, "bios": True}
    # Until the commit the loader comes back to the old generation when the new one never gets healthy; the counters see to that.
    assert report.end.fallback["bios"] == "old"


def test_a_state_can_be_built_again(shop, tmp_path):
    update(shop)
    report = replay(shop)
    for state in report.chosen[:: max(1, len(report.chosen) // 25)]:
        disk, log = shop.recorded()
        build(log, disk, state)
        assert disk.fingerprint() in report.distinct
        disk.export(tmp_path / "state.raw")
        again = Disk(tmp_path / "state.raw")
        assert all(again.read(at, MIB) == disk.read(at, MIB) for at in range(0, disk.size, MIB))


def test_old_entry_removed_before_the_new_one_is_there(shop):
    shop.slot("b", NEW.slot)
    shop.files("b", NEW)
    shop.step()
    shop.remove("loader/entries/a.conf")
    shop.step()
    shop.put("loader/entries/b+2.conf", NEW.entry("b", 2))
    shop.step()
    assert any("uefi: nothing boots" in problem for problem in problems(replay(shop)))


def test_truncated_kernel_image(shop):
    shop.slot("b", NEW.slot)
    shop.files("b", NEW)
    shop.put("EFI/webops/b.efi", NEW.uki[:-700])
    shop.step()
    shop.put("loader/entries/b+2.conf", NEW.entry("b", 2))
    shop.step()
    assert "uefi: started what is not whole before old: b+2.conf, b+1-1.conf" in problems(replay(shop))


def test_entry_that_is_not_flushed_apart_from_the_kernel_image(shop):
    shop.slot("b", NEW.slot)
    shop.step()
    shop.files("b", NEW)
    shop.step(flush=False)
    shop.put("loader/entries/b+2.conf", NEW.entry("b", 2))
    shop.step()
    report = replay(shop)
    assert not [state for state, _ in report.failures if state.kind == "write"], "in the order of writing nothing is wrong"
    assert [state for state, _ in report.failures if state.kind in ("reordered", "dropped")], "but a disk may keep the entry and lose the file"


@pytest.mark.parametrize("at", [0, 40, 4096 * 100 + 17, len(NEW.data) + 5, len(NEW.slot) - 4096 * 2 + 3])
def test_slot_with_a_wrong_byte(shop, at):
    wrong = bytearray(NEW.slot)
    wrong[at] ^= 1
    shop.slot("b", bytes(wrong))
    shop.files("b", NEW)
    shop.put("loader/entries/b+2.conf", NEW.entry("b", 2))
    publish_bios(shop)
    shop.step()
    found = replay(shop).end.problems
    assert any(problem.startswith("uefi: started what is not whole") for problem in found)
    assert any(problem.startswith("bios: started what is not whole") for problem in found)


def test_kernel_of_another_generation_under_bios(shop):
    shop.slot("b", NEW.slot)
    shop.files("b", NEW)
    shop.put("webops/b.initrd", OLD.initrd)
    publish_bios(shop)
    shop.step()
    assert any(problem.startswith("bios: started what is not whole") for problem in replay(shop).end.problems)


@pytest.mark.parametrize("path", KEPT)
def test_file_of_the_good_slot_touched(shop, path):
    shop.put(path[1:], b"other")
    shop.step()
    assert f"{path} changed" in problems(replay(shop))


def test_good_slot_written_to(shop):
    wrong = bytearray(OLD.slot)
    wrong[70000] ^= 1
    shop.slot("a", bytes(wrong))
    shop.step()
    assert {"slot a was written to", "uefi: nothing boots after 16 starts: a.conf, a.conf, a.conf, a.conf, a.conf, a.conf"} <= problems(replay(shop))


def test_both_partition_tables_damaged(shop):
    with open(shop.path, "r+b") as disk:
        disk.seek(512 + 20)
        disk.write(b"\xff")
    shop.step()
    assert not problems(replay(shop)), "one table is left"
    with open(shop.path, "r+b") as disk:
        disk.seek(-512 + 20, 2)
        disk.write(b"\xff")
    shop.step()
    assert "no partition table" in problems(replay(shop))


def test_cut_in_the_middle_of_a_rename_across_sectors(shop):
    """Old and new name in different sectors: a torn write loses both. The other slot's entry is what saves the machine."""
    shop.slot("b", NEW.slot)
    shop.files("b", NEW)
    for number in range(9):
        shop.put(f"loader/entries/PAD{number}", b"")
    shop.put("loader/entries/b+2.conf", NEW.entry("b", 2))
    shop.start()
    shop.put("loader/entries/b+1-1.conf", NEW.entry("b", 2))
    shop.remove("loader/entries/b+2.conf")
    shop.step()
    report = replay(shop)
    assert not report.failures
    assert report.runs["old"] > 0 and report.runs["new"] > 0
