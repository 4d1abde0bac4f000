// SPDX-License-Identifier: Apache-2.0
// Mount options of the root overlay for every possible number of layers.
#include "common/slot.h"
#include "common/test/support.h"
#include "firstboot/init/layers.h"

static void test_one_layer(void **state) {
    (void)state;
    char options[LAYERS_OPTIONS_BYTES];
    layers_format_options(1, options);
    assert_string_equal(options, "lowerdir=/layers/empty:/layers/0,index=off,metacopy=off,redirect_dir=off");
}

static void test_top_first(void **state) {
    (void)state;
    char options[LAYERS_OPTIONS_BYTES];
    layers_format_options(3, options);
    assert_string_equal(options, "lowerdir=/layers/empty:/layers/2:/layers/1:/layers/0,index=off,metacopy=off,redirect_dir=off");
}

static void test_every_count(void **state) {
    (void)state;
    for (unsigned count = 2; count <= SLOT_MAX_LAYERS; count++) {
        char options[LAYERS_OPTIONS_BYTES];
        cleanup_buf struct buf expected = {0};
        buf_add_str(&expected, "lowerdir=/layers/empty");
        for (unsigned i = count; i > 0; i--)
            buf_printf(&expected, ":/layers/%u", i - 1);
        buf_add_str(&expected, ",index=off,metacopy=off,redirect_dir=off");
        layers_format_options(count, options);
        assert_string_equal(options, buf_str(&expected));
        assert_null(strstr(options, "upperdir")); // nothing can make it writable
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_layer), cmocka_unit_test(test_top_first),
                                       cmocka_unit_test(test_every_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
