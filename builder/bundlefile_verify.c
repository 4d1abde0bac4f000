// SPDX-License-Identifier: Apache-2.0
// Holds a bundle against its own manifest, with nothing taken from the code that made it but the formats.
#include "builder/bundlefile.h"
#include "builder/certificate.h"
#include "builder/uki.h"
#include "common/buf.h"
#include "common/chunkindex.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/hashtree.h"
#include "common/signature.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/cms.h>
#include <string.h>

#define STEP_BYTES ((uint64_t)1 << 20)

// The certificate in it made the signature; who issued that is not asked.
static int verify_alone(const void *manifest, size_t size, const uint8_t *der, size_t der_size, char **ret_signer, struct err *err) {
    const unsigned flags = CMS_BINARY | CMS_DETACHED | CMS_NO_SIGNER_CERT_VERIFY;
    const uint8_t *at = der;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)der_size);
    BIO *bio = BIO_new_mem_buf(manifest, (int)size);
    int r = -EKEYREJECTED;
    if (!cms || at != der + der_size)
        err_set(err, r, "the signature is damaged");
    else if (!bio || CMS_verify(cms, NULL, NULL, bio, NULL, flags) != 1)
        certificate_error(err, r, "the signature is not over this manifest");
    else {
        STACK_OF(X509) *signers = CMS_get0_signers(cms);
        *ret_signer = certificate_subject(sk_X509_value(signers, 0));
        sk_X509_free(signers);
        r = 0;
    }
    BIO_free(bio);
    CMS_ContentInfo_free(cms);
    return r;
}

int bundlefile_verify_signature(const struct bundlefile *file, const char *trust, int64_t time, struct bundlefile_findings *findings,
                                struct err *err) {
    const char *manifest = file->head_bytes + BUNDLE_FIXED_BYTES;
    const uint8_t *der = (const uint8_t *)manifest + file->head.manifest_bytes;
    cleanup_free char *pem = NULL;
    int r = trust ? file_read(AT_FDCWD, trust, SIGNATURE_MAX_TRUST_BYTES, &pem, NULL, err) : 0;
    if (r < 0)
        return r;
    const struct signature_trust roots = {.ca_pem = pem, .time = time};
    r = trust ? signature_verify(&roots, manifest, file->head.manifest_bytes, der, file->head.signature_bytes, &findings->signer, err)
              : verify_alone(manifest, file->head.manifest_bytes, der, file->head.signature_bytes, &findings->signer, err);
    findings->is_trusted = trust && r >= 0;
    return r < 0 ? err_prefix(err, r, "%s", file->path) : 0;
}

void bundlefile_findings_done(struct bundlefile_findings *findings) {
    free(findings->signer);
    *findings = (struct bundlefile_findings){0};
}

static uint64_t at(const struct bundlefile *file, const struct manifest_part *part) {
    return bundle_payload_offset(&file->head) + part->offset;
}

static int check_hash(const struct bundlefile *file, const char *what, uint64_t offset, const struct manifest_part *part, struct err *err) {
    uint8_t sha256[DIGEST_BYTES];
    int r = digest_range(file->fd, file->path, offset, part->bytes, sha256, err);
    if (r >= 0 && memcmp(sha256, part->sha256, sizeof(sha256)) != 0)
        r = err_set(err, -EBADMSG, "%s: %s is damaged (its SHA-256 is not the manifest's)", file->path, what);
    return r;
}

// Zero from `offset` to the next part.
static int check_padding(const struct bundlefile *file, const char *what, uint64_t offset, struct err *err) {
    static const uint8_t zero[BUNDLE_ALIGN];
    uint8_t bytes[BUNDLE_ALIGN];
    size_t size = (BUNDLE_ALIGN - offset % BUNDLE_ALIGN) % BUNDLE_ALIGN;
    if (offset + size > file->bytes)
        size = (size_t)(file->bytes - offset);
    int r = size ? pread_all(file->fd, file->path, bytes, size, offset, err) : 0;
    if (r >= 0 && memcmp(bytes, zero, size) != 0)
        r = err_set(err, -EBADMSG, "%s: the padding behind %s is not zero", file->path, what);
    return r;
}

static int check_part(const struct bundlefile *file, const char *what, const struct manifest_part *part, struct err *err) {
    int r = check_hash(file, what, at(file, part), part, err);
    return r < 0 ? r : check_padding(file, what, at(file, part) + part->bytes, err);
}

static int check_chunks(const struct bundlefile *file, const char *what, const struct manifest_part *index_part,
                        const struct manifest_part *object, uint64_t *chunks, struct err *err) {
    cleanup_chunkindex struct chunkindex index = {0};
    if (index_part->bytes > CHUNKINDEX_MAX_BYTES)
        return err_set(err, -EFBIG, "%s: the index of %s is too large", file->path, what);
    cleanup_free uint8_t *data = mem_array(index_part->bytes, 1);
    int r = pread_all(file->fd, file->path, data, index_part->bytes, at(file, index_part), err);
    if (r >= 0)
        r = chunkindex_parse(data, index_part->bytes, object->bytes, &index, err);
    for (size_t i = 0; r >= 0 && i < index.count; i++) {
        uint8_t sha256[DIGEST_BYTES];
        r = digest_range(file->fd, file->path, at(file, object) + index.chunks[i].offset, index.chunks[i].bytes, sha256, err);
        if (r >= 0 && memcmp(sha256, index.chunks[i].sha256, sizeof(sha256)) != 0)
            r = err_set(err, -EBADMSG, "chunk %zu is not what the index says", i);
    }
    *chunks += index.count;
    return r < 0 ? err_prefix(err, r, "%s: index of %s", file->path, what) : 0;
}

static int add_layer(const struct bundlefile *file, const struct manifest_part *layer, struct hashtree *tree, uint8_t *step,
                     struct err *err) {
    for (uint64_t done = 0; done < layer->bytes; done += STEP_BYTES) {
        uint64_t size = layer->bytes - done < STEP_BYTES ? layer->bytes - done : STEP_BYTES;
        uint64_t padded = (size + SLOT_BLOCK_BYTES - 1) / SLOT_BLOCK_BYTES * SLOT_BLOCK_BYTES;
        int r = pread_all(file->fd, file->path, step, size, at(file, layer) + done, err);
        if (r < 0)
            return r;
        memset(step + size, 0, padded - size);
        hashtree_add(tree, step, padded);
    }
    return 0;
}

static int check_root_hash(const struct bundlefile *file, struct err *err) {
    const struct manifest *manifest = &file->manifest;
    cleanup_hashtree struct hashtree tree = {0};
    cleanup_free uint8_t *built = NULL, *step = mem_array(STEP_BYTES, 1);
    struct slot_header header;
    uint8_t bytes[SLOT_HEADER_BYTES], root[32];
    size_t built_bytes = 0;
    int r = manifest_slot_header(manifest, &header, bytes, err);
    if (r < 0)
        return err_prefix(err, r, "%s", file->path);
    hashtree_init(&tree, manifest->boot.data_blocks);
    hashtree_add(&tree, bytes, sizeof(bytes));
    for (unsigned i = 0; r >= 0 && i < manifest->layer_count; i++)
        r = add_layer(file, &manifest->layers[i].data, &tree, step, err);
    if (r >= 0)
        r = hashtree_finish(&tree, &built, &built_bytes, root, err);
    if (r >= 0 && memcmp(root, manifest->boot.root_hash, sizeof(root)) != 0)
        r = err_set(err, -EBADMSG, "%s: the layers do not make the manifest's root hash", file->path);
    return r;
}

// The ranges the manifest gives are the sections, and the command line is what the manifest says.
static int check_uki(const struct bundlefile *file, struct err *err) {
    const struct manifest *manifest = &file->manifest;
    const struct {
        const char *section;
        const struct manifest_part *part;
    } ranges[] = {{".cmdline", &manifest->cmdline_in_uki}, {".linux", &manifest->linux_in_uki}, {".initrd", &manifest->initrd_in_uki}};
    uint64_t start = at(file, &manifest->uki);
    size_t headers_bytes = manifest->uki.bytes < UKI_HEADERS_MAX_BYTES ? manifest->uki.bytes : UKI_HEADERS_MAX_BYTES;
    cleanup_free uint8_t *headers = mem_array(headers_bytes, 1);
    char cmdline[MANIFEST_CMDLINE_BYTES] = "";
    struct slot_boot boot;
    int r = pread_all(file->fd, file->path, headers, headers_bytes, start, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(ranges); i++) {
        struct uki_section section;
        r = uki_section_find(headers, headers_bytes, manifest->uki.bytes, ranges[i].section, &section, err);
        if (r >= 0 && (section.offset != ranges[i].part->offset || section.size != ranges[i].part->bytes))
            r = err_set(err, -EBADMSG, "%s: section %s of the UKI is not where the manifest says", file->path, ranges[i].section);
        if (r >= 0)
            r = check_hash(file, ranges[i].section, start + section.offset, ranges[i].part, err);
    }
    if (r >= 0 && manifest->cmdline_in_uki.bytes >= sizeof(cmdline))
        r = err_set(err, -EFBIG, "%s: the command line is too long", file->path);
    if (r >= 0)
        r = pread_all(file->fd, file->path, cmdline, manifest->cmdline_in_uki.bytes, start + manifest->cmdline_in_uki.offset, err);
    if (r >= 0)
        r = slot_boot_find(cmdline, &boot, err);
    if (r >= 0 && (strcmp(cmdline, manifest->cmdline) != 0 || boot.data_blocks != manifest->boot.data_blocks ||
                   memcmp(boot.id, manifest->boot.id, sizeof(boot.id)) != 0 ||
                   memcmp(boot.root_hash, manifest->boot.root_hash, sizeof(boot.root_hash)) != 0))
        r = err_set(err, -EBADMSG, "%s: the command line in the UKI is not the manifest's", file->path);
    return r;
}

int bundlefile_verify_payload(const struct bundlefile *file, struct bundlefile_findings *findings, struct err *err) {
    const struct manifest *manifest = &file->manifest;
    if (file->is_channel)
        return 0;
    int r = check_padding(file, "the signature", bundle_head_bytes(&file->head), err);
    if (r >= 0)
        r = check_part(file, "the package list", &manifest->packages, err);
    if (r >= 0)
        r = check_part(file, "the UKI", &manifest->uki, err);
    if (r >= 0)
        r = check_part(file, "the index of the UKI", &manifest->uki_index, err);
    if (r >= 0)
        r = check_chunks(file, "the UKI", &manifest->uki_index, &manifest->uki, &findings->chunks, err);
    for (unsigned i = 0; r >= 0 && i < manifest->layer_count; i++) {
        const struct manifest_layer *layer = &manifest->layers[i];
        cleanup_free char *name = str_printf("layer %s", layer->name);
        cleanup_free char *index_name = str_printf("the index of %s", name);
        r = check_part(file, name, &layer->data, err);
        if (r >= 0)
            r = check_part(file, index_name, &layer->index, err);
        if (r >= 0)
            r = check_chunks(file, name, &layer->index, &layer->data, &findings->chunks, err);
    }
    if (r >= 0)
        r = check_root_hash(file, err);
    return r < 0 ? r : check_uki(file, err);
}
