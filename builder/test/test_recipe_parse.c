// SPDX-License-Identifier: Apache-2.0
// Image definitions, field by field, as good ones and as bad ones with their line; borders of layers and profiles; where a profile's parts are
// looked for, whatever way its path is written.
#include "builder/recipe.h"
#include "builder/test/support.h"

static const char image_text[] =
    "id: d1\nname: D 1\nfamily: debian\nbackend: apt\narchitecture: amd64\nsources:\n  - archive: debian\n"
    "    suites: [one, two]\n    components: [main]\n    keyring: /keys/a.gpg\nkernel: linux\npackages:\n  - core\n"
    "stand_ins: [gen]\nexclude:\n  - /usr/share/doc/*\n";

static char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (!at)
        fail_msg("no '%s' in the text", from);
    return str_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static int parse_image(const char *text, struct recipe_image **ret_image, struct err *err) {
    return recipe_parse_image(text, strlen(text), "i.yaml", ret_image, err);
}

static void test_image(void **state) {
    (void)state;
    struct recipe_image *image = NULL;
    struct err err = {0};
    assert_ok(parse_image(image_text, &image, &err));
    assert_string_equal(image->id, "d1");
    assert_string_equal(image->name, "D 1");
    assert_string_equal(image->family, "debian");
    assert_string_equal(image->architecture, "amd64");
    assert_string_equal(image->kernel, "linux");
    assert_int_equal(image->source_count, 1);
    assert_string_equal(image->sources[0].archive, "debian");
    assert_null(image->sources[0].mirror);
    assert_int_equal(image->sources[0].suites.count, 2);
    assert_string_equal(image->sources[0].suites.items[1], "two");
    assert_string_equal(image->sources[0].keyring, "/keys/a.gpg");
    assert_int_equal(image->packages.count, 1);
    assert_string_equal(image->stand_ins.items[0], "gen");
    assert_string_equal(image->exclude.items[0], "/usr/share/doc/*");
    recipe_image_free(image);
}

static void test_image_refused(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"id: d1", "id: D1", "i.yaml:1: id: 'D1' is not a name"},
        {"id: d1", "id: ../d1", "i.yaml:1: id: "},
        {"id: d1", "id: -d1", "i.yaml:1: id: "},
        {"id: d1\n", "", "id"},
        {"id: d1", "id: d1\nid: d2", "i.yaml:2: id: stands twice"},
        {"name: D 1", "nick: D 1", "i.yaml:2: nick: unknown key"},
        {"family: debian", "family: \"De bian\"", "i.yaml:3: family: "},
        {"backend: apt", "backend: yum", "i.yaml:4: backend: 'yum' is not one of apt, dnf"},
        {"architecture: amd64", "architecture: \"amd64 trusted=yes\"", "i.yaml:5: architecture: "},
        {"architecture: amd64", "architecture: \"amd64] http\"", "i.yaml:5: architecture: "},
        {"  - archive: debian\n", "  - \n", "i.yaml:"},
        {"[one, two]", "[]", "i.yaml:8: sources[0].suites: apt needs suites and components"},
        {"[main]", "[]", "i.yaml:9: sources[0].components: apt needs suites and components"},
        {"    suites: [one, two]\n", "", "i.yaml:7: sources[0].suites: apt needs suites and components"},
        {"[one, two]", "[\"one two\"]", "i.yaml:8: sources[0].suites[0]: must be one word"},
        {"[one, two]", "[one, \"\"]", "i.yaml:8: "},
        {"[main]", "[main, \"a\\nb\"]", "i.yaml:9: sources[0].components[1]: must"},
        {"/keys/a.gpg", "a.gpg", "i.yaml:10: sources[0].keyring: 'a.gpg' is not an absolute path"},
        {"/keys/a.gpg", "/keys/../a.gpg", "i.yaml:10: sources[0].keyring: "},
        {"/keys/a.gpg", "/keys//a.gpg", "i.yaml:10: sources[0].keyring: "},
        {"/keys/a.gpg", "/keys/..", "i.yaml:10: sources[0].keyring: "},
        {"/keys/a.gpg", "/keys/", "i.yaml:10: sources[0].keyring: "},
        {"    keyring: /keys/a.gpg\n", "", "i.yaml:7: sources[0].keyring: missing"},
        {"kernel: linux\n", "", "kernel"},
        {"kernel: linux\n", "kernel: linux\nruntime: static\n", "i.yaml:12: runtime: 'static' is not one of system, bundled"},
        {"kernel: linux\n", "kernel: linux\nselinux: targeted\n", "i.yaml:12: selinux: is for images of rpm packages only"},
        {"kernel: linux", "kernel: \"linux -o x\"", "i.yaml:11: kernel: "},
        {"kernel: linux", "kernel: [linux]", "i.yaml:11: "},
        {"packages:\n  - core\n", "", "at least one package is needed"},
        {"  - core\n", "  - \"a b\"\n", "i.yaml:13: packages[0]: must"},
        {"  - core\n", "  - core\n  - $(x)\n", "i.yaml:14: packages[1]: must"},
        {"[gen]", "[\"ge'n\"]", "i.yaml:14: stand_ins[0]: must"},
        {"[gen]", "&a [gen]\nx: *a", "i.yaml:"},
        {"sources:", "sources: []\nx:", "i.yaml:6: sources: must not be empty"},
        {"    suites", "    snapshot: flase\n    suites", "i.yaml:8: sources[0].snapshot: expected true or false"},
        {"    suites", "    signed_metadata: yes\n    suites", "i.yaml:8: sources[0].signed_metadata: expected true or false"},
        {"    suites", "    signed_metadata: [true]\n    suites", "i.yaml:8: sources[0].signed_metadata: expected true or false"},
        {"    suites", "    suite", "i.yaml:8: sources[0].suite: unknown key; did you mean suites?"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct recipe_image *image = NULL;
        struct err err = {0};
        cleanup_free char *text = replaced(image_text, cases[i].from, cases[i].to);
        int r = parse_image(text, &image, &err);
        if (r != -EINVAL)
            fail_msg("%s: %d", cases[i].to, r);
        assert_contains(err.text, cases[i].says);
        assert_null(image);
    }
}

// Every prefix of a recipe is loaded or refused, without reading past its end.
static void test_every_prefix(void **state) {
    (void)state;
    for (size_t size = 0; size < strlen(image_text); size++) {
        struct recipe_image *image = NULL;
        struct err err = {0};
        char *exact = mem_array(size ? size : 1, 1);
        memcpy(exact, image_text, size);
        int r = recipe_parse_image(exact, size, "i.yaml", &image, &err);
        assert_true(r == 0 || (r == -EINVAL && strncmp(err.text, "i.yaml:", 7) == 0));
        if (r == 0)
            recipe_image_free(image);
        free(exact);
    }
}

static void test_too_large(void **state) {
    (void)state;
    struct recipe_image *image = NULL;
    struct err err = {0};
    cleanup_buf struct buf text = {0};
    buf_add_str(&text, image_text);
    while (text.size < RECIPE_MAX_BYTES)
        buf_add_str(&text, "#");
    assert_ok(parse_image(buf_str(&text), &image, &err));
    recipe_image_free(image);
    image = NULL;
    buf_add_str(&text, "#");
    assert_int_equal(parse_image(buf_str(&text), &image, &err), -EFBIG);
    assert_null(image);
}

static void test_layer_borders(void **state) {
    (void)state;
    static const struct {
        const char *line, *says; // NULL = good
    } cases[] = {
        {"modes:\n  - {path: /a, mode: \"07777\"}", NULL},
        {"modes:\n  - {path: /a, mode: \"010000\"}", "mode: an octal mode"},
        {"modes:\n  - {path: a, mode: \"0600\"}", "path: 'a' is not an absolute path"},
        {"remove: [/a/b]", NULL},
        {"remove: [/]", "remove[0]: '/' is not an absolute path"},
        {"remove: [/a/./b]", "remove[0]: "},
        {"mask: [a/b]", "mask[0]: unit names have no '/'"},
        {"enable:\n  - {unit: a/b, wants: c}", "l.yaml:5: enable[0].unit: unit names have no '/'"},
        {"enable:\n  - {unit: a, wants: c/d}", "l.yaml:5: enable[0].wants: unit names have no '/'"},
        {"enable:\n  - {unit: a}", "wants"},
        {"programs: [webops, webops-fetch]", NULL},
        {"programs: [init]", "programs[0]: 'init' is not one of webops, webops-fetch"},
        {"packages: {apt: [a], dnf: [b]}", NULL},
        {"packages: {apt: [a], yum: [b]}", "l.yaml:4: "},
        {"links: [{path: a, target: b}]", "path: 'a' is not an absolute path"},
        {"packages: {}", NULL},
        {"fetch:\n  - {url: \"https://a.test/x\", sha256: "
         "aaaa"
         ", path: /x}",
         "sha256: 64 lower-case hex digits"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct recipe_layer *layer = NULL;
        struct err err = {0};
        cleanup_free char *text = str_printf("name: l\nversion: \"1\"\nsummary: s\n%s\n", cases[i].line);
        int r = recipe_parse_layer(text, strlen(text), "l.yaml", &layer, &err);
        if (r != (cases[i].says ? -EINVAL : 0))
            fail_msg("%s: %d %s", cases[i].line, r, err.text);
        assert_contains(err.text, cases[i].says ?: "");
        if (layer)
            recipe_layer_free(layer);
    }
}

static void test_fetch_urls(void **state) {
    (void)state;
    static const struct {
        const char *url;
        bool good;
    } cases[] = {
        {"https://a.test/x", true}, {"http://a.test/x", true},   {"file:///x", true}, {"file://x", false},
        {"ftp://a.test/x", false},  {"HTTPS://a.test/x", false}, {"x", false},        {"", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct recipe_layer *layer = NULL;
        struct err err = {0};
        cleanup_free char *text = str_printf(
            "name: l\nversion: \"1\"\nsummary: s\nfetch:\n  - url: \"%s\"\n    sha256: \"%064d\"\n    path: /x\n", cases[i].url, 0);
        assert_int_equal(recipe_parse_layer(text, strlen(text), "l.yaml", &layer, &err), cases[i].good ? 0 : -EINVAL);
        if (layer) {
            assert_string_equal(layer->fetch[0].url, cases[i].url);
            recipe_layer_free(layer);
        }
    }
}

static void put(struct scratch *scratch, const char *name, const char *text) {
    struct err err = {0};
    cleanup_free char *dir = str_dup(name);
    *strrchr(dir, '/') = 0;
    assert_ok(file_mkdirs(scratch->fd, dir, 0755, &err));
    assert_ok(file_publish(scratch->fd, name, text, strlen(text), 0644, &err));
}

// images/ and overlays/ are those beside the profile's directory, from wherever it is named.
static void test_paths_of_a_profile(void **state) {
    struct scratch *scratch = *state;
    static const struct {
        const char *from, *profile;
    } cases[] = {
        {"", "profiles/p.yaml"},
        {"", "./profiles/p.yaml"},
        {"profiles", "p.yaml"},
        {"profiles", "./p.yaml"},
        {"profiles", "../profiles/p.yaml"},
        {"profiles/sub", "../p.yaml"},
        {"profiles/sub/sub", "../../p.yaml"},
        {"profiles/sub", "../sub/../p.yaml"},
        {"", "profiles/./p.yaml"},
        {"images", "../profiles/p.yaml"},
    };
    struct err err = {0};
    put(scratch, "profiles/p.yaml", "name: p\nversion: 1\nsequence: 1\nimage: d1\nlayers: [l]\nkernel: other\n");
    put(scratch, "images/d1.yaml", image_text);
    put(scratch, "overlays/l/layer.yaml", "name: l\nversion: \"1\"\nsummary: s\n");
    assert_ok(file_mkdirs(scratch->fd, "profiles/sub/sub", 0755, &err));
    cleanup_fd int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct recipe recipe = {0};
        cleanup_free char *from = str_printf("%s/%s", scratch->path, cases[i].from);
        assert_int_equal(chdir(from), 0);
        int r = recipe_load(cases[i].profile, &(struct recipe_paths){"/nonexistent"}, &recipe, &err);
        assert_int_equal(fchdir(home), 0);
        if (r < 0)
            fail_msg("%s from %s/: %s", cases[i].profile, cases[i].from, err.text);
        assert_int_equal(recipe.layer_count, 1);
        assert_int_equal(recipe.image->packages.count, 2);
        assert_string_equal(recipe.image->packages.items[1], "other"); // the profile's kernel, not the image's
        recipe_done(&recipe);
    }
}

// What turns out only with several files still has the line of the one that is to be mended.
static void test_files_that_do_not_fit(void **state) {
    struct scratch *scratch = *state;
    static const char profile[] = "name: p\nversion: 1\nsequence: 1\nimage: d1\nlayers:\n- l\n- m\n";
    static const char layer_l[] = "version: 1\nname: l\nsummary: s\n", layer_m[] = "name: m\nversion: 1\nsummary: s\n";
    static const struct {
        const char *file, *from, *to, *says;
    } cases[] = {
        {"profiles/p.yaml", "image: d1", "image: d2", "profiles/p.yaml:4: image: neither "},
        {"profiles/p.yaml", "- m", "- n", "profiles/p.yaml:7: layers[1]: neither "},
        {"images/d1.yaml", "name: D 1\nfamily: debian\nbackend: apt\narchitecture: amd64\n",
         "name: D 1\nfamily: debian\nbackend: apt\narchitecture: amd64\n# x\n", NULL},
        {"images/d1.yaml", "id: d1\n", "# x\nid: d3\n", "images/d1.yaml:2: id: 'd3' must be the file's name, 'd1'"},
        {"overlays/l/layer.yaml", "name: l", "name: other", "overlays/l/layer.yaml:2: name: 'other' must be that of its directory, 'l'"},
        {"overlays/m/layer.yaml", "summary: s\n", "summary: s\npackages: {dnf: [a]}\n",
         "overlays/m/layer.yaml:4: packages: there is no list for apt, which d1 needs"},
    };
    put(scratch, "profiles/p.yaml", profile);
    put(scratch, "images/d1.yaml", image_text);
    put(scratch, "overlays/l/layer.yaml", layer_l);
    put(scratch, "overlays/m/layer.yaml", layer_m);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *path = scratch_file(scratch, "profiles/p.yaml"), *good = NULL;
        struct recipe recipe = {0};
        struct err err = {0};
        assert_ok(file_read(scratch->fd, cases[i].file, RECIPE_MAX_BYTES, &good, NULL, &err));
        cleanup_free char *text = replaced(good, cases[i].from, cases[i].to);
        put(scratch, cases[i].file, text);
        int r = recipe_load(path, &(struct recipe_paths){"/nonexistent"}, &recipe, &err);
        assert_true((r < 0) == (cases[i].says != NULL));
        assert_contains(err.text, cases[i].says ?: "");
        put(scratch, cases[i].file, good);
        recipe_done(&recipe);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image),
        cmocka_unit_test(test_image_refused),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_layer_borders),
        cmocka_unit_test(test_fetch_urls),
        cmocka_unit_test_setup_teardown(test_paths_of_a_profile, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_files_that_do_not_fit, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("recipe_parse", tests, NULL, NULL);
}
