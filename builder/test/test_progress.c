// SPDX-License-Identifier: Apache-2.0
// What a pipe and a program see of a run: exact lines, valid JSON events in order.
#include "builder/progress.h"
#include "common/buf.h"
#include "common/file.h"
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

// Runs two stages with standard output and error going to one file each.
static void run_stages(bool json, char **ret_out, char **ret_error) {
    struct err err = {0};
    int out = memfd_create("out", MFD_CLOEXEC), error = memfd_create("error", MFD_CLOEXEC);
    fflush(stdout);
    int kept_out = dup(1), kept_error = dup(2);
    dup2(out, 1);
    dup2(error, 2);
    {
        cleanup_progress struct progress *progress = progress_new(2, json);
        progress_start(progress, "base debian-12");
        progress_update(progress, 1, 4);
        assert_true(progress_end(progress, "built") >= 0);
        progress_start(progress, "layer \"odd\"");
        progress_end(progress, "failed");
    }
    fflush(stdout);
    dup2(kept_out, 1);
    dup2(kept_error, 2);
    close(kept_out);
    close(kept_error);
    lseek(out, 0, SEEK_SET);
    lseek(error, 0, SEEK_SET);
    assert_int_equal(file_read_fd(out, "out", 1 << 16, ret_out, NULL, &err), 0);
    assert_int_equal(file_read_fd(error, "error", 1 << 16, ret_error, NULL, &err), 0);
    close(out);
    close(error);
}

static void test_lines(void **state) {
    (void)state;
    cleanup_free char *out = NULL, *error = NULL;
    run_stages(false, &out, &error);
    assert_string_equal(out, "");
    assert_null(strchr(error, '\033'));
    assert_null(strchr(error, '\r'));
    assert_non_null(strstr(error, "[1/2] base debian-12 "));
    assert_non_null(strstr(error, " s  built\n[2/2] layer \"odd\" "));
    assert_non_null(strstr(error, " s  failed\n"));
}

static void test_json(void **state) {
    (void)state;
    static const char *const events[] = {"start", "end", "start", "end"};
    static const char *const stages[] = {"base debian-12", "base debian-12", "layer \"odd\"", "layer \"odd\""};
    cleanup_free char *out = NULL, *error = NULL;
    run_stages(true, &out, &error);
    assert_string_equal(error, "");
    unsigned count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(out, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), count++) {
        json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(event);
        assert_true(count < ARRAY_SIZE(events));
        assert_string_equal(json_string_value(json_object_get(event, "event")), events[count]);
        assert_string_equal(json_string_value(json_object_get(event, "stage")), stages[count]);
        if (count % 2)
            assert_true(json_is_real(json_object_get(event, "seconds")));
        else
            assert_int_equal(json_integer_value(json_object_get(event, "number")), count / 2 + 1);
        json_decref(event);
    }
    assert_int_equal(count, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
