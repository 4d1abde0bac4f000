# SPDX-License-Identifier: Apache-2.0
"""Updates that go well: a major upgrade and the way back, over and over, from a plain web server, and by themselves."""
import contextlib
import functools
import http.server
import json
import shutil
import threading
import time

import generations
import images
import pytest
from families import FAMILY
from vm import BOOT_SECONDS, LOGIN, OUT, VM, Access

CONFIG = "HOSTNAME=scenario\n" + LOGIN
DATA = {"/srv/data": "kept on srv", "/home/ops/data": "kept at home", "/var/lib/misc/data": "kept in var", "/webops/templates/data": "kept in webops"}


def committed(vm, slot, timeout=120):
    """The status once the generation in `slot` runs and is good."""
    deadline = time.monotonic() + timeout
    while True:
        now = vm.status()
        assert now["slot"] == slot, now
        if now["slots"][slot]["state"] == "good":
            return now
        assert time.monotonic() < deadline, f"not committed within {timeout} s: {now['slots']}"
        time.sleep(2)


def restarts(vm, command):
    """Runs what ends in a restart and waits until the machine is healthy again."""
    since = vm.mark()
    vm.root(command, check=False, timeout=900)
    vm.wait_healthy(since, timeout=2 * BOOT_SECONDS)  # it shuts down, starts, and hashes the whole slot
    vm.disconnect()


def put_data(vm):
    for path, text in DATA.items():
        vm.root(f"mkdir -p $(dirname {path}); echo '{text}' >{path}")


def check_data(vm):
    for path, text in DATA.items():
        assert vm.root_out(f"cat {path}") == text


def identity(vm):
    return vm.out("cat /etc/machine-id"), vm.root_out("cat /var/lib/webops/ssh/ssh_host_ed25519_key.pub")


def release(vm):
    return vm.out(". /etc/os-release; echo $VERSION_ID")


@pytest.fixture(scope="module")
def following_bundle(following):
    return generations.bundle(following)


@pytest.fixture(scope="module")
def next_image():
    return generations.build("next", 2, layer="next")


@pytest.fixture(scope="module")
def next_bundle(next_image):
    return generations.bundle(next_image)


class Handler(http.server.SimpleHTTPRequestHandler):
    """A plain static server with ranges, as nginx or Apache would answer; counts the bytes of bodies."""

    protocol_version = "HTTP/1.1"
    sent = 0

    def do_GET(self):
        path = self.translate_path(self.path)
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        parts = [] if not wanted else [tuple(part.strip().split("-")) for part in wanted.removeprefix("bytes=").split(",")]
        if len(parts) == 1 and parts[0][0]:
            start, end = int(parts[0][0]), min(int(parts[0][1] or len(data) - 1), len(data) - 1)
            body = data[start : end + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        else:
            body = data
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{len(data):x}"')
        self.end_headers()
        self.wfile.write(body)
        Handler.sent += len(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(bundle, name):
    """The address, as a machine sees it, of a directory that `webops-image publish` made, on the host's loopback interface."""
    directory = OUT / f"channel-{name}"
    shutil.rmtree(directory, ignore_errors=True)
    images.good(images.webops_image("publish", bundle, directory))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://10.0.2.2:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def panic_bundle():
    return generations.bundle(generations.build("panic", 19, cmdline="rdinit=/missing"))


@pytest.fixture(scope="module", params=["uefi", pytest.param("bios", marks=pytest.mark.full)])
def upgraded(request, image, following_bundle, panic_bundle):
    """One machine that is updated again and again, configured by QEMU: the scenarios from here to the next fixture run in their order."""
    access, name = Access(), f"upgrade-{request.param}"
    with served(panic_bundle, name) as address:
        extra = [*access.fw_cfg(CONFIG + f"UPDATE_URL={address}\nUPDATE_TRIES=2\n"), *generations.disk_arguments({"bundle": following_bundle})]
        with VM(name, image.raw, bios=request.param == "bios", access=access, extra=extra) as vm:
            vm.wait_healthy()
            yield vm


def test_configured_by_fw_cfg(upgraded):
    assert upgraded.out("hostname") == "scenario" and release(upgraded) == FAMILY.version
    assert "configuration: fw_cfg" in upgraded.root_out("journalctl -b -u webops-early --no-pager")
    # The source may go away: what it gave is remembered on state.
    assert upgraded.root_out("stat -c %a /webops/secrets/operator.secret") == "600"


def test_major_upgrade(upgraded):
    vm, device = upgraded, generations.device("bundle")
    put_data(vm)
    vm.identity = identity(vm)
    before = vm.status()
    assert before["slots"]["a"]["state"] == "good" and before["slots"]["b"]["state"] == "empty"
    plan = vm.root_out(f"webops update {device} --plan")
    assert "2026.11.1" in plan and "2026.12.9" in plan and FAMILY.package in plan, plan
    assert vm.status()["slots"] == before["slots"]  # a plan changes nothing
    restarts(vm, f"webops update {device} --reboot")
    now = committed(vm, "b")
    assert release(vm) == FAMILY.next_version and now["generation"]["version"] == "2026.12.9"
    assert now["slots"]["a"]["state"] == "good"
    check_data(vm)
    assert identity(vm) == vm.identity
    assert vm.root_out("systemctl --failed --no-legend --plain") == "" and vm.root_out("webops drift") == "no drift"
    assert vm.out("echo $LANG") == "C.UTF-8"
    assert vm.root(f"webops update {device}").returncode == 0  # runs already: nothing to do
    history = vm.root_out("webops history")
    assert "2026.12.9" in history and "committed" in history, history


def test_the_way_back(upgraded):
    vm = upgraded
    vm.root("echo 'written by the next release' >/srv/new")
    restarts(vm, "webops rollback")
    now = committed(vm, "a")
    assert release(vm) == FAMILY.version and now["slots"]["b"]["state"] == "bad"
    check_data(vm)
    assert vm.root_out("cat /srv/new") == "written by the next release" and identity(vm) == vm.identity
    assert "operator" in vm.root_out("webops why") and "rolled-back" in vm.root_out("webops history")
    refused = vm.root(f"webops update {generations.device('bundle')}", check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr, refused.stderr


def test_from_a_web_server_only_what_is_new_is_fetched(upgraded, panic_bundle):
    plan = upgraded.root_out("webops update --plan")
    assert "2026.12.19-panic" in plan, plan
    Handler.sent = 0
    upgraded.root("webops update", timeout=900)
    assert upgraded.status()["slots"]["b"]["state"] == "trial"
    # The layers are the running ones; what is new is the kernel image's changed command line, and indexes.
    full = panic_bundle.stat().st_size
    assert Handler.sent < full / 20, f"{Handler.sent} of {full} bytes were fetched"
    print(f"fetched {Handler.sent} of {full} bytes")


def test_a_generation_that_panics_is_given_up(upgraded):
    vm = upgraded
    since = vm.mark()
    restarts(vm, "systemctl --no-block reboot")
    deadline = time.monotonic() + 120
    while vm.status()["slots"]["b"]["state"] != "bad":
        assert time.monotonic() < deadline, vm.status()["slots"]
        time.sleep(2)
    assert vm.console(since).count("Linux version ") == 3  # two tries, and the generation before
    told = json.loads(vm.root_out("webops why --json"))
    assert told["stage"] == "kernel" and "started 2 times" in told["reason"], told
    check_data(vm)


def usage(vm):
    """Bytes and names on the ESP, and bytes of our own on state."""
    esp = vm.root_out("mkdir -p /run/esp && mount -o ro /dev/disk/by-partlabel/esp /run/esp && "
                      "(cd /run/esp && find . -type f | sort && du -s -B1 . | cut -f1); umount /run/esp")
    state = vm.root_out("du -s -B1 /var/lib/webops | cut -f1")
    names = [name for name in esp.splitlines() if name.startswith("./")]
    return names, int(esp.splitlines()[-1]), int(state)


@pytest.mark.full
@pytest.mark.parametrize("firmware", [pytest.param(name, marks=pytest.mark.xdist_group(f"back-{name}")) for name in ("uefi", "bios")])
def test_back_and_forth_grows_nothing(image, next_bundle, firmware):
    first_bundle = generations.bundle(image)
    arguments = generations.disk_arguments({"first": first_bundle, "next": next_bundle})
    with VM(f"back-and-forth-{firmware}", image.raw, bios=firmware == "bios", config=CONFIG, extra=arguments) as vm:
        vm.wait_healthy()
        sizes = []
        for turn in range(5):
            for name, slot in (("next", "b"), ("first", "a")):
                # Back to the older sequence is a downgrade, which only force allows.
                restarts(vm, f"webops update {generations.device(name)} --reboot --force")
                committed(vm, slot)
            sizes.append(usage(vm))
        names, esp, state = sizes[0]
        for later_names, later_esp, later_state in sizes[1:]:
            assert later_names == names and later_esp == esp, sizes
            assert later_state <= state + 16384, sizes  # the history's lines
        assert vm.root_out("systemctl --failed --no-legend --plain") == ""


@pytest.mark.full
def test_updates_by_itself_when_it_may(image, next_bundle):
    with served(next_bundle, "automatic") as address:
        with VM("automatic", image.raw, config=CONFIG + f"UPDATE_URL={address}\nUPDATE_AUTO=true\nUPDATE_WINDOW=00:00-23:59\n") as vm:
            vm.wait_healthy()
            since = vm.mark()
            vm.root("systemctl start --no-block webops-update.service")
            vm.wait_healthy(since, timeout=600)
            vm.disconnect()
            committed(vm, "b")
            assert "2026.12.2-next" in vm.root_out("webops history") and vm.out("cat /etc/webops-next") == "the next generation"
