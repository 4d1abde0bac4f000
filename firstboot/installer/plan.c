// SPDX-License-Identifier: Apache-2.0
// One question after the other; the first that is not answered ends it.
#include "firstboot/installer/plan.h"
#include <errno.h>
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
                                         .is_seed = disk->is_seed,
                                         .excluded = why_excluded(disk)};
    }
    return diskrule_choose(rule, seen, disks->count, ret_index, err);
}

static int find_disk(const struct install_answer *answer, const struct install_facts *facts, struct diskrule *ret_rule, size_t *ret_index,
                     struct err *err) {
    struct diskrule rule;
    int r = diskrule_parse(answer->disk, &rule, err);
    if (r < 0)
        return err_prefix(err, r, "INSTALL_DISK='%s'", answer->disk);
    *ret_rule = rule;
    if (*rule.path && !facts->path)
        return err_set(err, -ENOENT, "INSTALL_DISK: there is no %s", rule.path);
    if (*rule.path)
        snprintf(rule.path, sizeof(rule.path), "%s", facts->path);
    r = choose(&rule, facts->disks, ret_index, err);
    return r < 0 ? err_prefix(err, r, "INSTALL_DISK='%s'", answer->disk) : 0;
}

bool install_plan_waits(const struct install_answer *answer, const struct install_facts *facts) {
    struct diskrule rule;
    struct err ignored;
    size_t index;
    return answer->disk && (find_disk(answer, facts, &rule, &index, &ignored) < 0 || !diskrule_is_lasting(&rule));
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

static bool may_be_lost(const struct install_answer *answer, const struct install_disk *disk, bool is_lasting, struct install_plan *plan) {
    if (disk->holds == INSTALL_HOLDS_SAME)
        end(plan, INSTALL_PRESENT, "%s holds an installed machine with this generation; remove the medium and restart", disk->path);
    else if (disk->holds == INSTALL_HOLDS_OTHER && !answer->replaces)
        end(plan, INSTALL_PRESENT,
            "%s holds an installed machine; remove the medium and restart, or set INSTALL_EXISTING=replace to lose that machine",
            disk->path);
    else if (disk->holds == INSTALL_HOLDS_DATA && !answer->replaces && !is_lasting)
        end(plan, INSTALL_REFUSE,
            "%s holds data, and INSTALL_DISK does not name it: name it by serial= or path=/dev/disk/…, or set INSTALL_EXISTING=replace "
            "to lose what it holds",
            disk->path);
    else
        return true;
    return false;
}

static const struct install_disk *find_other(const struct install_facts *facts, size_t chosen, enum install_holds holds) {
    for (size_t i = 0; i < facts->disks->count; i++)
        if (i != chosen && !facts->disks->items[i].is_medium && facts->disks->items[i].holds == holds)
            return &facts->disks->items[i];
    return NULL;
}

// Of two disks with one generation none is started. And a rule that means whatever disk there is must not find a second one for a machine that is
// installed already.
static bool is_only_machine(const struct install_answer *answer, const struct install_facts *facts, bool is_lasting,
                            struct install_plan *plan) {
    const struct install_disk *disk = &facts->disks->items[plan->disk];
    const struct install_disk *same = find_other(facts, plan->disk, INSTALL_HOLDS_SAME);
    const struct install_disk *other = find_other(facts, plan->disk, INSTALL_HOLDS_OTHER);
    if (same)
        end(plan, is_lasting ? INSTALL_REFUSE : INSTALL_PRESENT,
            "%s holds an installed machine with this generation, and with a second one on %s neither would start; remove the medium "
            "and restart, or remove that disk, or what it holds (wipefs -a %s)",
            same->path, disk->path, same->path);
    else if (other && !is_lasting && !answer->replaces)
        end(plan, INSTALL_PRESENT,
            "%s holds an installed machine; remove the medium and restart, or name %s by serial= or path=/dev/disk/… to install a "
            "second one",
            other->path, disk->path);
    else
        return true;
    return false;
}

// A medium that stays in its drive is started again after the installation, and perhaps for years: also when the machine's own disk has failed, and
// what the rule means now is one with data.
static bool may_be_written(const struct install_answer *answer, const struct install_facts *facts, bool is_lasting,
                           struct install_plan *plan) {
    return facts->is_again ||
           (may_be_lost(answer, &facts->disks->items[plan->disk], is_lasting, plan) && is_only_machine(answer, facts, is_lasting, plan));
}

// The machine gets the configuration that lies on state, or has its own default one. One that was only seen somewhere else, or an earlier one in the place
// of one with mistakes, would decide about the disk and then not be on it.
static bool is_passed_on(const struct install_facts *facts, struct install_plan *plan) {
    if (strcmp(facts->source, "state") == 0 || strcmp(facts->source, "default") == 0)
        return true;
    end(plan, INSTALL_REFUSE, "the configuration (%s) is not what the machine would get: %s", facts->source,
        strcmp(facts->source, "last good") == 0 ? "correct config.env, see above" : "take it with `webops apply` first");
    return false;
}

void install_plan_make(const struct install_answer *answer, const struct install_facts *facts, struct install_plan *ret_plan) {
    struct install_plan plan = {.action = INSTALL_WRITE};
    struct diskrule rule;
    struct err err;
    if (!answer->disk)
        end(&plan, INSTALL_SHOW,
            "to install, put a config.env on the medium, or on a volume labelled WEBOPS, with INSTALL_DISK=serial=… (a "
            "disk above) and INSTALL_CONFIRM=erase");
    else if (find_disk(answer, facts, &rule, &plan.disk, &err) < 0)
        end(&plan, INSTALL_REFUSE, "%s", err.text);
    else if (is_confirmed(answer, &facts->disks->items[plan.disk], &plan) &&
             may_be_written(answer, facts, diskrule_is_lasting(&rule), &plan) && is_passed_on(facts, &plan) && !answer->url &&
             !facts->has_image)
        end(&plan, INSTALL_REFUSE, "there is no image here: set INSTALL_IMAGE_URL and INSTALL_IMAGE_SHA256");
    *ret_plan = plan;
}

void install_plan_done(struct install_plan *plan) {
    free(plan->text);
    *plan = (struct install_plan){0};
}
