// SPDX-License-Identifier: Apache-2.0
// What a medium does, for every kind of answer; and above all: when it writes nothing.
#include "common/test/support.h"
#include "firstboot/installer/plan.h"
#include "firstboot/installer/write.h"

#define GIB (1ULL << 30)

static char vda[] = "/dev/vda", sda[] = "/dev/sda", sdb[] = "/dev/sdb", sdc[] = "/dev/sdc", none[] = "", serial[] = "TARGET1",
            by[] = "sata", usb[] = "usb", use[] = "it is mounted", vdb[] = "/dev/vdb";
static struct install_disk items[] = {
    {.path = vda, .model = none, .serial = serial, .by = by, .bytes = 8 * GIB, .sector_bytes = 512},
    {.path = sda, .model = none, .serial = none, .by = by, .bytes = 16 * GIB, .sector_bytes = 512},
    {.path = sdb, .model = none, .serial = none, .by = usb, .bytes = 4 * GIB, .sector_bytes = 512, .is_medium = true},
    {.path = vdb, .model = none, .serial = none, .by = by, .bytes = 5 * GIB, .sector_bytes = 512, .is_seed = true},
    {.path = sdc, .model = none, .serial = none, .by = by, .bytes = 2 * GIB, .sector_bytes = 512, .use = use},
};
static const struct install_disks disks = {items, ARRAY_SIZE(items)};

struct question {
    struct install_answer answer;
    const char *path; // of the rule, resolved
    const char *source; // NULL = state
    enum install_holds holds, other; // of /dev/vda and /dev/sda
    bool has_no_image, is_again;
    enum install_action action;
    const char *text;
};

static void test_plans(void **state) {
    (void)state;
    static const struct question questions[] = {
        {.answer = {0}, .action = INSTALL_SHOW, .text = "INSTALL_DISK=serial="},
        {.answer = {.confirm = "erase"}, .action = INSTALL_SHOW, .text = "INSTALL_DISK="},
        {.answer = {.disk = "serial=TARGET1"}, .action = INSTALL_SHOW, .text = "set INSTALL_CONFIRM=TARGET1"},
        {.answer = {.disk = "largest"}, .action = INSTALL_SHOW, .text = "/dev/sda would be lost: set INSTALL_CONFIRM=erase"},
        {.answer = {.disk = "serial=TARGET1", .confirm = "yes"}, .action = INSTALL_REFUSE, .text = "serial number of /dev/vda (TARGET1)"},
        {.answer = {.disk = "largest", .confirm = "TARGET1"}, .action = INSTALL_REFUSE, .text = "/dev/sda (it has none)"},
        {.answer = {.disk = "serial=TARGET1", .confirm = ""}, .action = INSTALL_REFUSE, .text = "INSTALL_CONFIRM"},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"}, .action = INSTALL_WRITE},
        {.answer = {.disk = "serial=TARGET1", .confirm = "TARGET1"}, .action = INSTALL_WRITE},
        {.answer = {.disk = "smallest", .confirm = "erase"},
         .action = INSTALL_REFUSE,
         .text = "/dev/sdc: it is mounted"}, // not the next one
        {.answer = {.disk = "size>=4G smallest", .confirm = "erase"}, .action = INSTALL_WRITE}, // not the medium, not a seed
        {.answer = {.disk = "by=sata", .confirm = "erase"}, .action = INSTALL_REFUSE, .text = "/dev/vda and /dev/sda"},
        {.answer = {.disk = "serial=X", .confirm = "erase"}, .action = INSTALL_REFUSE, .text = "INSTALL_DISK='serial=X': no disk fits"},
        {.answer = {.disk = "path=/dev/disk/by-id/x", .confirm = "erase"},
         .action = INSTALL_REFUSE,
         .text = "there is no /dev/disk/by-id/x"},
        {.answer = {.disk = "path=/dev/disk/by-id/x", .confirm = "erase"}, .path = "/dev/vda", .action = INSTALL_WRITE},
        {.answer = {.disk = "path=/dev/sdb", .confirm = "erase"},
         .path = "/dev/sdb",
         .action = INSTALL_REFUSE,
         .text = "the installation medium"},
        {.answer = {.disk = "path=/dev/sdc", .confirm = "erase"}, .path = "/dev/sdc", .action = INSTALL_REFUSE, .text = "it is mounted"},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"},
         .has_no_image = true,
         .action = INSTALL_REFUSE,
         .text = "INSTALL_IMAGE_URL"},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase", .url = "http://a/i.raw"}, .has_no_image = true, .action = INSTALL_WRITE},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"},
         .holds = INSTALL_HOLDS_OTHER,
         .action = INSTALL_PRESENT,
         .text = "INSTALL_EXISTING=replace"},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase", .replaces = true}, .holds = INSTALL_HOLDS_OTHER, .action = INSTALL_WRITE},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase", .replaces = true},
         .holds = INSTALL_HOLDS_SAME,
         .action = INSTALL_PRESENT,
         .text = "with this generation"},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"}, .holds = INSTALL_HOLDS_SAME, .is_again = true, .action = INSTALL_WRITE},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"}, .holds = INSTALL_HOLDS_DATA, .action = INSTALL_WRITE},
        {.answer = {.disk = "size<=8G largest", .confirm = "erase"}, // what else it could mean when the machine's own disk is gone
         .holds = INSTALL_HOLDS_DATA,
         .action = INSTALL_REFUSE,
         .text = "/dev/vda holds data, and INSTALL_DISK does not name it"},
        {.answer = {.disk = "path=/dev/vda", .confirm = "erase"}, // at the next start another one
         .path = vda,
         .holds = INSTALL_HOLDS_DATA,
         .action = INSTALL_REFUSE,
         .text = "path=/dev/disk/"},
        {.answer = {.disk = "path=/dev/disk/by-id/x", .confirm = "erase"},
         .path = vda,
         .holds = INSTALL_HOLDS_DATA,
         .action = INSTALL_WRITE},
        {.answer = {.disk = "size<=8G largest", .confirm = "erase", .replaces = true},
         .holds = INSTALL_HOLDS_DATA,
         .action = INSTALL_WRITE},
        {.answer = {.disk = "size<=8G largest", .confirm = "erase"}, .other = INSTALL_HOLDS_DATA, .action = INSTALL_WRITE},
        {.answer = {.disk = "size<=8G largest", .confirm = "erase"},
         .other = INSTALL_HOLDS_OTHER,
         .action = INSTALL_PRESENT,
         .text = "/dev/sda holds an installed machine; remove the medium and restart, or name /dev/vda"},
        {.answer = {.disk = "size<=8G largest", .confirm = "erase", .replaces = true},
         .other = INSTALL_HOLDS_OTHER,
         .action = INSTALL_WRITE},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"}, .other = INSTALL_HOLDS_OTHER, .action = INSTALL_WRITE},
        {.answer = {.disk = "size<=8G largest", .confirm = "erase", .replaces = true},
         .other = INSTALL_HOLDS_SAME,
         .action = INSTALL_PRESENT,
         .text = "/dev/sda holds an installed machine with this generation, and with a second one on /dev/vda neither would start"},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"},
         .other = INSTALL_HOLDS_SAME,
         .action = INSTALL_REFUSE,
         .text = "wipefs -a /dev/sda"},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"}, .other = INSTALL_HOLDS_SAME, .is_again = true, .action = INSTALL_WRITE},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"}, .source = "default", .action = INSTALL_WRITE},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"},
         .source = "volume WEBOPS",
         .is_again = true,
         .action = INSTALL_REFUSE,
         .text = "webops apply"},
        {.answer = {.disk = "serial=TARGET1", .confirm = "erase"},
         .source = "last good",
         .action = INSTALL_REFUSE,
         .text = "correct config.env"},
        {.answer = {.disk = "serial=TARGET1"}, .source = "volume WEBOPS", .action = INSTALL_SHOW, .text = "INSTALL_CONFIRM"},
        {.answer = {.disk = "serial=TARGET1"}, .is_again = true, .action = INSTALL_SHOW, .text = "INSTALL_CONFIRM"}, // not even by hand
    };
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        const struct question *question = &questions[i];
        cleanup_install_plan struct install_plan plan = {0};
        items[0].holds = question->holds;
        items[1].holds = question->other;
        const struct install_facts facts = {.disks = &disks,
                                            .source = question->source ?: "state",
                                            .path = question->path,
                                            .has_image = !question->has_no_image,
                                            .is_again = question->is_again};
        install_plan_make(&question->answer, &facts, &plan);
        if (plan.action != question->action)
            fail_msg("question %zu: %s", i, plan.text ? plan.text : "(would be written)");
        if (question->text)
            assert_contains(plan.text, question->text);
        if (plan.action == INSTALL_WRITE) {
            assert_null(plan.text);
            assert_int_equal(plan.disk, 0); // always /dev/vda
        }
    }
}

// A rule that names a disk which is there is decided at once.
static void test_waits(void **state) {
    (void)state;
    static const struct {
        const char *disk, *path;
        bool waits;
    } rows[] = {
        {NULL, NULL, false},
        {"serial=TARGET1", NULL, false},
        {"serial=X", NULL, true},
        {"path=/dev/vda", NULL, true},
        {"path=/dev/disk/by-id/x", NULL, true},
        {"path=/dev/vda", vda, true},
        {"path=/dev/disk/by-id/x", vda, false},
        {"size<=8G largest", NULL, true},
        {"by=x", NULL, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct install_answer answer = {.disk = rows[i].disk};
        const struct install_facts facts = {.disks = &disks, .source = "state", .path = rows[i].path};
        if (install_plan_waits(&answer, &facts) != rows[i].waits)
            fail_msg("'%s' with %s", rows[i].disk ?: "no rule", rows[i].path ?: "no path");
    }
}

static void test_answer(void **state) {
    (void)state;
    static const char text[] = "INSTALL_DISK='serial=A smallest'\nINSTALL_CONFIRM=erase\nINSTALL_EXISTING=replace\nINSTALL_THEN=poweroff\n";
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    struct install_answer answer;
    assert_int_equal(schema_parse(&schema_base, text, strlen(text), &config, &problems), 0);
    install_answer_load(&schema_base, &config, &answer);
    assert_string_equal(answer.disk, "serial=A smallest");
    assert_string_equal(answer.confirm, "erase");
    assert_true(answer.replaces && answer.then == INSTALL_POWEROFF && !answer.url && !answer.sha256);
    const struct config empty = {0};
    install_answer_load(&schema_base, &empty, &answer);
    assert_true(!answer.disk && !answer.confirm && !answer.replaces && answer.then == INSTALL_REBOOT);
}

static void test_progress(void **state) {
    (void)state;
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"{\"event\":\"start\",\"stage\":\"writing\",\"number\":1,\"stages\":3}\n", "writing"},
        {"{\"event\":\"progress\",\"stage\":\"writing\",\"done_bytes\":45,\"total_bytes\":100}\n", "writing 45 %"},
        {"{\"event\":\"progress\",\"stage\":\"writing\",\"done_bytes\":45,\"total_bytes\":0}\n", "writing 0 %"},
        {"{\"event\":\"end\",\"stage\":\"writing\",\"outcome\":\"done\",\"seconds\":1.5}\n", NULL},
        {"{\"event\":\"flashed\",\"disk\":\"/dev/vda\"}\n", NULL},
        {"{\"event\":\"start\"}\n", NULL},
        {"no JSON\n", NULL},
        {"\n", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[INSTALL_LINE_BYTES] = "";
        assert_int_equal(install_progress(cases[i].line, text), cases[i].text != NULL);
        assert_string_equal(text, cases[i].text ? cases[i].text : "");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plans), cmocka_unit_test(test_waits), cmocka_unit_test(test_answer),
                                       cmocka_unit_test(test_progress)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
