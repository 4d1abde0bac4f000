// SPDX-License-Identifier: Apache-2.0
// Requests to a vendor's HTTP API and their answers as JSON: one server, one secret, one certificate. Knows no vendor.
#pragma once
#include "common/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define API_MAX_ANSWER_BYTES (8 << 20)
#define API_MAX_TOKEN_BYTES 1024
#define API_FINGERPRINT_BYTES 32

struct api {
    char *base; // "https://pve.example.org:8006/api2/json"
    char *authorization; // a header line; never in a message
    bool is_pinned;
    uint8_t fingerprint[API_FINGERPRINT_BYTES]; // SHA-256 of the one certificate that is taken
};

struct api_field {
    const char *name, *value; // a name of NULL ends a list; a field whose value is NULL is left out
};

struct api_answer {
    long status; // of HTTP
    char reason[128]; // of its first line
    json_t *json; // NULL = none, or not JSON
};

typedef void api_progress(void *context, uint64_t done, uint64_t total);

// A part of a multipart form that is a file. Content-Length is told in advance; nothing is kept in memory.
struct api_file {
    const char *field, *path, *name; // name: as the server shall see it
    api_progress *progress;
    void *context;
};

// Whether address and fingerprint (either may be NULL) are such as api_open() takes: -EINVAL. For command lines, before any work.
int api_check(const char *base, const char *fingerprint, struct err *err) must_check nonnull(3);
// `token`: a file of mode 0600, one line; its text goes behind `scheme` ("PVEAPIToken=") into the Authorization header. -EPERM for another mode.
int api_open(const char *base, const char *scheme, const char *token_path, const char *fingerprint, struct api *ret_api,
             struct err *err) must_check nonnull(1, 2, 3, 5, 6);
// The same with the token itself; `name` is what messages call it.
int api_open_token(const char *base, const char *scheme, const char *token, const char *name, const char *fingerprint, struct api *ret_api,
                   struct err *err) must_check nonnull(1, 2, 3, 4, 6, 7);
void api_done(struct api *api);
// One request. Fields go into the query of a GET or DELETE and into the body of a POST or PUT, form-encoded. It is tried once (patience.h is for
// more). -EAGAIN: no answer; -EACCES: another certificate, or one that nobody vouches for; -EINVAL: no address; -EFBIG: too much. Any status of HTTP is success here.
int api_call(const struct api *api, const char *method, const char *path, const struct api_field *fields, struct api_answer *ret_answer,
             struct err *err) must_check nonnull(1, 2, 3, 5, 6);
// The same for a POST or PUT whose body is JSON.
int api_call_json(const struct api *api, const char *method, const char *path, const json_t *body, struct api_answer *ret_answer,
                  struct err *err) must_check nonnull(1, 2, 3, 4, 5, 6);
// A multipart POST: the fields in their order, and last the file.
int api_upload(const struct api *api, const char *path, const struct api_field *fields, const struct api_file *file,
               struct api_answer *ret_answer, struct err *err) must_check nonnull(1, 2, 4, 5, 6);
void api_answer_done(struct api_answer *answer);
// Texts of a server go to terminals: what is no printable ASCII becomes '?', the end of a line a blank, and the last ones are left out.
struct buf;
void api_add_printable(struct buf *text, const char *words) nonnull(1, 2);
// Overwrites a secret (NULL = none) and frees it.
void api_wipe_text(char **text) nonnull(1);

#define cleanup_api cleanup(api_done)
#define cleanup_api_answer cleanup(api_answer_done)
