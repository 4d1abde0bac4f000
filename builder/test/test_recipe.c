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
        {"kernel", "kernel: \"linux -o x\"", "p.yaml:14: kernel: must be one word"},
        {"version", "version: \"a b\"", "p.yaml:2: version"},
        {"version", "version: a/b", "'/'"},
        {"sequence", "sequence: -1", "p.yaml:3: sequence: a whole number from 1 on is expected, not '-1'"},
        {"sequence", "sequence: many", "p.yaml:3: sequence: a whole number from 1 on is expected, not 'many'"},
        {"sequence", "sequence: 1x", "not '1x'"},
        {"sequence", "sequence: 1.5", "not '1.5'"},
        {"sequence", "sequence: +1", "not '+1'"},
        {"sequence", "sequence: 0x10", "not '0x10'"},
        {"sequence", "sequence: 0", "not '0'"},
        {"sequence", "sequence: \"1 \"", "not '1 '"},
        {"sequence", "sequence: \"1\\0\"", "p.yaml:3: a text with a NUL"},
        {"sequence", "sequence: 9223372036854775808", "not '9223372036854775808'"},
        {"sequence", "sequence: 010", "sequence: '010' begins with a zero, which some would read as octal: write 10"},
        {"sequence", "sequence:", "p.yaml:3: sequence: must not be empty"},
        {"sequence", "sequence: [1]", "p.yaml:3: sequence: expected one value, and no list or mapping"},
        {"slot_size", "slot_size: 1X", "p.yaml:6: slot_size: '1X' is not a size"},
        {"slot_size", "slot_size: 0", "not a size"},
        {"slot_size", "slot_size: 01G", "'01G' begins with a zero: write 1G"},
        {"slot_size", "slot_size: 1000", "multiple of"},
        {"slot_size", "slot_size: 99999999999999999999G", "not a size"},
        {"slot_size", "slot_size: 17592186044416T", "not a size"},
        {"slot_size", "slot_size: 17T", "at most 16T"},
        {"esp_size", "esp_size: 32M", "at least 64M"},
        {"state_size", "state_size: 16M", "at least 32M"},
        {"zstd_level", "zstd_level: 23", "p.yaml:9: zstd_level: a whole number from 1 to 22 is expected, not '23'"},
        {"zstd_level", "zstd_level: 0", "1 to 22"},
        {"zstd_level", "zstd_level: x", "p.yaml:9"},
        {"zstd_level", "zstd_level: 3x", "not '3x'"},
        {"zstd_level", "zstd_level: 07", "write 7"},
        {"block_size", "block_size: 96K", "power of two"},
        {"block_size", "block_size: 2M", "power of two"},
        {"modules", "modules: everything", "not one of virtio, cloud, server"},
        {"cmdline", "cmdline: [\"a b\"]", "one word"},
        {"cmdline", "cmdline: [webops.slot=x]", "written by the build"},
        {"outputs", "outputs: [vmdk]", "not one of qcow2, zst"},
        {"layers", "layers: [base, base]", "stands twice"},
        {"layers", "layers: [../../etc]", "p.yaml:5: layers[0]: '../../etc' is not a name"},
        {"layers", "layers:\n- base\n- B", "p.yaml:7: layers[1]: 'B' is not a name"},
        {"layers", "layers: base", "p.yaml:5: layers: expected a list, such as [a, b]"},
        {"layers", "layers: [{a: b}]", "p.yaml:5: layers[0]: expected one value"},
        {"layers", "layers: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p]", "at most 14"},
        {"surprise", "surprise: 1", "p.yaml:14: surprise: unknown key"},
        {"slot_size", "slotsize: 1G", "p.yaml:6: slotsize: unknown key; did you mean slot_size?"},
        {"outputs", "outputs: []\nname: b", "p.yaml:14: name: stands twice"},
        {"image", "# none", "p.yaml:1: image: missing"},
        {"layers", "layers: [&a base, *a]", "p.yaml:5: an alias"},
        {"outputs", "---\nname: x", "p.yaml:13: a second document begins here"},
        {"name", "name: [unclosed", "p.yaml:2: this is not YAML: did not find expected ',' or ']'"},
        {"name", "\tname: x", "p.yaml:1: this is not YAML: found character that cannot start any token (a tab? indent with blanks)"},
        {"name", "name: \xff", "p.yaml:1: this is not YAML: invalid leading UTF-8 octet"},
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

// Octal, with or without a zero in front, quoted or not.
static void test_modes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int mode; // -1 = refused
    } cases[] = {
        {"644", 0644}, {"0644", 0644},  {"\"644\"", 0644}, {"\"0644\"", 0644},  {"07777", 07777}, {"7777", 07777},
        {"0", 0},      {"00644", 0644}, {"0999", -1},      {"0o644", -1},       {"0644x", -1},    {"0x1a4", -1},
        {"-644", -1},  {"+644", -1},    {"10000", -1},     {"010000", -1},      {"000644", -1},   {"6.4", -1},
        {"rw", -1},    {"\"\"", -1},    {"\" 644\"", -1},  {"\"0644\\0\"", -1}, {"[0644]", -1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *modes = str_printf("name: l\nversion: 1\nsummary: x\nmodes:\n- path: /a\n  mode: %s\n", cases[i].text);
        cleanup_free char *fetch = str_printf("name: l\nversion: 1\nsummary: x\nfetch:\n- url: file:///a\n  mode: %s\n  path: /a\n"
                                              "  sha256: %064d\n",
                                              cases[i].text, 0);
        const char *const texts[] = {modes, fetch};
        for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
            struct recipe_layer *layer = NULL;
            struct err err = {0};
            int r = recipe_parse_layer(texts[k], strlen(texts[k]), "l.yaml", &layer, &err);
            if ((r < 0) != (cases[i].mode < 0))
                fail_msg("%s: %d %s", cases[i].text, r, err.text);
            if (r < 0)
                assert_non_null(strstr(err.text, "l.yaml:6: "));
            else
                assert_int_equal(k ? layer->fetch[0].mode : layer->modes[0].mode, cases[i].mode);
            if (layer)
                recipe_layer_free(layer);
        }
    }
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
        {"packages: {zypper: [a]}", "l.yaml:4: packages.zypper: unknown key\n"},
        {"packages:\n  atp: [a]", "l.yaml:5: packages.atp: unknown key; did you mean apt?"},
        {"packages: [a]", "l.yaml:4: packages: expected keys with values"},
        {"packages:\n  apt:\n  - a\n  - b c", "l.yaml:7: packages.apt[1]: must be one word"},
        {"enable:\n- {unit: a, wants: b}\n- {unit: a, want: b}", "l.yaml:6: enable[1].want: unknown key; did you mean wants?"},
        {"enable:\n- {unit: a, wants: b}\n- unit: a", "l.yaml:6: enable[1].wants: missing"},
        {"links:\n- {path: /a, target: b}\n- target: b\n  path: c", "l.yaml:7: links[1].path: 'c' is not an absolute path"},
        {"modes:\n- {path: /a, mode: 0600}\n- path: /b\n  mode: 0888",
         "l.yaml:7: modes[1].mode: an octal mode such as \"0640\" is expected"},
        {"fetch: [{url: \"ftp://x\", sha256: \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", path: /x}]", "http"},
        {"fetch: [{url: \"https://x\", sha256: \"123\", path: /x}]", "64 lower-case"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_free char *text = str_printf("name: base\nversion: 1.0\nsummary: x\n%s\n", table[i].line);
        struct recipe_layer *layer = NULL;
        struct err err = {0};
        assert_int_equal(recipe_parse_layer(text, strlen(text), "l.yaml", &layer, &err), -EINVAL);
        cleanup_free char *said = str_printf("%s\n", err.text);
        if (!strstr(said, table[i].says))
            fail_msg("row %zu: '%s' does not say '%s'", i, err.text, table[i].says);
    }
}

// Each of a fetch's values is blamed by its own line, and not by that of a layer's key of the same name.
static void test_lines_of_a_fetch(void **state) {
    (void)state;
    static const char good[] = "name: l\nversion: 1\nsummary: x\nfetch:\n- url: file:///a\n  path: /a\n  sha256: "
                               "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";
    static const struct {
        const char *second, *says;
    } cases[] = {
        {"- url: ftp://x\n  path: /b\n  sha256: SUM\n", "l.yaml:8: fetch[1].url: an http, https or file address is expected"},
        {"- path: /b\n  sha256: 123\n  url: file:///x\n", "l.yaml:9: fetch[1].sha256: 64 lower-case hex digits"},
        {"- path: b\n  sha256: SUM\n  url: file:///x\n", "l.yaml:8: fetch[1].path: 'b' is not an absolute path"},
        {"- path: /b\n  sha256: SUM\n  url: file:///x\n  mode: 0o644\n", "l.yaml:11: fetch[1].mode: an octal mode"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf text = {0};
        const char *at = strstr(cases[i].second, "SUM");
        buf_add_str(&text, good);
        buf_printf(&text, at ? "%.*s%064d%s" : "%.*s", at ? (int)(at - cases[i].second) : (int)strlen(cases[i].second), cases[i].second, 0,
                   at ? at + 3 : "");
        struct recipe_layer *layer = NULL;
        struct err err = {0};
        assert_int_equal(recipe_parse_layer(buf_str(&text), text.size, "l.yaml", &layer, &err), -EINVAL);
        if (strncmp(err.text, cases[i].says, strlen(cases[i].says)) != 0)
            fail_msg("row %zu: '%s' does not begin with '%s'", i, err.text, cases[i].says);
    }
}

static void test_sizes(void **state) {
    (void)state;
    uint64_t bytes = 0;
    assert_true(recipe_parse_size("1", &bytes) && bytes == 1);
    assert_true(recipe_parse_size("3K", &bytes) && bytes == 3072);
    assert_true(recipe_parse_size("2T", &bytes) && bytes == 2ULL << 40);
    static const char *const bad[] = {"", "K", "0", "-1", "1KB", "1k", " 1", "1 ", "18446744073709551616", "0x10", "010", "01K"};
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
    static const char list[] = "# debian http://comment.test\n\ndebian-security http://other.test # said why\n \t \n"
                               "  debian \t http://mirror.test/debian  \r\ndebian http://second.test\nubuntu file:/x";
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
    assert_int_equal(recipe_load("minimal", &(struct recipe_paths){"."}, &recipe, &err), -ENOENT);
    cleanup_free char *missing = str_printf("WEBOPS_MIRRORS: cannot open %s: No such file", name);
    assert_non_null(strstr(err.text, missing));
    unsetenv("WEBOPS_MIRRORS");
    assert_string_equal(recipe_mirrors_path(), "/etc/webops/mirrors");
}

static void test_mirrors_refused(void **state) {
    (void)state;
    static const struct {
        const char *list, *says;
    } cases[] = {
        {"debian\nhttp://next-line.test x\n", ":1: debian has no address"},
        {"debian http://a.test\nrocky-9 # soon\n", ":2: rocky-9 has no address"},
        {"\n\ndebian = http://a.test\n", ":3: = is no address that begins with https://"},
        {"debian a.test/debian\n", ":1: a.test/debian is no address"},
        {"debian http://\n", ":1: http:// is no address"},
        {"debian http://a.test http://b.test\n", ":1: http://b.test stands behind the address"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char name[] = "/tmp/webops-mirrors-XXXXXX";
        struct recipe_image image = {0};
        struct err err = {0};
        int fd = mkstemp(name);
        assert_true(fd >= 0 && write(fd, cases[i].list, strlen(cases[i].list)) == (ssize_t)strlen(cases[i].list) && close(fd) == 0);
        setenv("WEBOPS_MIRRORS", name, 1);
        assert_int_equal(recipe_add_mirrors(&image, &err), -EINVAL);
        if (strncmp(err.text, name, strlen(name)) != 0 || !strstr(err.text, cases[i].says))
            fail_msg("row %zu: '%s' does not say '%s'", i, err.text, cases[i].says);
        unlink(name);
        unsetenv("WEBOPS_MIRRORS");
    }
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
        cmocka_unit_test(test_shipped_images), cmocka_unit_test(test_mirrors),           cmocka_unit_test(test_mirrors_refused),
        cmocka_unit_test(test_modes),          cmocka_unit_test(test_lines_of_a_fetch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
