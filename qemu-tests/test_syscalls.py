# SPDX-License-Identifier: Apache-2.0
"""Each system call of `webops update` and its children fails once: the old generation or the new one, never neither. No machine is started."""
import re
import subprocess

import pytest

from vm import ROOT

PROGRAM = ROOT / "build/firstboot/update/test/syscall_faults"


@pytest.mark.parametrize("every", [pytest.param(12, id="sample"), pytest.param(1, id="all", marks=pytest.mark.full)])
def test_syscall_faults(every):
    result = subprocess.run([PROGRAM, str(every)], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=3600)
    summary = re.search(r"syscall faults: (\d+) tried, (\d+) old, (\d+) new, 0 broken", result.stdout)
    assert result.returncode == 0 and summary, result.stdout
    tried, old, new = map(int, summary.groups())
    assert tried == old + new and tried >= 500 / every and old and new, result.stdout
