# SPDX-License-Identifier: Apache-2.0
"""The dnf backend against what repositories do wrong: a tiny signed one made here, and what `plan`, `lock` and `build` say of it."""
import contextlib
import functools
import http.server
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import images
import pytest
from repository import make_key, run, stop_agent
from rpmrepo import SETTINGS, sign

SPEC = """Name: core
Version: 1.0
Release: 1.el9
Epoch: 2
Summary: s
License: l
BuildArch: noarch
Requires: library >= 1
Recommends: extra
%description
d
%files
%package -n library
Summary: s
%description -n library
d
%files -n library
%package -n extra
Summary: s
%description -n extra
d
%files -n extra
%package -n kernel-tiny
Summary: s
%description -n kernel-tiny
d
%files -n kernel-tiny
%package -n tool
Summary: s
Requires: core = 2:1.0
%description -n tool
d
%files -n tool
"""
IMAGE = """id: tiny
name: Tiny 9
family: rocky
backend: dnf
architecture: amd64
release: "9"
platform: platform:el9
sources:
  - archive: tiny
    keyring: {keyring}
    keys: [{key}]
    signed_metadata: {signed}
kernel: kernel-tiny
packages: [core]
"""
PROFILE = "name: tiny\nversion: '1'\nsequence: 1\nimage: tiny\nlayers: [{layers}]\nmodules: virtio\n"
LAYER = "name: {name}\nversion: '1'\nsummary: s\npackages: {{{packages}}}\n"


class Tiny:
    def __init__(self, top):
        self.top, self.repository = top, top / "repository"
        self.repository.mkdir(parents=True)
        (top / "tiny.spec").write_text(SPEC)
        defines = [word for setting in [*SETTINGS, f"_topdir {top}/rpmbuild"] for word in ("--define", setting)]
        run("rpmbuild", "-bb", *defines, top / "tiny.spec")
        for package in (top / "rpmbuild/RPMS/noarch").glob("*.rpm"):
            package.rename(self.repository / package.name)
        self.key = make_key(top / "gnupg")
        self.sign()
        self.index()
        stop_agent(top / "gnupg")
        self.recipes()

    def sign(self, home="gnupg"):
        sign(self.top / home, sorted(self.repository.glob("*.rpm")))

    def index(self, *options):
        run("createrepo_c", "--quiet", *options, self.repository)

    def sign_index(self, home="gnupg"):
        index = self.repository / "repodata/repomd.xml"
        run("gpg", "--batch", "--yes", "--homedir", self.top / home, "--armor", "--detach-sign", index)

    def recipes(self, layers="", mirror=None, signed="false", **layer):
        for directory in ("images", "profiles"):
            (self.top / directory).mkdir(exist_ok=True)
        (self.top / "images/tiny.yaml").write_text(IMAGE.format(keyring=self.top / "gnupg/key.asc", key=self.key, signed=signed))
        (self.top / "profiles/tiny.yaml").write_text(PROFILE.format(layers=layers))
        for name, packages in layer.items():
            (self.top / "overlays" / name).mkdir(parents=True, exist_ok=True)
            (self.top / "overlays" / name / "layer.yaml").write_text(LAYER.format(name=name, packages=packages))
        (self.top / "mirrors").write_text(f"tiny {mirror or self.repository.as_uri()}\n")

    def run(self, *arguments, **changes):
        env = images.environment(WEBOPS_CACHE=self.top / "cache", WEBOPS_MIRRORS=self.top / "mirrors", **changes)
        return images.webops_image(*arguments, env=env)

    def refused(self, verb, *words, code=1):
        result = self.run(verb, self.top / "profiles/tiny.yaml", *(["-o", self.top / "out"] if verb == "build" else []))
        assert result.returncode == code, result.stderr
        for word in words:
            assert word in result.stderr, result.stderr
        assert not (self.top / "out").exists() or not list((self.top / "out").glob("*.raw"))


# Directories with short names: gpg's agent listens on a socket in its key's directory.
@pytest.fixture(scope="module")
def template():
    with tempfile.TemporaryDirectory(prefix="webops-dnf.") as directory:
        yield Tiny(Path(directory) / "tiny")


@pytest.fixture
def tiny(template):
    with tempfile.TemporaryDirectory(prefix="webops-dnf.") as directory:
        copy, top = object.__new__(Tiny), Path(directory) / "tiny"
        copy.top, copy.repository, copy.key = top, top / "repository", template.key
        shutil.copytree(template.top, top, ignore=shutil.ignore_patterns("S.*"))  # sockets of an agent that is about to end
        copy.recipes()
        yield copy
        for home in top.glob("gnupg*"):
            stop_agent(home)


def test_lock_names_exactly_what_is_needed(tiny):
    tiny.recipes(layers="more", more="dnf: [tool]")
    images.good(tiny.run("lock", tiny.top / "profiles/tiny.yaml"))
    lines = (tiny.top / "profiles/tiny.lock").read_text().splitlines()
    parts = [line.split()[:3] for line in lines if line.startswith("part ")]
    assert parts == [["part", "tiny", "3"], ["part", "more", "1"]]
    packages = {line.split("\t")[0]: line.split("\t")[1] for line in lines if "\t" in line}
    # With its dependency, without what is only recommended; the layer adds what is not below.
    assert packages == {"core": "2:1.0-1.el9", "kernel-tiny": "2:1.0-1.el9", "library": "2:1.0-1.el9", "tool": "2:1.0-1.el9"}


def test_a_package_that_nobody_has(tiny):
    tiny.recipes(layers="more", more="dnf: [nowhere]")
    tiny.refused("plan", "nowhere", "tiny")


def test_a_layer_for_the_other_package_manager(tiny):
    tiny.recipes(layers="more", more="apt: [tool]")
    tiny.refused("plan", "overlays/more/layer.yaml", "no list for dnf")


def test_no_mirror_is_known(tiny):
    (tiny.top / "mirrors").write_text("# nothing\nother file:///nowhere\n")
    tiny.refused("plan", "no mirror is known for tiny", "images/tiny.yaml", str(tiny.top / "mirrors"))


def test_a_mirror_that_is_away(tiny):
    shutil.rmtree(tiny.repository)
    tiny.refused("plan", "repomd.xml", code=75)


def test_the_keyring_of_somebody_else(tiny):
    make_key(tiny.top / "gnupg-other")
    shutil.copy(tiny.top / "gnupg-other/key.asc", tiny.top / "gnupg/key.asc")
    tiny.refused("plan", "key.asc", "does not name")
    (tiny.top / "profiles/tiny.lock").write_text("any")  # a lock is no way around
    result = tiny.run("build", "--locked", tiny.top / "profiles/tiny.yaml", "-o", tiny.top / "out")
    assert result.returncode == 1 and "does not name" in result.stderr, result.stderr


def test_packages_signed_by_somebody_else(tiny):
    make_key(tiny.top / "gnupg-other")
    tiny.sign("gnupg-other")
    tiny.index()
    tiny.refused("build", "signed")


def test_a_package_without_a_signature(tiny):
    run("rpmsign", "--delsign", *tiny.repository.glob("library*.rpm"))
    tiny.index()
    tiny.refused("build", "signed")


def test_a_package_that_is_not_what_the_index_says(tiny):
    package, = tiny.repository.glob("core*.rpm")
    data = bytearray(package.read_bytes())
    data[-1] ^= 1
    package.write_bytes(data)
    tiny.refused("build", "core", "SHA-256")


def test_a_damaged_index(tiny):
    index, = tiny.repository.glob("repodata/*primary.xml.*")
    index.write_bytes(index.read_bytes()[:-10])
    tiny.refused("plan", "resolving packages")


def test_another_user_than_root(tiny):
    tiny.top.parent.chmod(0o755)
    shutil.copytree(images.ROOT / "images/modules", tiny.top / "images/modules")
    program = tiny.top / "webops-image"
    shutil.copy2(images.PROGRAM, program)
    programs = tiny.top / "programs"
    programs.mkdir()
    for name in ("webops", "init", "restart.efi", "dnf-resolve"):
        shutil.copy2(images.ROOT / "build" / name, programs / name)
    run("chown", "-R", "daemon:daemon", tiny.top)
    env = images.environment(WEBOPS_CACHE=tiny.top / "cache", WEBOPS_MIRRORS=tiny.top / "mirrors", WEBOPS_KEYS=tiny.top / "keys", WEBOPS_PROGRAMS=programs,
                             WEBOPS_DATA=tiny.top, HOME=tiny.top, USER="daemon")
    result = subprocess.run(["setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups", program, "build", tiny.top / "profiles/tiny.yaml", "-o",
                             tiny.top / "out"], env=env, cwd=tiny.top, text=True, capture_output=True, timeout=300, check=False)
    assert result.returncode == 1 and "image tiny: rpm needs root" in result.stderr, result.stderr
    assert not list((tiny.top / "out").glob("*.raw"))


def test_a_repository_that_lost_a_package_half_way(tiny):
    images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml"))
    next(tiny.repository.glob("library*.rpm")).unlink()
    tiny.refused("build", "library", code=75)


def test_offline(tiny):
    images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml"))
    tiny.repository.rename(tiny.top / "away")
    tiny.recipes(layers="more", more="dnf: [tool]")  # was never resolved
    images.good(tiny.run("lock", "--offline", tiny.top / "profiles/tiny.yaml"))
    assert "\ntool\t" in (tiny.top / "profiles/tiny.lock").read_text()
    (tiny.top / "away").rename(tiny.repository)  # the package could be fetched
    result = tiny.run("build", "--offline", tiny.top / "profiles/tiny.yaml", "-o", tiny.top / "out")
    assert result.returncode == 75 and "package core 2:1.0-1.el9 is not in the cache" in result.stderr, result.stderr


def test_offline_without_lists(tiny):
    result = tiny.run("plan", "--offline", tiny.top / "profiles/tiny.yaml")
    assert result.returncode == 75 and "never fetched" in result.stderr, result.stderr


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


@contextlib.contextmanager
def serve(handler, directory, certificate=None):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=directory)) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def served(tiny, request):
    """The repository by plain http."""
    with serve(getattr(request, "param", Quiet), tiny.repository) as address:
        yield address


def test_plain_http(tiny, served):
    tiny.recipes(mirror=served)
    tiny.refused("plan", "the mirror of tiny is http://127.0.0.1:", "https", "signed_metadata: true", "images/tiny.yaml")
    tiny.recipes(mirror=served, signed="true")
    tiny.refused("plan", "resolving packages")  # it has no signature
    make_key(tiny.top / "gnupg-other")
    tiny.sign_index("gnupg-other")
    tiny.refused("plan", "resolving packages")
    tiny.sign_index()
    images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml"))


def test_a_key_that_is_not_trusted_any_more(tiny):
    """The mirror's index still has its signature: the same one, and another one."""
    tiny.recipes(signed="true")
    tiny.sign_index()
    images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml"))
    tiny.key = make_key(tiny.top / "gnupg-new")
    shutil.copy(tiny.top / "gnupg-new/key.asc", tiny.top / "gnupg/key.asc")
    tiny.recipes(signed="true")
    tiny.refused("plan", "resolving packages", "GPG")
    tiny.index("--revision", "3000000000")
    tiny.sign_index()
    tiny.refused("plan", "resolving packages", "GPG")
    tiny.sign_index("gnupg-new")
    images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml"))


def test_a_mirror_that_was_just_updated(tiny):
    for layers in ("[tool]", "[extra]"):
        tiny.recipes(layers="more", more=f"dnf: {layers}")
        images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml"))
        tiny.index("--revision", "3000000000")


def test_a_mirror_that_goes_back(tiny):
    """The same packages with the same signatures, from the index of an earlier day."""
    def plan():
        return images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml")).stderr
    tiny.index("--revision", "1000")
    shutil.copytree(tiny.repository / "repodata", tiny.top / "old")
    assert "older" not in plan()
    tiny.index("--revision", "2000")
    assert "older" not in plan()
    shutil.rmtree(tiny.repository / "repodata")
    shutil.copytree(tiny.top / "old", tiny.repository / "repodata")
    # Also when the answer to that index is in the cache and nothing is resolved.
    for _ in range(2):
        said = plan()
        assert f"tiny: {tiny.repository.as_uri()} offers an older repository (revision 1000) than was seen before (2000)" in said, said
        assert str(tiny.top / "cache/metadata/tiny.revision") in said


def test_a_mirror_that_goes_back_over_http(tiny, served):
    """What it says of its files' times is older then, too."""
    tiny.recipes(mirror=served, signed="true")
    for revision, where in (("1000", "old"), ("2000", "new")):
        tiny.index("--revision", revision)
        tiny.sign_index()
        shutil.copytree(tiny.repository / "repodata", tiny.top / where)
    later = time.time() + 1000
    os.utime(tiny.top / "new/repomd.xml", (later, later))
    for where, says in (("new", False), ("old", True)):
        shutil.rmtree(tiny.repository / "repodata")
        shutil.copytree(tiny.top / where, tiny.repository / "repodata")
        tiny.recipes(mirror=served, signed="true", layers="more", more="dnf: [tool]" if says else "dnf: [extra]")  # so that something is resolved
        said = images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml")).stderr
        assert ("older repository (revision 1000) than was seen before (2000)" in said) == says, said


def test_a_signature_that_is_asked_for_later(tiny):
    images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml"))
    tiny.recipes(signed="true")
    tiny.refused("plan", "resolving packages")


def test_what_was_built_with_other_keys_is_built_again(tiny):
    """The packages are the same, and the signatures of those that are installed already would not be looked at any more."""
    def base_key():
        nodes = json.loads(images.good(tiny.run("plan", "--json", tiny.top / "profiles/tiny.yaml")).stdout)["nodes"]
        return next(node["key"] for node in nodes if node["kind"] == "base")
    first = base_key()
    home, other = tiny.top / "gnupg", make_key(tiny.top / "gnupg-other")
    run("gpg", "--batch", "--homedir", home, "--import", tiny.top / "gnupg-other/key.asc")
    (home / "key.asc").write_text(run("gpg", "--batch", "--homedir", home, "--armor", "--export", "fixture"))
    tiny.key = f"{tiny.key}, {other}"
    tiny.recipes()
    assert base_key() != first


class Disk:
    """What dnf-resolve is asked for an image on a vendor's disk, and the rpm database of a disk that has `names`."""
    def __init__(self, tiny, names):
        self.tiny, self.dir = tiny, tiny.top / "place"
        packages = [package for name in names for package in tiny.repository.glob(f"{name}-1*.rpm")]
        run("rpm", "--dbpath", self.dir / "rpm", "--justdb", "--nodeps", "--nosignature", "-i", *packages)

    def resolve(self, *wanted):
        source = {"id": "tiny", "url": self.tiny.repository.as_uri(), "index": str(self.tiny.repository / "repodata/repomd.xml"),
                  "keyring": str(self.tiny.top / "gnupg/key.asc"), "is_signed": False}
        question = {"dir": str(self.dir), "architecture": "x86_64", "release": "9", "platform": "platform:el9", "modules": [], "sources": [source], "below": [],
                    "install": wanted, "is_offline": False, "has_disk": True}
        result = subprocess.run(["/usr/bin/python3", "-IB", images.ROOT / "build/dnf-resolve"], input=json.dumps(question), text=True, capture_output=True,
                                timeout=120, check=False)
        assert result.returncode == 0, result.stderr
        return [line.split("\t")[0] for line in result.stdout.splitlines()]


def test_a_disk_that_has_all_that_is_wanted(tiny):
    disk = Disk(tiny, ["core", "library"])
    assert disk.resolve("core") == []
    assert disk.resolve("core", "tool") == ["tool"]


def test_a_cache_that_was_moved(tiny):
    disk = Disk(tiny, ["core", "library"])
    assert disk.resolve("tool") == ["tool"]
    shutil.copytree(disk.dir, tiny.top / "copied", symlinks=True)
    shutil.rmtree(disk.dir / "rpm")
    disk.dir = tiny.top / "copied"
    assert disk.resolve("tool") == ["tool"]
    link, = (link for link in (disk.dir / "root").rglob("*") if link.is_symlink())
    link.unlink()
    link.symlink_to(tiny.top / "place/rpm")  # as an earlier version left it
    assert disk.resolve("tool") == ["tool"]


class TwoIndexes(Quiet):
    """Another index for dnf than for webops-image, both with good signatures."""
    def do_GET(self):
        if self.headers["User-Agent"].startswith("webops-image/"):
            self.path = self.path.replace("/repodata/", "/elsewhere/")
        super().do_GET()


@pytest.mark.parametrize("served", [TwoIndexes], indirect=True)
def test_a_mirror_that_gives_dnf_another_index(tiny, served):
    tiny.recipes(mirror=served, signed="true")
    tiny.sign_index()
    shutil.copytree(tiny.repository / "repodata", tiny.repository / "elsewhere")
    images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml"))
    shutil.rmtree(tiny.top / "cache")
    tiny.index("--revision", "1000", "--excludes", "*tool*")
    tiny.sign_index()
    tiny.refused("plan", f"{served} gave two different indexes", "run again; if this comes back")


@pytest.fixture
def certificate(tmp_path):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=mirror", "-addext",
        "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "certificate.pem")
    return tmp_path


def test_an_https_mirror_that_sends_on_to_http(tiny, certificate, monkeypatch):
    """The certificate is trusted in a mount namespace only: dnf and libcurl both read the machine's list."""
    class SendsOn(Quiet):
        target = None

        def do_GET(self):
            if not self.target:
                return super().do_GET()
            self.send_response(302)
            self.send_header("Location", self.target + self.path)
            return self.end_headers()

    with serve(Quiet, tiny.repository) as http_mirror, serve(SendsOn, tiny.repository, certificate) as mirror:
        trusting = certificate / "trusting"
        trusting.write_text(f"""#!/bin/sh
exec unshare --mount sh -ec 'mount --bind {certificate}/certificate.pem /etc/ssl/certs/ca-certificates.crt; exec {images.PROGRAM} "$@"' sh "$@"
""")
        trusting.chmod(0o755)
        monkeypatch.setattr(images, "PROGRAM", trusting)
        tiny.recipes(mirror=mirror)
        images.good(tiny.run("plan", tiny.top / "profiles/tiny.yaml"))
        shutil.rmtree(tiny.top / "cache")
        SendsOn.target = http_mirror
        tiny.refused("plan", f"{mirror}/repodata/repomd.xml sends on to an address without https")
