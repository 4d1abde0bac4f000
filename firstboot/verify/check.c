// SPDX-License-Identifier: Apache-2.0
// Head, signature, manifest, in this order: no byte of the manifest is interpreted before it is known who signed it.
#include "firstboot/verify/check.h"
#include "common/config.h"
#include <errno.h>
#include <string.h>

void check_trust_done(struct check_trust *trust) {
    free(trust->ca_pem);
    free(trust->crl_pem);
    *trust = (struct check_trust){0};
}

static int check_manifest(const struct check *check, const char *text, size_t size, struct manifest *ret_manifest, struct err *err) {
    int r = manifest_parse(text, size, ret_manifest, err);
    if (r == 0 && ret_manifest->minimum_updater > check->updater)
        r = err_set(err, -EINVAL, "the manifest needs an updater of level %u, this one has %llu: install a release in between first",
                    ret_manifest->minimum_updater, (unsigned long long)check->updater);
    return r;
}

// A subject may have any character; the line can carry all but a single quote.
static int add_signer(char *subject, struct buf *text) {
    for (char *c = subject; *c; c++)
        if (*c == '\'' || *c < ' ' || *c > '~')
            *c = '_';
    return config_format_entry("SIGNER", subject, text);
}

int check_head(const struct check *check, const struct check_trust *trust, const void *head, size_t size, struct buf *text,
               struct err *err) {
    struct bundle_head sizes;
    struct manifest manifest;
    const char *bytes = head;
    cleanup_free char *subject = NULL;
    cleanup_buf struct buf flat = {0};
    const struct signature_trust accepted = {.ca_pem = trust->ca_pem, .crl_pem = trust->crl_pem, .time = check->time};
    if (size < BUNDLE_FIXED_BYTES)
        return err_set(err, -EINVAL, "the head has %zu bytes, at least %d are needed", size, BUNDLE_FIXED_BYTES);
    int r = bundle_head_parse(head, &sizes, err);
    if (r < 0)
        return r;
    if (bundle_head_bytes(&sizes) != size)
        return err_set(err, -EINVAL, "the head has %zu bytes, but says it has %llu", size, (unsigned long long)bundle_head_bytes(&sizes));
    const char *json = bytes + BUNDLE_FIXED_BYTES, *signature = json + sizes.manifest_bytes;
    r = signature_verify(&accepted, json, sizes.manifest_bytes, signature, sizes.signature_bytes, &subject, err);
    if (r == 0)
        r = check_manifest(check, json, sizes.manifest_bytes, &manifest, err);
    if (r == 0)
        r = manifest_format_flat(&manifest, &flat, err);
    if (r == 0 && add_signer(subject, &flat) < 0)
        r = err_set(err, -EINVAL, "the subject of the signing certificate cannot be written");
    if (r == 0)
        buf_add(text, flat.data, flat.size);
    return r;
}
