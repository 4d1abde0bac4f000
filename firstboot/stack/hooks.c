// SPDX-License-Identifier: Apache-2.0
// Who runs when; how a command runs is exec.c.
#include "firstboot/stack/hooks.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/actionlog.h"
#include "firstboot/stack/exec.h"
#include <errno.h>
#include <string.h>

#define DEFAULT_TIMEOUT_SECONDS 60

static char *render_word(const struct stacks *stacks, const char *name, const char *text, struct err *err) {
    const struct template_values values = {.schema = &stacks->set.schema, .config = &stacks->config};
    cleanup_buf struct buf rendered = {0};
    return template_render(name, text, strlen(text), TEMPLATE_WORD, &values, &rendered, err) < 0 ? NULL : buf_take(&rendered);
}

static int run_hook(const struct stack_hooks *hooks, const struct stacks *stacks, const struct stack *stack, const struct stack_hook *hook,
                    struct err *err) {
    cleanup_free char *name = str_printf("%s/%s", stack->name, stack_event_name(hook->event));
    struct stack_list command = {.items = mem_array(hook->command.count + 1, sizeof(*command.items))};
    int r = 0;
    while (r == 0 && command.count < hook->command.count) {
        command.items[command.count] = render_word(stacks, name, hook->command.items[command.count], err);
        r = command.items[command.count] ? 0 : -EINVAL;
        command.count += r == 0;
    }
    const unsigned seconds = hook->timeout_seconds ? hook->timeout_seconds : DEFAULT_TIMEOUT_SECONDS;
    if (r == 0) {
        log_info("hook %s: %s", name, command.items[0]);
        r = stack_exec(&(struct stack_exec){name, &command, hook->user, seconds}, err);
    }
    actionlog_write(hooks->root_fd, "stacks", "hook", name, r < 0 ? err->text : "ok");
    for (size_t i = 0; i < command.count; i++)
        free(command.items[i]);
    free(command.items);
    return r < 0 ? err_prefix(err, r, "hook %s", name) : 0;
}

int stack_hooks_one(const struct stack_hooks *hooks, const struct stacks *stacks, size_t index, enum stack_event event, struct err *err) {
    const struct stack *stack = stacks->set.stacks[index];
    for (size_t i = 0; hooks->is_live && i < stack->hook_count; i++) {
        const struct stack_hook *hook = &stack->hooks[i];
        struct err failure;
        if (hook->event != event || !stack_holds(&stacks->set, hook->when, &stacks->config) ||
            run_hook(hooks, stacks, stack, hook, &failure) == 0)
            continue;
        if (hook->is_required && !hooks->is_forced)
            return err_set(err, -EAGAIN, "%s", failure.text);
        log_warn("%s", failure.text);
    }
    return 0;
}

// A stack that was never started has nothing to hand over or to save.
static bool was_started(int root_fd, const char *name) {
    cleanup_stack_record struct stack_record record = {0};
    stack_record_load(root_fd, name, &record);
    return record.state != STACK_STOPPED && record.state != STACK_WAITING;
}

int stack_hooks_all(const struct stack_hooks *hooks, enum stack_event event, struct err *err) {
    cleanup_stacks struct stacks stacks = {0};
    int r = hooks->is_live ? stacks_load(hooks->root_fd, &stacks, err) : 0;
    for (size_t i = 0; r >= 0 && i < stacks.set.count; i++) {
        size_t index = event == STACK_AFTER_START ? i : stacks.set.count - 1 - i;
        if (stacks_is_active(&stacks, index) && was_started(hooks->root_fd, stacks.set.stacks[index]->name))
            r = stack_hooks_one(hooks, &stacks, index, event, err);
    }
    return r;
}

int stack_hooks_before_reboot(const struct stack_hooks *hooks, struct err *err) {
    int r = stack_hooks_all(hooks, STACK_BEFORE_REBOOT, err);
    if (r < 0 || !hooks->is_live)
        return r;
    r = file_mkdirs(hooks->root_fd, STACK_RUN_DIR, 0755, err);
    return r < 0 ? r : file_publish(hooks->root_fd, STACK_HOOKS_DONE_PATH, "", 0, 0644, err);
}

void stack_hooks_forget(const struct stack_hooks *hooks) {
    unlinkat(hooks->root_fd, STACK_HOOKS_DONE_PATH, 0);
}
