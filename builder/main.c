// SPDX-License-Identifier: Apache-2.0
// webops-image: the table of verbs, and what every verb relies on being set once.
#include "builder/places.h"
#include "builder/sandbox.h"
#include "builder/verbs.h"
#include "common/log.h"
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

static const struct verb verbs[] = {
    {"build", "PROFILE", 1, 1, "Bakes a profile into a bootable disk image.", verb_build},
    {"plan", "PROFILE", 1, 1, "Shows which parts would be built, and why.", verb_plan},
    {"lock", "PROFILE", 1, 1, "Writes the exact packages of a profile, for build --locked.", verb_lock},
    {"inspect", "IMAGE | BUILD | BUNDLE | DISK", 1, 1, "Shows what is in an image or bundle, and verifies it.", verb_inspect},
    {"diff", "IMAGE IMAGE", 2, 2, "Shows what differs between two images: layers, packages, files, kernel.", verb_diff},
    {"run", "IMAGE [-- QEMU-ARGUMENTS]", 1, -1, "Boots an image in QEMU, without writing to it.", verb_run},
    {"test", "IMAGE", 1, 1, "Boots, updates, breaks and rolls back an image in QEMU, for CI.", verb_test},
    {"keygen", "DIR", 1, 1, "Makes the keys for bundles and Secure Boot.", verb_keygen},
    {"secrets", "new-cluster|renew DIR", 2, 2, "Makes certificates, passwords and configurations of a database cluster.", verb_secrets},
    {"bundle", "PROFILE | IMAGE | BUILD", 1, 1, "Makes a signed bundle, by which machines update.", verb_bundle},
    {"publish", "BUNDLE DIR", 2, 2, "Puts a bundle into a directory that a web server serves.", verb_publish},
    {"flash", "[IMAGE | URL | BUILD [DISK]]", 0, 2, "Writes an image to a disk of this computer, and reads it back.", verb_flash},
    {"upload", "PLACE IMAGE | BUILD", 2, 2, "Uploads an image; PLACE: proxmox (a node, and a virtual machine of it), hetzner (a snapshot).",
     verb_upload},
    {"installer", "PROFILE", 1, 1, "Makes a medium that boots, writes the image to a disk by an answer in config.env, and restarts.",
     verb_installer},
    {"seed", "", 0, 0, "Makes a medium with config.env and secrets, by which a machine is configured.", verb_seed},
    {"config", "check|doc [FILE]", 1, 2, "Checks a config.env as the machine would, or prints every key as Markdown.", verb_config},
    {"version", "", 0, 0, "Prints the version.", verb_version},
    {0},
};

// mkfs and its like are started by name: where they are differs between distributions.
static void extend_path(void) {
    cleanup_free char *path = places_tool_path(getenv("PATH"));
    setenv("PATH", path, 1);
}

int main(int argc, char **argv) {
    setlocale(LC_ALL, "C.UTF-8"); // the bytes of a build must not depend on the caller's language; names may be UTF-8
    umask(022);
    signal(SIGPIPE, SIG_IGN); // a child that ends early is an error with a text, not our silent death
    log_init("webops-image", getenv("WEBOPS_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, false);
    extend_path();
    if (argc > 1 && strcmp(argv[1], SANDBOX_VERB) == 0)
        return sandbox_main(argc, argv);
    return verb_main("webops-image", "Bakes hardened, immutable Linux server images.", verbs, argc, argv);
}
