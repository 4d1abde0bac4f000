// SPDX-License-Identifier: Apache-2.0
// Which disk is meant, what speaks against it, and how disks are shown. Pure; sysfs.c finds them.
#include "builder/flash/disks.h"
#include "common/buf.h"
#include "common/meter.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

#define SECTOR_BYTES 512 // of our partition table

static void disk_done(struct disk *disk) {
    free(disk->path);
    free(disk->model);
    free(disk->serial);
    free(disk->transport);
    free(disk->use);
}

void disks_done(struct disks *disks) {
    for (size_t i = 0; i < disks->count; i++)
        disk_done(&disks->items[i]);
    free(disks->items);
    *disks = (struct disks){0};
}

static void list_serials(const struct disks *disks, struct buf *text) {
    for (size_t i = 0; i < disks->count; i++)
        if (*disks->items[i].serial)
            buf_printf(text, "%s%s (%s)", text->size ? ", " : "", disks->items[i].serial, disks->items[i].path);
}

int disks_choose(const struct disks *disks, const char *path, const char *serial, const struct disk **ret_disk, struct err *err) {
    cleanup_free char *real = path ? realpath(path, NULL) : NULL;
    cleanup_buf struct buf serials = {0};
    const struct disk *found = NULL;
    if (path && !real)
        return err_sys(err, -errno, "disk %s", path);
    for (size_t i = 0; i < disks->count; i++) {
        const struct disk *disk = &disks->items[i];
        if ((real && strcmp(disk->path, real) != 0) || (!real && (disk->is_loop || strcmp(disk->serial, serial) != 0)))
            continue;
        if (found)
            return err_set(err, -ENOTUNIQ, "%s and %s both have the serial number %s; name one of them", found->path, disk->path, serial);
        found = disk;
    }
    list_serials(disks, &serials);
    if (!found && real)
        return err_set(err, -ENOENT, "%s is no whole disk; --list shows them", path);
    if (!found)
        return err_set(err, -ENOENT, "no disk has the serial number %s; there are: %s", serial, serials.size ? buf_str(&serials) : "none");
    if (serial && strcmp(found->serial, serial) != 0)
        return err_set(err, -ENOENT, "%s has the serial number %s, and not %s", found->path, *found->serial ? found->serial : "(none)",
                       serial);
    *ret_disk = found;
    return 0;
}

int disk_check_size(const struct disk *disk, uint64_t image_bytes, struct err *err) {
    char has[METER_SIZE_BYTES], needs[METER_SIZE_BYTES];
    if (disk->size >= image_bytes)
        return 0;
    return err_set(err, -ENOSPC, "%s is too small: it has %llu bytes (%s), the image needs %llu (%s)", disk->path,
                   (unsigned long long)disk->size, meter_size(disk->size, has), (unsigned long long)image_bytes,
                   meter_size(image_bytes, needs));
}

int disk_check(const struct disk *disk, uint64_t image_bytes, struct err *err) {
    if (disk->use)
        return err_set(err, -EPERM, "%s is in use: %s", disk->path, disk->use);
    if (disk->is_read_only)
        return err_set(err, -EROFS, "%s is read-only (a switch on its case?)", disk->path);
    if (disk->sector != SECTOR_BYTES)
        return err_set(err, -EINVAL, "%s has sectors of %llu bytes; images are for disks that take %d", disk->path,
                       (unsigned long long)disk->sector, SECTOR_BYTES);
    return disk_check_size(disk, image_bytes, err);
}

void disk_describe(const struct disk *disk, struct buf *text) {
    char size[METER_SIZE_BYTES];
    buf_printf(text, "%s, %s", *disk->model ? disk->model : "no model name", meter_size(disk->size, size));
    if (*disk->transport)
        buf_printf(text, ", %s", disk->transport);
    buf_printf(text, ", %s%s", *disk->serial ? "serial " : "no serial number", disk->serial);
}

void disks_format(const struct disks *disks, struct buf *text) {
    char size[METER_SIZE_BYTES];
    buf_printf(text, "%-14s %11s  %-8s %-24s %-24s %s\n", "disk", "size", "by", "model", "serial", "in use");
    for (size_t i = 0; i < disks->count; i++) {
        const struct disk *disk = &disks->items[i];
        if (!disk->is_loop)
            buf_printf(text, "%-14s %11s  %-8s %-24s %-24s %s\n", disk->path, meter_size(disk->size, size),
                       *disk->transport ? disk->transport : "-", *disk->model ? disk->model : "-", *disk->serial ? disk->serial : "-",
                       disk->use            ? disk->use
                       : disk->is_read_only ? "read-only"
                                            : "no");
    }
}

void disks_format_json(const struct disks *disks, struct buf *text) {
    json_t *list = json_array();
    for (size_t i = 0; i < disks->count; i++) {
        const struct disk *disk = &disks->items[i];
        if (!disk->is_loop)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:s?}", "path", disk->path, "model",
                                                  disk->model, "serial", disk->serial, "transport", disk->transport, "size_bytes",
                                                  (json_int_t)disk->size, "sector_bytes", (json_int_t)disk->sector, "read_only",
                                                  disk->is_read_only, "removable", disk->is_removable, "use", disk->use));
    }
    cleanup_free char *json = json_dumps(list, JSON_INDENT(2));
    json_decref(list);
    buf_printf(text, "%s\n", json ? json : "[]");
}
