// SPDX-License-Identifier: Apache-2.0
// The cache and the graph over it: whole or nothing, damage noticed, two builders of one node, leftovers swept, reasons named.
#include "builder/cache.h"
#include "builder/graph.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

struct room {
    char *path;
    struct cache cache;
};

static int set_up(void **state) {
    struct room *room = mem_array(1, sizeof(*room));
    struct err err = {0};
    char template[] = "/tmp/webops-cache-XXXXXX";
    assert_non_null(mkdtemp(template));
    room->path = str_dup(template);
    if (cache_open(room->path, &room->cache, &err) < 0)
        fail_msg("%s", err.text);
    *state = room;
    return 0;
}

static int tear_down(void **state) {
    struct room *room = *state;
    struct err err = {0};
    cache_done(&room->cache);
    assert_int_equal(file_remove_tree(AT_FDCWD, room->path, &err), 0);
    free(room->path);
    free(room);
    return 0;
}

static void fill(const char *dir, const char *name, const char *text) {
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/%s", dir, name);
    if (file_publish(AT_FDCWD, path, text, strlen(text), 0644, &err) < 0)
        fail_msg("%s", err.text);
}

static void build_one(const struct cache *cache, const char *key) {
    struct cache_entry entry;
    struct err err = {0};
    cleanup_inputs struct inputs inputs = {0};
    inputs_add(&inputs, "x", "y");
    assert_int_equal(cache_begin(cache, "kind", key, &entry, &err), 0);
    fill(entry.dir, "data", "hello");
    if (cache_commit(cache, &entry, &inputs, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_publish(void **state) {
    struct room *room = *state;
    struct cache_entry entry;
    struct err err = {0};
    assert_false(cache_has(&room->cache, "kind", "k1"));
    build_one(&room->cache, "k1");
    assert_true(cache_has(&room->cache, "kind", "k1"));
    cleanup_free char *path = cache_path(&room->cache, "kind", "k1", "data");
    cleanup_free char *text = NULL;
    assert_int_equal(file_read(AT_FDCWD, path, 100, &text, NULL, &err), 0);
    assert_string_equal(text, "hello");
    assert_int_equal(cache_begin(&room->cache, "kind", "k1", &entry, &err), 1);
}

static void test_abort(void **state) {
    struct room *room = *state;
    struct cache_entry entry;
    struct err err = {0};
    assert_int_equal(cache_begin(&room->cache, "kind", "k2", &entry, &err), 0);
    cleanup_free char *dir = str_dup(entry.dir);
    fill(entry.dir, "data", "half");
    cache_abort(&entry);
    assert_false(file_exists(AT_FDCWD, dir));
    assert_false(cache_has(&room->cache, "kind", "k2"));
    build_one(&room->cache, "k2"); // the lock is free again
}

static void test_damage(void **state) {
    struct room *room = *state;
    struct err err = {0};
    build_one(&room->cache, "k3");
    cleanup_free char *path = cache_path(&room->cache, "kind", "k3", "data");
    assert_int_equal(truncate(path, 2), 0);
    assert_false(cache_has(&room->cache, "kind", "k3"));
    assert_false(file_exists(AT_FDCWD, path)); // removed, to be built again
    build_one(&room->cache, "k3");
    assert_int_equal(unlink(path), 0);
    assert_false(cache_has(&room->cache, "kind", "k3"));
    build_one(&room->cache, "k3");
    cleanup_free char *files = cache_path(&room->cache, "kind", "k3", "files");
    assert_int_equal(file_publish(AT_FDCWD, files, "garbage\n", 8, 0644, &err), 0);
    assert_false(cache_has(&room->cache, "kind", "k3"));
    assert_int_equal(cache_drop(&room->cache, "kind", "never", &err), 0);
}

// A byte that changed without changing the size is noticed by whoever is about to use the entry.
static void test_silent_damage(void **state) {
    struct room *room = *state;
    struct cache_entry entry;
    struct err err = {0};
    build_one(&room->cache, "k6");
    cleanup_free char *path = cache_path(&room->cache, "kind", "k6", "data");
    assert_int_equal(cache_begin(&room->cache, "kind", "k6", &entry, &err), 1);
    assert_int_equal(file_publish(AT_FDCWD, path, "jello", 5, 0644, &err), 0);
    assert_int_equal(cache_begin(&room->cache, "kind", "k6", &entry, &err), 0);
    assert_false(file_exists(AT_FDCWD, path));
    cache_abort(&entry);
}

static unsigned count_entries(const char *path) {
    cleanup_dir DIR *dir = opendir(path);
    unsigned count = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    return count;
}

// A builder that dies in the middle leaves only tmp/, and the next one sweeps it; a living one is left alone.
static void test_killed_builder(void **state) {
    struct room *room = *state;
    cleanup_free char *tmp = str_printf("%s/tmp", room->path);
    struct cache_entry alive;
    struct err err = {0};
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct cache_entry entry;
        if (cache_begin(&room->cache, "kind", "k4", &entry, &err) == 0)
            fill(entry.dir, "data", "half");
        (void)!write(ready[1], "x", 1);
        pause();
        _exit(1);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(cache_scratch(&room->cache, &alive, &err), 0);
    assert_int_equal(count_entries(tmp), 4); // two directories, two locks
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    struct cache again;
    assert_int_equal(cache_open(room->path, &again, &err), 0);
    assert_int_equal(count_entries(tmp), 2);
    assert_true(file_exists(AT_FDCWD, alive.dir));
    assert_false(cache_has(&again, "kind", "k4"));
    build_one(&again, "k4");
    cache_abort(&alive);
    cache_done(&again);
    close(ready[0]);
    close(ready[1]);
}

// What lost its lock file to another one's sweep is swept all the same; what is none of ours is not.
static void test_left_without_a_lock(void **state) {
    struct room *room = *state;
    struct err err = {0};
    struct cache again;
    cleanup_free char *left = str_printf("%s/tmp/0123456789abcdef/work/deep", room->path), *tmp = str_printf("%s/tmp", room->path);
    cleanup_free char *other = str_printf("%s/tmp/0123456789abcdefg", room->path),
                      *lock = str_printf("%s/tmp/fedcba9876543210.lock", room->path);
    assert_int_equal(file_mkdirs(AT_FDCWD, left, 0755, &err), 0);
    assert_int_equal(file_mkdirs(AT_FDCWD, other, 0755, &err), 0);
    assert_int_equal(file_publish(AT_FDCWD, lock, "", 0, 0600, &err), 0);
    assert_int_equal(cache_open(room->path, &again, &err), 0);
    cache_done(&again);
    assert_true(file_exists(AT_FDCWD, other));
    assert_int_equal(count_entries(tmp), 1);
}

// Whoever removes a lock file that was just made has not taken the directory with it.
static void test_sweep_beside_a_beginning(void **state) {
    struct room *room = *state;
    struct err err = {0};
    pid_t pid = fork();
    if (pid == 0)
        for (;;) {
            struct cache own;
            if (cache_open(room->path, &own, &err) < 0)
                _exit(1);
            cache_done(&own);
        }
    for (int i = 0; i < 300; i++) {
        struct cache_entry entry;
        assert_int_equal(cache_scratch(&room->cache, &entry, &err), 0);
        cleanup_free char *lock = str_printf("%s.lock", entry.dir);
        assert_true(file_exists(AT_FDCWD, entry.dir));
        assert_true(file_exists(AT_FDCWD, lock));
        cache_abort(&entry);
    }
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_unusable_paths(void **state) {
    struct room *room = *state;
    static const char *const names[] = {"my cache", "a[b]", "100%", "a\"b", "a#b", "a\\b"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct err err = {0};
        struct cache cache;
        cleanup_free char *path = str_printf("%s/%s", room->path, names[i]);
        assert_int_equal(cache_open(path, &cache, &err), -EINVAL);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "WEBOPS_CACHE"));
    }
}

// Two processes want the same node at once: one builds, the other waits and takes it.
static void test_two_builders(void **state) {
    struct room *room = *state;
    struct cache_entry entry;
    struct err err = {0};
    cleanup_inputs struct inputs inputs = {0};
    assert_int_equal(cache_begin(&room->cache, "kind", "k5", &entry, &err), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct cache own;
        struct cache_entry second;
        close(entry.lock_fd); // a fork keeps the parent's locks; a real second build has none of them
        close(entry.node_lock_fd);
        int r = cache_open(room->path, &own, &err) < 0 ? -1 : cache_begin(&own, "kind", "k5", &second, &err);
        _exit(r == 1 ? 42 : 1);
    }
    fill(entry.dir, "data", "hello");
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    assert_int_equal(cache_commit(&room->cache, &entry, &inputs, &err), 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

static unsigned builds;

static int write_data(void *context, unsigned index, const char *dir, struct err *err) {
    (void)err;
    cleanup_free char *text = str_printf("%s %u", (const char *)context, index);
    fill(dir, "data", text);
    builds++;
    return 0;
}

static int fail_to_write(void *context, unsigned index, const char *dir, struct err *err) {
    (void)context, (void)index;
    fill(dir, "data", "half");
    return err_set(err, -EIO, "no luck");
}

static void two_nodes(struct graph *graph, const char *value) {
    graph->context = (void *)(uintptr_t) "context";
    struct node *first = graph_add(graph, "first", "first node", write_data, 1);
    inputs_add(&first->inputs, "value", value);
    graph_seal(first);
    struct node *second = graph_add(graph, "second", "second node", write_data, 2);
    inputs_add(&second->inputs, "parent", first->key);
    graph_seal(second);
}

static void run_graph(struct graph *graph, struct room *room) {
    cleanup_progress struct progress *progress = progress_new(graph->count, false);
    struct err err = {0};
    if (graph_run(graph, &room->cache, "profile", progress, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_graph(void **state) {
    struct room *room = *state;
    cleanup_graph struct graph one = {0}, same = {0}, other = {0};
    builds = 0;
    two_nodes(&one, "a");
    graph_check(&one, &room->cache, "profile");
    assert_string_equal(one.nodes[0].reason, "not built before");
    run_graph(&one, room);
    assert_int_equal(builds, 2);
    two_nodes(&same, "a");
    graph_check(&same, &room->cache, "profile");
    assert_true(same.nodes[0].cached && same.nodes[1].cached);
    assert_null(same.nodes[0].reason);
    run_graph(&same, room);
    assert_int_equal(builds, 2);
    two_nodes(&other, "b");
    graph_check(&other, &room->cache, "profile");
    assert_string_equal(other.nodes[0].reason, "changed: value");
    assert_string_equal(other.nodes[1].reason, "changed: parent");
    run_graph(&other, room);
    assert_int_equal(builds, 4);
    struct err err = {0};
    assert_int_equal(cache_drop(&room->cache, "second", other.nodes[1].key, &err), 0);
    graph_check(&other, &room->cache, "profile");
    assert_string_equal(other.nodes[1].reason, "no longer in the cache");
}

static void test_graph_failure(void **state) {
    struct room *room = *state;
    cleanup_graph struct graph graph = {0};
    struct err err = {0};
    struct node *node = graph_add(&graph, "bad", "bad node", fail_to_write, 0);
    graph_seal(node);
    cleanup_progress struct progress *progress = progress_new(1, false);
    assert_int_equal(graph_run(&graph, &room->cache, "profile", progress, &err), -EIO);
    assert_string_equal(err.text, "bad node: no luck");
    assert_false(cache_has(&room->cache, "bad", node->key));
    cleanup_free char *tmp = str_printf("%s/tmp", room->path);
    assert_int_equal(count_entries(tmp), 0);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_publish),
        TEST(test_abort),
        TEST(test_damage),
        TEST(test_silent_damage),
        TEST(test_killed_builder),
        TEST(test_left_without_a_lock),
        TEST(test_sweep_beside_a_beginning),
        TEST(test_unusable_paths),
        TEST(test_two_builders),
        TEST(test_graph),
        TEST(test_graph_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
