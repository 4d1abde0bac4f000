// SPDX-License-Identifier: Apache-2.0
// Reads dpkg's status file and holds it against the sets that were to be installed.
#include "builder/dpkg_status.h"
#include "builder/package_set.h"
#include "common/buf.h"
#include <errno.h>
#include <string.h>

static void dpkg_package_done(struct dpkg_package *package) {
    free(package->name);
    free(package->version);
    free(package->architecture);
    free(package->source);
    *package = (struct dpkg_package){0};
}

void dpkg_status_done(struct dpkg_status *status) {
    for (size_t i = 0; i < status->count; i++)
        dpkg_package_done(&status->packages[i]);
    free(status->packages);
    *status = (struct dpkg_status){0};
}

static void set_text(char **field, const char *value, size_t size) {
    free(*field);
    *field = str_printf("%.*s", (int)size, value);
}

static void set_field(struct dpkg_package *p, const char *line, size_t size) {
    static const struct {
        const char *name;
        size_t offset;
    } texts[] = {
        {"Package: ", offsetof(struct dpkg_package, name)},
        {"Version: ", offsetof(struct dpkg_package, version)},
        {"Architecture: ", offsetof(struct dpkg_package, architecture)},
    };
    static const char source[] = "Source: ", status[] = "Status: install ok installed", installed[] = "Installed-Size: ";
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        size_t length = strlen(texts[i].name);
        if (size > length && memcmp(line, texts[i].name, length) == 0)
            set_text((char **)((char *)p + texts[i].offset), line + length, size - length);
    }
    if (size > strlen(source) && memcmp(line, source, strlen(source)) == 0) // "name (version)": the name is enough
        set_text(&p->source, line + strlen(source), strcspn(line + strlen(source), " \n"));
    if (size == strlen(status) && memcmp(line, status, size) == 0)
        p->installed = true;
    if (size > strlen(installed) && memcmp(line, installed, strlen(installed)) == 0)
        p->installed_kib = strtoull(line + strlen(installed), NULL, 10);
}

static int compare(const void *a, const void *b) {
    const struct dpkg_package *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order ? order : strcmp(left->architecture, right->architecture);
}

static int add_package(struct dpkg_status *status, struct dpkg_package *package, unsigned line, struct err *err) {
    if (!package->name || !package->architecture || (package->installed && !package->version))
        return err_set(err, -EINVAL, "dpkg status: the paragraph that ends at line %u has no Package, Version or Architecture", line);
    if (!package->version)
        package->version = str_dup("");
    if (!package->source)
        package->source = str_dup(package->name);
    status->packages = mem_resize(status->packages, status->count + 1, sizeof(*status->packages));
    status->packages[status->count++] = *package;
    *package = (struct dpkg_package){0};
    return 0;
}

int dpkg_status_parse(const char *text, size_t size, struct dpkg_status *ret_status, struct err *err) {
    cleanup_dpkg_status struct dpkg_status status = {0};
    cleanup(dpkg_package_done) struct dpkg_package package = {0};
    unsigned number = 0;
    bool any = false;
    cleanup_free char *copy = str_printf("%.*s", (int)size, text); // NUL-terminated for the number parser
    size = strlen(copy);
    for (const char *line = copy, *end = copy + size; line <= end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((newline ? newline : end) - line);
        number++;
        if (length) {
            any = true;
            set_field(&package, line, length);
        } else if (any) {
            any = false;
            int r = add_package(&status, &package, number, err);
            if (r < 0)
                return r;
        }
        if (!newline && !any)
            break;
        line = newline ? newline + 1 : end;
    }
    if (status.count)
        qsort(status.packages, status.count, sizeof(*status.packages), compare);
    *ret_status = status;
    status = (struct dpkg_status){0};
    return 0;
}

// The uppermost set that has it decides.
static const struct package *find_in_sets(const struct package_set *const *sets, size_t count, const char *name) {
    for (size_t i = count; i--;) {
        const struct package *package = package_set_find(sets[i], name);
        if (package)
            return package;
    }
    return NULL;
}

static const struct dpkg_package *find_installed(const struct dpkg_status *status, const char *name) {
    for (size_t i = 0; i < status->count; i++)
        if (status->packages[i].installed && strcmp(status->packages[i].name, name) == 0)
            return &status->packages[i];
    return NULL;
}

static int verify_set(const struct package_set *set, const struct dpkg_status *status, bool version, struct err *err) {
    for (size_t i = 0; i < set->count; i++) {
        const struct package *want = &set->packages[i];
        const struct dpkg_package *have = find_installed(status, want->name);
        if (!have)
            return err_set(err, -EINVAL, "package %s was resolved but not installed", want->name);
        if (version && strcmp(have->version, want->version) != 0)
            return err_set(err, -EINVAL, "package %s: version %s was installed, %s was resolved", want->name, have->version, want->version);
    }
    return 0;
}

int package_set_verify_status(const struct package_set *const *sets, size_t count, const char *text, size_t size, struct err *err) {
    cleanup_dpkg_status struct dpkg_status status = {0};
    int r = dpkg_status_parse(text, size, &status, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < status.count; i++) {
        const struct dpkg_package *have = &status.packages[i];
        const struct package *want = find_in_sets(sets, count, have->name);
        if (!have->installed)
            return err_set(err, -EINVAL, "package %s is known to dpkg but not completely installed", have->name);
        if (!want)
            return err_set(err, -EINVAL, "package %s %s was installed but not resolved", have->name, have->version);
        if (strcmp(want->version, have->version) != 0)
            return err_set(err, -EINVAL, "package %s: version %s was installed, %s was resolved", have->name, have->version, want->version);
    }
    for (size_t i = 0; i < count; i++) {
        r = verify_set(sets[i], &status, false, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int package_set_verify_installed(const struct package_set *set, const char *text, size_t size, struct err *err) {
    cleanup_dpkg_status struct dpkg_status status = {0};
    int r = dpkg_status_parse(text, size, &status, err);
    return r < 0 ? r : verify_set(set, &status, true, err);
}
