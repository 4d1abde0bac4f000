// SPDX-License-Identifier: Apache-2.0
// Lengthens one directory of a fresh FAT32, which neither mtools nor mkfs.vfat can. Layout: Microsoft, "FAT: General Overview of On-Disk
// Format", 1.03.
#include "builder/esp_entries.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/le.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SECTOR_BYTES 512
#define SLOT_BYTES 32
#define NAME_BYTES 11
#define FAT_MAX_BYTES (16 << 20)
#define CHAIN_END 0x0fffffffU
#define CLUSTER_MASK 0x0fffffffU

struct volume {
    int fd;
    const char *name;
    uint64_t offset, fat_offset, data_offset, info_offset; // bytes on the disk
    uint32_t fat_bytes, fat_count, cluster_bytes, clusters, root;
    uint8_t *fat;
};

static void volume_done(struct volume *volume) {
    if (volume->fd >= 0)
        close(volume->fd);
    free(volume->fat);
}

static int volume_open(const char *disk_path, uint64_t offset, struct volume *volume, struct err *err) {
    uint8_t boot[SECTOR_BYTES];
    *volume = (struct volume){.fd = file_open(AT_FDCWD, disk_path, O_RDWR, 0, err), .name = disk_path, .offset = offset};
    if (volume->fd < 0)
        return volume->fd;
    int r = pread_all(volume->fd, disk_path, boot, sizeof(boot), offset, err);
    if (r < 0)
        return r;
    uint64_t fat_bytes = le_get(boot + 36, 4) * SECTOR_BYTES, sectors = le_get(boot + 32, 4);
    volume->cluster_bytes = boot[13] * SECTOR_BYTES;
    volume->fat_count = boot[16];
    volume->fat_offset = offset + le_get(boot + 14, 2) * SECTOR_BYTES;
    volume->data_offset = volume->fat_offset + volume->fat_count * fat_bytes;
    volume->info_offset = offset + le_get(boot + 48, 2) * SECTOR_BYTES;
    volume->root = (uint32_t)le_get(boot + 44, 4);
    if (le_get(boot + 11, 2) != SECTOR_BYTES || le_get(boot + 22, 2) != 0 || !volume->cluster_bytes || !volume->fat_count || !fat_bytes ||
        fat_bytes > FAT_MAX_BYTES || offset + sectors * SECTOR_BYTES <= volume->data_offset)
        return err_set(err, -EINVAL, "%s: no FAT32", disk_path);
    uint64_t clusters = (offset + sectors * SECTOR_BYTES - volume->data_offset) / volume->cluster_bytes + 2;
    volume->clusters = (uint32_t)(clusters < fat_bytes / 4 ? clusters : fat_bytes / 4);
    volume->fat_bytes = (uint32_t)fat_bytes;
    volume->fat = mem_array(volume->fat_bytes, 1);
    return pread_all(volume->fd, disk_path, volume->fat, volume->fat_bytes, volume->fat_offset, err);
}

static uint32_t next_of(const struct volume *volume, uint32_t cluster) {
    return (uint32_t)le_get(volume->fat + 4 * (size_t)cluster, 4) & CLUSTER_MASK;
}

static uint64_t cluster_offset(const struct volume *volume, uint32_t cluster) {
    return volume->data_offset + (uint64_t)(cluster - 2) * volume->cluster_bytes;
}

// The first cluster of a directory in another one, looked for in that one's first cluster; mtools writes such short names in capitals.
static int find_directory(const struct volume *volume, uint32_t parent, const char name[NAME_BYTES + 1], uint32_t *ret_cluster,
                          struct err *err) {
    if (parent < 2 || parent >= volume->clusters)
        return err_set(err, -EINVAL, "%s: cluster %u is none of its clusters", volume->name, parent);
    cleanup_free uint8_t *data = mem_array(volume->cluster_bytes, 1);
    int r = pread_all(volume->fd, volume->name, data, volume->cluster_bytes, cluster_offset(volume, parent), err);
    if (r < 0)
        return r;
    for (const uint8_t *slot = data; slot < data + volume->cluster_bytes; slot += SLOT_BYTES)
        if (memcmp(slot, name, NAME_BYTES) == 0) {
            *ret_cluster = (uint32_t)(le_get(slot + 20, 2) << 16 | le_get(slot + 26, 2));
            return 0;
        }
    return err_set(err, -EINVAL, "%s: ESP: there is no directory %.11s", volume->name, name);
}

// The first of `count` neighbouring free clusters, or 0.
static uint32_t find_free(const struct volume *volume, uint32_t count) {
    uint32_t run = 0;
    for (uint32_t cluster = 2; cluster < volume->clusters; cluster++) {
        run = next_of(volume, cluster) == 0 ? run + 1 : 0;
        if (run == count)
            return cluster + 1 - count;
    }
    return 0;
}

// Clusters as zeros, then the tables; the volume is not in use, so the order does not matter.
static int append(struct volume *volume, uint32_t directory, uint32_t first, uint32_t count, struct err *err) {
    cleanup_free uint8_t *zeros = mem_array(count, volume->cluster_bytes);
    int r = pwrite_all(volume->fd, volume->name, zeros, (size_t)count * volume->cluster_bytes, cluster_offset(volume, first), err);
    le_put(volume->fat + 4 * (size_t)directory, 4, first);
    for (uint32_t i = 0; i < count; i++)
        le_put(volume->fat + 4 * (size_t)(first + i), 4, i + 1 < count ? first + i + 1 : CHAIN_END);
    for (uint32_t i = 0; r == 0 && i < volume->fat_count; i++)
        r = pwrite_all(volume->fd, volume->name, volume->fat, volume->fat_bytes, volume->fat_offset + (uint64_t)i * volume->fat_bytes, err);
    return r;
}

// FSInfo counts the free clusters and remembers the last one that was taken.
static int update_info(const struct volume *volume, uint32_t last, uint32_t count, struct err *err) {
    uint8_t info[SECTOR_BYTES];
    int r = pread_all(volume->fd, volume->name, info, sizeof(info), volume->info_offset, err);
    if (r < 0 || memcmp(info, "RRaA", 4) != 0)
        return r;
    le_put(info + 488, 4, (uint32_t)le_get(info + 488, 4) - count);
    le_put(info + 492, 4, last);
    return pwrite_all(volume->fd, volume->name, info, sizeof(info), volume->info_offset, err);
}

int esp_entries_reserve(const char *disk_path, uint64_t offset, struct err *err) {
    cleanup(volume_done) struct volume volume = {.fd = -1};
    uint32_t loader = 0, entries = 0;
    int r = volume_open(disk_path, offset, &volume, err);
    if (r == 0)
        r = find_directory(&volume, volume.root, "LOADER     ", &loader, err);
    if (r == 0)
        r = find_directory(&volume, loader, "ENTRIES    ", &entries, err);
    if (r < 0)
        return r;
    if (entries < 2 || entries >= volume.clusters || next_of(&volume, entries) < 0x0ffffff8)
        return err_set(err, -EINVAL, "%s: ESP: loader/entries has more than one cluster", disk_path);
    uint32_t count = ESP_ENTRIES_BYTES / volume.cluster_bytes - 1;
    uint32_t first = find_free(&volume, count);
    if (!first)
        return err_set(err, -ENOSPC, "%s: ESP: no %d free bytes for loader/entries", disk_path, ESP_ENTRIES_BYTES);
    r = append(&volume, entries, first, count, err);
    return r < 0 ? r : update_info(&volume, first + count - 1, count, err);
}
