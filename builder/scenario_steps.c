// SPDX-License-Identifier: Apache-2.0
// The steps of a scenario: what is done to the machine, and what is expected of it. Each one leaves it as the next one needs it.
#include "builder/damage.h"
#include "builder/scenario_machine.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/run.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define COMMIT_MS 120000
#define TOOL_TIMEOUT_MS 60000

static void note(struct scenario *scenario, const char *text) {
    char *to = scenario->outcome->note;
    size_t size = strnlen(text, sizeof(scenario->outcome->note) - 1);
    memcpy(to, text, size);
    to[size] = '\0';
}

static void note_generation(struct scenario *scenario, const char *what) {
    const struct machine_status *now = &scenario->now;
    snprintf(scenario->outcome->note, sizeof(scenario->outcome->note), "%s %s in slot %s%s", now->profile, now->version, now->slot, what);
}

static int expect_healthy(struct scenario *scenario, struct err *err) {
    int r = scenario_look(scenario, err);
    if (r < 0)
        return r;
    if (!scenario->now.is_healthy)
        return err_set(err, -EIO, "the console says healthy, `webops status` does not");
    if (scenario->now.problem_count)
        return err_set(err, -EINVAL, "configuration: %s", scenario->now.problem);
    return 0;
}

static const char *other_slot(const struct machine_status *status) {
    return status->slot[0] == 'a' ? "b" : "a";
}

static const char *state_of(const struct machine_status *status, const char *slot) {
    return status->states[slot[0] == 'b'];
}

static int step_boot(struct scenario *scenario, struct err *err) {
    int r = scenario_power_on(scenario, scenario->machine.overlay, err);
    if (r == 0)
        r = scenario_wait_verdict(scenario, 0, err);
    if (r < 0 || !scenario->remote.key) {
        note(scenario, scenario->vm.watch.verdict);
        return r;
    }
    r = expect_healthy(scenario, err);
    scenario->first = scenario->now;
    note_generation(scenario, "");
    return r;
}

static int step_install(struct scenario *scenario, struct err *err) {
    int r = scenario_command(scenario, "webops update " SCENARIO_BUNDLE_DEVICE " --plan", SCENARIO_COMMAND_MS, false, NULL, err);
    if (r == 0)
        r = scenario_command(scenario, "webops update " SCENARIO_BUNDLE_DEVICE, SCENARIO_UPDATE_MS, false, NULL, err);
    if (r == 0)
        r = expect_healthy(scenario, err);
    if (r < 0)
        return r;
    const char *other = other_slot(&scenario->now), *state = state_of(&scenario->now, other);
    if (strcmp(scenario->now.root_hash, scenario->first.root_hash) != 0)
        return err_set(err, -EIO, "the running generation changed without a restart");
    if (strcmp(state, "trial") != 0)
        return err_set(err, -EIO, "slot %s is to be on trial, and is: %s", other, *state ? state : "unknown");
    snprintf(scenario->outcome->note, sizeof(scenario->outcome->note), "written to slot %s, on trial at the next start", other);
    return 0;
}

static int make_branch(const struct scenario *scenario, const char *branch, struct err *err) {
    struct run make = {
        .argv = RUN_ARGV("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", scenario->machine.overlay, branch),
        .timeout_ms = TOOL_TIMEOUT_MS,
    };
    return run_quiet(&make, err);
}

// The generation is bad: whatever it takes, the first one must be running healthily in the end.
static int wait_return(struct scenario *scenario, struct err *err) {
    for (unsigned seen = 0; seen < SCENARIO_MAX_STARTS; seen = scenario->vm.watch.verdicts) {
        int r = scenario_wait_verdict(scenario, seen, err);
        if (r < 0 && r != -EIO)
            return r;
        if (r < 0)
            continue;
        r = scenario_look(scenario, err);
        if (r < 0)
            return r;
        return strcmp(scenario->now.root_hash, scenario->first.root_hash) == 0
                   ? 0
                   : err_set(err, -EIO, "the damaged generation reports healthy");
    }
    return err_set(err, -ELOOP, "the machine did not return to %s after %d verdicts", scenario->first.version, SCENARIO_MAX_STARTS);
}

static int break_branch(struct scenario *scenario, const char *branch, struct err *err) {
    cleanup_free char *why = NULL;
    uint64_t offset = 0;
    int r = damage_slot(branch, scenario->machine.dir, other_slot(&scenario->first), &offset, err);
    if (r < 0)
        return r;
    scenario_log(scenario, "block at %" PRIu64 " of the disk overwritten", offset);
    int64_t began = clock_ms();
    r = scenario_power_on(scenario, branch, err);
    if (r == 0)
        r = wait_return(scenario, err);
    if (r < 0)
        return r;
    int64_t took_ms = clock_ms() - began;
    r = scenario_command(scenario, "webops why", SCENARIO_COMMAND_MS, false, &why, err);
    if (r < 0)
        return r;
    snprintf(scenario->outcome->note, sizeof(scenario->outcome->note), "back on %s after %.0f s", scenario->now.version,
             (double)took_ms / 1000);
    return strlen(why) ? 0 : err_set(err, -EIO, "`webops why` says nothing");
}

// On a branch of the disk, so that the undamaged generation can still be tried afterwards.
static int step_break(struct scenario *scenario, struct err *err) {
    cleanup_free char *branch = str_printf("%s/branch.qcow2", scenario->machine.dir);
    scenario_power_off(scenario);
    int r = make_branch(scenario, branch, err);
    if (r == 0)
        r = break_branch(scenario, branch, err);
    if (r == 0)
        scenario_power_off(scenario);
    return r;
}

static int step_trial(struct scenario *scenario, struct err *err) {
    int r = scenario_power_on(scenario, scenario->machine.overlay, err);
    if (r == 0)
        r = scenario_wait_verdict(scenario, 0, err);
    if (r == 0)
        r = expect_healthy(scenario, err);
    if (r < 0)
        return r;
    if (strcmp(scenario->now.root_hash, scenario->first.root_hash) == 0)
        return err_set(err, -EIO, "the old generation %s started instead of the new one", scenario->first.version);
    for (int64_t deadline = clock_ms() + COMMIT_MS; strcmp(state_of(&scenario->now, scenario->now.slot), "good") != 0;) {
        if (clock_ms() >= deadline)
            return err_set(err, -ETIMEDOUT, "healthy, but not committed within %d s", COMMIT_MS / 1000);
        clock_sleep_ms(2000);
        r = scenario_look(scenario, err);
        if (r < 0)
            return r;
    }
    note_generation(scenario, ", committed");
    return 0;
}

static int step_rollback(struct scenario *scenario, struct err *err) {
    unsigned seen = scenario->vm.watch.verdicts;
    int r = scenario_command(scenario, "webops rollback", SCENARIO_COMMAND_MS, true, NULL, err);
    if (r == 0)
        r = scenario_wait_verdict(scenario, seen, err);
    remote_close(&scenario->remote); // the connection to the machine before its restart
    if (r == 0)
        r = expect_healthy(scenario, err);
    if (r < 0)
        return r;
    if (strcmp(scenario->now.root_hash, scenario->first.root_hash) != 0)
        return err_set(err, -EIO, "%s runs, not the old generation %s", scenario->now.version, scenario->first.version);
    note_generation(scenario, "");
    return 0;
}

const struct scenario_step scenario_steps[] = {
    {"boot", "boot to healthy", false, false, step_boot},
    {"install", "install the update", true, false, step_install},
    {"break", "damaged update: back by itself", true, false, step_break},
    {"trial", "trial boot and commit", true, false, step_trial},
    {"rollback", "roll back", true, true, step_rollback},
    {0},
};
