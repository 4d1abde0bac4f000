// SPDX-License-Identifier: Apache-2.0
// For tests: a machine as a tree of plain files (sysfs, devices, ESP), running one generation from slot a; and bundles of other generations.
#pragma once
#include "common/test/support.h"
#include "common/chunkindex.h"
#include "common/digest.h"
#include "common/hashtree.h"
#include "firstboot/update/delta.h"
#include "firstboot/update/slotwriter.h"
#include <errno.h>

#define PAYLOAD_OFFSET 8192 // of the test bundles: their heads are somebody else's matter
#define SLOT_A_DEVICE "dev/vda3"
#define SLOT_B_DEVICE "dev/vda4"

#define assert_ok(call)                                                                                                                    \
    do {                                                                                                                                   \
        int result_ = (call);                                                                                                              \
        if (result_ < 0)                                                                                                                   \
            fail_msg("%s: %d %s", #call, result_, err.text);                                                                               \
    } while (0)

struct machine {
    char path[256];
    int root_fd, esp_fd;
    struct config record;
};

// One object of a generation: its bytes are in `path` (relative to the machine's tree).
struct part_file {
    const char *name, *path;
};

struct generation {
    struct manifest manifest;
    const char *bundle; // path in the machine's tree
};

static inline void put_text(int root_fd, const char *path, const char *text) {
    struct err err = {0};
    cleanup_free char *directory = str_dup(path);
    if (strrchr(directory, '/')) {
        *strrchr(directory, '/') = 0;
        assert_ok(file_mkdirs(root_fd, directory, 0755, &err));
    }
    assert_ok(file_publish(root_fd, path, text, strlen(text), 0644, &err));
}

// Bytes that do not compress and differ by seed.
static inline void fill_random(uint8_t *data, size_t size, uint32_t seed) {
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
}

static inline void put_random(int root_fd, const char *path, size_t size, uint32_t seed) {
    struct err err = {0};
    cleanup_free uint8_t *data = mem_array(size, 1);
    fill_random(data, size, seed);
    assert_ok(file_publish(root_fd, path, data, size, 0644, &err));
}

static inline char *load(int root_fd, const char *path, size_t *ret_size) {
    struct err err = {0};
    char *data = NULL;
    assert_ok(file_read(root_fd, path, (size_t)4 << 30, &data, ret_size, &err));
    return data;
}

// Turns bits of a file over: done twice, it is as it was.
static inline void damage(int root_fd, const char *path, uint64_t offset, size_t size) {
    struct err err = {0};
    cleanup_free uint8_t *data = mem_array(size, 1);
    cleanup_fd int fd = file_open(root_fd, path, O_RDWR, 0, &err);
    assert_ok(pread_all(fd, path, data, size, offset, &err));
    for (size_t i = 0; i < size; i++)
        data[i] ^= 0x10;
    assert_ok(pwrite_all(fd, path, data, size, offset, &err));
}

static inline void put_partition(const struct machine *machine, const char *disk, const char *part, const char *name, const char *number) {
    static const char *const files[] = {"partition", "uevent", "ro", "dev"};
    const char *texts[] = {"3\n", NULL, "0\n", number};
    cleanup_free char *uevent = str_printf("MAJOR=254\nDEVNAME=%s\nDEVTYPE=partition\nPARTN=3\nPARTNAME=%s\n", part, name);
    struct err err = {0};
    texts[1] = uevent;
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        cleanup_free char *path = str_printf("sys/class/block/%s/%s/%s", disk, part, files[i]);
        put_text(machine->root_fd, path, texts[i]);
    }
    cleanup_free char *holders = str_printf("sys/class/block/%s/%s/holders", disk, part);
    assert_ok(file_mkdirs(machine->root_fd, holders, 0755, &err));
}

static inline void put_sparse(const struct machine *machine, const char *path, uint64_t bytes) {
    put_text(machine->root_fd, path, "");
    cleanup_fd int fd = openat(machine->root_fd, path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
}

// What the init would have left, for a tree that is there.
static inline struct machine *machine_at(const char *path) {
    struct machine *machine = mem_array(1, sizeof(*machine));
    snprintf(machine->path, sizeof(machine->path), "%s", path);
    machine->root_fd = open(machine->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(machine->root_fd >= 0);
    machine->esp_fd = openat(machine->root_fd, "esp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    config_set(&machine->record, "SLOT", "a", 0);
    config_set(&machine->record, "DISK", "/dev/vda", 0);
    config_set(&machine->record, "SLOT_DEVICE", "/dev/vda3", 0);
    config_set(&machine->record, "VERITY_DEVICE", "/dev/dm-0", 0);
    return machine;
}

// Makes one in an empty directory. Slots of `slot_bytes`; what runs is put there by machine_run().
static inline struct machine *machine_make(const char *path, uint64_t slot_bytes) {
    struct err err = {0};
    struct machine *machine = machine_at(path);
    put_partition(machine, "vda", "vda2", "esp", "254:2\n");
    put_partition(machine, "vda", "vda3", "webops-a", "254:3\n");
    put_partition(machine, "vda", "vda4", "webops-b", "254:4\n");
    put_text(machine->root_fd, "sys/class/block/vda/size", "0\n");
    put_text(machine->root_fd, "sys/class/block/dm-0/slaves/vda3", "");
    put_sparse(machine, SLOT_A_DEVICE, slot_bytes);
    put_sparse(machine, SLOT_B_DEVICE, slot_bytes);
    assert_int_equal(symlinkat("vda3", machine->root_fd, "dev/dm-0"), 0); // what dm-verity lets through
    assert_ok(file_mkdirs(machine->root_fd, "esp/EFI/webops", 0755, &err));
    machine->esp_fd = openat(machine->root_fd, "esp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return machine;
}

static inline struct machine *machine_start(uint64_t slot_bytes) {
    char path[] = "/tmp/webops-test-XXXXXX";
    assert_non_null(mkdtemp(path));
    return machine_make(path, slot_bytes);
}

static inline void machine_stop(struct machine *machine) {
    struct err err = {0};
    close(machine->root_fd);
    close(machine->esp_fd);
    config_done(&machine->record);
    assert_ok(file_remove_tree(AT_FDCWD, machine->path, &err));
    free(machine);
}

static inline void machine_stop_p(struct machine **machine) {
    if (*machine)
        machine_stop(*machine);
}
#define cleanup_machine cleanup(machine_stop_p)

static inline void pad(struct buf *text, size_t alignment) {
    while (text->size % alignment)
        buf_add(text, "", 1);
}

// Appends an object's bytes to the payload and says where they are.
static inline void add_part(struct buf *payload, const void *data, size_t size, struct manifest_part *ret_part) {
    pad(payload, 4096);
    *ret_part = (struct manifest_part){.offset = payload->size, .bytes = size};
    digest_bytes(data, size, ret_part->sha256);
    buf_add(payload, data, size);
}

static inline void add_index(const struct machine *machine, struct buf *payload, const char *path, struct manifest_part *ret_part) {
    cleanup_chunkindex struct chunkindex index = {0};
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    struct stat st;
    cleanup_fd int fd = file_open(machine->root_fd, path, O_RDONLY, 0, &err);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    assert_ok(chunkindex_make(fd, path, 0, (uint64_t)st.st_size, &index, &err));
    chunkindex_format(&index, &text);
    add_part(payload, text.data, text.size, ret_part);
}

// The slot's data area; its root hash goes into the manifest.
static inline void make_data(const struct machine *machine, const struct part_file *layers, struct manifest *manifest, struct buf *data) {
    struct slot_header header = {.sequence = manifest->sequence, .layer_count = manifest->layer_count};
    uint8_t bytes[SLOT_HEADER_BYTES];
    struct err err = {0};
    strcpy(header.profile, manifest->profile);
    strcpy(header.version, manifest->version);
    for (uint32_t i = 0; i < manifest->layer_count; i++) {
        strcpy(header.layers[i].name, manifest->layers[i].name);
        strcpy(header.layers[i].version, manifest->layers[i].version);
        header.layers[i].length = manifest->layers[i].data.bytes;
        memcpy(header.layers[i].sha256, manifest->layers[i].data.sha256, 32);
    }
    assert_ok(slot_header_format(&header, bytes, &err));
    memcpy(manifest->boot.id, header.id, SLOT_ID_BYTES);
    manifest->boot.data_blocks = header.data_bytes / SLOT_BLOCK_BYTES;
    buf_add(data, bytes, sizeof(bytes));
    for (uint32_t i = 0; i < manifest->layer_count; i++) {
        size_t size = 0;
        cleanup_free char *layer = load(machine->root_fd, layers[i].path, &size);
        buf_add(data, layer, size);
        pad(data, SLOT_BLOCK_BYTES);
    }
}

// Appends the tree and takes down the root hash.
static inline void add_tree(struct manifest *manifest, struct buf *data) {
    cleanup_hashtree struct hashtree tree;
    cleanup_free uint8_t *text = NULL;
    size_t size = 0;
    struct err err = {0};
    hashtree_init(&tree, manifest->boot.data_blocks);
    hashtree_add(&tree, data->data, data->size);
    assert_ok(hashtree_finish(&tree, &text, &size, manifest->boot.root_hash, &err));
    buf_add(data, text, size);
}

// A bundle at `bundle`, and the whole slot image at `bundle`.slot.
static inline void generation_make(const struct machine *machine, const char *bundle, uint64_t sequence, const char *uki,
                                   const struct part_file *layers, unsigned layer_count, struct generation *ret) {
    cleanup_buf struct buf payload = {0}, data = {0}, file = {0};
    struct manifest *manifest = &ret->manifest;
    struct err err = {0};
    size_t size = 0;
    *ret = (struct generation){.bundle = bundle, .manifest = {.profile = "test", .sequence = sequence, .layer_count = layer_count}};
    snprintf(manifest->version, sizeof(manifest->version), "1.%llu", (unsigned long long)sequence);
    add_part(&payload, "packages\n", 9, &manifest->packages);
    add_index(machine, &payload, uki, &manifest->uki_index);
    for (unsigned i = 0; i < layer_count; i++)
        add_index(machine, &payload, layers[i].path, &manifest->layers[i].index);
    cleanup_free char *uki_data = load(machine->root_fd, uki, &size);
    add_part(&payload, uki_data, size, &manifest->uki);
    for (unsigned i = 0; i < layer_count; i++) {
        cleanup_free char *layer = load(machine->root_fd, layers[i].path, &size);
        strcpy(manifest->layers[i].name, layers[i].name);
        strcpy(manifest->layers[i].version, "1");
        add_part(&payload, layer, size, &manifest->layers[i].data);
    }
    pad(&payload, 4096);
    make_data(machine, layers, manifest, &data);
    add_tree(manifest, &data);
    while (file.size < PAYLOAD_OFFSET)
        buf_add(&file, "head of the bundle ", 16);
    buf_add(&file, payload.data, payload.size);
    assert_ok(file_publish(machine->root_fd, bundle, file.data, file.size, 0644, &err));
    cleanup_free char *slot = str_printf("%s.slot", bundle);
    assert_ok(file_publish(machine->root_fd, slot, data.data, data.size, 0644, &err));
}

// The generation runs from slot a, with its UKI on the ESP.
static inline void machine_run(const struct machine *machine, const struct generation *generation, const char *uki) {
    cleanup_free char *slot = str_printf("%s.slot", generation->bundle);
    struct err err = {0};
    size_t size = 0;
    cleanup_free char *data = load(machine->root_fd, slot, &size);
    cleanup_fd int fd = file_open(machine->root_fd, SLOT_A_DEVICE, O_WRONLY, 0, &err);
    assert_ok(pwrite_all(fd, SLOT_A_DEVICE, data, size, 0, &err));
    cleanup_free char *kernel = load(machine->root_fd, uki, &size);
    assert_ok(file_publish(machine->esp_fd, "EFI/webops/a.efi", kernel, size, 0644, &err));
}

// Slot b holds exactly this generation.
static inline void assert_installed(const struct machine *machine, const struct generation *generation) {
    cleanup_free char *path = str_printf("%s.slot", generation->bundle);
    struct err err = {0};
    size_t wanted_size = 0, size = 0;
    cleanup_free char *wanted = load(machine->root_fd, path, &wanted_size), *slot = load(machine->root_fd, SLOT_B_DEVICE, &size);
    assert_true(size >= wanted_size);
    assert_memory_equal(slot, wanted, wanted_size);
    cleanup_fd int fd = file_open(machine->root_fd, SLOT_B_DEVICE, O_RDONLY, 0, &err);
    assert_ok(slot_check(fd, "slot b", &generation->manifest.boot, &err));
}

// Nobody takes slot b for a generation.
static inline void assert_not_installed(const struct machine *machine) {
    struct slot_header header;
    struct err err = {0};
    uint8_t bytes[SLOT_HEADER_BYTES];
    cleanup_fd int fd = file_open(machine->root_fd, SLOT_B_DEVICE, O_RDONLY, 0, &err);
    assert_ok(pread_all(fd, SLOT_B_DEVICE, bytes, sizeof(bytes), 0, &err));
    assert_true(slot_header_parse(bytes, sizeof(bytes), &header, &err) < 0);
}
