// SPDX-License-Identifier: Apache-2.0
// What several tests of webops share: plans from a config text, and temporary roots.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/file.h"
#include "firstboot/plan.h"
#include <fcntl.h>
#include <string.h>

static const struct facts support_facts = {
    .passwd = "root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n",
    .group = "root:x:0:\nadm:x:4:\nsystemd-journal:x:101:\nsudo:x:27:\nshadow:x:42:\n",
    .shadow = "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n",
    .gshadow = "root:*::\nadm:*::\nsystemd-journal:!::\n",
    .has_zone = true,
    .has_config = true,
};

// A plan of a configuration that the schema accepts.
static inline struct plan support_plan_with(const char *text, const struct facts *facts, size_t expected_problems) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0}, refused = {0};
    struct err err;
    struct plan plan;
    assert_int_equal(schema_parse(&schema_base, text, strlen(text), &config, &problems), 0);
    assert_int_equal(plan_make(&schema_base, &config, facts, &plan, &refused, &err), 0);
    assert_int_equal(refused.count, expected_problems);
    return plan;
}
static inline struct plan support_plan(const char *text) {
    return support_plan_with(text, &support_facts, 0);
}

// The content of a planned file; fails the test when it is not planned.
static inline const char *support_content(const struct plan *plan, const char *path) {
    const struct plan_entry *entry = plan_find(plan, path);
    if (!entry)
        fail_msg("%s is not planned", path);
    assert_int_equal(strlen(entry->content), entry->size);
    return entry->content;
}

struct support_root {
    char path[64];
    int fd;
};
static inline struct support_root support_root_make(void) {
    struct support_root root = {.path = "/tmp/webops-test-XXXXXX"};
    assert_non_null(mkdtemp(root.path));
    root.fd = open(root.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root.fd >= 0);
    return root;
}
static inline void support_root_done(struct support_root *root) {
    struct err err;
    close(root->fd);
    assert_int_equal(file_remove_tree(AT_FDCWD, root->path, &err), 0);
}
static inline void support_write(const struct support_root *root, const char *path, const char *text) {
    struct err err;
    cleanup_free char *parent = str_dup(path);
    char *slash = strrchr(parent, '/');
    if (slash) {
        *slash = 0;
        assert_int_equal(file_mkdirs(root->fd, parent, 0755, &err), 0);
    }
    assert_int_equal(file_publish(root->fd, path, text, strlen(text), 0644, &err), 0);
}
static inline char *support_read(const struct support_root *root, const char *path) {
    struct err err;
    char *text = NULL;
    if (file_read(root->fd, path, 1 << 22, &text, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return text;
}
#define cleanup_root cleanup(support_root_done)
