// SPDX-License-Identifier: Apache-2.0
// Reads templates and secrets below a root. Never through a symbolic link: /webops is the operator's.
#include "firstboot/stack/inputs.h"
#include "common/file.h"
#include "firstboot/candidate.h"
#include "firstboot/stack/state.h"
#include <errno.h>
#include <string.h>

static void text_done(struct stack_text *text) {
    if (text->text)
        explicit_bzero(text->text, text->size);
    free(text->text);
    free(text->problem);
}

static void texts_free(struct stack_text *texts, size_t count) {
    for (size_t i = 0; texts && i < count; i++)
        text_done(&texts[i]);
    free(texts);
}

void stack_inputs_done(struct stack_inputs *inputs) {
    for (size_t i = 0; inputs->items && i < inputs->set->count; i++) {
        texts_free(inputs->items[i].templates, inputs->items[i].stack->file_count);
        texts_free(inputs->items[i].overrides, inputs->items[i].stack->file_count);
    }
    free(inputs->items);
    for (size_t i = 0; i < inputs->secret_count; i++) {
        free(inputs->secrets[i].key);
        text_done(&inputs->secrets[i].text);
    }
    free(inputs->secrets);
    *inputs = (struct stack_inputs){0};
}

static struct stack_text read_text(int root_fd, const char *path, size_t max_bytes) {
    struct stack_text text = {0};
    struct err err;
    int r = candidate_read_file(root_fd, path, max_bytes, &text.text, &text.size, &err);
    if (r < 0 && r != -ENOENT && r != -ENOTDIR)
        text.problem = str_dup(err.text);
    return text;
}

static struct stack_text *read_templates(int root_fd, const char *dir, const struct stack *stack) {
    struct stack_text *texts = mem_array(stack->file_count + 1, sizeof(*texts));
    for (size_t i = 0; i < stack->file_count; i++) {
        cleanup_free char *path = str_printf("%s/%s/%s", dir, stack->name, stack->files[i].template);
        texts[i] = read_text(root_fd, path, TEMPLATE_MAX_BYTES);
    }
    return texts;
}

static void read_secret(int root_fd, const char *key, const struct config *config, struct stack_inputs *inputs) {
    const char *path = schema_text(&inputs->set->schema, config, key);
    const char *name = path && *path ? schema_secret_name(path) : NULL;
    if (!name)
        return;
    cleanup_free char *relative = str_printf("%s/%s", SCHEMA_SECRETS_DIR + 1, name);
    inputs->secrets = mem_resize(inputs->secrets, inputs->secret_count + 1, sizeof(*inputs->secrets));
    struct stack_secret *secret = &inputs->secrets[inputs->secret_count++];
    *secret = (struct stack_secret){str_dup(key), read_text(root_fd, relative, SCHEMA_SECRET_MAX_BYTES)};
    if (!secret->text.text && !secret->text.problem)
        secret->text.problem = str_printf("%s: %s does not exist", key, path);
}

// A '#' in the key's name stands for ten keys.
static void read_secrets(int root_fd, const struct stack *stack, const struct config *config, struct stack_inputs *inputs) {
    for (size_t i = 0; i < stack->key_count; i++) {
        const struct schema_key *key = &stack->keys[i].schema;
        if (key->type != SCHEMA_SECRET_FILE)
            continue;
        cleanup_free char *name = str_dup(key->name);
        char *digit = strchr(name, '#');
        for (char c = '0'; digit && c <= '9'; c++) {
            *digit = c;
            read_secret(root_fd, name, config, inputs);
        }
        if (!digit)
            read_secret(root_fd, name, config, inputs);
    }
}

static bool is_uninstalled(int root_fd, const char *name, const struct stack_assume *assume) {
    if (assume->installed && strcmp(assume->installed, name) == 0)
        return false;
    return (assume->uninstalled && strcmp(assume->uninstalled, name) == 0) || stack_state_is_uninstalled(root_fd, name);
}

void stack_inputs_gather(int root_fd, const struct stack_set *set, const struct config *config, const struct stack_assume *assume,
                         struct stack_inputs *ret_inputs) {
    struct stack_inputs inputs = {.set = set, .items = mem_array(set->count + 1, sizeof(*inputs.items))};
    bool has_active = false;
    for (size_t i = 0; i < set->count; i++) {
        struct stack_input *input = &inputs.items[i];
        input->stack = set->stacks[i];
        input->is_enabled = stack_is_enabled(set, input->stack, config);
        input->is_uninstalled = is_uninstalled(root_fd, input->stack->name, assume);
        if (!stack_input_is_active(input))
            continue;
        has_active = true;
        input->templates = read_templates(root_fd, STACK_DIR, input->stack);
        input->overrides = read_templates(root_fd, STACK_OVERRIDE_DIR, input->stack);
    }
    // A stack may use another's secret: Patroni takes the password that the key of PostgreSQL names.
    for (size_t i = 0; has_active && i < set->count; i++)
        read_secrets(root_fd, set->stacks[i], config, &inputs);
    *ret_inputs = inputs;
}
