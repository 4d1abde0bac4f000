// SPDX-License-Identifier: Apache-2.0
// ssh, ssh-keygen and ssh-keyscan as children. Every wait looks at the signals, too.
#include "builder/upload/rescue.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/run.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAUSE_MS 250
#define LOOK_MS 200
#define STALL_MS 120000 // without a byte that the other side takes
#define FINISH_MS 600000 // what the disk may take to write what it has
#define HASH_MS 3600000
#define COMMAND_MS 60000
#define MAX_OUTPUT 65536
#define SSH_LOST 255 // ssh's own exit status

static const char *const fixed[] = {
    "-T",
    "-F",
    "/dev/null",
    "-o",
    "BatchMode=yes",
    "-o",
    "IdentitiesOnly=yes",
    "-o",
    "StrictHostKeyChecking=yes",
    "-o",
    "GlobalKnownHostsFile=/dev/null",
    "-o",
    "UpdateHostKeys=no",
    "-o",
    "LogLevel=ERROR",
    "-o",
    "ConnectTimeout=20",
    "-o",
    "ServerAliveInterval=15",
    "-o",
    "ServerAliveCountMax=4",
    "-o",
    "Compression=no",
    "-o",
    "ForwardAgent=no",
};

// Not what the machine is configured with, and what none of its disks is: one line per disk, "name sectors mounted".
static const char list_disks[] =
    "for d in /sys/block/*; do n=${d##*/}; case $n in loop*|ram*|zram*|sr*|fd*|dm-*|md*|nbd*) continue;; esac; "
    "grep -q \"^/dev/$n\" /proc/mounts && m=mounted || m=free; echo \"disk $n $(cat $d/size) $m\"; done; "
    "for t in bash zstd dd sha256sum; do command -v $t >/dev/null || echo \"missing $t\"; done";

int rescue_make_key(const char *dir, const char *comment, char **ret_public, struct err *err) {
    cleanup_free char *key = str_printf("%s/key", dir), *public = str_printf("%s/key.pub", dir), *text = NULL;
    unlink(key);
    unlink(public);
    int r = run_quiet(&(struct run){.argv = RUN_ARGV("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key)}, err);
    if (r >= 0)
        r = file_read(AT_FDCWD, public, MAX_OUTPUT, &text, NULL, err);
    if (r < 0)
        return err_prefix(err, r, "making an SSH key");
    text[strcspn(text, "\r\n")] = 0;
    *ret_public = take_ptr(text);
    return 0;
}

// "256 SHA256:abc… comment (ED25519)"
static int read_fingerprint(const char *path, char ret[64], struct err *err) {
    cleanup_free char *text = NULL;
    int r = run_capture(&(struct run){.argv = RUN_ARGV("ssh-keygen", "-l", "-E", "sha256", "-f", path), .timeout_ms = COMMAND_MS},
                        MAX_OUTPUT, &text, NULL, err);
    if (r >= 0 && sscanf(text, "%*u %63s", ret) != 1)
        return err_set(err, -EBADMSG, "the server's host key cannot be read");
    return r;
}

static int scan(const struct rescue *rescue, const char *path, bool *ret_found, struct err *err) {
    cleanup_free char *text = NULL;
    struct err ignored;
    int r =
        run_capture(&(struct run){.argv = RUN_ARGV("ssh-keyscan", "-T", "5", "-t", "ed25519", rescue->address), .timeout_ms = COMMAND_MS},
                    MAX_OUTPUT, &text, NULL, &ignored);
    *ret_found = r >= 0 && strstr(text, " ssh-ed25519 ");
    return *ret_found ? file_publish(AT_FDCWD, path, text, strlen(text), 0600, err) : 0;
}

int rescue_pin(struct rescue *rescue, const char *wanted, int64_t timeout_ms, struct err *err) {
    cleanup_free char *path = str_printf("%s/known_hosts", rescue->dir);
    int64_t deadline = clock_ms() + timeout_ms;
    bool found = false;
    int r = 0;
    while (r >= 0 && !found) {
        r = scan(rescue, path, &found, err);
        if (r >= 0 && !found && clock_ms() > deadline)
            return err_set(err, -ETIMEDOUT, "%s: no SSH server answered within %lld s", rescue->address, (long long)timeout_ms / 1000);
        if (r >= 0 && !found)
            r = stop_sleep(rescue->stop, PAUSE_MS, err);
    }
    if (r >= 0)
        r = read_fingerprint(path, rescue->fingerprint, err);
    if (r >= 0 && wanted && strcmp(wanted, rescue->fingerprint) != 0)
        return err_set(err, -EACCES, "%s: its host key is %s, and not %s: another machine answers", rescue->address, rescue->fingerprint,
                       wanted);
    return r;
}

struct session { // one ssh
    struct run run;
    char **argv;
    int in, out, error; // our end of its input, -1 = none; files in memory
    pid_t pid;
    int pid_fd;
};

static void session_done(struct session *session) {
    struct err ignored;
    if (session->in >= 0)
        close(session->in);
    if (session->pid > 0) {
        kill(-session->pid, SIGKILL);
        (void)!run_wait(&session->run, session->pid, &ignored);
    }
    const int fds[] = {session->out, session->error, session->pid_fd};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    for (char **at = session->argv; at && *at; at++)
        free(*at);
    free(session->argv);
}

static char **make_argv(const struct rescue *rescue, const char *command) {
    char **argv = mem_array(ARRAY_SIZE(fixed) + 10, sizeof(*argv));
    size_t count = 0;
    argv[count++] = str_dup("ssh");
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        argv[count++] = str_dup(fixed[i]);
    argv[count++] = str_dup("-o");
    argv[count++] = str_printf("UserKnownHostsFile=%s/known_hosts", rescue->dir);
    argv[count++] = str_dup("-i");
    argv[count++] = str_printf("%s/key", rescue->dir);
    argv[count++] = str_printf("root@%s", rescue->address);
    argv[count++] = str_dup(command);
    return argv;
}

static int session_start(const struct rescue *rescue, const char *command, bool with_input, struct session *session, struct err *err) {
    int pipes[2] = {-1, -1};
    *session = (struct session){.argv = make_argv(rescue, command), .in = -1, .pid_fd = -1};
    session->out = memfd_create("ssh-output", MFD_CLOEXEC);
    session->error = memfd_create("ssh-error", MFD_CLOEXEC);
    if (session->out < 0 || session->error < 0)
        return err_sys(err, -errno, "memfd_create");
    if (with_input && pipe2(pipes, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "cannot make a pipe");
    session->in = pipes[1];
    cleanup_fd int other = pipes[0];
    // The deadline gives ssh a group of its own: Ctrl-C is ours to handle.
    session->run = (struct run){.argv = (const char *const *)session->argv,
                                .in = with_input ? other : 0,
                                .out = session->out,
                                .error = session->error,
                                .timeout_ms = COMMAND_MS};
    int r = run_start(&session->run, &session->pid, err);
    if (r < 0) {
        session->pid = 0;
        return r;
    }
    session->pid_fd = (int)syscall(SYS_pidfd_open, session->pid, 0);
    if (session->pid_fd < 0 || (with_input && fcntl(session->in, F_SETFL, O_NONBLOCK) < 0))
        return err_sys(err, -errno, "watching ssh");
    return 0;
}

// The last words of a command, for messages: one line.
static void last_words(int fd, char *ret, size_t size) {
    ssize_t got = pread(fd, ret, size - 1, 0);
    ret[got < 0 ? 0 : got] = 0;
    for (size_t end = strlen(ret); end > 0 && (ret[end - 1] == '\n' || ret[end - 1] == '\r');)
        ret[--end] = 0;
    for (char *at = ret; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = *at == '\n' ? '|' : '?';
}

// Waits for the end. *ret_status: ssh's exit status.
static int session_wait(const struct rescue *rescue, struct session *session, int64_t timeout_ms, int *ret_status, struct err *err) {
    int64_t deadline = clock_ms() + timeout_ms;
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)session->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
            return err_sys(err, -errno, "waiting for ssh");
        if (info.si_pid == session->pid) {
            struct err ignored;
            *ret_status = info.si_code == CLD_EXITED ? info.si_status : SSH_LOST;
            (void)!run_wait(&session->run, session->pid, &ignored);
            session->pid = 0;
            return 0;
        }
        if (clock_ms() > deadline)
            return err_set(err, -ETIMEDOUT, "%s: a command did not end within %lld s", rescue->address, (long long)timeout_ms / 1000);
        int r = stop_check(rescue->stop, err);
        if (r < 0)
            return r;
        poll((struct pollfd[]){{.fd = session->pid_fd, .events = POLLIN}, {.fd = rescue->stop->fd, .events = POLLIN}}, 2, LOOK_MS);
    }
}

static int judge(const struct rescue *rescue, const struct session *session, int status, const char *what, struct err *err) {
    char words[256];
    last_words(session->error, words, sizeof(words));
    if (status == 0)
        return 0;
    return err_set(err, status == SSH_LOST ? -EAGAIN : -EREMOTEIO, "%s on %s: %s (exit status %d)", what, rescue->address,
                   *words ? words : "the connection ended", status);
}

// A command without input; what it printed is for the caller to free.
static int command(const struct rescue *rescue, const char *line, const char *what, int64_t timeout_ms, char **ret_text, struct err *err) {
    cleanup(session_done) struct session session;
    int status = SSH_LOST;
    int r = session_start(rescue, line, false, &session, err);
    if (r >= 0)
        r = session_wait(rescue, &session, timeout_ms, &status, err);
    if (r >= 0)
        r = judge(rescue, &session, status, what, err);
    if (r >= 0 && lseek(session.out, 0, SEEK_SET) < 0)
        r = err_sys(err, -errno, "output of ssh");
    return r < 0 ? r : file_read_fd(session.out, "output of ssh", MAX_OUTPUT, ret_text, NULL, err);
}

static int choose_disk(struct rescue *rescue, char *list, uint64_t least_bytes, struct err *err) {
    char *rest = list, *line;
    unsigned count = 0;
    while ((line = strsep(&rest, "\n"))) {
        char name[RESCUE_MAX_DISK], state[16];
        unsigned long long sectors;
        if (strncmp(line, "missing ", 8) == 0)
            return err_set(err, -EINVAL, "%s: the rescue system has no %.32s", rescue->address, line + 8);
        if (sscanf(line, "disk %31s %llu %15s", name, &sectors, state) != 3)
            continue;
        if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(name))
            return err_set(err, -EINVAL, "%s: a disk with an odd name", rescue->address);
        if (strcmp(state, "free") != 0)
            return err_set(err, -EINVAL, "%s: its disk %s is in use: this is no rescue system", rescue->address, name);
        if (count++ > 0)
            return err_set(err, -EINVAL, "%s has more than one disk (%s, %s); none is written to", rescue->address, rescue->disk, name);
        if (sectors * 512 < least_bytes)
            return err_set(err, -EINVAL, "%s: its disk %s has %llu bytes, and the image %llu", rescue->address, name, sectors * 512,
                           (unsigned long long)least_bytes);
        snprintf(rescue->disk, sizeof(rescue->disk), "%s", name);
    }
    return count ? 0 : err_set(err, -EINVAL, "%s has no disk", rescue->address);
}

int rescue_find_disk(struct rescue *rescue, uint64_t least_bytes, int64_t timeout_ms, struct err *err) {
    int64_t deadline = clock_ms() + timeout_ms;
    for (;;) {
        cleanup_free char *list = NULL;
        int r = command(rescue, list_disks, "looking for the disk", COMMAND_MS, &list, err);
        if (r >= 0)
            return choose_disk(rescue, list, least_bytes, err);
        if (r != -EAGAIN || clock_ms() > deadline)
            return r;
        r = stop_sleep(rescue->stop, PAUSE_MS, err);
        if (r < 0)
            return r;
    }
}

// Writes as ssh takes it. A pipe that breaks is no failure here: ssh's exit status says why.
static int feed(const struct rescue *rescue, struct session *session, const uint8_t *data, size_t size, bool *ret_broken, struct err *err) {
    int64_t deadline = clock_ms() + STALL_MS;
    while (size > 0) {
        struct pollfd fds[] = {{.fd = session->in, .events = POLLOUT}, {.fd = rescue->stop->fd, .events = POLLIN}};
        poll(fds, ARRAY_SIZE(fds), LOOK_MS);
        int r = stop_check(rescue->stop, err);
        if (r < 0)
            return r;
        ssize_t put = write(session->in, data, size);
        if (put < 0 && errno == EPIPE) {
            *ret_broken = true;
            return 0;
        }
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            return err_sys(err, -errno, "writing to ssh");
        if (put < 0 && clock_ms() > deadline)
            return err_set(err, -EAGAIN, "%s took no data for %d s", rescue->address, STALL_MS / 1000);
        if (put <= 0)
            continue;
        deadline = clock_ms() + STALL_MS;
        data += put;
        size -= (size_t)put;
    }
    return 0;
}

static int send_all(const struct rescue *rescue, struct session *session, struct zstream *stream, struct progress *progress,
                    uint64_t *ret_sent, struct err *err) {
    bool is_broken = false;
    for (;;) {
        const uint8_t *data;
        size_t size = 0;
        int r = zstream_next(stream, &data, &size, err);
        if (r < 0 || size == 0)
            return r;
        r = feed(rescue, session, data, size, &is_broken, err);
        if (r < 0 || is_broken)
            return r;
        *ret_sent += size;
        progress_update(progress, stream->read_bytes, stream->total_bytes);
    }
}

int rescue_write(const struct rescue *rescue, struct zstream *stream, bool is_sparse, struct progress *progress, uint64_t *ret_sent,
                 struct err *err) {
    cleanup_free char *line = str_printf("exec bash -c 'set -eo pipefail; d=/dev/%s; s=; if blkdiscard -f $d 2>/dev/null; then s=%s; fi; "
                                         "zstd -qdc | dd of=$d bs=4M iflag=fullblock conv=notrunc,fsync$s status=none'",
                                         rescue->disk, is_sparse ? ",sparse" : "");
    cleanup(session_done) struct session session;
    int status = SSH_LOST;
    int r = session_start(rescue, line, true, &session, err);
    if (r >= 0)
        r = send_all(rescue, &session, stream, progress, ret_sent, err);
    if (r < 0)
        return r;
    close(take_fd(&session.in));
    r = session_wait(rescue, &session, FINISH_MS, &status, err);
    return r < 0 ? r : judge(rescue, &session, status, "writing the disk", err);
}

int rescue_hash(const struct rescue *rescue, uint64_t bytes, uint8_t ret_sha256[DIGEST_BYTES], struct err *err) {
    cleanup_free char *text = NULL,
                      *line = str_printf("exec bash -c 'set -eo pipefail; d=/dev/%s; sync; blockdev --flushbufs $d 2>/dev/null || :; "
                                         "{ echo 3 >/proc/sys/vm/drop_caches; } 2>/dev/null || :; head -c %llu $d | sha256sum'",
                                         rescue->disk, (unsigned long long)bytes);
    int r = command(rescue, line, "reading the disk back", HASH_MS, &text, err);
    if (r < 0)
        return r;
    text[strcspn(text, " \n")] = 0;
    return hex_parse(text, DIGEST_BYTES, ret_sha256) ? 0 : err_set(err, -EBADMSG, "%s: sha256sum gave no hash", rescue->address);
}
