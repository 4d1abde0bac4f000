// SPDX-License-Identifier: Apache-2.0
// One question after the other; the first that is not answered ends it.
#include "firstboot/installer/plan.h"
#include <stdarg.h>
#include <string.h>

#define SECTOR_BYTES 512 // of an image's partition table

static const char *set_or_null(const struct schema *schema, const struct config *config, const char *key) {
    const char *text = schema_text(schema, config, key);
    return text && *text ? text : NULL;
}

void install_answer_load(const struct schema *schema, const struct config *config, struct install_answer *ret_answer) {
    static const char *const words[] = {[INSTALL_REBOOT] = "reboot", [INSTALL_POWEROFF] = "poweroff", [INSTALL_WAIT] = "wait"};
    const char *then = schema_text(schema, config, "INSTALL_THEN");
    *ret_answer = (struct install_answer){
        .disk = set_or_null(schema, config, "INSTALL_DISK"),
        .confirm = set_or_null(schema, config, "INSTALL_CONFIRM"),
        .url = set_or_null(schema, config, "INSTALL_IMAGE_URL"),
        .sha256 = set_or_null(schema, config, "INSTALL_IMAGE_SHA256"),
        .replaces = strcmp(schema_text(schema, config, "INSTALL_EXISTING"), "replace") == 0,
    };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(words[i], then) == 0)
            ret_answer->then = (enum install_then)i;
}

static void end(struct install_plan *plan, enum install_action action, const char *fmt, ...) printf_like(3, 4);
static void end(struct install_plan *plan, enum install_action action, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    plan->action = action;
    plan->text = str_dup(text);
}

static const char *why_excluded(const struct install_disk *disk) {
    return disk->is_medium                      ? "it is the installation medium"
           : disk->use                          ? disk->use
           : disk->is_read_only                 ? "it is read-only"
           : disk->sector_bytes != SECTOR_BYTES ? "its sectors do not have 512 bytes"
                                                : NULL;
}

static int choose(const struct diskrule *rule, const struct install_disks *disks, size_t *ret_index, struct err *err) {
    cleanup_free struct diskrule_disk *seen = mem_array(disks->count + 1, sizeof(*seen));
    for (size_t i = 0; i < disks->count; i++) {
        const struct install_disk *disk = &disks->items[i];
        seen[i] = (struct diskrule_disk){.path = disk->path,
                                         .serial = disk->serial,
                                         .by = disk->by,
                                         .bytes = disk->bytes,
                                         .is_removable = disk->is_removable,
                                         .is_medium = disk->is_medium,
                                         .excluded = why_excluded(disk)};
    }
    return diskrule_choose(rule, seen, disks->count, ret_index, err);
}

static bool find_disk(const struct install_answer *answer, const struct install_facts *facts, struct install_plan *plan) {
    struct diskrule rule;
    struct err err = {0};
    int r = diskrule_parse(answer->disk, &rule, &err);
    if (r == 0 && *rule.path) {
        if (!facts->path) {
            end(plan, INSTALL_REFUSE, "INSTALL_DISK: there is no %s", rule.path);
            return false;
        }
        snprintf(rule.path, sizeof(rule.path), "%s", facts->path);
    }
    if (r == 0)
        r = choose(&rule, facts->disks, &plan->disk, &err);
    if (r < 0)
        end(plan, INSTALL_REFUSE, "INSTALL_DISK='%s': %s", answer->disk, err.text);
    return r == 0;
}

static bool is_confirmed(const struct install_answer *answer, const struct install_disk *disk, struct install_plan *plan) {
    if (!answer->confirm)
        end(plan, INSTALL_SHOW, "everything on %s would be lost: set INSTALL_CONFIRM=%s in config.env to consent", disk->path,
            *disk->serial ? disk->serial : "erase");
    else if (strcmp(answer->confirm, "erase") != 0 && (!*disk->serial || strcmp(answer->confirm, disk->serial) != 0))
        end(plan, INSTALL_REFUSE, "INSTALL_CONFIRM is neither 'erase' nor the serial number of %s (%s)", disk->path,
            *disk->serial ? disk->serial : "it has none");
    else
        return true;
    return false;
}

// A medium that stays in its drive is started again after the installation, and perhaps for years.
static bool may_be_written(const struct install_answer *answer, const struct install_facts *facts, struct install_plan *plan) {
    const struct install_disk *disk = &facts->disks->items[plan->disk];
    if (facts->is_again || disk->holds == INSTALL_HOLDS_NOTHING)
        return true;
    if (disk->holds == INSTALL_HOLDS_SAME)
        end(plan, INSTALL_PRESENT, "%s holds an installed machine with this generation; remove the medium and restart", disk->path);
    else if (!answer->replaces)
        end(plan, INSTALL_PRESENT,
            "%s holds an installed machine; remove the medium and restart, or set INSTALL_EXISTING=replace to lose that machine",
            disk->path);
    else
        return true;
    return false;
}

void install_plan_make(const struct install_answer *answer, const struct install_facts *facts, struct install_plan *ret_plan) {
    struct install_plan plan = {.action = INSTALL_WRITE};
    if (!answer->disk)
        end(&plan, INSTALL_SHOW,
            "to install, put a config.env on the medium, or on a volume labelled WEBOPS, with INSTALL_DISK=serial=… (a "
            "disk above) and INSTALL_CONFIRM=erase");
    else if (find_disk(answer, facts, &plan) && is_confirmed(answer, &facts->disks->items[plan.disk], &plan) &&
             may_be_written(answer, facts, &plan) && !answer->url && !facts->has_image)
        end(&plan, INSTALL_REFUSE, "there is no image here: set INSTALL_IMAGE_URL and INSTALL_IMAGE_SHA256");
    *ret_plan = plan;
}

void install_plan_done(struct install_plan *plan) {
    free(plan->text);
    *plan = (struct install_plan){0};
}
