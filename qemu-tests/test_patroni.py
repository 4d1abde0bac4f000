# SPDX-License-Identifier: Apache-2.0
"""Three machines that are one database: it forms, and loses no acknowledged row whatever happens to one of them, or to all.

The scenarios share the machines and run in the order of this file. What they measure is written to out/qemu-logs/patroni.json.
"""
import json
import os
import statistics
import time
import types

import generations
import images
import pytest
from cluster import NAMES, Cluster, Sample, Writer, overlap
from families import FAMILY
from vm import LOGS, OUT, ROOT

pytestmark = pytest.mark.full
HERE = ROOT / "qemu-tests"
MEASURED = {}
TTL = 120  # PATRONI_TTL in cluster.py
TURNS = pytest.mark.parametrize("turn", range(int(os.environ.get("FAILOVERS", "1"))))  # how often each kind happens, to measure


@pytest.fixture(scope="module")
def cluster():
    image = images.build(HERE / "profiles" / "cluster.yaml", OUT / "cluster")
    bundles = {kind: generations.bundle(generations.build(kind, sequence, base="cluster", layer=kind)) for sequence, kind in enumerate(("bad-patroni", "next"), 2)}
    with Cluster(image.raw, "cluster", extra=generations.disk_arguments(bundles)) as cluster:
        yield cluster


def measured(what, seconds):
    """Written each time, so that a run that is cut off has told what it found."""
    MEASURED.setdefault(what, []).append(round(seconds, 2))
    summary = {what: {"values": values, "median": statistics.median(values), "max": max(values)} for what, values in MEASURED.items()}
    (LOGS / "patroni.json").write_text(json.dumps(summary, indent=1) + "\n")


def follower(cluster, leader):
    return next(name for name in cluster.vms if name != leader)


def verify_rows(cluster, writer):
    """Every acknowledged row is there once; more may be, whose answer was lost on the way."""
    acknowledged = writer.acknowledged()
    assert acknowledged
    found = {int(line) for line in cluster.sql(cluster.wait_leader(), f"SELECT id FROM counter WHERE id >= {writer.start}").splitlines()}
    lost = [number for number in acknowledged if number not in found]
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged rows are lost: {lost[:10]}"


def next_number(cluster):
    return int(cluster.sql(cluster.wait_leader(), "SELECT coalesce(max(id), 0) + 1000 FROM counter"))


class Disturbance:
    """Writes through the address that follows the leader and samples all nodes while something happens; then everything must add up."""

    def __init__(self, cluster, what, client=None):
        """`client`: the node that writes; without it one that is not the leader."""
        self.cluster, self.what, self.client = cluster, what, client

    def __enter__(self):
        self.cluster.wait_complete()
        self.leader = self.cluster.wait_leader()
        self.client = self.client or follower(self.cluster, self.leader)
        self.samplers = self.cluster.watch()
        self.writer = Writer(self.cluster.vms[self.client], self.cluster.vip, next_number(self.cluster))
        self.writer.wait()
        return self

    def wait_writes(self, timeout=400):
        """Writes go on; how long they did not is the measured time."""
        self.writer.wait(10, timeout=timeout)
        measured(self.what, self.writer.longest_gap())

    def __exit__(self, kind, *_):
        now = time.monotonic()
        blind = [name for name, sampler in self.samplers.items() if sampler.process.poll() is not None or now - sampler.samples[-1].answered > 60]
        self.writer.stop()
        for sampler in self.samplers.values():
            sampler.stop()
        if kind is None:
            assert not blind, f"nobody watched {blind} to the end"
            assert overlap(self.samplers) <= 0, f"two nodes could be written to for {overlap(self.samplers):.1f} s at least"
            verify_rows(self.cluster, self.writer)


def sampled(*roles):
    """A node that was asked every second and answered half a second later."""
    return types.SimpleNamespace(samples=[Sample(second, second + 0.5, role) for second, role in enumerate(roles)])


def test_the_judge_of_two_primaries():
    one = sampled("primary", "primary", "primary", "down", "replica", "replica")
    assert overlap({"n1": one, "n2": sampled(*["replica"] * 3, *["primary"] * 3)}) <= 0
    assert overlap({"n1": one, "n2": sampled("down", "replica", "primary", "primary", "primary", "primary")}) <= 0  # they may have met, but need not
    assert overlap({"n1": one, "n2": sampled("replica", *["primary"] * 5)}) == 0.5
    assert overlap({"n1": sampled(*["replica"] * 6), "n2": one, "n3": one}) == 1.5


def wait_monitor(vm, timeout=300):
    """Until a look of webops-monitor.service finds everything well; on a busy emulated machine a check's time can be up before it has an answer."""
    deadline = time.monotonic() + timeout
    while not (told := vm.status()["health"])["healthy"]:
        failed = {check["name"]: check["why"] for check in told["checks"] if check["state"] == "failed"}
        assert time.monotonic() < deadline, f"{vm.name} is not healthy within {timeout} s: {failed}"
        time.sleep(5)


def test_forms_from_cold_with_a_late_node(cluster):
    begin = time.monotonic()
    for name in ("n3", "n1"):
        cluster.start(name)
    time.sleep(60)
    cluster.start("n2")
    cluster.wait_healthy()
    members = cluster.wait_complete()
    measured("formed", time.monotonic() - begin)
    assert sorted(members) == list(NAMES)
    leader = cluster.wait_leader()
    cluster.sql(leader, "CREATE TABLE counter (id bigint PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())")
    cluster.wait_holder(leader)
    for vm in cluster.vms.values():
        wait_monitor(vm)
        assert vm.ignored(FAMILY.not_known) == []


def test_apply_again_changes_nothing(cluster):
    leader = cluster.wait_leader()
    vm = cluster.vms[leader]
    units = "webops-etcd.service webops-patroni.service"
    before = vm.root_out(f"systemctl show -p InvocationID --value {units}")
    for command in ("webops apply", "webops apply patroni", "webops install"):
        used = cluster.usage(leader, command)
        measured(f"processor time of {command}, nothing changed", used["seconds"])
        measured(f"MiB of memory of {command}", used["kib"] / 1024)
    assert vm.root_out(f"systemctl show -p InvocationID --value {units}") == before


@TURNS
def test_leader_is_switched_off(cluster, turn):
    with Disturbance(cluster, "leader switched off") as now:
        now.samplers.pop(now.leader).stop()
        cluster.kill(now.leader)
        now.wait_writes()
        assert cluster.wait_leader(unlike=now.leader) != now.leader
    cluster.start(now.leader)
    cluster.wait_healthy(now.leader)
    cluster.wait_complete()


@TURNS
def test_patroni_is_killed(cluster, turn):
    with Disturbance(cluster, "Patroni killed -9") as now:
        cluster.vms[now.leader].root("systemctl kill -s KILL --kill-whom=main webops-patroni.service")
        time.sleep(TTL + 10)  # a leader that nobody minds would have lost its office by then
        now.wait_writes()
    cluster.wait_complete()


@TURNS
def test_leader_is_partitioned_away(cluster, turn):
    with Disturbance(cluster, "leader partitioned away") as now:
        cluster.vms[now.leader].plug(False)
        now.wait_writes()
        time.sleep(10)
        assert cluster.wait_leader(unlike=now.leader, through=now.client) != now.leader
        assert now.samplers[now.leader].samples[-1].role != "primary"
        told = cluster.vms[now.leader].root("webops health", check=False, timeout=120)
        assert told.returncode == 1 and all(f"no answer from {name}, " in told.stdout + told.stderr for name in NAMES if name != now.leader), told
        cluster.vms[now.leader].plug(True)
        cluster.wait_complete()


def test_all_are_switched_off_at_once(cluster):
    leader = cluster.wait_leader()
    writer = Writer(cluster.vms[follower(cluster, leader)], cluster.vip, next_number(cluster))
    writer.wait(20)
    for name in NAMES:
        cluster.kill(name)
    writer.stop()
    begin = time.monotonic()
    for name in NAMES:
        cluster.start(name)
    cluster.wait_healthy()
    cluster.wait_complete()
    measured("back after all were switched off", time.monotonic() - begin)
    verify_rows(cluster, writer)


def wait_stack(vm, name, state, timeout=600):
    """What `webops list` says of a stack once it is in that state; the machine may still be starting."""
    deadline = time.monotonic() + timeout
    while True:
        result = vm.root("webops list --json", check=False)
        told = next(stack for stack in json.loads(result.stdout) if stack["name"] == name) if result.returncode == 0 else None
        if told and told["state"] == state:
            return told
        assert time.monotonic() < deadline, f"not {state} within {timeout} s: {told}"
        time.sleep(5)


def test_lost_state_rejoins_with_the_right_password(cluster):
    """docs/stacks/patroni.md, "A node is lost": the member is replaced in etcd, the new machine copies the database. Not with a wrong password."""
    leader = cluster.wait_leader()
    lost = follower(cluster, leader)
    cluster.kill(lost)
    cluster.vms[leader].root(f"runuser -u etcd -- /usr/lib/webops/etcd/replace {lost}", timeout=120)
    secret = "postgres-replication.secret"
    right = (cluster.access[lost].secrets / secret).read_text()
    cluster.access[lost].add_secret(secret, "another password\n")
    vm = cluster.start(lost, fresh=True, extra="ETCD_INITIAL_STATE=existing\n")
    told = wait_stack(vm, "patroni", "failed", timeout=900)
    assert "password authentication failed" in told["why"], told
    assert cluster.wait_leader() == leader
    vm.root(f"cat >/webops/secrets/{secret} && webops apply patroni", input=right, timeout=900)
    cluster.access[lost].add_secret(secret, right)
    cluster.wait_complete()
    rows = "SELECT count(*) FROM counter"
    assert cluster.sql(lost, rows) == cluster.sql(leader, rows)
    assert json.loads(vm.root_out("webops health --json"))["healthy"] is True


def test_clean_reboot_of_the_leader_switches_over(cluster):
    with Disturbance(cluster, "leader restarted") as now:
        vm = cluster.vms[now.leader]
        since = vm.mark()
        now.samplers.pop(now.leader).stop()
        vm.root("systemctl --no-block reboot", check=False)
        vm.disconnect()
        cluster.wait_leader(unlike=now.leader, through=now.client)  # writes went on until then
        now.wait_writes()
        vm.wait_healthy(since, timeout=1800)
    cluster.wait_complete()


def update(cluster, name, kind):
    """Installs it there; the machine restarts by itself, twice when the generation is a bad one, which says that it is unhealthy."""
    vm = cluster.vms[name]
    since = vm.mark()
    vm.root(f"webops update {generations.device(kind)} --reboot", check=False, timeout=900)
    vm.disconnect()
    vm.wait_console("webops: healthy", since, timeout=1800, never=() if kind.startswith("bad") else ("webops: unhealthy",))
    vm.disconnect()
    cluster.wait_complete()
    return vm


def slots(vm):
    """What runs, and the states of slot a and b, once none is on trial."""
    deadline = time.monotonic() + 300
    while True:
        status = vm.status()
        states = [status["slots"][name]["state"] for name in "ab"]
        if "trial" not in states:
            return status["slot"], *states
        assert time.monotonic() < deadline, status["slots"]
        time.sleep(2)


def test_a_generation_whose_stack_fails_rolls_back_and_the_cluster_stays(cluster):
    with Disturbance(cluster, "bad generation on a follower") as now:
        victim = next(name for name in cluster.vms if name not in (now.leader, now.client))
        now.samplers.pop(victim).stop()
        vm = update(cluster, victim, "bad-patroni")
        assert slots(vm) == ("a", "good", "bad")
        told = json.loads(vm.root_out("webops why --json"))
        assert told["stage"] == "health" and told["check"].startswith("patroni/"), told
        assert cluster.wait_leader() == now.leader
        now.wait_writes()


def test_rolling_update(cluster):
    """The followers first, then the leader, which gives its office away before it restarts."""
    leader = cluster.wait_leader()
    followers = [name for name in NAMES if name != leader]
    for name in (*followers, leader):
        client = followers[0] if name == leader else leader
        with Disturbance(cluster, "node updated", client=client) as now:
            now.samplers.pop(name).stop()
            vm = update(cluster, name, "next")
            assert slots(vm)[:1] == ("b",) and slots(vm)[2] == "good"
            assert "next" in vm.root_out("webops history")
            now.wait_writes()
    assert cluster.wait_leader() != leader
