# SPDX-License-Identifier: Apache-2.0
"""The builder from outside: same bytes everywhere, nothing half-written, and clear words about what is wrong."""
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from images import CACHE, KEYS, Image, environment, good, webops_image
from vm import OUT, PROGRAM, ROOT

HERE = Path(__file__).parent
USER_PATH = "/usr/local/bin:/usr/bin:/bin"  # of an ordinary user of Debian: no sbin
SMALL = """\
name: small
version: "1"
sequence: 1
image: {image}
layers: [{layers}]
slot_size: {slot_size}
esp_size: 128M
state_size: 64M
zstd_level: 1
modules: virtio
cmdline: [console=ttyS0]
outputs: []
"""


def project(path, *, layers="base", image="debian-12", slot_size="640M", extra_layer=None):
    """Our data with a profile `small`, and optionally one more layer, in a directory of its own."""
    shutil.rmtree(path, ignore_errors=True)
    for name in ("images", "overlays"):
        shutil.copytree(ROOT / name, path / name, symlinks=True)
    (path / "profiles").mkdir()
    if extra_layer is not None:
        layer = path / "overlays" / "extra"
        (layer / "files/etc").mkdir(parents=True)
        (layer / "files/etc/extra.conf").write_text("extra\n")
        (layer / "layer.yaml").write_text("name: extra\nversion: \"1\"\nsummary: for a test\n" + extra_layer)
        layers += ", extra"
    profile = path / "profiles" / "small.yaml"
    profile.write_text(SMALL.format(layers=layers, image=image, slot_size=slot_size))
    return profile


def env_for(profile, **changes):
    return environment(WEBOPS_DATA=profile.parent.parent, **changes)


def build(profile, out, *arguments, **changes):
    return webops_image("build", profile, "-o", out, *arguments, env=env_for(profile, **changes), timeout=900)


def leftovers(*places):
    """Files that a build would leave when it forgot something."""
    return [str(path) for place in places if place.exists() for path in place.rglob("*")]


def final_names(out):
    """Files in an output directory that are not inside something hidden, where builds work."""
    return [str(path) for path in (out.rglob("*") if out.exists() else ()) if not any(part.startswith(".") for part in path.relative_to(out).parts)]


def refused(result, *words):
    assert result.returncode in (1, 75), result.stdout + result.stderr
    for word in words:
        assert word.lower() in result.stderr.lower(), f"'{word}' is not in: {result.stderr}"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A built minimal image with its project; later scenarios reuse its cache."""
    profile = project(tmp_path_factory.mktemp("small"))
    out = OUT / "small"
    shutil.rmtree(out, ignore_errors=True)
    good(build(profile, out))
    return profile, Image(profile, out)


def digests(directory):
    """What must be the same bytes wherever it is built: slot image, UKI, initramfs, and what inspect reads from the disk image."""
    parts = json.loads(next(Path(directory).glob("*.build.json")).read_text())["parts"]
    slot = json.loads(good(webops_image("inspect", "--json", next(Path(directory).glob("*.raw")))).stdout)["slots"][0]
    return {"root hash": slot["root_hash"], "id": slot["id"], "command line": slot["cmdline"], "layers": [layer["sha256"] for layer in slot["layers"]],
            "parts": {name: part["sha256"] for name, part in parts.items()}}


def turkish(directory):
    """The environment of another language, compiled here because no installation is sure to have it: its i is no I, and its names sort otherwise."""
    directory.mkdir()
    good(subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8", directory / "tr_TR.UTF-8"], text=True, capture_output=True))
    variables = {"LOCPATH": str(directory), "LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr"}
    loaded = subprocess.run(["locale", "-k", "charmap", "day"], env={**os.environ, **variables}, text=True, capture_output=True)
    assert 'charmap="UTF-8"' in loaded.stdout and "Pazartesi" in loaded.stdout and not loaded.stderr, loaded
    return variables


def test_same_bytes_elsewhere(small, tmp_path):
    profile, first = small
    other = project(tmp_path / "another place")
    script = 'umask 077; exec "$@"'
    result = subprocess.run(["sh", "-c", script, "sh", PROGRAM, "build", other, "-o", tmp_path / "out"], text=True, capture_output=True, timeout=900,
                            cwd=tmp_path, env=env_for(other, WEBOPS_CACHE=tmp_path / "cache", TZ="Asia/Tokyo", **turkish(tmp_path / "locales")))
    good(result)
    second = Image(other, tmp_path / "out")
    assert digests(first.dir) == digests(second.dir)
    assert set(digests(first.dir)["parts"]) == {"slot", "uki", "initramfs"}
    # And on the disk, read by others: the slot partition, and the files of the ESP.
    hashes = []
    for image in (first, second):
        report = image.inspect()
        slot, esp = (next(part for part in report["partitions"] if part["name"] == name) for name in ("webops-a", "esp"))
        with open(image.raw, "rb") as disk:
            disk.seek(slot["offset"])
            found = [hashlib.sha256(disk.read(slot["bytes"])).hexdigest()]
        for name in ("EFI/webops/a.efi", "webops/a.linux", "webops/a.initrd", "loader/entries/a.conf"):
            data = subprocess.run(["mtype", "-i", f"{image.raw}@@{esp['offset']}", f"::{name}"], capture_output=True, check=True).stdout
            assert data, name
            found.append(hashlib.sha256(data).hexdigest())
        hashes.append(found)
    assert hashes[0] == hashes[1]


def test_nothing_changed_nothing_built(small):
    profile, image = small

    def state():
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in image.dir.iterdir() if not path.name.startswith(".")}
    before = state()
    result = good(build(profile, image.dir))
    assert "nothing to do" in result.stdout + result.stderr
    assert state() == before and image.raw.name in before
    plan = json.loads(good(webops_image("plan", "--json", profile, env=env_for(profile))).stdout)
    assert plan["nodes"] and all(node["cached"] for node in plan["nodes"])


def test_plan_says_why(tmp_path, small):
    _, _ = small
    profile = project(tmp_path / "p", extra_layer="")
    good(build(profile, tmp_path / "out"))
    (tmp_path / "p/overlays/extra/files/etc/extra.conf").write_text("changed\n")
    nodes = json.loads(good(webops_image("plan", "--json", profile, env=env_for(profile))).stdout)["nodes"]
    reasons = {node["label"]: node["reason"] for node in nodes if not node["cached"]}
    assert reasons and any("extra.conf" in reason for reason in reasons.values()), reasons
    assert not any("base" in label and "layer" in label for label in reasons), reasons
    human = good(webops_image("plan", profile, env=env_for(profile))).stdout
    assert "extra.conf" in human


def test_unprivileged_build(small):
    if os.geteuid() != 0:
        pytest.fail("run the scenarios as root: they build as another user, too")
    _, image = small
    home = Path(tempfile.mkdtemp(prefix="webops-unprivileged-", dir="/var/tmp"))
    try:
        home.chmod(0o755)
        profile = project(home / "project")
        shutil.copy2(PROGRAM, home / "webops-image")
        programs = home / "programs"
        programs.mkdir()
        for name in ("webops", "webops-fetch", "webops-verify", "webops-unseal", "webops-http", "webops-flash", "init", "restart.efi"):
            shutil.copy2(ROOT / "build" / name, programs / name)
        # The same bytes need the same trusted keys; the directory of the scenarios is closed to other users.
        shutil.copytree(KEYS, home / "keys")
        subprocess.run(["chown", "-R", "daemon:daemon", home], check=True)
        subprocess.run(["sh", "-c", "grep -q '^daemon:' /etc/subuid || echo daemon:2000000:65536 >>/etc/subuid;"
                        "grep -q '^daemon:' /etc/subgid || echo daemon:2000000:65536 >>/etc/subgid"], check=True)
        result = subprocess.run(["setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups", home / "webops-image", "build", profile, "-o", home / "out"],
                                env=env_for(profile, WEBOPS_CACHE=home / "cache", WEBOPS_KEYS=home / "keys", WEBOPS_PROGRAMS=programs, HOME=home, USER="daemon",
                                            PATH=USER_PATH), cwd=home,
                                text=True, capture_output=True, timeout=900)
        if result.returncode == 0:
            assert digests(home / "out")["root hash"] == digests(image.dir)["root hash"]
        else:
            # The host may forbid it; then the message says what is missing, and nothing is left.
            refused(result, "namespace")
            assert not leftovers(home / "out")
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("stage", ["layer extra", "slot image"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_build_leaves_nothing_and_the_next_works(tmp_path, small, stage, number):
    profile = project(tmp_path / "p", extra_layer="packages:\n  apt: [tree]\n")
    # Content of this run alone, which no cache has, and enough of it that what comes after the stage's beginning is no matter of moments.
    (tmp_path / "p/overlays/extra/files/etc/extra.bin").write_bytes(os.urandom(64 << 20))
    out, temporary = tmp_path / "out", tmp_path / "tmp"
    temporary.mkdir()
    with subprocess.Popen([PROGRAM, "build", profile, "-o", out, "--json"], env=env_for(profile, TMPDIR=temporary), cwd=tmp_path, start_new_session=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert any(json.loads(line).get("stage") == stage for line in process.stdout)
        os.killpg(process.pid, number)
        events = [json.loads(line)["event"] for line in process.stdout]
    assert process.returncode != 0 and "done" not in events, (process.returncode, events)
    assert not final_names(out)
    good(build(profile, out, TMPDIR=temporary))
    assert [layer["name"] for layer in Image(profile, out).inspect()["slots"][0]["layers"]][-2:] == ["extra", "generation"]
    assert not leftovers(temporary)
    assert not list(out.glob(".*.partial")), "work of the killed build is left"


def test_layer_holds_only_its_difference(tmp_path, small):
    profile = project(tmp_path / "p", extra_layer="packages:\n  apt: [tree]\n")
    good(build(profile, tmp_path / "out"))
    image = Image(profile, tmp_path / "out")
    report = image.inspect()
    slot = next(part for part in report["partitions"] if part["name"] == "webops-a")
    layers = {layer["name"]: layer for layer in report["slots"][0]["layers"]}

    def files(name):
        listed = subprocess.run(["unsquashfs", "-l", "-d", "", "-o", str(slot["offset"] + layers[name]["offset"]), image.raw], text=True, capture_output=True)
        return good(listed).stdout.splitlines()

    assert "/usr/bin/tree" in files("extra") and "/etc/extra.conf" in files("extra")
    assert "/usr/bin/bash" not in files("extra")
    assert "/usr/bin/bash" in files("debian-12") and "/usr/bin/tree" not in files("debian-12")
    # A program of 100 kB, and dpkg's records of all packages, which every layer with packages has.
    assert len(files("extra")) < 60 and layers["extra"]["bytes"] < 2 << 20, (files("extra"), layers["extra"])


def test_missing_modules_are_named(tmp_path, small):
    profile, driver = project(tmp_path / "p"), f"no_such_driver_{time.time_ns()}"  # of this run alone: no initramfs is in the cache
    with open(tmp_path / "p/images/modules/virtio.list", "a", encoding="utf-8") as modules:
        modules.write(f"{driver}\nkernel/drivers/none/*\n")
    words = good(build(profile, tmp_path / "out")).stderr
    missing = [line.split() for line in words.splitlines() if "virtio.list: not in the kernel of debian-12" in line]
    assert len(missing) == 1 and missing[0][-2:] == [driver, "kernel/drivers/none/*"], words
    assert "virtio_blk" not in missing[0] and "squashfs" not in missing[0]
    assert driver not in good(build(profile, tmp_path / "out")).stderr  # it was said when the initramfs was made


def test_diff_of_two_builds(tmp_path, small):
    """Layers, packages, words for the kernel and files; of a layer that is the same nothing is said."""
    _, image = small
    profile = project(tmp_path / "project", extra_layer="packages: {apt: [tree]}\nenable: []\n")
    profile.write_text(profile.read_text().replace("cmdline: [console=ttyS0]", "cmdline: [console=ttyS0, quiet]"))
    good(build(profile, tmp_path / "out"))
    found = json.loads(good(webops_image("diff", "--json", image.dir, tmp_path / "out")).stdout)
    assert [change["key"] for change in found["layers"]] == ["extra"] and found["layers"][0]["before"] is None
    assert [change["key"] for change in found["packages"]] == ["tree:amd64"]
    assert found["cmdline"] == [{"key": "quiet", "before": None, "after": ""}]
    assert found["kernel_options"] == [] and found["after_bytes"] > found["before_bytes"]
    files = {change["key"]: change for change in found["files"]}
    digest = hashlib.sha256(b"extra\n").hexdigest()[:12]
    assert files["extra: etc/extra.conf"] == {"key": "extra: etc/extra.conf", "before": None, "after": f"0644 0:0 6 {digest}"}
    assert files["extra: usr/bin/tree"]["after"].startswith("0755 0:0 ") and all(key.startswith("extra: ") for key in files), files
    text = good(webops_image("diff", tmp_path / "out", image.raw)).stdout
    assert "\nlayers\n  - extra  1, " in text and "\n  - tree:amd64  " in text and "\nkernel command line\n  - quiet\nfiles\n" in text, text
    assert good(webops_image("diff", image.raw, image.raw)).stdout.endswith("\nno difference\n")
    kernel = "usr/lib/modules/*/config"
    listing = subprocess.run(["unsquashfs", "-l", "-n", "-o", str(image.inspect()["slots"][0]["offset"] + 4096), image.raw, kernel], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    assert "/config" in listing  # so that kernel options of two kernels can be told


def test_locked_packages(tmp_path, small):
    """A lock gives the same bytes; one that the recipes have left behind, or the mirrors, is refused by name."""
    profile, image = small
    lock = tmp_path / "small.lock"
    told = good(webops_image("lock", profile, "-o", lock, env=env_for(profile)))
    assert f"{lock}: " in told.stdout and " packages of debian-12 in 2 parts" in told.stdout
    good(webops_image("build", profile, "--lock", lock, "-o", tmp_path / "out", env=env_for(profile), timeout=900))
    assert digests(image.dir) == digests(tmp_path / "out")
    good(webops_image("lock", profile, env=env_for(profile)))
    assert profile.with_suffix(".lock").read_text() == lock.read_text()
    good(webops_image("plan", profile, "--locked", env=env_for(profile)))

    text = lock.read_text()
    lock.write_text(re.sub(r"^tzdata\t[^\t]+\t(\w+)\t[^\t]+\t(\d+)\t\w+", rf"tzdata\t0.1-1\t\1\ttzdata_0.1-1_\1.deb\t\2\t{64 * '0'}", text, flags=re.M))
    refused(webops_image("build", profile, "--lock", lock, "-o", tmp_path / "never", env=env_for(profile)), "the mirrors do not offer (any more): tzdata=0.1-1;")
    lock.write_text(text.replace("part base ", "part other "))
    refused(webops_image("build", profile, "--lock", lock, "-o", tmp_path / "never", env=env_for(profile)), "its part 2 is other, that of the recipes is base", "webops-image lock")
    assert not final_names(tmp_path / "never")


def test_two_builds_at_once(tmp_path, small):
    profile = project(tmp_path / "p", extra_layer="mask: [two.service]\n")
    processes = [subprocess.Popen([PROGRAM, "build", profile, "-o", tmp_path / f"out{i}"], env=env_for(profile), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True) for i in range(2)]
    errors = [process.communicate(timeout=900)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert digests(tmp_path / "out0") == digests(tmp_path / "out1")


def copy_nodes(profile, cache):
    """A lock, and what the shared cache has for it, into a cache of its own: named one by one, since other builds work in the shared one."""
    good(webops_image("lock", profile, env=env_for(profile)))
    nodes = json.loads(good(webops_image("plan", "--json", "--locked", profile, env=env_for(profile))).stdout)["nodes"]
    for path in [CACHE / "nodes" / f"{node['kind']}-{node['key']}" for node in nodes if node["cached"]]:
        shutil.copytree(path, cache / "nodes" / path.name)


def test_corrupt_cache_entry(tmp_path, small):
    profile = project(tmp_path / "p")
    cache = tmp_path / "cache"
    copy_nodes(profile, cache)
    shutil.copytree(CACHE / "packages", cache / "packages", ignore=shutil.ignore_patterns(".*"))  # hidden is where a build beside us works
    files = [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 100_000 and path.parent.name != "packages"]
    assert files
    for path in files:
        with open(path, "r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(b"corrupt")
    result = build(profile, tmp_path / "out", "--locked", WEBOPS_CACHE=cache)
    # Either it was noticed and made anew, or refused; never used.
    if result.returncode == 0:
        assert digests(tmp_path / "out") == digests(small[1].dir)
    else:
        refused(result, "cache")
        assert not list((tmp_path / "out").glob("*.raw"))


@pytest.mark.parametrize("layer, words", [
    ("packages:\n  apt: [no-such-package-of-webops]\n", ["no-such-package-of-webops"]),
    ("fetch:\n  - {url: 'http://127.0.0.1:9/x', sha256: '" + "0" * 64 + "', path: /opt/x}\n", ["127.0.0.1:9"]),
    ("colour: red\n", ["layer.yaml", "colour"]),
    ("enable:\n  - {unit: a.service}\n", ["layer.yaml"]),
], ids=["missing package", "dead download", "unknown key", "incomplete entry"])
def test_bad_layer(tmp_path, layer, words, small):
    profile = project(tmp_path / "p", extra_layer=layer)
    refused(build(profile, tmp_path / "out"), *words)
    assert not leftovers(tmp_path / "out")


def image_with(path, old, new):
    profile = project(path)
    recipe = path / "images/debian-12.yaml"
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new, 1))
    return profile


def test_unreachable_mirror(tmp_path):
    profile = image_with(tmp_path / "p", "archive: debian\n", "archive: debian\n    mirror: http://127.0.0.1:9/debian\n")
    refused(build(profile, tmp_path / "out"), "127.0.0.1:9")
    assert not leftovers(tmp_path / "out")


def test_wrong_key(tmp_path):
    # A good key ring of somebody else: the archive's signature must not pass.
    home, ring = tmp_path / "gpg", tmp_path / "other.gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
    subprocess.run([*gpg, "--passphrase", "", "--quick-gen-key", "nobody@example.org", "ed25519"], check=True, capture_output=True)
    ring.write_bytes(subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout)
    text = (ROOT / "images/debian-12.yaml").read_text()
    keyring = next(line.split("keyring:")[1].strip().strip("},") for line in text.splitlines() if "keyring:" in line)
    profile = project(tmp_path / "p")
    (tmp_path / "p/images/debian-12.yaml").write_text(text.replace(keyring, str(ring)))
    refused(build(profile, tmp_path / "out", WEBOPS_CACHE=tmp_path / "cache"), "/debian bookworm", "InRelease' is not signed", "NO_PUBKEY",
            "`keyring` in images/debian-12.yaml")
    assert not leftovers(tmp_path / "out")


def test_full_disk(tmp_path, small):
    if os.geteuid() != 0:
        pytest.fail("run the scenarios as root: they mount a small file system")
    profile = project(tmp_path / "p", extra_layer="mask: [full.service]\n")
    out = tmp_path / "small-disk"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", out], check=True)
    try:
        result = build(profile, out)
        refused(result, "space")
        assert not final_names(out)
    finally:
        subprocess.run(["umount", out], check=True)


def test_full_cache(tmp_path, small):
    if os.geteuid() != 0:
        pytest.fail("run the scenarios as root: they mount a small file system")
    profile = project(tmp_path / "p", extra_layer="")
    (tmp_path / "p/overlays/extra/files/etc/extra.bin").write_bytes(os.urandom(32 << 20))
    cache = tmp_path / "small-disk"
    nodes = cache / "nodes"
    cache.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", cache], check=True)
    try:
        # All that is built already, so that the two steps that write most meet the full disk: mksquashfs, and our own slot image.
        copy_nodes(profile, cache)
        count = len(list(nodes.iterdir()))
        for mebibytes, stage, finished in ((8, "layer extra", 0), (48, "slot image", 2)):
            size = shutil.disk_usage(cache).used + (mebibytes << 20)
            subprocess.run(["mount", "-o", f"remount,size={size}", cache], check=True)
            refused(build(profile, tmp_path / "out", "--locked", WEBOPS_CACHE=cache), "space", stage)
            assert len(list(nodes.iterdir())) == count + finished  # whole layers, and nothing of what failed
            assert not leftovers(cache / "tmp", tmp_path / "out")
        subprocess.run(["mount", "-o", "remount,size=2g", cache], check=True)
        good(build(profile, tmp_path / "out", "--locked", WEBOPS_CACHE=cache))
        Image(profile, tmp_path / "out").inspect()  # which verifies every hash
    finally:
        subprocess.run(["umount", cache], check=True)


def test_one_byte_over_the_slot(tmp_path, small):
    _, image = small
    slot = image.inspect()["slots"][0]
    # Bytes of the slot's content: data and tree. Sizes in a profile are whole MiB, so the smallest that fits and the largest that does not.
    needed = slot["data_bytes"] + slot["tree_bytes"]
    fits = -(-needed // (1 << 20))
    too_small = project(tmp_path / "p", slot_size=f"{fits - 1}M")
    refused(build(too_small, tmp_path / "out"), "slot_size")
    assert not leftovers(tmp_path / "out")
    good(build(project(tmp_path / "q", slot_size=f"{fits}M"), tmp_path / "out2"))


def test_secrets_of_an_installer_are_looked_at_before_the_build(tmp_path):
    profile, secrets, config, bad = project(tmp_path / "p"), tmp_path / "secrets", tmp_path / "config.env", tmp_path / "bad.pem"
    config.write_text("HOSTNAME=one\n")
    bad.write_text("no certificate\n")
    secrets.mkdir()
    (secrets / "operator.secret").write_text("")
    (secrets / "operator.secret").chmod(0o600)
    command = ["installer", profile, "-o", tmp_path / "out", "--config", config, "--secrets", secrets]
    refused(webops_image(*command, env=env_for(profile)), "operator.secret is empty")
    (secrets / "operator.secret").write_text("canary")
    refused(webops_image(*command, "--encrypt-to", bad, env=env_for(profile)), "bad.pem")
    assert not leftovers(tmp_path / "out")


def test_bad_profile_names_file_and_line(tmp_path):
    profile = project(tmp_path / "p")
    profile.write_text(profile.read_text().replace("zstd_level: 1", "zstd_level: 99"))
    refused(build(profile, tmp_path / "out"), "small.yaml", "zstd_level")
    assert not leftovers(tmp_path / "out")


def test_usage_errors_are_2():
    assert webops_image("build").returncode == 2
    assert webops_image("buidl").returncode == 2
    assert "build" in webops_image("buidl").stderr
    assert webops_image("run", "--bios", "--uefi", "x.raw").returncode == 2
    assert webops_image("build", "--help").returncode == 0
