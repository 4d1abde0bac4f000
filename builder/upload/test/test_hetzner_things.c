// SPDX-License-Identifier: Apache-2.0
// What is found, made and removed in a project: every request in its order, with names and labels as they must be.
#include "builder/upload/hetzner_things.h"
#include "builder/upload/test/api_server.h"

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NAME "webops-upload-0123456789ab"
#define UPLOAD "0123456789abcdef0123456789abcdef"
#define BY_UPLOAD "label_selector=webops.upload%3D%3D" UPLOAD
#define IMAGES "GET /images?" BY_UPLOAD "&type=snapshot&page=1&per_page=50"
#define SERVERS "GET /servers?" BY_UPLOAD "&page=1&per_page=50"
#define KEYS "GET /ssh_keys?" BY_UPLOAD "&page=1&per_page=50"
#define SERVERS_OF_RUN "GET /servers?label_selector=webops.run%3D%3Dr1&page=1&per_page=50"
#define KEYS_OF_RUN "GET /ssh_keys?label_selector=webops.run%3D%3Dr1&page=1&per_page=50"
#define LABELS "{\"webops.upload\":\"" UPLOAD "\",\"webops.profile\":\"web\",\"webops.version\":\"1.0\""
#define OF_RUN LABELS ",\"webops.host\":\"h1\",\"webops.run\":\"r1\"}"
#define NONE(kind) "{\"" kind "\": []}"
#define ONE(kind, rest) "{\"" kind "\": [{\"id\": 5" rest "}]}"
#define OWNED(name, host, run) ", \"name\": \"" name "\", \"labels\": {\"webops.host\": \"" host "\", \"webops.run\": \"" run "\"}"

struct place {
    struct stop stop;
    struct hetzner hetzner;
    struct api_server server;
    struct hetzner_things things;
};

static void begin(struct place *place, const struct exchange_row *script) {
    struct err err = {0};
    assert_ok(stop_open(&place->stop, &err));
    api_server_start(&place->server, script);
    place->hetzner = (struct hetzner){&place->server.api, &place->stop};
    hetzner_things_init(&place->things, &place->hetzner, SHA256, "web", "1.0", "web-1.0");
    assert_int_equal(strlen(place->things.run_id), 16);
    free(place->things.run_id);
    free(place->things.host_id);
    place->things.run_id = str_dup("r1");
    place->things.host_id = str_dup("h1");
}

static void end(struct place *place) {
    hetzner_things_done(&place->things);
    api_server_stop(&place->server);
    stop_done(&place->stop);
}

static void names(void **state) {
    (void)state;
    struct hetzner_things first, second, bare;
    struct hetzner hetzner = {0};
    hetzner_things_init(&first, &hetzner, SHA256, "web", "1.0~rc1", "web-1.0");
    hetzner_things_init(&second, &hetzner, SHA256, "web", "1.0~rc1", "web-1.0");
    hetzner_things_init(&bare, &hetzner, SHA256, NULL, NULL, "disk");
    assert_string_equal(first.name, NAME);
    assert_string_equal(first.image_id, UPLOAD);
    assert_string_equal(first.version, "1.0-rc1");
    assert_string_equal(first.description, "webops web-1.0 sha256:" SHA256);
    if (first.is_nameless)
        assert_string_not_equal(first.host_id, second.host_id);
    else
        assert_string_equal(first.host_id, second.host_id);
    assert_string_not_equal(first.run_id, second.run_id);
    assert_null(bare.profile);
    hetzner_things_done(&first);
    hetzner_things_done(&second);
    hetzner_things_done(&bare);
}

// What does not tell this computer from others gives no id, so that nothing of others passes for ours.
static void hosts(void **state) {
    static const struct {
        const char *machine_id; // NULL: no file
        bool is_one;
    } rows[] = {
        {"0123456789abcdef0123456789abcdef\n", true},
        {"0123456789abcdef0123456789abcdef", true},
        {NULL, false},
        {"", false},
        {"\n", false},
        {"uninitialized\n", false},
        {"00000000000000000000000000000000\n", false},
        {"0123456789abcdef\n", false},
        {"0123456789abcdef0123456789abcdef0\n", false},
    };
    struct scratch *scratch = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *path = scratch_file(scratch, "machine-id");
        if (rows[i].machine_id)
            put_file(path, rows[i].machine_id, strlen(rows[i].machine_id));
        else
            unlink(path);
        cleanup_free char *first = hetzner_host_id(path), *second = hetzner_host_id(path);
        if (!first != !rows[i].is_one)
            fail_msg("row %zu: %s", i, first ? first : "none");
        if (first)
            assert_string_equal(first, second);
    }
}

static void finding_images(void **state) {
    (void)state;
    static const struct {
        struct exchange_row script[5];
        int64_t image;
    } rows[] = {
        {{{IMAGES, 200, NONE("images")}}, 0},
        {{{IMAGES, 200, ONE("images", ", \"status\": \"available\"")}}, 5},
        {{{IMAGES, 200, ONE("images", ", \"status\": \"creating\"")}, {"GET /images/5", 200, "{\"image\": {\"status\": \"available\"}}"}},
         5},
        {{{IMAGES, 200, ONE("images", ", \"status\": \"unavailable\"")}, {"DELETE /images/5", 204, NULL}}, 0},
        {{{IMAGES, 200, ONE("images", ", \"status\": \"creating\"")},
          {"GET /images/5", 200, "{\"image\": {\"status\": \"unavailable\"}}"},
          {"DELETE /images/5", 204, NULL}},
         0},
        {{{IMAGES, 200, ONE("images", ", \"status\": \"creating\"")}, {"GET /images/5", 404, NULL}, {"DELETE /images/5", 404, NULL}}, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct place place = {0};
        struct err err = {0};
        begin(&place, rows[i].script);
        assert_ok(hetzner_find_image(&place.things, &err));
        assert_int_equal(place.things.image, rows[i].image);
        end(&place);
    }
}

// One that may be whole is not removed, and the upload does not go on beside it.
static void odd_images(void **state) {
    (void)state;
    static const struct {
        struct exchange_row script[3];
        int code;
    } rows[] = {
        {{{IMAGES, 200, ONE("images", ", \"status\": \"migrating\"")}}, -EBADMSG},
        {{{IMAGES, 200, ONE("images", "")}}, -EBADMSG},
        {{{IMAGES, 200, ONE("images", ", \"status\": \"creating\"")}, {"GET /images/5", 200, "{\"image\": {\"status\": \"odd\"}}"}},
         -EBADMSG},
        {{{IMAGES, 200, ONE("images", ", \"status\": \"creating\"")}, {"GET /images/5", 200, "{}"}}, -EBADMSG},
        {{{IMAGES, 200, ONE("images", ", \"status\": \"creating\"")}, {"GET /images/5", 418, NULL}}, -EREMOTEIO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct place place = {0};
        struct err err = {0};
        begin(&place, rows[i].script);
        int r = hetzner_find_image(&place.things, &err);
        if (r != rows[i].code || place.things.image)
            fail_msg("row %zu: %d, %s", i, r, err.text);
        end(&place);
    }
}

// Ours by name, label and computer is removed; what lacks one of them is not touched.
static void sweeping(void **state) {
    (void)state;
    static const struct {
        struct exchange_row script[6];
        bool everywhere;
        int code;
    } rows[] = {
        {{{SERVERS, 200, NONE("servers")}, {KEYS, 200, NONE("ssh_keys")}}, false, 0},
        {{{SERVERS, 200, ONE("servers", OWNED(NAME, "h1", "r0"))},
          {"DELETE /servers/5", 200, "{}"},
          {KEYS, 200, ONE("ssh_keys", OWNED(NAME, "h1", "r0"))},
          {"DELETE /ssh_keys/5", 204, NULL}},
         false,
         0},
        {{{SERVERS, 200, ONE("servers", OWNED("mine", "h1", "r0"))}, {KEYS, 200, NONE("ssh_keys")}}, false, 0},
        {{{SERVERS, 200, ONE("servers", OWNED(NAME, "h2", "r0"))}}, false, -EBUSY},
        {{{SERVERS, 200, ONE("servers", OWNED(NAME, "h2", "r0"))}, {"DELETE /servers/5", 200, "{}"}, {KEYS, 200, NONE("ssh_keys")}},
         true,
         0},
        {{{SERVERS, 200, NONE("servers")}, {KEYS, 200, ONE("ssh_keys", OWNED(NAME, "", "r0"))}}, false, -EBUSY},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct place place = {0};
        struct err err = {0};
        begin(&place, rows[i].script);
        if (hetzner_sweep(&place.things, rows[i].everywhere, &err) != rows[i].code)
            fail_msg("row %zu: %s", i, err.text);
        if (rows[i].code)
            assert_contains(err.text, "from another computer; if that one is no longer running: --replace");
        end(&place);
    }
}

#define MAKE_KEY "POST /ssh_keys {\"name\":\"" NAME "\",\"public_key\":\"ssh-ed25519 AAAA\",\"labels\":" OF_RUN "}"
#define LOOK_KEY "GET /ssh_keys?name=" NAME "&page=1&per_page=50"

static void making_keys(void **state) {
    (void)state;
    static const struct {
        struct exchange_row script[4];
        int code;
    } rows[] = {
        {{{MAKE_KEY, 201, "{\"ssh_key\": {\"id\": 5}}"}}, 0},
        {{{MAKE_KEY, 0, NULL}, {LOOK_KEY, 200, ONE("ssh_keys", OWNED(NAME, "h1", "r1"))}}, 0},
        {{{MAKE_KEY, 409, "{\"error\": {\"code\": \"uniqueness_error\"}}"}, {LOOK_KEY, 200, ONE("ssh_keys", OWNED(NAME, "h1", "r0"))}},
         -EEXIST},
        {{{MAKE_KEY, 201, "{}"}}, -EBADMSG},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct place place = {0};
        struct err err = {0};
        begin(&place, rows[i].script);
        if (hetzner_make_key(&place.things, "ssh-ed25519 AAAA", &err) != rows[i].code)
            fail_msg("row %zu: %s", i, err.text);
        if (rows[i].code == 0)
            assert_int_equal(place.things.key, 5);
        if (rows[i].code == -EEXIST)
            assert_contains(err.text, "has ssh_key " NAME " already, and it is not of this upload");
        end(&place);
    }
}

// From the key to the snapshot, answers in the vendor's form.
static void whole_way(void **state) {
    (void)state;
#define SUCCESS "\"action\": {\"id\": 9, \"status\": \"success\"}"
#define SERVER(status, rest)                                                                                                               \
    "{\"server\": {\"id\": 6, \"status\": \"" status "\", \"public_net\": {\"ipv4\": {\"ip\": \"192.0.2.7\"}}" rest "}}"
    static const struct exchange_row script[] = {
        {"POST /servers {\"name\":\"" NAME
         "\",\"server_type\":\"cx\",\"location\":\"fsn1\",\"image\":77,\"ssh_keys\":[5],\"start_after_create\":false,\"labels\":" OF_RUN
         ",\"public_net\":{\"enable_ipv4\":true,\"enable_ipv6\":false}}",
         201, SERVER("initializing", "")},
        {"GET /servers/6", 200, SERVER("off", "")},
        {"POST /servers/6/actions/enable_rescue {\"type\":\"linux64\",\"ssh_keys\":[5]}", 0, NULL},
        {"GET /servers/6", 200, SERVER("off", ", \"rescue_enabled\": true")}, // it was done: not once more
        {"POST /servers/6/actions/poweron {}", 201, "{" SUCCESS "}"},
        {"POST /servers/6/actions/poweroff {}", 201, "{" SUCCESS "}"},
        {"GET /servers/6", 200, SERVER("off", "")},
        {"POST /servers/6/actions/create_image {\"type\":\"snapshot\",\"description\":\"webops web-1.0 sha256:" SHA256
         "\",\"labels\":" LABELS "}}",
         201, "{\"image\": {\"id\": 8}, " SUCCESS "}"},
        {"GET /images/8", 200, "{\"image\": {\"status\": \"available\"}}"},
        {SERVERS_OF_RUN, 200, "{\"servers\": [{\"id\": 6}]}"},
        {"DELETE /servers/6", 200, "{" SUCCESS "}"},
        {SERVERS_OF_RUN, 200, "{\"servers\": [{\"id\": 6, \"status\": \"deleting\"}]}"},
        {KEYS_OF_RUN, 200, "{\"ssh_keys\": [{\"id\": 5}]}"},
        {"DELETE /ssh_keys/5", 204, NULL},
        {KEYS_OF_RUN, 200, NONE("ssh_keys")},
        {NULL, 0, NULL},
    };
    struct place place = {0};
    struct err err = {0};
    cleanup_buf struct buf problems = {0};
    begin(&place, script);
    place.things.key = 5;
    assert_ok(hetzner_make_server(&place.things, "cx", "fsn1", 77, &err));
    assert_string_equal(place.things.address, "192.0.2.7");
    assert_ok(hetzner_start_rescue(&place.things, &err));
    assert_ok(hetzner_power_off(&place.things, &err));
    assert_ok(hetzner_make_image(&place.things, &err));
    assert_int_equal(place.things.image, 8);
    hetzner_remove(&place.things, &problems);
    assert_int_equal(problems.size, 0);
    end(&place);
}

// An address goes into ssh's arguments: it must be one.
static void odd_addresses(void **state) {
    (void)state;
    static const char *const addresses[] = {"-oProxyCommand=x", "", "1.2.3.4;x", "example.org"};
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        struct place place = {0};
        struct err err = {0};
        cleanup_free char *body = str_printf("{\"server\": {\"id\": 6, \"public_net\": {\"ipv4\": {\"ip\": \"%s\"}}}}", addresses[i]);
        const struct exchange_row script[] = {
            {"POST /servers {\"name\":\"" NAME
             "\",\"server_type\":\"cx\",\"location\":\"fsn1\",\"image\":77,\"ssh_keys\":[0],\"start_after_create\":false,\"labels\":" OF_RUN
             ",\"public_net\":{\"enable_ipv4\":true,\"enable_ipv6\":false}}",
             201, body},
            {NULL, 0, NULL}};
        begin(&place, script);
        assert_int_equal(hetzner_make_server(&place.things, "cx", "fsn1", 77, &err), -EBADMSG);
        assert_int_equal(place.things.server, 6); // and it is removed, all the same
        end(&place);
    }
}

// That of a server, with what is said of what stays.
static void check_removal(const struct exchange_row *script, const char *const *says) {
    struct place place = {0};
    cleanup_buf struct buf problems = {0};
    begin(&place, script);
    place.things.server = 6;
    hetzner_remove(&place.things, &problems);
    for (; *says; says++)
        assert_contains(buf_str(&problems), *says);
    end(&place);
}

// What cannot be removed is named, and the rest is tried nevertheless. A snapshot that is not whole goes, too.
static void removing(void **state) {
    (void)state;
    static const struct exchange_row script[] = {
        {IMAGES, 200, "{\"images\": [{\"id\": 8, \"status\": \"creating\"}, {\"id\": 9, \"status\": \"available\"}]}"},
        {"DELETE /images/8", 204, NULL},
        {SERVERS_OF_RUN, 200, "{\"servers\": [{\"id\": 6}]}"},
        {"DELETE /servers/6", 403, "{\"error\": {\"code\": \"protected\", \"message\": \"delete protection\"}}"},
        {KEYS_OF_RUN, 401, NULL},
        {NULL, 0, NULL},
    };
    check_removal(script, RUN_ARGV("server " NAME " (DELETE /servers/6: 403 delete protection", "; SSH key " NAME " (GET /ssh_keys: 401"));
}

// What was deleted, and is there all the same, is named, too.
static void not_removed(void **state) {
    (void)state;
    static const struct exchange_row script[] = {
        {SERVERS_OF_RUN, 200, "{\"servers\": [{\"id\": 6}]}"},
        {"DELETE /servers/6", 200, "{}"},
        {SERVERS_OF_RUN, 200, "{\"servers\": [{\"id\": 6, \"status\": \"off\"}]}"},
        {KEYS_OF_RUN, 200, NONE("ssh_keys")},
        {NULL, 0, NULL},
    };
    struct place place = {0};
    cleanup_buf struct buf problems = {0};
    begin(&place, script);
    hetzner_remove(&place.things, &problems);
    assert_string_equal(buf_str(&problems), "server " NAME " (it is still there after it was deleted)");
    end(&place);
}

static void odd_image_is_not_removed(void **state) {
    (void)state;
    static const struct exchange_row script[] = {
        {IMAGES, 200, ONE("images", ", \"status\": \"migrating\"")},
        {SERVERS_OF_RUN, 200, NONE("servers")},
        {KEYS_OF_RUN, 200, NONE("ssh_keys")},
        {NULL, 0, NULL},
    };
    check_removal(script, RUN_ARGV("(/images/5: Hetzner Cloud says that it is \"migrating\", which is not known here)"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names),
                                       cmocka_unit_test_setup_teardown(hosts, scratch_setup, scratch_teardown),
                                       cmocka_unit_test(finding_images),
                                       cmocka_unit_test(sweeping),
                                       cmocka_unit_test(making_keys),
                                       cmocka_unit_test(whole_way),
                                       cmocka_unit_test(odd_addresses),
                                       cmocka_unit_test(removing),
                                       cmocka_unit_test(not_removed),
                                       cmocka_unit_test(odd_images),
                                       cmocka_unit_test(odd_image_is_not_removed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
