// SPDX-License-Identifier: Apache-2.0
// Asks libguestfs and writes the answers down. Texts from the disk are cut to printable ASCII: they go to terminals and into names.
#include "builder/guestfs/report.h"
#include "common/buf.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void json_done(json_t **json) {
    json_decref(*json);
}
#define cleanup_json cleanup(json_done)

static json_t *text_json(const char *text) {
    cleanup_free char *copy = str_dup(text ? text : "");
    for (char *c = copy; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return json_string(copy);
}

// Takes what libguestfs gave, which may be nothing.
static json_t *take_text(char *text) {
    json_t *json = text_json(text);
    free(text);
    return json;
}

// No failure: a disk without a partition table may still be one file system.
static json_t *partitions_json(guestfs_h *guest, const char *disk) {
    json_t *list = json_array();
    struct guestfs_partition_list *partitions = guestfs_part_list(guest, disk);
    for (uint32_t i = 0; partitions && i < partitions->len; i++) {
        const struct guestfs_partition *p = &partitions->val[i];
        cleanup_free char *device = str_printf("%s%d", disk, p->part_num);
        json_array_append_new(list, json_pack("{s:o, s:I, s:I}", "device", text_json(device), "offset", (json_int_t)p->part_start, "bytes",
                                              (json_int_t)p->part_size));
    }
    if (partitions)
        guestfs_free_partition_list(partitions);
    return list;
}

static int file_systems_json(guestfs_h *guest, json_t *list, struct err *err) {
    cleanup_guest_list char **found = guestfs_list_filesystems(guest); // device, type, …
    if (!found)
        return guest_failed(guest, err, "looking for file systems");
    for (size_t i = 0; found[i] && found[i + 1]; i += 2) {
        const bool has_label = strcmp(found[i + 1], "unknown") != 0 && strcmp(found[i + 1], "swap") != 0;
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "device", text_json(found[i]), "type", text_json(found[i + 1]), "label",
                                              take_text(has_label ? guestfs_vfs_label(guest, found[i]) : NULL)));
    }
    return 0;
}

static bool is_listed(const json_t *list, const char *device) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (strcmp(json_string_value(json_object_get(item, "device")), device) == 0)
            return true;
    }
    return false;
}

// libguestfs does not call it a file system when a partition is encrypted or part of a volume group; who finds no system wants to know.
static void add_containers(guestfs_h *guest, json_t *list) {
    cleanup_guest_list char **partitions = guestfs_list_partitions(guest);
    for (size_t i = 0; partitions && partitions[i]; i++) {
        cleanup_free char *type = is_listed(list, partitions[i]) ? NULL : guestfs_vfs_type(guest, partitions[i]);
        if (type && *type)
            json_array_append_new(list,
                                  json_pack("{s:o, s:o, s:s}", "device", text_json(partitions[i]), "type", text_json(type), "label", ""));
    }
}

static json_t *system_json(guestfs_h *guest, const char *root) {
    cleanup_free char *version =
        str_printf("%d.%d", guestfs_inspect_get_major_version(guest, root), guestfs_inspect_get_minor_version(guest, root));
    return json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "root", text_json(root), "type",
                     take_text(guestfs_inspect_get_type(guest, root)), "distribution", take_text(guestfs_inspect_get_distro(guest, root)),
                     "name", take_text(guestfs_inspect_get_product_name(guest, root)), "version", version, "architecture",
                     take_text(guestfs_inspect_get_arch(guest, root)), "packages_are",
                     take_text(guestfs_inspect_get_package_format(guest, root)));
}

static json_t *mounts_json(guestfs_h *guest, const char *root) {
    json_t *mounts = json_object();
    cleanup_guest_list char **list = guestfs_inspect_get_mountpoints(guest, root);
    for (size_t i = 0; list && list[i] && list[i + 1]; i += 2) {
        json_t *path = text_json(list[i]);
        json_object_set_new(mounts, json_string_value(path), text_json(list[i + 1]));
        json_decref(path);
    }
    return mounts;
}

// The names below `dir` that begin with `start`, without it.
static json_t *names_json(guestfs_h *guest, const char *dir, const char *start) {
    json_t *list = json_array();
    cleanup_guest_list char **names = guestfs_ls(guest, dir); // sorted; NULL when there is no such directory
    for (size_t i = 0; names && names[i]; i++)
        if (strncmp(names[i], start, strlen(start)) == 0 && names[i][strlen(start)])
            json_array_append_new(list, text_json(names[i] + strlen(start)));
    return list;
}

static int packages_json(guestfs_h *guest, const char *root, json_t *list, struct err *err) {
    struct guestfs_application2_list *found = guestfs_inspect_list_applications2(guest, root);
    if (!found)
        return guest_failed(guest, err, "listing the packages");
    for (uint32_t i = 0; i < found->len; i++) {
        const struct guestfs_application2 *app = &found->val[i];
        cleanup_buf struct buf version = {0};
        if (app->app2_epoch)
            buf_printf(&version, "%" PRIi32 ":", app->app2_epoch);
        buf_printf(&version, "%s%s%s", app->app2_version, *app->app2_release ? "-" : "", app->app2_release);
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "name", text_json(app->app2_name), "version", text_json(buf_str(&version)),
                                              "architecture", text_json(app->app2_arch)));
    }
    guestfs_free_application2_list(found);
    return 0;
}

static int add_details(guestfs_h *guest, const char *root, json_t *system, struct err *err) {
    json_t *packages = json_array();
    json_object_set_new(system, "packages", packages);
    int r = guest_mount(guest, root, err);
    if (r < 0)
        return r;
    json_object_set_new(system, "mounts", mounts_json(guest, root));
    json_object_set_new(system, "kernels", names_json(guest, "/boot", "vmlinuz-"));
    json_object_set_new(system, "modules", names_json(guest, "/lib/modules", ""));
    return packages_json(guest, root, packages, err);
}

static int systems_json(guestfs_h *guest, json_t *list, struct err *err) {
    cleanup_guest_list char **roots = guestfs_inspect_os(guest);
    if (!roots)
        return guest_failed(guest, err, "looking for operating systems");
    for (size_t i = 0; roots[i]; i++)
        json_array_append_new(list, system_json(guest, roots[i]));
    const bool is_linux =
        roots[0] && !roots[1] && strcmp(json_string_value(json_object_get(json_array_get(list, 0), "type")), "linux") == 0;
    return is_linux ? add_details(guest, roots[0], json_array_get(list, 0), err) : 0;
}

int report_make(guestfs_h *guest, json_t **ret_report, struct err *err) {
    static const char disk[] = "/dev/sda"; // the only one
    json_t *file_systems = json_array(), *systems = json_array();
    cleanup_json json_t *report =
        json_pack("{s:i, s:I, s:o, s:o, s:o, s:o}", "format", 1, "bytes", (json_int_t)guestfs_blockdev_getsize64(guest, disk), "table",
                  take_text(guestfs_part_get_parttype(guest, disk)), "partitions", partitions_json(guest, disk), "file_systems",
                  file_systems, "systems", systems);
    if (!report)
        return err_set(err, -ENOMEM, "the report: out of memory");
    int r = file_systems_json(guest, file_systems, err);
    if (r >= 0)
        add_containers(guest, file_systems);
    if (r >= 0)
        r = systems_json(guest, systems, err);
    if (r < 0)
        return r;
    *ret_report = report;
    report = NULL;
    return 0;
}
