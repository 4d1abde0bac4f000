// SPDX-License-Identifier: Apache-2.0
// What the tests of common/ share: cmocka with its prerequisites, a scratch directory, and what a call printed.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// clang-format off: cmocka.h wants the four above first
#include <cmocka.h>
// clang-format on
#include "common/buf.h"
#include "common/file.h"
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#define assert_contains(text, part)                                                                                                        \
    do {                                                                                                                                   \
        if (!strstr((text), (part)))                                                                                                       \
            fail_msg("'%s' is not in '%s'", (part), (text));                                                                               \
    } while (0)

struct scratch {
    char path[64];
    int fd;
};

static inline int scratch_setup(void **state) {
    struct scratch *scratch = mem_array(1, sizeof(*scratch));
    strcpy(scratch->path, "/tmp/webops-test-XXXXXX");
    assert_non_null(mkdtemp(scratch->path));
    scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(scratch->fd >= 0);
    *state = scratch;
    return 0;
}

static inline int scratch_teardown(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    close(scratch->fd);
    int r = file_remove_tree(AT_FDCWD, scratch->path, &err);
    free(scratch);
    return r;
}

// Has ended, or does so within seconds; whoever has it as a child may not have reaped it yet.
static inline bool is_gone(long pid) {
    for (int i = 0; i < 200; i++) {
        cleanup_free char *path = str_printf("/proc/%ld/stat", pid);
        cleanup_free char *stat = NULL;
        struct err err = {0};
        if (file_read(AT_FDCWD, path, 4096, &stat, NULL, &err) < 0 || strstr(stat, ") Z "))
            return true;
        usleep(10000);
    }
    return false;
}

// Standard output and error go to files without a name until redirect_end().
struct redirect {
    int kept[2], file[2];
};

static inline void redirect_begin(struct redirect *redirect) {
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        redirect->kept[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
        redirect->file[i] = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        assert_true(redirect->kept[i] >= 0 && redirect->file[i] >= 0);
        dup2(redirect->file[i], i + 1);
    }
}

// What was printed; the caller frees both.
static inline void redirect_end(struct redirect *redirect, char **ret_out, char **ret_error) {
    char **texts[] = {ret_out, ret_error};
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        struct err err = {0};
        dup2(redirect->kept[i], i + 1);
        close(redirect->kept[i]);
        lseek(redirect->file[i], 0, SEEK_SET);
        assert_int_equal(file_read_fd(redirect->file[i], "capture", 1 << 20, texts[i], NULL, &err), 0);
        close(redirect->file[i]);
    }
}

// Runs `body` in a child of its own; returns its wait status.
static inline int in_child(void (*body)(void *), void *data) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body(data);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}
