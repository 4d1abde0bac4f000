// SPDX-License-Identifier: Apache-2.0
// Namespaces in which package scripts run: our own binary is started again under unshare(1) with an internal verb. Root and unprivileged
// users get the same view (uid 0 inside); what the scripts start dies with the namespace. Not a security boundary against hostile packages.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// main() hands over with sandbox_main(argc, argv) when argv[1] is this word.
#define SANDBOX_VERB "internal-sandbox"
// Runs inside; returns the exit code of the process.
int sandbox_main(int argc, char **argv) nonnull(2);

struct sandbox {
    pid_t pid;
    int out_fd; // the tar stream of the result
    int log_fd; // everything the tools printed; memory file
    const char *what; // for messages; NULL = "package installation"
    struct sandbox *source; // owned; the one whose stream this one reads; NULL = none
};

// Starts `argv` (as under sandbox_main: a job's name and its arguments). `memory_bytes`: what the job will write at most; a tmpfs holds it when
// there is memory enough, else the directory `work` itself (which the caller removes afterwards: sandbox_remove_work).
int sandbox_start(const char *work, uint64_t memory_bytes, const char *const *argv, struct sandbox *ret_sandbox, struct err *err) must_check
    nonnull(1, 3, 4, 5);
// The same for a job that reads the stream of another one on its standard input. *source is taken over, also on failure, and waited for or ended with it.
int sandbox_start_behind(struct sandbox *source, const char *work, uint64_t memory_bytes, const char *const *argv,
                         struct sandbox *ret_sandbox, struct err *err) must_check nonnull(1, 2, 4, 5, 6);
// Waits for the end. On failure the tools' last words are in err.
int sandbox_wait(struct sandbox *sandbox, struct err *err) must_check nonnull(1, 2);
// Kills it and everything it started.
void sandbox_abort(struct sandbox *sandbox);
// Removes what a disk-backed job left, files of mapped users included.
int sandbox_remove_work(const char *work, struct err *err) must_check nonnull(1, 2);
