# SPDX-License-Identifier: Apache-2.0
"""The group of scripts/bench that measures the engine of stacks on a machine with etcd and Patroni: apply.

QEMU counts the instructions of the machine, and its clock says a nanosecond for each while it works (-icount), so that the processor time which the
machine's kernel accounts is a number of instructions, whatever emulates it.
"""
import statistics

import images
from cluster import Cluster
from vm import OUT, ROOT


def bench_apply(bench, runs):
    """Processes that the command waits for are in it; what the service manager does for them is not."""
    image = images.build(ROOT / "qemu-tests" / "profiles" / "cluster.yaml", OUT / "cluster")
    with Cluster(image.raw, "bench-apply", names=("n1",), prefix="bench-apply", extra=("-icount", "shift=0")) as cluster:
        cluster.start("n1")
        cluster.wait_healthy(timeout=1800)
        for command, bar in (("webops apply", "reported"), ("webops apply patroni", "≤ 100 ms"), ("webops install", "reported")):
            cluster.usage("n1", command)  # what nothing has asked for since the start is read from disk once
            instructions = statistics.median(cluster.usage("n1", command)["seconds"] for _ in range(runs)) * 1000
            bench.row(f"`{command}` on a Patroni node, nothing changed: instructions, all its processes", f"{instructions:.0f} million", bar)


def benches(bench):
    return {"apply": lambda runs: bench_apply(bench, runs)}
