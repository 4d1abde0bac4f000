// SPDX-License-Identifier: Apache-2.0
// Small files: read leniently, since each can be made again, and written durably.
#include "firstboot/stack/state.h"
#include "common/file.h"
#include "common/opt.h"
#include "firstboot/actionlog.h"
#include "firstboot/report.h"
#include <errno.h>
#include <string.h>

static const char *const state_names[STACK_STATES] = {"stopped", "starting", "running", "waiting", "failed"};

const char *stack_state_name(enum stack_state state) {
    return state_names[state];
}

static char *state_path(const char *name) {
    return str_printf(STACK_STATE_DIR "/%s.json", name);
}

bool stack_state_is_uninstalled(int root_fd, const char *name) {
    cleanup_free char *path = state_path(name);
    cleanup_json json_t *state = report_read(root_fd, path);
    return json_is_true(json_object_get(state, "uninstalled"));
}

static int remove_file(int root_fd, const char *path, struct err *err) {
    return unlinkat(root_fd, path, 0) < 0 && errno != ENOENT ? err_sys(err, -errno, "cannot remove /%s", path) : 0;
}

static int save_json(int root_fd, const char *dir, const char *path, const json_t *json, struct err *err) {
    cleanup_free char *text = json_dumps(json, JSON_INDENT(2));
    int r = file_mkdirs(root_fd, dir, 0755, err);
    return r < 0 ? r : file_publish(root_fd, path, text, strlen(text), 0644, err);
}

int stack_state_set_uninstalled(int root_fd, const char *name, bool is_uninstalled, struct err *err) {
    cleanup_free char *path = state_path(name);
    if (stack_state_is_uninstalled(root_fd, name) == is_uninstalled)
        return 0;
    struct actionlog_time now = actionlog_now();
    cleanup_json json_t *state = json_pack("{s:b, s:s}", "uninstalled", 1, "time", now.text);
    int r = is_uninstalled ? save_json(root_fd, STACK_STATE_DIR, path, state, err) : remove_file(root_fd, path, err);
    return r < 0 ? r : 1;
}

char *stack_digest_load(int root_fd, const char *name, const char *kind) {
    cleanup_free char *path = str_printf(STACK_RUN_DIR "/%s.%s", name, kind);
    char *text = NULL;
    struct err err;
    if (file_read(root_fd, path, 256, &text, NULL, &err) < 0)
        return NULL;
    text[strcspn(text, "\n")] = 0;
    return text;
}

int stack_digest_save(int root_fd, const char *name, const char *kind, const char *digest, struct err *err) {
    cleanup_free char *path = str_printf(STACK_RUN_DIR "/%s.%s", name, kind), *old = stack_digest_load(root_fd, name, kind);
    if (digest && old && strcmp(digest, old) == 0)
        return 0;
    int r = digest ? file_mkdirs(root_fd, STACK_RUN_DIR, 0755, err) : remove_file(root_fd, path, err);
    if (r < 0 || !digest)
        return r;
    cleanup_free char *line = str_printf("%s\n", digest);
    return file_publish(root_fd, path, line, strlen(line), 0600, err);
}

void stack_record_done(struct stack_record *record) {
    free(record->why);
    free(record->since);
    *record = (struct stack_record){0};
}

void stack_record_load(int root_fd, const char *name, struct stack_record *ret_record) {
    cleanup_free char *path = str_printf(STACK_RUN_DIR "/%s.json", name);
    cleanup_json json_t *json = report_read(root_fd, path);
    const char *state = json_string_value(json_object_get(json, "state")) ?: "";
    *ret_record = (struct stack_record){
        .why = str_dup(json_string_value(json_object_get(json, "why")) ?: ""),
        .since = str_dup(json_string_value(json_object_get(json, "since")) ?: ""),
    };
    for (size_t i = 0; i < STACK_STATES; i++)
        if (strcmp(state, state_names[i]) == 0)
            ret_record->state = (enum stack_state)i;
}

int stack_record_save(int root_fd, const char *name, enum stack_state state, const char *why, struct err *err) {
    cleanup_stack_record struct stack_record old = {0};
    stack_record_load(root_fd, name, &old);
    bool is_same = *old.since && old.state == state;
    if (is_same && strcmp(old.why, why) == 0)
        return 0;
    struct actionlog_time now = actionlog_now();
    cleanup_free char *path = str_printf(STACK_RUN_DIR "/%s.json", name);
    cleanup_json json_t *json =
        json_pack("{s:s, s:o, s:s}", "state", state_names[state], "why", report_text(why), "since", is_same ? old.since : now.text);
    return save_json(root_fd, STACK_RUN_DIR, path, json, err);
}

void stacks_done(struct stacks *stacks) {
    for (size_t i = 0; stacks->items && i < stacks->set.count; i++)
        free(stacks->items[i].problem);
    free(stacks->items);
    if (!stacks->is_borrowed) {
        stack_set_done(&stacks->set);
        config_done(&stacks->config);
    }
    *stacks = (struct stacks){0};
}

// The problem that the last `webops apply` found with a stack.
static char *load_problem(const json_t *last, const char *name) {
    const json_t *list = json_object_get(last, "stacks");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *problem = json_string_value(json_object_get(item, "problem"));
        if (problem && strcmp(json_string_value(json_object_get(item, "name")) ?: "", name) == 0)
            return str_dup(problem);
    }
    return NULL;
}

// What is in force passed the check when it was taken.
static int load_config(int root_fd, struct config *ret_config, struct err *err) {
    cleanup_free char *text = NULL;
    cleanup_config_problems struct config_problems problems = {0};
    size_t size;
    int r = file_read(root_fd, STACK_CONFIG_PATH, 2 * CONFIG_MAX_BYTES, &text, &size, err);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    (void)!config_parse(text, size, ret_config, &problems);
    return problems.count ? err_set(err, -EINVAL, "/" STACK_CONFIG_PATH ":%u: %s", problems.items[0].line, problems.items[0].text) : 0;
}

static int load(int root_fd, struct stacks *stacks, struct err *err) {
    cleanup_json json_t *report = NULL;
    int r = stack_set_load(root_fd, &stacks->set, err);
    if (r >= 0)
        r = load_config(root_fd, &stacks->config, err);
    if (r < 0)
        return r;
    const json_t *last = report_load(root_fd, &report);
    stacks->items = mem_array(stacks->set.count + 1, sizeof(*stacks->items));
    for (size_t i = 0; i < stacks->set.count; i++) {
        const struct stack *stack = stacks->set.stacks[i];
        stacks->items[i] = (struct stacks_item){
            .is_enabled = stack_is_enabled(&stacks->set, stack, &stacks->config),
            .is_uninstalled = stack_state_is_uninstalled(root_fd, stack->name),
            .problem = load_problem(last, stack->name),
        };
    }
    return 0;
}

int stacks_load(int root_fd, struct stacks *ret_stacks, struct err *err) {
    struct stacks stacks = {0};
    int r = load(root_fd, &stacks, err);
    if (r < 0)
        stacks_done(&stacks);
    else
        *ret_stacks = stacks;
    return r;
}

bool stacks_is_active(const struct stacks *stacks, size_t index) {
    return stacks->items[index].is_enabled && !stacks->items[index].is_uninstalled;
}

int stacks_find(const struct stacks *stacks, const char *name, struct err *err) {
    cleanup_free const char **names = mem_array(stacks->set.count + 1, sizeof(*names));
    for (size_t i = 0; i < stacks->set.count; i++) {
        names[i] = stacks->set.stacks[i]->name;
        if (strcmp(names[i], name) == 0)
            return (int)i;
    }
    const char *nearest = nearest_word(name, names, stacks->set.count, sizeof(*names));
    return err_set(err, -ENOENT, "this image has no stack %s%s%s%s", name, nearest ? "; did you mean " : "; see: webops list",
                   nearest ? nearest : "", nearest ? "?" : "");
}

char *stacks_active_names(const struct stacks *stacks) {
    cleanup_buf struct buf names = {0};
    for (size_t i = 0; i < stacks->set.count; i++)
        if (stacks_is_active(stacks, i))
            buf_printf(&names, "%s%s", names.size ? ", " : "", stacks->set.stacks[i]->name);
    return buf_take(&names);
}

int stack_config_save(int root_fd, const struct config *config, struct err *err) {
    cleanup_buf struct buf text = {0};
    for (size_t i = 0; i < config->count; i++)
        if (config_format_entry(config->entries[i].key, config->entries[i].value, &text) < 0)
            return err_set(err, -EINVAL, "%s: the value cannot be written down", config->entries[i].key);
    int r = file_mkdirs(root_fd, "run/webops", 0755, err);
    return r < 0 ? r : file_publish(root_fd, STACK_CONFIG_PATH, buf_str(&text), text.size, 0600, err);
}
