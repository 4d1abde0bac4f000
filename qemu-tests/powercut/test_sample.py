# SPDX-License-Identifier: Apache-2.0
"""The sample of `make check`: one update with its trial and commit under UEFI, recorded and replayed. Everything else: `make check-powercut`."""
import generations
from vm import OUT

from .campaign import Campaign, check_state_partitions
from .replay import KINDS


def test_an_update_has_a_generation_in_every_state(image):
    new = generations.build("next", 2, layer="next")
    plan = Campaign(OUT / "powercut" / "sample", "uefi", image.raw, {"new": generations.bundle(new)}, {"new": new.raw})
    try:
        recording = plan.update()
        report = recording.replayed(plan.generations(), seeds=(1,))
        assert not report.failures, report.failures[:3]
        assert report.total > 1000 and all(report.states[kind] for kind in KINDS), report.states
        assert set(report.runs) == {"old", "new"}
        assert check_state_partitions(recording, report, 5) == 5 and not report.failures, report.failures[:3]
    finally:
        plan.close()
