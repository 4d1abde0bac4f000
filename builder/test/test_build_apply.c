// SPDX-License-Identifier: Apache-2.0
// A whole build through the verbs, with only base and initramfs made up (they need a real distribution): layers, slot image, UKI, disk and
// reports are real. What is printed, what is left, what is built again after damage, and what a failure leaves.
#include "builder/esp.h"
#include "builder/image_stacks.h"
#include "builder/layer_output.h"
#include "common/digest.h"
#include "builder/test/project.h"
#include "builder/verbs.h"
#include <jansson.h>

static const struct verb verbs[] = {{"build", "PROFILE", 1, 1, "bake", verb_build}, {"plan", "PROFILE", 1, 1, "plan", verb_plan}};
enum { BUILD, PLAN };

// Runs a verb on the project's profile; what it printed is the caller's.
static int run_verb(unsigned verb, const char *option, char **ret_out, char **ret_error) {
    struct redirect redirect;
    cleanup_free char *profile = project_path("profiles/small.yaml"), *out = project_path("out");
    char *argv[] = {TEXT(verbs[verb].name), TEXT("-o"), out, profile, TEXT(option), NULL};
    redirect_begin(&redirect);
    int code = verbs[verb].run(&verbs[verb], option ? 5 : 4, argv);
    redirect_end(&redirect, ret_out, ret_error);
    return code;
}

static void put_into(const char *dir, const char *name, const void *data, size_t size) {
    cleanup_free char *path = str_printf("%s/%s", dir, name);
    put_file(path, data, size);
}

static int fake_base(void *context, unsigned index, const char *dir, struct err *ret_err) {
    const struct layer_format format = {.epoch = 1000, .zstd_level = 1, .block_size = 131072};
    static const struct normalise_entry unit = {
        .path = "usr/lib/systemd/system/a.service", .mode = S_IFREG | 0644, .data = "[Unit]\n", .size = 7, .fd = -1};
    struct layer_output output;
    struct err err = {0};
    cleanup_free char *kernel = str_printf("%s/" LAYER_KERNEL, dir);
    (void)context;
    (void)index;
    (void)ret_err;
    assert_ok(layer_output_open(dir, &format, &(struct normalise_options){.base = true, .side_fd = -1}, &output, &err));
    assert_ok(normalise_add(output.normalise, &unit, &err));
    assert_ok(layer_output_finish(&output, NULL, &err));
    layer_output_done(&output);
    put_random(kernel, 100000, 1);
    put_into(dir, LAYER_PASSWD, "root:x:0:0::/root:/bin/sh\n", 26);
    put_into(dir, LAYER_GROUP, "root:x:0:\n", 10);
    return 0;
}

static int fake_initramfs(void *context, unsigned index, const char *dir, struct err *ret_err) {
    cleanup_free char *initrd = str_printf("%s/initrd", dir);
    (void)context;
    (void)index;
    (void)ret_err;
    put_random(initrd, 50000, 2);
    put_into(dir, "plan", "plan\n", 5);
    return 0;
}

// Puts base and initramfs of the present plan into the cache.
static void prepare(void) {
    cleanup_build struct build build = {0};
    struct err err = {0};
    struct node *nodes[2];
    assert_ok(project_plan(false, &build, &err));
    nodes[0] = build.layers[0];
    nodes[1] = build.initramfs;
    nodes[0]->build = fake_base;
    nodes[1]->build = fake_initramfs;
    for (unsigned i = 0; i < 2; i++) {
        struct cache_entry entry;
        int r = cache_begin(&build.cache, nodes[i]->kind, nodes[i]->key, &entry, &err);
        if (r == 1)
            continue;
        assert_ok(r);
        assert_ok(nodes[i]->build(NULL, 0, entry.dir, &err));
        assert_ok(cache_commit(&build.cache, &entry, &nodes[i]->inputs, &err));
    }
}

static int begin(void **state) {
    project_begin(state);
    signal(SIGPIPE, SIG_IGN);
    prepare();
    return 0;
}

static json_t *parse(const char *text) {
    json_error_t problem;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &problem);
    if (!json)
        fail_msg("line %d: %s in %s", problem.line, problem.text, text);
    return json;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ?: "";
}

static void test_plan_before(void **state) {
    (void)state;
    cleanup_free char *out = NULL, *error = NULL, *table = NULL, *error2 = NULL;
    assert_int_equal(run_verb(PLAN, "--json", &out, &error), 0);
    json_t *plan = parse(out), *nodes = json_object_get(plan, "nodes");
    assert_string_equal(text_of(plan, "profile"), "small");
    assert_string_equal(text_of(plan, "version"), "1.0");
    assert_true(json_is_false(json_object_get(plan, "outputs_current")));
    assert_int_equal(json_array_size(nodes), 7);
    for (size_t i = 0; i < 7; i++) {
        const json_t *node = json_array_get(nodes, i);
        bool cached = i == 0 || i == 4;
        assert_int_equal(json_is_true(json_object_get(node, "cached")), cached);
        assert_int_equal(strlen(text_of(node, "key")), 64);
        assert_string_equal(text_of(node, "reason"), cached ? "" : "not built before");
    }
    assert_string_equal(text_of(json_array_get(nodes, 0), "kind"), "base");
    assert_string_equal(text_of(json_array_get(nodes, 6), "label"), "unified kernel image");
    json_decref(plan);
    assert_int_equal(run_verb(PLAN, NULL, &table, &error2), 0);
    assert_contains(table, "base tiny ");
    assert_contains(table, "build: not built before\n");
    assert_contains(table, "  build\n"); // outputs
}

static void expect_output(const char *suffix, bool there) {
    cleanup_free char *name = str_printf("out/small-1.0%s", suffix), *path = project_path(name);
    if (file_exists(AT_FDCWD, path) != there)
        fail_msg("%s is %s", name, there ? "missing" : "there");
}

static void expect_only_outputs(void) {
    cleanup_free char *path = project_path("out");
    cleanup_free char *list = tool(RUN_ARGV("find", path, "-mindepth", "1", "-not", "-name", "small-1.0.*"));
    cleanup_free char *lock = str_printf("%s/.small-1.0.lock\n", path);
    assert_string_equal(list, lock);
}

static json_t *load_report(void) {
    cleanup_free char *text = project_get("out/small-1.0.build.json");
    return parse(text);
}

static void check_report(void) {
    static const char *const parts[] = {"slot", "uki", "initramfs"};
    static const char *const files[] = {"small-1.0.raw", "small-1.0.bmap", "small-1.0.raw.zst", "small-1.0.packages",
                                        "small-1.0.spdx.json"};
    json_t *report = load_report(), *file;
    size_t i;
    assert_int_equal(json_integer_value(json_object_get(report, "sequence")), 4);
    assert_contains(text_of(report, "cmdline"), "quiet panic=10 webops.slot=");
    for (i = 0; i < ARRAY_SIZE(parts); i++)
        assert_int_equal(strlen(text_of(json_object_get(json_object_get(report, "parts"), parts[i]), "sha256")), 64);
    assert_int_equal(json_array_size(json_object_get(report, "files")), ARRAY_SIZE(files));
    json_array_foreach(json_object_get(report, "files"), i, file) {
        struct stat st;
        struct err err = {0};
        char sha256[65];
        cleanup_free char *name = str_printf("out/%s", files[i]), *path = project_path(name);
        assert_string_equal(text_of(file, "name"), files[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(json_integer_value(json_object_get(file, "bytes")), st.st_size);
        assert_ok(digest_file(AT_FDCWD, path, sha256, NULL, &err));
        assert_string_equal(text_of(file, "sha256"), i ? sha256 : ""); // the block map has the raw disk's
        const json_t *seconds = json_object_get(file, "seconds");
        assert_true(json_is_real(seconds) && json_real_value(seconds) >= 0 && json_real_value(seconds) < 600);
    }
    json_decref(report);
}

// Progress events and one last line that says what was made.
static json_t *last_event(const char *out) {
    json_t *last = NULL;
    cleanup_free char *copy = str_dup(out);
    char *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_decref(last);
        last = parse(line);
        assert_int_not_equal(*text_of(last, "event"), 0);
    }
    assert_string_equal(text_of(last, "event"), "done");
    return last;
}

static void test_build(void **state) {
    (void)state;
    cleanup_free char *out = NULL, *error = NULL, *again = NULL, *error2 = NULL, *plain = NULL, *error3 = NULL;
    int code = run_verb(BUILD, "--json", &out, &error);
    if (code != 0)
        fail_msg("%d: %s", code, error);
    json_t *event = last_event(out);
    assert_true(json_is_true(json_object_get(event, "changed")));
    assert_contains(text_of(event, "image"), "/out/small-1.0.raw");
    assert_int_equal(json_integer_value(json_object_get(event, "bytes")), (1 + 1 + 64 + 4 + 4 + 32 + 1) * MIB);
    assert_in_range(json_integer_value(json_object_get(event, "stored_bytes")), 1, 40 * MIB); // sparse
    json_decref(event);
    check_report();
    expect_output(".qcow2", false);
    expect_only_outputs();
    assert_int_equal(run_verb(BUILD, "--json", &again, &error2), 0);
    event = last_event(again);
    assert_true(json_is_false(json_object_get(event, "changed")));
    assert_null(strchr(strchr(again, '\n') + 1, '\n')); // nothing but that event
    json_decref(event);
    assert_int_equal(run_verb(BUILD, NULL, &plain, &error3), 0);
    assert_contains(plain, "small-1.0.raw: nothing to do, ");
}

// The top layer of the image: what is said of the generation, whom it trusts, and the profile's configuration.
static void test_top_layer(void **state) {
    (void)state;
    static const char *const files[][2] = {
        {"generation.env", NULL}, {"trust/ca.pem", "keys/root.pem"}, {"default.env", "profiles/small.env"}};
    cleanup_build struct build build = {0};
    struct err err = {0};
    cleanup_free char *tree = project_path("top");
    assert_ok(project_plan(false, &build, &err));
    cleanup_free char *squashfs = graph_path(&build.cache, build.layers[build.layer_count - 1], LAYER_SQUASHFS);
    free(tool(RUN_ARGV("unsquashfs", "-n", "-q", "-d", tree, squashfs)));
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct stat st;
        cleanup_free char *name = str_printf("top/usr/lib/webops/%s", files[i][0]), *path = project_path(name), *text = project_get(name);
        cleanup_free char *expected = files[i][1] ? project_get(files[i][1]) : str_dup(build.generation.text);
        assert_string_equal(text, expected);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
    }
    assert_ok(file_remove_tree(AT_FDCWD, tree, &err));
    json_t *report = load_report();
    assert_string_equal(text_of(report, "compatible"), "small-amd64");
    assert_string_equal(text_of(report, "channel"), "stable");
    assert_int_equal(json_integer_value(json_object_get(report, "config_schema")), 1);
    assert_true(json_is_true(json_object_get(report, "development_keys")));
    assert_true(json_is_false(json_object_get(report, "secure_boot")));
    json_decref(report);
}

// The layer of a stack has what the machine reads, and build.json what a configuration for the image may hold.
static void test_stack_layer(void **state) {
    (void)state;
    cleanup_build struct build build = {0};
    struct err err = {0};
    cleanup_free char *tree = project_path("one"), *image = project_path("out/small-1.0.raw"), *other = project_path("out/other.raw");
    assert_ok(project_plan(false, &build, &err));
    cleanup_free char *squashfs = graph_path(&build.cache, build.layers[1], LAYER_SQUASHFS);
    free(tool(RUN_ARGV("unsquashfs", "-n", "-q", "-d", tree, squashfs)));
    cleanup_free char *template = project_get("one/usr/lib/webops/stacks/one/one.env");
    assert_string_equal(template, "NAME={{ONE_NAME}}\n");
    cleanup_stack_set struct stack_set on_machine = {0}, beside_image = {0}, shipped = {0};
    cleanup_fd int root_fd = file_open(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY, 0, &err);
    assert_ok(stack_set_load(root_fd, &on_machine, &err));
    assert_ok(image_stacks_load(image, &beside_image, &err));
    assert_ok(image_stacks_guess(other, &shipped, &err));
    const struct stack_set *const sets[] = {&on_machine, &beside_image, &shipped};
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        assert_int_equal(sets[i]->count, 1);
        assert_string_equal(sets[i]->stacks[0]->name, "one");
        assert_string_equal(schema_find(&sets[i]->schema, "ONE_NAME")->fallback, "a");
    }
    assert_ok(file_remove_tree(AT_FDCWD, tree, &err));
}

// A build.json that says nothing of stacks is of an older build.
static void test_old_report(void **state) {
    (void)state;
    struct stack_set set = {.count = 5};
    struct err err = {0};
    cleanup_free char *image = project_path("old/x.qcow2");
    static const char *const reports[] = {"{}", "{\"stacks\": 1}", "{\"stacks\": [1]}", "{\"stacks\": [{\"format\": 9}]}", "["};
    for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
        project_put("old/x.build.json", reports[i]);
        assert_int_equal(image_stacks_load(image, &set, &err), -EINVAL);
        assert_contains(err.text, "old/x.build.json");
        assert_int_equal(set.count, 5);
    }
    cleanup_free char *dir = project_path("old");
    assert_ok(file_remove_tree(AT_FDCWD, dir, &err));
}

// Signed: the programs on the boot partition carry the key's signature, and a second build does not sign again.
static void test_signed_build(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *profile = project_path("profiles/small.yaml"), *out = project_path("signed"),
                      *key = project_path("keys/secure-boot/db.key"), *certificate = project_path("keys/secure-boot/db.pem"),
                      *raw = project_path("signed/small-1.0.raw"), *program = project_path("program.efi");
    static const char *const programs[] = {"/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi", "/EFI/webops/a.efi"};
    const struct build_options options = {.profile = profile, .out_dir = out, .secure_boot_key = key, .secure_boot_cert = certificate};
    struct redirect redirect;
    cleanup_free char *printed = NULL, *progress = NULL;
    cleanup_build struct build build = {0}, again = {0};
    cleanup_free char *restart = project_path("programs/restart.efi"), *kept = project_get("programs/restart.efi");
    free(tool(RUN_ARGV("cp", SYSTEMD_BOOT_PATH, restart))); // only a program can be signed
    assert_ok(build_plan(&options, &build, &err));
    redirect_begin(&redirect);
    int r = build_apply(&build, &err);
    redirect_end(&redirect, &printed, &progress);
    assert_ok(r);
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        assert_ok(esp_read_file(raw, 2 * MIB, programs[i], program, &err));
        assert_ok(run_quiet(&(struct run){.argv = RUN_ARGV("sbverify", "--cert", certificate, program)}, &err));
    }
    assert_ok(build_plan(&options, &again, &err));
    assert_true(build_is_current(&again));
    assert_ok(file_remove_tree(AT_FDCWD, out, &err));
    project_put("programs/restart.efi", kept);
}

static bool is_current(void) {
    cleanup_free char *out = NULL, *error = NULL;
    assert_int_equal(run_verb(PLAN, "--json", &out, &error), 0);
    json_t *plan = parse(out);
    bool current = json_is_true(json_object_get(plan, "outputs_current"));
    json_decref(plan);
    return current;
}

// What makes finished outputs stale although no node changes.
static void test_stale_outputs(void **state) {
    (void)state;
    static const struct {
        const char *file, *from, *to;
    } cases[] = {
        {"profiles/small.yaml", "esp_size: 64M", "esp_size: 65M"},
        {"profiles/small.yaml", "state_size: 32M", "state_size: 33M"},
        {"profiles/small.yaml", "outputs: [zst]", "outputs: []"},
        {"images/tiny.yaml", "family: debian", "family: ubuntu"}, // in the package addresses of the SBOM
        {"out/small-1.0.build.json", "\"key\": \"", "\"key\": \"x"},
        {"out/small-1.0.build.json", "\n  \"files\": [", "\n  \"filez\": ["},
        {"out/small-1.0.build.json", "{", ""},
        {"out/small-1.0.packages", "", "x"},
    };
    assert_true(is_current());
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *old = project_get(cases[i].file);
        const char *at = *cases[i].from ? strstr(old, cases[i].from) : old;
        assert_non_null(at);
        cleanup_free char *new = str_printf("%.*s%s%s", (int)(at - old), old, cases[i].to, at + strlen(cases[i].from));
        project_put(cases[i].file, new);
        if (is_current())
            fail_msg("%s: '%s' goes unnoticed", cases[i].file, cases[i].to);
        project_put(cases[i].file, old);
        assert_true(is_current());
    }
    cleanup_free char *bmap = project_path("out/small-1.0.bmap"), *away = project_path("away");
    assert_int_equal(rename(bmap, away), 0);
    assert_false(is_current());
    assert_int_equal(rename(away, bmap), 0);
    assert_true(is_current());
}

static char *part_hash(const char *part) {
    json_t *report = load_report();
    char *hash = str_dup(text_of(json_object_get(json_object_get(report, "parts"), part), "sha256"));
    json_decref(report);
    return hash;
}

// Removes the nodes of these kinds and every output.
static void forget(const char *pattern) {
    struct err err = {0};
    cleanup_free char *nodes = project_path("cache/nodes"), *out = project_path("out");
    run_tool(RUN_ARGV("find", nodes, "-mindepth", "1", "-maxdepth", "1", "-name", pattern, "-exec", "rm", "-r", "{}", "+"));
    assert_ok(file_remove_tree(AT_FDCWD, out, &err));
}

// Damage of the same size in a layer that a slot image is made of: noticed before it is used, built again, the same bytes as before.
static void test_damaged_layer(void **state) {
    (void)state;
    cleanup_free char *slot = part_hash("slot"), *uki = part_hash("uki"), *out = NULL, *error = NULL;
    char path[512];
    {
        cleanup_build struct build build = {0};
        struct err err = {0};
        assert_ok(project_plan(false, &build, &err));
        cleanup_free char *squashfs = graph_path(&build.cache, build.layers[2], LAYER_SQUASHFS);
        snprintf(path, sizeof(path), "%s", squashfs);
    }
    forget("slot-*");
    flip_bit(path, 100);
    int code = run_verb(BUILD, NULL, &out, &error);
    if (code != 0)
        fail_msg("%d: %s", code, error);
    assert_contains(error, "layer.squashfs has changed since it was built) and will be built again");
    cleanup_free char *slot_again = part_hash("slot"), *uki_again = part_hash("uki");
    assert_string_equal(slot_again, slot);
    assert_string_equal(uki_again, uki);
}

// A slot that is too small by a block: refused by name, and nothing appears.
static void test_failure_leaves_nothing(void **state) {
    (void)state;
    cleanup_free char *out = NULL, *error = NULL, *profile = project_get("profiles/small.yaml"),
                      *big = project_path("overlays/two/files/opt/big");
    const char *at = strstr(profile, "slot_size: 4M");
    cleanup_free char *small = str_printf("%.*sslot_size: 1M%s", (int)(at - profile), profile, at + strlen("slot_size: 4M"));
    forget("slot-*");
    put_random(big, MIB, 7);
    project_put("profiles/small.yaml", small);
    assert_int_equal(run_verb(BUILD, "--json", &out, &error), EXIT_PERMANENT);
    assert_contains(error, "slot image");
    assert_null(strstr(out, "\"done\""));
    expect_output(".raw", false);
    expect_output(".build.json", false);
    cleanup_free char *tmp = project_path("cache/tmp"), *left = tool(RUN_ARGV("find", tmp, "-mindepth", "1"));
    assert_string_equal(left, "");
    assert_int_equal(unlink(big), 0);
    project_put("profiles/small.yaml", profile);
}

static void test_usage(void **state) {
    (void)state;
    static const struct {
        const char *argument;
        int code;
        const char *says;
    } cases[] = {
        {"--no-such-option", EXIT_USAGE, "no-such-option"},
        {"second-profile", EXIT_USAGE, ""},
        {"--help", EXIT_OK, "Ask no mirror"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *out = NULL, *error = NULL;
        assert_int_equal(run_verb(BUILD, cases[i].argument, &out, &error), cases[i].code);
        cleanup_free char *both = str_printf("%s%s", out, error);
        assert_contains(both, cases[i].says);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_before),   cmocka_unit_test(test_build),         cmocka_unit_test(test_top_layer),
        cmocka_unit_test(test_stack_layer),   cmocka_unit_test(test_old_report),    cmocka_unit_test(test_signed_build),
        cmocka_unit_test(test_stale_outputs), cmocka_unit_test(test_damaged_layer), cmocka_unit_test(test_failure_leaves_nothing),
        cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests_name("build_apply", tests, begin, archive_end);
}
