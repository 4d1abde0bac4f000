# SPDX-License-Identifier: Apache-2.0
"""Fixtures that scenarios share: baked images and the one long-lived machine."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import images  # noqa: E402
from families import FAMILY  # noqa: E402
from vm import DISTRIBUTION, OUT, PROGRAM, VM, Access  # noqa: E402

HERE = Path(__file__).parent

CONFIG = """\
HOSTNAME=scenario
TIMEZONE=Europe/Berlin
NTP_SERVERS='ntp1.example.org ntp2.example.org'
OPERATOR_USER=ops
OPERATOR_PASSWORD_FILE=/webops/secrets/operator.secret
SSH_AUTHORIZED_KEYS_FILE=/webops/secrets/ssh.secret
ENABLE_FIREWALL=true
FIREWALL_ALLOW_TCP='80 443'
SSH_RATE_LIMIT=20
SWAP_SIZE=64M
SWAPPINESS=7
LIMIT_NPROC=2048
USER_MEMORY_MAX=70%
VM_DIRTY_RATIO=12
TCP_KEEPALIVE_TIME=61
PANIC_TIMEOUT=10
"""
SECOND_CARD = "52:54:00:97:00:02"
NETWORK = f"""\
version: 2
ethernets:
  second:
    match:
      macaddress: "{SECOND_CARD}"
    addresses: [192.0.2.10/24, "2001:db8::10/64"]
    routes:
      - to: default
        via: 192.0.2.1
    nameservers:
      addresses: [192.0.2.53]
vlans:
  guests:
    id: 97
    link: second
    addresses: [198.51.100.10/24]
    mtu: 1400
"""


# What starts machines of an image. With another DISTRIBUTION only these are meant: what the rest shows does not depend on it.
MACHINES = ("test_bad_generations", "test_bootcount", "test_boots", "test_image_test", "test_init", "test_installer", "test_kvm", "test_machine", "test_patroni",
            "test_sample", "test_secureboot", "test_server", "test_stacks", "test_update")


def pytest_configure(config):
    images.family = FAMILY if DISTRIBUTION != "debian-12" else None
    config.addinivalue_line("markers", "full: takes too long for `make check`; `make check-full` runs it")
    config.addinivalue_line("markers", "only(fixture=value): not with other parameters of that fixture")
    if not PROGRAM.exists():
        pytest.exit(f"{PROGRAM} is missing: run `make` first", returncode=2)


# Those that take longest begin, so that at the end no processor waits for another one's long file. The rest comes in any order.
LONGEST_FIRST = ("test_update", "test_installer", "test_stacks", "test_vendor", "test_vendor_rpm", "test_selinux", "test_secureboot", "test_image_test", "test_boots", "test_upload_hetzner",
                 "test_sample", "test_bad_generations", "test_bootcount", "test_machine", "test_build")


def is_meant(item):
    """The mark `only` names parameters of fixtures without which a scenario has nothing to look at."""
    if DISTRIBUTION != "debian-12" and item.path.stem not in MACHINES:
        return False
    only = item.get_closest_marker("only")
    return not only or all(item.callspec.params[name] == value for name, value in only.kwargs.items())


def rank(item):
    return LONGEST_FIRST.index(item.path.stem) if item.path.stem in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own hook reads the marks
def pytest_collection_modifyitems(items):
    """Scenarios run beside each other, one per processor (pytest-xdist); those of one file share machines and stay together, in their order."""
    items[:] = filter(is_meant, items)
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=rank)


@pytest.fixture(scope="session")
def image():
    """Base and hardening, development compression; Debian 12 unless DISTRIBUTION says otherwise."""
    return images.build(HERE / "profiles" / "dev.yaml", OUT / "dev")


@pytest.fixture(scope="session")
def following():
    """The same machines' next release: Debian 13, or what the distribution has."""
    return FAMILY.build_following()


@pytest.fixture(scope="session")
def config():
    return CONFIG


def configured(access):
    """QEMU arguments of a second card and of a NoCloud seed: CONFIG, a name, a network, secrets."""
    name = "HOSTNAME=scenario\n"
    assert name in CONFIG
    card = ["-netdev", "user,id=second,restrict=on", "-device", f"virtio-net-pci,netdev=second,mac={SECOND_CARD},romfile="]
    return [*card, *access.nocloud(CONFIG.replace(name, ""), "instance-id: one\nlocal-hostname: scenario\n", NETWORK)]


def check_itself_and_healthy(vm, family):
    assert vm.out(". /etc/os-release; echo $ID-$VERSION_ID") == family.image
    status = vm.status()
    assert status["health"]["healthy"] is True and not status["config"]["problems"], status
    assert vm.root_out("systemctl --failed --no-legend --plain") == ""
    assert vm.root_out("webops drift") == "no drift"


@pytest.fixture(scope="module")
def machine(image):
    """Booted by UEFI on a 4 GiB disk, and configured. Scenarios of test_machine.py use it in their order."""
    access = Access()
    with VM("machine", image.raw, access=access, extra=configured(access)) as vm:
        vm.image = image
        vm.wait_healthy()
        yield vm
