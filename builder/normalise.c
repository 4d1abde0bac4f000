// SPDX-License-Identifier: Apache-2.0
// Carries the rules out on libarchive streams. Every entry is written anew, so that nothing of the input gets through by accident.
#include "builder/normalise.h"
#include "builder/layer_files.h"
#include "builder/normalise_out.h"
#include "builder/normalise_rules.h"
#include "common/file.h"
#include "common/log.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

// dnf's sandbox job leaves a list in the same format beside the rpm database.
static const char *const status_paths[] = {"usr/lib/sysimage/dpkg/status", "usr/lib/sysimage/rpm/packages"};

static bool is_status(const char *path) {
    return strcmp(path, status_paths[0]) == 0 || strcmp(path, status_paths[1]) == 0;
}
#define MAX_STATUS_BYTES (32u << 20)
#define MAX_ACCOUNTS_BYTES (4u << 20)

int normalise_open(const struct normalise_options *options, int out_fd, struct normalise **ret_normalise, struct err *err) {
    cleanup_normalise struct normalise *n = mem_array(1, sizeof(*n));
    n->options = *options;
    // libarchive converts names by the thread's locale; ours must not depend on the user's.
    n->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!n->locale)
        return err_set(err, -ENOTSUP, "the C.UTF-8 locale is missing on this machine");
    int r = normalise_out_open(n, out_fd, err);
    if (r < 0)
        return r;
    *ret_normalise = take_ptr(n);
    return 0;
}

void normalise_free(struct normalise **normalise) {
    struct normalise *n = *normalise;
    if (!n)
        return;
    normalise_out_free(n);
    index_done(&n->index);
    index_done(&n->later);
    index_done(&n->overrides);
    index_done(&n->opaque);
    buf_done(&n->status);
    free(n->table);
    if (n->locale)
        freelocale(n->locale);
    free(n);
    *normalise = NULL;
}

void normalise_override(struct normalise *n, const char *path) {
    index_add(&n->overrides, path, S_IFREG, 0, 0);
}

struct index *normalise_index(struct normalise *n) {
    return &n->index;
}

const char *normalise_dpkg_status(const struct normalise *n, size_t *ret_size) {
    *ret_size = n->status.size;
    return buf_str(&n->status);
}

// Reads a whole file of the stream, which is then written from memory: the few small files that the caller needs a copy of.
static int slurp(struct archive *in, uint64_t size, size_t max_bytes, const char *path, struct buf *ret_data, struct err *err) {
    char block[65536];
    if (size > max_bytes)
        return err_set(err, -EFBIG, "/%s: larger than %zu bytes", path, max_bytes);
    for (;;) {
        la_ssize_t got = archive_read_data(in, block, sizeof(block));
        if (got < 0)
            return err_set(err, -ENODATA, "/%s: %s", path, archive_error_string(in));
        if (got == 0)
            return 0;
        buf_add(ret_data, block, (size_t)got);
    }
}

static int save_kernel(struct normalise *n, struct archive *in, const char *path, struct err *err) {
    if (n->options.side_fd < 0 || !n->options.kernel)
        return 0;
    if (n->kernel_seen)
        return err_set(err, -EEXIST, "/%s: the image has a second kernel", path);
    n->kernel_seen = true;
    cleanup_fd int fd = file_open(n->options.side_fd, LAYER_KERNEL, O_WRONLY | O_CREAT | O_EXCL, 0644, err);
    if (fd < 0)
        return fd;
    int r = archive_read_data_into_fd(in, fd);
    return r == ARCHIVE_OK ? 0 : err_set(err, -ENODATA, "/%s: %s", path, archive_error_string(in));
}

// The files whose text is needed beside the layer.
static int keep_copy(struct normalise *n, const struct normalise_out_entry *entry, struct archive *in, struct buf *ret_data,
                     struct err *err) {
    static const struct { const char *path, *side; } copies[] = {{"etc/passwd", LAYER_PASSWD}, {"etc/group", LAYER_GROUP}};
    if (is_status(entry->path)) {
        int r = slurp(in, entry->size, MAX_STATUS_BYTES, entry->path, ret_data, err);
        n->status.size = 0;
        buf_add(&n->status, buf_str(ret_data), ret_data->size);
        return r < 0 ? r : 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(copies); i++) {
        if (strcmp(entry->path, copies[i].path) != 0 || n->options.side_fd < 0)
            continue;
        int r = slurp(in, entry->size, MAX_ACCOUNTS_BYTES, entry->path, ret_data, err);
        if (r >= 0)
            r = file_publish(n->options.side_fd, copies[i].side, buf_str(ret_data), ret_data->size, 0644, err);
        return r < 0 ? r : 1;
    }
    return 0;
}

static int write_file(struct normalise *n, struct normalise_out_entry *entry, struct archive *in, struct err *err) {
    cleanup_buf struct buf data = {0};
    int r = keep_copy(n, entry, in, &data, err);
    if (r < 0)
        return r;
    if (r > 0) {
        entry->size = data.size;
        entry->data = buf_str(&data);
        in = NULL;
    }
    return normalise_out_write(n, entry, in, err);
}

static int check_type(const struct normalise_out_entry *entry, struct archive_entry *from, struct err *err) {
    if (S_ISCHR(entry->mode) && archive_entry_rdev(from) == makedev(0, 0))
        return 0;
    if (S_ISREG(entry->mode) || S_ISDIR(entry->mode) || S_ISLNK(entry->mode) || S_ISFIFO(entry->mode))
        return 0;
    return err_set(err, -EINVAL, "/%s: device nodes and sockets cannot be part of a layer", entry->path);
}

// A whiteout of something that is not below hides nothing.
static bool is_idle_whiteout(const struct normalise *n, const struct normalise_out_entry *entry) {
    return S_ISCHR(entry->mode) && (!n->options.lower || !index_find(n->options.lower, entry->path));
}

static int keep_entry(struct normalise *n, struct normalise_out_entry *entry, struct archive *in, struct archive_entry *from,
                      struct err *err) {
    int r = check_type(entry, from, err);
    if (r < 0)
        return r;
    if (S_ISLNK(entry->mode) && entry->target && normalise_is_stale_link(entry->path, entry->target))
        return 0;
    if (is_idle_whiteout(n, entry) || (!S_ISDIR(entry->mode) && index_find(&n->overrides, entry->path)))
        return 0;
    if (S_ISDIR(entry->mode) && normalise_out_is_opaque(from))
        index_add(&n->opaque, entry->path, S_IFDIR, 0, 0);
    if (S_ISREG(entry->mode) && !entry->hardlink)
        return write_file(n, entry, in, err);
    return normalise_out_write(n, entry, NULL, err);
}

static int apply_rule(struct normalise *n, struct normalise_out_entry *entry, struct archive *in, struct archive_entry *from,
                      struct err *err) {
    switch (normalise_rule(entry->path, entry->mode, n->options.exclude)) {
    case NORMALISE_DROP:
        return 0;
    case NORMALISE_LATER:
        index_add(&n->later, entry->path, entry->mode, entry->uid, entry->gid);
        return 0;
    case NORMALISE_KERNEL:
        return save_kernel(n, in, entry->path, err);
    case NORMALISE_EMPTY:
        if (entry->hardlink)
            return err_set(err, -EINVAL, "/%s: is a hard link", entry->path);
        entry->size = 0;
        return normalise_out_write(n, entry, NULL, err);
    case NORMALISE_KEEP:
        break;
    }
    return keep_entry(n, entry, in, from, err);
}

static char *final_path(const char *raw, const char *stream, struct err *err) {
    if (!raw) {
        (void)err_set(err, -EINVAL, "%s: a path is empty or not UTF-8", stream);
        return NULL;
    }
    cleanup_free char *path = str_dup(raw);
    if (normalise_clean_path(path, err) < 0) {
        (void)err_prefix(err, -EINVAL, "%s", stream);
        return NULL;
    }
    return normalise_rename(path);
}

static int copy_entry(struct normalise *n, struct archive *in, struct archive_entry *from, const char *stream, struct err *err) {
    cleanup_free char *path = final_path(archive_entry_pathname(from), stream, err);
    const char *raw_link = archive_entry_hardlink(from);
    cleanup_free char *link = raw_link && path ? final_path(raw_link, stream, err) : NULL;
    if (!path || (raw_link && !link))
        return -EINVAL;
    if (!*path) // the root's mode is mksquashfs's business
        return 0;
    struct normalise_out_entry entry = {
        .path = path,
        .mode = link ? S_IFREG | (archive_entry_perm(from) & 07777) : archive_entry_mode(from),
        .uid = (uid_t)archive_entry_uid(from),
        .gid = (gid_t)archive_entry_gid(from),
        .size = (uint64_t)archive_entry_size(from),
        .target = archive_entry_symlink(from),
        .hardlink = link,
        .xattrs = from,
        .fd = -1,
    };
    return apply_rule(n, &entry, in, from, err);
}

static int stream(struct normalise *n, struct archive *in, int in_fd, const char *name, struct err *err) {
    if (archive_read_support_format_tar(in) != ARCHIVE_OK || archive_read_open_fd(in, in_fd, 256 << 10) != ARCHIVE_OK)
        return err_set(err, -ENODATA, "%s: %s", name, archive_error_string(in));
    for (;;) {
        struct archive_entry *entry;
        int r = archive_read_next_header(in, &entry);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return err_set(err, -ENODATA, "%s: %s", name, archive_error_string(in));
        r = copy_entry(n, in, entry, name, err);
        if (r < 0)
            return r;
    }
}

int normalise_stream(struct normalise *n, int in_fd, const char *name, struct err *err) {
    struct archive *in = archive_read_new();
    if (!in)
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    locale_t before = uselocale(n->locale);
    int r = stream(n, in, in_fd, name, err);
    archive_read_free(in);
    uselocale(before);
    return r;
}

int normalise_add(struct normalise *n, const struct normalise_entry *from, struct err *err) {
    struct normalise_out_entry entry = {
        .path = from->path,
        .mode = from->mode,
        .uid = from->uid,
        .gid = from->gid,
        .size = from->size,
        .target = from->target,
        .data = from->data,
        .fd = from->fd,
    };
    locale_t before = uselocale(n->locale);
    int r = normalise_out_write(n, &entry, NULL, err);
    uselocale(before);
    return r;
}

static int add_mount_points(struct normalise *n, struct err *err) {
    for (const struct normalise_mount_point *point = normalise_mount_points; point->path; point++) {
        struct normalise_entry entry = {.path = point->path, .mode = S_IFDIR | point->mode, .fd = -1};
        int r = normalise_out_find(n, point->path) ? 0 : normalise_add(n, &entry, err);
        if (r < 0)
            return r;
    }
    struct normalise_entry entry = {.path = "etc/machine-id", .mode = S_IFREG | 0444, .fd = -1};
    int r = normalise_out_find(n, entry.path) ? 0 : normalise_add(n, &entry, err);
    static const char *const databases[] = {"dpkg", "rpm"};
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(databases); i++) {
        cleanup_free char *path = str_printf("usr/share/factory/var/lib/%s", databases[i]);
        cleanup_free char *target = str_printf("/usr/lib/sysimage/%s", databases[i]);
        const struct normalise_entry link = {.path = path, .mode = S_IFLNK | 0777, .target = target, .fd = -1};
        if (normalise_out_find(n, target + 1))
            r = normalise_add(n, &link, err);
    }
    return r;
}

static bool is_below(const char *path, const char *directory) {
    size_t size = strlen(directory);
    return strncmp(path, directory, size) == 0 && path[size] == '/';
}

// An opaque directory hides what lies below it. Said with whiteouts instead of an attribute, it reads the same for every mounter.
static int hide_opaque(struct normalise *n, const char *directory, struct err *err) {
    for (size_t i = 0; n->options.lower && i < n->options.lower->count; i++) {
        const char *path = n->options.lower->entries[i].path;
        if (!is_below(path, directory) || normalise_out_find(n, path))
            continue;
        cleanup_free char *parent = str_printf("%.*s", (int)(strrchr(path, '/') - path), path);
        const struct index_entry *above = normalise_out_find(n, parent);
        struct normalise_entry whiteout = {.path = path, .mode = S_IFCHR, .fd = -1};
        int r = above && S_ISDIR(above->mode) ? normalise_add(n, &whiteout, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

int normalise_finish(struct normalise *n, struct err *err) {
    int r = n->options.base ? add_mount_points(n, err) : 0;
    for (size_t i = 0; r >= 0 && i < n->opaque.count; i++)
        r = hide_opaque(n, n->opaque.entries[i].path, err);
    return r < 0 ? r : normalise_out_close(n, err);
}
