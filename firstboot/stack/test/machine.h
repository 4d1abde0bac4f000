// SPDX-License-Identifier: Apache-2.0
// A machine for tests of the engine: a root with three stacks, and programs of systemd that are shell scripts working on files below it.
//   store           keys, a port, a template with every kind of value, data, a persist directory, two units, checks, hooks
//   base            needs store; has a secret
//   solo            needs nothing; shares a directory with nobody
// Files that steer the programs, below /fake: fail/<unit> (its start fails), slow/<unit> (stays activating), state/<unit> (its state),
// run-fails (a command fails when its words hold this text); log has every call.
#pragma once
#include "firstboot/test/support.h"
#include "firstboot/bootrecord.h"
#include "firstboot/stack/state.h"
#include <unistd.h>

#define STORE_JSON                                                                                                                         \
    "{\"format\": 1, \"name\": \"store\", \"summary\": \"keeps values\", \"enable\": \"STORE_ENABLED\", \"package\": \"store-server\","    \
    " \"start_timeout\": 2, \"keys\": ["                                                                                                   \
    "{\"name\": \"STORE_PORT\", \"type\": \"integer\", \"default\": \"2379\", \"min\": 1, \"max\": 65535, \"help\": \"P.\"},"              \
    "{\"name\": \"STORE_TEXT\", \"type\": \"text\", \"help\": \"T.\"},"                                                                    \
    "{\"name\": \"STORE_FROM\", \"type\": \"cidr-list\", \"help\": \"F.\"},"                                                               \
    "{\"name\": \"STORE_PEERS\", \"type\": \"peer-list\", \"help\": \"P.\"},"                                                              \
    "{\"name\": \"STORE_EXTRA\", \"type\": \"bool\", \"default\": \"false\", \"help\": \"E.\"}],"                                          \
    " \"persist\": [\"/etc/store-kept\"],"                                                                                                 \
    " \"files\": [{\"template\": \"store.env\", \"path\": \"/etc/default/store\", \"mode\": \"0640\", \"owner\": \"root:adm\", "           \
    "\"format\": \"env\"}, {\"template\": \"extra\", \"path\": \"/etc/store/extra\", \"mode\": \"0644\", \"format\": \"word\", "           \
    "\"when\": \"STORE_EXTRA\"}],"                                                                                                         \
    " \"ports\": [{\"port\": \"STORE_PORT\", \"protocol\": \"tcp\", \"from\": \"STORE_FROM\"},"                                            \
    " {\"port\": \"2380-2381\", \"protocol\": \"udp\", \"from\": \"STORE_PEERS\"}, {\"port\": \"7000\", \"from\": \"local\"},"             \
    " {\"port\": \"7001\", \"from\": \"any\", \"when\": \"STORE_EXTRA\"}],"                                                                \
    " \"units\": [{\"unit\": \"store.service\", \"on_change\": \"restart\"}, {\"unit\": \"store-backup.timer\", \"on_change\": \"keep\"}," \
    " {\"unit\": \"store-extra.service\", \"on_change\": \"reload\", \"when\": \"STORE_EXTRA\"}],"                                         \
    " \"data\": [{\"path\": \"/var/lib/store\", \"owner\": \"sshd:adm\", \"mode\": \"0700\"}],"                                            \
    " \"sysctls\": [{\"name\": \"vm.swappiness\", \"value\": 3}, {\"name\": \"vm.max_map_count\", \"value\": 262144}],"                    \
    " \"health\": [{\"name\": \"unit\", \"kind\": \"unit\", \"unit\": \"store.service\"},"                                                 \
    " {\"name\": \"quorum\", \"kind\": \"command\", \"command\": [\"/usr/bin/storectl\", \"--port={{word STORE_PORT}}\"], "                \
    "\"user\": \"sshd\", \"timeout\": 5}],"                                                                                                \
    " \"hooks\": [{\"event\": \"before-update\", \"command\": [\"/usr/bin/store-backup\"], \"required\": true},"                           \
    " {\"event\": \"before-reboot\", \"command\": [\"/usr/bin/store-leave\"], \"user\": \"sshd\", \"timeout\": 7},"                        \
    " {\"event\": \"after-start\", \"command\": [\"/usr/bin/store-join\"]}]}"

#define BASE_JSON                                                                                                                          \
    "{\"format\": 1, \"name\": \"base\", \"summary\": \"needs a store\", \"enable\": \"BASE_ENABLED\", \"start_timeout\": 2, \"keys\": ["  \
    "{\"name\": \"BASE_PASSWORD_FILE\", \"type\": \"secret-file\", \"help\": \"P.\"}],"                                                    \
    " \"requires\": [\"STORE_ENABLED\"],"                                                                                                  \
    " \"files\": [{\"template\": \"password\", \"path\": \"/run/base/password\", \"mode\": \"0400\", \"owner\": \"sshd:adm\", "            \
    "\"format\": \"raw\"}],"                                                                                                               \
    " \"units\": [{\"unit\": \"base.service\", \"on_change\": \"restart\"}],"                                                              \
    " \"data\": [{\"path\": \"/var/lib/base/data\", \"mode\": \"0755\"}],"                                                                 \
    " \"health\": [{\"name\": \"unit\", \"kind\": \"unit\", \"unit\": \"base.service\"}],"                                                 \
    " \"hooks\": [{\"event\": \"before-reboot\", \"command\": [\"/usr/bin/base-switchover\"], \"required\": true}]}"

#define SOLO_JSON                                                                                                                          \
    "{\"format\": 1, \"name\": \"solo\", \"summary\": \"alone\", \"enable\": \"SOLO_ENABLED\", \"start_timeout\": 2,"                      \
    " \"units\": [{\"unit\": \"solo.service\", \"on_change\": \"restart\"}],"                                                              \
    " \"data\": [{\"path\": \"/var/lib/base\", \"mode\": \"0755\"}]}"

static const char machine_systemctl[] =
    "#!/bin/sh\n"
    "f=@fake@\n"
    "echo \"systemctl $*\" >>$f/log\n"
    "test \"$1\" = --no-block && shift\n"
    "verb=$1; shift\n"
    "while test $# -gt 0; do case $1 in --*) shift;; *) break;; esac; done\n"
    "case $verb in\n"
    "show) for u; do\n"
    "    test -e $f/state/$u || echo inactive >$f/state/$u\n"
    "    s=$(cat $f/state/$u); r=success; l=loaded\n"
    "    test $s = failed && r=exit-code\n"
    "    test $s = missing && { s=inactive; l=not-found; }\n"
    "    printf 'LoadState=%s\\nActiveState=%s\\nResult=%s\\nConditionResult=yes\\n\\n' $l $s $r\n"
    "  done;;\n"
    "start|restart|reload-or-restart)\n"
    "    for u; do if test -e $f/fail/$u; then echo failed; elif test -e $f/slow/$u; then echo activating; else echo active; fi "
    ">$f/state/$u; "
    "done;;\n"
    "stop) for u; do test ! -e $f/stuck/$u || { echo \"$u is stuck\" >&2; exit 1; }; echo inactive >$f/state/$u; done;;\n"
    "esac\n"
    "exit 0\n";
static const char machine_systemd_run[] =
    "#!/bin/sh\n"
    "f=@fake@\n"
    "while read -r seconds && read -r user && read -r count; do\n"
    "    line=\"command seconds=$seconds user=$user\"\n"
    "    first=\n"
    "    while test $count -gt 0; do read -r word; first=${first:-$word}; line=\"$line $word\"; count=$((count - 1)); done\n"
    "    echo \"$line\" >>$f/log\n"
    "    answer='0 '\n"
    "    if test -e $f/run-fails; then case $line in *$(cat $f/run-fails)*) answer=\"-5 $first failed: told to fail\";; esac; fi\n"
    "    echo \"$answer\"\n"
    "done\n";
static const char machine_journalctl[] = "#!/bin/sh\necho 'first line'\necho 'last words'\n";

static inline void machine_program(const struct support_root *root, const char *name, const char *text) {
    cleanup_buf struct buf script = {0};
    cleanup_free char *path = str_printf("fake/bin/%s", name);
    struct err err;
    for (const char *mark; (mark = strstr(text, "@fake@")); text = mark + 6) {
        buf_add(&script, text, (size_t)(mark - text));
        buf_printf(&script, "%s/fake", root->path);
    }
    buf_add_str(&script, text);
    assert_int_equal(file_publish(root->fd, path, buf_str(&script), script.size, 0755, &err), 0);
}

// PATH leads to the fakes until the process ends.
static inline struct support_root machine_make(const char *config) {
    static const char *const dirs[] = {"fake/bin", "fake/state", "fake/fail", "fake/slow", "fake/stuck", "home", "webops/secrets"};
    struct support_root root = support_root_make();
    struct err err;
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        assert_int_equal(file_mkdirs(root.fd, dirs[i], 0700, &err), 0);
    support_write(&root, BOOTRECORD_PATH, "SLOT=a\nPROFILE=test\nVERSION=1\nSEQUENCE=1\n");
    support_write(&root, "etc/passwd", support_facts.passwd);
    support_write(&root, "etc/group", support_facts.group);
    support_write(&root, "etc/shadow", support_facts.shadow);
    support_write(&root, "etc/gshadow", support_facts.gshadow);
    support_write(&root, "etc/store-kept/settings", "from the image\n");
    support_write(&root, STACK_DIR "/store.json", STORE_JSON);
    support_write(&root, STACK_DIR "/base.json", BASE_JSON);
    support_write(&root, STACK_DIR "/solo.json", SOLO_JSON);
    support_write(&root, STACK_DIR "/store/store.env", "PORT={{STORE_PORT}}\n{{#if STORE_TEXT}}\nTEXT={{STORE_TEXT}}\n{{/if}}\n");
    support_write(&root, STACK_DIR "/store/extra", "{{STORE_PORT}}\n");
    support_write(&root, STACK_DIR "/base/password", "{{secret BASE_PASSWORD_FILE}}\n");
    support_write(&root, "usr/lib/sysimage/dpkg/status", "Package: store-server\nStatus: install ok installed\nVersion: 3.4-1\n");
    assert_int_equal(file_publish(root.fd, "webops/secrets/base.secret", "s3cret canary", 13, 0600, &err), 0);
    support_write(&root, "webops/config.env", config);
    machine_program(&root, "systemctl", machine_systemctl);
    machine_program(&root, "systemd-run", machine_systemd_run);
    machine_program(&root, "journalctl", machine_journalctl);
    cleanup_free char *path = str_printf("%s/fake/bin:/usr/bin:/bin:/usr/sbin:/sbin", root.path);
    setenv("PATH", path, 1);
    return root;
}

static inline char *machine_log(const struct support_root *root) {
    return file_exists(root->fd, "fake/log") ? support_read(root, "fake/log") : str_dup("");
}
static inline void machine_forget(const struct support_root *root) {
    unlinkat(root->fd, "fake/log", 0);
}
static inline bool machine_is_active(const struct support_root *root, const char *unit) {
    cleanup_free char *path = str_printf("fake/state/%s", unit);
    cleanup_free char *text = file_exists(root->fd, path) ? support_read(root, path) : str_dup("");
    return strcmp(text, "active\n") == 0;
}
static inline enum stack_state machine_state(const struct support_root *root, const char *name) {
    cleanup_stack_record struct stack_record record = {0};
    stack_record_load(root->fd, name, &record);
    return record.state;
}
static inline char *machine_why(const struct support_root *root, const char *name) {
    cleanup_stack_record struct stack_record record = {0};
    stack_record_load(root->fd, name, &record);
    return str_dup(record.why);
}
