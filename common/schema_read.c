// SPDX-License-Identifier: Apache-2.0
// Readers of items, numbers and addresses, which the types of schema_types.c and other code need.
#include "common/schema_types.h"
#include "common/buf.h"
#include <arpa/inet.h>
#include <string.h>

#define DIGITS "0123456789"

const char *schema_next_item(const char **cursor, const char *separators, size_t *ret_size) {
    while (**cursor && (**cursor == ' ' || strchr(separators, **cursor)))
        ++*cursor;
    const char *item = *cursor;
    size_t size = strcspn(item, separators);
    *cursor += size;
    while (size > 0 && item[size - 1] == ' ')
        size--;
    *ret_size = size;
    return size > 0 ? item : NULL;
}

bool schema_parse_number(const char *text, bool with_suffix, int64_t *ret_number) {
    static const char suffixes[] = "KMGT";
    size_t digits = strspn(text, DIGITS);
    if (digits == 0 || digits > 18 || (digits > 1 && text[0] == '0'))
        return false;
    int64_t number = strtoll(text, NULL, 10);
    const char *suffix = text + digits;
    const char *unit = *suffix ? strchr(suffixes, *suffix) : NULL;
    if (*suffix && (!with_suffix || !unit || suffix[1]))
        return false;
    if (unit && __builtin_mul_overflow(number, (int64_t)1 << 10 * (unit - suffixes + 1), &number))
        return false;
    *ret_number = number;
    return true;
}

void schema_format_number(int64_t number, bool with_suffix, char ret_text[SCHEMA_NUMBER_BYTES]) {
    static const char *const suffixes[] = {"", "K", "M", "G", "T"};
    size_t suffix = 0;
    for (; with_suffix && number > 0 && number % 1024 == 0 && suffix + 1 < ARRAY_SIZE(suffixes); suffix++)
        number /= 1024;
    snprintf(ret_text, SCHEMA_NUMBER_BYTES, "%lld%s", (long long)number, suffixes[suffix]);
}

bool schema_parse_cidr(const char *text, size_t size, struct schema_cidr *ret_cidr) {
    char copy[INET6_ADDRSTRLEN + 5];
    if (size >= sizeof(copy))
        return false;
    memcpy(copy, text, size);
    copy[size] = 0;
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = 0;
    struct schema_cidr cidr = {.family = strchr(copy, ':') ? AF_INET6 : AF_INET};
    if (inet_pton(cidr.family, copy, cidr.address) != 1)
        return false;
    int64_t bits = cidr.family == AF_INET ? 32 : 128, prefix = bits;
    if (slash && (!schema_parse_number(slash + 1, false, &prefix) || prefix > bits))
        return false;
    cidr.prefix = (unsigned)prefix;
    *ret_cidr = cidr;
    return true;
}

bool schema_cidr_contains(const struct schema_cidr *network, const struct schema_cidr *address) {
    if (network->family != address->family)
        return false;
    for (unsigned bit = 0; bit < network->prefix; bit++)
        if ((network->address[bit / 8] ^ address->address[bit / 8]) & 0x80 >> bit % 8)
            return false;
    return true;
}
