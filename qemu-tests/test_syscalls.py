# SPDX-License-Identifier: Apache-2.0
"""Each system call of `webops update`, webops-verify and webops-fetch fails once: the old generation or the new one, never neither; right bytes or
an error. No machine is started."""
import re
import subprocess

import pytest

from vm import ROOT

PROGRAM = ROOT / "build/firstboot/update/test/syscall_faults"


@pytest.mark.parametrize("every", [pytest.param(12, id="sample"), pytest.param(1, id="all", marks=pytest.mark.full)])
def test_syscall_faults(every):
    result = subprocess.run([PROGRAM, str(every)], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=3600)
    assert result.returncode == 0, result.stdout
    for subject, least in {"syscall": 500, "verify": 80, "fetch": 200}.items():
        summary = re.search(rf"^{subject} faults: (\d+) tried, (\d+) \w+, (\d+) \w+, 0 broken$", result.stdout, re.MULTILINE)
        assert summary, result.stdout
        tried, without, with_success = map(int, summary.groups())
        assert tried == without + with_success and tried >= least / every and without and with_success, result.stdout
