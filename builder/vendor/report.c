// SPDX-License-Identifier: Apache-2.0
// The report comes from a program that talked to a foreign disk: shapes are checked, lists are bounded, names are words.
#include "builder/vendor/report.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

#define MAX_ITEMS 20000

static void json_done(json_t **json) {
    json_decref(*json);
}
#define cleanup_json cleanup(json_done)

static void system_done(struct vendor_system *system) {
    char *const texts[] = {system->root,    system->type,         system->distribution, system->name,
                           system->version, system->architecture, system->packages_are};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    strings_done(&system->kernels);
    strings_done(&system->modules);
    strings_done(&system->module_kernels);
    for (size_t i = 0; i < system->package_count; i++) {
        free(system->packages[i].name);
        free(system->packages[i].version);
        free(system->packages[i].architecture);
    }
    free(system->packages);
}

void vendor_report_done(struct vendor_report *report) {
    for (size_t i = 0; i < report->partition_count; i++)
        free(report->partitions[i].device);
    for (size_t i = 0; i < report->file_system_count; i++) {
        free(report->file_systems[i].device);
        free(report->file_systems[i].type);
        free(report->file_systems[i].label);
    }
    for (size_t i = 0; i < report->system_count; i++)
        system_done(&report->systems[i]);
    free(report->partitions);
    free(report->file_systems);
    free(report->systems);
    free(report->table);
    *report = (struct vendor_report){0};
}

// The list `key` of an object; -EINVAL when it is no list, or a too long one. A missing one is empty.
static int list_of(const json_t *object, const char *key, json_t **ret_list, size_t *ret_count, struct err *err) {
    json_t *list = json_object_get(object, key);
    if (list && (!json_is_array(list) || json_array_size(list) > MAX_ITEMS))
        return err_set(err, -EINVAL, "report of webops-guestfs: %s is no list, or too long", key);
    *ret_list = list;
    *ret_count = json_array_size(list);
    return 0;
}

static int bad_item(const char *key, const json_error_t *problem, struct err *err) {
    return err_set(err, -EINVAL, "report of webops-guestfs: %s: %s", key, problem->text);
}

static int parse_partitions(const json_t *root, struct vendor_report *report, struct err *err) {
    json_t *list;
    size_t count;
    json_error_t problem;
    int r = list_of(root, "partitions", &list, &count, err);
    if (r < 0)
        return r;
    report->partitions = mem_array(count + 1, sizeof(*report->partitions));
    for (size_t i = 0; i < count; i++) {
        const char *device;
        json_int_t offset, bytes;
        if (json_unpack_ex(json_array_get(list, i), &problem, 0, "{s:s, s:I, s:I}", "device", &device, "offset", &offset, "bytes", &bytes) <
            0)
            return bad_item("partitions", &problem, err);
        report->partitions[report->partition_count++] = (struct vendor_partition){str_dup(device), (uint64_t)offset, (uint64_t)bytes};
    }
    return 0;
}

static int parse_file_systems(const json_t *root, struct vendor_report *report, struct err *err) {
    json_t *list;
    size_t count;
    json_error_t problem;
    int r = list_of(root, "file_systems", &list, &count, err);
    if (r < 0)
        return r;
    report->file_systems = mem_array(count + 1, sizeof(*report->file_systems));
    for (size_t i = 0; i < count; i++) {
        const char *device, *type, *label;
        if (json_unpack_ex(json_array_get(list, i), &problem, 0, "{s:s, s:s, s:s}", "device", &device, "type", &type, "label", &label) < 0)
            return bad_item("file_systems", &problem, err);
        report->file_systems[report->file_system_count++] = (struct vendor_file_system){str_dup(device), str_dup(type), str_dup(label)};
    }
    return 0;
}

static bool is_release(const char *text) { // also part of a path pattern
    for (const char *c = text; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_~", *c))
            return false;
    return *text != 0 && *text != '.';
}

static int parse_releases(const json_t *object, const char *key, struct strings *releases, struct err *err) {
    json_t *list;
    size_t count;
    int r = list_of(object, key, &list, &count, err);
    for (size_t i = 0; r >= 0 && i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !is_release(text))
            return err_set(err, -EINVAL, "report of webops-guestfs: %s: \"%s\" is not the name of a kernel", key, text ? text : "");
        strings_add(releases, text);
    }
    return r;
}

static int parse_packages(const json_t *object, struct vendor_system *system, struct err *err) {
    json_t *list;
    size_t count;
    json_error_t problem;
    int r = list_of(object, "packages", &list, &count, err);
    if (r < 0)
        return r;
    system->packages = mem_array(count + 1, sizeof(*system->packages));
    for (size_t i = 0; i < count; i++) {
        const char *name, *version, *architecture;
        if (json_unpack_ex(json_array_get(list, i), &problem, 0, "{s:s, s:s, s:s}", "name", &name, "version", &version, "architecture",
                           &architecture) < 0)
            return bad_item("packages", &problem, err);
        system->packages[system->package_count++] = (struct vendor_package){str_dup(name), str_dup(version), str_dup(architecture)};
    }
    return 0;
}

static int parse_system(json_t *object, struct vendor_system *system, struct err *err) {
    const struct {
        const char *key;
        char **value;
    } texts[] = {{"root", &system->root},
                 {"type", &system->type},
                 {"distribution", &system->distribution},
                 {"name", &system->name},
                 {"version", &system->version},
                 {"architecture", &system->architecture},
                 {"packages_are", &system->packages_are}};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const char *text = json_string_value(json_object_get(object, texts[i].key));
        if (!text)
            return err_set(err, -EINVAL, "report of webops-guestfs: systems: %s is missing", texts[i].key);
        *texts[i].value = str_dup(text);
    }
    int r = parse_releases(object, "kernels", &system->kernels, err);
    if (r >= 0)
        r = parse_releases(object, "modules", &system->modules, err);
    if (r >= 0)
        r = parse_releases(object, "module_kernels", &system->module_kernels, err);
    system->used_bytes = (uint64_t)json_integer_value(json_object_get(object, "used_bytes"));
    return r < 0 ? r : parse_packages(object, system, err);
}

static int parse_systems(const json_t *root, struct vendor_report *report, struct err *err) {
    json_t *list;
    size_t count;
    int r = list_of(root, "systems", &list, &count, err);
    if (r < 0)
        return r;
    report->systems = mem_array(count + 1, sizeof(*report->systems));
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = parse_system(json_array_get(list, i), &report->systems[report->system_count++], err);
    return r;
}

int vendor_report_parse(const char *text, size_t size, struct vendor_report *ret_report, struct err *err) {
    cleanup_vendor_report struct vendor_report report = {0};
    json_error_t problem;
    cleanup_json json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    json_int_t format = 0, bytes = 0;
    const char *table = NULL;
    if (!root || json_unpack_ex(root, &problem, 0, "{s:I, s:I, s:s}", "format", &format, "bytes", &bytes, "table", &table) < 0)
        return err_set(err, -EINVAL, "report of webops-guestfs: %s", problem.text);
    if (format != 2 || bytes < 0)
        return err_set(err, -EINVAL, "report of webops-guestfs: is of another version");
    report.bytes = (uint64_t)bytes;
    report.table = str_dup(table);
    int r = parse_partitions(root, &report, err);
    if (r >= 0)
        r = parse_file_systems(root, &report, err);
    if (r >= 0)
        r = parse_systems(root, &report, err);
    if (r < 0)
        return r;
    *ret_report = report;
    report = (struct vendor_report){0};
    return 0;
}

// Why there may be none: what was found instead.
static int explain_none(const struct vendor_report *report, const char *disk, struct err *err) {
    cleanup_buf struct buf found = {0};
    for (size_t i = 0; i < report->file_system_count; i++) {
        const struct vendor_file_system *fs = &report->file_systems[i];
        if (strcmp(fs->type, "crypto_LUKS") == 0)
            return err_set(err, -EINVAL, "%s: %s is encrypted (LUKS); an image that is not is needed", disk, fs->device);
        buf_printf(&found, "%s%s %s", found.size ? ", " : "", fs->device, fs->type);
    }
    return err_set(err, -EINVAL,
                   "%s: no operating system was found (file systems: %s); is it whole, and of a kind that this machine's kernel reads?",
                   disk, found.size ? buf_str(&found) : "none");
}

static const char *debian_architecture(const char *kernels) {
    static const char *const names[][2] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"i386", "i386"}, {"ppc64le", "ppc64el"}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(kernels, names[i][0]) == 0)
            return names[i][1];
    return kernels;
}

static int check_packages(const struct vendor_system *system, const struct recipe_image *image, const char *disk, struct err *err) {
    static const struct { const char *manager, *packages_are; } kinds[] = {{"apt", "deb"}, {"dnf", "rpm"}};
    const char *fitting = NULL, *wanted = "";
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (strcmp(system->packages_are, kinds[i].packages_are) == 0)
            fitting = kinds[i].manager;
        if (strcmp(image->manager, kinds[i].manager) == 0)
            wanted = kinds[i].packages_are;
    }
    if (fitting && strcmp(fitting, image->manager) == 0)
        return 0;
    if (fitting)
        return err_set(err, -EINVAL,
                       "%s: %s has packages of kind %s; images/%s.yaml says `manager: %s`, which is for %s: `manager: %s` fits", disk,
                       system->name, system->packages_are, image->id, image->manager, wanted, fitting);
    if (*system->packages_are)
        return err_set(err, -EINVAL, "%s: %s has packages of kind %s; a base can be made of deb and rpm", disk, system->name,
                       system->packages_are);
    return err_set(err, -EINVAL, "%s: %s has no database of packages, neither dpkg's (/var/lib/dpkg/status) nor rpm's (/var/lib/rpm)", disk,
                   system->name);
}

int vendor_report_check(const struct vendor_report *report, const struct recipe_image *image, const char *disk, struct err *err) {
    if (!report->system_count)
        return explain_none(report, disk, err);
    const struct vendor_system *system = &report->systems[0];
    if (report->system_count > 1)
        return err_set(err, -EINVAL, "%s: has %zu operating systems (%s, %s); one is expected", disk, report->system_count, system->name,
                       report->systems[1].name);
    if (strcmp(system->type, "linux") != 0)
        return err_set(err, -EINVAL, "%s: holds %s, not a Linux", disk, system->type);
    const char *architecture = debian_architecture(system->architecture);
    if (strcmp(architecture, image->architecture) != 0)
        return err_set(err, -EINVAL, "%s: is for %s, images/%s.yaml for %s", disk, architecture, image->id, image->architecture);
    return check_packages(system, image, disk, err);
}

const char *vendor_kernel_find(const struct vendor_system *system) {
    const char *newest = NULL;
    for (unsigned i = 0; i < system->modules.count; i++) { // a rescue kernel has none
        const char *kernel = system->modules.items[i];
        const bool is_there = strings_has(&system->kernels, kernel) || strings_has(&system->module_kernels, kernel);
        if (is_there && (!newest || strverscmp(kernel, newest) > 0))
            newest = kernel;
    }
    return newest;
}

void vendor_exclude_format(const struct recipe_image *image, const struct vendor_system *system, const char *kernel, struct buf *ret_text) {
    // Of a kernel in two places, one: that beside its modules, which has all else there, too.
    const bool is_with_modules = kernel && strings_has(&system->module_kernels, kernel);
    if (is_with_modules)
        buf_add_str(ret_text, "/boot/*\n");
    for (unsigned i = 0; i < image->remove.count; i++)
        if (image->remove.items[i][0] == '/')
            buf_printf(ret_text, "%s\n", image->remove.items[i]);
    if (strcmp(system->packages_are, "rpm") == 0)
        buf_add_str(ret_text, "/usr/lib/sysimage/rpm\n/var/lib/rpm\n");
    if (!kernel)
        buf_add_str(ret_text, "/boot/*\n/usr/lib/modules/*\n/lib/modules/*\n");
    for (unsigned i = 0; kernel && !is_with_modules && i < system->kernels.count; i++)
        if (strcmp(system->kernels.items[i], kernel) != 0)
            buf_printf(ret_text, "/boot/*-%s\n", system->kernels.items[i]);
    for (unsigned i = 0; kernel && i < system->modules.count; i++)
        if (strcmp(system->modules.items[i], kernel) != 0)
            buf_printf(ret_text, "/usr/lib/modules/%s\n/lib/modules/%s\n", system->modules.items[i], system->modules.items[i]);
}
