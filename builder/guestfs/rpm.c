// SPDX-License-Identifier: Apache-2.0
#include "builder/guestfs/rpm.h"
#include "builder/dnf/rpm_database.h"
#include "common/buf.h"
#include <errno.h>
#include <string.h>

#define MAX_DATABASE_BYTES (INT64_C(1) << 30)

// Newer distributions have the first place, and the second one as a link to it. The log holds what was not yet written back.
static const char *const places[] = {"/usr/lib/sysimage/rpm", "/var/lib/rpm"};
static const struct {
    const char *file, *more;
} formats[] = {{"rpmdb.sqlite", "rpmdb.sqlite-wal"}, {"Packages", NULL}}; // SQLite, Berkeley DB

static bool is_file(guestfs_h *guest, const char *path) {
    return guestfs_is_file_opts(guest, path, GUESTFS_IS_FILE_OPTS_FOLLOWSYMLINKS, 1, -1) == 1;
}

static bool find(guestfs_h *guest, size_t *ret_place, size_t *ret_format) {
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        for (size_t j = 0; j < ARRAY_SIZE(formats); j++) {
            cleanup_free char *path = str_printf("%s/%s", places[i], formats[j].file);
            if (!is_file(guest, path))
                continue;
            *ret_place = i;
            *ret_format = j;
            return true;
        }
    return false;
}

bool rpm_is_there(guestfs_h *guest) {
    size_t place, format;
    return find(guest, &place, &format);
}

static int copy(guestfs_h *guest, const char *place, const char *file, const char *dir, struct err *err) {
    cleanup_free char *from = str_printf("%s/%s", place, file), *to = str_printf("%s/%s", dir, file);
    int64_t size = guestfs_filesize(guest, from);
    if (size > MAX_DATABASE_BYTES)
        return err_set(err, -EFBIG, "%s: larger than %lld bytes", from, (long long)MAX_DATABASE_BYTES);
    return size < 0 || guestfs_download(guest, from, to) < 0 ? guest_failed(guest, err, "copying %s", from) : 0;
}

int rpm_take(guestfs_h *guest, const char *dir, struct err *err) {
    size_t place, format;
    if (!find(guest, &place, &format))
        return err_set(err, -ENOENT, "no rpm database was found in %s and %s", places[1], places[0]);
    int r = copy(guest, places[place], formats[format].file, dir, err);
    cleanup_free char *more = formats[format].more ? str_printf("%s/%s", places[place], formats[format].more) : NULL;
    if (r >= 0 && more && is_file(guest, more))
        r = copy(guest, places[place], formats[format].more, dir, err);
    if (r >= 0)
        r = rpm_database_convert(dir, err);
    return r < 0 ? err_prefix(err, r, "the rpm database") : 0;
}

// The value behind `field` on a line, as JSON; texts are cut to printable ASCII as all others of the report.
static json_t *value(const char *line, const char *field) {
    size_t size = strlen(field);
    if (strncmp(line, field, size) != 0)
        return NULL;
    cleanup_free char *text = str_printf("%.*s", (int)strcspn(line + size, "\n"), line + size);
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return json_string(text);
}

void rpm_add_packages(const char *text, json_t *list) {
    static const struct {
        const char *field, *key;
    } fields[] = {{"Package: ", "name"}, {"Version: ", "version"}, {"Architecture: ", "architecture"}};
    json_t *package = NULL;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
            json_t *found = value(line, fields[i].field);
            if (found && i == 0)
                json_array_append_new(list, package = json_object());
            if (found && package)
                json_object_set_new(package, fields[i].key, found);
            else
                json_decref(found);
        }
}
