// SPDX-License-Identifier: Apache-2.0
// The XML of a block map through expat: entities and nesting beyond what the format has are refused by depth and size.
#include "builder/flash/bmap.h"
#include "common/buf.h"
#include "common/slot.h"
#include <errno.h>
#include <expat.h>
#include <inttypes.h>
#include <string.h>

#define MAX_TEXT 128

// The elements that are read; each but Range stands once.
enum field { IMAGE_SIZE, BLOCK_SIZE, BLOCKS_COUNT, MAPPED_BLOCKS, CHECKSUM_TYPE, FILE_CHECKSUM, RANGE, FIELDS };
static const char *const names[FIELDS] = {
    [IMAGE_SIZE] = "ImageSize",
    [BLOCK_SIZE] = "BlockSize",
    [BLOCKS_COUNT] = "BlocksCount",
    [MAPPED_BLOCKS] = "MappedBlocksCount",
    [CHECKSUM_TYPE] = "ChecksumType",
    [FILE_CHECKSUM] = "BmapFileChecksum",
    [RANGE] = "Range",
};

struct parse {
    XML_Parser parser;
    enum field field; // that is being read; FIELDS = none
    char texts[FIELDS][MAX_TEXT]; // "" = not seen; of the last Range
    size_t length;
    char range_sha256[MAX_TEXT];
    struct bmap bmap;
    char problem[160]; // "" = none
};

static void refuse(struct parse *parse, const char *problem) {
    if (!*parse->problem)
        snprintf(parse->problem, sizeof(parse->problem), "line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(parse->parser), problem);
    XML_StopParser(parse->parser, XML_FALSE);
}

static void begin(void *user, const char *name, const char **attributes) {
    struct parse *parse = user;
    for (enum field field = 0; field < FIELDS; field++) {
        if (strcmp(names[field], name) != 0)
            continue;
        if (parse->field != FIELDS || (field != RANGE && *parse->texts[field]))
            return refuse(parse, "an element where none may be");
        parse->field = field;
        parse->length = 0;
        *parse->texts[field] = *parse->range_sha256 = 0;
    }
    for (; parse->field == RANGE && *attributes; attributes += 2)
        if (strcmp(attributes[0], "chksum") == 0)
            snprintf(parse->range_sha256, sizeof(parse->range_sha256), "%s", attributes[1]);
}

static void text(void *user, const char *data, int size) {
    struct parse *parse = user;
    if (parse->field == FIELDS)
        return;
    char *to = parse->texts[parse->field];
    for (int i = 0; i < size; i++) {
        if (strchr(" \t\r\n", data[i]))
            continue; // around the values
        if (parse->length == MAX_TEXT - 1)
            return refuse(parse, "a value is too long");
        to[parse->length++] = data[i];
        to[parse->length] = 0;
    }
}

static bool number(const char **at, uint64_t *ret_number) {
    uint64_t value = 0;
    const char *start = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        if (value > BMAP_MAX_IMAGE_BYTES)
            return false;
        value = value * 10 + (uint64_t)(**at - '0');
    }
    *ret_number = value;
    return *at > start;
}

static bool whole_number(const char *text, uint64_t *ret_number) {
    return number(&text, ret_number) && !*text;
}

// "12" or "12-34"
static void add_range(struct parse *parse) {
    const char *at = parse->texts[RANGE];
    uint64_t first, last;
    struct bmap_range range;
    struct bmap *bmap = &parse->bmap;
    bool is_good = number(&at, &first);
    last = first;
    if (is_good && *at == '-') {
        at++;
        is_good = number(&at, &last);
    }
    if (!is_good || *at || last < first)
        return refuse(parse, "no range of blocks");
    range = (struct bmap_range){first * BMAP_BLOCK_BYTES, (last - first + 1) * BMAP_BLOCK_BYTES, {0}};
    if (strlen(parse->range_sha256) != 2 * DIGEST_BYTES || !hex_parse(parse->range_sha256, DIGEST_BYTES, range.sha256))
        return refuse(parse, "a range without SHA-256");
    const struct bmap_range *before = bmap->count ? &bmap->ranges[bmap->count - 1] : NULL;
    if (before && range.offset < before->offset + before->size)
        return refuse(parse, "ranges that are not in order, or overlap");
    bmap->ranges = mem_resize(bmap->ranges, bmap->count + 1, sizeof(range));
    bmap->ranges[bmap->count++] = range;
    bmap->mapped_bytes += range.size;
}

static void end(void *user, const char *name) {
    struct parse *parse = user;
    if (parse->field == FIELDS || strcmp(name, names[parse->field]) != 0)
        return;
    if (parse->field == RANGE)
        add_range(parse);
    parse->field = FIELDS;
}

static const char *judge(struct parse *parse) {
    uint64_t block, blocks, mapped;
    struct bmap *bmap = &parse->bmap;
    const struct bmap_range *last = bmap->count ? &bmap->ranges[bmap->count - 1] : NULL;
    if (!whole_number(parse->texts[IMAGE_SIZE], &bmap->image_bytes) || !whole_number(parse->texts[BLOCK_SIZE], &block) ||
        !whole_number(parse->texts[BLOCKS_COUNT], &blocks) || !whole_number(parse->texts[MAPPED_BLOCKS], &mapped))
        return "a number is missing or none";
    if (block != BMAP_BLOCK_BYTES || bmap->image_bytes % BMAP_BLOCK_BYTES != 0 || blocks != bmap->image_bytes / BMAP_BLOCK_BYTES)
        return "sizes that are not whole blocks of 4096 bytes";
    if (strcmp(parse->texts[CHECKSUM_TYPE], "sha256") != 0)
        return "checksums of another kind than sha256";
    if (bmap->image_bytes > BMAP_MAX_IMAGE_BYTES || mapped * BMAP_BLOCK_BYTES != bmap->mapped_bytes ||
        (last && last->offset + last->size > bmap->image_bytes))
        return "ranges that do not fit the sizes";
    return NULL;
}

// The file's own checksum is taken with zeros in its place.
static const char *verify(const char *xml, size_t size, const char *checksum) {
    uint8_t wanted[DIGEST_BYTES], found[DIGEST_BYTES];
    cleanup_free char *copy = mem_array(size + 1, 1);
    memcpy(copy, xml, size);
    if (strlen(checksum) != 2 * DIGEST_BYTES || !hex_parse(checksum, DIGEST_BYTES, wanted))
        return "no checksum of the file";
    char *at = memmem(copy, size, checksum, strlen(checksum));
    if (!at)
        return "no checksum of the file";
    memset(at, '0', strlen(checksum));
    digest_bytes(copy, size, found);
    return memcmp(wanted, found, sizeof(found)) == 0 ? NULL : "damaged: its checksum is another one";
}

int bmap_parse(const char *xml, size_t size, const char *name, struct bmap *ret_bmap, struct err *err) {
    struct parse parse = {.field = FIELDS};
    if (size > BMAP_MAX_FILE_BYTES)
        return err_set(err, -EFBIG, "%s: a block map of more than %d MiB", name, BMAP_MAX_FILE_BYTES >> 20);
    parse.parser = XML_ParserCreate(NULL);
    if (!parse.parser)
        return err_set(err, -ENOMEM, "%s: expat gives no parser", name);
    XML_SetUserData(parse.parser, &parse);
    XML_SetElementHandler(parse.parser, begin, end);
    XML_SetCharacterDataHandler(parse.parser, text);
    const char *problem = NULL;
    if (XML_Parse(parse.parser, xml, (int)size, XML_TRUE) == XML_STATUS_ERROR)
        problem = *parse.problem ? parse.problem : XML_ErrorString(XML_GetErrorCode(parse.parser));
    if (!problem)
        problem = judge(&parse);
    if (!problem)
        problem = verify(xml, size, parse.texts[FILE_CHECKSUM]);
    XML_ParserFree(parse.parser);
    if (problem) {
        bmap_done(&parse.bmap);
        return err_set(err, -EINVAL, "%s is no block map: %s", name, problem);
    }
    *ret_bmap = parse.bmap;
    return 0;
}
