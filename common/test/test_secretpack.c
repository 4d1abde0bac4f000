// SPDX-License-Identifier: Apache-2.0
#include "common/secretpack.h"
#include "common/schema.h"
#include "common/test/support.h"
#include <errno.h>

static void collect(void *context, const char *name, const char *data, size_t size) {
    buf_printf(context, "%s=", name);
    buf_add(context, data, size);
    buf_add_str(context, ";");
}

static void is_read_as_it_was_written(void **state) {
    (void)state;
    cleanup_buf struct buf pack = {0}, found = {0};
    struct err err = {0};
    secretpack_begin(&pack);
    assert_int_equal(secretpack_parse(pack.data, pack.size, collect, &found, &err), 0);
    secretpack_add(&pack, "a.secret", "one\ntwo 5\n", 10);
    secretpack_add(&pack, "b.secret", "\0x", 2);
    assert_int_equal(secretpack_parse(pack.data, pack.size, collect, &found, &err), 0);
    assert_int_equal(found.size, strlen("a.secret=one\ntwo 5\n;b.secret=") + 3);
    assert_memory_equal(found.data, "a.secret=one\ntwo 5\n;b.secret=", strlen("a.secret=one\ntwo 5\n;b.secret="));
}

#define HEADER "webops-secrets 1\n"

static void odd_packs_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "no pack"},
        {"webops-secrets 2\na.secret 1\nx", "no pack"},
        {"webops-secrets 1", "no pack"},
        {HEADER "a.secret 2\nx", "missing bytes"},
        {HEADER "a.secret 1\nxy", "no name and size"},
        {HEADER "a.secret 1\nx\n", "no name and size"},
        {HEADER "a.secret 1", "no name and size"},
        {HEADER "a.secret\n1 x", "no name and size"},
        {HEADER "a.secret 0\n", "empty secret"},
        {HEADER "a.secret \n", "empty secret"},
        {HEADER "a.secret -1\nx", "a size that is none"},
        {HEADER "a.secret 1x\nx", "a size that is none"},
        {HEADER "a.secret 99999999999999999999999\nx", "a size that is none"},
        {HEADER "a.secret 65537\nx", "over 64 KiB"},
        {HEADER "a 1\nx", "a name that no secret has"},
        {HEADER "../a.secret 1\nx", "a name that no secret has"},
        {HEADER " 1\nx", "a name that no secret has"},
        {HEADER "a.secret 1\nxa.secret 1\ny", "twice"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf found = {0};
        struct err err = {0};
        int r = secretpack_parse(rows[i].text, strlen(rows[i].text), collect, &found, &err);
        if (r != -EINVAL || !strstr(err.text, rows[i].says) || found.size)
            fail_msg("row %zu: %d, %s", i, r, err.text);
    }
}

static void limits(void **state) {
    (void)state;
    cleanup_buf struct buf pack = {0}, found = {0};
    struct err err = {0};
    cleanup_free char *large = mem_array(SCHEMA_SECRET_MAX_BYTES, 1);
    memset(large, 'x', SCHEMA_SECRET_MAX_BYTES);
    secretpack_begin(&pack);
    for (int i = 0; i < SECRETPACK_MAX_SECRETS; i++) {
        cleanup_free char *name = str_printf("%0100d.secret", i);
        secretpack_add(&pack, name, large, SCHEMA_SECRET_MAX_BYTES);
    }
    assert_true(pack.size <= SECRETPACK_MAX_BYTES);
    assert_int_equal(secretpack_parse(pack.data, pack.size, collect, &found, &err), 0);
    secretpack_add(&pack, "one-more.secret", "x", 1);
    assert_int_equal(secretpack_parse(pack.data, pack.size, collect, &found, &err), -EINVAL);
    assert_contains(err.text, "too many");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_read_as_it_was_written), cmocka_unit_test(odd_packs_are_refused),
                                       cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
