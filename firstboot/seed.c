// SPDX-License-Identifier: Apache-2.0
// A seed volume's files. Everything that is wrong becomes a problem of the candidate; nothing here decides whether it is taken.
#include "firstboot/seed.h"
#include "common/envelope.h"
#include "firstboot/seed_network.h"
#include "firstboot/seed_yaml.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

// First bytes of the user-data formats that cloud-init knows and we do not take.
static const struct {
    const char *start, *name;
} foreign[] = {
    {"#cloud-config", "a cloud-config"},
    {"#!", "a script"},
    {"#include", "an include list"},
    {"#cloud-boothook", "a boot hook"},
    {"#part-handler", "a part handler"},
    {"## template:", "a template"},
    {"Content-Type:", "a MIME message"},
    {"MIME-Version:", "a MIME message"},
    {"{", "JSON"},
    {"\x1f\x8b", "compressed"},
};

static const char *foreign_name(const char *data, size_t size) {
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        size_t length = strlen(foreign[i].start);
        if (size >= length && memcmp(data, foreign[i].start, length) == 0)
            return foreign[i].name;
    }
    return NULL;
}

// A comment may begin like another format ("## template: …"): what has keys, and nothing that is none, is no other format.
static bool is_config(const char *data, size_t size) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    return config_parse(data, size, &config, &problems) == 0 && config.count > 0;
}

void seed_take_user_data(const char *data, size_t size, struct candidate *candidate) {
    const char *name = foreign_name(data, size);
    candidate->is_present = true;
    if (name && !is_config(data, size))
        config_problem_add(&candidate->problems, 1, "user-data is %s; here it must be a config.env: lines KEY=value", name);
    else
        buf_add(&candidate->text, data, size);
}

static bool is_net_key(const char *key) {
    return strncmp(key, "NET", 3) == 0 && key[3] >= '0' && key[3] <= '9' && key[4] == '_';
}

static bool has_net_key(const struct config *config) {
    for (size_t i = 0; i < config->count; i++)
        if (is_net_key(config->entries[i].key))
            return true;
    return false;
}

static void add_file_problems(struct candidate *candidate, const char *file, const struct config_problems *problems) {
    for (size_t i = 0; i < problems->count; i++)
        config_problem_add(&candidate->problems, 0, "%s:%u: %s", file, problems->items[i].line, problems->items[i].text);
}

void seed_merge(const struct config *extra, const char *file, const struct schema *schema, struct candidate *candidate) {
    cleanup_config struct config present = {0};
    cleanup_config_problems struct config_problems ignored = {0}, found = {0};
    // Problems of the text are found again, and reported, by the check of the whole.
    (void)!config_parse(buf_str(&candidate->text), candidate->text.size, &present, &ignored);
    if (schema_check(schema, extra, &found) < 0) {
        add_file_problems(candidate, file, &found);
        return;
    }
    bool keep_net = has_net_key(&present), is_first = true;
    for (size_t i = 0; i < extra->count; i++) {
        const struct config_entry *entry = &extra->entries[i];
        if (config_find(&present, entry->key) || (keep_net && is_net_key(entry->key)))
            continue;
        if (is_first)
            buf_printf(&candidate->text, "%s# from %s\n",
                       candidate->text.size && candidate->text.data[candidate->text.size - 1] != '\n' ? "\n" : "", file);
        is_first = false;
        if (config_format_entry(entry->key, entry->value, &candidate->text) < 0)
            config_problem_add(&candidate->problems, 0, "%s:%u: %s cannot be written into a config.env", file, entry->line, entry->key);
    }
}

// Reads one file of the volume; false when it is not there (or cannot be read, which is a problem).
static bool read_part(int dir_fd, const char *name, size_t max_bytes, struct candidate *candidate, char **ret_data, size_t *ret_size) {
    struct err err;
    int r = candidate_read_file(dir_fd, name, max_bytes, ret_data, ret_size, &err);
    if (r < 0 && r != -ENOENT) {
        candidate->is_present = true;
        config_problem_add(&candidate->problems, 0, "%s", err.text);
    }
    return r >= 0;
}

typedef int part_reader(const char *text, size_t size, struct config *config, struct config_problems *problems);

static void read_extra(int dir_fd, const char *name, part_reader *read, const struct schema *schema, struct candidate *candidate) {
    cleanup_free char *data = NULL;
    size_t size;
    cleanup_config struct config extra = {0};
    cleanup_config_problems struct config_problems problems = {0};
    if (!read_part(dir_fd, name, SEED_YAML_MAX_BYTES, candidate, &data, &size))
        return;
    candidate->is_present = true;
    if (read(data, size, &extra, &problems) < 0)
        add_file_problems(candidate, name, &problems);
    else
        seed_merge(&extra, name, schema, candidate);
}

void seed_read(int dir_fd, bool is_nocloud, const struct schema *schema, struct candidate *candidate) {
    char *data = NULL;
    size_t size;
    if (read_part(dir_fd, "config.env", CONFIG_READ_BYTES, candidate, &data, &size)) {
        candidate->is_present = true;
        buf_add(&candidate->text, data, size);
        explicit_bzero(data, size);
    } else if (is_nocloud && !candidate->is_present && read_part(dir_fd, "user-data", CONFIG_READ_BYTES, candidate, &data, &size)) {
        seed_take_user_data(data, size, candidate);
        explicit_bzero(data, size);
    }
    free(data);
    if (is_nocloud) {
        read_extra(dir_fd, "meta-data", seed_meta_data, schema, candidate);
        read_extra(dir_fd, "network-config", seed_network_config, schema, candidate);
    }
    if (!candidate->is_present)
        return;
    candidate_add_secrets(candidate, dir_fd, "secrets");
    if (!candidate->sealed)
        (void)read_part(dir_fd, SEED_ENVELOPE, ENVELOPE_MAX_BYTES, candidate, &candidate->sealed, &candidate->sealed_size);
}
