// SPDX-License-Identifier: Apache-2.0
// The inner half, as process 1 of its namespaces: mounts, unpacks, installs, and ends as the tar that streams the result. Whatever
// it mounts or starts is gone with it.
#include "builder/deb.h"
#include "builder/sandbox_jobs.h"
#include "builder/sandbox.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/opt.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

int sandbox_make_dir(const char *path, struct err *err) {
    return file_mkdirs(AT_FDCWD, path, 0755, err);
}

static int do_mount(const char *what, const char *where, const char *type, unsigned long flags, const char *data, struct err *err) {
    int r = sandbox_make_dir(where, err);
    if (r < 0)
        return r;
    if (mount(what, where, type, flags, data) < 0)
        return err_sys(err, -errno, "cannot mount %s on %s", type ? type : what, where);
    return 0;
}

static int job_exec(char **argv, struct err *err) {
    execvp(argv[0], argv);
    return err_sys(err, -errno, "cannot start %s", argv[0]);
}

// base <epoch> <command…>: the bootstrap tool finds a private TMPDIR.
static int job_base(int argc, char **argv, struct err *err) {
    char *cwd = get_current_dir_name();
    int r = cwd ? 0 : err_sys(err, -errno, "cannot find the work directory");
    if (r >= 0 && (setenv("TMPDIR", cwd, 1) < 0 || setenv("SOURCE_DATE_EPOCH", argv[0], 1) < 0))
        r = err_set(err, -ENOMEM, "out of memory");
    free(cwd);
    return r < 0 ? r : argc < 2 ? err_set(err, -EINVAL, "no command") : job_exec(argv + 1, err);
}

int sandbox_unpack_lower(unsigned number, const char *squashfs, struct buf *lowerdir, struct err *err) {
    cleanup_free char *dir = str_printf("lower/%u", number);
    // Caches of 32 MiB instead of 256: as fast, and half a gigabyte less.
    struct run run = {.argv = RUN_ARGV("unsquashfs", "-quiet", "-no-progress", "-da", "32", "-fr", "32", "-d", dir, squashfs)};
    struct buf above = {0};
    buf_printf(&above, "%s%s%s", dir, lowerdir->size ? ":" : "", buf_str(lowerdir));
    buf_done(lowerdir);
    *lowerdir = above;
    return run_quiet(&run, err);
}

static bool is_mapped_user(void) { // the initial user namespace maps everything onto itself
    cleanup_free char *map = NULL;
    struct err ignored;
    if (file_read(AT_FDCWD, "/proc/self/uid_map", 65536, &map, NULL, &ignored) < 0)
        return false;
    char *outside = map;
    (void)strtoul(map, &outside, 10); // first id inside, then the id outside that it stands for
    return strtoul(outside, NULL, 10) != 0;
}

int sandbox_mount_overlay(const char *lowerdir, struct err *err) {
    cleanup_free char *options = str_printf("lowerdir=%s,upperdir=upper,workdir=ovl,%s", lowerdir,
                                            is_mapped_user() ? "userxattr" : "index=off,metacopy=off,redirect_dir=off");
    int r = sandbox_make_dir("upper", err);
    if (r >= 0)
        r = sandbox_make_dir("ovl", err);
    return r < 0 ? r : do_mount("overlay", "root", "overlay", 0, options, err);
}

int sandbox_check_directory(const char *path, struct err *err) {
    for (const char *end = path; *end; end++) {
        end = strchrnul(end, '/');
        cleanup_free char *part = str_printf("root/%.*s", (int)(end - path), path);
        struct stat info;
        if (lstat(part, &info) < 0)
            return errno == ENOENT ? 0 : err_sys(err, -errno, "cannot look at %s", part);
        if (!S_ISDIR(info.st_mode))
            return err_set(err, -EINVAL, "%s: is no directory in the image", part + strlen("root"));
        if (!*end)
            break;
    }
    return 0;
}

int sandbox_check_tree(struct err *err) {
    static const char *const paths[] = {
        "dev", "etc/kernel/install.d", "proc", "run", "sys", "tmp", "usr/lib/sysimage", "usr/share/factory/var", "var"};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(paths); i++)
        r = sandbox_check_directory(paths[i], err);
    return r;
}

static int bind_device(const char *name, struct err *err) {
    cleanup_free char *from = str_printf("/dev/%s", name), *to = str_printf("root/dev/%s", name);
    cleanup_fd int fd = file_open(AT_FDCWD, to, O_CREAT | O_WRONLY, 0666, err);
    if (fd < 0)
        return fd;
    return mount(from, to, NULL, MS_BIND, NULL) < 0 ? err_sys(err, -errno, "cannot put %s into the build root", from) : 0;
}

int sandbox_mount_inside(bool has_factory, struct err *err) {
    static const struct {
        const char *what, *where, *type;
        unsigned long flags;
        const char *data;
    } mounts[] = {
        {"root/usr/share/factory/var", "root/var", NULL, MS_BIND, NULL}, // where the packages' /var is kept
        {"proc", "root/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"tmpfs", "root/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
        {"tmpfs", "root/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"},
        {"tmpfs", "root/dev", "tmpfs", MS_NOSUID, "mode=0755"},
        {"tmpfs", "root/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
    };
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    int r = 0;
    for (size_t i = has_factory ? 0 : 1; r >= 0 && i < ARRAY_SIZE(mounts); i++)
        r = do_mount(mounts[i].what, mounts[i].where, mounts[i].type, mounts[i].flags, mounts[i].data, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(devices); i++)
        r = bind_device(devices[i], err);
    return r;
}

#define POLICY_PATH "root/usr/sbin/policy-rc.d"

static int forbid_services(struct err *err) { // invoke-rc.d(8): 101 = action forbidden by policy
    static const char text[] = "#!/bin/sh\nexit 101\n";
    return file_publish(AT_FDCWD, POLICY_PATH, text, strlen(text), 0755, err);
}

static int install(const char *work, const char *repository, const char *architecture, char **packages, size_t count, struct err *err) {
    cleanup_free char *root = str_printf("%s/root", work), *apt = str_printf("%s/apt", work);
    cleanup_free char *status = str_printf("%s/usr/lib/sysimage/dpkg/status", root);
    cleanup_free char *archives = str_printf("%s/run/webops-archives", root);
    cleanup_free char *sources = str_printf("deb [trusted=yes] copy:%s ./\n", repository);
    struct apt_root_options options = {
        .dir = apt, .architecture = architecture, .sources = sources, .status = status, .archives = archives, .chroot = root};
    int r = apt_root_make(&options, err);
    cleanup_free char *config = str_printf("%s/apt.conf", apt);
    if (r < 0 || setenv("APT_CONFIG", config, 1) < 0)
        return r < 0 ? r : -ENOMEM;
    struct run update = {.argv = RUN_ARGV("apt-get", "-qq", "update")};
    r = run(&update, err);
    cleanup_free const char **argv = mem_array(count + 8, sizeof(*argv));
    static const char *const start[] = {"apt-get", "-qq", "--yes", "--no-remove", "install"};
    memcpy(argv, start, sizeof(start));
    for (size_t i = 0; i < count; i++)
        argv[ARRAY_SIZE(start) + i] = packages[i];
    struct run command = {.argv = argv};
    return r < 0 ? r : run(&command, err);
}

int sandbox_stream(const char *tree, struct err *err) {
    const char *const argv[] = {"tar",
                                "--one-file-system",
                                "--sort=name",
                                "--numeric-owner",
                                "--xattrs",
                                "--xattrs-include=*",
                                "--format=pax",
                                "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
                                "--warning=no-file-ignored",
                                "-C",
                                tree,
                                "-cf",
                                "-",
                                ".",
                                NULL};
    execvp(argv[0], (char *const *)argv);
    return err_sys(err, -errno, "cannot start tar");
}

// layer <epoch> <architecture> <repository> <squashfs…> -- <name=version…>
static int job_layer(int argc, char **argv, struct err *err) {
    cleanup_buf struct buf lowerdir = {0};
    cleanup_free char *work = get_current_dir_name();
    int at = 3, r = work && argc > 3 ? sandbox_make_dir("lower", err) : err_set(err, -EINVAL, "layer: arguments are missing");
    for (; r >= 0 && at < argc && strcmp(argv[at], "--") != 0; at++)
        r = sandbox_unpack_lower((unsigned)(at - 3), argv[at], &lowerdir, err);
    if (r >= 0 && (at + 1 >= argc || setenv("SOURCE_DATE_EPOCH", argv[0], 1) < 0))
        r = err_set(err, -EINVAL, "layer: nothing to install");
    if (r >= 0)
        r = sandbox_mount_overlay(buf_str(&lowerdir), err);
    if (r >= 0)
        r = sandbox_check_tree(err);
    if (r >= 0)
        r = sandbox_check_directory("usr/sbin", err);
    if (r >= 0)
        r = sandbox_mount_inside(true, err);
    if (r >= 0)
        r = forbid_services(err);
    if (r >= 0)
        r = install(work, argv[2], argv[1], argv + at + 1, (size_t)(argc - at - 1), err);
    if (r >= 0 && unlink(POLICY_PATH) < 0)
        r = err_sys(err, -errno, "cannot remove %s", POLICY_PATH);
    return r < 0 ? r : sandbox_stream("upper", err);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv, struct err *err);
} jobs[] = {{"base", job_base}, {"layer", job_layer}, {"rpm", sandbox_job_rpm}, {"disk", sandbox_job_disk}};

static int prepare(const char *work, const char *memory, struct err *err) {
    umask(022);
    if (strcmp(memory, "0") != 0) {
        cleanup_free char *options = str_printf("mode=0755,size=%s", memory);
        int r = do_mount("tmpfs", work, "tmpfs", 0, options, err);
        if (r < 0)
            return r;
    }
    return chdir(work) < 0 ? err_sys(err, -errno, "cannot enter %s", work) : 0;
}

int sandbox_main(int argc, char **argv) { // argv: program, verb, work, memory, job, arguments
    struct err err = {0};
    int r = argc < 6 ? err_set(&err, -EINVAL, "%s is for our own use", SANDBOX_VERB) : prepare(argv[2], argv[3], &err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(jobs); i++)
        if (strcmp(argv[4], jobs[i].name) == 0)
            r = jobs[i].run(argc - 5, argv + 5, &err);
    dprintf(STDERR_FILENO, "E: %s\n", err.text[0] ? err.text : "no such job");
    return EXIT_PERMANENT;
}
