// SPDX-License-Identifier: Apache-2.0
// Opens and closes the pipe of a layer and writes the files beside its squashfs.
#include "builder/layer_output.h"
#include "builder/package_set.h"
#include "builder/dpkg_status.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#define MAX_INDEX_BYTES (256u << 20)
#define MAX_INFO_BYTES (16u << 20)

int layer_output_open(const char *dir, const struct layer_format *format, const struct normalise_options *options,
                      struct layer_output *ret_output, struct err *err) {
    struct layer_output output = {.squashfs = {.pid = -1, .in_fd = -1, .log_fd = -1}};
    output.dir_fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
    if (output.dir_fd < 0)
        return output.dir_fd;
    output.dir = str_dup(dir);
    cleanup_free char *path = str_printf("%s/" LAYER_SQUASHFS, dir);
    struct normalise_options with = *options;
    with.side_fd = output.dir_fd;
    with.epoch = format->epoch;
    int r = squashfs_start(path, format, &output.squashfs, err);
    if (r >= 0)
        r = normalise_open(&with, output.squashfs.in_fd, &output.normalise, err);
    if (r < 0)
        layer_output_done(&output);
    else
        *ret_output = output;
    return r;
}

void layer_output_done(struct layer_output *output) {
    normalise_free(&output->normalise);
    squashfs_abort(&output->squashfs);
    if (output->dir)
        close(output->dir_fd);
    free(output->dir);
    *output = (struct layer_output){.squashfs = {.pid = -1, .in_fd = -1, .log_fd = -1}};
}

// mksquashfs went away: what it said matters, not our broken pipe.
static int explain_pipe(struct layer_output *output, int code, struct err *err) {
    uint64_t bytes;
    char sha256[65];
    struct err reason;
    if (code != -EPIPE || squashfs_finish(&output->squashfs, &bytes, sha256, &reason) >= 0)
        return code;
    *err = reason;
    return -EIO;
}

int layer_output_add(struct layer_output *output, const struct normalise_entry *entry, struct err *err) {
    int r = normalise_add(output->normalise, entry, err);
    return r < 0 ? explain_pipe(output, r, err) : 0;
}

int layer_output_stream(struct layer_output *output, struct sandbox *sandbox, struct err *err) {
    int r = normalise_stream(output->normalise, sandbox->out_fd, "packages", err);
    if (r < 0 && r != -ENODATA) {
        sandbox_abort(sandbox);
        return explain_pipe(output, r, err);
    }
    struct err reason;
    int waited = sandbox_wait(sandbox, &reason);
    if (waited < 0)
        *err = reason;
    return waited < 0 ? waited : r;
}

static json_t *package_list(struct layer_output *output, const struct package_set *set, struct err *err) {
    size_t size;
    const char *text = normalise_dpkg_status(output->normalise, &size);
    cleanup_dpkg_status struct dpkg_status status = {0};
    if (dpkg_status_parse(text, size, &status, err) < 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < status.count; i++) {
        const struct dpkg_package *p = &status.packages[i];
        if (set && package_set_find(set, p->name))
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", p->name, "version", p->version, "architecture",
                                                  p->architecture, "source", p->source, "installed_kib", (json_int_t)p->installed_kib));
    }
    return list;
}

static int write_info(struct layer_output *output, uint64_t bytes, const char *sha256, json_t *packages, struct err *err) {
    json_t *info = json_pack("{s:s, s:I, s:I, s:o}", "sha256", sha256, "bytes", (json_int_t)bytes, "files",
                             (json_int_t)normalise_index(output->normalise)->count, "packages", packages);
    cleanup_free char *text = info ? json_dumps(info, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(info);
    if (!text)
        return err_set(err, -ENOMEM, "%s: out of memory", LAYER_INFO);
    return file_publish(output->dir_fd, LAYER_INFO, text, strlen(text), 0644, err);
}

int layer_output_finish(struct layer_output *output, const struct package_set *set, struct err *err) {
    uint64_t bytes;
    char sha256[65];
    int r = normalise_finish(output->normalise, err);
    if (r < 0)
        return explain_pipe(output, r, err);
    r = squashfs_finish(&output->squashfs, &bytes, sha256, err);
    if (r < 0)
        return r;
    cleanup_buf struct buf index = {0};
    index_format(normalise_index(output->normalise), &index);
    r = file_publish(output->dir_fd, LAYER_INDEX, buf_str(&index), index.size, 0644, err);
    json_t *packages = r >= 0 ? package_list(output, set, err) : NULL;
    return r < 0 ? r : !packages ? -EINVAL : write_info(output, bytes, sha256, packages, err);
}

int layer_info_load(const char *dir, struct layer_info *ret_info, struct err *err) {
    cleanup_free char *path = str_printf("%s/" LAYER_INFO, dir), *text = NULL;
    size_t size;
    int r = file_read(AT_FDCWD, path, MAX_INFO_BYTES, &text, &size, err);
    if (r < 0)
        return r;
    json_error_t problem;
    json_int_t bytes, files;
    const char *sha256;
    json_t *info = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    bool ok = info && json_unpack_ex(info, &problem, 0, "{s:s, s:I, s:I}", "sha256", &sha256, "bytes", &bytes, "files", &files) == 0 &&
              strlen(sha256) == 64 && bytes > 0 && files >= 0;
    if (ok) {
        *ret_info = (struct layer_info){.bytes = (uint64_t)bytes, .files = (uint64_t)files};
        memcpy(ret_info->sha256, sha256, sizeof(ret_info->sha256));
    }
    json_decref(info);
    return ok ? 0 : err_set(err, -EINVAL, "%s: is damaged", path);
}

int layer_lower_index(const char *const *lower, size_t count, struct index *ret_index, struct err *err) {
    cleanup_index struct index merged = {0};
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *path = str_printf("%s/" LAYER_INDEX, lower[i]), *text = NULL;
        cleanup_index struct index one = {0};
        size_t size;
        int r = file_read(AT_FDCWD, path, MAX_INDEX_BYTES, &text, &size, err);
        if (r >= 0)
            r = index_parse(text, size, &one, err);
        if (r < 0)
            return err_prefix(err, r, "%s", path);
        index_merge(&merged, &one);
    }
    *ret_index = merged;
    merged = (struct index){0};
    return 0;
}
