// SPDX-License-Identifier: Apache-2.0
// What an installation medium is to do, from the answer in config.env and the disks of the machine. Pure: nothing is looked at, nothing written.
#pragma once
#include "common/config.h"
#include "common/schema.h"
#include "common/diskrule.h"
#include "firstboot/installer/disks.h"

enum install_then { INSTALL_REBOOT, INSTALL_POWEROFF, INSTALL_WAIT };

struct install_answer {
    const char *disk, *confirm, *url, *sha256; // NULL = unset; of the configuration
    bool replaces; // INSTALL_EXISTING=replace: whatever the chosen disk holds, and whatever other machines there are
    enum install_then then;
};
// The keys INSTALL_* of a configuration that passed the check; the texts are the configuration's.
void install_answer_load(const struct schema *schema, const struct config *config, struct install_answer *ret_answer) nonnull(1, 2, 3);

enum install_action {
    INSTALL_SHOW, // there is no answer, or half of one: text says what to write into config.env
    INSTALL_REFUSE, // text says why
    INSTALL_PRESENT, // the disk holds an installed machine that is to stay: text
    INSTALL_WRITE, // to disks[disk]
};
struct install_plan {
    enum install_action action;
    size_t disk;
    char *text; // NULL for INSTALL_WRITE
};

struct install_facts {
    const struct install_disks *disks;
    const char *source; // of the configuration, as discover.h has it
    const char *path; // what path= of the rule is really ("/dev/sda"); NULL when there is no such device, or no path= in the rule
    bool has_image; // on the medium
    bool is_again; // told by hand to write whatever the disks hold
};
void install_plan_make(const struct install_answer *answer, const struct install_facts *facts, struct install_plan *ret_plan)
    nonnull(1, 2, 3);
// Whether a disk that the kernel has yet to find could change which one is chosen.
bool install_plan_waits(const struct install_answer *answer, const struct install_facts *facts) must_check nonnull(1, 2);
void install_plan_done(struct install_plan *plan);

#define cleanup_install_plan cleanup(install_plan_done)
