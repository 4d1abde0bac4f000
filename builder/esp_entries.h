// SPDX-License-Identifier: Apache-2.0
// Room for boot entries. Firmware counts tries by renaming an entry, and its FAT driver always appends the new name, so that loader/entries
// grows by two slots with each counted start. To make the directory longer firmware writes several sectors; a power cut between them leaves
// a directory that no firmware reads, and with it a machine without any entry (docs/RELIABILITY.md). So it is made long enough once.
#pragma once
#include "common/err.h"
#include <stdint.h>

#define ESP_ENTRIES_BYTES (128 << 10) // 4096 slots of 32 bytes: 2,000 counted starts

// Appends zeroed clusters to /loader/entries, a directory of one cluster, of the FAT32 at `offset`. -EINVAL when this is no such volume;
// -ENOSPC when it has no neighbouring free clusters.
int esp_entries_reserve(const char *disk_path, uint64_t offset, struct err *err) must_check nonnull(1, 3);
