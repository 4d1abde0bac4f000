# SPDX-License-Identifier: Apache-2.0
"""Three machines of one image that are an etcd and PostgreSQL cluster, a client that writes, and a watcher of who may be written to.

Used by test_patroni.py and by scripts/demo-patroni.
"""
import collections
import contextlib
import itertools
import json
import shlex
import shutil
import subprocess
import threading
import time
from pathlib import Path

from images import good, webops_image
from vm import BOOT_SECONDS, EMULATED, LOGIN, OUT, VM, Access, Link, accelerator

NAMES = ("n1", "n2", "n3")
INTERFACE = "enp0s6"  # the card on the Link, behind that to the outside
OWN = LOGIN + """\
NTP_SERVERS=
HEALTH_TIMEOUT=600
ETCD_HEARTBEAT_MS=500
ETCD_ELECTION_MS=5000
PATRONI_VIP_CHECK_SECONDS=10
PATRONI_RETRY_TIMEOUT=30
PATRONI_TTL=120
UPDATE_TRIES=1
POSTGRES_SHARED_BUFFERS_MB=64
"""

# Runs a command; what it and the processes that it waits for took: processor time of all, memory of the largest.
USAGE = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "kib": used.ru_maxrss}))
"""

# Both run on a node, as root, from standard input. A connection that is there is given up after 3 s without an answer, so that an outage shows as one.
WRITER = """
import psycopg2, sys, time
password = open("/run/webops/patroni/superuser.password").read().strip()
def connect():
    return psycopg2.connect(host={host!r}, dbname="postgres", user="postgres", password=password, sslmode="verify-full",
                            sslrootcert="/run/webops/patroni/ca.pem", connect_timeout=10, tcp_user_timeout=3000,
                            keepalives_idle=1, keepalives_interval=1, keepalives_count=3, options="-c statement_timeout=10000")
connection, number = None, {start}
while True:
    try:
        if connection is None:
            connection = connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO counter VALUES (%s)", (number,))
        print("ack", number, flush=True)
        number += 1
        time.sleep(0.1)
    except psycopg2.Error as error:
        print("lost", number, str(error).strip().split(chr(10))[0], flush=True)
        number += 1  # it may have been written all the same: never the same number twice
        try:
            connection and connection.close()
        except psycopg2.Error:
            pass
        connection = None
        time.sleep(0.2)
"""
# Answers each line it gets with one word.
SAMPLER = """
import psycopg2, os, pwd, sys
user = pwd.getpwnam("postgres")
os.setgid(user.pw_gid); os.setuid(user.pw_uid)
connection = None
for _ in sys.stdin:
    try:
        connection = connection or psycopg2.connect(host="/var/run/postgresql", dbname="postgres", user="postgres", connect_timeout=2)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT NOT pg_is_in_recovery()")
            print("primary" if cursor.fetchone()[0] else "replica", flush=True)
    except psycopg2.Error:
        connection = None
        print("down", flush=True)
"""

Event = collections.namedtuple("Event", "time words")
Sample = collections.namedtuple("Sample", "asked answered role")


class Stream:
    """A program on a node that prints lines until it is stopped; each gets this host's time."""

    def __init__(self, vm, program):
        self.events = []
        # A connection of its own: the shared one would end with it. The password is for sudo, which is told to want it; the rest is for the program.
        command = [*vm._ssh("-o", "ControlPath=none"),
                   "sudo -k -S -p '' python3 -u -c " + shlex.quote(program)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.process.stdin.write(vm.password + "\n")
        self.process.stdin.flush()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.events.append(Event(time.monotonic(), line.split()))

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.thread.join(30)
        with contextlib.suppress(BrokenPipeError):  # a question that was not read any more
            self.process.stdin.close()
        self.process.stdout.close()


class Sampler(Stream):
    """Asks a node over and over whether it may be written to: "primary", "replica" or "down" at one moment between question and answer."""

    def __init__(self, vm):
        self.samples = []
        super().__init__(vm, SAMPLER)

    def _read(self):
        try:
            while True:
                asked = time.monotonic()
                self.process.stdin.write("\n")
                self.process.stdin.flush()
                role = self.process.stdout.readline().strip()
                if not role:
                    return
                self.samples.append(Sample(asked, time.monotonic(), role))
                time.sleep(0.3)
        except (OSError, ValueError):  # it was stopped, or its machine is gone
            return

    def wait(self, timeout=120):
        """Until there is a first answer."""
        deadline = time.monotonic() + timeout
        while not self.samples:
            assert self.process.poll() is None and time.monotonic() < deadline, f"a sampler did not begin within {timeout} s"
            time.sleep(0.2)


class Writer(Stream):
    def __init__(self, vm, host, start):
        self.start = start
        super().__init__(vm, WRITER.format(host=host, start=start))

    def acknowledged(self):
        return [int(event.words[1]) for event in self.events if event.words[0] == "ack"]

    def next(self):
        return max([int(event.words[1]) for event in self.events if len(event.words) > 1], default=self.start) + 1

    def wait(self, count=5, timeout=120):
        """Until so many further rows are acknowledged."""
        wanted, deadline = len(self.acknowledged()) + count, time.monotonic() + timeout
        while len(self.acknowledged()) < wanted:
            assert time.monotonic() < deadline, f"{count} writes took more than {timeout} s: {[e.words for e in self.events[-3:]]}"
            time.sleep(0.2)

    def longest_gap(self):
        times = [event.time for event in self.events if event.words[0] == "ack"]
        return max((later - earlier for earlier, later in zip(times, times[1:])), default=0.0)


def directory(name, needed=12 << 30):
    """For disks of machines that are a cluster. Each would have a disk of its own, and how soon that has written decides whether etcd elects anew;
    on one disk they all wait while one of them is updated. So they lie in memory when there is room for `needed` bytes, else with everything else."""
    memory = Path("/dev/shm")
    available = next(int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    if memory.is_dir() and min(available, shutil.disk_usage(memory).free) >= needed:
        return memory / f"webops-{name}"
    return OUT / name


class Cluster:
    def __init__(self, image, name, names=NAMES, link=None, vip="10.97.0.100", memory=1024, prefix="patroni", extra=()):
        """`extra`: QEMU arguments of every machine."""
        self.image, self.dir, self.names, self.vip, self.memory, self.prefix, self.extra = image, directory(name), names, vip, memory, prefix, list(extra)
        self.link = link or Link()
        self.access, self.vms = {}, {}
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        nodes = [word for number, name in enumerate(names, 1) for word in ("--node", f"{name}={Link.address(number)}")]
        good(webops_image("secrets", "new-cluster", self.dir / "secrets", "--name", "db", *nodes, "--vip", f"{vip}/24", "--interface", INTERFACE))

    def _access(self, name):
        if name not in self.access:
            self.access[name] = access = Access()
            for secret in (self.dir / "secrets" / "nodes" / name / "secrets").iterdir():
                access.add_secret(secret.name, secret.read_text())
        return self.access[name]

    def config(self, name):
        number = self.names.index(name) + 1
        return (self.dir / "secrets" / "nodes" / name / "config.env").read_text() + OWN + self.link.config(number)

    def start(self, name, fresh=False, extra=""):
        """Switches a node on; its disk is kept from one start to the next. `extra` counts for a fresh one, which reads its configuration."""
        disk = self.dir / f"{name}.qcow2"
        if fresh:
            for old in self.dir.glob(f"{name}.qcow2*"):
                old.unlink()
        vm = VM(f"{self.prefix}-{name}", self.image, config=self.config(name) + extra, keep=disk, disk_size="+2G",
                extra=self.link.arguments(self.names.index(name) + 1) + self.extra, net="restrict=on",  # what is for a link that is cut goes nowhere else
                access=self._access(name), keep_access=True, memory=self.memory, cpus=1,
                # etcd, Patroni, PostgreSQL and looks at them are more code than 256 MiB of translations hold: QEMU dropped them every 20 s (docs/BENCHMARKS.md).
                accel=EMULATED + "1024" if accelerator(self.image).startswith("tcg") else None)
        self.vms[name] = vm
        return vm

    def kill(self, name):
        """As a power cut does it."""
        vm = self.vms.pop(name)
        vm.cut_power()
        vm.stop()

    def wait_healthy(self, *names, timeout=2 * BOOT_SECONDS):
        for name in names or self.vms:
            self.vms[name].wait_healthy(timeout=timeout)

    def members(self, through):
        """What Patroni of one node says of all: name → its role, state and so on; empty while it does not answer."""
        try:
            result = self.vms[through].root("/usr/lib/webops/patroni/api cluster", check=False, timeout=60)
        except subprocess.TimeoutExpired:
            return {}
        return {} if result.returncode else {member["name"]: member for member in json.loads(result.stdout)["members"]}

    def leader(self, through=None):
        for name in [through] if through else list(self.vms):
            for member, row in self.members(name).items():
                if row["role"] == "leader" and row["state"] == "running":
                    return member
        return None

    def wait_leader(self, *, unlike=None, through=None, timeout=400):
        deadline = time.monotonic() + timeout
        while True:
            leader = self.leader(through)
            if leader and leader != unlike:
                return leader
            assert time.monotonic() < deadline, f"no new leader within {timeout} s"
            time.sleep(1)

    def wait_complete(self, timeout=600):
        """One leader, one synchronous standby at least, everybody streams."""
        deadline = time.monotonic() + timeout
        while True:
            members = self.members(next(iter(self.vms)))
            roles = [row["role"] for row in members.values()]
            if (len(members) == len(self.names) and roles.count("leader") == 1 and any("sync" in role for role in roles)
                    and all(row["state"] in ("running", "streaming") for row in members.values())):
                return members
            assert time.monotonic() < deadline, f"not complete within {timeout} s: {members}"
            time.sleep(2)

    def sql(self, name, statement):
        """On that node, through its socket."""
        return self.vms[name].root_out(f"runuser -u postgres -- psql -qAtX -c {shlex.quote(statement)}")

    def usage(self, name, command):
        """On that node: {"seconds": processor time, "kib": memory}."""
        return json.loads(self.vms[name].root_out(f"python3 -c {shlex.quote(USAGE)} {command}", timeout=300))

    def holders(self):
        """Who has the address that follows the leader."""
        return [name for name, vm in self.vms.items() if f" {self.vip}/" in vm.out(f"ip -4 -o address show dev {INTERFACE}")]

    def wait_holder(self, name, timeout=120):
        """Until that node has it, and no other one."""
        deadline = time.monotonic() + timeout
        while (holders := self.holders()) != [name]:
            assert time.monotonic() < deadline, f"{self.vip} is on {holders} instead of {name} after {timeout} s"
            time.sleep(2)

    def watch(self, *names):
        """Samplers on these nodes, which have begun."""
        samplers = {name: Sampler(self.vms[name]) for name in names or self.vms}
        for sampler in samplers.values():
            sampler.wait()
        return samplers

    def close(self):
        for vm in self.vms.values():
            vm.keep = None  # its disk goes away now, so it need not shut down first
            vm.stop()
        for access in self.access.values():
            access.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def stints(samples):
    """[(first, last)]: from the answer of one "primary" to the question of a later one, with no other answer between. The node was primary all the while."""
    found = []
    for role, group in itertools.groupby(samples, key=lambda sample: sample.role):
        group = list(group)
        if role == "primary":
            found.append((group[0].answered, group[-1].asked))
    return found


def overlap(samplers):
    """For how long at least two nodes could be written to at the same time, in seconds; not above 0 when nothing proves it."""
    runs = [stints(sampler.samples) for sampler in samplers.values()]
    pairs = (pair for one, other in itertools.combinations(runs, 2) for pair in itertools.product(one, other))
    return max((min(a[1], b[1]) - max(a[0], b[0]) for a, b in pairs), default=0.0)
