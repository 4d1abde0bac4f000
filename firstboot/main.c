// SPDX-License-Identifier: Apache-2.0
// webops: the table of verbs.
#include "common/log.h"
#include "firstboot/verbs.h"
#include <stdlib.h>
#include <unistd.h>

static const struct verb verbs[] = {
    {"apply", "[STACK]", 0, 1,
     "Find config.env and make the machine match it, and a stack when one is named; a second run changes nothing.", verb_apply},
    {"commands", "", 0, 0, "Internal: run the commands of hooks and checks that come on standard input, in a unit of their own.",
     verb_commands},
    {"drift", "", 0, 0, "Show what differs from the image and from what was rendered.", verb_drift},
    {"health", "", 0, 0, "Check this machine; exit 0 when it is healthy.", verb_health},
    {"history", "", 0, 0, "Show which generations were installed, committed and rejected here.", verb_history},
    {"hooks", "EVENT", 1, 1, "Internal: run the hooks of enabled stacks (before-update, before-reboot, after-start), called by units.",
     verb_hooks},
    {"install", "", 0, 0, "Apply the base and bring up every enabled stack; a second run changes nothing.", verb_install},
    {"install-disk", "", 0, 0, "Started from an installation medium: show the disks, and install as config.env says.", verb_install_disk},
    {"list", "", 0, 0, "Show the stacks of this image.", verb_list},
    {"rollback", "", 0, 0, "Go back to the other generation: the running one becomes bad, the machine restarts.", verb_rollback},
    {"status", "", 0, 0, "Show generation, configuration, health, drift and the last errors.", verb_status},
    {"trial", "ACTION", 1, 1, "Internal: the steps of a trial boot, called by units (start, commit, fail, review, deadline).", verb_trial},
    {"uninstall", "STACK", 1, 1, "Stop a stack and keep it off; its data stays.", verb_uninstall},
    {"update", "[FILE|URL]", 0, 1, "Install a generation into the other slot; it must prove itself at the next restart.", verb_update},
    {"validate", "[FILE]", 0, 1, "Check a config.env and name all its problems.", verb_validate},
    {"version", "", 0, 0, "Print the version.", verb_version},
    {"why", "", 0, 0, "Show why a generation was rejected: stage, check, last log lines.", verb_why},
    {0},
};

int main(int argc, char **argv) {
    // Set by systemd where standard error is the journal (systemd.exec(5)).
    bool for_journal = getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
    log_init("webops", LOG_LEVEL_INFO, for_journal);
    return verb_main("webops", "Configures this machine from config.env and reports on it.", verbs, argc, argv);
}
