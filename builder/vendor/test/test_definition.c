// SPDX-License-Identifier: Apache-2.0
// Image definitions with a disk: what they must and must not have, and what recipe_load() makes of them.
#include "builder/recipe.h"
#include "builder/test/support.h"

#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char image_text[] =
    "id: d1\nname: D 1\nfamily: debian\nbackend: vendor\narchitecture: amd64\ndisk:\n  url: https://d.example/d.qcow2\n"
    "  sha256: " DIGITS "\nmanager: apt\nremove: [/opt/agent]\n";

static char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (!at)
        fail_msg("no '%s' in the text", from);
    return str_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void test_a_disk_is_enough(void **state) {
    (void)state;
    struct recipe_image *image = NULL;
    struct err err = {0};
    assert_ok(recipe_parse_image(image_text, strlen(image_text), "i.yaml", &image, &err));
    assert_string_equal(image->disk->url, "https://d.example/d.qcow2");
    assert_null(image->disk->file);
    assert_string_equal(recipe_image_manager(image), "apt");
    assert_string_equal(image->remove.items[0], "/opt/agent");
    assert_null(image->kernel);
    assert_int_equal(image->source_count, 0);
    recipe_image_free(image);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"disk:\n  url: https://d.example/d.qcow2\n  sha256: " DIGITS "\n", "", "i.yaml:4: backend: vendor needs `disk`"},
        {"  sha256: " DIGITS "\n", "", "i.yaml:6: disk: a url needs a sha256"},
        {"  sha256: 0", "  sha256: X", "i.yaml:8: disk.sha256: 64 lower-case hex digits"},
        {"  url: https", "  url: ftp", "i.yaml:7: disk.url: an http, https or file address"},
        {"  url: https", "  file: d.raw\n  url: https", "i.yaml:6: disk: one of file and url"},
        {"  url: https://d.example/d.qcow2\n", "", "i.yaml:6: disk: one of file and url"},
        {"manager: apt\n", "", "i.yaml:4: backend: vendor needs `manager`"},
        {"manager: apt", "manager: zypper", "i.yaml:9: manager: 'zypper' is not one of apt, dnf"},
        {"[/opt/agent]", "[agent]", "i.yaml:10: remove[0]: 'agent' is not an absolute path"}, // a package, and dpkg's stay
        {"manager: apt\nremove: [/opt", "manager: dnf\nremove: [./opt", "i.yaml:10: remove[0]: './opt/agent' is not an absolute path"},
        {"manager: apt\n", "manager: dnf\nsources:\n  - {archive: a, keyring: /k}\n", "dnf needs release (9) and platform"},
        {"backend: vendor", "backend: apt", "i.yaml:6: disk: is for `backend: vendor` only"},
        {"/opt/agent", "opt/agent", "i.yaml:10: remove[0]: 'opt/agent' is not an absolute path"},
        {"manager: apt", "manager: apt\nstand_ins: [x]", "i.yaml:10: stand_ins: a vendor's image has its packages already"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct recipe_image *image = NULL;
        struct err err = {0};
        cleanup_free char *text = replaced(image_text, cases[i].from, cases[i].to);
        int r = recipe_parse_image(text, strlen(text), "i.yaml", &image, &err);
        if (r != -EINVAL)
            fail_msg("%s: %d", cases[i].to, r);
        assert_contains(err.text, cases[i].says);
    }
}

// A tree with a profile of no layers, its definition, and a disk beside that.
static void make_project(const struct scratch *scratch, const char *definition, const char *profile) {
    static const char *const dirs[] = {"images/vendor", "profiles"};
    const struct {
        const char *name, *text;
    } files[] = {{"images/d1.yaml", definition},
                 {"profiles/p.yaml", profile},
                 {"images/vendor/remove.list", "# why\n/etc/cloud  # and this\n\n/var/lib/cloud\n"},
                 {"images/vendor/remove.dnf.list", "cloud-init # a package\n/.autorelabel\n"},
                 {"images/disk.raw", "disk"}};
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        assert_ok(file_mkdirs(scratch->fd, dirs[i], 0755, &err));
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        assert_ok(file_publish(scratch->fd, files[i].name, files[i].text, strlen(files[i].text), 0644, &err));
}

static int load(const struct scratch *scratch, struct recipe *ret_recipe, struct err *err) {
    cleanup_free char *profile = scratch_file(scratch, "profiles/p.yaml");
    return recipe_load(profile, &(struct recipe_paths){scratch->path}, ret_recipe, err);
}

#define PROFILE "name: p\nversion: \"1\"\nsequence: 1\nimage: d1\n"
#define FILE_DISK "id: d1\nname: D 1\nfamily: debian\nbackend: vendor\narchitecture: amd64\ndisk:\n  file: disk.raw\n"

static void test_own_kernel_and_nothing_on_top(void **state) {
    const struct scratch *scratch = *state;
    struct recipe recipe = {0};
    struct err err = {0};
    make_project(scratch, FILE_DISK "manager: apt\nremove: [/opt/agent]\n", PROFILE);
    assert_ok(load(scratch, &recipe, &err));
    assert_int_equal(recipe.layer_count, 0);
    assert_int_equal(recipe.image->packages.count, 1);
    char sha256[65];
    assert_ok(digest_file(AT_FDCWD, recipe.image->disk->file, sha256, NULL, &err));
    assert_string_equal(recipe.image->disk->sha256, sha256);
    assert_string_equal(recipe.image->packages.items[0] + strlen("disk:"), sha256); // what a lock file is held against
    assert_int_equal(recipe.image->remove.count, 3);
    assert_string_equal(recipe.image->remove.items[0], "/opt/agent");
    assert_string_equal(recipe.image->remove.items[1], "/etc/cloud");
    recipe_done(&recipe);
}

static void test_packages_and_kernel_become_a_layer(void **state) {
    const struct scratch *scratch = *state;
    struct recipe recipe = {0};
    struct err err = {0};
    make_project(scratch, FILE_DISK "manager: apt\npackages: [chrony]\nkernel: linux-a\nenable:\n  - {unit: a.service, wants: b.target}\n",
                 PROFILE "kernel: linux-b\n");
    assert_ok(load(scratch, &recipe, &err));
    assert_int_equal(recipe.layer_count, 1);
    const struct recipe_layer *layer = recipe.layers[0];
    assert_string_equal(layer->name, RECIPE_SYSTEM_LAYER);
    assert_true(layer->has_kernel);
    assert_int_equal(layer->packages.apt.count, 2);
    assert_string_equal(layer->packages.apt.items[0], "chrony");
    assert_string_equal(layer->packages.apt.items[1], "linux-b");
    assert_int_equal(recipe.image->packages.count, 1);
    assert_string_equal(layer->enable[0].unit, "a.service"); // which may come with a package of this layer
    assert_int_equal(recipe.image->enable_count, 0);
    recipe_done(&recipe);
}

static void test_rpm(void **state) {
    const struct scratch *scratch = *state;
    struct recipe recipe = {0};
    struct err err = {0};
    make_project(scratch, FILE_DISK "manager: dnf\npackages: [nftables]\nremove: [agent]\n", PROFILE);
    assert_ok(load(scratch, &recipe, &err));
    assert_int_equal(recipe.layer_count, 1);
    assert_int_equal(recipe.layers[0]->packages.apt.count, 0);
    assert_string_equal(recipe.layers[0]->packages.dnf.items[0], "nftables");
    const struct strings *remove = &recipe.image->remove;
    assert_int_equal(remove->count, 5); // its own, the common list, that of rpm
    assert_string_equal(remove->items[0], "agent");
    assert_string_equal(remove->items[3], "cloud-init");
    assert_string_equal(remove->items[4], "/.autorelabel");
    recipe_done(&recipe);
}

static void test_wrong_hash_and_missing_disk(void **state) {
    const struct scratch *scratch = *state;
    struct recipe recipe = {0};
    struct err err = {0};
    make_project(scratch, FILE_DISK "  sha256: " DIGITS "\nmanager: apt\n", PROFILE);
    assert_int_equal(load(scratch, &recipe, &err), -EBADMSG);
    assert_contains(err.text, "images/disk.raw has SHA-256 ");
    assert_contains(err.text, "the definition says " DIGITS);
    assert_int_equal(unlinkat(scratch->fd, "images/disk.raw", 0), 0);
    assert_int_equal(load(scratch, &recipe, &err), -ENOENT);
    assert_contains(err.text, "d1.yaml:7: disk.file: ");
}

static void test_bad_removal_list(void **state) {
    const struct scratch *scratch = *state;
    static const char text[] = "# ok\netc/cloud\n";
    static const char package[] = "cloud-init\n";
    struct recipe recipe = {0};
    struct err err = {0};
    make_project(scratch, FILE_DISK "manager: apt\n", PROFILE);
    assert_ok(file_publish(scratch->fd, "images/vendor/remove.list", text, strlen(text), 0644, &err));
    assert_int_equal(load(scratch, &recipe, &err), -EINVAL);
    assert_contains(err.text, "remove.list:2: an absolute path is expected");
    assert_ok(file_publish(scratch->fd, "images/vendor/remove.list", package, strlen(package), 0644, &err));
    assert_int_equal(load(scratch, &recipe, &err), -EINVAL); // with dpkg they stay
    assert_contains(err.text, "remove.list:1: an absolute path is expected");
    make_project(scratch, FILE_DISK "manager: dnf\n", PROFILE);
    assert_ok(file_publish(scratch->fd, "images/vendor/remove.dnf.list", text, strlen(text), 0644, &err));
    assert_int_equal(load(scratch, &recipe, &err), -EINVAL);
    assert_contains(err.text, "remove.dnf.list:2: an absolute path or the name of a package is expected");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_disk_is_enough),
        cmocka_unit_test(test_refused),
        cmocka_unit_test_setup_teardown(test_own_kernel_and_nothing_on_top, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_packages_and_kernel_become_a_layer, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_rpm, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_wrong_hash_and_missing_disk, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bad_removal_list, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
