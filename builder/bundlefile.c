// SPDX-License-Identifier: Apache-2.0
// Opens bundles and channel files; judges only their head and size.
#include "builder/bundlefile.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAGIC "WEBOPSBU"

bool bundlefile_is(const char *path) {
    char magic[sizeof(MAGIC) - 1];
    struct err ignored;
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, &ignored);
    return fd >= 0 && pread_all(fd, path, magic, sizeof(magic), 0, &ignored) >= 0 && memcmp(magic, MAGIC, sizeof(magic)) == 0;
}

static int read_head(struct bundlefile *file, struct err *err) {
    uint8_t fixed[BUNDLE_FIXED_BYTES];
    int r = pread_all(file->fd, file->path, fixed, sizeof(fixed), 0, err);
    if (r < 0)
        return r;
    r = bundle_head_parse(fixed, &file->head, err);
    if (r < 0)
        return err_prefix(err, r, "%s", file->path);
    file->head_bytes = mem_array(bundle_head_bytes(&file->head), 1);
    r = pread_all(file->fd, file->path, file->head_bytes, bundle_head_bytes(&file->head), 0, err);
    if (r < 0)
        return r;
    r = manifest_parse(file->head_bytes + BUNDLE_FIXED_BYTES, file->head.manifest_bytes, &file->manifest, err);
    return r < 0 ? err_prefix(err, r, "%s: manifest", file->path) : 0;
}

static int check_size(struct bundlefile *file, struct err *err) {
    uint64_t whole = bundle_payload_offset(&file->head) + manifest_payload_bytes(&file->manifest);
    file->is_channel = file->bytes == bundle_head_bytes(&file->head);
    if (file->is_channel || file->bytes == whole)
        return 0;
    return err_set(err, -EBADMSG, "%s: has %llu bytes, its manifest says %llu; it was cut off or something was added", file->path,
                   (unsigned long long)file->bytes, (unsigned long long)whole);
}

int bundlefile_open(const char *path, struct bundlefile *ret_file, struct err *err) {
    cleanup_bundlefile struct bundlefile file = {.path = str_dup(path)};
    struct stat st;
    file.fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (file.fd < 0)
        return file.fd;
    if (fstat(file.fd, &st) < 0)
        return err_sys(err, -errno, "%s", path);
    file.bytes = (uint64_t)st.st_size;
    int r = read_head(&file, err);
    if (r >= 0)
        r = check_size(&file, err);
    if (r < 0)
        return r;
    *ret_file = file;
    file = (struct bundlefile){.fd = -1};
    return 0;
}

void bundlefile_close(struct bundlefile *file) {
    cleanup_fd_fn(&file->fd);
    free(file->path);
    free(file->head_bytes);
    *file = (struct bundlefile){.fd = -1};
}
