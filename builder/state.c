// SPDX-License-Identifier: Apache-2.0
// mkfs.ext4 with every choice spelt out, so that neither the host's mke2fs.conf nor its e2fsprogs version changes the result.
#include "builder/state.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

// resize_inode with room for 4 TiB in 4 KiB blocks; beyond that the kernel goes on with meta_bg by itself, which needs 64bit.
#define FEATURES                                                                                                                           \
    "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,"           \
    "metadata_csum,resize_inode"
#define MAX_BLOCKS_ONLINE "1073741824"

static int make_file_system(const struct identity *identity, uint64_t size, uint64_t epoch, const char *path, struct err *err) {
    char uuid[IDENTITY_UUID_BYTES], hash_seed[IDENTITY_UUID_BYTES];
    identity_uuid(identity, "state", uuid);
    identity_uuid(identity, "state directory hashes", hash_seed);
    const char *search = getenv("PATH");
    cleanup_free char *extended =
        str_printf("hash_seed=%s,root_owner=0:0,resize=" MAX_BLOCKS_ONLINE ",lazy_itable_init=1,lazy_journal_init=0,nodiscard", hash_seed);
    cleanup_free char *time = str_printf("E2FSPROGS_FAKE_TIME=%" PRIu64, epoch ? epoch : 1);
    cleanup_free char *path_variable = str_printf("PATH=%s", search ? search : "/usr/sbin:/usr/bin:/sbin:/bin");
    const char *const environment[] = {path_variable, time, "TZ=UTC", "LC_ALL=C.UTF-8", "MKE2FS_CONFIG=/dev/null", NULL};
    struct run mkfs = {
        // 8192 inodes are one per 16 KiB once the first block group (128 MiB) is full, and so for all groups that growing adds.
        .argv = RUN_ARGV("mkfs.ext4", "-q", "-F", "-O", FEATURES, "-b", "4096", "-I", "256", "-N",
                         size >= STATE_MAX_FS_BYTES ? "8192" : "2048", "-m", "1", "-J", size >= STATE_MAX_FS_BYTES ? "size=16" : "size=4",
                         "-U", uuid, "-L", STATE_LABEL, "-E", extended, path),
        .env = environment,
    };
    return run_quiet(&mkfs, err);
}

int state_create(const struct identity *identity, uint64_t partition_bytes, uint64_t source_date_epoch, const char *path,
                 uint64_t *ret_size, struct err *err) {
    uint64_t size = partition_bytes < STATE_MAX_FS_BYTES ? partition_bytes : STATE_MAX_FS_BYTES;
    if (size < STATE_MIN_BYTES)
        return err_set(err, -EINVAL, "state: %" PRIu64 " bytes are too few, at least %" PRIu64 " are needed", partition_bytes,
                       STATE_MIN_BYTES);
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC, 0644, err);
    if (fd < 0)
        return fd;
    if (ftruncate(fd, (off_t)size) < 0)
        return err_sys(err, -errno, "%s", path);
    int r = make_file_system(identity, size, source_date_epoch, path, err);
    if (r < 0)
        return err_prefix(err, r, "state partition");
    *ret_size = size;
    return 0;
}
