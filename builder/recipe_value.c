// SPDX-License-Identifier: Apache-2.0
// Numbers are read from their text here and not by libcyaml, whose strtol() takes 1x for 1, 010 for 8 and 0999 for 0.
#include "builder/recipe_value.h"
#include "builder/recipe.h"
#include "common/schema_types.h"
#include <errno.h>
#include <string.h>

#define MAX_MODE 07777
#define MODE_DIGITS 5 // 07777

bool recipe_parse_size(const char *text, uint64_t *ret_bytes) {
    int64_t bytes;
    if (!schema_parse_number(text, true, &bytes) || bytes == 0)
        return false;
    *ret_bytes = (uint64_t)bytes;
    return true;
}

// Unlike schema_parse_number(), all of int64_t: a sequence may be of nanoseconds.
static bool parse_number(const char *text, int64_t *ret_number) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || text[digits] || (digits > 1 && text[0] == '0'))
        return false;
    errno = 0;
    *ret_number = strtoll(text, NULL, 10);
    return errno == 0;
}

// Where only zeros in front keep a text from being a number: what it would be without them; else NULL.
static const char *without_zeros(const char *text) {
    const char *rest = text + strspn(text, "0");
    uint64_t ignored;
    return rest > text && recipe_parse_size(rest, &ignored) ? rest : NULL;
}

int recipe_take_number(const struct recipe_place *place, const char *key, const char *text, int64_t min, int64_t max, int64_t *ret_number) {
    int64_t number;
    bool is_number = parse_number(text, &number);
    const char *plain = without_zeros(text);
    if (plain && parse_number(plain, &number))
        return recipe_complain(place, key, "'%.40s' begins with a zero, which some would read as octal: write %s", text, plain);
    if ((!is_number || number < min || number > max) && max == INT64_MAX)
        return recipe_complain(place, key, "a whole number from %lld on is expected, not '%.40s'", (long long)min, text);
    if (!is_number || number < min || number > max)
        return recipe_complain(place, key, "a whole number from %lld to %lld is expected, not '%.40s'", (long long)min, (long long)max,
                               text);
    *ret_number = number;
    return 0;
}

int recipe_take_mode(const struct recipe_place *place, const char *key, const char *text, unsigned *ret_mode) {
    size_t length = strlen(text);
    unsigned long mode = MAX_MODE + 1;
    if (length > 0 && length <= MODE_DIGITS && strspn(text, "01234567") == length)
        mode = strtoul(text, NULL, 8);
    if (mode > MAX_MODE)
        return recipe_complain(place, key, "an octal mode such as \"0640\" is expected (digits 0 to 7, at most 07777), not '%.40s'", text);
    *ret_mode = (unsigned)mode;
    return 0;
}

int recipe_take_size(const struct recipe_place *place, const char *key, const char *text, uint64_t unit, uint64_t *ret_bytes) {
    uint64_t bytes = 0;
    if (!text)
        return 0;
    const char *plain = without_zeros(text);
    if (plain)
        return recipe_complain(place, key, "'%.40s' begins with a zero: write %s", text, plain);
    if (!recipe_parse_size(text, &bytes))
        return recipe_complain(place, key, "'%.40s' is not a size such as 512M or 2G", text);
    if (bytes % unit || bytes > 16ULL << 40)
        return recipe_complain(place, key, "must be a multiple of %llu bytes, at most 16T", (unsigned long long)unit);
    *ret_bytes = bytes;
    return 0;
}
