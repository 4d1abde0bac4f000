// SPDX-License-Identifier: Apache-2.0
#include "builder/dnf/repomd.h"
#include "builder/fingerprint.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include <errno.h>
#include <expat.h>
#include <fcntl.h>
#include <string.h>

#define MAX_DIGITS 18 // what fits into 63 bits

struct parse {
    XML_Parser parser;
    char text[MAX_DIGITS + 2]; // of the innermost element, cut off where it is too long for a number
    size_t length;
    uint64_t revision, timestamp;
    bool has_type;
};

static void refuse_type(void *user, const char *name, const char *system, const char *public, int has_subset) {
    struct parse *parse = user;
    (void)name, (void)system, (void)public, (void)has_subset;
    parse->has_type = true;
    XML_StopParser(parse->parser, XML_FALSE);
}

static void begin(void *user, const char *name, const char **attributes) {
    struct parse *parse = user;
    (void)name, (void)attributes;
    parse->length = 0;
}

static void text(void *user, const char *data, int size) {
    struct parse *parse = user;
    for (int i = 0; i < size && parse->length < sizeof(parse->text) - 1; i++)
        if (!strchr(" \t\r\n", data[i]))
            parse->text[parse->length++] = data[i];
}

// 0 for what is no number.
static uint64_t number(struct parse *parse) {
    parse->text[parse->length] = 0;
    const bool is_number = parse->length <= MAX_DIGITS && strspn(parse->text, "0123456789") == parse->length;
    return is_number ? strtoull(parse->text, NULL, 10) : 0;
}

static void end(void *user, const char *name) {
    struct parse *parse = user;
    const uint64_t value = number(parse);
    if (strcmp(name, "revision") == 0)
        parse->revision = value;
    if (strcmp(name, "timestamp") == 0 && value > parse->timestamp)
        parse->timestamp = value;
    parse->length = 0;
}

int repomd_revision(const char *xml, size_t size, uint64_t *ret_revision, struct err *err) {
    struct parse parse = {.parser = XML_ParserCreate(NULL)};
    if (!parse.parser)
        return err_set(err, -ENOMEM, "expat gives no parser");
    XML_SetUserData(parse.parser, &parse);
    XML_SetStartDoctypeDeclHandler(parse.parser, refuse_type);
    XML_SetElementHandler(parse.parser, begin, end);
    XML_SetCharacterDataHandler(parse.parser, text);
    int r = 0;
    if (size > FINGERPRINT_MAX_BYTES || XML_Parse(parse.parser, xml, (int)size, XML_TRUE) == XML_STATUS_ERROR)
        r = err_set(err, -EINVAL, "line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(parse.parser),
                    size > FINGERPRINT_MAX_BYTES ? "too large"
                    : parse.has_type             ? "a document type"
                                                 : XML_ErrorString(XML_GetErrorCode(parse.parser)));
    XML_ParserFree(parse.parser);
    if (r >= 0)
        *ret_revision = parse.revision ? parse.revision : parse.timestamp;
    return r;
}

static uint64_t load(const char *path) {
    cleanup_free char *text = NULL;
    struct err ignored;
    return file_read(AT_FDCWD, path, 64, &text, NULL, &ignored) < 0 ? 0 : strtoull(text, NULL, 10);
}

static char *record_path(const struct recipe_source *source, const char *metadata) {
    return str_printf("%s/%s.revision", metadata, source->archive);
}

// 0 where it tells none, so that leaving it out does not help; dnf will say what is wrong with it.
static int read_revision(const char *path, uint64_t *ret_revision, struct err *err) {
    cleanup_free char *xml = NULL;
    size_t size;
    struct err unreadable;
    int r = file_read(AT_FDCWD, path, FINGERPRINT_MAX_BYTES, &xml, &size, err);
    *ret_revision = 0;
    if (r >= 0 && repomd_revision(xml, size, ret_revision, &unreadable) < 0)
        *ret_revision = 0;
    return r;
}

int repomd_watch(const struct recipe_source *source, const char *path, const char *metadata, struct err *err) {
    cleanup_free char *kept = record_path(source, metadata);
    uint64_t now;
    int r = source->snapshot ? 0 : read_revision(path, &now, err);
    if (r < 0 || source->snapshot)
        return r;
    const uint64_t newest = load(kept);
    if (now < newest)
        log_warn("%s: %s offers an older repository (revision %llu) than was seen before (%llu): the mirror is behind, or serves old "
                 "packages with known holes; "
                 "take another one, or remove %s where the repository was made anew",
                 source->archive, source->mirror, (unsigned long long)now, (unsigned long long)newest, kept);
    return 0;
}

int repomd_keep(const struct recipe_source *source, const char *path, const char *metadata, struct err *err) {
    cleanup_free char *kept = record_path(source, metadata);
    uint64_t now = 0;
    int r = source->snapshot ? 0 : read_revision(path, &now, err);
    if (r < 0 || now <= load(kept))
        return r;
    cleanup_free char *line = str_printf("%llu\n", (unsigned long long)now);
    return file_publish(AT_FDCWD, kept, line, strlen(line), 0644, err);
}
