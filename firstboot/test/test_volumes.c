// SPDX-License-Identifier: Apache-2.0
// File systems opened without a place, with the calls for that and, on older kernels, without: by root on a loop device. Which devices are looked at is
// test_discover.c's.
#include "firstboot/test/support.h"
#include "common/run.h"
#include "common/test/older_kernel.h"
#include "firstboot/volumes.h"
#include <sys/statvfs.h>

struct disk {
    struct support_root root;
    char *image, *loop; // "/dev/loop0"; NULL = none to be had
};

static int set_up(void **state) {
    struct disk *disk = mem_array(1, sizeof(*disk));
    struct err err;
    size_t size = 0;
    *state = disk;
    disk->root = support_root_make();
    disk->image = str_printf("%s/image", disk->root.path);
    support_write(&disk->root, "content/config.env", "HOSTNAME=a\n");
    support_write(&disk->root, "run/webops/x", "");
    cleanup_free char *content = str_printf("%s/content", disk->root.path);
    assert_int_equal(run_quiet(&(struct run){.argv = RUN_ARGV("mkfs.ext4", "-q", "-d", content, disk->image, "2M")}, &err), 0);
    const struct run losetup = {.argv = RUN_ARGV("losetup", "--find", "--show", disk->image)};
    if (geteuid() == 0 && run_capture(&losetup, 64, &disk->loop, &size, &err) == 0)
        disk->loop[size - 1] = 0;
    return 0;
}

static int tear_down(void **state) {
    struct disk *disk = *state;
    struct err err;
    int r = disk->loop ? run_quiet(&(struct run){.argv = RUN_ARGV("losetup", "--detach", disk->loop)}, &err) : 0;
    support_root_done(&disk->root);
    free(disk->image);
    free(disk->loop);
    free(disk);
    return r;
}

static void read_it(void *data) {
    const struct disk *disk = data;
    struct err err = {0};
    struct statvfs about;
    cleanup_free char *text = NULL, *mounts = NULL;
    cleanup_fd int fd = volume_open(disk->root.fd, disk->loop, "ext4", &err);
    if (fd < 0)
        fail_msg("%s", err.text);
    assert_int_equal(file_read(fd, "config.env", 100, &text, NULL, &err), 0);
    assert_string_equal(text, "HOSTNAME=a\n");
    assert_int_equal(fstatvfs(fd, &about), 0);
    const unsigned long strict = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
    assert_int_equal(about.f_flag & strict, strict);
    assert_int_equal(openat(fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
    assert_int_equal(errno, EROFS);
    assert_int_equal(file_read(AT_FDCWD, "/proc/self/mounts", 1 << 20, &mounts, NULL, &err), 0);
    assert_null(strstr(mounts, disk->loop)); // it has no place
    cleanup_free char *place = str_printf("run/webops/mount.%d", (int)getpid());
    assert_false(file_exists(disk->root.fd, place));
}

static void an_ext4_volume(void **state) {
    const struct disk *disk = *state;
    if (!disk->loop) {
        print_message("no loop device for this user: nothing to look at\n");
        return;
    }
    on_kernel_without(0, read_it, *state);
    on_kernel_without(SYS_fsopen, read_it, *state);
}

static void refuse_it(void *data) {
    const struct disk *disk = data;
    struct err err = {0};
    assert_true(volume_open(disk->root.fd, disk->loop, "iso9660", &err) < 0);
    assert_non_null(strstr(err.text, disk->loop));
    cleanup_free char *place = str_printf("run/webops/mount.%d", (int)getpid());
    assert_false(file_exists(disk->root.fd, place));
}

static void another_file_system(void **state) {
    const struct disk *disk = *state;
    if (!disk->loop)
        return;
    on_kernel_without(0, refuse_it, *state);
    on_kernel_without(SYS_fsopen, refuse_it, *state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_ext4_volume, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_file_system, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
