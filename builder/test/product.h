// SPDX-License-Identifier: Apache-2.0
// A small finished build in a scratch directory (real disk, real UKI, layers that do not compress) with its build.json, and a set of keys.
#pragma once
#include "builder/bundler.h"
#include "builder/keygen.h"
#include "builder/test/support.h"
#include "common/bundle.h"
#include <jansson.h>

#define PRODUCT_CREATED 1700000000
#define PRODUCT_NOW 1790000000 // September 2026

struct product {
    struct scratch *scratch;
    char *keys, *other_keys; // two directories as keygen makes them
    char *image; // out/test-1.0.raw
};

static inline char *product_path(const struct product *product, const char *name) {
    return scratch_file(product->scratch, name);
}

static inline void product_report(const struct product *product, const char *version, unsigned sequence) {
    cleanup_free char *name = str_printf("out/test-%s.build.json", version), *path = product_path(product, name);
    cleanup_free char *root = str_printf("%s/root.pem", product->keys), *pem = NULL;
    struct err err = {0};
    assert_ok(file_read(AT_FDCWD, root, 1 << 16, &pem, NULL, &err));
    json_t *report = json_pack("{s:s, s:s, s:i, s:s, s:s, s:i, s:i, s:b, s:s}", "profile", "test", "version", version, "sequence",
                               (int)sequence, "compatible", "test-amd64", "channel", "stable", "source_date_epoch", PRODUCT_CREATED,
                               "config_schema", 3, "development_keys", false, "trust", pem);
    cleanup_free char *text = json_dumps(report, JSON_INDENT(2));
    json_decref(report);
    put_file(path, text, strlen(text));
}

// Builds version `version`; its second layer follows from `seed`. Returns the image's path.
static inline char *product_build(const struct product *product, const char *version, unsigned sequence, uint32_t seed) {
    static const char *const names[] = {"base.squashfs", "top.squashfs", "slot.img", "a.efi", "vmlinuz", "initrd"};
    enum { BASE, TOP, SLOT, UKI, LINUX, INITRD, FILES };
    char *path[FILES], boot[SLOT_BOOT_TEXT_BYTES];
    struct slotimage image;
    struct err err = {0};
    for (unsigned i = 0; i < FILES; i++)
        path[i] = product_path(product, names[i]);
    cleanup_free char *raw_name = str_printf("out/test-%s.raw", version), *list_name = str_printf("out/test-%s.packages", version);
    char *raw = product_path(product, raw_name);
    cleanup_free char *list = product_path(product, list_name);
    put_random(path[BASE], 300000, 1);
    put_random(path[TOP], 70001, seed);
    put_random(path[LINUX], 200000, 3);
    put_random(path[INITRD], 50000, 4);
    put_file(list, "base\tbash\t5.2\tamd64\n", 20);
    const struct slotimage_layer parts[] = {layer_of("base", path[BASE]), layer_of("top", path[TOP])};
    const struct slotimage_input slot = {
        .profile = "test", .version = version, .sequence = sequence, .slot_bytes = 2 * MIB, .layers = parts, .layer_count = 2};
    assert_ok(slotimage_create(&slot, AT_FDCWD, path[SLOT], &image, &err));
    slotimage_boot_text(&image, boot);
    cleanup_free char *cmdline = str_printf("quiet webops.slot=%s", boot);
    const struct uki_input uki = {AT_FDCWD, STUB_PATH, "ID=test\n", cmdline, path[INITRD], path[LINUX]};
    assert_ok(uki_create(&uki, AT_FDCWD, path[UKI], NULL, &err));
    const struct disk_input disk = {.esp = {.identity = {"test", version},
                                            .sequence = sequence,
                                            .uki_path = path[UKI],
                                            .linux_path = path[LINUX],
                                            .initrd_path = path[INITRD],
                                            .cmdline = cmdline,
                                            .systemd_boot_path = SYSTEMD_BOOT_PATH,
                                            .restart_path = SYSTEMD_BOOT_PATH,
                                            .source_date_epoch = PRODUCT_CREATED},
                                    .sizes = {40 * MIB, 2 * MIB, 16 * MIB},
                                    .slot_path = path[SLOT],
                                    .grub_dir = GRUB_DIR,
                                    .temp_dir = product->scratch->path};
    assert_ok(disk_create(&disk, raw, &err));
    product_report(product, version, sequence);
    for (unsigned i = 0; i < FILES; i++)
        free(path[i]);
    return raw;
}

static inline int product_setup(void **state) {
    struct product *product = mem_array(1, sizeof(*product));
    const struct keygen_request request = {.name = "Test", .not_before = PRODUCT_NOW - 30 * KEYGEN_DAY, KEYGEN_DAYS};
    struct err err = {0};
    scratch_setup((void **)&product->scratch);
    product->keys = product_path(product, "keys");
    product->other_keys = product_path(product, "other-keys");
    assert_ok(keygen_make(product->keys, &request, &err));
    assert_ok(keygen_make(product->other_keys, &request, &err));
    assert_ok(file_mkdirs(product->scratch->fd, "out", 0755, &err));
    product->image = product_build(product, "1.0", 7, 2);
    *state = product;
    return 0;
}

static inline int product_teardown(void **state) {
    struct product *product = *state;
    int r = scratch_teardown((void **)&product->scratch);
    free(product->keys);
    free(product->other_keys);
    free(product->image);
    free(product);
    return r;
}

// The signer whose keys lie in `dir`.
static inline void product_signer(const char *dir, struct signer *ret_signer) {
    struct err err = {0};
    cleanup_free char *key = str_printf("%s/signing.key", dir), *certificate = str_printf("%s/signing.pem", dir),
                      *chain = str_printf("%s/intermediate.pem", dir);
    assert_ok(signer_open(&(struct signer_paths){key, certificate, chain}, PRODUCT_NOW, ret_signer, &err));
}

// A bundle of an image, signed with the product's keys; the caller frees the path.
static inline char *product_bundle(const struct product *product, const char *image, const char *name) {
    cleanup_signer struct signer signer = {0};
    cleanup_release struct release release = {0};
    struct bundler_result result;
    struct err err = {0};
    char *path = product_path(product, name);
    product_signer(product->keys, &signer);
    assert_ok(release_load(image, &release, &err));
    cleanup_progress struct progress *progress = progress_new(BUNDLER_STAGES, true);
    struct redirect redirect;
    cleanup_free char *out = NULL, *error = NULL;
    redirect_begin(&redirect);
    int r = bundler_make(&(struct bundler_request){&release, &signer, NULL, PRODUCT_NOW + 86400, path}, progress, &result, &err);
    redirect_end(&redirect, &out, &error);
    assert_ok(r);
    return path;
}
