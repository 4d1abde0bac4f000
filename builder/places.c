// SPDX-License-Identifier: Apache-2.0
// Finds data and programs relative to /proc/self/exe, so that a source tree and an installation both work without configuration. Tools of
// others are found by PATH, which is completed here.
#include "builder/places.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

static int own_directory(char **ret_dir, struct err *err) {
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (length < 0)
        return err_sys(err, -errno, "cannot find this program's own file");
    path[length] = 0;
    *strrchr(path, '/') = 0;
    *ret_dir = str_dup(path);
    return 0;
}

// The first of the candidates below `own` that holds `witness`.
static char *first_with(const char *override, const char *own, const char *const *candidates, const char *witness) {
    if (override && *override)
        return str_dup(override);
    for (; *candidates; candidates++) {
        cleanup_free char *dir = str_printf("%s%s", own, *candidates);
        cleanup_free char *probe = str_printf("%s/%s", dir, witness);
        if (file_exists(AT_FDCWD, probe))
            return realpath(dir, NULL);
    }
    return NULL;
}

static char *cache_dir(void) {
    const char *own = getenv("WEBOPS_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own && *own)
        return str_dup(own);
    if (xdg && *xdg)
        return str_printf("%s/webops", xdg);
    return home && *home ? str_printf("%s/.cache/webops", home) : str_dup("/var/cache/webops");
}

int places_find(struct places *ret_places, struct err *err) {
    static const char *const data[] = {"/..", "/../share/webops", NULL};
    static const char *const programs[] = {"", "/../libexec/webops", NULL};
    cleanup_free char *own = NULL;
    int r = own_directory(&own, err);
    if (r < 0)
        return r;
    cleanup_free char *data_dir = first_with(getenv("WEBOPS_DATA"), own, data, "images");
    cleanup_free char *programs_dir = first_with(getenv("WEBOPS_PROGRAMS"), own, programs, "init");
    if (!data_dir)
        return err_set(err, -ENOENT, "the image definitions were not found beside %s; name their directory in WEBOPS_DATA", own);
    if (!programs_dir)
        return err_set(err, -ENOENT, "init and webops were not found beside %s; run make, or name their directory in WEBOPS_PROGRAMS", own);
    *ret_places = (struct places){take_ptr(data_dir), take_ptr(programs_dir), cache_dir()};
    return 0;
}

static bool path_names(const char *path, const char *dir) {
    const size_t length = strlen(dir);
    for (const char *item = path; item; item = strchr(item, ':')) {
        item += *item == ':';
        if (strcspn(item, ":") == length && strncmp(item, dir, length) == 0)
            return true;
    }
    return false;
}

char *places_tool_path(const char *path) {
    static const char *const dirs[] = {"/usr/sbin", "/sbin"};
    struct buf extended = {0};
    buf_add_str(&extended, path && *path ? path : "/usr/bin:/bin");
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        if (!path_names(buf_str(&extended), dirs[i]))
            buf_printf(&extended, ":%s", dirs[i]);
    return buf_take(&extended);
}

void places_done(struct places *places) {
    free(places->data_dir);
    free(places->programs_dir);
    free(places->cache_dir);
    *places = (struct places){0};
}
