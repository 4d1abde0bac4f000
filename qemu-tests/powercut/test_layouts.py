# SPDX-License-Identifier: Apache-2.0
"""Filler names bring the next name to where a layout wants it."""
import pytest

from . import fat, layouts
from .checker import Esp
from .disk import Disk
from .synthetic import Fake, Workshop


@pytest.mark.parametrize("layout", ["sector edge", "across a sector edge", "one sector", "cluster edge", "across a cluster edge"])
def test_layout(tmp_path, layout):
    shop = Workshop(tmp_path, Fake(1), esp_mib=72, sectors_per_cluster=2)
    assert layouts.next_slot(shop.path)[1] == 32
    index = layouts.fill(shop.path, layout)
    assert layouts.next_slot(shop.path)[0] == index
    shop.put("loader/entries/b+3.conf", b"x")
    esp = Esp(Disk(shop.path))
    node = fat.find(esp.root, "/loader/entries/b+3.conf")
    first, last = node.at // 512, (node.at + 32 * node.slots - 1) // 512
    directory = fat.find(esp.root, "/loader/entries")
    clusters = sum(count for _, count in esp.volume.runs(directory.cluster, ""))
    assert (first != last) == layout.startswith("across")
    assert clusters == (2 if "cluster" in layout else 1)
    if not layout.startswith("across"):
        assert (node.at % 512 == 0) == ("edge" in layout)
