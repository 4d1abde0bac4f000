# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts into a tree works from there, with nothing of the source tree."""
import json
import os
import subprocess

import pytest
from images import KEYS, environment, good
from vm import ROOT

CONFIG = "HOSTNAME=installed\nTIMEZONE=Europe/Berlin\n"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    good(subprocess.run(["make", "-C", ROOT, "install", f"DESTDIR={tree}", "PREFIX=/usr"], text=True, capture_output=True))
    assert os.listdir(tree) == ["usr"], "something was put outside PREFIX"
    return tree / "usr"


def installed(prefix, tmp_path, *arguments):
    """Runs the installed program in an empty directory: what it finds, it finds beside itself."""
    env = environment(WEBOPS_CACHE=tmp_path / "cache", WEBOPS_KEYS=KEYS)
    return subprocess.run([prefix / "bin/webops-image", *arguments], cwd=tmp_path, env=env, text=True, capture_output=True, timeout=120)


def test_every_file_is_there(prefix):
    for name in ("webops", "webops-fetch", "webops-verify", "webops-unseal", "webops-http", "webops-flash", "init", "restart.efi"):
        assert os.access(prefix / "libexec/webops" / name, os.X_OK), name
    for name in ("webops", "webops-fetch", "webops-verify", "webops-unseal", "webops-http", "webops-flash", "runtime/ld-linux-x86-64.so.2"):
        assert os.access(prefix / "libexec/webops/bundled" / name, os.X_OK), name
    for name in ("images/debian-12.yaml", "images/modules/server.list", "overlays/hardening/layer.yaml", "profiles/minimal.yaml"):
        assert (prefix / "share/webops" / name).read_bytes() == (ROOT / name).read_bytes(), name
    for page in (ROOT / "man").glob("*.[1-8]"):
        assert (prefix / f"share/man/man{page.suffix[1:]}" / page.name).exists(), page
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert {str(path.relative_to(prefix / "share/doc/webops")) for path in (prefix / "share/doc/webops").rglob("*.md")} == pages


def files(directory):
    return {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir()}


def test_overlays_keep_modes_and_links(prefix):
    ours, theirs = files(ROOT / "overlays"), files(prefix / "share/webops/overlays")
    assert ours.keys() == theirs.keys(), "differ (make install takes what git knows)"
    for name, path in ours.items():
        assert path.lstat().st_mode == theirs[name].lstat().st_mode, name
        assert not path.is_symlink() or path.readlink() == theirs[name].readlink(), name


def test_version(prefix, tmp_path):
    assert (ROOT / "VERSION").read_text().strip() in good(installed(prefix, tmp_path, "version")).stdout


def test_config_check(prefix, tmp_path):
    (tmp_path / "config.env").write_text(CONFIG)
    (tmp_path / "bad.env").write_text(CONFIG + "HOSTNAM=x\n")
    good(installed(prefix, tmp_path, "config", "check", "config.env", "--profile", prefix / "share/webops/profiles/minimal.yaml"))
    bad = installed(prefix, tmp_path, "config", "check", "bad.env")
    assert bad.returncode == 1 and "HOSTNAM" in bad.stdout + bad.stderr and "3" in bad.stdout + bad.stderr


def test_plan(prefix, tmp_path):
    """Needs image definition, overlays, module list, programs and the package mirror; what it plans is what the source tree would."""
    profile = prefix / "share/webops/profiles/minimal.yaml"
    nodes = json.loads(good(installed(prefix, tmp_path, "plan", "--json", profile)).stdout)["nodes"]
    source = subprocess.run([ROOT / "build/webops-image", "plan", "--json", ROOT / "profiles/minimal.yaml"], text=True, capture_output=True, timeout=120,
                            env=environment(WEBOPS_CACHE=tmp_path / "cache", WEBOPS_KEYS=KEYS))
    assert [node["key"] for node in nodes] == [node["key"] for node in json.loads(good(source).stdout)["nodes"]]
    assert {"base", "layer", "initramfs", "slot", "uki"} <= {node["kind"] for node in nodes}
    assert not any(node["cached"] for node in nodes)
