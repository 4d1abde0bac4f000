// SPDX-License-Identifier: Apache-2.0
// A tiny project (image, two layers, profile with a configuration, programs) whose image comes from an archive made here: what plans and builds
// are tested with. Lives in the archive template's directory, one per program.
#pragma once
#include "builder/build.h"
#include "builder/test/archive.h"

static const struct archive_package project_packages[] = {
    {"core", "1.0", "Essential: yes\n"},
    {"kernel", "6", ""},
    {"kernel-small", "6", ""},
    {"web", "1", ""},
};

static const struct project_file {
    const char *path, *text;
} project_files[] = {
    {"images/modules/virtio.list", "virtio_blk\n"},
    {"images/modules/server.list", "ahci\n"},
    {"overlays/one/layer.yaml", "name: one\nversion: \"1\"\nsummary: first\nprograms: [webops]\n"},
    {"overlays/one/files/etc/motd", "hello\n"},
    {"overlays/one/stack.yaml",
     "name: one\nsummary: a stack\nenable: ONE_ENABLED\nkeys:\n  - {name: ONE_NAME, type: name, default: a, help: N.}\n"
     "files:\n  - {template: one.env, path: /etc/one.env, mode: \"0644\", format: env}\n"},
    {"overlays/one/templates/one.env", "NAME={{ONE_NAME}}\n"},
    {"overlays/two/layer.yaml",
     "name: two\nversion: \"1\"\nsummary: second\nmask: [a.service]\nmodes:\n  - {path: /opt/x, mode: \"0600\"}\n"},
    {"overlays/two/files/opt/x", "x\n"},
    {"profiles/small.yaml", "name: small\nversion: \"1.0\"\nsequence: 4\nimage: tiny\nlayers: [one, two]\nslot_size: 4M\nesp_size: 64M\n"
                            "state_size: 32M\nzstd_level: 3\nmodules: virtio\ncmdline: [quiet]\noutputs: [zst]\nconfig: small.env\n"},
    {"profiles/small.env", "HOSTNAME=small\n"},
    {"programs/init", "init"},
    {"programs/restart.efi", "restart.efi"},
    {"programs/webops", "webops"},
};

static inline char *project_path(const char *name) {
    return scratch_file(archive_template.scratch, name);
}

static inline void project_put(const char *name, const char *text) {
    struct err err = {0};
    cleanup_free char *dir = str_dup(name);
    *strrchr(dir, '/') = 0;
    assert_ok(file_mkdirs(archive_template.scratch->fd, dir, 0755, &err));
    assert_ok(file_publish(archive_template.scratch->fd, name, text, strlen(text), 0644, &err));
}

static inline char *project_get(const char *name) {
    struct err err = {0};
    char *text = NULL;
    assert_ok(file_read(archive_template.scratch->fd, name, 1 << 16, &text, NULL, &err));
    return text;
}

static inline int project_begin(void **state) {
    (void)state;
    archive_begin(project_packages, ARRAY_SIZE(project_packages));
    const char *top = archive_template.scratch->path;
    for (size_t i = 0; i < ARRAY_SIZE(project_files); i++)
        project_put(project_files[i].path, project_files[i].text);
    cleanup_free char *image =
        str_printf("id: tiny\nname: Tiny 1\nfamily: debian\nbackend: apt\narchitecture: amd64\nsources:\n  - archive: debian\n    mirror: "
                   "file://%s/mirror/debian\n    suites: [test]\n    components: [main]\n    keyring: %s/good.gpg\nkernel: kernel\n"
                   "packages: [core]\nexclude: [/usr/share/doc/*]\n",
                   top, top);
    project_put("images/tiny.yaml", image);
    cleanup_free char *cache = project_path("cache"), *programs = project_path("programs"), *keys = project_path("keys");
    setenv("WEBOPS_DATA", top, 1);
    setenv("WEBOPS_CACHE", cache, 1);
    setenv("WEBOPS_PROGRAMS", programs, 1);
    setenv("WEBOPS_KEYS", keys, 1); // development keys, made by the first build
    unsetenv("SOURCE_DATE_EPOCH");
    return 0;
}

// Plans the project's profile; the caller ends with build_done().
static inline int project_plan(bool offline, struct build *build, struct err *err) {
    cleanup_free char *profile = project_path("profiles/small.yaml"), *out = project_path("out");
    const struct build_options options = {.profile = profile, .out_dir = out, .offline = offline};
    int r = build_plan(&options, build, err);
    build->options.profile = build->options.out_dir = "";
    return r;
}
