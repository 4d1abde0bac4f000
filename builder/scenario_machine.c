// SPDX-License-Identifier: Apache-2.0
// Starts and stops the machine of a scenario, and writes down what was said to it.
#include "builder/scenario_machine.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#define GRACE_MS 60000
#define SSH_BROKEN 255

// The bundle as a disk of its own: nothing has to be copied to the machine, and a comma inside a path is written twice (qemu(1)).
static void plan_bundle(struct scenario *scenario) {
    struct buf drive = {0};
    if (!scenario->request->update)
        return;
    buf_add_str(&drive, "if=none,id=bundle,format=raw,readonly=on,file=");
    for (const char *c = scenario->request->update; *c; c++)
        buf_add(&drive, *c == ',' ? ",," : c, *c == ',' ? 2 : 1);
    scenario->bundle_drive = buf_take(&drive);
    const char *const extra[] = {"-drive", scenario->bundle_drive, "-device", "virtio-blk-pci,drive=bundle,serial=bundle"};
    memcpy(scenario->extra, extra, sizeof(extra));
}

int scenario_machine_prepare(const struct scenario_request *request, struct scenario *scenario, struct err *err) {
    scenario->request = request;
    scenario->vm = (struct vm)VM_INIT;
    struct machine_request machine = request->machine;
    int r = scenario_access_prepare(machine.config, machine.secrets, request->ssh_key, &scenario->access, err);
    if (r < 0)
        return r;
    plan_bundle(scenario);
    machine.config = scenario->access.config;
    machine.secrets = scenario->access.secrets;
    machine.extra = scenario->extra;
    machine.keep = machine.serial = NULL;
    r = machine_prepare(&machine, &scenario->machine, err);
    if (r < 0)
        return r;
    scenario->logs = str_dup(request->log_dir ? request->log_dir : scenario->machine.dir);
    scenario->control = str_printf("%s/ssh", scenario->machine.dir);
    scenario->remote = (struct remote){scenario->access.user, scenario->access.key, scenario->machine.options.ssh_port, scenario->control};
    return file_mkdirs(AT_FDCWD, scenario->logs, 0755, err);
}

void scenario_machine_done(struct scenario *scenario) {
    // What it wrote is thrown away, so it need not shut down.
    if (scenario->remote.key)
        remote_close(&scenario->remote);
    vm_done(&scenario->vm);
    qemu_argv_done(&scenario->argv);
    machine_done(&scenario->machine);
    scenario_access_done(&scenario->access);
    char *const strings[] = {scenario->logs, scenario->console, scenario->control, scenario->bundle_drive};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
}

int scenario_power_on(struct scenario *scenario, const char *disk, struct err *err) {
    struct qemu_options *options = &scenario->machine.options;
    free(scenario->console);
    scenario->console = str_printf("%s/console-%u.log", scenario->logs, ++scenario->console_count);
    options->serial = scenario->console;
    options->disk = disk;
    qemu_argv_done(&scenario->argv);
    scenario->argv = qemu_plan(options);
    bool is_kept = scenario->request->log_dir; // else it is gone before anybody could read it
    scenario_log(scenario, "power on%s%s", is_kept ? ", console in " : "", is_kept ? scenario->console : "");
    return vm_start(&scenario->vm, (const char *const *)scenario->argv, scenario->console, scenario->machine.qmp, err);
}

void scenario_power_off(struct scenario *scenario) {
    if (scenario->vm.pid < 0)
        return;
    scenario_log(scenario, "power off");
    if (scenario->remote.key)
        remote_close(&scenario->remote);
    vm_stop(&scenario->vm, GRACE_MS);
    vm_done(&scenario->vm);
}

int scenario_wait_verdict(struct scenario *scenario, unsigned seen, struct err *err) {
    struct vm *vm = &scenario->vm;
    int64_t allowed_ms = scenario->request->timeout_s * 1000, deadline = vm_elapsed_ms(vm) + allowed_ms;
    unsigned boots = vm->watch.boots, last = boots + SCENARIO_MAX_STARTS;
    while (vm->watch.verdicts <= seen) {
        int event = vm->ended ? VM_ENDED : vm_wait(vm, deadline, err);
        if (vm->watch.boots != boots && vm->watch.boots <= last) { // each start has its own time, but a loop of them ends
            boots = vm->watch.boots;
            deadline = vm_elapsed_ms(vm) + allowed_ms;
        }
        if (event < 0)
            return event;
        if (event == VM_SIGNAL)
            return err_set(err, -EINTR, "interrupted");
        if (event == VM_ENDED)
            return err_set(err, -EPIPE, "the machine powered off (stage: %s)", boot_stage_name(vm->watch.stage));
        if (event == VM_TIMEOUT)
            return err_set(err, -ETIMEDOUT, "no verdict within %ld s (stage: %s, kernels started: %u)", scenario->request->timeout_s,
                           boot_stage_name(vm->watch.stage), vm->watch.boots);
    }
    scenario_log(scenario, "after %.1f s: %s", (double)vm_elapsed_ms(vm) / 1000, vm->watch.verdict);
    return vm->watch.is_good ? 0 : err_set(err, -EIO, "the machine reports: %s", vm->watch.verdict);
}

void scenario_log(struct scenario *scenario, const char *fmt, ...) {
    if (!scenario->outcome || !scenario->outcome->log)
        return;
    FILE *file = fopen(scenario->outcome->log, "ae");
    if (!file)
        return; // a log that cannot be written is no finding about the machine
    va_list args;
    va_start(args, fmt);
    vfprintf(file, fmt, args);
    va_end(args);
    fputc('\n', file);
    fclose(file);
}

// The last line that is not empty, without what a terminal would obey.
static void last_line(const char *text, char *ret_line, size_t size) {
    const char *end = text + strlen(text);
    while (end > text && (end[-1] == '\n' || end[-1] == '\r'))
        end--;
    const char *start = end;
    while (start > text && start[-1] != '\n')
        start--;
    snprintf(ret_line, size, "%.*s", (int)(end - start), start);
    for (char *c = ret_line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = ' ';
}

int scenario_command(struct scenario *scenario, const char *command, unsigned timeout_ms, bool may_break, char **ret_output,
                     struct err *err) {
    cleanup_free char *whole = str_printf("sudo -n %s", command);
    cleanup_remote_result struct remote_result result = {0};
    int64_t began = clock_ms();
    int r = remote_run(&scenario->remote, &scenario->vm, whole, timeout_ms, &result, err);
    scenario_log(scenario, "$ %s\n%s%s[%s %d, %.1f s]", command, result.output ?: "", result.error ?: "", r < 0 ? "error" : "exit status",
                 r < 0 ? -r : result.status, (double)(clock_ms() - began) / 1000);
    if (r < 0)
        return r;
    if (result.status != 0 && !(may_break && result.status == SSH_BROKEN)) {
        char line[300];
        last_line(result.error, line, sizeof(line));
        return err_set(err, -EIO, "`%s` ended with exit status %d: %s", command, result.status, line);
    }
    if (ret_output)
        *ret_output = take_ptr(result.output);
    return 0;
}

int scenario_look(struct scenario *scenario, struct err *err) {
    cleanup_free char *text = NULL;
    int r = scenario_command(scenario, "webops status --json", SCENARIO_COMMAND_MS, false, &text, err);
    return r < 0 ? r : machine_status_parse(text, &scenario->now, err);
}
