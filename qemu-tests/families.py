# SPDX-License-Identifier: Apache-2.0
"""Distributions that scenarios run on. Their profiles are written for Debian 12; a family adapts them. Scenarios beside each other want the same repository:
one makes it, the rest wait for it and take it as it is."""
import fcntl
import os
from dataclasses import dataclass

import aptrepo
import generations
import images
import repository
import rpmrepo
from vm import DISTRIBUTION, OUT, ROOT, SHARED

PROFILES = ROOT / "qemu-tests" / "profiles"
DPKG = "dpkg-query -W -f '${Version}\n' "
RPM = "rpm --dbpath /var/lib/rpm -q --queryformat '%{VERSION}\n' "  # Debian's rpm, which the fixture has, looks into the home directory by itself


def once(kind, image, top, version):
    """A repository that is made once per run of the scenarios."""
    SHARED.mkdir(parents=True, exist_ok=True)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    with open(f"{top}.lock", "a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if run and lock.read() == run:
            return kind(top, image)
        made = kind(top, image).make(version)
        lock.truncate(0)
        lock.write(run)
        return made


@dataclass(frozen=True)
class Family:
    """`following` is the release that its machines are updated to: another image, or with a repository made here one with other versions."""

    image: str
    following: str
    package: str  # one that differs between the two
    repository: type = None
    has_rpm: bool = False
    not_known: tuple = ()  # to its systemd
    tells_looks: bool = False  # its systemd writes of every look at a machine's health, whatever LogLevelMax= says

    @property
    def installed(self):
        """Prints that package's version on a machine."""
        return (RPM if self.has_rpm else DPKG) + self.package

    @property
    def version(self):
        return self.image.rpartition("-")[2]

    @property
    def next_version(self):
        return self.following.rpartition("-")[2]

    def adapt(self, profile, following=False):
        """The profile on this distribution, and the environment it is built in."""
        image = self.following if following else self.image
        if not self.repository:
            return generations.write(SHARED / "recipes" / image, profile.stem, repository.on_image(profile.read_text(), image)), images.environment()
        number = "2" if following else "1"
        made = once(self.repository, self.image, SHARED / f"{self.image}-{number}", number)
        return made.derive(profile), made.environment

    def build(self):
        """What most scenarios boot."""
        adapted, env = self.adapt(PROFILES / "dev.yaml")
        return images.bake(adapted, OUT / f"{self.image}-dev", env=env)

    def build_with(self, name, text):
        """A changed profile of what most scenarios boot."""
        adapted, env = self.adapt(generations.write(SHARED / "recipes", f"{self.image}-{name}", text))
        return images.bake(adapted, OUT / f"{self.image}-{name}", name="dev", env=env)

    def build_following(self):
        adapted, env = self.adapt(PROFILES / "following.yaml", following=True)
        return images.bake(adapted, OUT / f"{self.image}-following", name="dev", env=env)


FAMILIES = [
    Family("debian-12", "debian-13", "openssh-server"),
    Family("debian-13", "debian-12", "openssh-server"),
    Family("debian-11", "debian-12", "openssh-server", tells_looks=True,
           not_known=("address family, ignoring: none", "'Kind'", "'UseHostname'", "boolean value, ignoring: 10s")),
    Family("ubuntu-24.04", "ubuntu-24.04", "base-files", aptrepo.Archive),
    Family("rocky-9", "rocky-9", "kernel-core", rpmrepo.Repository, has_rpm=True),
]
# Started in test_definitions.py alone, unless DISTRIBUTION names one.
FURTHER = [
    Family("ubuntu-20.04", "ubuntu-20.04", "base-files", aptrepo.Archive),
    Family("ubuntu-22.04", "ubuntu-22.04", "base-files", aptrepo.Archive),
    Family("almalinux-9", "almalinux-9", "kernel-core", rpmrepo.Repository, has_rpm=True),
    Family("rocky-8", "rocky-8", "kernel-core", rpmrepo.Repository, has_rpm=True),
    Family("almalinux-8", "almalinux-8", "kernel-core", rpmrepo.Repository, has_rpm=True),
]
FAMILY = next((family for family in [*FAMILIES, *FURTHER] if family.image == DISTRIBUTION), None)
if not FAMILY:
    raise SystemExit(f"DISTRIBUTION={DISTRIBUTION}: the scenarios know {', '.join(family.image for family in [*FAMILIES, *FURTHER])}")
