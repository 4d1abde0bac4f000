// SPDX-License-Identifier: Apache-2.0
// The bill of materials: list and SPDX document from layers' package lists, and lists that are not what they should be.
#include "builder/bill.h"
#include "builder/test/support.h"
#include <jansson.h>

#define BASE_INFO                                                                                                                          \
    "{\"sha256\": \"00\", \"bytes\": 1, \"files\": 2, \"packages\": ["                                                                     \
    "{\"name\": \"zlib1g\", \"version\": \"1:1.2.13.dfsg-1+b1\", \"architecture\": \"amd64\", \"source\": \"zlib\", \"installed_kib\": "   \
    "166},"                                                                                                                                \
    "{\"name\": \"libstdc++6\", \"version\": \"12.2.0-14~deb12u1\", \"architecture\": \"amd64\", \"source\": \"gcc-12\", "                 \
    "\"installed_kib\": 2}]}"
#define TOP_INFO "{\"packages\": [{\"name\": \"chrony\", \"version\": \"4.3-2\", \"architecture\": \"amd64\"}]}"

struct fixture {
    struct scratch *scratch;
    char *paths[2];
    struct bill_layer layers[2];
    struct bill bill;
};

static int fixture_setup(void **state) {
    struct fixture *f = mem_array(1, sizeof(*f));
    scratch_setup((void **)&f->scratch);
    f->paths[0] = scratch_file(f->scratch, "base.json");
    f->paths[1] = scratch_file(f->scratch, "top.json");
    put_file(f->paths[0], BASE_INFO, strlen(BASE_INFO));
    put_file(f->paths[1], TOP_INFO, strlen(TOP_INFO));
    f->layers[0] = (struct bill_layer){"base", "12", f->paths[0]};
    f->layers[1] = (struct bill_layer){"time", "1.0", f->paths[1]};
    f->bill = (struct bill){.identity = {"quickstart", "1.0"},
                            .distribution = "debian",
                            .source_date_epoch = 1700000000,
                            .layers = f->layers,
                            .layer_count = 2};
    *state = f;
    return 0;
}

static int fixture_teardown(void **state) {
    struct fixture *f = *state;
    bill_done(&f->bill);
    free(f->paths[0]);
    free(f->paths[1]);
    int r = scratch_teardown((void **)&f->scratch);
    free(f);
    return r;
}

static void list_is_sorted_by_layer_and_name(void **state) {
    struct fixture *f = *state;
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    assert_ok(bill_load(&f->bill, &err));
    bill_format_list(&f->bill, &text);
    assert_string_equal(buf_str(&text), "base\tlibstdc++6\t12.2.0-14~deb12u1\tamd64\n"
                                        "base\tzlib1g\t1:1.2.13.dfsg-1+b1\tamd64\n"
                                        "time\tchrony\t4.3-2\tamd64\n");
}

static json_t *find_by(json_t *list, const char *key, const char *value) {
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item) {
        if (strcmp(json_string_value(json_object_get(item, key)), value) == 0)
            return item;
    }
    fail_msg("nothing with %s = %s", key, value);
    return NULL;
}

static void spdx_document(void **state) {
    struct fixture *f = *state;
    cleanup_buf struct buf text = {0}, again = {0};
    struct err err = {0};
    assert_ok(bill_load(&f->bill, &err));
    assert_ok(bill_format_spdx(&f->bill, &text, &err));
    assert_ok(bill_format_spdx(&f->bill, &again, &err));
    assert_string_equal(buf_str(&text), buf_str(&again));
    json_t *document = json_loads(buf_str(&text), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(document);
    const char *version, *license, *id, *space, *created;
    json_t *packages, *relationships;
    assert_int_equal(json_unpack(document, "{s:s, s:s, s:s, s:s, s:{s:s}, s:o, s:o}", "spdxVersion", &version, "dataLicense", &license,
                                 "SPDXID", &id, "documentNamespace", &space, "creationInfo", "created", &created, "packages", &packages,
                                 "relationships", &relationships),
                     0);
    assert_string_equal(version, "SPDX-2.3");
    assert_string_equal(license, "CC0-1.0");
    assert_string_equal(id, "SPDXRef-DOCUMENT");
    assert_string_equal(created, "2023-11-14T22:13:20Z");
    assert_int_equal(strncmp(space, "urn:uuid:", 9), 0);
    assert_int_equal(json_array_size(packages), 1 + 2 + 3);
    assert_int_equal(json_array_size(relationships), 1 + 2 + 3);
    json_t *cpp = find_by(packages, "name", "libstdc++6");
    json_t *reference = json_array_get(json_object_get(cpp, "externalRefs"), 0);
    assert_string_equal(json_string_value(json_object_get(reference, "referenceLocator")),
                        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14~deb12u1?arch=amd64");
    assert_string_equal(json_string_value(json_object_get(cpp, "sourceInfo")), "built from source package gcc-12");
    json_t *contains = find_by(relationships, "relatedSpdxElement", json_string_value(json_object_get(cpp, "SPDXID")));
    json_t *layer = find_by(packages, "SPDXID", json_string_value(json_object_get(contains, "spdxElementId")));
    assert_string_equal(json_string_value(json_object_get(layer, "name")), "base");
    json_decref(document);
}

static void rpm_packages_have_urls_of_their_own(void **state) {
    struct fixture *f = *state;
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    assert_ok(bill_load(&f->bill, &err));
    f->bill.is_rpm = true;
    f->bill.distribution = "rocky";
    free(f->bill.packages[0].version);
    f->bill.packages[0].version = str_dup("2:5.1-3.el9");
    assert_ok(bill_format_spdx(&f->bill, &text, &err));
    assert_contains(buf_str(&text), "\"pkg:rpm/rocky/libstdc%2B%2B6@5.1-3.el9?arch=amd64&epoch=2\"");
}

// Every identifier is unique and every relationship names two that exist.
static void spdx_references_resolve(void **state) {
    struct fixture *f = *state;
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    assert_ok(bill_load(&f->bill, &err));
    assert_ok(bill_format_spdx(&f->bill, &text, &err));
    json_t *document = json_loads(buf_str(&text), 0, NULL), *item;
    json_t *packages = json_object_get(document, "packages"), *seen = json_object();
    size_t index;
    json_object_set_new(seen, "SPDXRef-DOCUMENT", json_true());
    json_array_foreach(packages, index, item) {
        const char *id = json_string_value(json_object_get(item, "SPDXID"));
        assert_null(json_object_get(seen, id));
        json_object_set_new(seen, id, json_true());
    }
    json_array_foreach(json_object_get(document, "relationships"), index, item) {
        assert_non_null(json_object_get(seen, json_string_value(json_object_get(item, "spdxElementId"))));
        assert_non_null(json_object_get(seen, json_string_value(json_object_get(item, "relatedSpdxElement"))));
    }
    json_decref(seen);
    json_decref(document);
}

static void bad_lists(void **state) {
    static const char *const texts[] = {
        "",
        "[]",
        "{\"packages\": {}}",
        "{\"packages\": [{\"name\": \"a\", \"version\": \"1\"}]}",
        "{\"packages\": [{\"name\": 1, \"version\": \"1\", \"architecture\": \"all\"}]}",
        "{\"packages\": [], \"packages\": []}",
        "{\"packages\": [\"a\"]}",
        "{\"packages\": [",
    };
    struct fixture *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
        struct err err = {0};
        put_file(f->paths[1], texts[i], strlen(texts[i]));
        if (bill_load(&f->bill, &err) != -EINVAL)
            fail_msg("accepted: %s", texts[i]);
        assert_contains(err.text, f->paths[1]);
        assert_int_equal(f->bill.count, 0);
        assert_null(f->bill.packages);
    }
    struct err err = {0};
    unlink(f->paths[1]);
    assert_int_equal(bill_load(&f->bill, &err), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(list_is_sorted_by_layer_and_name, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(spdx_document, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(rpm_packages_have_urls_of_their_own, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(spdx_references_resolve, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(bad_lists, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
