// SPDX-License-Identifier: Apache-2.0
// The verbs around updates as a caller sees them: exit codes and what they print, on a tree that stands for a machine.
#include "firstboot/update/test/tree.h"
#include "common/opt.h"
#include "firstboot/update/trial.h"
#include "firstboot/verbs.h"
#include <jansson.h>

static const char *program;

struct scene {
    struct tree_generation old, new;
    struct tree tree;
    char *bundle, *root_option;
};

static void scene_make(struct scene *scene) {
    tree_generation_make(&scene->old, "1", 1, 2);
    tree_generation_make(&scene->new, "2", 2, 3);
    scene->tree = tree_make(program, &scene->old);
    scene->bundle = tree_bundle(&scene->tree, &scene->new, "new.bundle");
    scene->root_option = str_printf("--root=%s", scene->tree.root.path);
}
static void scene_done(struct scene *scene) {
    tree_generation_done(&scene->old);
    tree_generation_done(&scene->new);
    tree_done(&scene->tree);
    free(scene->bundle);
    free(scene->root_option);
}
#define cleanup_scene cleanup(scene_done)

// Runs a verb on the tree with up to two further arguments; *ret_text is what it printed, the caller frees it.
static int call(const struct scene *scene, const char *name, int (*run)(const struct verb *, int, char **), const char *first,
                const char *second, char **ret_text) {
    const struct verb verb = {name, "", 0, 1, "", run};
    char *argv[] = {(char *)name, scene->root_option, (char *)first, (char *)second, NULL};
    char path[] = "/tmp/webops-test-out-XXXXXX";
    fflush(stdout);
    cleanup_fd int kept = fcntl(1, F_DUPFD_CLOEXEC, 3), out = mkstemp(path);
    dup2(out, 1);
    int code = run(&verb, 2 + (first != NULL) + (second != NULL), argv);
    fflush(stdout);
    dup2(kept, 1);
    assert_ok(file_read(AT_FDCWD, path, 1 << 20, ret_text, NULL, &tree_failure));
    unlink(path);
    return code;
}

#define assert_call(scene, name, first, second, wanted, part)                                                                              \
    do {                                                                                                                                   \
        cleanup_free char *text_ = NULL;                                                                                                   \
        assert_int_equal(call(scene, #name, verb_##name, first, second, &text_), wanted);                                                  \
        if (!strstr(text_, part))                                                                                                          \
            fail_msg("'%s' is not in '%s'", part, text_);                                                                                  \
    } while (0)

static void a_machine_s_life(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    assert_call(&scene, history, NULL, NULL, EXIT_OK, "no update was made here yet");
    assert_call(&scene, why, NULL, NULL, EXIT_OK, "no generation was rejected here");
    assert_call(&scene, why, "--json", NULL, EXIT_OK, "null");
    assert_call(&scene, rollback, "--plan", NULL, EXIT_PERMANENT, "");
    assert_call(&scene, update, "--plan", scene.bundle, EXIT_OK, "changed   layer-1.x");
    assert_call(&scene, update, "--plan", scene.bundle, EXIT_OK, "ssh 1 → 3");
    assert_call(&scene, update, scene.bundle, NULL, EXIT_OK, "installed; it starts with the next restart");
    assert_call(&scene, update, scene.bundle, NULL, EXIT_OK, "nothing to do");
    assert_call(&scene, status, NULL, NULL, EXIT_OK, "slot b       edge 2: trial, 2 of 2 tries left, written, not booted yet");
    tree_boot(&scene.tree, &scene.new, BOOT_SLOT_B);
    assert_call(&scene, update, scene.bundle, NULL, EXIT_TEMPORARY, "");
    assert_call(&scene, trial, "start", NULL, EXIT_OK, "");
    assert_call(&scene, trial, "commit", NULL, EXIT_OK, "");
    assert_call(&scene, status, NULL, NULL, EXIT_OK, "slot b       edge 2: good, runs\n");
    assert_call(&scene, rollback, "--plan", NULL, EXIT_OK,
                "edge 2 in slot b becomes bad and is not started again; the machine restarts into slot a");
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_GOOD);
    assert_call(&scene, rollback, NULL, NULL, EXIT_OK, "");
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_BAD);
    tree_boot(&scene.tree, &scene.old, BOOT_SLOT_A);
    assert_call(&scene, why, NULL, NULL, EXIT_OK, "stage        operator\n");
    assert_call(&scene, why, "--json", NULL, EXIT_OK, "\"stage\": \"operator\"");
    assert_call(&scene, history, NULL, NULL, EXIT_OK, "rolled-back  edge 2");
    assert_call(&scene, history, "--json", NULL, EXIT_OK, "\"event\": \"committed\"");
    assert_call(&scene, update, scene.bundle, NULL, EXIT_PERMANENT, "");
    assert_call(&scene, update, "--plan", scene.bundle, EXIT_PERMANENT, "refused      this generation was rejected here before (operator)");
}

static void every_event_is_an_object(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    cleanup_free char *text = NULL;
    bool has_plan = false, has_progress = false, has_end = false;
    scene_make(&scene);
    assert_int_equal(call(&scene, "update", verb_update, "--json", scene.bundle, &text), EXIT_OK);
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        json_t *event = json_loadb(line, strcspn(line, "\n"), JSON_REJECT_DUPLICATES, NULL);
        const char *name = json_string_value(json_object_get(event, "event"));
        assert_non_null(name);
        has_plan = has_plan || strcmp(name, "plan") == 0;
        has_progress = has_progress || strcmp(name, "progress") == 0;
        has_end = has_end || strcmp(name, "published") == 0;
        json_decref(event);
    }
    assert_true(has_plan && has_progress && has_end);
    assert_call(&scene, update, "--json", "/nowhere", EXIT_PERMANENT, "\"failed\"");
}

// A published directory with one generation, and the configuration that has the timer look there; the caller frees its path.
static char *publish(const struct scene *scene, const struct tree_generation *generation) {
    cleanup_buf struct buf head = {0};
    cleanup_free char *bundle = NULL, *name = str_printf("www/edge-%s.bundle", generation->manifest.version);
    char *www = str_printf("%s/www/", scene->tree.root.path);
    assert_ok(file_mkdirs(scene->tree.root.fd, "www", 0755, &tree_failure));
    bundle = tree_bundle(&scene->tree, generation, name);
    tree_head(&scene->tree, generation, &head);
    tree_write(&scene->tree, "www/stable.channel", head.data, head.size);
    cleanup_free char *report = str_printf("{\"last\": \"late\", \"late\": {\"settings\": {\"update_auto\": true, \"update_window\": "
                                           "\"00:00-24:00\", \"update_url\": \"%s\"}}}",
                                           www);
    support_write(&scene->tree.root, "run/webops/apply.json", report);
    return www;
}

// The timer's call: nothing without leave, and inside the window it acts on the configuration's address.
static void automatic_updates_need_leave(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    cleanup_free char *www = publish(&scene, &scene.new);
    static const char *const refused[] = {"\"update_auto\": false", "\"update_auto\": true, \"update_window\": \"nonsense\""};
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        cleanup_free char *report =
            str_printf("{\"last\": \"late\", \"late\": {\"settings\": {%s, \"update_url\": \"%s\"}}}", refused[i], www);
        support_write(&scene.tree.root, "run/webops/apply.json", report);
        assert_call(&scene, update, "--automatic", NULL, EXIT_OK, "");
        assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_EMPTY);
    }
    cleanup_free char *allowed = publish(&scene, &scene.new);
    assert_call(&scene, update, "--automatic", NULL, EXIT_OK, "the machine restarts now");
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_TRIAL);
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).tries_left, MACHINE_TRIES);
}

// Nobody watches the timer's calls: what it does not take, and why, is in `webops status`.
static void refusals_are_in_the_status(void **state) {
    (void)state;
    static const struct {
        int64_t from, until;
        uint64_t sequence;
        const char *rule, *text;
    } cases[] = {
        {1700000000, 1700000001, 9, "expired", "update       edge 3 is refused, seen 2"},
        {1700000000, 1700000001, 9, "expired", "  refused    it was valid until 2023-11-14 22:13 UTC only"},
        {TREE_FOREVER, TREE_FOREVER + 1, 9, "not-yet-valid", "  refused    it is not valid before"},
        {1700000000, TREE_FOREVER, 4, "downgrade", "  refused    it is older (sequence 4)"},
        {1700000000, TREE_FOREVER, 5, "same-sequence", "  refused    ALARM: sequence number 5 was used"},
    };
    cleanup_scene struct scene scene;
    scene_make(&scene);
    scene.old.manifest.sequence = 5;
    tree_boot(&scene.tree, &scene.old, BOOT_SLOT_A);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_generation struct tree_generation other;
        cleanup_free char *rule = str_printf("\"rule\": \"%s\"", cases[i].rule), *www = NULL;
        tree_generation_make(&other, "3", cases[i].sequence, 4);
        other.manifest.valid_from = cases[i].from;
        other.manifest.valid_until = cases[i].until;
        www = publish(&scene, &other);
        assert_call(&scene, update, "--automatic", NULL, EXIT_OK, "");
        assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_EMPTY);
        assert_call(&scene, status, NULL, NULL, EXIT_OK, cases[i].text);
        assert_call(&scene, status, "--json", NULL, EXIT_OK, rule);
        assert_call(&scene, status, "--json", NULL, EXIT_OK, "\"available\": false");
    }
    cleanup_generation struct tree_generation good;
    tree_generation_make(&good, "6", 6, 5);
    cleanup_free char *www = publish(&scene, &good);
    assert_call(&scene, update, "--plan", NULL, EXIT_OK, "");
    assert_call(&scene, status, NULL, NULL, EXIT_OK, "update       edge 6 is available, seen 2");
    assert_call(&scene, status, "--json", NULL, EXIT_OK, "\"refused\": []");
}

// A server that holds back what is newer cannot make the old one last longer.
static void a_channel_that_stands_still_is_noticed(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    cleanup_free char *www = publish(&scene, &scene.old), *again = NULL;
    assert_call(&scene, update, "--automatic", NULL, EXIT_OK, "nothing to do");
    assert_call(&scene, status, NULL, NULL, EXIT_OK, "update       edge 1 is what runs, seen 2");
    assert_call(&scene, status, "--json", NULL, EXIT_OK, "\"refused\": []");
    scene.old.manifest.valid_until = scene.old.manifest.valid_from + 1;
    again = publish(&scene, &scene.old);
    assert_call(&scene, update, "--automatic", NULL, EXIT_OK, "nothing to do");
    assert_call(&scene, status, NULL, NULL, EXIT_OK, "\n  refused    it was valid until");
}

// What fails before or behind the policy is there, too, and gone after the next good look.
static void failures_are_in_the_status(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    cleanup_free char *www = publish(&scene, &scene.new);
    tree_write(&scene.tree, "www/stable.channel", "nonsense", 8);
    assert_call(&scene, update, "--automatic", NULL, EXIT_PERMANENT, "");
    assert_call(&scene, status, NULL, NULL, EXIT_OK, "update       nothing could be read, seen 2");
    assert_call(&scene, status, NULL, NULL, EXIT_OK, "\n  failed     ");
    cleanup_free char *again = publish(&scene, &scene.new);
    tree_write(&scene.tree, "www/edge-2.bundle", "nonsense", 8);
    assert_call(&scene, update, "--automatic", NULL, EXIT_PERMANENT, "");
    assert_call(&scene, status, NULL, NULL, EXIT_OK, "\n  failed     ");
    cleanup_free char *good = publish(&scene, &scene.new), *text = NULL, *seen = NULL;
    assert_call(&scene, update, "http://name:canary@127.0.0.1:1/x.bundle", NULL, EXIT_PERMANENT, "");
    seen = support_read(&scene.tree.root, "run/webops/update.json");
    assert_null(strstr(seen, "canary"));
    assert_non_null(strstr(seen, "\"failed\": \"see what"));
    assert_call(&scene, update, "--automatic", NULL, EXIT_OK, "");
    assert_int_equal(call(&scene, "status", verb_status, NULL, NULL, &text), EXIT_OK);
    assert_null(strstr(text, "failed "));
}

static void wrong_usage(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    assert_call(&scene, trial, "dance", NULL, EXIT_USAGE, "");
    assert_call(&scene, update, "ftp://example.org/x", NULL, EXIT_PERMANENT, "");
    assert_call(&scene, update, "a", "b", EXIT_USAGE, "");
    // Not one of our machines: units that call it there do not fail.
    assert_ok(file_remove_tree(scene.tree.root.fd, "run/webops/boot", &tree_failure));
    assert_call(&scene, trial, "commit", NULL, EXIT_OK, "");
    assert_call(&scene, update, scene.bundle, NULL, EXIT_PERMANENT, "");
    assert_call(&scene, status, NULL, NULL, EXIT_OK, "slot");
}

int main(int argc, char **argv) {
    (void)argc;
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_s_life),
        cmocka_unit_test(every_event_is_an_object),
        cmocka_unit_test(automatic_updates_need_leave),
        cmocka_unit_test(refusals_are_in_the_status),
        cmocka_unit_test(a_channel_that_stands_still_is_noticed),
        cmocka_unit_test(failures_are_in_the_status),
        cmocka_unit_test(wrong_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
