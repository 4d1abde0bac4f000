// SPDX-License-Identifier: Apache-2.0
// What an operator reads before an update: packages compared, layers compared, sizes, refusals; and the bar while it runs.
#include "firstboot/test/support.h"
#include "common/test/manifest_seed.h"
#include "firstboot/update/planview.h"
#include "firstboot/update/progress.h"
#include <errno.h>

#define assert_contains(text, part)                                                                                                        \
    do {                                                                                                                                   \
        if (!strstr((text), (part)))                                                                                                       \
            fail_msg("'%s' is not in '%s'", (part), (text));                                                                               \
    } while (0)

static struct err failure;

static const char status_text[] = "Package: bash\nStatus: install ok installed\nPriority: required\nVersion: 5.2-1\nDescription: shell\n"
                                  " Package: not this\n\n"
                                  "Package: gone\nVersion: 1\nStatus: deinstall ok config-files\n\n"
                                  "Version: 2\nPackage: ssh\nStatus: install ok installed\n\n\n"
                                  "Package: zlib1g\nStatus: hold ok installed\nVersion: 1:1.2\n";
static const char list_text[] = "base\tbash\t5.2-1\tamd64\nbase\tcurl\t8\tamd64\nweb\tssh\t3\tamd64\n";

static void packages_are_compared(void **state) {
    (void)state;
    cleanup_packages struct packages old = {0}, new = {0};
    cleanup_buf struct buf text = {0};
    struct packages_diff diff;
    packages_parse_status(status_text, &old);
    assert_int_equal(old.count, 3);
    assert_string_equal(old.items[2].name, "zlib1g");
    assert_string_equal(old.items[2].version, "1:1.2");
    assert_int_equal(packages_parse_list(list_text, &new, &failure), 0);
    packages_compare(&old, &new, &text, &diff);
    assert_string_equal(buf_str(&text), "+ curl 8\n  ssh 2 → 3\n- zlib1g 1:1.2\n");
    assert_int_equal(diff.added, 1);
    assert_int_equal(diff.changed, 1);
    assert_int_equal(diff.removed, 1);
}

static void nothing_is_compared_with_nothing(void **state) {
    (void)state;
    cleanup_packages struct packages old = {0}, new = {0};
    cleanup_buf struct buf text = {0};
    struct packages_diff diff;
    packages_parse_status("", &old);
    assert_int_equal(packages_parse_list("", &new, &failure), 0);
    packages_compare(&old, &new, &text, &diff);
    assert_string_equal(buf_str(&text), "");
    assert_int_equal(diff.added + diff.removed + diff.changed, 0);
}

static void wrong_lists_are_named_by_line(void **state) {
    (void)state;
    static const char *const lists[] = {"base\tbash\t5\tamd64\nbase\tbash\n", "base\tbash\t5\tamd64\n\tbash\t5\tamd64\n", "a\tb\tc\td\n\n",
                                        "a\tb\tc\td\na\tb\t\td\n", "a\tb\tc\td\na"};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        cleanup_packages struct packages packages = {0};
        assert_int_equal(packages_parse_list(lists[i], &packages, &failure), -EINVAL);
        assert_contains(failure.text, "line 2");
    }
}

struct scene {
    struct manifest manifest;
    struct update_facts facts;
    struct update_verdict verdict;
    struct slot_header running;
    struct delta_estimate estimate;
    struct packages old, new;
    struct plan_view view;
};

static void scene_make(struct scene *scene) {
    *scene = (struct scene){.estimate = {.total_bytes = 200 << 20, .fetch_bytes = 3 << 20, .copy_bytes = 197 << 20}};
    manifest_seed(&scene->manifest, 3);
    strcpy(scene->facts.profile, "edge-web.1");
    strcpy(scene->facts.version, "2026.10");
    scene->facts.sequence = 41;
    scene->facts.slot_bytes = 2ULL << 30;
    scene->running.layer_count = 3;
    for (int i = 0; i < 3; i++) {
        struct slot_layer *layer = &scene->running.layers[i];
        strcpy(layer->name, i == 2 ? "leaving" : scene->manifest.layers[i].name);
        strcpy(layer->version, i == 1 ? "1:0.9" : scene->manifest.layers[i].version);
        memcpy(layer->sha256, scene->manifest.layers[i].data.sha256, 32);
        layer->sha256[0] ^= i == 1;
    }
    packages_parse_status(status_text, &scene->old);
    assert_int_equal(packages_parse_list(list_text, &scene->new, &failure), 0);
    scene->view = (struct plan_view){.manifest = &scene->manifest,
                                     .facts = &scene->facts,
                                     .verdict = &scene->verdict,
                                     .running = &scene->running,
                                     .estimate = &scene->estimate,
                                     .old_packages = &scene->old,
                                     .new_packages = &scene->new,
                                     .slot = BOOT_SLOT_B,
                                     .tries = 3};
}
static void scene_done(struct scene *scene) {
    packages_done(&scene->old);
    packages_done(&scene->new);
}

static void a_plan_says_what_changes(void **state) {
    (void)state;
    cleanup(scene_done) struct scene scene;
    cleanup_buf struct buf text = {0};
    scene_make(&scene);
    plan_format(&scene.view, &text);
    static const char *const parts[] = {"now          edge-web.1 2026.10, sequence 41, runs in slot a",
                                        "new          edge-web.1 2026.11+r4~rc1, sequence 42, channel stable, goes to slot b\n",
                                        "unchanged layer-0.x 1:0.0-2, 4.0 KiB",
                                        "changed   layer-1.x 1:0.9 → 1:1.0-2",
                                        "added     layer-2.x 1:2.0-2",
                                        "removed   leaving 1:2.0-2",
                                        "packages     1 changed, 1 added, 1 removed",
                                        "+ curl 8",
                                        "to fetch     3.0 MiB of 200.0 MiB (1.5 %); the rest is here already",
                                        "slot b: ",
                                        "restarts when you say so; the new generation has 3 tries"};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        assert_contains(buf_str(&text), parts[i]);
    assert_null(strstr(buf_str(&text), "refused"));
    assert_null(strstr(buf_str(&text), "interrupted"));
    cleanup_buf struct buf again = {0};
    scene.view.stacks = "etcd, patroni";
    plan_format(&scene.view, &again);
    assert_contains(buf_str(&again), "stacks       etcd, patroni: interrupted by the restart, after their hooks\n");
    json_t *json = plan_json(&scene.view), *stacks = json_object_get(json, "interrupted_stacks");
    assert_int_equal(json_array_size(stacks), 2);
    assert_string_equal(json_string_value(json_array_get(stacks, 1)), "patroni");
    json_decref(json);
}

static void a_plan_says_what_speaks_against_it(void **state) {
    (void)state;
    cleanup(scene_done) struct scene scene;
    cleanup_buf struct buf text = {0};
    scene_make(&scene);
    scene.verdict.count = 1;
    scene.verdict.refusals[0] = REFUSAL_EXPIRED;
    strcpy(scene.verdict.texts[0].text, "too old");
    scene.view.running = NULL;
    scene.view.estimate = NULL;
    scene.view.old_packages = NULL;
    plan_format(&scene.view, &text);
    assert_contains(buf_str(&text), "refused      too old\n");
    assert_null(strstr(buf_str(&text), "to fetch"));
    assert_null(strstr(buf_str(&text), "packages"));
    json_t *json = plan_json(&scene.view);
    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(json, "refusals"), 0), "rule")), "expired");
    assert_true(json_is_null(json_object_get(json, "packages")));
    json_decref(json);
}

static void a_plan_is_an_object(void **state) {
    (void)state;
    cleanup(scene_done) struct scene scene;
    scene_make(&scene);
    json_t *json = plan_json(&scene.view);
    assert_int_equal(json_integer_value(json_object_get(json, "fetch_bytes")), 3 << 20);
    assert_int_equal(json_array_size(json_object_get(json, "layers")), 4);
    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(json, "layers"), 1), "change")), "changed");
    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(json, "layers"), 3), "change")), "removed");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "packages"), "added")), 1);
    json_decref(json);
}

static void the_bar_fits_its_terminal(void **state) {
    (void)state;
    struct delta_progress delta = {.phase = DELTA_WRITING, .done_bytes = 25 << 20, .total_bytes = 100 << 20, .rate_bytes = 1 << 20};
    char line[PROGRESS_LINE_BYTES];
    progress_format(&delta, 79, line);
    assert_contains(line, "writing   [#");
    assert_contains(line, "  25 %  1.0 MiB/s  1:15 left");
    for (unsigned width = 1; width < 400; width++)
        for (int percent = 0; percent <= 101; percent++) {
            delta.done_bytes = delta.total_bytes / 100 * (unsigned)percent;
            progress_format(&delta, width, line);
            assert_true(strlen(line) <= width);
        }
    delta = (struct delta_progress){.phase = DELTA_LOOKING};
    progress_format(&delta, 40, line);
    assert_contains(line, "comparing");
    assert_contains(line, "0 %");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packages_are_compared),
        cmocka_unit_test(nothing_is_compared_with_nothing),
        cmocka_unit_test(wrong_lists_are_named_by_line),
        cmocka_unit_test(a_plan_says_what_changes),
        cmocka_unit_test(a_plan_says_what_speaks_against_it),
        cmocka_unit_test(a_plan_is_an_object),
        cmocka_unit_test(the_bar_fits_its_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
