// SPDX-License-Identifier: Apache-2.0
// The graph by itself: labels as file names, reasons per profile, order, what a node's builder is given, a cache that cannot be written.
#include "builder/graph.h"
#include "builder/test/support.h"

struct fixture {
    struct scratch *scratch;
    char *path;
    struct cache cache;
};

static int setup(void **state) {
    struct fixture *f = mem_array(1, sizeof(*f));
    struct err err = {0};
    void *scratch;
    scratch_setup(&scratch);
    f->scratch = scratch;
    f->path = scratch_file(f->scratch, "cache");
    assert_ok(cache_open(f->path, &f->cache, &err));
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    void *scratch = f->scratch;
    cache_done(&f->cache);
    free(f->path);
    free(f);
    return scratch_teardown(&scratch);
}

struct calls { // what builders were given, in order
    unsigned indexes[8], count, fail_at;
};

static int record(void *context, unsigned index, const char *dir, struct err *err) {
    struct calls *calls = context;
    cleanup_free char *path = str_printf("%s/data", dir), *text = str_printf("%u", index);
    assert_int_equal(dir[0], '/');
    calls->indexes[calls->count++] = index;
    put_file(path, text, strlen(text));
    return index == calls->fail_at ? err_set(err, -ENOSPC, "no room") : 0;
}

static void add(struct graph *graph, const char *kind, const char *label, const char *value, unsigned index) {
    struct node *node = graph_add(graph, kind, label, record, index);
    inputs_add(&node->inputs, "value", value);
    graph_seal(node);
}

static int run_graph(struct fixture *f, struct graph *graph, const char *profile, struct err *err) {
    struct redirect redirect;
    cleanup_free char *out = NULL, *error = NULL;
    redirect_begin(&redirect);
    struct progress *progress = progress_new(graph->count, false);
    int r = graph_run(graph, &f->cache, profile, progress, err);
    progress_free(progress);
    redirect_end(&redirect, &out, &error);
    return r;
}

static void test_labels(void **state) {
    struct fixture *f = *state;
    static const char *const labels[][2] = {
        {"slot image", "slot-image"}, {"layer a/b", "layer-a-b"}, {"base ../../x", "base-..-..-x"}, {"uki", "uki"}};
    struct calls calls = {.fail_at = 99};
    cleanup_graph struct graph graph = {.context = &calls};
    struct err err = {0};
    for (unsigned i = 0; i < ARRAY_SIZE(labels); i++)
        add(&graph, "k", labels[i][0], labels[i][0], i);
    assert_ok(run_graph(f, &graph, "web", &err));
    for (unsigned i = 0; i < ARRAY_SIZE(labels); i++) {
        cleanup_free char *path = str_printf("%s/last/web/%s", f->path, labels[i][1]);
        assert_true(file_exists(AT_FDCWD, path));
    }
    cleanup_free char *list = tool(RUN_ARGV("find", f->scratch->path, "-maxdepth", "1", "-mindepth", "1", "-printf", "%f\n"));
    assert_string_equal(list, "cache\n"); // nothing escaped
}

static void test_order_and_arguments(void **state) {
    struct fixture *f = *state;
    struct calls calls = {.fail_at = 99};
    cleanup_graph struct graph graph = {.context = &calls};
    struct err err = {0};
    add(&graph, "b", "second kind", "x", 7);
    add(&graph, "a", "first kind", "x", 3);
    assert_string_equal(graph.nodes[0].key, graph.nodes[1].key); // told apart by their kind
    assert_ok(run_graph(f, &graph, "p", &err));
    assert_int_equal(calls.count, 2);
    assert_int_equal(calls.indexes[0], 7);
    assert_int_equal(calls.indexes[1], 3);
    for (unsigned i = 0; i < 2; i++) {
        cleanup_free char *path = graph_path(&f->cache, &graph.nodes[i], "data"), *text = NULL;
        assert_ok(file_read(AT_FDCWD, path, 10, &text, NULL, &err));
        assert_string_equal(text, i ? "3" : "7");
    }
}

// A node is shared between profiles; the reason is told against the profile's own last build.
static void test_profiles(void **state) {
    struct fixture *f = *state;
    struct calls calls = {.fail_at = 99};
    cleanup_graph struct graph one = {.context = &calls}, two = {.context = &calls};
    struct err err = {0};
    add(&one, "k", "node", "1", 0);
    assert_ok(run_graph(f, &one, "web", &err));
    graph_check(&one, &f->cache, "db");
    assert_true(one.nodes[0].cached);
    add(&two, "k", "node", "2", 0);
    graph_check(&two, &f->cache, "db");
    assert_string_equal(two.nodes[0].reason, "not built before");
    graph_check(&two, &f->cache, "web");
    assert_string_equal(two.nodes[0].reason, "changed: value");
    assert_false(two.nodes[0].cached);
    assert_ok(run_graph(f, &two, "web", &err));
    graph_check(&one, &f->cache, "web"); // going back builds nothing
    assert_true(one.nodes[0].cached);
    assert_null(one.nodes[0].reason);
    assert_int_equal(calls.count, 2);
}

// What came before a failure stays; what comes after is not begun; the next run goes on from there.
static void test_failure_in_the_middle(void **state) {
    struct fixture *f = *state;
    struct calls calls = {.fail_at = 1};
    cleanup_graph struct graph graph = {.context = &calls};
    struct err err = {0};
    add(&graph, "k", "zero", "0", 0);
    add(&graph, "k", "one", "1", 1);
    add(&graph, "k", "two", "2", 2);
    assert_int_equal(run_graph(f, &graph, "p", &err), -ENOSPC);
    assert_string_equal(err.text, "one: no room");
    assert_int_equal(calls.count, 2);
    graph_check(&graph, &f->cache, "p");
    assert_true(graph.nodes[0].cached);
    assert_false(graph.nodes[1].cached || graph.nodes[2].cached);
    calls = (struct calls){.fail_at = 99};
    assert_ok(run_graph(f, &graph, "p", &err));
    assert_int_equal(calls.count, 2);
    assert_int_equal(calls.indexes[0], 1);
    assert_int_equal(calls.indexes[1], 2);
}

// A cache in a place that is a file, below one, or on a file system without writing.
static void test_no_cache(void **state) {
    struct fixture *f = *state;
    cleanup_free char *file = scratch_file(f->scratch, "file"), *below = str_printf("%s/cache", file);
    put_file(file, "x", 1);
    const char *const paths[] = {file, below, "/proc/webops-cache", "/sys/webops-cache"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct cache cache = {.dir_fd = 77};
        struct err err = {0};
        assert_true(cache_open(paths[i], &cache, &err) < 0);
        assert_contains(err.text, "opening the cache");
        assert_contains(err.text, paths[i]);
        assert_int_equal(cache.dir_fd, 77);
    }
}

static void as_nobody(void *data) {
    struct fixture *f = data;
    struct calls calls = {.fail_at = 99};
    struct graph graph = {.context = &calls};
    struct err err = {0};
    if (geteuid() == 0 && (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
        _exit(1);
    add(&graph, "k", "new", "new", 0);
    if (run_graph(f, &graph, "p", &err) != -EACCES || calls.count != 0 || !strstr(err.text, "cache"))
        _exit(2);
    struct graph known = {.context = &calls};
    add(&known, "k", "known", "known", 0);
    graph_check(&known, &f->cache, "p");
    _exit(known.nodes[0].cached ? 0 : 3);
}

// Somebody else's cache, or one without write permission: read, but nothing is begun that could not be kept.
static void test_read_only(void **state) {
    struct fixture *f = *state;
    struct calls calls = {.fail_at = 99};
    cleanup_graph struct graph graph = {.context = &calls};
    struct err err = {0};
    add(&graph, "k", "known", "known", 0);
    assert_ok(run_graph(f, &graph, "p", &err));
    cleanup_free char *change = tool(RUN_ARGV("chmod", "-R", "a+rX,a-w", f->scratch->path));
    int status = in_child(as_nobody, f);
    cleanup_free char *undo = tool(RUN_ARGV("chmod", "-R", "u+w", f->scratch->path));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_labels),   TEST(test_order_and_arguments), TEST(test_profiles), TEST(test_failure_in_the_middle),
        TEST(test_no_cache), TEST(test_read_only),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
