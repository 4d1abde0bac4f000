// SPDX-License-Identifier: Apache-2.0
// The bars for what is fetched, with layers that mksquashfs made as the builder does: a file of the top layer changed, a package added to
// the base, a program of the base replaced. Sizes only; scripts/bench measures real images.
#include "common/run.h"
#include "firstboot/update/test/machine.h"

#define FILES 260
#define FILE_BYTES 100000 // on average
#define UKI_BYTES 12000000

// Text of a limited vocabulary: zstd makes a third of it.
static void put_words(int root_fd, const char *path, size_t size, uint32_t seed) {
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    while (text.size < size) {
        seed = seed * 1664525u + 1013904223u;
        buf_printf(&text, "%x ", (seed >> 12) * 2654435761u);
    }
    assert_ok(file_publish(root_fd, path, text.data, text.size, 0644, &err));
}

static void put_tree(const struct machine *machine) {
    struct err err = {0};
    assert_ok(file_mkdirs(machine->root_fd, "base.d/usr/bin", 0755, &err));
    assert_ok(file_mkdirs(machine->root_fd, "top.d/etc", 0755, &err));
    for (unsigned i = 0; i < FILES; i++) {
        cleanup_free char *path = str_printf("base.d/usr/bin/%03u-program", i);
        put_words(machine->root_fd, path, 1000 + i * 7919 % (2 * FILE_BYTES), i);
    }
    put_words(machine->root_fd, "top.d/etc/one", 3000, 1);
    put_words(machine->root_fd, "top.d/etc/two", 3000, 2);
}

// As builder/squashfs.c does: a sorted tar into mksquashfs.
static void squash(const struct machine *machine, const char *tree, const char *layer) {
    cleanup_free char *in = str_printf("%s/%s", machine->path, tree), *out = str_printf("%s/%s", machine->path, layer),
                      *tar = str_printf("%s.tar", out);
    struct err err = {0};
    const char *const pack[] = {"tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C", in, "-cf", tar, ".", NULL};
    const char *const argv[] = {"mksquashfs", "-",         out,      "-tar",      "-comp",        "zstd",   "-Xcompression-level",
                                "3",          "-b",        "131072", "-noappend", "-no-progress", "-quiet", "-mkfs-time",
                                "0",          "-all-time", "0",      NULL};
    assert_ok(run_quiet(&(struct run){.argv = pack}, &err));
    cleanup_fd int fd = file_open(AT_FDCWD, tar, O_RDONLY, 0, &err);
    assert_ok(run_quiet(&(struct run){.argv = argv, .in = fd}, &err));
}

// A UKI whose command line changed.
static void put_uki(const struct machine *machine, const char *path, const char *cmdline) {
    struct err err = {0};
    put_random(machine->root_fd, path, UKI_BYTES, 9);
    cleanup_fd int fd = file_open(machine->root_fd, path, O_WRONLY, 0, &err);
    assert_ok(pwrite_all(fd, path, cmdline, strlen(cmdline), 90000, &err));
}

struct scene {
    struct machine *machine;
    struct generation old;
};

static int setup(void **state) {
    static const struct part_file layers[] = {{"base", "base"}, {"top", "top"}};
    struct scene *scene = mem_array(1, sizeof(*scene));
    scene->machine = machine_start(64 << 20);
    put_tree(scene->machine);
    squash(scene->machine, "base.d", "base");
    squash(scene->machine, "top.d", "top");
    put_uki(scene->machine, "uki", "webops.slot=old");
    put_uki(scene->machine, "uki-new", "webops.slot=new");
    generation_make(scene->machine, "old.bundle", 1, "uki", layers, 2, &scene->old);
    machine_run(scene->machine, &scene->old, "uki");
    *state = scene;
    return 0;
}

static int teardown(void **state) {
    struct scene *scene = *state;
    machine_stop(scene->machine);
    free(scene);
    return 0;
}

// Installs a generation of these layers; fails when more than `limit` of `of` bytes was fetched.
static void assert_fetched(struct scene *scene, const struct part_file *layers, uint64_t limit, uint64_t of) {
    struct generation new;
    struct source *opened = NULL;
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/new.bundle", scene->machine->path);
    generation_make(scene->machine, "new.bundle", 2, "uki-new", layers, 2, &new);
    assert_ok(source_open(path, &opened, &err));
    cleanup_source struct source *source = opened;
    cleanup_delta_result struct delta_result result = {.uki_fd = -1};
    const struct delta_request request = {.manifest = &new.manifest,
                                          .source = source,
                                          .payload_offset = PAYLOAD_OFFSET,
                                          .root_fd = scene->machine->root_fd,
                                          .record = &scene->machine->record,
                                          .esp_fd = scene->machine->esp_fd,
                                          .slot = BOOT_SLOT_B};
    assert_ok(delta_install(&request, &result, &err));
    assert_installed(scene->machine, &new);
    uint64_t whole = manifest_payload_bytes(&new.manifest), indexes = new.manifest.uki_index.bytes;
    for (unsigned i = 0; i < 2; i++)
        indexes += new.manifest.layers[i].index.bytes;
    assert_true(indexes * 400 <= whole); // 0.25 %
    if (result.fetched_bytes * of > limit * whole)
        fail_msg("%llu of %llu bytes were fetched, that is more than %llu in %llu", (unsigned long long)result.fetched_bytes,
                 (unsigned long long)whole, (unsigned long long)limit, (unsigned long long)of);
}

static void one_file_of_the_top_layer(void **state) {
    struct scene *scene = *state;
    put_words(scene->machine->root_fd, "top.d/etc/one", 3100, 3);
    squash(scene->machine, "top.d", "top-new");
    assert_fetched(scene, (const struct part_file[]){{"base", "base"}, {"top", "top-new"}}, 2, 1000);
}

static void one_package_added_to_the_base(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    assert_ok(file_mkdirs(scene->machine->root_fd, "base.d/usr/share/package", 0755, &err));
    put_words(scene->machine->root_fd, "base.d/usr/bin/117-program-of-it", 150000, 1000);
    for (unsigned i = 0; i < 5; i++) {
        cleanup_free char *path = str_printf("base.d/usr/share/package/%u", i);
        put_words(scene->machine->root_fd, path, 3000, 2000 + i);
    }
    squash(scene->machine, "base.d", "base-new");
    assert_fetched(scene, (const struct part_file[]){{"base", "base-new"}, {"top", "top"}}, 25, 1000);
}

static void one_program_of_the_base_replaced(void **state) {
    struct scene *scene = *state;
    put_words(scene->machine->root_fd, "base.d/usr/bin/117-program", 1000 + 117 * 7919 % (2 * FILE_BYTES), 1000); // as long as before
    squash(scene->machine, "base.d", "base-new");
    assert_fetched(scene, (const struct part_file[]){{"base", "base-new"}, {"top", "top"}}, 15, 1000);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(one_file_of_the_top_layer),
        CASE(one_package_added_to_the_base),
        CASE(one_program_of_the_base_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
