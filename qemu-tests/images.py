# SPDX-License-Identifier: Apache-2.0
"""Images for the scenarios: baked once per session into out/tests, with a cache of their own that the next run finds again."""
import fcntl
import json
import os
import subprocess
from pathlib import Path

from vm import PROGRAM, ROOT, SHARED

CACHE = SHARED / "cache"
KEYS = SHARED / "development-keys"
family = None  # of families.py: whose images scenarios get; set by conftest.py


def environment(**changes):
    """Ours, without what would lead the builder elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WEBOPS_") and key != "SOURCE_DATE_EPOCH"}
    return {**kept, "WEBOPS_CACHE": str(CACHE), "WEBOPS_KEYS": str(KEYS), **{key: str(value) for key, value in changes.items()}}


def webops_image(*arguments, env=None, cwd=ROOT, timeout=600, **options):
    """Runs webops-image; returns a CompletedProcess with text, whatever the exit status."""
    return subprocess.run([PROGRAM, *map(str, arguments)], env=env or environment(), cwd=cwd, timeout=timeout, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def good(result):
    assert result.returncode == 0, f"{result.args} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
    return result


class Image:
    """What one build left in its directory."""

    def __init__(self, profile, out, name=None):
        self.profile, self.dir, self.name = Path(profile), Path(out), name or Path(profile).stem
        names = list(self.dir.glob(f"{self.name}-*.raw"))
        assert len(names) == 1, f"one raw image of {self.name} expected in {out}, found {names}"
        self.raw = names[0]

    def file(self, suffix):
        found = list(self.dir.glob(f"{self.name}-*{suffix}"))
        assert len(found) == 1, f"one *{suffix} expected in {self.dir}, found {found}"
        return found[0]

    def inspect(self):
        return json.loads(good(webops_image("inspect", "--json", self.raw)).stdout)


def adapt(profile):
    """A profile for Debian 12 on the distribution that the scenarios run on, and the environment to build it in."""
    return family.adapt(profile) if family else (profile, environment())


def build(profile, out, *arguments, name=None):
    adapted, env = adapt(profile)
    return bake(adapted, out, *arguments, name=name, env=env)


def bake(profile, out, *arguments, name=None, **options):
    """`name` is the profile's own name where its file is called otherwise. Scenarios beside each other want the same image: one builds, the rest
    wait for it and take it as it is."""
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    with open(f"{out}.lock", "a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not run or lock.read() != run:
            good(webops_image("build", profile, "-o", out, *arguments, timeout=900, **options))
            lock.truncate(0)
            lock.write(run)
        return Image(profile, out, name)
