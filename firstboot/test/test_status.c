// SPDX-License-Identifier: Apache-2.0
#include "firstboot/test/support.h"
#include "firstboot/actionlog.h"
#include "firstboot/generation.h"
#include "firstboot/bootrecord.h"
#include "firstboot/report.h"
#include "firstboot/stack/engine.h"
#include "firstboot/status.h"
#include "firstboot/update/machine.h"
#include <errno.h>
#include <unistd.h>

static const char boot[] = "SLOT=b\nPROFILE=quickstart\nVERSION=1.2\nSEQUENCE=7\nROOT_HASH=cafe\nSLOT_ID=beef\nLAYERS=2\n"
                           "LAYER0_NAME=debian-12\nLAYER0_VERSION=12\nLAYER0_DEVICE=/dev/dm-1\nLAYER1_NAME=base\nLAYER1_VERSION=3\n";

static const char *text_at(const json_t *json, const char *object, const char *name) {
    return json_string_value(json_object_get(json_object_get(json, object), name));
}

static void an_empty_root_has_a_status(void **state) {
    (void)state;
    static const char *const names[] = {"hostname", "generation", "slot",   "layers", "config", "apply",
                                        "health",   "drift",      "errors", "slots",  "update", "stacks"};
    cleanup_root struct support_root root = support_root_make();
    cleanup_json json_t *status = status_gather(root.fd);
    assert_int_equal(json_object_size(status), ARRAY_SIZE(names));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_non_null(json_object_get(status, names[i]));
    assert_true(json_is_null(json_object_get(status, "health")));
    assert_true(json_is_null(json_object_get(status, "drift")));
    cleanup_buf struct buf table = {0};
    status_format(status, &table);
    assert_non_null(strstr(buf_str(&table), "health       not checked yet\n"));
    assert_non_null(strstr(buf_str(&table), "config       none applied yet\n"));
}

static struct support_root full_root(void) {
    struct support_root root = support_root_make();
    struct err err;
    support_write(&root, BOOTRECORD_PATH, boot);
    json_t *stage = json_pack("{s:s, s:s, s:b, s:i, s:[s], s:[]}", "time", "T1", "source", "seed cidata on sr0", "has_config", 1, "changes",
                              21, "problems", "state:3: X is wrong", "errors");
    assert_int_equal(report_save(root.fd, "early", stage, &err), 0);
    support_write(&root, "run/webops/health.json",
                  "{\"healthy\":false,\"time\":\"T2\",\"checks\":["
                  "{\"name\":\"sshd\",\"state\":\"failed\",\"why\":\"refused\"},{\"name\":\"root\",\"state\":\"passed\"}]}");
    support_write(&root, "run/webops/etc/upper/extra", "x");
    return root;
}

static void a_full_status(void **state) {
    (void)state;
    cleanup_root struct support_root root = full_root();
    cleanup_json json_t *status = status_gather(root.fd);
    assert_string_equal(text_at(status, "generation", "version"), "1.2");
    assert_string_equal(text_at(status, "generation", "root_hash"), "cafe");
    assert_string_equal(json_string_value(json_object_get(status, "slot")), "b");
    assert_int_equal(json_array_size(json_object_get(status, "layers")), 2);
    assert_string_equal(text_at(status, "config", "source"), "seed cidata on sr0");
    assert_string_equal(text_at(status, "apply", "stage"), "early");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(status, "apply"), "changes")), 21);
    assert_int_equal(json_integer_value(json_object_get(status, "drift")), 1);
}

// What was started from an installation medium has no slots to tell of, and nothing of it can be updated or brought up.
static void a_medium_says_so(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_machine struct machine machine = {.root_fd = -1};
    cleanup_buf struct buf table = {0};
    struct err err = {0};
    support_write(&root, BOOTRECORD_PATH,
                  "SLOT=medium\nDISK=/dev/sr0\nPROFILE=p\nVERSION=1\nSEQUENCE=7\nROOT_HASH=cafe\nSLOT_ID=beef\nLAYERS=0\n");
    cleanup_json json_t *status = status_gather(root.fd);
    status_format(status, &table);
    assert_string_equal(json_string_value(json_object_get(status, "slot")), "medium");
    assert_true(json_is_null(json_object_get(status, "slots")));
    assert_non_null(strstr(buf_str(&table), "generation   p 1, sequence 7, started from an installation medium\n"));
    assert_int_equal(machine_load(root.fd, false, &machine, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "installation medium"));
    const struct stack_engine_options engine = {.root = root.path};
    assert_int_equal(stack_engine_install(&engine, &err), -EPERM);
    assert_non_null(strstr(err.text, "installation medium"));
}

static void the_table_says_the_same(void **state) {
    (void)state;
    static const char *const lines[] = {
        "generation   quickstart 1.2, sequence 7, slot b\n",
        "root hash    cafe\n",
        "layers       debian-12 12\n",
        "config       seed cidata on sr0\n",
        "  refused    state:3: X is wrong\n",
        "applied      T1, early, 21 changes\n",
        "health       unhealthy, 2 checks, T2\n",
        "             sshd: refused\n",
        "drift        1 files differ; see: webops drift\n",
    };
    cleanup_root struct support_root root = full_root();
    cleanup_json json_t *status = status_gather(root.fd);
    cleanup_buf struct buf table = {0};
    status_format(status, &table);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        if (!strstr(buf_str(&table), lines[i]))
            fail_msg("no line \"%s\" in:\n%s", lines[i], buf_str(&table));
}

static void the_last_errors_are_five(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    for (int i = 0; i < 8; i++) {
        char text[32];
        snprintf(text, sizeof(text), "failure %d", i);
        actionlog_write(root.fd, "early", "write", "x", text);
        actionlog_write(root.fd, "early", "write", "x", "ok");
    }
    cleanup_json json_t *status = status_gather(root.fd);
    const json_t *errors = json_object_get(status, "errors");
    assert_int_equal(json_array_size(errors), 5);
    assert_non_null(strstr(json_string_value(json_array_get(errors, 0)), "failure 3"));
    assert_non_null(strstr(json_string_value(json_array_get(errors, 4)), "failure 7"));
}

static void damaged_files_are_no_status(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    support_write(&root, REPORT_PATH, "{\"last\":");
    support_write(&root, "run/webops/health.json", "[1,2]");
    support_write(&root, BOOTRECORD_PATH, "no record\n");
    cleanup_json json_t *status = status_gather(root.fd);
    assert_true(json_is_null(json_object_get(status, "health")));
    assert_true(json_is_null(json_object_get(json_object_get(status, "apply"), "stage")));
    assert_string_equal(text_at(status, "generation", "version"), "");
}

static void stages_are_kept_side_by_side(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    assert_int_equal(report_save(root.fd, "early", json_pack("{s:i}", "changes", 20), &err), 0);
    assert_int_equal(report_save(root.fd, "late", json_pack("{s:i}", "changes", 0), &err), 0);
    cleanup_json json_t *report = NULL;
    const json_t *last = report_load(root.fd, &report);
    assert_int_equal(json_integer_value(json_object_get(last, "changes")), 0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(report, "early"), "changes")), 20);
}

static void lines_become_an_array(void **state) {
    (void)state;
    cleanup_json json_t *lines = report_lines("one\ntwo\n"), *broken = report_lines("\xff\xfe");
    assert_int_equal(json_array_size(lines), 2);
    assert_string_equal(json_string_value(json_array_get(lines, 1)), "two");
    assert_string_equal(json_string_value(json_array_get(broken, 0)), "(not UTF-8)");
}

static void the_generation_is_published_once(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_config struct config record = {0}, none = {0};
    struct err err;
    support_write(&root, BOOTRECORD_PATH, boot);
    assert_int_equal(bootrecord_load(root.fd, &record, &err), 0);
    assert_int_equal(generation_publish(root.fd, &none, &err), 0);
    assert_int_equal(generation_publish(root.fd, &record, &err), 1);
    assert_int_equal(generation_publish(root.fd, &record, &err), 0);
    cleanup_free char *text = support_read(&root, "webops/.webops/current");
    assert_string_equal(text, "PROFILE=quickstart\nVERSION=1.2\nSEQUENCE=7\nROOT_HASH=cafe\nSLOT_ID=beef\nLAYERS=2\n"
                              "LAYER0_NAME=debian-12\nLAYER0_VERSION=12\nLAYER1_NAME=base\nLAYER1_VERSION=3\n");
}

static void a_damaged_boot_record_is_named(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_config struct config record = {0};
    struct err err;
    support_write(&root, BOOTRECORD_PATH, "SLOT=a\nbroken\n");
    assert_int_equal(bootrecord_load(root.fd, &record, &err), -EINVAL);
    assert_non_null(strstr(err.text, BOOTRECORD_PATH ":2: "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_root_has_a_status),
        cmocka_unit_test(a_full_status),
        cmocka_unit_test(a_medium_says_so),
        cmocka_unit_test(the_table_says_the_same),
        cmocka_unit_test(the_last_errors_are_five),
        cmocka_unit_test(damaged_files_are_no_status),
        cmocka_unit_test(stages_are_kept_side_by_side),
        cmocka_unit_test(lines_become_an_array),
        cmocka_unit_test(the_generation_is_published_once),
        cmocka_unit_test(a_damaged_boot_record_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
