// SPDX-License-Identifier: Apache-2.0
// The judgement: from what a failed generation left behind to a stage and one sentence. A table, the first line that fits counts; the
// order goes from what explains everything to what is only known by its absence.
#include "firstboot/update/postmortem.h"
#include <string.h>

void postmortem_facts_done(struct postmortem_facts *facts) {
    free(facts->log);
    rejection_done(&facts->note);
    *facts = (struct postmortem_facts){0};
}

enum trial_fate postmortem_fate(const struct boot_entry *entry, const struct attempts *attempts, bool has_note) {
    bool was_started = has_note || entry->tries_done > 0 || attempts->init > 0 || attempts->early > 0;
    if (entry->state == BOOT_TRIAL)
        return TRIAL_WAITING;
    if (!was_started) // then it was not published, either
        return TRIAL_UNPUBLISHED;
    return entry->state == BOOT_GOOD ? TRIAL_WAITING : TRIAL_FAILED; // good: power was cut while it was committed
}

static unsigned starts(const struct postmortem_facts *facts) {
    unsigned most = facts->entry.tries_done;
    if (facts->attempts.init > most)
        most = facts->attempts.init;
    return facts->attempts.early > most ? facts->attempts.early : most;
}

static bool was_never_seen(const struct postmortem_facts *facts) {
    return facts->attempts.init == 0 && facts->attempts.early == 0;
}

static bool has_esp_problem(const struct postmortem_facts *facts) {
    return *facts->esp_problem;
}
static void say_esp_problem(const struct postmortem_facts *facts, char *text, size_t size) {
    snprintf(text, size, "%s: the boot loader had nothing sound to start", facts->esp_problem);
}

static bool has_init_note(const struct postmortem_facts *facts) {
    return *facts->init_note && facts->attempts.early == 0;
}
static void say_init_note(const struct postmortem_facts *facts, char *text, size_t size) {
    snprintf(text, size, "the init gave up: %s%s%s", facts->init_note, *facts->slot_problem ? "; " : "", facts->slot_problem);
}

static bool has_slot_problem(const struct postmortem_facts *facts) {
    return *facts->slot_problem && facts->attempts.early == 0;
}
static void say_slot_problem(const struct postmortem_facts *facts, char *text, size_t size) {
    snprintf(text, size, "the slot is damaged: %s", facts->slot_problem);
}

static void say_kernel(const struct postmortem_facts *facts, char *text, size_t size) {
    snprintf(text, size,
             "it was started %u time%s and its init left no sign: the kernel crashed or hung, or could not use the disk; boot files and "
             "slot are sound",
             starts(facts), starts(facts) == 1 ? "" : "s");
}

static bool stopped_after_init(const struct postmortem_facts *facts) {
    return facts->attempts.early == 0;
}
static void say_after_init(const struct postmortem_facts *facts, char *text, size_t size) {
    snprintf(text, size, "the init ran %u time%s, and the system it started never came as far as webops: a crash, a hang, or a restart",
             facts->attempts.init, facts->attempts.init == 1 ? "" : "s");
}

static bool is_late_slot_problem(const struct postmortem_facts *facts) {
    return *facts->slot_problem;
}

static bool is_always(const struct postmortem_facts *facts) {
    (void)facts;
    return true;
}
static void say_start(const struct postmortem_facts *facts, char *text, size_t size) {
    snprintf(text, size,
             "it was started %u time%s and never became healthy or said why not: it crashed, hung until the watchdog acted, or lost power",
             facts->attempts.early, facts->attempts.early == 1 ? "" : "s");
}

static const struct {
    const char *stage;
    bool (*applies)(const struct postmortem_facts *facts);
    void (*say)(const struct postmortem_facts *facts, char *text, size_t size);
} verdicts[] = {
    {"boot loader", has_esp_problem, say_esp_problem},
    {"init", has_init_note, say_init_note},
    {"init", has_slot_problem, say_slot_problem},
    {"kernel", was_never_seen, say_kernel},
    {"start", stopped_after_init, say_after_init},
    {"start", is_late_slot_problem, say_slot_problem},
    {"start", is_always, say_start},
};

void postmortem_judge(const struct postmortem_facts *facts, struct rejection *ret_rejection) {
    const struct rejection *note = &facts->note;
    const char *log = facts->has_note && note->log ? note->log : facts->log;
    ret_rejection->log = log ? str_dup(log) : NULL;
    if (facts->has_note) {
        memcpy(ret_rejection->stage, note->stage, sizeof(note->stage));
        memcpy(ret_rejection->check, note->check, sizeof(note->check));
        memcpy(ret_rejection->reason, note->reason, sizeof(note->reason));
        return;
    }
    size_t i = 0;
    while (!verdicts[i].applies(facts))
        i++;
    snprintf(ret_rejection->stage, sizeof(ret_rejection->stage), "%s", verdicts[i].stage);
    verdicts[i].say(facts, ret_rejection->reason, sizeof(ret_rejection->reason));
}
