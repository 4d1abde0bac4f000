// SPDX-License-Identifier: Apache-2.0
// The ledger of rejected generations: rejected/<root hash>, one record each. The last lines of a log are comments of the record.
#include "common/file.h"
#include "common/log.h"
#include "firstboot/update/journal.h"
#include "firstboot/update/record.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DIRECTORY UPDATE_DIR "/rejected"
#define LOG_LINE "# log\n"

void rejection_done(struct rejection *rejection) {
    free(rejection->log);
    *rejection = (struct rejection){0};
}

// Each line becomes a comment; what is no printable ASCII or UTF-8 becomes '?', so that the file stays one that config_parse() reads.
static void add_log(struct buf *text, const char *log) {
    size_t size = strlen(log);
    if (size > REJECTION_LOG_BYTES) { // the end matters
        log += size - REJECTION_LOG_BYTES;
        log += strcspn(log, "\n");
        log += *log == '\n';
    }
    buf_add_str(text, LOG_LINE);
    for (; *log; log += *log == '\n') {
        buf_add_str(text, "# ");
        for (; *log && *log != '\n'; log++)
            buf_printf(text, "%c", *log == '\t' ? ' ' : *log >= ' ' && *log <= '~' ? *log : '?');
        buf_add_str(text, "\n");
    }
}

void rejection_format(const struct rejection *rejection, struct buf *text) {
    record_add_number(text, "NUMBER", (int64_t)rejection->number);
    record_add(text, "PROFILE", rejection->profile);
    record_add(text, "VERSION", rejection->version);
    record_add_number(text, "SEQUENCE", (int64_t)rejection->sequence);
    record_add_hash(text, "ROOT_HASH", rejection->root_hash);
    record_add_number(text, "TIME", rejection->time);
    record_add(text, "STAGE", rejection->stage);
    record_add(text, "CHECK", rejection->check);
    record_add(text, "REASON", rejection->reason);
    if (rejection->log && *rejection->log)
        add_log(text, rejection->log);
}

static int parse_numbers(const struct config *config, struct rejection *rejection, struct err *err) {
    int64_t sequence = 0, number = 0;
    int r = record_number(config, "SEQUENCE", &sequence, err);
    if (r >= 0)
        r = record_number(config, "NUMBER", &number, err);
    if (r >= 0)
        r = record_number(config, "TIME", &rejection->time, err);
    if (r >= 0)
        r = record_hash(config, "ROOT_HASH", rejection->root_hash, err);
    rejection->sequence = (uint64_t)sequence;
    rejection->number = (uint64_t)number;
    return r;
}

static int parse_texts(const struct config *config, struct rejection *rejection, struct err *err) {
    const struct {
        const char *key;
        char *text;
        size_t capacity;
    } texts[] = {
        {"PROFILE", rejection->profile, sizeof(rejection->profile)}, {"VERSION", rejection->version, sizeof(rejection->version)},
        {"STAGE", rejection->stage, sizeof(rejection->stage)},       {"CHECK", rejection->check, sizeof(rejection->check)},
        {"REASON", rejection->reason, sizeof(rejection->reason)},
    };
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(texts); i++)
        r = record_text(config, texts[i].key, texts[i].text, texts[i].capacity, err);
    return r;
}

static char *parse_log(const char *text, size_t size) {
    const char *line = memmem(text, size, "\n" LOG_LINE, sizeof(LOG_LINE)), *end = text + size;
    cleanup_buf struct buf log = {0};
    if (!line)
        return NULL;
    for (line += sizeof(LOG_LINE); line < end && *line == '#';) {
        const char *stop = memchr(line, '\n', (size_t)(end - line)) ?: end;
        size_t skipped = stop - line >= 2 ? 2 : 1;
        buf_add(&log, line + skipped, (size_t)(stop - line) - skipped);
        buf_add_str(&log, "\n");
        line = stop + (stop < end);
    }
    return buf_take(&log);
}

int rejection_parse(const char *text, size_t size, struct rejection *ret_rejection, struct err *err) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    struct rejection rejection = {0};
    if (config_parse(text, size, &config, &problems) < 0)
        return err_set(err, -EINVAL, "line %u: %s", problems.items[0].line, problems.items[0].text);
    int r = parse_numbers(&config, &rejection, err);
    if (r >= 0)
        r = parse_texts(&config, &rejection, err);
    if (r < 0)
        return r;
    rejection.log = parse_log(text, size);
    *ret_rejection = rejection;
    return 0;
}

static int load(int root_fd, const char *name, struct rejection *ret_rejection, struct err *err) {
    cleanup_free char *path = str_printf(DIRECTORY "/%s", name), *text = NULL;
    int r = record_load(root_fd, path, &text, err);
    if (r <= 0)
        return r;
    if (rejection_parse(text, strlen(text), ret_rejection, err) == 0)
        return 1;
    record_put_aside(root_fd, path, err->text);
    return 0;
}

static struct rejection take_rejection(struct rejection *rejection) {
    struct rejection taken = *rejection;
    *rejection = (struct rejection){0};
    return taken;
}

// Goes through all of them and keeps the one with the highest (or lowest) number.
static int choose(int root_fd, bool highest, size_t *ret_count, struct rejection *ret_rejection, struct err *err) {
    *ret_count = 0;
    int fd = openat(root_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, -errno, "cannot open /" DIRECTORY);
    cleanup_dir DIR *dir = fdopendir(fd);
    cleanup_rejection struct rejection chosen = {0};
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        cleanup_rejection struct rejection next = {0};
        if (strlen(entry->d_name) != 64) // ".", "..", what is being written, what was damaged
            continue;
        int r = load(root_fd, entry->d_name, &next, err);
        if (r < 0)
            return r;
        if (r > 0 && ((*ret_count)++ == 0 || (next.number > chosen.number) == highest)) {
            struct rejection older = chosen;
            chosen = next;
            next = older;
        }
    }
    *ret_rejection = take_rejection(&chosen);
    return *ret_count > 0;
}

// Bounded: a machine that is offered one bad generation after the other must not fill its state.
static int forget_oldest(int root_fd, struct err *err) {
    for (;;) {
        cleanup_rejection struct rejection oldest = {0};
        size_t count;
        int r = choose(root_fd, false, &count, &oldest, err);
        if (r < 0 || count <= LEDGER_MAX)
            return r < 0 ? r : 0;
        r = ledger_remove(root_fd, oldest.root_hash, err);
        if (r < 0)
            return r;
    }
}

int ledger_add(int root_fd, const struct rejection *rejection, struct err *err) {
    cleanup_rejection struct rejection newest = {0};
    cleanup_buf struct buf text = {0};
    size_t count;
    char hex[65];
    hex_format(rejection->root_hash, 32, hex);
    cleanup_free char *path = str_printf(DIRECTORY "/%s", hex);
    int r = choose(root_fd, true, &count, &newest, err);
    if (r < 0)
        return r;
    struct rejection numbered = *rejection;
    numbered.number = newest.number + 1;
    rejection_format(&numbered, &text);
    r = record_save(root_fd, path, &text, err);
    return r < 0 ? r : forget_oldest(root_fd, err);
}

int ledger_find(int root_fd, const uint8_t root_hash[32], struct rejection *ret_rejection, struct err *err) {
    char hex[65];
    hex_format(root_hash, 32, hex);
    return load(root_fd, hex, ret_rejection, err);
}

int ledger_last(int root_fd, struct rejection *ret_rejection, struct err *err) {
    size_t count;
    return choose(root_fd, true, &count, ret_rejection, err);
}

int ledger_remove(int root_fd, const uint8_t root_hash[32], struct err *err) {
    char hex[65];
    hex_format(root_hash, 32, hex);
    cleanup_free char *path = str_printf(DIRECTORY "/%s", hex);
    return unlinkat(root_fd, path, 0) < 0 && errno != ENOENT ? err_sys(err, -errno, "cannot remove /%s", path) : 0;
}
