// SPDX-License-Identifier: Apache-2.0
// Reads lsblk's answer. Opens no disk.
#include "builder/flash/disks.h"
#include "common/buf.h"
#include "common/meter.h"
#include "common/run.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

#define MAX_ANSWER (8 << 20)
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

static const char *text_of(const json_t *node, const char *key) {
    return json_string_value(json_object_get(node, key)) ?: "";
}

// Names come from hardware and go to terminals.
static char *printable(const char *text) {
    char *copy = str_dup(text + strspn(text, " "));
    size_t size = strlen(copy);
    while (size > 0 && copy[size - 1] == ' ')
        copy[--size] = 0;
    for (char *at = copy; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return copy;
}

static char *find_mount(const json_t *node) {
    const json_t *point, *points = json_object_get(node, "mountpoints");
    size_t index;
    json_array_foreach(points, index, point) {
        const char *at = json_string_value(point);
        if (at)
            return strcmp(at, "[SWAP]") == 0 ? str_printf("%s is swap", text_of(node, "path"))
                                             : str_printf("%s is mounted at %s", text_of(node, "path"), at);
    }
    return NULL;
}

// The first use below `node`: a mount, swap, or something that is put together of it (LVM, RAID, dm-crypt, multipath).
static char *find_use(const json_t *node) {
    char *use = find_mount(node);
    const json_t *child, *children = json_object_get(node, "children");
    size_t index;
    json_array_foreach(children, index, child) {
        const char *type = text_of(child, "type");
        if (use)
            break;
        use = find_use(child);
        if (!use && strcmp(type, "part") != 0)
            use = str_printf("%s is part of %s (%s)", text_of(node, "path"), text_of(child, "path"), type);
    }
    return use;
}

static void add_disk(const json_t *node, struct disks *disks) {
    const char *type = text_of(node, "type");
    bool is_loop = strcmp(type, "loop") == 0;
    json_int_t size = json_integer_value(json_object_get(node, "size")), sector = json_integer_value(json_object_get(node, "log-sec"));
    if ((!is_loop && strcmp(type, "disk") != 0) || size <= 0 || sector <= 0)
        return;
    disks->items = mem_resize(disks->items, disks->count + 1, sizeof(struct disk));
    disks->items[disks->count++] = (struct disk){
        .path = printable(text_of(node, "path")),
        .model = printable(text_of(node, "model")),
        .serial = printable(text_of(node, "serial")),
        .transport = printable(text_of(node, "tran")),
        .size = (uint64_t)size,
        .sector = (uint64_t)sector,
        .is_read_only = json_is_true(json_object_get(node, "ro")),
        .is_removable = json_is_true(json_object_get(node, "rm")),
        .is_loop = is_loop,
        .use = find_use(node),
    };
}

int disks_parse(const char *json, struct disks *ret_disks, struct err *err) {
    json_error_t problem;
    json_t *answer = json_loads(json, 0, &problem);
    const json_t *node, *list = json_object_get(answer, "blockdevices");
    struct disks disks = {0};
    size_t index;
    if (!json_is_array(list)) {
        json_decref(answer);
        return err_set(err, -EINVAL, "lsblk answered something else than a list of block devices");
    }
    json_array_foreach(list, index, node) add_disk(node, &disks);
    json_decref(answer);
    *ret_disks = disks;
    return 0;
}

int disks_load(struct disks *ret_disks, struct err *err) {
    cleanup_free char *json = NULL;
    const struct run lsblk = {
        .argv = RUN_ARGV("lsblk", "--json", "--bytes", "--output", "PATH,TYPE,SIZE,MODEL,SERIAL,TRAN,RO,RM,LOG-SEC,MOUNTPOINTS"),
        .timeout_ms = 30000};
    int r = run_capture(&lsblk, MAX_ANSWER, &json, NULL, err);
    return r < 0 ? err_prefix(err, r, "listing the disks") : disks_parse(json, ret_disks, err);
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
        return err_set(err, -ENOENT, "%s is no whole disk; `webops-image flash --list` shows them", path);
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
