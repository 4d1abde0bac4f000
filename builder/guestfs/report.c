// SPDX-License-Identifier: Apache-2.0
// Asks libguestfs and writes the answers down. Texts from the disk are cut to printable ASCII: they go to terminals and into names.
#include "builder/guestfs/report.h"
#include "builder/dnf/rpm_database.h"
#include "builder/guestfs/rpm.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
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

static int rpm_packages_json(guestfs_h *guest, const char *dir, json_t *list, struct err *err) {
    cleanup_free char *text = NULL, *path = str_printf("%s/" REPORT_PACKAGES, dir);
    size_t size = 0;
    int r = rpm_take(guest, dir, err);
    if (r >= 0)
        r = rpm_database_list(NULL, dir, &text, &size, err);
    if (r < 0)
        return r;
    rpm_add_packages(text, list);
    return file_publish(AT_FDCWD, path, text, size, 0644, err);
}

// Of the trees of modules those that have their kernel beside them, as distributions with rpm do.
static json_t *module_kernels_json(guestfs_h *guest, const json_t *modules) {
    json_t *list = json_array();
    size_t i;
    json_t *release;
    json_array_foreach(modules, i, release) {
        cleanup_free char *path = str_printf("/lib/modules/%s/vmlinuz", json_string_value(release));
        if (guestfs_is_file(guest, path) == 1)
            json_array_append(list, release);
    }
    return list;
}

// A distribution that libguestfs does not know says itself what it is (os-release(5)).
static void add_os_release(guestfs_h *guest, json_t *system) {
    static const struct {
        const char *variable, *key;
    } texts[] = {{"ID=", "distribution"}, {"PRETTY_NAME=", "name"}, {"VERSION_ID=", "version"}};
    static const char *const paths[] = {"/etc/os-release", "/usr/lib/os-release"};
    cleanup_guest_list char **lines = guestfs_head_n(guest, 100, paths[0]);
    if (!lines)
        lines = guestfs_head_n(guest, 100, paths[1]);
    for (size_t i = 0; lines && lines[i]; i++)
        for (size_t j = 0; j < ARRAY_SIZE(texts); j++) {
            const size_t size = strlen(texts[j].variable);
            if (strncmp(lines[i], texts[j].variable, size) != 0)
                continue;
            const char *value = lines[i] + size + strspn(lines[i] + size, "\"'");
            cleanup_free char *text = str_printf("%.*s", (int)strcspn(value, "\"'"), value);
            json_object_set_new(system, texts[j].key, text_json(text));
        }
}

static bool is_text(const json_t *system, const char *key, const char *text) {
    return strcmp(json_string_value(json_object_get(system, key)), text) == 0;
}

// Of all that is mounted: what the tree will take at most.
static json_int_t used_bytes(guestfs_h *guest) {
    cleanup_guest_list char **mounts = guestfs_mountpoints(guest); // device, path, …
    json_int_t bytes = 0;
    for (size_t i = 0; mounts && mounts[i] && mounts[i + 1]; i += 2) {
        struct guestfs_statvfs *info = guestfs_statvfs(guest, mounts[i + 1]);
        if (info)
            bytes += (json_int_t)(info->blocks - info->bfree) * (json_int_t)info->frsize;
        guestfs_free_statvfs(info);
    }
    return bytes;
}

// Which database is there counts, whatever the distribution is called; "" when the one that it should have is missing. False when libguestfs, which goes
// by the distribution, took it for another.
static bool correct_kind(guestfs_h *guest, json_t *system) {
    const char *kind = guestfs_is_file(guest, DPKG_STATUS) == 1 ? "deb" : rpm_is_there(guest) ? "rpm" : NULL;
    if (!kind && (is_text(system, "packages_are", "deb") || is_text(system, "packages_are", "rpm")))
        kind = "";
    const bool is_right = !kind || is_text(system, "packages_are", kind);
    if (kind)
        json_object_set_new(system, "packages_are", json_string(kind));
    return is_right;
}

static int add_packages(guestfs_h *guest, const char *root, const char *dir, json_t *system, struct err *err) {
    json_t *packages = json_array();
    json_object_set_new(system, "packages", packages);
    const bool is_right = correct_kind(guest, system);
    int r = is_text(system, "packages_are", "rpm") ? rpm_packages_json(guest, dir, packages, err) : -ENOENT;
    if (r == -ENOENT) // also where this machine has no rpm
        r = is_right ? packages_json(guest, root, packages, err) : 0;
    return r;
}

static int add_details(guestfs_h *guest, const char *root, const char *dir, json_t *system, struct err *err) {
    int r = guest_mount(guest, root, err);
    if (r < 0)
        return r;
    json_t *modules = names_json(guest, "/lib/modules", "");
    json_object_set_new(system, "mounts", mounts_json(guest, root));
    json_object_set_new(system, "kernels", names_json(guest, "/boot", "vmlinuz-"));
    json_object_set_new(system, "modules", modules);
    json_object_set_new(system, "module_kernels", module_kernels_json(guest, modules));
    json_object_set_new(system, "used_bytes", json_integer(used_bytes(guest)));
    if (is_text(system, "distribution", "") || is_text(system, "distribution", "unknown"))
        add_os_release(guest, system);
    return add_packages(guest, root, dir, system, err);
}

static int systems_json(guestfs_h *guest, const char *dir, json_t *list, struct err *err) {
    cleanup_guest_list char **roots = guestfs_inspect_os(guest);
    if (!roots)
        return guest_failed(guest, err, "looking for operating systems");
    for (size_t i = 0; roots[i]; i++)
        json_array_append_new(list, system_json(guest, roots[i]));
    const bool is_linux =
        roots[0] && !roots[1] && strcmp(json_string_value(json_object_get(json_array_get(list, 0), "type")), "linux") == 0;
    return is_linux ? add_details(guest, roots[0], dir, json_array_get(list, 0), err) : 0;
}

int report_make(guestfs_h *guest, const char *dir, json_t **ret_report, struct err *err) {
    static const char disk[] = "/dev/sda"; // the only one
    json_t *file_systems = json_array(), *systems = json_array();
    cleanup_json json_t *report =
        json_pack("{s:i, s:I, s:o, s:o, s:o, s:o}", "format", 2, "bytes", (json_int_t)guestfs_blockdev_getsize64(guest, disk), "table",
                  take_text(guestfs_part_get_parttype(guest, disk)), "partitions", partitions_json(guest, disk), "file_systems",
                  file_systems, "systems", systems);
    if (!report)
        return err_set(err, -ENOMEM, "the report: out of memory");
    int r = file_systems_json(guest, file_systems, err);
    if (r >= 0)
        add_containers(guest, file_systems);
    if (r >= 0)
        r = systems_json(guest, dir, systems, err);
    if (r < 0)
        return r;
    *ret_report = report;
    report = NULL;
    return 0;
}
