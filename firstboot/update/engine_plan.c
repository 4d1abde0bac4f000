// SPDX-License-Identifier: Apache-2.0
// The steps of the update engine that change nothing: where the update is, what it is, whether this machine takes it, what it would do.
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/actionlog.h"
#include "firstboot/report.h"
#include "firstboot/stack/state.h"
#include "firstboot/update/engine_state.h"
#include "firstboot/update/planview.h"
#include "firstboot/update/slots.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

static const char *wanted_channel(const struct update *u) {
    const char *setting = machine_setting(u->machine, "update_channel");
    return u->options->channel ?: *setting ? setting : u->machine->image.channel;
}

// The operator's word, else the update that was interrupted, else the configuration.
static const char *choose_location(const struct update *u) {
    bool is_interrupted = u->journal.state == JOURNAL_INSTALLING || (u->journal.state == JOURNAL_TRIAL && !u->is_published);
    const char *left = is_interrupted ? u->journal.location : "";
    if (u->options->location)
        return u->options->location;
    if (*left && (strstr(left, "://") || access(left, R_OK) == 0)) {
        progress_say(u->progress, "going on with the interrupted update from %s", left);
        return left;
    }
    return machine_setting(u->machine, "update_url");
}

int update_locate(struct update *u, struct err *err) {
    const char *text = choose_location(u), *channel = wanted_channel(u);
    char absolute[PATH_MAX];
    struct stat st;
    if (!*text)
        return err_set(err, -ENOENT, "nothing says where updates are: give a FILE or URL, or set UPDATE_URL in config.env");
    bool is_address = strstr(text, "://");
    if (!is_address && !realpath(text, absolute))
        return err_sys(err, -errno, "cannot find %s", text);
    const char *place = is_address ? text : absolute;
    if (strlen(place) >= sizeof(u->location_text))
        return err_set(err, -EINVAL, "the update's address is too long");
    strcpy(u->location_text, place);
    bool is_directory = is_address ? text == machine_setting(u->machine, "update_url") : stat(absolute, &st) == 0 && S_ISDIR(st.st_mode);
    return location_parse(place, is_directory, channel, &u->location, err);
}

int update_head(struct update *u, struct err *err) {
    struct floors floors;
    int r = floors_load(u->machine->root_fd, &floors, err);
    if (r >= 0)
        r = location_open(&u->location, u->machine->root_fd, machine_time(&floors), &u->located, err);
    return r;
}

// Whether this generation was installed already and only waits for its trial.
static bool is_waiting(const struct update *u) {
    return u->is_published && memcmp(u->journal.manifest.boot.root_hash, u->located.manifest.boot.root_hash, 32) == 0;
}

static int say_nothing_to_do(struct update *u, const char *why) {
    const struct manifest *manifest = &u->located.manifest;
    if (!u->progress->is_json)
        progress_say(u->progress, "nothing to do: %s %s %s", manifest->profile, manifest->version, why);
    progress_event(u->progress, "nothing",
                   json_pack("{s:s, s:s, s:s}", "profile", manifest->profile, "version", manifest->version, "why", why));
    return 1;
}

// What runs is not installed again, so of it only its age matters: a channel that has nothing newer than an expired generation is being held
// back, or nobody looks after it.
static json_t *list_refusals(const struct update_verdict *verdict) {
    json_t *list = json_array();
    for (unsigned i = 0; i < verdict->count; i++)
        if (!verdict->is_installed || verdict->refusals[i] == REFUSAL_EXPIRED)
            json_array_append_new(list, plan_refusal_json(verdict, i));
    return list;
}

// The timer calls, and nobody watches: `webops status` is where it is seen that nothing is installed any more.
void update_note(const struct update *u, const struct err *failure) {
    const struct manifest *manifest = &u->located.manifest;
    const struct update_verdict *verdict = &u->verdict;
    struct actionlog_time now = actionlog_now();
    struct err err;
    bool is_available = *manifest->version && !verdict->is_installed && verdict->count == 0;
    cleanup_json json_t *seen =
        json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "time", now.text, "profile", manifest->profile, "version", manifest->version,
                  "available", is_available, "installed", verdict->is_installed, "refused", list_refusals(verdict));
    bool has_user = strchr(u->location_text, '@'); // and perhaps a password, in an address that an operator gave; everybody may read this
    if (failure)
        json_object_set_new(seen, "failed", report_text(has_user ? "see what `webops update` said" : failure->text));
    if (report_write(u->machine->root_fd, UPDATE_SEEN_PATH, seen, &err) < 0)
        log_warn("%s", err.text);
}

int update_policy(struct update *u, struct err *err) {
    const struct update_flags flags = {
        .is_forced = u->options->is_forced,
        .checks_channel = u->location.kind == LOCATION_CHANNEL || !u->location.is_local,
        .channel = wanted_channel(u),
    };
    int r = machine_facts(u->machine, u->esp_fd, &u->located.manifest, &u->facts, err);
    if (r < 0)
        return r;
    update_check(&u->located.manifest, &u->facts, &flags, &u->verdict);
    update_note(u, NULL);
    if (u->options->is_plan)
        return 0;
    if (u->verdict.is_installed) {
        u->is_published = false;
        return say_nothing_to_do(u, "runs already");
    }
    u->is_published = is_waiting(u);
    if (u->is_published) {
        r = delta_clean(u->machine->root_fd, err); // the last thing that could have been cut off
        return r < 0 ? r : say_nothing_to_do(u, "is installed and starts with the next restart");
    }
    for (unsigned i = 0; i < u->verdict.forced_count; i++)
        log_warn("forced: %s", u->verdict.forced[i].text);
    for (unsigned i = 1; i < u->verdict.count; i++)
        log_error("%s", u->verdict.texts[i].text);
    return u->verdict.count > 0 ? err_set(err, -EPERM, "refused: %s", u->verdict.texts[0].text) : 0;
}

// The bundle's list, by hash; the running system's, from the image. What cannot be had is left out of the plan.
static void load_packages(struct update *u, struct packages *old, struct packages *new, bool *ret_known) {
    const struct manifest_part *part = &u->located.manifest.packages;
    cleanup_free char *status = NULL, *list = NULL;
    uint8_t hash[32];
    struct err err;
    *ret_known = false;
    if (part->bytes > PACKAGES_MAX_BYTES || packages_load_status(u->machine->root_fd, &status, &err) < 0)
        return;
    list = mem_array(part->bytes + 1, 1);
    if (source_read(u->located.source, u->located.payload_offset + part->offset, list, part->bytes, &err) != (int)part->bytes) {
        log_warn("the package list cannot be read");
        return;
    }
    digest_bytes(list, part->bytes, hash);
    if (memcmp(hash, part->sha256, sizeof(hash)) != 0 || packages_parse_list(list, new, &err) < 0) {
        log_warn("the package list is damaged");
        return;
    }
    packages_parse_status(status, old);
    *ret_known = true;
}

static void print_plan(struct update *u, const struct plan_view *view) {
    cleanup_buf struct buf text = {0};
    if (u->progress->is_json) {
        progress_event(u->progress, "plan", plan_json(view));
        return;
    }
    plan_format(view, &text);
    printf("%s", buf_str(&text));
    fflush(stdout);
}

static char *list_stacks(const struct update *u) {
    cleanup_stacks struct stacks stacks = {0};
    struct err err;
    return stacks_load(u->machine->root_fd, &stacks, &err) < 0 ? str_dup("") : stacks_active_names(&stacks);
}

int update_plan(struct update *u, struct err *err) {
    cleanup_packages struct packages old = {0}, new = {0};
    struct delta_estimate estimate;
    struct delta_request request;
    struct plan_view view = {.manifest = &u->located.manifest,
                             .facts = &u->facts,
                             .verdict = &u->verdict,
                             .running = u->machine->has_header ? &u->machine->header : NULL,
                             .slot = u->machine->other,
                             .tries = machine_tries(u->machine),
                             .wants_reboot = u->options->wants_reboot};
    bool is_wanted = u->options->is_plan && !u->verdict.is_installed, knows_packages = false;
    cleanup_free char *stacks = list_stacks(u);
    view.stacks = stacks;
    if (is_wanted)
        load_packages(u, &old, &new, &knows_packages);
    view.old_packages = knows_packages ? &old : NULL;
    view.new_packages = knows_packages ? &new : NULL;
    if (is_wanted) {
        update_request(u, &request);
        int r = delta_estimate(&request, &estimate, err);
        if (r < 0)
            return r;
        progress_end(u->progress);
        view.estimate = &estimate;
    }
    print_plan(u, &view);
    return u->options->is_plan && u->verdict.count > 0 ? err_set(err, -EPERM, "refused: %s", u->verdict.texts[0].text) : 0;
}
