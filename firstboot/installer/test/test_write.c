// SPDX-License-Identifier: Apache-2.0
// What is said of webops-flash, however it ends: small programs play it.
#include "common/test/support.h"
#include "firstboot/installer/write.h"
#include <errno.h>

#define PLAN "echo 'image   /run/image, 1.0 GiB' >&2; echo 'disk    /dev/vda: no model name, serial TARGET1' >&2\n"
#define START "echo '{\"event\":\"start\",\"stage\":\"writing\",\"number\":1,\"stages\":3}'\n"
#define UNFINISHED "/dev/vda is unfinished"

static unsigned told;

static void tell(const char *line) {
    assert_string_equal(line, "writing");
    told++;
}

static int play(struct scratch *scratch, const char *script, struct err *err) {
    cleanup_free char *path = str_printf("%s/flash", scratch->path), *text = str_printf("#!/bin/sh\n%s", script);
    assert_int_equal(file_publish(scratch->fd, "flash", text, strlen(text), 0755, err), 0);
    const struct install_write write = {.disk = "/dev/vda", .serial = "TARGET1", .image = "/run/image", .program = path, .tell = tell};
    told = 0;
    return install_write(&write, err);
}

static void test_ends(void **state) {
    static const struct {
        const char *script;
        int code;
        unsigned told;
        const char *says, *says_not;
    } rows[] = {
        {PLAN START "exit 0", 0, 1, "", NULL},
        {PLAN START "echo 'webops-flash: error: range 7 is bad; /dev/vda is unfinished' >&2; exit 1", -EIO, 1,
         "range 7 is bad; /dev/vda is unfinished", "error"},
        {PLAN "echo 'webops-flash: error: it is mounted' >&2; exit 1", -EIO, 0, "it is mounted", UNFINISHED},
        {PLAN START "kill -9 $$", -EIO, 1, "was killed by signal 9 (Killed); " UNFINISHED ", what it held is gone", "TARGET1"},
        {PLAN "kill -9 $$", -EIO, 0, "was killed by signal 9 (Killed)", UNFINISHED},
        {"kill -9 $$", -EIO, 0, "was killed by signal 9 (Killed)", UNFINISHED},
        {PLAN "echo 'webops-flash: error: no route' >&2; exit 75", -EAGAIN, 0, "no route", UNFINISHED},
        {START "exit 75", -EAGAIN, 1, "failed with exit status 75; " UNFINISHED, NULL},
        {START "exit 3", -EIO, 1, "failed with exit status 3; " UNFINISHED, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        int r = play(*state, rows[i].script, &err);
        if (r != rows[i].code || told != rows[i].told || !strstr(err.text, rows[i].says) ||
            (rows[i].says_not && strstr(err.text, rows[i].says_not)))
            fail_msg("row %zu: %d, told %u, '%s'", i, r, told, err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_ends, scratch_setup, scratch_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
