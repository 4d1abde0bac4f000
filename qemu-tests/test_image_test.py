# SPDX-License-Identifier: Apache-2.0
"""`webops-image test` as a continuous integration server calls it: exit status, lines, report, logs, and nothing left behind."""
import os
import tempfile
import xml.etree.ElementTree as tree

import generations
import pytest
from images import environment, webops_image
from vm import Access


def run(tmp_path, image, *arguments, timeout=1500):
    """The result, the parsed report, and the files of the log directory; the private files must be gone."""
    logs, report = tmp_path / "logs", tmp_path / "report.xml"
    with tempfile.TemporaryDirectory() as private:  # pytest's own is too long for sockets
        result = webops_image("test", image, "--log", logs, "--junit", report, *arguments, env=environment(TMPDIR=private), timeout=timeout)
        assert not os.listdir(private), "temporary files were left behind"
    cases = {case.get("name"): case for case in tree.parse(report).getroot()}
    return result, cases, sorted(path.name for path in logs.iterdir())


@pytest.mark.parametrize("firmware, rollback", [("bios", []), pytest.param("uefi", ["--rollback"], marks=pytest.mark.full)])
def test_whole_life_of_an_update(image, tmp_path, firmware, rollback):
    bundle = generations.bundle(generations.build("next", 2, layer="next"))
    cpus = "1" if firmware == "bios" else "2"  # see vm.py
    result, cases, logs = run(tmp_path, image.raw, f"--{firmware}", "--cpus", cpus, "--update", bundle, *rollback)
    assert result.returncode == 0, result.stdout + result.stderr
    lines, steps = result.stdout.splitlines(), 4 + len(rollback)
    assert len(lines) == steps + 1 and all(line.startswith("ok ") for line in lines[:-1]) and lines[-1].startswith(f"{steps} of {steps} steps passed"), lines
    assert len(cases) == steps and all(case.find("failure") is None and case.find("skipped") is None for case in cases.values())
    assert logs == ["01-boot.log", "02-install.log", "03-break.log", "04-trial.log", *["05-rollback.log"] * len(rollback),
                    "console-1.log", "console-2.log", "console-3.log"]
    assert "slot-integrity" in (tmp_path / "logs" / "03-break.log").read_text()


def test_a_failed_step_ends_it_with_a_report(image, tmp_path):
    bundle = tmp_path / "any.bundle"
    bundle.write_bytes(b"WEBOPSBU" + bytes(4088))  # before the machine is started, only this is looked at
    result, cases, logs = run(tmp_path, image.raw, "--update", bundle, "--timeout", "1")
    assert result.returncode == 1
    assert result.stdout.startswith("FAILED boot to healthy") and "no verdict within 1 s" in result.stdout and "0 of 4 steps passed" in result.stdout
    assert cases["boot to healthy"].find("failure") is not None and cases["install the update"].find("skipped") is not None
    assert logs == ["01-boot.log", "console-1.log"]


def test_a_temporary_directory_with_a_long_name_is_refused(image, tmp_path):
    private = tmp_path / ("x" * 80)
    private.mkdir()
    result = webops_image("test", image.raw, env=environment(TMPDIR=private))
    assert result.returncode == 1 and "set TMPDIR to a shorter one" in result.stdout + result.stderr, result
    assert not list(private.iterdir())


@pytest.mark.full
def test_with_a_configuration_of_the_users(image, tmp_path):
    access = Access()
    try:
        (access.secrets / "operator.secret").unlink()
        config = access.config("HOSTNAME=ours\nOPERATOR_USER=admin\nSSH_AUTHORIZED_KEYS_FILE=/webops/secrets/ssh.secret\n")
        result, cases, _ = run(tmp_path, image.raw, "--config", config, "--secrets", access.secrets, "--ssh-key", access.key)
        assert result.returncode == 0, result.stdout + result.stderr
        assert '"hostname": "ours"' in cases["boot to healthy"].findtext("system-out")
    finally:
        access.close()
