// SPDX-License-Identifier: Apache-2.0
#include "builder/vendor/foreign.h"
#include "builder/tempdir.h"
#include "builder/vendor/disk.h"
#include "builder/vendor/guest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/meter.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

void foreign_done(struct foreign *foreign) {
    vendor_report_done(&foreign->report);
}

static int look(const char *path, const char *dir, struct foreign *foreign, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size;
    const struct guest_request request = {.verb = "inspect", .disk = path, .format = foreign->format, .dir = dir};
    log_info("%s was not made by webops-image: libguestfs starts a small virtual machine to look into it", path);
    int r = guest_inspect(&request, &text, &size, err);
    return r < 0 ? r : vendor_report_parse(text, size, &foreign->report, err);
}

int foreign_load(const char *path, struct foreign *ret_foreign, struct err *err) {
    cleanup_tempdir char *dir = NULL;
    cleanup_free char *absolute = realpath(path, NULL);
    struct foreign foreign = {0};
    struct stat st;
    if (!absolute || stat(absolute, &st) < 0)
        return err_sys(err, -errno, "%s", path);
    if (vendor_disk_format(absolute, &foreign.format, err) < 0)
        return -EMEDIUMTYPE;
    int r = tempdir_make("inspect", &dir, err);
    if (r >= 0)
        r = look(absolute, dir, &foreign, err);
    if (r < 0)
        return r;
    foreign.file_bytes = (uint64_t)st.st_blocks * 512;
    *ret_foreign = foreign;
    return 0;
}

static const struct vendor_file_system *file_system_of(const struct vendor_report *report, const char *device) {
    for (size_t i = 0; i < report->file_system_count; i++)
        if (strcmp(report->file_systems[i].device, device) == 0)
            return &report->file_systems[i];
    return NULL;
}

static bool is_partition(const struct vendor_report *report, const char *device) {
    for (size_t i = 0; i < report->partition_count; i++)
        if (strcmp(report->partitions[i].device, device) == 0)
            return true;
    return false;
}

static void add_partitions(const struct vendor_report *report, struct buf *text) {
    char size[METER_SIZE_BYTES], offset[METER_SIZE_BYTES];
    for (size_t i = 0; i < report->partition_count; i++) {
        const struct vendor_partition *p = &report->partitions[i];
        const struct vendor_file_system *fs = file_system_of(report, p->device);
        buf_printf(text, "  %-16s %10s  at %-10s  %s%s%s\n", p->device, meter_size(p->bytes, size), meter_size(p->offset, offset),
                   fs ? fs->type : "", fs && *fs->label ? ", label " : "", fs ? fs->label : "");
    }
    for (size_t i = 0; i < report->file_system_count; i++) { // on logical volumes, subvolumes, or a disk without partitions
        const struct vendor_file_system *fs = &report->file_systems[i];
        if (!is_partition(report, fs->device))
            buf_printf(text, "  %-16s %s%s%s\n", fs->device, fs->type, *fs->label ? ", label " : "", fs->label);
    }
}

static void add_system(const struct vendor_system *system, bool packages, struct buf *text) {
    buf_printf(text, "\nsystem        %s %s, %s (%s)\nroot          %s\n", system->distribution, system->version, system->architecture,
               system->type, system->root);
    for (unsigned i = 0; i < system->kernels.count; i++)
        buf_printf(text, "kernel        %s\n", system->kernels.items[i]);
    if (system->package_count)
        buf_printf(text, "packages      %zu (%s)\n", system->package_count, system->packages_are);
    for (size_t i = 0; packages && i < system->package_count; i++)
        buf_printf(text, "  %s %s %s\n", system->packages[i].name, system->packages[i].version, system->packages[i].architecture);
}

void foreign_format_text(const struct foreign *foreign, const char *path, bool packages, struct buf *text) {
    const struct vendor_report *report = &foreign->report;
    char disk[METER_SIZE_BYTES], used[METER_SIZE_BYTES];
    buf_printf(text, "%s: %s, %s, %s on disk, partition table %s, not made by webops-image\n", path, foreign->format,
               meter_size(report->bytes, disk), meter_size(foreign->file_bytes, used), *report->table ? report->table : "none");
    add_partitions(report, text);
    for (size_t i = 0; i < report->system_count; i++)
        add_system(&report->systems[i], packages, text);
    if (!report->system_count)
        buf_add_str(text, "\nno operating system was found\n");
}

static json_t *strings_json(const struct strings *list) {
    json_t *json = json_array();
    for (unsigned i = 0; i < list->count; i++)
        json_array_append_new(json, json_string(list->items[i]));
    return json;
}

static json_t *system_json(const struct vendor_system *system) {
    json_t *packages = json_array();
    for (size_t i = 0; i < system->package_count; i++)
        json_array_append_new(packages, json_pack("{s:s, s:s, s:s}", "name", system->packages[i].name, "version",
                                                  system->packages[i].version, "architecture", system->packages[i].architecture));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "root", system->root, "type", system->type, "distribution",
                     system->distribution, "name", system->name, "version", system->version, "architecture", system->architecture,
                     "packages_are", system->packages_are, "kernels", strings_json(&system->kernels), "packages", packages);
}

void foreign_format_json(const struct foreign *foreign, struct buf *text) {
    const struct vendor_report *report = &foreign->report;
    json_t *partitions = json_array(), *file_systems = json_array(), *systems = json_array();
    for (size_t i = 0; i < report->partition_count; i++)
        json_array_append_new(partitions,
                              json_pack("{s:s, s:I, s:I}", "device", report->partitions[i].device, "offset",
                                        (json_int_t)report->partitions[i].offset, "bytes", (json_int_t)report->partitions[i].bytes));
    for (size_t i = 0; i < report->file_system_count; i++)
        json_array_append_new(file_systems, json_pack("{s:s, s:s, s:s}", "device", report->file_systems[i].device, "type",
                                                      report->file_systems[i].type, "label", report->file_systems[i].label));
    for (size_t i = 0; i < report->system_count; i++)
        json_array_append_new(systems, system_json(&report->systems[i]));
    json_t *json = json_pack("{s:s, s:I, s:I, s:b, s:s, s:o, s:o, s:o}", "format", foreign->format, "disk_bytes", (json_int_t)report->bytes,
                             "file_bytes", (json_int_t)foreign->file_bytes, "foreign", 1, "table", report->table, "partitions", partitions,
                             "file_systems", file_systems, "systems", systems);
    cleanup_free char *dump = json_dumps(json, JSON_INDENT(1));
    json_decref(json);
    buf_printf(text, "%s\n", dump ? dump : "{}");
}
