// SPDX-License-Identifier: Apache-2.0
// Which inputs change the key of which node: every recipe field, file and program against the graph of one small profile; and what a plan refuses.
#include "builder/keygen.h"
#include "builder/test/project.h"

enum { BASE = 1, ONE = 2, TWO = 4, CONFIG = 8, INITRAMFS = 16, SLOT = 32, UKI = 64 };
#define NODES 7
static const char *const labels[NODES] = {"base tiny", "layer one",  "layer two",           "layer generation",
                                          "initramfs", "slot image", "unified kernel image"};
static char before[NODES][INPUTS_KEY_CHARS + 1];

static void take_keys(char keys[NODES][INPUTS_KEY_CHARS + 1]) {
    cleanup_build struct build build = {0};
    struct err err = {0};
    assert_ok(project_plan(false, &build, &err));
    assert_int_equal(build.graph.count, NODES);
    for (unsigned i = 0; i < NODES; i++) {
        assert_string_equal(build.graph.nodes[i].label, labels[i]);
        memcpy(keys[i], build.graph.nodes[i].key, sizeof(keys[i]));
        assert_int_equal(strlen(keys[i]), INPUTS_KEY_CHARS);
    }
}

static int begin(void **state) {
    project_begin(state);
    take_keys(before);
    return 0;
}

static void expect_changed(const char *what, unsigned changed) {
    char now[NODES][INPUTS_KEY_CHARS + 1];
    take_keys(now);
    for (unsigned i = 0; i < NODES; i++)
        if ((strcmp(now[i], before[i]) != 0) != !!(changed & 1u << i))
            fail_msg("%s: the key of '%s' %s", what, labels[i], changed & 1u << i ? "did not change" : "changed");
}

// `text` with the first `from` replaced; "" stands for the end of the text.
static char *replaced(const char *text, const char *from, const char *to) {
    const char *at = *from ? strstr(text, from) : text + strlen(text);
    assert_non_null(at);
    return str_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

#define ABOVE_ONE (ONE | TWO | CONFIG | SLOT | UKI)
#define ABOVE_TWO (TWO | CONFIG | SLOT | UKI)
#define DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define EVERYTHING (BASE | ABOVE_ONE | INITRAMFS)

static void test_edits(void **state) {
    (void)state;
    static const struct {
        const char *file, *from, *to;
        unsigned changed;
    } cases[] = {
        {"profiles/small.yaml", "cmdline: [quiet]", "cmdline: [quiet, panic=5]", UKI},
        {"profiles/small.yaml", "zstd_level: 3", "zstd_level: 4", EVERYTHING},
        {"profiles/small.yaml", "modules:", "block_size: 256K\nmodules:", EVERYTHING},
        {"profiles/small.yaml", "slot_size: 4M", "slot_size: 5M", SLOT | UKI},
        {"profiles/small.yaml", "sequence: 4", "sequence: 5", SLOT | UKI},
        {"profiles/small.yaml", "version: \"1.0\"", "version: \"1.1\"", SLOT | UKI},
        {"profiles/small.yaml", "esp_size: 64M", "esp_size: 65M", 0},
        {"profiles/small.yaml", "state_size: 32M", "state_size: 33M", 0},
        {"profiles/small.yaml", "outputs: [zst]", "outputs: [qcow2]", 0},
        {"profiles/small.yaml", "image: tiny", "image: tiny\nkernel: kernel-small", EVERYTHING},
        {"profiles/small.yaml", "image: tiny", "image: tiny\nkernel: kernel", 0}, // names what it would be anyway
        {"profiles/small.yaml", "modules: virtio", "modules: server", INITRAMFS | UKI},
        {"profiles/small.yaml", "config:", "compatible: other\nconfig:", CONFIG | SLOT | UKI},
        {"profiles/small.yaml", "config:", "channel: beta\nconfig:", CONFIG | SLOT | UKI},
        {"keys/root.pem", "", "\n", CONFIG | SLOT | UKI},
        {"profiles/small.env", "small", "other", CONFIG | SLOT | UKI},
        {"images/modules/virtio.list", "", "virtio_net\n", INITRAMFS | UKI},
        {"images/modules/server.list", "", "nvme\n", 0},
        {"images/tiny.yaml", "name: Tiny 1", "name: Tiny 2", UKI},
        {"images/tiny.yaml", "doc/*", "man/*", EVERYTHING},
        {"images/tiny.yaml", "packages: [core]", "packages: [core, web]", EVERYTHING},
        {"images/tiny.yaml", "packages: [core]", "compression: gzip\npackages: [core]", EVERYTHING},
        {"images/tiny.yaml", "packages: [core]", "compression: zstd\npackages: [core]", 0}, // as it would be anyway
        {"images/tiny.yaml", "packages: [core]", "# a comment\npackages: [core]", 0},
        {"overlays/one/files/etc/motd", "hello", "Hello", ABOVE_ONE},
        {"overlays/one/layer.yaml", "", "packages: {apt: [web]}\n", ABOVE_ONE},
        {"overlays/one/stack.yaml", "default: a", "default: b", ABOVE_ONE},
        {"overlays/one/stack.yaml", "keys:", "# a comment\nkeys:", 0},
        {"overlays/one/templates/one.env", "NAME=", "NAME =", ABOVE_ONE},
        {"overlays/one/layer.yaml", "summary: first", "summary: 1st", 0},
        {"overlays/two/files/opt/x", "x", "y", ABOVE_TWO},
        {"overlays/two/layer.yaml", "version: \"1\"", "version: \"2\"", SLOT | UKI},
        {"overlays/two/layer.yaml", "a.service", "b.service", ABOVE_TWO},
        {"overlays/two/layer.yaml", "mask:", "remove:\n  - /etc/motd\nmask:", ABOVE_TWO},
        {"overlays/two/layer.yaml", "mask:", "enable:\n  - {unit: s.service, wants: t.target}\nmask:", ABOVE_TWO},
        {"overlays/two/layer.yaml", "0600", "0640", ABOVE_TWO},
        {"overlays/two/layer.yaml", "0600\"", "0600\", owner: \"web:web\"", ABOVE_TWO},
        {"overlays/two/layer.yaml", "", "programs: [webops]\n", ABOVE_TWO},
        {"overlays/two/layer.yaml", "", "fetch:\n  - {url: \"http://a.test/x\", sha256: " DIGEST ", path: /opt/f}\n", ABOVE_TWO},
        {"programs/init", "", "2", INITRAMFS | UKI},
        {"programs/webops", "", "2", ABOVE_ONE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *old = project_get(cases[i].file), *new = replaced(old, cases[i].from, cases[i].to);
        cleanup_free char *what = str_printf("%s: %s", cases[i].file, cases[i].to);
        project_put(cases[i].file, new);
        expect_changed(what, cases[i].changed);
        project_put(cases[i].file, old);
    }
    expect_changed("nothing", 0);
}

// Names, types and modes of a tree count like its content.
static void test_tree_edits(void **state) {
    (void)state;
    cleanup_free char *file = project_path("overlays/two/files/opt/x"), *other = project_path("overlays/two/files/opt/z");
    cleanup_free char *empty = project_path("overlays/two/files/srv");
    assert_int_equal(chmod(file, 0755), 0);
    expect_changed("executable bit", ABOVE_TWO);
    assert_int_equal(chmod(file, 0600), 0);
    expect_changed("other mode bits", 0);
    assert_int_equal(symlink("x", other), 0);
    expect_changed("symlink", ABOVE_TWO);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(mkdir(empty, 0755), 0);
    expect_changed("empty directory", ABOVE_TWO);
    assert_int_equal(rmdir(empty), 0);
    expect_changed("as before", 0);
}

static void test_epoch(void **state) {
    (void)state;
    setenv("SOURCE_DATE_EPOCH", "1767225600", 1);
    expect_changed("the default epoch", 0);
    setenv("SOURCE_DATE_EPOCH", "1767225601", 1);
    expect_changed("epoch", EVERYTHING);
    setenv("SOURCE_DATE_EPOCH", "", 1);
    expect_changed("no epoch", 0);
    static const char *const bad[] = {"-1", "0", "315532799", "4294967296", "99999999999999999999", "12x", "now", "0x7fffffff"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_build struct build build = {0};
        struct err err = {0};
        setenv("SOURCE_DATE_EPOCH", bad[i], 1);
        assert_int_equal(project_plan(false, &build, &err), -EINVAL);
        assert_contains(err.text, "SOURCE_DATE_EPOCH must be");
    }
    unsetenv("SOURCE_DATE_EPOCH");
}

// Without the profile's configuration the top layer still says what the generation is, and what is below stays as it is.
static void test_without_config(void **state) {
    (void)state;
    cleanup_free char *old = project_get("profiles/small.yaml"), *new = replaced(old, "config: small.env\n", "");
    project_put("profiles/small.yaml", new);
    cleanup_build struct build build = {0};
    struct err err = {0};
    assert_ok(project_plan(false, &build, &err));
    assert_int_equal(build.graph.count, NODES);
    assert_string_equal(build.graph.nodes[2].key, before[2]);
    assert_string_equal(build.graph.nodes[3].label, "layer generation");
    assert_string_not_equal(build.graph.nodes[3].key, before[3]);
    assert_string_equal(build.graph.nodes[4].key, before[4]);
    assert_string_not_equal(build.slot->key, before[5]);
    project_put("profiles/small.yaml", old);
}

// A layer that goes, or changes place, is another image, but a layer below it stays in the cache.
static void test_order_of_layers(void **state) {
    (void)state;
    cleanup_free char *old = project_get("profiles/small.yaml"), *swapped = replaced(old, "[one, two]", "[two, one]");
    cleanup_free char *single = replaced(old, "[one, two]", "[one]");
    struct err err = {0};
    project_put("profiles/small.yaml", single);
    cleanup_build struct build alone = {0};
    assert_ok(project_plan(false, &alone, &err));
    assert_string_equal(alone.layers[1]->key, before[1]);
    assert_string_not_equal(alone.layers[2]->key, before[3]);
    project_put("profiles/small.yaml", swapped);
    cleanup_build struct build other = {0};
    assert_ok(project_plan(false, &other, &err));
    assert_string_equal(other.layers[0]->key, before[0]);
    assert_string_not_equal(other.layers[1]->key, before[2]);
    assert_string_not_equal(other.layers[2]->key, before[1]);
    project_put("profiles/small.yaml", old);
}

static void test_cmdline(void **state) {
    (void)state;
    char *words[] = {TEXT("console=ttyS0"), TEXT("page_panic=1"), TEXT("panic=5")}; // the second only looks like it
    struct recipe_profile profile = {.cmdline = {words, 0}};
    struct recipe_image image = {0};
    struct build build = {.recipe = {.profile = &profile, .image = &image}};
    static const char *const expected[] = {"panic=10", "console=ttyS0 panic=10", "console=ttyS0 page_panic=1 panic=10",
                                           "console=ttyS0 page_panic=1 panic=5"};
    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
        profile.cmdline.count = i;
        cleanup_free char *have = build_cmdline_words(&build);
        assert_string_equal(have, expected[i]);
    }
}

// What the profile says of a word takes the image's word's place; programs differ in which of two they heed.
static void test_cmdline_of_both(void **state) {
    (void)state;
    char *ours[] = {TEXT("enforcing=1"), TEXT("quiet"), TEXT("console=tty0"), TEXT("console=ttyS0")};
    char *images[] = {TEXT("enforcing=0"), TEXT("enforcing_x=2"), TEXT("quiet"), TEXT("panic=3")};
    struct recipe_profile profile = {.cmdline = {ours, ARRAY_SIZE(ours)}};
    struct recipe_image image = {.cmdline = {images, ARRAY_SIZE(images)}};
    struct build build = {.recipe = {.profile = &profile, .image = &image}};
    cleanup_free char *have = build_cmdline_words(&build);
    assert_string_equal(have, "enforcing_x=2 quiet panic=3 enforcing=1 quiet console=tty0 console=ttyS0");
}

static void test_offline(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *cache = project_path("cache"), *empty = project_path("empty-cache");
    setenv("WEBOPS_CACHE", empty, 1);
    cleanup_build struct build first = {0};
    assert_int_equal(project_plan(true, &first, &err), -EAGAIN);
    assert_contains(err.text, "needs one online build before it");
    setenv("WEBOPS_CACHE", cache, 1);
    cleanup_build struct build second = {0};
    assert_ok(project_plan(true, &second, &err));
    assert_string_equal(second.uki->key, before[6]);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *file, *from, *to, *says;
    } cases[] = {
        {"profiles/small.yaml", "image: tiny", "image: huge", "huge"},
        {"profiles/small.yaml", "[one, two]", "[one, three]", "three"},
        {"profiles/small.yaml", "small.env", "none.env", "small.yaml:13: config: cannot open "},
        {"profiles/small.env", "HOSTNAME=", "HOSTNME=", "small.yaml:13: config: "},
        {"profiles/small.env", "HOSTNAME=", "HOSTNAME=a\nHOSTNAME=", "small.env: 1 problem; docs/CONFIG.md lists every key"},
        {"profiles/small.env", "HOSTNAME=", "SSH_PORT=x\nTWO_ENABLED=true\nHOSTNAME=", "small.env: 2 problems"},
        {"overlays/one/stack.yaml", "default: a", "default: A", "overlays/one/stack.yaml:5: keys[0]: ONE_NAME: default is not valid"},
        {"overlays/one/stack.yaml", "keys:", "kees:", "overlays/one/stack.yaml:4: kees: unknown key; did you mean keys?"},
        {"overlays/one/stack.yaml", "name: one", "name: two", "overlays/one/stack.yaml:1: name: must be that of its directory"},
        {"overlays/one/templates/one.env", "ONE_NAME", "ONE_NAM", "overlays/one/templates/one.env:1: ONE_NAM"},
        {"profiles/small.yaml", "config:", "trust: none.pem\nconfig:", "small.yaml:13: trust: cannot open "},
        {"profiles/small.yaml", "config:", "trust: small.env\nconfig:", "no certificate"},
        {"profiles/small.yaml", "config:", "trust: ../keys/signing.pem\nconfig:", "no certificate authority"},
        {"profiles/small.yaml", "image: tiny", "image: tiny\nkernel: no-such-kernel", "no-such-kernel"},
        {"images/tiny.yaml", "[core]", "[core, no-such-package]", "no-such-package"},
        {"images/tiny.yaml", "mirror/debian", "no-mirror/debian", "no-mirror/debian/dists/test/InRelease"},
        {"images/tiny.yaml", "good.gpg", "none.gpg", "none.gpg"},
        {"images/tiny.yaml", "good.gpg", "bad.gpg", "refreshing the package lists"},
        {"overlays/two/layer.yaml", "", "packages: {apt: [no-such-package]}\n", "no-such-package"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_build struct build build = {0};
        struct err err = {0};
        cleanup_free char *old = project_get(cases[i].file), *new = replaced(old, cases[i].from, cases[i].to);
        project_put(cases[i].file, new);
        assert_true(project_plan(false, &build, &err) < 0);
        assert_contains(err.text, cases[i].says);
        project_put(cases[i].file, old);
    }
    expect_changed("after the failures", 0);
}

// What the top layer says of the generation: profile's words or defaults, the build's time, and whose keys it trusts.
static void test_generation(void **state) {
    (void)state;
    cleanup_free char *old = project_get("profiles/small.yaml"), *profile = project_path("profiles/small.yaml"),
                      *root = project_path("real/root.pem"), *real = project_path("real"), *out = project_path("out");
    const struct keygen_request request = {.name = "Example", .not_before = 1700000000, KEYGEN_DAYS};
    struct err err = {0};
    cleanup_build struct build first = {0};
    assert_ok(project_plan(false, &first, &err));
    assert_string_equal(first.generation.text,
                        "COMPATIBLE=small-amd64\nCHANNEL=stable\nCREATED=1767225600\nCONFIG_SCHEMA=1\nDEVELOPMENT_KEYS=true\n");
    cleanup_free char *words = replaced(old, "config:", "compatible: web.west-1\nchannel: beta\nconfig:");
    project_put("profiles/small.yaml", words);
    assert_ok(keygen_make(real, &request, &err));
    setenv("SOURCE_DATE_EPOCH", "1700000001", 1);
    cleanup_build struct build second = {0};
    assert_ok(build_plan(&(struct build_options){.profile = profile, .out_dir = out, .trust = root}, &second, &err));
    assert_string_equal(second.generation.text,
                        "COMPATIBLE=web.west-1\nCHANNEL=beta\nCREATED=1700000001\nCONFIG_SCHEMA=1\nDEVELOPMENT_KEYS=false\n");
    cleanup_free char *pem = project_get("real/root.pem"), *development = project_get("keys/root.pem");
    assert_string_equal(second.generation.trust, pem);
    assert_string_equal(first.generation.trust, development);
    // The option wins over the profile's own.
    cleanup_free char *named = replaced(old, "config:", "trust: none.pem\nconfig:");
    project_put("profiles/small.yaml", named);
    cleanup_build struct build third = {0};
    assert_ok(build_plan(&(struct build_options){.profile = profile, .out_dir = out, .trust = root}, &third, &err));
    assert_string_equal(third.generation.trust, pem);
    unsetenv("SOURCE_DATE_EPOCH");
    project_put("profiles/small.yaml", old);
}

// Signing changes the kernel image and adds a node, and nothing below.
static void test_secure_boot(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *profile = project_path("profiles/small.yaml"), *out = project_path("out"),
                      *key = project_path("keys/secure-boot/db.key"), *certificate = project_path("keys/secure-boot/db.pem"),
                      *kek_key = project_path("keys/secure-boot/KEK.key"), *kek = project_path("keys/secure-boot/KEK.pem");
    const struct build_options options[] = {
        {.profile = profile, .out_dir = out, .secure_boot_key = key, .secure_boot_cert = certificate},
        {.profile = profile, .out_dir = out, .secure_boot_key = kek_key, .secure_boot_cert = kek},
    };
    char programs[2][INPUTS_KEY_CHARS + 1], uki[2][INPUTS_KEY_CHARS + 1];
    for (unsigned i = 0; i < 2; i++) {
        cleanup_build struct build build = {0};
        assert_ok(build_plan(&options[i], &build, &err));
        assert_int_equal(build.graph.count, NODES + 1);
        for (unsigned j = 0; j < NODES - 1; j++)
            assert_string_equal(build.graph.nodes[j].key, before[j]);
        assert_string_not_equal(build.uki->key, before[NODES - 1]);
        memcpy(uki[i], build.uki->key, sizeof(uki[i]));
        memcpy(programs[i], build.programs->key, sizeof(programs[i]));
    }
    assert_string_not_equal(uki[0], uki[1]);
    assert_string_not_equal(programs[0], programs[1]);
    cleanup_build struct build build = {0};
    assert_int_equal(build_plan(&(struct build_options){.profile = profile, .out_dir = out, .secure_boot_key = key}, &build, &err),
                     -EINVAL);
}

static void test_missing_program(void **state) {
    (void)state;
    static const char *const names[] = {"init", "restart.efi", "webops"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cleanup_build struct build build = {0};
        struct err err = {0};
        cleanup_free char *name = str_printf("programs/%s", names[i]), *path = project_path(name), *text = project_get(name);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(project_plan(false, &build, &err), -ENOENT);
        assert_contains(err.text, path);
        if (i < 2)
            assert_contains(err.text, "is needed for building (run make, or unset WEBOPS_PROGRAMS)");
        project_put(name, text);
    }
}

// Problems of the profile's configuration are printed like those that `config check` finds.
static void test_default_configuration(void **state) {
    (void)state;
    static const struct {
        const char *text, *says; // NULL = good
    } cases[] = {
        {"HOSTNME=x\n", "profiles/small.env:1: HOSTNME: unknown key; did you mean HOSTNAME?"},
        {"# x\nONE_NAM=x\n", "profiles/small.env:2: ONE_NAM: unknown key; did you mean ONE_NAME?"},
        {"ONE_ENABLED=true\nONE_NAME=b\n", NULL}, // a key of the profile's stack
        {"OPERATOR_PASSWORD_FILE=/webops/secrets/none.secret\n", NULL}, // secrets come later
        {"", NULL},
    };
    cleanup_free char *old = project_get("profiles/small.env");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_build struct build build = {0};
        cleanup_free char *out = NULL, *said = NULL;
        struct redirect redirect;
        struct err err = {0};
        project_put("profiles/small.env", cases[i].text);
        redirect_begin(&redirect);
        int r = project_plan(false, &build, &err);
        redirect_end(&redirect, &out, &said);
        if (r != (cases[i].says ? -EINVAL : 0))
            fail_msg("%s: %d %s", cases[i].text, r, err.text);
        assert_contains(said, cases[i].says ?: "");
    }
    project_put("profiles/small.env", old);
}

// What an option names is not the profile's fault.
static void test_options_at_fault(void **state) {
    (void)state;
    cleanup_free char *profile = project_path("profiles/small.yaml"), *out = project_path("out");
    cleanup_free char *expected = str_printf("there is no lock file (make it with `webops-image lock %s`): cannot open ", profile);
    const struct {
        struct build_options options;
        const char *says;
    } cases[] = {
        {{.profile = profile, .out_dir = out, .trust = "nosuch"}, "--trust: cannot open nosuch"},
        {{.profile = profile, .out_dir = out, .is_locked = true}, expected},
        {{.profile = profile, .out_dir = out, .is_locked = true, .lock = "no.lock"}, "`webops-image lock -o no.lock "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_build struct build build = {0};
        struct err err = {0};
        assert_int_equal(build_plan(&cases[i].options, &build, &err), -ENOENT);
        assert_contains(err.text, cases[i].says);
        assert_true(i > 0 || strncmp(err.text, cases[i].says, strlen(cases[i].says)) == 0);
    }
}

// A new release of a package in the archive: its layer and what stands on it are built again, with the package as the reason.
static void test_archive_changes(void **state) {
    (void)state;
    cleanup_buf struct buf index = {0};
    cleanup_free char *pool = project_path("mirror/debian/pool"), *metadata = project_path("cache/metadata");
    struct err err = {0};
    archive_add(pool, "core", "1.1", "Essential: yes\n", &index);
    archive_add(pool, "kernel", "6", "", &index);
    archive_release(archive_template.scratch, &index, "good@test.invalid");
    expect_changed("asked a moment ago", 0);
    run_tool(RUN_ARGV("find", metadata, "-name", "*.asked", "-delete"));
    expect_changed("new release", EVERYTHING);
    assert_ok(file_remove_tree(AT_FDCWD, pool, &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_tree_edits),
        cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_cmdline),
        cmocka_unit_test(test_cmdline_of_both),
        cmocka_unit_test(test_without_config),
        cmocka_unit_test(test_order_of_layers),
        cmocka_unit_test(test_offline),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_generation),
        cmocka_unit_test(test_secure_boot),
        cmocka_unit_test(test_missing_program),
        cmocka_unit_test(test_archive_changes),
        cmocka_unit_test(test_default_configuration),
        cmocka_unit_test(test_options_at_fault),
    };
    return cmocka_run_group_tests_name("build", tests, begin, archive_end);
}
