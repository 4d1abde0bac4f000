// SPDX-License-Identifier: Apache-2.0
// One function per kind of check. What of their texts depends on the configuration is rendered once, when the table is made.
#include "firstboot/stack/checks.h"
#include "firstboot/stack/exec.h"
#include "firstboot/stack/probe.h"
#include "firstboot/stack/systemd.h"
#include <errno.h>
#include <string.h>

#define DEFAULT_TIMEOUT_SECONDS 10

struct stack_check_item {
    const struct stack *stack;
    struct stack_session *session; // the table's
    const struct stack_check *check;
    char *name; // "etcd/quorum"
    char *target; // address or url
    struct stack_list command;
    bool is_held; // the stack's files could not be rendered: it is not expected to run
    char *problem; // why this check cannot be made
};

static void item_free(struct stack_check_item *item) {
    free(item->name);
    free(item->target);
    free(item->problem);
    for (size_t i = 0; i < item->command.count; i++)
        free(item->command.items[i]);
    free(item->command.items);
    free(item);
}

void stack_checks_done(struct stack_checks *checks) {
    stack_session_done(&checks->session);
    for (size_t i = 0; i < checks->owned_count; i++)
        item_free(checks->owned[i]);
    free(checks->owned);
    free(checks->items);
    stacks_done(&checks->stacks);
    *checks = (struct stack_checks){0};
}

static unsigned timeout_of(const struct stack_check_item *item) {
    return item->check->timeout_seconds ? item->check->timeout_seconds : DEFAULT_TIMEOUT_SECONDS;
}

static int check_unit(const struct stack_check_item *item, struct err *err) {
    static const char *const words[] = {[SYSTEMD_INACTIVE] = "does not run",
                                        [SYSTEMD_CHANGING] = "is still starting",
                                        [SYSTEMD_FAILED] = "has failed",
                                        [SYSTEMD_MISSING] = "is not in this image"};
    const char *unit = item->check->unit;
    struct systemd_unit now;
    int r = systemd_show(&unit, 1, &now, err);
    if (r < 0 || now.state == SYSTEMD_ACTIVE)
        return r;
    cleanup_buf struct buf lines = {0};
    if (now.state == SYSTEMD_FAILED || now.state == SYSTEMD_CHANGING)
        systemd_last_lines(unit, &lines);
    return err_set(err, -EAGAIN, "%s %s%s%s", unit, words[now.state], lines.size ? ": " : "", buf_str(&lines));
}

static int check_tcp(const struct stack_check_item *item, struct err *err) {
    return probe_tcp(item->target, timeout_of(item), err);
}

static int check_http(const struct stack_check_item *item, struct err *err) {
    return probe_http(item->target, item->check->expect ? item->check->expect : 200, timeout_of(item), err);
}

static int check_command(const struct stack_check_item *item, struct err *err) {
    const struct stack_exec exec = {item->name, &item->command, item->check->user, timeout_of(item)};
    return stack_session_exec(item->session, &exec, err);
}

static int run_check(const struct health_context *context, struct err *err) {
    static int (*const kinds[])(const struct stack_check_item *, struct err *) = {
        [STACK_CHECK_UNIT] = check_unit,
        [STACK_CHECK_TCP] = check_tcp,
        [STACK_CHECK_HTTP] = check_http,
        [STACK_CHECK_COMMAND] = check_command,
    };
    const struct stack_check_item *item = context->data;
    if (item->is_held) // a wrong configuration is no bad generation
        return 1;
    if (item->problem)
        return err_set(err, -EINVAL, "%s", item->problem);
    int r = kinds[item->check->kind](item, err);
    if (r == 0)
        return 0;
    cleanup_stack_record struct stack_record record = {0};
    stack_record_load(context->root_fd, item->stack->name, &record);
    return record.state == STACK_WAITING ? err_set(err, -EAGAIN, "%s", record.why) : r;
}

static char *render_text(const struct stacks *stacks, const char *name, const char *text, struct stack_check_item *item) {
    const struct template_values values = {.schema = &stacks->set.schema, .config = &stacks->config};
    cleanup_buf struct buf rendered = {0};
    struct err err;
    if (template_render(name, text, strlen(text), TEMPLATE_WORD, &values, &rendered, &err) < 0 && !item->problem)
        item->problem = str_dup(err.text);
    return buf_take(&rendered);
}

static void render_item(const struct stacks *stacks, struct stack_check_item *item) {
    const struct stack_check *check = item->check;
    const char *target = check->kind == STACK_CHECK_TCP ? check->address : check->kind == STACK_CHECK_HTTP ? check->url : NULL;
    if (target)
        item->target = render_text(stacks, item->name, target, item);
    if (check->kind != STACK_CHECK_COMMAND)
        return;
    item->command.items = mem_array(check->command.count + 1, sizeof(*item->command.items));
    for (size_t i = 0; i < check->command.count; i++)
        item->command.items[item->command.count++] = render_text(stacks, item->name, check->command.items[i], item);
}

static void add(struct stack_checks *checks, const struct health_check *check) {
    checks->items = mem_resize(checks->items, checks->count + 2, sizeof(*checks->items));
    checks->items[checks->count++] = *check;
    checks->items[checks->count] = (struct health_check){0};
}

void stack_checks_add(struct stack_checks *checks, const struct stacks *stacks, size_t index) {
    const struct stack *stack = stacks->set.stacks[index];
    for (size_t i = 0; i < stack->check_count; i++) {
        if (!stack_holds(&stacks->set, stack->checks[i].when, &stacks->config))
            continue;
        struct stack_check_item *item = mem_array(1, sizeof(*item));
        *item = (struct stack_check_item){
            .stack = stack, .session = &checks->session, .check = &stack->checks[i], .is_held = stacks->items[index].problem};
        item->name = str_printf("%s/%s", stack->name, stack->checks[i].name);
        render_item(stacks, item);
        checks->owned = mem_resize(checks->owned, checks->owned_count + 1, sizeof(struct stack_check_item *));
        checks->owned[checks->owned_count++] = item;
        add(checks, &(struct health_check){.name = item->name, .run = run_check, .data = item});
    }
}

static int stacks_unreadable(const struct health_context *context, struct err *err) {
    cleanup_stacks struct stacks stacks = {0};
    return stacks_load(context->root_fd, &stacks, err);
}

void stack_checks_load(int root_fd, struct stack_checks *ret_checks) {
    struct stack_checks checks = {0};
    struct err err;
    for (; health_base_checks[checks.base_count].name; checks.base_count++)
        add(&checks, &health_base_checks[checks.base_count]);
    *ret_checks = checks;
    if (stacks_load(root_fd, &ret_checks->stacks, &err) < 0) {
        add(ret_checks, &(struct health_check){.name = "stacks", .run = stacks_unreadable});
        return;
    }
    for (size_t i = 0; i < ret_checks->stacks.set.count; i++)
        if (stacks_is_active(&ret_checks->stacks, i))
            stack_checks_add(ret_checks, &ret_checks->stacks, i);
}
