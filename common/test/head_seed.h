// SPDX-License-Identifier: Apache-2.0
// A signed head (fixed bytes, manifest, signature) with a certification authority of its own, for tests of whoever reads one.
#pragma once
#include "common/bundle.h"
#include "common/signature.h"
#include "common/test/ca_zoo.h"
#include "common/test/manifest_seed.h"

struct head_seed {
    struct zoo_id root, intermediate, signer;
    struct buf ca, chain, certificate; // PEM texts
};

static inline void head_seed_init(struct head_seed *seed) {
    *seed = (struct head_seed){0};
    seed->root = zoo_make(&(struct zoo_recipe){.name = "Zoo Root", .is_ca = true});
    seed->intermediate = zoo_make(&(struct zoo_recipe){.name = "Zoo Intermediate", .issuer = &seed->root, .is_ca = true});
    seed->signer = zoo_make(&(struct zoo_recipe){.name = "Zoo Signer", .issuer = &seed->intermediate, .eku = "codeSigning"});
    zoo_pem(&seed->root, &seed->ca);
    zoo_pem(&seed->intermediate, &seed->chain);
    zoo_pem(&seed->signer, &seed->certificate);
}

static inline void head_seed_done(struct head_seed *seed) {
    zoo_done(&seed->root);
    zoo_done(&seed->intermediate);
    zoo_done(&seed->signer);
    buf_done(&seed->ca);
    buf_done(&seed->chain);
    buf_done(&seed->certificate);
}

// Appends a head around any bytes, with any signature.
static inline void head_put(const void *json, size_t json_size, const void *signature, size_t signature_size, struct buf *head) {
    uint8_t fixed[BUNDLE_FIXED_BYTES];
    bundle_head_format(&(struct bundle_head){(uint32_t)json_size, (uint32_t)signature_size}, fixed);
    buf_add(head, fixed, sizeof(fixed));
    buf_add(head, json, json_size);
    buf_add(head, signature, signature_size);
}

// Appends a head around any bytes, truly signed.
static inline void head_sign(const struct head_seed *seed, const void *json, size_t size, struct buf *head) {
    struct err err;
    cleanup_buf struct buf der = {0};
    const struct signature_signer signer = {seed->signer.key, seed->certificate.data, seed->chain.data, 0};
    zoo_check(signature_make(&signer, json, size, &der, &err) == 0, "signing");
    head_put(json, size, der.data, der.size, head);
}

static inline void head_make(const struct head_seed *seed, const struct manifest *manifest, struct buf *head) {
    struct err err;
    cleanup_buf struct buf json = {0};
    zoo_check(manifest_format(manifest, &json, &err) == 0, "writing a manifest");
    head_sign(seed, json.data, json.size, head);
}
