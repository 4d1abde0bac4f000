// SPDX-License-Identifier: Apache-2.0
// Finds the files of a build and reads build.json. What is inside the image is looked at by whoever uses it.
#include "builder/release.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#define REPORT_SUFFIX ".build.json"
#define REPORT_MAX_BYTES (4 << 20)

// The path without the suffix that all files of the build share the part before.
static char *strip(const char *path, const char *suffix) {
    return str_printf("%.*s", (int)(strlen(path) - strlen(suffix)), path);
}

static int find_in_directory(const char *dir, char **ret_base, struct err *err) {
    cleanup_free char *found = NULL;
    cleanup_dir DIR *handle = opendir(dir);
    if (!handle)
        return err_sys(err, -errno, "cannot list %s", dir);
    for (struct dirent *entry; (entry = readdir(handle));) {
        if (entry->d_name[0] == '.' || !str_ends_with(entry->d_name, REPORT_SUFFIX))
            continue;
        if (found)
            return err_set(err, -EINVAL, "%s holds more than one build; name the image", dir);
        found = strip(entry->d_name, REPORT_SUFFIX);
    }
    if (!found)
        return err_set(err, -ENOENT, "%s holds no finished build (no file ends in " REPORT_SUFFIX ")", dir);
    *ret_base = str_printf("%s/%s", dir, found);
    return 0;
}

static int find_base(const char *path, char **ret_base, struct err *err) {
    static const char *const suffixes[] = {".raw", REPORT_SUFFIX};
    struct stat st;
    if (stat(path, &st) < 0)
        return err_sys(err, -errno, "cannot look at %s", path);
    if (S_ISDIR(st.st_mode))
        return find_in_directory(path, ret_base, err);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
        if (str_ends_with(path, suffixes[i])) {
            *ret_base = strip(path, suffixes[i]);
            return 0;
        }
    return err_set(err, -EINVAL, "%s is neither a raw image, a build.json nor a directory of a build", path);
}

static int take(const json_t *report, const char *path, struct release *release, struct err *err) {
    json_error_t problem;
    const char *profile, *version, *compatible, *channel, *trust;
    json_int_t sequence, created, schema;
    int development;
    if (json_unpack_ex((json_t *)report, &problem, 0, "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b}", "profile", &profile, "version",
                       &version, "compatible", &compatible, "channel", &channel, "trust", &trust, "sequence", &sequence,
                       "source_date_epoch", &created, "config_schema", &schema, "development_keys", &development) < 0)
        return err_set(err, -EINVAL, "%s: %s; build again", path, problem.text);
    if (sequence < 1 || created < 0 || schema < 1 || schema > INT32_MAX)
        return err_set(err, -EINVAL, "%s: a number is out of its range; build again", path);
    release->profile = str_dup(profile);
    release->version = str_dup(version);
    release->compatible = str_dup(compatible);
    release->channel = str_dup(channel);
    release->trust = str_dup(trust);
    release->sequence = (uint64_t)sequence;
    release->created = created;
    release->config_schema = (uint32_t)schema;
    release->is_development = development;
    return 0;
}

int release_load(const char *path, struct release *ret_release, struct err *err) {
    cleanup_free char *base = NULL, *text = NULL;
    cleanup_release struct release release = {0};
    json_error_t problem;
    size_t size = 0;
    int r = find_base(path, &base, err);
    if (r < 0)
        return r;
    cleanup_free char *report_path = str_printf("%s" REPORT_SUFFIX, base);
    r = file_read(AT_FDCWD, report_path, REPORT_MAX_BYTES, &text, &size, err);
    if (r < 0)
        return r;
    json_t *report = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    if (!report)
        return err_set(err, -EINVAL, "%s:%d: %s", report_path, problem.line, problem.text);
    r = take(report, report_path, &release, err);
    json_decref(report);
    if (r < 0)
        return r;
    release.image_path = str_printf("%s.raw", base);
    release.packages_path = str_printf("%s.packages", base);
    *ret_release = release;
    release = (struct release){0};
    return 0;
}

int release_find_image(const char *path, char **ret_path, struct err *err) {
    struct stat st;
    cleanup_release struct release release = {0};
    if (stat(path, &st) < 0)
        return err_sys(err, -errno, "image %s", path);
    if (!S_ISDIR(st.st_mode) && !str_ends_with(path, REPORT_SUFFIX)) {
        *ret_path = str_dup(path);
        return 0;
    }
    int r = release_load(path, &release, err);
    if (r >= 0)
        *ret_path = file_exists(AT_FDCWD, release.image_path) ? take_ptr(release.image_path) : str_printf("%s.zst", release.image_path);
    return r;
}

void release_done(struct release *release) {
    free(release->image_path);
    free(release->packages_path);
    free(release->profile);
    free(release->version);
    free(release->compatible);
    free(release->channel);
    free(release->trust);
    *release = (struct release){0};
}
