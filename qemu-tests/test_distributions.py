# SPDX-License-Identifier: Apache-2.0
"""Machines of other distributions: Debian 11 of its own packages, Ubuntu and Rocky of repositories made here (aptrepo.py, rpmrepo.py).
The scenarios of one machine run in their order; the last one updates it to the next release of its distribution."""
import json
import time

import generations
import pytest
from conftest import check_itself_and_healthy, configured
from families import FAMILIES
from test_update import committed, restarts
from vm import VM, Access


# Each on a processor of its own.
@pytest.fixture(scope="module", params=[pytest.param(family, marks=pytest.mark.xdist_group(family.image), id=family.image)
                                       for family in FAMILIES if not family.image.startswith(("debian-12", "debian-13"))])
def machine(request):
    family = request.param
    first, following = family.build(), generations.bundle(family.build_following())
    access = Access()
    with VM(f"distribution-{family.image}", first.raw, access=access, extra=[*configured(access), *generations.disk_arguments({"next": following})]) as vm:
        vm.family = family
        vm.wait_healthy()
        yield vm


def test_is_itself_and_healthy(machine):
    check_itself_and_healthy(machine, machine.family)


def test_is_configured(machine):
    assert machine.out("hostname") == "scenario"
    assert machine.out("readlink -f /etc/localtime") == "/usr/share/zoneinfo/Europe/Berlin"
    assert "ntp1.example.org" in machine.root_out("cat /etc/chrony.conf /etc/chrony/chrony.conf 2>/dev/null", check=False)
    assert machine.root_out("systemctl is-active chrony ssh").split() == ["active", "active"]
    assert machine.root_out("sysctl -n vm.swappiness") == "7" and "swapfile" in machine.out("cat /proc/swaps")
    assert "tcp dport" in machine.root_out("nft list ruleset")
    offered = machine.root_out("sshd -T").splitlines()
    kex, = (line for line in offered if line.startswith("kexalgorithms "))
    assert "curve25519-sha256" in kex and "diffie-hellman" not in kex and "nistp" not in kex


def test_sshd_listens_itself(machine):
    """Ubuntu 24.04 enables a socket unit for it, of which the port would have to be known before webops runs."""
    listening = machine.root_out("ss -Hltnp sport = :22").splitlines()
    assert listening and all('"sshd"' in line and '"systemd"' not in line for line in listening), listening
    assert machine.root_out("systemctl is-enabled ssh.socket 2>/dev/null", check=False) in ("", "disabled", "not-found")


def test_programs_find_the_certificates_of_authorities(machine):
    assert int(machine.out("grep -c '^-----BEGIN CERTIFICATE' /etc/ssl/certs/ca-certificates.crt")) > 100  # where our libcurl looks, which is Debian's


def test_password_hashes_can_be_read_as_the_distribution_wants(machine):
    expected = "0 root:root" if machine.family.has_rpm else "640 root:shadow"
    assert set(machine.root_out("stat -c '%a %U:%G' /etc/shadow /etc/gshadow").splitlines()) == {expected}
    assert machine.root_out("getent shadow ops").startswith("ops:$")


def addresses(machine):
    return {address["local"] for link in json.loads(machine.out("ip -json address")) for address in link["addr_info"]}


def eventually(check, timeout=60):
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(2)


def test_the_network_is_what_the_configuration_says(machine):
    eventually(lambda: {"192.0.2.10", "2001:db8::10"} <= addresses(machine))
    assert "198.51.100.10" in addresses(machine)  # a VLAN on the second card
    assert "192.0.2.1" in machine.out("ip route show default")


def test_a_changed_configuration_is_applied(machine):
    config = machine.root_out("cat /webops/config.env")
    assert "192.0.2.10/24" in config
    machine.root("sed -i 's/192\\.0\\.2\\.10/192.0.2.11/' /webops/config.env && webops apply")
    eventually(lambda: "192.0.2.11" in addresses(machine))
    assert "192.0.2.10" not in addresses(machine)
    again = machine.root("webops apply")
    assert "; 0 changes" in again.stdout + again.stderr


def test_a_card_of_one_family(machine):
    """Without any IPv4 address; the name server that it then cannot ask is no reason to lose the IPv6 one."""
    machine.root("sed -i 's/192\\.0\\.2\\.11[/]24 *//; /_GATEWAY=/d' /webops/config.env && echo DNS_SEARCH=example.org >>/webops/config.env && webops apply")
    config = machine.root_out("cat /webops/config.env")
    assert "192.0.2.11" not in config and "2001:db8::10/64" in config and "192.0.2.53" in config, config
    eventually(lambda: "192.0.2.11" not in addresses(machine))
    eventually(lambda: {"2001:db8::10", "198.51.100.10"} <= addresses(machine))


def test_the_package_database_can_be_read(machine):
    machine.release = machine.out(machine.family.installed)
    assert machine.release


def test_updates_to_the_next_release(machine):
    machine.root("mkdir -p /srv/data && echo kept >/srv/data/file")
    device = generations.device("next")
    plan = machine.root_out(f"webops update {device} --plan")
    assert "2026.12.9" in plan, plan
    restarts(machine, f"webops update {device} --reboot")
    now = committed(machine, "b")
    assert now["generation"]["version"] == "2026.12.9" and now["slots"]["a"]["state"] == "good"
    assert machine.out(". /etc/os-release; echo $VERSION_ID") == machine.family.next_version
    assert machine.root_out("cat /srv/data/file") == "kept"
    assert machine.root_out("systemctl --failed --no-legend --plain") == ""
    if machine.family.version == machine.family.next_version:
        assert machine.out(machine.family.installed) != machine.release
