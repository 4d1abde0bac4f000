# SPDX-License-Identifier: Apache-2.0
"""Labels on the Rocky image of rpmrepo.py: in every layer, and on the machine after it has configured itself. The policy is Debian's under Rocky's name, and
reports only."""
import os
import re
import shutil
import subprocess
from collections import Counter

import generations
import images
import pytest
from conftest import CONFIG
from families import FAMILIES
from repository import run
from vm import OUT, SHARED, VM

ROCKY = next(family for family in FAMILIES if family.image == "rocky-9")
# Debian's kernel starts AppArmor unless told otherwise, Rocky's has SELinux as its default.
CMDLINE = "security=selinux"
# What Debian's policy hands down from the domain of our services (initrc_t) to what they write at any time. Rocky's runs them in unconfined_service_t, which
# has no such rules.
OF_THE_DOMAIN = "initrc_runtime_t"


@pytest.fixture(scope="module")
def image():
    return ROCKY.build_with("selinux", generations.profile("selinux", 3, cmdline=CMDLINE))


@pytest.fixture(scope="module")
def layers(image, tmp_path_factory):
    """name → its tree, with labels."""
    slot, top = image.inspect()["slots"][0], tmp_path_factory.mktemp("layers")
    for layer in slot["layers"]:
        subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-d", top / layer["name"], "-o", str(slot["offset"] + layer["offset"]), image.raw], check=True)
    return {layer["name"]: top / layer["name"] for layer in slot["layers"]}


def type_of(path):
    try:
        return os.getxattr(path, "security.selinux", follow_symlinks=False).decode().split(":")[2]
    except OSError:
        return None


def test_no_file_of_a_layer_is_without_a_label(layers):
    for name, tree in layers.items():
        paths = [os.path.join(top, entry) for top, directories, files in os.walk(tree) for entry in directories + files]
        assert len(paths) > 5, name
        without = [os.path.relpath(path, tree) for path in paths if not type_of(path)]
        assert without == (["proc"] if name == "rocky-9" else []), name  # what is mounted there has its own, so the policy names none


def test_no_layer_has_a_compiled_table(layers):
    """The machine's restorecon would take it instead of the text with our lines: it is never older, all times are one."""
    assert "/usr/lib/webops/" in (layers["rocky-9"] / "etc/selinux/targeted/contexts/files/file_contexts.local").read_text()
    assert [path for tree in layers.values() for path in tree.glob("etc/selinux/*/contexts/files/*.bin")] == []


@pytest.mark.parametrize("layer, path, expected", [
    ("rocky-9", "etc/shadow", "shadow_t"),
    ("rocky-9", "usr/sbin/sshd", "sshd_exec_t"),
    ("rocky-9", "usr/share/factory/var/lib", "var_lib_t"),  # as what it will be: /var/lib
    ("rocky-9", "usr/share/factory/var/log", "var_log_t"),
    ("rocky-9", "webops", "etc_t"),
    ("rocky-9", "home", "home_root_t"),
    ("rocky-9", "etc/chrony.conf", "etc_t"),
    ("rocky-9", "etc/selinux/targeted/contexts/files/file_contexts.local", "file_context_t"),
    ("base", "usr/sbin/webops", "bin_t"),
    ("base", "usr/lib/webops/webops-fetch", "bin_t"),
    ("base", "usr/lib/webops/networkmanager-reload", "bin_t"),
    ("base", "usr/lib/webops/lib/libc.so.6", "lib_t"),
    ("base", "usr/lib/webops/lib/ld-linux-x86-64.so.2", "ld_so_t"),
    ("base", "usr/lib/systemd/system/webops.service", "systemd_unit_t"),
    ("base", "etc/systemd/system/multi-user.target.wants/webops.service", "systemd_unit_t"),  # a link
    ("generation", "usr/lib/webops/generation.env", "usr_t"),
])
def test_types_in_layers(layers, layer, path, expected):
    assert type_of(layers[layer] / path) == expected


@pytest.fixture(scope="module")
def machine(image):
    with VM("selinux", image.raw, config=CONFIG) as vm:
        vm.wait_healthy()
        yield vm


def test_the_policy_is_loaded_and_reports_only(machine):
    assert machine.root_out("getenforce") == "Permissive"
    assert ":init_t:" in machine.root_out("cat /proc/1/attr/current")
    assert {"etc", "usr", "webops"} <= set(machine.out("ls /").split())
    assert machine.root_out("systemctl --failed --no-legend --plain") == ""


def test_types_on_the_machine(machine):
    expected = {
        "/": "root_t",
        "/etc": "etc_t",  # the root of a layer in memory
        "/etc/machine-id": "etc_t",  # the init's
        "/etc/shadow": "shadow_t",
        "/etc/hostname": "net_conf_t",
        "/etc/NetworkManager/system-connections/webops-dhcp.nmconnection": "NetworkManager_etc_rw_t",
        "/var": "var_t",
        "/var/lib/webops": "var_lib_t",
        "/var/lib/webops/ssh/ssh_host_ed25519_key": "sshd_key_t",
        "/var/lib/webops/swapfile": "swapfile_t",
        "/home": "home_root_t",
        "/webops/config.env": "etc_t",
        "/webops/secrets/operator.secret": "shadow_t",
        "/run/webops/state": "var_run_t",
    }
    found = machine.root_out(f"stat -c '%C %n' {' '.join(expected)}").splitlines()
    assert {line.split()[1]: line.split()[0].split(":")[2] for line in found} == expected


# /usr cannot be written to, and is looked at in the layers.
WRITTEN = ("/etc", "/usr/lib/webops", "/var", "/home", "/root", "/srv", "/webops")


def wrong(machine, *paths):
    return machine.root_out(f"restorecon -nvR {' '.join(paths)}").splitlines()


def test_nothing_has_a_wrong_label(machine):
    assert wrong(machine, *WRITTEN) == []
    assert [line for line in wrong(machine, "/run/webops") if OF_THE_DOMAIN not in line and "/run/webops/etc/work" not in line] == []
    assert machine.root_out(f"find {' '.join(WRITTEN)} -context '*:unlabeled_t:*' -o -context '*:default_t:*'") == ""
    # A label that differs from the image's would have made a copy in /etc's upper layer.
    assert machine.root_out("webops drift") == "no drift"


DENIED = re.compile(r"avc:  denied  \{ (.*?) \}.* scontext=\w+:\w+:(\w+).* tcontext=\w+:\w+:(\w+).* tclass=(\w+)")


def test_no_denial_is_for_want_of_a_label(machine):
    denied = Counter(DENIED.search(line).groups() for line in machine.root_out("journalctl -b -k -o cat --no-pager | grep 'avc:  denied' || true").splitlines())
    for (what, source, target, kind), count in denied.most_common():
        print(count, source, target, kind, what)
    assert denied, "a policy that was not written for this image denies something"
    assert [key for key in denied if key[2] in ("unlabeled_t", "default_t", "file_t")] == []


def test_what_webops_writes_later(machine):
    machine.root("sed -i 's/^HOSTNAME=.*/HOSTNAME=renamed/' /webops/config.env && printf x >/webops/secrets/more.secret && chmod 600 /webops/secrets/more.secret")
    machine.root("chcon -t tmp_t /etc/hostname && webops apply")
    assert machine.out("hostname") == "renamed"
    assert wrong(machine, "/etc", "/webops") == []


def test_state_that_was_never_labelled(machine):
    """As after a generation without labels: the mark is gone, and something on state has no right label."""
    machine.root("mkdir -p /srv/data/deep && touch /srv/data/deep/file && chcon -R -t tmp_t /srv/data && chcon -t tmp_t /webops/config.env && rm /var/lib/webops/labelled")
    machine.reboot()
    assert wrong(machine, *WRITTEN) == []
    assert machine.root_out("ls /var/lib/webops/labelled")


# A file of an overlay is open in the name of who mounted it, here the init, so in the kernel's domain. To load a library a program must be allowed to use that;
# Red Hat's policy allows it to all (its boolean domain_fd_use), Debian's does not.
RULE = "(allow domain kernel_t (fd (use)))\n"


@pytest.fixture(scope="module")
def enforcing(layers, tmp_path_factory):
    """The same generation with enforcing=1, and a layer with the policy that has this rule, too."""
    root, tree = tmp_path_factory.mktemp("policy"), tmp_path_factory.mktemp("recipes")
    shutil.copytree(layers["rocky-9"] / "etc/selinux", root / "etc/selinux")
    shutil.copytree(layers["rocky-9"] / "usr/share/factory/var/lib/selinux/default", root / "var/lib/selinux/targeted")
    (root / "rule.cil").write_text(RULE)
    run("semodule", "-N", "-p", root, "-s", "targeted", "-i", root / "rule.cil")
    policy, = (root / "etc/selinux/targeted/policy").iterdir()
    layer = tree / "overlays/rule"
    (layer / "files/etc/selinux/targeted/policy").mkdir(parents=True)
    shutil.copy(policy, layer / "files/etc/selinux/targeted/policy")
    (layer / "layer.yaml").write_text("name: rule\nversion: '1'\nsummary: a policy with one rule more\n")
    text = generations.profile("enforcing", 4, layer="rule", cmdline=f"{CMDLINE}, enforcing=1")
    adapted, env = ROCKY.adapt(generations.write(SHARED / "recipes", "rocky-9-enforcing", text))
    (tree / "images").symlink_to(adapted.parent.parent / "images")
    (tree / "profiles").mkdir()
    image = images.bake(shutil.copy(adapted, tree / "profiles"), OUT / "rocky-9-enforcing", name="dev", env=env)
    with VM("selinux-enforcing", image.raw, config=CONFIG) as vm:
        vm.wait_healthy()
        yield vm


@pytest.mark.full
def test_enforcing_with_one_rule_more(enforcing):
    assert enforcing.root_out("getenforce") == "Enforcing"
    assert "enforcing=0" not in enforcing.out("cat /proc/cmdline")
    assert enforcing.root_out("systemctl --failed --no-legend --plain") == ""
    enforcing.root("sed -i 's/^HOSTNAME=.*/HOSTNAME=renamed/' /webops/config.env && webops apply")
    assert enforcing.out("hostname") == "renamed"
    enforcing.reboot()
    assert enforcing.root_out("getenforce; hostname").split() == ["Enforcing", "renamed"]
    assert enforcing.root_out("systemctl --failed --no-legend --plain") == ""
    # Not /usr: Debian's policy does not let restorecon ask a tree about its file system when its root is the initramfs'.
    assert wrong(enforcing, *(path for path in WRITTEN if not path.startswith("/usr"))) == []
