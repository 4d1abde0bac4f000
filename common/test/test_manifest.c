// SPDX-License-Identifier: Apache-2.0
// The manifest: both forms say the same, and nothing but what they should say is read.
#include "common/test/manifest_seed.h"
#include "common/test/support.h"
#include <errno.h>

static void test_round_trips(void **state) {
    (void)state;
    for (uint32_t count = 1; count <= SLOT_MAX_LAYERS; count++) {
        struct manifest seed, parsed, flat_parsed;
        struct err err = {0};
        cleanup_buf struct buf json = {0}, again = {0}, flat = {0}, flat_again = {0};
        manifest_seed(&seed, count);
        seed.is_development = count % 2;
        if (manifest_format(&seed, &json, &err) < 0 || manifest_parse(json.data, json.size, &parsed, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(&parsed, &seed, sizeof(seed));
        assert_int_equal(manifest_format(&parsed, &again, &err), 0);
        assert_string_equal(json.data, again.data);
        if (manifest_format_flat(&seed, &flat, &err) < 0 || manifest_parse_flat(flat.data, flat.size, &flat_parsed, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(&flat_parsed, &seed, sizeof(seed));
        assert_int_equal(manifest_format_flat(&flat_parsed, &flat_again, &err), 0);
        assert_string_equal(flat.data, flat_again.data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
