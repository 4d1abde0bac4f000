// SPDX-License-Identifier: Apache-2.0
// A small plan that uses every word. Shared by the unit tests.
#pragma once

static const char plan_seed[] = "webops-plan 1\n"
                                "module modules/000-virtio.ko\n"
                                "module /modules/001-virtio_pci.ko force_legacy=1 debug=\"a b\"\n"
                                "module modules/002-virtio_blk.ko\n"
                                "module modules/003-dm-verity.ko\n"
                                "load 3\n"
                                "alias pci:v00001AF4d*sv*sd*bc*sc*i* 0 1\n"
                                "alias virtio:d00000002v* 0 2\n"
                                "alias virtio:d0000000[2-8]v* 0 2 3\n"
                                "timeout 30\n";
