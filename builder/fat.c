// SPDX-License-Identifier: Apache-2.0
// Microsoft's "FAT32 File System Specification" 1.03. The table is in memory as a whole; directories are read and written as a whole, too.
#include "builder/fat.h"
#include "builder/fatdir.h"
#include "common/le.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#define SECTOR_BYTES 512
#define MAX_TABLE_BYTES ((uint64_t)64 << 20)
#define FIRST_CLUSTER 2
#define LAST_OF_CHAIN 0x0fffffff
// Offsets in the boot sector, and in FSInfo.
enum {
    SECTOR = 11,
    PER_CLUSTER = 13,
    RESERVED = 14,
    TABLES = 16,
    ROOT_ENTRIES = 17,
    SECTORS = 32,
    TABLE_SECTORS = 36,
    ROOT = 44,
    INFO = 48
};
enum { INFO_MAGIC = 484, FREE_CLUSTERS = 488 };

struct written {
    uint64_t at;
    size_t size, order; // bytes; how many were written before
    uint8_t sha256[SHA256_BYTES];
};

struct fat {
    int fd;
    const char *name;
    uint64_t offset; // of the file system on the disk; all others are from there
    uint64_t table_at, table_bytes, data_at;
    unsigned tables;
    size_t cluster_bytes;
    uint32_t clusters, root;
    uint64_t info_at; // 0: none
    uint8_t *table;
    struct written *written;
    size_t written_count;
};

// All entries of a directory, and the clusters they lie in.
struct directory {
    struct fatdir dir;
    uint32_t *chain;
    size_t count;
};

static void directory_done(struct directory *directory) {
    free(directory->dir.data);
    free(directory->chain);
}

static int get(const struct fat *fat, void *data, size_t size, uint64_t at, struct err *err) {
    return pread_all(fat->fd, fat->name, data, size, fat->offset + at, err);
}

static int put(struct fat *fat, const void *data, size_t size, uint64_t at, struct err *err) {
    const size_t order = fat->written_count++;
    fat->written = mem_resize(fat->written, fat->written_count, sizeof(*fat->written));
    fat->written[order] = (struct written){.at = at, .size = size, .order = order};
    sha256_hash(data, size, fat->written[order].sha256);
    return pwrite_all(fat->fd, fat->name, data, size, fat->offset + at, err);
}

static uint32_t next_of(const struct fat *fat, uint32_t cluster) {
    return (uint32_t)le_get(fat->table + (size_t)cluster * 4, 4) & LAST_OF_CHAIN;
}

static void set_next(struct fat *fat, uint32_t cluster, uint32_t next) {
    uint8_t *at = fat->table + (size_t)cluster * 4;
    le_put(at, 4, (le_get(at, 4) & ~(uint64_t)LAST_OF_CHAIN) | next);
}

static bool is_cluster(const struct fat *fat, uint32_t cluster) {
    return cluster >= FIRST_CLUSTER && cluster < fat->clusters + FIRST_CLUSTER;
}

static uint64_t place_of(const struct fat *fat, uint32_t cluster) {
    return fat->data_at + (uint64_t)(cluster - FIRST_CLUSTER) * fat->cluster_bytes;
}

// What the boot sector says, as far as it can be.
static bool read_layout(const uint8_t *boot, struct fat *fat) {
    uint64_t sectors = le_get(boot + SECTORS, 4), per_cluster = boot[PER_CLUSTER], reserved = le_get(boot + RESERVED, 2),
             table_sectors = le_get(boot + TABLE_SECTORS, 4), info = le_get(boot + INFO, 2);
    fat->tables = boot[TABLES];
    if (le_get(boot + SECTOR_BYTES - 2, 2) != 0xaa55 || le_get(boot + SECTOR, 2) != SECTOR_BYTES || le_get(boot + ROOT_ENTRIES, 2) != 0)
        return false;
    if (per_cluster == 0 || per_cluster > 128 || (per_cluster & (per_cluster - 1)) != 0 || reserved == 0 || fat->tables < 1 ||
        fat->tables > 2 || table_sectors == 0 || table_sectors * SECTOR_BYTES > MAX_TABLE_BYTES)
        return false;
    uint64_t data = reserved + fat->tables * table_sectors;
    if (data >= sectors)
        return false;
    uint64_t clusters = (sectors - data) / per_cluster, room = table_sectors * SECTOR_BYTES / 4 - FIRST_CLUSTER;
    fat->clusters = (uint32_t)(clusters < room ? clusters : room);
    fat->cluster_bytes = per_cluster * SECTOR_BYTES;
    fat->table_at = reserved * SECTOR_BYTES;
    fat->table_bytes = table_sectors * SECTOR_BYTES;
    fat->data_at = data * SECTOR_BYTES;
    fat->info_at = info < reserved ? info * SECTOR_BYTES : 0;
    fat->root = (uint32_t)le_get(boot + ROOT, 4);
    return is_cluster(fat, fat->root);
}

void fat_free(struct fat *fat) {
    if (fat) {
        free(fat->table);
        free(fat->written);
    }
    free(fat);
}

int fat_open(int fd, const char *name, uint64_t offset, struct fat **ret_fat, struct err *err) {
    cleanup_free uint8_t *boot = mem_aligned(SECTOR_BYTES);
    struct fat *fat = mem_array(1, sizeof(*fat));
    *fat = (struct fat){.fd = fd, .name = name, .offset = offset};
    int r = get(fat, boot, SECTOR_BYTES, 0, err);
    if (r >= 0 && !read_layout(boot, fat))
        r = err_set(err, -EINVAL, "%s: the boot partition is no FAT32 file system", name);
    if (r >= 0) {
        fat->table = mem_aligned(fat->table_bytes);
        r = get(fat, fat->table, fat->table_bytes, fat->table_at, err);
    }
    if (r < 0)
        fat_free(fat);
    else
        *ret_fat = fat;
    return r;
}

// A chain of new clusters for so many bytes; 0 for none.
static int allocate(struct fat *fat, size_t bytes, uint32_t *ret_first, struct err *err) {
    uint32_t first = 0, last = 0, cluster = FIRST_CLUSTER;
    for (size_t done = 0; done < bytes; done += fat->cluster_bytes) {
        while (is_cluster(fat, cluster) && next_of(fat, cluster) != 0)
            cluster++;
        if (!is_cluster(fat, cluster))
            return err_set(err, -ENOSPC, "the boot partition is full");
        set_next(fat, cluster, LAST_OF_CHAIN);
        if (last)
            set_next(fat, last, cluster);
        first = first ? first : cluster;
        last = cluster;
    }
    *ret_first = first;
    return 0;
}

static void release(struct fat *fat, uint32_t cluster) {
    while (is_cluster(fat, cluster)) {
        uint32_t next = next_of(fat, cluster);
        set_next(fat, cluster, 0);
        cluster = next;
    }
}

static int write_chain(struct fat *fat, uint32_t cluster, const uint8_t *data, size_t size, struct err *err) {
    cleanup_free uint8_t *block = mem_aligned(fat->cluster_bytes);
    int r = 0;
    for (size_t done = 0; r >= 0 && done < size; done += fat->cluster_bytes, cluster = next_of(fat, cluster)) {
        size_t part = size - done < fat->cluster_bytes ? size - done : fat->cluster_bytes;
        memset(block, 0, fat->cluster_bytes);
        memcpy(block, data + done, part);
        r = put(fat, block, fat->cluster_bytes, place_of(fat, cluster), err);
    }
    explicit_bzero(block, fat->cluster_bytes);
    return r;
}

static int load_directory(const struct fat *fat, uint32_t cluster, struct directory *directory, struct err *err) {
    cleanup_free uint8_t *block = mem_aligned(fat->cluster_bytes);
    for (; is_cluster(fat, cluster); cluster = next_of(fat, cluster)) {
        if (directory->dir.size >= FAT_MAX_DIRECTORY_BYTES) // a ring is, too
            return err_set(err, -EINVAL, "%s: a directory of the boot partition is damaged", fat->name);
        int r = get(fat, block, fat->cluster_bytes, place_of(fat, cluster), err);
        if (r < 0)
            return r;
        directory->dir.data = mem_resize(directory->dir.data, directory->dir.size + fat->cluster_bytes, 1);
        directory->chain = mem_resize(directory->chain, directory->count + 1, sizeof(cluster));
        memcpy(directory->dir.data + directory->dir.size, block, fat->cluster_bytes);
        directory->dir.size += fat->cluster_bytes;
        directory->chain[directory->count++] = cluster;
    }
    return directory->count > 0 ? 0 : err_set(err, -EINVAL, "%s: a directory of the boot partition is damaged", fat->name);
}

static int save_directory(struct fat *fat, const struct directory *directory, struct err *err) {
    return write_chain(fat, directory->chain[0], directory->dir.data, directory->dir.size, err);
}

// One more cluster, of zeros.
static int grow(struct fat *fat, struct directory *directory, struct err *err) {
    uint32_t cluster = 0;
    int r = allocate(fat, 1, &cluster, err);
    if (r < 0)
        return r;
    set_next(fat, directory->chain[directory->count - 1], cluster);
    directory->dir.data = mem_resize(directory->dir.data, directory->dir.size + fat->cluster_bytes, 1);
    directory->chain = mem_resize(directory->chain, directory->count + 1, sizeof(cluster));
    memset(directory->dir.data + directory->dir.size, 0, fat->cluster_bytes);
    directory->dir.size += fat->cluster_bytes;
    directory->chain[directory->count++] = cluster;
    return 0;
}

static int add(struct fat *fat, struct directory *directory, const char *name, bool is_directory, uint32_t cluster, size_t size,
               struct err *err) {
    while (directory->dir.size < fatdir_size_with(&directory->dir, name)) {
        int r = grow(fat, directory, err);
        if (r < 0)
            return r;
    }
    fatdir_add(&directory->dir, name, is_directory, cluster, size);
    return 0;
}

static int make_directory(struct fat *fat, uint32_t parent, uint32_t *ret_cluster, struct err *err) {
    cleanup_free uint8_t *block = mem_array(fat->cluster_bytes, 1);
    int r = allocate(fat, 1, ret_cluster, err);
    if (r < 0)
        return r;
    fatdir_begin(&(struct fatdir){block, fat->cluster_bytes}, *ret_cluster, parent == fat->root ? 0 : parent);
    return write_chain(fat, *ret_cluster, block, fat->cluster_bytes, err);
}

// Into a directory, which is made where it is missing.
static int enter(struct fat *fat, uint32_t parent, const char *name, uint32_t *ret_cluster, struct err *err) {
    cleanup(directory_done) struct directory directory = {0};
    struct fatdir_entry entry;
    int r = load_directory(fat, parent, &directory, err);
    if (r < 0)
        return r;
    if (fatdir_find(&directory.dir, name, &entry)) {
        *ret_cluster = entry.cluster;
        return entry.is_directory ? 0 : err_set(err, -ENOTDIR, "%s on the boot partition is no directory", name);
    }
    r = make_directory(fat, parent, ret_cluster, err);
    if (r >= 0)
        r = add(fat, &directory, name, true, *ret_cluster, 0, err);
    return r < 0 ? r : save_directory(fat, &directory, err);
}

static int replace(struct fat *fat, struct directory *directory, const char *name, struct err *err) {
    struct fatdir_entry entry;
    if (!fatdir_find(&directory->dir, name, &entry))
        return 0;
    if (entry.is_directory)
        return err_set(err, -EISDIR, "%s on the boot partition is a directory", name);
    release(fat, entry.cluster);
    fatdir_remove(&directory->dir, &entry);
    return 0;
}

static int put_file(struct fat *fat, uint32_t parent, const char *name, const void *data, size_t size, struct err *err) {
    cleanup(directory_done) struct directory directory = {0};
    uint32_t cluster = 0;
    int r = load_directory(fat, parent, &directory, err);
    if (r >= 0)
        r = replace(fat, &directory, name, err);
    if (r >= 0)
        r = allocate(fat, size, &cluster, err);
    if (r >= 0)
        r = write_chain(fat, cluster, data, size, err);
    if (r >= 0)
        r = add(fat, &directory, name, false, cluster, size, err);
    return r < 0 ? r : save_directory(fat, &directory, err);
}

static bool is_name(const char *name) {
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if (name[i] <= ' ' || name[i] > '~' || strchr("\"*/:<>?\\|", name[i]))
            return false;
    return length > 0 && length <= FATDIR_MAX_NAME && name[0] != '.' && name[length - 1] != '.';
}

int fat_put(struct fat *fat, const char *path, const void *data, size_t size, struct err *err) {
    const char *slash = strchr(path, '/'), *name = slash ? slash + 1 : path;
    cleanup_free char *parent = str_printf("%.*s", slash ? (int)(slash - path) : 0, path);
    uint32_t directory = fat->root;
    if (!is_name(name) || (slash && !is_name(parent)) || size > FAT_MAX_FILE_BYTES)
        return err_set(err, -EINVAL, "%s cannot be put onto the boot partition", path);
    int r = slash ? enter(fat, fat->root, parent, &directory, err) : 0;
    return r < 0 ? r : put_file(fat, directory, name, data, size, err);
}

// The directory of a path, from the root.
static int walk(const struct fat *fat, const char *path, uint32_t *ret_cluster, struct err *err) {
    *ret_cluster = fat->root;
    for (const char *end; *path; path = end + (*end == '/')) {
        cleanup(directory_done) struct directory directory = {0};
        struct fatdir_entry entry;
        end = strchrnul(path, '/');
        cleanup_free char *name = str_printf("%.*s", (int)(end - path), path);
        int r = load_directory(fat, *ret_cluster, &directory, err);
        if (r < 0)
            return r;
        if (!fatdir_find(&directory.dir, name, &entry) || !entry.is_directory)
            return err_set(err, -ENOENT, "%s: the boot partition has no directory %s", fat->name, name);
        *ret_cluster = entry.cluster;
    }
    return 0;
}

int fat_reserve(struct fat *fat, const char *path, size_t bytes, struct err *err) {
    cleanup(directory_done) struct directory directory = {0};
    uint32_t cluster;
    if (bytes > FAT_MAX_DIRECTORY_BYTES)
        return err_set(err, -EINVAL, "%s: a directory of %zu bytes is too large", fat->name, bytes);
    int r = walk(fat, path, &cluster, err);
    if (r >= 0)
        r = load_directory(fat, cluster, &directory, err);
    while (r >= 0 && directory.dir.size < bytes)
        r = grow(fat, &directory, err);
    return r < 0 ? r : save_directory(fat, &directory, err);
}

static int save_info(struct fat *fat, struct err *err) {
    cleanup_free uint8_t *info = mem_aligned(SECTOR_BYTES);
    uint64_t unused = 0;
    int r = get(fat, info, SECTOR_BYTES, fat->info_at, err);
    if (r < 0 || le_get(info + INFO_MAGIC, 4) != 0x61417272)
        return r;
    for (uint32_t cluster = FIRST_CLUSTER; is_cluster(fat, cluster); cluster++)
        unused += next_of(fat, cluster) == 0;
    le_put(info + FREE_CLUSTERS, 4, unused);
    return put(fat, info, SECTOR_BYTES, fat->info_at, err);
}

int fat_save(struct fat *fat, struct err *err) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < fat->tables; i++)
        r = put(fat, fat->table, fat->table_bytes, fat->table_at + i * fat->table_bytes, err);
    return r < 0 || !fat->info_at ? r : save_info(fat, err);
}

static int read_back(const struct fat *fat, const struct written *written, struct err *err) {
    cleanup_free uint8_t *data = mem_aligned(written->size);
    uint8_t sha256[SHA256_BYTES];
    int r = get(fat, data, written->size, written->at, err);
    if (r < 0)
        return r;
    sha256_hash(data, written->size, sha256);
    explicit_bzero(data, written->size); // of secrets, too
    return memcmp(sha256, written->sha256, sizeof(sha256)) == 0
               ? 0
               : err_set(err, -EIO,
                         "%s: bytes %llu to %llu were read back otherwise than they were written: the disk, its cable or the memory is bad",
                         fat->name, (unsigned long long)(fat->offset + written->at),
                         (unsigned long long)(fat->offset + written->at + written->size - 1));
}

static int compare_places(const void *a, const void *b) {
    const struct written *left = a, *right = b;
    if (left->at != right->at)
        return left->at < right->at ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

// A place that was written more than once, always with the same size (a cluster, a table, a sector), has what came last.
int fat_read_back(struct fat *fat, struct err *err) {
    int r = 0;
    (void)posix_fadvise(fat->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (fat->written_count)
        qsort(fat->written, fat->written_count, sizeof(*fat->written), compare_places);
    for (size_t i = 0; r >= 0 && i < fat->written_count; i++)
        if (i + 1 == fat->written_count || fat->written[i + 1].at != fat->written[i].at)
            r = read_back(fat, &fat->written[i], err);
    return r;
}
