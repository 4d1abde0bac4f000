// SPDX-License-Identifier: Apache-2.0
// webops install-disk: what webops-installer.service runs on a machine that was started from an installation medium.
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/bootrecord.h"
#include "firstboot/console.h"
#include "firstboot/discover.h"
#include "firstboot/installer/bootorder.h"
#include "firstboot/installer/plan.h"
#include "firstboot/installer/write.h"
#include "firstboot/restart.h"
#include "firstboot/stack/inputs.h"
#include "firstboot/verbs.h"
#include "firstboot/volumes.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>

#define MAX_PROBLEMS 10 // of one configuration that is shown
#define LINE_BYTES 1024
#define SLOW_DISKS_MS 60000 // since the kernel's start: controllers of RAIDs take half a minute; the init waits as long for a slot
#define IN_SERVICE "INVOCATION_ID" // systemd.exec(5); the service is started again for exit status 75
#define IMAGE "/run/webops/medium/webops/image.raw.zst"

struct install {
    int root_fd;
    bool is_again, is_list;
    struct config record;
    struct stack_set set;
    struct discovered found;
    struct install_answer answer;
    struct install_disks disks;
    char *path; // of the answer's rule
    struct install_facts facts;
};

static void install_done(struct install *install) {
    config_done(&install->record);
    stack_set_done(&install->set);
    discovered_done(&install->found);
    install_disks_done(&install->disks);
    free(install->path);
    if (install->root_fd >= 0)
        close(install->root_fd);
}

// On all consoles, and in the log: whoever comes by SSH reads it there.
static void say(const char *fmt, ...) printf_like(1, 2) nonnull(1);
static void say(const char *fmt, ...) {
    char text[LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    console_print_all("%s", text);
    log_info("%s", text);
}

static char *resolve_path(const struct install_answer *answer) {
    struct diskrule rule;
    struct err ignored;
    return answer->disk && diskrule_parse(answer->disk, &rule, &ignored) == 0 && *rule.path ? realpath(rule.path, NULL) : NULL;
}

static int look(struct install *install, struct err *err) {
    install_disks_done(&install->disks);
    free(install->path);
    int r = install_disks_load(install->root_fd, bootrecord_text(&install->record, "DISK"), bootrecord_text(&install->record, "SLOT_ID"),
                               &install->disks, err);
    install->path = resolve_path(&install->answer);
    install->facts = (struct install_facts){.disks = &install->disks,
                                            .source = install->found.source,
                                            .path = install->path,
                                            .has_image = access(IMAGE, F_OK) == 0,
                                            .is_again = install->is_again};
    return r;
}

// "largest" of the disks that happen to be there already is another one than the largest.
static int look_at_all(struct install *install, struct err *err) {
    volumes_settle(install->root_fd, 0);
    int r = look(install, err);
    if (r < 0 || install->is_list || clock_ms() >= SLOW_DISKS_MS || !install_plan_waits(&install->answer, &install->facts))
        return r;
    say("waiting for disks until %d s after the start", SLOW_DISKS_MS / 1000);
    volumes_settle(install->root_fd, SLOW_DISKS_MS);
    return look(install, err);
}

// The configuration was found and checked by `webops apply`; here it is only read again.
static int load(struct install *install, struct err *err) {
    int r = bootrecord_load(install->root_fd, &install->record, err);
    if (r >= 0 && !bootrecord_is_medium(&install->record))
        r = err_set(err, -ENOTSUP, "this machine was not started from an installation medium");
    if (r >= 0)
        r = stack_set_load(install->root_fd, &install->set, err);
    const struct discover discover = {.root_fd = install->root_fd, .schema = &install->set.schema, .is_dry_run = true};
    if (r >= 0)
        r = discover_config(&discover, &install->found, err);
    if (r < 0)
        return r;
    install_answer_load(&install->set.schema, &install->found.config, &install->answer);
    return look_at_all(install, err);
}

static void show(const struct install *install) {
    say("installer of %s %s; configuration: %s", bootrecord_text(&install->record, "PROFILE"), bootrecord_text(&install->record, "VERSION"),
        install->found.source);
    for (size_t i = 0; i < install->found.refusal_count; i++) {
        const struct discover_refusal *refusal = &install->found.refusals[i];
        for (size_t j = 0; j < refusal->problems.count && j < MAX_PROBLEMS; j++)
            say("config: %s:%u: %s", refusal->source, refusal->problems.items[j].line, refusal->problems.items[j].text);
    }
    for (size_t i = 0; i < install->disks.count; i++) {
        cleanup_buf struct buf line = {0};
        install_disk_format(&install->disks.items[i], &line);
        say("disk %s", buf_str(&line));
    }
    if (!install->disks.count)
        say("this machine has no disk");
}

static void tell(const char *line) {
    say("installing: %s", line);
}

static int write_disk(const struct install *install, const struct install_disk *disk, struct err *err) {
    const bool has_config = file_exists(install->root_fd, DISCOVER_CONFIG), has_secrets = file_exists(install->root_fd, DISCOVER_SECRETS);
    const struct install_write write = {
        .disk = disk->path,
        .serial = disk->serial,
        .image = install->answer.url ?: IMAGE,
        .sha256 = install->answer.sha256,
        .config = has_config ? "/" DISCOVER_CONFIG : NULL,
        .secrets = has_config && has_secrets ? "/" DISCOVER_SECRETS : NULL,
        .tell = tell,
    };
    say("installing on %s%s%s, from %s", disk->path, *disk->serial ? ", serial number " : "", disk->serial,
        install->answer.url ?: "the medium");
    return install_write(&write, err);
}

static int follow(const struct install *install, struct err *err) {
    switch (install->answer.then) {
    case INSTALL_REBOOT:
        return restart_machine(true, "into the installed machine", err);
    case INSTALL_POWEROFF:
        return power_off_machine(true, "the installation is finished", err);
    default:
        say("remove the medium and restart");
        return 0;
    }
}

// A firmware that does not let us is no reason to call the installation a failed one.
static void put_first(int root_fd, const char *disk) {
    struct err err;
    int r = bootorder_apply(root_fd, disk, &err);
    if (r < 0)
        say("%s; if the medium starts again, remove it", err.text);
    else if (r > 0)
        say("%s is first in the firmware's boot order", disk);
}

static int carry_out(const struct install *install, const struct install_plan *plan, struct err *err) {
    if (plan->action == INSTALL_REFUSE)
        return err_set(err, -EPERM, "%s", plan->text);
    if (plan->action != INSTALL_WRITE) {
        // An installation that was cut off before it told the firmware, or a disk that was flashed elsewhere.
        if (plan->action == INSTALL_PRESENT && install->disks.items[plan->disk].holds == INSTALL_HOLDS_SAME)
            put_first(install->root_fd, install->disks.items[plan->disk].path);
        say("not installed: %s", plan->text);
        return plan->action == INSTALL_PRESENT && install->answer.then == INSTALL_POWEROFF
                   ? power_off_machine(true, "there is nothing to install", err)
                   : 0;
    }
    const struct install_disk *disk = &install->disks.items[plan->disk];
    int r = write_disk(install, disk, err);
    if (r < 0)
        return r;
    sync();
    cleanup_free char *what = install->answer.url ? str_dup(install->answer.url)
                                                  : str_printf("%s %s", bootrecord_text(&install->record, "PROFILE"),
                                                               bootrecord_text(&install->record, "VERSION"));
    say("installed: %s on %s%s%s", what, disk->path, *disk->serial ? ", serial number " : "", disk->serial);
    put_first(install->root_fd, disk->path);
    if (follow(install, err) < 0) { // what is installed stays installed
        log_error("%s", err->text);
        say("the machine cannot be restarted (%s): do it by hand", err->text);
    }
    return 0;
}

// Two at once would write to one disk.
static int lock(int root_fd, struct err *err) {
    cleanup_fd int fd = file_open(root_fd, "run/webops/install.lock", O_RDWR | O_CREAT, 0600, err);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, -EBUSY, "an installation is under way");
    return fd < 0 ? fd : take_fd(&fd);
}

static int install_disk(struct install *install, struct err *err) {
    cleanup_install_plan struct install_plan plan = {0};
    cleanup_fd int lock_fd = -1;
    install->root_fd = file_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0, err);
    int r = install->root_fd < 0 ? install->root_fd : load(install, err);
    if (r < 0)
        return r;
    lock_fd = lock(install->root_fd, err);
    if (lock_fd < 0)
        return lock_fd;
    show(install);
    if (install->is_list)
        return 0;
    install_plan_make(&install->answer, &install->facts, &plan);
    return carry_out(install, &plan, err);
}

int verb_install_disk(const struct verb *self, int argc, char **argv) {
    struct install install = {.root_fd = -1};
    const struct opt options[] = {
        {"again", 0, OPT_FLAG, &install.is_again, NULL, "Writes whatever this disk and others hold."},
        {"list", 'l', OPT_FLAG, &install.is_list, NULL, "Only shows the disks."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err = {0};
    r = install_disk(&install, &err);
    if (r < 0 && r != -ENOTSUP)
        console_print_all("not installed: %s%s", err.text, r == -EAGAIN && getenv(IN_SERVICE) ? "; trying again in a minute" : "");
    install_done(&install);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}
