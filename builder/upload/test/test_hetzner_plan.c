// SPDX-License-Identifier: Apache-2.0
// What is chosen from lists as the API gives them, and why something is refused.
#include "builder/test/support.h"
#include "builder/upload/hetzner_plan.h"

#define GB 1000000000ull

static const char locations_text[] = "[{\"name\": \"fsn1\"}, {\"name\": \"nbg1\"}, {\"name\": \"ash\"}]";
static const char types_text[] = "[{\"name\": \"old\", \"architecture\": \"x86\", \"disk\": 20, \"deprecation\": {\"announced\": \"x\"}, "
                                 "\"prices\": [{\"location\": \"fsn1\","
                                 "  \"price_hourly\": {\"net\": \"0.001\"}}]},"
                                 " {\"name\": \"arm\", \"architecture\": \"arm\", \"disk\": 40, \"prices\": [{\"location\": \"fsn1\", "
                                 "\"price_hourly\": {\"net\": \"0.002\"}}]},"
                                 " {\"name\": \"mid\", \"architecture\": \"x86\", \"disk\": 40, \"deprecation\": null, \"prices\": "
                                 "[{\"location\": \"fsn1\", \"price_hourly\": {\"net\": \"0.0060\"}},"
                                 "  {\"location\": \"nbg1\", \"price_hourly\": {\"net\": \"0.0058\"}}]},"
                                 " {\"name\": \"big\", \"architecture\": \"x86\", \"disk\": 80, \"deprecated\": false, \"prices\": "
                                 "[{\"location\": \"fsn1\", \"price_hourly\": {\"net\": \"0.0090\"}}]},"
                                 " {\"name\": \"tiny\", \"architecture\": \"x86\", \"disk\": 2, \"prices\": [{\"location\": \"ash\", "
                                 "\"price_hourly\": {\"net\": \"0.0040\"}}]}]";

static json_t *parse(const char *text) {
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    return value;
}

// "mid@nbg1 mid@fsn1 "
static char *format(const struct hetzner_offers *offers) {
    struct buf text = {0};
    for (size_t i = 0; i < offers->count; i++)
        buf_printf(&text, "%s@%s ", offers->items[i].type, offers->items[i].location);
    return buf_take(&text);
}

static void choices(void **state) {
    (void)state;
    static const struct {
        struct hetzner_wish wish;
        const char *offers; // NULL = refused
        const char *says;
    } rows[] = {
        {{NULL, NULL, HETZNER_X86, 1 * GB}, "tiny@ash mid@nbg1 mid@fsn1 big@fsn1 ", ""},
        {{NULL, NULL, HETZNER_X86, 2 * GB}, "tiny@ash mid@nbg1 mid@fsn1 big@fsn1 ", ""},
        {{NULL, NULL, HETZNER_X86, 2 * GB + 1}, "mid@nbg1 mid@fsn1 big@fsn1 ", ""},
        {{NULL, "fsn1", HETZNER_X86, 3 * GB}, "mid@fsn1 big@fsn1 ", ""},
        {{NULL, NULL, HETZNER_ARM, 3 * GB}, "arm@fsn1 ", ""},
        {{"mid", NULL, HETZNER_X86, 3 * GB}, "mid@nbg1 mid@fsn1 ", ""},
        {{"mid", "fsn1", HETZNER_X86, 3 * GB}, "mid@fsn1 ", ""},
        {{"old", NULL, HETZNER_X86, 3 * GB}, "old@fsn1 ", ""}, // by name also what is being withdrawn
        {{NULL, "mars", HETZNER_X86, 3 * GB}, NULL, "there is no location mars; there are fsn1, nbg1, ash"},
        {{"none", NULL, HETZNER_X86, 3 * GB}, NULL, "there is no server type none; there are old, mid, big, tiny"},
        {{"arm", NULL, HETZNER_X86, 3 * GB},
         NULL,
         "server type arm is of architecture arm, and the image is for x86; such types are old, mid"},
        {{"mid", NULL, HETZNER_ARM, 3 * GB}, NULL, "server type mid is of architecture x86, and the image is for arm; such types are arm"},
        {{"tiny", NULL, HETZNER_X86, 3 * GB}, NULL, "the disk of server type tiny has 2 GB, and the image 3.0"},
        {{"big", "nbg1", HETZNER_X86, 3 * GB}, NULL, "server type big is not offered in nbg1"},
        {{NULL, "ash", HETZNER_X86, 3 * GB}, NULL, "no server type of architecture x86 in ash has a disk of 3.0 GB"},
        {{NULL, NULL, HETZNER_X86, 81 * GB}, NULL, "no server type of architecture x86 has a disk of 81.0 GB"},
    };
    json_t *types = parse(types_text), *locations = parse(locations_text);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct hetzner_offers offers = {.count = 77};
        struct err err = {0};
        int r = hetzner_choose(types, locations, &rows[i].wish, &offers, &err);
        if (r != (rows[i].offers ? 0 : -EINVAL))
            fail_msg("row %zu: %d, %s", i, r, err.text);
        assert_contains(err.text, rows[i].says);
        if (!rows[i].offers) {
            assert_int_equal(offers.count, 77); // untouched
            continue;
        }
        cleanup_free char *text = format(&offers);
        assert_string_equal(text, rows[i].offers);
    }
    json_decref(types);
    json_decref(locations);
}

// More offers than there is room for: the cheapest stay, in their order, equal ones as they came.
static void many_offers(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    cleanup_free char *names = NULL;
    struct hetzner_offers offers;
    struct err err = {0};
    buf_add_str(&text, "[");
    for (unsigned i = 0; i < 12; i++)
        buf_printf(
            &text,
            "%s{\"name\": \"t%u\", \"architecture\": \"x86\", \"disk\": 40, \"prices\": [{\"location\": \"l\", \"price_hourly\": {\"net\": "
            "\"%u\"}}]}",
            i ? "," : "", i, i == 11 ? 0 : 20 - i / 2);
    buf_add_str(&text, "]");
    json_t *types = parse(buf_str(&text)), *locations = parse("[]");
    const struct hetzner_wish wish = {NULL, NULL, HETZNER_X86, GB};
    assert_ok(hetzner_choose(types, locations, &wish, &offers, &err));
    names = format(&offers);
    assert_string_equal(names, "t11@l t10@l t8@l t9@l t6@l t7@l t4@l t5@l ");
    json_decref(types);
    json_decref(locations);
}

static void odd_answers(void **state) {
    (void)state;
    static const char *const texts[] = {
        "[]", "[1]", "[{}]", "[{\"name\": 1, \"prices\": {}}]", "{}", "[{\"architecture\": \"x86\", \"disk\": 40}]"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        json_t *types = parse(texts[i]), *locations = parse(texts[i]);
        const struct hetzner_wish wishes[] = {{NULL, NULL, HETZNER_X86, GB}, {"a", NULL, HETZNER_X86, GB}, {NULL, "a", HETZNER_X86, GB}};
        for (size_t k = 0; k < ARRAY_SIZE(wishes); k++) {
            struct hetzner_offers offers;
            struct err err = {0};
            assert_int_equal(hetzner_choose(types, locations, &wishes[k], &offers, &err), -EINVAL);
        }
        json_decref(types);
        json_decref(locations);
    }
}

static void base_images(void **state) {
    (void)state;
#define IMAGE(id, name, flavor, arch, status, deprecated)                                                                                  \
    "{\"id\": " #id ", \"name\": \"" name "\", \"os_flavor\": \"" flavor "\", \"architecture\": \"" arch "\", \"status\": \"" status       \
    "\", \"deprecated\": " deprecated "}"
    static const struct {
        const char *images;
        enum hetzner_arch arch;
        int64_t id; // 0 = none
    } rows[] = {
        {"[" IMAGE(1, "ubuntu-24.04", "ubuntu", "x86", "available", "null") "," IMAGE(2, "debian-12", "debian", "x86", "available",
                                                                                      "null") "]",
         HETZNER_X86, 2},
        {"[" IMAGE(1, "debian-9", "debian", "x86", "available", "null") "," IMAGE(2, "debian-12", "debian", "x86", "available", "null") "]",
         HETZNER_X86, 2},
        {"[" IMAGE(1, "debian-12", "debian", "x86", "available", "null") "," IMAGE(2, "debian-13", "debian", "x86", "available",
                                                                                   "\"2026-01-01\"") "]",
         HETZNER_X86, 1},
        {"[" IMAGE(1, "ubuntu-24.04", "ubuntu", "x86", "available", "null") "," IMAGE(2, "debian-12", "debian", "x86", "creating",
                                                                                      "null") "]",
         HETZNER_X86, 1},
        {"[" IMAGE(1, "debian-12", "debian", "x86", "available", "null") "," IMAGE(2, "debian-12", "debian", "arm", "available",
                                                                                   "null") "]",
         HETZNER_ARM, 2},
        {"[" IMAGE(1, "debian-12", "debian", "x86", "available", "null") "]", HETZNER_ARM, 0},
        {"[]", HETZNER_X86, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        json_t *images = parse(rows[i].images);
        int64_t id = 0;
        struct err err = {0};
        assert_int_equal(hetzner_choose_base(images, rows[i].arch, &id, &err), rows[i].id ? 0 : -ENOENT);
        assert_int_equal(id, rows[i].id);
        json_decref(images);
    }
}

static void labels(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"web", "web"},
        {"2026.11.1", "2026.11.1"},
        {"1.0~rc1", "1.0-rc1"},
        {"-a-", "a"},
        {"a b/c", "a-b-c"},
        {"", ""},
        {"~~~", ""},
        {"\xc3\xa4x", "x"},
        {"x\xc3\xa4", "x"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789",
         "012345678901234567890123456789012345678901234567890123456789012"},
        {"01234567890123456789012345678901234567890123456789012345678901-3456789",
         "01234567890123456789012345678901234567890123456789012345678901"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *label = hetzner_label(rows[i][0]);
        assert_string_equal(label, rows[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(choices), cmocka_unit_test(many_offers), cmocka_unit_test(odd_answers),
                                       cmocka_unit_test(base_images), cmocka_unit_test(labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
