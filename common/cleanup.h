// SPDX-License-Identifier: Apache-2.0
// Scope-bound ownership: cleanup(x_done), cleanup_free, cleanup_fd, and the hand-over macros. Nothing else.
#pragma once
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(fn) __attribute__((cleanup(fn)))
#define must_check __attribute__((warn_unused_result))
#define nonnull(...) __attribute__((nonnull(__VA_ARGS__)))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void cleanup_free_fn(void *p) {
    free(*(void **)p);
}
static inline void cleanup_fd_fn(const int *fd) {
    if (*fd >= 0)
        close(*fd);
}
static inline void cleanup_file_fn(FILE **f) {
    if (*f)
        fclose(*f);
}
static inline void cleanup_dir_fn(DIR **d) {
    if (*d)
        closedir(*d);
}
#define cleanup_free cleanup(cleanup_free_fn)
#define cleanup_fd cleanup(cleanup_fd_fn)
#define cleanup_file cleanup(cleanup_file_fn)
#define cleanup_dir cleanup(cleanup_dir_fn)

// Hands a value over to the caller and disarms the cleanup of the local that held it.
#define take_ptr(p)                                                                                                                        \
    ({                                                                                                                                     \
        __typeof__(p) taken_ = (p);                                                                                                        \
        (p) = NULL;                                                                                                                        \
        taken_;                                                                                                                            \
    })
static inline int take_fd(int *fd) {
    int taken = *fd;
    *fd = -1;
    return taken;
}
