// SPDX-License-Identifier: Apache-2.0
// Two parsers into one sorted list, and one merge. A name twice (two architectures) keeps both, in the order of their versions.
#include "firstboot/update/packages.h"
#include "common/file.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

void packages_done(struct packages *packages) {
    for (size_t i = 0; i < packages->count; i++) {
        free(packages->items[i].name);
        free(packages->items[i].version);
    }
    free(packages->items);
    *packages = (struct packages){0};
}

static void add(struct packages *packages, const char *name, size_t name_size, const char *version, size_t version_size) {
    if ((packages->count & (packages->count - 1)) == 0)
        packages->items = mem_resize(packages->items, packages->count ? packages->count * 2 : 1, sizeof(*packages->items));
    packages->items[packages->count++] =
        (struct package){str_printf("%.*s", (int)name_size, name), str_printf("%.*s", (int)version_size, version)};
}

static int by_name(const void *a, const void *b) {
    const struct package *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order ? order : strcmp(left->version, right->version);
}

static void sort(struct packages *packages) {
    if (packages->count > 0)
        qsort(packages->items, packages->count, sizeof(*packages->items), by_name);
}

struct text {
    const char *start;
    size_t size;
};

// The value behind "field: ", when the line is that field's.
static bool take_field(const char *line, size_t size, const char *field, struct text *value) {
    size_t length = strlen(field);
    if (size <= length + 2 || memcmp(line, field, length) != 0 || memcmp(line + length, ": ", 2) != 0)
        return false;
    *value = (struct text){line + length + 2, size - length - 2};
    return true;
}

int packages_load_status(int root_fd, char **ret_text, struct err *err) {
    static const char *const paths[] = {"usr/lib/sysimage/dpkg/status", "usr/lib/sysimage/rpm/packages"};
    int r = -ENOENT;
    for (size_t i = 0; r == -ENOENT && i < ARRAY_SIZE(paths); i++)
        r = file_read(root_fd, paths[i], PACKAGES_MAX_BYTES, ret_text, NULL, err);
    return r;
}

void packages_parse_status(const char *text, struct packages *ret_packages) {
    static const char installed[] = " installed";
    struct packages packages = {0};
    while (*text) {
        struct text name = {0}, version = {0}, status = {0};
        for (; *text && *text != '\n'; text += strcspn(text, "\n"), text += *text == '\n') {
            size_t size = strcspn(text, "\n");
            (void)(take_field(text, size, "Package", &name) || take_field(text, size, "Version", &version) ||
                   take_field(text, size, "Status", &status));
        }
        text += *text == '\n';
        size_t tail = sizeof(installed) - 1;
        if (name.size && version.size && status.size > tail && memcmp(status.start + status.size - tail, installed, tail) == 0)
            add(&packages, name.start, name.size, version.start, version.size);
    }
    sort(&packages);
    *ret_packages = packages;
}

int packages_parse_list(const char *text, struct packages *ret_packages, struct err *err) {
    cleanup_packages struct packages packages = {0};
    for (unsigned line = 1; *text; line++, text += *text == '\n') {
        size_t layer = strcspn(text, "\t\n"), name = text[layer] == '\t' ? strcspn(text + layer + 1, "\t\n") : 0;
        const char *version = text + layer + 1 + name + 1;
        if (layer == 0 || name == 0 || version[-1] != '\t' || strcspn(version, "\t\n") == 0)
            return err_set(err, -EINVAL, "line %u of the package list is not: layer, name, version, architecture", line);
        add(&packages, text + layer + 1, name, version, strcspn(version, "\t\n"));
        text += strcspn(text, "\n");
    }
    sort(&packages);
    *ret_packages = packages;
    packages = (struct packages){0};
    return 0;
}

void packages_compare(const struct packages *old, const struct packages *new, struct buf *text, struct packages_diff *ret_diff) {
    struct packages_diff diff = {0};
    for (size_t i = 0, j = 0; i < old->count || j < new->count;) {
        int order = i == old->count ? 1 : j == new->count ? -1 : strcmp(old->items[i].name, new->items[j].name);
        if (order < 0) {
            buf_printf(text, "- %s %s\n", old->items[i].name, old->items[i].version);
            diff.removed++, i++;
        } else if (order > 0) {
            buf_printf(text, "+ %s %s\n", new->items[j].name, new->items[j].version);
            diff.added++, j++;
        } else {
            if (strcmp(old->items[i].version, new->items[j].version) != 0) {
                buf_printf(text, "  %s %s → %s\n", old->items[i].name, old->items[i].version, new->items[j].version);
                diff.changed++;
            }
            i++, j++;
        }
    }
    *ret_diff = diff;
}
