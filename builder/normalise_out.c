// SPDX-License-Identifier: Apache-2.0
// Writes pax entries with nothing in them but what we put there. Extended attributes: a table says which may stay.
#include "builder/normalise_out.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fnmatch.h>
#include <selinux/selinux.h>
#include <string.h>

static uint64_t hash(const char *text) { // FNV-1a
    uint64_t h = 14695981039346656037u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

static uint32_t *table_slot(const struct normalise *n, const char *path) {
    for (size_t at = hash(path) & (n->table_size - 1);; at = (at + 1) & (n->table_size - 1))
        if (!n->table[at] || strcmp(n->index.entries[n->table[at] - 1].path, path) == 0)
            return &n->table[at];
}

const struct index_entry *normalise_out_find(const struct normalise *n, const char *path) {
    uint32_t at = *table_slot(n, path);
    return at ? &n->index.entries[at - 1] : NULL;
}

static void remember(struct normalise *n, const struct normalise_out_entry *entry) {
    if ((n->index.count + 1) * 2 > n->table_size) {
        free(n->table);
        n->table_size *= 2;
        n->table = mem_array(n->table_size, sizeof(*n->table));
        for (size_t i = 0; i < n->index.count; i++)
            *table_slot(n, n->index.entries[i].path) = (uint32_t)i + 1;
    }
    uint32_t *slot = table_slot(n, entry->path);
    index_add(&n->index, entry->path, entry->mode, entry->uid, entry->gid);
    *slot = (uint32_t)n->index.count;
}

int normalise_out_open(struct normalise *n, int out_fd, struct err *err) {
    n->table_size = 1024;
    n->table = mem_array(n->table_size, sizeof(*n->table));
    n->out = archive_write_new();
    if (!n->out)
        return err_set(err, -ENOMEM, "layer stream: out of memory");
    if (archive_write_set_format_pax_restricted(n->out) != ARCHIVE_OK ||
        archive_write_set_format_option(n->out, "pax", "xattrheader", "SCHILY") != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(n->out, 128 << 10) != ARCHIVE_OK || archive_write_open_fd(n->out, out_fd) != ARCHIVE_OK)
        return err_set(err, -EPIPE, "layer stream: %s", archive_error_string(n->out));
    return 0;
}

void normalise_out_free(struct normalise *n) {
    if (n->out)
        archive_write_free(n->out);
    n->out = NULL;
}

static int failed(struct normalise *n, const char *path, struct err *err) {
    return err_set(err, -EPIPE, "/%s: writing the layer stream failed: %s", path, archive_error_string(n->out));
}

int normalise_out_close(struct normalise *n, struct err *err) {
    return archive_write_close(n->out) == ARCHIVE_OK ? 0 : failed(n, "", err);
}

bool normalise_out_is_opaque(struct archive_entry *entry) {
    const char *name;
    const void *value;
    size_t size;
    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
        if (name && fnmatch("*.overlay.opaque", name, 0) == 0 && size == 1 && *(const char *)value == 'y')
            return true;
    return false;
}

struct xattr {
    const char *name;
    const void *value;
    size_t size;
};

static int compare_xattrs(const void *a, const void *b) {
    return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

// Kept: file capabilities and user attributes. Overlay markers become whiteouts; the build host's SELinux labels and ACLs mean nothing in the image.
static bool is_kept_xattr(const char *name) {
    return strcmp(name, "security.capability") == 0 || (strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0);
}

static void copy_xattrs(struct archive_entry *from, struct archive_entry *to) {
    struct xattr list[64];
    size_t count = 0;
    archive_entry_xattr_reset(from);
    while (count < ARRAY_SIZE(list) &&
           archive_entry_xattr_next(from, &list[count].name, &list[count].value, &list[count].size) == ARCHIVE_OK)
        if (list[count].name && is_kept_xattr(list[count].name))
            count++;
    if (count)
        qsort(list, count, sizeof(*list), compare_xattrs);
    for (size_t i = 0; i < count; i++) // a stream may name an attribute in two dialects
        if (!i || strcmp(list[i - 1].name, list[i].name) != 0)
            archive_entry_xattr_add_entry(to, list[i].name, list[i].value, list[i].size);
}

// A hard link has the label of the name that came first, a whiteout is nothing that could have one.
static int add_label(const struct normalise *n, const struct normalise_out_entry *entry, struct archive_entry *to, struct err *err) {
    char *label = NULL;
    if (!n->options.labels || entry->hardlink || S_ISCHR(entry->mode))
        return 0;
    int r = labels_find(n->options.labels, entry->path, entry->mode, &label, err);
    if (r < 0 || !label)
        return r;
    archive_entry_xattr_add_entry(to, "security.selinux", label, strlen(label) + 1);
    freecon(label);
    return 0;
}

static int write_header(struct normalise *n, const struct normalise_out_entry *entry, struct err *err) {
    struct archive_entry *to = archive_entry_new();
    archive_entry_set_pathname(to, entry->path);
    archive_entry_set_mode(to, entry->mode);
    archive_entry_set_uid(to, entry->uid);
    archive_entry_set_gid(to, entry->gid);
    archive_entry_set_mtime(to, n->options.epoch, 0);
    archive_entry_set_size(to, S_ISREG(entry->mode) && !entry->hardlink ? (la_int64_t)entry->size : 0);
    if (S_ISLNK(entry->mode))
        archive_entry_set_symlink(to, entry->target ? entry->target : "");
    if (entry->hardlink)
        archive_entry_set_hardlink(to, entry->hardlink);
    if (S_ISCHR(entry->mode))
        archive_entry_set_rdev(to, 0);
    if (entry->xattrs && !entry->hardlink)
        copy_xattrs(entry->xattrs, to);
    int r = add_label(n, entry, to, err);
    if (r >= 0) {
        int written = archive_write_header(n->out, to);
        r = written == ARCHIVE_OK || written == ARCHIVE_WARN ? 0 : failed(n, entry->path, err);
    }
    archive_entry_free(to);
    return r;
}

static int write_bytes(struct normalise *n, const char *path, const void *data, size_t size, struct err *err) {
    return archive_write_data(n->out, data, size) == (la_ssize_t)size ? 0 : failed(n, path, err);
}

static int write_from_archive(struct normalise *n, const char *path, struct archive *in, struct err *err) {
    char block[65536];
    for (;;) {
        la_ssize_t got = archive_read_data(in, block, sizeof(block));
        if (got < 0)
            return err_set(err, -ENODATA, "/%s: %s", path, archive_error_string(in));
        int r = got ? write_bytes(n, path, block, (size_t)got, err) : 0;
        if (r < 0 || got == 0)
            return r;
    }
}

static int write_from_fd(struct normalise *n, const struct normalise_out_entry *entry, struct err *err) {
    char block[65536];
    for (uint64_t left = entry->size; left;) {
        ssize_t got = read(entry->fd, block, left < sizeof(block) ? (size_t)left : sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, -errno, "/%s: cannot read", entry->path);
        if (got == 0)
            return err_set(err, -EIO, "/%s: became shorter while it was read", entry->path);
        int r = write_bytes(n, entry->path, block, (size_t)got, err);
        if (r < 0)
            return r;
        left -= (uint64_t)got;
    }
    return 0;
}

static int write_entry(struct normalise *n, const struct normalise_out_entry *entry, struct archive *in, struct err *err) {
    int r = write_header(n, entry, err);
    if (r >= 0 && S_ISREG(entry->mode) && !entry->hardlink && entry->size)
        r = in               ? write_from_archive(n, entry->path, in, err)
            : entry->fd >= 0 ? write_from_fd(n, entry, err)
                             : write_bytes(n, entry->path, entry->data, (size_t)entry->size, err);
    if (r >= 0)
        remember(n, entry);
    return r;
}

// The directory as it is known already: held back, or in a lower layer; else root's, 0755.
static int write_parent(struct normalise *n, const char *path, struct err *err) {
    const struct index_entry *known = index_find(&n->later, path);
    if (!known && n->options.lower)
        known = index_find(n->options.lower, path);
    if (known && !S_ISDIR(known->mode))
        return err_set(err, -ENOTDIR, "/%s: is not a directory in a lower layer", path);
    struct normalise_out_entry entry = {.path = path, .mode = known ? known->mode : S_IFDIR | 0755, .fd = -1};
    if (known) {
        entry.uid = known->uid;
        entry.gid = known->gid;
    }
    return write_entry(n, &entry, NULL, err);
}

static int write_parents(struct normalise *n, const char *path, struct err *err) {
    cleanup_free char *parent = str_dup(path);
    for (char *slash = strchr(parent, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        const struct index_entry *seen = normalise_out_find(n, parent);
        if (seen && !S_ISDIR(seen->mode))
            return err_set(err, -ENOTDIR, "/%s: /%s is not a directory", path, parent);
        int r = seen ? 0 : write_parent(n, parent, err);
        if (r < 0)
            return r;
        *slash = '/';
    }
    return 0;
}

int normalise_out_write(struct normalise *n, const struct normalise_out_entry *entry, struct archive *in, struct err *err) {
    const struct index_entry *seen = normalise_out_find(n, entry->path);
    if (seen)
        return S_ISDIR(seen->mode) && S_ISDIR(entry->mode) ? 0 : err_set(err, -EEXIST, "/%s: comes twice", entry->path);
    if (entry->hardlink && !normalise_out_find(n, entry->hardlink))
        return err_set(err, -EINVAL, "/%s: is a hard link to /%s, which is not part of the layer", entry->path, entry->hardlink);
    int r = write_parents(n, entry->path, err);
    return r < 0 ? r : write_entry(n, entry, in, err);
}
