// SPDX-License-Identifier: Apache-2.0
// Entries appear under their final name whole or not at all; locks make two builds of one node one.
#include "builder/cache.h"
#include "builder/sandbox.h"
#include "common/digest.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#define MAX_LIST_BYTES (8 << 20)
#define TEMPORARY_CHARS 16
#define RECORD_INPUTS "inputs"
#define RECORD_FILES "files"

// Locks tmp/<random>.lock without waiting. -EWOULDBLOCK while another one has it; -ESTALE when it had, and has removed it.
static int try_lock(int tmp_fd, const char *lock) {
    struct stat st;
    cleanup_fd int fd = openat(tmp_fd, lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
        return -errno;
    return st.st_nlink ? take_fd(&fd) : -ESTALE;
}

static bool is_temporary(const char *name) {
    return strlen(name) == TEMPORARY_CHARS && strspn(name, "0123456789abcdef") == TEMPORARY_CHARS;
}

// tmp/<random> belongs to the process that holds tmp/<random>.lock. What cannot be removed keeps its lock file, for the next try.
static void remove_left(const struct cache *cache, int tmp_fd, const char *name) {
    struct err err;
    cleanup_free char *lock = str_printf("%s.lock", name), *path = str_printf("%s/tmp/%s", cache->path, name);
    cleanup_fd int fd = try_lock(tmp_fd, lock);
    if (fd < 0)
        return;
    if (sandbox_remove_work(path, &err) < 0)
        log_warn("a build that was killed has left %s, which cannot be removed: %s", path, err.text);
    else
        unlinkat(tmp_fd, lock, 0);
}

static void sweep(const struct cache *cache) {
    cleanup_fd int tmp_fd = openat(cache->dir_fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = tmp_fd < 0 ? NULL : fdopendir(dup(tmp_fd));
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        cleanup_free char *name = str_printf("%.*s", TEMPORARY_CHARS, entry->d_name);
        if (is_temporary(name))
            remove_left(cache, tmp_fd, name);
    }
}

// apt has it in lines whose words end at a blank and may begin with an option in brackets, and decodes per cent signs.
static int check_path(const char *path, struct err *err) {
    static const char unusable[] = " \t\r\n[]#\"%\\";
    return path[strcspn(path, unusable)] ? err_set(err, -EINVAL,
                                                   "the cache %s: apt takes no path with blanks, brackets, quotes, or one of # %% \\: name "
                                                   "another directory by WEBOPS_CACHE",
                                                   path)
                                         : 0;
}

int cache_open(const char *path, struct cache *ret_cache, struct err *err) {
    static const char *const rooms[] = {"nodes", "tmp", "locks", "last", "packages", "metadata", "downloads"};
    int r = file_mkdirs(AT_FDCWD, path, 0755, err);
    if (r < 0)
        return err_prefix(err, r, "opening the cache");
    cleanup_free char *absolute = realpath(path, NULL);
    if (!absolute)
        return err_sys(err, -errno, "cannot resolve %s", path);
    r = check_path(absolute, err);
    if (r < 0)
        return r;
    struct cache cache = {.dir_fd = file_open(AT_FDCWD, absolute, O_RDONLY | O_DIRECTORY, 0, err)};
    cache.path = take_ptr(absolute);
    r = cache.dir_fd;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(rooms); i++)
        r = file_mkdirs(cache.dir_fd, rooms[i], 0755, err);
    if (r < 0) {
        cache_done(&cache);
        return err_prefix(err, r, "opening the cache %s", path);
    }
    sweep(&cache);
    *ret_cache = cache;
    return 0;
}

void cache_done(struct cache *cache) {
    if (cache->path && cache->dir_fd >= 0)
        close(cache->dir_fd);
    free(cache->path);
    *cache = (struct cache){.dir_fd = -1};
}

char *cache_path(const struct cache *cache, const char *kind, const char *key, const char *file) {
    return str_printf("%s/nodes/%s-%s/%s", cache->path, kind, key, file);
}

int cache_drop(const struct cache *cache, const char *kind, const char *key, struct err *err) {
    cleanup_free char *name = str_printf("nodes/%s-%s", kind, key);
    return file_remove_tree(cache->dir_fd, name, err);
}

// Each line of the record is "bytes sha256 name".
static int check_file(int node_fd, char *line, bool hashes, struct err *err) {
    char *hash = strchr(line, ' '), *name = hash ? strchr(hash + 1, ' ') : NULL;
    if (!name || name - hash != 1 + INPUTS_KEY_CHARS)
        return err_set(err, -EBADMSG, "its list of files is damaged");
    *hash++ = *name++ = 0;
    char actual[INPUTS_KEY_CHARS + 1];
    struct stat st;
    if (fstatat(node_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(err, -errno, "%s", name);
    if (st.st_size != strtoll(line, NULL, 10))
        return err_set(err, -EBADMSG, "%s has %lld bytes instead of %s", name, (long long)st.st_size, line);
    if (!hashes)
        return 0;
    int r = digest_file(node_fd, name, actual, NULL, err);
    return r >= 0 && strcmp(actual, hash) != 0 ? err_set(err, -EBADMSG, "%s has changed since it was built", name) : r;
}

static int check_files(int node_fd, char *text, bool hashes, struct err *err) {
    char *rest = NULL;
    int r = 0;
    for (char *line = strtok_r(text, "\n", &rest); r >= 0 && line; line = strtok_r(NULL, "\n", &rest))
        r = check_file(node_fd, line, hashes, err);
    return r;
}

static bool look_up(const struct cache *cache, const char *kind, const char *key, bool hashes) {
    struct err err = {0};
    cleanup_free char *name = str_printf("nodes/%s-%s", kind, key);
    cleanup_fd int node_fd = openat(cache->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (node_fd < 0)
        return false;
    cleanup_free char *files = NULL;
    int r = file_read(node_fd, RECORD_FILES, MAX_LIST_BYTES, &files, NULL, &err);
    if (r >= 0)
        r = check_files(node_fd, files, hashes, &err);
    if (r >= 0)
        return true;
    log_warn("cache entry %s is damaged (%s) and will be built again", name, err.text);
    if (cache_drop(cache, kind, key, &err) < 0)
        log_warn("%s", err.text);
    return false;
}

bool cache_has(const struct cache *cache, const char *kind, const char *key) {
    return look_up(cache, kind, key, false);
}

static int make_temporary(const struct cache *cache, struct cache_entry *entry, struct err *err) {
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return err_sys(err, -errno, "cannot get random bytes");
    cleanup_free char *name = str_printf("tmp/%0*llx", TEMPORARY_CHARS, (unsigned long long)number);
    cleanup_free char *lock = str_printf("%s.lock", name);
    cleanup_fd int fd = -1;
    do // another one's sweep can have it first, and removes it then
        fd = try_lock(cache->dir_fd, lock);
    while (fd == -EWOULDBLOCK || fd == -ESTALE);
    if (fd < 0)
        return err_sys(err, fd, "cannot lock %s/%s", cache->path, lock);
    if (mkdirat(cache->dir_fd, name, 0755) < 0)
        return err_sys(err, -errno, "cannot create %s/%s", cache->path, name);
    // 0755 whatever the umask: package managers drop privileges inside.
    if (fchmodat(cache->dir_fd, name, 0755, 0) < 0)
        return err_sys(err, -errno, "cannot set the mode of %s/%s", cache->path, name);
    entry->dir = str_printf("%s/%s", cache->path, name);
    entry->lock_fd = take_fd(&fd);
    return 0;
}

int cache_scratch(const struct cache *cache, struct cache_entry *ret_entry, struct err *err) {
    struct cache_entry entry = {.lock_fd = -1, .node_lock_fd = -1};
    int r = make_temporary(cache, &entry, err);
    if (r >= 0)
        *ret_entry = entry;
    return r;
}

int cache_begin(const struct cache *cache, const char *kind, const char *key, struct cache_entry *ret_entry, struct err *err) {
    cleanup_free char *name = str_printf("%s-%s", kind, key);
    cleanup_free char *lock = str_printf("locks/%s", name);
    cleanup_fd int node_lock = file_lock(cache->dir_fd, lock, err);
    if (node_lock < 0)
        return err_prefix(err, node_lock, "cache %s", cache->path);
    if (look_up(cache, kind, key, true))
        return 1;
    struct cache_entry entry = {.lock_fd = -1, .node_lock_fd = -1};
    int r = make_temporary(cache, &entry, err);
    if (r < 0)
        return r;
    entry.name = take_ptr(name);
    entry.node_lock_fd = take_fd(&node_lock);
    *ret_entry = entry;
    return 0;
}

static void release(struct cache_entry *entry) {
    cleanup_free char *lock = str_printf("%s.lock", entry->dir);
    unlink(lock);
    close(entry->lock_fd);
    if (entry->node_lock_fd >= 0)
        close(entry->node_lock_fd);
    free(entry->dir);
    free(entry->name);
    *entry = (struct cache_entry){.lock_fd = -1, .node_lock_fd = -1};
}

void cache_abort(struct cache_entry *entry) {
    struct err err = {0};
    if (!entry->dir)
        return;
    if (file_remove_tree(AT_FDCWD, entry->dir, &err) < 0)
        log_warn("cleaning up: %s", err.text);
    release(entry);
}

// Flushes each file and lists it.
static int seal(int dir_fd, struct buf *files, struct err *err) {
    cleanup_dir DIR *dir = fdopendir(dup(dir_fd));
    if (!dir)
        return err_sys(err, -errno, "cannot list a cache entry");
    for (struct dirent *file; (file = readdir(dir));) {
        struct stat st;
        if (strcmp(file->d_name, ".") == 0 || strcmp(file->d_name, "..") == 0)
            continue;
        cleanup_fd int fd = file_open(dir_fd, file->d_name, O_RDONLY | O_NOFOLLOW, 0, err);
        if (fd < 0)
            return fd;
        if (fstat(fd, &st) < 0 || fsync(fd) < 0)
            return err_sys(err, -errno, "cannot flush %s", file->d_name);
        assert(S_ISREG(st.st_mode)); // builders leave plain files only
        char hash[INPUTS_KEY_CHARS + 1];
        int r = digest_file(dir_fd, file->d_name, hash, NULL, err);
        if (r < 0)
            return r;
        buf_printf(files, "%lld %s %s\n", (long long)st.st_size, hash, file->d_name);
    }
    return 0;
}

static int publish(const struct cache *cache, const struct cache_entry *entry, const struct inputs *inputs, struct err *err) {
    cleanup_buf struct buf files = {0};
    cleanup_free char *text = inputs_format(inputs);
    cleanup_free char *target = str_printf("nodes/%s", entry->name);
    cleanup_fd int dir_fd = file_open(AT_FDCWD, entry->dir, O_RDONLY | O_DIRECTORY, 0, err);
    int r = dir_fd;
    if (r >= 0)
        r = file_publish(dir_fd, RECORD_INPUTS, text, strlen(text), 0644, err);
    if (r >= 0)
        r = seal(dir_fd, &files, err);
    if (r >= 0)
        r = file_publish(dir_fd, RECORD_FILES, buf_str(&files), files.size, 0644, err);
    if (r >= 0 && renameat(AT_FDCWD, entry->dir, cache->dir_fd, target) < 0)
        r = err_sys(err, -errno, "cannot rename %s to %s", entry->dir, target);
    return r;
}

int cache_commit(const struct cache *cache, struct cache_entry *entry, const struct inputs *inputs, struct err *err) {
    int r = publish(cache, entry, inputs, err);
    if (r < 0)
        cache_abort(entry);
    else
        release(entry);
    return r;
}

int cache_save_last(const struct cache *cache, const char *profile, const char *label, const struct inputs *inputs, struct err *err) {
    cleanup_free char *dir = str_printf("last/%s", profile);
    cleanup_free char *path = str_printf("%s/%s", dir, label);
    cleanup_free char *text = inputs_format(inputs);
    struct inputs before;
    if (cache_load_last(cache, profile, label, &before)) {
        cleanup_free char *old = inputs_format(&before);
        inputs_done(&before);
        if (strcmp(old, text) == 0)
            return 0; // a build without changes writes nothing
    }
    int r = file_mkdirs(cache->dir_fd, dir, 0755, err);
    return r < 0 ? r : file_publish(cache->dir_fd, path, text, strlen(text), 0644, err);
}

bool cache_load_last(const struct cache *cache, const char *profile, const char *label, struct inputs *ret_inputs) {
    struct err err;
    cleanup_free char *path = str_printf("last/%s/%s", profile, label);
    cleanup_free char *text = NULL;
    return file_read(cache->dir_fd, path, MAX_LIST_BYTES, &text, NULL, &err) >= 0 && inputs_parse(text, ret_inputs, &err) >= 0;
}
