// SPDX-License-Identifier: Apache-2.0
// Parses, formats and compares package sets. What apt prints and what files say is bounded and checked before it is used.
#include "builder/package_set.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define MAX_PACKAGES 20000
#define MAX_DEB_BYTES (UINT64_C(1) << 36)

void package_done(struct package *package) {
    free(package->name);
    free(package->version);
    free(package->architecture);
    free(package->file);
    free(package->sha256);
    free(package->uri);
    *package = (struct package){0};
}

void package_set_done(struct package_set *set) {
    for (size_t i = 0; i < set->count; i++)
        package_done(&set->packages[i]);
    free(set->packages);
    *set = (struct package_set){0};
}

static int compare_packages(const void *a, const void *b) {
    const struct package *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order ? order : strcmp(left->architecture, right->architecture);
}

static void set_sort(struct package_set *set) {
    if (set->count)
        qsort(set->packages, set->count, sizeof(*set->packages), compare_packages);
}

const struct package *package_set_find(const struct package_set *set, const char *name) {
    for (size_t low = 0, high = set->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, set->packages[middle].name);
        if (order == 0)
            return &set->packages[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void package_set_format(const struct package_set *set, struct buf *ret_text) {
    for (size_t i = 0; i < set->count; i++) {
        const struct package *p = &set->packages[i];
        buf_printf(ret_text, "%s\t%s\t%s\t%s\t%llu\t%s\t%s\n", p->name, p->version, p->architecture, p->file,
                   (unsigned long long)p->size_bytes, p->sha256, p->uri);
    }
}

// Characters of package names, versions, file names: nothing that could leave a directory or start an option.
static bool is_word(const char *text, const char *more) {
    if (!isalnum((unsigned char)text[0]))
        return false;
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(more, *c))
            return false;
    return true;
}

static bool is_sha256(const char *text) {
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static int parse_size(const char *text, uint64_t *ret_size) {
    uint64_t size = 0;
    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text) || size > MAX_DEB_BYTES)
            return -EINVAL;
        size = size * 10 + (uint64_t)(*text - '0');
    }
    *ret_size = size;
    return size && size <= MAX_DEB_BYTES ? 0 : -EINVAL;
}

static bool is_package(const struct package *p) {
    return is_word(p->name, "+-._") && is_word(p->version, "+-.~:_^") && is_word(p->architecture, "-_") && is_word(p->file, "+-.~%_^") &&
           is_sha256(p->sha256) && p->uri[0] && !strpbrk(p->uri, "\t\r\n");
}

// Splits at `separator` into exactly `count` fields, in place.
static bool split(char *line, char separator, char **fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fields[i] = line;
        char *end = strchr(line, separator);
        if (!!end != (i + 1 < count))
            return false;
        if (end) {
            *end = 0;
            line = end + 1;
        }
    }
    return true;
}

static bool parse_line(char *line, struct package *p) {
    char *f[7];
    if (!split(line, '\t', f, 7) || parse_size(f[4], &p->size_bytes) < 0)
        return false;
    p->name = str_dup(f[0]);
    p->version = str_dup(f[1]);
    p->architecture = str_dup(f[2]);
    p->file = str_dup(f[3]);
    p->sha256 = str_dup(f[5]);
    p->uri = str_dup(f[6]);
    return is_package(p);
}

static void decode_percent(char *text) { // apt writes an epoch's colon as %3a
    char *to = text;
    for (const char *from = text; *from; from++) {
        char digits[3] = {from[0] == '%' ? from[1] : 0, from[0] == '%' && from[1] ? from[2] : 0, 0};
        char *end = digits;
        unsigned long value = isxdigit((unsigned char)digits[0]) ? strtoul(digits, &end, 16) : 0;
        bool decoded = end == digits + 2 && value > ' ' && value < 0x7f;
        *to++ = decoded ? (char)value : *from;
        from += decoded ? 2 : 0;
    }
    *to = 0;
}

// 'URI' name_version_architecture.deb size SHA256:hash
static bool parse_uri_line(char *line, struct package *p) {
    char *f[4], *parts[3];
    static const char hash[] = "SHA256:", suffix[] = ".deb";
    if (!split(line, ' ', f, 4) || parse_size(f[2], &p->size_bytes) < 0 || strncmp(f[3], hash, strlen(hash)) != 0)
        return false;
    size_t uri = strlen(f[0]), file = strlen(f[1]);
    if (uri < 3 || f[0][0] != '\'' || f[0][uri - 1] != '\'' || file <= strlen(suffix) || strcmp(f[1] + file - strlen(suffix), suffix) != 0)
        return false;
    p->uri = str_printf("%.*s", (int)(uri - 2), f[0] + 1);
    p->file = str_dup(f[1]);
    p->sha256 = str_dup(f[3] + strlen(hash));
    f[1][file - strlen(suffix)] = 0;
    if (!split(f[1], '_', parts, 3))
        return false;
    decode_percent(parts[1]);
    p->name = str_dup(parts[0]);
    p->version = str_dup(parts[1]);
    p->architecture = str_dup(parts[2]);
    return is_package(p);
}

static int parse_lines(const char *text, size_t size, const char *what, bool (*parse)(char *, struct package *),
                       struct package_set *ret_set, struct err *err) {
    cleanup_package_set struct package_set set = {0};
    unsigned number = 0;
    for (const char *end = text + size; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        number++;
        cleanup_free char *line = str_printf("%.*s", (int)(length > 8192 ? 0 : length), text);
        if (strlen(line) != length || set.count == MAX_PACKAGES)
            return err_set(err, -EINVAL, "%s: line %u is too long, holds a NUL, or is one too many", what, number);
        set.packages = mem_resize(set.packages, set.count + 1, sizeof(*set.packages));
        struct package *package = &set.packages[set.count++];
        *package = (struct package){0};
        if (!parse(line, package))
            return err_set(err, -EINVAL, "%s: line %u is not a package with size and SHA-256", what, number);
        text += length + !!newline;
    }
    set_sort(&set);
    for (size_t i = 1; i < set.count; i++)
        if (compare_packages(&set.packages[i - 1], &set.packages[i]) == 0)
            return err_set(err, -EINVAL, "%s: package %s stands there twice", what, set.packages[i].name);
    *ret_set = set;
    set = (struct package_set){0};
    return 0;
}

int package_set_parse(const char *text, size_t size, struct package_set *ret_set, struct err *err) {
    return parse_lines(text, size, "package set", parse_line, ret_set, err);
}

int package_set_parse_uris(const char *text, size_t size, struct package_set *ret_set, struct err *err) {
    return parse_lines(text, size, "list of apt-get --print-uris", parse_uri_line, ret_set, err);
}
