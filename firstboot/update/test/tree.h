// SPDX-License-Identifier: Apache-2.0
// A whole machine as a directory: slots as files, the ESP as a directory, boot record, sysfs, trust; and signed bundles for it, made by the
// same code that the builder uses for signatures and indexes. What runs on it is the real engine.
#pragma once
#include "firstboot/test/support.h"
#include "common/bundle.h"
#include "common/chunkindex.h"
#include "common/digest.h"
#include "common/grubenv.h"
#include "common/hashtree.h"
#include "common/signature.h"
#include "common/test/ca_zoo.h"
#include "common/test/manifest_seed.h"
#include "firstboot/update/boot.h"
#include "firstboot/update/engine.h"
#include "firstboot/update/machine.h"
#include <sys/mman.h>

#define TREE_SLOT_BYTES (2 << 20)
#define TREE_UKI_BYTES (160 << 10)
#define TREE_FOREVER 4102444800 // the year 2100
#define TREE_COMPATIBLE "edge-amd64"

static struct err tree_failure;
#define assert_ok(call)                                                                                                                    \
    do {                                                                                                                                   \
        if ((call) < 0)                                                                                                                    \
            fail_msg("%s", tree_failure.text);                                                                                             \
    } while (0)

struct tree {
    struct support_root root;
    struct zoo_id ca, signer;
    const char *argv0;
};

// A generation with its bytes: the slot (data and hash tree), the UKI, and the manifest.
struct tree_generation {
    struct manifest manifest;
    struct buf slot, uki, uki_index, packages, layers[2], indexes[2];
};

static inline void tree_fill(struct buf *data, size_t size, uint32_t seed) {
    uint32_t state = seed * 2654435761u + 1;
    while (data->size < size) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        buf_add(data, &state, sizeof(state));
    }
    data->size = size;
}

static inline void tree_index(const struct buf *data, struct buf *index) {
    cleanup_fd int fd = memfd_create("object", MFD_CLOEXEC);
    cleanup_chunkindex struct chunkindex chunks = {0};
    assert_ok(file_write_all(fd, "object", data->data, data->size, &tree_failure));
    assert_ok(chunkindex_make(fd, "object", 0, data->size, &chunks, &tree_failure));
    chunkindex_format(&chunks, index);
}

static inline void tree_part(const struct buf *data, struct manifest_part *part) {
    part->bytes = data->size;
    digest_bytes(data->data, data->size, part->sha256);
}

// Header, padded layers, hash tree; the root hash goes into the manifest.
static inline void tree_slot(struct tree_generation *generation) {
    static const char zero[SLOT_BLOCK_BYTES];
    struct manifest *manifest = &generation->manifest;
    struct slot_header header;
    uint8_t bytes[SLOT_HEADER_BYTES];
    cleanup_hashtree struct hashtree tree = {0};
    cleanup_free uint8_t *nodes = NULL;
    size_t size;
    manifest_seal(manifest);
    assert_ok(manifest_slot_header(manifest, &header, bytes, &tree_failure));
    buf_add(&generation->slot, bytes, sizeof(bytes));
    for (uint32_t i = 0; i < manifest->layer_count; i++) {
        buf_add(&generation->slot, generation->layers[i].data, generation->layers[i].size);
        buf_add(&generation->slot, zero, (SLOT_BLOCK_BYTES - generation->slot.size % SLOT_BLOCK_BYTES) % SLOT_BLOCK_BYTES);
    }
    hashtree_init(&tree, generation->slot.size / SLOT_BLOCK_BYTES);
    hashtree_add(&tree, generation->slot.data, generation->slot.size);
    assert_ok(hashtree_finish(&tree, &nodes, &size, manifest->boot.root_hash, &tree_failure));
    buf_add(&generation->slot, nodes, size);
}

static inline void tree_uki(struct tree_generation *generation) {
    struct manifest *manifest = &generation->manifest;
    manifest->uki.bytes = TREE_UKI_BYTES;
    manifest_seal(manifest); // the command line, which is inside
    memcpy(generation->uki.data + manifest->cmdline_in_uki.offset, manifest->cmdline, strlen(manifest->cmdline));
    struct manifest_part *parts[] = {&manifest->linux_in_uki, &manifest->initrd_in_uki};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        digest_bytes(generation->uki.data + parts[i]->offset, parts[i]->bytes, parts[i]->sha256);
    tree_index(&generation->uki, &generation->uki_index);
    tree_part(&generation->uki, &manifest->uki);
    tree_part(&generation->uki_index, &manifest->uki_index);
    tree_part(&generation->packages, &manifest->packages);
}

// `seed` decides the content of the upper layer and of the kernel; the lower layer is always the same.
static inline void tree_generation_make(struct tree_generation *generation, const char *version, uint64_t sequence, uint32_t seed) {
    *generation = (struct tree_generation){0};
    struct manifest *manifest = &generation->manifest;
    manifest_seed(manifest, 2);
    memset(manifest->profile, 0, sizeof(manifest->profile)); // nothing may stand behind a text
    memset(manifest->version, 0, sizeof(manifest->version));
    memset(manifest->compatible, 0, sizeof(manifest->compatible));
    snprintf(manifest->profile, sizeof(manifest->profile), "edge");
    snprintf(manifest->version, sizeof(manifest->version), "%s", version);
    snprintf(manifest->compatible, sizeof(manifest->compatible), TREE_COMPATIBLE);
    manifest->sequence = sequence;
    manifest->created = manifest->valid_from = 1790000000;
    manifest->valid_until = TREE_FOREVER;
    manifest->linux_in_uki = (struct manifest_part){.offset = 8192, .bytes = 50000};
    manifest->initrd_in_uki = (struct manifest_part){.offset = 65536, .bytes = 60000};
    tree_fill(&generation->layers[0], 300001, 1);
    tree_fill(&generation->layers[1], 200000, seed);
    tree_fill(&generation->uki, TREE_UKI_BYTES, 100 + seed);
    buf_printf(&generation->packages, "base\tbash\t5.2\tamd64\nbase\tssh\t%u\tamd64\n", seed);
    for (int i = 0; i < 2; i++) {
        tree_part(&generation->layers[i], &manifest->layers[i].data);
        tree_index(&generation->layers[i], &generation->indexes[i]);
        tree_part(&generation->indexes[i], &manifest->layers[i].index);
    }
    tree_slot(generation);
    tree_uki(generation);
    manifest_seal(manifest);
}

static inline void tree_generation_done(struct tree_generation *generation) {
    struct buf *all[] = {&generation->slot,      &generation->uki,       &generation->uki_index,  &generation->packages,
                         &generation->layers[0], &generation->layers[1], &generation->indexes[0], &generation->indexes[1]};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        buf_done(all[i]);
}
#define cleanup_generation cleanup(tree_generation_done)

static inline void tree_pad(struct buf *data) {
    static const char zero[BUNDLE_ALIGN];
    buf_add(data, zero, (BUNDLE_ALIGN - data->size % BUNDLE_ALIGN) % BUNDLE_ALIGN);
}

// Fixed bytes, manifest, signature.
static inline void tree_head(const struct tree *tree, const struct tree_generation *generation, struct buf *ret_head) {
    cleanup_buf struct buf text = {0}, signature = {0}, certificate = {0};
    uint8_t fixed[BUNDLE_FIXED_BYTES];
    zoo_pem(&tree->signer, &certificate);
    const struct signature_signer signer = {.key = tree->signer.key, .certificate_pem = buf_str(&certificate)};
    assert_ok(manifest_format(&generation->manifest, &text, &tree_failure));
    assert_ok(signature_make(&signer, text.data, text.size, &signature, &tree_failure));
    const struct bundle_head head = {(uint32_t)text.size, (uint32_t)signature.size};
    bundle_head_format(&head, fixed);
    buf_add(ret_head, fixed, sizeof(fixed));
    buf_add(ret_head, text.data, text.size);
    buf_add(ret_head, signature.data, signature.size);
}

// Writes <root>/<name>; the path, which the caller frees.
static inline char *tree_bundle(const struct tree *tree, const struct tree_generation *generation, const char *name) {
    cleanup_buf struct buf file = {0};
    const struct buf *parts[] = {&generation->packages, &generation->uki_index, &generation->indexes[0], &generation->indexes[1],
                                 &generation->uki,      &generation->layers[0], &generation->layers[1]};
    tree_head(tree, generation, &file);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        tree_pad(&file);
        buf_add(&file, parts[i]->data, parts[i]->size);
    }
    tree_pad(&file);
    char *path = str_printf("%s/%s", tree->root.path, name);
    assert_ok(file_publish(AT_FDCWD, path, file.data, file.size, 0644, &tree_failure));
    return path;
}

static inline void tree_write(const struct tree *tree, const char *path, const void *data, size_t size) {
    cleanup_free char *parent = str_dup(path);
    *strrchr(parent, '/') = 0;
    assert_ok(file_mkdirs(tree->root.fd, parent, 0755, &tree_failure));
    assert_ok(file_publish(tree->root.fd, path, data, size, 0644, &tree_failure));
}

static inline void tree_sysfs(const struct tree *tree, const char *part, const char *name, unsigned minor) {
    cleanup_free char *base = str_printf("sys/class/block/vda/%s", part), *uevent = str_printf("PARTNAME=%s\n", name),
                      *dev = str_printf("254:%u\n", minor);
    const char *const files[][2] = {{"uevent", uevent}, {"partition", "1\n"}, {"ro", "0\n"}, {"dev", dev}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        cleanup_free char *path = str_printf("%s/%s", base, files[i][0]);
        support_write(&tree->root, path, files[i][1]);
    }
    cleanup_free char *holders = str_printf("%s/holders", base);
    assert_ok(file_mkdirs(tree->root.fd, holders, 0755, &tree_failure));
}

// The boot record of a machine that runs `generation` from `slot`.
static inline void tree_boot(const struct tree *tree, const struct tree_generation *generation, enum boot_slot slot) {
    char hex[65];
    const struct manifest *m = &generation->manifest;
    hex_format(m->boot.root_hash, 32, hex);
    const char *device = slot == BOOT_SLOT_A ? "vda3" : "vda4";
    cleanup_free char *text = str_printf(
        "SLOT=%s\nDISK=/dev/vda\nSLOT_DEVICE=/dev/%s\nVERITY_DEVICE=/dev/dm-0\nPROFILE=%s\nVERSION=%s\nSEQUENCE=%llu\nROOT_HASH=%s\n",
        boot_slot_name(slot), device, m->profile, m->version, (unsigned long long)m->sequence, hex);
    support_write(&tree->root, "run/webops/boot", text);
    unlinkat(tree->root.fd, "dev/dm-0", 0);
    assert_int_equal(symlinkat(device, tree->root.fd, "dev/dm-0"), 0);
    cleanup_free char *info = str_printf(
        "COMPATIBLE=" TREE_COMPATIBLE "\nCHANNEL=stable\nCREATED=%lld\nCONFIG_SCHEMA=1\nDEVELOPMENT_KEYS=true\n", (long long)m->created);
    support_write(&tree->root, GENERATION_PATH, info);
}

static inline void tree_esp(const struct tree *tree, const struct tree_generation *generation) {
    const struct manifest *m = &generation->manifest;
    struct grubenv env = {.number = 1, .good = 'a'};
    uint8_t bytes[GRUBENV_BYTES];
    grubenv_format(&env, bytes);
    tree_write(tree, "esp/grub/env1", bytes, sizeof(bytes));
    tree_write(tree, "esp/grub/env2", bytes, sizeof(bytes));
    tree_write(tree, "esp/EFI/webops/a.efi", generation->uki.data, generation->uki.size);
    tree_write(tree, "esp/webops/a.linux", generation->uki.data + m->linux_in_uki.offset, m->linux_in_uki.bytes);
    tree_write(tree, "esp/webops/a.initrd", generation->uki.data + m->initrd_in_uki.offset, m->initrd_in_uki.bytes);
    cleanup_free char *config = str_printf("set webops_cmdline=\"%s\"\n", m->cmdline);
    support_write(&tree->root, "esp/webops/a.cfg", config);
    support_write(&tree->root, "esp/loader/entries/a.conf", "title webops edge 1\nsort-key webops\nversion 7\nefi /EFI/webops/a.efi\n");
}

static inline void tree_link_programs(const struct tree *tree) {
    const char *build = strstr(tree->argv0, "firstboot/");
    cleanup_free char *program = str_printf("%.*swebops-verify", build ? (int)(build - tree->argv0) : 0, tree->argv0);
    char absolute[4096];
    assert_non_null(realpath(program, absolute));
    assert_ok(file_mkdirs(tree->root.fd, "usr/lib/webops/trust", 0755, &tree_failure));
    assert_int_equal(symlinkat(absolute, tree->root.fd, "usr/lib/webops/webops-verify"), 0);
    cleanup_buf struct buf ca = {0};
    zoo_pem(&tree->ca, &ca);
    support_write(&tree->root, "usr/lib/webops/trust/ca.pem", buf_str(&ca));
}

// A machine that runs `generation`, committed, from slot A; slot B is empty. UEFI.
static inline struct tree tree_make(const char *argv0, const struct tree_generation *generation) {
    struct tree tree = {.root = support_root_make(), .argv0 = argv0};
    cleanup_free char *empty = mem_array(TREE_SLOT_BYTES, 1);
    tree.ca = zoo_make(&(struct zoo_recipe){.name = "root", .is_ca = true, .until = TREE_FOREVER});
    tree.signer = zoo_make(&(struct zoo_recipe){.name = "signer", .issuer = &tree.ca, .eku = "codeSigning", .until = TREE_FOREVER});
    tree_write(&tree, "dev/vda4", empty, TREE_SLOT_BYTES);
    memcpy(empty, generation->slot.data, generation->slot.size);
    tree_write(&tree, "dev/vda3", empty, TREE_SLOT_BYTES);
    tree_sysfs(&tree, "vda3", "webops-a", 3);
    tree_sysfs(&tree, "vda4", "webops-b", 4);
    assert_ok(file_mkdirs(tree.root.fd, "sys/firmware/efi/efivars", 0755, &tree_failure));
    assert_ok(file_mkdirs(tree.root.fd, "var/lib/webops", 0755, &tree_failure));
    support_write(
        &tree.root, "usr/lib/sysimage/dpkg/status",
        "Package: bash\nStatus: install ok installed\nVersion: 5.2\n\nPackage: ssh\nStatus: install ok installed\nVersion: 1\n\n");
    support_write(&tree.root, "run/webops/apply.json",
                  "{\"last\": \"late\", \"late\": {\"settings\": {\"health_timeout\": 30, \"update_tries\": 2, \"update_url\": \"\"}}}");
    tree_boot(&tree, generation, BOOT_SLOT_A);
    tree_esp(&tree, generation);
    tree_link_programs(&tree);
    return tree;
}
static inline void tree_done(struct tree *tree) {
    zoo_done(&tree->ca);
    zoo_done(&tree->signer);
    support_root_done(&tree->root);
}
#define cleanup_tree cleanup(tree_done)

static inline struct machine tree_machine(const struct tree *tree) {
    struct machine machine;
    assert_ok(machine_load(tree->root.fd, false, &machine, &tree_failure));
    return machine;
}

// update_run() without a word on standard output.
static inline int tree_update(const struct tree *tree, const struct update_options *options) {
    cleanup_machine struct machine machine = tree_machine(tree);
    struct progress progress;
    progress_init(&progress, false);
    fflush(stdout);
    cleanup_fd int out = fcntl(1, F_DUPFD_CLOEXEC, 3), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, 1);
    int r = update_run(&machine, options, &progress, &tree_failure);
    fflush(stdout);
    dup2(out, 1);
    return r;
}

static inline struct boot_entry tree_entry(const struct tree *tree, size_t backend, enum boot_slot slot) {
    struct boot_entries entries;
    cleanup_fd int fd = openat(tree->root.fd, "esp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(boot_backends[backend]->load(fd, &entries, &tree_failure));
    return entries.slots[slot];
}
