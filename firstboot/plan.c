// SPDX-License-Identifier: Apache-2.0
// The table of renderers and the few functions through which they add to a plan.
#include "firstboot/plan.h"
#include "common/schema_types.h"
#include "firstboot/render.h"
#include <errno.h>
#include <string.h>

static const struct {
    const char *name;
    render_fn *render;
} renderers[] = {
    {"hostname", render_hostname}, {"timezone", render_timezone}, {"chrony", render_chrony}, {"journal", render_journal},
    {"network", render_network},   {"dns", render_dns},           {"ssh", render_ssh},       {"user", render_user},
    {"sudo", render_sudo},         {"limits", render_limits},     {"sysctl", render_sysctl}, {"watchdog", render_watchdog},
    {"swap", render_swap},         {"issue", render_issue},       {"http", render_http},     {"stacks", render_stacks},
    {"firewall", render_firewall},
};

void plan_done(struct plan *plan) {
    for (size_t i = 0; i < plan->count; i++) {
        free(plan->entries[i].path);
        if (plan->entries[i].content)
            explicit_bzero(plan->entries[i].content, plan->entries[i].size); // shadow holds a password hash
        free(plan->entries[i].content);
    }
    free(plan->entries);
    free(plan->sysctls);
    free(plan->hostname);
    for (size_t i = 0; i < plan->stack_count; i++)
        free(plan->stacks[i].problem);
    free(plan->stacks);
    for (size_t i = 0; i < plan->port_count; i++) {
        free(plan->ports[i].port);
        free(plan->ports[i].from4);
        free(plan->ports[i].from6);
    }
    free(plan->ports);
    config_problems_done(&plan->stack_problems);
    *plan = (struct plan){0};
}

static int compare_entries(const void *left, const void *right) {
    return strcmp(((const struct plan_entry *)left)->path, ((const struct plan_entry *)right)->path);
}

static void render_all(const struct schema *schema, const struct config *config, const struct facts *facts, struct plan *plan) {
    const struct render in = {schema, config, facts, plan};
    for (size_t i = 0; i < ARRAY_SIZE(renderers) && !plan->problem_key; i++)
        renderers[i].render(&in);
    if (plan->count > 0)
        qsort(plan->entries, plan->count, sizeof(*plan->entries), compare_entries);
}

// Takes an entry out of a list that shares its strings with the original.
static bool drop_key(struct config *view, const char *key) {
    for (size_t i = 0; i < view->count; i++)
        if (strcmp(view->entries[i].key, key) == 0) {
            view->entries[i] = view->entries[--view->count];
            return true;
        }
    return false;
}

int plan_make(const struct schema *schema, const struct config *config, const struct facts *facts, struct plan *ret_plan,
              struct config_problems *problems, struct err *err) {
    cleanup_free struct config_entry *entries = mem_array(config->count + 1, sizeof(*entries));
    struct config view = {.entries = entries, .count = config->count};
    if (config->count)
        memcpy(entries, config->entries, config->count * sizeof(*entries));
    for (;;) {
        struct plan plan = {0};
        render_all(schema, &view, facts, &plan);
        if (!plan.problem_key) {
            for (size_t i = 0; i < plan.stack_problems.count; i++)
                config_problem_add(problems, plan.stack_problems.items[i].line, "%s", plan.stack_problems.items[i].text);
            *ret_plan = plan;
            return 0;
        }
        const struct config_entry *entry = config_find(config, plan.problem_key);
        int r = err_set(err, -EINVAL, "%s %s", plan.problem_key, plan.problem);
        bool has_dropped = drop_key(&view, plan.problem_key);
        plan_done(&plan);
        if (!has_dropped)
            return r;
        config_problem_add(problems, entry->line, "%s; its default is used", err->text);
    }
}

const struct plan_entry *plan_find(const struct plan *plan, const char *path) {
    for (size_t i = 0; i < plan->count; i++)
        if (strcmp(plan->entries[i].path, path) == 0)
            return &plan->entries[i];
    return NULL;
}

struct plan_entry *render_entry(const struct render *in, enum plan_kind kind, const char *path, mode_t mode) {
    struct plan *plan = in->plan;
    plan->entries = mem_resize(plan->entries, plan->count + 1, sizeof(*plan->entries));
    struct plan_entry *entry = &plan->entries[plan->count++];
    *entry = (struct plan_entry){.kind = kind, .path = str_dup(path), .mode = mode};
    return entry;
}

void render_file(const struct render *in, const char *path, mode_t mode, struct buf *content) {
    struct plan_entry *entry = render_entry(in, PLAN_FILE, path, mode);
    entry->size = content->size;
    entry->content = buf_take(content);
}

void render_link(const struct render *in, const char *path, const char *target) {
    struct plan_entry *entry = render_entry(in, PLAN_LINK, path, 0777);
    entry->content = str_dup(target);
    entry->size = strlen(target);
}

// `key` may be a text of the caller's stack; the schema's, or the entry's, outlives it.
void render_problem(const struct render *in, const char *key, const char *what) {
    const struct config_entry *entry = config_find(in->config, key);
    if (in->plan->problem_key)
        return;
    in->plan->problem_key = entry ? entry->key : schema_find(in->schema, key)->name;
    in->plan->problem = what;
}

const char *render_text(const struct render *in, const char *key) {
    const char *text = schema_text(in->schema, in->config, key);
    return text ? text : "";
}

bool render_bool(const struct render *in, const char *key) {
    return schema_bool(in->schema, in->config, key);
}

int64_t render_integer(const struct render *in, const char *key) {
    return schema_integer(in->schema, in->config, key);
}

bool render_is_set(const struct render *in, const char *key) {
    return render_text(in, key)[0] != 0;
}

void render_word(const struct render *in, struct buf *buf, const char *key, const char *text, size_t size) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/%+@,=-";
    for (size_t i = 0; i < size; i++)
        if (text[i] == 0 || !strchr(allowed, text[i])) {
            render_problem(in, key, "holds a character that cannot be written into its file");
            return;
        }
    buf_add(buf, text, size);
}

void render_list(const struct render *in, struct buf *buf, const char *key, const char *prefix, const char *suffix) {
    const char *word;
    size_t size;
    for (const char *cursor = render_text(in, key); (word = schema_next_word(&cursor, &size));) {
        buf_add_str(buf, prefix);
        render_word(in, buf, key, word, size);
        buf_add_str(buf, suffix);
    }
}
