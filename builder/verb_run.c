// SPDX-License-Identifier: Apache-2.0
// webops-image run: boots an image in QEMU without writing to it, waits for its health, and leaves nothing behind.
#include "builder/machine.h"
#include "builder/timeline.h"
#include "builder/verbs.h"
#include "builder/vm.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/jsontext.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#define GRACE_MS 30000

struct run_options {
    struct machine_request request;
    const char *wait, *serial, *timeline;
    long timeout_s;
    bool uefi, headless, json, stop, print_command;
};

static int check_options(struct run_options *options, struct err *err) {
    struct machine_request *request = &options->request;
    if (request->bios && options->uefi)
        return err_set(err, -EINVAL, "--bios and --uefi exclude each other");
    if (request->bios && request->secure_boot)
        return err_set(err, -EINVAL, "--secure-boot needs UEFI");
    if (options->wait && strcmp(options->wait, "healthy") != 0)
        return err_set(err, -EINVAL, "--wait knows only: healthy");
    if (options->timeline && !options->wait)
        return err_set(err, -EINVAL, "--timeline needs --wait healthy");
    if (options->stop && !options->wait)
        return err_set(err, -EINVAL, "--stop needs --wait healthy");
    if (options->serial && strcmp(options->serial, "stdio") != 0)
        request->serial = options->serial;
    return machine_check(request, err);
}

// How many words follow the first "--", which opt_parse() leaves in their order.
static int count_behind(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--") == 0)
            return argc - i - 1;
    return 0;
}

static int check_words(int count, int behind, char **args, struct err *err) {
    if (count - behind <= 1)
        return 0;
    return err_set(err, -EINVAL, "unexpected argument: %s; what QEMU is to get stands behind --: webops-image run %s -- %s", args[1],
                   args[0], args[1]);
}

static void report_json(const struct machine *machine, const struct vm *vm) {
    const struct qemu_options *o = &machine->options;
    json_t *report = json_pack("{s:i, s:i, s:o, s:o, s:o, s:s, s:s}", "pid", (int)vm->pid, "ssh_port", (int)o->ssh_port, "serial",
                               jsontext(o->serial), "qmp", jsontext(o->qmp), "disk", jsontext(o->disk), "accelerator", o->accel->accel,
                               "firmware", o->firmware == QEMU_BIOS ? "bios" : "uefi");
    cleanup_free char *text = json_dumps(report, JSON_COMPACT);
    json_decref(report);
    printf("%s\n", text ?: "{}");
    fflush(stdout);
}

static void report_start(const struct run_options *options, const struct machine *machine, const struct vm *vm) {
    const struct qemu_options *o = &machine->options;
    log_info("accelerator: %s%s%s%s", o->accel->name, machine->accel_note[0] ? " (" : "", machine->accel_note,
             machine->accel_note[0] ? ")" : "");
    log_info("%s, %ld processors, %ld MiB; SSH: ssh -p %ld USER@127.0.0.1",
             o->firmware == QEMU_BIOS   ? "BIOS"
             : o->firmware == QEMU_UEFI ? "UEFI"
                                        : "UEFI with Secure Boot",
             o->cpus, o->memory_mib, o->ssh_port);
    if (options->request.serial)
        log_info("console: %s", o->serial);
    if (options->json)
        report_json(machine, vm);
}

// 0 once the machine is healthy (or nothing was to be waited for).
static int wait_healthy(const struct run_options *options, struct vm *vm, struct timeline *timeline, struct err *err) {
    timeline_add(timeline, "firmware", 0);
    while (options->wait && vm->watch.stage != BOOT_HEALTHY) {
        int event = vm_wait(vm, options->timeout_s * 1000, err);
        double seconds = (double)vm_elapsed_ms(vm) / 1000;
        if (event < 0)
            return event;
        if (event == VM_SIGNAL)
            return err_set(err, -EINTR, "interrupted");
        if (event == VM_ENDED)
            return err_set(err, -EIO, "the machine powered off before it was healthy (stage: %s)", boot_stage_name(vm->watch.stage));
        if (event == VM_TIMEOUT)
            return err_set(err, -ETIMEDOUT, "not healthy within %ld s (stage: %s, boots: %u)", options->timeout_s,
                           boot_stage_name(vm->watch.stage), vm->watch.boots);
        timeline_add(timeline, boot_stage_name(vm->watch.stage), vm_elapsed_ms(vm));
        log_info("%5.1f s  %s", seconds, vm->watch.stage >= BOOT_HEALTHY ? vm->watch.verdict : boot_stage_name(vm->watch.stage));
        if (vm->watch.stage == BOOT_UNHEALTHY)
            return err_set(err, -EIO, "the machine reports: %s", vm->watch.verdict);
    }
    return 0;
}

static int save_timeline(const struct run_options *options, const struct qemu_options *machine, const struct timeline *timeline,
                         struct err *err) {
    cleanup_buf struct buf svg = {0};
    cleanup_free char *title =
        str_printf("Power-on to healthy, %s, %s", machine->firmware == QEMU_BIOS ? "BIOS" : "UEFI", machine->accel->name);
    timeline_format(timeline, title, &svg);
    return file_publish(AT_FDCWD, options->timeline, buf_str(&svg), svg.size, 0644, err);
}

static int stay(struct vm *vm, struct err *err) {
    int event = VM_STAGE;
    while (event == VM_STAGE)
        event = vm_wait(vm, 0, err);
    return event < 0 ? event : 0;
}

static int run_machine(const struct run_options *options, const struct machine *machine, struct err *err) {
    cleanup(qemu_argv_done) char **argv = qemu_plan(&machine->options);
    if (options->print_command) {
        cleanup_free char *text = qemu_argv_format((const char *const *)argv);
        printf("%s\n", text);
        return 0;
    }
    cleanup_vm struct vm vm = VM_INIT;
    struct timeline timeline = {0};
    vm.echo = !options->headless && !options->json;
    int r = vm_start(&vm, (const char *const *)argv, machine->serial, machine->qmp, err);
    if (r < 0)
        return r;
    report_start(options, machine, &vm);
    r = wait_healthy(options, &vm, &timeline, err);
    if (r == 0 && options->timeline)
        r = save_timeline(options, &machine->options, &timeline, err);
    if (r == 0 && !options->stop)
        r = stay(&vm, err);
    vm_stop(&vm, GRACE_MS);
    return r;
}

int verb_run(const struct verb *self, int argc, char **argv) {
    struct run_options o = {.timeout_s = 180, .request = {.memory_mib = 1024, .cpus = 2}};
    const struct opt table[] = {
        {"config", 'c', OPT_TEXT, &o.request.config, "FILE", "config.env for the machine, on a NoCloud seed volume"},
        {"secrets", 0, OPT_TEXT, &o.request.secrets, "DIR", "directory of *.secret files (0600), on the same volume"},
        {"uefi", 0, OPT_FLAG, &o.uefi, NULL, "boot by UEFI (default)"},
        {"bios", 0, OPT_FLAG, &o.request.bios, NULL, "boot by BIOS"},
        {"secure-boot", 0, OPT_FLAG, &o.request.secure_boot, NULL, "boot by UEFI with Secure Boot, in setup mode at first"},
        {"memory", 'm', OPT_NUMBER, &o.request.memory_mib, "MIB", "memory (1024)"},
        {"cpus", 0, OPT_NUMBER, &o.request.cpus, "N", "processors (2)"},
        {"ssh-port", 0, OPT_NUMBER, &o.request.ssh_port, "PORT", "loopback port that leads to SSH (a free one)"},
        {"net", 0, OPT_TEXT, &o.request.net, "SETTINGS", "further settings of QEMU's user network"},
        {"serial", 0, OPT_TEXT, &o.serial, "FILE|stdio", "where the console is logged (stdio: only shown)"},
        {"headless", 0, OPT_FLAG, &o.headless, NULL, "do not show the console on standard output"},
        {"disk-size", 0, OPT_TEXT, &o.request.disk_size, "SIZE",
         "size of the virtual disk, such as 8G, or +1G on top of the image's (that of the image)"},
        {"keep", 0, OPT_TEXT, &o.request.keep, "FILE", "keep what the machine writes in this overlay disk, and go on with it next time"},
        {"wait", 0, OPT_TEXT, &o.wait, "healthy", "fail unless the machine reports healthy in time"},
        {"timeout", 0, OPT_NUMBER, &o.timeout_s, "SECONDS", "how long to wait (180)"},
        {"timeline", 0, OPT_TEXT, &o.timeline, "FILE", "draw the boot as SVG once the machine is healthy"},
        {"stop", 0, OPT_FLAG, &o.stop, NULL, "power the machine off once it is healthy"},
        {"json", 0, OPT_FLAG, &o.json, NULL, "print one line of JSON (pid, port, console, control socket) once it runs"},
        {"print-command", 0, OPT_FLAG, &o.print_command, NULL, "print QEMU's command line and start nothing"},
        {0},
    };
    char **args;
    int count, behind = count_behind(argc, argv);
    int code = opt_parse(self, table, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    struct err err = {0};
    if (check_words(count, behind, args, &err) < 0 || check_options(&o, &err) < 0) {
        log_error("run: %s", err.text);
        return EXIT_USAGE;
    }
    o.request.image = args[0];
    o.request.extra = (const char *const *)args + 1;
    cleanup_machine struct machine machine = {0};
    int r = machine_prepare(&o.request, &machine, &err);
    if (r == 0)
        r = run_machine(&o, &machine, &err);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}
