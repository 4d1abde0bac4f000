// SPDX-License-Identifier: Apache-2.0
// The order of sources, and what happens with what they hold. The sources themselves are in discover_sources.c.
#include "firstboot/discover.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/discover_sources.h"
#include "firstboot/volumes.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void refusals_done(struct discovered *discovered) {
    for (size_t i = 0; i < discovered->refusal_count; i++) {
        free(discovered->refusals[i].source);
        config_problems_done(&discovered->refusals[i].problems);
    }
    free(discovered->refusals);
    discovered->refusals = NULL;
    discovered->refusal_count = 0;
}

void discovered_done(struct discovered *discovered) {
    config_done(&discovered->config);
    free(discovered->source);
    refusals_done(discovered);
    *discovered = (struct discovered){0};
}

void discovered_log(const struct discovered *discovered) {
    for (size_t i = 0; i < discovered->refusal_count; i++) {
        config_problems_log(&discovered->refusals[i].problems, discovered->refusals[i].source);
        log_error("%s: this configuration was not taken", discovered->refusals[i].source);
    }
}

// Takes over name and problems of a candidate that is not taken.
static void refuse(struct discovered *ret, struct candidate *candidate) {
    ret->refusals = mem_resize(ret->refusals, ret->refusal_count + 1, sizeof(*ret->refusals));
    ret->refusals[ret->refusal_count++] = (struct discover_refusal){take_ptr(candidate->source), candidate->problems};
    candidate->problems = (struct config_problems){0};
}

static void take(struct discovered *ret, struct candidate *candidate, struct config *config) {
    ret->config = *config;
    *config = (struct config){0};
    ret->source = take_ptr(candidate->source);
}

struct local {
    const char *path, *name;
    bool check_files; // whether the secrets must be in place
    bool drops_unknown; // keys that this image does not know are left out
    int secrets_fd;
};

static void drop_unknown(const struct schema *schema, struct config *config) {
    size_t kept = 0;
    for (size_t i = 0; i < config->count; i++) {
        if (schema_find(schema, config->entries[i].key)) {
            config->entries[kept++] = config->entries[i];
        } else {
            free(config->entries[i].key);
            free(config->entries[i].value);
        }
    }
    config->count = kept;
}

// A file that stands on the machine already. 0 = taken, -ENOENT = there is none, -EINVAL = refused.
static int try_local(const struct discover *discover, const struct local *local, struct discovered *ret, struct candidate *candidate) {
    struct err err;
    cleanup_free char *data = NULL;
    size_t size;
    cleanup_config struct config config = {0};
    candidate->source = str_dup(local->name);
    int r = candidate_read_file(discover->root_fd, local->path, CONFIG_READ_BYTES, &data, &size, &err);
    if (r == -ENOENT || r == -ENOTDIR)
        return -ENOENT;
    if (r < 0) {
        config_problem_add(&candidate->problems, 0, "%s", err.text);
    } else {
        buf_add(&candidate->text, data, size);
        (void)!config_parse(data, size, &config, &candidate->problems);
        if (local->drops_unknown)
            drop_unknown(discover->schema, &config);
        (void)!schema_check(discover->schema, &config, &candidate->problems);
        if (local->check_files)
            (void)!schema_check_files(discover->schema, &config, local->secrets_fd, SCHEMA_SECRETS_DIR, &candidate->problems);
    }
    if (candidate->problems.count) {
        refuse(ret, candidate);
        return -EINVAL;
    }
    take(ret, candidate, &config);
    return 0;
}

// The copy that is used when an edit of config.env turns out to be wrong. Written only when it differs, to spare the disk.
static int keep_last_good(const struct discover *discover, const struct buf *text, struct err *err) {
    struct err ignored;
    cleanup_free char *old = NULL;
    size_t size;
    if (discover->is_dry_run)
        return 0;
    if (candidate_read_file(discover->root_fd, DISCOVER_LAST_GOOD, CONFIG_READ_BYTES, &old, &size, &ignored) >= 0 && size == text->size &&
        memcmp(old, buf_str(text), size) == 0)
        return 0;
    int r = file_mkdirs(discover->root_fd, "var/lib/webops", 0755, err);
    return r < 0 ? r : file_publish(discover->root_fd, DISCOVER_LAST_GOOD, buf_str(text), text->size, 0600, err);
}

// State: once it has a configuration no other source is asked, so that a second seed changes nothing and a typing mistake in config.env
// does not bring back an old one from elsewhere. 1 = decided, 0 = look on, negative = decided, but not remembered.
static int try_state(const struct discover *discover, struct discovered *ret, struct err *err) {
    struct err ignored;
    cleanup_candidate struct candidate state = {0}, last_good = {0};
    cleanup_fd int secrets_fd = file_open(discover->root_fd, DISCOVER_SECRETS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &ignored);
    const struct local config = {DISCOVER_CONFIG, "state", true, false, secrets_fd};
    int r = try_local(discover, &config, ret, &state);
    if (r == -ENOENT)
        return 0;
    if (r == 0) {
        r = keep_last_good(discover, &state.text, err);
        return r < 0 ? r : 1;
    }
    // A secret that is gone, or has the wrong mode, must not take the network and the SSH keys of the last good one away as well. Nor must
    // keys of a stack that the other generation had, when this one was gone back to.
    const struct local fallback = {DISCOVER_LAST_GOOD, "last good", false, true, -1};
    (void)!try_local(discover, &fallback, ret, &last_good);
    return 1;
}

// 1 = taken, 0 = refused or empty, negative = taken, but not remembered.
static int try_candidate(const struct discover *discover, struct candidate *candidate, struct discovered *ret, struct err *err) {
    cleanup_config struct config config = {0};
    if (!candidate->is_present)
        return 0;
    discover_add_shared_secrets(discover, candidate);
    discover_unseal(discover, candidate);
    if (candidate_check(candidate, discover->schema, discover->root_fd, &config) < 0) {
        refuse(ret, candidate);
        return 0;
    }
    int r = discover->is_dry_run ? 0 : candidate_remember(candidate, discover->root_fd, err);
    if (r == 0)
        r = keep_last_good(discover, &candidate->text, err);
    take(ret, candidate, &config);
    return r < 0 ? r : 1;
}

static int try_source(const struct discover *discover, const struct discover_source *source, struct discovered *ret, struct err *err) {
    if (source->late_only && !discover->late)
        return 0;
    for (unsigned nth = 0;; nth++) {
        cleanup_candidate struct candidate candidate = {0};
        if (!source->find(discover, nth, &candidate))
            return 0;
        int r = try_candidate(discover, &candidate, ret, err);
        if (r != 0)
            return r;
    }
}

static void take_default(const struct discover *discover, struct discovered *ret) {
    cleanup_candidate struct candidate candidate = {0};
    const struct local image = {DISCOVER_DEFAULT, "default", true, false, -1};
    if (try_local(discover, &image, ret, &candidate) < 0)
        ret->source = str_dup("default");
}

static int try_sources(const struct discover *discover, struct discovered *ret, struct err *err) {
    int r = 0;
    for (const struct discover_source *source = discover_sources; r == 0 && source->find; source++)
        r = try_source(discover, source, ret, err);
    return r;
}

// Early in a boot a CD-ROM, a USB stick or fw_cfg may still lack its driver. Only a machine that found nothing pays for the wait; and one that was started
// from an installation medium, whose own configuration is always there and counts less than a stick's.
static int try_sources_twice(const struct discover *discover, struct discovered *ret, struct err *err) {
    const struct discover_io *io = discover_io_of(discover);
    bool may_wait = !discover->late && io->settle, is_medium = file_exists(discover->root_fd, VOLUME_MEDIUM);
    int r = may_wait && is_medium ? 0 : try_sources(discover, ret, err);
    if (r != 0 || !may_wait)
        return r;
    io->settle(discover->root_fd);
    refusals_done(ret); // what was refused is refused again, or was only incomplete
    return try_sources(discover, ret, err);
}

int discover_config(const struct discover *discover, struct discovered *ret, struct err *err) {
    *ret = (struct discovered){0};
    int r = try_state(discover, ret, err);
    if (r == 0)
        r = try_sources_twice(discover, ret, err);
    if (!ret->source)
        take_default(discover, ret);
    return r < 0 ? r : 0;
}
