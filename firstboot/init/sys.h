// SPDX-License-Identifier: Apache-2.0
// The few system calls the init makes again and again, each with an error text. Keeps nothing.
#pragma once
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SYS_PATH_BYTES 128

// Reads a small text file whole, without its last line feed, NUL-terminated. Returns its length or -errno; -EFBIG when it does not fit,
// -EINVAL when it holds a NUL. No error text: in sysfs, files that vanish are no failure.
ssize_t sys_read_text(int dir_fd, const char *path, char *ret_text, size_t size) must_check nonnull(2, 3);
// Reads exactly `size` bytes at `offset`; -ENODATA when the file or device ends before.
int sys_read_at(int fd, uint64_t offset, void *ret_data, size_t size) must_check nonnull(3);
int sys_write_all(int fd, const void *data, size_t size) must_check nonnull(2);
// mkdir with exactly this mode; a directory that is there already is success and keeps its mode, anything else there is -ENOTDIR.
int sys_mkdir(int dir_fd, const char *path, mode_t mode, struct err *err) must_check nonnull(2, 4);
int sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *options,
              struct err *err) must_check nonnull(2, 6);
// Replaces `name` in the directory durably: temporary file, fsync, rename, fsync of the directory. `name` has no slash.
int sys_publish(int dir_fd, const char *name, const void *data, size_t size, mode_t mode, struct err *err) must_check nonnull(2, 3, 6);
// CLOCK_MONOTONIC: milliseconds since the kernel started.
uint64_t sys_now_ms(void);
