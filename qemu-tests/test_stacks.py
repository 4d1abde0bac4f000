# SPDX-License-Identifier: Apache-2.0
"""Stacks on one machine: install, health, restart, uninstall, return, purge, and what the machine says when something is wrong.

The scenarios share one machine, which is restarted once, and run in the order of this file: first with two small stacks of our own, which
show what the engine does, then (make check-full) beside etcd, PostgreSQL and monitoring with its Prometheus.
"""
import json
import shutil
import time

import images
import pytest
from families import FAMILY
from vm import LOGIN, OUT, ROOT, VM, Access

HERE = ROOT / "qemu-tests"
CANARY = "Canary'Probe\"7{{x}}$(id)\\"  # what no format may let out of its place
UNITS = {"probe": ("probe.service", "probe-user.service"),
         "stacks": ("webops-etcd.service", "webops-postgresql.service", "webops-node-exporter.service", "webops-prometheus.service",
                    "probe.service", "probe-user.service")}
NAMES = {"probe": ("probe", "probe-user"), "stacks": ("etcd", "postgresql", "monitoring", "probe", "probe-user")}
CONFIG = "HOSTNAME=stacks\n" + LOGIN + """\
WATCHDOG_TIMEOUT=120
PROBE_ENABLED=true
PROBE_TEXT="two words, ' %n #{{braces}}"
PROBE_FROM='192.0.2.0/24 2001:db8::/32'
PROBE_PEERS='a=192.0.2.1 b=2001:db8::1'
PROBE_PASSWORD_FILE=/webops/secrets/probe.secret
PROBE_USER_ENABLED=true
"""
REAL = """\
POSTGRES_ENABLED=true
POSTGRES_SHARED_BUFFERS_MB=32
MONITORING_ENABLED=true
MONITORING_FROM=192.0.2.0/24
MONITORING_PROMETHEUS=true
"""


def cluster_of_one(access):
    """Certificates, passwords and the etcd and PostgreSQL part of config.env for this machine alone."""
    place = access.dir / "cluster"
    images.good(images.webops_image("secrets", "new-cluster", place, "--name", "one", "--node", "n1=127.0.0.1"))
    node = place / "nodes" / "n1"
    for secret in (node / "secrets").iterdir():
        access.add_secret(secret.name, secret.read_text())
    lines = (node / "config.env").read_text().splitlines()
    shutil.rmtree(place)
    return "".join(line + "\n" for line in lines if line.startswith(("ETCD_", "POSTGRES_")))


@pytest.fixture(scope="module", params=["probe", pytest.param("stacks", marks=pytest.mark.full)])
def stacks(request):
    image = images.build(HERE / "profiles" / f"{request.param}.yaml", OUT / request.param)
    access = Access()
    access.add_secret("probe.secret", CANARY + "\n")
    config = CONFIG + (REAL + cluster_of_one(access) if request.param == "stacks" else "")
    with VM(f"stacks-{request.param}", image.raw, extra=access.sealed_cdrom(config, image.raw), access=access) as vm:
        vm.units, vm.stacks, vm.is_full = UNITS[request.param], NAMES[request.param], request.param == "stacks"
        vm.wait_healthy()
        yield vm


REAL_ONLY = pytest.mark.only(stacks="stacks")


def by_name(vm):
    return {stack["name"]: stack for stack in vm.status()["stacks"]}


def active(vm, *units):
    return vm.root_out("systemctl is-active " + " ".join(units), check=False).split()


def sql(vm, statement):
    return vm.root("runuser -u postgres -- psql -qAtX", input=statement).stdout.strip()


def etcd(vm, command):
    return vm.root_out(f"runuser -u etcd -- /usr/lib/webops/etcd/ctl {command}")


def edit(vm, pattern, line):
    """Replaces the line of config.env that matches, or adds one."""
    vm.root(f"sed -i '/^{pattern}/d' /webops/config.env && cat >>/webops/config.env", input=line + "\n")


def test_all_are_healthy(stacks):
    found = by_name(stacks)
    assert sorted(found) == sorted(stacks.stacks)
    for name, stack in found.items():
        assert (stack["enabled"], stack["state"], stack["health"], stack["failed"]) == (True, "running", "healthy", []), stack
        assert stack["since"] and (stack["version"] or name.startswith("probe")), stack
    assert active(stacks, *stacks.units) == ["active"] * len(stacks.units)
    for name in found:
        assert name in stacks.root_out("webops list") and name in stacks.root_out("webops status")
    assert stacks.root_out("systemctl --failed --no-legend --plain") == ""
    assert stacks.ignored(FAMILY.not_known) == []
    assert stacks.root_out("stat -c '%U:%G %a' /var/lib/probe/notes") == "nobody:nogroup 600"  # as the hook's user, with our umask


def test_files_are_what_the_templates_say(stacks):
    modes = stacks.root_out("stat -c '%a %U:%G' /etc/default/probe /etc/probe/probe.json /run/probe/password /var/lib/probe /srv/probe").splitlines()
    assert modes == ["644 root:root", "640 root:adm", "400 nobody:nogroup", "750 nobody:nogroup", "700 root:root"]
    text = "two words, ' %n #{{braces}}"
    assert json.loads(stacks.root_out("cat /etc/probe/probe.json")) == {
        "text": text, "peers": [{"name": "a", "address": "192.0.2.1"}, {"name": "b", "address": "2001:db8::1"}]}
    assert stacks.root_out("cat /var/lib/probe/text") == text  # as systemd read the environment file
    assert stacks.root_out("cat /run/probe/password") == CANARY
    assert stacks.root("test -e /etc/probe/loud", check=False).returncode != 0
    assert stacks.root_out("sysctl -n vm.max_map_count") == "131097"
    assert stacks.root_out("findmnt -no FSTYPE /etc/probe-kept") == "ext4" and stacks.root_out("cat /etc/probe-kept/initial") == "as the image brings it"
    rules = stacks.root_out("nft list ruleset")
    assert "7097" in rules and "192.0.2.0/24" in rules and "2001:db8::/32" in rules
    assert ("9100" in rules) == stacks.is_full and "2381" not in rules


@REAL_ONLY
def test_metrics_of_everything(stacks):
    fetch = "bash -c '. /usr/lib/webops/monitoring/functions; http_get 127.0.0.1 9100 /metrics'"
    metrics = stacks.out(f"for i in $(seq 30); do {fetch} >/tmp/metrics && grep -q ^etcd_server_has_leader /tmp/metrics && break; sleep 2; done; cat /tmp/metrics")
    for line in ("etcd_server_has_leader 1", 'webops_source_up{source="etcd"} 1', 'webops_source_up{source="webops"} 1', "node_timex_sync_status "):
        assert line in metrics, line
    assert 'node_filesystem_avail_bytes{device="/dev/vda5",fstype="ext4",mountpoint="/var"}' in metrics
    stacks.out("cat >/tmp/alerts.test.yml", input=(HERE / "alerts.test.yml").read_text())
    assert "SUCCESS" in stacks.out("cd /tmp && promtool test rules alerts.test.yml 2>&1 && promtool check config /etc/prometheus/prometheus.yml 2>&1")


def test_again_changes_nothing(stacks):
    state = f"systemctl show -p Id -p InvocationID {' '.join(stacks.units)}; find /etc /run/webops/etcd /run/webops/postgresql /run/probe -xdev -type f -printf '%p %T@ %i\\n' | sort | sha256sum"
    before = stacks.root_out(state)
    stacks.root("webops install")
    assert stacks.root_out(state) == before and stacks.status()["apply"]["changes"] == 0
    plan = stacks.root_out("webops install --dry-run")
    assert "restart" not in plan and "start " not in plan, plan


def test_a_change_reaches_its_stack_only(stacks):
    others = [unit for unit in stacks.units if unit != "probe.service"]
    before = stacks.root_out("systemctl show -p InvocationID --value " + " ".join(others))
    edit(stacks, "PROBE_LOUD", "PROBE_LOUD=true")
    plan = stacks.root_out("webops apply probe --dry-run")
    assert "/etc/probe/loud" in plan and "probe.service" in plan, plan
    stacks.root("webops apply probe")
    assert stacks.root_out("cat /etc/probe/loud; wc -l </var/lib/probe/starts").split() == ["7097", "2"]
    assert stacks.root_out("systemctl show -p InvocationID --value " + " ".join(others)) == before
    edit(stacks, "PROBE_LOUD", "PROBE_LOUD=false")
    stacks.root("webops apply probe")
    assert stacks.root("test -e /etc/probe/loud", check=False).returncode != 0


def test_says_what_is_wrong(stacks):
    good = stacks.root_out("cat /webops/config.env")
    changes = [(("PROBE_TEXT", "# none"), ("PROBE_TEXT", "PROBE_ENABLED")),
               (("PROBE_PORT", "PROBE_PORT=22"), ("PROBE_PORT", "22", "SSH_PORT")),
               (("PROBE_ENABLED", "PROBE_ENABLED=false"), ("PROBE_USER_ENABLED", "PROBE_ENABLED")),
               (("PROBE_PEERS", "PROBE_PEERS='a=192.0.2.1 a=192.0.2.2'"), ("PROBE_PEERS",))]
    if stacks.is_full:
        changes += [(("PROBE_PORT", "PROBE_PORT=2379"), ("PROBE_PORT", "2379", "ETCD_CLIENT_PORT")), (("ETCD_NAME", "# none"), ("ETCD_NAME",))]
    for change, words in changes:
        edit(stacks, *change)
        bad = stacks.root("webops validate", check=False)
        assert bad.returncode == 1 and all(word in bad.stdout + bad.stderr for word in words), (change, bad.stdout, bad.stderr)
        stacks.root("cat >/webops/config.env", input=good + "\n")
    # A password file that is not there: the configuration is not taken, everything goes on as it was.
    edit(stacks, "PROBE_PASSWORD_FILE", "PROBE_PASSWORD_FILE=/webops/secrets/none.secret")
    bad = stacks.root("webops apply", check=False)
    assert bad.returncode != 0 and "PROBE_PASSWORD_FILE: /webops/secrets/none.secret does not exist" in bad.stderr, bad
    stacks.root("cat >/webops/config.env", input=good + "\n")
    # A check that fails is named with its reason, and who needs the stack waits for it.
    edit(stacks, "PROBE_SICK", "PROBE_SICK=true")
    stacks.root("systemctl stop probe-user.service")
    assert stacks.root("webops install", check=False).returncode == 1
    found = by_name(stacks)
    assert found["probe"]["state"] == "failed" and "the probe is sick, port 7097" in json.dumps(found["probe"])
    assert "waits for probe" in json.dumps(found["probe-user"]) and all(found[name]["state"] == "running" for name in stacks.stacks[:-2])
    edit(stacks, "PROBE_SICK", "PROBE_SICK=false")
    stacks.root("webops install")
    assert {stack["state"] for stack in by_name(stacks).values()} == {"running"}


def at(vm, seconds):
    """The machine's clock goes `seconds` forward (or back); nothing sets it right here, because no time server is in reach."""
    vm.root(f"date -s @$(($(date +%s) + {seconds}))")


def wait_well(vm, timeout=240):
    """Checks have seconds for their answers, which is little in software emulation beside other machines."""
    deadline = time.monotonic() + timeout
    while (told := vm.root("webops health", check=False)).returncode:
        assert time.monotonic() < deadline, told.stdout + told.stderr
        time.sleep(5)


@REAL_ONLY
def test_wrong_clock_and_expired_certificates(stacks):
    etcd(stacks, "put clock right")
    for hour in (-3600, 3600):
        at(stacks, hour)
        wait_well(stacks)
        at(stacks, -hour)
    years = 3 * 366 * 86400  # certificates are made for 825 days
    at(stacks, years)
    told = stacks.root("webops health", check=False)
    assert told.returncode == 1 and "certificate server.pem has expired on" in told.stdout + told.stderr, told
    stacks.root("systemctl restart webops-etcd.service", check=False)
    assert stacks.root("webops install", check=False, timeout=600).returncode == 1  # a stack has up to five minutes for becoming healthy
    found = by_name(stacks)
    for name in ("etcd", "postgresql"):
        assert found[name]["state"] == "failed" and "has expired on" in json.dumps(found[name]), found[name]
    assert found["monitoring"]["state"] == "running", found["monitoring"]
    at(stacks, -years)
    stacks.root("webops install", timeout=300)
    assert {stack["state"] for stack in by_name(stacks).values()} == {"running"}
    assert "right" in etcd(stacks, "get clock")


@REAL_ONLY
def test_full_disk(stacks):
    sql(stacks, "CREATE TABLE lines (text text); INSERT INTO lines SELECT repeat('x', 1000) FROM generate_series(1, 1000);")
    stacks.root("dd if=/dev/zero of=/srv/everything bs=1M; sync", check=False, timeout=600)
    try:
        told = stacks.root("webops health", check=False)
        assert told.returncode == 1 and "KiB are free on state" in told.stdout + told.stderr, told
        full = stacks.root("runuser -u postgres -- psql -qAtX", check=False,
                           input="INSERT INTO lines SELECT repeat(md5(n::text), 60) FROM generate_series(1, 20000) n;\n").stderr
        assert "No space left on device" in full or "server closed the connection" in full, full
    finally:
        stacks.root("rm /srv/everything")
    stacks.root("webops install", timeout=300)
    wait_well(stacks)
    assert sql(stacks, "SELECT count(*), sum(length(text)) FROM lines;") == "1000|1000000"  # all that was acknowledged, and nothing of the other


def test_uninstall_keeps_data_over_a_restart(stacks):
    if stacks.is_full:
        sql(stacks, "CREATE TABLE kept AS SELECT 'in PostgreSQL' AS what;")
        etcd(stacks, "put kept 'in etcd'")
    stacks.root("echo kept >/srv/probe/kept; echo kept >/etc/probe-kept/own")
    refused = stacks.root("webops uninstall probe", check=False)
    assert refused.returncode == 1 and "probe-user" in refused.stderr and active(stacks, "probe.service") == ["active"]
    for name in reversed(stacks.stacks):
        stacks.root(f"webops uninstall {name}")
    assert "active" not in active(stacks, *stacks.units)
    rules = stacks.root_out("nft list ruleset")
    assert "9100" not in rules and "7097" not in rules
    assert stacks.root("ls /run/webops/etcd/server.key /run/probe/password", check=False).stdout == ""

    stacks.reboot()

    assert "active" not in active(stacks, *stacks.units)
    assert {stack["uninstalled"] for stack in by_name(stacks).values()} == {True}
    assert "webops apply probe" in stacks.root("webops install").stderr
    assert "before-reboot" not in stacks.root_out("cat /var/lib/probe/notes")  # it was off
    for name in stacks.stacks:
        stacks.root(f"webops apply {name}", timeout=300)
    assert {stack["state"] for stack in by_name(stacks).values()} == {"running"}
    if stacks.is_full:
        assert sql(stacks, "SELECT what FROM kept;") == "in PostgreSQL" and "in etcd" in etcd(stacks, "get kept")
    assert stacks.root_out("cat /srv/probe/kept /etc/probe-kept/own").split() == ["kept", "kept"]
    assert "after-start" in stacks.root_out("cat /var/lib/probe/notes")


@REAL_ONLY
def test_a_restart_runs_the_hooks(stacks):
    stacks.root("rm /var/lib/probe/notes")
    stacks.reboot()
    assert stacks.root_out("cat /var/lib/probe/notes").split() == ["before-reboot", "after-start"]


def test_purge_deletes_what_it_names_and_nothing_else(stacks):
    stacks.root("webops uninstall probe-user; echo mine >/var/lib/probe-not; echo mine >/srv/mine")
    named = stacks.root_out("webops uninstall probe --purge --dry-run")
    assert "/var/lib/probe" in named and "/srv/probe" in named and "/var/lib/etcd" not in named, named
    assert stacks.root_out("cat /srv/probe/kept") == "kept"  # only shown
    stacks.root("webops uninstall probe --purge")
    assert stacks.root("ls -d /var/lib/probe /srv/probe", check=False).stdout == ""
    assert stacks.root_out("cat /var/lib/probe-not /srv/mine").split() == ["mine", "mine"]
    if stacks.is_full:
        assert sql(stacks, "SELECT what FROM kept;") == "in PostgreSQL"
    stacks.root("webops apply probe")
    assert stacks.root_out("ls -A /srv/probe; cat /var/lib/probe/starts /etc/probe-kept/initial").split("\n") == ["started", "as the image brings it"]


@REAL_ONLY
def test_purge_of_a_real_stack_deletes_its_data_only(stacks):
    data = {"monitoring": "/var/lib/prometheus", "postgresql": "/var/lib/postgresql/standalone", "etcd": "/var/lib/etcd"}
    for name, path in data.items():
        before = stacks.places()
        named = stacks.root_out(f"webops uninstall {name} --purge --dry-run")
        assert [other for other in data.values() if other in named] == [path], named
        stacks.root(f"webops uninstall {name} --purge", timeout=300)
        gone = before - stacks.places()
        assert path in gone and all(place == path or place.startswith(path + "/") for place in gone), gone
    for name in reversed(data):
        stacks.root(f"webops apply {name}", timeout=300)
    assert {by_name(stacks)[name]["state"] for name in data} == {"running"}
    assert sql(stacks, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept';") == "0" and etcd(stacks, "get kept") == ""


def test_secrets_are_nowhere_else(stacks):
    stacks.root("umask 077; cat >/run/needle", input=CANARY[:12])  # a file, so that the search does not find its own arguments

    def count(command):
        return stacks.root_out(f"({command}) 2>/dev/null | grep -a -c -F -f /run/needle || true")

    for command in ("journalctl --no-pager -o cat", "cat /run/webops/*.json /var/log/webops/*", "cat /proc/[0-9]*/cmdline", "webops status --json"):
        assert count(command) == "0", command
    assert count("cat /webops/secrets/*") == "1" and CANARY[:12] not in stacks.console()
