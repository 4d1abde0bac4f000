// SPDX-License-Identifier: Apache-2.0
// init + plan + modules → newc archive → zstd child → file. Entries are added in sorted order with fixed metadata.
#include "builder/initramfs.h"
#include "common/file.h"
#include "common/run.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define INIT_MAX_BYTES (1 << 20)

static void archive_done(struct archive **archive) {
    archive_write_free(*archive);
}
static void entry_done(struct archive_entry **entry) {
    archive_entry_free(*entry);
}

struct writer {
    struct archive *archive;
    unsigned inode; // sequential, so that archives do not depend on where files lay
};

static int add_entry(struct writer *writer, const char *path, mode_t mode, const void *data, size_t size, struct err *err) {
    cleanup(entry_done) struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, path);
    archive_entry_set_mode(entry, mode);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_set_mtime(entry, 0, 0);
    archive_entry_set_nlink(entry, S_ISDIR(mode) ? 2 : 1);
    archive_entry_set_ino(entry, ++writer->inode);
    archive_entry_set_size(entry, (int64_t)size);
    if (archive_write_header(writer->archive, entry) != ARCHIVE_OK ||
        (size && archive_write_data(writer->archive, data, size) != (ssize_t)size))
        return err_set(err, -EIO, "initramfs: writing %s: %s", path, archive_error_string(writer->archive));
    return 0;
}

// Paths of all modules in the archive's order, which is that of strcmp, not of the indices beyond 999.
struct named_module {
    char *path;
    unsigned index;
};

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const struct named_module *)a)->path, ((const struct named_module *)b)->path);
}

static int add_modules(struct writer *writer, const struct modules *modules, struct err *err) {
    cleanup_free struct named_module *order = mem_array(modules->count, sizeof(*order));
    for (unsigned i = 0; i < modules->count; i++)
        order[i] = (struct named_module){modules_initramfs_path(modules, i), i};
    qsort(order, modules->count, sizeof(*order), compare_paths);
    int r = add_entry(writer, "modules", S_IFDIR | 0755, NULL, 0, err);
    for (unsigned i = 0; i < modules->count; i++) {
        cleanup_buf struct buf data = {0};
        if (r == 0)
            r = modules_read(modules, order[i].index, &data, err);
        if (r == 0)
            r = add_entry(writer, order[i].path, S_IFREG | 0644, data.data, data.size, err);
        free(order[i].path);
    }
    return r;
}

int initramfs_write_cpio(const struct initramfs_input *input, int fd, struct err *err) {
    cleanup(archive_done) struct archive *archive = archive_write_new();
    cleanup_free char *init = NULL;
    size_t init_size = 0;
    struct writer writer = {archive, 0};
    archive_write_set_format_cpio_newc(archive);
    archive_write_set_bytes_in_last_block(archive, 512);
    if (archive_write_open_fd(archive, fd) != ARCHIVE_OK)
        return err_set(err, -EIO, "initramfs: %s", archive_error_string(archive));
    int r = file_read(AT_FDCWD, input->init_path, INIT_MAX_BYTES, &init, &init_size, err);
    if (r == 0)
        r = add_entry(&writer, "init", S_IFREG | 0755, init, init_size, err);
    if (r == 0)
        r = add_modules(&writer, input->modules, err);
    if (r == 0)
        r = add_entry(&writer, "plan", S_IFREG | 0644, input->plan, strlen(input->plan), err);
    if (r == 0 && archive_write_close(archive) != ARCHIVE_OK)
        r = err_set(err, -EIO, "initramfs: %s", archive_error_string(archive));
    return r;
}

// The archive goes through a nameless file beside the target, not a pipe: the compressor's death is then an exit status and no SIGPIPE.
static int compress_cpio(const struct initramfs_input *input, int dir_fd, const char *path, int out, struct err *err) {
    char level[16];
    snprintf(level, sizeof(level), "-%d", input->zstd_level);
    cleanup_free char *plain_path = str_printf("%s.cpio", path);
    cleanup_fd int plain = file_open(dir_fd, plain_path, O_RDWR | O_CREAT | O_TRUNC, 0600, err);
    if (plain < 0)
        return plain;
    unlinkat(dir_fd, plain_path, 0);
    int r = initramfs_write_cpio(input, plain, err);
    if (r < 0)
        return r;
    if (lseek(plain, 0, SEEK_SET) < 0)
        return err_sys(err, -errno, "%s", plain_path);
    const char *const *argv =
        input->is_gzip ? RUN_ARGV("gzip", "-n", "-9", "-c") : RUN_ARGV("zstd", "-q", "-c", "--no-check", "-T1", level);
    r = run(&(struct run){.argv = argv, .in = plain, .out = out}, err);
    return r < 0 ? err_prefix(err, r, "initramfs") : 0;
}

int initramfs_create(const struct initramfs_input *input, int dir_fd, const char *path, uint64_t *ret_size, struct err *err) {
    struct stat st;
    if (input->zstd_level < 1 || input->zstd_level > 19)
        return err_set(err, -EINVAL, "initramfs: zstd level %d is not 1 to 19", input->zstd_level);
    cleanup_fd int fd = file_open(dir_fd, path, O_RDWR | O_CREAT | O_TRUNC, 0644, err);
    if (fd < 0)
        return fd;
    int r = compress_cpio(input, dir_fd, path, fd, err);
    if (r == 0 && fstat(fd, &st) < 0)
        r = err_sys(err, -errno, "%s", path);
    if (r < 0) {
        unlinkat(dir_fd, path, 0);
        return r;
    }
    if (ret_size)
        *ret_size = (uint64_t)st.st_size;
    return 0;
}
