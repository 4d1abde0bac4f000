// SPDX-License-Identifier: Apache-2.0
// Secrets in an envelope: the key is looked for on every volume that may hold a seed, and never copied.
#include "common/envelope.h"
#include "common/secretpack.h"
#include "firstboot/discover.h"
#include "firstboot/discover_sources.h"
#include "firstboot/seed.h"
#include "firstboot/volumes.h"
#include <errno.h>
#include <string.h>

static bool read_key(const struct discover *discover, const struct volume *volume, char **ret_key, size_t *ret_size) {
    struct err ignored; // a volume that cannot be read is reported where its configuration is looked for
    cleanup_free char *path = str_printf("dev/%s", volume->device);
    cleanup_fd int fd = discover_io_of(discover)->open_volume(discover->root_fd, path, volume->type, &ignored);
    return fd >= 0 && candidate_read_file(fd, SEED_KEY, ENVELOPE_MAX_KEY_BYTES, ret_key, ret_size, &ignored) >= 0;
}

static void take(void *context, const char *name, const char *data, size_t size) {
    char *copy = mem_array(size, 1);
    memcpy(copy, data, size);
    candidate_add_secret(context, name, copy, size);
}

static void wipe(char *data, size_t size) {
    if (data)
        explicit_bzero(data, size);
    free(data);
}

// Every key there is has its turn: the stick of an earlier envelope may be in the machine, too.
static int open_envelope(const struct discover *discover, const struct candidate *candidate, char **ret_pack, size_t *ret_size,
                         struct err *err) {
    cleanup_volumes struct volumes volumes = {0};
    unsigned tried = 0;
    int r = volumes_find(discover->root_fd, &volumes, err);
    for (size_t i = 0; i < volumes.count && (!tried || r < 0); i++) {
        char *key = NULL;
        size_t size = 0;
        if (!read_key(discover, &volumes.items[i], &key, &size))
            continue;
        r = discover_io_of(discover)->unseal(key, size, candidate->sealed, candidate->sealed_size, ret_pack, ret_size, err);
        wipe(key, size);
        tried++;
    }
    if (!tried)
        return err_set(err, -ENOENT, SEED_ENVELOPE " is closed: no volume labelled WEBOPS or cidata has its key, " SEED_KEY);
    if (r < 0 && tried > 1)
        r = err_prefix(err, r, "%u keys (" SEED_KEY ") were tried; the last one", tried);
    return r < 0 ? err_prefix(err, r, SEED_ENVELOPE) : 0;
}

void discover_unseal(const struct discover *discover, struct candidate *candidate) {
    struct err err;
    char *pack = NULL;
    size_t size = 0;
    if (!candidate->sealed)
        return;
    int r = open_envelope(discover, candidate, &pack, &size, &err);
    if (r >= 0 && (r = secretpack_parse(pack, size, take, candidate, &err)) < 0)
        (void)!err_prefix(&err, r, SEED_ENVELOPE);
    if (r < 0)
        config_problem_add(&candidate->problems, 0, "%s", err.text);
    wipe(pack, size);
}
