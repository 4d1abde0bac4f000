// SPDX-License-Identifier: Apache-2.0
// How Hetzner Cloud's API answers (docs.hetzner.cloud): errors by code, lists in pages, long work as actions that are asked about; what is worth
// another try, and what is there after an answer that never came.
#pragma once
#include "builder/upload/api.h"
#include "builder/upload/stop.h"

struct hetzner {
    const struct api *api;
    struct stop *stop;
};

// One request; `fields` go into the query, `body` (NULL = none) is JSON. Repeated for about a minute: refusals that say "not now" (rate limit, locked,
// conflict), and a GET or DELETE without an answer. -EPERM: token; -EDQUOT: the project's limit; -ENOENT; -EEXIST: a name is taken; -EBUSY: none left of what was asked for; -EAGAIN: no answer, or one that
// leaves open whether the work was done; -EREMOTEIO: anything else. The caller has *ret_answer, which is NULL where there is nothing to say.
int hetzner_call(const struct hetzner *hetzner, const char *method, const char *path, const struct api_field *fields, const json_t *body,
                 json_t **ret_answer, struct err *err) must_check nonnull(1, 2, 3, 6, 7);
// All pages of a list: a new array of what is under `name`.
int hetzner_list(const struct hetzner *hetzner, const char *path, const char *name, const struct api_field *fields, json_t **ret_items,
                 struct err *err) must_check nonnull(1, 2, 3, 5, 6);

// Looks whether the work of a request is done. *ret_answer: as its answer would be; NULL = it is not done.
typedef int hetzner_look(const struct hetzner *hetzner, void *context, json_t **ret_answer, struct err *err);

// A POST that must not be done twice: where the answer leaves that open, or a name is taken, `look` is asked before the request is repeated.
int hetzner_make(const struct hetzner *hetzner, const char *path, const json_t *body, hetzner_look *look, void *context,
                 json_t **ret_answer, struct err *err) must_check nonnull(1, 2, 4, 6, 7);
// A DELETE; gone already is success.
int hetzner_delete(const struct hetzner *hetzner, const char *path, struct err *err) must_check nonnull(1, 2, 3);
// Waits for the action of an answer, if it names one. -EREMOTEIO: it failed; -ETIMEDOUT after half an hour; -EBADMSG: it cannot be told how it goes.
int hetzner_wait(const struct hetzner *hetzner, const json_t *answer, struct err *err) must_check nonnull(1, 3);
