// SPDX-License-Identifier: Apache-2.0
// Only the head that is verified counts. Of a channel's bundle nothing but the payload's place is read: its bytes are believed by hash.
#include "firstboot/update/locate.h"
#include "common/buf.h"
#include "common/bundle.h"
#include "firstboot/update/verify.h"
#include <errno.h>
#include <string.h>

#define FIRST_BYTES (16 << 10) // one request holds the whole head as a rule

int location_parse(const char *text, bool is_directory, const char *channel, struct location *ret_location, struct err *err) {
    struct location location = {.kind = LOCATION_BUNDLE};
    location.is_local = !strstr(text, "://");
    if (!location.is_local && strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
        return err_set(err, -EINVAL, "%s: updates come from a file, http:// or https://", text);
    if (strlen(text) + 1 >= sizeof(location.base))
        return err_set(err, -EINVAL, "the update's address is too long");
    if (str_ends_with(text, "/") || is_directory) {
        location.kind = LOCATION_CHANNEL;
        snprintf(location.base, sizeof(location.base), "%s%s", text, str_ends_with(text, "/") ? "" : "/");
        snprintf(location.head, sizeof(location.head), "%s%s.channel", location.base, channel);
    } else {
        location.kind = str_ends_with(text, ".channel") ? LOCATION_CHANNEL : LOCATION_BUNDLE;
        const char *slash = strrchr(text, '/');
        snprintf(location.base, sizeof(location.base), "%.*s", (int)(slash ? slash + 1 - text : 0), text);
        snprintf(location.head, sizeof(location.head), "%s", text);
    }
    *ret_location = location;
    return 0;
}

int location_bundle(const struct location *location, const struct manifest *manifest, char *ret_text, size_t capacity, struct err *err) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-";
    if (location->kind == LOCATION_BUNDLE) {
        snprintf(ret_text, capacity, "%s", location->head);
        return 0;
    }
    if (manifest->version[strspn(manifest->version, allowed)])
        return err_set(err, -EINVAL, "the version in the manifest cannot be part of a file name");
    int size = snprintf(ret_text, capacity, "%s%s-%s.bundle", location->base, manifest->profile, manifest->version);
    return size < (int)capacity ? 0 : err_set(err, -EINVAL, "the bundle's address is too long");
}

// The whole head, and nothing behind it. Its length fields are bounded by bundle_head_parse().
static int read_head(struct source *source, char **ret_data, struct bundle_head *ret_head, struct err *err) {
    cleanup_free char *data = mem_array(BUNDLE_MAX_HEAD_BYTES, 1);
    int got = source_read(source, 0, data, FIRST_BYTES, err);
    if (got < 0)
        return got;
    if (got < BUNDLE_FIXED_BYTES)
        return err_set(err, -EBADMSG, "it is no bundle: it is %d bytes long", got);
    int r = bundle_head_parse((const uint8_t *)data, ret_head, err);
    if (r < 0)
        return r;
    size_t size = bundle_head_bytes(ret_head), have = (size_t)got;
    while (have < size) {
        got = source_read(source, have, data + have, size - have, err);
        if (got <= 0)
            return got < 0 ? got : err_set(err, -EBADMSG, "it ends in the middle of its head");
        have += (size_t)got;
    }
    *ret_data = take_ptr(data);
    return 0;
}

static int open_payload(const struct location *location, struct located *located, struct err *err) {
    uint8_t fixed[BUNDLE_FIXED_BYTES];
    struct bundle_head head;
    char address[1280];
    int r = location_bundle(location, &located->manifest, address, sizeof(address), err);
    if (r < 0)
        return r;
    source_close(take_ptr(located->source));
    r = source_open(address, &located->source, err);
    if (r >= 0)
        r = source_read(located->source, 0, fixed, sizeof(fixed), err);
    if (r >= 0 && r < (int)sizeof(fixed))
        r = err_set(err, -EBADMSG, "it is no bundle");
    if (r >= 0)
        r = bundle_head_parse(fixed, &head, err);
    if (r < 0)
        return err_prefix(err, r, "%s", address);
    located->payload_offset = bundle_payload_offset(&head);
    return 0;
}

int location_open(const struct location *location, int root_fd, int64_t time, struct located *ret_located, struct err *err) {
    cleanup_located struct located located = {0};
    cleanup_free char *data = NULL;
    struct bundle_head head = {0};
    int r = source_open(location->head, &located.source, err);
    if (r >= 0)
        r = read_head(located.source, &data, &head, err);
    if (r >= 0)
        r = verify_head(root_fd, data, bundle_head_bytes(&head), time, &located.manifest, &located.signer, err);
    if (r < 0)
        return err_prefix(err, r, "%s", location->head);
    located.payload_offset = bundle_payload_offset(&head);
    r = location->kind == LOCATION_CHANNEL ? open_payload(location, &located, err) : 0;
    if (r < 0)
        return r;
    *ret_located = located;
    located = (struct located){0};
    return 0;
}

void located_done(struct located *located) {
    if (located->source)
        source_close(located->source);
    free(located->signer);
    *located = (struct located){0};
}
