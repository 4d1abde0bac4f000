// SPDX-License-Identifier: Apache-2.0
// Installing from a bundle: what is fetched and what is not, going on after interruptions, damage on the way, on the running slot and in the
// target, and refusals before anything is written.
#include "firstboot/update/test/machine.h"
#include <sys/resource.h>
#include <signal.h>

#define BASE_BYTES (6 << 20)
#define TOP_BYTES (1 << 20)
#define EXTRA_BYTES 300000
#define UKI_BYTES 900000
#define SLOT_BYTES (12 << 20)

static const struct part_file old_layers[] = {{"base", "base"}, {"extra", "extra"}, {"top", "top"}};
static const struct part_file new_layers[] = {{"base", "base"}, {"extra", "extra"}, {"top", "top-new"}};
static const struct part_file other_layers[] = {{"base", "base-other"}, {"top", "top-new"}};

struct scene {
    struct machine *machine;
    struct generation old, new, other; // new: one layer changed; other: nearly everything
    unsigned begun;
    int begin_result;
    int (*at_end)(struct scene *scene); // called when the last byte of the first pass was delivered
    uint64_t done_bytes;
    enum delta_phase phase;
};

// The content of `from` with 20 bytes inserted at `at`.
static void put_changed(const struct machine *machine, const char *from, const char *to, size_t at) {
    size_t size = 0;
    cleanup_free char *data = load(machine->root_fd, from, &size);
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    buf_add(&text, data, at);
    buf_add(&text, "twenty bytes, not 19", 20);
    buf_add(&text, data + at, size - at);
    assert_ok(file_publish(machine->root_fd, to, text.data, text.size, 0644, &err));
}

static int setup(void **state) {
    struct scene *scene = mem_array(1, sizeof(*scene));
    struct machine *machine = scene->machine = machine_start(SLOT_BYTES);
    put_random(machine->root_fd, "base", BASE_BYTES + 5, 1);
    put_random(machine->root_fd, "base-other", BASE_BYTES + 7, 5);
    put_random(machine->root_fd, "extra", EXTRA_BYTES, 2);
    put_random(machine->root_fd, "top", TOP_BYTES + 1000, 3);
    put_random(machine->root_fd, "uki", UKI_BYTES, 4);
    put_changed(machine, "top", "top-new", 500000);
    put_changed(machine, "uki", "uki-new", 100);
    generation_make(machine, "old.bundle", 1, "uki", old_layers, ARRAY_SIZE(old_layers), &scene->old);
    generation_make(machine, "new.bundle", 2, "uki-new", new_layers, ARRAY_SIZE(new_layers), &scene->new);
    generation_make(machine, "other.bundle", 3, "uki-new", other_layers, ARRAY_SIZE(other_layers), &scene->other);
    machine_run(machine, &scene->old, "uki");
    *state = scene;
    return 0;
}

static int teardown(void **state) {
    struct scene *scene = *state;
    machine_stop(scene->machine);
    free(scene);
    return 0;
}

static int begin(void *context, struct err *err) {
    struct scene *scene = context;
    scene->begun++;
    return scene->begin_result ? err_set(err, scene->begin_result, "the engine says no") : 0;
}

static void progress(void *context, const struct delta_progress *progress) {
    struct scene *scene = context;
    assert_true(progress->total_bytes == 0 || progress->done_bytes <= progress->total_bytes);
    assert_true(progress->phase > scene->phase || progress->done_bytes >= scene->done_bytes);
    scene->phase = progress->phase;
    scene->done_bytes = progress->done_bytes;
    if (progress->phase == DELTA_WRITING && progress->done_bytes == progress->total_bytes && scene->at_end) {
        assert_int_equal(scene->at_end(scene), 0);
        scene->at_end = NULL;
    }
}

struct how {
    const char *bundle; // another file than the generation's
    bool is_local;
    int esp_fd;
};

// `request` but for its source.
static struct delta_request request_of(struct scene *scene, const struct generation *generation) {
    scene->phase = DELTA_LOOKING;
    scene->done_bytes = scene->begun = 0;
    return (struct delta_request){.manifest = &generation->manifest,
                                  .payload_offset = PAYLOAD_OFFSET,
                                  .root_fd = scene->machine->root_fd,
                                  .record = &scene->machine->record,
                                  .esp_fd = scene->machine->esp_fd,
                                  .slot = BOOT_SLOT_B,
                                  .begin = begin,
                                  .progress = progress,
                                  .context = scene};
}

static struct source *open_source(const struct scene *scene, const char *bundle) {
    struct source *source = NULL;
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/%s", scene->machine->path, bundle);
    assert_ok(source_open(path, &source, &err));
    return source;
}

static int install(struct scene *scene, const struct generation *generation, const char *bundle, struct delta_result *ret_result,
                   struct err *err) {
    struct delta_request request = request_of(scene, generation);
    cleanup_source struct source *source = open_source(scene, bundle ? bundle : generation->bundle);
    request.source = source;
    return delta_install(&request, ret_result, err);
}

static void assert_uki(const struct delta_result *result, const struct generation *generation) {
    uint8_t sha256[32];
    struct err err = {0};
    assert_ok(digest_range(result->uki_fd, "uki", 0, generation->manifest.uki.bytes, sha256, &err));
    assert_memory_equal(sha256, generation->manifest.uki.sha256, 32);
}

// Installs, which must work, and returns what was fetched.
static uint64_t install_well(struct scene *scene, const struct generation *generation, unsigned asked_again) {
    cleanup_delta_result struct delta_result result = {.uki_fd = -1};
    struct err err = {0};
    assert_ok(install(scene, generation, NULL, &result, &err));
    assert_installed(scene->machine, generation);
    assert_uki(&result, generation);
    assert_int_equal(scene->begun, 1);
    assert_int_equal(scene->phase, DELTA_CHECKING);
    assert_int_equal(result.asked_again, asked_again);
    return result.fetched_bytes;
}

static uint64_t index_bytes(const struct generation *generation) {
    uint64_t bytes = generation->manifest.uki_index.bytes;
    for (unsigned i = 0; i < generation->manifest.layer_count; i++)
        bytes += generation->manifest.layers[i].index.bytes;
    return bytes;
}

static void only_what_changed_is_fetched(void **state) {
    struct scene *scene = *state;
    uint64_t fetched = install_well(scene, &scene->new, 0);
    // Two insertions: a chunk or two of the UKI and of the layer, and two indexes.
    assert_in_range(fetched, 1, 4 * CHUNK_MAX_BYTES);
    assert_true(fetched < 2 * (UKI_BYTES + TOP_BYTES) / 20);
}

static void a_whole_local_bundle_is_just_read(void **state) {
    struct scene *scene = *state;
    struct delta_request request = request_of(scene, &scene->new);
    cleanup_source struct source *source = open_source(scene, scene->new.bundle);
    cleanup_delta_result struct delta_result result = {.uki_fd = -1};
    struct err err = {0};
    request.source = source;
    request.is_local = true;
    request.esp_fd = -1;
    assert_ok(delta_install(&request, &result, &err));
    assert_installed(scene->machine, &scene->new);
    assert_uki(&result, &scene->new);
    assert_int_equal(result.copied_bytes, 0);
    assert_int_equal(result.fetched_bytes, UKI_BYTES + 20 + BASE_BYTES + 5 + EXTRA_BYTES + TOP_BYTES + 1000 + 20);
}

static void without_anything_to_compare_all_is_fetched(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    put_sparse(scene->machine, SLOT_A_DEVICE, SLOT_BYTES); // no header, no layers
    assert_ok(file_remove_tree(scene->machine->esp_fd, "EFI", &err));
    uint64_t whole = UKI_BYTES + 20 + BASE_BYTES + 5 + EXTRA_BYTES + TOP_BYTES + 1000 + 20;
    assert_int_equal(install_well(scene, &scene->new, 0), whole + index_bytes(&scene->new));
}

static void estimates_say_what_will_be_fetched(void **state) {
    struct scene *scene = *state;
    const struct generation *generations[] = {&scene->new, &scene->other};
    for (unsigned i = 0; i < ARRAY_SIZE(generations); i++) {
        struct delta_request request = request_of(scene, generations[i]);
        cleanup_source struct source *source = open_source(scene, generations[i]->bundle);
        struct delta_estimate estimate;
        struct source_traffic traffic;
        struct err err = {0};
        request.source = source;
        assert_ok(delta_estimate(&request, &estimate, &err));
        source_traffic(source, &traffic);
        assert_int_equal(traffic.bytes, estimate.index_bytes);
        assert_int_equal(scene->begun, 0);
        assert_int_equal(estimate.total_bytes, manifest_payload_bytes(&generations[i]->manifest));
        assert_int_equal(estimate.slot_available_bytes, SLOT_BYTES);
        uint64_t parts = estimate.index_bytes + estimate.uki_fetch_bytes;
        for (unsigned layer = 0; layer < generations[i]->manifest.layer_count; layer++) {
            parts += estimate.layers[layer].fetch_bytes;
            assert_int_equal(estimate.layers[layer].bytes, generations[i]->manifest.layers[layer].data.bytes);
        }
        assert_int_equal(parts, estimate.fetch_bytes);
        assert_int_equal(estimate.layers[0].is_unchanged, i == 0);
        assert_int_equal(estimate.layers[1].is_unchanged, i == 0);
        assert_int_equal(install_well(scene, generations[i], 0), estimate.fetch_bytes);
    }
}

// The bundle ends early, at many places; the next attempt fetches what the one before did not bring, and little more.
static void interrupted_downloads_go_on(void **state) {
    struct scene *scene = *state;
    uint64_t whole = 0, bytes = PAYLOAD_OFFSET + manifest_payload_bytes(&scene->other.manifest);
    size_t size = 0;
    cleanup_free char *bundle = load(scene->machine->root_fd, scene->other.bundle, &size);
    assert_int_equal(size, bytes);
    for (unsigned i = 0; i < 8; i++) {
        cleanup_delta_result struct delta_result result = {.uki_fd = -1};
        struct err err = {0};
        uint64_t end = PAYLOAD_OFFSET + scene->other.manifest.layers[0].data.offset + i * 900000;
        put_sparse(scene->machine, SLOT_B_DEVICE, SLOT_BYTES);
        assert_ok(delta_clean(scene->machine->root_fd, &err));
        assert_ok(file_publish(scene->machine->root_fd, "cut", bundle, end, 0644, &err));
        assert_int_equal(install(scene, &scene->other, "cut", &result, &err), -EIO);
        assert_not_installed(scene->machine);
        uint64_t left = install_well(scene, &scene->other, 0);
        whole = i == 0 ? left : whole;
        // Up to a window of 1 MiB was not written yet, and a chunk was not whole.
        assert_in_range(left, 1, whole - i * 900000 + (1 << 20) + CHUNK_MAX_BYTES);
    }
}

// The same bundle cut again and again: every attempt brings it further, until it is there.
static void many_interruptions_in_a_row(void **state) {
    struct scene *scene = *state;
    uint64_t sum = 0;
    size_t size = 0;
    cleanup_free char *bundle = load(scene->machine->root_fd, scene->other.bundle, &size);
    for (uint64_t end = PAYLOAD_OFFSET + 1300000; end < size; end += 1300000) {
        cleanup_delta_result struct delta_result result = {.uki_fd = -1};
        cleanup_source struct source *source = NULL;
        struct source_traffic traffic;
        struct err err = {0};
        assert_ok(file_publish(scene->machine->root_fd, "cut", bundle, end, 0644, &err));
        source = open_source(scene, "cut");
        struct delta_request request = request_of(scene, &scene->other);
        request.source = source;
        int r = delta_install(&request, &result, &err);
        if (r != -EIO && (r != 0 || end + 2000000 < size)) // the bundle's very end may be there already
            fail_msg("%d %s", r, err.text);
        source_traffic(source, &traffic);
        sum += traffic.bytes;
    }
    sum += install_well(scene, &scene->other, 0);
    assert_true(sum < 2 * size);
}

// What the target held before serves, where it is not overwritten yet.
static void the_targets_old_content_serves(void **state) {
    struct scene *scene = *state;
    size_t size = 0;
    cleanup_free char *slot = load(scene->machine->root_fd, "other.bundle.slot", &size);
    struct err err = {0};
    cleanup_fd int fd = file_open(scene->machine->root_fd, SLOT_B_DEVICE, O_WRONLY, 0, &err);
    assert_ok(pwrite_all(fd, SLOT_B_DEVICE, slot, size, 0, &err));
    // Slot b held "other"; now a generation whose base is other's, behind a new small layer: all of it lies too far in front.
    static const struct part_file behind[] = {{"extra", "extra"}, {"base", "base-other"}};
    static const struct part_file in_front[] = {{"base", "base-short"}};
    struct generation generation;
    generation_make(scene->machine, "behind.bundle", 4, "uki", behind, 2, &generation);
    assert_in_range(install_well(scene, &generation, 0), BASE_BYTES, SLOT_BYTES);
    // And one whose only layer is the end of what lies there: everything moves to the front.
    cleanup_free char *base = load(scene->machine->root_fd, "base-other", &size);
    assert_ok(file_publish(scene->machine->root_fd, "base-short", base + 500000, size - 500000, 0644, &err));
    generation_make(scene->machine, "in-front.bundle", 5, "uki", in_front, 1, &generation);
    assert_in_range(install_well(scene, &generation, 0), 1, 200000);
}

// N16: the running slot's bytes are wrong where they are read, whole layers and single chunks alike.
static void damage_in_the_running_slot(void **state) {
    struct scene *scene = *state;
    uint64_t undamaged = install_well(scene, &scene->new, 0);
    static const uint64_t places[] = {SLOT_HEADER_BYTES + 1000000, SLOT_HEADER_BYTES + BASE_BYTES + 4096 + EXTRA_BYTES + 300000};
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        put_sparse(scene->machine, SLOT_B_DEVICE, SLOT_BYTES);
        damage(scene->machine->root_fd, SLOT_A_DEVICE, places[i], 30000);
        uint64_t fetched = install_well(scene, &scene->new, 0);
        assert_in_range(fetched, undamaged + 1, undamaged + 30000 + 3 * CHUNK_MAX_BYTES + index_bytes(&scene->new));
        damage(scene->machine->root_fd, SLOT_A_DEVICE, places[i], 30000);
    }
}

static void damage_in_the_running_uki(void **state) {
    struct scene *scene = *state;
    uint64_t undamaged = install_well(scene, &scene->new, 0);
    damage(scene->machine->esp_fd, "EFI/webops/a.efi", 450000, 1);
    assert_in_range(install_well(scene, &scene->other, 0), undamaged, SLOT_BYTES);
}

static uint64_t damaged_at; // in new.bundle; set by the test that uses it

static int repair(struct scene *scene) {
    damage(scene->machine->root_fd, "new.bundle", damaged_at, 1);
    return 0;
}

// N15: a bit is turned over on the way, once: exactly its chunk is asked for again.
static void damage_on_the_way(void **state) {
    struct scene *scene = *state;
    uint64_t undamaged = install_well(scene, &scene->new, 0);
    const struct manifest *manifest = &scene->new.manifest;
    const uint64_t places[] = {manifest->uki.offset + 100, manifest->layers[2].data.offset + 500000};
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        struct err err = {0};
        put_sparse(scene->machine, SLOT_B_DEVICE, SLOT_BYTES);
        assert_ok(delta_clean(scene->machine->root_fd, &err));
        damaged_at = PAYLOAD_OFFSET + places[i];
        damage(scene->machine->root_fd, "new.bundle", damaged_at, 1);
        scene->at_end = repair;
        uint64_t fetched = install_well(scene, &scene->new, 1);
        assert_in_range(fetched - undamaged, 1, CHUNK_MAX_BYTES);
    }
}

// It stays wrong: asked for a bounded number of times, then given up.
static void damage_that_stays(void **state) {
    struct scene *scene = *state;
    const struct manifest *manifest = &scene->new.manifest;
    const uint64_t places[] = {manifest->uki.offset + 100, manifest->layers[2].data.offset + 500000, manifest->uki_index.offset + 40,
                               manifest->layers[2].index.offset + 40};
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        cleanup_delta_result struct delta_result result = {.uki_fd = -1};
        struct err err = {0};
        put_sparse(scene->machine, SLOT_B_DEVICE, SLOT_BYTES);
        assert_ok(delta_clean(scene->machine->root_fd, &err));
        damage(scene->machine->root_fd, "new.bundle", PAYLOAD_OFFSET + places[i], 1);
        assert_int_equal(install(scene, &scene->new, NULL, &result, &err), -EBADMSG);
        assert_not_installed(scene->machine);
        assert_int_equal(scene->begun, i < 2); // an index is read before anything is begun
        damage(scene->machine->root_fd, "new.bundle", PAYLOAD_OFFSET + places[i], 1);
    }
}

static void a_source_of_other_bytes(void **state) {
    struct scene *scene = *state;
    cleanup_delta_result struct delta_result result = {.uki_fd = -1};
    struct err err = {0};
    damage(scene->machine->root_fd, "other.bundle", PAYLOAD_OFFSET + scene->other.manifest.layers[0].data.offset, BASE_BYTES);
    assert_int_equal(install(scene, &scene->other, NULL, &result, &err), -EBADMSG);
    assert_contains(err.text, "other bytes");
    assert_not_installed(scene->machine);
}

// A manifest whose parts are right, but whose root hash is another generation's (mix and match).
static void the_root_hash_has_the_last_word(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    scene->new.manifest.boot.root_hash[0] ^= 1;
    for (unsigned is_local = 0; is_local < 2; is_local++) {
        cleanup_delta_result struct delta_result result = {.uki_fd = -1};
        cleanup_source struct source *source = open_source(scene, scene->new.bundle);
        struct delta_request request = request_of(scene, &scene->new);
        request.source = source;
        request.is_local = is_local;
        assert_int_equal(delta_install(&request, &result, &err), -EBADMSG);
        assert_contains(err.text, "root hash");
        assert_not_installed(scene->machine);
        assert_int_equal(scene->begun, 1);
    }
}

static void slot_b_is(struct scene *scene, uint8_t byte) {
    size_t size = 0;
    cleanup_free char *slot = load(scene->machine->root_fd, SLOT_B_DEVICE, &size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal((uint8_t)slot[i], byte);
}

// Everything that is refused is refused before the first byte is written.
static void refusals_write_nothing(void **state) {
    struct scene *scene = *state;
    cleanup_delta_result struct delta_result result = {.uki_fd = -1};
    struct err err = {0};
    scene->begin_result = -EIO;
    assert_int_equal(install(scene, &scene->new, NULL, &result, &err), -EIO);
    assert_contains(err.text, "the engine says no");
    slot_b_is(scene, 0);
    scene->begin_result = 0;
    scene->new.manifest.boot.id[0] ^= 1; // the header made from the manifest is another one
    assert_int_equal(install(scene, &scene->new, NULL, &result, &err), -EBADMSG);
    scene->new.manifest.boot.id[0] ^= 1;
    scene->new.manifest.layers[2].index.bytes = CHUNKINDEX_MAX_BYTES;
    assert_int_equal(install(scene, &scene->new, NULL, &result, &err), -EBADMSG);
    put_partition(scene->machine, "vda", "vda7", "webops-b", "254:7\n");
    assert_int_equal(install(scene, &scene->new, NULL, &result, &err), -ENOTUNIQ);
    assert_int_equal(scene->begun, 0);
    slot_b_is(scene, 0);
    assert_int_equal(result.uki_fd, -1);
}

static void a_slot_that_is_one_block_too_small(void **state) {
    struct scene *scene = *state;
    cleanup_delta_result struct delta_result result = {.uki_fd = -1};
    struct err err = {0};
    struct stat st;
    assert_int_equal(fstatat(scene->machine->root_fd, "new.bundle.slot", &st, 0), 0);
    put_sparse(scene->machine, SLOT_B_DEVICE, (uint64_t)st.st_size - 4096);
    assert_int_equal(install(scene, &scene->new, NULL, &result, &err), -EFBIG);
    assert_int_equal(scene->begun, 0);
    slot_b_is(scene, 0);
    put_sparse(scene->machine, SLOT_B_DEVICE, (uint64_t)st.st_size);
    install_well(scene, &scene->new, 0);
}

static void the_ukis_file_goes_when_it_is_told_to(void **state) {
    struct scene *scene = *state;
    struct err err = {0};
    install_well(scene, &scene->new, 0);
    assert_true(file_exists(scene->machine->root_fd, "var/lib/webops/update/uki.part"));
    assert_ok(delta_clean(scene->machine->root_fd, &err));
    assert_false(file_exists(scene->machine->root_fd, "var/lib/webops/update/uki.part"));
    assert_ok(delta_clean(scene->machine->root_fd, &err));
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(only_what_changed_is_fetched),
        CASE(a_whole_local_bundle_is_just_read),
        CASE(without_anything_to_compare_all_is_fetched),
        CASE(estimates_say_what_will_be_fetched),
        CASE(interrupted_downloads_go_on),
        CASE(many_interruptions_in_a_row),
        CASE(the_targets_old_content_serves),
        CASE(damage_in_the_running_slot),
        CASE(damage_in_the_running_uki),
        CASE(damage_on_the_way),
        CASE(damage_that_stays),
        CASE(a_source_of_other_bytes),
        CASE(the_root_hash_has_the_last_word),
        CASE(refusals_write_nothing),
        CASE(a_slot_that_is_one_block_too_small),
        CASE(the_ukis_file_goes_when_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
