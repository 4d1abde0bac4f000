# SPDX-License-Identifier: Apache-2.0
"""Scripts of the overlays, run here beside programs that only pretend: no machine is needed for what they do when something fails."""
import contextlib
import os
import shutil
import socket
import subprocess

import pytest
from vm import ROOT


def script(overlay, name):
    return ROOT / "overlays" / overlay / "files" / "usr" / "lib" / "webops" / name


class Place:
    """A directory with stand-ins for programs, which come first in PATH."""

    def __init__(self, dir):
        self.dir, self.bin = dir, dir / "bin"
        self.bin.mkdir()

    def program(self, name, text, dir=None):
        path = (dir or self.bin) / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    def run(self, *command, **variables):
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "WEBOPS_RUN": str(self.dir), **variables}
        return subprocess.run(list(map(str, command)), text=True, capture_output=True, timeout=60, check=False, env=environment)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_certificates(place):
    for name in ("ca", "server"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", place.dir / f"{name}.key",
                        "-out", place.dir / f"{name}.pem", "-days", "20" if name == "ca" else "10", "-subj", f"/CN={name}"], check=True, capture_output=True)
    place.program("date", '[ "$1" = +%s ] || exec /bin/date "$@"\necho $(($(/bin/date +%s) + SHIFT * 86400))\n')
    for days, says in ((0, None), (9, None), (11, "certificate server.pem has expired on "), (21, "certificate ca.pem has expired on "),
                       (-1, "certificate ca.pem is valid from ")):
        told = place.run(script("base", "certificates"), place.dir, "ca.pem", "server.pem", SHIFT=str(days))
        assert (told.returncode, told.stdout) == (1 if says else 0, ""), told
        assert says in told.stderr if says else not told.stderr, told
    chain = place.dir / "chain.pem"  # the one that ends first comes last, as an intermediate does
    chain.write_text((place.dir / "ca.pem").read_text() + (place.dir / "server.pem").read_text())
    told = place.run(script("base", "certificates"), place.dir, "chain.pem", SHIFT="11")
    assert told.returncode == 1 and "certificate chain.pem has expired on " in told.stderr, told
    (place.dir / "server.pem").write_text("nonsense\n")
    told = place.run(script("base", "certificates"), place.dir, "server.pem", SHIFT="0")
    assert told.returncode == 1 and f"{place.dir}/server.pem is no certificate" in told.stderr, told
    assert place.run(script("base", "certificates"), place.dir).returncode == 2


def test_stanza_and_archive_check(place):
    place.program("pgbackrest", f'echo "$*" >>{place.dir}/asked\n')
    place.program("psql", 'echo "$LAST_FAILED"\n')
    for archive, asked in (("none", 0), ("directory", 0), ("pgbackrest", 1)):
        (place.dir / "backup.env").write_text(f"ARCHIVE={archive}\n")
        assert place.run(script("postgresql", "postgresql/stanza"), place.dir, "on_role_change", "master", "db").returncode == 0
        assert (place.dir / "asked").exists() == bool(asked)
        told = place.run(script("postgresql", "postgresql/check"), "archive", place.dir, LAST_FAILED="000000010000000000000003")
        assert told.returncode == (archive != "none") and ("WAL 000000010000000000000003 could not" in told.stderr) == (archive != "none"), told
        assert place.run(script("postgresql", "postgresql/check"), "archive", place.dir, LAST_FAILED="").returncode == 0
    assert (place.dir / "asked").read_text() == f"--config={place.dir}/pgbackrest.conf --stanza=main --no-online stanza-create\n"


@pytest.mark.parametrize("status, says", [(0, ""), (22, "PostgreSQL does not run yet"), (60, "Patroni does not answer: (60) SSL certificate problem")])
def test_patroni_readiness_names_who_is_silent(place, status, says):
    (place.dir / "patroni").mkdir()
    (place.dir / "patroni" / "patroni.env").write_text("ADDRESS=192.0.2.1\nREST_PORT=8008\n")
    place.program("curl", f'[ {status} -eq 0 ] || echo "curl: ({status}) SSL certificate problem" >&2\nexit {status}\n')
    told = place.run(script("patroni", "patroni/check"), "readiness")
    assert told.returncode == (1 if status else 0) and told.stderr.startswith(says), told


@pytest.mark.parametrize("listening, healthy, silent", [("", True, ""), ("n2 n3", False, ""), ("n2", False, "n3"), ("", False, "n2 n3")])
def test_etcd_check_names_the_members_out_of_reach(place, listening, healthy, silent):
    scripts, failure = place.dir / "scripts", "connecting\n127.0.0.1:2379 is unhealthy\n"
    scripts.mkdir()
    (place.dir / "etcd").mkdir()
    shutil.copy(script("etcd", "etcd/check"), scripts)
    place.program("ctl", f'echo "$*" >{place.dir}/asked\nprintf "{failure}" >&2\nexit {0 if healthy else 1}\n', scripts)
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(socket.socket()) for name in ("n2", "n3")}
        for name, server in servers.items():
            server.bind((f"127.0.0.{name[1]}", 0))
            if name in listening.split():
                server.listen()
        addresses = {"n1": "127.0.0.1:1"} | {name: "{}:{}".format(*server.getsockname()) for name, server in servers.items()}
        members = ",".join(f"{name}=https://{address}" for name, address in addresses.items())
        (place.dir / "etcd" / "etcd.env").write_text(f"ETCD_NAME=n1\nETCD_INITIAL_CLUSTER={members}\n")
        told = place.run(scripts / "check")
    says = "" if healthy else failure + "".join(f"no answer from {name}, {addresses[name]}\n" for name in silent.split())
    assert (told.returncode, told.stdout, told.stderr) == (0 if healthy else 1, "", says), told
    assert (place.dir / "asked").read_text() == "endpoint health\n"


PSQL = """
case "$*" in
*pg_is_in_recovery*) echo "$REPLICA" ;;
*pg_database*) printf 'postgres\\ntwo words\\n'; [ "$BROKEN" != psql ] ;;
esac
"""
DUMP = """
for word; do case $word in --file=*) echo data >"${word#--file=}" ;; esac; done
[ "$BROKEN" != "${0##*/}" ]
"""
BASE = """
for word; do case $word in --pgdata=*) mkdir "${word#--pgdata=}" && dir=${word#--pgdata=} ;; esac; done
echo "START WAL LOCATION: 0/2000028 (file ${FIRST-000000010000000000000002})" >"$dir/backup_label"
tar -czf "$dir/base.tar.gz" -C "$dir" backup_label
"""


class Backup(Place):
    """The nightly backup beside stand-ins for PostgreSQL's programs. The newest two are kept, and two are there."""

    def __init__(self, dir, archive):
        super().__init__(dir)
        self.store, self.scripts = dir / "backup", dir / "scripts"
        self.store.mkdir()
        shutil.copytree(script("postgresql", "postgresql"), self.scripts)
        self.program("bin-dir", f"echo {self.bin}\n", self.scripts)
        self.program("psql", PSQL)
        for name in ("pg_dump", "pg_dumpall"):
            self.program(name, DUMP)
        self.program("pg_basebackup", BASE)
        self.program("pg_verifybackup", "")
        self.program("pg_archivecleanup", f'echo "$2" >{dir}/cleaned\n')
        (dir / "backup.env").write_text(f"ARCHIVE={archive}\nBACKUP_DIR={self.store}\nBACKUP_KEEP=2\n")
        for day in (1, 2):
            (self.store / f"dump-2026010{day}T023000Z").mkdir()

    def make(self, **variables):
        return self.run(self.scripts / "backup", self.dir, **{"REPLICA": "f", "BROKEN": "", **variables})

    def names(self, kind):
        return sorted(path.name for path in self.store.glob(f"{kind}-*Z"))


def test_backup_is_whole(tmp_path):
    backup = Backup(tmp_path, "directory")
    told = backup.make()
    assert told.returncode == 0, told
    old, new = backup.names("dump")
    assert old == "dump-20260102T023000Z"
    names = [line.split("\t") for line in (backup.store / new / "databases").read_text().splitlines()]
    assert names == [["706f737467726573.dump", "postgres"], ["74776f20776f726473.dump", "two words"]]
    assert sorted(path.name for path in (backup.store / new).iterdir()) == ["706f737467726573.dump", "74776f20776f726473.dump", "databases", "globals.sql"]
    assert len(backup.names("base")) == 1 and (tmp_path / "cleaned").read_text() == "000000010000000000000002\n"


def test_backup_that_fails_replaces_none(tmp_path):
    backup = Backup(tmp_path, "none")
    for broken in ("psql", "pg_dump", "pg_dumpall"):
        told = backup.make(BROKEN=broken)
        assert told.returncode != 0 and not told.stdout, told
        assert backup.names("dump") == ["dump-20260101T023000Z", "dump-20260102T023000Z"]
    backup.program("psql", "exit 2\n")
    assert backup.make().returncode == 2
    assert len(backup.names("dump")) == 2 and not list(backup.store.glob("dump-*Z/*"))


def test_backup_of_a_replica_is_its_leaders(tmp_path):
    backup = Backup(tmp_path, "none")
    told = backup.make(REPLICA="t")
    assert told.returncode == 0 and "replica" in told.stdout and len(backup.names("dump")) == 2


def test_base_backup_without_a_label_keeps_all_wal(tmp_path):
    backup = Backup(tmp_path, "directory")
    told = backup.make(FIRST="")
    assert told.returncode == 0 and "does not say which WAL it needs" in told.stderr, told
    assert len(backup.names("base")) == 1 and not (tmp_path / "cleaned").exists()
