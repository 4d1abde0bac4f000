// SPDX-License-Identifier: Apache-2.0
// webops-image: the table of verbs, and what every verb relies on being set once.
#include "builder/verbs.h"
#include "common/log.h"
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>

static const struct verb verbs[] = {
    {"run", "IMAGE [-- QEMU-ARGUMENTS]", 1, -1, "Boots an image in QEMU, without writing to it.", verb_run},
    {"version", "", 0, 0, "Prints the version.", verb_version},
    {0},
};

int main(int argc, char **argv) {
    setlocale(LC_ALL, "C.UTF-8"); // the bytes of a build must not depend on the caller's language; names may be UTF-8
    umask(022);
    signal(SIGPIPE, SIG_IGN); // a child that ends early is an error with a text, not our silent death
    log_init("webops-image", getenv("WEBOPS_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, false);
    return verb_main("webops-image", "Bakes hardened, immutable Linux server images.", verbs, argc, argv);
}
