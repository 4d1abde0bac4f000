# SPDX-License-Identifier: Apache-2.0
"""The stack kvm, with a guest that is emulated inside an emulated machine: it has no system, so it is its surroundings that are looked at."""
import images
import pytest
from families import FAMILY
from vm import LOGIN, OUT, ROOT, VM

pytestmark = pytest.mark.full
CONFIG = "HOSTNAME=kvm\n" + LOGIN + """\
WATCHDOG_TIMEOUT=120
HEALTH_TIMEOUT=600
KVM_ENABLED=true
KVM_EMULATION=true
KVM_OPERATOR=true
KVM_BRIDGE=br0
KVM_HUGE_PAGES=4
KVM_HOST_CPUS=0
KVM_GUEST_CPUS=1
KVM_MIGRATION_FROM=192.0.2.0/24
KVM_SHUTDOWN=suspend
"""
GUEST = """\
<domain type='qemu'><name>tiny</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/kvm/tiny.qcow2'/><target dev='vda' bus='virtio'/></disk>
<interface type='network'><source network='host'/><model type='virtio'/></interface></devices></domain>
"""


@pytest.fixture(scope="module")
def host():
    image = images.build(ROOT / "qemu-tests" / "profiles" / "kvm.yaml", OUT / "kvm")
    with VM("kvm", image.raw, config=CONFIG, disk_size="6G", cpus=2, extra=["-cpu", "max"]) as vm:  # that has virtualisation
        vm.wait_healthy()
        yield vm


def virsh(vm, command, **options):
    """As the operator, without sudo: KVM_OPERATOR."""
    return vm.out(f"virsh -q -c qemu:///system {command}", timeout=300, **options)


def test_host_is_prepared(host):
    found = {stack["name"]: stack for stack in host.status()["stacks"]}["kvm"]
    assert (found["state"], found["health"], found["failed"]) == ("running", "healthy", []), found
    cpus = host.root_out("cat /sys/fs/cgroup/system.slice/cpuset.cpus.effective /sys/fs/cgroup/user.slice/cpuset.cpus.effective; sysctl -n vm.nr_hugepages")
    assert cpus.split() == ["0", "0", "4"]
    assert "49152-49215" in host.root_out("nft list ruleset")
    assert host.root_out("findmnt -no FSTYPE /etc/libvirt") == "ext4"


def test_again_changes_nothing(host):
    units = "systemctl show -p InvocationID --value libvirtd.service virtlogd.service"
    before = host.root_out(units)
    host.root("webops install", timeout=400)
    assert host.root_out(units) == before and host.status()["apply"]["changes"] == 0
    assert host.ignored(FAMILY.not_known) == []


def test_guest_is_where_it_belongs(host):
    virsh(host, "vol-create-as default tiny.qcow2 16M --format qcow2")
    virsh(host, "define /dev/stdin", input=GUEST)
    virsh(host, "start tiny")
    pid = host.root_out("pidof qemu-system-x86_64")
    assert "(enforce)" in host.root_out(f"cat /proc/{pid}/attr/current")
    assert "/machine.slice/" in host.root_out(f"cat /proc/{pid}/cgroup")
    assert host.root_out(f"grep Cpus_allowed_list /proc/{pid}/status").split() == ["Cpus_allowed_list:", "1"]
    assert "master br0" in host.root_out("ip -o link show vnet0")


def test_wrong_values_are_named(host):
    good = host.root_out("cat /webops/config.env")
    host.root("sed -i 's/^KVM_GUEST_CPUS=.*/KVM_GUEST_CPUS=7/' /webops/config.env")
    bad = host.root("webops apply kvm", check=False, timeout=400)
    assert bad.returncode == 1 and "this machine has no processor 7" in bad.stdout + bad.stderr, bad
    host.root("cat >/webops/config.env", input=good + "\n")
    host.root("webops apply kvm", timeout=400)
    assert "running" in virsh(host, "domstate tiny")  # nobody touched it


def test_guest_and_definitions_survive_a_restart(host):
    host.reboot()
    assert "running" in virsh(host, "domstate tiny")  # it was suspended, and went on
    host.root("webops uninstall kvm", timeout=400)
    assert host.root_out("ls /srv/kvm") == "tiny.qcow2"
    assert host.root("pidof qemu-system-x86_64 libvirtd", check=False).stdout == ""
    host.root("webops apply kvm", timeout=400)
    assert "tiny" in virsh(host, "list --all --name")


def test_purge_deletes_what_it_names_and_nothing_else(host):
    host.root("echo mine >/srv/mine")
    data = ("/srv/kvm", "/var/lib/libvirt", "/etc/libvirt")
    before = host.places()
    named = host.root_out("webops uninstall kvm --purge --dry-run")
    assert all(path in named for path in data) and "/srv/mine" not in named, named
    host.root("webops uninstall kvm --purge", timeout=400)
    gone = before - host.places()
    kept = "/var/lib/webops/persist/etc/libvirt"
    assert {"/srv/kvm", "/var/lib/libvirt"} <= gone and any(place.startswith(kept) for place in gone), gone
    assert all(place.startswith(("/srv/kvm", "/var/lib/libvirt", kept, "/var/lib/webops/persist/etc/apparmor.d")) for place in gone), gone
    assert host.root_out("cat /srv/mine") == "mine"
    host.root("webops apply kvm", timeout=400)
    assert "tiny" not in virsh(host, "list --all --name") and host.root_out("ls /srv/kvm") == ""
