// SPDX-License-Identifier: Apache-2.0
// docs/CONFIG.md from a schema: one section per group, one row per key. The help texts are the documentation; nothing is added here but
// the rules of the file itself.
#include "common/buf.h"
#include "common/schema_types.h"
#include "common/stack.h"
#include <string.h>

static const char intro[] =
    "# config.env\n\n"
    "<!-- Generated from common/schema_base.c and overlays/*/stack.yaml by `webops-image config doc`; a unit test compares. -->\n\n"
    "One flat file says what a machine is. Check one with `webops-image config check FILE` or, on the machine, `webops validate FILE`:\n"
    "both use the parser that the machine itself uses, and name all problems at once by line. [An example](../examples/config.env).\n\n"
    "* One `KEY=value` per line. Empty lines and lines that start with `#` are skipped. At most 64 KiB, UTF-8, no Windows line ends.\n"
    "* A value is bare (letters, digits and `% + , - . / : = @ _`), or in 'single quotes', or in \"double quotes\" without `$`, a "
    "backtick\n"
    "  or a backslash. Nothing is expanded. A POSIX shell that sources the file gets the same values.\n"
    "* Lists are one quoted value, separated by blanks: `DNS_SERVERS='192.0.2.53 2001:db8::53'`. An empty list (`NTP_SERVERS=`) means\n"
    "  none, a missing line the default.\n"
    "* Sizes take `K`, `M`, `G`, `T` (powers of 1024).\n"
    "* `#` in a key stands for one digit: `NET0_INTERFACE`, `NET1_INTERFACE`, …\n"
    "* A stack's keys exist on machines whose image has that stack. Those with \"needed\" for a default must be set where it is enabled;\n"
    "  \"needed with\" another key: where that one is `true` or set.\n"
    "* A secret is never a value. A key that ends in `_FILE` names a file `/webops/secrets/<name>.secret` of at most 64 KiB, mode 0600;\n"
    "  when the configuration comes from elsewhere, the file is taken from there.\n\n"
    "## Where it is found\n\n"
    "The first of these that has a valid configuration wins, and is copied to `/webops/config.env` (secrets to `/webops/secrets`), so "
    "that\n"
    "from then on the machine needs the source no more and asks no other. An invalid one is not taken; its problems are on the console,\n"
    "in `webops status` and in the log.\n\n"
    "| | source | configuration | secrets |\n|---|---|---|---|\n"
    "| 1 | the machine itself | `/webops/config.env`; after a wrong edit the last good one stays in force | `/webops/secrets/` |\n"
    "| 2 | EFI system partition of the boot disk | `config.env` | `secrets/`, `secrets.cms` |\n"
    "| 3 | volume labelled `WEBOPS` (FAT, ISO 9660, ext4) | as 4 | `secrets/`, `secrets.cms` |\n"
    "| 4 | volume labelled `cidata` or `CIDATA`: a NoCloud seed | `config.env`, else `user-data` with the same lines (a cloud-config or a "
    "script is refused); `meta-data` may give the host name, `network-config` (version 1 or 2) the network | `secrets/`, `secrets.cms` |\n"
    "| 5 | QEMU fw_cfg | `-fw_cfg name=opt/org.webops/config,file=…` | `opt/org.webops/secrets/<name>.secret` |\n"
    "| 6 | system credentials (SMBIOS type 11) | `io.systemd.credential:webops.config=…` | `io.systemd.credential:webops.secret.<name>=…` "
    "|\n"
    "| 7 | installation medium that the machine was started from; then 2 does not count | `webops/config.env` | `webops/secrets/`, "
    "`webops/secrets.cms` |\n"
    "| 8 | Hetzner Cloud metadata | user data | |\n"
    "| 9 | the image | `/usr/lib/webops/default.env`, from the profile; never copied | |\n\n"
    "Secrets from 5 and 6 complete a configuration from any of 2 to 8.\n";

// A table cell: '|' would end it.
static void add_cell(struct buf *buf, const char *text) {
    for (; *text; text++)
        buf_printf(buf, *text == '|' ? "\\%c" : "%c", *text);
}

static void add_type(struct buf *buf, const struct schema_key *key) {
    if (key->type == SCHEMA_WORD) {
        const char *word;
        size_t size;
        const char *separator = "";
        for (const char *cursor = key->choices; (word = schema_next_word(&cursor, &size)); separator = ", ")
            buf_printf(buf, "%s`%.*s`", separator, (int)size, word);
        return;
    }
    buf_add_str(buf, schema_types[key->type].name);
    if (key->min == 0 && key->max == 0)
        return;
    char min[SCHEMA_NUMBER_BYTES], max[SCHEMA_NUMBER_BYTES];
    schema_format_number(key->min, key->type != SCHEMA_INTEGER, min);
    schema_format_number(key->max, key->type != SCHEMA_INTEGER, max);
    buf_printf(buf, ", %s … %s", min, max);
}

static bool is_needed(const struct stack_key *key) {
    return key->is_required || key->required_when;
}

static bool is_related(const struct stack_key *key) {
    return key->at_least;
}

// The key as the first stack has it of which `has` is true; NULL when there is none.
static const struct stack_key *find_key(const struct schema *schema, const char *name, bool (*has)(const struct stack_key *key)) {
    for (size_t i = 0; schema->stacks && i < schema->stacks->count; i++)
        for (size_t k = 0; k < schema->stacks->stacks[i]->key_count; k++) {
            const struct stack_key *key = &schema->stacks->stacks[i]->keys[k];
            if (strcmp(key->schema.name, name) == 0 && has(key))
                return key;
        }
    return NULL;
}

static void add_default(const struct schema *schema, struct buf *buf, const struct schema_key *key) {
    const struct stack_key *needed = find_key(schema, key->name, is_needed);
    if (key->fallback)
        buf_printf(buf, "`%s`", key->fallback);
    else if (needed && needed->required_when)
        buf_printf(buf, "needed with `%s`", needed->required_when);
    else if (needed)
        buf_add_str(buf, "needed");
}

static void add_row(const struct schema *schema, struct buf *buf, const struct schema_key *key) {
    const struct stack_key *related = find_key(schema, key->name, is_related);
    buf_printf(buf, "| `%s` | ", key->name);
    add_type(buf, key);
    if (related)
        buf_printf(buf, ", at least `%s`", related->at_least);
    buf_add_str(buf, " | ");
    add_default(schema, buf, key);
    buf_add_str(buf, " | ");
    add_cell(buf, key->help);
    buf_add_str(buf, " |\n");
}

void schema_format_markdown(const struct schema *schema, struct buf *buf) {
    buf_add_str(buf, intro);
    for (const struct schema_key *const *table = schema->tables; *table; table++) {
        const char *group = "";
        for (const struct schema_key *key = *table; key->name; key++) {
            if (strcmp(group, key->group) != 0)
                buf_printf(buf, "\n## %s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", key->group);
            group = key->group;
            add_row(schema, buf, key);
        }
    }
}
