# SPDX-License-Identifier: Apache-2.0
"""`make check-powercut`: records, replays, checks and boots, and prints the tables of docs/RELIABILITY.md. Ends with 1 when a promise was broken.

Usage: python3 -m powercut [--firmware uefi|bios] [--only RECORDING] [--boots N] [--state-checks N] [--out DIR] [--keep]
"""
import argparse
import json
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import generations  # noqa: E402
import images  # noqa: E402
from vm import OUT, ROOT  # noqa: E402

from . import campaign, layouts, replay  # noqa: E402
from .replay import KINDS  # noqa: E402


def say(text):
    print(text, flush=True)


def bake():
    """(first image, {kind: image}, {kind: bundle})."""
    first = images.build(ROOT / "qemu-tests" / "profiles" / "dev.yaml", OUT / "dev")
    built = {"new": generations.build("next", 2, layer="next"), "bad": generations.build("health", 3, layer="bad-health")}
    return first, built, {kind: generations.bundle(image) for kind, image in built.items()}


def version_of(raw):
    return raw.stem.split("-", 1)[1]


def record(plan, wanted):
    """Makes the recordings whose names are wanted; the update always, because the others begin with it."""
    say(f"{plan.firmware}: installing the first generation")
    plan.prepare()
    steps = [("update", plan.update)]
    if plan.firmware == "uefi":  # GRUB writes its counters in place
        steps += [(layout, lambda layout=layout: plan.layout(layout)) for layout in layouts.LAYOUTS]
    steps += [("tries spent", plan.spent), ("never healthy", plan.unhealthy)]
    for name, step in steps:
        if name == "update" or not wanted or name in wanted:
            start = time.monotonic()
            recording = step()
            say(f"{plan.firmware}: recorded '{name}' in {time.monotonic() - start:.0f} s, marks {recording.marks}")


def row(report, state_checks):
    counts = " | ".join(f"{report.states[kind]}" for kind in KINDS)
    runs = f"{report.runs['old']} / {report.runs['new']} / {report.runs[None]}"
    return (f"| {report.firmware} | {report.name} | {report.entries} | {counts} | {report.total} | {len(report.distinct)} / {len(report.distinct_all)} | "
            f"{runs} | {state_checks} | {len(report.failures)} |")


def failures(report):
    for state, problems in report.failures[:20]:
        say(f"  {report.firmware} '{report.name}' {state}: {'; '.join(problems)}")
    if report.notes or any(report.lost.values()):
        say(f"  {report.firmware} '{report.name}': debris that changes nothing: bytes lost at most {report.lost}; " + ", ".join(f"{note} ({count})" for note, count in report.notes.most_common(6)))


def replay_all(plan, options):
    """[(recording, report, number of e2fsck runs)]."""
    found = []
    for recording in plan.recordings:
        start = time.monotonic()
        kinds = ("bad",) if recording.name == "never healthy" else ("new",)
        report = recording.replayed(plan.generations(*kinds))
        judged = time.monotonic() - start
        checks = campaign.check_state_partitions(recording, report, options.state_checks)
        say(f"{plan.firmware}: '{recording.name}': {report.total} states in {judged:.0f} s, {checks} state partitions in {time.monotonic() - start - judged:.0f} s, "
            f"{len(report.failures)} failures")
        failures(report)
        found.append((recording, report, checks))
    return found


def boot_some(plan, replayed, count, versions):
    """Boots a sample of all recordings' states. Returns (booted, old, new, [failure])."""
    booted, ended, failed = 0, {}, []
    for number, (recording, report, _) in enumerate(replayed):
        share = count // len(replayed) + (number < count % len(replayed))
        for state in campaign.spread(report.chosen, share):
            booted += 1
            try:
                version, starts = campaign.boot(plan, recording, state, versions, booted)
                ended[version] = ended.get(version, 0) + 1
                say(f"{plan.firmware}: state {booted} ({recording.name}: {state}) runs {version} after {starts} starts")
            except (AssertionError, RuntimeError) as error:
                failed.append(f"{recording.name} {state}: {error}")
                say(f"{plan.firmware}: state {booted} ({recording.name}: {state}) FAILED: {error}")
    return booted, ended, failed


def run(firmware, options, baked):
    first, built, bundles = baked
    directory = Path(options.out) / firmware
    shutil.rmtree(directory, ignore_errors=True)
    plan = campaign.Campaign(directory, firmware, first.raw, bundles, {kind: image.raw for kind, image in built.items()})
    try:
        record(plan, options.only)
        replayed = replay_all(plan, options)
        versions = [version_of(path) for path in (first.raw, *plan.images.values())]
        booted = boot_some(plan, replayed, options.boots, versions)
    finally:
        plan.close(keep=options.keep)
    return replayed, booted


def main():
    parser = argparse.ArgumentParser(prog="powercut")
    parser.add_argument("--firmware", choices=("uefi", "bios"), action="append")
    parser.add_argument("--boots", type=int, default=30, help="states that are really booted, per firmware")
    parser.add_argument("--state-checks", type=int, default=40, help="state partitions that e2fsck looks at, per recording")
    parser.add_argument("--only", action="append", help="a recording's name")
    parser.add_argument("--out", default=OUT / "powercut")
    parser.add_argument("--keep", action="store_true", help="keep disks and logs")
    options = parser.parse_args()
    start = time.monotonic()
    baked = bake()
    results = {firmware: run(firmware, options, baked) for firmware in options.firmware or ("uefi", "bios")}
    say("\n| firmware | recording | log entries | " + " | ".join(KINDS) + " | states | distinct without / with state partition | runs old / new / nothing | e2fsck | failures |")
    say("|---|---|---" + "|---" * len(KINDS) + "|---|---|---|---|---|")
    broken = False
    for firmware, (replayed, (booted, ended, failed)) in results.items():
        total = sum(report.total for _, report, _ in replayed)
        bad = sum(len(report.failures) for _, report, _ in replayed)
        for _, report, checks in replayed:
            say(row(report, checks))
        bound = f"; rule of three: fewer than 1 in {total // 3} (95 %)" if total and not bad else ""
        say(f"\n{firmware}: {total} states, {bad} failures{bound}; seeds {', '.join(map(str, replay.SEEDS))}; booted {booted}: "
            f"{json.dumps(ended)}, {len(failed)} failures\n")
        broken |= bad > 0 or bool(failed)
    say(f"{time.monotonic() - start:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
