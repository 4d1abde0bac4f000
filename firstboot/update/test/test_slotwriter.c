// SPDX-License-Identifier: Apache-2.0
// The writer: a slot is a generation only when all of it is right, what is right already is not written again, and veritysetup agrees.
#include "firstboot/update/slotwriter.h"
#include "common/run.h"
#include "firstboot/update/test/machine.h"
#include <signal.h>
#include <sys/resource.h>

#define LAYER_BYTES (3 * 1000 * 1000 + 17)
#define SLOT_BYTES (4 << 20)
#define LARGE_LAYER_BYTES (9 * 1000 * 1000 + 17) // several of the writer's windows
#define LARGE_SLOT_BYTES (12 << 20)

struct scene {
    struct machine *machine;
    struct generation generation;
    char *image; // the slot as it should become
    size_t image_bytes;
    uint64_t data_bytes;
};

static int setup_sized(void **state, size_t slot_bytes, size_t layer_bytes) {
    static const struct part_file layers[] = {{"base", "base"}, {"top", "top"}};
    struct scene *scene = mem_array(1, sizeof(*scene));
    scene->machine = machine_start(slot_bytes);
    put_random(scene->machine->root_fd, "base", layer_bytes, 1);
    put_random(scene->machine->root_fd, "top", 5000, 2);
    put_random(scene->machine->root_fd, "uki", 5000, 3);
    generation_make(scene->machine, "new", 2, "uki", layers, 2, &scene->generation);
    scene->image = load(scene->machine->root_fd, "new.slot", &scene->image_bytes);
    scene->data_bytes = scene->generation.manifest.boot.data_blocks * SLOT_BLOCK_BYTES;
    *state = scene;
    return 0;
}

static int setup(void **state) {
    return setup_sized(state, SLOT_BYTES, LAYER_BYTES);
}

static int setup_large(void **state) {
    return setup_sized(state, LARGE_SLOT_BYTES, LARGE_LAYER_BYTES);
}

static int teardown(void **state) {
    struct scene *scene = *state;
    machine_stop(scene->machine);
    free(scene->image);
    free(scene);
    return 0;
}

static int open_writer(const struct scene *scene, struct slotwriter *writer, struct err *err) {
    const struct slot_boot *boot = &scene->generation.manifest.boot;
    return slotwriter_open(scene->machine->root_fd, &scene->machine->record, BOOT_SLOT_B, boot, writer, err);
}

// Adds `size` bytes of data in portions of `step` and finishes.
static int write_slot(const struct scene *scene, const char *data, uint64_t size, size_t step, uint64_t *ret_written, struct err *err) {
    cleanup_slotwriter struct slotwriter writer = {.fd = -1};
    int r = open_writer(scene, &writer, err);
    if (r >= 0)
        r = slotwriter_begin(&writer, err);
    for (uint64_t at = 0; r >= 0 && at < size; at += step)
        r = slotwriter_add(&writer, data + at, step < size - at ? step : size - at, err);
    if (r >= 0)
        r = slotwriter_finish(&writer, &scene->generation.manifest.boot, err);
    if (ret_written)
        *ret_written = writer.written_bytes;
    return r;
}

static void a_generation_is_written(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    static const size_t steps[] = {1 << 20, 4096, 1000, 3 << 20, 65536 + 7};
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        put_sparse(scene->machine, SLOT_B_DEVICE, SLOT_BYTES);
        assert_ok(write_slot(scene, scene->image, scene->data_bytes, steps[i], NULL, &err));
        assert_installed(scene->machine, &scene->generation);
    }
    char root[65], offset[64], blocks[64];
    cleanup_free char *device = str_printf("%s/%s", scene->machine->path, SLOT_B_DEVICE);
    hex_format(scene->generation.manifest.boot.root_hash, 32, root);
    snprintf(offset, sizeof(offset), "--hash-offset=%llu", (unsigned long long)scene->data_bytes);
    snprintf(blocks, sizeof(blocks), "--data-blocks=%llu", (unsigned long long)scene->data_bytes / SLOT_BLOCK_BYTES);
    assert_ok(run_quiet(
        &(struct run){.argv = RUN_ARGV("/sbin/veritysetup", "verify", "--no-superblock", "--salt=-", offset, blocks, device, device, root)},
        &err));
}

static void what_is_right_is_not_written_again(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    uint64_t written = 0;
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, &written, &err));
    assert_in_range(written, scene->data_bytes, scene->image_bytes);
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, &written, &err));
    assert_int_equal(written, SLOT_HEADER_BYTES);
    damage(scene->machine->root_fd, SLOT_B_DEVICE, 2000000, 1); // one window is wrong
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, &written, &err));
    assert_in_range(written, 1 << 20, (1 << 20) + SLOT_HEADER_BYTES);
    assert_installed(scene->machine, &scene->generation);
}

// Stopped anywhere, there is no generation in the slot; begun anew, it becomes one.
static void interrupted_anywhere(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, NULL, &err)); // an old one was there, too
    for (uint64_t end = 0; end < scene->data_bytes; end += 300 * 4096) {
        assert_int_equal(write_slot(scene, scene->image, end, 50000, NULL, &err), -EBADMSG);
        assert_not_installed(scene->machine);
    }
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 50000, NULL, &err));
    assert_installed(scene->machine, &scene->generation);
}

static void wrong_data_never_becomes_a_generation(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    for (uint64_t at = 0; at < scene->data_bytes; at += 100 * 4096 + 999) {
        scene->image[at] ^= 1;
        assert_int_equal(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, NULL, &err), -EBADMSG);
        assert_contains(err.text, "root hash");
        assert_not_installed(scene->machine);
        scene->image[at] ^= 1;
    }
}

static void too_much_and_too_little(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    cleanup_free char *more = mem_array(scene->data_bytes + 1, 1);
    memcpy(more, scene->image, scene->data_bytes);
    assert_int_equal(write_slot(scene, more, scene->data_bytes + 1, 1 << 20, NULL, &err), -EBADMSG);
    assert_not_installed(scene->machine);
    assert_int_equal(write_slot(scene, more, scene->data_bytes - 1, 1 << 20, NULL, &err), -EBADMSG);
    assert_not_installed(scene->machine);
}

static void the_slot_may_be_full_but_not_fuller(void **state) {
    struct scene *scene = *state;
    struct slotwriter writer = {.fd = -1};
    struct err err = {0};
    put_sparse(scene->machine, SLOT_B_DEVICE, scene->image_bytes - SLOT_BLOCK_BYTES); // one block short
    assert_int_equal(open_writer(scene, &writer, &err), -EFBIG);
    assert_int_equal(writer.fd, -1);
    cleanup_free char *need = str_printf("%zu bytes", scene->image_bytes);
    assert_contains(err.text, need);
    put_sparse(scene->machine, SLOT_B_DEVICE, scene->image_bytes);
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, NULL, &err));
    assert_installed(scene->machine, &scene->generation);
}

static void placeholders_are_replaced(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    static const struct {
        uint64_t offset;
        size_t size;
    } holes[] = {{4096, 4096}, {5 * 4096 + 1, 10}, {700000, 65536}, {(1 << 20) - 5000, 12000}, {LAYER_BYTES + 4096 - 1, 1}};
    cleanup_slotwriter struct slotwriter writer = {.fd = -1};
    cleanup_free char *data = mem_array(scene->data_bytes, 1);
    memcpy(data, scene->image, scene->data_bytes);
    for (unsigned i = 0; i < ARRAY_SIZE(holes); i++)
        memset(data + holes[i].offset, 0, holes[i].size);
    assert_ok(open_writer(scene, &writer, &err));
    assert_ok(slotwriter_begin(&writer, &err));
    assert_ok(slotwriter_add(&writer, data, scene->data_bytes, &err));
    for (unsigned i = ARRAY_SIZE(holes); i-- > 0;)
        assert_ok(slotwriter_patch(&writer, holes[i].offset, scene->image + holes[i].offset, holes[i].size, &err));
    assert_ok(slotwriter_finish(&writer, &scene->generation.manifest.boot, &err));
    assert_installed(scene->machine, &scene->generation);
}

static void the_running_slot_is_refused(void **state) {
    struct scene *scene = *state;
    struct slotwriter writer = {.fd = -1};
    struct err err = {0};
    const struct slot_boot *boot = &scene->generation.manifest.boot;
    assert_int_equal(slotwriter_open(scene->machine->root_fd, &scene->machine->record, BOOT_SLOT_A, boot, &writer, &err), -EBUSY);
    assert_int_equal(slotwriter_open(scene->machine->root_fd, &scene->machine->record, BOOT_SLOT_B, &(struct slot_boot){.data_blocks = 1},
                                     &writer, &err),
                     -EINVAL);
}

// U7: the disk keeps other bytes than it was given.
static void reading_back_finds_a_single_bit(void **state) {
    struct scene *scene = *state;
    for (uint64_t at = SLOT_HEADER_BYTES; at < scene->data_bytes; at += 61 * 4096 + 77) {
        cleanup_slotwriter struct slotwriter writer = {.fd = -1};
        struct err err = {0};
        assert_ok(open_writer(scene, &writer, &err));
        assert_ok(slotwriter_begin(&writer, &err));
        assert_ok(slotwriter_add(&writer, scene->image, scene->data_bytes, &err));
        damage(scene->machine->root_fd, SLOT_B_DEVICE, at, 1);
        assert_int_equal(slotwriter_finish(&writer, &scene->generation.manifest.boot, &err), -EIO);
        cleanup_free char *name = str_printf("block %llu ", (unsigned long long)at / SLOT_BLOCK_BYTES);
        assert_contains(err.text, name);
        assert_not_installed(scene->machine);
    }
}

static int check(const struct scene *scene, struct err *err) {
    cleanup_fd int fd = openat(scene->machine->root_fd, SLOT_B_DEVICE, O_RDONLY | O_CLOEXEC);
    return slot_check(fd, "slot b", &scene->generation.manifest.boot, err);
}

// One bit in any block of header, data, padding and tree.
static void every_block_is_checked(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, NULL, &err));
    assert_ok(check(scene, &err));
    for (uint64_t block = 0; block < scene->image_bytes / SLOT_BLOCK_BYTES; block++) {
        uint64_t at = block * SLOT_BLOCK_BYTES + block * 997 % SLOT_BLOCK_BYTES;
        damage(scene->machine->root_fd, SLOT_B_DEVICE, at, 1);
        int r = check(scene, &err);
        damage(scene->machine->root_fd, SLOT_B_DEVICE, at, 1);
        cleanup_free char *name = str_printf("block %llu ", (unsigned long long)block);
        if (r != -EBADMSG || !strstr(err.text, name))
            fail_msg("a bit at byte %llu: %d %s", (unsigned long long)at, r, err.text);
    }
    assert_ok(check(scene, &err));
}

static void checks_of_other_generations(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    assert_true(check(scene, &err) < 0); // nothing there yet
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, NULL, &err));
    scene->generation.manifest.boot.root_hash[31] ^= 1;
    assert_int_equal(check(scene, &err), -EBADMSG);
    scene->generation.manifest.boot.root_hash[31] ^= 1;
    scene->generation.manifest.boot.data_blocks++;
    assert_int_equal(check(scene, &err), -EBADMSG);
    scene->generation.manifest.boot.data_blocks = 0;
    assert_int_equal(check(scene, &err), -EINVAL);
    scene->generation.manifest.boot.data_blocks = scene->data_bytes / SLOT_BLOCK_BYTES;
    put_sparse(scene->machine, SLOT_B_DEVICE, scene->data_bytes);
    assert_int_equal(check(scene, &err), -ENODATA);
}

// A disk that does not take the bytes: the failure is reported, and the slot holds no generation.
static void a_disk_that_is_full_up(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    struct rlimit limit, kept;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    for (uint64_t bytes = 4096; bytes < scene->image_bytes; bytes += 800000) {
        limit = (struct rlimit){bytes, kept.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        int r = write_slot(scene, scene->image, scene->data_bytes, 1 << 20, NULL, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
        assert_int_equal(r, -EFBIG);
        assert_contains(err.text, "/dev/vda4");
        assert_not_installed(scene->machine);
    }
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, NULL, &err));
}

static unsigned count_threads(void) {
    cleanup_dir DIR *dir = opendir("/proc/self/task");
    unsigned count = 0;
    while (readdir(dir))
        count++;
    return count;
}

// While one window is hashed, the next one is collected: each of them has its place in the tree, and no thread outlives a writer.
static void windows_in_turns(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    static const size_t steps[] = {1 << 20, 65536 + 7, 12 << 20};
    const unsigned threads = count_threads();
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        put_sparse(scene->machine, SLOT_B_DEVICE, LARGE_SLOT_BYTES);
        assert_ok(write_slot(scene, scene->image, scene->data_bytes, steps[i], NULL, &err));
        assert_installed(scene->machine, &scene->generation);
    }
    for (uint64_t at = 1 << 20; at < scene->data_bytes; at += 2 << 20) {
        scene->image[at] ^= 1;
        assert_int_equal(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, NULL, &err), -EBADMSG);
        scene->image[at] ^= 1;
        assert_int_equal(write_slot(scene, scene->image, at, 1 << 20, NULL, &err), -EBADMSG);
        assert_not_installed(scene->machine);
    }
    assert_int_equal(count_threads(), threads);
}

// A placeholder in the last window is replaced while that window may still be being hashed.
static void placeholders_in_every_window(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    cleanup_slotwriter struct slotwriter writer = {.fd = -1};
    cleanup_free char *data = mem_array(scene->data_bytes, 1);
    memcpy(data, scene->image, scene->data_bytes);
    for (uint64_t at = 5000; at < scene->data_bytes - 10000; at += 1 << 20)
        memset(data + at, 0, 10000);
    assert_ok(open_writer(scene, &writer, &err));
    assert_ok(slotwriter_begin(&writer, &err));
    assert_ok(slotwriter_add(&writer, data, scene->data_bytes, &err));
    for (uint64_t at = 5000; at < scene->data_bytes - 10000; at += 1 << 20)
        assert_ok(slotwriter_patch(&writer, at, scene->image + at, 10000, &err));
    assert_ok(slotwriter_finish(&writer, &scene->generation.manifest.boot, &err));
    assert_installed(scene->machine, &scene->generation);
}

// Two threads read; which of them is faster does not show.
static void the_first_of_many_bad_blocks_is_named(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    assert_ok(write_slot(scene, scene->image, scene->data_bytes, 1 << 20, NULL, &err));
    for (uint64_t end = scene->data_bytes / SLOT_BLOCK_BYTES, block = end; block > 0;) {
        block = block > 171 ? block - 171 : 0; // from the end on, so that the newest is the first
        damage(scene->machine->root_fd, SLOT_B_DEVICE, block * SLOT_BLOCK_BYTES + 99, 1);
        cleanup_free char *name = str_printf("block %llu ", (unsigned long long)block);
        for (unsigned again = 0; again < 5; again++) {
            assert_int_equal(check(scene, &err), -EBADMSG);
            assert_contains(err.text, name);
        }
    }
}

// A slot of more than 4 GiB, nearly all of it a hole: nothing is read or written where 32 bits of an offset would point.
#define HUGE_BLOCKS ((5ULL << 30) / SLOT_BLOCK_BYTES)

static void writes_beyond_4_gib(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    static const uint64_t beyond = 1ULL << 32;
    const struct slot_boot boot = {.data_blocks = HUGE_BLOCKS};
    char have[8192];
    put_sparse(scene->machine, SLOT_B_DEVICE, 6ULL << 30);
    cleanup_slotwriter struct slotwriter writer = {.fd = -1};
    assert_ok(slotwriter_open(scene->machine->root_fd, &scene->machine->record, BOOT_SLOT_B, &boot, &writer, &err));
    writer.position = beyond; // as if 4 GiB had been added
    assert_ok(slotwriter_add(&writer, scene->image + 4096, 1 << 20, &err));
    assert_int_equal(writer.written_bytes, 1 << 20);
    assert_ok(pread_all(writer.fd, "slot b", have, sizeof(have), beyond, &err));
    assert_memory_equal(have, scene->image + 4096, sizeof(have));
    assert_ok(pread_all(writer.fd, "slot b", have, sizeof(have), 0, &err));
    for (size_t i = 0; i < sizeof(have); i++)
        assert_int_equal(have[i], 0);
    writer.position = boot.data_blocks * SLOT_BLOCK_BYTES - (1 << 20) - 1;
    assert_int_equal(slotwriter_add(&writer, scene->image, (1 << 20) + 2, &err), -EBADMSG); // one too many
}

static void put_hashes(int fd, uint64_t block, const uint8_t hash[32], uint64_t count, uint8_t ret_hash[32]) {
    struct err err = {0};
    uint8_t bytes[SLOT_BLOCK_BYTES] = {0};
    for (uint64_t i = 0; i < count; i++)
        memcpy(bytes + i * DIGEST_BYTES, hash, DIGEST_BYTES);
    assert_ok(pwrite_all(fd, "slot b", bytes, sizeof(bytes), block * SLOT_BLOCK_BYTES, &err));
    digest_bytes(bytes, sizeof(bytes), ret_hash);
}

// The tree of such a slot lies behind 4 GiB: its root is found there and believed, and so is the one level below, but for its last block.
static void checks_beyond_4_gib(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    struct slot_boot boot = {.data_blocks = HUGE_BLOCKS};
    const uint64_t lowest = HUGE_BLOCKS / 128, middle = (lowest + 127) / 128; // 10240 blocks, 80, 1
    uint8_t hash[32];
    put_sparse(scene->machine, SLOT_B_DEVICE, 6ULL << 30);
    cleanup_fd int fd = openat(scene->machine->root_fd, SLOT_B_DEVICE, O_RDWR | O_CLOEXEC);
    for (uint64_t i = 0; i < middle; i++)
        put_hashes(fd, HUGE_BLOCKS + 1 + i, (uint8_t[32]){7}, 128, hash);
    put_hashes(fd, HUGE_BLOCKS, hash, middle, boot.root_hash);
    assert_int_equal(slot_check(fd, "slot b", &boot, &err), -EBADMSG);
    cleanup_free char *first_of_lowest = str_printf("slot b: block %llu does not match", (unsigned long long)(HUGE_BLOCKS + 1 + middle));
    assert_contains(err.text, first_of_lowest);
    put_hashes(fd, HUGE_BLOCKS + middle, (uint8_t[32]){8}, 128, hash); // the last one of the middle
    assert_int_equal(slot_check(fd, "slot b", &boot, &err), -EBADMSG);
    cleanup_free char *last_of_middle = str_printf("slot b: block %llu does not match", (unsigned long long)(HUGE_BLOCKS + middle));
    assert_contains(err.text, last_of_middle);
}

int main(void) {
#define LARGE(name) cmocka_unit_test_setup_teardown(name, setup_large, teardown)
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_generation_is_written),
        CASE(what_is_right_is_not_written_again),
        CASE(interrupted_anywhere),
        CASE(wrong_data_never_becomes_a_generation),
        CASE(too_much_and_too_little),
        CASE(the_slot_may_be_full_but_not_fuller),
        CASE(placeholders_are_replaced),
        CASE(the_running_slot_is_refused),
        CASE(reading_back_finds_a_single_bit),
        CASE(every_block_is_checked),
        CASE(checks_of_other_generations),
        CASE(a_disk_that_is_full_up),
        CASE(writes_beyond_4_gib),
        CASE(checks_beyond_4_gib),
        LARGE(windows_in_turns),
        LARGE(placeholders_in_every_window),
        LARGE(the_first_of_many_bad_blocks_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
