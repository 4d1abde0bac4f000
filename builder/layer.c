// SPDX-License-Identifier: Apache-2.0
// Puts a layer together: the difference its packages make (from the sandbox, if there are any), then its own content.
#include "builder/layer.h"
#include "builder/backend.h"
#include "builder/content.h"
#include "builder/download.h"
#include "builder/labels.h"
#include "builder/layer_output.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAX_ACCOUNTS_BYTES (4u << 20)

// A base holds exactly what was resolved, a layer at least that.
static int check_installed(const struct layer_request *request, struct layer_output *output, struct err *err) {
    size_t size;
    const char *text = normalise_dpkg_status(output->normalise, &size);
    // A vendor may have removed packages, and left what dpkg knows of them.
    const bool is_exact = request->is_base && (!request->image->disk || strcmp(request->image->manager, "dnf") == 0);
    return is_exact ? package_set_verify_status(&request->set, 1, text, size, err)
                    : package_set_verify_installed(request->set, text, size, err);
}

static int add_packages(const struct layer_request *request, struct layer_output *output, struct err *err) {
    if (!request->set || !request->set->count)
        return 0;
    cleanup_free char *work = str_printf("%s/work", request->out_dir), *scratch = str_printf("%s/scratch", request->out_dir);
    const struct backend *backend = backend_of(request->image);
    struct sandbox sandbox = {.pid = -1, .out_fd = -1, .log_fd = -1};
    int r = file_mkdirs(AT_FDCWD, work, 0755, err);
    if (r >= 0)
        r = (request->is_base ? backend->bootstrap : backend->install)(request, work, scratch, &sandbox, err);
    if (r >= 0)
        r = layer_output_stream(output, &sandbox, err);
    if (r >= 0)
        r = check_installed(request, output, err);
    struct err cleaning;
    int cleaned = sandbox_remove_work(work, &cleaning);
    if (cleaned >= 0)
        cleaned = file_remove_tree(AT_FDCWD, scratch, &cleaning);
    if (r >= 0 && cleaned < 0)
        *err = cleaning;
    return r < 0 ? r : cleaned;
}

// The accounts of the image as they are with this layer: its own file, else that of the nearest lower layer.
static int read_accounts(const struct layer_request *request, const char *name, char **ret_text, struct err *err) {
    cleanup_free char *own = str_printf("%s/%s", request->out_dir, name);
    if (file_exists(AT_FDCWD, own))
        return file_read(AT_FDCWD, own, MAX_ACCOUNTS_BYTES, ret_text, NULL, err);
    for (size_t i = request->lower_count; i--;) {
        cleanup_free char *path = str_printf("%s/%s", request->lower[i], name);
        if (file_exists(AT_FDCWD, path))
            return file_read(AT_FDCWD, path, MAX_ACCOUNTS_BYTES, ret_text, NULL, err);
    }
    *ret_text = str_dup("");
    return 0;
}

static int look_up_owners(const struct layer_request *request, struct content *content, struct err *err) {
    cleanup_free char *passwd = NULL, *group = NULL;
    int r = read_accounts(request, LAYER_PASSWD, &passwd, err);
    if (r >= 0)
        r = read_accounts(request, LAYER_GROUP, &group, err);
    return r < 0 ? r : content_owners(content, passwd, group, err);
}

static int add_item(struct layer_output *output, const struct content_item *item, struct err *err) {
    struct normalise_entry entry = {.path = item->path,
                                    .mode = item->mode,
                                    .uid = item->uid,
                                    .gid = item->gid,
                                    .target = item->target,
                                    .data = item->data,
                                    .fd = -1,
                                    .size = item->size};
    cleanup_fd int fd = item->source ? file_open(AT_FDCWD, item->source, O_RDONLY, 0, err) : -1;
    struct stat info;
    if (item->source && fd < 0)
        return fd;
    if (item->source && fstat(fd, &info) < 0)
        return err_sys(err, -errno, "cannot look at %s", item->source);
    if (item->source) {
        entry.fd = fd;
        entry.size = (uint64_t)info.st_size;
    }
    return layer_output_add(output, &entry, err);
}

static int add_content(const struct layer_request *request, struct layer_output *output, struct content *content, struct index *lower,
                       struct err *err) {
    cleanup_index struct index below = {0}, written = {0};
    index_copy(lower, &below);
    index_copy(normalise_index(output->normalise), &written); // not the normaliser's own: merging sorts, and its order is its hash table
    index_merge(&below, &written);
    int r = content_check(content, &below, err);
    if (r >= 0)
        r = look_up_owners(request, content, err);
    for (size_t i = 0; r >= 0 && i < content->count; i++)
        if (!S_ISCHR(content->items[i].mode) || index_find(lower, content->items[i].path))
            r = add_item(output, &content->items[i], err);
    return r;
}

static int fetch_all(const struct layer_request *request, struct err *err) {
    int r = 0;
    if (request->layer->fetch_count && !request->downloads_dir)
        return err_set(err, -EINVAL, "fetch: no directory for downloads");
    for (unsigned i = 0; r >= 0 && i < request->layer->fetch_count; i++)
        r = download_ensure(request->downloads_dir, &request->layer->fetch[i], request->is_offline, err);
    return r;
}

// By the base's policy and ours. The policy of a base comes with its packages: the backend leaves it in the directory, too (labels_keep).
static int prepare_labels(const struct layer_request *request, struct labels **ret_labels, struct err *err) {
    const struct { const char *name, *text; } ours[] = {{LABELS_LOCAL, request->label_rules}, {LABELS_ALIASES, request->label_aliases}};
    int r = 0;
    if (!request->image || !request->image->selinux)
        return 0;
    for (size_t i = 0; r >= 0 && request->is_base && i < ARRAY_SIZE(ours); i++) {
        cleanup_free char *path = str_printf("%s/%s", request->out_dir, ours[i].name);
        r = file_publish(AT_FDCWD, path, ours[i].text, strlen(ours[i].text), 0644, err);
    }
    if (r >= 0)
        *ret_labels = labels_new(request->is_base ? request->out_dir : request->lower[0]);
    return r;
}

static int build(const struct layer_request *request, struct content *content, struct index *lower, struct err *err) {
    struct layer_output output;
    cleanup_labels struct labels *labels = NULL;
    int r = prepare_labels(request, &labels, err);
    if (r < 0)
        return r;
    struct normalise_options options = {.base = request->is_base,
                                        .kernel = request->is_base || request->layer->has_kernel,
                                        .labels = labels,
                                        .exclude = request->exclude,
                                        .lower = request->is_base ? NULL : lower};
    r = layer_output_open(request->out_dir, &request->format, &options, &output, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < content->count; i++)
        if (!S_ISDIR(content->items[i].mode))
            normalise_override(output.normalise, content->items[i].path);
    r = add_packages(request, &output, err);
    if (r >= 0)
        r = add_content(request, &output, content, lower, err);
    if (r >= 0)
        r = layer_output_finish(&output, request->set, err);
    layer_output_done(&output);
    cleanup_free char *kernel = str_printf("%s/" LAYER_KERNEL, request->out_dir);
    if (r >= 0 && request->layer->has_kernel && !file_exists(AT_FDCWD, kernel))
        r = err_set(err, -ENOENT,
                    "no kernel came: the vendor's image has the named one installed, or the package is none; leave `kernel` out to take "
                    "the image's own");
    return r;
}

int layer_build(const struct layer_request *request, struct err *err) {
    cleanup_content struct content content = {0};
    cleanup_index struct index lower = {0};
    int r = fetch_all(request, err);
    if (r >= 0)
        r = content_plan(request, &content, err);
    if (r >= 0)
        r = layer_lower_index(request->lower, request->lower_count, &lower, err);
    if (r >= 0)
        r = build(request, &content, &lower, err);
    return r < 0 ? err_prefix(err, r, "layer %s", request->layer->name) : 0;
}
