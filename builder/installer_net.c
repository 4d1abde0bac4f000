// SPDX-License-Identifier: Apache-2.0
// The initramfs for booting from the network. The kernel unpacks archives one behind the other, so what a medium would hold is a plain archive
// in front of the medium's own compressed initramfs.
#include "builder/installer.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/secretpack.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 20)
#define CPIO_MAX_BYTES UINT32_MAX // of one file: its size is eight hexadecimal digits
#define BLOCK_BYTES 512 // the next archive begins on a multiple of four

static void archive_done(struct archive **archive) {
    archive_write_free(*archive);
}
static void entry_done(struct archive_entry **entry) {
    archive_entry_free(*entry);
}

struct writer {
    struct archive *archive;
    unsigned inode;
};

static int failed(const struct writer *writer, const char *name, struct err *err) {
    return err_set(err, -EIO, "initramfs: writing %s: %s", name, archive_error_string(writer->archive));
}

static int add_entry(struct writer *writer, const char *name, mode_t mode, uint64_t size, struct err *err) {
    cleanup(entry_done) struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_mode(entry, mode);
    archive_entry_set_mtime(entry, 0, 0);
    archive_entry_set_nlink(entry, S_ISDIR(mode) ? 2 : 1);
    archive_entry_set_ino(entry, ++writer->inode);
    archive_entry_set_size(entry, (int64_t)size);
    return archive_write_header(writer->archive, entry) == ARCHIVE_OK ? 0 : failed(writer, name, err);
}

static int add_file(struct writer *writer, const char *name, mode_t mode, const char *path, struct err *err) {
    cleanup_free char *piece = mem_array(PIECE_BYTES, 1);
    struct stat st;
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "%s", path);
    if ((uint64_t)st.st_size > CPIO_MAX_BYTES)
        return err_set(err, -EFBIG, "%s has more than 4 GiB, too much for an initramfs", path);
    int r = add_entry(writer, name, S_IFREG | mode, (uint64_t)st.st_size, err);
    for (off_t left = st.st_size; r == 0 && left > 0;) {
        ssize_t got = read(fd, piece, PIECE_BYTES);
        if (got <= 0)
            return err_sys(err, got < 0 ? -errno : -ENODATA, "reading %s", path);
        if (archive_write_data(writer->archive, piece, (size_t)got) != got)
            return failed(writer, name, err);
        left -= got;
    }
    return r;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_secrets(struct writer *writer, const char *dir, struct err *err) {
    char *names[SECRETPACK_MAX_SECRETS];
    size_t count = 0;
    cleanup_dir DIR *handle = opendir(dir);
    if (!handle)
        return err_sys(err, -errno, "%s", dir);
    for (struct dirent *entry; count < ARRAY_SIZE(names) && (entry = readdir(handle));)
        if (entry->d_name[0] != '.')
            names[count++] = str_dup(entry->d_name);
    qsort(names, count, sizeof(*names), compare_names);
    int r = add_entry(writer, "medium/webops/secrets", S_IFDIR | 0700, 0, err);
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *name = str_printf("medium/webops/secrets/%s", names[i]), *path = str_printf("%s/%s", dir, names[i]);
        if (r == 0)
            r = add_file(writer, name, 0600, path, err);
        free(names[i]);
    }
    return r;
}

static int add_seed(struct writer *writer, const char *seed_dir, struct err *err) {
    cleanup_free char *config = str_printf("%s/user-data", seed_dir), *secrets = str_printf("%s/secrets", seed_dir),
                      *envelope = str_printf("%s/secrets.cms", seed_dir);
    int r = add_file(writer, "medium/webops/config.env", 0600, config, err);
    if (r == 0 && file_exists(AT_FDCWD, secrets))
        r = add_secrets(writer, secrets, err);
    if (r == 0 && file_exists(AT_FDCWD, envelope))
        r = add_file(writer, "medium/webops/secrets.cms", 0600, envelope, err);
    return r;
}

static int write_archive(const struct installer *installer, const char *seed_dir, int fd, struct err *err) {
    cleanup(archive_done) struct archive *archive = archive_write_new();
    struct writer writer = {.archive = archive};
    cleanup_free char *slot = graph_path(&installer->build->cache, installer->build->slot, "slot");
    archive_write_set_format_cpio_newc(archive);
    archive_write_set_bytes_in_last_block(archive, BLOCK_BYTES);
    if (archive_write_open_fd(archive, fd) != ARCHIVE_OK)
        return failed(&writer, "its head", err);
    int r = add_entry(&writer, "medium", S_IFDIR | 0755, 0, err);
    if (r == 0)
        r = add_entry(&writer, "medium/webops", S_IFDIR | 0755, 0, err);
    if (r == 0 && seed_dir)
        r = add_seed(&writer, seed_dir, err);
    if (r == 0)
        r = add_file(&writer, "medium/webops/slot.img", 0644, slot, err);
    if (r == 0 && archive_write_close(archive) != ARCHIVE_OK)
        r = failed(&writer, "its end", err);
    return r;
}

int installer_save_initrd(const struct installer *installer, const char *seed_dir, const char *path, struct err *err) {
    cleanup_free char *initrd = graph_path(&installer->build->cache, installer->build->installer_initramfs, "initrd");
    cleanup_fd int to = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, err);
    cleanup_fd int from = to < 0 ? to : file_open(AT_FDCWD, initrd, O_RDONLY, 0, err);
    int r = from < 0 ? from : write_archive(installer, seed_dir, to, err);
    return r < 0 ? r : file_copy_fd(from, to, path, NULL, err);
}
