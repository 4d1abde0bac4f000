// SPDX-License-Identifier: Apache-2.0
// The three recipes (image definition, layer, profile) as structs, loaded from YAML with libcyaml. Knows nothing of building.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strings { // a YAML list of texts
    char **items;
    unsigned count;
};

// images/<id>.yaml
struct recipe_source { // one line of an apt sources.list
    char *archive; // "debian", "debian-security": path at the end of the mirror's address, found in the build host's apt configuration
    char *mirror; // address; NULL = from the build host's configuration
    struct strings suites, components;
    char *keyring; // absolute path on the build host
};
struct recipe_image {
    char *id, *name, *family, *backend, *architecture; // family: key into a layer's packages ("apt"); backend: "apt"
    struct recipe_source *sources;
    unsigned source_count;
    struct strings packages; // base packages, kernel included
    struct strings stand_ins; // package names satisfied by an empty package of ours (linux-initramfs-tool: our init replaces it)
    struct strings exclude; // path patterns that dpkg never unpacks (documentation, translations)
};

// overlays/<name>/layer.yaml
struct recipe_unit {
    char *unit, *wants; // a symlink /etc/systemd/system/<wants>.wants/<unit>
};
struct recipe_mode {
    char *path;
    unsigned mode; // octal in YAML as text "0600"
    char *owner; // "user:group" by name or number; NULL = root:root
};
struct recipe_fetch {
    char *url, *sha256, *path;
    unsigned mode;
};
struct recipe_layer {
    char *name, *version, *summary;
    struct strings apt_packages; // packages: {apt: [...]}
    struct recipe_fetch *fetch;
    unsigned fetch_count;
    struct recipe_unit *enable;
    unsigned enable_count;
    struct strings mask; // units → /dev/null
    struct strings remove; // absolute paths hidden by a whiteout
    struct recipe_mode *modes;
    unsigned mode_count;
    struct strings programs; // our own programs to install: "webops" → /usr/sbin/webops, "webops-fetch" → /usr/lib/webops/webops-fetch
    char *dir; // overlays/<name>; its files/ is the tree that is put on top
};

// profiles/<name>.yaml
struct recipe_profile {
    char *name, *version;
    uint64_t sequence;
    char *image; // id
    struct strings layers; // names, bottom to top
    uint64_t slot_size, esp_size, state_size; // bytes
    int zstd_level; // 1 … 22, default 15
    uint32_t block_size; // bytes, default 131072
    char *modules; // "virtio" | "server": images/modules/<name>.list
    struct strings cmdline;
    struct strings outputs; // "qcow2", "zst"; raw is always made
    char *config; // default config.env beside the profile; NULL = none
};
