# SPDX-License-Identifier: Apache-2.0
"""Scripts of the overlays, run here beside programs that only pretend: no machine is needed for what they do when something fails."""
import os
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
    (place.dir / "server.pem").write_text("nonsense\n")
    told = place.run(script("base", "certificates"), place.dir, "server.pem", SHIFT="0")
    assert told.returncode == 1 and f"{place.dir}/server.pem is no certificate" in told.stderr, told
    assert place.run(script("base", "certificates"), place.dir).returncode == 2


@pytest.mark.parametrize("status, says", [(0, ""), (22, "PostgreSQL does not run yet"), (60, "Patroni does not answer: (60) SSL certificate problem")])
def test_patroni_readiness_names_who_is_silent(place, status, says):
    (place.dir / "patroni").mkdir()
    (place.dir / "patroni" / "patroni.env").write_text("ADDRESS=192.0.2.1\nREST_PORT=8008\n")
    place.program("curl", f'[ {status} -eq 0 ] || echo "curl: ({status}) SSL certificate problem" >&2\nexit {status}\n')
    told = place.run(script("patroni", "patroni/check"), "readiness")
    assert told.returncode == (1 if status else 0) and told.stderr.startswith(says), told
