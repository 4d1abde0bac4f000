# SPDX-License-Identifier: Apache-2.0
"""Distributions other than Debian 12 and 13, each with an image and the next generation of it. Scenarios beside each other want the same repository: one
makes it, the rest wait for it and take it as it is."""
import fcntl
import os

import aptrepo
import generations
import rpmrepo
from vm import OUT


def once(kind, top, version):
    """A repository that is made once per run of the scenarios."""
    OUT.mkdir(parents=True, exist_ok=True)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    with open(top.with_suffix(".lock"), "a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if run and lock.read() == run:
            return kind(top)
        made = kind(top).make(version)
        lock.truncate(0)
        lock.write(run)
        return made


class Debian11:
    """Real packages; the next release is Debian 12."""

    not_known = ("address family, ignoring: none", "'Kind'", "'UseHostname'")  # to systemd 247
    image, version, next_version, packages = "debian-11", "11", "12", "dpkg-query -W -f '${Version}\n' openssh-server"

    @staticmethod
    def build():
        return generations.build("first", 1, image="debian-11")

    @staticmethod
    def build_next():
        return generations.build("next", 2, layer="next")


class Fixture:
    """Of a repository made here; the next release is one with other versions."""

    @classmethod
    def build(cls):
        return once(cls.repository, OUT / f"{cls.name}-1", "1").build("first", 1)

    @classmethod
    def build_next(cls):
        return once(cls.repository, OUT / f"{cls.name}-2", "2").build("next", 2, layer="next")


class Ubuntu(Fixture):
    name, repository = "ubuntu", aptrepo.Archive
    image, version, next_version, packages = "ubuntu-24.04", "24.04", "24.04", "dpkg-query -W -f '${Version}\n' base-files"


class Rocky(Fixture):
    name, repository, has_rpm = "rocky", rpmrepo.Repository, True
    # Debian's rpm, which the fixture has, looks into the home directory by itself.
    image, version, next_version, packages = "rocky-9", "9", "9", "rpm --dbpath /var/lib/rpm -q --queryformat '%{VERSION}\n' kernel-core"


FAMILIES = [Debian11, Ubuntu, Rocky]
