// SPDX-License-Identifier: Apache-2.0
// One restorecon for all paths of a run: it reads the policy each time, which takes longer than the labels.
#include "firstboot/label.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "firstboot/identity.h"
#include "firstboot/swap.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SWITCHED_ON "sys/fs/selinux/enforce"

// Made by others than the plan, or by hand: with what lies directly in them.
static const char *const directories[] = {"webops",     "webops/secrets", "webops/templates", "webops/.webops/versions",
                                          IDENTITY_SSH, "var/log/webops", "run/webops",       "run/webops/stacks"};
static const char *const files[] = {SWAP_PATH};
static const char *const command[] = {"restorecon", "-i", "--"}; // -i: what has been removed again meanwhile is no failure

void label_paths_done(struct label_paths *paths) {
    for (size_t i = 0; i < paths->count; i++)
        free(paths->items[i]);
    free(paths->items);
    *paths = (struct label_paths){0};
}

bool label_is_on(int root_fd) {
    return file_exists(root_fd, SWITCHED_ON);
}

static void add(struct label_paths *paths, char *path) { // takes `path`
    for (size_t i = 0; i < paths->count; i++)
        if (strcmp(paths->items[i], path) == 0) {
            free(path);
            return;
        }
    paths->items = mem_resize(paths->items, paths->count + 2, sizeof(*paths->items));
    paths->items[paths->count++] = path;
    paths->items[paths->count] = NULL;
}

static void add_with_parents(struct label_paths *paths, const char *path) {
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        add(paths, str_printf("/%.*s", (int)(slash - path), path));
    add(paths, str_printf("/%s", path));
}

static void add_directory(int root_fd, const char *path, struct label_paths *paths) {
    int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return;
    add_with_parents(paths, path);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            add(paths, str_printf("/%s/%s", path, entry->d_name));
}

void label_list(const struct apply *apply, struct label_paths *ret_paths) {
    for (size_t i = 0; i < apply->changed_count; i++)
        if (strcmp(apply->changed_actions[i], "write") == 0 && strchr(apply->changed[i], '/'))
            add_with_parents(ret_paths, apply->changed[i]);
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        add_directory(apply->root_fd, directories[i], ret_paths);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (file_exists(apply->root_fd, files[i]))
            add_with_parents(ret_paths, files[i]);
}

int label_restore(const struct apply *apply, struct err *err) {
    cleanup_label_paths struct label_paths paths = {0};
    if (!label_is_on(apply->root_fd))
        return 0;
    label_list(apply, &paths);
    // As arguments: a policy may keep restorecon from reading what another program hands it.
    cleanup_free const char **argv = mem_array(ARRAY_SIZE(command) + paths.count + 1, sizeof(*argv));
    memcpy(argv, command, sizeof(command));
    for (size_t i = 0; i < paths.count; i++)
        argv[ARRAY_SIZE(command) + i] = paths.items[i];
    const struct run restorecon = {.argv = argv, .timeout_ms = 60000};
    int r = run_quiet(&restorecon, err);
    return r < 0 ? err_prefix(err, r, "giving SELinux labels to what was written") : 0;
}
