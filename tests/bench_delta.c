// SPDX-License-Identifier: Apache-2.0
// The machine's data path on the host, for scripts/bench: packs bundles without a head, and installs them into a tree of plain files.
//   tree TREE SLOT_BYTES                                  an empty directory becomes a machine
//   pack TREE NAME UKI LAYER…                             TREE/NAME.bundle, NAME.bundle.slot, NAME.manifest
//   run TREE NAME UKI                                     slot a and the ESP hold NAME
//   estimate | install | local TREE NAME LOCATION FETCH   prints what was fetched and how long it took; FETCH is webops-fetch
//   chunk FILE                                            prints chunks, bytes of the index, processor seconds
#include "firstboot/update/test/machine.h"
#include <sys/resource.h>
#include <time.h>

static double seconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int make_tree(char **argv) {
    machine_make(argv[0], strtoull(argv[1], NULL, 10));
    return 0;
}

static int pack(char **argv) {
    struct part_file layers[SLOT_MAX_LAYERS];
    char names[SLOT_MAX_LAYERS][16];
    struct generation generation;
    struct err err = {0};
    unsigned count = 0;
    struct machine *machine = machine_at(argv[0]);
    for (; argv[3 + count] && count < SLOT_MAX_LAYERS; count++) {
        snprintf(names[count], sizeof(names[count]), "layer%u", count);
        layers[count] = (struct part_file){names[count], argv[3 + count]};
    }
    cleanup_free char *bundle = str_printf("%s.bundle", argv[1]), *manifest = str_printf("%s.manifest", argv[1]);
    generation_make(machine, bundle, strcmp(argv[1], "old") == 0 ? 1 : 2, argv[2], layers, count, &generation);
    assert_ok(file_publish(machine->root_fd, manifest, &generation.manifest, sizeof(generation.manifest), 0644, &err));
    printf("{\"payload_bytes\": %llu}\n", (unsigned long long)manifest_payload_bytes(&generation.manifest));
    return 0;
}

static void load_manifest(const struct machine *machine, const char *name, struct generation *ret_generation) {
    cleanup_free char *path = str_printf("%s.manifest", name);
    size_t size = 0;
    cleanup_free char *data = load(machine->root_fd, path, &size);
    assert_int_equal(size, sizeof(ret_generation->manifest));
    memcpy(&ret_generation->manifest, data, size);
}

static int run_old(char **argv) {
    struct machine *machine = machine_at(argv[0]);
    cleanup_free char *bundle = str_printf("%s.bundle", argv[1]);
    struct generation generation = {.bundle = bundle};
    load_manifest(machine, argv[1], &generation);
    machine_run(machine, &generation, argv[2]);
    return 0;
}

static int install(const char *how, char **argv) {
    struct machine *machine = machine_at(argv[0]);
    cleanup_source struct source *source = NULL;
    cleanup_delta_result struct delta_result result = {.uki_fd = -1};
    struct delta_estimate estimate = {0};
    struct source_traffic traffic;
    struct generation generation;
    struct rusage usage;
    struct err err = {0};
    load_manifest(machine, argv[1], &generation);
    assert_ok(source_open_with(argv[2], &(struct source_options){.program = argv[3]}, &source, &err));
    const struct delta_request request = {.manifest = &generation.manifest,
                                          .source = source,
                                          .payload_offset = PAYLOAD_OFFSET,
                                          .root_fd = machine->root_fd,
                                          .record = &machine->record,
                                          .esp_fd = machine->esp_fd,
                                          .slot = BOOT_SLOT_B,
                                          .is_local = strcmp(how, "local") == 0};
    double begin = seconds_of(CLOCK_MONOTONIC);
    if (strcmp(how, "estimate") == 0)
        assert_ok(delta_estimate(&request, &estimate, &err));
    else
        assert_ok(delta_install(&request, &result, &err));
    double wall = seconds_of(CLOCK_MONOTONIC) - begin;
    source_traffic(source, &traffic);
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"seconds\": %.3f, \"cpu_seconds\": %.3f, \"fetched_bytes\": %llu, \"requests\": %u, \"copied_bytes\": %llu, "
           "\"written_bytes\": %llu, "
           "\"estimated_bytes\": %llu, \"index_bytes\": %llu, \"rss_kib\": %ld}\n",
           wall, seconds_of(CLOCK_PROCESS_CPUTIME_ID), (unsigned long long)traffic.bytes, traffic.requests,
           (unsigned long long)result.copied_bytes, (unsigned long long)result.written_bytes, (unsigned long long)estimate.fetch_bytes,
           (unsigned long long)estimate.index_bytes, usage.ru_maxrss);
    return 0;
}

static int chunk(char **argv) {
    cleanup_chunkindex struct chunkindex index = {0};
    struct err err = {0};
    struct stat st;
    cleanup_fd int fd = file_open(AT_FDCWD, argv[0], O_RDONLY, 0, &err);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    assert_ok(chunkindex_make(fd, argv[0], 0, (uint64_t)st.st_size, &index, &err));
    printf("{\"bytes\": %llu, \"chunks\": %zu, \"index_bytes\": %zu, \"cpu_seconds\": %.3f}\n", (unsigned long long)index.bytes,
           index.count, CHUNKINDEX_FIXED_BYTES + index.count * CHUNKINDEX_RECORD_BYTES, seconds_of(CLOCK_PROCESS_CPUTIME_ID));
    return 0;
}

int main(int argc, char **argv) {
    const char *how = argc > 2 ? argv[1] : "";
    if (strcmp(how, "tree") == 0 && argc == 4)
        return make_tree(argv + 2);
    if (strcmp(how, "chunk") == 0)
        return chunk(argv + 2);
    if (strcmp(how, "pack") == 0 && argc > 5)
        return pack(argv + 2);
    if (strcmp(how, "run") == 0 && argc == 5)
        return run_old(argv + 2);
    if (argc == 6 && (strcmp(how, "install") == 0 || strcmp(how, "estimate") == 0 || strcmp(how, "local") == 0))
        return install(how, argv + 2);
    fputs("usage: see the head of tests/bench_delta.c\n", stderr);
    return 2;
}
