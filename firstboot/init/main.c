// SPDX-License-Identifier: Apache-2.0
// PID 1 of the initramfs: a list of steps, each of which works or restarts the machine.
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include "firstboot/init/note.h"
#include "firstboot/init/sys.h"

static const struct {
    const char *name;
    boot_step_fn *apply;
} steps[] = {
    {"mounts", mounts_apply},
    {"command-line", command_line_load},
    {"plan", plan_load},
    {"devices", devices_apply},
    {"medium", medium_apply},
    {"verity", verity_apply},
    {"layers", layers_apply},
    {"state", state_apply},
    {"trial", trial_apply},
    {"factory", factory_apply},
    {"etc", etc_apply},
    {"machine-id", machine_id_apply},
    {"labels", labels_apply},
    {"record", record_apply},
    {"switch-root", switch_apply}, // does not return
};
_Static_assert(ARRAY_SIZE(steps) <= BOOT_MAX_STEPS, "every step has a place in the boot record");

static struct boot boot; // 40 kB, too much for the stack

static _Noreturn void fail(const char *step, const struct err *err) {
    console_report(step, err);
    note_failed_boot(&boot, step, err);
    console_restart();
}

int main(void) {
    if (getpid() != 1) {
        fputs("webops-init: this program is PID 1 of an initramfs and does nothing else\n", stderr);
        return 2;
    }
    boot.uevent_fd = boot.state_fd = -1;
    boot.start_ms = sys_now_ms();
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        struct err err = {0};
        if (steps[i].apply(&boot, &err) < 0)
            fail(steps[i].name, &err);
        boot.timings[boot.timing_count++] = (struct boot_timing){.step = steps[i].name, .end_ms = sys_now_ms()};
    }
    struct err err = {"the last step came back"};
    fail("switch-root", &err);
}
