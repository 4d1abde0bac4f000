// SPDX-License-Identifier: Apache-2.0
// Reads the plan, loads modules for the devices that are there and for those that come, until the slot and its state partition are found.
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include "firstboot/init/sys.h"
#include "firstboot/init/uevent.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PLAN "/plan"
#define RESCAN_MS 500 // partitions are looked at this often even without a message, should one get lost

int plan_load(struct boot *boot, struct err *err) {
    cleanup_fd int fd = open(PLAN, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, -errno, "opening " PLAN " in the initramfs");
    if (st.st_size < 1 || st.st_size > PLAN_MAX_BYTES)
        return err_set(err, -EFBIG, PLAN ": %lld bytes, expected 1 to %d", (long long)st.st_size, PLAN_MAX_BYTES);
    cleanup_free char *text = malloc((size_t)st.st_size);
    int r = text ? sys_read_at(fd, 0, text, (size_t)st.st_size) : -ENOMEM;
    if (r < 0)
        return err_sys(err, r, "reading " PLAN);
    return plan_parse(text, (size_t)st.st_size, &boot->plan, err);
}

// One look: 1 = found, 0 = not yet, with the reason in err for when the time is over; anything negative ends the boot.
static int look(struct boot *boot, int block_fd, int dev_fd, struct err *err) {
    struct find_partitions partitions;
    if (*boot->medium) {
        int found = medium_scan(block_fd, dev_fd, boot->medium, boot->disk.slot.disk, err);
        if (found == 0)
            (void)!err_set(err, -ETIMEDOUT, "waited %u s: no medium has the volume label %s", boot->plan.timeout_s, boot->medium);
        return found;
    }
    int r = find_scan(block_fd, dev_fd, boot->wanted.id, &partitions, err);
    if (r == 0)
        r = find_choose(&partitions, &boot->disk, err);
    if (r == 0)
        (void)!find_explain(&partitions, boot->wanted.id, boot->plan.timeout_s, err);
    return r;
}

// Looks until both partitions are there, or the medium. The first look that finds them decides, and it comes after every driver for a device
// that is there already was loaded: a disk that turns up later is never looked at, so it cannot change how a working machine boots.
static int wait_for_disk(struct boot *boot, int bus_fd, int block_fd, int dev_fd, struct err *err) {
    const uint64_t deadline_ms = sys_now_ms() + (uint64_t)boot->plan.timeout_s * 1000;
    for (;;) {
        modules_hotplug(&boot->modules, boot->uevent_fd, bus_fd);
        int r = boot->is_in_memory ? 1 : look(boot, block_fd, dev_fd, err);
        if (r != 0)
            return r < 0 ? r : 0;
        uint64_t now_ms = sys_now_ms();
        if (now_ms >= deadline_ms)
            return -ETIMEDOUT;
        uint64_t left_ms = deadline_ms - now_ms;
        uevent_wait(boot->uevent_fd, left_ms < RESCAN_MS ? (unsigned)left_ms : RESCAN_MS);
    }
}

// No such hardware is normal: an accelerated cipher on a processor without the instructions.
static void log_failed_module(const struct plan_module *module, int code) {
    console_log(code == -ENODEV ? CONSOLE_DEBUG : CONSOLE_WARNING, "module %s: %s", module->path, strerror(-code));
}

static void report(const struct boot *boot) {
    if (!*boot->medium)
        console_log(CONSOLE_INFO, "generation on /dev/%s, state on /dev/%s; %u modules", boot->disk.slot.device, boot->disk.state.device,
                    boot->modules.loaded);
    else
        console_log(CONSOLE_INFO, "generation on the medium %s%s, state in memory; %u modules", boot->is_in_memory ? "in memory" : "/dev/",
                    boot->disk.slot.disk, boot->modules.loaded);
}

int devices_apply(struct boot *boot, struct err *err) {
    cleanup_fd int uevent_fd = uevent_open(err);
    if (uevent_fd < 0)
        return uevent_fd;
    cleanup_fd int bus_fd = open("/sys/bus", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_fd int block_fd = open("/sys/class/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_fd int dev_fd = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (bus_fd < 0 || block_fd < 0 || dev_fd < 0)
        return err_sys(err, -errno, "opening /sys/bus, /sys/class/block and /dev");
    boot->uevent_fd = uevent_fd;
    boot->is_in_memory = *boot->medium && access(MEDIUM_IN_MEMORY "/" MEDIUM_SLOT, F_OK) == 0;
    boot->modules.plan = &boot->plan;
    boot->modules.load = modules_finit;
    boot->modules.failed = log_failed_module;
    modules_load_list(&boot->modules, &boot->plan.load);
    modules_coldplug(&boot->modules, bus_fd);
    int r = wait_for_disk(boot, bus_fd, block_fd, dev_fd, err);
    boot->uevent_fd = -1;
    if (r == 0)
        report(boot);
    return r;
}
