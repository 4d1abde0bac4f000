// SPDX-License-Identifier: Apache-2.0
// Runs mksquashfs. Every time stamp, owner and mode that is not in the stream is given, so that nothing of the machine gets in.
#include "builder/squashfs.h"
#include "common/digest.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static int start(struct squashfs *s, const struct layer_format *format, int read_fd, struct err *err) {
    cleanup_free char *level = str_printf("%d", format->is_gzip && format->zstd_level > 9 ? 9 : format->zstd_level);
    cleanup_free char *block = str_printf("%u", format->block_size);
    cleanup_free char *epoch = str_printf("%lld", (long long)format->epoch);
    cleanup_tool_env char **env = tool_env((const char *const[]){NULL});
    // mksquashfs gives the root directory to whoever runs it and heeds neither -root-uid nor -p for a tar, so it runs as a mapped uid 0.
    const char *const argv[] = {"unshare",
                                "--map-root-user",
                                "--",
                                "mksquashfs",
                                "-",
                                s->path,
                                "-tar",
                                "-comp",
                                format->is_gzip ? "gzip" : "zstd",
                                "-Xcompression-level",
                                level,
                                "-b",
                                block,
                                "-noappend",
                                "-no-progress",
                                "-quiet",
                                "-mkfs-time",
                                epoch,
                                "-all-time",
                                epoch,
                                "-root-mode",
                                "0755",
                                "-root-time",
                                epoch,
                                "-xattrs",
                                "-mem", // its default is a quarter of the machine's memory, which makes it neither faster nor smaller
                                "64M",
                                NULL};
    struct run run = {
        .argv = argv + (geteuid() == 0 ? 3 : 0),
        .env = (const char *const *)env,
        .in = read_fd,
        .out = s->log_fd,
        .error = s->log_fd,
    };
    return run_start(&run, &s->pid, err);
}

static void done(struct squashfs *s) {
    if (s->in_fd >= 0)
        close(s->in_fd);
    if (s->log_fd >= 0)
        close(s->log_fd);
    free(s->path);
    *s = (struct squashfs){.in_fd = -1, .log_fd = -1, .pid = -1};
}

int squashfs_start(const char *path, const struct layer_format *format, struct squashfs *ret_squashfs, struct err *err) {
    int pipes[2];
    struct squashfs s = {.pid = -1, .in_fd = -1, .log_fd = tool_log_open(err)};
    if (s.log_fd < 0)
        return s.log_fd;
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        int r = err_sys(err, -errno, "cannot make a pipe");
        done(&s);
        return r;
    }
    cleanup_fd int read_fd = pipes[0];
    s.in_fd = pipes[1];
    s.path = str_dup(path);
    (void)fcntl(s.in_fd, F_SETPIPE_SZ, 1 << 20); // fewer switches between the two processes; the default works too
    int r = start(&s, format, read_fd, err);
    if (r < 0)
        done(&s);
    else
        *ret_squashfs = s;
    return r;
}

int squashfs_finish(struct squashfs *s, uint64_t *ret_bytes, char ret_sha256[65], struct err *err) {
    close(take_fd(&s->in_fd));
    struct run run = {.argv = RUN_ARGV("mksquashfs")};
    int r = run_wait(&run, s->pid, err);
    s->pid = -1;
    if (r < 0) {
        tool_log_append(s->log_fd, err);
        (void)err_prefix(err, r, "writing %s", s->path);
    } else {
        r = digest_file(AT_FDCWD, s->path, ret_sha256, ret_bytes, err);
    }
    if (r < 0)
        unlink(s->path);
    done(s);
    return r;
}

void squashfs_abort(struct squashfs *s) {
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (s->path)
        unlink(s->path);
    done(s);
}
