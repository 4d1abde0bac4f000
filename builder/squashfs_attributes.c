// SPDX-License-Identifier: Apache-2.0
// Walks the directories from the root on, with libsquashfs. It reads from a file of ours, which ends where the squashfs does; what it does not bound
// itself (depth, entries, lengths, and how much of a size that an inode claims is really there) is bounded here.
#include "builder/squashfs_attributes.h"
#include "common/buf.h"
#include "common/digest.h"
#include <errno.h>
#include <sqfs/compressor.h>
#include <sqfs/dir.h>
#include <sqfs/dir_reader.h>
#include <sqfs/error.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>
#include <sys/stat.h>

#define NO_TABLE UINT64_MAX
#define MAX_DEPTH 64
#define MAX_ENTRIES (4 << 20)
#define MAX_NAME_BYTES 256
#define MAX_READS (1 << 14) // for one entry: two for a block of 8 KiB, so 64 MiB; the blocks of a file of a terabyte are half of that

struct reader {
    sqfs_file_t file; // comes first: libsquashfs gives it back to read_at()
    int fd, failure; // to read, which `err` explains already
    const char *name;
    uint64_t offset, size;
    unsigned reads, entries;
    sqfs_super_t super;
    sqfs_compressor_t *compressor;
    sqfs_xattr_reader_t *attributes;
    squashfs_attribute *take;
    void *context;
    struct err *err;
};

static void free_output(void *output) {
    sqfs_free(*(void **)output);
}

static void destroy_object(void *object) {
    sqfs_destroy(*(void **)object);
}

static void reader_done(struct reader *reader) {
    sqfs_destroy(reader->attributes);
    sqfs_destroy(reader->compressor);
}

static int read_at(sqfs_file_t *file, sqfs_u64 at, void *to, size_t size) {
    struct reader *reader = (struct reader *)file;
    if (at > reader->size || size > reader->size - at || ++reader->reads > MAX_READS)
        return SQFS_ERROR_OUT_OF_BOUNDS;
    reader->failure = pread_all(reader->fd, reader->name, to, size, reader->offset + at, reader->err);
    return reader->failure < 0 ? SQFS_ERROR_IO : 0;
}

static int refuse_write(sqfs_file_t *file, sqfs_u64 at, const void *from, size_t size) {
    (void)file, (void)at, (void)from, (void)size;
    return SQFS_ERROR_UNSUPPORTED;
}

static int refuse_truncate(sqfs_file_t *file, sqfs_u64 size) {
    (void)file, (void)size;
    return SQFS_ERROR_UNSUPPORTED;
}

static sqfs_u64 get_size(const sqfs_file_t *file) {
    return ((const struct reader *)file)->size;
}

// Memory that cannot be had counts as damage: the squashfs said how much.
static int damaged(const struct reader *reader) {
    return reader->failure < 0 ? reader->failure : err_set(reader->err, -EBADMSG, "%s: its squashfs contradicts itself", reader->name);
}

static int begin_entry(struct reader *reader) {
    reader->reads = 0;
    return ++reader->entries > MAX_ENTRIES ? damaged(reader) : 0;
}

static int give_one(struct reader *reader, const char *path) {
    cleanup(free_output) sqfs_xattr_entry_t *key = NULL;
    cleanup(free_output) sqfs_xattr_value_t *value = NULL;
    if (sqfs_xattr_reader_read_key(reader->attributes, &key) < 0 || key->size >= MAX_NAME_BYTES)
        return damaged(reader);
    if (sqfs_xattr_reader_read_value(reader->attributes, key, &value) < 0 || value->size > SQUASHFS_MAX_ATTRIBUTE_BYTES)
        return damaged(reader);
    reader->take(reader->context, path, (const char *)key->key, value->value, value->size);
    return 0;
}

static int give_all(struct reader *reader, const sqfs_inode_generic_t *inode, const char *path) {
    sqfs_xattr_id_t place;
    uint32_t index;
    int r = 0;
    if (sqfs_inode_get_xattr_index(inode, &index) < 0 || sqfs_xattr_reader_get_desc(reader->attributes, index, &place) < 0)
        return damaged(reader);
    if (place.count > 0 && sqfs_xattr_reader_seek_kv(reader->attributes, &place) < 0)
        return damaged(reader);
    for (uint32_t i = 0; r >= 0 && i < place.count; i++) {
        r = begin_entry(reader);
        if (r >= 0)
            r = give_one(reader, path);
    }
    return r;
}

// NULL on failure, after which libsquashfs leaves in its output what it has freed.
static sqfs_inode_generic_t *read_inode(sqfs_dir_reader_t *list, int (*get)(sqfs_dir_reader_t *, sqfs_inode_generic_t **)) {
    sqfs_inode_generic_t *inode;
    return get(list, &inode) < 0 ? NULL : inode;
}

static int walk(struct reader *reader, const sqfs_inode_generic_t *inode, const char *path, unsigned depth);

// Returns 1 behind the last entry.
static int walk_next(struct reader *reader, sqfs_dir_reader_t *list, const char *path, unsigned depth) {
    cleanup(free_output) sqfs_dir_entry_t *entry = NULL;
    int r = begin_entry(reader), end = r < 0 ? 0 : sqfs_dir_reader_read(list, &entry);
    if (r < 0 || end > 0)
        return r < 0 ? r : 1;
    if (end < 0 || entry->size >= MAX_NAME_BYTES) // one less than the name has
        return damaged(reader);
    cleanup(free_output) sqfs_inode_generic_t *inode = read_inode(list, sqfs_dir_reader_get_inode);
    if (!inode)
        return damaged(reader);
    cleanup_free char *below = str_printf("%s%s%s", path, *path ? "/" : "", (const char *)entry->name);
    return walk(reader, inode, below, depth + 1);
}

static int walk(struct reader *reader, const sqfs_inode_generic_t *inode, const char *path, unsigned depth) {
    int r = depth > MAX_DEPTH ? damaged(reader) : give_all(reader, inode, path);
    if (r < 0 || !S_ISDIR(inode->base.mode))
        return r;
    // One of its own for each directory, since it has one place only.
    cleanup(destroy_object) sqfs_dir_reader_t *list = sqfs_dir_reader_create(&reader->super, reader->compressor, &reader->file, 0);
    if (!list || sqfs_dir_reader_open_dir(list, inode, 0) < 0)
        return damaged(reader);
    while (r == 0)
        r = walk_next(reader, list, path, depth);
    return r < 0 ? r : 0;
}

static int walk_root(struct reader *reader) {
    cleanup(destroy_object) sqfs_dir_reader_t *list = sqfs_dir_reader_create(&reader->super, reader->compressor, &reader->file, 0);
    cleanup(free_output) sqfs_inode_generic_t *root = list ? read_inode(list, sqfs_dir_reader_get_root_inode) : NULL;
    return root ? walk(reader, root, "", 0) : damaged(reader);
}

static int open_compressor(struct reader *reader) {
    sqfs_compressor_config_t config;
    int r = sqfs_compressor_config_init(&config, reader->super.compression_id, reader->super.block_size, SQFS_COMP_FLAG_UNCOMPRESS);
    if (r == 0)
        r = sqfs_compressor_create(&config, &reader->compressor);
    return r;
}

static int open_squashfs(struct reader *reader) {
    int r = sqfs_super_read(&reader->super, &reader->file);
    if (r == SFQS_ERROR_SUPER_MAGIC || r == SFQS_ERROR_SUPER_VERSION)
        return err_set(reader->err, -ENOTSUP, "%s: is no squashfs of version 4", reader->name);
    if (r == 0 && reader->super.bytes_used > reader->size)
        return damaged(reader);
    if (r == 0)
        r = open_compressor(reader);
    if (r == SQFS_ERROR_UNSUPPORTED)
        return err_set(reader->err, -ENOTSUP, "%s: its squashfs is compressed with what libsquashfs does not know", reader->name);
    return r < 0 ? damaged(reader) : 0;
}

int squashfs_attributes(int fd, const char *name, uint64_t offset, uint64_t size, squashfs_attribute *take, void *context,
                        struct err *err) {
    cleanup(reader_done) struct reader reader = {
        .file = {.read_at = read_at, .write_at = refuse_write, .truncate = refuse_truncate, .get_size = get_size},
        .fd = fd,
        .name = name,
        .offset = offset,
        .size = size,
        .take = take,
        .context = context,
        .err = err,
    };
    int r = open_squashfs(&reader);
    if (r < 0 || reader.super.xattr_id_table_start == NO_TABLE)
        return r;
    reader.super.flags &= (uint16_t)~SQFS_FLAG_NO_XATTRS; // the kernel goes by the table, too
    reader.attributes = sqfs_xattr_reader_create(0);
    if (!reader.attributes || sqfs_xattr_reader_load(reader.attributes, &reader.super, &reader.file, reader.compressor) < 0)
        return damaged(&reader);
    return walk_root(&reader);
}
