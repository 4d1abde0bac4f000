// SPDX-License-Identifier: Apache-2.0
// Modules → text of the init plan (docs/FORMATS.md "Init plan"). Pure.
#include "builder/modules.h"
#include <errno.h>
#include <string.h>

#define PLAN_MAX_BYTES (1 << 20)
#define LINE_MAX_BYTES 4096

char *modules_initramfs_path(const struct modules *modules, unsigned index) {
    return str_printf("modules/%03u-%s.ko", index, modules->items[index].name);
}

static void add_load(const struct modules *modules, struct buf *plan) {
    cleanup_free bool *done = mem_array(modules->count, sizeof(*done));
    const char *lead = "load";
    for (unsigned i = 0; i < modules->count; i++) {
        const struct module *module = &modules->items[i];
        for (unsigned j = 0; module->load && j < module->closure_count; j++) {
            unsigned index = module->closure[j];
            if (!done[index])
                buf_printf(plan, "%s %u", lead, index);
            lead = done[index] ? lead : "";
            done[index] = true;
        }
    }
    if (!*lead)
        buf_add_str(plan, "\n");
}

static void add_aliases(const struct module *module, struct buf *plan) {
    for (unsigned i = 0; i < module->aliases.count; i++) {
        buf_printf(plan, "alias %s", module->aliases.items[i]);
        for (unsigned j = 0; j < module->closure_count; j++)
            buf_printf(plan, " %u", module->closure[j]);
        buf_add_str(plan, "\n");
    }
}

static int check_lines(const char *text, struct err *err) {
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > LINE_MAX_BYTES)
            return err_set(err, -EFBIG, "a line of the init plan has more than %d bytes: %.40s…", LINE_MAX_BYTES, line);
    return strlen(text) > PLAN_MAX_BYTES ? err_set(err, -EFBIG, "the init plan has more than %d bytes", PLAN_MAX_BYTES) : 0;
}

int modules_plan_format(const struct modules *modules, unsigned timeout_s, struct buf *plan, struct err *err) {
    cleanup_buf struct buf text = {0};
    if (timeout_s < 1 || timeout_s > 600)
        return err_set(err, -EINVAL, "the init waits 1 to 600 seconds for its slot, not %u", timeout_s);
    buf_add_str(&text, "webops-plan 1\n");
    for (unsigned i = 0; i < modules->count; i++) {
        cleanup_free char *path = modules_initramfs_path(modules, i);
        buf_printf(&text, "module /%s\n", path);
    }
    add_load(modules, &text);
    for (unsigned i = 0; i < modules->count; i++)
        add_aliases(&modules->items[i], &text);
    buf_printf(&text, "timeout %u\n", timeout_s);
    int r = check_lines(buf_str(&text), err);
    if (r == 0)
        buf_add(plan, text.data, text.size);
    return r;
}
