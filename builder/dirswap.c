// SPDX-License-Identifier: Apache-2.0
// ".NAME.new" is the copy; ".NAME.old" exists only where two names cannot be exchanged.
#include "builder/dirswap.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

struct swap {
    int parent_fd;
    const char *name;
    char *new, *old;
};

static void swap_done(struct swap *swap) {
    if (swap->parent_fd >= 0)
        close(swap->parent_fd);
    free(swap->new);
    free(swap->old);
}

static int swap_open(const char *parent, const char *name, struct swap *ret_swap, struct err *err) {
    *ret_swap = (struct swap){.parent_fd = file_open(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY, 0, err),
                              .name = name,
                              .new = str_printf(".%s.new", name),
                              .old = str_printf(".%s.old", name)};
    return ret_swap->parent_fd < 0 ? ret_swap->parent_fd : 0;
}

static int move(const struct swap *swap, const char *from, const char *to, struct err *err) {
    return renameat(swap->parent_fd, from, swap->parent_fd, to) < 0 ? err_sys(err, -errno, "renaming %s to %s", from, to) : 0;
}

static int clear(const struct swap *swap, struct err *err) {
    int r = file_remove_tree(swap->parent_fd, swap->new, err);
    return r < 0 ? r : file_remove_tree(swap->parent_fd, swap->old, err);
}

// What was moved away and has no successor is still the one that counts.
static int repair(const struct swap *swap, struct err *err) {
    int r = 0;
    if (!file_exists(swap->parent_fd, swap->name) && file_exists(swap->parent_fd, swap->old))
        r = move(swap, swap->old, swap->name, err);
    return r < 0 ? r : clear(swap, err);
}

int dirswap_begin(const char *parent, const char *name, struct err *err) {
    cleanup(swap_done) struct swap swap;
    int r = swap_open(parent, name, &swap, err);
    if (r >= 0)
        r = repair(&swap, err);
    if (r >= 0)
        r = file_mkdirs(swap.parent_fd, name, 0700, err);
    if (r < 0)
        return r;
    cleanup_free char *from = str_printf("%s/%s/.", parent, name), *to = str_printf("%s/%s", parent, swap.new);
    r = run_quiet(&(struct run){.argv = RUN_ARGV("cp", "-a", "--", from, to)}, err);
    return r < 0 ? r : file_open(swap.parent_fd, swap.new, O_RDONLY | O_DIRECTORY, 0, err);
}

static int move_both(const struct swap *swap, struct err *err) {
    struct err ignored;
    int r = move(swap, swap->name, swap->old, err);
    if (r < 0)
        return r;
    r = move(swap, swap->new, swap->name, err);
    if (r < 0)
        (void)!move(swap, swap->old, swap->name, &ignored);
    return r;
}

static int put_in_place(const struct swap *swap, struct err *err) {
    if (renameat2(swap->parent_fd, swap->new, swap->parent_fd, swap->name, RENAME_EXCHANGE) == 0)
        return 0;
    // renameat2(2): not every file system, nor every kernel, can.
    return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ? move_both(swap, err)
                                                                     : err_sys(err, -errno, "exchanging %s and %s", swap->new, swap->name);
}

int dirswap_end(const char *parent, const char *name, struct err *err) {
    cleanup(swap_done) struct swap swap;
    int r = swap_open(parent, name, &swap, err);
    if (r >= 0 && syncfs(swap.parent_fd) < 0) // the files that cp wrote
        r = err_sys(err, -errno, "writing %s", parent);
    if (r >= 0)
        r = put_in_place(&swap, err);
    if (r >= 0 && fsync(swap.parent_fd) < 0)
        r = err_sys(err, -errno, "writing %s", parent);
    return r < 0 ? r : clear(&swap, err);
}

void dirswap_drop(const char *parent, const char *name) {
    cleanup(swap_done) struct swap swap;
    struct err ignored;
    if (swap_open(parent, name, &swap, &ignored) >= 0)
        (void)!file_remove_tree(swap.parent_fd, swap.new, &ignored);
}
