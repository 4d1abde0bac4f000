// SPDX-License-Identifier: Apache-2.0
// The policy: each rule refuses for its own reason, and --force sets aside only those about what was before.
#include "firstboot/test/support.h"
#include "common/test/manifest_seed.h"
#include "firstboot/update/check.h"

static struct manifest manifest;
static struct update_facts facts;
static struct update_flags flags;

static int setup(void **state) {
    (void)state;
    manifest_seed(&manifest, 2);
    manifest.sequence = 42;
    manifest_seal(&manifest);
    facts = (struct update_facts){.sequence = 41,
                                  .now = manifest.valid_from + 1000,
                                  .slot_bytes = 1 << 30,
                                  .esp_free_bytes = 100 << 20,
                                  .state_free_bytes = 100 << 20,
                                  .floors = {.sequence = 41, .time = 1}};
    memset(facts.root_hash, 0x11, 32);
    memset(facts.floors.root_hash, 0x11, 32);
    strcpy(facts.image.compatible, manifest.compatible);
    strcpy(facts.image.channel, "stable");
    facts.image.config_schema = 1;
    flags = (struct update_flags){.checks_channel = true};
    return 0;
}

static struct update_verdict check(void) {
    struct update_verdict verdict;
    update_check(&manifest, &facts, &flags, &verdict);
    return verdict;
}

static void assert_allowed(void) {
    struct update_verdict verdict = check();
    if (verdict.count)
        fail_msg("refused: %s", verdict.texts[0].text);
}

// Refused for this and nothing else; with --force as told.
static void assert_refused(enum update_refusal refusal, const char *part, bool may_force) {
    flags.is_forced = false;
    struct update_verdict verdict = check();
    assert_int_equal(verdict.count, 1);
    assert_string_equal(update_refusal_name(verdict.refusals[0]), update_refusal_name(refusal));
    if (!strstr(verdict.texts[0].text, part))
        fail_msg("'%s' is not in '%s'", part, verdict.texts[0].text);
    flags.is_forced = true;
    verdict = check();
    assert_int_equal(verdict.count, may_force ? 0 : 1);
    assert_int_equal(verdict.forced_count, may_force ? 1 : 0);
    flags.is_forced = false;
}

static void a_newer_one_is_taken(void **state) {
    (void)state;
    assert_allowed();
    assert_false(check().is_installed);
}

static void the_running_one_is_known(void **state) {
    (void)state;
    memcpy(facts.root_hash, manifest.boot.root_hash, 32);
    facts.sequence = 42;
    assert_true(check().is_installed);
}

static void other_kinds_are_refused(void **state) {
    (void)state;
    strcpy(facts.image.compatible, "edge-web.1-arm64");
    assert_refused(REFUSAL_COMPATIBLE, "edge-web.1-arm64", false);
    strcpy(facts.image.compatible, "");
    assert_refused(REFUSAL_COMPATIBLE, "without updates", false);
}

static void other_channels_are_refused(void **state) {
    (void)state;
    flags.channel = "beta";
    assert_refused(REFUSAL_CHANNEL, "follows beta", false);
    flags.checks_channel = false; // a file that the operator named
    assert_allowed();
    flags = (struct update_flags){.checks_channel = true, .channel = "stable"};
    strcpy(facts.image.channel, "old");
    assert_allowed();
}

static void validity_has_two_ends(void **state) {
    (void)state;
    facts.now = manifest.valid_from - 1;
    assert_refused(REFUSAL_NOT_YET_VALID, "clock", false);
    facts.now = manifest.valid_from;
    assert_allowed();
    facts.now = manifest.valid_until - 1;
    assert_allowed();
    facts.now = manifest.valid_until;
    assert_refused(REFUSAL_EXPIRED, "2027-11-18", false);
}

static void updaters_and_schemas_have_versions(void **state) {
    (void)state;
    manifest.minimum_updater = MANIFEST_UPDATER + 1;
    assert_refused(REFUSAL_UPDATER, "in between", false);
    manifest.minimum_updater = MANIFEST_UPDATER;
    facts.image.config_schema = 2;
    assert_refused(REFUSAL_CONFIG_SCHEMA, "schema 2", true);
    manifest.config_schema = 3;
    assert_allowed();
}

static void sequences_do_not_sink(void **state) {
    (void)state;
    facts.sequence = facts.floors.sequence = 43;
    assert_refused(REFUSAL_DOWNGRADE, "--force", true);
    facts.sequence = 30; // the operator went back once; what was reached stays reached
    assert_refused(REFUSAL_DOWNGRADE, "(43)", true);
    manifest.sequence = UPDATE_MAX_SEQUENCE + 1;
    assert_refused(REFUSAL_SEQUENCE_RANGE, "no later one", false);
    manifest.sequence = UPDATE_MAX_SEQUENCE;
    assert_allowed();
}

static void equal_sequence_with_other_content_is_an_alarm(void **state) {
    (void)state;
    facts.sequence = 42;
    assert_refused(REFUSAL_SAME_SEQUENCE, "ALARM", false);
    facts.sequence = 41;
    facts.floors.sequence = 42;
    assert_refused(REFUSAL_SAME_SEQUENCE, "ALARM", false);
    memcpy(facts.floors.root_hash, manifest.boot.root_hash, 32); // the same again: after a rollback
    assert_allowed();
    memset(facts.floors.root_hash, 0, 32); // not known which it was
    assert_allowed();
}

static void the_ledger_counts(void **state) {
    (void)state;
    facts.is_rejected = true;
    strcpy(facts.rejected_why, "health: sshd");
    assert_refused(REFUSAL_REJECTED, "health: sshd", true);
}

static void a_stack_in_use_must_be_there(void **state) {
    (void)state;
    facts.stack_count = 2;
    strcpy(facts.stacks[0], "layer-1.x"); // a layer of the generation
    strcpy(facts.stacks[1], "layer-0.x");
    assert_allowed();
    strcpy(facts.stacks[1], "layer-0");
    assert_refused(REFUSAL_STACKS, "it has no stack layer-0,", true);
}

static void room_is_needed(void **state) {
    (void)state;
    facts.slot_bytes = update_slot_bytes(&manifest);
    assert_allowed();
    facts.slot_bytes--;
    assert_refused(REFUSAL_SLOT_SPACE, "larger slots", false);
    facts.slot_bytes = 1 << 30;
    facts.esp_free_bytes = update_esp_bytes(&manifest) + (1 << 20);
    assert_allowed();
    facts.esp_free_bytes--;
    assert_refused(REFUSAL_ESP_SPACE, "boot partition", false);
    facts.esp_reusable_bytes = 1; // what the old files give back counts …
    assert_allowed();
    facts.esp_largest_old_bytes = 1; // … but one of them is still there while a new one is written
    assert_refused(REFUSAL_ESP_SPACE, "boot partition", false);
    setup(NULL);
    facts.state_free_bytes = UPDATE_STATE_BYTES + manifest.uki.bytes;
    assert_allowed();
    facts.state_free_bytes--;
    assert_refused(REFUSAL_STATE_SPACE, "state", false);
    facts.state_reusable_bytes = 1;
    assert_allowed();
}

static void all_refusals_are_told(void **state) {
    (void)state;
    strcpy(facts.image.compatible, "other");
    facts.now = manifest.valid_until;
    facts.is_rejected = true;
    facts.state_free_bytes = 0;
    struct update_verdict verdict = check();
    assert_int_equal(verdict.count, 4);
    flags.is_forced = true;
    verdict = check();
    assert_int_equal(verdict.count, 3);
    assert_int_equal(verdict.forced_count, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_newer_one_is_taken, setup),
        cmocka_unit_test_setup(the_running_one_is_known, setup),
        cmocka_unit_test_setup(other_kinds_are_refused, setup),
        cmocka_unit_test_setup(other_channels_are_refused, setup),
        cmocka_unit_test_setup(validity_has_two_ends, setup),
        cmocka_unit_test_setup(updaters_and_schemas_have_versions, setup),
        cmocka_unit_test_setup(sequences_do_not_sink, setup),
        cmocka_unit_test_setup(equal_sequence_with_other_content_is_an_alarm, setup),
        cmocka_unit_test_setup(the_ledger_counts, setup),
        cmocka_unit_test_setup(a_stack_in_use_must_be_there, setup),
        cmocka_unit_test_setup(room_is_needed, setup),
        cmocka_unit_test_setup(all_refusals_are_told, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
