// SPDX-License-Identifier: Apache-2.0
// Stacks in the plan: their files, what systemd has to know of them, their kernel parameters, their ports. A value that one of its formats
// cannot hold costs that stack and no other. Pure.
#include "firstboot/render.h"
#include "firstboot/stack/ports.h"
#include "firstboot/stack/render.h"
#include "firstboot/stack/state.h"
#include "common/slot.h"
#include <errno.h>
#include <string.h>

static const char header[] = "# Rendered by webops from config.env.\n";

// What the callback for secrets knows, and what it found.
struct secrets {
    const struct stack_inputs *inputs;
    const char *problem; // of the last secret that was asked for and could not be read
};

static const char *find_secret(void *context, const char *key, size_t *ret_size) {
    struct secrets *secrets = context;
    for (size_t i = 0; i < secrets->inputs->secret_count; i++) {
        const struct stack_secret *secret = &secrets->inputs->secrets[i];
        if (strcmp(secret->key, key) != 0)
            continue;
        if (secret->text.problem)
            secrets->problem = secret->text.problem;
        *ret_size = secret->text.size;
        return secret->text.text;
    }
    return NULL;
}

// The third field of the line "name:x:number:…".
static bool find_number(const char *accounts, const char *name, size_t size, unsigned *ret_number) {
    for (const char *line = accounts; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, name, size) != 0 || line[size] != ':')
            continue;
        const char *field = strchr(line + size + 1, ':');
        if (field && sscanf(field + 1, "%u:", ret_number) == 1)
            return true;
    }
    return false;
}

int stack_owner_find(const char *owner, const char *passwd, const char *group, uid_t *ret_uid, gid_t *ret_gid, struct err *err) {
    *ret_uid = 0;
    *ret_gid = 0;
    if (!owner)
        return 0;
    size_t size = strcspn(owner, ":");
    const char *group_name = owner + size + (owner[size] == ':');
    if (!find_number(passwd, owner, size, ret_uid))
        return err_set(err, -ENOENT, "this image has no user %.*s", (int)size, owner);
    if (*group_name && !find_number(group, group_name, strlen(group_name), ret_gid))
        return err_set(err, -ENOENT, "this image has no group %s", group_name);
    return 0;
}

// The operator's template, when there is one that works, else the image's.
static int render_text_of(const struct render *in, const struct stack_input *input, size_t index, const struct template_values *values,
                          struct buf *text, struct err *err) {
    const struct stack_text *own = &input->overrides[index], *image = &input->templates[index];
    const struct stack_file *file = &input->stack->files[index];
    cleanup_free char *own_name = str_printf("/" STACK_OVERRIDE_DIR "/%s/%s", input->stack->name, file->template);
    cleanup_free char *name = str_printf("%s/%s", input->stack->name, file->template);
    int r = own->problem ? err_set(err, -EIO, "%s", own->problem) : 0;
    if (own->text) {
        r = template_render(own_name, own->text, own->size, file->format, values, text, err);
        if (r >= 0)
            return r;
    }
    if (r < 0)
        config_problem_add(&in->plan->stack_problems, 0, "%s; the image's own template is used", err->text);
    if (!image->text)
        return err_set(err, -ENOENT, "%s: %s", name, image->problem ? image->problem : "this image has no such template");
    return template_render(name, image->text, image->size, file->format, values, text, err);
}

static int render_one(const struct render *in, const struct stack_input *input, size_t index, struct err *err) {
    const struct stack_file *file = &input->stack->files[index];
    struct secrets secrets = {.inputs = in->facts->stacks};
    const struct template_values values = {.schema = in->schema, .config = in->config, .secret = find_secret, .context = &secrets};
    cleanup_buf struct buf text = {0};
    uid_t uid;
    gid_t gid;
    int r = stack_owner_find(file->owner, in->facts->passwd, in->facts->group, &uid, &gid, err);
    if (r >= 0 && plan_find(in->plan, file->path + 1))
        r = err_set(err, -EEXIST, "%s is written by something else already", file->path);
    if (r >= 0)
        r = render_text_of(in, input, index, &values, &text, err);
    if (r < 0)
        return secrets.problem ? err_set(err, r, "%s", secrets.problem) : r;
    struct plan_entry *entry = render_entry(in, PLAN_FILE, file->path + 1, file->mode);
    entry->size = text.size;
    entry->content = buf_take(&text);
    entry->uid = uid;
    entry->gid = gid;
    return 0;
}

static void drop_entries(struct plan *plan, size_t from) {
    while (plan->count > from) {
        struct plan_entry *entry = &plan->entries[--plan->count];
        explicit_bzero(entry->content, entry->size);
        free(entry->content);
        free(entry->path);
    }
}

// Covers whatever makes a running service's files other ones.
static void digest_entries(const struct plan *plan, size_t from, char ret_text[2 * SHA256_BYTES + 1]) {
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&hash);
    for (size_t i = from; i < plan->count; i++) {
        const struct plan_entry *entry = &plan->entries[i];
        cleanup_free char *line =
            str_printf("%s %o %u %u %zu\n", entry->path, (unsigned)entry->mode, (unsigned)entry->uid, (unsigned)entry->gid, entry->size);
        sha256_update(&hash, line, strlen(line));
        sha256_update(&hash, entry->content, entry->size);
    }
    sha256_final(&hash, digest);
    hex_format(digest, sizeof(digest), ret_text);
}

// The mount units of a stack: state over a directory of /etc. systemd mounts and unmounts; webops only says what.
static void render_mounts(const struct render *in, const struct stack *stack) {
    for (size_t i = 0; i < stack->persist.count; i++) {
        const char *path = stack->persist.items[i];
        cleanup_free char *unit = stack_mount_unit(path), *name = str_printf("etc/systemd/system/%s", unit);
        cleanup_buf struct buf text = {0};
        buf_printf(&text,
                   "%s[Unit]\nDescription=What stack %s keeps below %s\nRequiresMountsFor=/" STACK_PERSIST_DIR
                   "\n\n[Mount]\nWhat=/" STACK_PERSIST_DIR "%s\nWhere=%s\nType=none\nOptions=bind,nosuid,nodev\n",
                   header, stack->name, path, path, path);
        render_file(in, name, 0644, &text);
    }
}

static void keep_files(const struct render *in, const struct stack *stack) {
    for (size_t i = 0; i < stack->file_count; i++)
        if (!plan_find(in->plan, stack->files[i].path + 1))
            render_entry(in, PLAN_KEEP, stack->files[i].path + 1, 0);
}

static void render_stack(const struct render *in, const struct stack_input *input, struct plan_stack *planned) {
    const struct stack *stack = input->stack;
    size_t first = in->plan->count;
    struct err err;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < stack->file_count; i++)
        if (stack_holds(in->facts->stacks->set, stack->files[i].when, in->config))
            r = render_one(in, input, i, &err);
    if (r < 0) {
        drop_entries(in->plan, first);
        keep_files(in, stack);
        planned->problem = str_dup(err.text);
        cleanup_free char *said = str_dup(err.text);
        const struct config_entry *enable = config_find(in->config, stack->enable);
        config_problem_add(&in->plan->stack_problems, enable ? enable->line : 0, "%s: not started: %s", stack->name, said);
    } else {
        digest_entries(in->plan, first, planned->digest);
    }
    render_mounts(in, stack);
}

// At shutdown units stop in the reverse of this order: the hooks before a restart run while the stacks still do.
static void render_order(const struct render *in) {
    cleanup_buf struct buf text = {0};
    for (size_t i = 0; i < in->plan->stack_count; i++) {
        const struct stack *stack = in->plan->stacks[i].stack;
        for (size_t k = 0; plan_stack_is_active(&in->plan->stacks[i]) && k < stack->unit_count; k++)
            buf_printf(&text, "%sAfter=%s\n", text.size ? "" : "[Unit]\n", stack->units[k].unit);
    }
    if (!text.size)
        return;
    cleanup_buf struct buf file = {0};
    buf_printf(&file, "%s%s", header, buf_str(&text));
    render_file(in, "etc/systemd/system/webops-stacks.service.d/90-webops.conf", 0644, &file);
}

// sysctl.d(5): the later name wins, so a stack's parameter beats the base's.
static void set_sysctl(struct plan *plan, const struct stack_sysctl *sysctl) {
    for (size_t i = 0; i < plan->sysctl_count; i++)
        if (strcmp(plan->sysctls[i].key, sysctl->name) == 0) {
            plan->sysctls[i].value = sysctl->value;
            return;
        }
    plan->sysctls = mem_resize(plan->sysctls, plan->sysctl_count + 1, sizeof(*plan->sysctls));
    plan->sysctls[plan->sysctl_count++] = (struct plan_sysctl){sysctl->name, sysctl->value};
}

static void render_sysctls(const struct render *in) {
    cleanup_buf struct buf file = {0};
    buf_add_str(&file, header);
    size_t empty = file.size;
    for (size_t i = 0; i < in->plan->stack_count; i++) {
        const struct plan_stack *planned = &in->plan->stacks[i];
        for (size_t k = 0; plan_stack_is_active(planned) && k < planned->stack->sysctl_count; k++) {
            set_sysctl(in->plan, &planned->stack->sysctls[k]);
            buf_printf(&file, "%s = %ld\n", planned->stack->sysctls[k].name, planned->stack->sysctls[k].value);
        }
    }
    if (file.size > empty)
        render_file(in, "etc/sysctl.d/91-webops-stacks.conf", 0644, &file);
}

void render_stacks(const struct render *in) {
    const struct stack_inputs *inputs = in->facts->stacks;
    if (!inputs)
        return;
    in->plan->stacks = mem_array(inputs->set->count + 1, sizeof(*in->plan->stacks));
    in->plan->stack_count = inputs->set->count;
    for (size_t i = 0; i < inputs->set->count; i++) {
        const struct stack_input *input = &inputs->items[i];
        in->plan->stacks[i] =
            (struct plan_stack){.stack = input->stack, .is_enabled = input->is_enabled, .is_uninstalled = input->is_uninstalled};
        if (stack_input_is_active(input))
            render_stack(in, input, &in->plan->stacks[i]);
    }
    render_order(in);
    render_sysctls(in);
    stack_ports_plan(in);
}
