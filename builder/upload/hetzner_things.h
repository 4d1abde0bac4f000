// SPDX-License-Identifier: Apache-2.0
// What an upload makes in a project, by name and labels: server, SSH key, snapshot. Each is looked for before it is made, and found again by its labels.
#pragma once
#include "builder/upload/hetzner_call.h"
#include "common/buf.h"
#include <stdbool.h>

struct hetzner_things {
    const struct hetzner *hetzner;
    char *name; // of server and key
    char *image_id; // label "webops.upload": whose bytes
    char *host_id; // label "webops.host": which computer and user
    bool is_nameless; // this computer has no machine-id: host_id is of this run alone
    char *run_id; // label "webops.run": this run
    char *profile, *version; // labels, NULL = unknown
    char *description; // of the snapshot
    int64_t server, key, image; // ids; 0 = none
    char *address; // of the server
};

// A new run of an upload of the image with this SHA-256 (hex). `profile` and `version` may be NULL.
void hetzner_things_init(struct hetzner_things *things, const struct hetzner *hetzner, const char *sha256, const char *profile,
                         const char *version, const char *title) nonnull(1, 2, 3, 6);
// This computer and user, in a form that tells a stranger nothing. NULL without a machine-id: containers of one host name could not be told from each
// other. The caller frees it.
char *hetzner_host_id(const char *machine_id_path) nonnull(1);
void hetzner_things_done(struct hetzner_things *things);
// The snapshot of these bytes: things->image, 0 = none. One that is being made is waited for, one that failed is removed. -EBADMSG: there is one in a state that is
// not known here; it stays as it is.
int hetzner_find_image(struct hetzner_things *things, struct err *err) must_check nonnull(1, 2);
// Removes what earlier runs left. -EBUSY: it is another computer's, and `everywhere` is not set.
int hetzner_sweep(const struct hetzner_things *things, bool everywhere, struct err *err) must_check nonnull(1, 3);
int hetzner_make_key(struct hetzner_things *things, const char *public_key, struct err *err) must_check nonnull(1, 2, 3);
// A server that is off. -EBUSY: none left of this type there.
int hetzner_make_server(struct hetzner_things *things, const char *type, const char *location, int64_t base, struct err *err) must_check
    nonnull(1, 2, 3, 5);
// Starts the rescue system.
int hetzner_start_rescue(const struct hetzner_things *things, struct err *err) must_check nonnull(1, 2);
int hetzner_power_off(const struct hetzner_things *things, struct err *err) must_check nonnull(1, 2);
// Of the server, which is off.
int hetzner_make_image(struct hetzner_things *things, struct err *err) must_check nonnull(1, 2);
// Removes what this run made, but a snapshot that is whole, or may be. What cannot be removed is added to `problems`.
void hetzner_remove(const struct hetzner_things *things, struct buf *problems) nonnull(1, 2);

#define cleanup_hetzner_things cleanup(hetzner_things_done)
