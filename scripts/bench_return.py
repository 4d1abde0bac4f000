# SPDX-License-Identifier: Apache-2.0
"""The groups of scripts/bench that measure the way back in a machine: return (a generation that panics), rollback (the operator's command)."""
import statistics
import time

import generations
import images
from vm import LOGIN, OUT, ROOT, VM, Access

TRIES = 3
CONFIG = "HOSTNAME=bench\n" + LOGIN + f"""\
UPDATE_TRIES={TRIES}
"""
STAMPS = "/var/lib/bench-rollback"
OLD = "webops: healthy: dev 2026.11.1 slot a"


def first_image():
    return images.build(ROOT / "qemu-tests" / "profiles" / "dev.yaml", OUT / "dev")


def returned(image, bundle, disk, bios):
    """Seconds from switching on, with a generation waiting whose kernel panics at once, to the old one healthy; and how many kernels ran."""
    access = Access()
    try:
        with VM("bench-install", image.raw, bios=bios, config=CONFIG, keep=disk, extra=generations.disk_arguments({"panic": bundle}), access=access, keep_access=True) as vm:
            vm.wait_healthy()
            vm.root(f"webops update {generations.device('panic')}", timeout=600)
            vm.root("sync")
        with VM("bench-return", disk, bios=bios, disk_size=None, access=access, keep_access=True) as vm:
            vm.wait_console(OLD, timeout=900, never=("webops: healthy: dev 2026.12",))
            return vm.seconds(), vm.console().count("Linux version ")
    finally:
        access.close()


def bench_return(bench, runs):
    image, bundle = first_image(), generations.bundle(generations.build("panic", 2, cmdline="rdinit=/missing"))
    directory = generations.chain(bench.WORK / "return")
    for firmware in ("uefi", "bios"):
        results = [returned(image, bundle, directory / f"{firmware}-{number}.qcow2", firmware == "bios") for number in range(runs)]
        assert {kernels for _, kernels in results} == {TRIES + 1}, results
        bench.row(f"a generation that panics, {TRIES} tries, {firmware.upper()}: power-on to the old one healthy",
                  f"{statistics.median(seconds for seconds, _ in results):.0f} s", "≤ 180 s")


def wait_committed(vm, timeout=300):
    deadline = time.monotonic() + timeout
    while vm.status()["slots"]["b"]["state"] != "good":
        assert time.monotonic() < deadline, f"not committed within {timeout} s"
        time.sleep(1)


def bench_rollback(bench, runs):
    """Inside of the machine, by its clock: until the command has asked for the restart and ends. In a unit that the shutdown, unlike a login, lets end."""
    image, bundle = first_image(), generations.bundle(generations.build("next", 2, layer="next"))
    results = []
    with VM("bench-rollback", image.raw, config=CONFIG, extra=generations.disk_arguments({"next": bundle})) as vm:
        vm.wait_healthy()
        for _ in range(runs):
            since = vm.mark()
            vm.root(f"webops update --force {generations.device('next')} --reboot", check=False, timeout=600)
            vm.wait_healthy(since)
            vm.disconnect()
            wait_committed(vm)
            since = vm.mark()
            vm.root(f"systemd-run --quiet --no-block -p DefaultDependencies=no -p StandardOutput=file:{STAMPS} -p StandardError=journal sh -c 'date +%s.%N; webops rollback >&2; date +%s.%N'")
            vm.wait_healthy(since)
            vm.disconnect()
            begin, end = map(float, vm.root_out(f"cat {STAMPS}; rm {STAMPS}").split())
            results.append(end - begin)
    bench.row("webops rollback until the restart is requested", f"{statistics.median(results):.2f} s", "≤ 1 s")


def benches(bench):
    """`bench` is scripts/bench itself: WORK, row()."""
    return {"return": lambda runs: bench_return(bench, runs), "rollback": lambda runs: bench_rollback(bench, runs)}
