// SPDX-License-Identifier: Apache-2.0
// Resolving and downloading with apt itself, in an apt root of our own below the metadata directory, one per image, locked while in use.
#include "builder/apt.h"
#include "common/digest.h"
#include "builder/deb.h"
#include "builder/download.h"
#include "builder/package_tree.h"
#include "builder/tempdir.h"
#include "builder/tool_log.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAX_OUTPUT_BYTES (32u << 20)

struct apt_root {
    char *dir; // <metadata>/apt-<image>
    int lock_fd;
    char **env; // with APT_CONFIG
};

static void root_done(struct apt_root *root) {
    free(root->dir);
    if (root->lock_fd >= 0)
        close(root->lock_fd);
    tool_env_free(&root->env);
}
#define cleanup_root cleanup(root_done)

static int run_apt(const struct apt_root *root, const char *const *argv, char **ret_text, struct err *err) {
    struct run run = {.argv = argv, .env = (const char *const *)root->env};
    return ret_text ? run_capture(&run, MAX_OUTPUT_BYTES, ret_text, NULL, err) : run_quiet(&run, err);
}

// The packages that take the place of ones we do not want, as a repository apt can resolve from.
static int make_stand_ins(const struct recipe_image *image, const char *dir, struct err *err) {
    cleanup_package_set struct package_set set = {.packages = mem_array(image->stand_ins.count, sizeof(struct package))};
    cleanup_free char *packages = str_printf("%s/packages", dir), *repository = str_printf("%s/repository", dir);
    int r = file_remove_tree(AT_FDCWD, dir, err);
    if (r >= 0)
        r = file_mkdirs(AT_FDCWD, packages, 0755, err);
    for (unsigned i = 0; r >= 0 && i < image->stand_ins.count; i++) {
        struct package *package = &set.packages[set.count++];
        char sha256[65];
        r = deb_stand_in(packages, image->stand_ins.items[i], &package->file, err);
        cleanup_free char *path = r < 0 ? NULL : str_printf("%s/%s", packages, package->file);
        if (r >= 0)
            r = digest_file(AT_FDCWD, path, sha256, &package->size_bytes, err);
        if (r >= 0) {
            package->sha256 = str_dup(sha256);
            r = download_take_in(packages, path, sha256, package->file, err);
        }
    }
    return r < 0 ? r : deb_repository(repository, packages, &set, err);
}

static int write_config(const struct recipe_image *image, struct apt_root *root, const char *sources, struct err *err) {
    cleanup_buf struct buf text = {0};
    buf_add_str(&text, sources);
    if (image->stand_ins.count)
        buf_printf(&text, "deb [trusted=yes] copy:%s/stand-ins/repository ./\n", root->dir);
    struct apt_root_options options = {.dir = root->dir, .architecture = image->architecture, .sources = buf_str(&text)};
    int r = apt_root_make(&options, err);
    cleanup_free char *variable = str_printf("APT_CONFIG=%s/apt.conf", root->dir);
    root->env = tool_env((const char *const[]){variable, NULL});
    return r;
}

// What the lists were refreshed for: what the mirrors offer, our own stand-ins, and where all this lies (a cache can be moved).
static int wanted_stamp(const struct recipe_image *image, const struct package_dirs *dirs, const char *dir, char **ret_stamp,
                        struct err *err) {
    char hex[FINGERPRINT_HEX_BYTES];
    struct err unknown;
    cleanup_buf struct buf stamp = {0};
    int r = apt_fingerprint(image, dirs, -1, hex, dirs->is_offline ? err : &unknown);
    if (r < 0 && !dirs->is_offline)
        r = apt_fingerprint(image, dirs, 0, hex, err);
    buf_printf(&stamp, "%s %s", r < 0 ? "" : hex, dir);
    for (unsigned i = 0; i < image->stand_ins.count; i++)
        buf_printf(&stamp, " %s", image->stand_ins.items[i]);
    *ret_stamp = buf_take(&stamp);
    return r;
}

// apt names the repository and the missing key; where the builder looked for it, only we can say.
static int explain_refresh(const struct recipe_image *image, int r, struct err *err) {
    const bool no_key = strstr(err->text, "NO_PUBKEY") != NULL;
    cleanup_free char *hint = no_key ? str_printf(": one is not signed by a key of `keyring` in images/%s.yaml", image->id) : str_dup("");
    return err_prefix(err, r, "image %s: refreshing the package lists%s", image->id, hint);
}

static int refresh(const struct recipe_image *image, const struct package_dirs *dirs, struct apt_root *root, struct err *err) {
    cleanup_free char *stamp = NULL, *path = str_printf("%s/refreshed", root->dir), *have = NULL;
    int r = wanted_stamp(image, dirs, root->dir, &stamp, err);
    if (r < 0)
        return r;
    struct err missing;
    if (file_read(AT_FDCWD, path, 65536, &have, NULL, &missing) >= 0 && strcmp(have, stamp) == 0)
        return 0;
    if (dirs->is_offline)
        return err_set(
            err, -EAGAIN,
            "image %s: apt has no package lists of what the mirrors offered last: an offline build needs one online build before it",
            image->id);
    cleanup_free char *stand_ins = str_printf("%s/stand-ins", root->dir);
    r = image->stand_ins.count ? make_stand_ins(image, stand_ins, err) : 0;
    if (r >= 0)
        r = run_apt(root, RUN_ARGV("apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update"), NULL, err);
    if (r < 0)
        return explain_refresh(image, r, err);
    return file_publish(AT_FDCWD, path, stamp, strlen(stamp), 0644, err);
}

static int root_open(const struct recipe_image *image, const struct package_dirs *dirs, struct apt_root *root, struct err *err) {
    cleanup_free char *sources = NULL, *lock = str_printf("%s/apt-%s.lock", dirs->metadata, image->id);
    int r = apt_sources(image, &sources, err);
    if (r >= 0)
        r = root->lock_fd = file_lock(AT_FDCWD, lock, err);
    if (r < 0)
        return r;
    root->dir = str_printf("%s/apt-%s", dirs->metadata, image->id);
    r = write_config(image, root, sources, err);
    return r < 0 ? r : refresh(image, dirs, root, err);
}

static char *specification(const struct package *package) {
    return str_printf("%s=%s", package->name, package->version);
}

static void free_list(char ***list) {
    for (char **item = *list; item && *item; item++)
        free(*item);
    free(*list);
}
#define cleanup_list cleanup(free_list)

// "Status: install ok installed" into every paragraph; a version that two suites offer is shown twice and kept once.
static void format_status(const char *shown, struct buf *status) {
    cleanup_buf struct buf seen = {0};
    while (*shown) {
        const char *end = strstr(shown, "\n\n");
        size_t size = end ? (size_t)(end - shown) + 1 : strlen(shown);
        const char *line_end = memchr(shown, '\n', size);
        size_t first = line_end ? (size_t)(line_end - shown) + 1 : size;
        cleanup_free char *name = str_printf("\n%.*s", (int)first, shown);
        if (!strstr(buf_str(&seen), name)) {
            buf_add(&seen, name, strlen(name));
            buf_add(status, shown, first);
            buf_add_str(status, "Status: install ok installed\n");
            buf_add(status, shown + first, size - first);
            buf_add_str(status, "\n");
        }
        shown += size;
        while (*shown == '\n')
            shown++;
    }
}

// `base_status` (may be NULL) stands for the first of the parents.
static int write_status(const struct apt_root *root, const char *base_status, const struct package_set *const *parents, size_t count,
                        struct err *err) {
    const size_t first = base_status ? 1 : 0;
    size_t total = 0, at = 2;
    for (size_t i = first; i < count; i++)
        total += parents[i]->count;
    cleanup_list char **argv = mem_array(total + 3, sizeof(*argv));
    argv[0] = str_dup("apt-cache");
    argv[1] = str_dup("show");
    for (size_t i = first; i < count; i++)
        for (size_t j = 0; j < parents[i]->count; j++)
            argv[at++] = specification(&parents[i]->packages[j]);
    cleanup_free char *shown = NULL, *path = str_printf("%s/status", root->dir);
    int r = total ? run_apt(root, (const char *const *)argv, &shown, err) : 0;
    if (r < 0)
        return r;
    cleanup_buf struct buf status = {0};
    if (base_status)
        buf_printf(&status, "%s\n", base_status);
    format_status(shown ? shown : "", &status);
    return file_publish(AT_FDCWD, path, buf_str(&status), status.size, 0644, err);
}

static int ask(const struct recipe_image *image, const struct apt_root *root, const struct strings *packages, bool base, bool as_it_is,
               char **ret_uris, struct err *err) {
    // A vendor's base is older than what the mirrors offer: what it has of the wanted packages is good enough.
    const char *const start[] = {"apt-get",      "-qq",    "--yes", "--no-remove", as_it_is ? "--no-upgrade" : "--no-install-recommends",
                                 "--print-uris", "install"};
    size_t count = ARRAY_SIZE(start), extra = packages ? packages->count : 0;
    cleanup_list char **argv = mem_array(count + extra + image->packages.count + image->stand_ins.count + 2, sizeof(*argv));
    for (size_t i = 0; i < count; i++)
        argv[i] = str_dup(start[i]);
    if (base) {
        argv[count++] = str_dup("?essential");
        for (unsigned i = 0; i < image->stand_ins.count; i++)
            argv[count++] = str_printf(DEB_STAND_IN_PREFIX "%s", image->stand_ins.items[i]);
        for (unsigned i = 0; i < image->packages.count; i++)
            argv[count++] = str_dup(image->packages.items[i]);
    }
    for (size_t i = 0; i < extra; i++)
        argv[count++] = str_dup(packages->items[i]);
    return run_apt(root, (const char *const *)argv, ret_uris, err);
}

static int check_additive(const struct package_set *set, const struct package_set *const *parents, size_t count, struct err *err) {
    for (size_t i = 0; i < set->count; i++)
        for (size_t j = 0; j < count; j++) {
            const struct package *below = package_set_find(parents[j], set->packages[i].name);
            if (below)
                return err_set(err, -EINVAL, "package %s %s would replace version %s of a lower layer", below->name,
                               set->packages[i].version, below->version);
        }
    return 0;
}

static int explain_conflict(int r, const char *base_status, struct err *err) {
    if (r < 0 && base_status)
        return err_prefix(
            err, r,
            "what the mirrors offer today does not fit on the vendor's image (take a newer image, or a snapshot mirror of its day)");
    return r;
}

int apt_resolve_over(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                     const char *base_status, const struct package_set *const *parents, size_t parent_count, struct package_set *ret_set,
                     struct err *err) {
    cleanup_root struct apt_root root = {.lock_fd = -1};
    cleanup_free char *uris = NULL;
    cleanup_package_set struct package_set set = {0};
    int r = root_open(image, dirs, &root, err);
    if (r >= 0)
        r = write_status(&root, base_status, parents, parent_count, err);
    if (r >= 0)
        r = ask(image, &root, packages, parent_count == 0, base_status != NULL, &uris, err);
    if (r >= 0)
        r = package_set_parse_uris(uris, strlen(uris), &set, err);
    if (r >= 0)
        r = explain_conflict(check_additive(&set, parents, parent_count, err), base_status, err);
    if (r < 0)
        return err_prefix(err, r, "image %s: resolving packages", image->id);
    *ret_set = set;
    set = (struct package_set){0};
    return 0;
}

int apt_resolve(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                const struct package_set *const *parents, size_t parent_count, struct package_set *ret_set, struct err *err) {
    return apt_resolve_over(image, dirs, packages, NULL, parents, parent_count, ret_set, err);
}

#define NAMED_MISSING 8 // more would not fit into a message

// A set that was resolved earlier may name versions that have left the archive since.
static int explain_missing(const struct apt_root *root, char **specifications, size_t count, int code, struct err *err) {
    cleanup_buf struct buf names = {0};
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        struct err ignored;
        char *text = NULL;
        bool is_offered = run_apt(root, RUN_ARGV("apt-cache", "show", specifications[i]), &text, &ignored) >= 0 && *text;
        if (!is_offered && missing++ < NAMED_MISSING)
            buf_printf(&names, "%s%s", names.size ? ", " : "", specifications[i]);
        free(text);
    }
    if (!missing)
        return code;
    if (missing > NAMED_MISSING)
        buf_printf(&names, " and %zu more", missing - NAMED_MISSING);
    return err_set(err, -ENOENT, "the mirrors do not offer (any more): %s; name a snapshot mirror in images/, or make the lock file anew",
                   buf_str(&names));
}

static int fetch_by_lists(const struct recipe_image *image, const struct package_dirs *dirs, char **specifications, size_t count,
                          const char *temporary, bool is_last_try, struct err *err) {
    cleanup_root struct apt_root root = {.lock_fd = -1};
    int r = root_open(image, dirs, &root, err);
    if (r < 0)
        return r;
    cleanup_free char *chdir = str_printf("--chdir=%s", temporary);
    const char *const start[] = {"env", chdir, "apt-get", "-qq", "download"};
    cleanup_free const char **argv = mem_array(count + ARRAY_SIZE(start) + 1, sizeof(*argv));
    memcpy(argv, start, sizeof(start));
    for (size_t i = 0; i < count; i++)
        argv[ARRAY_SIZE(start) + i] = specifications[i];
    r = run_apt(&root, argv, NULL, err);
    return r < 0 && is_last_try ? explain_missing(&root, specifications, count, r, err) : r;
}

// The lists may be older than the set, which can come from a lock file: the mirrors are asked once more before they are blamed.
static int fetch(const struct recipe_image *image, const struct package_dirs *dirs, char **specifications, size_t count,
                 const char *temporary, struct err *err) {
    char hex[FINGERPRINT_HEX_BYTES];
    struct err first;
    if (fetch_by_lists(image, dirs, specifications, count, temporary, false, &first) >= 0)
        return 0;
    int r = apt_fingerprint(image, dirs, 0, hex, err);
    return r < 0 ? r : fetch_by_lists(image, dirs, specifications, count, temporary, true, err);
}

int apt_download(const struct recipe_image *image, const struct package_dirs *dirs, const struct package_set *set, unsigned *ret_fetched,
                 struct err *err) {
    cleanup_list char **specifications = mem_array(set->count + 1, sizeof(*specifications));
    cleanup_free size_t *missing = mem_array(set->count, sizeof(*missing));
    unsigned count = 0;
    for (size_t i = 0; i < set->count; i++)
        if (!download_is_there(dirs->packages, set->packages[i].sha256)) {
            missing[count] = i;
            specifications[count++] = specification(&set->packages[i]);
        }
    if (ret_fetched)
        *ret_fetched = count;
    if (!count)
        return 0;
    if (dirs->is_offline)
        return package_refuse_offline(&set->packages[missing[0]], err);
    cleanup_free char *base = str_printf("%s/new", dirs->packages);
    cleanup_tempdir char *temporary = NULL;
    int r = tempdir_make_beside(base, &temporary, err);
    if (r >= 0)
        r = fetch(image, dirs, specifications, count, temporary, err);
    for (unsigned i = 0; r >= 0 && i < count; i++) {
        const struct package *package = &set->packages[missing[i]];
        cleanup_free char *from = str_printf("%s/%s", temporary, package->file);
        r = download_take_in(dirs->packages, from, package->sha256, package->file, err);
    }
    return r < 0 ? err_prefix(err, r, "image %s: downloading %u packages", image->id, count) : 0;
}
