// SPDX-License-Identifier: Apache-2.0
// Recipes: what a good one gives, where a bad one is said to be wrong, and that every shipped recipe loads.
#include "builder/recipe.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char profile_text[] = "name: web\nversion: 1.2\nsequence: 7\nimage: debian-12\nlayers: [base, hardening]\nslot_size: 1G\n"
                                   "esp_size: 64M\nstate_size: 32M\nzstd_level: 3\nblock_size: 256K\nmodules: virtio\ncmdline: [quiet, "
                                   "\"console=ttyS0,115200n8\"]\noutputs: [qcow2, zst]\n";

static void test_profile(void **state) {
    (void)state;
    struct recipe_profile *profile = NULL;
    struct err err = {0};
    assert_int_equal(recipe_parse_profile(profile_text, strlen(profile_text), "p.yaml", &profile, &err), 0);
    assert_string_equal(profile->name, "web");
    assert_string_equal(profile->version, "1.2");
    assert_int_equal(profile->sequence, 7);
    assert_int_equal(profile->slot_size, 1ULL << 30);
    assert_int_equal(profile->block_size, 256 << 10);
    assert_int_equal(profile->zstd_level, 3);
    assert_int_equal(profile->layers.count, 2);
    assert_string_equal(profile->layers.items[1], "hardening");
    assert_string_equal(profile->cmdline.items[1], "console=ttyS0,115200n8");
    assert_null(profile->config);
    recipe_profile_free(profile);
}

static void test_profile_defaults(void **state) {
    (void)state;
    static const char text[] = "name: a\nversion: 1\nsequence: 1\nimage: debian-12\n";
    struct recipe_profile *profile = NULL;
    struct err err = {0};
    assert_int_equal(recipe_parse_profile(text, strlen(text), "p.yaml", &profile, &err), 0);
    assert_int_equal(profile->slot_size, 2ULL << 30);
    assert_int_equal(profile->esp_size, 512 << 20);
    assert_int_equal(profile->state_size, 64 << 20);
    assert_int_equal(profile->zstd_level, 15);
    assert_int_equal(profile->block_size, 131072);
    assert_int_equal(profile->layers.count, 0);
    recipe_profile_free(profile);
}

// A line that replaces (or, with a new key, is added to) the good profile, and what the message must say.
static void test_profile_refused(void **state) {
    (void)state;
    static const struct {
        const char *key, *line, *says;
    } table[] = {
        {"name", "name: Web Server", "p.yaml:1: name"},
        {"name", "name: ../x", "is not a name"},
        {"kernel", "kernel: \"linux -o x\"", "kernel: entry 1 must be one word"},
        {"version", "version: \"a b\"", "p.yaml:2: version"},
        {"version", "version: a/b", "'/'"},
        {"sequence", "sequence: -1", "p.yaml:3"},
        {"sequence", "sequence: many", "p.yaml:3"},
        {"slot_size", "slot_size: 1X", "p.yaml:6: slot_size: '1X' is not a size"},
        {"slot_size", "slot_size: 0", "not a size"},
        {"slot_size", "slot_size: 1000", "multiple of"},
        {"slot_size", "slot_size: 99999999999999999999G", "not a size"},
        {"slot_size", "slot_size: 17592186044416T", "not a size"},
        {"slot_size", "slot_size: 17T", "at most 16T"},
        {"esp_size", "esp_size: 32M", "at least 64M"},
        {"state_size", "state_size: 16M", "at least 32M"},
        {"zstd_level", "zstd_level: 23", "1 to 22"},
        {"zstd_level", "zstd_level: x", "p.yaml:9"},
        {"block_size", "block_size: 96K", "power of two"},
        {"block_size", "block_size: 2M", "power of two"},
        {"modules", "modules: everything", "not one of virtio, cloud, server"},
        {"cmdline", "cmdline: [\"a b\"]", "one word"},
        {"cmdline", "cmdline: [webops.slot=x]", "written by the build"},
        {"outputs", "outputs: [vmdk]", "not one of qcow2, zst"},
        {"layers", "layers: [base, base]", "stands twice"},
        {"layers", "layers: [../../etc]", "is not a name"},
        {"layers", "layers: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p]", "at most 14"},
        {"surprise", "surprise: 1", "surprise"},
        {"layers", "layers: [&a base, *a]", "p.yaml:5"},
        {"name", "name: [unclosed", "p.yaml"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_buf struct buf text = {0};
        bool replaced = false;
        for (const char *line = profile_text; *line; line += strcspn(line, "\n") + 1) {
            bool is_it = strncmp(line, table[i].key, strlen(table[i].key)) == 0 && line[strlen(table[i].key)] == ':';
            replaced |= is_it;
            buf_printf(&text, "%.*s\n", is_it ? (int)strlen(table[i].line) : (int)strcspn(line, "\n"), is_it ? table[i].line : line);
        }
        if (!replaced)
            buf_printf(&text, "%s\n", table[i].line);
        struct recipe_profile *profile = NULL;
        struct err err = {0};
        if (recipe_parse_profile(buf_str(&text), text.size, "p.yaml", &profile, &err) == 0)
            fail_msg("row %zu was accepted: %s", i, table[i].line);
        if (!strstr(err.text, table[i].says))
            fail_msg("row %zu: '%s' does not say '%s'", i, err.text, table[i].says);
        assert_null(profile);
    }
}

static void test_missing_and_empty(void **state) {
    (void)state;
    struct recipe_profile *profile = NULL;
    struct err err = {0};
    assert_int_equal(recipe_parse_profile("", 0, "p.yaml", &profile, &err), -EINVAL);
    assert_int_equal(recipe_parse_profile("name: a\n", 8, "p.yaml", &profile, &err), -EINVAL);
    assert_non_null(strstr(err.text, "p.yaml:"));
    cleanup_free char *large = mem_array(RECIPE_MAX_BYTES + 1, 1);
    assert_int_equal(recipe_parse_profile(large, RECIPE_MAX_BYTES + 1, "p.yaml", &profile, &err), -EFBIG);
    assert_null(profile);
}

static void test_layer(void **state) {
    (void)state;
    static const char text[] =
        "name: base\nversion: 1.0\nsummary: x\npackages:\n  apt: [less, sudo]\nenable:\n  - {unit: a.service, wants: "
        "multi-user.target}\nmask: [b.timer]\nremove: [/etc/motd]\nmodes:\n  - {path: /etc/x, mode: 0640, owner: "
        "\"root:adm\"}\nprograms: [webops]\nfetch:\n  - {url: \"https://example.org/x\", sha256: "
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, path: /usr/bin/x, mode: 0755}\n";
    struct recipe_layer *layer = NULL;
    struct err err = {0};
    if (recipe_parse_layer(text, strlen(text), "l.yaml", &layer, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(layer->packages.apt.count, 2);
    assert_string_equal(layer->packages.apt.items[1], "sudo");
    assert_string_equal(layer->enable[0].wants, "multi-user.target");
    assert_int_equal(layer->modes[0].mode, 0640);
    assert_string_equal(layer->modes[0].owner, "root:adm");
    assert_int_equal(layer->fetch[0].mode, 0755);
    recipe_layer_free(layer);
}

static void test_layer_refused(void **state) {
    (void)state;
    static const struct {
        const char *line, *says;
    } table[] = {
        {"remove: [etc/motd]", "absolute path"},
        {"remove: [/etc/../shadow]", "absolute path"},
        {"remove: [/etc/..]", "absolute path"},
        {"modes: [{path: /x/, mode: 0600}]", "absolute path"},
        {"modes: [{path: /x, mode: 010000}]", "octal mode"},
        {"programs: [bash]", "not one of"},
        {"enable: [{unit: ../a, wants: b}]", "no '/'"},
        {"mask: [a/b]", "no '/'"},
        {"packages: {apt: [\"a b\"]}", "one word"},
        {"packages: {zypper: [a]}", "l.yaml:4"},
        {"fetch: [{url: \"ftp://x\", sha256: \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", path: /x}]", "http"},
        {"fetch: [{url: \"https://x\", sha256: \"123\", path: /x}]", "64 lower-case"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_free char *text = str_printf("name: base\nversion: 1.0\nsummary: x\n%s\n", table[i].line);
        struct recipe_layer *layer = NULL;
        struct err err = {0};
        assert_int_equal(recipe_parse_layer(text, strlen(text), "l.yaml", &layer, &err), -EINVAL);
        if (!strstr(err.text, table[i].says))
            fail_msg("row %zu: '%s' does not say '%s'", i, err.text, table[i].says);
    }
}

static void test_sizes(void **state) {
    (void)state;
    uint64_t bytes = 0;
    assert_true(recipe_parse_size("1", &bytes) && bytes == 1);
    assert_true(recipe_parse_size("3K", &bytes) && bytes == 3072);
    assert_true(recipe_parse_size("2T", &bytes) && bytes == 2ULL << 40);
    static const char *const bad[] = {"", "K", "0", "-1", "1KB", "1k", " 1", "1 ", "18446744073709551616", "0x10"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(recipe_parse_size(bad[i], &bytes));
}

// The shipped data, through the same door a user comes in.
static void test_shipped(void **state) {
    (void)state;
    static const char *const profiles[] = {"quickstart", "minimal", "profiles/quickstart.yaml", "./profiles/minimal.yaml"};
    const struct recipe_paths paths = {.data_dir = "."};
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        struct recipe recipe = {0};
        struct err err = {0};
        if (recipe_load(profiles[i], &paths, &recipe, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(recipe.image->id, recipe.profile->image);
        assert_int_equal(recipe.layer_count, recipe.profile->layers.count);
        assert_true(file_exists(AT_FDCWD, recipe.layers[0]->dir));
        assert_non_null(strstr(recipe.layers[0]->dir, "overlays/base"));
        recipe_done(&recipe);
    }
}

// Every shipped image definition is one; none of them names a mirror, and its keys are what they should be: of those that the build host may not have.
static void test_shipped_images(void **state) {
    (void)state;
    static const struct {
        const char *id, *backend, *runtime;
        unsigned keys;
    } images[] = {
        {"debian-11", "apt", "bundled", 0},    {"debian-12", "apt", NULL, 0},         {"debian-13", "apt", NULL, 0},
        {"ubuntu-20.04", "apt", "bundled", 3}, {"ubuntu-22.04", "apt", "bundled", 3}, {"ubuntu-24.04", "apt", NULL, 3},
        {"rocky-8", "dnf", "bundled", 1},      {"rocky-9", "dnf", "bundled", 1},      {"almalinux-8", "dnf", "bundled", 2},
        {"almalinux-9", "dnf", "bundled", 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
        cleanup_free char *path = str_printf("images/%s.yaml", images[i].id), *text = NULL;
        struct recipe_image *image = NULL;
        struct err err = {0};
        size_t size = 0;
        assert_int_equal(file_read(AT_FDCWD, path, RECIPE_MAX_BYTES, &text, &size, &err), 0);
        if (recipe_parse_image(text, size, path, &image, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(image->id, images[i].id);
        assert_string_equal(image->backend, images[i].backend);
        assert_string_equal(image->runtime ?: "", images[i].runtime ?: "");
        assert_true(image->enable_count > 0 && image->link_count > 0);
        for (unsigned j = 0; j < image->source_count; j++) {
            assert_null(image->sources[j].mirror);
            assert_int_equal(image->sources[j].keys.count, images[i].keys);
        }
        recipe_image_free(image);
    }
}

// The list of mirrors: the first line with the whole word, and what stands beside it on the same line.
static void test_mirrors(void **state) {
    (void)state;
    static const char list[] = "# debian http://comment.test\ndebian-security http://other.test\ndebian\nhttp://next-line.test x\n"
                               "  debian \t http://mirror.test/debian  trailing\ndebian http://second.test\n";
    char name[] = "/tmp/webops-mirrors-XXXXXX";
    struct recipe recipe = {0};
    struct err err = {0};
    int fd = mkstemp(name);
    assert_true(fd >= 0 && write(fd, list, strlen(list)) == (ssize_t)strlen(list) && close(fd) == 0);
    assert_int_equal(setenv("WEBOPS_MIRRORS", name, 1), 0);
    assert_string_equal(recipe_mirrors_path(), name);
    assert_int_equal(recipe_load("minimal", &(struct recipe_paths){"."}, &recipe, &err), 0);
    assert_string_equal(recipe.image->sources[0].mirror, "http://mirror.test/debian");
    assert_string_equal(recipe.image->sources[1].mirror, "http://other.test");
    recipe_done(&recipe);
    unlink(name);
    assert_int_equal(recipe_load("minimal", &(struct recipe_paths){"."}, &recipe, &err), 0); // no list is no failure
    assert_null(recipe.image->sources[0].mirror);
    recipe_done(&recipe);
    unsetenv("WEBOPS_MIRRORS");
    assert_string_equal(recipe_mirrors_path(), "/etc/webops/mirrors");
}

static void test_not_there(void **state) {
    (void)state;
    struct recipe recipe = {0};
    struct err err = {0};
    assert_int_equal(recipe_load("no-such", &(struct recipe_paths){"/nowhere"}, &recipe, &err), -ENOENT);
    assert_non_null(strstr(err.text, "profiles/no-such.yaml"));
    assert_non_null(strstr(err.text, "/nowhere/profiles/no-such.yaml"));
    assert_int_equal(recipe_load("/no/such.yaml", &(struct recipe_paths){"/nowhere"}, &recipe, &err), -ENOENT);
    assert_null(recipe.profile);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profile),        cmocka_unit_test(test_profile_defaults),  cmocka_unit_test(test_profile_refused),
        cmocka_unit_test(test_layer),          cmocka_unit_test(test_missing_and_empty), cmocka_unit_test(test_layer_refused),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_shipped),           cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_shipped_images), cmocka_unit_test(test_mirrors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
