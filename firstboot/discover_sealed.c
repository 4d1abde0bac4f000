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

static bool find_key(const struct discover *discover, char **ret_key, size_t *ret_size) {
    struct err ignored;
    cleanup_volumes struct volumes volumes = {0};
    if (volumes_find(discover->root_fd, &volumes, &ignored) < 0)
        return false;
    for (size_t i = 0; i < volumes.count; i++)
        if (read_key(discover, &volumes.items[i], ret_key, ret_size))
            return true;
    return false;
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

void discover_unseal(const struct discover *discover, struct candidate *candidate) {
    struct err err;
    char *key = NULL, *pack = NULL;
    size_t key_size = 0, pack_size = 0;
    if (!candidate->sealed)
        return;
    if (!find_key(discover, &key, &key_size)) {
        config_problem_add(&candidate->problems, 0, SEED_ENVELOPE " is closed: no volume labelled WEBOPS or cidata has its key, " SEED_KEY);
        return;
    }
    int r = discover_io_of(discover)->unseal(key, key_size, candidate->sealed, candidate->sealed_size, &pack, &pack_size, &err);
    if (r >= 0)
        r = secretpack_parse(pack, pack_size, take, candidate, &err);
    if (r < 0)
        config_problem_add(&candidate->problems, 0, SEED_ENVELOPE ": %s", err.text);
    wipe(key, key_size);
    wipe(pack, pack_size);
}
