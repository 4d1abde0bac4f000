// SPDX-License-Identifier: Apache-2.0
// What an external tool printed, kept in a memory file while it runs, and its telling line for an error message afterwards.
#pragma once
#include "common/err.h"
#include <stddef.h>

// A descriptor to give a child as standard output or error.
int tool_log_open(struct err *err) must_check nonnull(1);
// Appends ": <line>" to err: the last line that says it is an error, else the last line that is not empty. Nothing when nothing was printed.
void tool_log_append(int log_fd, struct err *err) nonnull(2);
// The pure part: the telling line of a text; its length in *ret_size, 0 when there is none.
const char *tool_log_line(const char *text, size_t size, size_t *ret_size) nonnull(1, 3);
// The environment of every tool: ours without language, SOURCE_DATE_EPOCH, apt and mtools settings, plus `extra` (NULL-terminated). The caller frees
// with tool_env_free().
char **tool_env(const char *const *extra) nonnull(1);
void tool_env_free(char ***env) nonnull(1);
// A path as any tool takes it for a file: one that begins with a '-' would be an option, "a:b" a protocol or a drive. The caller frees.
char *tool_path(const char *path) nonnull(1);
// A name for an open file that has no character of its path: mtools cuts at the first "@@". Good while this process has it open. The caller frees.
char *tool_fd_path(int fd);
#define cleanup_tool_env cleanup(tool_env_free)
