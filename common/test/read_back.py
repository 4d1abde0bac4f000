#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Reads files that template_render() made back with the programs and libraries that own their formats, and compares what they see with the
# value that was meant. Usage: read_back.py FORMAT DIR, where DIR holds N.file (by FORMATS[FORMAT].template in test_template_quote.c) and
# N.value. Says what differs, and exits 1.
import configparser
import ctypes
import functools
import json
import os
import pathlib
import re
import subprocess
import sys


def run(*argv, **more):
    return subprocess.run(argv, check=True, capture_output=True, timeout=120, **more).stdout


def read_yaml(path, value):
    import yaml  # Debian's own, in pure Python: no libyaml in between

    text = value.decode()
    expected = {"before": 1, "value": text, "list": [text, text], text: "key", "after": [2]}
    assert yaml.load(path.read_bytes(), Loader=yaml.SafeLoader) == expected


def read_json(path, value):
    text = value.decode()
    assert json.loads(path.read_bytes()) == {"before": 1, "value": text, "list": [text, text], "after": 2}


@functools.cache
def systemd_view(folder):
    """What systemd knows of all units of the folder."""
    units = []
    for path in folder.glob("*.file"):
        units.append(str(path.with_suffix(".service")))
        path.with_suffix(".service").write_bytes(path.read_bytes())
    return run("systemd-analyze", "verify", "--man=no", *units, env=os.environ | {"SYSTEMD_LOG_LEVEL": "debug"})


def read_ini(path, value):
    parser = configparser.RawConfigParser(strict=True)  # what a '%' means is systemd's matter, below
    parser.read_string(path.read_text())
    assert parser.sections() == ["Unit", "Service"] and list(parser["Unit"]) == ["description"], parser.sections()
    assert parser["Unit"]["description"].replace("%%", "%") == value.decode().strip()  # it strips all that Unicode calls a blank, systemd does not
    name = re.escape(path.stem.encode() + b".service")
    found = re.search(rb"-> Unit " + name + rb":\n\t+Description: (.*)\n(\t\t.*\n)*?\t\t\tCommand Line: /bin/true\n", systemd_view(path.parent))
    # Without a description systemd shows the name.
    assert found and found[1] == (value or path.stem.encode() + b".service"), found


def read_line(path, value):
    parser = configparser.RawConfigParser(strict=True)
    parser.read_string(path.read_text())
    assert {name: dict(parser[name]) for name in parser.sections()} == {"Unit": {"description": value.decode().strip()}, "Service": {"execstart": "/bin/true"}}


def read_env(path, value):
    out = run("dash", "-c", '. "$0"; [ "$BEFORE/$AFTER" = 1/2 ] && printf %s "$VERSION_ID"', str(path))
    assert out == value, out
    # systemd reads os-release with the function that reads an EnvironmentFile, and systemd-tmpfiles shows a field of it.
    root = path.parent / "root"
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / "etc/os-release").write_bytes(path.read_bytes())
    for name, specifier, expected in [("value", "%w", value), ("after", "%B", b"2")]:
        run("systemd-tmpfiles", f"--root={root}", "--create", "-", input=f"f+ /{name} - - - - x{specifier}\n".encode())
        assert (root / name).read_bytes() == b"x" + expected, name


def read_shell(path, value):
    for shell in "dash", "bash":
        out = run(shell, str(path))
        assert out == b"3[" + value + b"][" + value + b"]", (shell, out)


def read_nft(path, value):
    out = run("unshare", "-r", "-n", "sh", "-c", 'nft -f "$0" && nft -j list ruleset', str(path))
    rules = [entry["rule"] for entry in json.loads(out)["nftables"] if "rule" in entry]
    assert len(rules) == 2 and rules[0]["comment"].encode() == value and rules[1]["expr"] == [{"drop": None}], rules


def read_postgresql(path, value):
    program = 'my %c = PgCommon::read_conf_file($ARGV[0]); print join(",", sort keys %c), "|$c{before}|$c{after}|$c{value}"'
    out = run("perl", "-MPgCommon", "-e", program, str(path))
    assert out == b"after,before,value|1|2|" + value, out


def read_pgpass(path, value):
    """libpq looks the password up when a connection begins, before any server is asked; every field is tried with the value, and none more."""
    libpq = ctypes.CDLL("libpq.so.5")
    libpq.PQconnectStartParams.restype = ctypes.c_void_p
    libpq.PQpass.restype = ctypes.c_char_p
    libpq.PQpass.argtypes = libpq.PQfinish.argtypes = [ctypes.c_void_p]
    path.chmod(0o600)

    def password(**fields):
        given = {"hostaddr": b"127.0.0.1", "port": b"1", "passfile": str(path).encode()} | fields
        names = (ctypes.c_char_p * (len(given) + 1))(*[name.encode() for name in given], None)
        values = (ctypes.c_char_p * (len(given) + 1))(*given.values(), None)
        connection = libpq.PQconnectStartParams(names, values, 0)
        found = libpq.PQpass(connection)
        libpq.PQfinish(connection)
        return found

    assert password(host=b"h", dbname=b"d", user=b"u") == value
    if value:  # an empty setting means the default to libpq
        assert password(host=b"h", dbname=value, user=value) == b"second"
        if b"," not in value:  # that would be several hosts
            assert password(host=value, dbname=b"d", user=b"u") == b"third"
    assert not password(host=b"elsewhere", dbname=b"d", user=b"u")


def read_raw(path, value):
    assert path.read_bytes() == value + b"\n"


def main():
    kind, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    failed = 0
    files = sorted(folder.glob("*.file"))
    for path in files:
        value = path.with_suffix(".value").read_bytes()
        try:
            globals()["read_" + kind](path, value)
        except Exception as problem:  # whatever a parser does with a bad file
            failed += 1
            more = getattr(problem, "stderr", b"") or b""
            print(f"{kind}: {value!r}: {type(problem).__name__}: {problem} {more[-300:]!r}", file=sys.stderr)
    if not files:
        sys.exit(f"{kind}: no files in {folder}")
    sys.exit(1 if failed else 0)


main()
