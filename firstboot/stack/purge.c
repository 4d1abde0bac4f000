// SPDX-License-Identifier: Apache-2.0
// The only code of webops that deletes an operator's data, and only on the operator's word.
#include "firstboot/stack/purge.h"
#include "common/file.h"
#include "firstboot/actionlog.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

// Whether one path is the other, or lies below it.
static bool overlap(const char *left, const char *right) {
    size_t left_size = strlen(left), right_size = strlen(right), size = left_size < right_size ? left_size : right_size;
    return strncmp(left, right, size) == 0 && (left_size == right_size || (left_size > right_size ? left : right)[size] == '/');
}

int purge_check(const struct stacks *stacks, size_t index, struct err *err) {
    const struct stack *stack = stacks->set.stacks[index];
    for (size_t i = 0; i < stacks->set.count; i++) {
        const struct stack *other = stacks->set.stacks[i];
        for (size_t k = 0; i != index && stacks_is_active(stacks, i) && k < other->data_count; k++)
            for (size_t j = 0; j < stack->data_count; j++)
                if (overlap(stack->data[j].path, other->data[k].path))
                    return err_set(err, -EPERM, "%s of %s is used by %s, which is enabled: nothing was deleted", stack->data[j].path,
                                   stack->name, other->name);
    }
    return 0;
}

// All paths, relative to the root; the caller frees each and the array.
static char **list_paths(const struct stack *stack, size_t *ret_count) {
    char **paths = mem_array(stack->data_count + stack->persist.count + 1, sizeof(*paths));
    size_t count = 0;
    for (size_t i = 0; i < stack->data_count; i++)
        paths[count++] = str_dup(stack->data[i].path + 1);
    for (size_t i = 0; i < stack->persist.count; i++)
        paths[count++] = str_printf(STACK_PERSIST_DIR "%s", stack->persist.items[i]);
    *ret_count = count;
    return paths;
}

void purge_format(int root_fd, const struct stack *stack, struct buf *text) {
    size_t count;
    cleanup_free char **paths = list_paths(stack, &count);
    for (size_t i = 0; i < count; i++) {
        if (file_exists(root_fd, paths[i]))
            buf_printf(text, "delete /%s\n", paths[i]);
        free(paths[i]);
    }
}

static bool is_mount_point(int root_fd, const char *path) {
    struct stat own, above;
    cleanup_free char *parent = str_printf("%s/..", path);
    return fstatat(root_fd, path, &own, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(root_fd, parent, &above, AT_SYMLINK_NOFOLLOW) == 0 &&
           own.st_dev != above.st_dev;
}

static int delete_one(int root_fd, const char *path, struct err *err) {
    if (!file_exists(root_fd, path))
        return 0;
    int r = file_remove_tree(root_fd, path, err);
    if (r == -EBUSY && is_mount_point(root_fd, path)) // its content is gone; the mount is the operator's
        r = 0;
    actionlog_write(root_fd, "stacks", "delete", path, r < 0 ? err->text : "ok");
    return r;
}

int purge_apply(int root_fd, const struct stack *stack, struct err *err) {
    size_t count;
    cleanup_free char **paths = list_paths(stack, &count);
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        if (r >= 0)
            r = delete_one(root_fd, paths[i], err);
        free(paths[i]);
    }
    return r;
}
