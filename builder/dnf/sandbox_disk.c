// SPDX-License-Identifier: Apache-2.0
// The tree of a vendor's disk with rpm packages, inside the sandbox: what comes on standard input is unpacked, gets its database in the place and format
// of our images, and loses the packages that are the vendor's way of starting a machine.
#include "builder/dnf/rpm_database.h"
#include "builder/dnf/sandbox_rpm.h"
#include "builder/sandbox_jobs.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

// Labels are not taken over: they are set anew. Devices are the kernel's.
static int unpack(struct err *err) {
    const struct run tar = {.argv = RUN_ARGV("tar", "--extract", "--file=-", "--directory=root", "--numeric-owner",
                                             "--preserve-permissions", "--xattrs", "--xattrs-include=security.capability",
                                             "--xattrs-include=user.*", "--exclude=./dev/*"),
                            .in = RUN_INHERIT};
    int r = sandbox_make_dir("root", err);
    return r < 0 ? r : run(&tar, err);
}

static int put_database(const char *database, struct err *err) {
    int r = file_remove_tree(AT_FDCWD, "root" RPM_DATABASE, err);
    if (r >= 0)
        r = sandbox_make_dir("root" RPM_DATABASE, err);
    cleanup_fd int from = r < 0 ? r : file_open(AT_FDCWD, database, O_RDONLY, 0, err);
    if (from < 0)
        return from;
    cleanup_fd int to = file_open(AT_FDCWD, "root" RPM_DATABASE "/" RPM_DATABASE_FILE, O_WRONLY | O_CREAT | O_EXCL, 0644, err);
    return to < 0 ? to : file_copy_fd(from, to, "the rpm database", NULL, err);
}

static int erase(const char *root, char **packages, size_t count, struct err *err) {
    const char *const start[] = {"rpm", "--root", root, "--dbpath", RPM_DATABASE, "-e"};
    cleanup_free const char **argv = mem_array(ARRAY_SIZE(start) + count + 1, sizeof(*argv));
    memcpy(argv, start, sizeof(start));
    for (size_t i = 0; i < count; i++)
        argv[ARRAY_SIZE(start) + i] = packages[i];
    const struct run command = {.argv = argv};
    int r = sandbox_rpm_mask_hooks(err);
    if (r >= 0)
        r = run(&command, err);
    return r < 0 ? r : sandbox_rpm_unmask_hooks(err);
}

int sandbox_job_disk(int argc, char **argv, struct err *err) {
    cleanup_free char *here = get_current_dir_name(), *root = str_printf("%s/root", here);
    int r = argc >= 4 && setenv("SOURCE_DATE_EPOCH", argv[0], 1) == 0 ? unpack(err) : err_set(err, -EINVAL, "disk: arguments are missing");
    if (r >= 0)
        r = sandbox_check_tree(err);
    if (r >= 0)
        r = put_database(argv[3], err);
    if (r >= 0)
        r = sandbox_mount_inside(false, err);
    if (r >= 0 && argc > 4)
        r = erase(root, argv + 4, (size_t)(argc - 4), err);
    if (r >= 0)
        r = sandbox_rpm_finish(root, argv[1], argv[2], err);
    return r < 0 ? r : sandbox_stream("root", err);
}
