// SPDX-License-Identifier: Apache-2.0
// webops-image test: an image in QEMU from first boot to rollback, for a continuous integration server. Prints one line per step.
#include "builder/junit.h"
#include "builder/scenario.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

struct test_options {
    struct scenario_request request;
    const char *junit;
    bool uefi;
};

static void tell(const struct scenario_outcome *outcome) {
    bool passed = outcome->result == SCENARIO_PASSED;
    printf("%-6s %-32s %6.1f s  %s\n", passed ? "ok" : "FAILED", outcome->step->title, (double)outcome->duration_ms / 1000,
           passed ? outcome->note : outcome->problem.text);
    fflush(stdout);
}

static bool report(const struct scenario_outcomes *outcomes, bool keeps_logs) {
    size_t passed = 0;
    int64_t total_ms = 0;
    for (size_t i = 0; i < outcomes->count; i++) {
        const struct scenario_outcome *outcome = &outcomes->items[i];
        passed += outcome->result == SCENARIO_PASSED;
        total_ms += outcome->duration_ms;
        if (outcome->result == SCENARIO_NOT_RUN)
            printf("%-6s %s\n", "-", outcome->step->title);
        if (outcome->result == SCENARIO_FAILED && keeps_logs)
            log_error("%s: log in %s", outcome->step->name, outcome->log);
        else if (outcome->result == SCENARIO_FAILED && outcome->log_text)
            fputs(outcome->log_text, stderr);
    }
    printf("%zu of %zu steps passed in %.0f s\n", passed, outcomes->count, (double)total_ms / 1000);
    return passed == outcomes->count;
}

static int save_junit(const struct test_options *options, const struct scenario_outcomes *outcomes, struct err *err) {
    cleanup_buf struct buf xml = {0};
    struct junit_case cases[SCENARIO_MAX_STEPS] = {0};
    cleanup_free char *suite = str_printf("webops-image test %s, %s", options->request.machine.image, options->uefi ? "UEFI" : "BIOS");
    for (size_t i = 0; i < outcomes->count; i++) {
        const struct scenario_outcome *outcome = &outcomes->items[i];
        cases[i] = (struct junit_case){
            .name = outcome->step->title,
            .duration_ms = outcome->duration_ms,
            .was_run = outcome->result != SCENARIO_NOT_RUN,
            .failure = outcome->result == SCENARIO_FAILED ? outcome->problem.text : NULL,
            .output = outcome->log_text,
        };
    }
    junit_format(suite, cases, outcomes->count, &xml);
    return file_publish(AT_FDCWD, options->junit, buf_str(&xml), xml.size, 0644, err);
}

static int run_test(const struct test_options *options) {
    struct err err = {0};
    cleanup_scenario_outcomes struct scenario_outcomes outcomes = {0};
    scenario_plan(&options->request, &outcomes);
    int r = scenario_run(&options->request, &outcomes, tell, &err);
    if (r < 0)
        return verb_failed(r, &err);
    bool passed = report(&outcomes, options->request.log_dir != NULL);
    if (options->junit && save_junit(options, &outcomes, &err) < 0)
        return verb_failed(-EIO, &err);
    return passed ? EXIT_OK : EXIT_PERMANENT;
}

int verb_test(const struct verb *self, int argc, char **argv) {
    struct test_options o = {.request = {.machine = {.memory_mib = 1024, .cpus = 2, .disk_size = "+1G"}, .timeout_s = 600}};
    struct machine_request *machine = &o.request.machine;
    const struct opt table[] = {
        {"uefi", 0, OPT_FLAG, &o.uefi, NULL, "boot by UEFI (default)"},
        {"bios", 0, OPT_FLAG, &machine->bios, NULL, "boot by BIOS"},
        {"config", 'c', OPT_TEXT, &machine->config, "FILE", "config.env for the machine (a small one with a fresh key)"},
        {"secrets", 0, OPT_TEXT, &machine->secrets, "DIR", "directory of *.secret files (0600) that it names"},
        {"ssh-key", 0, OPT_TEXT, &o.request.ssh_key, "FILE", "private key of its OPERATOR_USER, who may use sudo without a password"},
        {"update", 0, OPT_TEXT, &o.request.update, "BUNDLE", "install this bundle, damage it, try and commit it"},
        {"rollback", 0, OPT_FLAG, &o.request.wants_rollback, NULL, "go back to the image's own generation at last"},
        {"junit", 0, OPT_TEXT, &o.junit, "FILE", "write the results as JUnit XML"},
        {"log", 0, OPT_TEXT, &o.request.log_dir, "DIR", "keep consoles and the log of each step"},
        {"timeout", 0, OPT_NUMBER, &o.request.timeout_s, "SECONDS", "how long a boot may take (600)"},
        {"disk-size", 0, OPT_TEXT, &machine->disk_size, "SIZE",
         "size of the virtual disk, such as 8G, or how much larger than the image (+1G)"},
        {"memory", 'm', OPT_NUMBER, &machine->memory_mib, "MIB", "memory (1024)"},
        {"cpus", 0, OPT_NUMBER, &machine->cpus, "N", "processors (2)"},
        {0},
    };
    char **args;
    int count;
    int code = opt_parse(self, table, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    struct err err = {0};
    int r = machine->bios && o.uefi ? err_set(&err, -EINVAL, "--bios and --uefi exclude each other") : scenario_check(&o.request, &err);
    if (r < 0) {
        log_error("test: %s", err.text);
        return EXIT_USAGE;
    }
    machine->image = args[0];
    o.uefi = !machine->bios;
    r = scenario_check_files(&o.request, &err);
    return r < 0 ? verb_failed(r, &err) : run_test(&o);
}
