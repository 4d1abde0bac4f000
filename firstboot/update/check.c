// SPDX-License-Identifier: Apache-2.0
// One function per rule: 0, or -1 with a text that says what to do.
#include "firstboot/update/check.h"
#include <errno.h>
#include <string.h>
#include <time.h>

#define ESP_SLACK_BYTES (1 << 20) // directories, entry files, clusters

uint64_t update_slot_bytes(const struct manifest *manifest) {
    return manifest->boot.data_blocks * SLOT_BLOCK_BYTES + slot_tree_bytes(manifest->boot.data_blocks);
}

uint64_t update_esp_bytes(const struct manifest *manifest) {
    return manifest->uki.bytes + manifest->linux_in_uki.bytes + manifest->initrd_in_uki.bytes;
}

static void format_day(int64_t seconds, char ret_text[32]) {
    struct tm parts;
    time_t time = (time_t)seconds;
    if (!gmtime_r(&time, &parts) || strftime(ret_text, 32, "%Y-%m-%d %H:%M UTC", &parts) == 0)
        snprintf(ret_text, 32, "%lld", (long long)seconds);
}

struct question {
    const struct manifest *manifest;
    const struct update_facts *facts;
    const struct update_flags *flags;
};

static int check_compatible(const struct question *q, struct err *err) {
    if (!*q->facts->image.compatible)
        return err_set(err, -EINVAL, "the running image does not say what it is compatible with: it was built without updates in mind");
    if (strcmp(q->manifest->compatible, q->facts->image.compatible) == 0)
        return 0;
    return err_set(err, -EINVAL, "it is made for machines of the kind %s, and this is a %s", q->manifest->compatible,
                   q->facts->image.compatible);
}

static int check_channel(const struct question *q, struct err *err) {
    const char *wanted = q->flags->channel ?: q->facts->image.channel;
    if (!q->flags->checks_channel || strcmp(q->manifest->channel, wanted) == 0)
        return 0;
    return err_set(err, -EINVAL, "it belongs to channel %s, and this machine follows %s; --channel or UPDATE_CHANNEL changes that",
                   q->manifest->channel, wanted);
}

static int check_not_yet_valid(const struct question *q, struct err *err) {
    char from[32];
    format_day(q->manifest->valid_from, from);
    return q->facts->now >= q->manifest->valid_from ? 0 : err_set(err, -EINVAL, "it is not valid before %s; is the clock right?", from);
}

static int check_expired(const struct question *q, struct err *err) {
    char until[32];
    format_day(q->manifest->valid_until, until);
    return q->facts->now < q->manifest->valid_until
               ? 0
               : err_set(err, -EINVAL, "it was valid until %s only; the publisher must sign it again or publish a newer one", until);
}

static int check_updater(const struct question *q, struct err *err) {
    return q->manifest->minimum_updater <= MANIFEST_UPDATER
               ? 0
               : err_set(err, -EINVAL, "it needs an updater of version %u, and this is %u; install a generation in between first",
                         q->manifest->minimum_updater, MANIFEST_UPDATER);
}

static int check_config_schema(const struct question *q, struct err *err) {
    uint32_t own = q->facts->image.config_schema;
    return q->manifest->config_schema >= own
               ? 0
               : err_set(err, -EINVAL, "it reads config.env of schema %u, and this machine's may use keys of schema %u",
                         q->manifest->config_schema, own);
}

static int check_sequence_range(const struct question *q, struct err *err) {
    return q->manifest->sequence <= UPDATE_MAX_SEQUENCE
               ? 0
               : err_set(err, -EINVAL, "its sequence number %llu is above %llu: no later one could follow",
                         (unsigned long long)q->manifest->sequence, UPDATE_MAX_SEQUENCE);
}

static bool is_known_hash(const uint8_t hash[32]) {
    static const uint8_t none[32];
    return memcmp(hash, none, 32) != 0;
}

static int check_same_sequence(const struct question *q, struct err *err) {
    const struct update_facts *f = q->facts;
    const uint8_t *hash = q->manifest->boot.root_hash;
    bool differs_from_running = q->manifest->sequence == f->sequence && memcmp(hash, f->root_hash, 32) != 0;
    bool differs_from_floor =
        q->manifest->sequence == f->floors.sequence && is_known_hash(f->floors.root_hash) && memcmp(hash, f->floors.root_hash, 32) != 0;
    if (!differs_from_running && !differs_from_floor)
        return 0;
    return err_set(err, -EINVAL,
                   "ALARM: sequence number %llu was used for other content before. Somebody published two generations under one number, or "
                   "a key is in wrong hands; ask the publisher",
                   (unsigned long long)q->manifest->sequence);
}

static int check_downgrade(const struct question *q, struct err *err) {
    const struct update_facts *f = q->facts;
    uint64_t floor = f->floors.sequence > f->sequence ? f->floors.sequence : f->sequence;
    if (q->manifest->sequence >= floor)
        return 0;
    return err_set(err, -EINVAL, "it is older (sequence %llu) than what this machine ran before (%llu); --force installs it anyway",
                   (unsigned long long)q->manifest->sequence, (unsigned long long)floor);
}

static int check_rejected(const struct question *q, struct err *err) {
    if (!q->facts->is_rejected)
        return 0;
    return err_set(err, -EINVAL, "this generation was rejected here before (%s); see `webops why`; --force installs it again",
                   q->facts->rejected_why);
}

static bool has_layer(const struct manifest *manifest, const char *name) {
    for (uint32_t i = 0; i < manifest->layer_count; i++)
        if (strcmp(manifest->layers[i].name, name) == 0)
            return true;
    return false;
}

// A stack is a layer of the same name. Without it its keys are unknown, and a configuration with unknown keys is not taken.
static int check_stacks(const struct question *q, struct err *err) {
    for (unsigned i = 0; i < q->facts->stack_count; i++)
        if (!has_layer(q->manifest, q->facts->stacks[i]))
            return err_set(
                err, -EINVAL,
                "it has no stack %s, and config.env has keys of that stack, which it would refuse; uninstall the stack and remove "
                "its keys first",
                q->facts->stacks[i]);
    return 0;
}

static unsigned long long mib(uint64_t bytes) {
    return (unsigned long long)((bytes + (1 << 20) - 1) >> 20);
}

static int check_slot_space(const struct question *q, struct err *err) {
    uint64_t wanted = update_slot_bytes(q->manifest);
    return wanted <= q->facts->slot_bytes
               ? 0
               : err_set(err, -EFBIG,
                         "it needs a slot of %llu MiB, and the other slot has %llu MiB; a machine with larger slots must be "
                         "flashed anew",
                         mib(wanted), mib(q->facts->slot_bytes));
}

// The old files of the target go one by one as each new one is complete: at worst one old file is there beside all new ones.
static int check_esp_space(const struct question *q, struct err *err) {
    const struct update_facts *f = q->facts;
    uint64_t wanted = update_esp_bytes(q->manifest) + f->esp_largest_old_bytes + ESP_SLACK_BYTES;
    uint64_t there = f->esp_free_bytes + f->esp_reusable_bytes;
    return wanted <= there
               ? 0
               : err_set(err, -ENOSPC, "the boot partition needs %llu MiB and has %llu MiB for it; remove foreign files from it",
                         mib(wanted), mib(there));
}

static int check_state_space(const struct question *q, struct err *err) {
    uint64_t wanted = UPDATE_STATE_BYTES + q->manifest->uki.bytes;
    return q->facts->state_free_bytes + q->facts->state_reusable_bytes >= wanted
               ? 0
               : err_set(err, -ENOSPC, "%llu MiB are free on state, and an update needs %llu MiB", mib(q->facts->state_free_bytes),
                         mib(wanted));
}

static const struct rule {
    const char *name;
    int (*check)(const struct question *q, struct err *err);
    bool may_force;
} rules[REFUSALS] = {
    [REFUSAL_COMPATIBLE] = {"compatible", check_compatible, false},
    [REFUSAL_CHANNEL] = {"channel", check_channel, false},
    [REFUSAL_NOT_YET_VALID] = {"not-yet-valid", check_not_yet_valid, false},
    [REFUSAL_EXPIRED] = {"expired", check_expired, false},
    [REFUSAL_UPDATER] = {"updater", check_updater, false},
    [REFUSAL_CONFIG_SCHEMA] = {"config-schema", check_config_schema, true},
    [REFUSAL_SEQUENCE_RANGE] = {"sequence-range", check_sequence_range, false},
    [REFUSAL_SAME_SEQUENCE] = {"same-sequence", check_same_sequence, false},
    [REFUSAL_DOWNGRADE] = {"downgrade", check_downgrade, true},
    [REFUSAL_REJECTED] = {"rejected", check_rejected, true},
    [REFUSAL_STACKS] = {"stacks", check_stacks, true},
    [REFUSAL_SLOT_SPACE] = {"slot-space", check_slot_space, false},
    [REFUSAL_ESP_SPACE] = {"esp-space", check_esp_space, false},
    [REFUSAL_STATE_SPACE] = {"state-space", check_state_space, false},
};

const char *update_refusal_name(enum update_refusal refusal) {
    return rules[refusal].name;
}

void update_check(const struct manifest *manifest, const struct update_facts *facts, const struct update_flags *flags,
                  struct update_verdict *ret_verdict) {
    const struct question q = {manifest, facts, flags};
    struct update_verdict verdict = {0};
    verdict.is_installed = is_known_hash(facts->root_hash) && memcmp(manifest->boot.root_hash, facts->root_hash, 32) == 0;
    for (unsigned i = 0; i < REFUSALS; i++) {
        struct err err;
        if (rules[i].check(&q, &err) >= 0)
            continue;
        if (flags->is_forced && rules[i].may_force) {
            verdict.forced[verdict.forced_count++] = err;
            continue;
        }
        verdict.texts[verdict.count] = err;
        verdict.refusals[verdict.count++] = (enum update_refusal)i;
    }
    *ret_verdict = verdict;
}
