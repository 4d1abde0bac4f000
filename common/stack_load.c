// SPDX-License-Identifier: Apache-2.0
// The stacks that an image brings, from its root.
#include "common/file.h"
#include "common/stack.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct loading {
    struct stack **stacks;
    size_t count;
};

static void loading_done(struct loading *loading) {
    for (size_t i = 0; i < loading->count; i++)
        stack_free(loading->stacks[i]);
    free(loading->stacks);
}

// The length of the name before ".json"; 0 when the file is something else, such as a directory of templates.
static size_t stack_name(const char *file) {
    size_t size = strlen(file), suffix = strlen(".json");
    return size > suffix && strcmp(file + size - suffix, ".json") == 0 ? size - suffix : 0;
}

static int load_one(int dir_fd, const char *file, struct loading *loading, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size = 0;
    if (loading->count == STACK_MAX_STACKS)
        return err_set(err, -E2BIG, "more than %d stacks", STACK_MAX_STACKS);
    int r = file_read(dir_fd, file, STACK_MAX_BYTES, &text, &size, err);
    if (r < 0)
        return r;
    struct stack *stack = mem_array(1, sizeof(*stack));
    r = stack_parse(text, size, file, stack, err);
    if (r >= 0 && (strlen(stack->name) != stack_name(file) || strncmp(stack->name, file, stack_name(file)) != 0))
        r = err_set(err, -EINVAL, "%s: the stack in it is called '%s'", file, stack->name);
    if (r < 0) {
        stack_free(stack);
        return r;
    }
    loading->stacks = mem_resize(loading->stacks, loading->count + 1, sizeof(*loading->stacks));
    loading->stacks[loading->count++] = stack;
    return 0;
}

static int load_all(int dir_fd, DIR *dir, struct loading *loading, struct err *err) {
    int r = 0;
    for (const struct dirent *entry; r >= 0 && (entry = readdir(dir));)
        if (stack_name(entry->d_name))
            r = load_one(dir_fd, entry->d_name, loading, err);
    return r;
}

int stack_set_load(int root_fd, struct stack_set *ret_set, struct err *err) {
    cleanup(loading_done) struct loading loading = {0};
    cleanup_fd int fd = openat(root_fd, STACK_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return err_sys(err, -errno, "cannot open /" STACK_DIR);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int r = 0;
    if (dir) {
        r = load_all(dirfd(dir), dir, &loading, err);
        take_fd(&fd); // closed with the directory
    }
    if (r < 0)
        return err_prefix(err, r, "/" STACK_DIR);
    struct stack **stacks = take_ptr(loading.stacks);
    size_t count = loading.count;
    loading.count = 0;
    cleanup_stack_set struct stack_set set = {0};
    size_t index = 0;
    r = stack_set_make(stacks, count, &set, err);
    if (r < 0)
        return err_prefix(err, r, "/" STACK_DIR);
    r = stack_set_verify(&set, &index, err);
    if (r < 0)
        return err_prefix(err, r, "/" STACK_DIR "/%s.json", set.stacks[index]->name);
    *ret_set = set;
    set = (struct stack_set){0};
    return 0;
}
