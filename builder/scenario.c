// SPDX-License-Identifier: Apache-2.0
// Plans the steps of a scenario and runs them one after the other, with time and log for each.
#include "builder/scenario.h"
#include "builder/bundlefile.h"
#include "builder/scenario_machine.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAX_LOG_BYTES (4 << 20)
#define CONSOLE_LINES 30

void scenario_outcomes_done(struct scenario_outcomes *outcomes) {
    for (size_t i = 0; i < outcomes->count; i++) {
        free(outcomes->items[i].log);
        free(outcomes->items[i].log_text);
    }
    *outcomes = (struct scenario_outcomes){0};
}

int scenario_check(const struct scenario_request *request, struct err *err) {
    const struct machine_request *machine = &request->machine;
    if (request->wants_rollback && !request->update)
        return err_set(err, -EINVAL, "--rollback needs --update: a fresh image has no other generation");
    if (request->ssh_key && !machine->config)
        return err_set(err, -EINVAL, "--ssh-key needs --config: without it a fresh key is made");
    if (request->update && machine->config && !request->ssh_key)
        return err_set(err, -EINVAL, "--update with --config needs --ssh-key, the private key of its OPERATOR_USER");
    if (request->timeout_s < 1)
        return err_set(err, -EINVAL, "--timeout wants at least one second");
    return machine_check(machine, err);
}

int scenario_check_files(const struct scenario_request *request, struct err *err) {
    const char *const paths[] = {request->update, request->ssh_key, request->machine.config, request->machine.secrets};
    static const char *const options[] = {"--update", "--ssh-key", "--config", "--secrets"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        cleanup_fd int fd = paths[i] ? file_open(AT_FDCWD, paths[i], O_RDONLY, 0, err) : -1;
        if (paths[i] && fd < 0)
            return err_prefix(err, fd, "%s", options[i]);
    }
    if (request->update && !bundlefile_is(request->update))
        return err_set(err, -EBADMSG, "--update: %s is no bundle; webops-image bundle makes one", request->update);
    return 0;
}

void scenario_plan(const struct scenario_request *request, struct scenario_outcomes *ret_outcomes) {
    *ret_outcomes = (struct scenario_outcomes){0};
    for (const struct scenario_step *step = scenario_steps; step->name && ret_outcomes->count < SCENARIO_MAX_STEPS; step++) {
        if ((step->needs_update && !request->update) || (step->needs_rollback && !request->wants_rollback))
            continue;
        ret_outcomes->items[ret_outcomes->count++].step = step;
    }
}

// The last lines of a console: what somebody wants to see first when a step has failed.
static void log_console(struct scenario *scenario) {
    struct err ignored;
    cleanup_free char *text = NULL;
    size_t size = 0;
    if (!scenario->console || file_read(AT_FDCWD, scenario->console, MAX_LOG_BYTES, &text, &size, &ignored) < 0)
        return;
    for (size_t i = 0; i < size; i++) // nothing that a terminal would obey
        if (((unsigned char)text[i] < ' ' && text[i] != '\n') || text[i] == 127)
            text[i] = ' ';
    const char *start = text + size;
    for (unsigned lines = 0; start > text && lines <= CONSOLE_LINES; lines += *--start == '\n')
        continue;
    // A directory that is thrown away is nowhere to look.
    const char *name = scenario->request->log_dir ? scenario->console : "the console";
    scenario_log(scenario, "the end of %s:\n%s", name, start);
}

static void run_step(struct scenario *scenario, size_t number, struct scenario_outcome *outcome) {
    struct err ignored;
    int64_t began = clock_ms();
    outcome->log = str_printf("%s/%02zu-%s.log", scenario->logs, number, outcome->step->name);
    unlink(outcome->log);
    scenario->outcome = outcome;
    scenario_log(scenario, "%s", outcome->step->title);
    bool good = outcome->step->run(scenario, &outcome->problem) >= 0;
    outcome->result = good ? SCENARIO_PASSED : SCENARIO_FAILED;
    outcome->duration_ms = clock_ms() - began;
    scenario_log(scenario, "%s: %s", good ? "passed" : "FAILED", good ? outcome->note : outcome->problem.text);
    if (!good)
        log_console(scenario);
    if (file_read(AT_FDCWD, outcome->log, MAX_LOG_BYTES, &outcome->log_text, NULL, &ignored) < 0)
        outcome->log_text = NULL;
}

int scenario_run(const struct scenario_request *request, struct scenario_outcomes *outcomes, void (*tell)(const struct scenario_outcome *),
                 struct err *err) {
    cleanup(scenario_machine_done) struct scenario scenario = {0};
    int r = scenario_machine_prepare(request, &scenario, err);
    for (size_t i = 0; r >= 0 && i < outcomes->count; i++) {
        run_step(&scenario, i + 1, &outcomes->items[i]);
        tell(&outcomes->items[i]);
        if (outcomes->items[i].result == SCENARIO_FAILED)
            break;
    }
    return r;
}
