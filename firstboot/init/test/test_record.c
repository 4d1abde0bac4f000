// SPDX-License-Identifier: Apache-2.0
// The boot record: its text, and that the machine's own config.env parser reads back what was meant.
#include "common/config.h"
#include "common/test/slot_seed.h"
#include "common/test/support.h"
#include "firstboot/init/record.h"
#include <sys/sysmacros.h>

static struct boot *make(uint32_t layer_count) {
    struct boot *boot = mem_array(1, sizeof(*boot));
    slot_seed(&boot->header, layer_count);
    memset(boot->header.id, 0xa5, sizeof(boot->header.id));
    memset(boot->wanted.root_hash, 0x3c, sizeof(boot->wanted.root_hash));
    boot->wanted.data_blocks = 16297;
    boot->disk = (struct find_result){.slot = {.role = FIND_SLOT_B, .disk = "nvme0n1", .device = "nvme0n1p4"},
                                      .state = {.role = FIND_STATE, .disk = "nvme0n1", .device = "nvme0n1p5"}};
    boot->verity = makedev(253, 0);
    for (uint32_t i = 0; i < layer_count; i++)
        boot->layers[i] = makedev(253, i + 1);
    boot->state_check = "clean";
    boot->factory.copied = 562;
    boot->modules.loaded = 12;
    boot->start_ms = 1682;
    boot->timings[0] = (struct boot_timing){"mounts", 1689};
    boot->timings[1] = (struct boot_timing){"machine-id", 2514};
    boot->timing_count = 2;
    return boot;
}

static void expect(const struct config *config, const char *key, const char *value) {
    const struct config_entry *entry = config_find(config, key);
    if (!entry)
        fail_msg("%s is missing", key);
    assert_string_equal(entry->value, value);
}

static void test_text(void **state) {
    (void)state;
    char text[RECORD_MAX_BYTES];
    cleanup_free struct boot *boot = make(1);
    strcpy(boot->header.version, "1.0.0");
    strcpy(boot->header.layers[0].version, "5.2");
    int size = record_format(boot, text);
    static const char expected[] =
        "SLOT=b\nDISK=/dev/nvme0n1\nSLOT_DEVICE=/dev/nvme0n1p4\nSTATE_DEVICE=/dev/nvme0n1p5\nSTATE_MODE=rw\n"
        "STATE_CHECK=clean\nSLOT_ID=a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\n"
        "ROOT_HASH=3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c\n"
        "DATA_BLOCKS=16297\nVERITY_DEVICE=/dev/dm-0\nPROFILE=edge-web.1\nVERSION=1.0.0\n"
        "SEQUENCE=72623859790382856\nLAYERS=1\nLAYER0_NAME=layer-0.x\nLAYER0_VERSION=5.2\nLAYER0_DEVICE=/dev/dm-1\n"
        "MODULES_LOADED=12\nFACTORY_COPIED=562\nINIT_START_MS=1682\nSTEP_MOUNTS_END_MS=1689\n"
        "STEP_MACHINE_ID_END_MS=2514\n";
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
}

static void test_medium(void **state) {
    (void)state;
    char text[RECORD_MAX_BYTES];
    cleanup_free struct boot *boot = make(1);
    strcpy(boot->medium, "WEBOPS_0123456789ABCDEF");
    boot->disk = (struct find_result){.slot = {.disk = "sr0", .device = "loop0"}};
    boot->state_check = "memory";
    assert_true(record_format(boot, text) > 0);
    static const char start[] = "SLOT=medium\nDISK=/dev/sr0\nSLOT_DEVICE=/dev/loop0\nSTATE_MODE=rw\nSTATE_CHECK=memory\nSLOT_ID=";
    assert_memory_equal(text, start, strlen(start));
    boot->disk.slot.disk[0] = 0; // it came with the initramfs
    assert_true(record_format(boot, text) > 0);
    assert_null(strstr(text, "DISK="));
}

// Versions may hold every printable character but the blank.
static void test_reads_back(void **state) {
    (void)state;
    static const struct {
        const char *version, *read;
    } cases[] = {
        {"2026.11+r4~rc1", "2026.11+r4~rc1"}, {"$HOME", "$HOME"},     {"`id`", "`id`"}, {"a\"b", "a\"b"}, {"a#b", "a#b"},
        {"back\\slash", "back\\slash"},       {"a;b&c|d", "a;b&c|d"}, {"it's", "it_s"}, {"'", "_"},       {"!*?[]{}()<>^", "!*?[]{}()<>^"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[RECORD_MAX_BYTES];
        cleanup_free struct boot *boot = make(SLOT_MAX_LAYERS);
        strcpy(boot->header.version, cases[i].version);
        strcpy(boot->header.layers[15].version, cases[i].version);
        boot->is_state_read_only = true;
        int size = record_format(boot, text);
        assert_true(size > 0);
        cleanup(config_done) struct config config = {0};
        cleanup(config_problems_done) struct config_problems problems = {0};
        if (config_parse(text, (size_t)size, &config, &problems) < 0)
            fail_msg("line %u: %s", problems.items[0].line, problems.items[0].text);
        expect(&config, "VERSION", cases[i].read);
        expect(&config, "LAYER15_VERSION", cases[i].read);
        expect(&config, "LAYER15_DEVICE", "/dev/dm-16");
        expect(&config, "STATE_MODE", "ro");
        expect(&config, "SLOT", "b");
        assert_null(config_find(&config, "LAYER16_NAME"));
    }
}

// The largest record there can be fits.
static void test_largest(void **state) {
    (void)state;
    char text[RECORD_MAX_BYTES];
    cleanup_free struct boot *boot = make(SLOT_MAX_LAYERS);
    memset(boot->header.version, '$', SLOT_VERSION_BYTES - 1);
    for (int i = 0; i < SLOT_MAX_LAYERS; i++) {
        memset(boot->header.layers[i].name, 'n', SLOT_NAME_BYTES - 1);
        memset(boot->header.layers[i].version, '$', SLOT_VERSION_BYTES - 1);
        boot->layers[i] = makedev(0xfff, 0xfffff);
    }
    memset(boot->disk.slot.device, 'd', FIND_NAME_BYTES - 1);
    for (boot->timing_count = 0; boot->timing_count < BOOT_MAX_STEPS; boot->timing_count++)
        boot->timings[boot->timing_count] = (struct boot_timing){"a-step-with-quite-a-long-name-1", UINT64_MAX};
    int size = record_format(boot, text);
    assert_true(size > 0);
    assert_int_equal(strlen(text), size);
    assert_contains(text, "LAYER15_DEVICE=/dev/dm-1048575\n");
    assert_contains(text, "END_MS=18446744073709551615\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_medium), cmocka_unit_test(test_reads_back),
                                       cmocka_unit_test(test_largest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
