// SPDX-License-Identifier: Apache-2.0
// What the real `webops update` takes of memory, with a bundle that is larger than what it may take.
#include "firstboot/update/test/tree.h"
#include "common/run.h"
#include <sys/resource.h>
#include <sys/wait.h>

#define LAYER_BYTES (112 << 20)
#define SLOT_BYTES (128 << 20)
#define MAX_RSS_KIB (64 << 10)

static const char *program;

// Again from the upper layer on.
static void grow(struct tree_generation *generation) {
    struct buf *again[] = {&generation->layers[1], &generation->indexes[1], &generation->slot, &generation->uki_index};
    for (size_t i = 0; i < ARRAY_SIZE(again); i++)
        buf_done(again[i]);
    tree_fill(&generation->layers[1], LAYER_BYTES, 3);
    tree_part(&generation->layers[1], &generation->manifest.layers[1].data);
    tree_index(&generation->layers[1], &generation->indexes[1]);
    tree_part(&generation->indexes[1], &generation->manifest.layers[1].index);
    tree_slot(generation);
    tree_uki(generation);
    manifest_seal(&generation->manifest);
}

static void write_large_bundle(const struct tree *tree) {
    struct tree_generation large;
    tree_generation_make(&large, "2", 2, 3);
    grow(&large);
    free(tree_bundle(tree, &large, "large.bundle"));
    tree_generation_done(&large);
}

// In a process of its own: what a program's parent had in memory when it was started counts as the program's own highest.
static void make_large_bundle(const struct tree *tree) {
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        write_large_bundle(tree);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void memory_does_not_grow_with_the_bundle(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old;
    tree_generation_make(&old, "1", 1, 2);
    cleanup_tree struct tree tree = tree_make(program, &old);
    const char *build = strstr(program, "firstboot/");
    cleanup_free char *webops = str_printf("%.*swebops", build ? (int)(build - program) : 0, program),
                      *root = str_printf("--root=%s", tree.root.path), *bundle = str_printf("%s/large.bundle", tree.root.path);
    struct rusage usage;
    struct stat st;
    int status;
    pid_t pid;
    make_large_bundle(&tree);
    cleanup_fd int slot = openat(tree.root.fd, "dev/vda4", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(slot, SLOT_BYTES), 0);
    assert_int_equal(stat(bundle, &st), 0);
    assert_true(st.st_size / 1024 > MAX_RSS_KIB + (32 << 10));
    cleanup_fd int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_ok(run_start(&(struct run){.argv = RUN_ARGV(webops, "update", root, bundle), .out = null}, &pid, &tree_failure));
    assert_int_equal(wait4(pid, &status, 0, &usage), pid);
    assert_int_equal(status, 0);
    for (size_t i = 0; boot_backends[i]; i++)
        assert_int_equal(tree_entry(&tree, i, BOOT_SLOT_B).state, BOOT_TRIAL);
    print_message("the highest that webops and its children had: %ld KiB\n", usage.ru_maxrss);
    assert_in_range(usage.ru_maxrss, 1, MAX_RSS_KIB);
}

int main(int argc, char **argv) {
    (void)argc;
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_does_not_grow_with_the_bundle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
